/*
 * What the low-rank part of a matrix takes: L1 [d * r] and L2 [r * k] at the rank r that the matrix
 * can take (bp_svd_rank), by the precision that they are kept in: 16 or 32 bits an element as
 * floats, or 8 bits as NF8 (LQ-LoRA section 4.2: nf8:u8:fp32:64:256, each factor by itself).
 * Pure arithmetic; every other file asks here. Shapes are those of a table (2^53 parameters at
 * most), which keeps every figure below 2^60.
 */
#ifndef BP_ENGINE_LOW_RANK_H
#define BP_ENGINE_LOW_RANK_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/config.h"

/* The authors' precision, when nobody says another. */
enum { BP_LOW_RANK_STANDARD = 16 };

/* How factors are coded in 8 bits. */
extern const struct bp_config bp_low_rank_nf8;

/* 8, 16 and 32. */
bool bp_low_rank_precision_valid(uint64_t precision);

/* Elements of both factors: r (d + k). */
uint64_t bp_low_rank_params(uint64_t d, uint64_t k, uint32_t rank);

/* Bits of both factors as bits/param count them: precision * r (d + k), or of NF8 Eq. 3 for each
 * factor. */
uint64_t bp_low_rank_bits(uint64_t d, uint64_t k, uint32_t rank, unsigned precision);

/* Bytes of both factors in memory: the same in bytes (it is whole bytes), and of NF8 an FP32 offset
 * for each factor, which Eq. 3 leaves out. */
uint64_t bp_low_rank_bytes(uint64_t d, uint64_t k, uint32_t rank, unsigned precision);

#endif
