/*
 * The exact solver and GLPK on the same problems. GLPK works in floating point: it may be a little
 * above the optimum, never below it, as its plans are re-summed in integers.
 *
 * BITPLAN_TABLES=N: so many tables of each kind instead of a few.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "solver/glpk.h"
#include "solver/mckp.h"
#include "solver_tables.h"

/* Of GLPK's API, whose header belongs to src/solver/glpk.c alone: limits its memory, in MB. */
void glp_mem_limit(int limit);

static struct table draw_table(struct rng *g, int kind)
{
    size_t n_classes = (size_t)rng_int(g, 30, 60), n_items = (size_t)rng_int(g, 20, 80);
    struct table t = table_new(n_classes, n_items);
    for (size_t c = 0; c < n_classes; c++) {
        double size = (double)rng_int(g, 1, 40), sigma = exp(rng_normal(g));
        for (size_t j = 0; j < n_items; j++) {
            double bits = 2 + 2.5 * rng_unit(g);
            uint64_t weight = (uint64_t)(size * 1e6 * bits) + 1;
            t.weight[c * n_items + j] = kind == 0 ? weight / 4096 * 4096 : weight;
            t.cost[c * n_items + j] =
                kind == 2 ? rng_unit(g) : size * sigma * pow(4, -bits) * (1 + 0.1 * rng_unit(g));
        }
    }
    return t;
}

static void check_plan(const struct bp_mckp_problem *p, uint64_t budget,
                       const struct bp_mckp_result *r, const uint32_t *choice)
{
    uint64_t weight = 0;
    double cost = 0;
    for (size_t c = 0; c < p->n_classes; c++) {
        assert_true(choice[c] < p->n_items);
        assert_true(p->use == NULL || p->use[c * p->n_items + choice[c]]);
        weight += p->weight[c * p->n_items + choice[c]];
        cost += p->cost[c * p->n_items + choice[c]];
    }
    assert_true(weight == r->weight && weight <= budget);
    assert_true(cost == r->cost);
    assert_true(r->lower_bound >= 0 && r->lower_bound <= r->cost);
    assert_true(r->shadow_price >= 0);
}

static void compare(const struct bp_mckp_problem *p, struct bp_mckp *m, uint64_t budget,
                    unsigned time_limit_ms)
{
    struct bp_mckp_result ours, theirs;
    uint32_t x[60], y[60];
    assert_int_equal(bp_mckp_solve(m, budget, NULL, &ours, x), BP_OK);
    check_plan(p, budget, &ours, x);
    enum bp_status status = bp_glpk_solve(p, budget, time_limit_ms, &theirs, y);
    assert_true(status == BP_OK || status == BP_LIMIT);
    check_plan(p, budget, &theirs, y);
    assert_true(ours.cost <= theirs.cost * (1 + 1e-12));
    assert_true(ours.lower_bound <= theirs.cost);
    assert_true(theirs.lower_bound <= ours.cost);
    if (status == BP_OK)
        assert_true(theirs.cost <= ours.cost * (1 + 1e-5));
}

/* Marks about a third of the items as not in use, and leaves some others without a cost. */
static uint8_t *mask_items(struct rng *g, struct table *t)
{
    size_t n_items = t->problem.n_items, n = t->problem.n_classes * n_items;
    uint8_t *use = malloc(n);
    assert_non_null(use);
    for (size_t i = 0; i < n; i++) {
        bool spared = i % n_items == n_items / 2; /* so that no class is empty */
        use[i] = spared || rng_unit(g) > 0.35;
        if (!spared && rng_unit(g) < 0.1)
            t->cost[i] = NAN;
    }
    t->problem.use = use;
    return use;
}

static void agrees_with_glpk(int kind, bool masked)
{
    const char *asked = getenv("BITPLAN_TABLES");
    int n_tables = asked != NULL && atoi(asked) > 0 ? atoi(asked) : 3, n_budgets = 0;
    struct rng g = rng_seed(100 + (uint64_t)kind + (masked ? 10 : 0));
    for (int i = 0; i < n_tables; i++) {
        struct table t = draw_table(&g, kind);
        uint8_t *use = masked ? mask_items(&g, &t) : NULL;
        struct bp_mckp *m = NULL;
        assert_int_equal(bp_mckp_new(&t.problem, &m, NULL), BP_OK);
        for (int k = 0; k < 4; k++, n_budgets++)
            compare(&t.problem, m, random_budget(&g, m), 2000);
        bp_mckp_free(m);
        table_free(&t);
        free(use);
    }
    if (asked != NULL)
        printf("%d budgets of %d tables compared with GLPK\n", n_budgets, n_tables);
}

