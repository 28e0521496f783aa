#include "engine/quantize_fast.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "engine/clones.h"
#include "engine/quantize.h"

#define STRETCH_VECTOR 4
#include "engine/quantize_stretch.h"

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

void bp_codebook_init(struct bp_codebook *book, unsigned bits)
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
    unsigned code = 0;
    for (int32_t bin = 0; bin < n_bins(bits); bin++) {
        bool here = code < n_bounds && bin_of(book->bounds[code], bits) == bin;
        book->bound[bin] = here ? book->bounds[code] : INFINITY;
        book->side[bin] = book->values[code];
        code += here;
        book->side[MAX_BINS + bin] = book->values[code];
    }
}

static bp_stretch_fn *stretch_for_this_processor(void)
{
#ifdef BP_HAVE_CLONES
    if (__builtin_cpu_supports("x86-64-v4"))
        return bp_fast_stretch_avx512;
    if (__builtin_cpu_supports("x86-64-v3"))
        return bp_fast_stretch_avx2;
#endif
    return stretch;
}

double bp_fast_remainder(const float *Z, const float *F, uint64_t n, const struct bp_config *config,
                         const float *choosing, const float *value, float *E)
{
    struct bp_codebook book;
    bp_codebook_init(&book, config->b0);
    return stretch_for_this_processor()(Z, F, n, config->B0, choosing, value, &book, E);
}

double bp_fast_error(const float *Z, const float *F, uint64_t n, const struct bp_config *config,
                     const float *choosing, const float *value)
{
    return bp_fast_remainder(Z, F, n, config, choosing, value, NULL);
}
