/*
 * The exact knapsack solver against what cannot be wrong: hand cases, and dynamic programs in
 * integers over every capacity, thousands of times with fixed seeds.
 */
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "solver/mckp.h"
#include "solver_oracle.h"
#include "solver_tables.h"

/* ---- helpers ---- */

static void *must(void *p)
{
    assert_non_null(p);
    return p;
}

static struct bp_mckp *build(const struct bp_mckp_problem *p)
{
    struct bp_mckp *m = NULL;
    assert_int_equal(bp_mckp_new(p, &m, NULL), BP_OK);
    assert_non_null(m);
    return m;
}

static uint64_t weight_of(const struct bp_mckp_problem *p, const uint32_t *choice)
{
    uint64_t sum = 0;
    for (size_t c = 0; c < p->n_classes; c++)
        sum += p->weight[c * p->n_items + choice[c]];
    return sum;
}

static double cost_of(const struct bp_mckp_problem *p, const uint32_t *choice)
{
    double sum = 0;
    for (size_t c = 0; c < p->n_classes; c++)
        sum += p->cost[c * p->n_items + choice[c]];
    return sum;
}

/* What holds for every answer, whatever the problem. */
static void check_answer(const struct bp_mckp_problem *p, uint64_t budget,
                         const struct bp_mckp_result *r, const uint32_t *choice)
{
    for (size_t c = 0; c < p->n_classes; c++) {
        assert_true(choice[c] < p->n_items);
        assert_true(p->use == NULL || p->use[c * p->n_items + choice[c]]);
        assert_true(p->cost[c * p->n_items + choice[c]] >= 0);
    }
    assert_true(weight_of(p, choice) == r->weight);
    assert_true(r->weight <= budget);
    assert_true(cost_of(p, choice) == r->cost);
    assert_true(r->lower_bound >= 0 && r->lower_bound <= r->cost);
    assert_true(r->root_bound >= 0 && r->root_bound <= r->cost);
    assert_true(r->root_bound <= r->lower_bound);
    assert_true(r->shadow_price >= 0 && !isinf(r->shadow_price));
}

static bool solve(struct bp_mckp *m, const struct bp_mckp_problem *p, uint64_t budget,
                  struct bp_mckp_result *r, uint32_t *choice)
{
    enum bp_status status = bp_mckp_solve(m, budget, NULL, r, choice);
    assert_true(status == BP_OK || status == BP_LIMIT);
    check_answer(p, budget, r, choice);
    return status == BP_OK;
}

/* ---- hand cases ---- */

#define N(a) (sizeof(a) / sizeof((a)[0]))

static void takes_the_best_of_a_hand_made_problem(void **state)
{
    (void)state;
    /* The hull of class 0 is {1, 9}; the best plan for 8 needs its item off the hull. */
    const uint64_t weight[] = {1, 5, 9, 1, 4, 9};
    const double cost[] = {10, 6, 0, 10, 5, 3};
    const struct bp_mckp_problem p = {2, 3, weight, cost, NULL};
    static const struct {
        uint64_t budget;
        double cost;
    } cases[] = {{2, 20},  {4, 20}, {5, 15}, {8, 15}, {9, 11},  {10, 10},
                 {12, 10}, {13, 5}, {17, 5}, {18, 3}, {1000, 3}};
    struct bp_mckp *m = build(&p);
    assert_int_equal(bp_mckp_min_weight(m), 2);
    assert_int_equal(bp_mckp_max_weight(m), 18);
    for (size_t i = 0; i < N(cases); i++) {
        struct bp_mckp_result r;
        uint32_t choice[2];
        assert_true(solve(m, &p, cases[i].budget, &r, choice));
        assert_true(r.cost == cases[i].cost);
    }
    bp_mckp_free(m);
}

static void a_budget_below_the_minimum_is_infeasible_and_writes_nothing(void **state)
{
    (void)state;
    const uint64_t weight[] = {7, 9};
    const double cost[] = {2, 1};
    const struct bp_mckp_problem p = {1, 2, weight, cost, NULL};
    struct bp_mckp *m = build(&p);
    struct bp_mckp_result r, untouched;
    uint32_t choice = 77;
    memset(&r, 0x5a, sizeof r);
    untouched = r;
    assert_int_equal(bp_mckp_solve(m, 6, NULL, &r, &choice), BP_INFEASIBLE);
    assert_int_equal(choice, 77);
    assert_memory_equal(&r, &untouched, sizeof r);
    bp_mckp_free(m);
}

