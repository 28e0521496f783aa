/*
 * The low-rank half: products with the matrix through cuBLAS, bases by Cholesky QR (the Gram matrix
 * and its factor in double, so that FP32 columns of a condition up to 1e7 come out orthonormal),
 * the factorization of the start by a randomized range finder with the parameters of engine/svd.h.
 * No call waits for the device.
 */
#include "gpu_parts.h"

enum { THREADS = GPU_THREADS };

/* What is added to the unit diagonal of a Gram matrix before it is factorized: far above the
 * rounding of its sums, far below what FP32 columns can tell apart. */
static const double RIDGE = 1e-9;

/* --- elementwise --- */

static unsigned blocks_for(uint64_t n)
{
    return (unsigned)gpu_ceil_div(n, THREADS);
}

static __global__ void __launch_bounds__(THREADS)
    widen_kernel(const float *in, uint64_t n, double *out)
{
    const uint64_t i = (uint64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i < n)
        out[i] = in[i];
}

static __device__ double length_of(const double *gram, uint32_t width, uint32_t j)
{
    const double square = gram[j * (uint64_t)width + j];
    return square > 0.0 ? sqrt(square) : 1.0;
}

/* unit = gram of the columns scaled to length 1, plus the ridge; norm = their lengths. */
static __global__ void __launch_bounds__(THREADS)
    unit_kernel(const double *gram, uint32_t width, double ridge, double *unit, double *norm)
{
    const uint32_t at = blockIdx.x * THREADS + threadIdx.x, i = at % width, j = at / width;
    if (j >= width)
        return;
    const double length = length_of(gram, width, j);
    unit[at] = gram[at] / (length_of(gram, width, i) * length) + (i == j ? ridge : 0.0);
    if (i == j)
        norm[j] = length;
}

/* small = the upper factor of the columns as they were: R diag(norm). */
static __global__ void __launch_bounds__(THREADS)
    factor_kernel(const double *unit, const double *norm, uint32_t width, float *small)
{
    const uint32_t at = blockIdx.x * THREADS + threadIdx.x, i = at % width, j = at / width;
    if (j < width)
        small[at] = i <= j ? (float)(unit[at] * norm[j]) : 0.0f;
}

/* small [width x r] = the eigenvectors of the r largest eigenvalues, times s^power. */
static __global__ void __launch_bounds__(THREADS)
    rotation_kernel(const double *vectors, const double *lambda, uint32_t width, uint32_t r,
                    float power, float *small)
{
    const uint32_t at = blockIdx.x * THREADS + threadIdx.x, i = at % width, j = at / width;
    if (j >= r)
        return;
    const uint32_t from = width - 1 - j; /* they rise */
    const double square = lambda[from];
    double scale = 1.0;
    if (power != 0.0f)
        scale = square > 0.0 ? pow(square, 0.5 * power) : 0.0;
    small[at] = (float)(vectors[from * (uint64_t)width + i] * scale);
}

static __global__ void __launch_bounds__(THREADS)
    scale_rows_kernel(const float *in, uint64_t rows, uint64_t n, const float *diagonal, bool over,
                      float *out)
{
    const uint64_t i = (uint64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i < n) {
        const float scale = diagonal[i % rows];
        out[i] = over ? __fdiv_rn(in[i], scale) : __fmul_rn(in[i], scale);
    }
}

static __global__ void __launch_bounds__(THREADS)
    row_major_kernel(const float *in, uint64_t rows, uint32_t width, float *out)
{
    const uint64_t at = (uint64_t)blockIdx.x * THREADS + threadIdx.x;
    const uint64_t i = at / width, j = at % width;
    if (i < rows)
        out[at] = in[j * rows + i];
}

int lr_scale_rows(struct lr_work *w, const float *M, uint64_t rows, uint32_t width,
                  const float *diagonal, bool over, float *out, struct bp_cuda_say *say)
{
    const uint64_t n = rows * width;
    if (!diagonal) {
        if (out == M)
            return BP_CUDA_OK;
        return gpu_check(
            say, cudaMemcpyAsync(out, M, n * sizeof *out, cudaMemcpyDeviceToDevice, w->stream),
            "copying a factor");
    }
    GPU_LAUNCH((scale_rows_kernel), dim3(blocks_for(n)), dim3(THREADS), 0, w->stream, M, rows, n,
               diagonal, over, out);
    return gpu_check(say, cudaGetLastError(), "scaling rows");
}

