/*
 * NormalFloat codebooks of 2, 3, 4 and 8 bits (QLoRA, arXiv 2305.14314; LQ-LoRA section 2.2):
 * quantiles of the normal distribution, scaled to [-1, 1], with an exact 0.
 *
 * values = sigma sqrt(2) erfinv(2 p - 1) with p = 2^(b-1) - 1 steps from 1 - o to 1/2, then 2^(b-1)
 * steps from 1/2 to o, o = 0.9677083, sigma = -1 / (sqrt(2) erfinv(1 - 2 o)); in FP32 as the
 * authors' code has them, so that codes agree with its packed files.
 */
#ifndef BP_ENGINE_NF_H
#define BP_ENGINE_NF_H

#include <stdint.h>

enum { BP_NF_MAX = 256 };

/* The codebook of `bits` (2, 3, 4 or 8): [1 << bits] ascending values. */
const float *bp_nf_values(unsigned bits);

/* bounds [(1 << bits) - 1] gets the midpoints between neighbouring values, in FP32. The code of x
 * is the number of midpoints strictly below x: a tie goes to the lower value, |x| > 1 saturates. */
void bp_nf_bounds(unsigned bits, float *bounds);

/* The code whose value is 0. */
static inline uint8_t bp_nf_zero_code(unsigned bits)
{
    return (uint8_t)((1u << (bits - 1)) - 1);
}

#endif
