/*
 * What a plan rests on, shared between the worker that solves and the screen that shows: the table
 * with its measured part, and a planner set up for one list of constraints. Both are counted
 * references and immutable once made, but for the solver's scratch, which the worker alone uses:
 * the screen may ask a planner for allowed cells, uniform points and prices at any time.
 */
#ifndef BP_UI_PROBLEM_H
#define BP_UI_PROBLEM_H

#include <stddef.h>
#include <stdint.h>

#include "engine/constraints.h"
#include "engine/planner.h"
#include "engine/table.h"

enum { BP_NO_ROW = -1 };

struct bp_source {
    struct bp_table *table;   /* every matrix of the model */
    struct bp_table *planned; /* those with a measured cell: `table` itself when all have one; NULL
                                 when none has */
    size_t *row;              /* [planned->n_matrices] its row in `table`; NULL = the same rows */
    int64_t *part; /* [table->n_matrices] its row in `planned`, or BP_NO_ROW; NULL = same */
    uint64_t n_cells_measured;
    uint64_t n_cells[BP_N_CELL_STAGES]; /* how many are how far; they add up to all */
    size_t n_rows_measured;             /* rows with a measured cell */
};

/* Takes the table over (it is closed also when this fails). */
enum bp_status bp_source_new(struct bp_table *table, struct bp_source **out, struct bp_err *err);
struct bp_source *bp_source_hold(struct bp_source *source);
/* Gives a reference back; takes NULL, returns NULL. */
struct bp_source *bp_source_drop(struct bp_source *source);

/* Row of the whole table for a row of the planned part, and back (BP_NO_ROW: not planned). */
size_t bp_source_row(const struct bp_source *source, size_t part);
int64_t bp_source_part(const struct bp_source *source, size_t row);

struct bp_problem {
    struct bp_source *source;
    struct bp_planner *planner;
    uint64_t least_bits, most_bits; /* the budgets that make sense, of those it counts as */
};

/* BP_ERR_INPUT when nothing is measured; else as bp_planner_new_counting. */
enum bp_status bp_problem_new(struct bp_source *source, const struct bp_constraints *constraints,
                              unsigned counted, struct bp_problem **out, struct bp_err *err);
struct bp_problem *bp_problem_hold(struct bp_problem *problem);
struct bp_problem *bp_problem_drop(struct bp_problem *problem);

#endif
