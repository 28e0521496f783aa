/*
 * The low-rank plus quantized decomposition W ~ Q + L1 L2: LQ-LoRA's Algorithm 2, with Fisher
 * weights Algorithm 4 (section 3.3), in the authors' arithmetic.
 *
 *     Q = 0; repeat: L1, L2 = SVD_r(W - Q);  Q = quantize(W - L1 L2);
 *                    error = || sqrt(F) . (W - Q - L1 L2) ||_F^2
 *     until the error rises strictly or T iterations ran.
 *
 * Where the authors return the iterate after the rise, the one of least error is kept here. With
 * weights the SVD is that of D_row (W - Q) D_col, D_row = sqrt(mean of F over the row), D_col
 * likewise, taken back afterwards. Rank 0 is plain quantization. This is the reference procedure
 * (`--effort exact`) and the oracle of the faster ones.
 */
#ifndef BP_ENGINE_LQ_H
#define BP_ENGINE_LQ_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/config.h"
#include "engine/err.h"
#include "engine/svd.h"

enum { BP_LQ_MAX_ITERATIONS = 100 };

struct bp_lq_matrix {
    const float *W; /* [d * k] finite */
    const float *F; /* [d * k] finite, >= 0; NULL = all ones */
    uint64_t d, k;
    const char *name; /* part of the key of the random sketches */
};

struct bp_lq_options {
    uint32_t rank;       /* clamped to the short side; 0 = plain quantization */
    uint32_t iterations; /* T, 1 .. BP_LQ_MAX_ITERATIONS */
    uint64_t seed;
};

struct bp_lq_result {
    double error;        /* of the kept iterate */
    uint32_t iterations; /* how many ran (0 for rank 0) */
    uint32_t best;       /* which was kept, from 1 */
};

/* Where the kept iterate goes. Each may be NULL. r = bp_svd_rank(d, k, rank). */
struct bp_lq_factors {
    float *Q;  /* [d * k] dequantized */
    float *L1; /* [d * r] */
    float *L2; /* [r * k] */
};

struct bp_lq_work;

/* Workspace for matrices of up to d_max rows, k_max columns and n_max elements, ranks up to r_max,
 * blocks of at least B0_min; serves one thread at a time. Holds 2 n_max floats besides the
 * sketches. */
enum bp_status bp_lq_work_new(uint64_t d_max, uint64_t k_max, uint64_t n_max, uint32_t r_max,
                              uint32_t B0_min, enum bp_svd_method method, struct bp_lq_work **out,
                              struct bp_err *err);
struct bp_lq_work *bp_lq_work_free(struct bp_lq_work *work);

/* Decomposes one matrix under one config. `factors` may be NULL (the error alone is wanted);
 * `trace` may be NULL, else [options->iterations] gets each iteration's error. BP_ERR_FAILED when
 * numbers left the range of FP32. */
enum bp_status bp_lq_decompose(struct bp_lq_work *work, const struct bp_lq_matrix *matrix,
                               const struct bp_config *config, const struct bp_lq_options *options,
                               const struct bp_lq_factors *factors, double *trace,
                               struct bp_lq_result *result, struct bp_err *err);

/* D_row [d] and D_col [k] of Algorithm 4 from matrix->F, all positive. False: out of memory. */
bool bp_lq_fisher_scales(const struct bp_lq_matrix *matrix, float *row, float *col);

/* The error of keeping nothing: sum of F W^2. */
double bp_lq_norm(const struct bp_lq_matrix *matrix);

#endif
