/*
 * What the backend's parts offer each other: functions that put work on a stream and return at
 * once. Sources are split by operation; kernels are static in theirs. Thin matrices (factors and
 * bases of a few columns) are column-major with their own height, matrices row-major as stored.
 */
#ifndef BP_GPU_PARTS_H
#define BP_GPU_PARTS_H

#include "bp_cuda.h"
#include "gpu_compat.h"

/* Threads of a block; fewer under ThreadSanitizer, whose runtime has 255 slots for them. */
#ifndef BP_GPU_THREADS
#define BP_GPU_THREADS 256
#endif
enum { GPU_THREADS = BP_GPU_THREADS };

/* Writes the line and returns `code`. */
int gpu_fail(struct bp_cuda_say *say, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int gpu_check(struct bp_cuda_say *say, cudaError_t status, const char *what);
int gpu_check_blas(struct bp_cuda_say *say, cublasStatus_t status, const char *what);
int gpu_check_solver(struct bp_cuda_say *say, cusolverStatus_t status, const char *what);

/* Forwards a failure. */
#define GPU_TRY(call)          \
    do {                       \
        int gpu_try_ = (call); \
        if (gpu_try_)          \
            return gpu_try_;   \
    } while (0)
#define GPU_CUDA(say, call)   GPU_TRY(gpu_check((say), (call), #call))
#define GPU_BLAS(say, call)   GPU_TRY(gpu_check_blas((say), (call), #call))
#define GPU_SOLVER(say, call) GPU_TRY(gpu_check_solver((say), (call), #call))

static inline uint64_t gpu_ceil_div(uint64_t a, uint64_t b)
{
    return a / b + (a % b != 0);
}

/* --- nf_quantize.cu: the arithmetic of engine/quantize.h, bit for bit --- */

enum { NF_MANY = 8 }; /* configs a pass */

/* The scales of one array under one config, in device memory. */
struct nf_scales {
    float *choosing, *value; /* [blocks] */
    uint8_t *code;           /* [blocks] or NULL */
    float *second;           /* [groups] or NULL */
};

/* One pass over A: what each config's codes cost, and for a single one what becomes of A. */
struct nf_pass {
    const float *A, *F; /* [n]; F NULL for ones */
    uint64_t n;
    uint32_t B0; /* of all configs */
    int count;   /* 1 .. NF_MANY */
    uint8_t b0[NF_MANY];
    const float *choosing[NF_MANY], *value[NF_MANY];
    const struct bp_cuda_codebooks *codebooks;
    double *partial; /* [count * nf_partials(n)] workspace */
    double *error;   /* [count] out */
    /* With count 1, each may be NULL; E and Q may be A, not both: */
    float *E, *Q;
    uint8_t *codes;
};

uint64_t nf_partials(uint64_t n);

/* maxima [ceil(n / B0)] of the blocks, and their least as the bits of an FP32. */
int nf_block_maxima(cudaStream_t stream, const float *A, uint64_t n, uint32_t B0, float *maxima,
                    unsigned *least, struct bp_cuda_say *say);
int nf_group_scales(cudaStream_t stream, const float *maxima, const unsigned *least,
                    uint64_t n_blocks, const struct bp_cuda_config *config,
                    const struct nf_scales *out, struct bp_cuda_say *say);
int nf_evaluate(cudaStream_t stream, const struct nf_pass *pass, struct bp_cuda_say *say);

/* --- nf_pack.cu: the layout of engine/pack.h --- */

uint64_t nf_pack_words(uint64_t n, unsigned bits);
int nf_pack(cudaStream_t stream, const uint8_t *codes, uint64_t n, unsigned bits, uint32_t *words,
            struct bp_cuda_say *say);
/* Q [n] from packed codes; value [blocks]. */
int nf_unpack_values(cudaStream_t stream, const uint32_t *words, uint64_t n,
                     const struct bp_cuda_config *config, const float *value,
                     const struct bp_cuda_codebooks *codebooks, float *Q, struct bp_cuda_say *say);

/* --- lowrank.cu: products, bases and the small factorizations --- */

/* Handles and workspace of one stream, for thin matrices of up to `rows` x `width`. */
struct lr_work {
    cudaStream_t stream;
    cublasHandle_t blas;
    cusolverDnHandle_t solver;
    double *wide;        /* [rows * width] */
    double *gram, *unit; /* [width * width] */
    double *lambda;      /* [width] */
    double *norm;        /* [width] */
    float *small;        /* [width * width] */
    double *work;        /* [n_work] */
    int n_work;
    int *info;
};

/* Doubles that `work` must hold for widths up to this: nobody says that they rise with it. */
int lr_work_size(cusolverDnHandle_t solver, uint32_t width, int *n_work, struct bp_cuda_say *say);

/* The matrix that is decomposed, D_row A D_col; diagonals NULL for ones. */
struct lr_matrix {
    const float *A;
    uint64_t d, k;
    const float *row, *col;
};

/* Replaces Y [rows x width] by an orthonormal basis of its columns, by Cholesky QR, `passes` times
 * over; a column that depends on the others may come out short. */
int lr_orthonormalize(struct lr_work *w, float *Y, uint64_t rows, uint32_t width, int passes,
                      struct bp_cuda_say *say);

/* Y [d x width] = alpha A P + beta Y;  P [k x width] = alpha A' Y + beta P. Without diagonals. */
int lr_times(struct lr_work *w, const struct lr_matrix *m, const float *P, uint32_t width,
             float alpha, float beta, float *Y, struct bp_cuda_say *say);
int lr_times_transposed(struct lr_work *w, const struct lr_matrix *m, const float *Y,
                        uint32_t width, float alpha, float beta, float *P, struct bp_cuda_say *say);

/* C [m x n] = alpha op(A) B + beta C, all column-major and tight. A is m x k, or k x m transposed.
 */
int lr_multiply(struct lr_work *w, bool transposed, uint64_t m, uint32_t n, uint64_t k, float alpha,
                const float *A, const float *B, float beta, float *C, struct bp_cuda_say *say);

/* The eigenvectors of V'V, V [rows x width], stay in `w`: */
int lr_eigen(struct lr_work *w, const float *V, uint64_t rows, uint32_t width,
             struct bp_cuda_say *say);
/* for this: out [rows x r] = M X diag(s^power), X the eigenvectors of the r largest eigenvalues
 * s^2, 0^power = 0 but for power 0. */
int lr_rotate(struct lr_work *w, const float *M, uint64_t rows, uint32_t width, uint32_t r,
              float power, float *out, struct bp_cuda_say *say);

/* out [rows x width] = M, each row times (or over) diagonal [rows]; NULL for ones. out may be M. */
int lr_scale_rows(struct lr_work *w, const float *M, uint64_t rows, uint32_t width,
                  const float *diagonal, bool over, float *out, struct bp_cuda_say *say);

/* Z [d * k] = W - L1 L2', L1 [d x r], L2 [k x r]. */
int lr_remainder(struct lr_work *w, const float *W, uint64_t d, uint64_t k, const float *L1,
                 const float *L2, uint32_t r, float *Z, struct bp_cuda_say *say);

/* out [rows * width] row-major = M column-major. */
int lr_row_major(struct lr_work *w, const float *M, uint64_t rows, uint32_t width, float *out,
                 struct bp_cuda_say *say);

/* U [d x q] orthonormal columns and V = A'U [k x q] of the randomized factorization, falling;
 * scaled by the diagonals. U starts as the sketch. U2, V2: workspace of their sizes. */
int lr_factorize(struct lr_work *w, const struct lr_matrix *m, uint32_t q, uint32_t power, float *U,
                 float *V, float *U2, float *V2, struct bp_cuda_say *say);

#endif
