/* The CUDA backend beside the CPU's: the same method, so the same errors up to what rounding does
 * to an iteration; what it hands over is checked by recomputing; and each way in which it can be
 * missing is told apart. Where there is no device, a fake driver and the emulated object stand in.
 */
#include "object.h"

#include "engine/backend_cuda.h"
#include "engine/lq_fast.h"
#include "engine/quantize_fast.h"

/* Errors of W itself: what the CPU's fast path may be off. */
static const double PLAIN_TOLERANCE = BP_FAST_TOLERANCE;
/* FP32 products in another order move W - L1 L2 by a few 2^-24 |W|, and with it a few codes on a
 * bound. */
static const double ONE_STEP_TOLERANCE = 1e-3;
/* After three iterations rounding has not grown yet; what is off is the CPU's offset of an iterate
 * before. */
static const double EARLY_TOLERANCE = 0.06;
/* Two whole runs of the iteration that differ in rounding and in the offset within an iteration
 * (the CPU's lags behind): the smaller the matrix, the fewer groups average that out. */
static const double ITERATED_TOLERANCE = 0.12, ITERATED_TOLERANCE_SMALL = 0.25;
/* And on the mean over the configs, the larger ones. */
static const double ITERATED_MEAN_TOLERANCE = 0.03;
/* As in the tests of lq.h: R off by (r + 1) 2^-24 (|W| + |L1||L2|), against |R - Q| >= 0.05 |W|. */
static const double RECOMPUTED_TOLERANCE = 1e-5;

static const char *const CONFIGS[] = {
    "nf2:u2:fp32:64:16", "nf2:u8:bf16:16:64",  "nf3:u4:bf16:32:16",  "nf3:u4:fp32:32:16",
    "nf3:u4:fp16:32:16", "nf4:u8:fp32:64:256", "nf4:u3:bf16:16:256", "nf8:u8:fp32:64:64"};
enum { N_CONFIGS = sizeof CONFIGS / sizeof CONFIGS[0] };
static const uint64_t SEED = 9;

static struct bp_config configs[N_CONFIGS];
static bool on_device;

/* --- setting up --- */

/* The fake driver takes the name libcuda.so.1 in this process, so that it is found by the program's
 * own search. */
static int set_up(void **unused)
{
    struct bp_cuda_look look;
    (void)unused;
    for (int i = 0; i < N_CONFIGS; i++)
        assert_int_equal(bp_config_parse(CONFIGS[i], &configs[i], NULL), BP_OK);
    char *object = object_path("libbitplan_cuemu.so");
    setenv("BITPLAN_CUDA", object, 1);
    free(object);
    on_device = getenv("BP_GPU_OBJECT") != NULL;
    if (!on_device) {
        char *driver = object_path("tests/gpu/libcuda.so.1");
        if (!dlopen(driver, RTLD_NOW | RTLD_GLOBAL))
            fail_msg("%s", dlerror());
        free(driver);
    }
    bp_cuda_look(&look);
    if (!on_device && look.cause != BP_CUDA_USABLE)
        fail_msg("%s", look.reason);
    return 0;
}

static void need_backend(void)
{
    struct bp_cuda_look look;
    bp_cuda_look(&look);
    if (look.cause != BP_CUDA_USABLE) {
        print_message("no device: %s\n", look.reason);
        skip();
    }
}

static void need_fake(void)
{
    if (on_device) {
        print_message("needs the fake driver\n");
        skip();
    }
}

struct pair {
    struct bp_backend cpu, cuda;
    struct bp_lq_matrix matrix;
    float *W, *F;
    uint32_t rank;
};

/* Noise with a low-rank part on top; weights on demand. Both backends loaded. */
static struct pair make(uint64_t d, uint64_t k, uint32_t rank, bool weights)
{
    struct pair p = {.rank = rank};
    struct bp_err err = {""};
    struct support_rng g = {d * 1000 + k};
    const uint64_t n = d * k;
    const struct bp_backend_limits limits = {d, k, n, rank, 16};
    float *u = support_normals(d, 71), *v = support_normals(k, 72);
    p.W = support_normals(n, 70 + d);
    p.F = weights ? malloc(n * sizeof *p.F) : NULL;
    for (uint64_t i = 0; i < n; i++) {
        p.W[i] = 0.02f * (p.W[i] + u[i / k] * v[i % k]);
        if (weights)
            p.F[i] = (float)(exp(support_normal(&g)) * (1.0 + (double)(i / k) / (double)d));
    }
    free(u);
    free(v);
    p.matrix = (struct bp_lq_matrix){p.W, p.F, d, k, "a matrix"};
    if (bp_backend_new(BP_BACKEND_CPU, &limits, 1, &p.cpu, &err) ||
        bp_backend_new(BP_BACKEND_CUDA, &limits, 1, &p.cuda, &err) ||
        bp_backend_load(&p.cpu, &p.matrix, rank, SEED, &err) ||
        bp_backend_load(&p.cuda, &p.matrix, rank, SEED, &err))
        fail_msg("%s", err.text);
    assert_string_equal(p.cuda.name, "cuda");
    return p;
}

