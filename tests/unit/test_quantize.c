/* The quantizer against a slow one written here from the rules alone: double arithmetic with a
 * rounding to FP32 where the rules have one, one element at a time, no bisection. */
#include "support.h"

#include <float.h>

#include "engine/nf.h"
#include "engine/quantize.h"

/* The slow path rounds offset + q v / levels twice (to double, to FP32) where the quantizer rounds
 * once: they may differ in the last place. */
static const double SCALE_TOLERANCE = 0x1p-23;
/* And a product with such a scale in one place more. */
static const double VALUE_TOLERANCE = 0x1p-22;
/* 2^20 additions of 2^-53 each. */
static const double SUM_TOLERANCE = 1e-10;

static const unsigned WIDTHS[4] = {2, 3, 4, 8};

/* --- the slow quantizer --- */

static double fl(double x)
{
    return (double)(float)x;
}

enum { N_HALVES = 0x7c00, N_BF16 = 0x7f80 }; /* patterns of finite values >= 0 */

static double half_value(unsigned pattern)
{
    int exponent = (int)(pattern >> 10);
    double fraction = pattern & 0x3ff;
    return exponent == 0 ? ldexp(fraction, -24) : ldexp(1024.0 + fraction, exponent - 25);
}

static double bf16_value(unsigned pattern)
{
    int exponent = (int)(pattern >> 7);
    double fraction = pattern & 0x7f;
    return exponent == 0 ? ldexp(fraction, -133) : ldexp(128.0 + fraction, exponent - 134);
}

/* The nearest of the values of a 16-bit type, ties to the even pattern, saturating: by bisection
 * over all of them. */
static double nearest16(double v, double (*value_of)(unsigned), unsigned n_patterns)
{
    unsigned low = 0, high = n_patterns - 1;
    if (v >= value_of(high))
        return value_of(high);
    while (high - low > 1) {
        unsigned middle = (low + high) / 2;
        if (value_of(middle) <= v)
            low = middle;
        else
            high = middle;
    }
    double below = v - value_of(low), above = value_of(high) - v;
    return below < above || (below == above && low % 2 == 0) ? value_of(low) : value_of(high);
}

static double slow_round(double v, unsigned b2)
{
    return b2 == BP_SCALE_BF16   ? nearest16(v, bf16_value, N_BF16)
           : b2 == BP_SCALE_FP16 ? nearest16(v, half_value, N_HALVES)
                                 : v;
}

static double half_to_even(double x)
{
    double whole = floor(x), rest = x - whole;
    if (rest > 0.5 || (rest == 0.5 && fmod(whole, 2.0) != 0.0))
        whole += 1.0;
    return whole;
}

struct slow {
    uint64_t n_blocks;
    double offset;
    double *s, *q, *choosing, *value; /* [n_blocks] */
    uint8_t *codes;                   /* [n] */
};

static unsigned slow_code(double x, unsigned bits)
{
    const float *values = bp_nf_values(bits);
    unsigned code = 0;
    for (unsigned i = 0; i + 1 < 1u << bits; i++) {
        double middle = fl((double)values[i] + (double)values[i + 1]) / 2.0;
        if (!(middle < x))
            break;
        code++;
    }
    return code;
}

static void slow_scales(const struct bp_config *c, struct slow *out)
{
    const double levels = (double)((1u << c->b1) - 1);
    for (uint64_t first = 0; first < out->n_blocks; first += c->B1) {
        uint64_t end = first + c->B1 < out->n_blocks ? first + c->B1 : out->n_blocks;
        double v = 0.0;
        for (uint64_t b = first; b < end; b++)
            v = fmax(v, fl(out->s[b] - out->offset));
        v = slow_round(v, c->b2);
        for (uint64_t b = first; b < end; b++) {
            double q = 0.0, k = v > 0x1p-24 ? fl(levels / v) : 1.0;
            if (v > 0x1p-24)
                q = fmin(half_to_even(fl(fl(out->s[b] - out->offset) * k)), levels);
            out->q[b] = q;
            out->choosing[b] = fl(fl(q / k) + out->offset);
            out->value[b] = fl(fl(fl(1.0 / levels) * q) * v + out->offset);
        }
    }
}

