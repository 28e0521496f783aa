/* The document of a plan and its verification, which must find every value that is changed by
 * itself, every certificate that claims too much, and name the place. */
#include "plan_tables.h"

#include "engine/json_read.h"
#include "engine/json_write.h"
#include "engine/memory.h"
#include "engine/verify.h"

static char *folder, *table_path, *plan_path;

static int make_folder(void **state)
{
    (void)state;
    folder = test_dir_make();
    table_path = test_dir_join(folder, "t.safetensors");
    plan_path = test_dir_join(folder, "plan.json");
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    test_dir_remove(folder);
    free(table_path);
    free(plan_path);
    return 0;
}

static char *text_of(const struct bp_plan *plan)
{
    struct bp_json_out out;
    bp_plan_to_json(plan, &out);
    char *text = bp_json_print(&out, true);
    bp_json_out_done(&out);
    assert_non_null(text);
    return text;
}

/* Saves the table, opens it, plans for it under constraints (may be NULL); the text of the plan. */
static char *planned_under(const struct bp_table *by_hand, const struct bp_constraints *constraints,
                           struct bp_budget budget)
{
    struct bp_table *t;
    struct bp_planner *p = NULL;
    struct bp_err err = {""};
    support_save(by_hand, table_path);
    if (bp_table_open(table_path, &t, &err) ||
        bp_planner_new_counting(t, constraints, bp_budget_counted(&budget), &p, &err))
        fail_msg("%s", err.text);
    struct bp_plan *plan = solve(p, budget);
    char *text = text_of(plan), *again = text_of(plan);
    assert_string_equal(text, again);
    free(again);
    bp_plan_free(plan);
    bp_planner_free(p);
    bp_table_close(t);
    return text;
}

/* The same within a grid (NULL: none). */
static char *planned(const struct bp_table *by_hand, const char *grid, struct bp_budget budget)
{
    struct bp_constraints constraints = {0};
    if (grid)
        bp_constraints_add(&constraints, BP_CONSTRAINT_GRID, grid, NULL);
    char *text = planned_under(by_hand, &constraints, budget);
    bp_constraints_done(&constraints);
    return text;
}

/* Verifies the plan in the folder; table NULL: the one that it names. */
static enum bp_status verify_file(const char *table, struct bp_verify_report *report,
                                  struct bp_err *err)
{
    const struct bp_verify_options options = {
        .plan_path = plan_path, .table_path = table, .threads = 1};
    return bp_verify_plan(&options, report, err);
}

static enum bp_status verify_text(const char *text, struct bp_verify_report *report,
                                  struct bp_err *err)
{
    test_dir_write_text(folder, "plan.json", text);
    return verify_file(table_path, report, err);
}

static void verifies(const char *text)
{
    struct bp_verify_report report;
    struct bp_err err = {""};
    if (verify_text(text, &report, &err))
        fail_msg("%s", err.text);
    assert_int_equal(report.n_plans, 1);
    assert_int_equal(report.n_optimal, 1);
    assert_true(report.n_figures > 50);
    assert_false(report.model_checked);
}

static void fails(const char *text, enum bp_status expected, const char *words)
{
    struct bp_verify_report report;
    struct bp_err err = {""};
    enum bp_status status = verify_text(text, &report, &err);
    if (status != expected)
        fail_msg("status %d, not %d, where '%s' was to be said: %s", status, expected, words,
                 err.text);
    support_says(err.text, words);
    assert_null(strchr(err.text, '\n'));
}

static void plans_verify_at_every_budget_grid_and_kind_of_table(void **state)
{
    (void)state;
    static const char *const budgets[] = {"2.2", "2.6", "3", "3.14159265358979", "4.30", "64"};
    static const char *const grids[] = {NULL, "paper", "b0=2,4:b1=2,4,8:B1=16,256"};
    for (int b = 0; b < 6; b++)
        for (int g = 0; g < 3; g++) {
            struct bp_table *t = usual(11);
            double *error = t->copies[SUPPORT_ERROR], *norm = t->copies[SUPPORT_NORM];
            if (b % 2)
                error[1 * C + 1] = NAN;
            if (b % 3 == 2)
                norm[2] = 0.0;
            t->about.params = b == 4 ? 0 : t->about.params;
            struct bp_planner *p = planner_of(t, grids[g]);
            uint64_t least, most;
            bp_planner_range(p, &least, &most);
            bp_planner_free(p);
            if (bits_budget(t, budgets[b]).bits >= least) {
                char *text = planned(t, grids[g], bits_budget(t, budgets[b]));
                verifies(text);
                free(text);
            }
            bp_table_close(t);
        }
}

