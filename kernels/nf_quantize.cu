/*
 * NormalFloat quantization with two-level scales on the device, in three kernels: maxima of blocks,
 * scales of groups, codes and their error. The arithmetic is that of engine/quantize.c bit for bit:
 * every step that a compiler could fuse is spelled as an intrinsic that it may not. Errors are sums
 * in double whose order follows from n alone.
 */
#include "gpu_parts.h"

static const unsigned FULL = 0xffffffffu;
enum { LANES = 32, THREADS = GPU_THREADS, WARPS = THREADS / LANES };
/* Elements of one CUDA block in the pass over the codes; what a partial sum covers. */
enum { EACH = 16, CHUNK = THREADS * EACH };

/* --- maxima --- */

/* `lanes` lanes (a power of two) take one quantization block; a warp so many turns in a row, since
 * the least of all costs an atomic a CUDA block. */
enum { TURNS = 8 };

static __global__ void __launch_bounds__(THREADS)
    maxima_kernel(const float *A, uint64_t n, uint32_t B0, uint64_t n_blocks, int lanes,
                  float *maxima, unsigned *least)
{
    __shared__ unsigned least_of[WARPS];
    const int lane = (int)threadIdx.x % LANES, warp = (int)threadIdx.x / LANES;
    const int part = lane % lanes, per_warp = LANES / lanes;
    unsigned smallest = FULL;
    for (int turn = 0; turn < TURNS; turn++) {
        uint64_t block =
            (((uint64_t)blockIdx.x * WARPS + (unsigned)warp) * TURNS + (unsigned)turn) *
                (unsigned)per_warp +
            (unsigned)(lane / lanes);
        float largest = 0.0f;
        if (block < n_blocks) {
            uint64_t first = block * B0, end = n - first < B0 ? n : first + B0;
            for (uint64_t i = first + (unsigned)part; i < end; i += (unsigned)lanes)
                largest = fmaxf(largest, fabsf(A[i]));
        }
        for (int d = lanes / 2; d; d /= 2)
            largest = fmaxf(largest, __shfl_xor_sync(FULL, largest, d));
        if (block < n_blocks) {
            if (part == 0)
                maxima[block] = largest;
            /* Bits of values that are not negative are ordered as the values. */
            unsigned bits = __float_as_uint(largest);
            smallest = bits < smallest ? bits : smallest;
        }
    }
    for (int d = LANES / 2; d; d /= 2) {
        unsigned other = __shfl_xor_sync(FULL, smallest, d);
        smallest = other < smallest ? other : smallest;
    }
    if (lane == 0)
        least_of[warp] = smallest;
    __syncthreads();
    if (threadIdx.x == 0) {
        for (int w = 1; w < WARPS; w++)
            smallest = least_of[w] < smallest ? least_of[w] : smallest;
        atomicMin(least, smallest);
    }
}

int nf_block_maxima(cudaStream_t stream, const float *A, uint64_t n, uint32_t B0, float *maxima,
                    unsigned *least, struct bp_cuda_say *say)
{
    int lanes = 1;
    while (lanes < LANES && (uint32_t)lanes * 2 <= B0)
        lanes *= 2;
    const uint64_t n_blocks = gpu_ceil_div(n, B0);
    const uint64_t each = (uint64_t)(THREADS / lanes) * TURNS;
    GPU_CUDA(say, cudaMemsetAsync(least, 0xff, sizeof *least, stream));
    GPU_LAUNCH((maxima_kernel), dim3((unsigned)gpu_ceil_div(n_blocks, each)), dim3(THREADS), 0,
               stream, A, n, B0, n_blocks, lanes, maxima, least);
    return gpu_check(say, cudaGetLastError(), "block maxima");
}

/* --- scales --- */

static const float LARGEST = 3.40282347e+38f;

static __device__ float round_bf16(float v)
{
    unsigned u = __float_as_uint(v);
    u = (u + 0x7fffu + ((u >> 16) & 1u)) & 0xffff0000u;
    return fminf(__uint_as_float(u), 3.38953139e+38f);
}

/* v >= 0. The step between neighbours is 2^(exponent - 10), 2^-24 for subnormals; dividing by it
 * and multiplying are exact. */
