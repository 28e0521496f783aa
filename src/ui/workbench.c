#include "ui/workbench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/file_out.h"
#include "engine/mem.h"
#include "ui/app.h"
#include "ui/places.h"
#include "ui/script.h"
#include "ui/settings.h"
#include "ui/term.h"

/* How long a frame waits for the plan that belongs to it. Most are there after one; what takes
 * longer is painted as "solving". */
enum { ANSWER_MS = 12, FIRST_MS = 500, MAX_EVENTS = 64, MAX_HISTORY = 500 };

/* The first that is refused ends them: its sentence stays on the screen, and comes back as the
 * error of a replay, which nobody may be looking at. */
static enum bp_status run_commands(struct bp_app *app, const struct bp_workbench_options *o,
                                   struct bp_err *err)
{
    if (o->n_commands == 0)
        return BP_OK;
    bp_app_wait_settled(app, false);
    for (size_t i = 0; i < o->n_commands; i++) {
        /* For a model the grid is what is measured. */
        if (app->job && strncmp(o->commands[i], "grid ", 5) == 0)
            continue;
        app->message[0] = '\0';
        const size_t before = app->n_changes;
        bp_app_command(app, o->commands[i]);
        if (app->message_role == BP_ROLE_ERROR && app->message[0] && app->n_changes == before)
            return bp_fail(err, BP_ERR_USAGE, "%s", app->message);
    }
    return BP_OK;
}

static struct bp_app_options app_options(const struct bp_workbench_options *o, int cols, int rows)
{
    return (struct bp_app_options){
        .path = o->path,
        .template = o->template,
        .table_path = o->table_path,
        .grid = o->grid,
        .rank = o->rank,
        .effort = o->effort,
        .threads = o->threads,
        .clock = !o->script,
        .cols = cols,
        .rows = rows,
    };
}

/* --- without a terminal --- */

static enum bp_status replay(const struct bp_workbench_options *o, struct bp_err *err)
{
    struct bp_app app;
    struct bp_cells cells = {.ascii = o->ascii};
    struct bp_app_options options = app_options(o, o->cols, o->rows);
    BP_TRY(bp_app_init(&app, &options, err));
    app.ascii = o->ascii;
    bp_app_wait_settled(&app, false);
    enum bp_status status = run_commands(&app, o, err);
    if (status == BP_OK)
        status = bp_script_run(&app, &cells, o->script, o->dump, err);
    if (status == BP_OK && !o->dump) {
        char *text = bp_cells_dump(&cells);
        if (text)
            fputs(text, stdout);
        else
            status = bp_fail_nomem(err);
        free(text);
    }
    bp_cells_done(&cells);
    bp_app_done(&app);
    return status;
}

/* --- what is remembered --- */

static void read_history(struct bp_app *app)
{
    char *path = bp_place_state("history"), line[BP_PROMPT_TEXT];
    FILE *f = path ? fopen(path, "r") : NULL;
    free(path);
    while (f && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = '\0';
        char **grown = bp_grow(app->history_lines, app->n_history_lines + 1, sizeof *grown);
        if (!grown)
            break;
        app->history_lines = grown;
        char *copy = bp_strdup(line);
        if (!copy)
            break;
        app->history_lines[app->n_history_lines++] = copy;
    }
    if (f)
        fclose(f);
}

/* Losing it would be a pity, no failure. */
static void write_history(const struct bp_app *app)
{
    char *path = bp_place_state("history"), *text = NULL;
    size_t n = 0;
    FILE *f = path && app->n_history_lines ? open_memstream(&text, &n) : NULL;
    size_t first = app->n_history_lines > MAX_HISTORY ? app->n_history_lines - MAX_HISTORY : 0;
    for (size_t i = first; f && i < app->n_history_lines; i++)
        fprintf(f, "%s\n", app->history_lines[i]);
    if (f && fclose(f) == 0)
        bp_file_write(path, text, n, true, NULL);
    free(text);
    free(path);
}

/* --- on the terminal --- */

struct desk {
    struct bp_app app;
    struct bp_cells cells;
    struct bp_term *term;
    char *rescue_path; /* where a session goes that would be lost; NULL without a place */
    char *rescue_text;
    size_t rescued; /* app.n_changes that rescue_text holds */
};

/* A file that is not there yet: process numbers come again, and what was rescued then may still be
 * waiting for somebody. */
static char *rescue_place(void)
{
    char *path = NULL;
    for (int k = 1; k < 1000; k++) {
        char name[64], number[16] = "";
        if (k > 1)
            snprintf(number, sizeof number, "-%d", k);
        snprintf(name, sizeof name, "recovered-%ld%s.json", (long)getpid(), number);
        free(path);
        path = bp_place_state(name);
        if (!path || access(path, F_OK) != 0)
            break;
    }
    return path;
}

/* Has the document ready for the crash handler, which cannot make it. */
static void keep_rescue(struct desk *d)
{
    if (!d->rescue_path || d->rescued == d->app.n_changes)
        return;
    d->rescued = d->app.n_changes;
    char *text =
        bp_history_changed(d->app.history) ? bp_app_session_text(&d->app, d->rescue_path) : NULL;
    bp_term_on_crash(text ? d->rescue_path : NULL, text, text ? strlen(text) : 0);
    free(d->rescue_text);
    d->rescue_text = text;
}

