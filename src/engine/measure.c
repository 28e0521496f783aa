#include "engine/measure.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/fisher.h"
#include "engine/lq.h"
#include "engine/measure_impl.h"
#include "engine/mem.h"
#include "engine/safetensors.h"
#include "engine/table.h"

const char *bp_measure_phase_name(enum bp_measure_phase phase)
{
    static const char *const names[BP_N_MEASURE_PHASES] = {
#define PHASE_NAME(id, name) name,
        BP_MEASURE_PHASES(PHASE_NAME)
#undef PHASE_NAME
    };
    return names[phase];
}

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
    a->effort = bp_strdup(bp_effort_name(o->effort));
    a->on_cuda = o->effort != BP_EFFORT_EXACT && o->backend == BP_BACKEND_CUDA;
    a->params = o->model->params;
    a->params_outside = o->model->params - o->model->params_planned;
    a->bytes_outside = o->model->bytes_outside;
    a->synthetic = o->model->synthetic;
    a->iterations = o->effort == BP_EFFORT_QUICK ? 1 : o->iterations;
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
static enum bp_status open_existing(struct bp_measure_job *job, struct bp_err *err)
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
static enum bp_status create_new(struct bp_measure_job *job, struct bp_err *err)
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
    double size; /* exact: elements, below 2^53 */
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
static enum bp_status choose_rows(struct bp_measure_job *job, struct bp_err *err)
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
        rows[i] = (struct weighed){
            (double)job->want->matrices[i].d * (double)job->want->matrices[i].k, i};
    if (status == BP_OK)
        qsort(rows, n, sizeof *rows, larger_first);
    for (size_t i = 0; status == BP_OK && i < n; i++) {
        uint32_t least = 0;
        for (uint32_t s = 1; s < o->n_shards; s++)
            if (load[s] < load[least])
                least = s;
        load[least] += (uint64_t)rows[i].size;
        job->mine[rows[i].row] = least == o->shard - 1;
    }
    free(rows);
    free(load);
    return status;
}

/* --- rows --- */

struct bp_lq_matrix bp_measure_matrix(const struct bp_measure_job *job)
{
    const struct bp_table_matrix *m = &job->want->matrices[job->row];
    return (struct bp_lq_matrix){job->W, job->F, m->d, m->k, m->name};
}

void bp_measure_tell(struct bp_measure_job *job)
{
    const struct bp_measure_options *o = job->options;
    if (!o->progress)
        return;
    struct bp_measure_progress now = job->progress;
    now.cells_done += atomic_load(&job->row_cells);
    now.matrix = job->want->matrices[job->row].name;
    o->progress(o->progress_ctx, &now);
}

static bool is_exact(const struct bp_measure_job *job)
{
    return job->options->effort == BP_EFFORT_EXACT;
}

/* The stage that no cell of a row is below when a phase is through with it. */
static enum bp_cell_stage goal(enum bp_measure_phase phase)
{
    return phase == BP_PHASE_ONE_STEP ? BP_CELL_ONE_STEP : BP_CELL_ESTIMATED;
}

static bool row_is_to_do(const struct bp_measure_job *job, size_t i, enum bp_cell_stage stage)
{
    uint32_t behind = 0;
    for (int s = 0; s < (int)stage; s++)
        behind += job->cells[i * BP_N_CELL_STAGES + s];
    return job->mine[i] && behind > 0;
}

static enum bp_status read_row(struct bp_measure_job *job, size_t i, struct bp_err *err)
{
    BP_TRY(bp_model_read(job->options->model, i, job->W, err));
    return job->F ? bp_fisher_read(job->options->fisher, job->options->model, i, job->F, err)
                  : BP_OK;
}

/* The phase that ends the work. */
static enum bp_measure_phase last_phase(const struct bp_measure_job *job)
{
    return is_exact(job)                             ? BP_PHASE_MEASURE
           : job->options->effort == BP_EFFORT_QUICK ? BP_PHASE_ONE_STEP
                                                     : BP_PHASE_REFINE;
}

/* One pass over what will be measured: a bad weight is better found now than after hours. */
static enum bp_status check_inputs(struct bp_measure_job *job, struct bp_err *err)
{
    for (size_t i = 0; i < job->want->n_matrices; i++)
        if (row_is_to_do(job, i, goal(last_phase(job))))
            BP_TRY(read_row(job, i, err));
    return BP_OK;
}