static void both_ends_of_the_range_are_exact(void **state)
{
    (void)state;
    struct table t = llama_table(&llama_7b, 0.3, 3);
    struct bp_mckp *m = build(&t.problem);
    uint32_t *choice = must(malloc(t.problem.n_classes * sizeof *choice));
    struct bp_mckp_result lo, hi, more;
    assert_true(solve(m, &t.problem, bp_mckp_min_weight(m), &lo, choice));
    assert_true(lo.weight == bp_mckp_min_weight(m));
    assert_true(solve(m, &t.problem, bp_mckp_max_weight(m), &hi, choice));
    assert_true(hi.weight == bp_mckp_max_weight(m));
    assert_true(hi.shadow_price == 0 && hi.lower_bound == hi.cost);
    assert_true(solve(m, &t.problem, UINT64_MAX, &more, choice));
    assert_true(more.cost == hi.cost && more.weight == hi.weight);
    assert_true(solve(m, &t.problem, bp_mckp_max_weight(m) - 1, &more, choice));
    assert_true(more.cost >= hi.cost);
    free(choice);
    bp_mckp_free(m);
    table_free(&t);
}

static void of_equal_items_the_lower_column_and_the_lighter_one_are_taken(void **state)
{
    (void)state;
    const uint64_t weight[] = {5, 3, 3, 8, 8, 9};
    const double cost[] = {4, 4, 4, 1, 1, 1};
    const struct bp_mckp_problem p = {1, 6, weight, cost, NULL};
    struct bp_mckp *m = build(&p);
    struct bp_mckp_result r;
    uint32_t choice;
    assert_true(solve(m, &p, 7, &r, &choice));
    assert_int_equal(choice, 1);
    assert_true(solve(m, &p, 100, &r, &choice));
    assert_int_equal(choice, 3);
    bp_mckp_free(m);
}

static void items_without_a_cost_or_out_of_use_are_never_taken(void **state)
{
    (void)state;
    const uint64_t weight[] = {1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 6};
    const double cost[] = {NAN, 5, INFINITY, -1, 4, 0, 9, NAN, 8, -INFINITY, 7, 0};
    const uint8_t use[] = {1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 0};
    const struct bp_mckp_problem p = {2, 6, weight, cost, use};
    struct bp_mckp *m = build(&p);
    struct bp_mckp_result r;
    uint32_t choice[2];
    assert_int_equal(bp_mckp_min_weight(m), 3);
    assert_int_equal(bp_mckp_max_weight(m), 10);
    assert_true(solve(m, &p, 100, &r, choice));
    assert_int_equal(choice[0], 4);
    assert_int_equal(choice[1], 4);
    assert_true(solve(m, &p, 5, &r, choice));
    assert_true(r.cost == 13);
    bp_mckp_free(m);
}

static void an_item_out_of_use_in_one_class_serves_the_others(void **state)
{
    (void)state;
    const uint64_t weight[] = {1, 2, 1, 2, 1, 2};
    const double cost[] = {5, 1, 5, 1, 5, 1};
    const uint8_t use[] = {1, 1, 1, 0, 0, 1};
    const struct bp_mckp_problem p = {3, 2, weight, cost, use};
    struct bp_mckp *m = build(&p);
    struct bp_mckp_result r;
    uint32_t choice[3];
    assert_int_equal(bp_mckp_min_weight(m), 4);
    assert_int_equal(bp_mckp_max_weight(m), 5);
    assert_true(solve(m, &p, 6, &r, choice));
    assert_int_equal(choice[0], 1);
    assert_int_equal(choice[1], 0);
    assert_int_equal(choice[2], 1);
    bp_mckp_free(m);
}

static void a_class_without_items_is_named(void **state)
{
    (void)state;
    const uint64_t weight[] = {1, 2, 1, 2, 1, 2};
    const double cost[] = {1, NAN, NAN, 3, 1, 1};
    const uint8_t use[] = {1, 0, 1, 0, 1, 0};
    const struct bp_mckp_problem p = {3, 2, weight, cost, use};
    struct bp_mckp *m = NULL;
    size_t bad = 99;
    assert_int_equal(bp_mckp_new(&p, &m, &bad), BP_ERR_INPUT);
    assert_int_equal(bad, 1);
    assert_null(m);
    assert_int_equal(bp_mckp_new(&p, &m, NULL), BP_ERR_INPUT);
}

static void an_empty_problem_and_too_large_weights_are_refused(void **state)
{
    (void)state;
    uint64_t weight[] = {1, UINT64_C(1) << 61, 1, (UINT64_C(1) << 61) + 1};
    const double cost[] = {1, 0, 1, 0};
    struct bp_mckp_problem p = {2, 2, weight, cost, NULL};
    struct bp_mckp *m = NULL;
    size_t bad = 99;
    assert_int_equal(bp_mckp_new(&p, &m, &bad), BP_ERR_INPUT);
    assert_int_equal(bad, 1);
    weight[3] = UINT64_C(1) << 61;
    m = build(&p);
    struct bp_mckp_result r;
    uint32_t choice[2];
    assert_true(bp_mckp_max_weight(m) == UINT64_C(1) << 62);
    assert_true(solve(m, &p, (UINT64_C(1) << 61) + 1, &r, choice));
    assert_true(r.cost == 1);
    bp_mckp_free(m);
    p.n_classes = 0;
    assert_int_equal(bp_mckp_new(&p, &m, NULL), BP_ERR_INPUT);
    p.n_classes = 2;
    p.n_items = 0;
    assert_int_equal(bp_mckp_new(&p, &m, NULL), BP_ERR_INPUT);
}