static struct slow slow_quantize(const float *A, uint64_t n, const struct bp_config *c)
{
    struct slow out = {.n_blocks = (n + c->B0 - 1) / c->B0, .offset = INFINITY};
    out.s = calloc(4 * out.n_blocks, sizeof *out.s);
    out.codes = malloc(n);
    assert_true(out.s && out.codes);
    out.q = out.s + out.n_blocks;
    out.choosing = out.q + out.n_blocks;
    out.value = out.choosing + out.n_blocks;
    for (uint64_t i = 0; i < n; i++)
        out.s[i / c->B0] = fmax(out.s[i / c->B0], fabs((double)A[i]));
    for (uint64_t b = 0; b < out.n_blocks; b++)
        out.offset = fmin(out.offset, out.s[b]);
    slow_scales(c, &out);
    for (uint64_t i = 0; i < n; i++) {
        double scale = out.choosing[i / c->B0];
        out.codes[i] = scale > 0.0 ? (uint8_t)slow_code(fl((double)A[i] / scale), c->b0)
                                   : (uint8_t)((1u << c->b0) / 2 - 1);
    }
    return out;
}

static void slow_done(struct slow *slow)
{
    free(slow->s);
    free(slow->codes);
}

static bool close_to(double a, double b, double tolerance)
{
    return fabs(a - b) <= tolerance * fabs(b) + DBL_TRUE_MIN;
}

/* Everything that the quantizer says about A [n] under c, against the slow path. */
static void compare(const float *A, uint64_t n, const struct bp_config *c)
{
    char text[BP_CONFIG_TEXT];
    struct bp_scales s;
    assert_int_equal(bp_scales_init(&s, n, c->B0, NULL), BP_OK);
    uint8_t *codes = malloc(n);
    float *Q = malloc(n * sizeof *Q), *from_codes = malloc(n * sizeof *Q);
    assert_true(codes && Q && from_codes);
    struct slow slow = slow_quantize(A, n, c);
    const float *values = bp_nf_values(c->b0);
    bool same = true;

    bp_quantize_scales(A, n, c, &s);
    bp_quantize_codes(A, &s, codes);
    bp_quantize_values(A, &s, Q);
    bp_dequantize(codes, &s, from_codes);
    same = same && s.n_blocks == slow.n_blocks && s.n_groups == (s.n_blocks + c->B1 - 1) / c->B1;
    same = same && (double)s.offset == slow.offset;
    for (uint64_t b = 0; same && b < s.n_blocks; b++)
        same = (double)s.code[b] == slow.q[b] && (double)s.choosing[b] == slow.choosing[b] &&
               close_to((double)s.value[b], slow.value[b], SCALE_TOLERANCE);
    same = same && memcmp(codes, slow.codes, n) == 0;
    same = same && memcmp(Q, from_codes, n * sizeof *Q) == 0;
    for (uint64_t i = 0; same && i < n; i++) {
        double value = (double)values[slow.codes[i]];
        same = isfinite(Q[i]) && (double)Q[i] == fl(value * (double)s.value[i / c->B0]) &&
               close_to((double)Q[i], fl(value * slow.value[i / c->B0]), VALUE_TOLERANCE);
    }
    if (!same)
        fail_msg("%s, %llu elements: not the slow path's", bp_config_format(c, text),
                 (unsigned long long)n);
    slow_done(&slow);
    free(codes);
    free(Q);
    free(from_codes);
    bp_scales_done(&s);
}

/* Normal values whose size drifts, with runs of zeros and a few outliers. */
static float *awkward_matrix(uint64_t n, uint64_t seed)
{
    struct support_rng g = {seed};
    float *A = support_normals(n, seed + 1);
    for (uint64_t i = 0; i < n; i++) {
        A[i] *= (float)(0.02 * exp(0.3 * sin((double)i / 300.0)));
        if (support_below(&g, 200) == 0)
            A[i] *= 8.0f;
        if (seed % 2 && i / 70 % 9 == 4)
            A[i] = 0.0f;
    }
    return A;
}

