/* The fast decomposition and the CPU's backend around it: against the reference procedure within
 * its noise, against an independent recomputation of what it hands over, bit for bit against itself
 * whatever the threads and the company. */
#include "support.h"

#include "engine/backend.h"
#include "engine/lq_fast.h"
#include "engine/one_step.h"

/* The reference's own answers differ by this much from one seed to the next on small matrices (its
 * stop flips on rounding), so the fast one may be off that far on the bad side. */
static const double NOISE_OF_ONE = 0.12;
/* Over many configs its noise averages out, and so must the difference on the bad side. */
static const double NOISE_OF_THE_MEAN = 0.02;
/* On the good side there is no such bound: over-relaxed iterations find better minima than those at
 * which the reference stops. A sum that left something out would be off by more than this. */
static const double BETTER_AT_MOST = 0.4;
/* Products in BF16 turn a few codes that were on a tie, after which trajectories differ as they do
 * for another seed. */
static const double BF16_OF_ONE = 0.12, BF16_OF_THE_MEAN = 0.02;
/* As for the reference (test_lq.c): R = W - L1 L2 in FP32 against double. Eight bits leave a
 * remainder of 0.003 |W| instead of 0.05 |W|. */
static const double RECOMPUTED_TOLERANCE = 1e-5, RECOMPUTED_8_BITS_TOLERANCE = 1e-3;

static const uint64_t SEED = 5;

struct setup {
    struct bp_lq_matrix matrix;
    float *W, *F, *Q, *L1, *L2;
    uint32_t rank, r;
    struct bp_lq_start *start;
    struct bp_lq_fast_work *work;
};

/* Noise with a low-rank part on top and one larger column, as in test_lq.c; weights on demand. */
static struct setup make(uint64_t d, uint64_t k, uint32_t rank, bool weights)
{
    struct setup s = {.rank = rank, .r = bp_svd_rank(d, k, rank)};
    struct bp_err err = {""};
    struct support_rng g = {d * 1000 + k};
    const uint64_t n = d * k;
    float *u = support_normals(d * 3, 71), *v = support_normals(k * 3, 72);
    s.W = support_normals(n, 70 + d);
    s.F = weights ? malloc(n * sizeof *s.F) : NULL;
    for (uint64_t i = 0; i < n; i++) {
        for (uint64_t t = 0; t < 3; t++)
            s.W[i] += u[i / k * 3 + t] * v[i % k * 3 + t] / (float)(t + 1);
        s.W[i] *= 0.02f * (i % k == 1 ? 4.0f : 1.0f);
        if (weights)
            s.F[i] = (float)(exp(support_normal(&g)) * (1.0 + (double)(i / k) / (double)d));
    }
    free(u);
    free(v);
    s.Q = malloc(n * sizeof *s.Q);
    s.L1 = malloc((d * s.r + 1) * sizeof *s.L1);
    s.L2 = malloc((k * s.r + 1) * sizeof *s.L2);
    assert_true(s.Q && s.L1 && s.L2);
    s.matrix = (struct bp_lq_matrix){s.W, s.F, d, k, "a matrix"};
    bp_blas_single_thread();
    if (bp_lq_start_new(d, k, rank, &s.start, &err) ||
        bp_lq_fast_work_new(d, k, rank, &s.work, &err) ||
        bp_lq_start_make(s.start, &s.matrix, rank, SEED, 1, &err))
        fail_msg("%s", err.text);
    return s;
}

static void done(struct setup *s)
{
    bp_lq_start_free(s->start);
    bp_lq_fast_work_free(s->work);
    free(s->W);
    free(s->F);
    free(s->Q);
    free(s->L1);
    free(s->L2);
}

static struct bp_config config_of(const char *text)
{
    struct bp_config c;
    assert_int_equal(bp_config_parse(text, &c, NULL), BP_OK);
    return c;
}