static void done(struct pair *p)
{
    bp_backend_free(&p->cpu);
    bp_backend_free(&p->cuda);
    free(p->W);
    free(p->F);
}

static void near(const double *a, const double *b, size_t n, double tolerance, const char *what)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabs(a[i] - b[i]) <= tolerance * b[i]))
            fail_msg("%s, %zu: %.9g on the device, %.9g on the CPU", what, i, a[i], b[i]);
}

/* --- against the CPU's backend --- */

static void near_on_the_mean(const double *a, const double *b, size_t n)
{
    double sum = 0.0;
    for (size_t i = 0; i < n; i++)
        sum += a[i] / b[i];
    if (!(fabs(sum / (double)n - 1.0) <= ITERATED_MEAN_TOLERANCE))
        fail_msg("iterated: %.4f of the CPU's errors on the mean", sum / (double)n);
}

static void compare(struct pair *p, double iterated)
{
    double cuda[N_CONFIGS], cpu[N_CONFIGS];
    uint16_t ran[N_CONFIGS];
    struct bp_err err = {""};
    if (bp_backend_plain(&p->cuda, configs, N_CONFIGS, NULL, cuda, &err) ||
        bp_backend_plain(&p->cpu, configs, N_CONFIGS, NULL, cpu, &err))
        fail_msg("%s", err.text);
    near(cuda, cpu, N_CONFIGS, PLAIN_TOLERANCE, "plain");
    if (bp_backend_one_step(&p->cuda, configs, N_CONFIGS, NULL, cuda, &err) ||
        bp_backend_one_step(&p->cpu, configs, N_CONFIGS, NULL, cpu, &err))
        fail_msg("%s", err.text);
    near(cuda, cpu, N_CONFIGS, ONE_STEP_TOLERANCE, "one step");
    if (bp_backend_iterate(&p->cuda, configs, N_CONFIGS, 3, NULL, cuda, NULL, &err) ||
        bp_backend_iterate(&p->cpu, configs, N_CONFIGS, 3, NULL, cpu, NULL, &err))
        fail_msg("%s", err.text);
    near(cuda, cpu, N_CONFIGS, EARLY_TOLERANCE, "three iterations");
    if (bp_backend_iterate(&p->cuda, configs, N_CONFIGS, 100, NULL, cuda, ran, &err) ||
        bp_backend_iterate(&p->cpu, configs, N_CONFIGS, 100, NULL, cpu, NULL, &err))
        fail_msg("%s", err.text);
    near(cuda, cpu, N_CONFIGS, iterated, "iterated");
    if (iterated == ITERATED_TOLERANCE)
        near_on_the_mean(cuda, cpu, N_CONFIGS);
    for (int i = 0; i < N_CONFIGS; i++)
        assert_int_equal(
            ran[i], p->rank ? bp_lq_fast_iterations(p->matrix.d, p->matrix.k, configs[i].b0) : 0);
}

static void errors_are_those_of_the_cpu(void **unused)
{
    (void)unused;
    need_backend();
    struct pair p = make(160, 144, 8, false);
    compare(&p, ITERATED_TOLERANCE);
    done(&p);
    p = make(65, 131, 5, false);
    compare(&p, ITERATED_TOLERANCE_SMALL);
    done(&p);
}

static void weighted_errors_are_those_of_the_cpu(void **unused)
{
    (void)unused;
    need_backend();
    struct pair p = make(128, 144, 8, true);
    compare(&p, ITERATED_TOLERANCE);
    done(&p);
}

