/* The low-rank plus quantized decomposition: what it reports is checked against what it hands over,
 * its loop against its own trace, its special cases against plain quantization. */
#include "support.h"

#include "engine/lq.h"
#include "engine/quantize.h"

/* The decomposition sums (R - Q)^2 with R = W - L1 L2 in FP32, the tests W - Q - L1 L2 in double. R
 * is off by at most about (r + 1) 2^-24 (|W| + |L1||L2|), here below 1e-6 |W|, and |R - Q| is at
 * least 0.05 |W| at four bits or fewer; off both ways, so that the sum is off by far less than
 * 2 * 1e-6 / 0.05. */
static const double RECOMPUTED_TOLERANCE = 1e-5;
/* Weights times 3 round anew in the scaling of the SVD; its factors change by a few 2^-24, and with
 * them a few codes that were on a tie. Without a rise in between, one iteration moves this little.
 */
static const double RESCALED_TOLERANCE = 1e-3;

static const uint64_t SEED = 5;

struct setup {
    struct bp_lq_work *work;
    struct bp_lq_matrix matrix;
    float *W, *F;
    float *Q, *L1, *L2;
    uint32_t rank;
};

/* A d x k matrix: noise with a low-rank part on top and one larger column; weights on demand. */
static struct setup make(uint64_t d, uint64_t k, uint32_t rank, bool weights,
                         enum bp_svd_method method)
{
    struct setup s = {.rank = rank};
    struct bp_err err = {""};
    struct support_rng g = {d * 1000 + k};
    const uint64_t n = d * k;
    const uint32_t r = bp_svd_rank(d, k, rank);
    float *u = support_normals(d, 71), *v = support_normals(k, 72);
    s.W = support_normals(n, 70 + d);
    s.F = weights ? malloc(n * sizeof *s.F) : NULL;
    for (uint64_t i = 0; i < n; i++) {
        s.W[i] = 0.02f * (s.W[i] + u[i / k] * v[i % k]) * (i % k == 1 ? 4.0f : 1.0f);
        if (weights)
            s.F[i] = (float)(exp(support_normal(&g)) * (1.0 + (double)(i / k) / (double)d));
    }
    free(u);
    free(v);
    s.Q = malloc(n * sizeof *s.Q);
    s.L1 = malloc((d * r + 1) * sizeof *s.L1);
    s.L2 = malloc((k * r + 1) * sizeof *s.L2);
    assert_true(s.Q && s.L1 && s.L2);
    s.matrix = (struct bp_lq_matrix){s.W, s.F, d, k, "a matrix"};
    bp_blas_single_thread();
    if (bp_lq_work_new(d, k, n, rank, 16, method, &s.work, &err))
        fail_msg("%s", err.text);
    return s;
}

static void done(struct setup *s)
{
    bp_lq_work_free(s->work);
    free(s->W);
    free(s->F);
    free(s->Q);
    free(s->L1);
    free(s->L2);
}

/* Decomposes under `config`, factors into s. */
static struct bp_lq_result decompose(struct setup *s, const char *config, uint32_t iterations,
                                     uint64_t seed, double *trace)
{
    struct bp_config c;
    struct bp_err err = {""};
    struct bp_lq_result result;
    struct bp_lq_options options = {s->rank, iterations, seed};
    struct bp_lq_factors factors = {s->Q, s->L1, s->L2};
    assert_int_equal(bp_config_parse(config, &c, NULL), BP_OK);
    if (bp_lq_decompose(s->work, &s->matrix, &c, &options, &factors, trace, &result, &err))
        fail_msg("%s", err.text);
    return result;
}

/* The error of the factors handed over, in double. */
static double recomputed(const struct setup *s)
{
    const uint64_t d = s->matrix.d, k = s->matrix.k;
    const uint32_t r = bp_svd_rank(d, k, s->rank);
    double total = 0.0;
    for (uint64_t i = 0; i < d; i++)
        for (uint64_t j = 0; j < k; j++) {
            double e = (double)s->W[i * k + j] - (double)s->Q[i * k + j];
            for (uint32_t t = 0; t < r; t++)
                e -= (double)s->L1[i * r + t] * (double)s->L2[t * k + j];
            total += (s->F ? (double)s->F[i * k + j] : 1.0) * e * e;
        }
    return total;
}

