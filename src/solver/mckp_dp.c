/*
 * The dense fallback: a dynamic program over the weight moved so far, exact, and of a cost that
 * can be limited. It closes what the lists cannot: many equal classes, costs on a line.
 *
 * Starting from the base plan, a better plan moves the weight along classes in order. After some
 * of them the weight has moved by w at a reduced cost of at least F(w), where F is the fractional
 * fill by the cheapest moves per unit; the classes left must bring it to within the slack s for at
 * least F(s - w). Only w with F(w) + F(s - w) below the gap need a cell: the window. All distances
 * are multiples of the gcd of the moves' weights.
 *
 * Classes whose moves are dear come first: as long as only they have moved, the values rise fast
 * with the distance and nearly all of the window is still empty.
 */
#include "solver/mckp_impl.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define MAX_BACK_BYTES ((size_t)256 << 20) /* of the table of decisions */
#define HOPELESS       50        /* times the cells allowed that the full window may have */
#define MAX_WINDOW     (1 << 22) /* cells of one row */
#define NO_VALUE       (INT64_MAX / 4)
#define STRIDE         (1 << 18) /* cells between two looks at the stop flag */

struct dp {
    size_t n_moves;
    uint32_t n_rows;                    /* classes with moves */
    int64_t gap;                        /* U - L */
    int64_t slack;                      /* of the start */
    int64_t start_e;                    /* sum of e of the start */
    int64_t unit;                       /* gcd of the moves' dw */
    int64_t lo, hi;                     /* window of moved weight in units, lo <= 0 <= hi */
    struct bp_mckp_row *row;            /* [n_rows] */
    const struct bp_mckp_key *by_price; /* [n_rows] rows, the dearest first */
    uint32_t *sorted;                   /* [n_moves] moves by row, of a row by rising r */
    struct fill {                       /* F upward and downward */
        double *slope;                  /* [n] rising */
        double *sum_length;             /* [n + 1] weight filled by the first i edges */
        double *sum_cost;               /* [n + 1] */
        size_t n;
    } fill[2];
    double max_cells;
};

/* ---- moves ---- */

/* The plan to start from: base where that is still possible, else the class's minimizer. */
static void choose_start(struct bp_mckp *m, struct dp *d)
{
    struct bp_mckp_work *k = &m->work;
    const struct bp_mckp_core *core = &k->core;
    d->slack = k->slack;
    d->start_e = k->base_e;
    for (uint32_t q = 0; q < core->n_classes; q++) {
        uint32_t pick = core->first[q];
        for (uint32_t t = core->first[q]; t < core->first[q + 1]; t++) {
            if (core->item[t] == k->base[core->cls[q]]) {
                pick = t;
                break;
            }
            if (core->r[t] < core->r[pick])
                pick = t;
        }
        k->sel[q] = pick;
        d->slack -= core->w[pick];
        d->start_e += core->e[pick];
    }
}

static bool list_moves(struct bp_mckp *m, struct dp *d)
{
    struct bp_mckp_work *k = &m->work;
    const struct bp_mckp_core *core = &k->core;
    size_t n = 0;
    if (core->n > BP_MCKP_MAX_MOVES ||
        !bp_mckp_reserve(&k->move, &k->move_cap, core->n, sizeof *k->move))
        return false;
    for (uint32_t q = 0; q < core->n_classes; q++) {
        uint32_t s = k->sel[q];
        for (uint32_t t = core->first[q]; t < core->first[q + 1]; t++)
            if (t != s)
                k->move[n++] =
                    (struct bp_mckp_move){core->r[t] - core->r[s], core->w[t] - core->w[s], q, t};
    }
    bp_mckp_sort_moves(k->move, n);
    d->n_moves = n;
    return true;
}

/* Drops from the sorted moves those that cannot be needed: fewer than M moves fit below `gap`, so
 * of equal dw only the M cheapest matter. *n shrinks; false when memory is out. */
