/* Measuring a table: the same bytes whatever the threads, shards, stops and restarts; cells equal
 * to single decompositions; what is refused, and that nothing is left behind then. */
#include "support.h"

#include <dirent.h>
#include <stdatomic.h>
#include <sys/wait.h>

#include "engine/fisher.h"
#include "engine/json_write.h"
#include "engine/lq.h"
#include "engine/measure.h"
#include "engine/planner.h"
#include "engine/safetensors.h"
#include "engine/sample.h"
#include "engine/verify.h"

static const struct bp_sample_options SMALL = {
    .layers = 2, .hidden = 64, .intermediate = 80, .kv_dim = 32, .vocab = 65, .seed = 11};
static const char GRID[] = "b0=2,3:b1=2:b2=bf16:B0=16,64:B1=16";
static const uint32_t RANKS[] = {0, 4};
enum { N_MATRICES = 14, N_CANDIDATES = 8, N_CELLS = N_MATRICES * N_CANDIDATES };

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

/* Everything in the folder but the model, the table and files that the test names. */
static void no_file_left_but(const char *names)
{
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            strcmp(e->d_name, "model") != 0 && !strstr(names, e->d_name))
            fail_msg("left behind: %s", e->d_name);
    closedir(dir);
}

static struct bp_measure_options usual(void)
{
    return (struct bp_measure_options){.model = model,
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
    assert_int_equal(progress.cells_done, progress.cells_total);
    assert_int_equal(progress.rows_done, progress.rows_total);
    return progress;
}

static void refused(const struct bp_measure_options *options, enum bp_status status,
                    const char *words)
{
    struct bp_measure_progress progress;
    struct bp_err err = {""};
    assert_int_equal(bp_measure(options, &progress, &err), status);
    support_says(err.text, words);
    assert_null(strchr(err.text, '\n'));
}

/* The bytes of the table of an undisturbed run, which is then removed. */
static char *undisturbed(size_t *n)
{
    struct bp_measure_options options = usual();
    struct bp_measure_progress progress = measure(&options);
    assert_int_equal(progress.cells_total, N_CELLS);
    assert_int_equal(progress.cells_before, 0);
    no_file_left_but("t.safetensors");
    char *bytes = support_read(path, n);
    assert_int_equal(remove(path), 0);
    return bytes;
}

static void check_bytes(const char *expected, size_t n)
{
    size_t n_now;
    char *now = support_read(path, &n_now);
    assert_int_equal(n_now, n);
    assert_memory_equal(now, expected, n);
    free(now);
    no_file_left_but("t.safetensors");
}

/* --- the same bytes --- */

static void any_number_of_threads_gives_the_same_bytes(void **state)
{
    (void)state;
    size_t n;
    char *expected = undisturbed(&n);
    for (unsigned threads = 1; threads <= 9; threads += threads < 4 ? 1 : 5) {
        struct bp_measure_options options = usual();
        options.threads = threads;
        measure(&options);
        check_bytes(expected, n);
        assert_int_equal(remove(path), 0);
    }
    free(expected);
}

static void shards_in_any_order_give_the_same_bytes(void **state)
{
    (void)state;
    size_t n;
    char *expected = undisturbed(&n);
    static const uint32_t counts[] = {2, 3, 14, 20}; /* more shards than matrices: some are empty */
    for (int c = 0; c < 4; c++) {
        uint64_t cells = 0;
        for (uint32_t s = 0; s < counts[c]; s++) {
            struct bp_measure_options options = usual();
            options.n_shards = counts[c];
            options.shard = (s * (counts[c] - 1)) % counts[c] + 1; /* last first */
            cells += measure(&options).cells_total;
        }
        assert_int_equal(cells, N_CELLS);
        check_bytes(expected, n);
        assert_int_equal(remove(path), 0);
    }
    free(expected);
}

static void shards_at_the_same_time_give_the_same_bytes(void **state)
{
    (void)state;
    size_t n;
    char *expected = undisturbed(&n);
    pid_t children[3];
    for (uint32_t s = 0; s < 3; s++) {
        children[s] = fork();
        assert_true(children[s] >= 0);
        if (children[s] == 0) {
            struct bp_measure_options options = usual();
            struct bp_measure_progress progress;
            options.n_shards = 3;
            options.shard = s + 1;
            _exit(bp_measure(&options, &progress, NULL) != BP_OK);
        }
    }
    for (uint32_t s = 0; s < 3; s++) {
        int status;
        assert_int_equal(waitpid(children[s], &status, 0), children[s]);
        assert_int_equal(status, 0);
    }
    check_bytes(expected, n);
    free(expected);
}

struct stopper {
    atomic_bool stop;
    uint64_t after; /* cells of this run */
};

static void stop_after(void *ctx, const struct bp_measure_progress *progress)
{
    struct stopper *s = ctx;
    if (progress->cells_done - progress->cells_before >= s->after)
        atomic_store(&s->stop, true);
}

static void stopped_anywhere_and_run_again_gives_the_same_bytes(void **state)
{
    (void)state;
    struct support_rng g = {41};
    size_t n;
    char *expected = undisturbed(&n);
    for (int turn = 0; turn < 8; turn++) {
        enum bp_status status;
        int n_runs = 0;
        do {
            struct stopper s = {.after = support_below(&g, turn < 4 ? 30 : N_CELLS)};
            struct bp_measure_options options = usual();
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
                struct bp_table *t;
                assert_int_equal(bp_table_open(path, &t, NULL), BP_OK); /* valid at every stop */
                assert_int_equal(bp_table_measured(t), progress.rows_done * N_CANDIDATES);
                bp_table_close(t);
            }
            assert_in_range(progress.cells_before, 0, progress.cells_done);
            assert_true(++n_runs < 500);
        } while (status == BP_STOPPED);
        check_bytes(expected, n);
        assert_int_equal(remove(path), 0);
    }
    free(expected);
}