static struct bp_lq_result decompose(struct setup *s, const char *config, uint32_t iterations,
                                     bool portable)
{
    const struct bp_config c = config_of(config);
    const struct bp_lq_fast_options options = {.max_iterations = iterations, .portable = portable};
    const struct bp_lq_factors factors = {s->Q, s->L1, s->L2};
    struct bp_lq_result result;
    struct bp_err err = {""};
    if (bp_lq_fast_decompose(s->work, s->start, &c, 1, &options, &factors, &result, &err))
        fail_msg("%s", err.text);
    return result;
}

static double reference(struct setup *s, const char *config)
{
    const struct bp_config c = config_of(config);
    const struct bp_lq_options options = {s->rank, BP_LQ_MAX_ITERATIONS, SEED};
    struct bp_lq_result result;
    struct bp_lq_work *work;
    struct bp_err err = {""};
    if (bp_lq_work_new(s->matrix.d, s->matrix.k, s->matrix.d * s->matrix.k, s->rank, 16,
                       BP_SVD_RANDOMIZED, &work, &err) ||
        bp_lq_decompose(work, &s->matrix, &c, &options, NULL, NULL, &result, &err))
        fail_msg("%s", err.text);
    bp_lq_work_free(work);
    return result.error;
}

/* The error of the parts handed over, in double. */
static double recomputed(const struct setup *s)
{
    const uint64_t d = s->matrix.d, k = s->matrix.k;
    double total = 0.0;
    for (uint64_t i = 0; i < d; i++)
        for (uint64_t j = 0; j < k; j++) {
            double e = (double)s->W[i * k + j] - (double)s->Q[i * k + j];
            for (uint32_t t = 0; t < s->r; t++)
                e -= (double)s->L1[i * s->r + t] * (double)s->L2[t * k + j];
            total += (s->F ? (double)s->F[i * k + j] : 1.0) * e * e;
        }
    return total;
}

static bool near(double a, double b, double tolerance)
{
    return fabs(a - b) <= tolerance * fabs(b);
}

static const struct {
    uint64_t d, k;
    uint32_t rank;
} shapes[] = {{128, 128, 8}, {64, 128, 16}, {100, 200, 5}, {96, 40, 8}, {192, 256, 16}};
enum { N_SHAPES = sizeof shapes / sizeof shapes[0] };

static const char *const configs[] = {
    "nf2:u4:bf16:64:64", "nf2:u8:fp32:16:16", "nf3:u8:fp32:64:256", "nf3:u2:fp16:16:64",
    "nf4:u4:fp32:32:16", "nf4:u8:bf16:64:64", "nf8:u8:fp32:32:256"};
enum { N_CONFIGS = sizeof configs / sizeof configs[0] };

/* --- how good --- */

static void errors_are_the_references_within_its_noise(void **state)
{
    (void)state;
    double mean = 0.0;
    int n = 0;
    for (int i = 0; i < N_SHAPES; i++)
        for (int weights = 0; weights < 2; weights++) {
            struct setup s = make(shapes[i].d, shapes[i].k, shapes[i].rank, weights != 0);
            for (int c = i % 2; c < N_CONFIGS; c += 2) {
                double difference =
                    decompose(&s, configs[c], 100, false).error / reference(&s, configs[c]) - 1.0;
                if (difference > NOISE_OF_ONE || difference < -BETTER_AT_MOST)
                    fail_msg("%s, shape %d, weights %d: off by %g", configs[c], i, weights,
                             difference);
                mean += difference;
                n++;
            }
            done(&s);
        }
    if (mean / n > NOISE_OF_THE_MEAN)
        fail_msg("off by %g in the mean of %d", mean / n, n);
}

