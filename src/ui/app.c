#include "ui/app.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/mem.h"
#include "engine/printable.h"
#include "ui/carry.h"
#include "ui/job.h"

static const struct {
    const char *key, *title, *unit;
} metrics[BP_N_METRICS] = {
#define METRIC_ROW(suffix, key, title, unit) {key, title, unit},
    BP_METRICS(METRIC_ROW)
#undef METRIC_ROW
};

const char *bp_metric_key(enum bp_metric metric)
{
    return metrics[metric].key;
}

const char *bp_metric_title(enum bp_metric metric)
{
    return metrics[metric].title;
}

const char *bp_metric_unit(enum bp_metric metric)
{
    return metrics[metric].unit;
}

void bp_app_say(struct bp_app *app, unsigned role, const char *fmt, ...)
{
    char text[sizeof app->message];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    memcpy(app->message, text, sizeof text);
    app->message_role = role;
}

/* --- asking and being told --- */

void bp_app_ask(struct bp_app *app)
{
    struct bp_err err;
    struct bp_budget budget = app->session.budget;
    if (!app->source || !app->source->planned)
        return;
    if (budget.asked > 0.0 &&
        bp_budget_resolve(&budget, app->source->planned, &app->session.memory, &err) != BP_OK) {
        app->plan = bp_plan_free(app->plan);
        snprintf(app->trouble, sizeof app->trouble, "%s", err.text);
        app->settled = true;
        app->answered = ++app->asked;
        return;
    }
    app->session.budget = budget;
    app->settled = false;
    app->best_objective = app->best_bound = 0.0;
    if (bp_worker_ask(app->worker, ++app->asked, app->source, &app->session.constraints, &budget,
                      &err) != BP_OK)
        bp_app_say(app, BP_ROLE_ERROR, "%s", err.text);
}

void bp_app_set_source(struct bp_app *app, struct bp_source *source)
{
    struct bp_err err;
    bool first = !app->source;
    struct bp_map map;
    if (bp_map_init(&map, source->table, &err) != BP_OK) {
        bp_app_say(app, BP_ROLE_ERROR, "%s", err.text);
        bp_source_drop(source);
        return;
    }
    bp_map_done(&app->map);
    app->map = map;
    bp_source_drop(app->source);
    app->source = source;
    bp_memory_shape_of(source->table, &app->shape);
    if (first)
        bp_app_view_from_session(app);
    if (app->view.row >= source->table->n_matrices)
        app->view.row = 0;
    bp_app_find_bound(app);
    bp_app_ask(app);
}

/* The budget of a session that has none. */
static void choose_budget(struct bp_app *app)
{
    bp_budget_default(app->problem->least_bits, app->problem->most_bits, bp_app_params(app),
                      &app->session.budget);
    bp_app_ask(app);
}

void bp_app_find_prices(struct bp_app *app)
{
    free(app->up_price);
    app->up_price = NULL;
    if (!app->plan || app->view.metric != BP_METRIC_PRICE)
        return;
    const size_t n = app->plan->table->n_matrices;
    app->up_price = bp_alloc(n, sizeof *app->up_price);
    for (size_t i = 0; app->up_price && i < n; i++) {
        struct bp_matrix_prices prices;
        bp_planner_prices(app->problem->planner, i, app->plan->choice[i], app->plan->shadow_price,
                          &prices);
        app->up_price[i] = prices.has_up ? prices.up_price : 0.0;
    }
}

static void take_problem(struct bp_app *app, struct bp_news *news)
{
    if (app->problem == news->problem)
        return;
    /* The plan borrows its table from the problem's source. */
    app->plan = bp_plan_free(app->plan);
    bp_problem_drop(app->problem);
    app->problem = news->problem;
    news->problem = NULL;
    free(app->points);
    app->points = NULL;
    app->n_points = 0;
}

