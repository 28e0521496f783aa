/*
 * The workbench's state and the two functions that are all of it: update(app, event) -> flags, and
 * render(const app, cells). Neither touches a terminal, so tests and scripts drive the same program
 * that people use.
 *
 * What a person decides lives in the session (engine/session.h) and changes by edits alone; what a
 * person looks at lives in `view`. The plan comes from the worker as news. Everything here belongs
 * to one thread.
 */
#ifndef BP_UI_APP_H
#define BP_UI_APP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/session.h"
#include "ui/actions.h"
#include "ui/cells.h"
#include "ui/event.h"
#include "ui/layout.h"
#include "ui/map.h"
#include "ui/problem.h"
#include "ui/prompt.h"
#include "ui/worker.h"

struct bp_carry;
struct bp_job;

/* What update asks the loop for, as bits. */
enum {
    BP_FLAG_REDRAW = 1,  /* paint a frame */
    BP_FLAG_REFRESH = 2, /* paint all of it anew (Ctrl-L) */
    BP_FLAG_SUSPEND = 4,
    BP_FLAG_QUIT = 8,
    BP_FLAG_BEEP = 16,
};

/* The figure that the map shows. X(suffix, key in a session, title, unit) */
#define BP_METRICS(X)                                                 \
    X(BITS, "bits", "bits/param", "bits/param")                       \
    X(ERROR, "error", "error", "")                                    \
    X(RELATIVE, "relative", "relative error", "% of keeping nothing") \
    X(SHARE, "share", "share of the error", "% of the plan's error")  \
    X(PRICE, "price", "price of the next bit", "error a MiB saves")

enum bp_metric {
#define BP_METRIC_ENUM(suffix, key, title, unit) BP_METRIC_##suffix,
    BP_METRICS(BP_METRIC_ENUM)
#undef BP_METRIC_ENUM
        BP_N_METRICS
};
const char *bp_metric_key(enum bp_metric metric);
const char *bp_metric_title(enum bp_metric metric);
const char *bp_metric_unit(enum bp_metric metric);

/* What a person looks at; no part of undo. */
struct bp_view {
    enum bp_panel page;  /* the panel that is open where not all fit */
    enum bp_panel focus; /* the panel with the keys */
    enum bp_metric metric;
    size_t row;     /* matrix under the cursor: a row of the whole table */
    int zoom;       /* map: steps away from the width that fits */
    int open_layer; /* map: index into map.layers of the layer that is opened, -1 = none */
    int compare;    /* bookmark that is compared with, -1 = none */
    int grid_x, grid_y;
    int memory_row;
    int plan_row;
    size_t warning; /* the one that was said last, from 1; 0 = none yet */
    bool help;
    int help_scroll;
    bool dragging; /* the slider follows the mouse */
};

struct bp_app_options {
    const char *path;       /* a table, session, plan or model */
    bool template;          /* a session to start from: it is not saved back to its file */
    const char *table_path; /* model: where the table goes; NULL = the state folder */
    const char *grid;       /* model: what is measured; NULL = paper */
    uint64_t rank;          /* model */
    enum bp_effort effort;  /* model */
    unsigned threads;       /* model */
    bool clock;
    int cols, rows;
};

struct bp_app {
    /* the document */
    struct bp_session session;
    struct bp_history *history;
    char *session_path; /* where it is saved; NULL = nowhere yet */
    size_t n_changes;   /* counts edits, undo, redo, saving: to tell that something happened */

    /* the data */
    struct bp_source *source; /* newest; NULL until a model's table is there */
    struct bp_map map;        /* of source->table */
    struct bp_memory_shape shape;
    struct bp_job *job; /* measuring in the background; NULL without */
    char *model_path; /* of the model that is measured, or was decomposed last; NULL = not known */
    struct bp_carry *carry; /* decomposing in the background, or the last one; NULL without */

    /* the answer */
    struct bp_worker *worker;
    int wake_fd;              /* readable when there are news */
    uint64_t asked, answered; /* generations */
    int64_t *bound; /* [n_bound] for each constraint the matrix that it names alone, or -1 */
    size_t n_bound;
    bool settled;               /* the answer to `asked` is here and final */
    struct bp_problem *problem; /* of the plan; NULL = none yet */
    struct bp_plan *plan;       /* NULL = none: `trouble` says why */
    char trouble[sizeof((struct bp_err *)0)->text];
    double solve_ms;
    double best_objective, best_bound; /* how far the proof is, where it takes long; 0 = nothing
                                          known beyond the plan */
    struct bp_frontier_point *points;  /* [n_points] of the problem; NULL until sampled */
    size_t n_points;
    double *up_price; /* [rows of the plan] error saved per bit, for BP_METRIC_PRICE; else NULL */

    /* the screen */
    struct bp_view view;
    struct bp_prompt prompt;
    char entry[32]; /* a number being typed: a count, or a budget once Enter is hit */
    char message[512];
    unsigned message_role;
    char found[256];   /* the pattern of the last search */
    char *export_path; /* waits for the proof; NULL = nothing waits */
    bool export_replace;
    bool leaving; /* saving first, by "s" of the question at leaving */
    struct bp_keymap keymap;
    char **history_lines; /* [n_history_lines] of the command line, oldest first */
    size_t n_history_lines;
    int cols, rows;
    bool ascii;                    /* the frames hold ASCII only: no arrows in the footer */
    struct bp_app_options options; /* how it was opened; its path is not kept */
    bool clock; /* times may be shown (not in scripts, whose frames are compared) */
};

