/* What each action does: to the document by edits, or to the view. */
#include <math.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/mem.h"
#include "engine/printable.h"
#include "ui/app.h"
#include "ui/view.h"

void bp_app_show(struct bp_app *app, enum bp_panel panel)
{
    struct bp_layout now = bp_app_layout(app);
    if (!bp_layout_shows(&now, panel))
        app->view.page = panel;
    app->view.focus = panel;
}

static void next_panel(struct bp_app *app, int step)
{
    /* Tabs walk through all panels but the budget, which needs no keys of its own. */
    int panel = (int)app->view.focus;
    const struct bp_layout l = bp_app_layout(app);
    for (int tries = 0; tries < BP_N_PANELS; tries++) {
        panel = (panel + step + BP_N_PANELS) % BP_N_PANELS;
        if (panel == BP_PANEL_BUDGET)
            continue;
        if (l.screen == BP_SCREEN_TABS || l.screen == BP_SCREEN_WIDE ||
            bp_layout_shows(&l, (enum bp_panel)panel))
            break;
    }
    bp_app_show(app, (enum bp_panel)panel);
}

/* --- constraints on the matrix under the cursor --- */

static bool has_matrix(struct bp_app *app)
{
    if (bp_app_part(app, app->view.row) != BP_NO_ROW && app->plan)
        return true;
    bp_app_say(app, BP_ROLE_WARNING, "this matrix is not planned yet");
    return false;
}

static bool add_constraint(struct bp_app *app, enum bp_constraint_kind kind, char *value)
{
    struct bp_edit edit = {
        .kind = BP_EDIT_ADD_CONSTRAINT, .index = BP_EDIT_LAST, .constraint = {kind, value}};
    bool done = value && bp_app_edit(app, &edit, 1, false);
    if (done)
        bp_app_say(app, BP_ROLE_TEXT, "%s %s", bp_constraint_option(kind) + 2,
                   bp_printable(value).text);
    free(value);
    return done;
}

static void remove_constraint(struct bp_app *app, size_t index)
{
    struct bp_edit edit = {.kind = BP_EDIT_REMOVE_CONSTRAINT, .index = index};
    const struct bp_constraint *c = &app->session.constraints.list[index];
    struct bp_printable words = bp_printable(c->value);
    const char *option = bp_constraint_option(c->kind) + 2;
    if (bp_app_edit(app, &edit, 1, false))
        bp_app_say(app, BP_ROLE_TEXT, "no longer: %s %s", option, words.text);
}

/* Pins the matrix to what it has, bounds it by what it has, or lets it go. */
static void toggle_own(struct bp_app *app, enum bp_constraint_kind kind)
{
    if (!has_matrix(app))
        return;
    const size_t own = bp_app_own_constraint(app, app->view.row, kind);
    if (own != BP_EDIT_LAST && kind != BP_CONSTRAINT_BAN) {
        remove_constraint(app, own);
        return;
    }
    const struct bp_table *t = app->plan->table;
    const size_t i = (size_t)bp_app_part(app, app->view.row);
    const struct bp_candidate *c = &t->candidates[app->plan->choice[i]];
    char *pattern = bp_app_name_pattern(app, app->view.row), *value = NULL;
    char text[BP_CONFIG_TEXT];
    if (pattern && (kind == BP_CONSTRAINT_FLOOR || kind == BP_CONSTRAINT_CEIL)) {
        /* To four digits, outward, so that what it has now stays allowed. */
        double bits = bp_app_metric(app, BP_METRIC_BITS, app->view.row) * 1e4;
        bits = kind == BP_CONSTRAINT_FLOOR ? floor(bits) : ceil(bits);
        value = bp_format("%s=%.4f", pattern, bits / 1e4);
    } else if (pattern) {
        value =
            bp_format("%s=%s", pattern, c->foreign ? c->label : bp_config_format(&c->config, text));
    }
    free(pattern);
    add_constraint(app, kind, value);
}

static void free_matrix(struct bp_app *app)
{
    static const enum bp_constraint_kind kinds[] = {BP_CONSTRAINT_PIN, BP_CONSTRAINT_BAN,
                                                    BP_CONSTRAINT_FLOOR, BP_CONSTRAINT_CEIL};
    bool any = false;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (size_t own;
             (own = bp_app_own_constraint(app, app->view.row, kinds[k])) != BP_EDIT_LAST;) {
            struct bp_edit edit = {.kind = BP_EDIT_REMOVE_CONSTRAINT, .index = own};
            /* One step of undo each, which is also how they came. */
            if (!bp_app_edit(app, &edit, 1, false))
                return;
            any = true;
        }
    bp_app_say(app, BP_ROLE_TEXT,
               any ? "the matrix is free again" : "the matrix has no constraint");
}

