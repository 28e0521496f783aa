#include "engine/dense.h"

#include <cblas.h>
#include <lapacke.h>
#include <math.h>
#include <string.h>

/* Rows that are widened to double at a time. */
enum { GRAM_ROWS = 128 };

/* Of the diagonal, which is 1 after scaling: far above the rounding of FP32 columns in double, far
 * below what would move an orthonormal basis. */
static const double RIDGE = 1e-9;

/* A column whose norm squared is below has nothing in it but rounding, and to scale it up would
 * leave FP32. */
static const double NOTHING = 1e-60;

size_t bp_dense_gram_scratch(uint32_t q)
{
    return (size_t)GRAM_ROWS * q;
}

void bp_dense_gram(const float *Y, uint64_t rows, uint32_t q, uint32_t ld, double *scratch,
                   double *G)
{
    memset(G, 0, (size_t)q * q * sizeof *G);
    for (uint64_t first = 0; first < rows; first += GRAM_ROWS) {
        uint64_t n = rows - first < GRAM_ROWS ? rows - first : GRAM_ROWS;
        for (uint64_t i = 0; i < n; i++)
            for (uint32_t j = 0; j < q; j++)
                scratch[i * q + j] = Y[(first + i) * ld + j];
        cblas_dsyrk(CblasRowMajor, CblasUpper, CblasTrans, (int)q, (int)n, 1.0, scratch, (int)q,
                    1.0, G, (int)q);
    }
    for (uint32_t i = 0; i < q; i++)
        for (uint32_t j = 0; j < i; j++)
            G[i * q + j] = G[j * q + i];
}

static void swap_doubles(double *a, double *b)
{
    const double t = *a;
    *a = *b;
    *b = t;
}

bool bp_dense_whiten(double *G, uint32_t q, double *scale)
{
    for (uint32_t i = 0; i < q; i++) {
        if (!isfinite(G[i * q + i]))
            return false;
        scale[i] = G[i * q + i] > NOTHING ? 1.0 / sqrt(G[i * q + i]) : 1.0;
    }
    for (uint32_t i = 0; i < q; i++) {
        for (uint32_t j = 0; j < q; j++)
            G[i * q + j] = j < i ? 0.0 : G[i * q + j] * scale[i] * scale[j];
        G[i * q + i] += RIDGE;
    }
    /* Row-major upper is column-major lower: G = R'R, then R^-1. */
    lapack_int n = (lapack_int)q;
    if (LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'L', n, G, n) != 0 ||
        LAPACKE_dtrtri_work(LAPACK_COL_MAJOR, 'L', 'N', n, G, n) != 0)
        return false;
    for (uint32_t i = 0; i < q; i++)
        for (uint32_t j = i; j < q; j++)
            G[i * q + j] *= scale[i];
    return true;
}

/* What dsyevd asks for: so many doubles, and behind them integers. */
static size_t eigen_doubles(uint32_t q)
{
    return 1 + 6 * (size_t)q + 2 * (size_t)q * q;
}

static size_t eigen_integers(uint32_t q)
{
    return 3 + 5 * (size_t)q;
}

size_t bp_dense_eigen_scratch(uint32_t q)
{
    return eigen_doubles(q) + eigen_integers(q) * sizeof(lapack_int) / sizeof(double) + 1;
}

bool bp_dense_eigen(double *G, uint32_t q, double *scratch, double *w)
{
    const size_t n = eigen_doubles(q);
    for (size_t i = 0; i < (size_t)q * q; i++)
        if (!isfinite(G[i]))
            return false;
    /* Rising values; the vectors are LAPACK's columns, which are rows here. */
    if (LAPACKE_dsyevd_work(LAPACK_COL_MAJOR, 'V', 'L', (lapack_int)q, G, (lapack_int)q, w, scratch,
                            (lapack_int)n, (lapack_int *)(void *)(scratch + n),
                            (lapack_int)eigen_integers(q)) != 0)
        return false;
    for (uint32_t a = 0, b = q - 1; a < b; a++, b--)
        swap_doubles(&w[a], &w[b]);
    for (uint32_t i = 0; i < q; i++)
        for (uint32_t j = 0; j < i; j++)
            swap_doubles(&G[i * q + j], &G[j * q + i]);
    for (uint32_t i = 0; i < q; i++)
        for (uint32_t a = 0, b = q - 1; a < b; a++, b--)
            swap_doubles(&G[i * q + a], &G[i * q + b]);
    return true;
}

void bp_dense_square_tn(const double *A, const double *B, uint32_t q, double *C)
{
    cblas_dgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)q, (int)q, (int)q, 1.0, A, (int)q, B,
                (int)q, 0.0, C, (int)q);
}

void bp_dense_square_nn(const double *A, const double *B, uint32_t q, double *C)
{
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)q, (int)q, (int)q, 1.0, A, (int)q,
                B, (int)q, 0.0, C, (int)q);
}

void bp_dense_add_times(float beta, const float *Y, uint64_t rows, uint32_t ld, uint32_t inner,
                        const float *X, uint32_t ldx, uint32_t q, float *out)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)rows, (int)q, (int)inner, 1.0f, Y,
                (int)ld, X, (int)ldx, beta, out, (int)ld);
}

void bp_dense_times(const float *Y, uint64_t rows, uint32_t ld, uint32_t inner, const float *X,
                    uint32_t ldx, uint32_t q, float *out)
{
    bp_dense_add_times(0.0f, Y, rows, ld, inner, X, ldx, q, out);
}

void bp_dense_cross(const float *U, uint32_t r, const float *Y, uint32_t q, uint64_t rows,
                    uint32_t ld, float *out)
{
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)r, (int)q, (int)rows, 1.0f, U,
                (int)ld, Y, (int)ld, 0.0f, out, (int)q);
}

void bp_dense_remainder(const float *W, const float *U, const float *V, uint64_t rows, uint64_t k,
                        uint32_t r, uint32_t ld, float *Z)
{
    memcpy(Z, W, rows * k * sizeof *Z);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)rows, (int)k, (int)r, -1.0f, U,
                (int)ld, V, (int)ld, 1.0f, Z, (int)k);
}

void bp_dense_add_cross(const float *E, const float *Y, uint64_t rows, uint64_t k, uint32_t q,
                        uint32_t ld, float *A)
{
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, (int)k, (int)q, (int)rows, 1.0f, E, (int)k,
                Y, (int)ld, 1.0f, A, (int)ld);
}

void bp_dense_wide_times(const float *E, const float *V, uint64_t rows, uint64_t k, uint32_t q,
                         uint32_t ld, float *Y)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)rows, (int)q, (int)k, 1.0f, E,
                (int)k, V, (int)ld, 0.0f, Y, (int)ld);
}