static void ranks_at_the_ends_work(void **unused)
{
    (void)unused;
    need_backend();
    static const uint32_t ranks[] = {0, 1, 23, 24, 100};
    for (size_t i = 0; i < sizeof ranks / sizeof ranks[0]; i++) {
        struct pair p = make(24, 40, ranks[i], false);
        double error[N_CONFIGS], plain[N_CONFIGS];
        struct bp_err err = {""};
        if (bp_backend_iterate(&p.cuda, configs, N_CONFIGS, 3, NULL, error, NULL, &err) ||
            bp_backend_plain(&p.cuda, configs, N_CONFIGS, NULL, plain, &err))
            fail_msg("%s", err.text);
        for (int c = 0; c < N_CONFIGS; c++)
            if (ranks[i] == 0)
                assert_true(error[c] == plain[c]);
            else
                assert_true(error[c] < plain[c]);
        done(&p);
    }
}

/* --- what the contract says --- */

static void one_iteration_is_the_one_step(void **unused)
{
    (void)unused;
    need_backend();
    struct pair p = make(48, 56, 4, true);
    double one[N_CONFIGS], first[N_CONFIGS];
    assert_int_equal(bp_backend_one_step(&p.cuda, configs, N_CONFIGS, NULL, one, NULL), BP_OK);
    assert_int_equal(bp_backend_iterate(&p.cuda, configs, N_CONFIGS, 1, NULL, first, NULL, NULL),
                     BP_OK);
    assert_memory_equal(one, first, sizeof one);
    done(&p);
}

static void company_changes_no_bit(void **unused)
{
    (void)unused;
    need_backend();
    struct pair p = make(48, 56, 4, false);
    double together[N_CONFIGS], alone;
    assert_int_equal(bp_backend_iterate(&p.cuda, configs, N_CONFIGS, 5, NULL, together, NULL, NULL),
                     BP_OK);
    for (int i = N_CONFIGS - 1; i >= 0; i--) {
        assert_int_equal(bp_backend_iterate(&p.cuda, &configs[i], 1, 5, NULL, &alone, NULL, NULL),
                         BP_OK);
        assert_true(alone == together[i]);
    }
    assert_int_equal(bp_backend_plain(&p.cuda, configs, N_CONFIGS, NULL, together, NULL), BP_OK);
    for (int i = 0; i < N_CONFIGS; i++) {
        assert_int_equal(bp_backend_plain(&p.cuda, &configs[i], 1, NULL, &alone, NULL), BP_OK);
        assert_true(alone == together[i]);
    }
    done(&p);
}

static void order_of_threads_changes_no_bit(void **unused)
{
    (void)unused;
    need_fake();
    struct pair p = make(40, 72, 4, true);
    static const char *const orders[] = {"reverse", "random:5"};
    double forward[2], other[2];
    assert_int_equal(bp_backend_iterate(&p.cuda, configs + 1, 2, 4, NULL, forward, NULL, NULL),
                     BP_OK);
    for (int o = 0; o < 2; o++) {
        setenv("BP_CUEMU_ORDER", orders[o], 1);
        assert_int_equal(bp_backend_iterate(&p.cuda, configs + 1, 2, 4, NULL, other, NULL, NULL),
                         BP_OK);
        unsetenv("BP_CUEMU_ORDER");
        assert_memory_equal(forward, other, sizeof forward);
    }
    done(&p);
}

/* sum F (W - Q - L1 L2)^2 in double. */
static double recomputed(const struct pair *p, const float *Q, const float *L1, const float *L2,
                         uint32_t r)
{
    const struct bp_lq_matrix *m = &p->matrix;
    double sum = 0.0;
    for (uint64_t i = 0; i < m->d; i++)
        for (uint64_t j = 0; j < m->k; j++) {
            double e = (double)m->W[i * m->k + j] - Q[i * m->k + j];
            for (uint32_t l = 0; l < r; l++)
                e -= (double)L1[i * r + l] * L2[l * m->k + j];
            sum += (m->F ? m->F[i * m->k + j] : 1.0) * e * e;
        }
    return sum;
}

static void the_parts_are_what_was_measured(void **unused)
{
    (void)unused;
    need_backend();
    for (int weights = 0; weights < 2; weights++) {
        struct pair p = make(50, 66, 5, weights);
        float *Q = malloc(50 * 66 * sizeof *Q), L1[50 * 5], L2[5 * 66];
        for (int c = 0; c < N_CONFIGS; c++) {
            struct bp_err err = {""};
            struct bp_lq_result result;
            double error = 0.0;
            const struct bp_lq_factors parts = {Q, L1, L2};
            if (bp_backend_decompose(&p.cuda, &configs[c], 6, &parts, &result, &err) ||
                bp_backend_iterate(&p.cuda, &configs[c], 1, 6, NULL, &error, NULL, &err))
                fail_msg("%s", err.text);
            assert_true(result.error == error);
            assert_in_range(result.best, 1, result.iterations);
            const double again = recomputed(&p, Q, L1, L2, 5);
            near(&again, &error, 1, RECOMPUTED_TOLERANCE, "recomputed");
        }
        free(Q);
        done(&p);
    }
}

