/* Efforts beside the exact one: what cells they iterate, that interrupted runs end in the same
 * bytes, that marks never say more than is true, and measuring again. */
#include "support.h"

#include <stdatomic.h>

#include "engine/lq.h"
#include "engine/measure.h"
#include "engine/planner.h"
#include "engine/sample.h"
#include "engine/verify.h"

static const struct bp_sample_options SMALL = {
    .layers = 1, .hidden = 64, .intermediate = 80, .kv_dim = 32, .vocab = 65, .seed = 11};
static const char GRID[] = "b0=2,3,4:b1=2,4:b2=bf16,fp32:B0=16,64:B1=16";
static const uint32_t RANKS[] = {0, 4};
enum { N_MATRICES = 7, N_CONFIGS = 24, N_CANDIDATES = 48, N_CELLS = N_MATRICES * N_CANDIDATES };
static const enum bp_effort STAGED[] = {BP_EFFORT_FULL, BP_EFFORT_BALANCED, BP_EFFORT_QUICK};
enum { N_STAGED = 3 };

static char *folder, *model_path, *path;
static struct bp_model *model;
static struct bp_grid grid;

static int make_model(void **state)
{
    (void)state;
    struct bp_err err = {""};
    folder = test_dir_make();
    model_path = test_dir_join(folder, "model");
    path = test_dir_join(folder, "t.safetensors");
    if (bp_sample_write(model_path, &SMALL, NULL, NULL, &err) ||
        bp_model_open(model_path, NULL, &model, &err) || bp_grid_parse(GRID, &grid, &err))
        fail_msg("%s", err.text);
    assert_int_equal(model->n_matrices, N_MATRICES);
    assert_int_equal(grid.n, N_CONFIGS);
    return 0;
}

static int remove_model(void **state)
{
    (void)state;
    bp_grid_done(&grid);
    bp_model_close(model);
    test_dir_remove(folder);
    free(model_path);
    free(path);
    return 0;
}

static struct bp_measure_options with(enum bp_effort effort)
{
    return (struct bp_measure_options){.model = model,
                                       .effort = effort,
                                       .grid = &grid,
                                       .ranks = RANKS,
                                       .n_ranks = 2,
                                       .iterations = 3,
                                       .seed = 9,
                                       .threads = 1,
                                       .shard = 1,
                                       .n_shards = 1,
                                       .path = path};
}

static struct bp_measure_progress measure(const struct bp_measure_options *options)
{
    struct bp_measure_progress progress;
    struct bp_err err = {""};
    if (bp_measure(options, &progress, &err))
        fail_msg("%s", err.text);
    return progress;
}

static struct bp_table *table(void)
{
    struct bp_table *t;
    struct bp_err err = {""};
    if (bp_table_open(path, &t, &err))
        fail_msg("%s", err.text);
    return t;
}

/* The bytes of an undisturbed run's table, which is removed. */
static char *undisturbed(enum bp_effort effort, size_t *n)
{
    const struct bp_measure_options options = with(effort);
    measure(&options);
    char *bytes = support_read(path, n);
    assert_int_equal(remove(path), 0);
    return bytes;
}

static void same_bytes(const char *expected, size_t n)
{
    size_t n_now;
    char *now = support_read(path, &n_now);
    assert_int_equal(n_now, n);
    assert_memory_equal(now, expected, n);
    free(now);
    assert_int_equal(remove(path), 0);
}

/* --- what is measured --- */