static void a_budget_in_bytes_verifies(void **state)
{
    (void)state;
    struct bp_table *t = usual(12);
    struct bp_budget budget;
    assert_int_equal(bp_budget_parse_size("3.4567kB", &budget, NULL), BP_OK);
    char *text = planned(t, NULL, budget);
    verifies(text);
    free(text);
    bp_table_close(t);
}

/* More digits than a double holds: the plan must still say what it was made for. */
static void a_budget_of_many_digits_verifies(void **state)
{
    (void)state;
    static const char *const budgets[] = {"2.99999999999999999", "3.00000000000000001",
                                          "2.60000000000000001", "3.3333333333333333"};
    struct bp_table *t = usual(12);
    for (int b = 0; b < 4; b++) {
        char *text = planned(t, NULL, bits_budget(t, budgets[b]));
        verifies(text);
        free(text);
    }
    bp_table_close(t);
}

/* A value in the text of a plan: a number, a string, or a word such as null. */
struct leaf {
    char path[128];
    size_t begin, end;
    char kind; /* 'n', 's' or 'w' */
};

enum { MAX_LEAVES = 400 };

struct leaves {
    const char *text;
    struct leaf leaf[MAX_LEAVES];
    size_t n;
};

/* Walks over one value of well-formed JSON at `at`; returns what stands behind it. */
static const char *walk(struct leaves *all, const char *at, const char *path)
{
    char inside[128];
    at += strspn(at, " \n\t");
    if (*at == '{' || *at == '[') {
        const bool object = *at == '{';
        int index = 0;
        at += 1 + strspn(at + 1, " \n\t");
        while (*at != '}' && *at != ']') {
            if (object) {
                size_t n = strcspn(at + 1, "\"");
                snprintf(inside, sizeof inside, "%s%s%.*s", path, *path ? "." : "", (int)n, at + 1);
                at = strchr(at + n + 2, ':') + 1;
            } else {
                snprintf(inside, sizeof inside, "%.100s[%d]", path, index++);
            }
            at = walk(all, at, inside);
            at += strspn(at, ", \n\t");
        }
        return at + 1;
    }
    const char *end = *at == '"' ? strchr(at + 1, '"') + 1 : at + strcspn(at, ",]} \n\t");
    struct leaf *leaf = &all->leaf[all->n++];
    assert_true(all->n < MAX_LEAVES);
    snprintf(leaf->path, sizeof leaf->path, "%s", path);
    leaf->begin = (size_t)(at - all->text);
    leaf->end = (size_t)(end - all->text);
    leaf->kind = *at == '"' ? 's' : strchr("-0123456789", *at) ? 'n' : 'w';
    return end;
}

static struct leaves *leaves_of(const char *text)
{
    struct leaves *all = calloc(1, sizeof *all);
    assert_non_null(all);
    all->text = text;
    const char *end = walk(all, text, "");
    assert_int_equal(strspn(end, "\n"), strlen(end));
    return all;
}

/* The text with another value in place of a leaf. */
static char *with(const char *text, const struct leaf *leaf, const char *value)
{
    char *changed = bp_format("%.*s%s%s", (int)leaf->begin, text, value, text + leaf->end);
    assert_non_null(changed);
    return changed;
}

/* The word by which a sentence must name a changed leaf: its path, but for what cannot be told
 * apart from something else that is then wrong. */
static void expected_name(const char *path, char out[128])
{
    int i;
    snprintf(out, 128, "%s", path);
    if (sscanf(path, "matrices[%d].config", &i) == 1 && strstr(path, ".config."))
        snprintf(out, 128, "matrices[%d].config", i);
    else if (sscanf(path, "matrices[%d].rank", &i) == 1 && strstr(path, ".rank"))
        snprintf(out, 128, "matrices[%d].config", i);
    else if (strncmp(path, "budget.", 7) == 0)
        snprintf(out, 128, "budget");
    else if (strncmp(path, "certificate.", 12) == 0)
        snprintf(out, 128, "certificate");
    else if (strncmp(path, "constraints", 11) == 0)
        snprintf(out, 128, "constraints");
}