/* Opens the file and starts the worker; for a model the measuring, too. */
enum bp_status bp_app_init(struct bp_app *app, const struct bp_app_options *options,
                           struct bp_err *err);
void bp_app_done(struct bp_app *app);

/* What happened -> what is to be done (flags). */
unsigned bp_app_update(struct bp_app *app, const struct bp_event *event);
/* Paints a frame of the app's size. */
void bp_app_render(const struct bp_app *app, struct bp_cells *cells);

/* Takes in what the worker and the job have to say. True when something on the screen changed. */
bool bp_app_news(struct bp_app *app);
/* Waits until the newest question has its first answer, at most timeout_ms. */
void bp_app_wait_answer(struct bp_app *app, int timeout_ms);
/* Waits until everything is solved to proof and sampled; with `measured`, until the jobs are done,
 * too. */
void bp_app_wait_settled(struct bp_app *app, bool measured);

/* --- for update and its parts --- */

void bp_app_say(struct bp_app *app, unsigned role, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Edits [n] as one step of undo, checked first: a constraint that cannot be read or cannot be met
 * is refused with its sentence and nothing changes. True when done. */
bool bp_app_edit(struct bp_app *app, const struct bp_edit *edits, size_t n, bool merge);
/* Asks the worker for the plan of the document as it is. */
void bp_app_ask(struct bp_app *app);
/* Has the newest source planned. Takes a reference over. */
void bp_app_set_source(struct bp_app *app, struct bp_source *source);

/* Sets the budget from text: bits/param, "2.2GiB", as --bits, --size or --total would. */
bool bp_app_set_budget(struct bp_app *app, enum bp_budget_unit unit, const char *text, bool merge);
/* Whether the range of the problem in hand is one for the session's budget: low-rank parts count in
 * both or in neither. Not for a moment after that has changed. */
bool bp_app_range_holds(const struct bp_app *app);
/* What a kept plan takes of a budget of the problem in hand; 0 where its table was another and that
 * is not known. There is a problem. */
uint64_t bp_app_bookmark_bits(const struct bp_app *app, const struct bp_bookmark *mark);
/* Moves it by n steps of `step` bits/param, within what makes sense. */
void bp_app_step_budget(struct bp_app *app, double step, double n);
/* To a share 0 .. 1 of the range that makes sense. */
void bp_app_slide_budget(struct bp_app *app, double share);

/* Moves the cursor to the next matrix that matches, from the cursor on; "" repeats the last. */
void bp_app_find(struct bp_app *app, const char *pattern);
/* Shows a figure on the map; counts round the ends. */
void bp_app_set_metric(struct bp_app *app, int metric);
/* What a bit buys, matrix by matrix; kept for a plan, as it takes a look at every cell. */
void bp_app_find_prices(struct bp_app *app);

/* Opens a panel and gives it the keys. */
void bp_app_show(struct bp_app *app, enum bp_panel panel);
struct bp_layout bp_app_layout(const struct bp_app *app);
/* Carries an action out; n is the count that was typed, 1 without one. Returns flags. */
unsigned bp_app_act(struct bp_app *app, enum bp_action action, double n);
/* Runs a line of the command line ("bits 2.6"); what is wrong is said. Returns flags. */
unsigned bp_app_command(struct bp_app *app, const char *line);
/* Whether leaving now would lose something: a change that is not saved. In what was no session to
 * begin with, a budget that was only moved is none. */
bool bp_app_would_lose(const struct bp_app *app);
/* Opens another file in place of this one; says what is wrong and stays when it cannot. */
void bp_app_open(struct bp_app *app, const char *path);
/* Words that could stand at the end of the line: the longest common completion is appended, several
 * are said. */
void bp_app_complete(struct bp_app *app);

/* Begins to carry the plan out: `args` is "MODEL OUT [FORM,FORM]", or OUT alone where the model is
 * known. */
void bp_app_decompose(struct bp_app *app, const char *args, bool replace);

/* Writes the plan, or keeps it for when it is proved. */
void bp_app_export(struct bp_app *app, const char *path, bool replace);
void bp_app_save(struct bp_app *app, const char *path, bool replace);
/* The session as text, with what a person looks at; on the heap. NULL when out of memory. */
char *bp_app_session_text(struct bp_app *app, const char *path);
void bp_app_view_from_session(struct bp_app *app);

/* --- for the views --- */

/* The plan's row of a matrix of the table, or BP_NO_ROW. */
int64_t bp_app_part(const struct bp_app *app, size_t row);
/* The metric of a matrix in the plan, NaN where there is none. */
double bp_app_metric(const struct bp_app *app, enum bp_metric metric, size_t row);
/* Parameters of the planned matrices. */
uint64_t bp_app_params(const struct bp_app *app);
/* The constraints that name this matrix alone: the value starts with its name as a pattern. */
size_t bp_app_own_constraint(const struct bp_app *app, size_t row, enum bp_constraint_kind kind);
/* "^name$" with the pattern's special characters escaped; on the heap. */
char *bp_app_name_pattern(const struct bp_app *app, size_t row);
/* Looks the matrices up that constraints name alone ("^name$=..."), after these or the table have
 * changed: a frame is painted more often, and a table can have 45,000 names. */
void bp_app_find_bound(struct bp_app *app);

#endif
