/*
 * Errors of an output, computed again from its files and the model: what a loader would have, in
 * the precision of the files.
 */
#ifndef BP_ENGINE_OUTPUT_CHECK_H
#define BP_ENGINE_OUTPUT_CHECK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/err.h"
#include "engine/output_layout.h"

struct bp_model;
struct bp_plan_file;

/*
 * How far the error of a written matrix may lie from the plan's, relative.
 *
 * Where the plan's error was measured for this very config: 12 %, which is what another kind of
 * processor or another rounding may do to a decomposition through its stop rule, and more than the
 * rounding to 16-bit files costs (up to 8 % with 8-bit codes, else below 1 %). Where the table's
 * effort estimates errors: 30 %.
 */
#define BP_OUTPUT_TOLERANCE_MEASURED  0.12
#define BP_OUTPUT_TOLERANCE_ESTIMATED 0.30
/* Besides, as a share of keeping nothing: what rounding to 16 bits may add to an error that is
 * nearly 0, as where the rank is the matrix's own. (2^-8)^2. */
#define BP_OUTPUT_ROUNDING 0x1p-16

/* Matrices that are read at a time, at most: reading waits for the disk more than for processors,
 * and each takes memory by its size. */
enum { BP_OUTPUT_MAX_READERS = 4 };

/* The tolerance for errors made with that effort. */
double bp_output_tolerance(const char *effort);

/* One matrix of an output. */
struct bp_output_row {
    double planned;           /* the plan's error */
    double norm;              /* of keeping nothing */
    double error[BP_N_EMITS]; /* of each form as written; NaN for one that is not there */
    uint64_t storage_bits;    /* the plan's */
    uint64_t packed_bits;     /* what the packed form takes, without padding; 0 without it */
    bool off;                 /* an error beyond the tolerance, or another storage */
};

/* Whether a form's error is beyond the tolerance; one that is not there is not. */
bool bp_output_error_off(const struct bp_output_row *row, enum bp_emit form, double tolerance);

struct bp_output_check {
    const struct bp_output_reader *reader;
    const struct bp_plan_file *plan;
    const struct bp_model *model;
    const struct bp_model *fisher; /* NULL: no weights */
    double tolerance;
    unsigned threads;
    const atomic_bool *stop; /* may be NULL */
    /* After each matrix, on the calling thread, with the weights done so far; may be NULL. */
    void (*progress)(void *ctx, uint64_t done, uint64_t total, const char *matrix);
    void *progress_ctx;
};

/* rows [n_matrices] in the plan's order; *n_off how many are off. */
enum bp_status bp_output_check_run(const struct bp_output_check *check, struct bp_output_row *rows,
                                   size_t *n_off, struct bp_err *err);

/* Index of every matrix of the plan in model->matrices, [plan->n] on the heap; all are there (see
 * bp_outline_new). NULL when out of memory. */
size_t *bp_output_match(const struct bp_model *model, const struct bp_plan_file *plan);

/* Refuses weights that are missing, or not those of the plan's table. */
enum bp_status bp_output_check_weights(const struct bp_plan_file *plan,
                                       const struct bp_model *fisher, struct bp_err *err);

#endif
