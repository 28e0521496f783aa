/*
 * Remainders and errors of a stretch, as quantize_fast.h has them, in the form that is compiled
 * once for each width of vectors: STRETCH_VECTOR says how many floats, 4 where nothing is known, 8
 * for AVX2, 16 for AVX-512, whose registers hold a small codebook. All find the very same codes and
 * add in the same order, so that results are the same to the bit. (Clones of one source would not
 * do: gcc takes a vector that is wider than the processor's apart into single elements.)
 */
#ifndef BP_ENGINE_QUANTIZE_STRETCH_H
#define BP_ENGINE_QUANTIZE_STRETCH_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "engine/clones.h"
#include "engine/config.h"
#include "engine/nf.h"

/* Sums are kept in 16 lanes. */
enum { LANES = 16 };
typedef float vector_t __attribute__((vector_size(STRETCH_VECTOR * sizeof(float))));
typedef int32_t vector_int_t __attribute__((vector_size(STRETCH_VECTOR * sizeof(int32_t))));

/* Elements that are summed in FP32: 16 additions in each lane, hence at most 16 * 2^-24 = 1e-6
 * relative, half of the tolerance. */
enum { RUN = 256 };

/* Where a code is looked up: the bins of a monotone map of x to 0 .. n_bins - 1, each with at most
 * one bound in it. Bounds of lower bins are below x, those of higher ones above. */
enum { MAX_BINS = 512 };

struct bp_codebook {
    unsigned bits;
    float values[BP_NF_MAX], bounds[BP_NF_MAX];
    int32_t change[BP_NF_MAX]; /* what turns the bits of values[i] into those of values[i + 1] */
    /* The bound of a bin (infinity where there is none); the values below them, then those above */
    float bound[MAX_BINS], side[2 * MAX_BINS];
};

void bp_codebook_init(struct bp_codebook *book, unsigned bits);

/* bp_fast_remainder under one codebook; E may be NULL. */
typedef double bp_stretch_fn(const float *Z, const float *F, uint64_t n, uint32_t B0,
                             const float *choosing, const float *value,
                             const struct bp_codebook *book, float *E);

/* Only where the processor has what they are for. */
bp_stretch_fn bp_fast_stretch_avx2, bp_fast_stretch_avx512;

BP_INLINE int32_t n_bins(unsigned bits)
{
    return bits == 8 ? MAX_BINS : bits == 4 ? 32 : 16;
}

BP_INLINE int32_t bin_of(float x, unsigned bits)
{
    const float half = (float)(n_bins(bits) / 2), last = (float)(n_bins(bits) - 1);
    float t = x * half + half;
    t = t > 0.0f ? t : 0.0f;
    t = t < last ? t : last;
    return (int32_t)t;
}

/* --- the remainder of a vector --- */

#if STRETCH_VECTOR == 16

#include <immintrin.h>

/* The bins' tables in registers; the second halves for 4 bits alone. */
struct lookup {
    __m512 bound[2], lower[2], upper[2];
};

BP_INLINE void lookup_init(struct lookup *l, const struct bp_codebook *book, unsigned bits)
{
    for (int h = 0; bits < 8 && h < 2; h++) {
        l->bound[h] = _mm512_loadu_ps(book->bound + LANES * h);
        l->lower[h] = _mm512_loadu_ps(book->side + LANES * h);
        l->upper[h] = _mm512_loadu_ps(book->side + MAX_BINS + LANES * h);
    }
}

BP_INLINE __m512 lookup_at(const __m512 table[2], __m512i bin, unsigned bits)
{
    return bits == 4 ? _mm512_permutex2var_ps(table[0], bin, table[1])
                     : _mm512_permutexvar_ps(bin, table[0]);
}

/* e = z - Q. */
BP_INLINE void vector_remainder(const float *Z, float inverse, float value, const struct lookup *l,
                                unsigned bits, float *E)
{
    const __m512 half = _mm512_set1_ps((float)(n_bins(bits) / 2));
    const __m512 last = _mm512_set1_ps((float)(n_bins(bits) - 1));
    __m512 z = _mm512_loadu_ps(Z), x = _mm512_mul_ps(z, _mm512_set1_ps(inverse));
    __m512 t = _mm512_fmadd_ps(x, half, half); /* x * half is exact: as in bin_of */
    t = _mm512_min_ps(_mm512_max_ps(t, _mm512_setzero_ps()), last);
    __m512i bin = _mm512_cvttps_epi32(t);
    __mmask16 above = _mm512_cmp_ps_mask(x, lookup_at(l->bound, bin, bits), _CMP_GT_OQ);
    __m512 nearest =
        _mm512_mask_blend_ps(above, lookup_at(l->lower, bin, bits), lookup_at(l->upper, bin, bits));
    __m512 q = _mm512_mul_ps(nearest, _mm512_set1_ps(value));
    _mm512_storeu_ps(E, _mm512_sub_ps(z, q));
}

