/*
 * NormalFloat quantization with two-level scales (LQ-LoRA section 3.1, in the arithmetic of the
 * authors' code): this is the readable path that every faster one is compared with.
 *
 * A matrix is taken as its row-major flattening of n elements: blocks of B0 elements, groups of B1
 * blocks; the last block and the last group may be short. Per block s = max |A|; offset = the least
 * s of the whole matrix; per group v = the largest s - offset, rounded to b2; the scale's code q =
 * round((s - offset) (2^b1 - 1) / v) and its value offset + q v / (2^b1 - 1). A block's elements
 * are divided by its dequantized scale and take the nearest NormalFloat value.
 * v <= 2^-24: every q of the group is 0. A scale of 0: every element is 0. v beyond the range of b2
 * saturates at its largest finite value (the authors' code would give NaN).
 *
 * All in FP32, sums in double. A scales struct is workspace: one thread at a time.
 */
#ifndef BP_ENGINE_QUANTIZE_H
#define BP_ENGINE_QUANTIZE_H

#include <stddef.h>
#include <stdint.h>

#include "engine/config.h"

/* The scales of one matrix under one config. */
struct bp_scales {
    struct bp_config config;
    uint64_t n, n_blocks, n_groups;
    float offset;
    uint8_t *code;     /* [n_blocks] q */
    float *choosing;   /* [n_blocks] scale by which an element's code is chosen: q / k + offset */
    float *value;      /* [n_blocks] scale by which it is dequantized: offset + q v / (2^b1 - 1) */
    float *second;     /* [n_groups] v as b2 holds it, widened */
    uint64_t capacity; /* blocks that the arrays can hold */
};

/* Makes room for matrices of up to n elements in blocks of at least B0_min. BP_ERR_NOMEM. */
enum bp_status bp_scales_init(struct bp_scales *s, uint64_t n, uint32_t B0_min, struct bp_err *err);
void bp_scales_done(struct bp_scales *s);

/* Rounds v to the nearest value of the type, ties to even, saturating; returns it widened. */
float bp_scale_round(float v, enum bp_scale_type type);

/* The bits of a value that bp_scale_round returned, in the low 16 (bf16, fp16) or 32 bits. */
uint32_t bp_scale_bits(float v, enum bp_scale_type type);

/* First half: the scales of A [n], finite. n >= 1 within the capacity. */
void bp_quantize_scales(const float *A, uint64_t n, const struct bp_config *c, struct bp_scales *s);

/* The scales of a matrix from what a file keeps of them: config, n, offset, code and second are set
 * (and within the capacity), n_blocks, n_groups and value follow. `choosing` stays unset. */
void bp_scales_restore(struct bp_scales *s);

/* Second half, two forms: the dequantized matrix Q [n], or the codes [n]. */
void bp_quantize_values(const float *A, const struct bp_scales *s, float *Q);
void bp_quantize_codes(const float *A, const struct bp_scales *s, uint8_t *codes);

/* Q [n] from the codes: equal to what bp_quantize_values gave. */
void bp_dequantize(const uint8_t *codes, const struct bp_scales *s, float *Q);

/* sum of F (A - Q)^2 over n elements, F = NULL for ones. */
double bp_weighted_error(const float *A, const float *Q, const float *F, uint64_t n);

#endif