static void every_config_and_size_agrees_with_the_slow_quantizer(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {1, 2, 3, 15, 16, 17, 31, 33, 63, 65, 1023, 1025};
    struct bp_grid grid;
    assert_int_equal(bp_grid_parse("reference", &grid, NULL), BP_OK);
    assert_int_equal(grid.n, 432);
    float *A = awkward_matrix(3 * 64 * 256 + 7, 20);
    float *holes = awkward_matrix(3 * 64 * 256 + 7, 21);
    for (size_t i = 0; i < grid.n; i++) {
        const struct bp_config *c = &grid.configs[i];
        for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++)
            compare(j % 2 ? A : holes, sizes[j], c);
        compare(i % 2 ? A : holes, 3 * (uint64_t)c->B0 * c->B1 + 7, c);
    }
    free(A);
    free(holes);
    bp_grid_done(&grid);
}

static void unusual_block_sizes_agree_with_the_slow_quantizer(void **state)
{
    (void)state;
    static const uint32_t blocks[] = {1, 2, 7, 100, 1000, BP_MAX_BLOCK};
    const uint64_t n = 2027;
    float *A = awkward_matrix(n, 33);
    for (size_t i = 0; i < 6; i++)
        for (size_t j = 0; j < 6; j++)
            for (int w = 0; w < 4; w++) {
                struct bp_config c = {(uint8_t)WIDTHS[w], (uint8_t)WIDTHS[(i + (size_t)w) % 4],
                                      (uint8_t)(j % 3), blocks[i], blocks[j]};
                compare(A, n, &c);
            }
    free(A);
}

/* --- single rules, by hand --- */

struct by_hand {
    struct bp_scales s;
    uint8_t codes[1024];
    float Q[1024];
};

static void quantize(struct by_hand *h, const float *A, uint64_t n, const char *config)
{
    struct bp_config c;
    assert_true(n <= 1024);
    assert_int_equal(bp_config_parse(config, &c, NULL), BP_OK);
    assert_int_equal(bp_scales_init(&h->s, n, c.B0, NULL), BP_OK);
    bp_quantize_scales(A, n, &c, &h->s);
    bp_quantize_codes(A, &h->s, h->codes);
    bp_quantize_values(A, &h->s, h->Q);
}

/* One block that holds 1 has scale 1 exactly (no spread, so v = 0): its elements are compared as
 * they are. */
static void a_tie_goes_to_the_lower_value(void **state)
{
    (void)state;
    for (int w = 0; w < 4; w++) {
        const unsigned n_bounds = (1u << WIDTHS[w]) - 1;
        float bounds[BP_NF_MAX], A[1024] = {1.0f};
        char config[BP_CONFIG_TEXT];
        struct by_hand h;
        bp_nf_bounds(WIDTHS[w], bounds);
        for (unsigned i = 0; i < n_bounds; i++) {
            A[1 + 3 * i] = bounds[i];
            A[2 + 3 * i] = nextafterf(bounds[i], 2.0f);
            A[3 + 3 * i] = nextafterf(bounds[i], -2.0f);
        }
        snprintf(config, sizeof config, "nf%u:u8:fp32:1024:1", WIDTHS[w]);
        quantize(&h, A, 1 + 3 * (uint64_t)n_bounds, config);
        assert_true(h.s.choosing[0] == 1.0f);
        assert_int_equal(h.codes[0], n_bounds);
        const float *values = bp_nf_values(WIDTHS[w]);
        for (unsigned i = 0; i < n_bounds; i++) {
            assert_int_equal(h.codes[1 + 3 * i], i);
            assert_int_equal(h.codes[2 + 3 * i], i + 1);
            assert_int_equal(h.codes[3 + 3 * i], i);
            assert_true(h.Q[1 + 3 * i] == values[i]);
            assert_true(h.Q[2 + 3 * i] == values[i + 1]);
            assert_true(h.Q[3 + 3 * i] == values[i]);
        }
        bp_scales_done(&h.s);
    }
}

