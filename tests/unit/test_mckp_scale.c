/*
 * The exact solver at the sizes that it is made for: against a dense program over the whole window
 * at 224 and 560 matrices, against itself without index and split on a mixture of experts, and what
 * must not depend on what was solved before.
 */
#include <malloc.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "solver/mckp_impl.h"
#include "solver_oracle.h"
#include "solver_tables.h"

static struct bp_mckp *build(const struct bp_mckp_problem *p)
{
    struct bp_mckp *m = NULL;
    assert_int_equal(bp_mckp_new(p, &m, NULL), BP_OK);
    return m;
}

static uint32_t *new_choice(const struct bp_mckp_problem *p)
{
    uint32_t *choice = calloc(p->n_classes, sizeof *choice);
    assert_non_null(choice);
    return choice;
}

static void check_plan(const struct bp_mckp_problem *p, uint64_t budget,
                       const struct bp_mckp_result *r, const uint32_t *choice)
{
    uint64_t weight = 0;
    double cost = 0;
    for (size_t c = 0; c < p->n_classes; c++) {
        weight += p->weight[c * p->n_items + choice[c]];
        cost += p->cost[c * p->n_items + choice[c]];
    }
    assert_true(weight == r->weight && weight <= budget);
    assert_true(cost == r->cost && r->lower_bound <= cost);
}

/* The optimum by the dense program alone: no branching, no lists, from the greedy plan's gap. */
static double dense_optimum(struct bp_mckp *m, uint64_t budget)
{
    struct bp_mckp_work *k = &m->work;
    k->work = 0;
    k->max_work = UINT64_MAX;
    k->stop = NULL;
    k->stopped = false;
    k->budget = (int64_t)(budget - m->min_weight) / m->unit;
    bp_mckp_root(m);
    if (k->incumbent > k->root_bound) {
        assert_int_equal(bp_mckp_core_gather(m), BP_MCKP_CLOSED);
        bp_mckp_dp(m, 3e7, true);
        if (bp_mckp_dp(m, 1e12, false) != BP_MCKP_CLOSED)
            return NAN;
    }
    double cost = 0;
    for (size_t c = 0; c < m->n_classes; c++)
        cost += m->cost[k->best[c]];
    return cost;
}

static void match_dense(const struct llama *shape, double spread, uint64_t seed, int n)
{
    struct table t = llama_table(shape, spread, seed);
    struct bp_mckp *m = build(&t.problem), *dense = build(&t.problem);
    struct rng g = rng_seed(seed);
    uint32_t *choice = new_choice(&t.problem);
    int n_seen = 0;
    for (int i = 0; i < n; i++) {
        struct bp_mckp_result r;
        uint64_t budget = random_budget(&g, m);
        assert_int_equal(bp_mckp_solve(m, budget, NULL, &r, choice), BP_OK);
        check_plan(&t.problem, budget, &r, choice);
        double optimum = dense_optimum(dense, budget);
        if (isnan(optimum))
            continue;
        n_seen++;
        assert_true(fabs(r.cost - optimum) <= 1e-14 * optimum);
    }
    assert_true(n_seen * 10 >= n * 9);
    free(choice);
    bp_mckp_free(m);
    bp_mckp_free(dense);
    table_free(&t);
}

static void is_optimal_at_224_matrices(void **state)
{
    (void)state;
    match_dense(&llama_7b, 0.3, 41, SHARE(100));
    match_dense(&llama_7b, 2.3, 42, SHARE(100));
}

static void is_optimal_at_560_matrices(void **state)
{
    (void)state;
    match_dense(&llama_70b, 0.3, 43, SHARE(60));
    match_dense(&llama_70b, 2.3, 44, SHARE(60));
}

/* The index only leaves out what cannot matter, and the split search is as exact as the other. */
static void index_and_split_change_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 2; seed++) {
        struct table t = expert_table(24, seed == 0 ? 0.3 : 1.5, seed);
        struct bp_mckp *m = build(&t.problem), *plain = build(&t.problem);
        assert_true(m->index.built && m->coarse_unit > 1);
        plain->index.built = false;
        plain->coarse_unit = 0;
        struct rng g = rng_seed(50 + seed);
        uint32_t *x = new_choice(&t.problem), *y = new_choice(&t.problem);
        const struct bp_mckp_limits limits = {.max_work = 300 * 1000 * 1000};
        for (int i = 0; i < SHARE(16); i++) {
            struct bp_mckp_result a, b;
            uint64_t budget = random_budget(&g, m);
            assert_int_equal(bp_mckp_solve(m, budget, &limits, &a, x), BP_OK);
            check_plan(&t.problem, budget, &a, x);
            enum bp_status status = bp_mckp_solve(plain, budget, &limits, &b, y);
            assert_true(a.cost <= b.cost * (1 + 1e-14));
            if (status == BP_OK)
                assert_true(a.cost >= b.cost * (1 - 1e-14));
            assert_true(a.cost >= b.lower_bound);
        }
        free(x);
        free(y);
        bp_mckp_free(m);
        bp_mckp_free(plain);
        table_free(&t);
    }
}

