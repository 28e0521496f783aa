/* FP32 to narrower dtypes: the reverse of widening, for every value there is. */
#include "engine/narrow.h"

#include <math.h>
#include <string.h>

#include "support.h"

static float widen(enum bp_dtype dtype, uint16_t half)
{
    const struct bp_st_tensor t = {.dtype = dtype, .n_elems = 1, .n_bytes = 2};
    const struct bp_st st = {.data = (const unsigned char *)&half};
    float value;
    bp_st_read_f32(&st, &t, 0, 1, &value);
    return value;
}

static uint16_t narrow(enum bp_dtype dtype, float value)
{
    uint16_t half;
    bp_narrow(&value, 1, dtype, &half);
    return half;
}

static void every_finite_value_comes_back(void **state)
{
    (void)state;
    static const enum bp_dtype dtypes[] = {BP_DTYPE_BF16, BP_DTYPE_F16};
    for (int d = 0; d < 2; d++)
        for (uint32_t u = 0; u < 65536; u++) {
            float value = widen(dtypes[d], (uint16_t)u), rounded = value;
            if (!isfinite(value))
                continue;
            assert_int_equal(narrow(dtypes[d], value), u);
            bp_round_to(&rounded, 1, dtypes[d]);
            assert_memory_equal(&rounded, &value, sizeof value);
        }
}

/* Between two neighbours: below the middle the lower, above it the upper, at it the even one. */
static void rounds_to_nearest_and_ties_to_even(void **state)
{
    (void)state;
    static const enum bp_dtype dtypes[] = {BP_DTYPE_BF16, BP_DTYPE_F16};
    static const uint32_t last[] = {0x7f7f, 0x7bff};
    for (int d = 0; d < 2; d++)
        for (uint32_t u = 0; u < last[d]; u += 7)
            for (uint32_t sign = 0; sign <= 0x8000; sign += 0x8000) {
                const float a = widen(dtypes[d], (uint16_t)(u | sign));
                const float b = widen(dtypes[d], (uint16_t)((u + 1) | sign));
                const float middle = (float)(((double)a + (double)b) / 2.0);
                assert_int_equal(narrow(dtypes[d], middle), (u + (u & 1)) | sign);
                assert_int_equal(narrow(dtypes[d], nextafterf(middle, a)), u | sign);
                assert_int_equal(narrow(dtypes[d], nextafterf(middle, b)), (u + 1) | sign);
            }
}

static void beyond_the_range_stays_finite(void **state)
{
    (void)state;
    assert_int_equal(narrow(BP_DTYPE_F16, 1e30f), 0x7bff);
    assert_int_equal(narrow(BP_DTYPE_F16, -1e30f), 0xfbff);
    assert_int_equal(narrow(BP_DTYPE_BF16, 0x1.fffffep127f), 0x7f7f);
    assert_int_equal(narrow(BP_DTYPE_BF16, -0x1.fffffep127f), 0xff7f);
}

static void fp32_is_copied(void **state)
{
    (void)state;
    const float in[] = {1.1f, -0.0f, 1e-40f};
    float out[3], rounded[3];
    memcpy(rounded, in, sizeof in);
    bp_narrow(in, 3, BP_DTYPE_F32, out);
    bp_round_to(rounded, 3, BP_DTYPE_F32);
    assert_memory_equal(out, in, sizeof in);
    assert_memory_equal(rounded, in, sizeof in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_finite_value_comes_back),
        cmocka_unit_test(rounds_to_nearest_and_ties_to_even),
        cmocka_unit_test(beyond_the_range_stays_finite),
        cmocka_unit_test(fp32_is_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
