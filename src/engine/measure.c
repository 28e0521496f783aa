#include "engine/measure.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/fisher.h"
#include "engine/lq.h"
#include "engine/mem.h"
#include "engine/parallel.h"
#include "engine/printable.h"
#include "engine/safetensors.h"
#include "engine/table.h"

/* The run: the options, the table it fills and one matrix's worth of buffers. */
struct job {
    const struct bp_measure_options *options;
    struct bp_table *want;  /* the work asked for, by hand */
    struct bp_table *table; /* the file, open */
    struct bp_table_writer *writer;
    struct bp_lq_work **work; /* [threads] */
    float *W, *F;             /* [largest d * k]; F NULL without weights */
    double *error;            /* [n_candidates] the row in hand */
    uint16_t *iterations;     /* [n_candidates] */
    double baseline[BP_N_BASELINES];
    uint8_t *mine; /* [n_matrices] 1 = this shard's */
    size_t row;
    atomic_uint_fast64_t row_cells; /* finished in the row in hand */
    struct bp_measure_progress progress;
};

/* --- the work asked for --- */

static enum bp_status describe_matrices(const struct bp_model *model, struct bp_table *t,
                                        struct bp_err *err)
{
    t->matrices = bp_alloc_zero(model->n_matrices, sizeof *t->matrices);
    if (!t->matrices)
        return bp_fail_nomem(err);
    t->n_matrices = model->n_matrices;
    for (size_t i = 0; i < t->n_matrices; i++) {
        const struct bp_matrix *m = &model->matrices[i];
        struct bp_table_matrix *out = &t->matrices[i];
        out->name = bp_strdup(m->name);
        out->dtype = bp_strdup(bp_dtype_name(m->dtype));
        out->kind = bp_strdup(m->kind);
        out->d = m->d;
        out->k = m->k;
        out->layer = m->layer;
        if (!out->name || !out->dtype || !out->kind)
            return bp_fail_nomem(err);
    }
    return BP_OK;
}

static enum bp_status describe_candidates(const struct bp_measure_options *o, struct bp_table *t,
                                          struct bp_err *err)
{
    size_t n = o->grid->n * o->n_ranks;
    if (n > BP_MAX_CANDIDATES)
        return bp_fail(err, BP_ERR_USAGE, "%zu configs times %zu ranks are more than %d candidates",
                       o->grid->n, o->n_ranks, BP_MAX_CANDIDATES);
    t->candidates = bp_alloc_zero(n, sizeof *t->candidates);
    if (!t->candidates)
        return bp_fail_nomem(err);
    t->n_candidates = n;
    for (size_t j = 0; j < n; j++) {
        t->candidates[j].config = o->grid->configs[j % o->grid->n];
        t->candidates[j].rank = o->ranks[j / o->grid->n];
    }
    return BP_OK;
}

static enum bp_status describe(const struct bp_measure_options *o, struct bp_table **out,
                               struct bp_err *err)
{
    struct bp_table *t = calloc(1, sizeof *t);
    *out = t;
    if (!t)
        return bp_fail_nomem(err);
    BP_TRY(describe_matrices(o->model, t, err));
    BP_TRY(describe_candidates(o, t, err));
    struct bp_table_about *a = &t->about;
    a->weighting = bp_strdup(o->fisher ? "fisher" : "none");
    a->weighting_source = bp_strdup(o->fisher_source ? o->fisher_source : "");
    a->weighting_fingerprint = bp_strdup(o->fisher ? o->fisher->fingerprint : "");
    a->model_name = bp_strdup(o->model->name);
    a->model_fingerprint = bp_strdup(o->model->fingerprint);
    a->effort = bp_strdup("exact");
    a->params = o->model->params;
    a->params_outside = o->model->params - o->model->params_planned;
    a->bytes_outside = o->model->bytes_outside;
    a->synthetic = o->model->synthetic;
    a->iterations = o->iterations;
    a->oversampling = BP_SVD_OVERSAMPLING;
    a->power_iterations = BP_SVD_POWER_ITERATIONS;
    a->seed = o->seed;
    a->method_version = BP_METHOD_VERSION;
    bool whole = a->weighting && a->weighting_source && a->weighting_fingerprint && a->model_name &&
                 a->model_fingerprint && a->effort;
    return whole ? BP_OK : bp_fail_nomem(err);
}

/* --- the file --- */

/* Opens the table at the path when there is one to continue. */
static enum bp_status open_existing(struct job *job, struct bp_err *err)
{
    const struct bp_measure_options *o = job->options;
    bool is_table;
    if (o->replace || access(o->path, F_OK) != 0)
        return BP_OK;
    BP_TRY(bp_table_looks_like(o->path, &is_table, err));
    if (!is_table)
        return bp_fail(
            err, BP_ERR_MISMATCH,
            "%s: exists, is not a bitplan table, and was kept; give another -o or --force",
            o->path);
    BP_TRY(bp_table_open(o->path, &job->table, err));
    return bp_table_same_work(job->table, job->want, err);
}

