/* The decomposition against the authors' procedure, run with exact factorizations on the shared
 * 128 x 128 matrix at rank 8, with and without Fisher weights. Skips without the golden values. */
#include <math.h>

#include "engine/config.h"
#include "engine/lq.h"
#include "fixture.h"

enum { SIDE = 128, RANK = 8, TRACE = 100 };

/* All relative. The stop rule flips on rounding, hence the last two. */
static const double ONE_STEP_FULL_SVD = 1e-4;
static const double FIRST_ITERATION = 5e-4;
static const double SECOND_AND_THIRD = 5e-3;
static const double FINAL_MEAN = 0.02;
static const double FINAL_WORST = 0.12;

/* The fixture's spectrum is flat at the cut (singular values 0.462 and 0.448), so the authors'
 * randomized SVD captures 97 to 98 % of what the full one does, and one step of it lies 0.4 to 1.9
 * % above the golden errors in the mean over the configs and up to 10 % off in one (four seeds of
 * an independent NumPy version of svd_lowrank on this matrix). */
static const double SKETCH_MEAN = 0.025;
static const double SKETCH_WORST = 0.12;

static struct bp_grid paper;

static int load(void **state)
{
    (void)state;
    bp_blas_single_thread();
    if (bp_grid_parse("paper", &paper, NULL) != BP_OK)
        return -1;
    fixture_load();
    return 0;
}

static int unload(void **state)
{
    (void)state;
    bp_grid_done(&paper);
    fixture_free();
    return 0;
}

static struct bp_lq_matrix golden_matrix(bool fisher)
{
    return (struct bp_lq_matrix){W, fisher ? F : NULL, SIDE, SIDE, "a"};
}

struct deviation {
    double mean; /* signed */
    double worst;
};

static struct deviation one_step_deviation(enum bp_svd_method method, bool fisher)
{
    double *golden = npy_load(fisher ? "a_lq8_fisher_onestep243" : "a_lq8_onestep243", NULL);
    struct bp_lq_matrix m = golden_matrix(fisher);
    struct bp_lq_options options = {.rank = RANK, .iterations = 1, .seed = 1};
    struct bp_lq_result result;
    struct bp_lq_work *work;
    struct deviation dev = {0.0, 0.0};
    assert_int_equal(bp_lq_work_new(SIDE, SIDE, SIDE * SIDE, RANK, 16, method, &work, NULL), BP_OK);
    for (size_t i = 0; i < paper.n; i++) {
        assert_int_equal(
            bp_lq_decompose(work, &m, &paper.configs[i], &options, NULL, NULL, &result, NULL),
            BP_OK);
        dev.mean += (result.error / golden[i] - 1.0) / (double)paper.n;
        dev.worst = fmax(dev.worst, fabs(result.error / golden[i] - 1.0));
    }
    bp_lq_work_free(work);
    free(golden);
    print_message("%s, %s SVD: deviation mean %.2g worst %.2g\n", fisher ? "fisher" : "plain",
                  method == BP_SVD_FULL ? "full" : "randomized", dev.mean, dev.worst);
    return dev;
}

static void one_step_errors_with_the_full_svd(void **state)
{
    (void)state;
    need_golden();
    assert_true(one_step_deviation(BP_SVD_FULL, false).worst <= ONE_STEP_FULL_SVD);
    assert_true(one_step_deviation(BP_SVD_FULL, true).worst <= ONE_STEP_FULL_SVD);
}

static void one_step_errors_with_the_randomized_svd(void **state)
{
    (void)state;
    need_golden();
    for (int fisher = 0; fisher < 2; fisher++) {
        struct deviation dev = one_step_deviation(BP_SVD_RANDOMIZED, fisher);
        assert_true(fabs(dev.mean) <= SKETCH_MEAN);
        assert_true(dev.worst <= SKETCH_WORST);
    }
}