static bool take_plan(struct bp_app *app, struct bp_news *news)
{
    if (news->generation <= app->answered && news->generation != app->asked)
        return false; /* older than what is shown */
    const bool newest = news->generation == app->asked;
    app->answered = news->generation;
    app->settled = newest && news->final;
    take_problem(app, news);
    bp_plan_free(app->plan);
    app->plan = news->plan;
    news->plan = NULL;
    app->solve_ms = news->elapsed_ms;
    app->best_objective = app->best_bound = 0.0;
    app->trouble[0] = '\0';
    if (!app->plan && news->status != BP_OK)
        snprintf(app->trouble, sizeof app->trouble, "%s", news->err.text);
    if (app->trouble[0] && news->status != BP_INFEASIBLE)
        bp_app_say(app, BP_ROLE_ERROR, "%s", app->trouble);
    if (app->problem && app->session.budget.asked <= 0.0 && newest)
        choose_budget(app);
    if (app->settled && app->export_path && app->plan)
        bp_app_export(app, app->export_path, app->export_replace);
    return true;
}

static bool take_progress(struct bp_app *app, const struct bp_news *news)
{
    if (news->generation != app->asked)
        return false;
    app->best_objective = news->objective;
    app->best_bound = news->lower_bound;
    return true;
}

static bool take_stability(struct bp_app *app, const struct bp_news *news)
{
    const struct bp_stability *s = &news->stability;
    if (news->generation != app->asked)
        return false;
    if (news->status != BP_OK)
        bp_app_say(app, BP_ROLE_ERROR, "%s", news->err.text);
    else
        bp_app_say(app, BP_ROLE_TEXT,
                   "%.4g %% noise, %u plans: %zu of %zu matrices keep their bits a code, %zu their "
                   "config; this plan is then %.3g %% above the optimum, %.3g %% at most",
                   s->noise_percent, s->runs, s->n_codes_steady, news->plan->table->n_matrices,
                   s->n_steady, 100.0 * s->regret_median, 100.0 * s->regret_max);
    return true;
}

static bool take_frontier(struct bp_app *app, struct bp_news *news)
{
    if (news->problem != app->problem || !news->points)
        return false;
    free(app->points);
    app->points = news->points;
    app->n_points = news->n_points;
    news->points = NULL;
    return true;
}

bool bp_app_news(struct bp_app *app)
{
    bool changed = app->job && bp_job_take(app->job, app);
    bool plan_changed = false;
    changed |= app->carry && bp_carry_take(app->carry, app);
    for (struct bp_news *news; (news = bp_worker_take(app->worker)); bp_news_free(news)) {
        if (news->kind == BP_NEWS_FRONTIER)
            changed |= take_frontier(app, news);
        else if (news->kind == BP_NEWS_PROGRESS)
            changed |= take_progress(app, news);
        else if (news->kind == BP_NEWS_STABILITY)
            changed |= take_stability(app, news);
        else
            plan_changed |= take_plan(app, news);
    }
    if (plan_changed)
        bp_app_find_prices(app);
    return changed || plan_changed;
}

void bp_app_wait_answer(struct bp_app *app, int timeout_ms)
{
    while (app->answered < app->asked && bp_worker_wait(app->worker, timeout_ms))
        bp_app_news(app);
}

void bp_app_wait_settled(struct bp_app *app, bool measured)
{
    for (;;) {
        bp_app_news(app);
        bool measuring = measured && app->job && !bp_job_done(app->job);
        bool carrying = measured && app->carry && !bp_carry_done(app->carry);
        if (bp_worker_idle(app->worker) && !measuring && !carrying)
            break;
        if (!bp_worker_idle(app->worker))
            bp_worker_wait(app->worker, 1000);
        else if (measuring)
            bp_job_wait(app->job, 1000);
        else
            bp_carry_wait(app->carry, 1000);
    }
    bp_app_news(app);
}

/* --- editing --- */

