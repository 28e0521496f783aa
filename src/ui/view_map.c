/* The allocation (LQ-LoRA Figure 4): kinds by layers, a cell a matrix, a figure by colour and
 * glyph. A layer with experts can be opened: then its columns are the experts. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/printable.h"
#include "ui/view.h"

enum { LABEL = 11, MAX_WIDTH = 6 };

/* Where what is: columns of the map are layers, or the members of one layer. */
struct grid {
    struct bp_rect cells; /* the cells' part of the panel */
    size_t n_columns;
    int height;                 /* rows of the screen that a kind takes */
    int width;                  /* columns of the screen a cell takes */
    int group;                  /* columns of the map that share a cell: 1, 2, 4 ... */
    size_t n_cells, first_cell; /* across, after grouping; the first one shown */
    size_t first_kind;
};

/* The cursor's column in the map. */
static size_t cursor_column(const struct bp_app *app)
{
    const struct bp_map *m = &app->map;
    const uint32_t row = (uint32_t)app->view.row;
    if (app->view.open_layer < 0)
        return m->layer[row];
    size_t n;
    const uint32_t *rows = bp_map_cell(m, m->kind[row], m->layer[row], &n);
    for (size_t i = 0; i < n; i++)
        if (rows[i] == row)
            return i;
    return 0;
}

static size_t n_columns(const struct bp_app *app)
{
    const struct bp_map *m = &app->map;
    if (app->view.open_layer < 0)
        return m->n_layers;
    size_t most = 1;
    for (size_t k = 0; k < m->n_kinds; k++) {
        size_t n;
        bp_map_cell(m, k, (size_t)app->view.open_layer, &n);
        most = n > most ? n : most;
    }
    return most;
}

/* The widest cells that show all columns, or one column of the screen a cell; zoom goes from there:
 * wider, or several layers a cell. Scrolled so that the cursor is inside. */
static struct grid grid_of(const struct bp_app *app, struct bp_rect in)
{
    struct grid g = {.cells = {in.x + LABEL, in.y + 1, in.w - LABEL, in.h - 2},
                     .n_columns = n_columns(app),
                     .height = 1,
                     .width = 1,
                     .group = 1};
    int steps = app->view.zoom;
    if (g.cells.w < 1)
        g.cells.w = 1;
    g.width = (int)((size_t)g.cells.w / g.n_columns);
    g.width = g.width < 1 ? 1 : g.width > MAX_WIDTH - 2 ? MAX_WIDTH - 2 : g.width;
    for (; steps > 0 && g.width < MAX_WIDTH; steps--)
        g.width++;
    for (; steps < 0 && g.width > 1; steps++)
        g.width--;
    for (; steps < 0; steps++)
        g.group *= 2;
    g.n_cells = (g.n_columns + (size_t)g.group - 1) / (size_t)g.group;
    const size_t visible = (size_t)(g.cells.w / g.width > 0 ? g.cells.w / g.width : 1);
    const size_t at = cursor_column(app) / (size_t)g.group;
    if (g.n_cells > visible) {
        g.first_cell = at > visible / 2 ? at - visible / 2 : 0;
        if (g.first_cell + visible > g.n_cells)
            g.first_cell = g.n_cells - visible;
    }
    g.height = g.cells.h >= 2 * (int)app->map.n_kinds ? 2 : 1;
    const size_t kind = app->map.kind[app->view.row];
    const size_t h = g.cells.h > 0 ? (size_t)(g.cells.h / g.height) : 1;
    if (app->map.n_kinds > h && kind >= h)
        g.first_kind = kind - h + 1;
    return g;
}

/* The rows of the table that a cell of the map shows: a run in the map's list for each column. */
static const uint32_t *column_rows(const struct bp_app *app, size_t kind, size_t column, size_t *n)
{
    const struct bp_map *m = &app->map;
    if (app->view.open_layer < 0)
        return bp_map_cell(m, kind, column, n);
    size_t members;
    const uint32_t *rows = bp_map_cell(m, kind, (size_t)app->view.open_layer, &members);
    *n = column < members;
    return rows + (column < members ? column : 0);
}

