#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/commands.h"
#include "engine/json_read.h"
#include "engine/json_write.h"
#include "engine/lint.h"
#include "engine/mem.h"
#include "engine/model.h"
#include "engine/planner.h"
#include "engine/printable.h"
#include "engine/session.h"

/* --- models --- */

static void format_shape(const struct bp_st_tensor *t, char *text, size_t n)
{
    size_t used = 0;
    text[0] = '\0';
    for (unsigned i = 0; i < t->n_dims && used < n; i++)
        used += (size_t)snprintf(text + used, n - used, "%s%" PRIu64, i ? " x " : "", t->shape[i]);
    if (t->n_dims == 0)
        snprintf(text, n, "one number");
}

/* Tensors that differ in numbers alone, as one line: "model.layers.*.mlp.up_proj.weight". */
struct group {
    char *pattern;
    const struct bp_model_tensor *first;
    size_t n;
    bool planned;
};

static char *pattern_of(const char *name)
{
    char *pattern = bp_strdup(name), *out = pattern;
    for (const char *c = name; pattern && *c;) {
        bool number = isdigit((unsigned char)*c) && (c == name || c[-1] == '.');
        const char *end = c;
        while (isdigit((unsigned char)*end))
            end++;
        if (number && (*end == '.' || !*end)) {
            *out++ = '*';
            c = end;
        } else {
            *out++ = *c++;
        }
    }
    if (pattern)
        *out = '\0';
    return pattern;
}

static bool same_group(const struct group *g, const char *pattern, const struct bp_model_tensor *t)
{
    const struct bp_st_tensor *a = g->first->t, *b = t->t;
    return strcmp(g->pattern, pattern) == 0 && g->first->role.reason == t->role.reason &&
           a->dtype == b->dtype && a->n_dims == b->n_dims &&
           memcmp(a->shape, b->shape, a->n_dims * sizeof *a->shape) == 0;
}

static void free_groups(struct group *groups, size_t n)
{
    for (size_t g = 0; g < n; g++)
        free(groups[g].pattern);
    free(groups);
}

/* Groups in the order in which they first appear; NULL when memory ran out. */
static struct group *group_tensors(const struct bp_model *model, size_t *n_groups)
{
    struct group *groups = bp_alloc_zero(model->n_tensors + 1, sizeof *groups);
    *n_groups = 0;
    for (size_t i = 0; groups && i < model->n_tensors; i++) {
        const struct bp_model_tensor *t = &model->tensors[i];
        char *pattern = pattern_of(t->t->name);
        size_t g = 0;
        while (pattern && g < *n_groups && !same_group(&groups[g], pattern, t))
            g++;
        if (!pattern) {
            free_groups(groups, *n_groups);
            return NULL;
        }
        if (g < *n_groups) {
            groups[g].n++;
            free(pattern);
            continue;
        }
        groups[g] = (struct group){pattern, t, 1, t->role.reason == BP_KEEP_PLANNED};
        ++*n_groups;
    }
    return groups;
}

static void print_groups(const struct group *groups, size_t n, bool planned)
{
    for (size_t g = 0; g < n; g++) {
        char shape[128];
        if (groups[g].planned != planned)
            continue;
        format_shape(groups[g].first->t, shape, sizeof shape);
        printf("  %6zu  %-52s %-5s %-16s %s\n", groups[g].n, bp_printable(groups[g].pattern).text,
               bp_dtype_name(groups[g].first->t->dtype), shape,
               planned ? "" : bp_keep_reason_text(groups[g].first->role.reason));
    }
}

