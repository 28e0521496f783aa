/* The rules: what trips them, what does not, and that their cures cure. */
#include "support.h"

#include <regex.h>

#include "engine/planner.h"

/* Four layers of seven square matrices; candidates by bits. */
enum { LAYERS = 4, N = 7 * LAYERS, C = 3, SIDE = 64 };

static struct bp_table *layers(uint32_t rank)
{
    struct support_shape shapes[N];
    const struct bp_candidate candidates[C] = {support_candidate("nf2:u4:bf16:64:256", rank),
                                               support_candidate("nf3:u4:bf16:64:256", rank),
                                               support_candidate("nf4:u4:bf16:64:256", rank)};
    for (int i = 0; i < N; i++)
        shapes[i] = (struct support_shape){SIDE, SIDE};
    struct bp_table *t = support_table(shapes, N, candidates, C);
    support_numbers(t, 1);
    double *error = t->copies[SUPPORT_ERROR], *norm = t->copies[SUPPORT_NORM];
    for (int i = 0; i < N; i++) {
        norm[i] = 1000.0;
        error[i * C] = 100.0; /* below the limit */
        error[i * C + 1] = 30.0;
        error[i * C + 2] = 7.0;
    }
    return t;
}

/* The plan that a choice is, with its warnings. */
static struct bp_plan *plan_of(const struct bp_table *t, const uint32_t *choice)
{
    struct bp_planner *p;
    struct bp_plan *plan = NULL;
    const struct bp_budget budget = {.unit = BP_BUDGET_BYTES, .asked = 1e6, .bits = 8000000};
    const struct bp_certificate certificate = {.method = "mckp"};
    struct bp_err err = {""};
    if (bp_planner_new(t, NULL, &p, &err) ||
        bp_planner_assemble(p, &budget, choice, &certificate, &plan, &err))
        fail_msg("%s", err.text);
    bp_planner_free(p);
    return plan;
}

static const char *words_of(const struct bp_plan *plan, const struct bp_warning *warning)
{
    static char text[BP_WARNING_TEXT];
    return bp_warning_format(plan, warning, text);
}

static size_t count(const struct bp_plan *plan, const char *rule)
{
    size_t n = 0;
    for (size_t i = 0; i < plan->n_warnings; i++)
        n += strcmp(plan->warnings[i].rule, rule) == 0;
    return n;
}

static const struct bp_warning *find(const struct bp_plan *plan, const char *rule)
{
    for (size_t i = 0; i < plan->n_warnings; i++)
        if (strcmp(plan->warnings[i].rule, rule) == 0)
            return &plan->warnings[i];
    fail_msg("no warning of %s", rule);
    return NULL;
}

static void all_of(uint32_t *choice, uint32_t j)
{
    for (int i = 0; i < N; i++)
        choice[i] = j;
}

static void a_sound_plan_has_no_warnings(void **state)
{
    (void)state;
    struct bp_table *t = layers(4);
    uint32_t choice[N];
    for (uint32_t j = 0; j < C; j++) { /* all 2-bit ones too: with a low-rank part, below 0.15 */
        all_of(choice, j);
        struct bp_plan *plan = plan_of(t, choice);
        assert_int_equal(plan->n_warnings, 0);
        bp_plan_free(plan);
    }
    bp_table_close(t);
}

static void errors_above_the_limit_are_named(void **state)
{
    (void)state;
    struct bp_table *t = layers(4);
    double *error = t->copies[SUPPORT_ERROR];
    uint32_t choice[N];
    all_of(choice, 0);
    error[9 * C] = 150.0;  /* the limit itself passes */
    error[10 * C] = 150.5; /* layer 1, o_proj */
    struct bp_plan *plan = plan_of(t, choice);
    assert_int_equal(plan->n_warnings, 1);
    const struct bp_warning *w = find(plan, "relative_error");
    assert_int_equal(w->row, 10);
    assert_ptr_equal(w->matrix, t->matrices[10].name);
    support_says(words_of(plan, w),
                 "nf2:u4:bf16:64:256|0.1505|0.15|"
                 "--floor '^model\\.layers\\.1\\.self_attn\\.o_proj\\.weight$=3'");
    bp_plan_free(plan);
    t->norm = NULL; /* without norms there is nothing to compare with */
    plan = plan_of(t, choice);
    assert_int_equal(plan->n_warnings, 0);
    bp_plan_free(plan);
    bp_table_close(t);
}