int lr_row_major(struct lr_work *w, const float *M, uint64_t rows, uint32_t width, float *out,
                 struct bp_cuda_say *say)
{
    GPU_LAUNCH((row_major_kernel), dim3(blocks_for(rows * width)), dim3(THREADS), 0, w->stream, M,
               rows, width, out);
    return gpu_check(say, cudaGetLastError(), "turning a factor");
}

/* --- products --- */

int lr_multiply(struct lr_work *w, bool transposed, uint64_t m, uint32_t n, uint64_t k, float alpha,
                const float *A, const float *B, float beta, float *C, struct bp_cuda_say *say)
{
    const cublasOperation_t op = transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
    GPU_BLAS(say, cublasSgemm(w->blas, op, CUBLAS_OP_N, (int)m, (int)n, (int)k, &alpha, A,
                              (int)(transposed ? k : m), B, (int)k, &beta, C, (int)m));
    return BP_CUDA_OK;
}

/* A row-major d x k matrix is the column-major k x d matrix A'. */
int lr_times(struct lr_work *w, const struct lr_matrix *m, const float *P, uint32_t width,
             float alpha, float beta, float *Y, struct bp_cuda_say *say)
{
    return lr_multiply(w, true, m->d, width, m->k, alpha, m->A, P, beta, Y, say);
}

int lr_times_transposed(struct lr_work *w, const struct lr_matrix *m, const float *Y,
                        uint32_t width, float alpha, float beta, float *P, struct bp_cuda_say *say)
{
    return lr_multiply(w, false, m->k, width, m->d, alpha, m->A, Y, beta, P, say);
}

int lr_remainder(struct lr_work *w, const float *W, uint64_t d, uint64_t k, const float *L1,
                 const float *L2, uint32_t r, float *Z, struct bp_cuda_say *say)
{
    const float minus = -1.0f, one = 1.0f;
    GPU_CUDA(say, cudaMemcpyAsync(Z, W, d * k * sizeof *Z, cudaMemcpyDeviceToDevice, w->stream));
    GPU_BLAS(say, cublasSgemm(w->blas, CUBLAS_OP_N, CUBLAS_OP_T, (int)k, (int)d, (int)r, &minus, L2,
                              (int)k, L1, (int)d, &one, Z, (int)k));
    return BP_CUDA_OK;
}

/* --- small factorizations --- */

int lr_work_size(cusolverDnHandle_t solver, uint32_t width, int *n_work, struct bp_cuda_say *say)
{
    *n_work = 1;
    for (int n = 1; n <= (int)width; n++) {
        int cholesky = 0, eigen = 0;
        GPU_SOLVER(say, cusolverDnDpotrf_bufferSize(solver, CUBLAS_FILL_MODE_UPPER, n, nullptr, n,
                                                    &cholesky));
        GPU_SOLVER(say, cusolverDnDsyevd_bufferSize(solver, CUSOLVER_EIG_MODE_VECTOR,
                                                    CUBLAS_FILL_MODE_UPPER, n, nullptr, n, nullptr,
                                                    &eigen));
        *n_work = cholesky > *n_work ? cholesky : *n_work;
        *n_work = eigen > *n_work ? eigen : *n_work;
    }
    return BP_CUDA_OK;
}

/* w->gram = M'M in double, its upper triangle. */
static int gram(struct lr_work *w, const float *M, uint64_t rows, uint32_t width,
                struct bp_cuda_say *say)
{
    const double one = 1.0, zero = 0.0;
    const uint64_t n = rows * width;
    GPU_LAUNCH((widen_kernel), dim3(blocks_for(n)), dim3(THREADS), 0, w->stream, M, n, w->wide);
    GPU_CUDA(say, cudaGetLastError());
    GPU_BLAS(say, cublasDsyrk(w->blas, CUBLAS_FILL_MODE_UPPER, CUBLAS_OP_T, (int)width, (int)rows,
                              &one, w->wide, (int)rows, &zero, w->gram, (int)width));
    return BP_CUDA_OK;
}

int lr_orthonormalize(struct lr_work *w, float *Y, uint64_t rows, uint32_t width, int passes,
                      struct bp_cuda_say *say)
{
    const int n = (int)width;
    const float one = 1.0f;
    const unsigned blocks = blocks_for((uint64_t)width * width);
    for (int pass = 0; pass < passes; pass++) {
        GPU_TRY(gram(w, Y, rows, width, say));
        GPU_LAUNCH((unit_kernel), dim3(blocks), dim3(THREADS), 0, w->stream, w->gram, width, RIDGE,
                   w->unit, w->norm);
        GPU_CUDA(say, cudaGetLastError());
        /* With the ridge it fails only where Y is not finite; the error is not either, then. */
        GPU_SOLVER(say, cusolverDnDpotrf(w->solver, CUBLAS_FILL_MODE_UPPER, n, w->unit, n, w->work,
                                         w->n_work, w->info));
        GPU_LAUNCH((factor_kernel), dim3(blocks), dim3(THREADS), 0, w->stream, w->unit, w->norm,
                   width, w->small);
        GPU_CUDA(say, cudaGetLastError());
        GPU_BLAS(say,
                 cublasStrsm(w->blas, CUBLAS_SIDE_RIGHT, CUBLAS_FILL_MODE_UPPER, CUBLAS_OP_N,
                             CUBLAS_DIAG_NON_UNIT, (int)rows, n, &one, w->small, n, Y, (int)rows));
    }
    return BP_CUDA_OK;
}