#else

struct lookup {
    const struct bp_codebook *book;
};

BP_INLINE void lookup_init(struct lookup *l, const struct bp_codebook *book, unsigned bits)
{
    (void)bits;
    l->book = book;
}

/* e = z - Q: comparisons walk up the codebook; each that holds turns a value's bits into the next
 * one's. */
BP_INLINE void vector_remainder(const float *Z, float inverse, float value, const struct lookup *l,
                                unsigned bits, float *E)
{
    const struct bp_codebook *book = l->book;
    const unsigned n_bounds = (1u << bits) - 1;
    vector_t z, zero = {0};
    memcpy(&z, Z, sizeof z);
    vector_t x = z * inverse;
    vector_int_t nearest = (vector_int_t)(zero + book->values[0]);
#pragma GCC unroll 16
    for (unsigned j = 0; j < n_bounds; j++)
        nearest ^= (x > book->bounds[j]) & book->change[j];
    vector_t e = z - (vector_t)nearest * value;
    memcpy(E, &e, sizeof e);
}

#endif

/* --- of a block --- */

BP_INLINE void small_remainder(const float *Z, uint64_t n, float inverse, float value,
                               const struct lookup *l, unsigned bits, float *E)
{
    uint64_t i = 0;
    for (; i + STRETCH_VECTOR <= n; i += STRETCH_VECTOR)
        vector_remainder(Z + i, inverse, value, l, bits, E + i);
    if (i < n) {
        float rest[STRETCH_VECTOR] = {0};
        memcpy(rest, Z + i, (n - i) * sizeof *rest);
        vector_remainder(rest, inverse, value, l, bits, rest);
        memcpy(E + i, rest, (n - i) * sizeof *rest);
    }
}

/* Codebooks of 8 bits. */
BP_INLINE void large_remainder(const float *Z, uint64_t n, float inverse, float value,
                               const struct bp_codebook *book, float *E)
{
    for (uint64_t i = 0; i < n; i++) {
        float z = Z[i], x = z * inverse;
        int32_t bin = bin_of(x, 8);
        bin += x > book->bound[bin] ? MAX_BINS : 0;
        E[i] = z - book->side[bin] * value;
    }
}

BP_INLINE void block_remainder(const float *Z, uint64_t n, float inverse, float value,
                               const struct bp_codebook *book, const struct lookup *l,
                               unsigned bits, float *E)
{
    if (bits == 8)
        large_remainder(Z, n, inverse, value, book, E);
    else
        small_remainder(Z, n, inverse, value, l, bits, E);
}

/* In quantize.c's own operations, for scales whose inverse or squares would leave FP32's range. */
BP_INLINE void exact_remainder(const float *Z, uint64_t n, float choosing, float value,
                               const struct bp_codebook *book, float *E)
{
    for (uint64_t i = 0; i < n; i++) {
        float nearest = 0.0f;
        if (choosing > 0.0f) {
            float x = Z[i] / choosing;
            unsigned code = 0;
            for (unsigned half = 1u << (book->bits - 1); half; half >>= 1)
                code += x > book->bounds[code + half - 1] ? half : 0;
            nearest = book->values[code];
        }
        E[i] = Z[i] - nearest * value;
    }
}

/* --- of a run --- */

/* sum of F E^2, n <= RUN. */
BP_INLINE double run_sum(const float *E, const float *F, uint64_t n)
{
    vector_t sum[LANES / STRETCH_VECTOR] = {{0}};
    uint64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int v = 0; v < LANES / STRETCH_VECTOR; v++) {
            vector_t e, f;
            memcpy(&e, E + i + v * STRETCH_VECTOR, sizeof e);
            if (F) {
                memcpy(&f, F + i + v * STRETCH_VECTOR, sizeof f);
                sum[v] += f * e * e;
            } else {
                sum[v] += e * e;
            }
        }
    float part[LANES];
    memcpy(part, sum, sizeof part);
    for (uint64_t rest = 0; i < n; i++, rest++)
        part[rest] += F ? F[i] * E[i] * E[i] : E[i] * E[i];
    for (unsigned half = LANES / 2; half; half /= 2)
        for (unsigned l = 0; l < half; l++)
            part[l] += part[l + half];
    const float total = part[0];
    /* Nothing overflowed, and what underflowed does not count. */
    if (total > 0x1p-80f && total < 0x1p100f)
        return (double)total;
    double exact = 0.0;
    for (i = 0; i < n; i++)
        exact += (F ? (double)F[i] : 1.0) * (double)E[i] * (double)E[i];
    return exact;
}