/* What a cell shows: the mean over its matrices (bits by parameters, shares as a sum). */
struct figure {
    double value;
    size_t n, unmeasured;
    bool constrained;  /* a constraint names one of them */
    double difference; /* bits/param above the plan that is compared */
};

static double kept_bits(const struct bp_app *app, const struct bp_bookmark *kept, size_t row)
{
    const int64_t i = bp_app_part(app, row);
    if (!kept || i == BP_NO_ROW)
        return NAN;
    const struct bp_table *t = app->plan->table;
    return (double)t->storage[(size_t)i * t->n_candidates + kept->choice[i]] /
           ((double)t->matrices[i].d * (double)t->matrices[i].k);
}

static struct figure figure_of(const struct bp_app *app, const struct grid *g,
                               const struct bp_bookmark *kept, size_t kind, size_t cell)
{
    struct figure f = {0};
    double weight = 0.0;
    const bool sum = app->view.metric == BP_METRIC_ERROR || app->view.metric == BP_METRIC_SHARE;
    for (int c = 0; c < g->group; c++) {
        size_t n, column = cell * (size_t)g->group + (size_t)c;
        if (column >= g->n_columns)
            break;
        const uint32_t *rows = column_rows(app, kind, column, &n);
        for (size_t i = 0; i < n; i++) {
            const struct bp_table_matrix *m = &app->source->table->matrices[rows[i]];
            const double value = bp_app_metric(app, app->view.metric, rows[i]);
            const double params = (double)m->d * (double)m->k;
            f.n++;
            if (isnan(value)) {
                f.unmeasured++;
                continue;
            }
            f.value += sum ? value : value * params;
            weight += params;
            if (app->view.compare >= 0)
                f.difference += (value - kept_bits(app, kept, rows[i])) * params;
        }
    }
    if (weight > 0.0) {
        f.value = sum ? f.value : f.value / weight;
        f.difference /= weight;
    }
    return f;
}

/* --- scale --- */

struct scale {
    double lo, hi;
    bool log;
};

/* Of bits: what the candidates span, so that colours stay put while the budget moves. Of the other
 * figures: what the plan spans. */
static struct scale scale_of(const struct bp_app *app)
{
    struct scale s = {INFINITY, 0.0, app->view.metric != BP_METRIC_BITS};
    const struct bp_table *t = app->plan ? app->plan->table : NULL;
    if (t && app->view.metric == BP_METRIC_BITS) {
        for (size_t j = 0; j < t->n_candidates; j++) {
            double bits =
                (double)t->storage[j] / ((double)t->matrices[0].d * (double)t->matrices[0].k);
            s.lo = bits < s.lo ? bits : s.lo;
            s.hi = bits > s.hi ? bits : s.hi;
        }
        return s;
    }
    for (size_t i = 0; t && i < app->source->table->n_matrices; i++) {
        double value = bp_app_metric(app, app->view.metric, i);
        if (value > 0.0) {
            s.lo = value < s.lo ? value : s.lo;
            s.hi = value > s.hi ? value : s.hi;
        }
    }
    if (s.hi > 0.0 && s.hi <= s.lo)
        s.lo = s.hi / 2.0;
    return s;
}

/* A digit: whole bits, or the tenth of the scale. */
static char digit_of(const struct bp_app *app, struct scale s, double value)
{
    if (app->view.metric == BP_METRIC_BITS)
        return value < 10.0 ? (char)('0' + (int)value) : '+';
    return (char)('0' + bp_heat(value, s.lo, s.hi, s.log) * 10 / BP_N_HEATS);
}

/* --- painting --- */

static void paint_difference(struct bp_cells *cells, struct bp_rect at, const struct figure *f)
{
    const bool same = fabs(f->difference) < 5e-4;
    const bool known = !isnan(f->difference);
    const unsigned role = !known              ? BP_ROLE_HATCHED
                          : same              ? BP_ROLE_DIM
                          : f->difference > 0 ? BP_ROLE_GOOD
                                              : BP_ROLE_WARNING;
    const char *glyph = !known ? "?" : same ? "." : f->difference > 0 ? "+" : "-";
    bp_cells_fill(cells, at, role, ' ');
    if (known && !same && at.w >= 4)
        bp_cells_printf(cells, at, at.x, at.y, role, "%+.1f", f->difference);
    else
        bp_cells_text(cells, at, at.x, at.y, role, glyph);
}