static void check_changed(const char *text, const struct leaf *leaf, const char *value)
{
    char name[128];
    char *changed = with(text, leaf, value);
    struct bp_verify_report report;
    struct bp_err err = {""};
    expected_name(leaf->path, name);
    enum bp_status status = verify_text(changed, &report, &err);
    if (status != BP_ERR_MISMATCH && status != BP_ERR_INPUT)
        fail_msg("%s = %s: status %d %s", leaf->path, value, status, err.text);
    if (!strstr(err.text, name))
        fail_msg("%s = %s is not named: %s", leaf->path, value, err.text);
    assert_int_equal(report.n_plans, 0);
    free(changed);
}

/* Changes every value of a plan, one at a time: whole numbers by much, others by one unit in the
 * last place both ways, strings by a letter, words into others. */
static size_t change_all(const char *text)
{
    struct leaves *all = leaves_of(text);
    size_t n_numbers = 0;
    for (size_t i = 0; i < all->n; i++) {
        const struct leaf *leaf = &all->leaf[i];
        char old[256], value[300];
        snprintf(old, sizeof old, "%.*s", (int)(leaf->end - leaf->begin), text + leaf->begin);
        if (strcmp(leaf->path, "table.path") == 0) /* tables may be moved */
            continue;
        if (leaf->kind == 's') {
            snprintf(value, sizeof value, "%.*sx\"", (int)strlen(old) - 1, old);
            check_changed(text, leaf, value);
        } else if (leaf->kind == 'w') {
            check_changed(text, leaf, strcmp(old, "false") == 0 ? "true" : "false");
            check_changed(text, leaf, "5");
        } else if (strcmp(leaf->path, "budget.asked") == 0) {
            snprintf(value, sizeof value, "%.17g", 2.0 * strtod(old, NULL));
            check_changed(text, leaf, value);
        } else if (strpbrk(old, ".e")) {
            for (int up = 0; up < 2; up++) {
                double near_by = nextafter(strtod(old, NULL), up ? INFINITY : -INFINITY);
                snprintf(value, sizeof value, "%.17g", near_by);
                check_changed(text, leaf, value);
            }
            check_changed(text, leaf, "-1.5");
        } else {
            snprintf(value, sizeof value, "%.0f", 2.0 * strtod(old, NULL) + 1001.0);
            check_changed(text, leaf, value);
            snprintf(value, sizeof value, "%.0f", strtod(old, NULL) + 1.0);
            if (!strstr(leaf->path, "].config.") && strcmp(leaf->path, "version") != 0)
                check_changed(text, leaf, value);
            check_changed(text, leaf, "null");
        }
        n_numbers += leaf->kind == 'n';
    }
    verifies(text);
    free(all);
    return n_numbers;
}

static void every_changed_value_is_found_and_named(void **state)
{
    (void)state;
    struct bp_table *t = usual(13);
    double *error = t->copies[SUPPORT_ERROR];
    error[1 * C + 3] = NAN;
    char *text = planned(t, "paper", bits_budget(t, "2.9"));
    assert_true(change_all(text) > 70);
    free(text);
    bp_table_close(t);
}

static void every_missing_or_additional_member_is_found(void **state)
{
    (void)state;
    struct bp_table *t = usual(13);
    char *text = planned(t, NULL, bits_budget(t, "2.9"));
    struct leaves *all = leaves_of(text);
    for (size_t i = 0; i < all->n; i++) {
        const struct leaf *leaf = &all->leaf[i];
        if (leaf->path[strlen(leaf->path) - 1] == ']')
            continue;
        struct leaf key = *leaf; /* renames a member: one is missing, another is too many */
        while (text[key.begin] != ':')
            key.begin--;
        key.end = --key.begin;
        char *changed = with(text, &key, "x");
        struct bp_verify_report report;
        enum bp_status status = verify_text(changed, &report, NULL);
        if (status != BP_ERR_MISMATCH && status != BP_ERR_INPUT && strcmp(leaf->path, "table.path"))
            fail_msg("%s under another name passes with status %d", leaf->path, status);
        free(changed);
        changed = with(text, leaf, "1,\"additional\":2");
        if (leaf->kind == 'n' || leaf->kind == 'w')
            assert_int_not_equal(verify_text(changed, &report, NULL), BP_OK);
        free(changed);
    }
    free(all);
    free(text);
    bp_table_close(t);
}

/* --- certificates --- */