/* With scales in this range, neither an inverse nor a product with one leaves FP32's. */
BP_INLINE bool usual(float scale)
{
    return scale >= 0x1p-40f && scale <= 0x1p40f;
}

/* Runs of whole blocks of a usual size: E [RUN] = Z - Q, or false when a scale is not usual. */
BP_INLINE bool even_remainder(const float *Z, uint32_t B0, const float *choosing,
                              const float *value, const struct bp_codebook *book,
                              const struct lookup *l, unsigned bits, float *E)
{
    float inverse[RUN / LANES];
    bool all_usual = true;
    for (uint32_t b = 0; b < RUN / B0; b++) {
        inverse[b] = 1.0f / choosing[b];
        all_usual &= usual(choosing[b]);
    }
    for (uint32_t b = 0; all_usual && b < RUN / B0; b++)
        block_remainder(Z + b * B0, B0, inverse[b], value[b], book, l, bits, E + b * B0);
    return all_usual;
}

/* Any run: E [n] = Z - Q, from element `first` of the stretch on, whose scales these are. */
BP_INLINE void uneven_remainder(const float *Z, uint64_t first, uint64_t n, uint32_t B0,
                                const float *choosing, const float *value,
                                const struct bp_codebook *book, const struct lookup *l,
                                unsigned bits, float *E)
{
    uint64_t b = first / B0, within = first % B0;
    for (uint64_t i = 0; i < n; b++, within = 0) {
        uint64_t length = n - i < B0 - within ? n - i : B0 - within;
        if (usual(choosing[b]))
            block_remainder(Z + i, length, 1.0f / choosing[b], value[b], book, l, bits, E + i);
        else
            exact_remainder(Z + i, length, choosing[b], value[b], book, E + i);
        i += length;
    }
}

/* --- of a stretch --- */

/* even: B0 is 16, 32 or 64, a constant. */
BP_INLINE double stretch_runs(const float *Z, const float *F, uint64_t n, uint32_t B0, bool even,
                              const float *choosing, const float *value,
                              const struct bp_codebook *book, unsigned bits, float *E)
{
    float scratch[RUN];
    struct lookup l;
    lookup_init(&l, book, bits);
    const uint64_t run = B0 > RUN ? RUN : RUN / B0 * B0;
    double total = 0.0;
    for (uint64_t i = 0; i < n; i += run) {
        uint64_t length = n - i < run ? n - i : run;
        float *e = E ? E + i : scratch;
        if (!even || length < RUN ||
            !even_remainder(Z + i, B0, choosing + i / B0, value + i / B0, book, &l, bits, e))
            uneven_remainder(Z + i, i, length, B0, choosing, value, book, &l, bits, e);
        total += run_sum(e, F ? F + i : NULL, length);
    }
    return total;
}

/* Blocks of constant sizes for the usual ones (gcc vectorizes 8 bits better without). */
BP_INLINE double stretch_blocks(const float *Z, const float *F, uint64_t n, uint32_t B0,
                                const float *choosing, const float *value,
                                const struct bp_codebook *book, unsigned bits, float *E)
{
    switch (B0) {
    case 16:
        return stretch_runs(Z, F, n, 16, true, choosing, value, book, bits, E);
    case 32:
        return stretch_runs(Z, F, n, 32, true, choosing, value, book, bits, E);
    case 64:
        return stretch_runs(Z, F, n, 64, true, choosing, value, book, bits, E);
    default:
        return stretch_runs(Z, F, n, B0, false, choosing, value, book, bits, E);
    }
}

/* bp_stretch_fn. Constant widths, so that walks are unrolled. */
BP_INLINE double stretch(const float *Z, const float *F, uint64_t n, uint32_t B0,
                         const float *choosing, const float *value, const struct bp_codebook *book,
                         float *E)
{
    switch (book->bits) {
    case 2:
        return stretch_blocks(Z, F, n, B0, choosing, value, book, 2, E);
    case 3:
        return stretch_blocks(Z, F, n, B0, choosing, value, book, 3, E);
    case 4:
        return stretch_blocks(Z, F, n, B0, choosing, value, book, 4, E);
    default:
        return stretch_runs(Z, F, n, B0, false, choosing, value, book, 8, E);
    }
}

#endif
