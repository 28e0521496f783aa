#include "engine/quantize_fast.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "engine/clones.h"
#include "engine/nf.h"
#include "engine/quantize.h"

/* Sums are kept in 16 lanes: a vector of AVX-512, two of AVX2, four of SSE. */
enum { LANES = 16 };
typedef float lanes_t __attribute__((vector_size(LANES * sizeof(float))));
typedef int32_t lanes_int_t __attribute__((vector_size(LANES * sizeof(int32_t))));

/* Elements that are summed in FP32: 16 additions in each lane, hence at most 16 * 2^-24 = 1e-6
 * relative, half of the tolerance. */
enum { RUN = 256 };

/* --- scales --- */

/* Magnitudes compare as their bits do, and a largest integer may be sought in any order. */
BP_INLINE int32_t magnitude_bits(float x)
{
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & 0x7fffffff;
}

BP_INLINE int32_t largest_bits(const float *Z, uint64_t n)
{
    int32_t largest = 0;
    for (uint64_t i = 0; i < n; i++) {
        int32_t bits = magnitude_bits(Z[i]);
        largest = bits > largest ? bits : largest;
    }
    return largest;
}

BP_INLINE int32_t maxima_of(const float *Z, uint64_t n, uint64_t B0, float *maxima)
{
    int32_t least = 0x7f800000; /* infinity */
    uint64_t b = 0;
    for (uint64_t i = 0; i < n; i += B0, b++) {
        int32_t largest = n - i < B0 ? largest_bits(Z + i, n - i) : largest_bits(Z + i, B0);
        memcpy(&maxima[b], &largest, sizeof largest);
        least = largest < least ? largest : least;
    }
    return least;
}

BP_CLONES float bp_fast_block_maxima(const float *Z, uint64_t n, uint32_t B0, float *maxima)
{
    int32_t least;
    switch (B0) { /* constant counts for the usual ones */
    case 16:
        least = maxima_of(Z, n, 16, maxima);
        break;
    case 32:
        least = maxima_of(Z, n, 32, maxima);
        break;
    case 64:
        least = maxima_of(Z, n, 64, maxima);
        break;
    default:
        least = maxima_of(Z, n, B0, maxima);
    }
    float result;
    memcpy(&result, &least, sizeof result);
    return result;
}

BP_INLINE float largest_above(const float *maxima, uint64_t n, float offset)
{
    int32_t largest = 0; /* as bits; negative differences are negative integers */
    for (uint64_t b = 0; b < n; b++) {
        float above = maxima[b] - offset;
        int32_t bits;
        memcpy(&bits, &above, sizeof bits);
        largest = bits > largest ? bits : largest;
    }
    float result;
    memcpy(&result, &largest, sizeof result);
    return result;
}

/* quantize.c's group_scales in a form that vectorizes: the same operations, so the same bits. */
BP_INLINE void group_scales(const float *maxima, uint64_t n, float levels, float v, float offset,
                            float *choosing, float *value)
{
    if (v <= 0x1p-24f) {
        for (uint64_t b = 0; b < n; b++)
            choosing[b] = value[b] = offset;
        return;
    }
    const float step = 1.0f / levels, k = levels / v;
    for (uint64_t b = 0; b < n; b++) {
        float q = rintf((maxima[b] - offset) * k);
        q = q < 0.0f ? 0.0f : q;
        q = q > levels ? levels : q;
        float c = q / k + offset, d = fmaf(step * q, v, offset);
        choosing[b] = c < FLT_MAX ? c : FLT_MAX;
        value[b] = d < FLT_MAX ? d : FLT_MAX;
    }
}

BP_CLONES void bp_fast_scales(const float *maxima, uint64_t n_blocks,
                              const struct bp_config *config, float offset, float *choosing,
                              float *value)
{
    const float levels = (float)((1u << config->b1) - 1);
    for (uint64_t b = 0; b < n_blocks; b += config->B1) {
        uint64_t n = n_blocks - b < config->B1 ? n_blocks - b : config->B1;
        float v =
            bp_scale_round(largest_above(maxima + b, n, offset), (enum bp_scale_type)config->b2);
        group_scales(maxima + b, n, levels, v, offset, choosing + b, value + b);
    }
}

/* --- elements --- */

/* Where a code is looked up for 8 bits: the bins of a monotone map of x to 0 .. N_BINS - 1, each
 * with at most one bound in it. Bounds of lower bins are below x, those of higher ones above. */
enum { N_BINS = 512 };

struct codebook {
    unsigned bits;
    float values[BP_NF_MAX], bounds[BP_NF_MAX];
    int32_t change[BP_NF_MAX]; /* what turns the bits of values[i] into those of values[i + 1] */
    /* 8 bits only: the bound of a bin (infinity where there is none), the values on its sides */
    float bound[N_BINS], lower[N_BINS], upper[N_BINS];
};

BP_INLINE int32_t bin_of(float x)
{
    float t = x * (N_BINS / 2) + N_BINS / 2;
    t = t > 0.0f ? t : 0.0f;
    t = t < N_BINS - 1 ? t : N_BINS - 1;
    return (int32_t)t;
}

static void codebook_init(struct codebook *book, unsigned bits)
{
    const unsigned n_bounds = (1u << bits) - 1;
    book->bits = bits;
    memcpy(book->values, bp_nf_values(bits), (n_bounds + 1) * sizeof *book->values);
    bp_nf_bounds(bits, book->bounds);
    for (unsigned i = 0; i < n_bounds; i++) {
        int32_t here, next;
        memcpy(&here, &book->values[i], sizeof here);
        memcpy(&next, &book->values[i + 1], sizeof next);
        book->change[i] = here ^ next;
    }
    if (bits != 8)
        return;
    unsigned code = 0;
    for (int32_t bin = 0; bin < N_BINS; bin++) {
        bool here = code < n_bounds && bin_of(book->bounds[code]) == bin;
        book->bound[bin] = here ? book->bounds[code] : INFINITY;
        book->lower[bin] = book->values[code];
        code += here;
        book->upper[bin] = book->values[code];
    }
}