/* Whether constraints can be read and met at all; the planner says the rest. */
static enum bp_status check_constraints(const struct bp_app *app, const struct bp_constraints *c,
                                        struct bp_err *err)
{
    const struct bp_table *t = app->source ? app->source->planned : NULL;
    if (!t || c->n == 0)
        return BP_OK;
    size_t n_groups;
    uint8_t *use = bp_alloc(t->n_matrices * t->n_candidates, 1);
    double *weight = bp_alloc(t->n_matrices, sizeof *weight);
    uint32_t *group = bp_alloc(t->n_matrices, sizeof *group);
    enum bp_status status = use && weight && group ? BP_OK : bp_fail_nomem(err);
    if (status == BP_OK)
        status = bp_constraints_apply(c, t, use, err);
    if (status == BP_OK)
        status = bp_constraints_groups(c, t, group, &n_groups, err);
    if (status == BP_OK)
        status = bp_constraints_weights(c, t, weight, err);
    free(use);
    free(weight);
    free(group);
    return status;
}

/* Tries the edits on a document of nothing but the constraints. */
static enum bp_status try_constraints(const struct bp_app *app, const struct bp_edit *edits,
                                      size_t n, struct bp_err *err)
{
    struct bp_session trial;
    BP_TRY(bp_session_init(&trial, "", err));
    enum bp_status status = bp_constraints_copy(&app->session.constraints, &trial.constraints, err);
    for (size_t i = 0; i < n && status == BP_OK; i++) {
        if (edits[i].kind != BP_EDIT_ADD_CONSTRAINT && edits[i].kind != BP_EDIT_REMOVE_CONSTRAINT)
            continue;
        struct bp_edit inverse;
        status = bp_session_apply(&trial, &edits[i], &inverse, err);
        if (status == BP_OK)
            bp_edit_done(&inverse);
    }
    if (status == BP_OK)
        status = check_constraints(app, &trial.constraints, err);
    bp_session_done(&trial);
    return status;
}

bool bp_app_edit(struct bp_app *app, const struct bp_edit *edits, size_t n, bool merge)
{
    struct bp_err err = {{0}};
    bool constraints = false, plan = false;
    for (size_t i = 0; i < n; i++) {
        constraints |=
            edits[i].kind == BP_EDIT_ADD_CONSTRAINT || edits[i].kind == BP_EDIT_REMOVE_CONSTRAINT;
        plan |= edits[i].kind == BP_EDIT_BUDGET ||
                (edits[i].kind == BP_EDIT_MEMORY &&
                 (app->session.budget.unit == BP_BUDGET_TOTAL_BYTES ||
                  edits[i].memory.low_rank_bits != app->session.memory.low_rank_bits));
    }
    enum bp_status status = constraints ? try_constraints(app, edits, n, &err) : BP_OK;
    if (status == BP_OK)
        status = bp_history_do(app->history, &app->session, edits, n, merge, &err);
    if (status != BP_OK) {
        bp_app_say(app, BP_ROLE_ERROR, "%s", err.text);
        return false;
    }
    app->n_changes++;
    if (constraints)
        bp_app_find_bound(app);
    if (plan || constraints)
        bp_app_ask(app);
    return true;
}

/* --- for the views --- */

struct bp_layout bp_app_layout(const struct bp_app *app)
{
    return bp_layout(app->cols, app->rows, app->view.page);
}

int64_t bp_app_part(const struct bp_app *app, size_t row)
{
    return app->problem ? bp_source_part(app->problem->source, row) : BP_NO_ROW;
}

uint64_t bp_app_params(const struct bp_app *app)
{
    const struct bp_source *s = app->problem ? app->problem->source : app->source;
    return s && s->planned ? bp_table_params(s->planned) : 0;
}