static enum bp_status print_model(const struct bp_model *m, struct bp_err *err)
{
    char size[BP_SIZE_TEXT];
    size_t n_groups;
    struct group *groups = group_tensors(m, &n_groups);
    if (!groups)
        return bp_fail_nomem(err);
    printf("%s: a model%s%s%s\n", bp_printable(m->path).text, m->synthetic ? " (synthetic)" : "",
           *m->architecture ? ", " : "", bp_printable(m->architecture).text);
    printf("  %zu file%s, %zu tensors, %s parameters, fingerprint %s\n", m->n_files,
           m->n_files == 1 ? "" : "s", m->n_tensors, bp_grouped(m->params).text, m->fingerprint);
    printf("planned: %zu matrices, %s parameters\n", m->n_matrices,
           bp_grouped(m->params_planned).text);
    print_groups(groups, n_groups, true);
    printf("kept as they are: %s parameters, %s\n", bp_grouped(m->params - m->params_planned).text,
           bp_size_format(m->bytes_outside, size));
    print_groups(groups, n_groups, false);
    for (size_t i = 0; i < m->n_aliases; i++)
        printf("  tied: %s is %s\n", bp_printable(m->aliases[i].key).text,
               bp_printable(m->aliases[i].value).text);
    for (size_t i = 0; i < m->n_warnings; i++)
        printf("warning: %s\n", m->warnings[i]);
    free_groups(groups, n_groups);
    return BP_OK;
}

static void model_json(const struct bp_model *m, struct bp_json_out *out)
{
    bp_json_out_object(out);
    bp_json_put_string(out, out->root, "what", "model");
    bp_json_put_string(out, out->root, "name", m->name);
    bp_json_put_string(out, out->root, "architecture", m->architecture);
    bp_json_put_bool(out, out->root, "synthetic", m->synthetic);
    bp_json_put_string(out, out->root, "fingerprint", m->fingerprint);
    bp_json_put_u64(out, out->root, "files", m->n_files);
    bp_json_put_u64(out, out->root, "params", m->params);
    bp_json_put_u64(out, out->root, "params_planned", m->params_planned);
    bp_json_put_u64(out, out->root, "bytes_outside", m->bytes_outside);
    bp_json_put_u64(out, out->root, "matrices", m->n_matrices);
    struct cJSON *tensors = bp_json_put_array(out, out->root, "tensors");
    for (size_t i = 0; i < m->n_tensors; i++) {
        const struct bp_model_tensor *t = &m->tensors[i];
        struct cJSON *node = bp_json_put_object(out, tensors, NULL);
        bp_json_put_string(out, node, "name", t->t->name);
        bp_json_put_string(out, node, "dtype", bp_dtype_name(t->t->dtype));
        struct cJSON *shape = bp_json_put_array(out, node, "shape");
        for (unsigned d = 0; d < t->t->n_dims; d++)
            bp_json_put_u64(out, shape, NULL, t->t->shape[d]);
        bp_json_put_bool(out, node, "planned", t->role.reason == BP_KEEP_PLANNED);
        bp_json_put_string(out, node, "reason", bp_keep_reason_text(t->role.reason));
    }
    struct cJSON *aliases = bp_json_put_array(out, out->root, "aliases");
    for (size_t i = 0; i < m->n_aliases; i++) {
        struct cJSON *node = bp_json_put_object(out, aliases, NULL);
        bp_json_put_string(out, node, "name", m->aliases[i].key);
        bp_json_put_string(out, node, "is", m->aliases[i].value);
    }
    struct cJSON *warnings = bp_json_put_array(out, out->root, "warnings");
    for (size_t i = 0; i < m->n_warnings; i++)
        bp_json_put_string(out, warnings, NULL, m->warnings[i]);
}

static enum bp_status info_model(const struct bp_args *args, struct bp_err *err)
{
    struct bp_model *model;
    struct bp_model_filter filter = bp_cli_filter(args);
    BP_TRY(bp_model_open(args->operands[0], &filter, &model, err));
    enum bp_status status;
    if (bp_args_has(args, BP_OPT_JSON)) {
        struct bp_json_out out;
        model_json(model, &out);
        status = bp_cli_emit_json(args, &out, true, err);
        bp_json_out_done(&out);
    } else {
        status = print_model(model, err);
    }
    bp_model_close(model);
    return status;
}

/* --- tables --- */