static bool near(double a, double b, double tolerance)
{
    return fabs(a - b) <= tolerance * fabs(b);
}

static void the_error_reported_is_that_of_the_factors_handed_over(void **state)
{
    (void)state;
    static const struct {
        uint64_t d, k;
        uint32_t rank;
    } shapes[] = {{64, 96, 8}, {96, 40, 5}, {33, 65, 1}, {17, 200, 16}};
    static const char *const configs[] = {"nf2:u2:bf16:16:16", "nf3:u8:fp32:64:256",
                                          "nf4:u4:fp16:32:16"};
    for (size_t i = 0; i < 4; i++)
        for (int weights = 0; weights < 2; weights++)
            for (int method = 0; method < 2; method++) {
                struct setup s = make(shapes[i].d, shapes[i].k, shapes[i].rank, weights != 0,
                                      method ? BP_SVD_FULL : BP_SVD_RANDOMIZED);
                for (int c = 0; c < 3; c++) {
                    struct bp_lq_result result = decompose(&s, configs[c], 20, SEED, NULL);
                    assert_true(near(recomputed(&s), result.error, RECOMPUTED_TOLERANCE));
                }
                done(&s);
            }
}

/* Runs with a trace; returns how many ended on a rise. */
static int check_loop(struct setup *s, const char *config, uint32_t iterations)
{
    double trace[BP_LQ_MAX_ITERATIONS], least = INFINITY;
    for (int t = 0; t < BP_LQ_MAX_ITERATIONS; t++)
        trace[t] = -1.0;
    struct bp_lq_result result = decompose(s, config, iterations, SEED, trace);
    const uint32_t n = result.iterations;
    assert_in_range(n, 1, iterations);
    assert_in_range(result.best, 1, n);
    for (uint32_t t = 0; t < n; t++)
        least = fmin(least, trace[t]);
    assert_true(result.error == least);
    assert_true(trace[result.best - 1] == least);
    for (uint32_t t = 0; t + 1 < result.best; t++)
        assert_true(trace[t] > least); /* the first of equals */
    for (uint32_t t = 1; t + 1 < n; t++)
        assert_true(trace[t] <= trace[t - 1]);
    for (uint32_t t = n; t < BP_LQ_MAX_ITERATIONS; t++)
        assert_true(trace[t] == -1.0); /* nothing is written behind the end */
    assert_true(near(recomputed(s), result.error, RECOMPUTED_TOLERANCE));
    bool rose = n > 1 && trace[n - 1] > trace[n - 2];
    assert_true(rose || n == iterations);
    return rose;
}

static void the_loop_stops_at_the_first_strict_rise_and_keeps_the_least_error(void **state)
{
    (void)state;
    static const char *const configs[] = {"nf2:u2:bf16:16:16", "nf2:u8:fp32:64:16",
                                          "nf3:u3:fp16:32:16", "nf4:u8:fp32:64:256"};
    int rises = 0;
    for (int weights = 0; weights < 2; weights++)
        for (int method = 0; method < 2; method++) {
            struct setup s =
                make(96, 64, 8, weights != 0, method ? BP_SVD_FULL : BP_SVD_RANDOMIZED);
            for (int c = 0; c < 4; c++) {
                rises += check_loop(&s, configs[c], BP_LQ_MAX_ITERATIONS);
                rises += check_loop(&s, configs[c], 3);
            }
            done(&s);
        }
    assert_true(rises >= 8); /* else the loops above tested nothing */
}

static void the_cap_of_the_iterations_cuts_the_same_trace(void **state)
{
    (void)state;
    struct setup s = make(64, 96, 8, false, BP_SVD_RANDOMIZED);
    double all[BP_LQ_MAX_ITERATIONS], some[BP_LQ_MAX_ITERATIONS];
    struct bp_lq_result whole = decompose(&s, "nf4:u8:fp32:64:256", 100, SEED, all);
    for (uint32_t cap = 1; cap <= whole.iterations; cap++) {
        struct bp_lq_result result = decompose(&s, "nf4:u8:fp32:64:256", cap, SEED, some);
        assert_int_equal(result.iterations, cap);
        assert_memory_equal(some, all, cap * sizeof *some);
    }
    done(&s);
}