static enum bp_status save_rescue(struct desk *d, struct bp_err *err)
{
    if (!bp_history_changed(d->app.history))
        return bp_fail(err, BP_STOPPED, "ended by a signal; nothing was lost");
    char *text = d->rescue_path ? bp_app_session_text(&d->app, d->rescue_path) : NULL;
    enum bp_status status =
        text ? bp_file_write(d->rescue_path, text, strlen(text), true, err)
             : bp_fail(err, BP_ERR_FAILED, "there is no folder to save the session in");
    free(text);
    return status == BP_OK
               ? bp_fail(err, BP_STOPPED,
                         "ended by a signal; the session was saved: `bitplan %s` opens it",
                         d->rescue_path)
               : status;
}

static enum bp_status paint(struct desk *d, struct bp_err *err)
{
    if (!bp_cells_resize(&d->cells, d->app.cols, d->app.rows))
        return bp_fail_nomem(err);
    bp_app_render(&d->app, &d->cells);
    bp_term_draw(d->term, &d->cells);
    return BP_OK;
}

/* Events until there are no more for now: several keys of a fast finger make one frame. */
static unsigned take_events(struct desk *d, bool *stopped)
{
    struct bp_event event;
    unsigned flags = 0;
    int timeout_ms = -1;
    for (int i = 0; i < MAX_EVENTS && !(flags & (BP_FLAG_QUIT | BP_FLAG_SUSPEND)); i++) {
        bp_term_wait(d->term, d->app.wake_fd, timeout_ms, &event);
        if (event.kind == BP_EVENT_NONE)
            break;
        *stopped |= event.kind == BP_EVENT_STOP;
        flags |= bp_app_update(&d->app, &event);
        timeout_ms = 0;
    }
    return flags;
}

static enum bp_status loop(struct desk *d, struct bp_err *err)
{
    for (;;) {
        bool stopped = false;
        const unsigned flags = take_events(d, &stopped);
        if (stopped)
            return save_rescue(d, err);
        if (flags & BP_FLAG_QUIT)
            return BP_OK;
        keep_rescue(d);
        if (flags & BP_FLAG_BEEP)
            bp_term_beep(d->term);
        if (flags & BP_FLAG_SUSPEND)
            bp_term_suspend(d->term);
        if (flags & BP_FLAG_REFRESH)
            bp_term_redraw(d->term);
        if (flags & BP_FLAG_REDRAW) {
            bp_app_wait_answer(&d->app, ANSWER_MS);
            BP_TRY(paint(d, err));
        }
    }
}

static enum bp_status sit_down(struct desk *d, const struct bp_workbench_options *o,
                               const struct bp_settings *settings, struct bp_err *err)
{
    struct bp_term_options term_options = {.colors = settings->colors, .mouse = settings->mouse};
    BP_TRY(bp_term_open(&term_options, &d->term, err));
    d->cells.ascii = settings->ascii || !bp_term_utf8(d->term);
    d->app.ascii = d->cells.ascii;
    d->rescue_path = rescue_place();
    bp_term_size(d->term, &d->app.cols, &d->app.rows);
    run_commands(&d->app, o, NULL);
    keep_rescue(d);
    /* Nothing is on the screen yet: the first frame may wait for its plan. */
    bp_app_wait_answer(&d->app, FIRST_MS);
    BP_TRY(paint(d, err));
    return loop(d, err);
}

static enum bp_status on_terminal(const struct bp_workbench_options *o, struct bp_err *err)
{
    struct desk d = {.rescued = 0};
    struct bp_settings settings = {.mouse = true};
    struct bp_app_options options = app_options(o, 80, 24);
    /* What is wrong with the file is said before the screen is taken over. */
    BP_TRY(bp_app_init(&d.app, &options, err));
    char *path = bp_place_config("config");
    enum bp_status status = path ? bp_settings_read(path, &settings, &d.app.keymap, err) : BP_OK;
    free(path);
    if (status == BP_OK && o->colors)
        bp_colors_parse(o->colors, &settings.colors);
    settings.mouse &= o->mouse;
    settings.ascii |= o->ascii;
    if (status == BP_OK) {
        read_history(&d.app);
        status = sit_down(&d, o, &settings, err);
        bp_term_on_crash(NULL, NULL, 0);
        if (status == BP_STOPPED && o->stop_signal)
            *o->stop_signal = bp_term_stop_signal(d.term);
        d.term = bp_term_close(d.term);
        write_history(&d.app);
    }
    bp_cells_done(&d.cells);
    bp_app_done(&d.app);
    free(d.rescue_text);
    free(d.rescue_path);
    return status;
}

enum bp_status bp_workbench(const struct bp_workbench_options *o, struct bp_err *err)
{
    enum bp_colors colors;
    if (o->colors && !bp_colors_parse(o->colors, &colors))
        return bp_fail(err, BP_ERR_USAGE, "--colors: '%s' is none of auto, true, 256, 16, mono",
                       o->colors);
    return o->script ? replay(o, err) : on_terminal(o, err);
}