static __device__ float round_fp16(float v)
{
    if (v >= 65504.0f)
        return 65504.0f;
    int exponent = (int)(__float_as_uint(v) >> 23) - 127;
    exponent = exponent < -14 ? -14 : exponent;
    const float step = __uint_as_float((unsigned)(exponent - 10 + 127) << 23);
    return __fmul_rn(rintf(__fdiv_rn(v, step)), step);
}

static __device__ float round_second(float v, int b2)
{
    return b2 == 0 ? round_bf16(v) : b2 == 1 ? round_fp16(v) : v;
}

struct scale_args {
    const float *maxima;
    const unsigned *least;
    uint64_t n_blocks, n_groups;
    uint32_t B1;
    int b1, b2;
    struct nf_scales out;
};

/* A warp takes a group. */
static __global__ void __launch_bounds__(THREADS) scales_kernel(struct scale_args a)
{
    const int lane = (int)threadIdx.x % LANES;
    const uint64_t group = (uint64_t)blockIdx.x * WARPS + threadIdx.x / LANES;
    if (group >= a.n_groups)
        return; /* the whole warp */
    const uint64_t first = group * a.B1;
    const uint64_t end = a.n_blocks - first < a.B1 ? a.n_blocks : first + a.B1;
    const float offset = __uint_as_float(*a.least);
    float v = 0.0f;
    for (uint64_t b = first + (unsigned)lane; b < end; b += LANES)
        v = fmaxf(v, __fsub_rn(a.maxima[b], offset));
    for (int d = LANES / 2; d; d /= 2)
        v = fmaxf(v, __shfl_xor_sync(FULL, v, d));
    v = round_second(v, a.b2);
    if (a.out.second && lane == 0)
        a.out.second[group] = v;
    const float levels = (float)((1 << a.b1) - 1);
    const float step = __fdiv_rn(1.0f, levels), k = __fdiv_rn(levels, v);
    const bool flat = v <= 5.9604644775390625e-8f; /* 2^-24 */
    for (uint64_t b = first + (unsigned)lane; b < end; b += LANES) {
        float q = 0.0f;
        if (!flat) {
            q = rintf(__fmul_rn(__fsub_rn(a.maxima[b], offset), k));
            q = q < 0.0f ? 0.0f : q > levels ? levels : q;
        }
        if (a.out.code)
            a.out.code[b] = (uint8_t)q;
        float choosing = flat ? offset : __fadd_rn(__fdiv_rn(q, k), offset);
        a.out.choosing[b] = fminf(choosing, LARGEST);
        a.out.value[b] = fminf(__fmaf_rn(__fmul_rn(step, q), v, offset), LARGEST);
    }
}

int nf_group_scales(cudaStream_t stream, const float *maxima, const unsigned *least,
                    uint64_t n_blocks, const struct bp_cuda_config *config,
                    const struct nf_scales *out, struct bp_cuda_say *say)
{
    struct scale_args a = {maxima,     least,      n_blocks,   gpu_ceil_div(n_blocks, config->B1),
                           config->B1, config->b1, config->b2, *out};
    GPU_LAUNCH((scales_kernel), dim3((unsigned)gpu_ceil_div(a.n_groups, WARPS)), dim3(THREADS), 0,
               stream, a);
    return gpu_check(say, cudaGetLastError(), "group scales");
}

/* --- codes and errors --- */

static __device__ int book_of(int bits)
{
    return bits == 8 ? 3 : bits - 2;
}

/* The number of bounds strictly below x. */
static __device__ unsigned code_of(float x, const float *bounds, int bits)
{
    unsigned code = 0;
    for (unsigned half = 1u << (bits - 1); half; half >>= 1)
        code += x > bounds[code + half - 1] ? half : 0;
    return code;
}

static __device__ void load_codebooks(const struct nf_pass &p, float (*values)[256],
                                      float (*bounds)[256])
{
    for (int book = 0; book < 4; book++) {
        bool used = false;
        for (int c = 0; c < p.count; c++)
            used |= book_of(p.b0[c]) == book;
        const unsigned size = book == 3 ? 256 : 4u << book;
        for (unsigned i = threadIdx.x; used && i < size; i += THREADS) {
            values[book][i] = p.codebooks->values[book][i];
            bounds[book][i] = p.codebooks->bounds[book][i];
        }
    }
}

