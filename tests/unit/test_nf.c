/* The NormalFloat codebooks, generated again in double precision, and their properties. */
#include "support.h"

#include "engine/nf.h"

/* The constants were made in FP32: the largest of 256 quantiles is off by 3.6e-7. */
static const double GENERATED_TOLERANCE = 4e-7;
/* QLoRA prints its NF4 with seven or eight digits. */
static const double QLORA_TOLERANCE = 2e-7;

static const unsigned WIDTHS[4] = {2, 3, 4, 8};

/* erfinv(y) by Newton's method on erf, whose slope is 2 / sqrt(pi) exp(-x^2). */
static double inverse_erf(double y)
{
    double x = 0.0;
    for (int i = 0; i < 100; i++) {
        double step = (erf(x) - y) * 0.5 * 1.7724538509055160273 * exp(x * x);
        x -= step;
        if (fabs(step) < 1e-16)
            break;
    }
    assert_true(fabs(erf(x) - y) < 1e-14);
    return x;
}

/* Value `i` of the codebook of `bits`: the quantile p of the normal distribution over that of
 * o = 0.9677083, p in 2^(b-1) - 1 equal steps up to 1/2, then 2^(b-1) up to o. */
static double generated(unsigned bits, unsigned i)
{
    const double o = 0.9677083;
    const unsigned zero = (1u << (bits - 1)) - 1, above = 1u << (bits - 1);
    double p = i <= zero ? 1.0 - o + (o - 0.5) * (double)i / (double)zero
                         : 0.5 + (o - 0.5) * (double)(i - zero) / (double)above;
    return -inverse_erf(2.0 * p - 1.0) / inverse_erf(1.0 - 2.0 * o);
}

static void the_codebooks_are_the_quantiles_of_the_normal_distribution(void **state)
{
    (void)state;
    for (int w = 0; w < 4; w++)
        for (unsigned i = 0; i < 1u << WIDTHS[w]; i++) {
            double off = fabs((double)bp_nf_values(WIDTHS[w])[i] - generated(WIDTHS[w], i));
            if (off > GENERATED_TOLERANCE)
                fail_msg("nf%u[%u] is off by %g", WIDTHS[w], i, off);
        }
}

static void nf4_is_qloras(void **state)
{
    (void)state;
    /* QLoRA (arXiv 2305.14314), appendix E. */
    static const double qlora[16] = {
        -1.0,      -0.6961928, -0.5250731, -0.3949175, -0.2844414, -0.1847734, -0.0910500, 0.0,
        0.0795803, 0.1609302,  0.2461123,  0.3379152,  0.4407098,  0.5626170,  0.7229568,  1.0};
    for (int i = 0; i < 16; i++)
        assert_true(fabs((double)bp_nf_values(4)[i] - qlora[i]) <= QLORA_TOLERANCE);
}

static void zero_is_exact_and_in_its_place(void **state)
{
    (void)state;
    const float zero = 0.0f;
    for (int w = 0; w < 4; w++) {
        unsigned code = bp_nf_zero_code(WIDTHS[w]);
        assert_int_equal(code, (1u << (WIDTHS[w] - 1)) - 1);
        assert_memory_equal(&bp_nf_values(WIDTHS[w])[code], &zero, sizeof zero);
    }
}

static void values_ascend_from_near_minus_1_to_near_1(void **state)
{
    (void)state;
    for (int w = 0; w < 4; w++) {
        const float *values = bp_nf_values(WIDTHS[w]);
        const unsigned n = 1u << WIDTHS[w];
        for (unsigned i = 1; i < n; i++)
            assert_true(values[i] > values[i - 1]);
        assert_true(values[0] == -0x1.fffffcp-1f && values[n - 1] == 0x1.fffffcp-1f);
    }
}

static void bounds_are_the_middles_in_fp32(void **state)
{
    (void)state;
    for (int w = 0; w < 4; w++) {
        const float *values = bp_nf_values(WIDTHS[w]);
        float bounds[BP_NF_MAX];
        const unsigned n_bounds = (1u << WIDTHS[w]) - 1;
        bounds[n_bounds] = 42.0f;
        bp_nf_bounds(WIDTHS[w], bounds);
        for (unsigned i = 0; i < n_bounds; i++) {
            double sum = (double)values[i] + (double)values[i + 1];
            assert_true(bounds[i] > values[i] && bounds[i] < values[i + 1]);
            assert_true((double)bounds[i] == (double)(float)sum / 2.0);
        }
        assert_true(bounds[n_bounds] == 42.0f);
    }
}

static void smaller_codebooks_share_the_upper_values_of_larger_ones(void **state)
{
    (void)state;
    /* The steps above 1/2 halve with every bit, so every second upper value of the next codebook is
     * one of this. */
    for (unsigned bits = 2; bits < 4; bits++) {
        const float *small = bp_nf_values(bits), *large = bp_nf_values(bits + 1);
        const unsigned zero = bp_nf_zero_code(bits), zero_large = bp_nf_zero_code(bits + 1);
        for (unsigned i = 0; i <= 1u << (bits - 1); i++)
            assert_true(small[zero + i] == large[zero_large + 2 * i]);
    }
}

static void other_widths_have_no_codebook(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 20; bits++)
        if (bits != 2 && bits != 3 && bits != 4 && bits != 8)
            assert_null(bp_nf_values(bits));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_codebooks_are_the_quantiles_of_the_normal_distribution),
        cmocka_unit_test(nf4_is_qloras),
        cmocka_unit_test(zero_is_exact_and_in_its_place),
        cmocka_unit_test(values_ascend_from_near_minus_1_to_near_1),
        cmocka_unit_test(bounds_are_the_middles_in_fp32),
        cmocka_unit_test(smaller_codebooks_share_the_upper_values_of_larger_ones),
        cmocka_unit_test(other_widths_have_no_codebook),
    };
    return cmocka_run_group_tests_name("NormalFloat codebooks", tests, NULL, NULL);
}