/* Full, balanced and quick tables against a backend asked cell by cell. */
static void cells_are_as_far_as_their_marks_say(void **state)
{
    (void)state;
    struct bp_backend backend;
    struct bp_backend_limits most;
    float *W = support_normals(80 * 64, 1);
    for (int e = 0; e < N_STAGED; e++) {
        const struct bp_measure_options options = with(STAGED[e]);
        uint64_t n[BP_N_CELL_STAGES];
        const struct bp_measure_progress progress = measure(&options);
        struct bp_table *t = table();
        assert_string_equal(t->about.effort, bp_effort_name(STAGED[e]));
        bp_measure_limits(t, &most);
        assert_int_equal(bp_backend_cpu_new(&most, 2, &backend, NULL), BP_OK);
        for (size_t i = 0; i < N_MATRICES; i += 3) {
            const struct bp_matrix *m = &model->matrices[i];
            const struct bp_lq_matrix matrix = {W, NULL, m->d, m->k, m->name};
            assert_int_equal(bp_model_read(model, i, W, NULL), BP_OK);
            assert_int_equal(bp_backend_load(&backend, &matrix, 4, 9, NULL), BP_OK);
            for (size_t j = 0; j < N_CANDIDATES; j++) {
                const struct bp_config *c = &t->candidates[j].config;
                const double error = t->error[i * N_CANDIDATES + j];
                const unsigned ran = t->iterations[i * N_CANDIDATES + j];
                const enum bp_cell_stage stage = bp_table_stage(t, i, j);
                double want, one_step;
                uint16_t want_ran = 0;
                bp_backend_one_step(&backend, c, 1, NULL, &one_step, NULL);
                if (t->candidates[j].rank == 0)
                    bp_backend_plain(&backend, c, 1, NULL, &want, NULL);
                else if (stage == BP_CELL_ITERATED)
                    bp_backend_iterate(&backend, c, 1, 3, NULL, &want, &want_ran, NULL);
                else
                    want = one_step;
                if (stage == BP_CELL_ESTIMATED) {
                    assert_true(error > 0.25 * one_step && error <= one_step);
                    assert_int_equal(ran, 0);
                    continue;
                }
                assert_true(error == want);
                assert_int_equal(ran, stage == BP_CELL_ONE_STEP ? 1 : want_ran);
                assert_true(t->candidates[j].rank > 0 || stage == BP_CELL_ITERATED);
            }
        }
        bp_table_count_stages(t, n);
        assert_memory_equal(n, progress.stages, sizeof n);
        assert_int_equal(n[BP_CELL_MISSING], 0);
        assert_int_equal(n[BP_CELL_ONE_STEP], STAGED[e] == BP_EFFORT_QUICK ? N_CELLS / 2 : 0);
        if (STAGED[e] == BP_EFFORT_BALANCED)
            assert_in_range(n[BP_CELL_ESTIMATED], 1, N_CELLS / 2);
        else
            assert_int_equal(n[BP_CELL_ESTIMATED], 0);
        bp_backend_free(&backend);
        bp_table_close(t);
        assert_int_equal(remove(path), 0);
    }
    free(W);
}

static void baselines_and_norms_are_those_of_the_exact_effort(void **state)
{
    (void)state;
    struct bp_measure_options options = with(BP_EFFORT_EXACT);
    options.iterations = 1;
    measure(&options);
    struct bp_table *exact = table();
    assert_null(exact->stage);
    assert_int_equal(bp_table_stage(exact, 3, 3), BP_CELL_ITERATED);
    assert_int_equal(remove(path), 0);
    options = with(BP_EFFORT_QUICK);
    measure(&options);
    struct bp_table *quick = table();
    assert_memory_equal(quick->norm, exact->norm, N_MATRICES * sizeof(double));
    for (size_t i = 0; i < N_MATRICES * BP_N_BASELINES; i++)
        assert_true(fabs(quick->baseline_error[i] / exact->baseline_error[i] - 1.0) < 1e-3);
    bp_table_close(exact);
    bp_table_close(quick);
    assert_int_equal(remove(path), 0);
}

static void another_effort_or_cap_is_other_work(void **state)
{
    (void)state;
    struct bp_measure_options options = with(BP_EFFORT_QUICK);
    struct bp_measure_progress progress;
    struct bp_err err = {""};
    measure(&options);
    options.iterations = 50; /* no cap of what has one step */
    progress = measure(&options);
    assert_int_equal(progress.cells_before, N_CELLS);
    options.effort = BP_EFFORT_BALANCED;
    assert_int_equal(bp_measure(&options, &progress, &err), BP_ERR_MISMATCH);
    support_says(err.text, "its effort is quick, asked for is balanced");
    assert_int_equal(remove(path), 0);
    measure(&options);
    options.iterations = 3;
    assert_int_equal(bp_measure(&options, &progress, &err), BP_ERR_MISMATCH);
    support_says(err.text, "cap of the iterations is 50");
    assert_int_equal(remove(path), 0);
}

