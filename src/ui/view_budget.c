/* The budget: a slider over what makes sense, what was asked, what is got, and the certificate. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/printable.h"
#include "ui/view.h"

enum { LABEL = 8 }; /* columns of the track's end labels */

struct bp_axis bp_budget_axis(const struct bp_app *app)
{
    if (!app->problem)
        return (struct bp_axis){0.0, 1.0};
    const double params = (double)bp_app_params(app);
    struct bp_axis axis = {(double)app->problem->least_bits / params,
                           (double)app->problem->most_bits / params};
    if (axis.most <= axis.least)
        axis.most = axis.least + 1e-3;
    return axis;
}

bool bp_budget_is_effective(const struct bp_app *app)
{
    return app->problem && bp_planner_counted(app->problem->planner) > 0;
}

/* "5.554e+06" as "5.554e6". */
static void shorten_exponent(char *text)
{
    char *e = strchr(text, 'e');
    if (!e)
        return;
    const char *digits = e + 2 + strspn(e + 2, "0");
    char *to = e + 1 + (e[1] == '-');
    memmove(to, digits, strlen(digits) + 1);
}

const char *bp_figure(double value, char text[BP_FIGURE_TEXT])
{
    const double size = fabs(value);
    if (!isfinite(value))
        snprintf(text, BP_FIGURE_TEXT, "unknown");
    else if (size != 0.0 && (size >= 1e6 || size < 1e-3))
        snprintf(text, BP_FIGURE_TEXT, "%.3e", value);
    else
        snprintf(text, BP_FIGURE_TEXT, "%.*f",
                 size >= 1000.0  ? 0
                 : size >= 100.0 ? 1
                 : size >= 10.0  ? 2
                 : size >= 1.0   ? 3
                                 : 4,
                 value);
    if (isfinite(value))
        shorten_exponent(text);
    return text;
}

const char *bp_round_figure(double value, char text[BP_FIGURE_TEXT])
{
    if (value >= 1e4 || value < 1e-2)
        snprintf(text, BP_FIGURE_TEXT, "%.0e", value);
    else
        snprintf(text, BP_FIGURE_TEXT, "%g", value);
    shorten_exponent(text);
    return text;
}

int bp_text_fitting(struct bp_cells *cells, struct bp_rect in, int x, int y, unsigned role,
                    const char *text)
{
    return x + bp_text_width(text) <= in.x + in.w ? bp_cells_text(cells, in, x, y, role, text) : x;
}

int bp_heat(double value, double lo, double hi, bool log)
{
    if (log && (value <= 0.0 || lo <= 0.0))
        return 0;
    double share = log ? log2(value / lo) / log2(hi / lo) : (value - lo) / (hi - lo);
    if (!(share > 0.0)) /* also where hi == lo */
        return 0;
    return share >= 1.0 ? BP_N_HEATS - 1 : (int)(share * BP_N_HEATS);
}

static struct bp_rect track_of(struct bp_rect in)
{
    return (struct bp_rect){in.x + LABEL, in.y, in.w - 2 * LABEL, 1};
}

/* The column of a budget on the track. */
static int column(struct bp_axis axis, struct bp_rect track, double bits)
{
    double share = (bits - axis.least) / (axis.most - axis.least);
    share = share < 0.0 ? 0.0 : share > 1.0 ? 1.0 : share;
    return track.x + (int)lround(share * (track.w - 1));
}

/* A tick with its name under the track, where there is room: `free_from` is the first free column.
 */
static void tick(struct bp_cells *cells, struct bp_rect track, int x, unsigned role,
                 const char *name, int *free_from)
{
    const struct bp_rect below = {track.x, track.y, track.w, 2};
    const int w = bp_text_width(name);
    int start = x - w / 2;
    if (start < *free_from)
        start = *free_from;
    bp_cells_put(cells, below, x, track.y, role, 0x253C); /* cross */
    if (start > x || start + w > track.x + track.w)
        return;
    bp_cells_text(cells, below, start, track.y + 1, role, name);
    *free_from = start + w + 1;
}