static void bf16_products_lead_to_errors_as_good_as_fp32s(void **state)
{
    (void)state;
    double mean = 0.0;
    int n = 0;
    for (int weights = 0; weights < 2; weights++)
        for (int i = 0; i < 3; i++) {
            struct setup s = make(96 + 32 * (uint64_t)i, 160, 12 + 7 * (uint32_t)i, weights != 0);
            for (int c = 0; c < N_CONFIGS; c++, n++) {
                double fast = decompose(&s, configs[c], 100, false).error;
                double portable = decompose(&s, configs[c], 100, true).error;
                if (!near(fast, portable, BF16_OF_ONE))
                    fail_msg("%s, matrix %d: %g, not %g", configs[c], i, fast, portable);
                mean += fast / portable - 1.0;
            }
            done(&s);
        }
    assert_true(fabs(mean / n) < BF16_OF_THE_MEAN);
}

static void no_result_is_worse_than_one_step(void **state)
{
    (void)state;
    for (int i = 0; i < N_SHAPES; i++) {
        struct setup s = make(shapes[i].d, shapes[i].k, shapes[i].rank, i % 2 == 1);
        for (int c = 0; c < N_CONFIGS; c++) {
            struct bp_lq_result one = decompose(&s, configs[c], 1, false);
            assert_int_equal(one.iterations, 1);
            assert_int_equal(one.best, 1);
            for (uint32_t t = 2; t < 5; t++) {
                struct bp_lq_result some = decompose(&s, configs[c], t, i % 2 == 0);
                assert_true(some.error <= one.error);
                assert_true(some.iterations <= t && some.best >= 1 && some.best <= t);
            }
        }
        done(&s);
    }
}

/* --- what is handed over --- */

static void the_error_reported_is_that_of_the_parts_handed_over(void **state)
{
    (void)state;
    for (int i = 0; i < N_SHAPES; i++)
        for (int weights = 0; weights < 2; weights++) {
            struct setup s = make(shapes[i].d, shapes[i].k, shapes[i].rank, weights != 0);
            for (int c = 0; c < N_CONFIGS; c++) {
                struct bp_lq_result result = decompose(&s, configs[c], 100, false);
                double tolerance = config_of(configs[c]).b0 == 8 ? RECOMPUTED_8_BITS_TOLERANCE
                                                                 : RECOMPUTED_TOLERANCE;
                if (!near(recomputed(&s), result.error, tolerance))
                    fail_msg("%s, shape %d: %.9g, not %.9g", configs[c], i, recomputed(&s),
                             result.error);
            }
            done(&s);
        }
}

static void the_low_rank_parts_are_balanced(void **state)
{
    (void)state;
    struct setup s = make(100, 224, 8, false);
    decompose(&s, "nf3:u4:fp32:32:16", 100, false);
    for (uint32_t t = 0; t < s.r; t++) {
        double one = 0.0, two = 0.0;
        for (uint64_t i = 0; i < s.matrix.d; i++)
            one += (double)s.L1[i * s.r + t] * (double)s.L1[i * s.r + t];
        for (uint64_t i = 0; i < s.matrix.k; i++)
            two += (double)s.L2[t * s.matrix.k + i] * (double)s.L2[t * s.matrix.k + i];
        assert_true(near(one, two, 1e-3));
    }
    done(&s);
}

/* --- special matrices and ranks --- */

static void set_all(struct setup *s, float value)
{
    struct bp_err err = {""};
    for (uint64_t i = 0; i < s->matrix.d * s->matrix.k; i++)
        s->W[i] = value;
    if (bp_lq_start_make(s->start, &s->matrix, s->rank, SEED, 1, &err))
        fail_msg("%s", err.text);
}

static void a_matrix_of_zeros_has_error_zero_and_one_of_a_constant_next_to_none(void **state)
{
    (void)state;
    for (int weights = 0; weights < 2; weights++) {
        struct setup s = make(64, 96, 8, weights != 0);
        for (int c = 0; c < N_CONFIGS; c++) {
            set_all(&s, 0.0f);
            assert_true(decompose(&s, configs[c], 100, false).error == 0.0);
            assert_true(recomputed(&s) == 0.0);
            set_all(&s, 0.25f);
            double error = decompose(&s, configs[c], 100, false).error;
            assert_true(error >= 0.0 && error < 1e-9 * bp_lq_norm(&s.matrix));
        }
        done(&s);
    }
}

