/*
 * The rank-r approximation of a matrix, L1 L2, by a randomized singular value decomposition (Halko,
 * Martinsson, Tropp, arXiv 0909.4061, with the parameters of the authors' code: r + 10 columns, two
 * power iterations) or by a full one in double precision, which is the oracle of the tests.
 *
 * A [d * k], L1 [d * r], L2 [r * k] row-major, FP32. L1 = U sqrt(S), L2 = sqrt(S) V'. Products go
 * through CBLAS, factorizations through LAPACKE; results depend on neither threads nor calls
 * before, as long as BLAS itself runs single-threaded (bp_blas_single_thread). A work struct serves
 * one thread at a time.
 */
#ifndef BP_ENGINE_SVD_H
#define BP_ENGINE_SVD_H

#include <stdint.h>

#include "engine/err.h"

enum bp_svd_method { BP_SVD_RANDOMIZED, BP_SVD_FULL };

enum { BP_SVD_OVERSAMPLING = 10, BP_SVD_POWER_ITERATIONS = 2 };

struct bp_svd_work;

/* Workspace for matrices of up to d_max x k_max elements at ranks up to r_max. BP_ERR_NOMEM. */
enum bp_status bp_svd_work_new(uint64_t d_max, uint64_t k_max, uint32_t r_max,
                               enum bp_svd_method method, struct bp_svd_work **out,
                               struct bp_err *err);
struct bp_svd_work *bp_svd_work_free(struct bp_svd_work *work);

/* The rank that a d x k matrix can take of the one asked for: at most its short side. */
uint32_t bp_svd_rank(uint64_t d, uint64_t k, uint32_t rank);

/* L1, L2 of rank r = bp_svd_rank(d, k, rank) >= 1. `key` is the stream of the random sketch (unused
 * by the full method). A is not changed. BP_ERR_FAILED when the factorization does not converge
 * (values that are not finite). */
enum bp_status bp_svd_lowrank(struct bp_svd_work *work, const float *A, uint64_t d, uint64_t k,
                              uint32_t rank, uint64_t key, float *L1, float *L2,
                              struct bp_err *err);

/* What is decomposed: D_row A D_col, which is never formed. */
struct bp_svd_operand {
    const float *A; /* [d * k] */
    uint64_t d, k;
    const float *row, *col; /* [d], [k] diagonals; NULL = ones */
    unsigned threads;       /* that share the products, >= 1; the result does not depend on them */
};

/* The same approximation as singular triplets: q <= min(d, k, r_max + BP_SVD_OVERSAMPLING) columns,
 * all of the sketch's. U [d * ld], V [k * ld] row-major with orthonormal columns, zeros from column
 * q on; S [q] falling. By the randomized method, whatever the workspace's. */
enum bp_status bp_svd_triplets(struct bp_svd_work *work, const struct bp_svd_operand *operand,
                               uint32_t q, uint64_t key, uint32_t ld, float *U, float *S, float *V,
                               struct bp_err *err);

/* R [d * k] = A - L1 L2. R may be A. */
void bp_residual(const float *A, const float *L1, const float *L2, uint64_t d, uint64_t k,
                 uint32_t r, float *R);

/* Makes BLAS run on the calling thread only, for the whole process: bitplan's own threads share out
 * the work, and sums then have one order. */
void bp_blas_single_thread(void);

#endif