static void print_table(const struct bp_table *t, const struct bp_planner *planner)
{
    const struct bp_table_about *a = &t->about;
    uint64_t cells = (uint64_t)t->n_matrices * t->n_candidates, measured = bp_table_measured(t);
    double params = (double)bp_table_params(t);
    char first[BP_CANDIDATE_TEXT], last[BP_CANDIDATE_TEXT];
    printf("%s: an error table%s\n", bp_printable(t->path).text,
           a->synthetic ? " (synthetic)" : "");
    printf("  model       %s\n", *a->model_name ? bp_printable(a->model_name).text : "not stated");
    printf("  matrices    %zu, %s parameters\n", t->n_matrices,
           bp_grouped(bp_table_params(t)).text);
    printf("  candidates  %zu, %s to %s\n", t->n_candidates,
           bp_printable(bp_candidate_format(&t->candidates[0], first)).text,
           bp_printable(bp_candidate_format(&t->candidates[t->n_candidates - 1], last)).text);
    printf("  weights     %s\n", bp_printable(a->weighting).text);
    printf("  measured    %s of %s cells (%.1f %%)\n", bp_grouped(measured).text,
           bp_grouped(cells).text, 100.0 * (double)measured / (double)cells);
    if (t->stage) {
        uint64_t n[BP_N_CELL_STAGES];
        bp_table_count_stages(t, n);
        printf("  of these    %s iterated, %s estimated, %s at one step\n",
               bp_grouped(n[BP_CELL_ITERATED]).text, bp_grouped(n[BP_CELL_ESTIMATED]).text,
               bp_grouped(n[BP_CELL_ONE_STEP]).text);
    }
    if (*a->effort)
        printf("  method      %s%s, at most %" PRIu64 " iterations, seed %" PRIu64 "\n",
               bp_printable(a->effort).text, a->on_cuda ? " on CUDA" : "", a->iterations, a->seed);
    if (planner) {
        uint64_t least, most;
        bp_planner_range(planner, &least, &most);
        printf("  budgets     %.4f to %.4f bits/param\n", (double)least / params,
               (double)most / params);
    } else {
        printf("  budgets     none yet: not every matrix is measured\n");
    }
}

/* One line that counts, or all of them. */
static void print_lint(const struct bp_lint *lint, bool all)
{
    if (all && lint->n == 0)
        printf("  findings    none\n");
    else if (all)
        printf("findings\n");
    else if (lint->n > 0)
        printf("  findings    %zu, --lint lists them\n", lint->n);
    for (size_t i = 0; all && i < lint->n; i++)
        printf("  %-20s %s\n", lint->list[i].rule, lint->list[i].text);
}

static void lint_json(const struct bp_lint *lint, struct bp_json_out *out)
{
    struct cJSON *list = bp_json_put_array(out, out->root, "findings");
    for (size_t i = 0; i < lint->n; i++) {
        struct cJSON *node = bp_json_put_object(out, list, NULL);
        bp_json_put_string(out, node, "rule", lint->list[i].rule);
        bp_json_put_u64(out, node, "count", lint->list[i].count);
        bp_json_put_string(out, node, "text", lint->list[i].text);
    }
}

