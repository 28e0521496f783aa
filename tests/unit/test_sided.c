/*
 * The knapsack with conditions beside its budget, against the enumeration of every choice: sets of
 * columns, capacities, both; what nothing meets; limits, progress and the stop flag.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "solver/sided.h"
#include "solver_tables.h"

enum { MAX_CLASSES = 6, MAX_ITEMS = 6, MAX_LIMITS = 3 };

/* A small problem with its arrays. */
struct small {
    struct bp_sided_problem p;
    uint64_t weight[MAX_CLASSES * MAX_ITEMS], part[MAX_LIMITS][MAX_CLASSES * MAX_ITEMS];
    double cost[MAX_CLASSES * MAX_ITEMS];
    uint64_t capacity[MAX_LIMITS];
    const uint64_t *rows[MAX_LIMITS * MAX_CLASSES];
};

struct truth {
    bool found;
    double cost;
};

static bool meets(const struct bp_sided_problem *p, const uint32_t *choice)
{
    const size_t N = p->mckp.n_classes, C = p->mckp.n_items;
    uint64_t sum = 0, seen = 0;
    for (size_t c = 0; c < N; c++) {
        if (!(p->mckp.cost[c * C + choice[c]] >= 0))
            return false;
        sum += p->mckp.weight[c * C + choice[c]];
        if (C <= 64)
            seen |= UINT64_C(1) << choice[c];
    }
    for (size_t l = 0; l < p->n_limits; l++) {
        uint64_t part = 0;
        for (size_t c = 0; c < N; c++)
            part += p->weight[l * N + c] == NULL ? 0 : p->weight[l * N + c][choice[c]];
        if (part > p->capacity[l])
            return false;
    }
    return sum <= p->budget &&
           (p->max_columns == 0 || (size_t)__builtin_popcountll(seen) <= p->max_columns);
}

static double cost_of(const struct bp_sided_problem *p, const uint32_t *choice)
{
    double sum = 0;
    for (size_t c = 0; c < p->mckp.n_classes; c++)
        sum += p->mckp.cost[c * p->mckp.n_items + choice[c]];
    return sum;
}

static struct truth enumerate(const struct bp_sided_problem *p)
{
    struct truth best = {false, INFINITY};
    uint32_t choice[MAX_CLASSES] = {0};
    for (;;) {
        if (meets(p, choice) && cost_of(p, choice) < best.cost)
            best = (struct truth){true, cost_of(p, choice)};
        size_t c = 0;
        while (c < p->mckp.n_classes && ++choice[c] == p->mckp.n_items)
            choice[c++] = 0;
        if (c == p->mckp.n_classes)
            return best;
    }
}

/* kind: bit 0 bounds the columns, bit 1 sets capacities, bit 2 makes them overlap and count classes
 * in part, bit 3 leaves holes. */
static void draw(struct rng *g, int kind, struct small *s)
{
    const size_t N = (size_t)rng_int(g, 1, MAX_CLASSES), C = (size_t)rng_int(g, 1, MAX_ITEMS);
    const bool law = rng_int(g, 0, 1);
    uint64_t least = 0, most = 0;
    memset(s, 0, sizeof *s);
    s->p.mckp = (struct bp_mckp_problem){N, C, s->weight, s->cost, NULL};
    for (size_t c = 0; c < N; c++) {
        uint64_t low = UINT64_MAX, high = 0;
        for (size_t j = 0; j < C; j++) {
            const size_t cell = c * C + j;
            s->weight[cell] = (uint64_t)rng_int(g, 1, law ? 1000000000 : 12);
            s->cost[cell] =
                law ? 1e9 / (double)s->weight[cell] * rng_unit(g) : (double)rng_int(g, 0, 20);
            if ((kind & 8) && j > 0 && rng_int(g, 0, 3) == 0)
                s->cost[cell] = NAN;
            low = s->weight[cell] < low ? s->weight[cell] : low;
            high = s->weight[cell] > high ? s->weight[cell] : high;
        }
        least += low;
        most += high;
    }
    s->p.budget = least + (most - least) * (uint64_t)rng_int(g, 0, 100) / 100;
    s->p.max_columns = kind & 1 ? (size_t)rng_int(g, 1, (int64_t)C) : 0;
    s->p.n_limits = kind & 2 ? (size_t)rng_int(g, 1, MAX_LIMITS) : 0;
    s->p.capacity = s->capacity;
    s->p.weight = s->rows;
    for (size_t l = 0; l < s->p.n_limits; l++) {
        uint64_t all = 0;
        for (size_t c = 0; c < N; c++) {
            const bool in = kind & 4 ? rng_int(g, 0, 1) : c % s->p.n_limits == l;
            if (!in)
                continue;
            s->rows[l * N + c] = s->weight + c * C;
            for (size_t j = 0; (kind & 4) && j < C; j++)
                s->part[l][c * C + j] = s->weight[c * C + j] * (uint64_t)rng_int(g, 0, 4) / 4;
            if ((kind & 4) && rng_int(g, 0, 1))
                s->rows[l * N + c] = s->part[l] + c * C;
            for (size_t j = 0; j < C; j++)
                all += s->rows[l * N + c][j];
        }
        s->capacity[l] = all / C * (uint64_t)rng_int(g, 40, 120) / 100;
    }
}

/* What the progress callback sees, which must go one way. */
struct seen {
    double incumbent, bound;
    int calls;
    bool good;
};

static void watch(void *arg, double incumbent, double bound)
{
    struct seen *seen = arg;
    seen->good =
        seen->good && incumbent <= seen->incumbent && bound >= seen->bound && (bound <= incumbent);
    seen->incumbent = incumbent;
    seen->bound = bound;
    seen->calls++;
}