/* The sum over the CUDA block, in thread 0. */
static __device__ double block_sum(double v, double *of_warp)
{
    const int lane = (int)threadIdx.x % LANES, warp = (int)threadIdx.x / LANES;
    for (int d = LANES / 2; d; d /= 2)
        v += __shfl_down_sync(FULL, v, (unsigned)d);
    __syncthreads(); /* whoever read of_warp before has done so */
    if (lane == 0)
        of_warp[warp] = v;
    __syncthreads();
    double sum = 0.0;
    for (int w = 0; threadIdx.x == 0 && w < WARPS; w++)
        sum += of_warp[w];
    return sum;
}

/* Element i under config c: its code and what is asked for of it; returns the squared error. */
static __device__ double element(const struct nf_pass &p, int c, uint64_t i, uint64_t block,
                                 float a, const float (*values)[256], const float (*bounds)[256])
{
    const int bits = p.b0[c], book = book_of(bits);
    const float choosing = p.choosing[c][block];
    const unsigned code = choosing > 0.0f ? code_of(__fdiv_rn(a, choosing), bounds[book], bits)
                                          : (1u << (bits - 1)) - 1;
    const float q = __fmul_rn(values[book][code], p.value[c][block]);
    const double error = (double)a - (double)q;
    if (p.E)
        p.E[i] = __fsub_rn(a, q);
    if (p.Q)
        p.Q[i] = q;
    if (p.codes)
        p.codes[i] = (uint8_t)code;
    return error * error;
}

static __global__ void __launch_bounds__(THREADS)
    codes_kernel(struct nf_pass p, int shift, uint64_t n_partials)
{
    __shared__ float values[4][256];
    __shared__ float bounds[4][256];
    __shared__ double of_warp[WARPS];
    load_codebooks(p, values, bounds);
    __syncthreads();
    /* The counts below are constant, so that the sums stay in registers. */
    double sum[NF_MANY] = {0.0};
    for (int e = 0; e < EACH; e++) {
        const uint64_t i = (uint64_t)blockIdx.x * CHUNK + (unsigned)e * THREADS + threadIdx.x;
        if (i >= p.n)
            break;
        const uint64_t block = shift >= 0 ? i >> shift : i / p.B0;
        const double weight = p.F ? (double)p.F[i] : 1.0;
        const float a = p.A[i];
#pragma unroll
        for (int c = 0; c < NF_MANY; c++)
            if (c < p.count)
                sum[c] += weight * element(p, c, i, block, a, values, bounds);
    }
#pragma unroll
    for (int c = 0; c < NF_MANY; c++) {
        if (c >= p.count)
            continue;
        double total = block_sum(sum[c], of_warp);
        if (threadIdx.x == 0)
            p.partial[(uint64_t)c * n_partials + blockIdx.x] = total;
    }
}

/* error [i] = the sum of row i of partial; a CUDA block takes a row. */
static __global__ void __launch_bounds__(THREADS)
    sum_kernel(const double *partial, uint64_t n_partials, double *error)
{
    __shared__ double of_warp[WARPS];
    double sum = 0.0;
    for (uint64_t i = threadIdx.x; i < n_partials; i += THREADS)
        sum += partial[blockIdx.x * n_partials + i];
    double total = block_sum(sum, of_warp);
    if (threadIdx.x == 0)
        error[blockIdx.x] = total;
}

uint64_t nf_partials(uint64_t n)
{
    return gpu_ceil_div(n, CHUNK);
}

/* log2 of B0, -1 where that is no whole number. */
static int shift_of(uint32_t B0)
{
    int shift = 0;
    while (B0 >> shift > 1)
        shift++;
    return 1u << shift == B0 ? shift : -1;
}

int nf_evaluate(cudaStream_t stream, const struct nf_pass *pass, struct bp_cuda_say *say)
{
    const uint64_t n_partials = nf_partials(pass->n);
    GPU_LAUNCH((codes_kernel), dim3((unsigned)n_partials), dim3(THREADS), 0, stream, *pass,
               shift_of(pass->B0), n_partials);
    GPU_CUDA(say, cudaGetLastError());
    GPU_LAUNCH((sum_kernel), dim3((unsigned)pass->count), dim3(THREADS), 0, stream, pass->partial,
               n_partials, pass->error);
    return gpu_check(say, cudaGetLastError(), "errors");
}