/* Traces of 27 configs with the full SVD: early iterations tightly, the least error loosely. */
static void check_traces(bool fisher)
{
    double *golden = npy_load(fisher ? "a_lq8_fisher_trace27" : "a_lq8_trace27", NULL);
    double *summary = npy_load(fisher ? "a_lq8_fisher_summary27" : "a_lq8_summary27", NULL);
    int32_t *grid = npy_load("grid27", NULL);
    struct bp_lq_matrix m = golden_matrix(fisher);
    struct bp_lq_options options = {.rank = RANK, .iterations = BP_LQ_MAX_ITERATIONS, .seed = 1};
    struct bp_lq_result result;
    struct bp_lq_work *work;
    double first = 0.0, next = 0.0, sum = 0.0, worst = 0.0;
    assert_int_equal(bp_lq_work_new(SIDE, SIDE, SIDE * SIDE, RANK, 16, BP_SVD_FULL, &work, NULL),
                     BP_OK);
    for (int i = 0; i < 27; i++) {
        const int32_t *g = grid + 5 * i;
        struct bp_config c = {(uint8_t)g[0], (uint8_t)g[1], (uint8_t)g[2], (uint32_t)g[3],
                              (uint32_t)g[4]};
        double trace[TRACE];
        assert_int_equal(bp_lq_decompose(work, &m, &c, &options, NULL, trace, &result, NULL),
                         BP_OK);
        for (uint32_t t = 0; t < 3 && t < result.iterations; t++) {
            double deviation = fabs(trace[t] / golden[TRACE * i + (int)t] - 1.0);
            if (t == 0)
                first = fmax(first, deviation);
            else
                next = fmax(next, deviation);
        }
        double deviation = fabs(result.error / summary[4 * i + 3] - 1.0);
        sum += deviation;
        worst = fmax(worst, deviation);
    }
    print_message("%s traces: iteration 1 %.2g, 2 and 3 %.2g, least error mean %.2g worst %.2g\n",
                  fisher ? "fisher" : "plain", first, next, sum / 27, worst);
    bp_lq_work_free(work);
    free(golden);
    free(summary);
    free(grid);
    assert_true(first <= FIRST_ITERATION);
    assert_true(next <= SECOND_AND_THIRD);
    assert_true(sum / 27 <= FINAL_MEAN);
    assert_true(worst <= FINAL_WORST);
}

static void traces_without_weights(void **state)
{
    (void)state;
    need_golden();
    check_traces(false);
}

static void traces_with_fisher_weights(void **state)
{
    (void)state;
    need_golden();
    check_traces(true);
}

/* The procedure that `measure` runs, against the same summaries. */
static void final_errors_with_the_randomized_svd(void **state)
{
    (void)state;
    need_golden();
    for (int fisher = 0; fisher < 2; fisher++) {
        double *summary = npy_load(fisher ? "a_lq8_fisher_summary27" : "a_lq8_summary27", NULL);
        int32_t *grid = npy_load("grid27", NULL);
        struct bp_lq_matrix m = golden_matrix(fisher);
        struct bp_lq_options options = {
            .rank = RANK, .iterations = BP_LQ_MAX_ITERATIONS, .seed = 1};
        struct bp_lq_result result;
        struct bp_lq_work *work;
        double sum = 0.0, worst = 0.0;
        assert_int_equal(
            bp_lq_work_new(SIDE, SIDE, SIDE * SIDE, RANK, 16, BP_SVD_RANDOMIZED, &work, NULL),
            BP_OK);
        for (int i = 0; i < 27; i++) {
            const int32_t *g = grid + 5 * i;
            struct bp_config c = {(uint8_t)g[0], (uint8_t)g[1], (uint8_t)g[2], (uint32_t)g[3],
                                  (uint32_t)g[4]};
            assert_int_equal(bp_lq_decompose(work, &m, &c, &options, NULL, NULL, &result, NULL),
                             BP_OK);
            double deviation = result.error / summary[4 * i + 3] - 1.0;
            sum += deviation;
            worst = fmax(worst, fabs(deviation));
        }
        print_message("%s, randomized SVD: least error, deviation mean %.2g worst %.2g\n",
                      fisher ? "fisher" : "plain", sum / 27, worst);
        bp_lq_work_free(work);
        free(summary);
        free(grid);
        assert_true(fabs(sum / 27) <= FINAL_MEAN);
        assert_true(worst <= FINAL_WORST);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_step_errors_with_the_full_svd),
        cmocka_unit_test(one_step_errors_with_the_randomized_svd),
        cmocka_unit_test(traces_without_weights),
        cmocka_unit_test(traces_with_fisher_weights),
        cmocka_unit_test(final_errors_with_the_randomized_svd),
    };
    return cmocka_run_group_tests_name("golden decomposition", tests, load, unload);
}
