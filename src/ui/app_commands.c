/* The command line: what a person types here is what a script does with options. */
#include "ui/command_words.h"

#include <ctype.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/lint.h"
#include "engine/mem.h"
#include "engine/printable.h"
#include "ui/app.h"
#include "ui/carry.h"
#include "ui/view.h"

/* A command: its word, the rest of the line, and whether the word ended in '!'. */
struct call {
    const char *word, *arg;
    bool force;
};

static unsigned need(struct bp_app *app, const char *what)
{
    bp_app_say(app, BP_ROLE_ERROR, "%s", what);
    return BP_FLAG_REDRAW;
}

/* bits, size, total: as the options of the same names. */
static unsigned set_budget(struct bp_app *app, const struct call *c)
{
    const enum bp_budget_unit unit = strcmp(c->word, "bits") == 0   ? BP_BUDGET_BITS_PER_PARAM
                                     : strcmp(c->word, "size") == 0 ? BP_BUDGET_BYTES
                                                                    : BP_BUDGET_TOTAL_BYTES;
    bp_app_set_budget(app, unit, c->arg, false);
    return BP_FLAG_REDRAW;
}

static unsigned do_grid(struct bp_app *app, const struct call *c)
{
    bp_grid_set(app, strcmp(c->arg, "all") == 0 ? "" : c->arg);
    return BP_FLAG_REDRAW;
}

/* pin, ban, floor, ceil, tie, weight, objective, max-configs, limit: a constraint by its option's
 * name. Of an objective and of a number of configs there is one: it takes the place of the last. */
static unsigned constrain(struct bp_app *app, const struct call *c)
{
    const struct bp_constraints *now = &app->session.constraints;
    struct bp_edit edits[2];
    size_t n = 0;
    char value[BP_PROMPT_TEXT];
    int kind = 0;
    while (strcmp(bp_constraint_option((enum bp_constraint_kind)kind) + 2, c->word) != 0)
        kind++;
    snprintf(value, sizeof value, "%s", c->arg);
    for (size_t i = 0; i < now->n && n == 0; i++)
        if ((kind == BP_CONSTRAINT_OBJECTIVE || kind == BP_CONSTRAINT_MAX_CONFIGS) &&
            (int)now->list[i].kind == kind)
            edits[n++] = (struct bp_edit){.kind = BP_EDIT_REMOVE_CONSTRAINT, .index = i};
    edits[n++] = (struct bp_edit){.kind = BP_EDIT_ADD_CONSTRAINT,
                                  .index = BP_EDIT_LAST,
                                  .constraint = {(enum bp_constraint_kind)kind, value}};
    if (bp_app_edit(app, edits, n, false))
        bp_app_say(app, BP_ROLE_TEXT, "%s %s", c->word, bp_printable(value).text);
    return BP_FLAG_REDRAW;
}

/* Constraint number N of the list, or every one but the grid, as one step. */
static unsigned do_free(struct bp_app *app, const struct call *c)
{
    const struct bp_constraints *list = &app->session.constraints;
    const size_t number = (size_t)strtoul(c->arg, NULL, 10);
    struct bp_edit *edits = bp_alloc_zero(list->n + 1, sizeof *edits);
    size_t n = 0;
    for (size_t i = list->n; edits && i-- > 0;) /* from the last, so that indices stay right */
        if (*c->arg ? number == i + 1 : list->list[i].kind != BP_CONSTRAINT_GRID)
            edits[n++] = (struct bp_edit){.kind = BP_EDIT_REMOVE_CONSTRAINT, .index = i};
    if (n == 0)
        bp_app_say(app, BP_ROLE_WARNING,
                   *c->arg ? "there is no constraint number %s" : "there are no constraints%s",
                   c->arg);
    else if (bp_app_edit(app, edits, n, false))
        bp_app_say(app, BP_ROLE_TEXT, "%zu constraint%s taken back", n, n == 1 ? "" : "s");
    free(edits);
    return BP_FLAG_REDRAW;
}

static unsigned set_memory(struct bp_app *app, const char *key, const char *value)
{
    struct bp_err err;
    struct bp_edit edit = {.kind = BP_EDIT_MEMORY, .memory = app->session.memory};
    if (bp_memory_settings_set(&edit.memory, key, value, &err) != BP_OK)
        return need(app, err.text);
    bp_app_edit(app, &edit, 1, false);
    return BP_FLAG_REDRAW;
}

