/* Error over budget: the frontier, the uniform configs below it, QLoRA's, the kept plans and the
 * present one. Moving along the curve moves the budget. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/printable.h"
#include "ui/canvas.h"
#include "ui/view.h"

enum { LABEL = 6 };

struct chart {
    struct bp_rect plot;
    double x0, x1; /* bits/param */
    double y0, y1; /* log10 of the error, at the bottom and at the top */
};

/* The frontier's own range, with what lies above it clipped: uniform configs can be 10^3 worse. */
static bool chart_of(const struct bp_app *app, struct bp_rect in, struct chart *c)
{
    const struct bp_axis axis = bp_budget_axis(app);
    double lo = INFINITY, hi = 0.0;
    for (size_t i = 0; i < app->n_points; i++) {
        const double e = app->points[i].error;
        if (e > 0.0 && isfinite(e)) {
            lo = e < lo ? e : lo;
            hi = e > hi ? e : hi;
        }
    }
    *c = (struct chart){
        .plot = {in.x + LABEL, in.y, in.w - LABEL, in.h - 2}, .x0 = axis.least, .x1 = axis.most};
    if (!(hi > 0.0) || c->plot.w < 4 || c->plot.h < 2)
        return false;
    c->y0 = log10(lo);
    c->y1 = log10(hi);
    if (c->y1 - c->y0 < 0.1)
        c->y1 = c->y0 + 0.1;
    const double margin = 0.04 * (c->y1 - c->y0);
    c->y0 -= margin;
    c->y1 += margin;
    return true;
}

static double dot_x(const struct chart *c, const struct bp_canvas *canvas, double bits)
{
    return (bits - c->x0) / (c->x1 - c->x0) * (bp_canvas_width(canvas) - 1);
}

static double dot_y(const struct chart *c, const struct bp_canvas *canvas, double error)
{
    return (c->y1 - log10(error)) / (c->y1 - c->y0) * (bp_canvas_height(canvas) - 1);
}

static void draw_uniform(const struct bp_app *app, const struct chart *c, struct bp_canvas *canvas)
{
    const double params = (double)bp_app_params(app);
    const size_t n = app->problem->source->planned->n_candidates;
    for (size_t j = 0; j < n; j++) {
        uint64_t bits;
        const double error = bp_planner_uniform(app->problem->planner, j, &bits);
        if (error > 0.0)
            bp_canvas_dot(canvas, dot_x(c, canvas, (double)bits / params), dot_y(c, canvas, error),
                          BP_ROLE_UNIFORM);
    }
}

static void draw_frontier(const struct bp_app *app, const struct chart *c, struct bp_canvas *canvas)
{
    const double params = (double)bp_app_params(app);
    for (size_t i = 1; i < app->n_points; i++) {
        const struct bp_frontier_point *a = &app->points[i - 1], *b = &app->points[i];
        if (a->error > 0.0 && b->error > 0.0)
            bp_canvas_line(canvas, dot_x(c, canvas, (double)a->budget_bits / params),
                           dot_y(c, canvas, a->error),
                           dot_x(c, canvas, (double)b->budget_bits / params),
                           dot_y(c, canvas, b->error), BP_ROLE_CURVE);
    }
}

/* Under weights or a relative objective the curve is not one of errors, which is all that is known
 * of QLoRA's configs and kept plans. */
static bool is_scaled(const struct bp_app *app)
{
    return bp_constraints_scale(&app->session.constraints);
}

static void draw_marks(const struct bp_app *app, const struct chart *c, struct bp_canvas *canvas)
{
    const double params = (double)bp_app_params(app);
    const bool scaled = is_scaled(app);
    for (size_t b = 0; app->plan && !scaled && b < app->plan->n_baselines; b++) {
        const struct bp_baseline *base = &app->plan->baselines[b];
        if (strncmp(base->name, "nf", 2) == 0 && base->error > 0.0)
            bp_canvas_mark(canvas, dot_x(c, canvas, (double)base->storage_bits / params),
                           dot_y(c, canvas, base->error), BP_ROLE_BASELINE,
                           (uint32_t)base->name[2]);
    }
    for (size_t k = 0; !scaled && k < app->session.n_bookmarks; k++) {
        const struct bp_bookmark *mark = &app->session.bookmarks[k];
        const double bits = (double)bp_app_bookmark_bits(app, mark);
        if (mark->error > 0.0 && bits > 0.0)
            bp_canvas_mark(canvas, dot_x(c, canvas, bits / params), dot_y(c, canvas, mark->error),
                           BP_ROLE_BOOKMARK, 0x25C6);
    }
    if (app->plan && app->plan->objective > 0.0)
        bp_canvas_mark(canvas, dot_x(c, canvas, (double)bp_plan_spent_bits(app->plan) / params),
                       dot_y(c, canvas, app->plan->objective), BP_ROLE_SLIDER, 0x25CF);
}