/* Columns of the iterate that hold nothing shrink with every step, until scaling them up left FP32
 * and the whole run with it. */
static void a_matrix_that_its_low_rank_part_fits_ends_the_iteration_early_and_well(void **state)
{
    (void)state;
    static const uint32_t ranks[] = {1, 4, 16};
    for (int i = 0; i < 3; i++) {
        struct setup s = make(32, 64, ranks[i], false);
        set_all(&s, 0.5f);
        for (int c = 0; c < N_CONFIGS; c++)
            for (int portable = 0; portable < 2; portable++) {
                double error = decompose(&s, configs[c], 100, portable != 0).error;
                assert_true(error >= 0.0 && error < 1e-9 * bp_lq_norm(&s.matrix));
                assert_true(recomputed(&s) < 1e-9 * bp_lq_norm(&s.matrix));
            }
        done(&s);
    }
}

static void numbers_of_extreme_sizes_end_in_finite_parts(void **state)
{
    (void)state;
    static const float sizes[] = {1e-30f, 1e-16f, 1e16f, 1e17f, 1e25f};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct setup s = make(64, 96, 8, false);
        struct bp_err err = {""};
        for (uint64_t e = 0; e < 64 * 96; e++)
            s.W[e] *= sizes[i];
        assert_int_equal(bp_lq_start_make(s.start, &s.matrix, 8, SEED, 1, &err), BP_OK);
        struct bp_lq_result result = decompose(&s, "nf4:u8:fp32:32:16", 100, false);
        assert_true(isfinite(result.error) && result.error < bp_lq_norm(&s.matrix));
        assert_true(isfinite(recomputed(&s)));
        done(&s);
    }
}

static void ranks_at_and_beyond_the_short_side_leave_nothing(void **state)
{
    (void)state;
    static const uint64_t small[][2] = {{1, 1}, {1, 40}, {40, 1}, {5, 64}, {33, 17}};
    for (size_t i = 0; i < sizeof small / sizeof small[0]; i++) {
        struct setup s = make(small[i][0], small[i][1], 64, i % 2 == 1);
        for (int c = 0; c < N_CONFIGS; c++) {
            double error = decompose(&s, configs[c], 100, false).error;
            assert_true(error >= 0.0 && error <= 1e-9 * bp_lq_norm(&s.matrix));
            assert_true(recomputed(&s) <= 1e-9 * bp_lq_norm(&s.matrix));
        }
        done(&s);
    }
}

static void groups_larger_than_the_matrix_are_one_group(void **state)
{
    (void)state;
    struct setup s = make(40, 64, 4, false);
    struct bp_lq_result a = decompose(&s, "nf3:u4:fp32:64:40", 100, false);
    struct bp_lq_result b = decompose(&s, "nf3:u4:fp32:64:65536", 100, false);
    assert_true(a.error == b.error);
    done(&s);
}

static void weights_of_zero_cost_nothing_and_break_nothing(void **state)
{
    (void)state;
    struct setup s = make(64, 96, 8, true);
    struct bp_err err = {""};
    for (uint64_t e = 0; e < 64 * 96; e++)
        s.F[e] *= e / 96 != 3 && e % 96 != 7;
    assert_int_equal(bp_lq_start_make(s.start, &s.matrix, 8, SEED, 1, &err), BP_OK);
    struct bp_lq_result result = decompose(&s, "nf3:u4:fp32:32:16", 100, false);
    assert_true(result.error > 0.0 && near(recomputed(&s), result.error, RECOMPUTED_TOLERANCE));
    done(&s);
}

static void a_call_that_is_told_to_stop_does(void **state)
{
    (void)state;
    struct setup s = make(64, 96, 8, false);
    atomic_bool stop = true;
    const struct bp_config c = config_of("nf3:u4:fp32:32:16");
    const struct bp_lq_fast_options options = {.max_iterations = 100, .stop = &stop};
    struct bp_lq_result result;
    assert_int_equal(bp_lq_fast_decompose(s.work, s.start, &c, 1, &options, NULL, &result, NULL),
                     BP_STOPPED);
    done(&s);
}