/* Creates the table and opens it. Two shards that start at once both find it missing: one creates
 * it, the other's attempt is refused and it opens the first's. */
static enum bp_status create_new(struct job *job, struct bp_err *err)
{
    const struct bp_measure_options *o = job->options;
    enum bp_status status = bp_table_create(job->want, o->path, o->replace, err);
    if (status != BP_OK && status != BP_ERR_MISMATCH)
        return status;
    BP_TRY(bp_table_open(o->path, &job->table, err));
    return bp_table_same_work(job->table, job->want, err);
}

/* --- shards --- */

struct weighed {
    uint64_t size;
    size_t row;
};

static int larger_first(const void *a, const void *b)
{
    const struct weighed *x = a, *y = b;
    if (x->size != y->size)
        return x->size > y->size ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

/* Shares the rows out by size: the largest first, each to the shard with the least so far. Depends
 * on the matrices alone, so that every shard computes the same. */
static enum bp_status choose_rows(struct job *job, struct bp_err *err)
{
    const struct bp_measure_options *o = job->options;
    size_t n = job->want->n_matrices;
    job->mine = bp_alloc_zero(n, 1);
    struct weighed *rows = bp_alloc(n, sizeof *rows);
    uint64_t *load = bp_alloc_zero(o->n_shards, sizeof *load);
    enum bp_status status = BP_OK;
    if (!job->mine || !rows || !load)
        status = bp_fail_nomem(err);
    for (size_t i = 0; status == BP_OK && i < n; i++)
        rows[i] = (struct weighed){job->want->matrices[i].d * job->want->matrices[i].k, i};
    if (status == BP_OK)
        qsort(rows, n, sizeof *rows, larger_first);
    for (size_t i = 0; status == BP_OK && i < n; i++) {
        uint32_t least = 0;
        for (uint32_t s = 1; s < o->n_shards; s++)
            if (load[s] < load[least])
                least = s;
        load[least] += rows[i].size;
        job->mine[rows[i].row] = least == o->shard - 1;
    }
    free(rows);
    free(load);
    return status;
}

/* --- cells --- */

static struct bp_lq_matrix matrix_in_hand(const struct job *job)
{
    const struct bp_table_matrix *m = &job->want->matrices[job->row];
    return (struct bp_lq_matrix){job->W, job->F, m->d, m->k, m->name};
}

static void tell(struct job *job)
{
    const struct bp_measure_options *o = job->options;
    if (!o->progress)
        return;
    struct bp_measure_progress now = job->progress;
    now.cells_done += atomic_load(&job->row_cells);
    now.matrix = job->want->matrices[job->row].name;
    o->progress(o->progress_ctx, &now);
}

/* One cell of the row in hand: candidate j, or one of the baselines behind the candidates. */
static enum bp_status measure_cell(void *ctx, size_t j, unsigned worker, struct bp_err *err)
{
    struct job *job = ctx;
    const struct bp_measure_options *o = job->options;
    if (o->stop && atomic_load(o->stop))
        return BP_STOPPED;
    const size_t C = job->want->n_candidates;
    const bool baseline = j >= C;
    const struct bp_config *config = !baseline ? &job->want->candidates[j].config
                                     : j == C  ? &bp_config_nf4
                                               : &bp_config_nf3;
    struct bp_lq_matrix m = matrix_in_hand(job);
    struct bp_lq_options options = {.rank = baseline ? 0 : job->want->candidates[j].rank,
                                    .iterations = o->iterations,
                                    .seed = o->seed};
    struct bp_lq_result result;
    enum bp_status status =
        bp_lq_decompose(job->work[worker], &m, config, &options, NULL, NULL, &result, err);
    if (status != BP_OK) {
        char text[BP_CONFIG_TEXT];
        return bp_fail_in(err, status, "matrix %s, config %s", bp_printable(m.name).text,
                          bp_config_format(config, text));
    }
    if (baseline) {
        job->baseline[j - C] = result.error;
        return BP_OK;
    }
    job->error[j] = result.error;
    job->iterations[j] = (uint16_t)result.iterations;
    atomic_fetch_add(&job->row_cells, 1);
    if (worker == 0)
        tell(job);
    return BP_OK;
}

/* --- the run --- */

static bool row_is_whole(const struct job *job, size_t i)
{
    return job->table && bp_table_measured_in_row(job->table, i) == job->want->n_candidates;
}

static bool row_is_to_do(const struct job *job, size_t i)
{
    return job->mine[i] && !row_is_whole(job, i);
}

static enum bp_status read_row(struct job *job, size_t i, struct bp_err *err)
{
    BP_TRY(bp_model_read(job->options->model, i, job->W, err));
    return job->F ? bp_fisher_read(job->options->fisher, job->options->model, i, job->F, err)
                  : BP_OK;
}

/* One pass over what will be measured: a bad weight is better found now than after hours. */
static enum bp_status check_inputs(struct job *job, struct bp_err *err)
{
    for (size_t i = 0; i < job->want->n_matrices; i++)
        if (row_is_to_do(job, i))
            BP_TRY(read_row(job, i, err));
    return BP_OK;
}

static void count_before(struct job *job)
{
    struct bp_measure_progress *p = &job->progress;
    for (size_t i = 0; i < job->want->n_matrices; i++) {
        if (!job->mine[i])
            continue;
        p->rows_total++;
        p->cells_total += job->want->n_candidates;
        if (row_is_whole(job, i)) {
            p->rows_done++;
            p->cells_done += job->want->n_candidates;
        }
    }
    p->cells_before = p->cells_done;
}

static enum bp_status measure_row(struct job *job, size_t i, struct bp_err *err)
{
    const struct bp_measure_options *o = job->options;
    job->row = i;
    atomic_store(&job->row_cells, 0);
    BP_TRY(read_row(job, i, err));
    struct bp_lq_matrix m = matrix_in_hand(job);
    struct bp_table_row row = {job->error, job->iterations, job->baseline, bp_lq_norm(&m)};
    tell(job);
    BP_TRY(bp_parallel_for(job->want->n_candidates + BP_N_BASELINES, o->threads, measure_cell, job,
                           err));
    BP_TRY(bp_table_writer_put(job->writer, i, &row, err));
    job->progress.cells_done += job->want->n_candidates;
    job->progress.rows_done++;
    atomic_store(&job->row_cells, 0);
    tell(job);
    return BP_OK;
}

enum bp_status bp_measure_work_new(const struct bp_table *t, struct bp_lq_work **out,
                                   uint64_t *n_max, struct bp_err *err)
{
    uint64_t d = 1, k = 1, n = 1;
    uint32_t rank = 0, B0 = bp_config_nf4.B0; /* the baselines' */
    for (size_t i = 0; i < t->n_matrices; i++) {
        const struct bp_table_matrix *m = &t->matrices[i];
        d = m->d > d ? m->d : d;
        k = m->k > k ? m->k : k;
        n = m->d * m->k > n ? m->d * m->k : n;
    }
    for (size_t j = 0; j < t->n_candidates; j++) {
        const struct bp_candidate *c = &t->candidates[j];
        if (c->foreign)
            continue;
        rank = c->rank > rank ? c->rank : rank;
        B0 = c->config.B0 < B0 ? c->config.B0 : B0;
    }
    *n_max = n;
    return bp_lq_work_new(d, k, n, rank, B0, BP_SVD_RANDOMIZED, out, err);
}

static enum bp_status make_buffers(struct job *job, struct bp_err *err)
{
    const struct bp_measure_options *o = job->options;
    const struct bp_table *t = job->want;
    uint64_t n = 0;
    job->error = bp_alloc(t->n_candidates, sizeof *job->error);
    job->iterations = bp_alloc(t->n_candidates, sizeof *job->iterations);
    job->work = bp_alloc_zero(o->threads, sizeof *job->work);
    if (!job->error || !job->iterations || !job->work)
        return bp_fail_nomem(err);
    for (unsigned w = 0; w < o->threads; w++)
        BP_TRY(bp_measure_work_new(t, &job->work[w], &n, err));
    job->W = bp_alloc(n, sizeof *job->W);
    job->F = o->fisher ? bp_alloc(n, sizeof *job->F) : NULL;
    return job->W && (job->F || !o->fisher) ? BP_OK : bp_fail_nomem(err);
}

static enum bp_status run(struct job *job, struct bp_err *err)
{
    const struct bp_measure_options *o = job->options;
    bp_blas_single_thread();
    BP_TRY(describe(o, &job->want, err));
    BP_TRY(choose_rows(job, err));
    BP_TRY(make_buffers(job, err));
    BP_TRY(open_existing(job, err));
    BP_TRY(check_inputs(job, err));
    if (!job->table)
        BP_TRY(create_new(job, err));
    BP_TRY(bp_table_writer_open(job->table, &job->writer, err));
    count_before(job);
    for (size_t i = 0; i < job->want->n_matrices; i++) {
        if (o->stop && atomic_load(o->stop))
            return BP_STOPPED;
        if (row_is_to_do(job, i))
            BP_TRY(measure_row(job, i, err));
    }
    return BP_OK;
}

enum bp_status bp_measure(const struct bp_measure_options *options,
                          struct bp_measure_progress *progress, struct bp_err *err)
{
    struct job job = {.options = options};
    enum bp_status status = run(&job, err);
    if (status == BP_OK) {
        status = bp_table_writer_close(job.writer, err);
        job.writer = NULL;
    }
    bp_table_writer_close(job.writer, NULL);
    for (unsigned w = 0; job.work && w < options->threads; w++)
        bp_lq_work_free(job.work[w]);
    free(job.work);
    free(job.W);
    free(job.F);
    free(job.error);
    free(job.iterations);
    free(job.mine);
    bp_table_close(job.table);
    bp_table_close(job.want);
    job.progress.matrix = NULL;
    *progress = job.progress;
    return status;
}