/* The text of a plan with a choice and a certificate of the test's own making. */
static char *claimed(const struct bp_table *by_hand, const char *grid, const uint32_t *choice,
                     bool optimal, double lower_bound, const char *budget_text)
{
    struct bp_table *t;
    struct bp_plan *plan;
    struct bp_err err = {""};
    support_save(by_hand, table_path);
    assert_int_equal(bp_table_open(table_path, &t, NULL), BP_OK);
    struct bp_planner *p = planner_of(t, grid);
    struct bp_budget budget = bits_budget(t, budget_text);
    double error = 0.0;
    for (int i = 0; i < N; i++)
        error += t->error[i * C + (int)choice[i]];
    double bound = lower_bound < 0.0 ? error : lower_bound;
    struct bp_certificate certificate = {optimal, bound, (error - bound) / error, "mckp"};
    if (bp_planner_assemble(p, &budget, choice, &certificate, &plan, &err))
        fail_msg("%s", err.text);
    char *text = text_of(plan);
    bp_plan_free(plan);
    bp_planner_free(p);
    bp_table_close(t);
    return text;
}

static void a_worse_plan_that_says_optimal_is_found(void **state)
{
    (void)state;
    struct bp_table *t = usual(14);
    const uint32_t choice[N] = {0, 0, 0, 0, 0};
    char *text = claimed(t, NULL, choice, true, -1.0, "4");
    fails(text, BP_ERR_MISMATCH, "certificate.lower_bound is wrong");
    free(text);
    text = claimed(t, NULL, choice, true, 1.0, "4");
    fails(text, BP_ERR_MISMATCH, "certificate.status is wrong|is possible within its budget");
    free(text);
    bp_table_close(t);
}

static void a_worse_plan_that_says_bounded_by_a_true_bound_verifies(void **state)
{
    (void)state;
    struct bp_table *t = usual(14);
    const uint32_t choice[N] = {0, 0, 0, 0, 0};
    struct bp_verify_report report;
    struct bp_err err = {""};
    char *text = claimed(t, NULL, choice, false, 1.0, "4");
    if (verify_text(text, &report, &err))
        fail_msg("%s", err.text);
    assert_int_equal(report.n_plans, 1);
    assert_int_equal(report.n_optimal, 0);
    free(text);
    text = claimed(t, NULL, choice, false, -1.0, "4");
    fails(text, BP_ERR_MISMATCH, "certificate.lower_bound is wrong");
    free(text);
    bp_table_close(t);
}

static void a_plan_over_its_budget_is_found(void **state)
{
    (void)state;
    struct bp_table *t = usual(14);
    const uint32_t choice[N] = {3, 3, 3, 3, 3};
    char *text = claimed(t, NULL, choice, false, 1.0, "3");
    fails(text, BP_ERR_MISMATCH, "over its budget");
    free(text);
    bp_table_close(t);
}

static void a_plan_outside_its_own_grid_is_found(void **state)
{
    (void)state;
    struct bp_table *t = usual(14);
    const uint32_t choice[N] = {0, 0, 0, 2, 0};
    char *text = claimed(t, "b0=2", choice, true, 1.0, "4");
    fails(text, BP_ERR_MISMATCH, "matrices[3].config is wrong|constraints forbid it");
    free(text);
    bp_table_close(t);
}

static void a_table_whose_storage_is_not_eq_3_is_found(void **state)
{
    (void)state;
    struct bp_table *t = usual(14);
    char *text = planned(t, NULL, bits_budget(t, "3"));
    size_t n;
    char *bytes = support_read(table_path, &n);
    uint64_t old = t->storage[0], changed = old + 8;
    char *place = memmem(bytes, n, t->storage, 4 * sizeof old);
    assert_non_null(place);
    for (int j = 0; j < N * C; j++) {
        memcpy(&old, place + 8 * j, sizeof old);
        changed = old - 1;
        memcpy(place + 8 * j, &changed, sizeof changed);
    }
    test_dir_write(folder, "t.safetensors", bytes, n);
    fails(text, BP_ERR_MISMATCH, "fingerprint"); /* it is another table now */
    free(text);
    struct bp_table *other;
    assert_int_equal(bp_table_open(table_path, &other, NULL), BP_OK);
    struct bp_planner *p = planner_of(other, NULL);
    struct bp_plan *plan = solve(p, bits_budget(other, "3"));
    text = text_of(plan);
    fails(text, BP_ERR_MISMATCH, "matrices[0].storage_bits is wrong|Eq. 3");
    bp_plan_free(plan);
    bp_planner_free(p);
    bp_table_close(other);
    free(text);
    free(bytes);
    bp_table_close(t);
}

/* --- ties, weights, totals --- */