static void table_json(const struct bp_table *t, const struct bp_planner *planner,
                       struct bp_json_out *out)
{
    bp_json_out_object(out);
    bp_json_put_string(out, out->root, "what", "table");
    bp_json_put_string(out, out->root, "model", t->about.model_name);
    bp_json_put_bool(out, out->root, "synthetic", t->about.synthetic);
    bp_json_put_u64(out, out->root, "matrices", t->n_matrices);
    bp_json_put_u64(out, out->root, "candidates", t->n_candidates);
    bp_json_put_u64(out, out->root, "params", bp_table_params(t));
    bp_json_put_u64(out, out->root, "cells", (uint64_t)t->n_matrices * t->n_candidates);
    bp_json_put_u64(out, out->root, "cells_measured", bp_table_measured(t));
    if (t->stage) {
        uint64_t n[BP_N_CELL_STAGES];
        bp_table_count_stages(t, n);
        bp_json_put_u64(out, out->root, "cells_iterated", n[BP_CELL_ITERATED]);
        bp_json_put_u64(out, out->root, "cells_estimated", n[BP_CELL_ESTIMATED]);
        bp_json_put_u64(out, out->root, "cells_one_step", n[BP_CELL_ONE_STEP]);
    }
    bp_json_put_string(out, out->root, "weighting", t->about.weighting);
    bp_json_put_string(out, out->root, "effort", t->about.effort);
    bp_json_put_string(out, out->root, "backend", t->about.on_cuda ? "cuda" : "cpu");
    char *fingerprint = bp_table_fingerprint(t);
    out->failed |= !fingerprint; /* no memory, which a null would hide */
    bp_json_put_string(out, out->root, "fingerprint", fingerprint);
    free(fingerprint);
    if (planner) {
        uint64_t least, most;
        bp_planner_range(planner, &least, &most);
        bp_json_put_u64(out, out->root, "least_bits", least);
        bp_json_put_u64(out, out->root, "most_bits", most);
    }
}

static enum bp_status info_table(const struct bp_args *args, struct bp_err *err)
{
    struct bp_table *table;
    struct bp_planner *planner = NULL;
    BP_TRY(bp_table_open(args->operands[0], &table, err));
    /* An unfinished table has no range of budgets; that is no failure of `info`. */
    enum bp_status status = bp_planner_new(table, NULL, &planner, err);
    struct bp_lint lint;
    if (status == BP_ERR_INPUT)
        status = BP_OK;
    if (status == BP_OK)
        status = bp_table_lint(table, &lint, err);
    if (status == BP_OK && bp_args_has(args, BP_OPT_JSON)) {
        struct bp_json_out out;
        table_json(table, planner, &out);
        if (bp_args_has(args, BP_OPT_LINT))
            lint_json(&lint, &out);
        status = bp_cli_emit_json(args, &out, true, err);
        bp_json_out_done(&out);
    } else if (status == BP_OK) {
        print_table(table, planner);
        print_lint(&lint, bp_args_has(args, BP_OPT_LINT));
    }
    bp_planner_free(planner);
    bp_table_close(table);
    return status;
}

/* --- plans --- */

/* What `info` shows of a plan: its own words; `verify` is what recomputes them. */
struct plan_words {
    const char *model, *proof;
    double bits_per_param, error;
    size_t n_matrices;
    bool synthetic;
};

static bool read_plan(const struct cJSON *node, struct plan_words *w)
{
    const char *format = bp_json_string(bp_json_member(node, "format"));
    const struct cJSON *totals = bp_json_member(node, "totals");
    const struct cJSON *model = bp_json_member(node, "model");
    w->model = bp_json_string(bp_json_member(model, "name"));
    w->synthetic = false;
    bp_json_bool(bp_json_member(model, "synthetic"), &w->synthetic);
    w->proof = bp_json_string(bp_json_member(bp_json_member(node, "certificate"), "status"));
    w->n_matrices = bp_json_count(bp_json_member(node, "matrices"));
    return format && strcmp(format, "bitplan.plan") == 0 && w->model && w->proof &&
           bp_json_double(bp_json_member(totals, "bits_per_param"), &w->bits_per_param) &&
           bp_json_double(bp_json_member(totals, "error"), &w->error);
}

static void print_plan(const char *path, const struct plan_words *w)
{
    printf("%s: a plan for %s%s: %zu matrices, %.4f bits/param, error %.9g, %s\n",
           bp_printable(path).text, *w->model ? bp_printable(w->model).text : "a model",
           w->synthetic ? " (synthetic)" : "", w->n_matrices, w->bits_per_param, w->error,
           bp_printable(w->proof).text);
}