static void two_bits_without_a_low_rank_part(void **state)
{
    (void)state;
    struct bp_table *t = layers(0);
    uint32_t choice[N];
    all_of(choice, 1);
    choice[12] = 0;
    struct bp_plan *plan = plan_of(t, choice);
    assert_int_equal(plan->n_warnings, 1);
    support_says(words_of(plan, find(plan, "two_bit_no_low_rank")),
                 "2-bit|low-rank|--rank 64|up_proj");
    bp_plan_free(plan);
    bp_table_close(t);
}

static void edges_below_the_mean(void **state)
{
    (void)state;
    struct bp_table *t = layers(4);
    uint32_t choice[N];
    all_of(choice, 1);
    choice[0] = choice[N - 2] = choice[8] = 0; /* q_proj of the first, up_proj of the last */
    struct bp_plan *plan = plan_of(t, choice);
    assert_int_equal(count(plan, "edge_layers"), 2);
    assert_int_equal(plan->n_warnings, 2);
    assert_int_equal(plan->warnings[0].row, 0);
    assert_int_equal(plan->warnings[1].row, N - 2);
    support_says(words_of(plan, &plan->warnings[1]), "layer 3|mean");
    bp_plan_free(plan);
    for (int i = 0; i < N; i++) /* a mean below 2.5 */
        choice[i] = i % 3 == 1;
    plan = plan_of(t, choice);
    assert_true(bp_plan_bits_per_param(plan) < BP_LIMIT_EDGE_MEAN);
    assert_int_equal(count(plan, "edge_layers"), 0);
    bp_plan_free(plan);
    all_of(choice, 1);
    choice[0] = 0;
    for (int i = 0; i < N; i++) /* two layers have no middle */
        t->matrices[i].layer = i < 14 ? 0 : 1;
    plan = plan_of(t, choice);
    assert_int_equal(plan->n_warnings, 0);
    bp_plan_free(plan);
    bp_table_close(t);
}

static void values_far_below_their_kind(void **state)
{
    (void)state;
    struct bp_table *t = layers(4);
    uint32_t choice[N];
    all_of(choice, 2);
    choice[9] = 0;  /* v_proj of layer 1: 2 bits where the mean of four is 3.5 */
    choice[13] = 1; /* down_proj: 3 where it is 3.75 */
    choice[10] = 0; /* o_proj: no kind that the rule is about */
    struct bp_plan *plan = plan_of(t, choice);
    assert_int_equal(plan->n_warnings, 1);
    const struct bp_warning *w = find(plan, "below_kind");
    assert_int_equal(w->row, 9);
    support_says(words_of(plan, w), "v_proj is 3.5");
    bp_plan_free(plan);
    bp_table_close(t);
}

/* Every cure, given to the planner as it stands there, takes its warning away. */
static void the_cures_cure(void **state)
{
    (void)state;
    struct bp_table *t = layers(0);
    double *error = t->copies[SUPPORT_ERROR];
    struct bp_err err = {""};
    uint32_t choice[N];
    free(t->matrices[9].name);
    t->matrices[9].name = bp_strdup("model.layers.1.moe(2)[7]+{x}|'^$.v_proj.weight");
    all_of(choice, 1);
    choice[0] = choice[9] = 0;
    error[9 * C] = 400.0;
    struct bp_plan *plan = plan_of(t, choice);
    assert_true(plan->n_warnings >= 4);
    for (size_t i = 0; i < plan->n_warnings; i++) {
        const char *option = strstr(words_of(plan, &plan->warnings[i]), ": --floor '");
        assert_non_null(option);
        char value[1024];
        snprintf(value, sizeof value, "%s", option + strlen(": --floor '"));
        assert_int_equal(value[strlen(value) - 1], '\'');
        value[strlen(value) - 1] = '\0';
        assert_null(strchr(value, '\''));
        struct bp_constraints constraints = {0};
        struct bp_planner *p;
        assert_int_equal(bp_constraints_add(&constraints, BP_CONSTRAINT_FLOOR, value, NULL), BP_OK);
        if (bp_planner_new(t, &constraints, &p, &err))
            fail_msg("%s: %s", value, err.text);
        for (size_t m = 0; m < N; m++)
            assert_int_equal(bp_planner_allows(p, m, 0), m != plan->warnings[i].row);
        bp_planner_free(p);
        bp_constraints_done(&constraints);
    }
    bp_plan_free(plan);
    bp_table_close(t);
}

