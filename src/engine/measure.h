/*
 * Measuring an error table (LQ-LoRA Algorithm 3): every matrix under every candidate, by the
 * reference procedure of lq.h, into a file that is valid at every instant.
 *
 * A finished matrix is one row on disk. A run that was stopped or killed is continued by the same
 * call, which measures the rows that are not whole; the result is equal, byte for byte, to that of
 * an undisturbed run, for any number of threads and any split into shards: a cell's random numbers
 * depend on seed, matrix, candidate and iteration alone.
 */
#ifndef BP_ENGINE_MEASURE_H
#define BP_ENGINE_MEASURE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/config.h"
#include "engine/err.h"
#include "engine/lq.h"
#include "engine/model.h"
#include "engine/table.h"

/* How far a run is; counts of this shard alone. */
struct bp_measure_progress {
    uint64_t cells_done, cells_total; /* total includes rows that were there before */
    uint64_t cells_before;            /* of done: measured by earlier runs */
    size_t rows_done, rows_total;
    const char *matrix; /* the one in work; valid during the call */
};

struct bp_measure_options {
    const struct bp_model *model;  /* at least one matrix */
    const struct bp_model *fisher; /* weights under the same names; NULL = none */
    const char *fisher_source;     /* its path as given, for the table; NULL = none */
    const struct bp_grid *grid;
    const uint32_t *ranks; /* [n_ranks] candidates are grid x ranks */
    size_t n_ranks;
    uint32_t iterations;      /* 1 .. BP_LQ_MAX_ITERATIONS */
    uint64_t seed;            /* up to 2^53 */
    unsigned threads;         /* >= 1 */
    uint32_t shard, n_shards; /* part `shard` (from 1) of n_shards; 1, 1 for all */
    bool replace;             /* start anew even if `path` exists */
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

/* Measures one cell of every row again, by the table's own method: error [n_matrices] gets that of
 * candidate choice[i] of matrix i. On the kind of machine that measured the table the results are
 * equal to the bit. fisher NULL = no weights. BP_ERR_INPUT: the table does not state a method that
 * this bitplan has, or the model lacks a matrix. Sets BLAS to one thread. */
enum bp_status bp_measure_again(const struct bp_table *table, const struct bp_model *model,
                                const struct bp_model *fisher, const uint32_t *choice,
                                unsigned threads, double *error, struct bp_err *err);

#endif
