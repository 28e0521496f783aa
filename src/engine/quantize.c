#include "engine/quantize.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/mem.h"
#include "engine/nf.h"

enum bp_status bp_scales_init(struct bp_scales *s, uint64_t n, uint32_t B0_min, struct bp_err *err)
{
    *s = (struct bp_scales){.capacity = n / B0_min + 1};
    s->code = bp_alloc(s->capacity, sizeof *s->code);
    s->choosing = bp_alloc(s->capacity, sizeof *s->choosing);
    s->value = bp_alloc(s->capacity, sizeof *s->value);
    s->second = bp_alloc(s->capacity, sizeof *s->second);
    if (s->code && s->choosing && s->value && s->second)
        return BP_OK;
    bp_scales_done(s);
    return bp_fail_nomem(err);
}

void bp_scales_done(struct bp_scales *s)
{
    free(s->code);
    free(s->choosing);
    free(s->value);
    free(s->second);
    *s = (struct bp_scales){0};
}

/* --- the second-level scale's types --- */

static uint32_t bits_of(float v)
{
    uint32_t u;
    memcpy(&u, &v, sizeof u);
    return u;
}

static float of_bits(uint32_t u)
{
    float v;
    memcpy(&v, &u, sizeof v);
    return v;
}

static float round_bf16(float v)
{
    const float largest = 0x1.fep127f;
    uint32_t u = bits_of(v);
    u = (u + 0x7fffu + ((u >> 16) & 1u)) & 0xffff0000u;
    return fminf(of_bits(u), largest);
}

/* v >= 0. Adding and taking away a power of two that leaves 10 bits of fraction rounds to even in
 * the FPU; below 2^-14 the step stays 2^-24. */
static float round_fp16(float v)
{
    const float largest = 65504.0f;
    if (v >= largest)
        return largest;
    int exponent;
    frexpf(v, &exponent); /* v = m 2^exponent, m in [1/2, 1) */
    float step = ldexpf(1.0f, exponent - 11);
    if (step < 0x1p-24f)
        step = 0x1p-24f;
    return rintf(v / step) * step;
}

float bp_scale_round(float v, enum bp_scale_type type)
{
    switch (type) {
    case BP_SCALE_BF16:
        return round_bf16(v);
    case BP_SCALE_FP16:
        return round_fp16(v);
    default:
        return v;
    }
}

uint32_t bp_scale_bits(float v, enum bp_scale_type type)
{
    if (type == BP_SCALE_FP32)
        return bits_of(v);
    if (type == BP_SCALE_BF16)
        return bits_of(v) >> 16;
    if (v < 0x1p-14f) /* subnormal in FP16: multiples of 2^-24 */
        return (uint32_t)(v * 0x1p24f);
    return ((bits_of(v) >> 13) & 0x3ffu) | (((bits_of(v) >> 23) - 127 + 15) << 10);
}

/* --- scales --- */

static uint64_t ceil_div(uint64_t a, uint64_t b)
{
    return a / b + (a % b != 0);
}

static uint64_t end_of(uint64_t i, uint64_t length, uint64_t n)
{
    return n - i * length < length ? n : (i + 1) * length;
}

/* choosing [n_blocks] = the largest magnitude of each block; returns the least of them. */
static float block_maxima(const float *A, struct bp_scales *s)
{
    float least = INFINITY;
    for (uint64_t b = 0; b < s->n_blocks; b++) {
        uint64_t end = end_of(b, s->config.B0, s->n);
        float largest = 0.0f;
        for (uint64_t i = b * s->config.B0; i < end; i++) {
            float magnitude = fabsf(A[i]);
            largest = magnitude > largest ? magnitude : largest;
        }
        s->choosing[b] = largest;
        least = largest < least ? largest : least;
    }
    return least;
}

/* offset + q v / (2^b1 - 1), fused in the authors' code as well. v that was rounded up may lead
 * past the largest float. */
static float scale_value(const struct bp_scales *s, float q, float v)
{
    const float step = 1.0f / (float)((1u << s->config.b1) - 1);
    return fminf(fmaf(step * q, v, s->offset), FLT_MAX);
}

void bp_scales_restore(struct bp_scales *s)
{
    s->n_blocks = ceil_div(s->n, s->config.B0);
    s->n_groups = ceil_div(s->n_blocks, s->config.B1);
    for (uint64_t b = 0; b < s->n_blocks; b++)
        s->value[b] = scale_value(s, (float)s->code[b], s->second[b / s->config.B1]);
}

/* Turns the maxima in choosing[first..end) into codes and scales; v is the group's second-level
 * scale. */
static void group_scales(struct bp_scales *s, uint64_t first, uint64_t end, float v)
{
    const float levels = (float)((1u << s->config.b1) - 1);
    const float k = levels / v;
    const bool flat = v <= 0x1p-24f;
    for (uint64_t b = first; b < end; b++) {
        float q = 0.0f;
        if (!flat) {
            q = rintf((s->choosing[b] - s->offset) * k);
            q = q < 0.0f ? 0.0f : q > levels ? levels : q;
        }
        s->code[b] = (uint8_t)q;
        s->choosing[b] = fminf(flat ? s->offset : q / k + s->offset, FLT_MAX);
        s->value[b] = scale_value(s, q, v);
    }
}

