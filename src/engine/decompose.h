/*
 * Carrying a plan out: every matrix of a plan is decomposed under its chosen config and written, in
 * one or several forms (output_layout.h), matrix by matrix.
 *
 * Of a plan whose table was measured with effort `exact` the decomposition is the reference
 * procedure's with the table's seed and iterations, so that on the same kind of machine the error
 * is the plan's to the bit; otherwise it is a backend's. When all is written, every matrix is
 * read back from the files and its error computed again.
 */
#ifndef BP_ENGINE_DECOMPOSE_H
#define BP_ENGINE_DECOMPOSE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/backend.h"
#include "engine/err.h"
#include "engine/output_check.h"

struct bp_model;
struct bp_plan_file;

/* How far a run is. */
struct bp_decompose_progress {
    bool checking; /* false: decomposing */
    uint64_t weights_done, weights_total;
    size_t done, total, before; /* matrices; before: by earlier runs */
    const char *matrix;         /* finished last, NULL at the start; valid during the call */
};

struct bp_decompose_options {
    const struct bp_plan_file *plan; /* its method is known */
    const struct bp_model *model;
    const struct bp_model *fisher; /* NULL: no weights */
    const char *dir;               /* OUT */
    unsigned emits;                /* set of enum bp_emit, not empty */
    unsigned low_rank_bits;        /* 8, 16 or 32 */
    unsigned threads;              /* >= 1 */
    enum bp_backend_kind backend;  /* unless the plan's effort is exact */
    bool replace;
    const atomic_bool *stop; /* may be NULL */
    /* On the calling thread, after each of its matrices; may be NULL. */
    void (*progress)(void *ctx, const struct bp_decompose_progress *progress);
    void *progress_ctx;
};

struct bp_decompose_report {
    struct bp_output_row *rows; /* [n] in the plan's order */
    const char **no_bnb; /* [n] why a matrix is no 4-bit layer; constants; NULL without bnb */
    size_t n, before;    /* before: decomposed by earlier runs */
    size_t n_off;        /* beyond the tolerance */
    size_t n_equal;      /* whose first form has the plan's error to the bit */
    double tolerance;
    uint64_t bytes; /* of all files */
};

/* Carries the plan out. BP_STOPPED: stopped; what is in place is kept and the same call goes on
 * from there. BP_OK also when matrices are off: the report says so. The files are there then. The
 * report is to be freed in any case. Sets BLAS to one thread for the whole process. */
enum bp_status bp_decompose(const struct bp_decompose_options *options,
                            struct bp_decompose_report *report, struct bp_err *err);
void bp_decompose_report_done(struct bp_decompose_report *report);

/* The report as the JSON document that lies in OUT/decompose.json: no times, no paths. On the heap,
 * NULL when out of memory. */
char *bp_decompose_report_json(const struct bp_decompose_options *options,
                               const struct bp_decompose_report *report);

#endif