double bp_app_metric(const struct bp_app *app, enum bp_metric metric, size_t row)
{
    const struct bp_plan *plan = app->plan;
    const int64_t i = plan ? bp_app_part(app, row) : BP_NO_ROW;
    if (i == BP_NO_ROW)
        return NAN;
    const struct bp_table *t = plan->table;
    const size_t cell = (size_t)i * t->n_candidates + plan->choice[i];
    switch (metric) {
    case BP_METRIC_BITS:
        return (double)t->storage[cell] / ((double)t->matrices[i].d * (double)t->matrices[i].k);
    case BP_METRIC_ERROR:
        return t->error[cell];
    case BP_METRIC_RELATIVE:
        return t->norm && t->norm[i] > 0.0 ? 100.0 * t->error[cell] / t->norm[i] : NAN;
    case BP_METRIC_SHARE:
        return plan->error > 0.0 ? 100.0 * t->error[cell] / plan->error : NAN;
    case BP_METRIC_PRICE:
        return app->up_price ? app->up_price[i] * 8.0 * 1024.0 * 1024.0 : NAN;
    case BP_N_METRICS:
        break;
    }
    return NAN;
}

char *bp_app_name_pattern(const struct bp_app *app, size_t row)
{
    const char *name = app->source->table->matrices[row].name;
    char *pattern = bp_alloc(2 * strlen(name) + 3, 1);
    if (!pattern)
        return NULL;
    char *p = pattern;
    *p++ = '^';
    for (; *name; name++) {
        if (strchr(".[]{}()*+?^$|\\", *name))
            *p++ = '\\';
        *p++ = *name;
    }
    *p++ = '$';
    *p = '\0';
    return pattern;
}

/* Takes the escapes of bp_app_name_pattern back. False for a value of another form. */
static bool plain_name(const char *value, char *name, size_t n)
{
    size_t used = 0;
    if (*value++ != '^')
        return false;
    for (; *value && *value != '$' && used + 1 < n; value++) {
        if (*value == '\\' && value[1])
            value++;
        else if (strchr(".[]{}()*+?|", *value))
            return false;
        name[used++] = *value;
    }
    name[used] = '\0';
    return value[0] == '$' && value[1] == '=';
}

static int64_t named_row(const struct bp_app *app, const char *value)
{
    char name[512];
    const struct bp_table *t = app->source->table;
    if (!plain_name(value, name, sizeof name))
        return -1;
    for (size_t i = 0; i < t->n_matrices; i++)
        if (strcmp(t->matrices[i].name, name) == 0)
            return (int64_t)i;
    return -1;
}

void bp_app_find_bound(struct bp_app *app)
{
    const struct bp_constraints *c = &app->session.constraints;
    free(app->bound);
    app->bound = app->source ? bp_alloc(c->n, sizeof *app->bound) : NULL;
    app->n_bound = app->bound ? c->n : 0;
    for (size_t i = 0; i < app->n_bound; i++)
        app->bound[i] = named_row(app, c->list[i].value);
}

size_t bp_app_own_constraint(const struct bp_app *app, size_t row, enum bp_constraint_kind kind)
{
    const struct bp_constraints *c = &app->session.constraints;
    size_t found = BP_EDIT_LAST;
    if (c->n == 0 || !app->source)
        return found;
    char *pattern = bp_app_name_pattern(app, row);
    size_t n = pattern ? strlen(pattern) : 0;
    for (size_t i = 0; pattern && i < c->n && found == BP_EDIT_LAST; i++)
        if (c->list[i].kind == kind && strncmp(c->list[i].value, pattern, n) == 0 &&
            c->list[i].value[n] == '=')
            found = i;
    free(pattern);
    return found;
}

/* --- opening and closing --- */

static enum bp_status open_document(struct bp_app *app, const struct bp_app_options *o,
                                    enum bp_opened *what, struct bp_err *err)
{
    BP_TRY(bp_session_open(o->path, &app->session, what, err));
    BP_TRY(bp_history_new(&app->history, err));
    if (*what != BP_OPENED_SESSION || o->template)
        return BP_OK;
    app->session_path = bp_strdup(o->path);
    return app->session_path ? BP_OK : bp_fail_nomem(err);
}