/* --- the backend --- */

static struct bp_backend backend_for(const struct setup *s, unsigned threads)
{
    /* Larger than the matrix: workspaces serve many. */
    const struct bp_backend_limits limits = {s->matrix.d + 7, s->matrix.k + 9,
                                             s->matrix.d * s->matrix.k + 500, s->rank + 3, 16};
    struct bp_backend backend;
    struct bp_err err = {""};
    if (bp_backend_cpu_new(&limits, threads, &backend, &err) ||
        bp_backend_load(&backend, &s->matrix, s->rank, SEED, &err))
        fail_msg("%s", err.text);
    return backend;
}

enum { N_GRID = 54 };

static void iterate(struct bp_backend *backend, const struct bp_grid *grid, uint32_t iterations,
                    double *error, uint16_t *ran)
{
    struct bp_err err = {""};
    if (bp_backend_iterate(backend, grid->configs, grid->n, iterations, NULL, error, ran, &err))
        fail_msg("%s", err.text);
}

static void results_are_the_same_whatever_the_threads_and_the_company(void **state)
{
    (void)state;
    struct setup s = make(100, 224, 12, true);
    struct bp_grid grid;
    double together[N_GRID], threaded[N_GRID], alone;
    uint16_t ran[N_GRID], ran_threaded[N_GRID], ran_alone;
    assert_int_equal(bp_grid_parse("b0=2,3,4:b1=2,4:b2=bf16,fp16,fp32:B0=16,64:B1=16", &grid, NULL),
                     BP_OK);
    grid.n = grid.n < N_GRID ? grid.n : N_GRID;
    struct bp_backend one = backend_for(&s, 1), three = backend_for(&s, 3);
    iterate(&one, &grid, 100, together, ran);
    iterate(&three, &grid, 100, threaded, ran_threaded);
    for (size_t i = 0; i < grid.n; i++) {
        assert_true(together[i] == threaded[i] && ran[i] == ran_threaded[i]);
        const struct bp_grid single = {&grid.configs[grid.n - 1 - i], 1};
        iterate(&one, &single, 100, &alone, &ran_alone);
        assert_true(alone == together[grid.n - 1 - i] && ran_alone == ran[grid.n - 1 - i]);
    }
    for (size_t i = 0; i < grid.n; i += 5) {
        struct bp_lq_result result;
        const struct bp_lq_factors factors = {s.Q, s.L1, s.L2};
        assert_int_equal(
            bp_backend_decompose(&three, &grid.configs[i], 100, &factors, &result, NULL), BP_OK);
        assert_true(result.error == together[i] && result.iterations == ran[i]);
        assert_true(near(recomputed(&s), result.error, RECOMPUTED_TOLERANCE));
    }
    bp_backend_free(&one);
    bp_backend_free(&three);
    bp_grid_done(&grid);
    done(&s);
}

static void one_iteration_is_the_one_step_and_rank_0_plain_quantization(void **state)
{
    (void)state;
    for (uint32_t rank = 0; rank <= 8; rank += 8) {
        struct setup s = make(72, 100, rank, false);
        struct bp_grid grid;
        double error[N_GRID], other[N_GRID];
        uint16_t ran[N_GRID];
        assert_int_equal(bp_grid_parse("b0=2,4,8:b1=4:b2=bf16,fp32:B0=16,64:B1=16", &grid, NULL),
                         BP_OK);
        struct bp_backend backend = backend_for(&s, 2);
        iterate(&backend, &grid, rank ? 1 : 100, error, ran);
        assert_int_equal((rank ? bp_backend_one_step : bp_backend_plain)(&backend, grid.configs,
                                                                         grid.n, NULL, other, NULL),
                         BP_OK);
        for (size_t i = 0; i < grid.n; i++) {
            struct bp_lq_result result;
            const struct bp_lq_factors factors = {s.Q, s.L1, s.L2};
            assert_true(error[i] == other[i]);
            assert_int_equal(ran[i], rank ? 1 : 0);
            assert_int_equal(
                bp_backend_decompose(&backend, &grid.configs[i], 1, &factors, &result, NULL),
                BP_OK);
            assert_true(result.error == error[i] && result.iterations == ran[i]);
        }
        bp_backend_free(&backend);
        bp_grid_done(&grid);
        done(&s);
    }
}