static void check(const struct bp_sided_problem *p, bool by_glpk, int round)
{
    struct seen seen = {INFINITY, 0, 0, true};
    const struct bp_sided_limits limits = {
        .progress = watch, .progress_arg = &seen, .by_glpk = by_glpk};
    const struct truth truth = enumerate(p);
    struct bp_sided_result r;
    uint32_t choice[MAX_CLASSES];
    enum bp_status status = bp_sided_solve(p, NULL, &limits, &r, choice);
    if (status == BP_ERR_INPUT && !truth.found)
        return; /* a class without an item */
    if (status != (truth.found ? BP_OK : BP_INFEASIBLE))
        fail_msg("round %d: status %d, truth %d %.17g", round, status, truth.found, truth.cost);
    assert_true(seen.good);
    if (status != BP_OK)
        return;
    assert_true(meets(p, choice));
    assert_true(r.cost == cost_of(p, choice));
    if (fabs(r.cost - truth.cost) > 1e-9 * truth.cost || r.lower_bound > truth.cost * (1 + 1e-12) ||
        r.cost - r.lower_bound > 2e-6 * r.cost)
        fail_msg("round %d: cost %.17g, bound %.17g, truth %.17g", round, r.cost, r.lower_bound,
                 truth.cost);
    assert_true(seen.calls > 0 && seen.incumbent == r.cost);
}

static void agrees_with_enumeration(int kind, int rounds, bool by_glpk)
{
    struct rng g = rng_seed(1000 + (uint64_t)kind);
    for (int k = 0; k < rounds; k++) {
        struct small s;
        draw(&g, kind, &s);
        check(&s.p, by_glpk, k);
    }
}

static void few_columns_cost_what_enumeration_says(void **state)
{
    (void)state;
    agrees_with_enumeration(1, 600, false);
    agrees_with_enumeration(1 + 8, 600, false);
}

static void capacities_cost_what_enumeration_says(void **state)
{
    (void)state;
    agrees_with_enumeration(2, 400, false);
    agrees_with_enumeration(2 + 4, 400, false);
    agrees_with_enumeration(2 + 4 + 8, 400, false);
}

static void both_together_cost_what_enumeration_says(void **state)
{
    (void)state;
    agrees_with_enumeration(1 + 2, 400, false);
    agrees_with_enumeration(1 + 2 + 4 + 8, 400, false);
}

static void glpk_alone_says_the_same(void **state)
{
    (void)state;
    agrees_with_enumeration(1, 100, true);
    agrees_with_enumeration(1 + 2 + 4 + 8, 100, true);
}

static void without_conditions_it_is_the_knapsack(void **state)
{
    (void)state;
    struct rng g = rng_seed(5);
    struct table t = llama_table(&llama_7b, 0.3, 1);
    struct bp_mckp *m;
    uint32_t x[256], y[256];
    assert_int_equal(bp_mckp_new(&t.problem, &m, NULL), BP_OK);
    for (int k = 0; k < 4; k++) {
        struct bp_sided_problem p = {.mckp = t.problem, .budget = random_budget(&g, m)};
        struct bp_mckp_result a;
        struct bp_sided_result b;
        p.max_columns = k % 2 ? LLAMA_ITEMS : 0;
        assert_int_equal(bp_mckp_solve(m, p.budget, NULL, &a, x), BP_OK);
        assert_int_equal(bp_sided_solve(&p, m, NULL, &b, y), BP_OK);
        assert_true(a.cost == b.cost && a.weight == b.weight);
        assert_memory_equal(x, y, t.problem.n_classes * sizeof *x);
    }
    bp_mckp_free(m);
    table_free(&t);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Stops a solve some calls after its first incumbent. */
struct stopper {
    atomic_bool stop;
    double at;
};

static void stop_soon(void *arg, double incumbent, double bound)
{
    struct stopper *s = arg;
    (void)bound;
    if (isfinite(incumbent) && !atomic_load(&s->stop)) {
        s->at = seconds();
        atomic_store(&s->stop, true);
    }
}

static void a_stop_flag_ends_it_within_a_second_with_its_gap(void **state)
{
    (void)state;
    struct table t = llama_table(&llama_7b, 2.3, 2);
    struct bp_mckp *m;
    uint32_t choice[256];
    struct bp_sided_result r;
    assert_int_equal(bp_mckp_new(&t.problem, &m, NULL), BP_OK);
    const uint64_t least = bp_mckp_min_weight(m), most = bp_mckp_max_weight(m);
    for (size_t k = 2; k <= 32; k *= 4) {
        struct stopper s = {.stop = false};
        const struct bp_sided_problem p = {
            .mckp = t.problem, .budget = least + (most - least) / 3, .max_columns = k};
        const struct bp_sided_limits limits = {
            .stop = &s.stop, .progress = stop_soon, .progress_arg = &s};
        enum bp_status status = bp_sided_solve(&p, m, &limits, &r, choice);
        assert_true(status == BP_OK || status == BP_LIMIT);
        assert_true(seconds() - s.at < 1);
        assert_true(r.weight <= p.budget && r.lower_bound > 0 && r.lower_bound <= r.cost);
    }
    bp_mckp_free(m);
    table_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_columns_cost_what_enumeration_says),
        cmocka_unit_test(capacities_cost_what_enumeration_says),
        cmocka_unit_test(both_together_cost_what_enumeration_says),
        cmocka_unit_test(glpk_alone_says_the_same),
        cmocka_unit_test(without_conditions_it_is_the_knapsack),
        cmocka_unit_test(a_stop_flag_ends_it_within_a_second_with_its_gap),
    };
    return cmocka_run_group_tests_name("conditions beside the budget", tests, NULL, NULL);
}