static void paint_cell(const struct bp_app *app, struct bp_cells *cells, struct bp_rect at,
                       struct scale s, const struct figure *f)
{
    if (f->n == 0)
        return;
    if (!app->plan) { /* nothing to say of a matrix */
        bp_cells_put(cells, at, at.x, at.y, BP_ROLE_DIM, 0x00B7);
        return;
    }
    if (f->unmeasured == f->n) {
        bp_cells_fill(cells, at, BP_ROLE_HATCHED, 0x2571);
        return;
    }
    if (app->view.compare >= 0 && app->view.metric == BP_METRIC_BITS) {
        paint_difference(cells, at, f);
        return;
    }
    const unsigned role = BP_ROLE_HEAT + (unsigned)bp_heat(f->value, s.lo, s.hi, s.log);
    bp_cells_fill(cells, at, role, ' ');
    const bool percent =
        app->view.metric == BP_METRIC_SHARE || app->view.metric == BP_METRIC_RELATIVE;
    if ((app->view.metric == BP_METRIC_BITS || percent) && at.w >= 4)
        bp_cells_printf(cells, at, at.x, at.y, role, f->value < 99.95 ? "%.1f" : "%.0f", f->value);
    else
        bp_cells_put(cells, at, at.x, at.y, role, (uint32_t)digit_of(app, s, f->value));
    if (f->unmeasured)
        bp_cells_put(cells, at, at.x + at.w - 1, at.y, BP_ROLE_HATCHED, 0x2571);
}

static struct bp_rect cell_rect(const struct grid *g, size_t kind, size_t cell)
{
    return (struct bp_rect){g->cells.x + (int)(cell - g->first_cell) * g->width,
                            g->cells.y + (int)(kind - g->first_kind) * g->height, g->width,
                            g->height};
}

/* Layer numbers over the columns, as many as there is room for. */
static void paint_axis(const struct bp_app *app, struct bp_cells *cells, struct bp_rect in,
                       const struct grid *g)
{
    int free_from = g->cells.x;
    const bool open = app->view.open_layer >= 0;
    bp_cells_text(cells, in, in.x, in.y, BP_ROLE_DIM, open ? "expert" : "layer");
    for (size_t c = g->first_cell; c < g->n_cells; c++) {
        const size_t column = c * (size_t)g->group;
        const int number = open ? (int)column : app->map.layers[column];
        const int x = g->cells.x + (int)(c - g->first_cell) * g->width;
        char text[16];
        if (number >= 0)
            snprintf(text, sizeof text, "%d", number);
        else
            snprintf(text, sizeof text, "-");
        const int w = (int)strlen(text);
        const bool round_number = g->width >= 3 || number % 4 == 0 || number < 0;
        if (x < free_from || x + w > g->cells.x + g->cells.w || !round_number)
            continue;
        bp_cells_text(cells, in, x, in.y, BP_ROLE_DIM, text);
        free_from = x + w + 1;
    }
}

