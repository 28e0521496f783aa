/*
 * One table from parts that several machines measured, each into a file of its own.
 *
 * The parts are opened one after the other, so that memory holds the result's numbers and two open
 * tables, however many parts there are. Nothing is measured here: a cell that no
 * part has stays not measured, and the report names its matrix.
 */
#ifndef BP_ENGINE_TABLE_MERGE_H
#define BP_ENGINE_TABLE_MERGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/err.h"

struct bp_merge_report {
    size_t n_parts, n_matrices, n_whole; /* matrices with all that the effort asks for */
    uint64_t n_cells, n_measured;        /* of the result */
    uint64_t n_repeated;                 /* cells found again: equal, or less far along */
    char **missing;                      /* [n_matrices - n_whole] names, in table order */
    bool synthetic;
};

/* Merges parts [n_parts >= 1] into a new file at `path`, which holds, byte for byte, what one
 * process would have written; the order of the parts does not matter. Of a matrix that one part has
 * after one step and another refined the refined numbers are taken. Names that may differ between
 * parts of one work (of the model, of the weights' file) are the least in byte order. `report` is
 * filled when BP_OK and freed with bp_merge_report_done.
 *
 * BP_ERR_MISMATCH: a part is of other work than the first, a number of a cell is not the same in
 * two parts (matrix and candidate are named), or the name is taken and replace is false.
 * BP_ERR_INPUT: a part cannot be read, or is no table that bp_measure fills. */
enum bp_status bp_table_merge(const char *const *parts, size_t n_parts, const char *path,
                              bool replace, struct bp_merge_report *report, struct bp_err *err);

void bp_merge_report_done(struct bp_merge_report *report);

#endif
