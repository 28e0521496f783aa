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

/* "3-bit codes, 4-bit scales of 64, BF16 of 256" */
static void config_words(const struct bp_config *c, char *text, size_t n)
{
    char type[8];
    snprintf(type, sizeof type, "%s", bp_scale_type_name((enum bp_scale_type)c->b2));
    for (char *p = type; *p; p++)
        *p = *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;
    snprintf(text, n, "%u-bit codes, %u-bit scales of %" PRIu32 ", %s of %" PRIu32, c->b0, c->b1,
             c->B0, type, c->B1);
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

static bool ranks_differ(const struct bp_table *t)
{
    for (size_t j = 1; j < t->n_candidates; j++)
        if (t->candidates[j].rank != t->candidates[0].rank)
            return true;
    return false;
}

static void what_it_got(struct pen *p, const struct bp_plan *plan, size_t i)
{
    const struct bp_table *t = plan->table;
    const struct bp_candidate *c = &t->candidates[plan->choice[i]];
    const size_t cell = i * t->n_candidates + plan->choice[i];
    char text[160], figure[BP_FIGURE_TEXT];
    if (!c->foreign) {
        config_words(&c->config, text, sizeof text);
        put(p, BP_ROLE_DIM, text);
        if (ranks_differ(t)) {
            snprintf(text, sizeof text, ", rank %" PRIu32, c->rank);
            put(p, BP_ROLE_DIM, text);
        }
        new_line(p);
    }
    /* How far it was taken, where a table says. */
    static const char *const stages[BP_N_CELL_STAGES] = {[BP_CELL_ITERATED] = "iterated ",
                                                         [BP_CELL_ESTIMATED] = "estimated ",
                                                         [BP_CELL_ONE_STEP] = "one-step "};
    const enum bp_cell_stage stage = bp_table_stage(t, i, plan->choice[i]);
    if (t->stage && stages[stage])
        put(p, stage == BP_CELL_ITERATED ? BP_ROLE_DIM : BP_ROLE_WARNING, stages[stage]);
    put(p, BP_ROLE_DIM, "error ");
    put(p, BP_ROLE_VALUE, bp_figure(t->error[cell], figure));
    if (t->norm && t->norm[i] > 0.0) {
        snprintf(text, sizeof text, ", relative %.3g", t->error[cell] / t->norm[i]);
        put(p, BP_ROLE_DIM, text);
    }
    if (plan->error > 0.0) {
        snprintf(text, sizeof text, ", %.2f %% of %s", 100.0 * t->error[cell] / plan->error,
                 t->stage ? "all" : "the plan's");
        put(p, BP_ROLE_DIM, text);
    }
    new_line(p);
}

/* --- what it has beside what it could have --- */

enum { LABEL = 6, CONFIG = 19, RANK = 5, BITS = 6, MEMORY = 12, ERROR = 8, TEXT_WIDTH = 52 };

static void right_column(struct pen *p, int width, unsigned role, const char *text)
{
    p->x += width;
    bp_cells_right(p->cells, p->in, p->x, p->y, role, text);
}

static void choices_head(struct pen *p, const struct bp_table *t)
{
    p->x += LABEL;
    bp_cells_text(p->cells, p->in, p->x, p->y, BP_ROLE_TITLE, "config");
    p->x += CONFIG - 1 + (ranks_differ(t) ? RANK : 0);
    right_column(p, BITS, BP_ROLE_TITLE, "bits");
    right_column(p, MEMORY, BP_ROLE_TITLE, "memory");
    right_column(p, ERROR, BP_ROLE_TITLE, "error");
    new_line(p);
}

/* A line of the little table: the chosen candidate as it is, another by what it changes. Memory is
 * what the budget counts. */
static void choice_line(struct pen *p, const struct bp_app *app, size_t i, uint32_t j,
                        const char *label)
{
    const struct bp_plan *plan = app->plan;
    const struct bp_table *t = plan->table;
    const struct bp_candidate *c = &t->candidates[j];
    const size_t row = i * t->n_candidates, now = row + plan->choice[i];
    const bool chosen = j == plan->choice[i];
    const unsigned role = chosen ? BP_ROLE_SLIDER : BP_ROLE_VALUE;
    const double params = (double)t->matrices[i].d * (double)t->matrices[i].k;
    const uint64_t is = bp_planner_bits(app->problem->planner, i, j);
    const uint64_t was = bp_planner_bits(app->problem->planner, i, plan->choice[i]);
    const double error = t->error[row + j] - (chosen ? 0.0 : t->error[now]);
    char text[BP_CANDIDATE_TEXT], size[BP_SIZE_TEXT + 1], figure[BP_FIGURE_TEXT];
    bp_cells_text(p->cells, p->in, p->x, p->y, BP_ROLE_DIM, label);
    p->x += LABEL;
    if (c->foreign || ranks_differ(t))
        bp_candidate_format(c, text);
    else
        bp_config_format(&c->config, text);
    bp_cells_text(p->cells, p->in, p->x, p->y, role, bp_printable(text).text);
    p->x += CONFIG - 1 + (ranks_differ(t) ? RANK : 0);
    snprintf(text, sizeof text, "%.3f", (double)t->storage[row + j] / params);
    right_column(p, BITS, role, text);
    size[0] = is < was ? '-' : '+';
    bp_size_format(((is < was ? was - is : chosen ? is : is - was) + 4) / 8, size + 1);
    right_column(p, MEMORY, role, chosen ? size + 1 : size);
    bp_figure(error, figure);
    snprintf(text, sizeof text, "%s%s", error > 0 && !chosen ? "+" : "", figure);
    right_column(p, ERROR, role, text);
    new_line(p);
}

static void what_else(struct pen *p, const struct bp_app *app, size_t i)
{
    const struct bp_plan *plan = app->plan;
    struct bp_matrix_prices prices;
    char figure[BP_FIGURE_TEXT];
    bp_planner_prices(app->problem->planner, i, plan->choice[i], plan->shadow_price, &prices);
    choices_head(p, plan->table);
    choice_line(p, app, i, plan->choice[i], "now");
    const struct bp_bookmark *kept =
        app->view.compare >= 0 ? &app->session.bookmarks[app->view.compare] : NULL;
    if (kept && bp_bookmark_fits(kept, plan->table))
        choice_line(p, app, i, kept->choice[i], "kept");
    if (prices.has_up)
        choice_line(p, app, i, prices.up, "more");
    if (prices.has_down)
        choice_line(p, app, i, prices.down, "less");
    if (!prices.has_runner_up) {
        put(p, BP_ROLE_DIM, "nothing else is allowed here");
        new_line(p);
        return;
    }
    choice_line(p, app, i, prices.runner_up, "rival");
    if (isfinite(prices.flip_price) && prices.flip_price > 0.0) {
        const double mib = 8.0 * 1024.0 * 1024.0;
        put(p, BP_ROLE_DIM, "rival wins at ");
        put(p, BP_ROLE_VALUE, bp_figure(prices.flip_price * mib, figure));
        put(p, BP_ROLE_DIM, " error a MiB; price now ");
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
    put(p, BP_ROLE_DIM, any ? "  (X: free)" : "no constraint of its own");
    new_line(p);
}

/* Its error (log) over bits: candidates as dots, dim where constraints forbid them, the chosen one
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
    if (!(x1 > x0) || !(y1 > y0) || r.h < 4 || r.w < 20)
        return;
    char figure[BP_FIGURE_TEXT];
    const struct bp_rect plot = {r.x + 8, r.y, r.w - 8, r.h - 1};
    struct bp_canvas *canvas = bp_canvas_new(cells, plot);
    if (!canvas)
        return;
    const double w = bp_canvas_width(canvas) - 1, h = bp_canvas_height(canvas) - 1;
    for (int allowed = 0; allowed < 2; allowed++) /* allowed ones on top */
        for (size_t j = 0; j < t->n_candidates; j++)
            if (error[j] > 0.0 && bp_planner_allows(app->problem->planner, i, j) == allowed)
                bp_canvas_dot(canvas, ((double)storage[j] / params - x0) / (x1 - x0) * w,
                              log(y1 / error[j]) / log(y1 / y0) * h,
                              allowed ? BP_ROLE_UNIFORM : BP_ROLE_DIM);
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
    snprintf(text, sizeof text, plot.w >= 24 ? "%.2f bits/param" : "%.2f b/p", x1);
    bp_cells_right(cells, r, r.x + r.w, r.y + r.h - 1, BP_ROLE_DIM, text);
}

static void render(const struct bp_app *app, struct bp_cells *cells, struct bp_rect in)
{
    if (!app->source)
        return;
    struct pen p = {cells, in, in.x, in.y};
    /* The curve stands beside the text where that leaves room, else below. */
    const int text = TEXT_WIDTH + (ranks_differ(app->source->table) ? RANK : 0);
    const int side = in.w - text;
    if (side >= 24)
        p.in.w = text - 1;
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
    const struct bp_rect beside = {in.x + text, in.y, side, in.h};
    const struct bp_rect below = {in.x, p.y, in.w, in.y + in.h - p.y};
    own_curve(app, cells, side >= 24 ? beside : below, (size_t)i);
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