static enum bp_status open_table(struct bp_app *app, struct bp_err *err)
{
    struct bp_table *table;
    struct bp_source *source;
    BP_TRY(bp_table_open(app->session.table_path, &table, err));
    BP_TRY(bp_source_new(table, &source, err));
    char *fingerprint = bp_table_fingerprint(table);
    const char *known = app->session.table_fingerprint;
    if (fingerprint && *known && strcmp(fingerprint, known) != 0)
        bp_app_say(app, BP_ROLE_WARNING,
                   "the table has changed since this was saved: plans may differ");
    if (fingerprint) {
        free(app->session.table_fingerprint);
        app->session.table_fingerprint = fingerprint;
    }
    if (source->n_rows_measured == 0) {
        bp_source_drop(source);
        return bp_fail(err, BP_ERR_INPUT,
                       "%s: no row is measured yet; `bitplan measure` fills the table",
                       app->session.table_path);
    }
    bp_app_set_source(app, source);
    return BP_OK;
}

enum bp_status bp_app_init(struct bp_app *app, const struct bp_app_options *o, struct bp_err *err)
{
    *app = (struct bp_app){.options = *o, .cols = o->cols, .rows = o->rows, .clock = o->clock};
    app->options.path = NULL;
    app->view = (struct bp_view){
        .page = BP_PANEL_MAP, .focus = BP_PANEL_MAP, .open_layer = -1, .compare = -1};
    enum bp_opened what;
    enum bp_status status = bp_keymap_init(&app->keymap) ? BP_OK : bp_fail_nomem(err);
    if (status == BP_OK)
        status = open_document(app, o, &what, err);
    if (status == BP_OK)
        status = bp_worker_new(&app->worker, &app->wake_fd, err);
    if (status == BP_OK && what == BP_OPENED_MODEL)
        app->model_path = bp_strdup(o->path);
    if (status == BP_OK && what == BP_OPENED_MODEL)
        status = bp_job_new(app, o, &app->job, err);
    else if (status == BP_OK)
        status = open_table(app, err);
    if (status != BP_OK)
        bp_app_done(app);
    return status;
}

bool bp_app_would_lose(const struct bp_app *app)
{
    const struct bp_session *s = &app->session;
    struct bp_memory_settings standard;
    bp_memory_settings_default(&standard);
    return bp_history_changed(app->history) &&
           (app->session_path || s->constraints.n || s->n_bookmarks ||
            memcmp(&standard, &s->memory, sizeof standard) != 0);
}

void bp_app_open(struct bp_app *app, const char *path)
{
    struct bp_err err = {{0}};
    struct bp_app next;
    struct bp_app_options options = app->options;
    options.path = path;
    options.template = false;
    options.cols = app->cols;
    options.rows = app->rows;
    if (bp_app_init(&next, &options, &err) != BP_OK) {
        bp_app_say(app, BP_ROLE_ERROR, "%s", err.text);
        return;
    }
    /* Keys and history go on; `path` may lie in the old one. */
    struct bp_keymap keymap = next.keymap;
    next.keymap = app->keymap;
    app->keymap = keymap;
    next.history_lines = app->history_lines;
    next.n_history_lines = app->n_history_lines;
    app->history_lines = NULL;
    app->n_history_lines = 0;
    next.ascii = app->ascii;
    next.n_changes = app->n_changes + 1;
    bp_app_say(&next, BP_ROLE_TEXT, "opened %s", bp_printable(path).text);
    bp_app_done(app);
    *app = next;
}

void bp_app_done(struct bp_app *app)
{
    bp_job_free(app->job);
    bp_carry_free(app->carry);
    bp_worker_free(app->worker);
    bp_plan_free(app->plan);
    bp_problem_drop(app->problem);
    free(app->points);
    free(app->up_price);
    free(app->bound);
    bp_source_drop(app->source);
    bp_map_done(&app->map);
    bp_history_free(app->history);
    bp_session_done(&app->session);
    bp_keymap_done(&app->keymap);
    for (size_t i = 0; i < app->n_history_lines; i++)
        free(app->history_lines[i]);
    free(app->history_lines);
    free(app->session_path);
    free(app->export_path);
    free(app->model_path);
    *app = (struct bp_app){0};
}
