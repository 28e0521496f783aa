/* Codes packed into 32-bit words and back, in the layout of engine/pack.h. */
#include "gpu_parts.h"

enum { WORD = 32, THREADS = GPU_THREADS };

uint64_t nf_pack_words(uint64_t n, unsigned bits)
{
    return bits == 3 ? gpu_ceil_div(n, WORD) * 3 : gpu_ceil_div(n, WORD / bits);
}

/* 2, 4, 8 bits: a thread fills a word. */
static __global__ void __launch_bounds__(THREADS)
    pack_fields_kernel(const uint8_t *codes, uint64_t n, unsigned bits, uint64_t n_words,
                       uint32_t *words)
{
    const uint64_t w = (uint64_t)blockIdx.x * THREADS + threadIdx.x;
    if (w >= n_words)
        return;
    const unsigned per_word = WORD / bits;
    uint32_t word = 0;
    for (unsigned i = 0; i < per_word && w * per_word + i < n; i++)
        word |= (uint32_t)codes[w * per_word + i] << (i * bits);
    words[w] = word;
}

/* 3 bits: a warp makes the three planes of 32 codes. */
static __global__ void __launch_bounds__(THREADS)
    pack_planes_kernel(const uint8_t *codes, uint64_t n, uint32_t *words)
{
    const uint64_t i = (uint64_t)blockIdx.x * THREADS + threadIdx.x;
    const unsigned code = i < n ? codes[i] : 0;
    for (unsigned plane = 0; plane < 3; plane++) {
        unsigned word = __ballot_sync(0xffffffffu, (int)(code >> plane & 1u));
        if (i < n && i % WORD == 0)
            words[i / WORD * 3 + plane] = word;
    }
}

int nf_pack(cudaStream_t stream, const uint8_t *codes, uint64_t n, unsigned bits, uint32_t *words,
            struct bp_cuda_say *say)
{
    const uint64_t n_words = nf_pack_words(n, bits);
    if (bits == 3)
        GPU_LAUNCH((pack_planes_kernel), dim3((unsigned)gpu_ceil_div(n, THREADS)), dim3(THREADS), 0,
                   stream, codes, n, words);
    else
        GPU_LAUNCH((pack_fields_kernel), dim3((unsigned)gpu_ceil_div(n_words, THREADS)),
                   dim3(THREADS), 0, stream, codes, n, bits, n_words, words);
    return gpu_check(say, cudaGetLastError(), "packing");
}

static __device__ unsigned unpack(const uint32_t *words, uint64_t i, unsigned bits)
{
    if (bits != 3)
        return words[i * bits / WORD] >> (i * bits % WORD) & ((1u << bits) - 1);
    const uint32_t *plane = words + i / WORD * 3;
    unsigned code = 0;
    for (unsigned j = 0; j < 3; j++)
        code |= (plane[j] >> (i % WORD) & 1u) << j;
    return code;
}

static __global__ void __launch_bounds__(THREADS)
    unpack_kernel(const uint32_t *words, uint64_t n, unsigned bits, uint32_t B0, const float *value,
                  const float *codebook, float *Q)
{
    const uint64_t i = (uint64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i < n)
        Q[i] = __fmul_rn(codebook[unpack(words, i, bits)], value[i / B0]);
}

int nf_unpack_values(cudaStream_t stream, const uint32_t *words, uint64_t n,
                     const struct bp_cuda_config *config, const float *value,
                     const struct bp_cuda_codebooks *codebooks, float *Q, struct bp_cuda_say *say)
{
    const int book = config->b0 == 8 ? 3 : config->b0 - 2;
    GPU_LAUNCH((unpack_kernel), dim3((unsigned)gpu_ceil_div(n, THREADS)), dim3(THREADS), 0, stream,
               words, n, (unsigned)config->b0, config->B0, value, codebooks->values[book], Q);
    return gpu_check(say, cudaGetLastError(), "unpacking");
}