static void one_iteration_is_the_svd_and_then_the_quantizer(void **state)
{
    (void)state;
    struct setup s = make(48, 80, 6, false, BP_SVD_FULL);
    const uint64_t n = 48 * 80;
    struct bp_svd_work *svd;
    struct bp_scales scales;
    struct bp_config c;
    float *R = malloc(n * sizeof *R), *Q = malloc(n * sizeof *Q);
    float L1[48 * 6], L2[6 * 80];
    assert_true(R && Q);
    struct bp_lq_result result = decompose(&s, "nf3:u4:bf16:32:16", 1, SEED, NULL);
    assert_int_equal(result.iterations, 1);
    assert_int_equal(result.best, 1);
    assert_int_equal(bp_svd_work_new(48, 80, 6, BP_SVD_FULL, &svd, NULL), BP_OK);
    assert_int_equal(bp_svd_lowrank(svd, s.W, 48, 80, 6, 0, L1, L2, NULL), BP_OK);
    assert_memory_equal(L1, s.L1, sizeof L1);
    assert_memory_equal(L2, s.L2, sizeof L2);
    bp_residual(s.W, L1, L2, 48, 80, 6, R);
    assert_int_equal(bp_config_parse("nf3:u4:bf16:32:16", &c, NULL), BP_OK);
    assert_int_equal(bp_scales_init(&scales, n, 16, NULL), BP_OK);
    bp_quantize_scales(R, n, &c, &scales);
    bp_quantize_values(R, &scales, Q);
    assert_memory_equal(Q, s.Q, n * sizeof *Q);
    assert_true(bp_weighted_error(R, Q, NULL, n) == result.error);
    bp_scales_done(&scales);
    bp_svd_work_free(svd);
    free(R);
    free(Q);
    done(&s);
}

static void rank_0_is_plain_quantization(void **state)
{
    (void)state;
    for (int weights = 0; weights < 2; weights++) {
        struct setup s = make(31, 65, 0, weights != 0, BP_SVD_RANDOMIZED);
        const uint64_t n = 31 * 65;
        struct bp_scales scales;
        struct bp_config c;
        float *Q = malloc(n * sizeof *Q);
        assert_non_null(Q);
        struct bp_lq_result result = decompose(&s, "nf3:u4:fp16:16:16", 9, SEED, NULL);
        assert_int_equal(result.iterations, 0);
        assert_int_equal(bp_config_parse("nf3:u4:fp16:16:16", &c, NULL), BP_OK);
        assert_int_equal(bp_scales_init(&scales, n, 16, NULL), BP_OK);
        bp_quantize_scales(s.W, n, &c, &scales);
        bp_quantize_values(s.W, &scales, Q);
        assert_memory_equal(Q, s.Q, n * sizeof *Q);
        assert_true(result.error == bp_weighted_error(s.W, Q, s.F, n));
        bp_scales_done(&scales);
        free(Q);
        done(&s);
    }
}

static void rank_0_runs_in_a_workspace_for_higher_ranks(void **state)
{
    (void)state;
    struct setup s = make(40, 50, 8, true, BP_SVD_RANDOMIZED);
    struct setup plain = make(40, 50, 0, true, BP_SVD_RANDOMIZED);
    s.rank = 0;
    struct bp_lq_result a = decompose(&s, "nf2:u4:fp32:16:16", 5, SEED, NULL);
    struct bp_lq_result b = decompose(&plain, "nf2:u4:fp32:16:16", 5, SEED, NULL);
    assert_true(a.error == b.error);
    assert_memory_equal(s.Q, plain.Q, 40 * 50 * sizeof *s.Q);
    done(&s);
    done(&plain);
}

static void weights_of_one_change_nothing(void **state)
{
    (void)state;
    double plain_trace[30], trace[30];
    struct setup plain = make(60, 44, 6, false, BP_SVD_RANDOMIZED);
    struct setup ones = make(60, 44, 6, true, BP_SVD_RANDOMIZED);
    for (int i = 0; i < 60 * 44; i++)
        ones.F[i] = 1.0f;
    struct bp_lq_result a = decompose(&plain, "nf3:u8:fp32:64:16", 30, SEED, plain_trace);
    struct bp_lq_result b = decompose(&ones, "nf3:u8:fp32:64:16", 30, SEED, trace);
    /* sqrt of a mean of ones is 1: even the roundings are the same. */
    assert_int_equal(a.iterations, b.iterations);
    assert_int_equal(a.best, b.best);
    assert_memory_equal(plain_trace, trace, a.iterations * sizeof *trace);
    done(&plain);
    done(&ones);
}

