/*
 * Measuring an error table (LQ-LoRA Algorithm 3): every matrix under every candidate, into a file
 * that is valid at every instant.
 *
 * How much work a cell is given is the effort (docs/measuring.md):
 *
 *     exact     the reference procedure of lq.h, cell by cell
 *     full      every cell iterated by a backend (backend.h)
 *     balanced  one step for all cells, iteration where plans are made, estimates elsewhere
 *               (screening.h)
 *     quick     one step for all cells
 *
 * Full and balanced measure all matrices at one step first, so that a run that was stopped has left
 * a table that plans everything, and then refine matrix by matrix, the largest errors first.
 *
 * A finished matrix is one row on disk. A run that was stopped or killed is continued by the same
 * call, which does what is not done; the result is equal, byte for byte, to that of an undisturbed
 * run, for any number of threads and any split into shards: a row depends on its matrix, the
 * candidates and the seed alone, and is computed anew whenever it is written.
 */
#ifndef BP_ENGINE_MEASURE_H
#define BP_ENGINE_MEASURE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/backend.h"
#include "engine/config.h"
#include "engine/err.h"
#include "engine/lq.h"
#include "engine/model.h"
#include "engine/table.h"

/* X(enum suffix, name): what a run goes through. Exact has one phase, quick another, the efforts
 * between them two. */
#define BP_MEASURE_PHASES(X) \
    X(MEASURE, "measuring")  \
    X(ONE_STEP, "one step")  \
    X(REFINE, "refining")

enum bp_measure_phase {
#define BP_PHASE_ENUM(id, name) BP_PHASE_##id,
    BP_MEASURE_PHASES(BP_PHASE_ENUM)
#undef BP_PHASE_ENUM
        BP_N_MEASURE_PHASES
};

const char *bp_measure_phase_name(enum bp_measure_phase phase);

/* How far a run's phase is; counts of this shard alone. */
struct bp_measure_progress {
    enum bp_measure_phase phase;
    uint64_t cells_done, cells_total; /* total includes rows that were there before */
    uint64_t cells_before;            /* of done: by earlier runs */
    size_t rows_done, rows_total;
    uint64_t stages[BP_N_CELL_STAGES]; /* in the file: how many cells are how far */
    const char *matrix;                /* the one in work; valid during the call */
};

struct bp_measure_options {
    const struct bp_model *model;  /* at least one matrix */
    const struct bp_model *fisher; /* weights under the same names; NULL = none */
    const char *fisher_source;     /* its path as given, for the table; NULL = none */
    enum bp_effort effort;
    const struct bp_grid *grid;
    const uint32_t *ranks; /* [n_ranks] candidates are grid x ranks */
    size_t n_ranks;
    uint32_t iterations;          /* 1 .. BP_LQ_MAX_ITERATIONS; quick has 1 whatever stands here */
    uint64_t seed;                /* up to 2^53 */
    unsigned threads;             /* >= 1 */
    enum bp_backend_kind backend; /* cpu or cuda; exact is the CPU's whatever stands here */
    uint32_t shard, n_shards;     /* part `shard` (from 1) of n_shards; 1, 1 for all */
    bool replace;                 /* start anew even if `path` exists */
    const char *path;
    atomic_bool *stop; /* may be NULL; set by anyone to stop after the cells in hand */
    /* Called on the calling thread after each of its cells; may be NULL. */
    void (*progress)(void *ctx, const struct bp_measure_progress *progress);
    void *progress_ctx;
};

/* Creates or continues the table. BP_STOPPED: stopped, what is whole is in the file.
 * BP_ERR_MISMATCH: the file exists and is not this work (kept; the text says what differs).
 * BP_ERR_INPUT: the model or the weights are bad (tensor and index). `progress` (not NULL) gets the
 * final counts. Sets BLAS to one thread for the whole process. */
enum bp_status bp_measure(const struct bp_measure_options *options,
                          struct bp_measure_progress *progress, struct bp_err *err);

/* Workspace for every cell of a table, and *n_max, the elements of its largest matrix. The same for
 * measuring and for measuring again, as LAPACK's blocking, and so the last bits, may follow it. */
enum bp_status bp_measure_work_new(const struct bp_table *table, struct bp_lq_work **out,
                                   uint64_t *n_max, struct bp_err *err);

/* The largest of a table, for a backend that measures it. */
void bp_measure_limits(const struct bp_table *table, struct bp_backend_limits *out);

/* The factor that an estimate may be off by from what iterating gives, either way, before a table
 * is called wrong. Most come within some percent, in matrices of a few hundred columns some do not
 * (docs/measuring.md). */
#define BP_ESTIMATE_FACTOR 2.0

/* Measures one cell of every row again, by the table's own method: error [n_matrices] gets that of
 * candidate choice[i] of matrix i. On the kind of machine that measured the table the results are
 * equal to the bit; for a cell that is an estimate error[i] is what iterating gives. fisher NULL =
 * no weights. BP_ERR_INPUT: the table does not state a method that this bitplan has, or the model
 * lacks a matrix. Sets BLAS to one thread. */
enum bp_status bp_measure_again(const struct bp_table *table, const struct bp_model *model,
                                const struct bp_model *fisher, const uint32_t *choice,
                                unsigned threads, double *error, struct bp_err *err);

#endif