/* The next group after the one that is tied now. */
static void next_tie(struct bp_app *app)
{
    static const char *const groups[] = {"qkv", "gate_up", "experts", "layer", "kind"};
    enum { N = sizeof groups / sizeof *groups };
    const struct bp_constraints *c = &app->session.constraints;
    size_t present = BP_EDIT_LAST;
    int next = 0;
    for (size_t i = 0; i < c->n; i++)
        if (c->list[i].kind == BP_CONSTRAINT_TIE)
            present = i;
    for (int g = 0; present != BP_EDIT_LAST && g < N; g++)
        if (strcmp(c->list[present].value, groups[g]) == 0)
            next = g + 1;
    for (; next <= N; next++) {
        struct bp_edit edits[2];
        size_t n = 0;
        if (present != BP_EDIT_LAST)
            edits[n++] = (struct bp_edit){.kind = BP_EDIT_REMOVE_CONSTRAINT, .index = present};
        char word[16] = "";
        if (next < N) {
            snprintf(word, sizeof word, "%s", groups[next]);
            edits[n++] = (struct bp_edit){.kind = BP_EDIT_ADD_CONSTRAINT,
                                          .index = BP_EDIT_LAST,
                                          .constraint = {BP_CONSTRAINT_TIE, word}};
        }
        /* A group that this model does not have is passed over. */
        if (n == 0 || bp_app_edit(app, edits, n, false)) {
            bp_app_say(app, BP_ROLE_TEXT, next < N ? "tied: %s take one candidate" : "no ties%s",
                       word);
            return;
        }
    }
}

/* --- finding --- */

/* From the cursor on, forward or back, round the end. */
static void find(struct bp_app *app, int step, bool from_here)
{
    const struct bp_table *t = app->source ? app->source->table : NULL;
    regex_t regex;
    if (!t || !*app->found)
        return;
    if (regcomp(&regex, app->found, REG_EXTENDED | REG_NOSUB | REG_ICASE) != 0) {
        bp_app_say(app, BP_ROLE_ERROR, "'%s' is no regular expression", app->found);
        return;
    }
    const size_t n = t->n_matrices;
    size_t hits = 0, place = 0, row = SIZE_MAX;
    for (size_t k = from_here ? 0 : 1; k <= n && row == SIZE_MAX; k++) {
        size_t i = step > 0 ? (app->view.row + k) % n : (app->view.row + n - k % n) % n;
        if (regexec(&regex, t->matrices[i].name, 0, NULL, 0) == 0)
            row = i;
    }
    for (size_t i = 0; row != SIZE_MAX && i < n; i++)
        if (regexec(&regex, t->matrices[i].name, 0, NULL, 0) == 0) {
            hits++;
            place += i <= row;
        }
    regfree(&regex);
    if (row == SIZE_MAX) {
        bp_app_say(app, BP_ROLE_WARNING, "no matrix matches %s", app->found);
        return;
    }
    app->view.row = row;
    bp_app_say(app, BP_ROLE_TEXT, "%zu of %zu: %s", place, hits,
               bp_printable(t->matrices[row].name).text);
}

/* --- warnings --- */

/* The next warning behind the one that was said last; the cursor goes to its matrix. */
static void next_warning(struct bp_app *app)
{
    const struct bp_plan *plan = app->plan;
    if (!plan || plan->n_warnings == 0) {
        bp_app_say(app, BP_ROLE_TEXT, "the plan has no warnings");
        return;
    }
    struct bp_view *v = &app->view;
    v->warning = v->warning < plan->n_warnings ? v->warning + 1 : 1;
    const struct bp_warning *w = &plan->warnings[v->warning - 1];
    char text[BP_WARNING_TEXT];
    const struct bp_table *t = app->source->table;
    for (size_t i = 0; *w->matrix && i < t->n_matrices; i++)
        if (strcmp(t->matrices[i].name, w->matrix) == 0)
            v->row = i;
    bp_app_say(app, BP_ROLE_WARNING, "%zu of %zu: %s: %s", v->warning, plan->n_warnings,
               *w->matrix ? bp_printable(w->matrix).text : "the plan",
               bp_printable(bp_warning_format(plan, w, text)).text);
}

/* --- actions --- */

static void fit_card(struct bp_app *app)
{
    char text[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)app->session.memory.card_bytes);
    if (!app->problem || !bp_app_set_budget(app, BP_BUDGET_TOTAL_BYTES, text, false))
        return;
    char size[BP_SIZE_TEXT];
    bp_size_format(app->session.memory.card_bytes, size);
    if (!bp_app_range_holds(app)) { /* the range comes with the plan */
        bp_app_say(app, BP_ROLE_TEXT, "a budget of %s for everything in memory", size);
        return;
    }
    if (app->session.budget.bits < app->problem->least_bits)
        return; /* the sentence is there already */
    bool all = app->session.budget.bits >= app->problem->most_bits;
    bp_app_say(app, BP_ROLE_GOOD, all ? "the best plan there is runs on %s" : "just fits %s", size);
}

