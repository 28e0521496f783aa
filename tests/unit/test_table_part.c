/* The measured part of a table: which rows, all their numbers, and nothing shared with the table
 * that they came from. */
#include "plan_tables.h"

static void empty_row(struct bp_table *t, size_t i)
{
    double *error = t->copies[SUPPORT_ERROR];
    for (int j = 0; j < C; j++)
        error[i * C + (size_t)j] = NAN;
}

static void check_row(const struct bp_table *part, size_t i, const struct bp_table *t, size_t r)
{
    const struct bp_table_matrix *m = &part->matrices[i], *n = &t->matrices[r];
    assert_string_equal(m->name, n->name);
    assert_string_equal(m->dtype, n->dtype);
    assert_string_equal(m->kind, n->kind);
    assert_true(m->name != n->name && m->dtype != n->dtype && m->kind != n->kind);
    assert_true(m->d == n->d && m->k == n->k && m->layer == n->layer);
    assert_memory_equal(part->error + i * C, t->error + r * C, C * sizeof *t->error);
    assert_memory_equal(part->storage + i * C, t->storage + r * C, C * sizeof *t->storage);
    if (t->norm)
        assert_true(part->norm[i] == t->norm[r]);
    if (t->iterations)
        assert_memory_equal(part->iterations + i * C, t->iterations + r * C,
                            C * sizeof *t->iterations);
    if (t->baseline_error)
        assert_memory_equal(part->baseline_error + i * BP_N_BASELINES,
                            t->baseline_error + r * BP_N_BASELINES,
                            BP_N_BASELINES * sizeof *t->baseline_error);
}

static struct bp_table *part_of(const struct bp_table *t, size_t **row)
{
    struct bp_table *part;
    struct bp_err err = {""};
    if (bp_table_measured_part(t, &part, row, &err))
        fail_msg("%s", err.text);
    assert_null(part->st);
    return part;
}

static void the_part_holds_the_rows_that_have_a_measured_cell(void **state)
{
    (void)state;
    for (unsigned missing = 0; missing < (1u << N) - 1; missing++) { /* every set of rows */
        struct bp_table *t = usual(4);
        double *error = t->copies[SUPPORT_ERROR];
        size_t *row, n = 0;
        for (size_t i = 0; i < N; i++)
            if (missing >> i & 1)
                empty_row(t, i);
            else
                error[i * C + 1 + i % 2] = NAN; /* a hole leaves the row measured */
        struct bp_table *part = part_of(t, &row);
        assert_int_equal(part->n_candidates, C);
        assert_memory_equal(part->candidates, t->candidates, C * sizeof *t->candidates);
        for (size_t i = 0; i < N; i++) {
            if (missing >> i & 1)
                continue;
            assert_int_equal(row[n], i);
            check_row(part, n++, t, i);
        }
        assert_int_equal(part->n_matrices, n);
        free(row);
        bp_table_close(part);
        bp_table_close(t);
    }
}

static void what_a_table_is_about_goes_along_and_outlives_it(void **state)
{
    (void)state;
    struct bp_table *t = usual(4);
    size_t *row;
    t->norm = NULL;
    t->baseline_error = NULL;
    t->iterations = NULL;
    empty_row(t, 1);
    struct bp_table *part = part_of(t, &row);
    struct bp_table_about *a = &part->about;
    assert_true(a->params == t->about.params && a->bytes_outside == t->about.bytes_outside);
    bp_table_close(t);
    assert_string_equal(part->path, "by hand");
    assert_string_equal(a->model_name, "a model");
    assert_string_equal(a->weighting, "none");
    assert_string_equal(a->effort, "exact");
    assert_true(a->seed == 3 && a->method_version == BP_METHOD_VERSION);
    assert_null(part->norm);
    assert_null(part->iterations);
    assert_null(part->baseline_error);
    free(row);
    bp_table_close(part);
}

static void a_part_is_planned_and_has_a_fingerprint_of_its_own(void **state)
{
    (void)state;
    struct bp_table *t = usual(4);
    size_t *row;
    char *whole = bp_table_fingerprint(t);
    struct bp_table *part = part_of(t, &row);
    char *all = bp_table_fingerprint(part);
    assert_string_equal(whole, all); /* nothing was missing */
    bp_table_close(part);
    free(row);
    empty_row(t, 0);
    part = part_of(t, &row);
    char *some = bp_table_fingerprint(part);
    assert_string_not_equal(whole, some);
    struct bp_planner *p = planner_of(part, NULL);
    struct bp_plan *plan = solve(p, bits_budget(part, "3"));
    assert_true(plan->params == bp_table_params(t) - 16 * 48);
    bp_plan_free(plan);
    bp_planner_free(p);
    bp_table_close(part);
    bp_table_close(t);
    free(row);
    free(whole);
    free(all);
    free(some);
}

static void a_table_without_a_measured_cell_has_no_part(void **state)
{
    (void)state;
    struct bp_table *t = usual(4), *part;
    size_t *row;
    struct bp_err err = {""};
    for (size_t i = 0; i < N; i++)
        empty_row(t, i);
    assert_int_equal(bp_table_measured_part(t, &part, &row, &err), BP_ERR_INPUT);
    support_says(err.text, "by hand: nothing is measured yet");
    assert_null(part);
    assert_null(row);
    bp_table_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_part_holds_the_rows_that_have_a_measured_cell),
        cmocka_unit_test(what_a_table_is_about_goes_along_and_outlives_it),
        cmocka_unit_test(a_part_is_planned_and_has_a_fingerprint_of_its_own),
        cmocka_unit_test(a_table_without_a_measured_cell_has_no_part),
    };
    return cmocka_run_group_tests_name("measured parts of tables", tests, NULL, NULL);
}