/* Offset 0, v = 3, two bits: k = 1, so the scales are their own codes before rounding. */
static void scale_codes_round_halves_to_even(void **state)
{
    (void)state;
    static const float A[] = {0.0f, 0.5f, 1.5f, 2.5f, -3.0f, 2.4f, 0.6f};
    static const uint8_t expected[] = {0, 0, 2, 2, 3, 2, 1};
    struct by_hand h;
    quantize(&h, A, 7, "nf4:u2:fp32:1:16");
    assert_int_equal(h.s.n_blocks, 7);
    assert_int_equal(h.s.n_groups, 1);
    assert_true(h.s.second[0] == 3.0f);
    assert_memory_equal(h.s.code, expected, sizeof expected);
    for (int i = 0; i < 7; i++)
        assert_true(h.s.choosing[i] == (float)expected[i]);
    bp_scales_done(&h.s);
}

/* Blocks of 2 with the maxima 2, 5, 3 and 8: offset 2, groups of two with v = 3 and 6. */
static void the_offset_is_the_least_block_maximum_of_the_whole_matrix(void **state)
{
    (void)state;
    static const float A[] = {2.0f, -1.0f, 4.0f, -5.0f, 3.0f, 3.0f, 8.0f, 0.0f};
    static const float scales[] = {2.0f, 5.0f, 2.0f, 8.0f}; /* 3 is 1/6 of the way: code 0 of 3 */
    struct by_hand h;
    quantize(&h, A, 8, "nf3:u2:bf16:2:2");
    assert_true(h.s.offset == 2.0f);
    assert_true(h.s.second[0] == 3.0f && h.s.second[1] == 6.0f);
    for (int b = 0; b < 4; b++)
        assert_true(fabsf(h.s.value[b] - scales[b]) <= 4.0f * FLT_EPSILON * scales[b]);
    assert_int_equal(h.codes[4], 7); /* 3 at the scale 2 saturates */
    assert_true(h.Q[4] == bp_nf_values(3)[7] * h.s.value[2]);
    bp_scales_done(&h.s);
}

static void a_group_whose_spread_is_at_most_2_to_the_minus_24_has_the_offset_as_scale(void **state)
{
    (void)state;
    /* 2^-1 + 2^-24 is a float: a spread of exactly 2^-24 in the first group, above in the second.
     */
    const float A[] = {0.5f, 0.5f + 0x1p-24f, 0.5f, 0.5f + 0x1p-23f};
    struct by_hand h;
    quantize(&h, A, 4, "nf4:u8:fp32:1:2");
    assert_int_equal(h.s.code[1], 0);
    assert_true(h.s.choosing[1] == 0.5f && h.s.value[1] == 0.5f);
    assert_int_equal(h.s.code[3], 255);
    assert_true(h.s.value[3] == 0.5f + 0x1p-23f);
    bp_scales_done(&h.s);
}

static void a_block_of_zeros_becomes_zeros(void **state)
{
    (void)state;
    static const float zeros[4] = {0.0f};
    const float A[] = {1.0f, 2.0f, 3.0f, -4.0f, 0.0f, -0.0f, 0.0f, 0.0f, 0.5f, 0.0f, 0.0f, -0.5f};
    for (int w = 0; w < 4; w++) {
        char config[BP_CONFIG_TEXT];
        struct by_hand h;
        snprintf(config, sizeof config, "nf%u:u3:fp16:4:16", WIDTHS[w]);
        quantize(&h, A, 12, config);
        assert_true(h.s.offset == 0.0f && h.s.choosing[1] == 0.0f && h.s.value[1] == 0.0f);
        for (int i = 4; i < 8; i++)
            assert_int_equal(h.codes[i], bp_nf_zero_code(WIDTHS[w]));
        assert_memory_equal(h.Q + 4, zeros, sizeof zeros);
        bp_scales_done(&h.s);
    }
}

static void a_matrix_of_zeros_becomes_zeros_without_error(void **state)
{
    (void)state;
    float A[37] = {0.0f};
    const float zeros[37] = {0.0f};
    A[3] = -0.0f;
    for (int w = 0; w < 4; w++) {
        char config[BP_CONFIG_TEXT];
        struct by_hand h;
        snprintf(config, sizeof config, "nf%u:u%u:bf16:16:2", WIDTHS[w], WIDTHS[3 - w]);
        quantize(&h, A, 37, config);
        assert_memory_equal(h.Q, zeros, sizeof zeros);
        assert_true(bp_weighted_error(A, h.Q, NULL, 37) == 0.0);
        bp_scales_done(&h.s);
    }
}

