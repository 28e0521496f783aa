/*
 * FP32 values as the bytes of a narrower dtype: the reverse of bp_st_read_f32, with rounding.
 */
#ifndef BP_ENGINE_NARROW_H
#define BP_ENGINE_NARROW_H

#include <stdint.h>

#include "engine/safetensors.h"

/* in [n], finite, to out [n] elements of the dtype (F32, F16 or BF16), little endian: to nearest,
 * ties to even; beyond the dtype's range its largest value. */
void bp_narrow(const float *in, uint64_t n, enum bp_dtype dtype, void *out);

/* Rounds values [n] in place to what the dtype can hold. */
void bp_round_to(float *values, uint64_t n, enum bp_dtype dtype);

#endif