/* A power of 4 has an exact root: every number is the same but for its exponent. */
static void weights_times_a_power_of_four_scale_the_error_and_nothing_else(void **state)
{
    (void)state;
    static const int powers[] = {-20, 2, 16};
    for (int p = 0; p < 3; p++) {
        const double factor = ldexp(1.0, powers[p]);
        struct setup a = make(50, 70, 6, true, BP_SVD_FULL);
        struct setup b = make(50, 70, 6, true, BP_SVD_FULL);
        for (int i = 0; i < 50 * 70; i++)
            b.F[i] *= (float)factor;
        struct bp_lq_result x = decompose(&a, "nf3:u8:fp32:64:16", 30, SEED, NULL);
        struct bp_lq_result y = decompose(&b, "nf3:u8:fp32:64:16", 30, SEED, NULL);
        assert_int_equal(x.iterations, y.iterations);
        assert_int_equal(x.best, y.best);
        assert_true(near(y.error, factor * x.error, RECOMPUTED_TOLERANCE));
        done(&a);
        done(&b);
    }
}

static void weights_times_any_constant_scale_the_error(void **state)
{
    (void)state;
    static const float factors[] = {3.0f, 0.01f, 1e6f};
    for (int f = 0; f < 3; f++) {
        struct setup a = make(50, 70, 6, true, BP_SVD_RANDOMIZED);
        struct setup b = make(50, 70, 6, true, BP_SVD_RANDOMIZED);
        for (int i = 0; i < 50 * 70; i++)
            b.F[i] *= factors[f];
        struct bp_lq_result x = decompose(&a, "nf3:u8:fp32:64:16", 1, SEED, NULL);
        struct bp_lq_result y = decompose(&b, "nf3:u8:fp32:64:16", 1, SEED, NULL);
        assert_true(near(y.error, (double)factors[f] * x.error, RESCALED_TOLERANCE));
        done(&a);
        done(&b);
    }
}

static void rows_and_columns_without_weight_cost_nothing_and_break_nothing(void **state)
{
    (void)state;
    struct setup s = make(40, 60, 5, true, BP_SVD_RANDOMIZED);
    for (uint64_t i = 0; i < 40; i++)
        for (uint64_t j = 0; j < 60; j++)
            if (i == 0 || i == 7 || j == 3 || j == 59)
                s.F[i * 60 + j] = 0.0f;
    struct bp_lq_result result = decompose(&s, "nf2:u4:fp32:16:16", 20, SEED, NULL);
    assert_true(result.error > 0.0 && isfinite(result.error));
    assert_true(near(recomputed(&s), result.error, RECOMPUTED_TOLERANCE));
    for (int i = 0; i < 40 * 5; i++)
        assert_true(isfinite(s.L1[i]));
    for (int i = 0; i < 60 * 5; i++)
        assert_true(isfinite(s.L2[i]));
    done(&s);
}

static void weights_that_are_all_zero_give_an_error_of_zero(void **state)
{
    (void)state;
    struct setup s = make(20, 30, 3, true, BP_SVD_RANDOMIZED);
    memset(s.F, 0, 20 * 30 * sizeof *s.F);
    struct bp_lq_result result = decompose(&s, "nf3:u4:fp32:16:16", 4, SEED, NULL);
    assert_true(result.error == 0.0);
    assert_int_equal(result.best, 1);
    for (int i = 0; i < 20 * 30; i++)
        assert_true(isfinite(s.Q[i]));
    assert_true(bp_lq_norm(&s.matrix) == 0.0);
    done(&s);
}

static void weights_of_extreme_sizes_give_finite_factors(void **state)
{
    (void)state;
    static const float factors[] = {1e-30f, 1e-42f, 1e30f};
    for (int f = 0; f < 3; f++) {
        struct setup s = make(24, 36, 4, true, BP_SVD_RANDOMIZED);
        for (int i = 0; i < 24 * 36; i++)
            s.F[i] = i % 5 ? s.F[i] * factors[f] : 0.0f;
        struct bp_lq_result result = decompose(&s, "nf4:u8:fp32:16:16", 10, SEED, NULL);
        assert_true(isfinite(result.error) && result.error >= 0.0);
        for (int i = 0; i < 24 * 36; i++)
            assert_true(isfinite(s.Q[i]));
        for (int i = 0; i < 24 * 4; i++)
            assert_true(isfinite(s.L1[i]));
        for (int i = 0; i < 36 * 4; i++)
            assert_true(isfinite(s.L2[i]));
        done(&s);
    }
}