static void plan_json(const struct plan_words *w, struct bp_json_out *out)
{
    struct cJSON *node = bp_json_put_object(out, out->root, NULL);
    bp_json_put_string(out, node, "what", "plan");
    bp_json_put_string(out, node, "model", w->model);
    bp_json_put_bool(out, node, "synthetic", w->synthetic);
    bp_json_put_u64(out, node, "matrices", w->n_matrices);
    bp_json_put_double(out, node, "bits_per_param", w->bits_per_param);
    bp_json_put_double(out, node, "error", w->error);
    bp_json_put_string(out, node, "status", w->proof);
}

/* A file holds a plan or a list of them; with --json a list either way. */
static enum bp_status info_plan(const struct bp_args *args, const struct cJSON *root,
                                struct bp_err *err)
{
    const char *path = args->operands[0];
    const bool json = bp_args_has(args, BP_OPT_JSON);
    struct bp_json_out out;
    bp_json_out_array(&out);
    const bool list = bp_json_is_array(root);
    const struct cJSON *node = list ? bp_json_first(root) : root;
    enum bp_status status = node ? BP_OK : bp_fail(err, BP_ERR_INPUT, "%s: an empty list", path);
    for (; node && status == BP_OK; node = list ? bp_json_next(node) : NULL) {
        struct plan_words words;
        if (!read_plan(node, &words))
            status = bp_fail(err, BP_ERR_INPUT,
                             "%s: JSON, but neither a plan nor a session that bitplan knows", path);
        else if (json)
            plan_json(&words, &out);
        else
            print_plan(path, &words);
    }
    if (status == BP_OK && json)
        status = bp_cli_emit_json(args, &out, true, err);
    bp_json_out_done(&out);
    return status;
}

/* --- sessions --- */

/* "2.75 bits/param", "24.00 GiB in memory" */
static void print_budget(const struct bp_budget *budget)
{
    char size[BP_SIZE_TEXT];
    if (budget->unit == BP_BUDGET_BITS_PER_PARAM)
        printf("%.9g bits/param", budget->asked);
    else
        printf("%s%s",
               bp_size_format(budget->asked < 0x1p63 ? (uint64_t)budget->asked : UINT64_MAX, size),
               budget->unit == BP_BUDGET_TOTAL_BYTES ? " in memory" : "");
}

static void print_session(const char *path, const struct bp_session *s)
{
    char card[BP_SIZE_TEXT];
    printf("%s: a session\n", bp_printable(path).text);
    printf("  table        %s\n", *s->table_path ? bp_printable(s->table_path).text : "none yet");
    printf("  budget       ");
    if (s->budget.asked > 0.0)
        print_budget(&s->budget);
    printf("%s\n", s->budget.asked > 0.0 ? "" : "none chosen yet");
    printf("  constraints  %zu\n", s->constraints.n);
    for (size_t i = 0; i < s->constraints.n; i++)
        printf("    %s %s\n", bp_constraint_option(s->constraints.list[i].kind),
               bp_printable(s->constraints.list[i].value).text);
    printf("  memory       a card of %s, a context of %s, batch %" PRIu64 "\n",
           bp_size_format(s->memory.card_bytes, card), bp_grouped(s->memory.context).text,
           s->memory.batch);
    printf("  bookmarks    %zu\n", s->n_bookmarks);
    for (size_t i = 0; i < s->n_bookmarks; i++) {
        printf("    %s: ", bp_printable(s->bookmarks[i].name).text);
        print_budget(&s->bookmarks[i].budget);
        printf(", error %.9g, %s\n", s->bookmarks[i].error,
               s->bookmarks[i].optimal ? "optimal" : "bounded");
    }
}

static void session_json(const struct bp_session *s, struct bp_json_out *out)
{
    bp_json_out_object(out);
    bp_json_put_string(out, out->root, "what", "session");
    bp_json_put_string(out, out->root, "table", s->table_path);
    if (s->budget.asked > 0.0) {
        struct cJSON *budget = bp_json_put_object(out, out->root, "budget");
        bp_json_put_double(out, budget, "asked", s->budget.asked);
        bp_json_put_string(out, budget, "unit", bp_budget_unit_name(s->budget.unit));
    } else {
        bp_json_put_null(out, out->root, "budget");
    }
    bp_json_put_u64(out, out->root, "constraints", s->constraints.n);
    bp_json_put_u64(out, out->root, "bookmarks", s->n_bookmarks);
}

