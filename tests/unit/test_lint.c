/* Findings of a table: each where it was planted, none where nothing was. */
#include "support.h"

#include "engine/lint.h"

enum { N = 8, C = 5 };

static struct bp_table *sound(void)
{
    static const struct support_shape shapes[N] = {{16, 48},  {33, 65}, {64, 16}, {20, 20},
                                                   {48, 100}, {8, 8},   {8, 8},   {16, 16}};
    const struct bp_candidate candidates[C] = {support_candidate("nf4:u4:bf16:64:256", 4),
                                               support_candidate("nf2:u4:bf16:64:256", 4),
                                               support_candidate("nf3:u4:bf16:64:256", 4),
                                               support_candidate("nf3:u4:bf16:64:256", 8),
                                               {.foreign = true, .label = "Q4_K"}};
    struct bp_table *t = support_table(shapes, N, candidates, C);
    support_numbers(t, 4);
    double *error = t->copies[SUPPORT_ERROR];
    for (int i = 0; i < N; i++)
        error[i * C + 4] = 1.0 + i; /* support_numbers knows no label's bits */
    return t;
}

static const struct bp_finding *only(const struct bp_table *t, const char *rule, uint64_t count,
                                     const char *says)
{
    static struct bp_lint lint;
    assert_int_equal(bp_table_lint(t, &lint, NULL), BP_OK);
    for (size_t i = 0; i < lint.n; i++)
        if (strcmp(lint.list[i].rule, rule) != 0)
            fail_msg("%s: %s", lint.list[i].rule, lint.list[i].text);
    assert_int_equal(lint.n, 1);
    assert_int_equal(lint.list[0].count, count);
    support_says(lint.list[0].text, says);
    return &lint.list[0];
}

static void a_sound_table_has_no_findings(void **state)
{
    (void)state;
    struct bp_table *t = sound();
    struct bp_lint lint;
    assert_int_equal(bp_table_lint(t, &lint, NULL), BP_OK);
    for (size_t i = 0; i < lint.n; i++)
        print_message("%s: %s\n", lint.list[i].rule, lint.list[i].text);
    assert_int_equal(lint.n, 0);
    bp_table_close(t);
}

static void cells_are_counted_and_the_worst_is_named(void **state)
{
    (void)state;
    struct bp_table *t = sound();
    double *error = t->copies[SUPPORT_ERROR], keep[N * C];
    memcpy(keep, error, sizeof keep);
    error[0 * C + 1] = error[7 * C + 4] = NAN;
    only(t, "not_measured", 2, "2 of 40|5.0 %|layers.0.self_attn.q_proj.weight, nf2:u4");
    memcpy(error, keep, sizeof keep);
    error[2 * C + 0] = 0.0;
    only(t, "zero_error", 1, "v_proj.weight, nf4:u4:bf16:64:256 r4");
    memcpy(error, keep, sizeof keep);
    error[3 * C + 4] = 2.0 * t->norm[3];
    error[4 * C + 4] = 3.0 * t->norm[4];
    only(t, "above_norm", 2, "3 times|layers.0.mlp.gate_proj.weight, Q4_K");
    memcpy(error, keep, sizeof keep);
    error[1 * C + 2] = 1.5 * error[1 * C + 1]; /* nf3 above nf2: nf4 is compared with it, too */
    error[5 * C + 2] = error[5 * C + 1] * (1.0 + 0.5e-6);
    only(t, "not_falling", 1, "1.5 times|k_proj.weight, nf3:u4:bf16:64:256 r4");
    memcpy(error, keep, sizeof keep);
    uint64_t *storage = t->copies[SUPPORT_STORAGE];
    storage[6 * C + 3]++;
    storage[6 * C + 4] = 77; /* a label's storage is its own affair */
    only(t, "storage", 1, "Eq. 3|down_proj.weight, nf3:u4:bf16:64:256 r8");
    bp_table_close(t);
}

static void candidates_and_rows_that_are_there_again(void **state)
{
    (void)state;
    struct bp_table *t = sound();
    t->candidates[3].rank = 4;
    only(t, "duplicate_candidate", 1, "nf3:u4:bf16:64:256 r4");
    t->candidates[3].rank = 8;
    double *error = t->copies[SUPPORT_ERROR];
    memcpy(error + 6 * C, error + 5 * C, C * sizeof *error);
    only(t, "identical_row", 1, "first: model.layers.0.mlp.down_proj.weight, those of|up_proj");
    for (int i = 5; i < 7; i++) /* rows without a number are not alike */
        for (int j = 0; j < C; j++)
            error[i * C + j] = NAN;
    only(t, "not_measured", 2 * C, "10 of 40");
    bp_table_close(t);
}

static void what_a_table_does_not_say(void **state)
{
    (void)state;
    struct bp_table *t = sound();
    t->matrices[2].layer = -1;
    t->matrices[5].kind[0] = '\0';
    only(t, "no_layer_or_kind", 2, "2 of 8|v_proj");
    t->matrices[2].layer = 0;
    t->matrices[5].kind[0] = 'u';
    t->about.synthetic = true;
    only(t, "synthetic", 1, "synthetic");
    t->about.synthetic = false;
    const double *norm = t->norm, *baseline = t->baseline_error;
    t->norm = NULL;
    only(t, "no_norm", 1, "norm");
    t->norm = norm;
    t->baseline_error = NULL;
    only(t, "no_baselines", 1, "NF4");
    t->baseline_error = baseline;
    t->about.params = 0;
    only(t, "no_model", 1, "beside");
    t->about.params = 100000;
    t->about.effort[0] = '\0';
    only(t, "no_method", 1, "measured");
    bp_table_close(t);
}

static void names_of_anybody_are_safe_to_print(void **state)
{
    (void)state;
    struct bp_table *t = sound();
    double *error = t->copies[SUPPORT_ERROR];
    free(t->matrices[0].name);
    t->matrices[0].name = bp_strdup("a\033[31m\nb");
    error[0] = NAN;
    const struct bp_finding *f = only(t, "not_measured", 1, "a?[31m?b");
    assert_null(strpbrk(f->text, "\033\n"));
    bp_table_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_table_has_no_findings),
        cmocka_unit_test(cells_are_counted_and_the_worst_is_named),
        cmocka_unit_test(candidates_and_rows_that_are_there_again),
        cmocka_unit_test(what_a_table_does_not_say),
        cmocka_unit_test(names_of_anybody_are_safe_to_print),
    };
    return cmocka_run_group_tests_name("lint", tests, NULL, NULL);
}