static void a_matrix_of_zeros_has_error_zero(void **state)
{
    (void)state;
    for (int method = 0; method < 2; method++) {
        struct setup s = make(30, 20, 4, false, method ? BP_SVD_FULL : BP_SVD_RANDOMIZED);
        memset(s.W, 0, 30 * 20 * sizeof *s.W);
        struct bp_lq_result result = decompose(&s, "nf3:u4:bf16:16:16", 5, SEED, NULL);
        assert_true(result.error == 0.0);
        assert_int_equal(result.iterations, 5); /* an equal error is no rise */
        assert_int_equal(result.best, 1);
        assert_true(recomputed(&s) == 0.0);
        assert_true(bp_lq_norm(&s.matrix) == 0.0);
        done(&s);
    }
}

static void the_smallest_matrices_decompose(void **state)
{
    (void)state;
    static const struct {
        uint64_t d, k;
    } shapes[] = {{1, 1}, {1, 7}, {7, 1}, {2, 2}, {3, 5}, {1, 33}, {15, 1}};
    for (size_t i = 0; i < 7; i++)
        for (uint32_t rank = 0; rank <= 64; rank = rank ? rank * 8 : 1) {
            struct setup s = make(shapes[i].d, shapes[i].k, rank, i % 2 != 0, BP_SVD_RANDOMIZED);
            struct bp_lq_result result = decompose(&s, "nf4:u8:fp32:64:256", 10, SEED, NULL);
            double norm = bp_lq_norm(&s.matrix);
            assert_true(result.error >= 0.0 && result.error <= norm);
            if (rank >= 8 || (rank && shapes[i].d == 1) || (rank && shapes[i].k == 1))
                assert_true(result.error <= 1e-10 * norm); /* the factors hold all of it: FP32 */
            done(&s);
        }
}

static void a_low_rank_part_lowers_the_error(void **state)
{
    (void)state;
    double last = INFINITY;
    for (uint32_t rank = 0; rank <= 32; rank = rank ? rank * 2 : 2) {
        struct setup s = make(64, 64, rank, false, BP_SVD_FULL);
        struct bp_lq_result result = decompose(&s, "nf2:u8:fp32:64:16", 20, SEED, NULL);
        assert_true(result.error < last);
        last = result.error;
        done(&s);
    }
}

static void name_and_seed_change_the_result_and_a_repeated_call_does_not(void **state)
{
    (void)state;
    struct setup s = make(80, 120, 4, false, BP_SVD_RANDOMIZED);
    const char *config = "nf3:u4:fp16:32:64";
    struct bp_lq_result first = decompose(&s, config, 3, SEED, NULL);
    decompose(&s, "nf2:u2:bf16:16:16", 2, SEED, NULL); /* leaves its traces in the workspace */
    struct bp_lq_result again = decompose(&s, config, 3, SEED, NULL);
    assert_memory_equal(&first.error, &again.error, sizeof first.error);
    struct bp_lq_result seed = decompose(&s, config, 3, SEED + 1, NULL);
    assert_true(seed.error != first.error);
    s.matrix.name = "another matrix";
    struct bp_lq_result name = decompose(&s, config, 3, SEED, NULL);
    assert_true(name.error != first.error);
    done(&s);
}

static void a_workspace_for_larger_matrices_gives_the_same(void **state)
{
    (void)state;
    struct setup s = make(48, 72, 6, true, BP_SVD_RANDOMIZED);
    struct bp_lq_result small = decompose(&s, "nf3:u8:fp32:32:16", 6, SEED, NULL);
    bp_lq_work_free(s.work);
    assert_int_equal(
        bp_lq_work_new(300, 200, 48 * 72 + 99, 40, 1, BP_SVD_RANDOMIZED, &s.work, NULL), BP_OK);
    struct bp_lq_result large = decompose(&s, "nf3:u8:fp32:32:16", 6, SEED, NULL);
    assert_memory_equal(&small.error, &large.error, sizeof small.error);
    done(&s);
}