/* e = z - Q for one vector: comparisons walk up the codebook; each that holds turns a value's bits
 * into the next one's. */
BP_INLINE void lanes_remainder(const float *Z, float inverse, float value,
                               const struct codebook *book, unsigned n_bounds, float *E)
{
    lanes_t z, zero = {0};
    memcpy(&z, Z, sizeof z);
    lanes_t x = z * inverse;
    lanes_int_t nearest = (lanes_int_t)(zero + book->values[0]);
#pragma GCC unroll 16
    for (unsigned j = 0; j < n_bounds; j++)
        nearest ^= (x > book->bounds[j]) & book->change[j];
    lanes_t e = z - (lanes_t)nearest * value;
    memcpy(E, &e, sizeof e);
}

/* E [n] = Z - Q within a block. */
BP_INLINE void walk_remainder(const float *Z, uint64_t n, float inverse, float value,
                              const struct codebook *book, unsigned n_bounds, float *E)
{
    uint64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        lanes_remainder(Z + i, inverse, value, book, n_bounds, E + i);
    if (i < n) {
        float rest[LANES] = {0};
        memcpy(rest, Z + i, (n - i) * sizeof *rest);
        lanes_remainder(rest, inverse, value, book, n_bounds, rest);
        memcpy(E + i, rest, (n - i) * sizeof *rest);
    }
}

BP_INLINE void bin_remainder(const float *Z, uint64_t n, float inverse, float value,
                             const struct codebook *book, float *E)
{
    for (uint64_t i = 0; i < n; i++) {
        float z = Z[i], x = z * inverse;
        int32_t bin = bin_of(x);
        float bound = book->bound[bin], lower = book->lower[bin], upper = book->upper[bin];
        E[i] = z - (x > bound ? upper : lower) * value;
    }
}

/* In quantize.c's own operations, for scales whose inverse or squares would leave FP32's range. */
BP_INLINE void exact_remainder(const float *Z, uint64_t n, float choosing, float value,
                               const struct codebook *book, float *E)
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

/* sum of F E^2, n <= RUN. */
BP_INLINE double run_sum(const float *E, const float *F, uint64_t n)
{
    lanes_t sum = {0};
    uint64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        lanes_t e, f;
        memcpy(&e, E + i, sizeof e);
        if (F) {
            memcpy(&f, F + i, sizeof f);
            sum += f * e * e;
        } else {
            sum += e * e;
        }
    }
    float part[LANES], total = 0.0f;
    memcpy(part, &sum, sizeof part);
    for (uint64_t rest = 0; i < n; i++, rest++)
        part[rest] += F ? F[i] * E[i] * E[i] : E[i] * E[i];
    for (unsigned half = LANES / 2; half; half /= 2)
        for (unsigned l = 0; l < half; l++)
            part[l] += part[l + half];
    total = part[0];
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

/* E [n] = Z - Q, from `first` on within the stretch; choosing and value are the stretch's. */
BP_INLINE void run_remainder(const float *Z, uint64_t first, uint64_t n, uint32_t B0,
                             const float *choosing, const float *value, const struct codebook *book,
                             unsigned bits, float *E)
{
    uint64_t b = first / B0, within = first % B0;
    for (uint64_t i = 0; i < n; b++, within = 0) {
        uint64_t length = n - i < B0 - within ? n - i : B0 - within;
        if (!usual(choosing[b]))
            exact_remainder(Z + i, length, choosing[b], value[b], book, E + i);
        else if (bits == 8)
            bin_remainder(Z + i, length, 1.0f / choosing[b], value[b], book, E + i);
        else
            walk_remainder(Z + i, length, 1.0f / choosing[b], value[b], book, (1u << bits) - 1,
                           E + i);
        i += length;
    }
}

BP_INLINE double stretch(const float *Z, const float *F, uint64_t n, uint32_t B0,
                         const float *choosing, const float *value, const struct codebook *book,
                         unsigned bits, float *E)
{
    float scratch[RUN];
    const uint64_t run = B0 > RUN ? RUN : RUN / B0 * B0;
    double total = 0.0;
    for (uint64_t i = 0; i < n; i += run) {
        uint64_t length = n - i < run ? n - i : run;
        float *e = E ? E + i : scratch;
        run_remainder(Z + i, i, length, B0, choosing, value, book, bits, e);
        total += run_sum(e, F ? F + i : NULL, length);
    }
    return total;
}

BP_CLONES double bp_fast_remainder(const float *Z, const float *F, uint64_t n,
                                   const struct bp_config *config, const float *choosing,
                                   const float *value, float *E)
{
    struct codebook book;
    codebook_init(&book, config->b0);
    switch (config->b0) { /* constant counts, so that the walk is unrolled */
    case 2:
        return stretch(Z, F, n, config->B0, choosing, value, &book, 2, E);
    case 3:
        return stretch(Z, F, n, config->B0, choosing, value, &book, 3, E);
    case 4:
        return stretch(Z, F, n, config->B0, choosing, value, &book, 4, E);
    default:
        return stretch(Z, F, n, config->B0, choosing, value, &book, 8, E);
    }
}

double bp_fast_error(const float *Z, const float *F, uint64_t n, const struct bp_config *config,
                     const float *choosing, const float *value)
{
    return bp_fast_remainder(Z, F, n, config, choosing, value, NULL);
}
