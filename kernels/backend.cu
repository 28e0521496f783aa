/*
 * The backend's driver: memory, the trajectories of Algorithm 2 (LQ-LoRA section 3.2) on several
 * streams, and the table of operations.
 *
 * A trajectory keeps a basis U with V = R'U, so that L = U V' is the part of R = D_row (W - Q)
 * D_col that U spans. One step of subspace iteration replaces the SVD: with E = W - Q - L the
 * remainder, R = L + E, and overshot by eta, R = L + eta E: Y = U (V'V) + eta E V,  U_next =
 * orth(Y),  V_next = V (U'U_next) + eta E'U_next, two products with E beside the one for L. Nothing
 * waits for the device inside a trajectory: which iterate is the best is decided there.
 */
#include "gpu_parts.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

/* --- failures --- */

int gpu_fail(struct bp_cuda_say *say, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(say->text, sizeof say->text, format, arguments);
    va_end(arguments);
    return code;
}

int gpu_check(struct bp_cuda_say *say, cudaError_t status, const char *what)
{
    if (status == cudaSuccess)
        return BP_CUDA_OK;
    return gpu_fail(say, status == cudaErrorMemoryAllocation ? BP_CUDA_MEMORY : BP_CUDA_FAILED,
                    "CUDA: %s (%.60s)", cudaGetErrorString(status), what);
}

int gpu_check_blas(struct bp_cuda_say *say, cublasStatus_t status, const char *what)
{
    return status == CUBLAS_STATUS_SUCCESS ? BP_CUDA_OK
                                           : gpu_fail(say, BP_CUDA_FAILED, "cuBLAS: %s (%.60s)",
                                                      cublasGetStatusString(status), what);
}

int gpu_check_solver(struct bp_cuda_say *say, cusolverStatus_t status, const char *what)
{
    return status == CUSOLVER_STATUS_SUCCESS
               ? BP_CUDA_OK
               : gpu_fail(say, BP_CUDA_FAILED, "cuSOLVER: status %d (%.60s)", (int)status, what);
}

/* --- state --- */

/* The best iterate so far, on the device. */
struct best {
    double error;
    uint32_t at, taken; /* taken: whether the last one is it */
};

enum { MAX_LANES = 8 };

/* One trajectory in flight: a stream, what it works on, what it keeps. */
struct lane {
    struct lr_work lr;
    float *Z;                                  /* [n] W - L, then the remainder */
    float *U, *U_next, *U_scaled;              /* [d * q] */
    float *V, *V_next, *V_scaled;              /* [k * q] */
    float *best_U, *best_V, *L1, *L2;          /* [d * r], [k * r] */
    float *cross;                              /* [q * q] */
    float *maxima;                             /* [blocks] */
    unsigned *least;                           /* one */
    float *choosing[NF_MANY], *value[NF_MANY]; /* [blocks] */
    double *partial, *error;                   /* [NF_MANY * partials], [NF_MANY] */
    struct best *best;
};

struct bp_cuda {
    struct bp_cuda_limits limits;
    char *memory; /* everything below but F */
    struct bp_cuda_codebooks *codebooks;
    float *W, *row, *col;
    float *F;                   /* allocated when the first weights come */
    float *start_U, *start_V;   /* [d * q], [k * q] of W, columns falling */
    float *start_L1, *start_L2; /* [d * r], [k * r] */
    struct lane lanes[MAX_LANES];
    uint32_t n_lanes;
    struct bp_cuda_matrix matrix; /* its pointers are the caller's, not used after load */
};

static struct lr_matrix weighted(const struct bp_cuda *s, const float *A)
{
    const bool has = s->matrix.F != nullptr;
    return {A, s->matrix.d, s->matrix.k, has ? s->row : nullptr, has ? s->col : nullptr};
}

static uint64_t n_elements(const struct bp_cuda *s)
{
    return s->matrix.d * s->matrix.k;
}

/* --- memory --- */

/* Hands out stretches of one allocation; without one it only adds up. */
struct arena {
    char *base;
    size_t used;
};

template <class T> static void take(struct arena *a, T **out, uint64_t n)
{
    enum { ALIGN = 256 };
    *out = a->base ? reinterpret_cast<T *>(a->base + a->used) : nullptr;
    a->used += (n * sizeof(T) + ALIGN - 1) / ALIGN * ALIGN;
}