static void the_error_alone_is_that_with_factors(void **state)
{
    (void)state;
    struct setup s = make(33, 47, 5, true, BP_SVD_RANDOMIZED);
    struct bp_config c;
    struct bp_lq_result alone;
    struct bp_lq_options options = {5, 8, SEED};
    struct bp_lq_factors only_L1 = {NULL, s.L1, NULL};
    assert_int_equal(bp_config_parse("nf2:u3:fp16:16:64", &c, NULL), BP_OK);
    struct bp_lq_result with = decompose(&s, "nf2:u3:fp16:16:64", 8, SEED, NULL);
    assert_int_equal(bp_lq_decompose(s.work, &s.matrix, &c, &options, NULL, NULL, &alone, NULL),
                     BP_OK);
    assert_memory_equal(&with.error, &alone.error, sizeof with.error);
    assert_int_equal(bp_lq_decompose(s.work, &s.matrix, &c, &options, &only_L1, NULL, &alone, NULL),
                     BP_OK);
    assert_memory_equal(&with.error, &alone.error, sizeof with.error);
    done(&s);
}

static void numbers_beyond_fp32_are_a_failure_with_words(void **state)
{
    (void)state;
    struct setup s = make(20, 20, 4, false, BP_SVD_RANDOMIZED);
    struct bp_config c;
    struct bp_err err = {""};
    struct bp_lq_result result;
    struct bp_lq_options options = {4, 3, SEED};
    assert_int_equal(bp_config_parse("nf4:u8:fp32:16:16", &c, NULL), BP_OK);
    for (int i = 0; i < 400; i++)
        s.W[i] = i % 2 ? 3e38f : -3e38f;
    assert_int_equal(bp_lq_decompose(s.work, &s.matrix, &c, &options, NULL, NULL, &result, &err),
                     BP_ERR_FAILED);
    assert_true(err.text[0] != '\0');
    done(&s);
}

static void the_norm_is_the_weighted_sum_of_squares(void **state)
{
    (void)state;
    const float W[6] = {1.0f, -2.0f, 3.0f, 0.5f, 0.0f, -1.0f};
    const float F[6] = {1.0f, 0.5f, 2.0f, 4.0f, 9.0f, 0.0f};
    struct bp_lq_matrix m = {W, NULL, 2, 3, ""};
    assert_true(bp_lq_norm(&m) == 15.25);
    m.F = F;
    assert_true(bp_lq_norm(&m) == 1.0 + 2.0 + 18.0 + 1.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_error_reported_is_that_of_the_factors_handed_over),
        cmocka_unit_test(the_loop_stops_at_the_first_strict_rise_and_keeps_the_least_error),
        cmocka_unit_test(the_cap_of_the_iterations_cuts_the_same_trace),
        cmocka_unit_test(one_iteration_is_the_svd_and_then_the_quantizer),
        cmocka_unit_test(rank_0_is_plain_quantization),
        cmocka_unit_test(rank_0_runs_in_a_workspace_for_higher_ranks),
        cmocka_unit_test(weights_of_one_change_nothing),
        cmocka_unit_test(weights_times_a_power_of_four_scale_the_error_and_nothing_else),
        cmocka_unit_test(weights_times_any_constant_scale_the_error),
        cmocka_unit_test(rows_and_columns_without_weight_cost_nothing_and_break_nothing),
        cmocka_unit_test(weights_that_are_all_zero_give_an_error_of_zero),
        cmocka_unit_test(weights_of_extreme_sizes_give_finite_factors),
        cmocka_unit_test(a_matrix_of_zeros_has_error_zero),
        cmocka_unit_test(the_smallest_matrices_decompose),
        cmocka_unit_test(a_low_rank_part_lowers_the_error),
        cmocka_unit_test(name_and_seed_change_the_result_and_a_repeated_call_does_not),
        cmocka_unit_test(a_workspace_for_larger_matrices_gives_the_same),
        cmocka_unit_test(the_error_alone_is_that_with_factors),
        cmocka_unit_test(numbers_beyond_fp32_are_a_failure_with_words),
        cmocka_unit_test(the_norm_is_the_weighted_sum_of_squares),
    };
    return cmocka_run_group_tests_name("LQ decomposition", tests, NULL, NULL);
}