struct mark {
    double bits;
    unsigned role;
    const char *name;
};

/* NF3, NF4 and the kept plans, from left to right. */
static void ticks(const struct bp_app *app, struct bp_cells *cells, struct bp_rect track,
                  struct bp_axis axis)
{
    enum { MOST = 64 };
    struct mark marks[MOST];
    size_t n = 0;
    const double params = (double)bp_app_params(app);
    for (size_t b = 0; app->plan && b < app->plan->n_baselines; b++) {
        const struct bp_baseline *base = &app->plan->baselines[b];
        const bool nf = strncmp(base->name, "nf", 2) == 0;
        if (nf)
            marks[n++] = (struct mark){(double)base->storage_bits / params, BP_ROLE_BASELINE,
                                       strcmp(base->name, "nf3") == 0 ? "NF3" : "NF4"};
    }
    for (size_t k = 0; k < app->session.n_bookmarks && n < MOST; k++)
        marks[n++] =
            (struct mark){(double)bp_app_bookmark_bits(app, &app->session.bookmarks[k]) / params,
                          BP_ROLE_BOOKMARK, app->session.bookmarks[k].name};
    for (size_t i = 1; i < n; i++) /* a handful: insertion sort */
        for (size_t k = i; k > 0 && marks[k].bits < marks[k - 1].bits; k--) {
            struct mark swap = marks[k];
            marks[k] = marks[k - 1];
            marks[k - 1] = swap;
        }
    int free_from = track.x;
    for (size_t i = 0; i < n; i++)
        if (marks[i].bits >= axis.least && marks[i].bits <= axis.most)
            tick(cells, track, column(axis, track, marks[i].bits), marks[i].role,
                 bp_printable(marks[i].name).text, &free_from);
}

static void slider(const struct bp_app *app, struct bp_cells *cells, struct bp_rect in)
{
    const struct bp_rect track = track_of(in);
    const struct bp_axis axis = bp_budget_axis(app);
    const double params = (double)bp_app_params(app);
    char text[16];
    bp_cells_fill(cells, track, BP_ROLE_TRACK, 0x2500);
    if (!app->problem || params <= 0.0)
        return;
    snprintf(text, sizeof text, "%.3f ", axis.least);
    bp_cells_right(cells, in, track.x, in.y, BP_ROLE_DIM, text);
    bp_cells_printf(cells, in, track.x + track.w, in.y, BP_ROLE_DIM, " %.3f", axis.most);
    const int knob = column(axis, track, (double)app->session.budget.bits / params);
    const struct bp_rect left = {track.x, track.y, knob - track.x, 1};
    bp_cells_fill(cells, left, BP_ROLE_SLIDER, 0x2501);
    ticks(app, cells, track, axis);
    bp_cells_put(cells, track, knob, track.y, BP_ROLE_SLIDER, 0x25CF);
}

/* --- figures --- */

/* What was asked, in its own unit. */
static int target(const struct bp_app *app, struct bp_cells *cells, struct bp_rect in, int y)
{
    const struct bp_budget *b = &app->session.budget;
    char size[BP_SIZE_TEXT];
    int x = bp_cells_text(cells, in, in.x, y, BP_ROLE_DIM, "target ");
    if (b->asked <= 0.0)
        return bp_cells_text(cells, in, x, y, BP_ROLE_DIM, "none yet");
    if (b->unit == BP_BUDGET_BITS_PER_PARAM)
        return bp_cells_printf(cells, in, x, y, BP_ROLE_SLIDER, "%.4f", b->asked);
    x = bp_cells_text(cells, in, x, y, BP_ROLE_SLIDER, bp_size_format((uint64_t)b->asked, size));
    return b->unit == BP_BUDGET_TOTAL_BYTES ? bp_cells_text(cells, in, x, y, BP_ROLE_DIM, " in all")
                                            : x;
}