static void plan_lane(struct arena *a, struct lane *l, const struct bp_cuda_limits *m)
{
    const uint64_t long_side = m->d_max > m->k_max ? m->d_max : m->k_max;
    const uint64_t blocks = gpu_ceil_div(m->n_max, m->B0_min), q2 = (uint64_t)m->q_max * m->q_max;
    take(a, &l->Z, m->n_max);
    float **tall_d[] = {&l->U, &l->U_next, &l->U_scaled};
    float **tall_k[] = {&l->V, &l->V_next, &l->V_scaled};
    for (int i = 0; i < 3; i++) {
        take(a, tall_d[i], m->d_max * m->q_max);
        take(a, tall_k[i], m->k_max * m->q_max);
    }
    take(a, &l->best_U, m->d_max * m->r_max);
    take(a, &l->best_V, m->k_max * m->r_max);
    take(a, &l->L1, m->d_max * m->r_max);
    take(a, &l->L2, m->k_max * m->r_max);
    take(a, &l->cross, q2);
    take(a, &l->maxima, blocks);
    take(a, &l->least, 1);
    take(a, &l->partial, NF_MANY * nf_partials(m->n_max));
    take(a, &l->error, NF_MANY);
    take(a, &l->best, 1);
    take(a, &l->lr.wide, long_side * m->q_max);
    take(a, &l->lr.gram, q2);
    take(a, &l->lr.unit, q2);
    take(a, &l->lr.lambda, m->q_max);
    take(a, &l->lr.norm, m->q_max);
    take(a, &l->lr.small, q2);
    take(a, &l->lr.work, (uint64_t)l->lr.n_work);
    take(a, &l->lr.info, 1);
}

/* The first lane evaluates many configs at once, the others one. */
static size_t plan(struct bp_cuda *s, char *base, uint32_t n_lanes)
{
    const struct bp_cuda_limits *m = &s->limits;
    const uint64_t blocks = gpu_ceil_div(m->n_max, m->B0_min);
    struct arena a = {base, 0};
    take(&a, &s->codebooks, 1);
    take(&a, &s->W, m->n_max);
    take(&a, &s->row, m->d_max);
    take(&a, &s->col, m->k_max);
    take(&a, &s->start_U, m->d_max * m->q_max);
    take(&a, &s->start_V, m->k_max * m->q_max);
    take(&a, &s->start_L1, m->d_max * m->r_max);
    take(&a, &s->start_L2, m->k_max * m->r_max);
    for (uint32_t i = 0; i < n_lanes; i++) {
        plan_lane(&a, &s->lanes[i], m);
        for (int c = 0; c < (i == 0 ? NF_MANY : 1); c++) {
            take(&a, &s->lanes[i].choosing[c], blocks);
            take(&a, &s->lanes[i].value[c], blocks);
        }
    }
    return a.used;
}

/* As many lanes as fit beside the weights of a matrix, with a tenth to spare. */
static int allocate(struct bp_cuda *s, struct bp_cuda_say *say)
{
    size_t free_bytes = 0, total = 0;
    GPU_CUDA(say, cudaMemGetInfo(&free_bytes, &total));
    const size_t weights = s->limits.n_max * sizeof(float);
    const size_t usable = free_bytes / 10 * 9;
    uint32_t lanes = s->n_lanes;
    while (lanes > 1 && plan(s, nullptr, lanes) + weights > usable)
        lanes--;
    const size_t need = plan(s, nullptr, lanes);
    if (need > usable)
        return gpu_fail(say, BP_CUDA_MEMORY,
                        "a matrix of %llu elements needs %.3g GiB on the device, %.3g GiB are free",
                        (unsigned long long)s->limits.n_max, (double)need / (1 << 30),
                        (double)free_bytes / (1 << 30));
    void *memory = nullptr;
    GPU_CUDA(say, cudaMalloc(&memory, need));
    s->memory = static_cast<char *>(memory);
    s->n_lanes = lanes;
    plan(s, s->memory, lanes);
    return BP_CUDA_OK;
}

static int open_lane(struct bp_cuda *s, struct lane *l, struct bp_cuda_say *say)
{
    GPU_CUDA(say, cudaStreamCreateWithFlags(&l->lr.stream, cudaStreamNonBlocking));
    GPU_BLAS(say, cublasCreate(&l->lr.blas));
    GPU_BLAS(say, cublasSetStream(l->lr.blas, l->lr.stream));
    GPU_BLAS(say, cublasSetMathMode(l->lr.blas, CUBLAS_DEFAULT_MATH));
    GPU_SOLVER(say, cusolverDnCreate(&l->lr.solver));
    GPU_SOLVER(say, cusolverDnSetStream(l->lr.solver, l->lr.stream));
    return s->limits.q_max ? lr_work_size(l->lr.solver, s->limits.q_max, &l->lr.n_work, say)
                           : BP_CUDA_OK;
}