static bool thin_moves(struct bp_mckp *m, size_t *n, int64_t gap)
{
    struct bp_mckp_work *k = &m->work;
    size_t fit = 0, size = 64, kept = 0;
    int64_t sum = 0;
    while (fit < *n && sum + k->move[fit].r < gap)
        sum += k->move[fit++].r;
    if (fit == 0)
        fit = 1;
    while (size < 4 * *n)
        size *= 2;
    if (!bp_mckp_reserve(&k->table, &k->table_cap, 2 * size, sizeof *k->table))
        return false;
    for (size_t i = 0; i < size; i++)
        k->table[2 * i + 1] = 0;
    for (size_t t = 0; t < *n; t++) {
        uint64_t dw = (uint64_t)k->move[t].dw;
        size_t i = (size_t)(dw * UINT64_C(0x9E3779B97F4A7C15) >> 32) & (size - 1);
        while (k->table[2 * i + 1] != 0 && k->table[2 * i] != dw)
            i = (i + 1) & (size - 1);
        k->table[2 * i] = dw;
        if (k->table[2 * i + 1] < fit) {
            k->table[2 * i + 1]++;
            k->move[kept++] = k->move[t];
        }
    }
    k->work += size / 4 + 4 * *n;
    *n = kept;
    return true;
}

/* ---- rows ---- */

/* Groups the moves by class and puts the rows in order. */
static bool group_moves(struct bp_mckp *m, struct dp *d)
{
    struct bp_mckp_work *k = &m->work;
    size_t n = d->n_moves, n_classes = k->core.n_classes;
    if (!bp_mckp_reserve(&k->order, &k->order_cap, n, sizeof *k->order) ||
        !bp_mckp_reserve(&k->row, &k->row_cap, n_classes, sizeof *k->row) ||
        !bp_mckp_reserve(&k->key, &k->key_cap, n + n_classes, sizeof *k->key))
        return false;
    d->row = k->row;
    d->sorted = k->order;
    d->n_rows = 0;
    for (size_t t = 0; t < n; t++)
        k->stamp[k->move[t].cls]++;
    uint32_t at = 0;
    for (uint32_t q = 0; q < n_classes; q++) {
        uint32_t count = k->stamp[q];
        if (count == 0)
            continue;
        k->stamp[q] = d->n_rows;
        k->key[d->n_rows] = (struct bp_mckp_key){-INFINITY, d->n_rows};
        d->row[d->n_rows++] = (struct bp_mckp_row){.first = at, .end = at};
        at += count;
    }
    for (size_t t = 0; t < n; t++) {
        const struct bp_mckp_move *x = &k->move[t];
        uint32_t row = k->stamp[x->cls];
        k->key[row].value = fmax(k->key[row].value, -fabs((double)x->r / (double)x->dw));
        d->sorted[d->row[row].end++] = (uint32_t)t;
    }
    for (size_t t = 0; t < n; t++)
        k->stamp[k->move[t].cls] = 0;
    bp_mckp_sort_keys(k->key, d->n_rows);
    d->by_price = k->key;
    return true;
}

/* ---- window ---- */

/* Lower hull of one row's moves in direction sign: its edges from (0, 0), numbered from `n` on.
 * Returns the number after the last. */
static size_t row_edges(const struct bp_mckp *m, const struct dp *d, uint32_t row, int sign,
                        size_t n, struct bp_mckp_key *slope, double *length)
{
    const struct bp_mckp_move *move = m->work.move;
    int64_t at_w = 0, at_r = 0;
    for (;;) {
        double least = INFINITY;
        int64_t next_w = 0, next_r = 0;
        for (uint32_t i = d->row[row].first; i < d->row[row].end; i++) {
            const struct bp_mckp_move *x = &move[d->sorted[i]];
            int64_t w = sign * x->dw, r = x->r > 0 ? x->r : 0;
            if (w <= at_w)
                continue;
            double rise = (double)(r - at_r) / (double)(w - at_w);
            if (rise < least || (rise == least && w > next_w)) {
                least = rise;
                next_w = w;
                next_r = r;
            }
        }
        if (next_w == 0)
            return n;
        slope[n] = (struct bp_mckp_key){least > 0 ? least : 0, (uint32_t)n};
        length[n++] = (double)(next_w - at_w);
        at_w = next_w;
        at_r = next_r;
    }
}

/* Lays F for both directions into the workspace. At most n_moves edges each. Not whole when
 * stopped.
 */