static void a_plan_under_ties_and_weights_verifies_and_every_changed_value_is_found(void **state)
{
    (void)state;
    struct bp_constraints list = {0};
    struct bp_table *t = usual(13);
    bp_constraints_add(&list, BP_CONSTRAINT_TIE, "qkv", NULL);
    bp_constraints_add(&list, BP_CONSTRAINT_TIE, "mine=(o|gate)_proj", NULL);
    bp_constraints_add(&list, BP_CONSTRAINT_WEIGHT, "v_proj=3.7", NULL);
    char *text = planned_under(t, &list, bits_budget(t, "2.9"));
    support_says(text, "\"objective\":");
    assert_true(change_all(text) > 70);
    free(text);
    bp_constraints_done(&list);
    bp_table_close(t);
}

static void a_plan_that_breaks_a_tie_is_found_and_both_matrices_are_named(void **state)
{
    (void)state;
    struct bp_table *t = usual(13);
    const uint32_t choice[N] = {0, 0, 1, 0, 0};
    char *text = claimed(t, NULL, choice, false, 0.0, "4");
    const char *list = strstr(text, "\"constraints\":");
    assert_non_null(list);
    const size_t at = (size_t)(strchr(list, '[') + 1 - text);
    char *tied =
        bp_format("%.*s{\"option\":\"--tie\",\"value\":\"qkv\"}%s", (int)at, text, text + at);
    fails(tied, BP_ERR_MISMATCH,
          "matrices[2].config is wrong|v_proj.weight to|q_proj.weight|matrices[0].config");
    free(tied);
    tied = bp_format("%.*s{\"option\":\"--tie\",\"value\":\"qvk\"}%s", (int)at, text, text + at);
    fails(tied, BP_ERR_INPUT, "constraints|'qvk' is no group");
    free(tied);
    tied = bp_format("%.*s{\"option\":\"--weight\",\"value\":\"q=2\"}%s", (int)at, text, text + at);
    fails(tied, BP_ERR_MISMATCH, "totals.objective is wrong: the plan says missing");
    free(tied);
    free(text);
    bp_table_close(t);
}

static void a_budget_for_all_in_memory_verifies_and_every_changed_value_is_found(void **state)
{
    (void)state;
    struct bp_table *t = usual(13);
    struct bp_memory_settings settings;
    struct bp_budget budget;
    struct bp_err err = {""};
    bp_memory_settings_default(&settings);
    settings.context = 7;
    settings.batch = 3;
    if (bp_memory_budget_total(t, &settings, 10400.0, &budget, &err))
        fail_msg("%s", err.text);
    assert_int_equal(budget.unit, BP_BUDGET_TOTAL_BYTES);
    char *text = planned(t, NULL, budget);
    support_says(text, "total bytes|\"context\":\t7|\"batch\":\t3|\"kv_bits\":\t16");
    assert_true(change_all(text) > 70);
    free(text);
    bp_table_close(t);
}

static char *without(const char *text, const char *member)
{
    const char *at = strstr(text, member);
    assert_non_null(at);
    return bp_format("%.*s%s", (int)(at - text), text, strchr(at, ',') + 1);
}

static void the_precision_of_low_rank_parts_is_part_of_a_plan(void **state)
{
    (void)state;
    struct bp_table *t = usual(14);
    struct bp_budget budget = bits_budget(t, "3");
    char *text = planned(t, NULL, budget), *bare = without(text, "\"low_rank_bits\":\t16");
    verifies(bare); /* a plan of old */
    free(bare);
    free(text);
    budget.low_rank_bits = 8;
    text = planned(t, NULL, budget);
    bare = without(text, "\"low_rank_bits\":\t8");
    verifies(text);
    assert_true(change_all(text) > 70);
    fails(bare, BP_ERR_MISMATCH, "totals.effective_bits_per_param is wrong");
    free(bare);
    free(text);
    bp_table_close(t);
}

static void a_total_over_several_ranks_verifies_and_every_changed_value_is_found(void **state)
{
    (void)state;
    for (uint64_t precision = 8; precision <= 32; precision *= 2) {
        struct bp_table *t = usual(16);
        struct bp_memory_settings settings;
        struct bp_budget budget;
        struct bp_err err = {""};
        t->candidates[1].rank = 0;
        t->candidates[3].rank = 8;
        bp_memory_settings_default(&settings);
        settings.context = 7;
        settings.low_rank_bits = precision;
        if (bp_memory_budget_total(t, &settings, 13400.0, &budget, &err))
            fail_msg("%s", err.text);
        char *text = planned(t, NULL, budget);
        support_says(text, "\"spent_bits\":");
        verifies(text);
        assert_true(change_all(text) > 70);
        free(text);
        bp_table_close(t);
    }
}