static void backend_free(struct bp_cuda *s)
{
    if (!s)
        return;
    for (uint32_t i = 0; i < MAX_LANES; i++) {
        struct lane *l = &s->lanes[i];
        if (l->lr.blas)
            cublasDestroy(l->lr.blas);
        if (l->lr.solver)
            cusolverDnDestroy(l->lr.solver);
        if (l->lr.stream)
            cudaStreamDestroy(l->lr.stream);
    }
    cudaFree(s->memory);
    cudaFree(s->F);
    std::free(s);
}

static int to_device(struct bp_cuda *s, void *to, const void *from, size_t bytes,
                     struct bp_cuda_say *say)
{
    return gpu_check(
        say, cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, s->lanes[0].lr.stream),
        "copying to the device");
}

static int from_device(struct lane *l, void *to, const void *from, size_t bytes,
                       struct bp_cuda_say *say)
{
    return gpu_check(say, cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, l->lr.stream),
                     "copying from the device");
}

static int finish(struct lane *l, struct bp_cuda_say *say)
{
    return gpu_check(say, cudaStreamSynchronize(l->lr.stream), "waiting for the device");
}

static int set_up(struct bp_cuda *s, const struct bp_cuda_codebooks *codebooks,
                  struct bp_cuda_say *say)
{
    s->n_lanes = s->limits.lanes < 1           ? 1
                 : s->limits.lanes > MAX_LANES ? (uint32_t)MAX_LANES
                                               : s->limits.lanes;
    GPU_CUDA(say, cudaSetDevice(0));
    for (uint32_t i = 0; i < s->n_lanes; i++)
        GPU_TRY(open_lane(s, &s->lanes[i], say));
    GPU_TRY(allocate(s, say));
    GPU_TRY(to_device(s, s->codebooks, codebooks, sizeof *codebooks, say));
    return finish(&s->lanes[0], say);
}

static int create(const struct bp_cuda_limits *limits, const struct bp_cuda_codebooks *codebooks,
                  struct bp_cuda **out, struct bp_cuda_say *say)
{
    *out = nullptr;
    struct bp_cuda *s = static_cast<struct bp_cuda *>(std::calloc(1, sizeof *s));
    if (!s)
        return gpu_fail(say, BP_CUDA_MEMORY, "out of memory");
    s->limits = *limits;
    int code = set_up(s, codebooks, say);
    if (code)
        backend_free(s);
    else
        *out = s;
    return code;
}

/* --- a matrix --- */

/* L1, L2 of an iterate U V': balanced, the weights' scaling taken back. */
static int balance(struct bp_cuda *s, struct lane *l, const float *U, const float *V,
                   uint32_t width, float *L1, float *L2, struct bp_cuda_say *say)
{
    const struct lr_matrix m = weighted(s, nullptr);
    const uint32_t r = s->matrix.r;
    GPU_TRY(lr_eigen(&l->lr, V, m.k, width, say));
    GPU_TRY(lr_rotate(&l->lr, U, m.d, width, r, 0.5f, L1, say));
    GPU_TRY(lr_rotate(&l->lr, V, m.k, width, r, -0.5f, L2, say));
    GPU_TRY(lr_scale_rows(&l->lr, L1, m.d, r, m.row, true, L1, say));
    return lr_scale_rows(&l->lr, L2, m.k, r, m.col, true, L2, say);
}

static int load_weights(struct bp_cuda *s, const struct bp_cuda_matrix *m, struct bp_cuda_say *say)
{
    if (!s->F) {
        void *F = nullptr;
        GPU_CUDA(say, cudaMalloc(&F, s->limits.n_max * sizeof(float)));
        s->F = static_cast<float *>(F);
    }
    GPU_TRY(to_device(s, s->F, m->F, m->d * m->k * sizeof(float), say));
    GPU_TRY(to_device(s, s->row, m->row, m->d * sizeof(float), say));
    return to_device(s, s->col, m->col, m->k * sizeof(float), say);
}

