/* The matrix under the cursor: what it is, what it got, what the next bits would buy, and its own
 * error over bits. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/printable.h"
#include "ui/canvas.h"
#include "ui/view.h"

/* A line of the panel; what does not fit is not shown. */
struct pen {
    struct bp_cells *cells;
    struct bp_rect in;
    int x, y;
};

static void put(struct pen *p, unsigned role, const char *text)
{
    p->x = bp_cells_text(p->cells, p->in, p->x, p->y, role, text);
}

static void new_line(struct pen *p)
{
    p->x = p->in.x;
    p->y++;
}

static void size_of(struct pen *p, double bits)
{
    char size[BP_SIZE_TEXT];
    put(p, BP_ROLE_VALUE, bp_size_format((uint64_t)(bits / 8.0 + 0.5), size));
}

/* "3-bit codes, 4-bit scales of 64, BF16 over 256 of those" */
static void config_words(const struct bp_config *c, char *text, size_t n)
{
    char type[8];
    snprintf(type, sizeof type, "%s", bp_scale_type_name((enum bp_scale_type)c->b2));
    for (char *p = type; *p; p++)
        *p = *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;
    snprintf(text, n, "%u-bit codes, a %u-bit scale each %" PRIu32 ", %s each %" PRIu32 " scales",
             c->b0, c->b1, c->B0, type, c->B1);
}

static void what_it_is(struct pen *p, const struct bp_table_matrix *m)
{
    char text[64];
    snprintf(text, sizeof text, "%" PRIu64 " x %" PRIu64 " ", m->d, m->k);
    put(p, BP_ROLE_VALUE, text);
    put(p, BP_ROLE_VALUE, bp_printable(m->dtype).text);
    put(p, BP_ROLE_DIM, *m->dtype ? ", " : "");
    put(p, BP_ROLE_DIM, bp_grouped(m->d * m->k).text);
    put(p, BP_ROLE_DIM, " parameters");
    new_line(p);
}

static void what_it_got(struct pen *p, const struct bp_plan *plan, size_t i)
{
    const struct bp_table *t = plan->table;
    const struct bp_candidate *c = &t->candidates[plan->choice[i]];
    const size_t cell = i * t->n_candidates + plan->choice[i];
    const double params = (double)t->matrices[i].d * (double)t->matrices[i].k;
    char text[160], figure[BP_FIGURE_TEXT];
    put(p, BP_ROLE_SLIDER, bp_printable(bp_candidate_format(c, text)).text);
    snprintf(text, sizeof text, "  %.4f", (double)t->storage[cell] / params);
    put(p, BP_ROLE_VALUE, text);
    put(p, BP_ROLE_DIM, " bits/param = ");
    size_of(p, (double)t->storage[cell]);
    new_line(p);
    if (!c->foreign) {
        config_words(&c->config, text, sizeof text);
        put(p, BP_ROLE_DIM, text);
        new_line(p);
    }
    put(p, BP_ROLE_DIM, "error ");
    put(p, BP_ROLE_VALUE, bp_figure(t->error[cell], figure));
    if (t->norm && t->norm[i] > 0.0) {
        snprintf(text, sizeof text, ", relative %.3g", t->error[cell] / t->norm[i]);
        put(p, BP_ROLE_DIM, text);
    }
    if (plan->error > 0.0) {
        snprintf(text, sizeof text, ", %.2f %% of the plan's",
                 100.0 * t->error[cell] / plan->error);
        put(p, BP_ROLE_DIM, text);
    }
    new_line(p);
}

static void alternative(struct pen *p, const struct bp_plan *plan, size_t i, uint32_t j)
{
    const struct bp_table *t = plan->table;
    char text[BP_CANDIDATE_TEXT], figure[BP_FIGURE_TEXT];
    const size_t row = i * t->n_candidates, now = row + plan->choice[i];
    const double bits = (double)t->storage[row + j] - (double)t->storage[now];
    const double error = t->error[row + j] - t->error[now];
    put(p, BP_ROLE_VALUE, bp_printable(bp_candidate_format(&t->candidates[j], text)).text);
    put(p, BP_ROLE_DIM, bits < 0 ? "  frees " : "  takes ");
    size_of(p, fabs(bits));
    put(p, BP_ROLE_DIM, error < 0 ? ", saves error " : ", costs error ");
    put(p, BP_ROLE_VALUE, bp_figure(fabs(error), figure));
}

static void what_else(struct pen *p, const struct bp_app *app, size_t i)
{
    const struct bp_plan *plan = app->plan;
    struct bp_matrix_prices prices;
    char figure[BP_FIGURE_TEXT];
    bp_planner_prices(app->problem->planner, i, plan->choice[i], plan->shadow_price, &prices);
    put(p, BP_ROLE_DIM, "next step up    ");
    if (prices.has_up)
        alternative(p, plan, i, prices.up);
    else
        put(p, BP_ROLE_DIM, "none: more bits save nothing here");
    new_line(p);
    put(p, BP_ROLE_DIM, "next step down  ");
    if (prices.has_down)
        alternative(p, plan, i, prices.down);
    else
        put(p, BP_ROLE_DIM, "none: nothing smaller is allowed");
    new_line(p);
    put(p, BP_ROLE_DIM, "runner-up       ");
    if (!prices.has_runner_up) {
        put(p, BP_ROLE_DIM, "none: nothing else is allowed");
        new_line(p);
        return;
    }
    alternative(p, plan, i, prices.runner_up);
    new_line(p);
    if (isfinite(prices.flip_price)) {
        const double mib = 8.0 * 1024.0 * 1024.0;
        put(p, BP_ROLE_DIM, "                takes over when a MiB is worth error ");
        put(p, BP_ROLE_VALUE, bp_figure(prices.flip_price * mib, figure));
        put(p, BP_ROLE_DIM, "; now ");
        put(p, BP_ROLE_VALUE, bp_figure(plan->shadow_price * mib, figure));
        new_line(p);
    }
}