static void free_takes_null_and_returns_null(void **state)
{
    (void)state;
    assert_null(bp_mckp_free(NULL));
}

static void one_class_or_one_item_is_enough(void **state)
{
    (void)state;
    const uint64_t weight[] = {5, 6, 7};
    const double cost[] = {3, 2, 1};
    const struct bp_mckp_problem one_class = {1, 3, weight, cost, NULL};
    const struct bp_mckp_problem one_item = {3, 1, weight, cost, NULL};
    struct bp_mckp_result r;
    uint32_t choice[3];
    struct bp_mckp *m = build(&one_class);
    for (uint64_t b = 5; b < 9; b++) {
        assert_true(solve(m, &one_class, b, &r, choice));
        assert_true(r.cost == (b < 7 ? 8.0 - (double)b : 1));
    }
    bp_mckp_free(m);
    m = build(&one_item);
    assert_true(solve(m, &one_item, 18, &r, choice));
    assert_true(r.cost == 6 && r.lower_bound == 6);
    assert_int_equal(bp_mckp_solve(m, 17, NULL, &r, choice), BP_INFEASIBLE);
    bp_mckp_free(m);
}

static void all_costs_zero_take_the_lightest_items(void **state)
{
    (void)state;
    const uint64_t weight[] = {5, 4, 7, 9};
    const double cost[] = {0, -0.0, 0, 0};
    const struct bp_mckp_problem p = {2, 2, weight, cost, NULL};
    struct bp_mckp *m = build(&p);
    struct bp_mckp_result r;
    uint32_t choice[2];
    assert_true(bp_mckp_min_weight(m) == 11 && bp_mckp_max_weight(m) == 11);
    assert_true(solve(m, &p, 20, &r, choice));
    assert_true(r.cost == 0 && r.weight == 11);
    bp_mckp_free(m);
}

/* The same problem at any scale of its costs gives the same plan. */
static void tiny_and_huge_costs_give_the_same_plan_as_ordinary_ones(void **state)
{
    (void)state;
    enum { CLASSES = 12, ITEMS = 9 };
    struct rng g = rng_seed(11);
    struct table t = table_new(CLASSES, ITEMS), scaled = table_new(CLASSES, ITEMS);
    for (int i = 0; i < CLASSES * ITEMS; i++) {
        t.weight[i] = scaled.weight[i] = (uint64_t)rng_int(&g, 1, 1000);
        t.cost[i] = (double)rng_int(&g, 1, 4000);
    }
    static const int exponent[] = {-1074, -1060, -500, 0, 500, 1000, 1010};
    for (size_t k = 0; k < N(exponent); k++) {
        for (int i = 0; i < CLASSES * ITEMS; i++)
            scaled.cost[i] = ldexp(t.cost[i], exponent[k]);
        struct bp_mckp *m = build(&t.problem), *s = build(&scaled.problem);
        for (int i = 0; i < 40; i++) {
            uint64_t budget = random_budget(&g, m);
            struct bp_mckp_result a, b;
            uint32_t x[CLASSES], y[CLASSES];
            assert_true(solve(m, &t.problem, budget, &a, x));
            assert_true(solve(s, &scaled.problem, budget, &b, y));
            assert_memory_equal(x, y, sizeof x);
            assert_true(b.cost == ldexp(a.cost, exponent[k]));
        }
        bp_mckp_free(m);
        bp_mckp_free(s);
    }
    table_free(&t);
    table_free(&scaled);
}

static void costs_of_very_different_size_do_not_break_the_bound(void **state)
{
    (void)state;
    const uint64_t weight[] = {1, 2, 1, 2, 1, 2};
    const double cost[] = {1e300, 1e299, 1e-300, 0, 1, 0.5};
    const struct bp_mckp_problem p = {3, 2, weight, cost, NULL};
    struct bp_mckp *m = build(&p);
    struct bp_mckp_result r;
    uint32_t choice[3];
    for (uint64_t b = 3; b < 8; b++)
        assert_true(solve(m, &p, b, &r, choice));
    assert_true(r.cost == 1e299 + 0.5);
    bp_mckp_free(m);
}

/* ---- against a dynamic program over all capacities ---- */

struct tally {
    long solved, open;
};