/* The index marks every class that has something to offer. */
static void the_index_misses_no_class(void **state)
{
    (void)state;
    struct rng g = rng_seed(60);
    for (int i = 0; i < SHARE(80); i++) {
        struct instance x = draw_instance(&g, (enum kind)(i % N_KINDS));
        struct bp_mckp *m = build(&x.table.problem);
        assert_int_equal(bp_mckp_index_build(m), BP_OK);
        for (int k = 0; k < 20 && m->n_segs > 0; k++) {
            uint32_t s = (uint32_t)rng_int(&g, 0, (int64_t)m->n_segs - 1);
            int64_t lambda = m->seg_slope[s];
            int64_t gap = (int64_t)ldexp(rng_unit(&g), (int)rng_int(&g, 10, 58)) + 1;
            bp_mckp_index_mark(m, lambda, gap);
            for (size_t c = 0; c < m->n_classes; c++) {
                uint32_t at = m->hull[bp_mckp_hull_at(m, c, lambda)];
                bool offers = false;
                for (uint32_t t = m->first[c]; t < m->first[c + 1]; t++)
                    offers |=
                        t != at &&
                        (bp_mckp_wide)lambda * (m->w[t] - m->w[at]) + (m->e[t] - m->e[at]) < gap;
                assert_true(!offers || (m->index.mark[c / 64] >> c % 64 & 1) != 0);
            }
            memset(m->index.mark, 0, (m->n_classes / 64 + 1) * sizeof *m->index.mark);
        }
        bp_mckp_free(m);
        table_free(&x.table);
    }
}

/* What was solved before must not show, whatever the order. */
static void the_order_of_budgets_does_not_matter(void **state)
{
    (void)state;
    enum { N = 24 };
    for (int round = 0; round < 2; round++) {
        struct table t = round == 0 ? llama_table(&llama_7b, 0.3, 70) : expert_table(24, 0.3, 71);
        struct bp_mckp *m = build(&t.problem);
        size_t n = t.problem.n_classes;
        uint64_t budget[N], work[N];
        uint32_t *choice[N], *again = new_choice(&t.problem);
        struct rng g = rng_seed(72);
        struct bp_mckp_result r;
        for (int i = 0; i < N; i++) {
            const struct bp_mckp_limits limits = {.max_work = i % 3 == 0 ? 50 * 1000 : 0};
            budget[i] = random_budget(&g, m);
            choice[i] = new_choice(&t.problem);
            bp_mckp_solve(m, budget[i], &limits, &r, choice[i]);
            work[i] = r.work;
        }
        for (int i = N; i-- > 0;) {
            const struct bp_mckp_limits limits = {.max_work = i % 3 == 0 ? 50 * 1000 : 0};
            bp_mckp_solve(m, budget[i], &limits, &r, again);
            assert_memory_equal(again, choice[i], n * sizeof *again);
            assert_true(r.work == work[i]);
            free(choice[i]);
        }
        free(again);
        bp_mckp_free(m);
        table_free(&t);
    }
}

/* Thousands of copies of three classes: a plan and a true bound, equal each time. */
static void thousands_of_identical_classes_give_a_plan_and_a_bound(void **state)
{
    (void)state;
    struct table t = expert_table(27, 0.3, 80);
    size_t n = t.problem.n_classes;
    for (size_t c = 3; c < n; c++) {
        memcpy(t.weight + c * LLAMA_ITEMS, t.weight + c % 3 * LLAMA_ITEMS,
               LLAMA_ITEMS * sizeof *t.weight);
        memcpy(t.cost + c * LLAMA_ITEMS, t.cost + c % 3 * LLAMA_ITEMS,
               LLAMA_ITEMS * sizeof *t.cost);
    }
    struct bp_mckp *m = build(&t.problem);
    struct rng g = rng_seed(81);
    uint32_t *x = new_choice(&t.problem), *y = new_choice(&t.problem);
    for (int i = 0; i < SHARE(8); i++) {
        const struct bp_mckp_limits limits = {.max_work = 100 * 1000 * 1000};
        struct bp_mckp_result a, b;
        uint64_t budget = i == 0   ? m->min_weight
                          : i == 1 ? m->max_weight - 1
                                   : random_budget(&g, m);
        enum bp_status status = bp_mckp_solve(m, budget, &limits, &a, x);
        assert_true(status == BP_OK || status == BP_LIMIT);
        check_plan(&t.problem, budget, &a, x);
        assert_int_equal(bp_mckp_solve(m, budget, &limits, &b, y), status);
        assert_memory_equal(x, y, n * sizeof *x);
    }
    free(x);
    free(y);
    bp_mckp_free(m);
    table_free(&t);
}

/* The workspace grows to what the budgets need and then stands. */
static void a_warm_solver_allocates_nothing(void **state)
{
    (void)state;
    struct table t = llama_table(&llama_7b, 0.3, 90);
    struct bp_mckp *m = build(&t.problem);
    uint32_t *choice = new_choice(&t.problem);
    size_t in_use = 0;
    for (int round = 0; round < 3; round++) {
        struct rng g = rng_seed(91);
        for (int i = 0; i < SHARE(40); i++) {
            struct bp_mckp_result r;
            uint64_t budget = random_budget(&g, m);
            size_t before = mallinfo2().uordblks + mallinfo2().hblkhd;
            bp_mckp_solve(m, budget, NULL, &r, choice);
            in_use = mallinfo2().uordblks + mallinfo2().hblkhd;
            assert_true(round == 0 || in_use == before);
        }
    }
    free(choice);
    bp_mckp_free(m);
    table_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(is_optimal_at_224_matrices),
        cmocka_unit_test(is_optimal_at_560_matrices),
        cmocka_unit_test(index_and_split_change_nothing),
        cmocka_unit_test(the_index_misses_no_class),
        cmocka_unit_test(the_order_of_budgets_does_not_matter),
        cmocka_unit_test(a_warm_solver_allocates_nothing),
        cmocka_unit_test(thousands_of_identical_classes_give_a_plan_and_a_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