static void a_run_that_is_stopped_before_it_begins_leaves_an_empty_table(void **state)
{
    (void)state;
    struct bp_measure_options options = usual();
    struct bp_measure_progress progress;
    atomic_bool stop;
    atomic_init(&stop, true);
    options.stop = &stop;
    assert_int_equal(bp_measure(&options, &progress, NULL), BP_STOPPED);
    assert_int_equal(progress.cells_done, 0);
    assert_int_equal(progress.cells_total, N_CELLS);
    struct bp_table *t;
    assert_int_equal(bp_table_open(path, &t, NULL), BP_OK);
    assert_int_equal(bp_table_measured(t), 0);
    bp_table_close(t);
}

static void a_row_that_lacks_a_cell_is_measured_again(void **state)
{
    (void)state;
    size_t n;
    char *expected = undisturbed(&n);
    const double nan = NAN;
    struct bp_table *t;
    test_dir_write(folder, "t.safetensors", expected, n);
    assert_int_equal(bp_table_open(path, &t, NULL), BP_OK);
    char *row = memmem(expected, n, t->error + 5 * N_CANDIDATES, N_CANDIDATES * sizeof(double));
    assert_non_null(row);
    bp_table_close(t);
    char *hole = malloc(n);
    assert_non_null(hole);
    memcpy(hole, expected, n);
    memcpy(hole + (row - expected) + 3 * sizeof nan, &nan, sizeof nan);
    test_dir_write(folder, "t.safetensors", hole, n);
    struct bp_measure_options options = usual();
    struct bp_measure_progress progress = measure(&options);
    assert_int_equal(progress.cells_before, N_CELLS - N_CANDIDATES);
    check_bytes(expected, n);
    free(hole);
    free(expected);
}

static void a_finished_table_is_left_as_it_is(void **state)
{
    (void)state;
    struct bp_measure_options options = usual();
    struct stat before, after;
    measure(&options);
    assert_int_equal(stat(path, &before), 0);
    struct bp_measure_progress progress = measure(&options);
    assert_int_equal(progress.cells_before, N_CELLS);
    assert_int_equal(stat(path, &after), 0);
    assert_true(before.st_ino == after.st_ino);
    assert_true(before.st_mtim.tv_sec == after.st_mtim.tv_sec &&
                before.st_mtim.tv_nsec == after.st_mtim.tv_nsec);
}

struct watch {
    uint64_t last, calls;
    bool named;
};

static void watch_progress(void *ctx, const struct bp_measure_progress *p)
{
    struct watch *w = ctx;
    assert_true(p->cells_done >= w->last && p->cells_done <= p->cells_total);
    assert_true(p->rows_done <= p->rows_total);
    w->last = p->cells_done;
    w->calls++;
    w->named = p->matrix && *p->matrix;
}