static void check_budget(const struct instance *x, struct bp_mckp *m, int exponent,
                         const int64_t *best, uint64_t budget, const struct bp_mckp_limits *limits,
                         struct tally *tally)
{
    const struct bp_mckp_problem *p = &x->table.problem;
    uint32_t choice[MAX_INSTANCE_CLASSES];
    struct bp_mckp_result r;
    enum bp_status status = bp_mckp_solve(m, budget, limits, &r, choice);
    assert_true(status == BP_OK || status == BP_LIMIT);
    check_answer(p, budget, &r, choice);
    int64_t e = plan_cost(p, choice, exponent);
    int64_t opt = best[(budget < x->max ? budget : x->max) - x->min];
    /* Integral costs are the same integers in both fixed points; others round by up to half a unit
     * a class in either, and the solver's unit is never coarser than twice the oracle's. */
    int64_t rounding = x->integral ? 0 : 4 * (int64_t)p->n_classes;
    assert_true(e >= opt - rounding);
    assert_true(ldexp(r.lower_bound, exponent) <= (double)(opt + rounding) * (1 + 1e-15));
    /* A proof leaves no gap but the fixed point's. */
    if (status == BP_OK) {
        assert_true(e <= opt + rounding);
        assert_true(ldexp(r.cost - r.lower_bound, exponent) <=
                    8.0 * (double)p->n_classes + 1e-12 * (double)opt);
    }
    tally->solved++;
    tally->open += status == BP_LIMIT;
}

static void match_oracle(enum kind kind, int n_instances, int n_budgets)
{
    struct rng g = rng_seed(1000 + (uint64_t)kind);
    struct tally tally = {0, 0};
    const struct bp_mckp_limits limits = {.max_work = 200 * 1000 * 1000};
    for (int i = 0; i < n_instances; i++) {
        struct instance x = draw_instance(&g, kind);
        int exponent = oracle_exponent(&x);
        int64_t *best = oracle(&x, exponent);
        struct bp_mckp *m = build(&x.table.problem);
        assert_true(bp_mckp_min_weight(m) >= x.min);
        for (int k = 0; k < n_budgets; k++) {
            uint64_t span = x.max - bp_mckp_min_weight(m);
            uint64_t budget = bp_mckp_min_weight(m) + (uint64_t)(rng_unit(&g) * (double)span);
            if (k == 0)
                budget = bp_mckp_min_weight(m);
            if (k == 1)
                budget = bp_mckp_max_weight(m);
            if (k == 2)
                budget = x.max + 5;
            check_budget(&x, m, exponent, best, budget, &limits, &tally);
            /* And stopped somewhere on the way, where the bound must hold as well. */
            struct tally cut = {0, 0};
            struct bp_mckp_limits early = {.max_work = (uint64_t)pow(10, 1 + 5 * rng_unit(&g))};
            check_budget(&x, m, exponent, best, budget, &early, &cut);
        }
        struct bp_mckp_result r;
        uint32_t choice[MAX_INSTANCE_CLASSES];
        if (bp_mckp_min_weight(m) > 0)
            assert_int_equal(bp_mckp_solve(m, bp_mckp_min_weight(m) - 1, NULL, &r, choice),
                             BP_INFEASIBLE);
        bp_mckp_free(m);
        free(best);
        table_free(&x.table);
    }
    /* The limit is there so that a hopeless instance cannot stop the tests. */
    assert_true(tally.open * 100 <= tally.solved);
}

static void matches_the_oracle_on_uniform_costs(void **state)
{
    (void)state;
    match_oracle(UNIFORM, SHARE(160), 30);
}

static void matches_the_oracle_on_a_rate_distortion_law(void **state)
{
    (void)state;
    match_oracle(LAW, SHARE(160), 30);
}

static void matches_the_oracle_on_identical_classes(void **state)
{
    (void)state;
    match_oracle(TWINS, SHARE(160), 30);
}

static void matches_the_oracle_on_costs_along_a_line(void **state)
{
    (void)state;
    match_oracle(LINE, SHARE(48), 20);
}

static void matches_the_oracle_on_costs_close_to_a_line(void **state)
{
    (void)state;
    match_oracle(NEAR_LINE, SHARE(120), 30);
}

static void matches_the_oracle_on_hundreds_of_classes_of_one_size(void **state)
{
    (void)state;
    match_oracle(ONE_SIZE, SHARE(24), 8);
}

static void matches_the_oracle_on_scales_over_orders_of_magnitude(void **state)
{
    (void)state;
    match_oracle(SENSITIVE, SHARE(160), 30);
}

static void matches_the_oracle_on_weights_with_residues(void **state)
{
    (void)state;
    match_oracle(RESIDUES, SHARE(24), 8);
}

/* ---- against a windowed dynamic program on realistic tables ---- */