static unsigned do_card(struct bp_app *app, const struct call *c)
{
    return set_memory(app, "card", c->arg);
}

static unsigned do_low_rank_bits(struct bp_app *app, const struct call *c)
{
    return set_memory(app, "low-rank-bits", c->arg);
}

static unsigned do_set(struct bp_app *app, const struct call *c)
{
    char key[64];
    const size_t n = strcspn(c->arg, " =");
    snprintf(key, sizeof key, "%.*s", (int)(n < sizeof key ? n : sizeof key - 1), c->arg);
    const char *value = c->arg + n;
    value += strspn(value, " =");
    return set_memory(app, key, value);
}

static unsigned do_stability(struct bp_app *app, const struct call *c)
{
    struct bp_err err;
    double noise;
    if (!app->plan)
        return need(app, "there is no plan whose stability could be told");
    if (bp_stability_parse(c->arg, &noise, &err) != BP_OK)
        return need(app, err.text);
    bp_worker_ask_stability(app->worker, noise);
    bp_app_say(app, BP_ROLE_TEXT, "planning %d times with %.4g %% noise on every error ...",
               BP_STABILITY_RUNS, noise);
    return BP_FLAG_REDRAW;
}

/* The findings in as many words as the message holds. */
static unsigned do_lint(struct bp_app *app, const struct call *c)
{
    struct bp_lint lint;
    struct bp_err err;
    char text[400] = "";
    (void)c;
    if (!app->source || bp_table_lint(app->source->table, &lint, &err) != BP_OK)
        return need(app, app->source ? err.text : "there is no table yet");
    for (size_t i = 0; i < lint.n; i++) {
        const size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%s%s", used ? "; " : "", lint.list[i].text);
    }
    bp_app_say(app, lint.n ? BP_ROLE_WARNING : BP_ROLE_GOOD,
               lint.n ? "%zu finding%s: %s" : "nothing odd about the table", lint.n,
               lint.n == 1 ? "" : "s", text);
    return BP_FLAG_REDRAW;
}

static unsigned do_find(struct bp_app *app, const struct call *c)
{
    bp_app_find(app, c->arg);
    return BP_FLAG_REDRAW;
}

static unsigned do_show(struct bp_app *app, const struct call *c)
{
    const enum bp_panel panel = bp_panel_parse(c->arg);
    if (panel == BP_N_PANELS)
        return need(app, "show: map, curve, matrix, grid, memory or plans");
    bp_app_show(app, panel);
    return BP_FLAG_REDRAW;
}

static unsigned do_metric(struct bp_app *app, const struct call *c)
{
    for (int m = 0; m < BP_N_METRICS; m++)
        if (strcmp(c->arg, bp_metric_key((enum bp_metric)m)) == 0) {
            bp_app_set_metric(app, m);
            return BP_FLAG_REDRAW;
        }
    return need(app, "metric: bits, error, relative, share or price");
}

/* --- kept plans --- */

static size_t find_bookmark(struct bp_app *app, const char *name)
{
    const size_t k = bp_session_find_bookmark(&app->session, name);
    if (k == SIZE_MAX)
        bp_app_say(app, BP_ROLE_ERROR, "no plan is kept as '%s'", bp_printable(name).text);
    return k;
}

static unsigned do_bookmark(struct bp_app *app, const struct call *c)
{
    const struct bp_plan *plan = app->plan;
    char name[BP_PROMPT_TEXT];
    if (!plan || !*c->arg)
        return need(app, plan ? "bookmark needs a name" : "there is no plan to keep");
    snprintf(name, sizeof name, "%s", c->arg);
    struct bp_edit edit = {
        .kind = BP_EDIT_ADD_BOOKMARK,
        .index = BP_EDIT_LAST,
        .bookmark =
            {
                .name = name,
                .budget = plan->budget,
                .constraints = plan->constraints,
                .choice = plan->choice,
                .n_choice = plan->table->n_matrices,
                .storage_bits = plan->storage_bits,
                .error = plan->error,
                .optimal = plan->certificate.optimal,
            },
    };
    if (bp_app_edit(app, &edit, 1, false))
        bp_app_say(app, BP_ROLE_GOOD, "kept as '%s'; B lists what is kept",
                   bp_printable(name).text);
    return BP_FLAG_REDRAW;
}

