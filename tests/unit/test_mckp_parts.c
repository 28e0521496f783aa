/*
 * The parts of the exact solver that the search calls on, each alone against the oracle: the dense
 * program and the lists.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "solver/mckp_impl.h"
#include "solver_oracle.h"
#include "solver_tables.h"

/* Brings the solver to where the search would begin. False: the greedy plan is optimal already. */
static bool start(struct bp_mckp *m, uint64_t budget)
{
    struct bp_mckp_work *k = &m->work;
    k->work = 0;
    k->max_work = UINT64_MAX;
    k->budget = (int64_t)(budget - m->min_weight) / m->unit;
    bp_mckp_root(m);
    k->bound = k->root_bound;
    k->coarse_known = false;
    if (k->incumbent <= k->root_bound)
        return false;
    assert_int_equal(bp_mckp_core_gather(m), BP_MCKP_CLOSED);
    return true;
}

/* The incumbent is what it says it is; its cost above the optimum, in the oracle's fixed point. */
static int64_t excess(const struct bp_mckp *m, const struct instance *x, int exponent,
                      const int64_t *best, uint64_t budget)
{
    uint32_t choice[MAX_INSTANCE_CLASSES];
    int64_t e = 0, w = 0;
    for (size_t c = 0; c < m->n_classes; c++) {
        choice[c] = m->column[m->work.best[c]];
        e += m->e[m->work.best[c]];
        w += m->w[m->work.best[c]];
    }
    assert_true(e == m->work.incumbent);
    assert_true(w <= m->work.budget);
    return plan_cost(&x->table.problem, choice, exponent) - best[budget - x->min];
}

static enum bp_mckp_outcome dense(struct bp_mckp *m)
{
    return bp_mckp_dp(m, 1e9, false);
}

static enum bp_mckp_outcome lists(struct bp_mckp *m)
{
    return bp_mckp_lists(m, (size_t)1 << 17, 1e12);
}

/* Lists of so few states that most plans are lost: what is found and bounded must be true still. */
static enum bp_mckp_outcome narrow_lists(struct bp_mckp *m)
{
    for (size_t width = 1; width < 64; width *= 3) {
        if (bp_mckp_lists(m, width, 1e12) == BP_MCKP_CLOSED)
            return BP_MCKP_CLOSED;
        assert_true(m->work.bound < m->work.incumbent);
        bp_mckp_core_shrink(m);
    }
    int64_t bound = m->work.bound;
    enum bp_mckp_outcome outcome = lists(m);
    assert_true(m->work.incumbent >= bound);
    return outcome;
}

static void match(enum bp_mckp_outcome (*part)(struct bp_mckp *), bool must_close, int n_instances)
{
    struct rng g = rng_seed(31);
    long n = 0, n_closed = 0;
    for (int i = 0; i < n_instances; i++) {
        struct instance x = draw_instance(&g, (enum kind)(i % N_KINDS));
        int exponent = oracle_exponent(&x);
        int64_t rounding = x.integral ? 0 : 4 * (int64_t)x.table.problem.n_classes;
        int64_t *best = oracle(&x, exponent);
        struct bp_mckp *m = NULL;
        assert_int_equal(bp_mckp_new(&x.table.problem, &m, NULL), BP_OK);
        for (int k = 0; k < 12 && m->min_weight < m->max_weight; k++) {
            uint64_t span = m->max_weight - m->min_weight;
            uint64_t budget = m->min_weight + (uint64_t)(rng_unit(&g) * (double)span);
            if (!start(m, budget))
                continue;
            enum bp_mckp_outcome outcome = part(m);
            int64_t above = excess(m, &x, exponent, best, budget);
            assert_true(above >= -rounding);
            assert_true(outcome == BP_MCKP_OPEN || above <= rounding);
            assert_int_not_equal(outcome, BP_MCKP_NOMEM);
            n++;
            n_closed += outcome == BP_MCKP_CLOSED;
        }
        bp_mckp_free(m);
        free(best);
        table_free(&x.table);
    }
    assert_true(n_closed > n / 2);
    assert_true(!must_close || n_closed == n);
}

static void the_dense_program_alone_is_exact(void **state)
{
    (void)state;
    match(dense, true, SHARE(120));
}

static enum bp_mckp_outcome narrow_then_dense(struct bp_mckp *m)
{
    assert_int_equal(bp_mckp_dp(m, 1e4, true), BP_MCKP_OPEN);
    return dense(m);
}

static void the_narrow_dense_program_only_improves_the_plan(void **state)
{
    (void)state;
    match(narrow_then_dense, true, SHARE(48));
}

static void lists_alone_are_exact(void **state)
{
    (void)state;
    match(lists, true, SHARE(120));
}

static void lists_of_few_states_improve_plan_and_bound(void **state)
{
    (void)state;
    match(narrow_lists, true, SHARE(60));
}

static void the_dense_program_gives_up_at_its_limit(void **state)
{
    (void)state;
    struct table t = llama_table(&llama_7b, 0.3, 1);
    struct bp_mckp *m = NULL;
    assert_int_equal(bp_mckp_new(&t.problem, &m, NULL), BP_OK);
    assert_true(start(m, m->min_weight + (m->max_weight - m->min_weight) / 3));
    for (double cells = 1; cells < 2e9; cells *= 4) {
        uint64_t before = m->work.work;
        enum bp_mckp_outcome outcome = bp_mckp_dp(m, cells, false);
        assert_true((double)(m->work.work - before) <= 2 * cells + 1e6);
        if (outcome == BP_MCKP_CLOSED)
            break;
        assert_int_equal(outcome, BP_MCKP_OPEN);
    }
    bp_mckp_free(m);
    table_free(&t);
}

static void moves_are_sorted_whatever_their_order(void **state)
{
    (void)state;
    enum { MOST = 3000 };
    static struct bp_mckp_move a[MOST];
    struct rng g = rng_seed(5);
    for (int round = 0; round < 400; round++) {
        size_t n = (size_t)rng_int(&g, 0, round % 10 == 0 ? MOST : 70);
        for (uint32_t i = 0; i < n; i++) {
            int64_t r = rng_int(&g, 0, round % 3 == 0 ? 5 : 1000000);
            a[i] = (struct bp_mckp_move){round % 7 == 0 ? (int64_t)i : r, 1, i / 3, i};
        }
        bp_mckp_sort_moves(a, n);
        for (size_t i = 1; i < n; i++)
            assert_true(a[i - 1].r < a[i].r || (a[i - 1].r == a[i].r && a[i - 1].item < a[i].item));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_dense_program_alone_is_exact),
        cmocka_unit_test(the_narrow_dense_program_only_improves_the_plan),
        cmocka_unit_test(lists_alone_are_exact),
        cmocka_unit_test(lists_of_few_states_improve_plan_and_bound),
        cmocka_unit_test(the_dense_program_gives_up_at_its_limit),
        cmocka_unit_test(moves_are_sorted_whatever_their_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