/* Round numbers up the axis: powers of ten, with 2 and 5 between where there are few. */
static void draw_error_axis(const struct chart *c, struct bp_cells *cells, struct bp_rect in)
{
    static const double steps[] = {1.0, 2.0, 5.0};
    const int n = c->y1 - c->y0 > 2.5 ? 1 : 3;
    for (int k = (int)floor(c->y0); k <= (int)ceil(c->y1); k++)
        for (int s = 0; s < n; s++) {
            char figure[BP_FIGURE_TEXT];
            const double value = steps[s] * pow(10.0, k);
            const double share = (c->y1 - log10(value)) / (c->y1 - c->y0);
            if (share < 0.0 || share > 1.0)
                continue;
            const int row = c->plot.y + (int)lround(share * (c->plot.h - 1));
            bp_cells_right(cells, in, c->plot.x - 1, row, BP_ROLE_DIM,
                           bp_round_figure(value, figure));
            bp_cells_put(cells, in, c->plot.x - 1, row, BP_ROLE_DIM, 0x2524);
        }
}

static void draw_axes(const struct chart *c, struct bp_cells *cells, struct bp_rect in)
{
    draw_error_axis(c, cells, in);
    const int y = c->plot.y + c->plot.h;
    int free_from = c->plot.x;
    const double width = c->x1 - c->x0, tick = width > 4.0 ? 1.0 : width > 1.0 ? 0.5 : 0.1;
    for (double x = ceil(c->x0 / tick) * tick; x <= c->x1; x += tick) {
        const int column = c->plot.x + (int)lround((x - c->x0) / (c->x1 - c->x0) * (c->plot.w - 1));
        if (column < free_from || column + 3 > c->plot.x + c->plot.w)
            continue;
        bp_cells_printf(cells, in, column, y, BP_ROLE_DIM, "%.1f", x);
        free_from = column + 5;
    }
}

/* Conditions beside the budget are not in the curve: then it is a bound, no optimum. */
static void draw_legend(const struct bp_app *app, struct bp_cells *cells, struct bp_rect in)
{
    const int y = in.y + in.h - 1;
    int x = bp_cells_text(cells, in, in.x, y, BP_ROLE_SLIDER, "\xE2\x97\x8F plan");
    x = bp_cells_text(cells, in, x + 1, y, BP_ROLE_CURVE,
                      bp_planner_sided(app->problem->planner) ? "\xE2\x94\x80 bound"
                                                              : "\xE2\x94\x80 optimum");
    x = bp_cells_text(cells, in, x + 1, y, BP_ROLE_UNIFORM, ". uniform");
    x = bp_cells_text(cells, in, x + 1, y, BP_ROLE_BASELINE, "3 4 NF");
    bp_cells_text(cells, in, x + 1, y, BP_ROLE_BOOKMARK, "\xE2\x97\x86 kept");
}

static void render(const struct bp_app *app, struct bp_cells *cells, struct bp_rect in)
{
    struct chart c;
    if (in.h < 4 || in.w < LABEL + 6)
        return;
    if (!app->problem || !chart_of(app, in, &c)) {
        bp_cells_text(cells, in, in.x, in.y, BP_ROLE_DIM,
                      app->problem ? "sampling the optimum ..." : "nothing to show yet");
        return;
    }
    struct bp_canvas *canvas = bp_canvas_new(cells, c.plot);
    if (!canvas)
        return;
    draw_uniform(app, &c, canvas);
    draw_frontier(app, &c, canvas);
    draw_marks(app, &c, canvas);
    bp_canvas_draw(canvas, cells);
    bp_canvas_free(canvas);
    draw_axes(&c, cells, in);
    draw_legend(app, cells, in);
}

static void title(const struct bp_app *app, char *text, size_t n)
{
    snprintf(text, n, "%s (log) over %sbits/param", is_scaled(app) ? "Objective" : "Error",
             bp_budget_is_effective(app) ? "effective " : "");
}

static bool act(struct bp_app *app, enum bp_action action, double n)
{
    switch (action) {
    case BP_ACTION_CURSOR_LEFT:
        bp_app_step_budget(app, 0.01, -n);
        break;
    case BP_ACTION_CURSOR_RIGHT:
        bp_app_step_budget(app, 0.01, n);
        break;
    default:
        return false;
    }
    return true;
}

static void mouse(struct bp_app *app, struct bp_rect in, const struct bp_event *event)
{
    if (event->mouse == BP_MOUSE_WHEEL)
        bp_app_step_budget(app, 0.01, event->wheel > 0 ? 1.0 : -1.0);
    else if (event->x >= in.x + LABEL && in.w > LABEL + 1)
        bp_app_slide_budget(app, (double)(event->x - in.x - LABEL) / (double)(in.w - LABEL - 1));
}

const struct bp_panel_ops bp_panel_curve = {render, act, mouse, title};