/* Back to a kept plan's budget and constraints, as one step. */
static unsigned do_go(struct bp_app *app, const struct call *c)
{
    const size_t k = find_bookmark(app, c->arg);
    if (k == BP_EDIT_LAST)
        return BP_FLAG_REDRAW;
    const struct bp_bookmark *mark = &app->session.bookmarks[k];
    const struct bp_constraints *now = &app->session.constraints;
    size_t n = 0;
    struct bp_edit *edits = bp_alloc_zero(now->n + mark->constraints.n + 1, sizeof *edits);
    if (!edits)
        return need(app, "out of memory");
    for (size_t i = now->n; i-- > 0;)
        edits[n++] = (struct bp_edit){.kind = BP_EDIT_REMOVE_CONSTRAINT, .index = i};
    for (size_t i = 0; i < mark->constraints.n; i++)
        edits[n++] = (struct bp_edit){.kind = BP_EDIT_ADD_CONSTRAINT,
                                      .index = BP_EDIT_LAST,
                                      .constraint = mark->constraints.list[i]};
    edits[n++] = (struct bp_edit){.kind = BP_EDIT_BUDGET, .budget = mark->budget};
    if (bp_app_edit(app, edits, n, false))
        bp_app_say(app, BP_ROLE_TEXT, "back to '%s'; u returns", bp_printable(c->arg).text);
    free(edits);
    return BP_FLAG_REDRAW;
}

static unsigned do_rename(struct bp_app *app, const struct call *c)
{
    /* Names may hold spaces: the old one is the longest that is kept. */
    for (size_t i = 0; i < app->session.n_bookmarks; i++) {
        const struct bp_bookmark *mark = &app->session.bookmarks[i];
        const size_t n = strlen(mark->name);
        if (strncmp(c->arg, mark->name, n) != 0 || c->arg[n] != ' ' || !c->arg[n + 1])
            continue;
        char name[BP_PROMPT_TEXT];
        snprintf(name, sizeof name, "%s", c->arg + n + 1);
        /* The new one first: an edit's parts are copied, and the old one must still be there. */
        struct bp_edit steps[2] = {
            {.kind = BP_EDIT_ADD_BOOKMARK, .index = i, .bookmark = *mark},
            {.kind = BP_EDIT_REMOVE_BOOKMARK, .index = i + 1},
        };
        steps[0].bookmark.name = name;
        if (bp_app_edit(app, steps, 2, false))
            bp_app_say(app, BP_ROLE_TEXT, "now called '%s'", bp_printable(name).text);
        return BP_FLAG_REDRAW;
    }
    return need(app, "rename OLD NEW: OLD is no kept plan");
}

static unsigned do_compare(struct bp_app *app, const struct call *c)
{
    app->view.compare = -1;
    const size_t k = *c->arg ? find_bookmark(app, c->arg) : BP_EDIT_LAST;
    if (k != BP_EDIT_LAST) {
        app->view.compare = (int)k;
        bp_app_say(app, BP_ROLE_TEXT, "compared with '%s': + more bits now, - fewer; Esc ends",
                   bp_printable(c->arg).text);
    }
    return BP_FLAG_REDRAW;
}

static unsigned do_forget(struct bp_app *app, const struct call *c)
{
    const size_t k = find_bookmark(app, c->arg);
    struct bp_edit edit = {.kind = BP_EDIT_REMOVE_BOOKMARK, .index = k};
    if (k != BP_EDIT_LAST && bp_app_edit(app, &edit, 1, false)) {
        app->view.compare = -1;
        bp_app_say(app, BP_ROLE_TEXT, "forgotten: '%s'; u brings it back",
                   bp_printable(c->arg).text);
    }
    return BP_FLAG_REDRAW;
}

/* --- files and the rest --- */

static unsigned do_undo(struct bp_app *app, const struct call *c)
{
    (void)c;
    return bp_app_act(app, BP_ACTION_UNDO, 1.0);
}

static unsigned do_redo(struct bp_app *app, const struct call *c)
{
    (void)c;
    return bp_app_act(app, BP_ACTION_REDO, 1.0);
}