static bool build_fill(struct bp_mckp *m, struct dp *d)
{
    struct bp_mckp_work *k = &m->work;
    size_t n = d->n_moves + 1;
    /* group_moves's keys lie in front. */
    if (!bp_mckp_reserve(&k->fill, &k->fill_cap, 7 * n, sizeof *k->fill))
        return false;
    double *length = k->fill;
    struct bp_mckp_key *edge = k->key + d->n_rows;
    for (int dir = 0; dir < 2; dir++) {
        struct fill *f = &d->fill[dir];
        f->slope = k->fill + n + (size_t)dir * 3 * n;
        f->sum_length = f->slope + n;
        f->sum_cost = f->sum_length + n;
        f->n = 0;
        for (uint32_t row = 0; row < d->n_rows && !bp_mckp_stopped(k); row++)
            f->n = row_edges(m, d, row, dir == 0 ? 1 : -1, f->n, edge, length);
        bp_mckp_sort_keys(edge, f->n);
        double filled = 0, cost = 0;
        for (size_t i = 0; i < f->n; i++) {
            f->slope[i] = edge[i].value;
            f->sum_length[i] = filled;
            f->sum_cost[i] = cost;
            filled += length[edge[i].i];
            cost += length[edge[i].i] * edge[i].value;
        }
        f->sum_length[f->n] = filled;
        f->sum_cost[f->n] = cost;
    }
    k->work += 16 * n;
    return true;
}

/* F(w), w >= 0; what no move can fill costs `rest` per unit. */
static double fill_cost(const struct fill *f, double w, double rest)
{
    if (w <= 0)
        return 0;
    if (w >= f->sum_length[f->n]) {
        double over = w - f->sum_length[f->n];
        return f->sum_cost[f->n] + (over > 0 ? over * rest : 0);
    }
    size_t lo = 0, hi = f->n;
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (f->sum_length[mid] <= w)
            lo = mid;
        else
            hi = mid;
    }
    return f->sum_cost[lo] + (w - f->sum_length[lo]) * f->slope[lo];
}

/* Least reduced cost of what is left to do at moved weight w. Slack that stays open costs lambda
 * per unit, and no move into it costs more than that. */
static double rest_cost(const struct bp_mckp *m, const struct dp *d, double w)
{
    double left = (double)d->slack - w;
    return left >= 0 ? fill_cost(&d->fill[0], left, (double)m->work.lambda)
                     : fill_cost(&d->fill[1], -left, INFINITY);
}

/* Can no plan below the gap have cost `spent` at moved weight w? Fills are computed in double. */
static bool beyond(const struct bp_mckp *m, const struct dp *d, double spent, double w)
{
    return (spent + rest_cost(m, d, w)) * (1 - 1e-9) >= (double)d->gap;
}

/* Can no better plan pass through moved weight w? */
static bool outside(const struct bp_mckp *m, const struct dp *d, double w)
{
    return beyond(m, d, fill_cost(&d->fill[w >= 0 ? 0 : 1], fabs(w), INFINITY), w);
}

/* The window's end in direction sign, in units: the first whole step that no better plan passes.
 * The least cost is convex in w, so behind the slack it only rises. -1: too far. */
static int64_t window_end(const struct bp_mckp *m, const struct dp *d, int sign)
{
    int64_t past = sign * (d->slack / d->unit) > 0 ? sign * (d->slack / d->unit) + 1 : 1;
    int64_t lo = past - 1, hi = past;
    double unit = (double)(sign * d->unit);
    while (!outside(m, d, unit * (double)hi)) {
        lo = hi;
        hi *= 2;
        if (hi > MAX_WINDOW)
            return -1;
    }
    while (hi - lo > 1) {
        int64_t mid = lo + (hi - lo) / 2;
        if (outside(m, d, unit * (double)mid))
            hi = mid;
        else
            lo = mid;
    }
    return hi;
}

/* Keeps to three times the largest step around the way from the start to the slack. */
static void narrow_window(const struct bp_mckp *m, struct dp *d)
{
    int64_t step = 1;
    for (size_t t = 0; t < d->n_moves; t++) {
        int64_t w = m->work.move[t].dw;
        w = w < 0 ? -w : w;
        step = w / d->unit > step ? w / d->unit : step;
    }
    int64_t to = d->slack / d->unit;
    int64_t lo = (to < 0 ? to : 0) - 2 * step, hi = (to > 0 ? to : 0) + 2 * step;
    d->lo = d->lo > lo ? d->lo : lo;
    d->hi = d->hi < hi ? d->hi : hi;
    double fit = d->max_cells / (double)(d->hi - d->lo + 1);
    if (fit < (double)d->n_moves)
        d->n_moves = fit < 1 ? 1 : (size_t)fit;
}

/* ---- table ---- */

