/*
 * The exact solver against an oracle that shares no code with it (solver_exact.h), on tables of
 * whole models: the plan costs what the optimum costs, storage is never over the budget by a bit,
 * and the certificate is true.
 *
 * Equal means within 1e-12 of the optimum, both summed in the oracle's integers; there the optimum
 * is exact and the library's plan is off only by what its own fixed point of 60 bits has rounded.
 *
 * BITPLAN_BUDGETS=N: so many budgets a table instead of a few.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "solver/mckp.h"
#include "solver_exact.h"
#include "solver_models.h"
#include "solver_oracle.h"

#define EQUAL 1e-12

/* `few` unless the environment asks for more. */
static int budgets(int few)
{
    const char *asked = getenv("BITPLAN_BUDGETS");
    return asked != NULL && atoi(asked) > 0 ? atoi(asked) : few;
}

/* Solves and checks; false where the oracle does not know. */
static bool check_budget(const struct bp_mckp_problem *p, struct bp_mckp *m, const struct exact *x,
                         uint64_t budget, uint32_t *choice)
{
    struct bp_mckp_result r;
    uint64_t weight = 0;
    long double sum = 0;
    exact_int cost = 0, optimum;
    assert_int_equal(bp_mckp_solve(m, budget, NULL, &r, choice), BP_OK);
    for (size_t c = 0; c < p->n_classes; c++) {
        assert_true(choice[c] < p->n_items);
        weight += p->weight[c * p->n_items + choice[c]];
        sum += p->cost[c * p->n_items + choice[c]];
        cost += exact_cost(x, p->cost[c * p->n_items + choice[c]]);
    }
    assert_true(weight <= budget && weight == r.weight);
    assert_true(fabsl(r.cost - sum) <= EQUAL * sum);
    if (!exact_optimum(x, budget, &optimum))
        return false;
    long double best = (long double)optimum;
    assert_true((long double)cost - best <= EQUAL * best && cost >= optimum);
    /* The bounds are below the optimum, and the one that proves it is tight. */
    assert_true(ldexpl(r.lower_bound, x->exponent) <= best);
    assert_true(ldexpl(r.root_bound, x->exponent) <= best);
    assert_true(r.root_bound <= r.lower_bound && r.lower_bound <= r.cost);
    assert_true(r.cost - r.lower_bound <= 1e-10 * r.cost);
    return true;
}

static void match(const struct llama *shape, size_t n_items, bool fisher, int few)
{
    struct table t = model_table(shape, n_items, fisher, 11);
    struct bp_mckp *m = NULL;
    assert_int_equal(bp_mckp_new(&t.problem, &m, NULL), BP_OK);
    struct exact x = exact_new(&t.problem);
    uint32_t *choice = exact_must(calloc(t.problem.n_classes, sizeof *choice));
    struct rng g = rng_seed(12);
    int n = budgets(few), n_known = 0;
    for (int i = 0; i < n; i++)
        n_known += check_budget(&t.problem, m, &x, random_budget(&g, m), choice);
    if (n > few)
        printf("%zu x %zu %s: %d of %d budgets compared\n", t.problem.n_classes, n_items,
               fisher ? "Fisher" : "plain", n_known, n);
    assert_int_equal(n_known, n);
    free(choice);
    exact_free(&x);
    bp_mckp_free(m);
    table_free(&t);
}

static void match_model(const struct llama *shape, int few)
{
#ifdef __SANITIZE_ADDRESS__
    few = 1;
    if (shape != &llama_7b) {
        match(shape, MODEL_ITEMS, false, few);
        return;
    }
#endif
    match(shape, MODEL_ITEMS, false, few);
    match(shape, MODEL_ITEMS, true, few);
    match(shape, MODEL_ITEMS_WIDE, false, few);
    match(shape, MODEL_ITEMS_WIDE, true, few);
}

static void is_the_optimum_at_224_matrices(void **state)
{
    (void)state;
    match_model(&llama_7b, 6);
}

static void is_the_optimum_at_560_matrices(void **state)
{
    (void)state;
    match_model(&llama_70b, 3);
}

static void is_the_optimum_at_882_matrices(void **state)
{
    (void)state;
    match_model(&llama_405b, 2);
}

/* ---- the oracle itself ---- */

/* Tries all plans. */
static exact_int least_by_trying(const struct bp_mckp_problem *p, const struct exact *x, size_t c,
                                 uint64_t budget, exact_int so_far)
{
    if (c == p->n_classes)
        return so_far;
    exact_int least = EXACT_NONE;
    for (size_t j = 0; j < p->n_items; j++) {
        size_t at = c * p->n_items + j;
        if (!exact_offered(p, c, j) || p->weight[at] > budget)
            continue;
        exact_int e = least_by_trying(p, x, c + 1, budget - p->weight[at],
                                      so_far + exact_cost(x, p->cost[at]));
        if (e != EXACT_NONE && (least == EXACT_NONE || e < least))
            least = e;
    }
    return least;
}

static void the_oracle_finds_what_trying_all_plans_finds(void **state)
{
    (void)state;
    struct rng g = rng_seed(13);
    for (int i = 0; i < SHARE(300); i++) {
        struct table t = table_new((size_t)rng_int(&g, 1, 6), (size_t)rng_int(&g, 1, 6));
        size_t n = t.problem.n_classes * t.problem.n_items;
        uint64_t most = 0;
        for (size_t k = 0; k < n; k++) {
            t.weight[k] = (uint64_t)rng_int(&g, 0, i % 3 == 0 ? 8 : 1000);
            t.cost[k] = i % 2 == 0 ? (double)rng_int(&g, 0, 20) : rng_unit(&g);
            if (k % t.problem.n_items != 0 && rng_unit(&g) < 0.1)
                t.cost[k] = NAN;
            most += t.weight[k];
        }
        struct exact x = exact_new(&t.problem);
        for (int k = 0; k < 8; k++) {
            exact_int optimum;
            uint64_t budget = x.lightest + (uint64_t)(k * k) * (most - x.lightest) / 200;
            assert_true(exact_optimum(&x, budget, &optimum));
            assert_true(optimum == least_by_trying(&t.problem, &x, 0, budget, 0));
        }
        exact_free(&x);
        table_free(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_oracle_finds_what_trying_all_plans_finds),
        cmocka_unit_test(is_the_optimum_at_224_matrices),
        cmocka_unit_test(is_the_optimum_at_560_matrices),
        cmocka_unit_test(is_the_optimum_at_882_matrices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