static unsigned do_export(struct bp_app *app, const struct call *c)
{
    if (!*c->arg)
        return need(app, "export needs a file: export plan.json");
    bp_app_export(app, c->arg, c->force);
    return BP_FLAG_REDRAW;
}

static unsigned do_save(struct bp_app *app, const struct call *c)
{
    if (!*c->arg && !app->session_path)
        return need(app, "save needs a file: save session.json");
    bp_app_save(app, *c->arg ? c->arg : app->session_path, c->force);
    return app->leaving && !bp_app_would_lose(app) ? BP_FLAG_QUIT : BP_FLAG_REDRAW;
}

static unsigned do_open(struct bp_app *app, const struct call *c)
{
    if (!*c->arg)
        return need(app, "open needs a file: a table, session, plan or model");
    if (!c->force && bp_app_would_lose(app))
        return need(app, "there are unsaved changes: :save FILE first, or :open! FILE loses them");
    if (!c->force && app->carry && !bp_carry_done(app->carry))
        return need(app, "a plan is being carried out: :stop first, or :open! FILE stops it");
    bp_app_open(app, c->arg);
    return BP_FLAG_REDRAW;
}

static unsigned do_decompose(struct bp_app *app, const struct call *c)
{
    bp_app_decompose(app, c->arg, c->force);
    return BP_FLAG_REDRAW;
}

static unsigned do_stop(struct bp_app *app, const struct call *c)
{
    (void)c;
    if (!app->carry || bp_carry_done(app->carry))
        return need(app, "nothing is being carried out");
    bp_carry_stop(app->carry);
    bp_app_say(app, BP_ROLE_TEXT, "stopping after the matrices in hand ...");
    return BP_FLAG_REDRAW;
}

static unsigned do_help(struct bp_app *app, const struct call *c)
{
    (void)c;
    app->view.help = true;
    app->view.help_scroll = 0;
    return BP_FLAG_REDRAW;
}

static unsigned do_quit(struct bp_app *app, const struct call *c)
{
    return c->force ? BP_FLAG_QUIT : bp_app_act(app, BP_ACTION_QUIT, 1.0);
}