static void progress_only_grows_and_ends_at_the_total(void **state)
{
    (void)state;
    struct bp_measure_options options = usual();
    struct watch w = {0};
    options.progress = watch_progress;
    options.progress_ctx = &w;
    measure(&options);
    assert_int_equal(w.last, N_CELLS);
    assert_true(w.calls >= N_CELLS && w.named);
}

/* --- what is measured --- */

static void every_cell_is_a_decomposition_by_itself(void **state)
{
    (void)state;
    struct bp_measure_options options = usual();
    struct bp_table *t;
    measure(&options);
    assert_int_equal(bp_table_open(path, &t, NULL), BP_OK);
    for (size_t i = 0; i < N_MATRICES; i += 3) {
        const struct bp_matrix *m = &model->matrices[i];
        const uint64_t n = m->d * m->k;
        float *W = malloc(n * sizeof *W);
        struct bp_lq_work *work;
        struct bp_lq_result result;
        assert_non_null(W);
        assert_int_equal(bp_model_read(model, i, W, NULL), BP_OK);
        assert_int_equal(bp_lq_work_new(m->d, m->k, n, 4, 16, BP_SVD_RANDOMIZED, &work, NULL),
                         BP_OK);
        struct bp_lq_matrix matrix = {W, NULL, m->d, m->k, m->name};
        assert_true(t->norm[i] == bp_lq_norm(&matrix));
        assert_string_equal(t->matrices[i].name, m->name);
        for (size_t j = 0; j < N_CANDIDATES; j++) {
            struct bp_lq_options lq = {t->candidates[j].rank, 3, 9};
            assert_int_equal(t->candidates[j].rank, RANKS[j / grid.n]);
            assert_true(bp_config_equal(&t->candidates[j].config, &grid.configs[j % grid.n]));
            assert_int_equal(bp_lq_decompose(work, &matrix, &t->candidates[j].config, &lq, NULL,
                                             NULL, &result, NULL),
                             BP_OK);
            assert_true(t->error[i * N_CANDIDATES + j] == result.error);
            assert_int_equal(t->iterations[i * N_CANDIDATES + j], result.iterations);
        }
        for (int b = 0; b < BP_N_BASELINES; b++) {
            struct bp_lq_options plain = {0, 1, 0};
            assert_int_equal(bp_lq_decompose(work, &matrix, b ? &bp_config_nf3 : &bp_config_nf4,
                                             &plain, NULL, NULL, &result, NULL),
                             BP_OK);
            assert_true(t->baseline_error[i * BP_N_BASELINES + (size_t)b] == result.error);
        }
        bp_lq_work_free(work);
        free(W);
    }
    assert_string_equal(t->about.model_fingerprint, model->fingerprint);
    assert_int_equal(t->about.params, model->params);
    assert_int_equal(t->about.params_outside, model->params - model->params_planned);
    assert_int_equal(t->about.bytes_outside, model->bytes_outside);
    assert_true(t->about.synthetic);
    bp_table_close(t);
}

static void another_seed_gives_other_errors_for_ranks_alone(void **state)
{
    (void)state;
    struct bp_measure_options options = usual();
    struct bp_table *a, *b;
    char *other = test_dir_join(folder, "other.safetensors");
    measure(&options);
    options.seed = 10;
    options.path = other;
    measure(&options);
    assert_int_equal(bp_table_open(path, &a, NULL), BP_OK);
    assert_int_equal(bp_table_open(other, &b, NULL), BP_OK);
    for (size_t i = 0; i < N_MATRICES; i++)
        for (size_t j = 0; j < N_CANDIDATES; j++) {
            size_t cell = i * N_CANDIDATES + j;
            assert_true((a->error[cell] == b->error[cell]) == (a->candidates[j].rank == 0));
        }
    bp_table_close(a);
    bp_table_close(b);
    free(other);
}

/* --- other work, files in the way --- */