/* What the colours mean: the figure, its ends, the ramp between. */
static void paint_legend(const struct bp_app *app, struct bp_cells *cells, struct bp_rect in,
                         struct scale s)
{
    const int y = in.y + in.h - 1;
    char figure[BP_FIGURE_TEXT];
    if (app->view.compare >= 0 && app->view.metric == BP_METRIC_BITS) {
        int x = bp_cells_text(cells, in, in.x, y, BP_ROLE_DIM, "bits/param against ");
        x = bp_cells_text(cells, in, x, y, BP_ROLE_BOOKMARK,
                          bp_printable(app->session.bookmarks[app->view.compare].name).text);
        x = bp_cells_text(cells, in, x, y, BP_ROLE_GOOD, "  + more");
        x = bp_cells_text(cells, in, x, y, BP_ROLE_WARNING, "  - fewer");
        bp_cells_text(cells, in, x, y, BP_ROLE_DIM, "  . the same");
        return;
    }
    if (!(s.hi > 0.0)) {
        bp_cells_printf(cells, in, in.x, y, BP_ROLE_DIM, app->plan ? "%s: not known" : "no plan",
                        bp_metric_title(app->view.metric));
        return;
    }
    int x = bp_cells_text(cells, in, in.x, y, BP_ROLE_DIM, bp_figure(s.lo, figure));
    x = bp_cells_text(cells, in, x, y, BP_ROLE_DIM, " ");
    for (int h = 0; h < BP_N_HEATS; h++) {
        const double at = (h + 0.5) / BP_N_HEATS;
        const double value = s.log ? s.lo * pow(s.hi / s.lo, at) : s.lo + at * (s.hi - s.lo);
        bp_cells_put(cells, in, x++, y, BP_ROLE_HEAT + (unsigned)h,
                     (uint32_t)digit_of(app, s, value));
    }
    x = bp_cells_printf(cells, in, x, y, BP_ROLE_DIM, " %s", bp_figure(s.hi, figure));
    x = bp_cells_printf(cells, in, x, y, BP_ROLE_DIM, " %s", bp_metric_unit(app->view.metric));
    bp_cells_text(cells, in, x, y, BP_ROLE_DIM, "  v: next figure");
}

/* A mark at the kind's name when a constraint of its own binds the matrix under the cursor. */
static void paint_kinds(const struct bp_app *app, struct bp_cells *cells, struct bp_rect in,
                        const struct grid *g)
{
    const size_t at = app->map.kind[app->view.row];
    for (size_t k = g->first_kind; k < app->map.n_kinds; k++) {
        const int y = g->cells.y + (int)(k - g->first_kind) * g->height;
        if (y >= g->cells.y + g->cells.h)
            break;
        const struct bp_rect label = {in.x, y, LABEL - 1, 1};
        bp_cells_text(cells, label, in.x, y, k == at ? BP_ROLE_VALUE : BP_ROLE_TEXT,
                      bp_printable(app->map.kinds[k]).text);
    }
}

/* Cells of matrices that a constraint names alone get their glyph in its role. */
static void paint_own(const struct bp_app *app, struct bp_cells *cells, const struct grid *g)
{
    const struct bp_constraints *c = &app->session.constraints;
    const struct bp_map *m = &app->map;
    for (size_t i = 0; i < app->n_bound; i++) {
        const int64_t row = app->bound[i];
        if (row < 0)
            continue;
        const size_t kind = m->kind[row], cell = m->layer[row] / (size_t)g->group;
        if (app->view.open_layer >= 0 || kind < g->first_kind || cell < g->first_cell)
            continue;
        const struct bp_rect at = cell_rect(g, kind, cell);
        bp_cells_put(cells, bp_rect_clip(at, g->cells), at.x + at.w - 1, at.y, BP_ROLE_PINNED,
                     c->list[i].kind == BP_CONSTRAINT_PIN ? '#' : '!');
    }
}

static void render(const struct bp_app *app, struct bp_cells *cells, struct bp_rect in)
{
    if (!app->source || in.h < 3 || in.w <= LABEL)
        return;
    const struct grid g = grid_of(app, in);
    const struct scale s = scale_of(app);
    const struct bp_bookmark *kept =
        app->view.compare >= 0 ? &app->session.bookmarks[app->view.compare] : NULL;
    if (!app->plan || (kept && !bp_bookmark_fits(kept, app->plan->table)))
        kept = NULL;
    paint_axis(app, cells, in, &g);
    paint_kinds(app, cells, in, &g);
    for (size_t k = g.first_kind; k < app->map.n_kinds; k++) {
        if ((int)(k - g.first_kind) * g.height >= g.cells.h)
            break;
        for (size_t c = g.first_cell; c < g.n_cells; c++) {
            struct bp_rect at = cell_rect(&g, k, c);
            if (at.x >= g.cells.x + g.cells.w)
                break;
            const struct figure f = figure_of(app, &g, kept, k, c);
            paint_cell(app, cells, bp_rect_clip(at, g.cells), s, &f);
        }
    }
    paint_own(app, cells, &g);
    struct bp_rect cursor =
        cell_rect(&g, app->map.kind[app->view.row], cursor_column(app) / (size_t)g.group);
    bp_cells_reverse(cells, bp_rect_clip(cursor, g.cells));
    paint_legend(app, cells, in, s);
}