static const struct {
    const char *word;
    unsigned (*run)(struct bp_app *app, const struct call *c);
} commands[] = {
#define COMMAND_ROW(word, run, args, help) {word, run},
    BP_COMMANDS(COMMAND_ROW)
#undef COMMAND_ROW
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

/* The command of a word; an unambiguous beginning will do. -1 for none, -2 for several. */
static int find_command(const char *word, size_t n)
{
    int found = -1;
    for (int i = 0; i < N_COMMANDS; i++) {
        if (strncmp(commands[i].word, word, n) != 0)
            continue;
        if (!commands[i].word[n])
            return i;
        found = found == -1 ? i : -2;
    }
    return found;
}

unsigned bp_app_command(struct bp_app *app, const char *line)
{
    line += strspn(line, " :");
    const size_t n = strcspn(line, " !");
    if (n == 0)
        return BP_FLAG_REDRAW;
    const int i = find_command(line, n);
    if (i < 0) {
        bp_app_say(app, BP_ROLE_ERROR,
                   i == -1 ? "there is no command '%.*s'; ? lists them"
                           : "'%.*s' is the beginning of several commands",
                   (int)(n < 60 ? n : 60), line);
        return BP_FLAG_REDRAW | BP_FLAG_BEEP;
    }
    struct call call = {.word = commands[i].word, .force = line[n] == '!'};
    char arg[BP_PROMPT_TEXT];
    const char *rest = line + n + call.force;
    snprintf(arg, sizeof arg, "%s", rest + strspn(rest, " "));
    for (size_t k = strlen(arg); k > 0 && arg[k - 1] == ' ';)
        arg[--k] = '\0';
    call.arg = arg;
    return commands[i].run(app, &call);
}

/* --- completing --- */

struct words {
    char common[BP_PROMPT_TEXT]; /* what all of them begin with */
    char list[400];              /* for the message line */
    size_t n;
};

static void offer(struct words *w, const char *word, const char *stem)
{
    if (strncmp(word, stem, strlen(stem)) != 0)
        return;
    if (w->n++ == 0) {
        snprintf(w->common, sizeof w->common, "%s", word);
    } else {
        size_t k = 0;
        while (w->common[k] && w->common[k] == word[k])
            k++;
        w->common[k] = '\0';
    }
    const size_t used = strlen(w->list);
    snprintf(w->list + used, sizeof w->list - used, "%s%s", used ? "  " : "", word);
}

static void offer_all(struct words *w, const char *const *list, size_t n, const char *stem)
{
    for (size_t i = 0; i < n; i++)
        offer(w, list[i], stem);
}

static void offer_files(struct words *w, const char *stem)
{
    char *pattern = bp_format("%s*", stem);
    glob_t found = {0};
    if (pattern && glob(pattern, GLOB_MARK | GLOB_NOESCAPE, NULL, &found) == 0)
        for (size_t i = 0; i < found.gl_pathc && i < 200; i++)
            offer(w, found.gl_pathv[i], stem);
    globfree(&found);
    free(pattern);
}

static void offer_arguments(struct bp_app *app, struct words *w, const char *command,
                            const char *stem)
{
    static const char *const grids[] = {"paper", "reference", "nf4", "all", "b0="};
    static const char *const ties[] = {"qkv", "gate_up", "experts", "layer", "kind"};
    static const char *const objectives[] = {"sum", "relative"};
    static const char *const settings[] = {"context ",       "batch ",       "kv-bits ",
                                           "low-rank-bits ", "train-batch ", "train-sequence "};
    static const char *const precisions[] = {"8", "16", "32"};
    static const char *const names[] = {"go", "compare", "forget", "rename"};
    static const char *const files[] = {"export", "save", "open", "decompose"};
    static const char *const matrices[] = {"pin",    "ban",   "floor", "ceil",
                                           "weight", "limit", "find"};
    if (strcmp(command, "grid") == 0)
        offer_all(w, grids, sizeof grids / sizeof *grids, stem);
    if (strcmp(command, "tie") == 0)
        offer_all(w, ties, sizeof ties / sizeof *ties, stem);
    if (strcmp(command, "objective") == 0)
        offer_all(w, objectives, sizeof objectives / sizeof *objectives, stem);
    if (strcmp(command, "set") == 0)
        offer_all(w, settings, sizeof settings / sizeof *settings, stem);
    if (strcmp(command, "low-rank-bits") == 0)
        offer_all(w, precisions, sizeof precisions / sizeof *precisions, stem);
    for (int p = 0; strcmp(command, "show") == 0 && p < BP_N_PANELS; p++)
        offer(w, bp_panel_word((enum bp_panel)p), stem);
    for (int m = 0; strcmp(command, "metric") == 0 && m < BP_N_METRICS; m++)
        offer(w, bp_metric_key((enum bp_metric)m), stem);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        for (size_t k = 0; strcmp(command, names[i]) == 0 && k < app->session.n_bookmarks; k++)
            offer(w, app->session.bookmarks[k].name, stem);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        if (strcmp(command, files[i]) == 0)
            offer_files(w, stem);
    for (size_t i = 0; i < sizeof matrices / sizeof *matrices; i++)
        for (size_t k = 0; strcmp(command, matrices[i]) == 0 && k < app->map.n_kinds; k++)
            offer(w, app->map.kinds[k], stem);
}

void bp_app_complete(struct bp_app *app)
{
    struct bp_prompt *p = &app->prompt;
    struct words w = {.n = 0};
    const char *line = p->text;
    const size_t word = strcspn(line, " !");
    size_t start = 0;
    if (p->at != p->n)
        return;
    if (!line[word]) {
        for (int i = 0; i < N_COMMANDS; i++)
            offer(&w, commands[i].word, line);
    } else {
        const int i = find_command(line, word);
        start = word + strspn(line + word, "! ");
        if (i >= 0 && strcmp(commands[i].word, "decompose") == 0 && strrchr(line + start, ' '))
            start = (size_t)(strrchr(line, ' ') + 1 - line); /* the second path */
        if (i >= 0)
            offer_arguments(app, &w, commands[i].word, line + start);
    }
    if (w.n == 0)
        return;
    const size_t stem = p->n - start;
    bp_prompt_insert(p, w.common + stem);
    if (w.n == 1 && start == 0)
        bp_prompt_insert(p, " ");
    if (w.n > 1)
        bp_app_say(app, BP_ROLE_DIM, "%s", bp_printable(w.list).text);
    else
        app->message[0] = '\0';
}