/* Takes down how far a cell of row i is on disk, and its error. */
static void note_cell(struct bp_measure_job *job, size_t i, unsigned stage, double error)
{
    job->cells[i * BP_N_CELL_STAGES + stage]++;
    job->weight[i] += stage == BP_CELL_MISSING ? 0.0 : error;
}

/* What is in the file. A mark counts where it stands; bp_table_stage is kinder to a number whose
 * mark is still to come. */
static void look_at_rows(struct bp_measure_job *job)
{
    const struct bp_table *t = job->table;
    const size_t C = job->want->n_candidates;
    for (size_t i = 0; i < job->want->n_matrices; i++)
        for (size_t j = 0; j < C; j++) {
            const bool marked = t && (!t->stage || t->stage[i * C + j] != BP_CELL_MISSING);
            note_cell(job, i, marked ? bp_table_stage(t, i, j) : BP_CELL_MISSING,
                      marked ? t->error[i * C + j] : 0.0);
        }
}

/* Writes the row in hand. */
static enum bp_status put_row(struct bp_measure_job *job, struct bp_err *err)
{
    const size_t i = job->row, C = job->want->n_candidates;
    const struct bp_lq_matrix m = bp_measure_matrix(job);
    const struct bp_table_row row = {job->error, job->iterations, job->baseline, bp_lq_norm(&m),
                                     job->stage};
    BP_TRY(bp_table_writer_put(job->writer, i, &row, err));
    memset(&job->cells[i * BP_N_CELL_STAGES], 0, BP_N_CELL_STAGES * sizeof *job->cells);
    job->weight[i] = 0.0;
    for (size_t j = 0; j < C; j++)
        note_cell(job, i, job->stage[j], job->error[j]);
    return BP_OK;
}

static enum bp_status measure_row(struct bp_measure_job *job, size_t i, struct bp_err *err)
{
    struct bp_measure_progress *p = &job->progress;
    job->row = i;
    atomic_store(&job->row_cells, 0);
    BP_TRY(read_row(job, i, err));
    bp_measure_tell(job);
    BP_TRY(is_exact(job) ? bp_measure_exact_row(job, err)
                         : bp_measure_staged_row(job, p->phase == BP_PHASE_REFINE, err));
    BP_TRY(put_row(job, err));
    p->cells_done += job->want->n_candidates;
    p->rows_done++;
    atomic_store(&job->row_cells, 0);
    bp_measure_tell(job);
    return BP_OK;
}

/* --- the run --- */

void bp_measure_limits(const struct bp_table *t, struct bp_backend_limits *out)
{
    *out = (struct bp_backend_limits){1, 1, 1, 0, bp_config_nf4.B0}; /* the baselines' */
    for (size_t i = 0; i < t->n_matrices; i++) {
        const struct bp_table_matrix *m = &t->matrices[i];
        out->d_max = m->d > out->d_max ? m->d : out->d_max;
        out->k_max = m->k > out->k_max ? m->k : out->k_max;
        out->n_max = m->d * m->k > out->n_max ? m->d * m->k : out->n_max;
    }
    for (size_t j = 0; j < t->n_candidates; j++) {
        const struct bp_candidate *c = &t->candidates[j];
        if (c->foreign)
            continue;
        out->r_max = c->rank > out->r_max ? c->rank : out->r_max;
        out->B0_min = c->config.B0 < out->B0_min ? c->config.B0 : out->B0_min;
    }
}

static enum bp_status make_buffers(struct bp_measure_job *job, struct bp_err *err)
{
    const struct bp_measure_options *o = job->options;
    const struct bp_table *t = job->want;
    struct bp_backend_limits most;
    bp_measure_limits(t, &most);
    job->error = bp_alloc(t->n_candidates, sizeof *job->error);
    job->iterations = bp_alloc(t->n_candidates, sizeof *job->iterations);
    job->stage = bp_alloc(t->n_candidates, 1);
    job->cells = bp_alloc_zero(t->n_matrices, BP_N_CELL_STAGES * sizeof *job->cells);
    job->weight = bp_alloc_zero(t->n_matrices, sizeof *job->weight);
    if (!job->error || !job->iterations || !job->stage || !job->cells || !job->weight)
        return bp_fail_nomem(err);
    BP_TRY(is_exact(job) ? bp_measure_exact_begin(job, err) : bp_measure_staged_begin(job, err));
    job->W = bp_alloc(most.n_max, sizeof *job->W);
    job->F = o->fisher ? bp_alloc(most.n_max, sizeof *job->F) : NULL;
    return job->W && (job->F || !o->fisher) ? BP_OK : bp_fail_nomem(err);
}

