#include "engine/low_rank.h"

#include "engine/svd.h"

const struct bp_config bp_low_rank_nf8 = {8, 8, BP_SCALE_FP32, 64, 256};

bool bp_low_rank_precision_valid(uint64_t precision)
{
    return precision == 8 || precision == 16 || precision == 32;
}

uint64_t bp_low_rank_params(uint64_t d, uint64_t k, uint32_t rank)
{
    return bp_svd_rank(d, k, rank) * (d + k);
}

uint64_t bp_low_rank_bits(uint64_t d, uint64_t k, uint32_t rank, unsigned precision)
{
    const uint64_t r = bp_svd_rank(d, k, rank);
    uint64_t L1 = precision * (d * r), L2 = precision * (r * k);
    if (precision == 8) {
        bp_config_storage(&bp_low_rank_nf8, d * r, &L1); /* fits: see the header */
        bp_config_storage(&bp_low_rank_nf8, r * k, &L2);
    }
    return L1 + L2;
}

uint64_t bp_low_rank_bytes(uint64_t d, uint64_t k, uint32_t rank, unsigned precision)
{
    const uint64_t offsets = precision == 8 && rank > 0 ? 2 * sizeof(float) : 0;
    return bp_low_rank_bits(d, k, rank, precision) / 8 + offsets;
}