static void a_cure_that_the_table_cannot_give_is_not_offered(void **state)
{
    (void)state;
    struct bp_table *t = layers(0);
    uint32_t choice[N];
    t->n_candidates = 1; /* every cell is then an nf2 one, whatever its number */
    uint64_t *storage = t->copies[SUPPORT_STORAGE];
    double *error = t->copies[SUPPORT_ERROR];
    for (int i = 0; i < N; i++) {
        storage[i] = storage[0];
        error[i] = 200.0;
    }
    all_of(choice, 0);
    struct bp_plan *plan = plan_of(t, choice);
    assert_int_equal(plan->n_warnings, 2 * N);
    support_says(words_of(plan, &plan->warnings[0]), "no candidate of 3 bits/param");
    assert_null(strstr(words_of(plan, &plan->warnings[0]), "--floor"));
    bp_plan_free(plan);
    bp_table_close(t);
}

/* --- words for many --- */

static char *words(const struct bp_plan *plan)
{
    char *text = NULL;
    size_t n;
    FILE *out = open_memstream(&text, &n);
    assert_non_null(out);
    bp_plan_write_warnings(plan, out);
    fclose(out);
    return text;
}

static size_t lines(const char *text)
{
    size_t n = 0;
    for (; *text; text++)
        n += *text == '\n';
    return n;
}

static void many_warnings_are_a_line_a_kind(void **state)
{
    (void)state;
    struct bp_table *t = layers(4);
    double *error = t->copies[SUPPORT_ERROR];
    uint32_t choice[N];
    all_of(choice, 0);
    for (int i = 0; i < N; i++)
        if (i % 7 == 2 || i % 7 == 6)
            error[i * C] = 200.0 + i;
    struct bp_plan *plan = plan_of(t, choice);
    assert_int_equal(plan->n_warnings, 2 * LAYERS);
    char *text = words(plan);
    assert_int_equal(lines(text), 3);
    support_says(text, "warning: relative_error: 8 of 28 matrices|v_proj: 4, up to 0.2230|"
                       "down_proj: 4, up to 0.2270 of the norm: --floor down_proj=3");
    free(text);
    bp_plan_free(plan);

    for (int i = 0; i < N; i++) { /* more kinds than lines */
        error[i * C] = 300.0;
        free(t->matrices[i].kind);
        t->matrices[i].kind = bp_format("kind%d\033[31m", i);
    }
    plan = plan_of(t, choice);
    assert_int_equal(plan->n_warnings, N);
    text = words(plan);
    assert_int_equal(lines(text), BP_RULE_LINES);
    support_says(text, "others: 20, ");
    assert_null(strchr(text, '\033'));
    free(text);
    bp_plan_free(plan);
    bp_table_close(t);
}

static void many_at_the_edges_are_a_line_a_layer(void **state)
{
    (void)state;
    struct bp_table *t = layers(4);
    uint32_t choice[N];
    all_of(choice, 2);
    for (int i = 0; i < 5; i++)
        choice[i == 2 ? 5 : i] = choice[N - 7 + (i == 2 ? 5 : i)] = 0;
    struct bp_plan *plan = plan_of(t, choice);
    char *text = words(plan);
    assert_int_equal(lines(text), 3);
    support_says(text, "edge_layers: 10 of 28|  layer 0: 5, |--floor '^model\\.layers\\.0\\.=3'|"
                       "  layer 3: 5, |--floor '^model\\.layers\\.3\\.=3'");
    free(text);
    bp_plan_free(plan);
    bp_table_close(t);
}