/* Independent of the solver: its own multiplier, its own fixed point, no hull, no branching. A move
 * away from the class's minimizer of e + lambda w costs r >= 0; to pass through an offset of w
 * units, and to come back to the budget, costs at least the fractional fill by the moves cheapest
 * per unit. Offsets for which that reaches the gap are outside the window. */
struct check_move {
    int64_t units, r;
    size_t cls;
    double slope;
};

static int compare_check_moves(const void *a, const void *b)
{
    const struct check_move *x = a, *y = b;
    return x->slope < y->slope ? -1 : x->slope > y->slope;
}

static double fractional_fill(const struct check_move *move, size_t n, int sign, double units)
{
    double cost = 0;
    for (size_t i = 0; i < n && units > 0; i++) {
        double step = (double)(sign * move[i].units);
        if (step <= 0)
            continue;
        double take = step < units ? step : units;
        cost += take * move[i].slope;
        units -= take;
    }
    return units > 0 ? INFINITY : cost;
}

struct check {
    const struct bp_mckp_problem *p;
    int exponent;
    int64_t unit, lambda; /* cost per unit of weight */
    int64_t bound, slack; /* Lagrangian bound; units left by the minimizer, any sign */
    struct check_move *move;
    size_t n_moves;
};

static void set_check_scale(struct check *k, double shadow_price)
{
    const struct bp_mckp_problem *p = k->p;
    double sum = 0;
    k->unit = 0;
    for (size_t i = 0; i < p->n_classes * p->n_items; i++) {
        int64_t d = (int64_t)(p->weight[i] - p->weight[i / p->n_items * p->n_items]);
        int64_t a = k->unit, b = d < 0 ? -d : d;
        while (b != 0) {
            int64_t t = a % b;
            a = b;
            b = t;
        }
        k->unit = a;
        if (i % p->n_items == 0)
            sum += p->cost[i];
    }
    frexp(2 * sum, &k->exponent);
    k->exponent = 58 - k->exponent;
    k->lambda = fixed(shadow_price * (double)k->unit, k->exponent);
}

/* Lists all moves with r below the gap that the plan of cost `upper` leaves. */
static void list_check_moves(struct check *k, uint64_t budget, int64_t upper)
{
    const struct bp_mckp_problem *p = k->p;
    int64_t left = (int64_t)budget;
    size_t *base = must(malloc(p->n_classes * sizeof *base));
    k->bound = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t c = 0; c < p->n_classes; c++) {
            const uint64_t *weight = p->weight + c * p->n_items;
            const double *cost = p->cost + c * p->n_items;
            if (pass == 0)
                base[c] = 0;
            for (size_t j = 0; j < p->n_items; j++) {
                int64_t units = ((int64_t)weight[j] - (int64_t)weight[base[c]]) / k->unit;
                int64_t r = fixed(cost[j], k->exponent) - fixed(cost[base[c]], k->exponent) +
                            k->lambda * units;
                if (pass == 0 && r < 0)
                    base[c] = j;
                if (pass == 1 && j != base[c] && r < upper - k->bound && units != 0)
                    k->move[k->n_moves++] = (struct check_move){
                        units, r, c, (double)r / (double)(units < 0 ? -units : units)};
            }
            if (pass == 0) {
                left -= (int64_t)weight[base[c]];
                k->bound += fixed(cost[base[c]], k->exponent);
            }
        }
        if (pass == 0) {
            k->slack = left >= 0 ? left / k->unit : -((-left + k->unit - 1) / k->unit);
            k->bound -= k->lambda * k->slack;
        }
    }
    free(base);
}

/* The first offset in direction sign that no plan below the gap passes. */
static int64_t check_window(const struct check *k, const struct check_move *by_slope, int64_t gap,
                            int sign)
{
    for (int64_t w = 16;; w += w / 8) {
        double back = (double)(k->slack - sign * w);
        double there = fractional_fill(by_slope, k->n_moves, sign, (double)w);
        double rest = fractional_fill(by_slope, k->n_moves, back >= 0 ? 1 : -1, fabs(back));
        if (back > 0)
            rest = 0; /* slack may stay open */
        bool behind = sign * k->slack <= w;
        if (behind && (there + rest) * (1 - 1e-9) >= (double)gap)
            return w;
        assert_true(w < 20 * 1000 * 1000);
    }
}