/* This shard's rows in the order of a phase. Refining begins where there is most to gain, in the
 * rows of the largest errors; the row numbers decide between equals. */
static enum bp_status order_rows(const struct bp_measure_job *job, struct weighed **out, size_t *n,
                                 struct bp_err *err)
{
    const size_t n_matrices = job->want->n_matrices;
    struct weighed *rows = bp_alloc(n_matrices, sizeof *rows);
    *out = rows;
    *n = 0;
    if (!rows)
        return bp_fail_nomem(err);
    for (size_t i = 0; i < n_matrices; i++)
        if (job->mine[i])
            rows[(*n)++] = (struct weighed){job->weight[i], i};
    if (job->progress.phase == BP_PHASE_REFINE)
        qsort(rows, *n, sizeof *rows, larger_first);
    return BP_OK;
}

static enum bp_status run_phase(struct bp_measure_job *job, enum bp_measure_phase phase,
                                struct bp_err *err)
{
    const struct bp_measure_options *o = job->options;
    const uint64_t C = job->want->n_candidates;
    struct bp_measure_progress *p = &job->progress;
    struct weighed *rows;
    size_t n;
    *p = (struct bp_measure_progress){.phase = phase};
    enum bp_status status = order_rows(job, &rows, &n, err);
    for (size_t r = 0; r < n; r++)
        p->rows_done += !row_is_to_do(job, rows[r].row, goal(phase));
    p->rows_total = n;
    p->cells_total = n * C;
    p->cells_done = p->cells_before = p->rows_done * C;
    for (size_t r = 0; r < n && status == BP_OK; r++) {
        if (o->stop && atomic_load(o->stop))
            status = BP_STOPPED;
        else if (row_is_to_do(job, rows[r].row, goal(phase)))
            status = measure_row(job, rows[r].row, err);
    }
    free(rows);
    return status;
}

static enum bp_status run(struct bp_measure_job *job, struct bp_err *err)
{
    const struct bp_measure_options *o = job->options;
    BP_TRY(describe(o, &job->want, err));
    BP_TRY(choose_rows(job, err));
    BP_TRY(make_buffers(job, err));
    BP_TRY(open_existing(job, err));
    look_at_rows(job);
    BP_TRY(check_inputs(job, err));
    if (!job->table)
        BP_TRY(create_new(job, err));
    BP_TRY(bp_table_writer_open(job->table, &job->writer, err));
    if (!is_exact(job))
        BP_TRY(run_phase(job, BP_PHASE_ONE_STEP, err));
    return last_phase(job) == BP_PHASE_ONE_STEP ? BP_OK : run_phase(job, last_phase(job), err);
}

static void count_cells(struct bp_measure_job *job)
{
    for (size_t i = 0; job->cells && job->mine && i < job->want->n_matrices; i++)
        for (int s = 0; job->mine[i] && s < BP_N_CELL_STAGES; s++)
            job->progress.stages[s] += job->cells[i * BP_N_CELL_STAGES + s];
}

enum bp_status bp_measure(const struct bp_measure_options *options,
                          struct bp_measure_progress *progress, struct bp_err *err)
{
    struct bp_measure_job job = {.options = options};
    enum bp_status status = run(&job, err);
    if (status == BP_OK) {
        status = bp_table_writer_close(job.writer, err);
        job.writer = NULL;
    }
    bp_table_writer_close(job.writer, NULL);
    count_cells(&job);
    for (unsigned w = 0; job.work && w < options->threads; w++)
        bp_lq_work_free(job.work[w]);
    free(job.work);
    bp_backend_free(&job.backend);
    bp_screen_free(job.screen);
    free(job.some);
    free(job.one_step);
    free(job.some_error);
    free(job.some_ran);
    free(job.picked);
    free(job.iterated);
    free(job.W);
    free(job.F);
    free(job.error);
    free(job.iterations);
    free(job.stage);
    free(job.cells);
    free(job.weight);
    free(job.mine);
    bp_table_close(job.table);
    bp_table_close(job.want);
    job.progress.matrix = NULL;
    *progress = job.progress;
    return status;
}
