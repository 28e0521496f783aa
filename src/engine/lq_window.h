/*
 * A walk over a d x k matrix in panels of rows that fit a cache, for work whose unit (a group of
 * blocks of the row-major flattening) may cross rows. The caller fills rows, works through the
 * stretches of whole units that they complete, then through the rows whose elements have all been
 * worked through; what is left of rows moves to the front, for the next panel:
 *
 *     for (bp_lq_window_start(&w, ...); bp_lq_window_fill(&w, &rows); bp_lq_window_drop(&w)) {
 *         write rows.n rows of the matrix from row rows.first on to rows.Z;
 *         stretch = bp_lq_window_stretch(&w);   its elements lie at stretch.Z
 *         rows = bp_lq_window_ready(&w);        these rows are done with
 *     }
 */
#ifndef BP_ENGINE_LQ_WINDOW_H
#define BP_ENGINE_LQ_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

struct bp_lq_window {
    uint64_t d, k, unit;
    uint64_t rows_max;
    float *Z;         /* [rows_max * k], the caller's */
    uint64_t first;   /* row at Z */
    uint64_t filled;  /* rows before this one are in, or were */
    uint64_t treated; /* elements before this one have been in a stretch */
    uint64_t ready;   /* rows to drop */
};

/* Rows or elements `first .. first + n - 1` of the matrix, at Z. */
struct bp_lq_span {
    uint64_t first, n;
    float *Z;
};

/* Rows that a window over such a matrix holds when a panel should have about panel_elems elements:
 * at least what a unit needs, at most d. */
uint64_t bp_lq_window_rows(uint64_t d, uint64_t k, uint64_t unit, uint64_t panel_elems);

/* d, k, unit >= 1; Z [rows_max * k] with rows_max from bp_lq_window_rows. */
void bp_lq_window_start(struct bp_lq_window *w, uint64_t d, uint64_t k, uint64_t unit,
                        uint64_t rows_max, float *Z);

/* The rows to write next. False at the end of the matrix. */
bool bp_lq_window_fill(struct bp_lq_window *w, struct bp_lq_span *rows);

/* Elements, all filled, that were in no stretch before: whole units, or up to the matrix's end.
 * Once a fill; never empty. */
struct bp_lq_span bp_lq_window_stretch(struct bp_lq_window *w);

/* Rows whose elements have all been in stretches: a multiple of 4, or up to the last row. */
struct bp_lq_span bp_lq_window_ready(struct bp_lq_window *w);

/* Forgets those rows. */
void bp_lq_window_drop(struct bp_lq_window *w);

#endif