/* --- files --- */

static void lists_of_plans_verify_and_name_the_plan_that_is_wrong(void **state)
{
    (void)state;
    struct bp_table *t = usual(15);
    char *a = planned(t, NULL, bits_budget(t, "2.5")), *b = planned(t, NULL, bits_budget(t, "3"));
    struct bp_verify_report report;
    struct bp_err err = {""};
    char *both = bp_format("[%s,%s]", a, b);
    if (verify_text(both, &report, &err))
        fail_msg("%s", err.text);
    assert_int_equal(report.n_plans, 2);
    assert_int_equal(report.n_matrices, 2 * N);
    assert_int_equal(report.n_optimal, 2);
    char *params = strstr(both + strlen(a) + 2, "\"params\":");
    params[strlen("\"params\":") + 1] = '7';
    fails(both, BP_ERR_MISMATCH, "[1].model.params is wrong");
    fails("[]", BP_ERR_INPUT, "without a plan");
    free(both);
    free(a);
    free(b);
    bp_table_close(t);
}

static void what_is_no_plan_is_refused(void **state)
{
    (void)state;
    struct bp_table *t = usual(15);
    support_save(t, table_path);
    fails("{}", BP_ERR_INPUT, "not a bitplan plan");
    fails("3", BP_ERR_INPUT, "not a bitplan plan");
    fails("[3]", BP_ERR_INPUT, "not a bitplan plan");
    fails("{\"format\":\"bitplan.plan\"}", BP_ERR_INPUT, "version");
    fails("{\"format\":\"bitplan.plan\",\"version\":2}", BP_ERR_INPUT, "version 2");
    fails("{\"format\":\"bitplan.plan\",\"version\":1}", BP_ERR_INPUT, "budget");
    fails("not JSON", BP_ERR_INPUT, "plan.json");
    bp_table_close(t);
}

static void the_table_is_found_beside_the_plan(void **state)
{
    (void)state;
    struct bp_table *t = usual(15);
    struct bp_verify_report report;
    struct bp_err err = {""};
    char *text = planned(t, NULL, bits_budget(t, "2.5"));
    struct leaves *all = leaves_of(text);
    for (size_t i = 0; i < all->n; i++)
        if (strcmp(all->leaf[i].path, "table.path") == 0) {
            char *moved = with(text, &all->leaf[i], "\"t.safetensors\"");
            test_dir_write_text(folder, "plan.json", moved);
            free(moved);
        }
    if (verify_file(NULL, &report, &err))
        fail_msg("%s", err.text);
    assert_int_equal(remove(table_path), 0);
    assert_int_not_equal(verify_file(NULL, &report, &err), BP_OK);
    support_says(err.text, "--table|t.safetensors");
    free(all);
    free(text);
    bp_table_close(t);
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(plans_verify_at_every_budget_grid_and_kind_of_table),
        WITH_FOLDER(a_budget_in_bytes_verifies),
        WITH_FOLDER(a_budget_of_many_digits_verifies),
        WITH_FOLDER(every_changed_value_is_found_and_named),
        WITH_FOLDER(every_missing_or_additional_member_is_found),
        WITH_FOLDER(a_worse_plan_that_says_optimal_is_found),
        WITH_FOLDER(a_worse_plan_that_says_bounded_by_a_true_bound_verifies),
        WITH_FOLDER(a_plan_over_its_budget_is_found),
        WITH_FOLDER(a_plan_outside_its_own_grid_is_found),
        WITH_FOLDER(a_table_whose_storage_is_not_eq_3_is_found),
        WITH_FOLDER(a_plan_under_ties_and_weights_verifies_and_every_changed_value_is_found),
        WITH_FOLDER(a_plan_that_breaks_a_tie_is_found_and_both_matrices_are_named),
        WITH_FOLDER(a_budget_for_all_in_memory_verifies_and_every_changed_value_is_found),
        WITH_FOLDER(the_precision_of_low_rank_parts_is_part_of_a_plan),
        WITH_FOLDER(a_total_over_several_ranks_verifies_and_every_changed_value_is_found),
        WITH_FOLDER(lists_of_plans_verify_and_name_the_plan_that_is_wrong),
        WITH_FOLDER(what_is_no_plan_is_refused),
        WITH_FOLDER(the_table_is_found_beside_the_plan),
    };
    return cmocka_run_group_tests_name("plans verified", tests, NULL, NULL);
}
