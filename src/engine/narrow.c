#include "engine/narrow.h"

#include <assert.h>
#include <endian.h>
#include <math.h>
#include <string.h>

#include "engine/quantize.h"

/* Sign and magnitude: the types of a second-level scale are these types without a sign. */
static float round_one(float v, enum bp_scale_type type)
{
    return copysignf(bp_scale_round(fabsf(v), type), v);
}

static uint16_t bits_of(float v, enum bp_scale_type type)
{
    const float magnitude = bp_scale_round(fabsf(v), type);
    return (uint16_t)(bp_scale_bits(magnitude, type) | (signbit(v) ? 0x8000u : 0));
}

static enum bp_scale_type half_type(enum bp_dtype dtype)
{
    assert(dtype == BP_DTYPE_BF16 || dtype == BP_DTYPE_F16);
    return dtype == BP_DTYPE_BF16 ? BP_SCALE_BF16 : BP_SCALE_FP16;
}

void bp_narrow(const float *in, uint64_t n, enum bp_dtype dtype, void *out)
{
    unsigned char *to = out;
    if (dtype == BP_DTYPE_F32) {
        memcpy(out, in, n * sizeof *in);
        return;
    }
    const enum bp_scale_type type = half_type(dtype);
    for (uint64_t i = 0; i < n; i++) {
        const uint16_t half = htole16(bits_of(in[i], type));
        memcpy(to + i * sizeof half, &half, sizeof half);
    }
}

void bp_round_to(float *values, uint64_t n, enum bp_dtype dtype)
{
    if (dtype == BP_DTYPE_F32)
        return;
    const enum bp_scale_type type = half_type(dtype);
    for (uint64_t i = 0; i < n; i++)
        values[i] = round_one(values[i], type);
}