static void a_part_says_what_it_is_a_part_of(void **state)
{
    (void)state;
    struct bp_table *t = layers(4), *part;
    double *error = t->copies[SUPPORT_ERROR];
    uint32_t choice[N];
    size_t *row;
    struct bp_err err = {""};
    for (int cell = 21 * C; cell < N * C; cell++)
        error[cell] = NAN;
    assert_int_equal(bp_table_measured_part(t, &part, &row, &err), BP_OK);
    free(row);
    all_of(choice, 1);
    struct bp_plan *plan = plan_of(part, choice);
    assert_int_equal(plan->n_warnings, 1);
    assert_string_equal(plan->warnings[0].matrix, "");
    assert_string_equal(plan->warnings[0].rule, "partial");
    support_says(words_of(plan, &plan->warnings[0]), "21 of the table's 28 matrices|75.0 %");
    char *text = words(plan);
    assert_int_equal(strncmp(text, "warning: 21 of", 14), 0);
    free(text);
    bp_plan_free(plan);
    bp_table_close(part);
    bp_table_close(t);
}

/* Every cell iterated; row 1's first and row 3's last were not, in other ways. */
static void chosen_errors_that_are_not_iterated_are_counted_and_named(void **state)
{
    (void)state;
    struct bp_table *t = layers(64);
    uint8_t *stage = bp_alloc(N * C, 1);
    uint32_t choice[N] = {0};
    assert_non_null(stage);
    memset(stage, BP_CELL_ITERATED, N * C);
    stage[1 * C] = BP_CELL_ESTIMATED;
    stage[3 * C + 2] = BP_CELL_ONE_STEP;
    t->copies[5] = stage;
    for (int i = 0; i < N; i++)
        choice[i] = 1;
    struct bp_plan *plan = plan_of(t, choice);
    assert_int_equal(count(plan, "not_iterated"), 0); /* no table of marks */
    bp_plan_free(plan);
    t->stage = stage;
    plan = plan_of(t, choice);
    assert_int_equal(count(plan, "not_iterated"), 0); /* none of them was chosen */
    bp_plan_free(plan);
    choice[1] = 0;
    choice[3] = 2;
    plan = plan_of(t, choice);
    assert_int_equal(count(plan, "not_iterated"), 1);
    for (size_t i = 0; i < plan->n_warnings; i++) {
        const struct bp_warning *w = &plan->warnings[i];
        if (strcmp(w->rule, "not_iterated") != 0)
            continue;
        assert_string_equal(w->matrix, "");
        char text[BP_WARNING_TEXT];
        support_says(bp_warning_format(plan, w, text),
                     "2 of 28 chosen errors are not iterated (1 at one step, 1 estimated)|"
                     ": model.layers.0.self_attn.k_proj.weight, "
                     "model.layers.0.self_attn.o_proj.weight");
        assert_null(strstr(text, "..."));
    }
    bp_plan_free(plan);
    memset(stage, BP_CELL_ONE_STEP, N * C);
    plan = plan_of(t, choice);
    for (size_t i = 0; i < plan->n_warnings; i++) {
        char text[BP_WARNING_TEXT];
        if (strcmp(plan->warnings[i].rule, "not_iterated") == 0)
            support_says(bp_warning_format(plan, &plan->warnings[i], text),
                         "28 of 28|(28 at one step, 0 estimated)|, ...");
    }
    bp_plan_free(plan);
    bp_table_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_plan_has_no_warnings),
        cmocka_unit_test(errors_above_the_limit_are_named),
        cmocka_unit_test(two_bits_without_a_low_rank_part),
        cmocka_unit_test(edges_below_the_mean),
        cmocka_unit_test(values_far_below_their_kind),
        cmocka_unit_test(the_cures_cure),
        cmocka_unit_test(a_cure_that_the_table_cannot_give_is_not_offered),
        cmocka_unit_test(many_warnings_are_a_line_a_kind),
        cmocka_unit_test(many_at_the_edges_are_a_line_a_layer),
        cmocka_unit_test(a_part_says_what_it_is_a_part_of),
        cmocka_unit_test(chosen_errors_that_are_not_iterated_are_counted_and_named),
    };
    return cmocka_run_group_tests_name("plan_rules", tests, NULL, NULL);
}