/* One move over n cells: to[i] = min(to[i], from[i] + r), noted in back[i]. */
static void apply_move(const int64_t *from, int64_t *to, uint8_t *back, int64_t n, int64_t r,
                       uint8_t id)
{
    for (int64_t i = 0; i < n; i++) {
        int64_t v = from[i] + r;
        back[i] = v < to[i] ? id : back[i];
        to[i] = v < to[i] ? v : to[i];
    }
}

static int64_t max64(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

static int64_t min64(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Can no better plan pass cell i of value v? */
static bool useless(const struct bp_mckp *m, const struct dp *d, int64_t v, int64_t i)
{
    return v >= d->gap || beyond(m, d, (double)v, (double)d->unit * (double)(i + d->lo));
}

/* Moves the ends of the cells [*a, *z] inward over cells that no better plan passes. */
static void trim(struct bp_mckp *m, const struct dp *d, const int64_t *cell, int64_t *a, int64_t *z)
{
    while (*a < *z && useless(m, d, cell[*a], *a) && !bp_mckp_stopped(&m->work))
        ++*a;
    while (*z > *a && useless(m, d, cell[*z], *z) && !bp_mckp_stopped(&m->work))
        --*z;
}

/* Cells of one row's values: those at [first, last] are set. */
struct cells {
    int64_t *value;
    int64_t first, last;
};

/* Applies one row to `cur`, into `next`. False when stopped. */
static bool run_row(struct bp_mckp *m, const struct dp *d, const struct bp_mckp_row *row,
                    const struct cells *cur, struct cells *next)
{
    struct bp_mckp_work *k = &m->work;
    uint8_t *back = k->back + row->at;
    for (int64_t i = next->first; i <= next->last; i++)
        next->value[i] = i >= cur->first && i <= cur->last ? cur->value[i] : NO_VALUE;
    memset(back, 0, (size_t)(next->last - next->first + 1));
    for (uint32_t i = row->first; i < row->end; i++) {
        const struct bp_mckp_move *x = &k->move[d->sorted[i]];
        int64_t step = x->dw / d->unit;
        int64_t lo = max64(next->first, cur->first + step);
        int64_t hi = min64(next->last, cur->last + step);
        if (lo > hi)
            continue;
        for (int64_t at = lo; at <= hi; at += STRIDE) {
            if (bp_mckp_stopped(k))
                return false;
            apply_move(cur->value + (at - step), next->value + at, back + (at - next->first),
                       min64(hi - at + 1, STRIDE), x->r, (uint8_t)(i - row->first + 1));
        }
        k->work += (uint64_t)(hi - lo + 1);
    }
    k->work += (uint64_t)(next->last - next->first + 1);
    return true;
}

/* Runs all rows; *end gets the last one's cells. OPEN: more cells or memory than allowed, or
 * stopped. */
static enum bp_mckp_outcome run_rows(struct bp_mckp *m, const struct dp *d, struct cells *end)
{
    struct bp_mckp_work *k = &m->work;
    int64_t n = d->hi - d->lo + 1;
    struct cells cur = {k->row_a, -d->lo, -d->lo}, next = {k->row_b, 0, 0};
    size_t n_back = 0;
    double cells = 0;
    cur.value[cur.first] = 0;
    for (uint32_t r = 0; r < d->n_rows; r++) {
        struct bp_mckp_row *row = &d->row[d->by_price[r].i];
        int64_t down = 0, up = 0;
        for (uint32_t i = row->first; i < row->end; i++) {
            int64_t step = k->move[d->sorted[i]].dw / d->unit;
            down = min64(down, step);
            up = max64(up, step);
        }
        next.first = max64(cur.first + down, 0);
        next.last = min64(cur.last + up, n - 1);
        size_t width = (size_t)(next.last - next.first + 1);
        cells += (double)width * (row->end - row->first);
        if (cells > d->max_cells || n_back + width > MAX_BACK_BYTES)
            return BP_MCKP_OPEN;
        if (!bp_mckp_reserve(&k->back, &k->back_cap, n_back + width, 1))
            return BP_MCKP_NOMEM;
        row->at = n_back;
        row->lo = next.first;
        n_back += width;
        if (!run_row(m, d, row, &cur, &next))
            return BP_MCKP_OPEN;
        struct cells t = cur;
        cur = next;
        next = t;
        trim(m, d, cur.value, &cur.first, &cur.last);
    }
    *end = cur;
    return BP_MCKP_CLOSED;
}

/* Takes the best cell into the incumbent and traces its moves. */
static void take_best(struct bp_mckp *m, const struct dp *d, const struct cells *end)
{
    struct bp_mckp_work *k = &m->work;
    int64_t best = -1;
    for (int64_t i = end->first; i <= end->last; i++) {
        int64_t w = (i + d->lo) * d->unit;
        if (w > d->slack)
            break;
        if (end->value[i] >= NO_VALUE / 2)
            continue;
        bp_mckp_wide e = (bp_mckp_wide)d->start_e + end->value[i] - (bp_mckp_wide)k->lambda * w;
        if (e < k->incumbent) {
            bp_mckp_accept(k, (int64_t)e);
            best = i;
        }
    }
    if (best < 0)
        return;
    bp_mckp_keep_selection(m);
    int64_t i = best;
    for (uint32_t r = d->n_rows; r-- > 0;) {
        const struct bp_mckp_row *row = &d->row[d->by_price[r].i];
        uint8_t id = k->back[row->at + (size_t)(i - row->lo)];
        if (id == 0)
            continue;
        const struct bp_mckp_move *x = &k->move[d->sorted[row->first + id - 1]];
        k->best[k->core.cls[x->cls]] = k->core.item[x->item];
        i -= x->dw / d->unit;
    }
    assert(i == -d->lo);
}

static bool rows_fit_a_byte(const struct dp *d)
{
    for (uint32_t row = 0; row < d->n_rows; row++)
        if (d->row[row].end - d->row[row].first > UINT8_MAX)
            return false;
    return true;
}

/* Rows and window; CLOSED: it may run. */
static enum bp_mckp_outcome plan(struct bp_mckp *m, struct dp *d, bool narrow)
{
    struct bp_mckp_work *k = &m->work;
    if (!thin_moves(m, &d->n_moves, d->gap))
        return BP_MCKP_NOMEM;
    d->unit = 0;
    for (size_t t = 0; t < d->n_moves && d->unit != 1; t++)
        d->unit = bp_mckp_gcd(d->unit, k->move[t].dw);
    if (d->unit == 0)
        d->unit = 1;
    if (!group_moves(m, d) || !build_fill(m, d))
        return BP_MCKP_NOMEM;
    if (bp_mckp_stopped(k))
        return BP_MCKP_OPEN;
    int64_t up = window_end(m, d, 1), down = window_end(m, d, -1);
    if ((up < 0 || down < 0) && !narrow)
        return BP_MCKP_OPEN;
    d->hi = up < 0 ? MAX_WINDOW : up;
    d->lo = down < 0 ? -MAX_WINDOW : -down;
    if (narrow) {
        narrow_window(m, d);
        if (!group_moves(m, d))
            return BP_MCKP_NOMEM;
    }
    double n = (double)(d->hi - d->lo + 1);
    bool fits =
        n <= MAX_WINDOW && n * (double)d->n_moves <= HOPELESS * d->max_cells && rows_fit_a_byte(d);
    return fits ? BP_MCKP_CLOSED : BP_MCKP_OPEN;
}

enum bp_mckp_outcome bp_mckp_dp(struct bp_mckp *m, double max_cells, bool narrow)
{
    struct bp_mckp_work *k = &m->work;
    struct dp d = {.gap = k->cutoff - k->root_bound, .max_cells = max_cells};
    struct cells end;
    if (d.gap <= 0)
        return BP_MCKP_CLOSED;
    bp_mckp_core_shrink(m);
    if (bp_mckp_stopped(k))
        return BP_MCKP_OPEN;
    choose_start(m, &d);
    k->work += 16 * (uint64_t)k->core.n;
    if (k->core.n > BP_MCKP_MAX_MOVES)
        return BP_MCKP_OPEN;
    if (!list_moves(m, &d))
        return BP_MCKP_NOMEM;
    enum bp_mckp_outcome outcome = plan(m, &d, narrow);
    if (outcome != BP_MCKP_CLOSED)
        return outcome;
    size_t n = (size_t)(d.hi - d.lo + 1);
    if (!bp_mckp_reserve(&k->row_a, &k->row_a_cap, n, sizeof *k->row_a) ||
        !bp_mckp_reserve(&k->row_b, &k->row_b_cap, n, sizeof *k->row_b))
        return BP_MCKP_NOMEM;
    outcome = run_rows(m, &d, &end);
    if (outcome != BP_MCKP_CLOSED)
        return outcome;
    take_best(m, &d, &end);
    return narrow ? BP_MCKP_OPEN : BP_MCKP_CLOSED;
}