static void a_table_of_other_work_is_kept_and_the_difference_is_named(void **state)
{
    (void)state;
    struct bp_measure_options options = usual();
    struct bp_grid other;
    size_t n;
    measure(&options);
    char *before = support_read(path, &n);
    options.seed = 10;
    refused(&options, BP_ERR_MISMATCH, "seed is 9, asked for is 10|--force");
    options = usual();
    options.iterations = 4;
    refused(&options, BP_ERR_MISMATCH, "cap of the iterations is 3, asked for is 4");
    options = usual();
    options.n_ranks = 1;
    refused(&options, BP_ERR_MISMATCH, "number of candidates is 8, asked for is 4");
    options = usual();
    const uint32_t ranks[2] = {0, 5};
    options.ranks = ranks;
    refused(&options, BP_ERR_MISMATCH, "rank is 4, asked for is 5");
    options = usual();
    assert_int_equal(bp_grid_parse("b0=2,4:b1=2:b2=bf16:B0=16,64:B1=16", &other, NULL), BP_OK);
    options.grid = &other;
    refused(&options, BP_ERR_MISMATCH, "grid|nf3:u2:bf16:16:16 r0|nf4:u2:bf16:16:16 r0");
    bp_grid_done(&other);
    options = usual();
    options.fisher = model;
    options.fisher_source = "model";
    refused(&options, BP_ERR_MISMATCH, "weighting is none, asked for is fisher");
    check_bytes(before, n);
    free(before);
}

static void another_model_is_other_work(void **state)
{
    (void)state;
    struct bp_measure_options options = usual();
    struct bp_sample_options sample = SMALL;
    struct bp_model *other;
    char *other_path = test_dir_join(folder, "model/other");
    measure(&options);
    sample.seed++;
    assert_int_equal(bp_sample_write(other_path, &sample, NULL, NULL, NULL), BP_OK);
    assert_int_equal(bp_model_open(other_path, NULL, &other, NULL), BP_OK);
    options.model = other;
    refused(&options, BP_ERR_MISMATCH, "model fingerprint");
    bp_model_close(other);
    free(other_path);
}

static void replacing_starts_anew(void **state)
{
    (void)state;
    size_t n;
    char *expected = undisturbed(&n);
    struct bp_measure_options options = usual();
    options.seed = 77;
    measure(&options);
    options = usual();
    options.replace = true;
    assert_int_equal(measure(&options).cells_before, 0);
    check_bytes(expected, n);
    test_dir_write_text(folder, "t.safetensors", "no table\n");
    measure(&options);
    check_bytes(expected, n);
    free(expected);
}

static void a_file_that_is_no_table_is_kept(void **state)
{
    (void)state;
    struct bp_measure_options options = usual();
    test_dir_write_text(folder, "t.safetensors", "precious\n");
    refused(&options, BP_ERR_MISMATCH, "t.safetensors|not a bitplan table|kept");
    check_bytes("precious\n", 9);
}

static void a_folder_that_is_missing_is_named(void **state)
{
    (void)state;
    struct bp_measure_options options = usual();
    char *nowhere = test_dir_join(folder, "missing/t.safetensors");
    options.path = nowhere;
    refused(&options, BP_ERR_FAILED, "missing");
    no_file_left_but("");
    free(nowhere);
}

static void more_candidates_than_a_table_holds_are_refused(void **state)
{
    (void)state;
    struct bp_measure_options options = usual();
    uint32_t *ranks = calloc(20000, sizeof *ranks);
    assert_non_null(ranks);
    options.ranks = ranks;
    options.n_ranks = 20000;
    refused(&options, BP_ERR_USAGE, "4 configs times 20000 ranks");
    no_file_left_but("");
    free(ranks);
}

/* --- weights --- */

/* How a file of weights differs from a good one, all of it values of 1. */
struct weights {
    float bad; /* at element `at` of tensor 3, unless `at` is negative */
    int at;
    bool transposed; /* tensor 3 has its sides swapped */
    bool missing;    /* tensor 3 is not there */
    bool float64;    /* tensor 3 is F64 */
};

