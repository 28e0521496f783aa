/*
 * A matrix carried out: W ~ Q + L1 L2 as it is stored, which is the low-rank factors in their
 * storage precision, and the codes and scales of what they leave, quantize(W - L1 L2).
 *
 * The factors are rounded first and Q is computed against the rounded ones, so that the codes make
 * up for most of what the rounding costs. At 32 bits nothing is rounded and the error is the
 * decomposition's own, to the bit.
 *
 * One struct serves one thread at a time and holds about 9 bytes an element of the largest matrix.
 */
#ifndef BP_ENGINE_PARTS_H
#define BP_ENGINE_PARTS_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/config.h"
#include "engine/err.h"
#include "engine/quantize.h"

/* Codes and scales of a flattened array. */
struct bp_coded {
    struct bp_scales scales; /* with its config and length */
    uint8_t *codes;          /* [scales.n] */
};

struct bp_parts {
    uint64_t d, k;
    uint32_t r; /* 0: no factors */
    unsigned low_rank_bits;
    struct bp_coded q;      /* [d * k] */
    struct bp_coded c1, c2; /* L1 [d * r], L2 [r * k]; at 8 bits alone */
    float *L1, *L2;         /* [d * r], [r * k] as they are stored, widened */
    float *Q;               /* [d * k] dequantized */
};

/* How factors are coded at 8 bits, as low_rank.h counts them. */
extern const struct bp_config bp_config_factor;

/* BP_ERR_USAGE unless bits is 8, 16 or 32. */
enum bp_status bp_low_rank_bits_check(uint64_t bits, struct bp_err *err);

/* Room for matrices of up to n_max elements, d_max rows, k_max columns, blocks of at least B0_min
 * and ranks of at most r_max (as clamped). */
enum bp_status bp_parts_init(struct bp_parts *p, uint64_t d_max, uint64_t k_max, uint64_t n_max,
                             uint32_t r_max, uint32_t B0_min, struct bp_err *err);
void bp_parts_done(struct bp_parts *p);

/* Fills the rest from W [d * k], the config and the factors in p->L1 and p->L2, which get rounded;
 * d, k, r and low_rank_bits are set. */
void bp_parts_make(struct bp_parts *p, const float *W, const struct bp_config *config);

#endif
