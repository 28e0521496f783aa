/*
 * The calls of cuBLAS and cuSOLVER that the backend makes, over CBLAS and LAPACKE. Products in TF32
 * round their operands to its 10 bits of fraction, as a device does.
 */
#ifndef BP_CUEMU_BLAS_H
#define BP_CUEMU_BLAS_H

#include <cblas.h>
#include <lapacke.h>

#include "emu/cuemu_runtime.h"

typedef struct cuemu_blas {
    bool tf32;
} * cublasHandle_t;
typedef struct cuemu_solver *cusolverDnHandle_t;
enum cublasStatus_t { CUBLAS_STATUS_SUCCESS, CUBLAS_STATUS_ALLOC_FAILED = 3 };
enum cusolverStatus_t { CUSOLVER_STATUS_SUCCESS };
enum cublasOperation_t { CUBLAS_OP_N, CUBLAS_OP_T };
enum cublasFillMode_t { CUBLAS_FILL_MODE_UPPER };
enum cublasSideMode_t { CUBLAS_SIDE_RIGHT };
enum cublasDiagType_t { CUBLAS_DIAG_NON_UNIT };
enum cublasMath_t { CUBLAS_DEFAULT_MATH, CUBLAS_TF32_TENSOR_OP_MATH };
enum cusolverEigMode_t { CUSOLVER_EIG_MODE_VECTOR };

static inline const char *cublasGetStatusString(cublasStatus_t)
{
    return "a status that is not success";
}

static inline cublasStatus_t cublasCreate(cublasHandle_t *h)
{
    *h = static_cast<cublasHandle_t>(std::calloc(1, sizeof **h));
    return *h ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_ALLOC_FAILED;
}

static inline cublasStatus_t cublasDestroy(cublasHandle_t h)
{
    std::free(h);
    return CUBLAS_STATUS_SUCCESS;
}

static inline cublasStatus_t cublasSetStream(cublasHandle_t, cudaStream_t)
{
    return CUBLAS_STATUS_SUCCESS;
}

static inline cublasStatus_t cublasSetMathMode(cublasHandle_t h, cublasMath_t mode)
{
    h->tf32 = mode == CUBLAS_TF32_TENSOR_OP_MATH;
    return CUBLAS_STATUS_SUCCESS;
}

static inline CBLAS_TRANSPOSE cuemu_transpose(cublasOperation_t op)
{
    return op == CUBLAS_OP_T ? CblasTrans : CblasNoTrans;
}

/* A copy of a matrix of ld x columns, rounded to TF32. */
static inline float *cuemu_tf32(const float *M, int ld, int columns)
{
    const size_t n = (size_t)ld * (size_t)columns;
    float *copy = static_cast<float *>(std::malloc(n * sizeof *copy));
    for (size_t i = 0; copy && i < n; i++)
        copy[i] = __uint_as_float((__float_as_uint(M[i]) + 0x1000u) & 0xffffe000u);
    return copy;
}

static inline cublasStatus_t cublasSgemm(cublasHandle_t h, cublasOperation_t ta,
                                         cublasOperation_t tb, int m, int n, int k,
                                         const float *alpha, const float *A, int lda,
                                         const float *B, int ldb, const float *beta, float *C,
                                         int ldc)
{
    float *A32 = h->tf32 ? cuemu_tf32(A, lda, ta == CUBLAS_OP_T ? m : k) : nullptr;
    float *B32 = h->tf32 ? cuemu_tf32(B, ldb, tb == CUBLAS_OP_T ? k : n) : nullptr;
    if (h->tf32 && (!A32 || !B32)) {
        std::free(A32);
        std::free(B32);
        return CUBLAS_STATUS_ALLOC_FAILED;
    }
    cblas_sgemm(CblasColMajor, cuemu_transpose(ta), cuemu_transpose(tb), m, n, k, *alpha,
                A32 ? A32 : A, lda, B32 ? B32 : B, ldb, *beta, C, ldc);
    std::free(A32);
    std::free(B32);
    return CUBLAS_STATUS_SUCCESS;
}

static inline cublasStatus_t cublasDsyrk(cublasHandle_t, cublasFillMode_t, cublasOperation_t op,
                                         int n, int k, const double *alpha, const double *A,
                                         int lda, const double *beta, double *C, int ldc)
{
    cblas_dsyrk(CblasColMajor, CblasUpper, cuemu_transpose(op), n, k, *alpha, A, lda, *beta, C,
                ldc);
    return CUBLAS_STATUS_SUCCESS;
}

static inline cublasStatus_t cublasStrsm(cublasHandle_t, cublasSideMode_t, cublasFillMode_t,
                                         cublasOperation_t op, cublasDiagType_t, int m, int n,
                                         const float *alpha, const float *A, int lda, float *B,
                                         int ldb)
{
    cblas_strsm(CblasColMajor, CblasRight, CblasUpper, cuemu_transpose(op), CblasNonUnit, m, n,
                *alpha, A, lda, B, ldb);
    return CUBLAS_STATUS_SUCCESS;
}

static inline cusolverStatus_t cusolverDnCreate(cusolverDnHandle_t *h)
{
    *h = nullptr;
    return CUSOLVER_STATUS_SUCCESS;
}

static inline cusolverStatus_t cusolverDnDestroy(cusolverDnHandle_t)
{
    return CUSOLVER_STATUS_SUCCESS;
}

static inline cusolverStatus_t cusolverDnSetStream(cusolverDnHandle_t, cudaStream_t)
{
    return CUSOLVER_STATUS_SUCCESS;
}

/* A workspace, though LAPACK's needs none: its end is written to, so that a wrong size is found. */
static inline cusolverStatus_t cusolverDnDpotrf_bufferSize(cusolverDnHandle_t, cublasFillMode_t,
                                                           int n, double *, int, int *lwork)
{
    *lwork = n;
    return CUSOLVER_STATUS_SUCCESS;
}

static inline cusolverStatus_t cusolverDnDpotrf(cusolverDnHandle_t, cublasFillMode_t, int n,
                                                double *A, int lda, double *work, int lwork,
                                                int *info)
{
    work[lwork - 1] = 0.0;
    *info = LAPACKE_dpotrf_work(LAPACK_COL_MAJOR, 'U', n, A, lda);
    return CUSOLVER_STATUS_SUCCESS;
}

static inline cusolverStatus_t cusolverDnDsyevd_bufferSize(cusolverDnHandle_t, cusolverEigMode_t,
                                                           cublasFillMode_t, int n, const double *,
                                                           int, const double *, int *lwork)
{
    *lwork = 3 * n;
    return CUSOLVER_STATUS_SUCCESS;
}

static inline cusolverStatus_t cusolverDnDsyevd(cusolverDnHandle_t, cusolverEigMode_t,
                                                cublasFillMode_t, int n, double *A, int lda,
                                                double *w, double *work, int lwork, int *info)
{
    *info = LAPACKE_dsyev_work(LAPACK_COL_MAJOR, 'V', 'U', n, A, lda, w, work, lwork);
    return CUSOLVER_STATUS_SUCCESS;
}

#endif