/* Writes and opens a file of F32 weights under the names of the model's matrices. */
static struct bp_model *weights_of(const struct weights *w)
{
    struct bp_st_spec specs[N_MATRICES];
    unsigned char *header;
    size_t n_header, n = 0;
    uint64_t offsets[N_MATRICES], n_file;
    struct bp_err err = {""};
    struct bp_model *fisher;
    for (size_t i = 0; i < N_MATRICES; i++) {
        const struct bp_matrix *m = &model->matrices[i];
        struct bp_st_spec spec = {m->name, BP_DTYPE_F32, 2, {m->d, m->k}};
        if (i == 3 && w->transposed)
            spec = (struct bp_st_spec){m->name, BP_DTYPE_F32, 1, {m->d * m->k}};
        if (i == 3 && w->float64)
            spec.dtype = BP_DTYPE_F64;
        if (i != 3 || !w->missing)
            specs[n++] = spec;
    }
    if (bp_st_build_header(specs, n, NULL, 0, &header, &n_header, offsets, &n_file, &err))
        fail_msg("%s", err.text);
    unsigned char *file = calloc(1, n_file);
    assert_non_null(file);
    memcpy(file, header, n_header);
    for (uint64_t at = n_header; at + 4 <= n_file; at += 4)
        memcpy(file + at, &(float){1.0f}, sizeof(float));
    if (w->at >= 0)
        memcpy(file + offsets[3] + 4 * (uint64_t)w->at, &w->bad, sizeof w->bad);
    test_dir_write(folder, "fisher.safetensors", file, n_file);
    free(file);
    free(header);
    char *file_path = test_dir_join(folder, "fisher.safetensors");
    if (bp_model_open(file_path, NULL, &fisher, &err))
        fail_msg("%s", err.text);
    free(file_path);
    return fisher;
}