static void what_binds(struct pen *p, const struct bp_app *app)
{
    static const struct {
        enum bp_constraint_kind kind;
        const char *word;
    } kinds[] = {{BP_CONSTRAINT_PIN, "pinned"},
                 {BP_CONSTRAINT_BAN, "a config banned"},
                 {BP_CONSTRAINT_FLOOR, "floor"},
                 {BP_CONSTRAINT_CEIL, "ceiling"}};
    bool any = false;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        if (bp_app_own_constraint(app, app->view.row, kinds[k].kind) != BP_EDIT_LAST) {
            put(p, BP_ROLE_PINNED, any ? ", " : "");
            put(p, BP_ROLE_PINNED, kinds[k].word);
            any = true;
        }
    put(p, BP_ROLE_DIM, any ? "  (X: free)" : "no constraint of its own  (p pin, x ban, F floor)");
    new_line(p);
}

/* Its error over bits: candidates as dots, those that constraints forbid left out, the chosen one
 * marked. */
static void own_curve(const struct bp_app *app, struct bp_cells *cells, struct bp_rect r, size_t i)
{
    const struct bp_plan *plan = app->plan;
    const struct bp_table *t = plan->table;
    const double *error = t->error + i * t->n_candidates;
    const uint64_t *storage = t->storage + i * t->n_candidates;
    const double params = (double)t->matrices[i].d * (double)t->matrices[i].k;
    double x0 = INFINITY, x1 = 0.0, y0 = INFINITY, y1 = 0.0;
    for (size_t j = 0; j < t->n_candidates; j++) {
        if (!(error[j] > 0.0))
            continue;
        const double bits = (double)storage[j] / params;
        x0 = bits < x0 ? bits : x0;
        x1 = bits > x1 ? bits : x1;
        y0 = error[j] < y0 ? error[j] : y0;
        y1 = error[j] > y1 ? error[j] : y1;
    }
    if (!(x1 > x0) || !(y1 > y0) || r.h < 3 || r.w < 20)
        return;
    char figure[BP_FIGURE_TEXT];
    const struct bp_rect plot = {r.x + 9, r.y, r.w - 9, r.h - 1};
    struct bp_canvas *canvas = bp_canvas_new(cells, plot);
    if (!canvas)
        return;
    const double w = bp_canvas_width(canvas) - 1, h = bp_canvas_height(canvas) - 1;
    for (size_t j = 0; j < t->n_candidates; j++)
        if (error[j] > 0.0 && bp_planner_allows(app->problem->planner, i, j))
            bp_canvas_dot(canvas, ((double)storage[j] / params - x0) / (x1 - x0) * w,
                          log(y1 / error[j]) / log(y1 / y0) * h, BP_ROLE_UNIFORM);
    const uint32_t c = plan->choice[i];
    if (error[c] > 0.0)
        bp_canvas_mark(canvas, ((double)storage[c] / params - x0) / (x1 - x0) * w,
                       log(y1 / error[c]) / log(y1 / y0) * h, BP_ROLE_SLIDER, 0x25CF);
    bp_canvas_draw(canvas, cells);
    bp_canvas_free(canvas);
    bp_cells_right(cells, r, plot.x - 1, r.y, BP_ROLE_DIM, bp_figure(y1, figure));
    bp_cells_right(cells, r, plot.x - 1, r.y + plot.h - 1, BP_ROLE_DIM, bp_figure(y0, figure));
    bp_cells_printf(cells, r, plot.x, r.y + r.h - 1, BP_ROLE_DIM, "%.2f", x0);
    char text[32];
    snprintf(text, sizeof text, "%.2f bits/param", x1);
    bp_cells_right(cells, r, r.x + r.w, r.y + r.h - 1, BP_ROLE_DIM, text);
}

static void render(const struct bp_app *app, struct bp_cells *cells, struct bp_rect in)
{
    if (!app->source)
        return;
    struct pen p = {cells, in, in.x, in.y};
    const struct bp_table_matrix *m = &app->source->table->matrices[app->view.row];
    const int64_t i = bp_app_part(app, app->view.row);
    what_it_is(&p, m);
    if (i == BP_NO_ROW || !app->plan) {
        put(&p, BP_ROLE_WARNING, i == BP_NO_ROW ? "not measured yet: no part of the plan" : "");
        return;
    }
    what_it_got(&p, app->plan, (size_t)i);
    what_else(&p, app, (size_t)i);
    what_binds(&p, app);
    own_curve(app, cells, (struct bp_rect){in.x, p.y, in.w, in.y + in.h - p.y}, (size_t)i);
}

/* The name, from its end where it is long: there it differs. */
static void title(const struct bp_app *app, char *text, size_t n)
{
    if (!app->source) {
        snprintf(text, n, "Matrix");
        return;
    }
    struct bp_printable name = bp_printable(app->source->table->matrices[app->view.row].name);
    snprintf(text, n, "%s", name.text);
}

static bool act(struct bp_app *app, enum bp_action action, double n)
{
    /* Moves the same cursor as on the map. */
    return action != BP_ACTION_CHOOSE && bp_panel_map.act(app, action, n);
}

static void mouse(struct bp_app *app, struct bp_rect in, const struct bp_event *event)
{
    (void)in;
    if (event->mouse == BP_MOUSE_WHEEL)
        bp_panel_map.act(app, event->wheel > 0 ? BP_ACTION_CURSOR_RIGHT : BP_ACTION_CURSOR_LEFT,
                         1.0);
}

const struct bp_panel_ops bp_panel_detail = {render, act, mouse, title};
