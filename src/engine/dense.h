/*
 * Small dense algebra around tall thin factors: row-major FP32, `rows` rows of q columns, ld floats
 * from row to row. Gram matrices and what follows from them are in double, since they square the
 * condition number. No state; BLAS runs on the calling thread (bp_blas_single_thread).
 */
#ifndef BP_ENGINE_DENSE_H
#define BP_ENGINE_DENSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Doubles that bp_dense_gram needs as scratch for q columns. */
size_t bp_dense_gram_scratch(uint32_t q);

/* G [q * q] = Y'Y. */
void bp_dense_gram(const float *Y, uint64_t rows, uint32_t q, uint32_t ld, double *scratch,
                   double *G);

/* Replaces G = Y'Y [q * q] by the upper triangular X such that Y X has orthonormal columns
 * (CholeskyQR; a ridge of 1e-9 of the diagonal keeps columns that depend on others, or are zero,
 * below norm 1, and columns of norm below 1e-30 count as zero: X stays in FP32's range). `scale`
 * [q] is scratch. False when G is not finite. */
bool bp_dense_whiten(double *G, uint32_t q, double *scale);

/* Doubles that bp_dense_eigen needs as scratch. */
size_t bp_dense_eigen_scratch(uint32_t q);

/* Replaces the symmetric G [q * q] by its eigenvectors, one a column, and gives their values w [q],
 * falling. Allocates nothing. False when they cannot be found (G not finite). */
bool bp_dense_eigen(double *G, uint32_t q, double *scratch, double *w);

/* C [q * q] = A' B and A B, all [q * q] double. */
void bp_dense_square_tn(const double *A, const double *B, uint32_t q, double *C);
void bp_dense_square_nn(const double *A, const double *B, uint32_t q, double *C);

/* out [rows * ld] = Y X: Y [rows * ld] with `inner` columns in use, X [inner * ldx], q columns. */
void bp_dense_times(const float *Y, uint64_t rows, uint32_t ld, uint32_t inner, const float *X,
                    uint32_t ldx, uint32_t q, float *out);

/* The same, added: out = beta out + Y X. */
void bp_dense_add_times(float beta, const float *Y, uint64_t rows, uint32_t ld, uint32_t inner,
                        const float *X, uint32_t ldx, uint32_t q, float *out);

/* out [r * q] = U' Y over the first r columns of U [rows * ld] and q of Y [rows * ld]. */
void bp_dense_cross(const float *U, uint32_t r, const float *Y, uint32_t q, uint64_t rows,
                    uint32_t ld, float *out);

/* Z [rows * k] = W - U V': U [rows * ld], V [k * ld], the first r columns of both. */
void bp_dense_remainder(const float *W, const float *U, const float *V, uint64_t rows, uint64_t k,
                        uint32_t r, uint32_t ld, float *Z);

/* A [k * ld] += E' Y: E [rows * k], Y [rows * ld], q columns. */
void bp_dense_add_cross(const float *E, const float *Y, uint64_t rows, uint64_t k, uint32_t q,
                        uint32_t ld, float *A);

/* Y [rows * ld] = E V: E [rows * k], V [k * ld], q columns. */
void bp_dense_wide_times(const float *E, const float *V, uint64_t rows, uint64_t k, uint32_t q,
                         uint32_t ld, float *Y);

#endif
