#include "engine/lq_window.h"

#include <string.h>

/* Rows are handed on four at a time, which is what the products like; a panel of wide rows has some
 * tens of them all the same, since each reads and writes sums for all columns. */
enum { ROWS_STEP = 4, ROWS_LEAST = 32 };

uint64_t bp_lq_window_rows(uint64_t d, uint64_t k, uint64_t unit, uint64_t panel_elems)
{
    uint64_t rows = panel_elems / k / ROWS_STEP * ROWS_STEP;
    if (rows < ROWS_LEAST)
        rows = ROWS_LEAST;
    /* Where units end inside rows, up to one unit stays behind in the window: with room for four of
     * them moving it costs little, and each fill completes ROWS_STEP rows. */
    uint64_t least = unit / k * 4 + 4 * ROWS_STEP;
    if ((rows * k) % unit != 0 && rows < least)
        rows = least;
    return rows < d ? rows : d;
}

void bp_lq_window_start(struct bp_lq_window *w, uint64_t d, uint64_t k, uint64_t unit,
                        uint64_t rows_max, float *Z)
{
    *w = (struct bp_lq_window){.d = d, .k = k, .unit = unit, .rows_max = rows_max, .Z = Z};
}

bool bp_lq_window_fill(struct bp_lq_window *w, struct bp_lq_span *rows)
{
    if (w->first == w->d)
        return false;
    uint64_t kept = w->filled - w->first, room = w->rows_max - kept, left = w->d - w->filled;
    rows->first = w->filled;
    rows->n = room < left ? room : left;
    rows->Z = w->Z + kept * w->k;
    w->filled += rows->n;
    return true;
}

struct bp_lq_span bp_lq_window_stretch(struct bp_lq_window *w)
{
    uint64_t end = w->filled * w->k;
    if (w->filled < w->d)
        end = end / w->unit * w->unit;
    struct bp_lq_span s = {w->treated, end - w->treated, w->Z + (w->treated - w->first * w->k)};
    w->treated = end;
    return s;
}

struct bp_lq_span bp_lq_window_ready(struct bp_lq_window *w)
{
    w->ready = w->treated / w->k - w->first;
    if (w->filled < w->d)
        w->ready = w->ready / ROWS_STEP * ROWS_STEP;
    return (struct bp_lq_span){w->first, w->ready, w->Z};
}

void bp_lq_window_drop(struct bp_lq_window *w)
{
    uint64_t kept = w->filled - w->first - w->ready;
    memmove(w->Z, w->Z + w->ready * w->k, kept * w->k * sizeof *w->Z);
    w->first += w->ready;
    w->ready = 0;
}