static int got(const struct bp_app *app, struct bp_cells *cells, struct bp_rect in, int y)
{
    const struct bp_plan *plan = app->plan;
    char size[BP_SIZE_TEXT];
    int x = target(app, cells, in, y);
    if (!plan)
        return x;
    const bool total = plan->budget.unit == BP_BUDGET_TOTAL_BYTES;
    const uint64_t spent = bp_plan_spent_bits(plan);
    x = bp_cells_text(cells, in, x, y, BP_ROLE_DIM, "  plan ");
    if (total) { /* what was got, as it was asked */
        bp_size_format(bp_budget_total_for(&plan->budget, spent), size);
        x = bp_cells_text(cells, in, x, y, BP_ROLE_VALUE, size);
        x = bp_cells_text(cells, in, x, y, BP_ROLE_DIM, " in all, ");
    }
    x = bp_cells_printf(cells, in, x, y, BP_ROLE_VALUE, "%.4f", bp_plan_bits_per_param(plan));
    x = bp_cells_text(cells, in, x, y, BP_ROLE_DIM, total ? " bits/param" : " bits/param = ");
    if (!total)
        x = bp_cells_text(cells, in, x, y, BP_ROLE_VALUE, bp_size_format((spent + 7) / 8, size));
    if (x + 18 > in.x + in.w)
        return x;
    x = bp_cells_text(cells, in, x, y, BP_ROLE_DIM, "  effective ");
    x = bp_cells_printf(cells, in, x, y, BP_ROLE_VALUE, "%.4f",
                        bp_plan_effective_bits_per_param(plan));
    return bp_text_fitting(cells, in, x, y, BP_ROLE_DIM, " with the low-rank part");
}

/* "optimal, proved in 0.4 ms", or how far from it at most. */
static int certificate(const struct bp_app *app, struct bp_cells *cells, struct bp_rect in, int x,
                       int y)
{
    const struct bp_certificate *c = &app->plan->certificate;
    char took[32] = "";
    if (!app->settled && app->best_bound > 0.0 && isfinite(app->best_objective)) {
        char best[BP_FIGURE_TEXT], bound[BP_FIGURE_TEXT];
        return bp_cells_printf(
            cells, in, x, y, BP_ROLE_WARNING, "proving: found %s, bound %s, gap %.2g %%",
            bp_figure(app->best_objective, best), bp_figure(app->best_bound, bound),
            100.0 * (1.0 - app->best_bound / app->best_objective));
    }
    if (app->answered != app->asked)
        return bp_cells_text(cells, in, x, y, BP_ROLE_WARNING, "solving ...");
    if (app->clock)
        snprintf(took, sizeof took, " in %.1f ms", app->solve_ms);
    if (c->optimal)
        return bp_cells_printf(cells, in, x, y, BP_ROLE_GOOD, "optimal, proved%s", took);
    return bp_cells_printf(cells, in, x, y, BP_ROLE_WARNING,
                           app->settled ? "at most %.2g %% above the optimum%s"
                                        : "at most %.2g %% above, proving ...",
                           100.0 * c->gap, took);
}

static void no_plan(const struct bp_app *app, struct bp_cells *cells, struct bp_rect in, int y)
{
    const struct bp_budget *b = &app->session.budget;
    char size[BP_SIZE_TEXT];
    const bool too_small =
        b->asked > 0.0 && bp_app_range_holds(app) && b->bits < app->problem->least_bits;
    if (too_small && b->unit == BP_BUDGET_TOTAL_BYTES)
        bp_cells_printf(cells, in, in.x, y, BP_ROLE_ERROR,
                        "no plan: the least budget is %s bytes in all",
                        bp_grouped(bp_budget_total_for(b, app->problem->least_bits)).text);
    else if (too_small)
        bp_cells_printf(
            cells, in, in.x, y, BP_ROLE_ERROR, "no plan: the least budget is %.4f bits/param = %s",
            ceil((double)app->problem->least_bits / (double)bp_app_params(app) * 1e4) / 1e4,
            bp_size_format((app->problem->least_bits + 7) / 8, size));
    else if (app->answered != app->asked)
        bp_cells_text(cells, in, in.x, y, BP_ROLE_WARNING, "solving ...");
    else
        bp_cells_text(cells, in, in.x, y, BP_ROLE_ERROR, bp_printable(app->trouble).text);
}