static void count(void *ctx, size_t n)
{
    *(size_t *)ctx = n;
}

static void a_call_can_be_followed_and_stopped(void **unused)
{
    (void)unused;
    need_backend();
    struct pair p = make(32, 48, 4, false);
    atomic_bool stop = false;
    size_t finished = 0;
    double error[N_CONFIGS];
    const struct bp_backend_watch watch = {&stop, count, &finished};
    assert_int_equal(bp_backend_iterate(&p.cuda, configs, N_CONFIGS, 2, &watch, error, NULL, NULL),
                     BP_OK);
    assert_int_equal(finished, N_CONFIGS);
    assert_int_equal(bp_backend_plain(&p.cuda, configs, N_CONFIGS - 1, &watch, error, NULL), BP_OK);
    assert_int_equal(finished, N_CONFIGS - 1);
    stop = true;
    assert_int_equal(bp_backend_iterate(&p.cuda, configs, N_CONFIGS, 2, &watch, error, NULL, NULL),
                     BP_STOPPED);
    assert_int_equal(bp_backend_plain(&p.cuda, configs, N_CONFIGS, &watch, error, NULL),
                     BP_STOPPED);
    done(&p);
}

static void numbers_out_of_range_are_an_error(void **unused)
{
    (void)unused;
    need_backend();
    struct pair p = make(16, 16, 2, false);
    struct bp_err err = {""};
    double error;
    for (int i = 0; i < 256; i++)
        p.W[i] *= 1e30f;
    for (int i = 0; i < 256; i++)
        p.W[i] = p.W[i] * 1e8f > 0.0f ? 3e38f : -3e38f;
    if (bp_backend_load(&p.cuda, &p.matrix, 2, SEED, &err) == BP_OK)
        assert_int_equal(bp_backend_iterate(&p.cuda, configs, 1, 2, NULL, &error, NULL, &err),
                         BP_ERR_FAILED);
    support_says(err.text, "cuda: |range of numbers");
    done(&p);
}

static void a_zero_matrix_has_no_error(void **unused)
{
    (void)unused;
    need_backend();
    struct pair p = make(16, 32, 2, false);
    double error[N_CONFIGS];
    memset(p.W, 0, 16 * 32 * sizeof *p.W);
    assert_int_equal(bp_backend_load(&p.cuda, &p.matrix, 2, SEED, NULL), BP_OK);
    assert_int_equal(bp_backend_iterate(&p.cuda, configs, N_CONFIGS, 3, NULL, error, NULL, NULL),
                     BP_OK);
    for (int i = 0; i < N_CONFIGS; i++)
        assert_true(error[i] == 0.0);
    done(&p);
}

/* --- memory --- */

static void fewer_lanes_where_memory_is_short_give_the_same(void **unused)
{
    (void)unused;
    need_fake();
    struct pair p = make(40, 64, 4, false);
    const struct bp_backend_limits limits = {40, 64, 40 * 64, 4, 16};
    double roomy[N_CONFIGS], tight[N_CONFIGS];
    struct bp_backend small;
    struct bp_err err = {""};
    assert_int_equal(bp_backend_iterate(&p.cuda, configs, N_CONFIGS, 4, NULL, roomy, NULL, NULL),
                     BP_OK);
    bp_backend_free(&p.cuda);
    setenv("BP_CUEMU_BYTES", "400000", 1);
    if (bp_backend_new(BP_BACKEND_CUDA, &limits, 1, &small, &err) ||
        bp_backend_load(&small, &p.matrix, 4, SEED, &err) ||
        bp_backend_iterate(&small, configs, N_CONFIGS, 4, NULL, tight, NULL, &err))
        fail_msg("%s", err.text);
    bp_backend_free(&small);
    assert_memory_equal(roomy, tight, sizeof roomy);
    setenv("BP_CUEMU_BYTES", "100000", 1);
    assert_int_equal(bp_backend_new(BP_BACKEND_CUDA, &limits, 1, &small, &err), BP_ERR_FAILED);
    support_says(err.text, "cuda: a matrix of 2560 elements needs |GiB are free");
    unsetenv("BP_CUEMU_BYTES");
    done(&p);
}

