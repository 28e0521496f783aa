/* Errors of many configs in one go against the readable quantizer, config by config. */
#include "support.h"

#include "engine/one_step.h"
#include "engine/quantize.h"
#include "engine/quantize_fast.h"

enum { RANK = 5 };

struct data {
    struct bp_lq_matrix m;
    float *W, *F, *L1, *L2, *R, *Q;
};

static void data_init(struct data *t, uint64_t d, uint64_t k, bool weighted)
{
    t->W = support_normals(d * k, 1);
    t->F = support_normals(d * k, 2);
    t->L1 = support_normals(d * RANK, 3);
    t->L2 = support_normals(RANK * k, 4);
    t->R = support_normals(d * k, 5);
    t->Q = support_normals(d * k, 6);
    for (uint64_t i = 0; i < d * k; i++)
        t->F[i] *= t->F[i];
    for (uint64_t i = 0; i < d * RANK; i++)
        t->L1[i] *= 0.1f;
    t->m = (struct bp_lq_matrix){t->W, weighted ? t->F : NULL, d, k, "by hand"};
}

static void data_done(struct data *t)
{
    float *all[] = {t->W, t->F, t->L1, t->L2, t->R, t->Q};
    for (int i = 0; i < 6; i++)
        free(all[i]);
}

static double oracle(struct data *t, uint32_t r, const struct bp_config *c)
{
    const uint64_t n = t->m.d * t->m.k;
    const float *R = r ? t->R : t->W;
    struct bp_scales s;
    if (r)
        bp_residual(t->W, t->L1, t->L2, t->m.d, t->m.k, r, t->R);
    assert_int_equal(bp_scales_init(&s, n, c->B0, NULL), BP_OK);
    bp_quantize_scales(R, n, c, &s);
    bp_quantize_values(R, &s, t->Q);
    bp_scales_done(&s);
    return bp_weighted_error(R, t->Q, t->m.F, n);
}

static double *errors(struct data *t, uint32_t r, const struct bp_config *c, size_t n,
                      unsigned threads)
{
    double *error = bp_alloc(n, sizeof *error);
    assert_non_null(error);
    assert_int_equal(
        bp_one_step(&t->m, r ? t->L1 : NULL, r ? t->L2 : NULL, r, c, n, threads, NULL, error, NULL),
        BP_OK);
    return error;
}

/* All configs of a grid, some also alone, and on three threads. W - L1 L2 is computed here in one
 * product, there in tiles, whose roundings may differ: a tenth of the tolerance, by experience. */
static void compare(uint64_t d, uint64_t k, uint32_t r, bool weighted, const char *text)
{
    struct data t;
    struct bp_grid g;
    data_init(&t, d, k, weighted);
    assert_int_equal(bp_grid_parse(text, &g, NULL), BP_OK);
    double *error = errors(&t, r, g.configs, g.n, 1), *again = errors(&t, r, g.configs, g.n, 3);
    assert_memory_equal(error, again, g.n * sizeof *error);
    for (size_t i = 0; i < g.n; i++) {
        double want = oracle(&t, r, &g.configs[i]);
        if (fabs(error[i] - want) > 1.1 * BP_FAST_TOLERANCE * want)
            fail_msg("config %zu: %.12g, the oracle has %.12g", i, error[i], want);
    }
    for (size_t i = 0; i < g.n; i += g.n / 7 + 1) {
        double *alone = errors(&t, r, &g.configs[i], 1, 2);
        assert_true(alone[0] == error[i]);
        free(alone);
    }
    free(error);
    free(again);
    bp_grid_done(&g);
    data_done(&t);
}

static void configs_together_are_as_the_quantizer_has_them(void **state)
{
    (void)state;
    bp_blas_single_thread();
    const char *grid = "b0=2,3,4,8:b1=2,4:b2=bf16,fp32:B0=16,32,64:B1=16,256";
    compare(256, 512, RANK, false, grid);
    compare(301, 517, RANK, true, grid); /* groups cross rows, panels cross tiles, the ends short */
    compare(40, 4096, RANK, true, "b0=3:b1=4:b2=fp16:B0=16,64:B1=64");
    compare(37, 4100, 0, true, "b0=3,4:b1=4:b2=fp16:B0=16,64:B1=64");
    compare(3, 50, RANK, false, grid);
    compare(1, 1, 0, false, "b0=2,8:b1=2:b2=fp32:B0=1,16:B1=1,16");
}

/* Panels are a common multiple of the groups, and the whole matrix where there is none. */
static void groups_of_any_size_can_come_together(void **state)
{
    (void)state;
    const char *grid = "b0=3:b1=4:b2=bf16:B0=7,16,48,100,1000:B1=3,64,1001";
    compare(301, 517, RANK, true, grid);
    compare(301, 517, 0, false, "b0=4:b1=2:b2=bf16:B0=64,65536:B1=256,65536");
    compare(700, 517, RANK, false, "b0=4:b1=2:b2=bf16:B0=64,96:B1=16,48");
}

struct seen {
    size_t calls, last;
    atomic_bool stop;
};

static void note(void *ctx, size_t n_configs)
{
    struct seen *seen = ctx;
    assert_true(n_configs >= seen->last);
    seen->last = n_configs;
    seen->calls++;
}

static void progress_rises_to_the_end_and_a_stop_stops(void **state)
{
    (void)state;
    struct data t;
    struct bp_grid g;
    struct seen seen = {0};
    struct bp_backend_watch watch = {&seen.stop, note, &seen};
    data_init(&t, 2100, 2048, false); /* more than one wave of panels */
    assert_int_equal(bp_grid_parse("b0=2,3:b1=4:b2=bf16:B0=64:B1=16", &g, NULL), BP_OK);
    double error[2];
    assert_int_equal(g.n, 2);
    assert_int_equal(bp_one_step(&t.m, NULL, NULL, 0, g.configs, 2, 2, &watch, error, NULL), BP_OK);
    assert_int_equal(seen.last, 2);
    assert_true(seen.calls >= 2);
    atomic_store(&seen.stop, true);
    assert_int_equal(bp_one_step(&t.m, NULL, NULL, 0, g.configs, 2, 2, &watch, error, NULL),
                     BP_STOPPED);
    assert_int_equal(bp_one_step(&t.m, NULL, NULL, 0, g.configs, 0, 2, NULL, error, NULL), BP_OK);
    bp_grid_done(&g);
    data_done(&t);
}

static void an_error_beyond_numbers_is_a_failure(void **state)
{
    (void)state;
    struct data t;
    struct bp_err err = {""};
    struct bp_config c;
    double error;
    data_init(&t, 4, 32, false);
    t.L1[3] = INFINITY;
    assert_int_equal(bp_config_parse("nf4:u4:bf16:16:16", &c, NULL), BP_OK);
    assert_int_equal(bp_one_step(&t.m, t.L1, t.L2, RANK, &c, 1, 1, NULL, &error, &err),
                     BP_ERR_FAILED);
    support_says(err.text, "range of numbers");
    data_done(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(configs_together_are_as_the_quantizer_has_them),
        cmocka_unit_test(groups_of_any_size_can_come_together),
        cmocka_unit_test(progress_rises_to_the_end_and_a_stop_stops),
        cmocka_unit_test(an_error_beyond_numbers_is_a_failure),
    };
    return cmocka_run_group_tests_name("one step", tests, NULL, NULL);
}