static void quality(const struct bp_app *app, struct bp_cells *cells, struct bp_rect in, int y)
{
    const struct bp_plan *plan = app->plan;
    char figure[BP_FIGURE_TEXT];
    if (!plan) {
        no_plan(app, cells, in, y);
        return;
    }
    int x = bp_cells_text(cells, in, in.x, y, BP_ROLE_DIM, "error ");
    x = bp_cells_text(cells, in, x, y, BP_ROLE_VALUE, bp_figure(plan->error, figure));
    if (isfinite(plan->relative_error))
        x = bp_cells_printf(cells, in, x, y, BP_ROLE_DIM, " (relative %.3g)", plan->relative_error);
    x = bp_cells_text(cells, in, x, y, BP_ROLE_DIM, "  ");
    x = certificate(app, cells, in, x, y);
    const struct bp_baseline *best = &plan->baselines[0];
    if (strcmp(best->name, "best uniform") != 0 || !(best->error > 0.0) || x + 29 > in.x + in.w)
        return;
    x = bp_cells_text(cells, in, x, y, BP_ROLE_DIM, "  ");
    x = bp_cells_printf(cells, in, x, y, BP_ROLE_VALUE, "%.1f %%",
                        100.0 * (1.0 - plan->error / best->error));
    x = bp_cells_text(cells, in, x, y, BP_ROLE_DIM, " below best uniform ");
    char text[BP_CANDIDATE_TEXT];
    bp_text_fitting(cells, in, x, y, BP_ROLE_DIM,
                    bp_printable(bp_candidate_format(&best->candidate, text)).text);
}

/* How many warnings the plan carries, at the right where there is room behind column x. */
static void warnings(const struct bp_app *app, struct bp_cells *cells, struct bp_rect in, int x,
                     int y)
{
    char text[64], key[24];
    if (!app->plan || app->plan->n_warnings == 0)
        return;
    const size_t n = app->plan->n_warnings;
    snprintf(text, sizeof text, "%zu warning%s (%s)", n, n == 1 ? "" : "s",
             bp_keymap_key(&app->keymap, BP_ACTION_WARNING, key));
    if (x + 2 + bp_text_width(text) > in.x + in.w)
        snprintf(text, sizeof text, "%zu! (%s)", n,
                 bp_keymap_key(&app->keymap, BP_ACTION_WARNING, key));
    const int start = in.x + in.w - bp_text_width(text);
    if (start > x + 1)
        bp_cells_text(cells, in, start, y, BP_ROLE_WARNING, text);
}

static void render(const struct bp_app *app, struct bp_cells *cells, struct bp_rect in)
{
    slider(app, cells, in);
    warnings(app, cells, in, got(app, cells, in, in.y + 2), in.y + 2);
    quality(app, cells, in, in.y + 3);
}

static void title(const struct bp_app *app, char *text, size_t n)
{
    snprintf(text, n, "Budget, %sbits/param", bp_budget_is_effective(app) ? "effective " : "");
}

static bool act(struct bp_app *app, enum bp_action action, double n)
{
    (void)app;
    (void)action;
    (void)n;
    return false;
}

static void mouse(struct bp_app *app, struct bp_rect in, const struct bp_event *event)
{
    const struct bp_rect track = track_of(in);
    if (event->mouse == BP_MOUSE_WHEEL) {
        bp_app_step_budget(app, 0.01, event->wheel > 0 ? -1.0 : 1.0);
        return;
    }
    const bool on_track = event->y >= track.y && event->y <= track.y + 1;
    if (!app->view.dragging && !on_track)
        return;
    app->view.dragging = true;
    bp_app_slide_budget(app, (double)(event->x - track.x) / (double)(track.w - 1));
}

const struct bp_panel_ops bp_panel_budget = {render, act, mouse, title};