static void note(void *ctx, size_t n)
{
    size_t *seen = ctx;
    assert_true(n > *seen);
    *seen = n;
}

static void progress_counts_configs_and_a_stop_ends_the_call(void **state)
{
    (void)state;
    struct setup s = make(72, 100, 4, false);
    struct bp_grid grid;
    double error[N_GRID];
    size_t seen = 0;
    atomic_bool stop = false;
    const struct bp_backend_watch watch = {&stop, note, &seen};
    assert_int_equal(bp_grid_parse("b0=2,3:b1=4:b2=bf16,fp32:B0=16,64:B1=16", &grid, NULL), BP_OK);
    struct bp_backend backend = backend_for(&s, 1);
    assert_int_equal(
        bp_backend_iterate(&backend, grid.configs, grid.n, 100, &watch, error, NULL, NULL), BP_OK);
    assert_int_equal(seen, grid.n);
    stop = true;
    assert_int_equal(
        bp_backend_iterate(&backend, grid.configs, grid.n, 100, &watch, error, NULL, NULL),
        BP_STOPPED);
    bp_backend_free(&backend);
    bp_grid_done(&grid);
    done(&s);
}

static void name_and_seed_alone_change_the_start(void **state)
{
    (void)state;
    struct setup s = make(96, 128, 8, false);
    struct bp_err err = {""};
    double first = decompose(&s, "nf2:u4:fp32:64:16", 100, false).error;
    assert_int_equal(bp_lq_start_make(s.start, &s.matrix, 8, SEED + 1, 1, &err), BP_OK);
    assert_true(decompose(&s, "nf2:u4:fp32:64:16", 100, false).error != first);
    assert_int_equal(bp_lq_start_make(s.start, &s.matrix, 8, SEED, 1, &err), BP_OK);
    assert_true(decompose(&s, "nf2:u4:fp32:64:16", 100, false).error == first);
    done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_are_the_references_within_its_noise),
        cmocka_unit_test(bf16_products_lead_to_errors_as_good_as_fp32s),
        cmocka_unit_test(no_result_is_worse_than_one_step),
        cmocka_unit_test(the_error_reported_is_that_of_the_parts_handed_over),
        cmocka_unit_test(the_low_rank_parts_are_balanced),
        cmocka_unit_test(a_matrix_of_zeros_has_error_zero_and_one_of_a_constant_next_to_none),
        cmocka_unit_test(a_matrix_that_its_low_rank_part_fits_ends_the_iteration_early_and_well),
        cmocka_unit_test(numbers_of_extreme_sizes_end_in_finite_parts),
        cmocka_unit_test(ranks_at_and_beyond_the_short_side_leave_nothing),
        cmocka_unit_test(groups_larger_than_the_matrix_are_one_group),
        cmocka_unit_test(weights_of_zero_cost_nothing_and_break_nothing),
        cmocka_unit_test(a_call_that_is_told_to_stop_does),
        cmocka_unit_test(results_are_the_same_whatever_the_threads_and_the_company),
        cmocka_unit_test(one_iteration_is_the_one_step_and_rank_0_plain_quantization),
        cmocka_unit_test(progress_counts_configs_and_a_stop_ends_the_call),
        cmocka_unit_test(name_and_seed_alone_change_the_start),
    };
    return cmocka_run_group_tests_name("fast LQ decomposition", tests, NULL, NULL);
}