static enum bp_status info_session(const struct bp_args *args, struct bp_err *err)
{
    struct bp_session session;
    enum bp_opened what;
    enum bp_status status = BP_OK;
    BP_TRY(bp_session_open(args->operands[0], &session, &what, err));
    if (bp_args_has(args, BP_OPT_JSON)) {
        struct bp_json_out out;
        session_json(&session, &out);
        status = bp_cli_emit_json(args, &out, true, err);
        bp_json_out_done(&out);
    } else {
        print_session(args->operands[0], &session);
    }
    bp_session_done(&session);
    return status;
}

/* --- which of them --- */

static enum bp_status not_a_table(const char *path, const char *what, struct bp_err *err)
{
    return bp_fail(err, BP_ERR_USAGE, "%s: is a %s; --lint is for tables", path, what);
}

static enum bp_status info_json(const struct bp_args *args, struct bp_err *err)
{
    const char *path = args->operands[0];
    struct cJSON *root;
    BP_TRY(bp_json_read_file(path, &root, err));
    const char *format = bp_json_string(bp_json_member(root, "format"));
    const bool session = format && strcmp(format, "bitplan.session") == 0;
    enum bp_status status;
    if (bp_args_has(args, BP_OPT_LINT))
        status = not_a_table(path, session ? "session" : "plan", err);
    else if (bp_args_has(args, BP_OPT_INCLUDE) || bp_args_has(args, BP_OPT_EXCLUDE))
        status = bp_fail(err, BP_ERR_USAGE, "%s: is a %s; --include and --exclude are for models",
                         path, session ? "session" : "plan");
    else
        status = session ? info_session(args, err) : info_plan(args, root, err);
    bp_json_free(root);
    return status;
}

static enum bp_status run(const struct bp_args *args, struct bp_err *err)
{
    const char *path = args->operands[0];
    struct stat st;
    if (bp_args_has(args, BP_OPT_BACKENDS))
        return path ? bp_fail(err, BP_ERR_USAGE, "info: --backends is for this machine, not for %s",
                              path)
                    : bp_cli_info_backends(args, err);
    if (!path)
        return bp_fail(err, BP_ERR_USAGE,
                       "usage: bitplan info FILE [OPTIONS]; see `bitplan info --help`");
    if (stat(path, &st) != 0)
        return bp_fail(err, BP_ERR_INPUT, "%s: %s", path, strerror(errno));
    bool json = false, table = false;
    if (S_ISREG(st.st_mode))
        BP_TRY(bp_json_looks_like(path, &json, err));
    if (json)
        return info_json(args, err);
    if (S_ISREG(st.st_mode))
        BP_TRY(bp_table_looks_like(path, &table, err));
    if (table && (bp_args_has(args, BP_OPT_INCLUDE) || bp_args_has(args, BP_OPT_EXCLUDE)))
        return bp_fail(err, BP_ERR_USAGE, "%s: is a table; --include and --exclude are for models",
                       path);
    if (!table && bp_args_has(args, BP_OPT_LINT))
        return not_a_table(path, "model", err);
    return table ? info_table(args, err) : info_model(args, err);
}

static const enum bp_option options[] = {BP_OPT_INCLUDE, BP_OPT_EXCLUDE, BP_OPT_LINT,
                                         BP_OPT_BACKENDS, BP_OPT_JSON};

const struct bp_command bp_command_info = {
    .name = "info",
    .operands = "FILE",
    .n_operands = 1,
    .n_optional = 1,
    .summary = "what a model folder, table, plan or session is, in a few lines",
    .notes =
        "For a model: which tensors are planned, and why each of the others is kept as it is.\n"
        "--lint: what is odd about a table's numbers, or missing in it.\n"
        "--backends, without a FILE: what can compute on this machine.",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .run = run,
};