/* --- the same bytes --- */

static void threads_and_shards_do_not_matter(void **state)
{
    (void)state;
    for (int e = 0; e < N_STAGED; e++) {
        size_t n;
        char *expected = undisturbed(STAGED[e], &n);
        struct bp_measure_options options = with(STAGED[e]);
        options.threads = 3;
        measure(&options);
        same_bytes(expected, n);
        options.n_shards = 3;
        for (options.shard = 3; options.shard >= 1; options.shard--)
            measure(&options);
        same_bytes(expected, n);
        free(expected);
    }
}

struct stopper {
    atomic_bool stop;
    uint64_t after; /* calls */
};

static void stop_after(void *ctx, const struct bp_measure_progress *progress)
{
    struct stopper *s = ctx;
    (void)progress;
    if (s->after == 0)
        atomic_store(&s->stop, true);
    else
        s->after--;
}

/* When all is at one step. */
static void stop_refining(void *ctx, const struct bp_measure_progress *progress)
{
    struct stopper *s = ctx;
    atomic_store(&s->stop, progress->phase == BP_PHASE_REFINE);
}

static void stopped_anywhere_and_run_again_gives_the_same_bytes(void **state)
{
    (void)state;
    struct support_rng g = {41};
    for (int e = 0; e < 2 * N_STAGED; e++) {
        const enum bp_effort effort = STAGED[e % N_STAGED];
        size_t n;
        char *expected = undisturbed(effort, &n);
        enum bp_status status;
        int n_runs = 0;
        do {
            struct stopper s = {.after = support_below(&g, e < N_STAGED ? 100 : 400)};
            struct bp_measure_options options = with(effort);
            struct bp_measure_progress progress;
            struct bp_err err = {""};
            options.threads = 1 + (unsigned)support_below(&g, 3);
            options.progress = stop_after;
            options.progress_ctx = &s;
            options.stop = &s.stop;
            status = bp_measure(&options, &progress, &err);
            if (status != BP_OK && status != BP_STOPPED)
                fail_msg("%s", err.text);
            if (status == BP_STOPPED) {
                /* Valid at every stop; all rows are at one step before any is refined. */
                uint64_t now[BP_N_CELL_STAGES];
                struct bp_table *t = table();
                bp_table_count_stages(t, now);
                assert_memory_equal(now, progress.stages, sizeof now);
                if (now[BP_CELL_MISSING] > 0) {
                    assert_int_equal(now[BP_CELL_ESTIMATED], 0);
                    assert_int_equal(now[BP_CELL_ITERATED], now[BP_CELL_ONE_STEP]); /* rank 0 */
                }
                bp_table_close(t);
            }
            assert_true(++n_runs < 500);
        } while (status == BP_STOPPED);
        same_bytes(expected, n);
        free(expected);
    }
}

/* What a kill between two writes leaves: numbers of either stage, or holes, without marks; or
 * numbers that are half refined under the marks of one step. */
static void rows_that_were_being_written_are_done_again(void **state)
{
    (void)state;
    for (int e = 0; e < N_STAGED; e++) {
        size_t n;
        char *expected = undisturbed(STAGED[e], &n);
        test_dir_write(folder, "t.safetensors", expected, n);
        struct bp_table *t = table();
        char *error = memmem(expected, n, t->error, N_CANDIDATES * sizeof(double));
        char *stage = memmem(expected, n, t->stage, N_CELLS);
        assert_true(error && stage);
        bp_table_close(t);
        for (int torn = 0; torn < 4; torn++) {
            char *bytes = malloc(n);
            const double nan = NAN, other = 1e-3;
            assert_non_null(bytes);
            memcpy(bytes, expected, n);
            char *errors = bytes + (error - expected), *marks = bytes + (stage - expected);
            const size_t first = 2 * N_CANDIDATES; /* of row 2 */
            memset(marks + first, torn == 3 ? BP_CELL_ONE_STEP : 0, N_CANDIDATES);
            for (size_t j = 30; torn > 0 && j < N_CANDIDATES; j++)
                memcpy(errors + (first + j) * sizeof nan, torn == 1 ? &nan : &other, sizeof nan);
            test_dir_write(folder, "t.safetensors", bytes, n);
            t = table();
            assert_int_equal(bp_table_stage(t, 2, 29), BP_CELL_ONE_STEP);
            assert_int_equal(bp_table_stage(t, 2, 30),
                             torn == 1 ? BP_CELL_MISSING : BP_CELL_ONE_STEP);
            bp_table_close(t);
            if (torn < 3 || STAGED[e] != BP_EFFORT_QUICK) { /* quick refines nothing */
                const struct bp_measure_options options = with(STAGED[e]);
                measure(&options);
                same_bytes(expected, n);
            }
            free(bytes);
        }
        free(expected);
        remove(path);
    }
}