static void agrees_with_glpk_where_weights_share_a_unit(void **state)
{
    (void)state;
    agrees_with_glpk(0, false);
}

static void agrees_with_glpk_where_weights_share_no_unit(void **state)
{
    (void)state;
    agrees_with_glpk(1, false);
}

static void agrees_with_glpk_on_costs_without_a_law(void **state)
{
    (void)state;
    agrees_with_glpk(2, false);
}

static void agrees_with_glpk_where_items_are_out_of_use(void **state)
{
    (void)state;
    for (int kind = 0; kind < 3; kind++)
        agrees_with_glpk(kind, true);
}

static void both_ends_of_the_range_agree(void **state)
{
    (void)state;
    struct rng g = rng_seed(7);
    struct table t = draw_table(&g, 1);
    struct bp_mckp *m = NULL;
    assert_int_equal(bp_mckp_new(&t.problem, &m, NULL), BP_OK);
    compare(&t.problem, m, bp_mckp_min_weight(m), 0);
    compare(&t.problem, m, bp_mckp_max_weight(m), 0);
    compare(&t.problem, m, UINT64_MAX, 0);
    struct bp_mckp_result r;
    uint32_t choice[60];
    assert_int_equal(bp_glpk_solve(&t.problem, bp_mckp_min_weight(m) - 1, 0, &r, choice),
                     BP_INFEASIBLE);
    bp_mckp_free(m);
    table_free(&t);
}

static void a_millisecond_still_gives_a_plan_and_a_bound(void **state)
{
    (void)state;
    struct table t = llama_table(&llama_7b, 0.3, 1);
    struct bp_mckp *m = NULL;
    struct bp_mckp_result best, r;
    static uint32_t choice[224];
    assert_int_equal(bp_mckp_new(&t.problem, &m, NULL), BP_OK);
    uint64_t budget = (bp_mckp_min_weight(m) + bp_mckp_max_weight(m)) / 2;
    assert_int_equal(bp_mckp_solve(m, budget, NULL, &best, choice), BP_OK);
    assert_int_equal(bp_glpk_solve(&t.problem, budget, 1, &r, choice), BP_LIMIT);
    check_plan(&t.problem, budget, &r, choice);
    assert_true(r.cost >= best.cost * (1 - 1e-12) && r.lower_bound <= best.cost);
    bp_mckp_free(m);
    table_free(&t);
}

static void a_fatal_error_in_glpk_comes_back_and_the_next_call_works(void **state)
{
    (void)state;
    struct table t = llama_table(&llama_7b, 0.3, 1);
    struct bp_mckp_result r;
    static uint32_t choice[224];
    uint64_t budget = UINT64_MAX;
    glp_mem_limit(1);
    assert_int_equal(bp_glpk_solve(&t.problem, budget, 0, &r, choice), BP_ERR_FAILED);
    assert_int_equal(bp_glpk_solve(&t.problem, budget, 0, &r, choice), BP_OK);
    check_plan(&t.problem, budget, &r, choice);
    table_free(&t);
}

static void bad_input_is_refused(void **state)
{
    (void)state;
    const uint64_t weight[] = {1, 2};
    const double cost[] = {NAN, -1};
    struct bp_mckp_problem p = {1, 2, weight, cost, NULL};
    struct bp_mckp_result r;
    uint32_t choice;
    assert_int_equal(bp_glpk_solve(&p, 5, 0, &r, &choice), BP_ERR_INPUT);
    p.n_classes = 0;
    assert_int_equal(bp_glpk_solve(&p, 5, 0, &r, &choice), BP_ERR_INPUT);
}

static void costs_of_zero_and_single_items_are_fine(void **state)
{
    (void)state;
    const uint64_t weight[] = {3, 4, 5, 6};
    const double cost[] = {0, 0, 0, 0};
    struct bp_mckp_problem p = {2, 2, weight, cost, NULL};
    struct bp_mckp_result r;
    uint32_t choice[2];
    assert_int_equal(bp_glpk_solve(&p, 8, 0, &r, choice), BP_OK);
    assert_true(r.cost == 0 && r.weight == 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_glpk_where_weights_share_a_unit),
        cmocka_unit_test(agrees_with_glpk_where_weights_share_no_unit),
        cmocka_unit_test(agrees_with_glpk_on_costs_without_a_law),
        cmocka_unit_test(agrees_with_glpk_where_items_are_out_of_use),
        cmocka_unit_test(both_ends_of_the_range_agree),
        cmocka_unit_test(a_millisecond_still_gives_a_plan_and_a_bound),
        cmocka_unit_test(a_fatal_error_in_glpk_comes_back_and_the_next_call_works),
        cmocka_unit_test(bad_input_is_refused),
        cmocka_unit_test(costs_of_zero_and_single_items_are_fine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
