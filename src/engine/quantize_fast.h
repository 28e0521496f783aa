/*
 * NormalFloat quantization for speed: the arithmetic of quantize.h in pieces that work on a stretch
 * of a matrix while it is in cache, compiled for several instruction sets and chosen at run time
 * (clones.h, quantize_stretch.h). The result is the same on every x86-64. quantize.h is the oracle:
 * maxima and scales are equal to its own, errors agree within BP_FAST_TOLERANCE relative.
 *
 * A stretch is n consecutive elements, finite, of the row-major flattening that begins at the
 * beginning of a group (of a block for the maxima) and ends at the end of one, or of the matrix. No
 * state, any thread.
 */
#ifndef BP_ENGINE_QUANTIZE_FAST_H
#define BP_ENGINE_QUANTIZE_FAST_H

#include <stdint.h>

#include "engine/config.h"

#define BP_FAST_TOLERANCE 2e-6

/* maxima [ceil(n / B0)] = largest magnitude of each block; returns the least of them (infinity for
 * n = 0). The maxima of larger blocks can be had from those of smaller ones: Z may be maxima, B0
 * then counts blocks. */
float bp_fast_block_maxima(const float *Z, uint64_t n, uint32_t B0, float *maxima);

/* From the maxima [n_blocks] of a stretch and the offset of the whole matrix: the scale by which a
 * code is chosen and the scale by which it is dequantized, [n_blocks] each. An offset above some
 * maxima (that of an iteration ago) is allowed: their codes are 0. */
void bp_fast_scales(const float *maxima, uint64_t n_blocks, const struct bp_config *config,
                    float offset, float *choosing, float *value);

/* sum of F (Z - Q)^2 over the stretch; F [n] or NULL. Short runs are summed in FP32, their sums in
 * double. */
double bp_fast_error(const float *Z, const float *F, uint64_t n, const struct bp_config *config,
                     const float *choosing, const float *value);

/* The same, and E [n] = Z - Q (E may be Z). */
double bp_fast_remainder(const float *Z, const float *F, uint64_t n, const struct bp_config *config,
                         const float *choosing, const float *value, float *E);

#endif