static int load(struct bp_cuda *s, const struct bp_cuda_matrix *m, struct bp_cuda_say *say)
{
    struct lane *l = &s->lanes[0];
    const struct bp_cuda_limits *limits = &s->limits;
    if (m->d > limits->d_max || m->k > limits->k_max || m->d * m->k > limits->n_max ||
        m->r > limits->r_max || m->q > limits->q_max || m->r > m->q)
        return gpu_fail(say, BP_CUDA_FAILED, "a matrix beyond what was announced");
    s->matrix = *m;
    GPU_TRY(to_device(s, s->W, m->W, m->d * m->k * sizeof(float), say));
    if (m->F)
        GPU_TRY(load_weights(s, m, say));
    if (m->r) {
        const struct lr_matrix W = weighted(s, s->W);
        GPU_TRY(to_device(s, s->start_U, m->sketch, m->d * m->q * sizeof(float), say));
        GPU_TRY(lr_factorize(&l->lr, &W, m->q, m->power, s->start_U, s->start_V, l->U_next,
                             l->V_next, say));
        GPU_TRY(balance(s, l, s->start_U, s->start_V, m->r, s->start_L1, s->start_L2, say));
    }
    return finish(l, say);
}

/* --- errors of a fixed matrix under many configs --- */

static int is_stopped(const struct bp_cuda_watch *watch)
{
    return watch && watch->stopped && watch->stopped(watch->ctx);
}

static void tell(const struct bp_cuda_watch *watch, size_t n)
{
    if (watch && watch->done)
        watch->done(watch->ctx, n);
}

/* The pass over A for one config more. */
static int add_config(struct lane *l, struct nf_pass *pass, const struct bp_cuda_config *c,
                      struct bp_cuda_say *say)
{
    const int at = pass->count++;
    const struct nf_scales out = {l->choosing[at], l->value[at], nullptr, nullptr};
    pass->b0[at] = c->b0;
    pass->choosing[at] = out.choosing;
    pass->value[at] = out.value;
    return nf_group_scales(l->lr.stream, l->maxima, l->least, gpu_ceil_div(pass->n, c->B0), c, &out,
                           say);
}

static struct nf_pass new_pass(const struct bp_cuda *s, struct lane *l, const float *A, uint32_t B0)
{
    struct nf_pass pass = {};
    pass.A = A;
    pass.F = s->matrix.F ? s->F : nullptr;
    pass.n = n_elements(s);
    pass.B0 = B0;
    pass.codebooks = s->codebooks;
    pass.partial = l->partial;
    pass.error = l->error;
    return pass;
}

static int not_finite(struct bp_cuda_say *say)
{
    return gpu_fail(say, BP_CUDA_FAILED, "the error left the range of numbers");
}

/* One batch of configs of one block size, from `from` on: which they are goes to members, how many
 * into *count; returns where the next begins. */
static size_t gather(const struct bp_cuda_config *configs, size_t n, uint32_t B0, size_t from,
                     size_t *members, int *count)
{
    for (*count = 0; from < n && *count < NF_MANY; from++)
        if (configs[from].B0 == B0)
            members[(*count)++] = from;
    return from;
}

static bool seen_before(const struct bp_cuda_config *configs, size_t i)
{
    for (size_t j = 0; j < i; j++)
        if (configs[j].B0 == configs[i].B0)
            return true;
    return false;
}

static int evaluate_block_size(struct bp_cuda *s, const float *A,
                               const struct bp_cuda_config *configs, size_t n, uint32_t B0,
                               size_t *finished, const struct bp_cuda_watch *watch, double *error,
                               struct bp_cuda_say *say)
{
    struct lane *l = &s->lanes[0];
    GPU_TRY(nf_block_maxima(l->lr.stream, A, n_elements(s), B0, l->maxima, l->least, say));
    for (size_t from = 0; from < n;) {
        size_t members[NF_MANY];
        double errors[NF_MANY];
        int count;
        from = gather(configs, n, B0, from, members, &count);
        if (count == 0)
            break;
        if (is_stopped(watch))
            return BP_CUDA_STOPPED;
        struct nf_pass pass = new_pass(s, l, A, B0);
        for (int i = 0; i < count; i++)
            GPU_TRY(add_config(l, &pass, &configs[members[i]], say));
        GPU_TRY(nf_evaluate(l->lr.stream, &pass, say));
        GPU_TRY(from_device(l, errors, l->error, (size_t)count * sizeof *errors, say));
        GPU_TRY(finish(l, say));
        for (int i = 0; i < count; i++) {
            if (!std::isfinite(errors[i]))
                return not_finite(say);
            error[members[i]] = errors[i];
        }
        tell(watch, *finished += (size_t)count);
    }
    return BP_CUDA_OK;
}

static int evaluate(struct bp_cuda *s, int one_step, const struct bp_cuda_config *configs, size_t n,
                    const struct bp_cuda_watch *watch, double *error, struct bp_cuda_say *say)
{
    const float *A = s->W;
    size_t finished = 0;
    if (one_step && s->matrix.r) {
        struct lane *l = &s->lanes[0];
        GPU_TRY(lr_remainder(&l->lr, s->W, s->matrix.d, s->matrix.k, s->start_L1, s->start_L2,
                             s->matrix.r, l->Z, say));
        A = l->Z;
    }
    for (size_t i = 0; i < n; i++)
        if (!seen_before(configs, i))
            GPU_TRY(
                evaluate_block_size(s, A, configs, n, configs[i].B0, &finished, watch, error, say));
    return BP_CUDA_OK;
}

