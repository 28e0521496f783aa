/*
 * Where the fast decompositions of one matrix start from: the first factorization of Algorithm 2,
 * SVD_r(W), with Fisher weights of D_row W D_col (Algorithm 4). It does not depend on the config,
 * so it is made once and shared by all, read-only, by any number of threads.
 */
#ifndef BP_ENGINE_LQ_START_H
#define BP_ENGINE_LQ_START_H

#include <stdint.h>

#include "engine/lq.h"

struct bp_lq_start {
    struct bp_lq_matrix matrix;
    double norm; /* sum of F W^2 */
    uint32_t r;  /* bp_svd_rank(d, k, rank) */
    uint32_t q;  /* columns: r and more, for iterations that carry some beside the rank */
    uint32_t ld; /* q, rounded up to BP_LQ_COLUMNS */
    float *U;    /* [d * ld] orthonormal columns, zeros from column q on */
    float *V;    /* [k * ld] right singular vectors times singular values */
    float *S;    /* [q] singular values, falling */
    float *L1;   /* [d * r] balanced factors of the first r, scales taken back */
    float *L2;   /* [r * k] */
    float *row;  /* [d] D_row, NULL without weights */
    float *col;  /* [k] D_col */
    /* Room */
    struct bp_svd_work *svd;
    float *scales; /* [d_max + k_max] */
};

/* Columns that a start of rank r carries in a d x k matrix. */
uint32_t bp_lq_start_columns(uint64_t d, uint64_t k, uint32_t r);

/* Room for matrices up to these sizes: about (d_max + k_max) (4 q + r) floats. BP_ERR_NOMEM. */
enum bp_status bp_lq_start_new(uint64_t d_max, uint64_t k_max, uint32_t r_max,
                               struct bp_lq_start **out, struct bp_err *err);
struct bp_lq_start *bp_lq_start_free(struct bp_lq_start *start);

/* Factorizes; refers to the matrix from then on. The sketch's key is (seed, name). `threads`
 * share the work, without a trace in the result. BP_ERR_FAILED when it does not converge. */
enum bp_status bp_lq_start_make(struct bp_lq_start *start, const struct bp_lq_matrix *matrix,
                                uint32_t rank, uint64_t seed, unsigned threads, struct bp_err *err);

#endif