/* --- absence --- */

static void absent(enum bp_cuda_cause cause, bool half_working, const char *words)
{
    struct bp_cuda_look look;
    struct bp_backend backend;
    struct bp_err err = {""}, why = {"?"};
    const struct bp_backend_limits limits = {16, 16, 256, 2, 16};
    bp_cuda_look(&look);
    support_says(look.reason, words);
    assert_int_equal(look.cause, cause);
    assert_int_equal(bp_cuda_half_working(&look), half_working);
    assert_int_equal(bp_backend_auto(&why), BP_BACKEND_CPU);
    assert_string_equal(why.text, half_working ? look.reason : "");
    assert_int_equal(bp_backend_new(BP_BACKEND_CUDA, &limits, 1, &backend, &err), BP_ERR_FAILED);
    support_says(err.text, words);
    assert_int_equal(bp_backend_new(BP_BACKEND_AUTO, &limits, 1, &backend, &err), BP_OK);
    assert_string_equal(backend.name, "cpu");
    bp_backend_free(&backend);
}

static void each_cause_of_absence_is_told(void **unused)
{
    (void)unused;
    need_fake();
    setenv("FAKE_CUDA_INIT", "100", 1);
    absent(BP_CUDA_NO_DEVICE, false, "the NVIDIA driver sees no device");
    setenv("FAKE_CUDA_INIT", "34", 1); /* what the toolkit's stub of the driver says */
    absent(BP_CUDA_DRIVER_FAILS, true, "driver does not start (cuInit says 34)");
    unsetenv("FAKE_CUDA_INIT");
    setenv("FAKE_CUDA_DEVICES", "0", 1);
    absent(BP_CUDA_NO_DEVICE, false, "sees no device");
    unsetenv("FAKE_CUDA_DEVICES");

    char *emulated = bp_strdup(getenv("BITPLAN_CUDA"));
    setenv("BITPLAN_CUDA", "/nowhere/libbitplan_cuda.so", 1);
    absent(BP_CUDA_NOT_BUILT, true, "BITPLAN_CUDA: there is no /nowhere/libbitplan_cuda.so");
    unsetenv("BITPLAN_CUDA");
    absent(
        BP_CUDA_NOT_BUILT, true,
        "built without CUDA: there is no libbitplan_cuda.so in |tests/gpu or its ../lib/bitplan");
    char *other = object_path("tests/gpu/fake_other.so"),
         *lacking = object_path("tests/gpu/fake_lacking.so");
    setenv("BITPLAN_CUDA", other, 1);
    absent(BP_CUDA_OTHER_VERSION, true, "fake_other.so belongs to another version of bitplan");
    setenv("BITPLAN_CUDA", lacking, 1);
    absent(BP_CUDA_NO_LIBRARY, true, "libbp_no_such.so.1: cannot open shared object file");
    setenv("BITPLAN_CUDA", emulated, 1);
    setenv("BP_CUEMU_DEVICES", "0", 1);
    absent(BP_CUDA_UNFIT, true, "no CUDA-capable device is detected");
    unsetenv("BP_CUEMU_DEVICES");
    free(emulated);
    free(other);
    free(lacking);
}

static void auto_takes_a_device_that_works(void **unused)
{
    (void)unused;
    need_backend();
    struct bp_err why = {"?"};
    struct bp_cuda_look look;
    assert_int_equal(bp_backend_auto(&why), BP_BACKEND_CUDA);
    assert_string_equal(why.text, "");
    bp_cuda_look(&look);
    assert_true(look.device[0] && look.major >= 8 && look.bytes > 0 &&
                look.bytes_free <= look.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(errors_are_those_of_the_cpu),
        cmocka_unit_test(weighted_errors_are_those_of_the_cpu),
        cmocka_unit_test(ranks_at_the_ends_work),
        cmocka_unit_test(one_iteration_is_the_one_step),
        cmocka_unit_test(company_changes_no_bit),
        cmocka_unit_test(order_of_threads_changes_no_bit),
        cmocka_unit_test(the_parts_are_what_was_measured),
        cmocka_unit_test(a_call_can_be_followed_and_stopped),
        cmocka_unit_test(numbers_out_of_range_are_an_error),
        cmocka_unit_test(a_zero_matrix_has_no_error),
        cmocka_unit_test(fewer_lanes_where_memory_is_short_give_the_same),
        cmocka_unit_test(each_cause_of_absence_is_told),
        cmocka_unit_test(auto_takes_a_device_that_works),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