static int64_t check_table(const struct check *k, int64_t gap)
{
    struct check_move *by_slope = must(malloc((k->n_moves + 1) * sizeof *by_slope));
    memcpy(by_slope, k->move, k->n_moves * sizeof *by_slope);
    qsort(by_slope, k->n_moves, sizeof *by_slope, compare_check_moves);
    int64_t lo = -check_window(k, by_slope, gap, -1), hi = check_window(k, by_slope, gap, 1);
    int64_t n = hi - lo + 1, least = INT64_MAX;
    int64_t *cur = must(malloc((size_t)n * sizeof *cur)),
            *next = must(malloc((size_t)n * sizeof *cur));
    for (int64_t i = 0; i < n; i++)
        cur[i] = INT64_MAX / 4;
    cur[-lo] = 0;
    for (size_t t = 0; t < k->n_moves;) {
        size_t cls = k->move[t].cls;
        memcpy(next, cur, (size_t)n * sizeof *cur);
        for (; t < k->n_moves && k->move[t].cls == cls; t++) {
            int64_t d = k->move[t].units, r = k->move[t].r;
            int64_t from = d > 0 ? d : 0, to = d > 0 ? n : n + d;
            for (int64_t i = from; i < to; i++)
                next[i] = cur[i - d] + r < next[i] ? cur[i - d] + r : next[i];
        }
        int64_t *swap = cur;
        cur = next;
        next = swap;
    }
    for (int64_t i = 0; i < n && i + lo <= k->slack; i++) {
        if (cur[i] >= INT64_MAX / 8)
            continue;
        int64_t v = k->bound + cur[i] + k->lambda * (k->slack - (i + lo));
        least = v < least ? v : least;
    }
    free(by_slope);
    free(cur);
    free(next);
    return least;
}

/* The solver's plan must be found again, and nothing below it. */
static void check_with_window(const struct bp_mckp_problem *p, uint64_t budget,
                              const struct bp_mckp_result *r, const uint32_t *choice)
{
    struct check k = {.p = p};
    int64_t upper = 0;
    k.move = must(malloc(p->n_classes * p->n_items * sizeof *k.move));
    set_check_scale(&k, r->shadow_price);
    for (size_t c = 0; c < p->n_classes; c++)
        upper += fixed(p->cost[c * p->n_items + choice[c]], k.exponent);
    list_check_moves(&k, budget, upper + 1);
    int64_t least = check_table(&k, upper + 1 - k.bound);
    assert_true(least <= upper);
    assert_true(upper - least <= 4 * (int64_t)p->n_classes);
    free(k.move);
}

static void is_optimal_on_realistic_tables(void **state)
{
    (void)state;
    uint32_t *choice = must(malloc(224 * sizeof *choice));
    for (uint64_t seed = 0; seed < 3; seed++) {
        struct table t = llama_table(&llama_7b, seed == 2 ? 2.3 : 0.3, seed);
        struct bp_mckp *m = build(&t.problem);
        struct rng g = rng_seed(seed);
        for (int i = 0; i < SHARE(12); i++) {
            struct bp_mckp_result r;
            uint64_t budget = random_budget(&g, m);
            assert_true(solve(m, &t.problem, budget, &r, choice));
            check_with_window(&t.problem, budget, &r, choice);
        }
        bp_mckp_free(m);
        table_free(&t);
    }
    free(choice);
}

/* ---- behaviour ---- */

static void the_same_question_gets_the_same_answer(void **state)
{
    (void)state;
    struct table t = llama_table(&llama_7b, 0.3, 5);
    struct bp_mckp *m = build(&t.problem), *warm = build(&t.problem);
    struct rng g = rng_seed(5);
    uint32_t *a = must(calloc(224, sizeof *a)), *b = must(calloc(224, sizeof *b));
    for (int i = 0; i < SHARE(40); i++) {
        struct bp_mckp_limits limits = {.max_work = i % 2 == 0 ? 0 : 200 * 1000};
        struct bp_mckp_result x, y, z;
        uint64_t budget = random_budget(&g, m);
        enum bp_status status = bp_mckp_solve(m, budget, &limits, &x, a);
        assert_int_equal(bp_mckp_solve(m, budget, &limits, &y, b), status);
        assert_memory_equal(a, b, 224 * sizeof *a);
        struct bp_mckp *fresh = i % 4 == 0 ? build(&t.problem) : NULL;
        assert_int_equal(bp_mckp_solve(fresh != NULL ? fresh : warm, budget, &limits, &z, b),
                         status);
        assert_memory_equal(a, b, 224 * sizeof *a);
        assert_true(x.work == y.work && x.work == z.work);
        assert_true(x.lower_bound == y.lower_bound && x.lower_bound == z.lower_bound);
        bp_mckp_free(fresh);
    }
    free(a);
    free(b);
    bp_mckp_free(m);
    bp_mckp_free(warm);
    table_free(&t);
}

static void more_budget_never_costs_more(void **state)
{
    (void)state;
    struct table t = llama_table(&llama_7b, 2.3, 6);
    struct bp_mckp *m = build(&t.problem);
    uint32_t choice[224];
    uint64_t lo = bp_mckp_min_weight(m), hi = bp_mckp_max_weight(m);
    int steps = SHARE(200);
    double before = INFINITY;
    for (int i = 0; i <= steps; i++) {
        struct bp_mckp_result r;
        assert_true(
            solve(m, &t.problem, lo + (hi - lo) / (uint64_t)steps * (uint64_t)i, &r, choice));
        assert_true(r.cost <= before * (1 + 1e-13));
        before = r.cost;
    }
    bp_mckp_free(m);
    table_free(&t);
}