static void compare(struct bp_app *app)
{
    struct bp_view *v = &app->view;
    const size_t n = app->session.n_bookmarks;
    if (n == 0) {
        bp_app_say(app, BP_ROLE_WARNING, "no plan is kept yet: b keeps this one");
        return;
    }
    int index = v->focus == BP_PANEL_PLANS && v->plan_row < (int)n ? v->plan_row : (int)n - 1;
    v->compare = v->compare == index ? -1 : index;
    if (v->compare >= 0)
        bp_app_say(app, BP_ROLE_TEXT, "compared with '%s': + more bits now, - fewer; Esc ends",
                   bp_printable(app->session.bookmarks[index].name).text);
}

static void undo(struct bp_app *app, bool back)
{
    bool done = back ? bp_history_undo(app->history, &app->session)
                     : bp_history_redo(app->history, &app->session);
    if (!done) {
        bp_app_say(app, BP_ROLE_WARNING, back ? "nothing to undo" : "nothing to redo");
        return;
    }
    app->n_changes++;
    if (app->view.compare >= (int)app->session.n_bookmarks)
        app->view.compare = -1;
    bp_app_say(app, BP_ROLE_TEXT, "%s; %zu to undo, %zu to redo", back ? "undone" : "redone",
               bp_history_undo_count(app->history), bp_history_redo_count(app->history));
    bp_app_find_bound(app);
    bp_app_ask(app);
}

static unsigned leave(struct bp_app *app)
{
    if (!bp_app_would_lose(app))
        return BP_FLAG_QUIT;
    bp_prompt_open(&app->prompt, BP_PROMPT_LEAVE, "");
    return BP_FLAG_REDRAW;
}

static void open_command(struct bp_app *app, const char *start, const char *rest)
{
    char line[BP_PROMPT_TEXT];
    snprintf(line, sizeof line, "%s%s", start, rest);
    bp_prompt_open(&app->prompt, BP_PROMPT_COMMAND, line);
}

static void back(struct bp_app *app)
{
    struct bp_view *v = &app->view;
    if (app->message[0])
        app->message[0] = '\0';
    if (v->compare >= 0)
        v->compare = -1;
    else if (v->open_layer >= 0)
        v->open_layer = -1;
}

/* A name that is not taken: the budget in words, numbered where it must be. */
static void open_bookmark(struct bp_app *app)
{
    char name[64];
    if (!app->plan) {
        bp_app_say(app, BP_ROLE_WARNING, "there is no plan to keep");
        return;
    }
    for (unsigned k = 1; k < 1000; k++) {
        /* As the slider counts. */
        int n = snprintf(name, sizeof name, "%.3f",
                         (double)bp_plan_spent_bits(app->plan) / (double)app->plan->params);
        if (k > 1)
            snprintf(name + n, sizeof name - (size_t)n, " (%u)", k);
        if (bp_session_find_bookmark(&app->session, name) == SIZE_MAX)
            break;
    }
    open_command(app, "bookmark ", name);
}

/* The model where it is known; the folder is to be typed. */
static void open_decompose(struct bp_app *app)
{
    char *text = app->model_path ? bp_format("%s ", app->model_path) : bp_strdup("");
    if (text)
        open_command(app, "decompose ", text);
    free(text);
}

static unsigned act_document(struct bp_app *app, enum bp_action action)
{
    switch (action) {
    case BP_ACTION_PIN:
        toggle_own(app, BP_CONSTRAINT_PIN);
        break;
    case BP_ACTION_BAN:
        toggle_own(app, BP_CONSTRAINT_BAN);
        break;
    case BP_ACTION_FLOOR:
        toggle_own(app, BP_CONSTRAINT_FLOOR);
        break;
    case BP_ACTION_CEIL:
        toggle_own(app, BP_CONSTRAINT_CEIL);
        break;
    case BP_ACTION_FREE:
        free_matrix(app);
        break;
    case BP_ACTION_TIE:
        next_tie(app);
        break;
    case BP_ACTION_WARNING:
        next_warning(app);
        break;
    case BP_ACTION_FIT_CARD:
        fit_card(app);
        break;
    case BP_ACTION_BOOKMARK:
        open_bookmark(app);
        break;
    case BP_ACTION_COMPARE:
        compare(app);
        break;
    case BP_ACTION_UNDO:
        undo(app, true);
        break;
    case BP_ACTION_REDO:
        undo(app, false);
        break;
    case BP_ACTION_EXPORT:
        open_command(app, "export ", "plan.json");
        break;
    case BP_ACTION_DECOMPOSE:
        open_decompose(app);
        break;
    case BP_ACTION_SAVE:
        if (app->session_path)
            bp_app_save(app, app->session_path, true);
        else
            open_command(app, "save ", "session.json");
        break;
    case BP_ACTION_COMMAND:
        open_command(app, "", "");
        break;
    case BP_ACTION_FIND:
        bp_prompt_open(&app->prompt, BP_PROMPT_FIND, "");
        break;
    case BP_ACTION_FIND_NEXT:
        find(app, 1, false);
        break;
    case BP_ACTION_FIND_PREVIOUS:
        find(app, -1, false);
        break;
    case BP_ACTION_QUIT:
        return leave(app);
    case BP_ACTION_REDRAW:
        return BP_FLAG_REDRAW | BP_FLAG_REFRESH;
    case BP_ACTION_SUSPEND:
        return BP_FLAG_REDRAW | BP_FLAG_SUSPEND;
    default:
        return BP_FLAG_BEEP;
    }
    return BP_FLAG_REDRAW;
}