static void bad_weights_are_refused_with_their_place_before_a_file_is_made(void **state)
{
    (void)state;
    const int at = 2 * (int)model->matrices[3].k + 5;
    const struct {
        struct weights weights;
        const char *words;
    } cases[] = {
        {{.bad = -1.0f, .at = at}, "fisher.safetensors|[2, 5]|-1|>= 0"},
        {{.bad = -1e-40f, .at = at}, "[2, 5]"},
        {{.bad = NAN, .at = at}, "[2, 5]|nan"},
        {{.bad = INFINITY, .at = 0}, "[0, 0]|inf"},
        {{.at = -1, .transposed = true}, "another shape"},
        {{.at = -1, .missing = true}, "no weights for"},
        {{.at = -1, .float64 = true}, "F64, not F32, F16 or BF16"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bp_model *fisher = weights_of(&cases[i].weights);
        struct bp_measure_options options = usual();
        options.fisher = fisher;
        options.fisher_source = "fisher.safetensors";
        refused(&options, BP_ERR_INPUT, cases[i].words);
        struct bp_err err = {""};
        const struct bp_matrix *m = &model->matrices[3];
        float *F = malloc(m->d * m->k * sizeof *F);
        assert_non_null(F);
        assert_int_equal(bp_fisher_read(fisher, model, 3, F, &err), BP_ERR_INPUT);
        support_says(err.text, m->name);
        assert_int_equal(bp_fisher_read(fisher, model, 2, F, &err), BP_OK);
        free(F);
        bp_model_close(fisher);
        no_file_left_but("fisher.safetensors");
    }
}

static void weights_of_one_give_the_errors_without_weights(void **state)
{
    (void)state;
    struct bp_model *fisher = weights_of(&(struct weights){.at = -1});
    struct bp_measure_options options = usual();
    struct bp_table *plain, *weighted;
    char *other = test_dir_join(folder, "other.safetensors");
    measure(&options);
    options.path = other;
    options.fisher = fisher;
    options.fisher_source = "fisher.safetensors";
    measure(&options);
    assert_int_equal(bp_table_open(path, &plain, NULL), BP_OK);
    assert_int_equal(bp_table_open(other, &weighted, NULL), BP_OK);
    assert_string_equal(weighted->about.weighting, "fisher");
    assert_string_equal(weighted->about.weighting_source, "fisher.safetensors");
    assert_string_equal(weighted->about.weighting_fingerprint, fisher->fingerprint);
    assert_memory_equal(plain->error, weighted->error, N_CELLS * sizeof(double));
    assert_memory_equal(plain->norm, weighted->norm, N_MATRICES * sizeof(double));
    bp_table_close(plain);
    bp_table_close(weighted);
    bp_model_close(fisher);
    free(other);
}

static void a_weight_that_is_not_finite_is_named_before_a_file_is_made(void **state)
{
    (void)state;
    for (int shard = 1; shard <= 2; shard++) {
        struct weights w = {.bad = shard == 1 ? NAN : -INFINITY, .at = 100};
        struct bp_model *bad = weights_of(&w); /* as a model */
        struct bp_measure_options options = usual();
        struct bp_measure_progress progress;
        options.model = bad;
        refused(&options, BP_ERR_INPUT, bad->matrices[3].name);
        assert_int_equal(access(path, F_OK), -1);
        /* Only the shard that has the matrix finds it. */
        options.n_shards = 2;
        int n_refused = 0;
        for (options.shard = 1; options.shard <= 2; options.shard++)
            n_refused += bp_measure(&options, &progress, NULL) == BP_ERR_INPUT;
        assert_int_equal(n_refused, 1);
        assert_int_equal(remove(path), 0);
        bp_model_close(bad);
        no_file_left_but("fisher.safetensors");
    }
}

/* --- from the model to a plan that is verified against it --- */

static void a_plan_of_the_table_verifies_against_the_model(void **state)
{
    (void)state;
    struct bp_measure_options options = usual();
    struct bp_table *t;
    struct bp_planner *p;
    struct bp_plan *plan;
    struct bp_budget budget;
    struct bp_json_out out;
    struct bp_err err = {""};
    measure(&options);
    assert_int_equal(bp_table_open(path, &t, NULL), BP_OK);
    assert_int_equal(bp_planner_new(t, NULL, &p, NULL), BP_OK);
    assert_int_equal(bp_budget_parse_bits("2.6", bp_table_params(t), &budget, NULL), BP_OK);
    assert_int_equal(bp_planner_solve(p, &budget, BP_SOLVER_MCKP, NULL, &plan, NULL), BP_OK);
    bp_plan_to_json(plan, &out);
    char *text = bp_json_print(&out, true);
    bp_json_out_done(&out);
    test_dir_write_text(folder, "plan.json", text);
    free(text);
    bp_plan_free(plan);
    bp_planner_free(p);
    bp_table_close(t);

    char *plan_path = test_dir_join(folder, "plan.json");
    struct bp_verify_options verify = {
        .plan_path = plan_path, .model_path = model_path, .remeasure = true, .threads = 2};
    struct bp_verify_report report;
    if (bp_verify_plan(&verify, &report, &err))
        fail_msg("%s", err.text);
    assert_true(report.model_checked);
    assert_int_equal(report.n_remeasured, N_MATRICES);

    struct bp_sample_options sample = SMALL;
    char *other = test_dir_join(folder, "model/other");
    sample.seed++;
    assert_int_equal(bp_sample_write(other, &sample, NULL, NULL, NULL), BP_OK);
    verify.model_path = other;
    assert_int_equal(bp_verify_plan(&verify, &report, &err), BP_ERR_MISMATCH);
    support_says(err.text, "model.fingerprint is wrong");
    assert_false(report.model_checked);
    free(other);
    free(plan_path);
}

#define WITH_MODEL(test) cmocka_unit_test_setup_teardown(test, make_model, remove_model)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_MODEL(any_number_of_threads_gives_the_same_bytes),
        WITH_MODEL(shards_in_any_order_give_the_same_bytes),
        WITH_MODEL(shards_at_the_same_time_give_the_same_bytes),
        WITH_MODEL(stopped_anywhere_and_run_again_gives_the_same_bytes),
        WITH_MODEL(a_run_that_is_stopped_before_it_begins_leaves_an_empty_table),
        WITH_MODEL(a_row_that_lacks_a_cell_is_measured_again),
        WITH_MODEL(a_finished_table_is_left_as_it_is),
        WITH_MODEL(progress_only_grows_and_ends_at_the_total),
        WITH_MODEL(every_cell_is_a_decomposition_by_itself),
        WITH_MODEL(another_seed_gives_other_errors_for_ranks_alone),
        WITH_MODEL(a_table_of_other_work_is_kept_and_the_difference_is_named),
        WITH_MODEL(another_model_is_other_work),
        WITH_MODEL(replacing_starts_anew),
        WITH_MODEL(a_file_that_is_no_table_is_kept),
        WITH_MODEL(a_folder_that_is_missing_is_named),
        WITH_MODEL(more_candidates_than_a_table_holds_are_refused),
        WITH_MODEL(bad_weights_are_refused_with_their_place_before_a_file_is_made),
        WITH_MODEL(weights_of_one_give_the_errors_without_weights),
        WITH_MODEL(a_weight_that_is_not_finite_is_named_before_a_file_is_made),
        WITH_MODEL(a_plan_of_the_table_verifies_against_the_model),
    };
    return cmocka_run_group_tests_name("measuring", tests, NULL, NULL);
}
