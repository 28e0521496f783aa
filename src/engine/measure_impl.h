/*
 * What the parts of measuring share: the run (measure.c), rows by the reference procedure
 * (measure_exact.c) and rows by a backend (measure_staged.c). Nobody else includes this.
 */
#ifndef BP_ENGINE_MEASURE_IMPL_H
#define BP_ENGINE_MEASURE_IMPL_H

#include "engine/measure.h"
#include "engine/screening.h"

/* The run: the options, the table it fills and one matrix's worth of buffers. */
struct bp_measure_job {
    const struct bp_measure_options *options;
    struct bp_table *want;  /* the work asked for, by hand */
    struct bp_table *table; /* the file, open */
    struct bp_table_writer *writer;
    struct bp_lq_work **work;      /* [threads]; exact */
    struct bp_backend backend;     /* the other efforts */
    struct bp_screen *screen;      /* balanced */
    struct bp_config *some;        /* [grid->n] the configs of a call of the backend */
    double *one_step, *some_error; /* [grid->n] */
    uint16_t *some_ran;            /* [grid->n] */
    uint8_t *picked, *iterated;    /* [grid->n] */
    float *W, *F;                  /* [largest d * k]; F NULL without weights */
    double *error;                 /* [n_candidates] the row in hand */
    uint16_t *iterations;          /* [n_candidates] */
    uint8_t *stage;                /* [n_candidates] */
    double baseline[BP_N_BASELINES];
    uint8_t *mine;   /* [n_matrices] 1 = this shard's */
    uint32_t *cells; /* [n_matrices * BP_N_CELL_STAGES] how many of a row are how far, on disk */
    double *weight;  /* [n_matrices] sum of the row's errors, to refine the largest first */
    size_t row;
    atomic_uint_fast64_t row_cells; /* finished in the row in hand */
    struct bp_measure_progress progress;
};

/* Tells whoever asked how far the run is. On the calling thread of bp_measure alone. */
void bp_measure_tell(struct bp_measure_job *job);

/* The matrix in hand, which was read. */
struct bp_lq_matrix bp_measure_matrix(const struct bp_measure_job *job);

/* Each allocates what its rows need, or measures the matrix in hand into job->error, iterations,
 * stage and baseline; refine: past the one step. */
enum bp_status bp_measure_exact_begin(struct bp_measure_job *job, struct bp_err *err);
enum bp_status bp_measure_exact_row(struct bp_measure_job *job, struct bp_err *err);
enum bp_status bp_measure_staged_begin(struct bp_measure_job *job, struct bp_err *err);
enum bp_status bp_measure_staged_row(struct bp_measure_job *job, bool refine, struct bp_err *err);

#endif