static void a_constant_matrix_takes_the_end_of_the_codebook(void **state)
{
    (void)state;
    float A[100];
    for (int sign = -1; sign <= 1; sign += 2) {
        struct by_hand h;
        for (int i = 0; i < 100; i++)
            A[i] = (float)sign * 0.37f;
        quantize(&h, A, 100, "nf4:u4:fp16:16:16");
        assert_true(h.s.second[0] == 0.0f && h.s.offset == 0.37f);
        for (int i = 0; i < 100; i++) {
            assert_int_equal(h.codes[i], sign > 0 ? 15 : 0);
            assert_true(h.Q[i] == bp_nf_values(4)[sign > 0 ? 15 : 0] * 0.37f);
        }
        bp_scales_done(&h.s);
    }
}

static void negative_zero_is_zero(void **state)
{
    (void)state;
    const float A[] = {-0.0f, 1.0f, 0.0f, -1.0f}, zero = 0.0f;
    for (int w = 0; w < 4; w++) {
        char config[BP_CONFIG_TEXT];
        struct by_hand h;
        snprintf(config, sizeof config, "nf%u:u8:fp32:4:1", WIDTHS[w]);
        quantize(&h, A, 4, config);
        assert_int_equal(h.codes[0], bp_nf_zero_code(WIDTHS[w]));
        assert_memory_equal(&h.Q[0], &zero, sizeof zero);
        assert_memory_equal(&h.Q[2], &zero, sizeof zero);
        bp_scales_done(&h.s);
    }
}

/* compare() also asks that every result is finite. */
static void huge_and_tiny_values_give_finite_results_as_the_slow_quantizer(void **state)
{
    (void)state;
    static const float factors[] = {1e30f, 1e36f, 7e4f, 1e-6f, 1e-20f, 1e-30f, 1e-38f, 1e-42f};
    struct bp_grid grid;
    const uint64_t n = 777;
    float *A = support_normals(n, 5), *scaled = malloc(n * sizeof *scaled);
    assert_non_null(scaled);
    assert_int_equal(bp_grid_parse("b0=2,3,4,8:b1=2,8:B0=16,64:B1=2,16", &grid, NULL), BP_OK);
    for (size_t f = 0; f < sizeof factors / sizeof *factors; f++)
        for (size_t i = 0; i < grid.n; i++) {
            for (uint64_t e = 0; e < n; e++)
                scaled[e] = A[e] * factors[f];
            compare(scaled, n, &grid.configs[i]);
            for (uint64_t e = 0; e < n; e += 50) /* and beside values of usual size */
                scaled[e] = A[e];
            compare(scaled, n, &grid.configs[i]);
        }
    bp_grid_done(&grid);
    free(A);
    free(scaled);
}

static void a_spread_beyond_fp16_saturates(void **state)
{
    (void)state;
    const float A[] = {1.0f, 1e30f, 65000.0f, 3e38f};
    struct by_hand h;
    quantize(&h, A, 4, "nf4:u2:fp16:1:4");
    assert_true(h.s.second[0] == 65504.0f);
    assert_int_equal(h.s.code[1], 3);
    for (int i = 0; i < 4; i++)
        assert_true(isfinite(h.Q[i]));
    assert_true(isfinite(bp_weighted_error(A, h.Q, NULL, 4)));
    bp_scales_done(&h.s);
}

/* The spread 2.40282e38 is 2.40596e38 as BF16: with the offset that is beyond the largest float. */
static void scales_near_the_largest_float_stay_finite(void **state)
{
    (void)state;
    const float A[] = {0.0f, 0x1.fffffep127f, 1e38f, -0x1p126f};
    static const char *const types[] = {"bf16", "fp16", "fp32"};
    for (int w = 0; w < 4; w++)
        for (int t = 0; t < 3; t++) {
            struct by_hand h;
            char config[BP_CONFIG_TEXT];
            snprintf(config, sizeof config, "nf4:u%u:%s:2:2", WIDTHS[w], types[t]);
            quantize(&h, A, 4, config);
            for (int i = 0; i < 4; i++)
                assert_true(isfinite(h.Q[i]));
            assert_true(h.Q[0] == 0.0f && isfinite(bp_weighted_error(A, h.Q, NULL, 4)));
            bp_scales_done(&h.s);
        }
}