/* --- trajectories --- */

/* Is the iterate of this error the best so far? */
static __global__ void decide_kernel(const double *error, uint32_t t, struct best *best)
{
    best->taken = t == 1 || *error < best->error;
    if (best->taken) {
        best->error = *error;
        best->at = t;
    }
}

/* to [n] = from, if it is. */
static __global__ void __launch_bounds__(GPU_THREADS)
    keep_kernel(const float *from, uint64_t n, const struct best *best, float *to)
{
    const uint64_t i = (uint64_t)blockIdx.x * GPU_THREADS + threadIdx.x;
    if (i < n && best->taken)
        to[i] = from[i];
}

static int keep(struct lane *l, const float *from, uint64_t n, float *to, struct bp_cuda_say *say)
{
    GPU_LAUNCH((keep_kernel), dim3((unsigned)gpu_ceil_div(n, GPU_THREADS)), dim3(GPU_THREADS), 0,
               l->lr.stream, from, n, l->best, to);
    return gpu_check(say, cudaGetLastError(), "keeping an iterate");
}

/* Z = W - L of the iterate in hand, quantized; Z becomes the remainder. U_scaled, V_scaled hold L's
 * factors afterwards. */
static int quantize_iterate(struct bp_cuda *s, struct lane *l, const struct bp_cuda_config *c,
                            struct bp_cuda_say *say)
{
    const struct lr_matrix m = weighted(s, s->W);
    const uint32_t r = s->matrix.r;
    GPU_TRY(lr_scale_rows(&l->lr, l->U, m.d, r, m.row, true, l->U_scaled, say));
    GPU_TRY(lr_scale_rows(&l->lr, l->V, m.k, r, m.col, true, l->V_scaled, say));
    GPU_TRY(lr_remainder(&l->lr, m.A, m.d, m.k, l->U_scaled, l->V_scaled, r, l->Z, say));
    GPU_TRY(nf_block_maxima(l->lr.stream, l->Z, n_elements(s), c->B0, l->maxima, l->least, say));
    struct nf_pass pass = new_pass(s, l, l->Z, c->B0);
    pass.E = l->Z;
    GPU_TRY(add_config(l, &pass, c, say));
    return nf_evaluate(l->lr.stream, &pass, say);
}

static int keep_best(struct bp_cuda *s, struct lane *l, uint32_t t, struct bp_cuda_say *say)
{
    GPU_LAUNCH((decide_kernel), dim3(1), dim3(1), 0, l->lr.stream, l->error, t, l->best);
    GPU_CUDA(say, cudaGetLastError());
    GPU_TRY(keep(l, l->U, s->matrix.d * s->matrix.r, l->best_U, say));
    return keep(l, l->V, s->matrix.k * s->matrix.r, l->best_V, say);
}

static void exchange(float **a, float **b)
{
    float *t = *a;
    *a = *b;
    *b = t;
}

/* The two products with the remainder, U side and V side, may be in TF32. */
static int begin_products(struct bp_cuda *s, struct lane *l, struct bp_cuda_say *say)
{
    const cublasMath_t math = s->limits.tf32 ? CUBLAS_TF32_TENSOR_OP_MATH : CUBLAS_DEFAULT_MATH;
    return gpu_check_blas(say, cublasSetMathMode(l->lr.blas, math), "math mode");
}

static int end_products(struct lane *l, struct bp_cuda_say *say)
{
    return gpu_check_blas(say, cublasSetMathMode(l->lr.blas, CUBLAS_DEFAULT_MATH), "math mode");
}

/* U_next = orth(R V), R = L + eta D_row E D_col. Rows are scaled behind the product with E, so L V
 * goes the other way before. */