int lr_eigen(struct lr_work *w, const float *V, uint64_t rows, uint32_t width,
             struct bp_cuda_say *say)
{
    const int n = (int)width;
    GPU_TRY(gram(w, V, rows, width, say));
    GPU_SOLVER(say, cusolverDnDsyevd(w->solver, CUSOLVER_EIG_MODE_VECTOR, CUBLAS_FILL_MODE_UPPER, n,
                                     w->gram, n, w->lambda, w->work, w->n_work, w->info));
    return BP_CUDA_OK;
}

int lr_rotate(struct lr_work *w, const float *M, uint64_t rows, uint32_t width, uint32_t r,
              float power, float *out, struct bp_cuda_say *say)
{
    GPU_LAUNCH((rotation_kernel), dim3(blocks_for((uint64_t)width * r)), dim3(THREADS), 0,
               w->stream, w->gram, w->lambda, width, r, power, w->small);
    GPU_CUDA(say, cudaGetLastError());
    return lr_multiply(w, false, rows, r, width, 1.0f, M, w->small, 0.0f, out, say);
}

/* --- the start --- */

/* Y = D_row A D_col P; P2 [k x q] is workspace. */
static int scaled_times(struct lr_work *w, const struct lr_matrix *m, const float *P, uint32_t q,
                        float *Y, float *P2, struct bp_cuda_say *say)
{
    if (m->col)
        GPU_TRY(lr_scale_rows(w, P, m->k, q, m->col, false, P2, say));
    GPU_TRY(lr_times(w, m, m->col ? P2 : P, q, 1.0f, 0.0f, Y, say));
    return lr_scale_rows(w, Y, m->d, q, m->row, false, Y, say);
}

/* P = D_col A' D_row Y; Y2 [d x q] is workspace. */
static int scaled_times_transposed(struct lr_work *w, const struct lr_matrix *m, const float *Y,
                                   uint32_t q, float *P, float *Y2, struct bp_cuda_say *say)
{
    if (m->row)
        GPU_TRY(lr_scale_rows(w, Y, m->d, q, m->row, false, Y2, say));
    GPU_TRY(lr_times_transposed(w, m, m->row ? Y2 : Y, q, 1.0f, 0.0f, P, say));
    return lr_scale_rows(w, P, m->k, q, m->col, false, P, say);
}

int lr_factorize(struct lr_work *w, const struct lr_matrix *m, uint32_t q, uint32_t power, float *U,
                 float *V, float *U2, float *V2, struct bp_cuda_say *say)
{
    enum { TWICE = 2 }; /* the first pass leaves the error of a large condition */
    GPU_TRY(scaled_times_transposed(w, m, U, q, V, U2, say));
    GPU_TRY(lr_orthonormalize(w, V, m->k, q, TWICE, say));
    for (uint32_t i = 0; i < power; i++) {
        GPU_TRY(scaled_times(w, m, V, q, U, V2, say));
        GPU_TRY(lr_orthonormalize(w, U, m->d, q, TWICE, say));
        GPU_TRY(scaled_times_transposed(w, m, U, q, V, U2, say));
        GPU_TRY(lr_orthonormalize(w, V, m->k, q, TWICE, say));
    }
    /* A ~ B V' with B = A V; B'B = X S^2 X', so that A ~ (B X / S) S (V X)'. */
    GPU_TRY(scaled_times(w, m, V, q, U2, V2, say));
    GPU_TRY(lr_eigen(w, U2, m->d, q, say));
    GPU_TRY(lr_rotate(w, U2, m->d, q, q, -1.0f, U, say));
    /* V X S: the rotation by the eigenvectors, each times s. */
    GPU_TRY(lr_rotate(w, V, m->k, q, q, 1.0f, V2, say));
    return gpu_check(
        say, cudaMemcpyAsync(V, V2, m->k * q * sizeof *V, cudaMemcpyDeviceToDevice, w->stream),
        "copying a basis");
}