static void title(const struct bp_app *app, char *text, size_t n)
{
    if (app->view.open_layer >= 0)
        snprintf(text, n, "Allocation: %s, layer %d", bp_metric_title(app->view.metric),
                 app->map.layers[app->view.open_layer]);
    else
        snprintf(text, n, "Allocation: %s", bp_metric_title(app->view.metric));
}

/* --- moving --- */

/* The nearest cell that holds a matrix, from (kind, column) on in a direction. */
static void go(struct bp_app *app, long kind, long column, long dk, long dc)
{
    const long kinds = (long)app->map.n_kinds, columns = (long)n_columns(app);
    while (kind >= 0 && kind < kinds && column >= 0 && column < columns) {
        size_t n;
        const uint32_t *rows = column_rows(app, (size_t)kind, (size_t)column, &n);
        if (n > 0) {
            app->view.row = rows[0];
            return;
        }
        if (dk == 0 && dc == 0)
            return;
        kind += dk;
        column += dc;
    }
}

static void open_cell(struct bp_app *app)
{
    struct bp_view *v = &app->view;
    size_t n;
    bp_map_cell(&app->map, app->map.kind[v->row], app->map.layer[v->row], &n);
    if (v->open_layer >= 0)
        v->open_layer = -1;
    else if (n > 1)
        v->open_layer = (int)app->map.layer[v->row];
    else
        bp_app_show(app, BP_PANEL_DETAIL);
}

static bool act(struct bp_app *app, enum bp_action action, double n)
{
    if (!app->source)
        return false;
    const long kind = (long)app->map.kind[app->view.row], column = (long)cursor_column(app);
    const long step = n < 1000.0 ? (long)n : 1000, page = 8;
    switch (action) {
    case BP_ACTION_CURSOR_LEFT:
        go(app, kind, column > step ? column - step : 0, 0, 1);
        break;
    case BP_ACTION_CURSOR_RIGHT: {
        const long last = (long)n_columns(app) - 1;
        go(app, kind, column + step < last ? column + step : last, 0, -1);
        break;
    }
    case BP_ACTION_CURSOR_UP:
        go(app, kind - step, column, -1, 0);
        break;
    case BP_ACTION_CURSOR_DOWN:
        go(app, kind + step, column, 1, 0);
        break;
    case BP_ACTION_PAGE_UP:
        go(app, kind, column > page ? column - page : 0, 0, 1);
        break;
    case BP_ACTION_PAGE_DOWN: {
        const long last = (long)n_columns(app) - 1;
        go(app, kind, column + page < last ? column + page : last, 0, -1);
        break;
    }
    case BP_ACTION_CHOOSE:
        open_cell(app);
        break;
    default:
        return false;
    }
    return true;
}

static void mouse(struct bp_app *app, struct bp_rect in, const struct bp_event *event)
{
    if (!app->source || in.w <= LABEL)
        return;
    if (event->mouse == BP_MOUSE_WHEEL) {
        act(app, event->wheel > 0 ? BP_ACTION_CURSOR_RIGHT : BP_ACTION_CURSOR_LEFT, 1.0);
        return;
    }
    const struct grid g = grid_of(app, in);
    if (!bp_rect_has(g.cells, event->x, event->y))
        return;
    const size_t cell = g.first_cell + (size_t)((event->x - g.cells.x) / g.width);
    const size_t kind = g.first_kind + (size_t)((event->y - g.cells.y) / g.height);
    if (cell < g.n_cells && kind < app->map.n_kinds)
        go(app, (long)kind, (long)(cell * (size_t)g.group), 0, 0);
}

const struct bp_panel_ops bp_panel_map = {render, act, mouse, title};