static int step_left(struct bp_cuda *s, struct lane *l, uint32_t width, float eta,
                     struct bp_cuda_say *say)
{
    const struct lr_matrix m = weighted(s, l->Z);
    const uint32_t r = s->matrix.r;
    struct lr_work *w = &l->lr;
    GPU_TRY(lr_multiply(w, true, r, width, m.k, 1.0f, l->V, l->V, 0.0f, l->cross, say));
    GPU_TRY(lr_multiply(w, false, m.d, width, r, 1.0f, l->U, l->cross, 0.0f, l->U_next, say));
    GPU_TRY(lr_scale_rows(w, l->U_next, m.d, width, m.row, true, l->U_next, say));
    GPU_TRY(lr_scale_rows(w, l->V, m.k, width, m.col, false, l->V_scaled, say));
    GPU_TRY(begin_products(s, l, say));
    GPU_TRY(lr_times(w, &m, l->V_scaled, width, eta, 1.0f, l->U_next, say));
    GPU_TRY(end_products(l, say));
    GPU_TRY(lr_scale_rows(w, l->U_next, m.d, width, m.row, false, l->U_next, say));
    return lr_orthonormalize(w, l->U_next, m.d, width, 1, say);
}

/* V_next = R' U_next. */
static int step_right(struct bp_cuda *s, struct lane *l, uint32_t width, float eta,
                      struct bp_cuda_say *say)
{
    const struct lr_matrix m = weighted(s, l->Z);
    const uint32_t r = s->matrix.r;
    struct lr_work *w = &l->lr;
    GPU_TRY(lr_multiply(w, true, r, width, m.d, 1.0f, l->U, l->U_next, 0.0f, l->cross, say));
    GPU_TRY(lr_multiply(w, false, m.k, width, r, 1.0f, l->V, l->cross, 0.0f, l->V_next, say));
    GPU_TRY(lr_scale_rows(w, l->V_next, m.k, width, m.col, true, l->V_next, say));
    GPU_TRY(lr_scale_rows(w, l->U_next, m.d, width, m.row, false, l->U_scaled, say));
    GPU_TRY(begin_products(s, l, say));
    GPU_TRY(lr_times_transposed(w, &m, l->U_scaled, width, eta, 1.0f, l->V_next, say));
    GPU_TRY(end_products(l, say));
    return lr_scale_rows(w, l->V_next, m.k, width, m.col, false, l->V_next, say);
}

/* From one iterate's factors and remainder to the next one's factors. */
static int advance(struct bp_cuda *s, struct lane *l, uint32_t width, float eta,
                   struct bp_cuda_say *say)
{
    GPU_TRY(step_left(s, l, width, eta, say));
    GPU_TRY(step_right(s, l, width, eta, say));
    if (width == s->matrix.r) {
        exchange(&l->U, &l->U_next);
        exchange(&l->V, &l->V_next);
        return BP_CUDA_OK;
    }
    /* The leading directions are L's: to the front. */
    GPU_TRY(lr_eigen(&l->lr, l->V_next, s->matrix.k, width, say));
    GPU_TRY(lr_rotate(&l->lr, l->U_next, s->matrix.d, width, width, 0.0f, l->U, say));
    return lr_rotate(&l->lr, l->V_next, s->matrix.k, width, width, 0.0f, l->V, say);
}

static int copy_on_device(struct lane *l, float *to, const float *from, uint64_t n,
                          struct bp_cuda_say *say)
{
    return gpu_check(
        say, cudaMemcpyAsync(to, from, n * sizeof *to, cudaMemcpyDeviceToDevice, l->lr.stream),
        "copying a basis");
}

/* Runs the iteration; leaves the best iterate balanced in L1, L2. */
static int trajectory(struct bp_cuda *s, struct lane *l, const struct bp_cuda_job *job,
                      struct bp_cuda_say *say)
{
    const uint32_t width = job->carry_all ? s->matrix.q : s->matrix.r;
    GPU_TRY(copy_on_device(l, l->U, s->start_U, s->matrix.d * width, say));
    GPU_TRY(copy_on_device(l, l->V, s->start_V, s->matrix.k * width, say));
    for (uint32_t t = 1;; t++) {
        GPU_TRY(quantize_iterate(s, l, &job->config, say));
        GPU_TRY(keep_best(s, l, t, say));
        if (t >= job->iterations)
            break;
        GPU_TRY(advance(s, l, width, job->eta[t - 1], say));
    }
    return balance(s, l, l->best_U, l->best_V, s->matrix.r, l->L1, l->L2, say);
}

/* The error of W - L1 L2 under the job's config with one of its b2; Q (may be NULL) may be Z. */
static int evaluate_kept(struct bp_cuda *s, struct lane *l, const struct bp_cuda_job *job,
                         uint32_t which, float *Q, struct bp_cuda_say *say)
{
    struct bp_cuda_config config = job->config;
    config.b2 = job->b2[which];
    struct nf_pass pass = new_pass(s, l, l->Z, config.B0);
    pass.Q = Q;
    pass.error = l->error + which;
    GPU_TRY(add_config(l, &pass, &config, say));
    return nf_evaluate(l->lr.stream, &pass, say);
}