/* --- the types of the second-level scale --- */

/* Every finite value >= 0 of a 16-bit type stands for itself; the middle between two neighbours
 * goes to the even one, its neighbours among the floats to their own sides. */
static void check_16_bit_type(enum bp_scale_type type, double (*value_of)(unsigned), unsigned n)
{
    for (unsigned p = 0; p < n; p++) {
        float here = (float)value_of(p);
        assert_true((double)here == value_of(p));
        assert_true(bp_scale_round(here, type) == here);
        assert_int_equal(bp_scale_bits(here, type), p);
        if (p + 1 == n)
            continue;
        float next = (float)value_of(p + 1), middle = (float)((value_of(p) + value_of(p + 1)) / 2);
        if ((double)middle != (value_of(p) + value_of(p + 1)) / 2)
            continue; /* BF16 below the least float: no middle */
        assert_true(bp_scale_round(middle, type) == (p % 2 ? next : here));
        assert_true(bp_scale_round(nextafterf(middle, 0.0f), type) == here);
        assert_true(bp_scale_round(nextafterf(middle, INFINITY), type) == next);
    }
}

static void every_fp16_value_round_trips_and_middles_tie_to_even(void **state)
{
    (void)state;
    check_16_bit_type(BP_SCALE_FP16, half_value, N_HALVES);
    assert_true(bp_scale_round(65519.0f, BP_SCALE_FP16) == 65504.0f);
    assert_true(bp_scale_round(65520.0f, BP_SCALE_FP16) == 65504.0f); /* would be infinity */
    assert_true(bp_scale_round(FLT_MAX, BP_SCALE_FP16) == 65504.0f);
    assert_true(bp_scale_round(0x1p-25f, BP_SCALE_FP16) == 0.0f);
    assert_true(bp_scale_round(FLT_TRUE_MIN, BP_SCALE_FP16) == 0.0f);
}

static void every_bf16_value_round_trips_and_middles_tie_to_even(void **state)
{
    (void)state;
    check_16_bit_type(BP_SCALE_BF16, bf16_value, N_BF16);
    assert_true(bp_scale_round(FLT_MAX, BP_SCALE_BF16) == 0x1.fep127f);
    assert_true(bp_scale_round(0x1.ffp127f, BP_SCALE_BF16) == 0x1.fep127f);
}

static void fp32_scales_are_kept_as_they_are(void **state)
{
    (void)state;
    static const float some[] = {0.0f, FLT_TRUE_MIN, 0.1f, 1.0f, 3e38f};
    for (int i = 0; i < 5; i++) {
        uint32_t bits;
        memcpy(&bits, &some[i], sizeof bits);
        assert_true(bp_scale_round(some[i], BP_SCALE_FP32) == some[i]);
        assert_int_equal(bp_scale_bits(some[i], BP_SCALE_FP32), bits);
    }
}

/* --- the error --- */

static void the_error_is_the_weighted_sum_of_squares(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {1, 2, 3, 5, 4095, 4096, 4097, 12289};
    float *A = support_normals(12289, 1), *Q = support_normals(12289, 2);
    float *F = support_normals(12289, 3);
    for (int i = 0; i < 12289; i++)
        F[i] *= F[i];
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        double plain = 0.0, weighted = 0.0;
        for (uint64_t i = 0; i < sizes[s]; i++) {
            double e = (double)A[i] - (double)Q[i];
            plain += e * e;
            weighted += (double)F[i] * e * e;
        }
        assert_true(close_to(bp_weighted_error(A, Q, NULL, sizes[s]), plain, SUM_TOLERANCE));
        assert_true(close_to(bp_weighted_error(A, Q, F, sizes[s]), weighted, SUM_TOLERANCE));
    }
    free(A);
    free(Q);
    free(F);
}