/* A run that refines a table leaves the numbers of one that is open as they were. */
static void an_open_table_does_not_change(void **state)
{
    (void)state;
    struct bp_measure_options options = with(BP_EFFORT_FULL);
    struct stopper s = {.after = 0};
    struct bp_measure_progress progress;
    measure(&options);
    struct bp_table *whole = table();
    assert_int_equal(remove(path), 0);
    options.progress = stop_refining;
    options.progress_ctx = &s;
    options.stop = &s.stop;
    assert_int_equal(bp_measure(&options, &progress, NULL), BP_STOPPED);
    assert_int_equal(progress.phase, BP_PHASE_REFINE);
    struct bp_table *t = table();
    double *before = bp_alloc(N_CELLS, sizeof *before);
    assert_non_null(before);
    memcpy(before, t->error, N_CELLS * sizeof *before);
    assert_true(memcmp(before, whole->error, N_CELLS * sizeof *before) != 0);
    options.progress = NULL;
    options.stop = NULL;
    measure(&options);
    assert_memory_equal(before, t->error, N_CELLS * sizeof *before);
    assert_int_equal(bp_table_stage(t, 0, N_CANDIDATES - 1), BP_CELL_ONE_STEP);
    bp_table_close(t);
    t = table();
    assert_memory_equal(t->error, whole->error, N_CELLS * sizeof *before);
    bp_table_close(t);
    bp_table_close(whole);
    free(before);
    assert_int_equal(remove(path), 0);
}

/* --- measuring again --- */

static void measuring_again_repeats_cells_and_iterates_estimates(void **state)
{
    (void)state;
    struct support_rng g = {5};
    for (int e = 0; e < N_STAGED; e++) {
        const struct bp_measure_options options = with(STAGED[e]);
        measure(&options);
        struct bp_table *t = table();
        for (int turn = 0; turn < 6; turn++) {
            uint32_t choice[N_MATRICES];
            double error[N_MATRICES];
            struct bp_err err = {""};
            for (size_t i = 0; i < N_MATRICES; i++)
                choice[i] = (uint32_t)support_below(&g, N_CANDIDATES);
            if (bp_measure_again(t, model, NULL, choice, 1 + turn % 3, error, &err))
                fail_msg("%s", err.text);
            for (size_t i = 0; i < N_MATRICES; i++) {
                const double stated = t->error[i * N_CANDIDATES + choice[i]];
                if (bp_table_stage(t, i, choice[i]) == BP_CELL_ESTIMATED)
                    assert_true(stated <= BP_ESTIMATE_FACTOR * error[i] &&
                                error[i] <= BP_ESTIMATE_FACTOR * stated);
                else
                    assert_true(stated == error[i]);
            }
        }
        bp_table_close(t);
        assert_int_equal(remove(path), 0);
    }
}

#define WITH_MODEL(test) cmocka_unit_test_setup_teardown(test, make_model, remove_model)
int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_MODEL(cells_are_as_far_as_their_marks_say),
        WITH_MODEL(baselines_and_norms_are_those_of_the_exact_effort),
        WITH_MODEL(another_effort_or_cap_is_other_work),
        WITH_MODEL(threads_and_shards_do_not_matter),
        WITH_MODEL(stopped_anywhere_and_run_again_gives_the_same_bytes),
        WITH_MODEL(rows_that_were_being_written_are_done_again),
        WITH_MODEL(an_open_table_does_not_change),
        WITH_MODEL(measuring_again_repeats_cells_and_iterates_estimates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