static int start_job(struct bp_cuda *s, struct lane *l, const struct bp_cuda_job *job, bool want_Q,
                     struct bp_cuda_say *say)
{
    const uint64_t n = n_elements(s);
    if (s->matrix.r) {
        GPU_TRY(trajectory(s, l, job, say));
        GPU_TRY(lr_remainder(&l->lr, s->W, s->matrix.d, s->matrix.k, l->L1, l->L2, s->matrix.r,
                             l->Z, say));
    } else {
        GPU_TRY(copy_on_device(l, l->Z, s->W, n, say));
    }
    GPU_TRY(nf_block_maxima(l->lr.stream, l->Z, n, job->config.B0, l->maxima, l->least, say));
    for (uint32_t i = 0; i < job->n_b2; i++)
        GPU_TRY(evaluate_kept(s, l, job, i, want_Q ? l->Z : nullptr, say));
    return BP_CUDA_OK;
}

static int end_job(struct bp_cuda *s, struct lane *l, struct bp_cuda_job *job,
                   struct bp_cuda_say *say)
{
    struct best best = {};
    GPU_TRY(from_device(l, job->error, l->error, job->n_b2 * sizeof *job->error, say));
    if (s->matrix.r)
        GPU_TRY(from_device(l, &best, l->best, sizeof best, say));
    GPU_TRY(finish(l, say));
    for (uint32_t i = 0; i < job->n_b2; i++)
        if (!std::isfinite(job->error[i]))
            return not_finite(say);
    job->ran = s->matrix.r ? job->iterations : 0;
    job->best = best.at;
    return BP_CUDA_OK;
}

/* Jobs in rounds of as many as there are lanes. */
static int iterate(struct bp_cuda *s, struct bp_cuda_job *jobs, size_t n,
                   const struct bp_cuda_watch *watch, struct bp_cuda_say *say)
{
    for (size_t from = 0; from < n; from += s->n_lanes) {
        const size_t count = n - from < s->n_lanes ? n - from : s->n_lanes;
        if (is_stopped(watch))
            return BP_CUDA_STOPPED;
        for (size_t i = 0; i < count; i++)
            GPU_TRY(start_job(s, &s->lanes[i], &jobs[from + i], false, say));
        for (size_t i = 0; i < count; i++)
            GPU_TRY(end_job(s, &s->lanes[i], &jobs[from + i], say));
        tell(watch, from + count);
    }
    return BP_CUDA_OK;
}

static int decompose(struct bp_cuda *s, struct bp_cuda_job *job, const struct bp_cuda_factors *out,
                     struct bp_cuda_say *say)
{
    struct lane *l = &s->lanes[0];
    const uint64_t d = s->matrix.d, k = s->matrix.k;
    const uint32_t r = s->matrix.r;
    GPU_TRY(start_job(s, l, job, true, say));
    if (out->Q)
        GPU_TRY(from_device(l, out->Q, l->Z, d * k * sizeof *out->Q, say));
    if (out->L1 && r) {
        GPU_TRY(lr_row_major(&l->lr, l->L1, d, r, l->U_scaled, say));
        GPU_TRY(from_device(l, out->L1, l->U_scaled, d * r * sizeof *out->L1, say));
    }
    if (out->L2 && r) /* its transpose, column-major */
        GPU_TRY(from_device(l, out->L2, l->L2, k * r * sizeof *out->L2, say));
    return end_job(s, l, job, say);
}

/* --- one array in all its parts --- */

/* Device memory for the length of a call. */
template <class T> struct scratch {
    T *at = nullptr;

    int make(uint64_t n, struct bp_cuda_say *say)
    {
        void *p = nullptr;
        int code = gpu_check(say, cudaMalloc(&p, n * sizeof(T)), "memory for an array");
        at = static_cast<T *>(p);
        return code;
    }

    ~scratch()
    {
        cudaFree(at);
    }
};

template <class T>
static int copy_out(struct lane *l, T *to, const T *from, uint64_t n, struct bp_cuda_say *say)
{
    return to ? from_device(l, to, from, n * sizeof(T), say) : BP_CUDA_OK;
}