static void scales_serve_another_matrix_and_config_afterwards(void **state)
{
    (void)state;
    const uint64_t n = 3000;
    const struct bp_config small = {3, 8, BP_SCALE_BF16, 16, 16}, large = {4, 2, 0, 256, 3};
    float *A = awkward_matrix(n, 40), *first = malloc(n * sizeof *first);
    float *again = malloc(n * sizeof *again);
    struct bp_scales s;
    assert_true(first && again);
    assert_int_equal(bp_scales_init(&s, n, 16, NULL), BP_OK);
    bp_quantize_scales(A, n, &small, &s);
    bp_quantize_values(A, &s, first);
    bp_quantize_scales(A, 17, &large, &s);
    bp_quantize_scales(A, n, &small, &s);
    bp_quantize_values(A, &s, again);
    assert_memory_equal(first, again, n * sizeof *first);
    bp_scales_done(&s);
    free(A);
    free(first);
    free(again);
}

/* What a file keeps of scales is enough: the rest follows to the bit, for short tails, too. */
static void scales_are_restored_from_their_codes(void **state)
{
    (void)state;
    struct support_rng g = {11};
    float A[1000], Q[1000], again[1000];
    uint8_t codes[1000];
    struct bp_scales s, t;
    assert_int_equal(bp_scales_init(&s, 1000, 3, NULL), BP_OK);
    assert_int_equal(bp_scales_init(&t, 1000, 3, NULL), BP_OK);
    for (int i = 0; i < 1000; i++)
        A[i] = (float)(support_unit(&g) - 0.5) * (i % 97 ? 1.0f : 30.0f);
    for (int w = 0; w < 4; w++)
        for (uint8_t b2 = 0; b2 < BP_N_SCALE_TYPES; b2++)
            for (uint64_t n = 1; n <= 1000; n += 333) {
                const struct bp_config c = {4, (uint8_t)WIDTHS[w], b2, 3, 7};
                bp_quantize_scales(A, n, &c, &s);
                bp_quantize_values(A, &s, Q);
                bp_quantize_codes(A, &s, codes);
                t.config = c;
                t.n = n;
                t.offset = s.offset;
                memcpy(t.code, s.code, s.n_blocks);
                memcpy(t.second, s.second, s.n_groups * sizeof *t.second);
                bp_scales_restore(&t);
                assert_int_equal(t.n_blocks, s.n_blocks);
                assert_int_equal(t.n_groups, s.n_groups);
                assert_memory_equal(t.value, s.value, s.n_blocks * sizeof *s.value);
                bp_dequantize(codes, &t, again);
                assert_memory_equal(again, Q, n * sizeof *Q);
            }
    bp_scales_done(&s);
    bp_scales_done(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_config_and_size_agrees_with_the_slow_quantizer),
        cmocka_unit_test(unusual_block_sizes_agree_with_the_slow_quantizer),
        cmocka_unit_test(a_tie_goes_to_the_lower_value),
        cmocka_unit_test(scale_codes_round_halves_to_even),
        cmocka_unit_test(the_offset_is_the_least_block_maximum_of_the_whole_matrix),
        cmocka_unit_test(a_group_whose_spread_is_at_most_2_to_the_minus_24_has_the_offset_as_scale),
        cmocka_unit_test(a_block_of_zeros_becomes_zeros),
        cmocka_unit_test(a_matrix_of_zeros_becomes_zeros_without_error),
        cmocka_unit_test(a_constant_matrix_takes_the_end_of_the_codebook),
        cmocka_unit_test(negative_zero_is_zero),
        cmocka_unit_test(huge_and_tiny_values_give_finite_results_as_the_slow_quantizer),
        cmocka_unit_test(a_spread_beyond_fp16_saturates),
        cmocka_unit_test(scales_near_the_largest_float_stay_finite),
        cmocka_unit_test(every_fp16_value_round_trips_and_middles_tie_to_even),
        cmocka_unit_test(every_bf16_value_round_trips_and_middles_tie_to_even),
        cmocka_unit_test(fp32_scales_are_kept_as_they_are),
        cmocka_unit_test(the_error_is_the_weighted_sum_of_squares),
        cmocka_unit_test(scales_serve_another_matrix_and_config_afterwards),
        cmocka_unit_test(scales_are_restored_from_their_codes),
    };
    return cmocka_run_group_tests_name("quantizer", tests, NULL, NULL);
}