static bool act_budget(struct bp_app *app, enum bp_action action, double n)
{
    switch (action) {
    case BP_ACTION_BUDGET_UP:
        bp_app_step_budget(app, 0.01, n);
        break;
    case BP_ACTION_BUDGET_DOWN:
        bp_app_step_budget(app, 0.01, -n);
        break;
    case BP_ACTION_BUDGET_UP_COARSE:
        bp_app_step_budget(app, 0.1, n);
        break;
    case BP_ACTION_BUDGET_DOWN_COARSE:
        bp_app_step_budget(app, 0.1, -n);
        break;
    case BP_ACTION_BUDGET_UP_FINE:
        bp_app_step_budget(app, 0.001, n);
        break;
    case BP_ACTION_BUDGET_DOWN_FINE:
        bp_app_step_budget(app, 0.001, -n);
        break;
    case BP_ACTION_BUDGET_LEAST:
        bp_app_slide_budget(app, 0.0);
        break;
    case BP_ACTION_BUDGET_MOST:
        bp_app_slide_budget(app, 1.0);
        break;
    default:
        return false;
    }
    return true;
}

static bool act_view(struct bp_app *app, enum bp_action action)
{
    struct bp_view *v = &app->view;
    switch (action) {
    case BP_ACTION_GRID:
        bp_app_show(app, BP_PANEL_GRID);
        break;
    case BP_ACTION_MAP:
        bp_app_show(app, BP_PANEL_MAP);
        break;
    case BP_ACTION_CURVE:
        bp_app_show(app, BP_PANEL_CURVE);
        break;
    case BP_ACTION_DETAIL:
        bp_app_show(app, BP_PANEL_DETAIL);
        break;
    case BP_ACTION_MEMORY:
        bp_app_show(app, BP_PANEL_MEMORY);
        break;
    case BP_ACTION_PLANS:
        bp_app_show(app, BP_PANEL_PLANS);
        break;
    case BP_ACTION_NEXT_PANEL:
        next_panel(app, 1);
        break;
    case BP_ACTION_PREVIOUS_PANEL:
        next_panel(app, -1);
        break;
    case BP_ACTION_METRIC:
        bp_app_set_metric(app, (int)v->metric + 1);
        break;
    case BP_ACTION_METRIC_BACK:
        bp_app_set_metric(app, (int)v->metric - 1);
        break;
    case BP_ACTION_ZOOM_IN:
        v->zoom += v->zoom < 8;
        break;
    case BP_ACTION_ZOOM_OUT:
        v->zoom -= v->zoom > -8;
        break;
    case BP_ACTION_HELP:
        v->help = !v->help, v->help_scroll = 0;
        break;
    case BP_ACTION_BACK:
        back(app);
        break;
    default:
        return false;
    }
    return true;
}

unsigned bp_app_act(struct bp_app *app, enum bp_action action, double n)
{
    if (action != BP_ACTION_UNDO && action != BP_ACTION_REDO && action != BP_ACTION_BACK)
        app->message[0] = '\0';
    if (act_budget(app, action, n) || bp_panel_ops(app->view.focus)->act(app, action, n) ||
        act_view(app, action))
        return BP_FLAG_REDRAW;
    return act_document(app, action);
}

void bp_app_find(struct bp_app *app, const char *pattern)
{
    if (*pattern)
        snprintf(app->found, sizeof app->found, "%s", pattern);
    find(app, 1, true);
}

void bp_app_set_metric(struct bp_app *app, int metric)
{
    app->view.metric = (enum bp_metric)((metric + BP_N_METRICS) % BP_N_METRICS);
    bp_app_find_prices(app);
}