void bp_quantize_scales(const float *A, uint64_t n, const struct bp_config *c, struct bp_scales *s)
{
    s->config = *c;
    s->n = n;
    s->n_blocks = ceil_div(n, c->B0);
    s->n_groups = ceil_div(s->n_blocks, c->B1);
    s->offset = block_maxima(A, s);
    for (uint64_t g = 0; g < s->n_groups; g++) {
        uint64_t first = g * c->B1, end = end_of(g, c->B1, s->n_blocks);
        float v = 0.0f;
        for (uint64_t b = first; b < end; b++) {
            float above = s->choosing[b] - s->offset;
            v = above > v ? above : v;
        }
        s->second[g] = bp_scale_round(v, (enum bp_scale_type)c->b2);
        group_scales(s, first, end, s->second[g]);
    }
}

/* --- elements --- */

/* The number of bounds strictly below x, by bisection; exact for NaN-free x. */
static unsigned code_of(float x, const float *bounds, unsigned bits)
{
    unsigned code = 0;
    for (unsigned half = 1u << (bits - 1); half; half >>= 1)
        code += x > bounds[code + half - 1] ? half : 0;
    return code;
}

/* Q of one block of up to eight values a codebook: the comparisons walk up the codebook, the last
 * that holds wins. Written so that a compiler vectorizes over the elements; small codebooks only.
 */
static void block_values_walk(const float *A, uint64_t n, float choosing, float value,
                              const float *values, const float *bounds, unsigned n_bounds, float *Q)
{
    for (uint64_t i = 0; i < n; i++) {
        float x = A[i] / choosing, nearest = values[0];
        for (unsigned j = 0; j < n_bounds; j++)
            nearest = x > bounds[j] ? values[j + 1] : nearest;
        Q[i] = nearest * value;
    }
}

static void block_values(const float *A, uint64_t n, float choosing, float value, unsigned bits,
                         const float *values, const float *bounds, float *Q)
{
    /* Constant counts, so that the inner loop is unrolled. */
    switch (bits) {
    case 2:
        block_values_walk(A, n, choosing, value, values, bounds, 3, Q);
        break;
    case 3:
        block_values_walk(A, n, choosing, value, values, bounds, 7, Q);
        break;
    case 4:
        block_values_walk(A, n, choosing, value, values, bounds, 15, Q);
        break;
    default:
        for (uint64_t i = 0; i < n; i++)
            Q[i] = values[code_of(A[i] / choosing, bounds, bits)] * value;
    }
}

void bp_quantize_values(const float *A, const struct bp_scales *s, float *Q)
{
    const unsigned bits = s->config.b0;
    const float *values = bp_nf_values(bits);
    float bounds[BP_NF_MAX];
    bp_nf_bounds(bits, bounds);
    for (uint64_t b = 0; b < s->n_blocks; b++) {
        uint64_t first = b * s->config.B0, n = end_of(b, s->config.B0, s->n) - first;
        if (s->choosing[b] > 0.0f)
            block_values(A + first, n, s->choosing[b], s->value[b], bits, values, bounds,
                         Q + first);
        else
            memset(Q + first, 0, n * sizeof *Q);
    }
}

void bp_quantize_codes(const float *A, const struct bp_scales *s, uint8_t *codes)
{
    const unsigned bits = s->config.b0;
    float bounds[BP_NF_MAX];
    bp_nf_bounds(bits, bounds);
    for (uint64_t b = 0; b < s->n_blocks; b++) {
        uint64_t end = end_of(b, s->config.B0, s->n);
        for (uint64_t i = b * s->config.B0; i < end; i++)
            codes[i] = s->choosing[b] > 0.0f ? (uint8_t)code_of(A[i] / s->choosing[b], bounds, bits)
                                             : bp_nf_zero_code(bits);
    }
}

void bp_dequantize(const uint8_t *codes, const struct bp_scales *s, float *Q)
{
    const float *values = bp_nf_values(s->config.b0);
    for (uint64_t b = 0; b < s->n_blocks; b++) {
        uint64_t end = end_of(b, s->config.B0, s->n);
        for (uint64_t i = b * s->config.B0; i < end; i++)
            Q[i] = values[codes[i]] * s->value[b];
    }
}

double bp_weighted_error(const float *A, const float *Q, const float *F, uint64_t n)
{
    /* Sums of short runs, then the sum of those: close to pairwise, in a fixed order. */
    enum { RUN = 4096 };
    double total = 0.0;
    for (uint64_t first = 0; first < n; first += RUN) {
        uint64_t end = n - first < RUN ? n : first + RUN;
        double part[4] = {0.0, 0.0, 0.0, 0.0};
        for (uint64_t i = first; i < end; i++) {
            double e = (double)A[i] - (double)Q[i];
            part[i % 4] += F ? (double)F[i] * e * e : e * e;
        }
        total += (part[0] + part[1]) + (part[2] + part[3]);
    }
    return total;
}