static void a_work_limit_gives_a_plan_and_a_true_bound(void **state)
{
    (void)state;
    struct table t = llama_table(&llama_7b, 0.3, 7);
    struct bp_mckp *m = build(&t.problem);
    struct rng g = rng_seed(7);
    uint32_t choice[224];
    int n_open = 0;
    for (int i = 0; i < SHARE(40); i++) {
        struct bp_mckp_result best, r;
        uint64_t budget = random_budget(&g, m);
        assert_true(solve(m, &t.problem, budget, &best, choice));
        for (uint64_t work = 1; work < 10 * 1000 * 1000; work *= 10) {
            const struct bp_mckp_limits limits = {.max_work = work};
            enum bp_status status = bp_mckp_solve(m, budget, &limits, &r, choice);
            check_answer(&t.problem, budget, &r, choice);
            assert_true(r.lower_bound <= best.cost);
            assert_true(r.cost >= best.cost * (1 - 1e-13));
            if (status == BP_OK)
                assert_true(r.cost <= best.cost * (1 + 1e-13));
            else
                assert_int_equal(status, BP_LIMIT);
            n_open += status == BP_LIMIT;
        }
    }
    assert_true(n_open > 0);
    bp_mckp_free(m);
    table_free(&t);
}

/* Set beforehand, the flag leaves the greedy plan and the bound of the relaxation. */
static void a_stop_flag_ends_any_solve_with_a_plan_and_a_true_bound(void **state)
{
    (void)state;
    struct table t = llama_table(&llama_7b, 0.3, 7);
    struct bp_mckp *m = build(&t.problem);
    struct rng g = rng_seed(17);
    uint32_t choice[224], other[224];
    const atomic_bool set = true, clear = false;
    int n_open = 0;
    for (int i = 0; i < SHARE(40); i++) {
        struct bp_mckp_result best, r;
        uint64_t budget = random_budget(&g, m);
        assert_true(solve(m, &t.problem, budget, &best, choice));
        const struct bp_mckp_limits stopped = {.stop = &set}, free_to_go = {.stop = &clear};
        enum bp_status status = bp_mckp_solve(m, budget, &stopped, &r, other);
        assert_true(status == BP_OK || status == BP_LIMIT);
        check_answer(&t.problem, budget, &r, other);
        assert_true(r.lower_bound <= best.cost && r.cost >= best.cost * (1 - 1e-13));
        assert_true(r.work < 100 * 1000);
        n_open += status == BP_LIMIT;
        assert_int_equal(bp_mckp_solve(m, budget, &free_to_go, &r, other), BP_OK);
        assert_memory_equal(choice, other, sizeof choice);
        assert_true(r.work == best.work && r.lower_bound == best.lower_bound);
    }
    assert_true(n_open > 0);
    bp_mckp_free(m);
    table_free(&t);
}

struct stopper {
    atomic_bool stop;
    struct timespec delay;
};

static void *stop_later(void *argument)
{
    struct stopper *s = argument;
    nanosleep(&s->delay, NULL);
    atomic_store(&s->stop, true);
    return NULL;
}

/* Costs on a line: hours of branching, lists and dense programs, stopped at some point of it. */
static void a_flag_set_on_the_way_ends_the_solve_wherever_it_is(void **state)
{
    (void)state;
    enum { CLASSES = 120, ITEMS = 60 };
    struct rng g = rng_seed(18);
    struct table t = table_new(CLASSES, ITEMS);
    for (int i = 0; i < CLASSES * ITEMS; i++) {
        double x = 1 + (double)rng_int(&g, 0, 1000000);
        t.weight[i] = (uint64_t)(x * 1000) + (uint64_t)rng_int(&g, 0, 999);
        t.cost[i] = 2e6 - x + 1e-3 * rng_unit(&g);
    }
    struct bp_mckp *m = build(&t.problem);
    for (int i = 0; i < SHARE(12); i++) {
        struct stopper s = {.delay = {0, 1000000L * (1 + i * i)}};
        const struct bp_mckp_limits limits = {.stop = &s.stop};
        struct bp_mckp_result r;
        uint32_t choice[CLASSES];
        uint64_t budget = random_budget(&g, m);
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, stop_later, &s), 0);
        enum bp_status status = bp_mckp_solve(m, budget, &limits, &r, choice);
        assert_int_equal(pthread_join(thread, NULL), 0);
        assert_true(status == BP_OK || status == BP_LIMIT);
        check_answer(&t.problem, budget, &r, choice);
    }
    bp_mckp_free(m);
    table_free(&t);
}