static int quantize(struct bp_cuda *s, const float *A, const float *F, uint64_t n,
                    const struct bp_cuda_config *config, const struct bp_cuda_quantized *out,
                    struct bp_cuda_say *say)
{
    struct lane *l = &s->lanes[0];
    const cudaStream_t stream = l->lr.stream;
    const uint64_t blocks = gpu_ceil_div(n, config->B0), groups = gpu_ceil_div(blocks, config->B1);
    const uint64_t n_words = nf_pack_words(n, config->b0);
    scratch<float> dA, dF, Q, maxima, choosing, value, second;
    scratch<uint8_t> codes, scale_codes;
    scratch<uint32_t> words;
    scratch<double> partial;
    GPU_TRY(dA.make(n, say) | dF.make(n, say) | Q.make(n, say) | maxima.make(blocks, say) |
            choosing.make(blocks, say) | value.make(blocks, say) | second.make(groups, say) |
            codes.make(n, say) | scale_codes.make(blocks, say) | words.make(n_words, say) |
            partial.make(nf_partials(n), say));
    GPU_TRY(to_device(s, dA.at, A, n * sizeof *A, say));
    if (F)
        GPU_TRY(to_device(s, dF.at, F, n * sizeof *F, say));
    const struct nf_scales scales = {choosing.at, value.at, scale_codes.at, second.at};
    GPU_TRY(nf_block_maxima(stream, dA.at, n, config->B0, maxima.at, l->least, say));
    GPU_TRY(nf_group_scales(stream, maxima.at, l->least, blocks, config, &scales, say));
    struct nf_pass pass = {};
    pass.A = dA.at;
    pass.F = F ? dF.at : nullptr;
    pass.n = n;
    pass.B0 = config->B0;
    pass.count = 1;
    pass.b0[0] = config->b0;
    pass.choosing[0] = choosing.at;
    pass.value[0] = value.at;
    pass.codebooks = s->codebooks;
    pass.partial = partial.at;
    pass.error = l->error;
    pass.Q = Q.at;
    pass.codes = codes.at;
    GPU_TRY(nf_evaluate(stream, &pass, say));
    GPU_TRY(copy_out(l, out->Q, Q.at, n, say));
    GPU_TRY(nf_pack(stream, codes.at, n, config->b0, words.at, say));
    GPU_TRY(nf_unpack_values(stream, words.at, n, config, value.at, s->codebooks, Q.at, say));
    GPU_TRY(copy_out(l, out->unpacked_Q, Q.at, n, say));
    GPU_TRY(copy_out(l, out->codes, codes.at, n, say));
    GPU_TRY(copy_out(l, out->words, words.at, n_words, say));
    GPU_TRY(copy_out(l, out->scale_codes, scale_codes.at, blocks, say));
    GPU_TRY(copy_out(l, out->choosing, choosing.at, blocks, say));
    GPU_TRY(copy_out(l, out->value, value.at, blocks, say));
    GPU_TRY(copy_out(l, out->second, second.at, groups, say));
    GPU_TRY(copy_out(l, reinterpret_cast<unsigned *>(out->offset), l->least, 1, say));
    GPU_TRY(copy_out(l, out->error, l->error, 1, say));
    return finish(l, say);
}

/* --- the table --- */

static int probe(struct bp_cuda_device *device, struct bp_cuda_say *say)
{
    enum { LEAST_MAJOR = 8 }; /* what the object holds code for */
    int n = 0;
    size_t free_bytes = 0, total = 0;
    struct cudaDeviceProp about;
    *device = bp_cuda_device();
    GPU_CUDA(say, cudaGetDeviceCount(&n));
    if (n < 1)
        return gpu_fail(say, BP_CUDA_FAILED, "no CUDA-capable device is detected");
    GPU_CUDA(say, cudaGetDeviceProperties(&about, 0));
    GPU_CUDA(say, cudaRuntimeGetVersion(&device->runtime));
    GPU_CUDA(say, cudaDriverGetVersion(&device->driver));
    if (about.major < LEAST_MAJOR)
        return gpu_fail(say, BP_CUDA_FAILED,
                        "%.80s has compute capability %d.%d, at least %d.0 is needed", about.name,
                        about.major, about.minor, (int)LEAST_MAJOR);
    GPU_CUDA(say, cudaSetDevice(0));
    GPU_CUDA(say, cudaMemGetInfo(&free_bytes, &total));
    std::snprintf(device->name, sizeof device->name, "%.*s", (int)sizeof device->name - 1,
                  about.name);
    device->major = about.major;
    device->minor = about.minor;
    device->bytes = total;
    device->bytes_free = free_bytes;
    return BP_CUDA_OK;
}

extern "C" __attribute__((visibility("default"))) const struct bp_cuda_api *bitplan_cuda(void)
{
    static const struct bp_cuda_api api = {BP_CUDA_ABI, GPU_BUILD, probe,   create,    backend_free,
                                           load,        evaluate,  iterate, decompose, quantize};
    return &api;
}