/* Weights of 3e15 with gcd 1 and slopes from nothing to the steepest that the fixed point has. */
static void huge_weights_and_steep_slopes_do_not_overflow(void **state)
{
    (void)state;
    enum { CLASSES = 40, ITEMS = 12 };
    struct rng g = rng_seed(8);
    struct table t = table_new(CLASSES, ITEMS);
    const struct bp_mckp_limits limits = {.max_work = 20 * 1000 * 1000};
    for (int round = 0; round < 8; round++) {
        for (int i = 0; i < CLASSES * ITEMS; i++) {
            double size = pow(10, 15.4 * rng_unit(&g));
            t.weight[i] = round % 2 == 0 ? (uint64_t)size + 1 : (uint64_t)(rng_unit(&g) * 3e15) + 1;
            t.cost[i] = round % 4 < 2 ? pow(10, 12 * rng_unit(&g)) : 1e6 / (double)t.weight[i];
        }
        struct bp_mckp *m = build(&t.problem);
        for (int i = 0; i < 10; i++) {
            struct bp_mckp_result r;
            uint32_t choice[CLASSES];
            uint64_t budget = random_budget(&g, m);
            enum bp_status status = bp_mckp_solve(m, budget, &limits, &r, choice);
            assert_true(status == BP_OK || status == BP_LIMIT);
            check_answer(&t.problem, budget, &r, choice);
        }
        bp_mckp_free(m);
    }
    table_free(&t);
}

static void hundreds_of_identical_classes_are_closed(void **state)
{
    (void)state;
    struct table t = llama_table(&llama_7b, 0.3, 9);
    for (size_t c = 1; c < t.problem.n_classes; c++) {
        memcpy(t.weight + c * LLAMA_ITEMS, t.weight, LLAMA_ITEMS * sizeof *t.weight);
        memcpy(t.cost + c * LLAMA_ITEMS, t.cost, LLAMA_ITEMS * sizeof *t.cost);
    }
    struct bp_mckp *m = build(&t.problem);
    struct rng g = rng_seed(9);
    uint32_t choice[224];
    for (int i = 0; i < SHARE(4); i++) {
        struct bp_mckp_result r;
        assert_true(solve(m, &t.problem, random_budget(&g, m), &r, choice));
    }
    bp_mckp_free(m);
    table_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(takes_the_best_of_a_hand_made_problem),
        cmocka_unit_test(a_budget_below_the_minimum_is_infeasible_and_writes_nothing),
        cmocka_unit_test(both_ends_of_the_range_are_exact),
        cmocka_unit_test(of_equal_items_the_lower_column_and_the_lighter_one_are_taken),
        cmocka_unit_test(items_without_a_cost_or_out_of_use_are_never_taken),
        cmocka_unit_test(an_item_out_of_use_in_one_class_serves_the_others),
        cmocka_unit_test(a_class_without_items_is_named),
        cmocka_unit_test(an_empty_problem_and_too_large_weights_are_refused),
        cmocka_unit_test(free_takes_null_and_returns_null),
        cmocka_unit_test(one_class_or_one_item_is_enough),
        cmocka_unit_test(all_costs_zero_take_the_lightest_items),
        cmocka_unit_test(tiny_and_huge_costs_give_the_same_plan_as_ordinary_ones),
        cmocka_unit_test(costs_of_very_different_size_do_not_break_the_bound),
        cmocka_unit_test(matches_the_oracle_on_uniform_costs),
        cmocka_unit_test(matches_the_oracle_on_a_rate_distortion_law),
        cmocka_unit_test(matches_the_oracle_on_identical_classes),
        cmocka_unit_test(matches_the_oracle_on_costs_along_a_line),
        cmocka_unit_test(matches_the_oracle_on_costs_close_to_a_line),
        cmocka_unit_test(matches_the_oracle_on_hundreds_of_classes_of_one_size),
        cmocka_unit_test(matches_the_oracle_on_scales_over_orders_of_magnitude),
        cmocka_unit_test(matches_the_oracle_on_weights_with_residues),
        cmocka_unit_test(is_optimal_on_realistic_tables),
        cmocka_unit_test(the_same_question_gets_the_same_answer),
        cmocka_unit_test(more_budget_never_costs_more),
        cmocka_unit_test(a_work_limit_gives_a_plan_and_a_true_bound),
        cmocka_unit_test(a_stop_flag_ends_any_solve_with_a_plan_and_a_true_bound),
        cmocka_unit_test(a_flag_set_on_the_way_ends_the_solve_wherever_it_is),
        cmocka_unit_test(huge_weights_and_steep_slopes_do_not_overflow),
        cmocka_unit_test(hundreds_of_identical_classes_are_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
