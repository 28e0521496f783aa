/* Measuring chosen cells of a finished table again, to check it against its model. */
#include <stdlib.h>
#include <string.h>

#include "engine/fisher.h"
#include "engine/lq.h"
#include "engine/measure.h"
#include "engine/mem.h"
#include "engine/parallel.h"
#include "engine/printable.h"

/* One worker's buffers. */
struct bench {
    struct bp_lq_work *work;
    float *W, *F;
};

struct again {
    const struct bp_table *table;
    const struct bp_model *model, *fisher;
    const uint32_t *choice;
    unsigned threads;
    enum bp_effort effort;
    size_t *row_of;        /* [n_matrices] index into model->matrices */
    struct bench *benches; /* [threads]; of a backend the first alone, without work */
    struct bp_backend backend;
    double *error;
};

static enum bp_status check_method(struct again *again, struct bp_err *err)
{
    const struct bp_table *t = again->table;
    const struct bp_model *fisher = again->fisher;
    const struct bp_table_about *a = &t->about;
    if (!bp_effort_parse(a->effort, &again->effort) || a->method_version != BP_METHOD_VERSION ||
        a->oversampling != BP_SVD_OVERSAMPLING || a->power_iterations != BP_SVD_POWER_ITERATIONS ||
        a->iterations < 1 || a->iterations > BP_LQ_MAX_ITERATIONS)
        return bp_fail(err, BP_ERR_INPUT,
                       "%s: was measured by a method that this bitplan cannot repeat", t->path);
    const bool weighted = strcmp(a->weighting, "none") != 0;
    if (weighted != (fisher != NULL))
        return bp_fail(err, BP_ERR_INPUT, "%s: was measured with%s weights: give %s --fisher",
                       t->path, weighted ? "" : "out", weighted ? "them with" : "no");
    if (weighted && strcmp(a->weighting_fingerprint, fisher->fingerprint) != 0)
        return bp_fail(err, BP_ERR_MISMATCH,
                       "%s: the weights are not those that %s was measured with", fisher->path,
                       t->path);
    return BP_OK;
}

static enum bp_status find_rows(struct again *a, struct bp_err *err)
{
    const struct bp_table *t = a->table;
    a->row_of = bp_alloc(t->n_matrices, sizeof *a->row_of);
    if (!a->row_of)
        return bp_fail_nomem(err);
    for (size_t i = 0, at = 0; i < t->n_matrices; i++) {
        const struct bp_table_matrix *m = &t->matrices[i];
        size_t tried = 0, n = a->model->n_matrices;
        /* Table and model list the matrices in the same order, so the next is nearly always it. */
        while (tried < n && strcmp(a->model->matrices[at % n].name, m->name) != 0) {
            at++;
            tried++;
        }
        const struct bp_matrix *found = n ? &a->model->matrices[at % n] : NULL;
        if (tried == n || found->d != m->d || found->k != m->k)
            return bp_fail(err, BP_ERR_INPUT, "%s: does not plan a matrix %s of this shape",
                           a->model->path, bp_printable(m->name).text);
        a->row_of[i] = at++ % n;
        if (t->candidates[a->choice[i]].foreign)
            return bp_fail(err, BP_ERR_INPUT, "%s: candidate %s is another quantizer's", t->path,
                           bp_printable(t->candidates[a->choice[i]].label).text);
    }
    return BP_OK;
}

static enum bp_status make_matrix(const struct again *a, struct bench *b, struct bp_err *err)
{
    struct bp_backend_limits most;
    bp_measure_limits(a->table, &most);
    b->W = bp_alloc(most.n_max, sizeof *b->W);
    b->F = a->fisher ? bp_alloc(most.n_max, sizeof *b->F) : NULL;
    return b->W && (b->F || !a->fisher) ? BP_OK : bp_fail_nomem(err);
}

/* Reads the matrix of row i. */
static enum bp_status take_matrix(const struct again *a, struct bench *b, size_t i,
                                  struct bp_lq_matrix *out, struct bp_err *err)
{
    const struct bp_table_matrix *m = &a->table->matrices[i];
    *out = (struct bp_lq_matrix){b->W, b->F, m->d, m->k, m->name};
    BP_TRY(bp_model_read(a->model, a->row_of[i], b->W, err));
    return b->F ? bp_fisher_read(a->fisher, a->model, a->row_of[i], b->F, err) : BP_OK;
}

/* --- by the reference procedure: rows are shared out over threads --- */

static enum bp_status exact_row(void *ctx, size_t i, unsigned worker, struct bp_err *err)
{
    struct again *a = ctx;
    struct bench *b = &a->benches[worker];
    const struct bp_candidate *c = &a->table->candidates[a->choice[i]];
    struct bp_lq_options options = {.rank = c->rank,
                                    .iterations = (uint32_t)a->table->about.iterations,
                                    .seed = a->table->about.seed};
    struct bp_lq_matrix matrix;
    struct bp_lq_result result;
    BP_TRY(take_matrix(a, b, i, &matrix, err));
    BP_TRY(bp_lq_decompose(b->work, &matrix, &c->config, &options, NULL, NULL, &result, err));
    a->error[i] = result.error;
    return BP_OK;
}

static enum bp_status exact_rows(struct again *a, struct bp_err *err)
{
    bp_blas_single_thread();
    for (unsigned w = 0; w < a->threads; w++) {
        uint64_t n = 0;
        BP_TRY(bp_measure_work_new(a->table, &a->benches[w].work, &n, err));
        BP_TRY(make_matrix(a, &a->benches[w], err));
    }
    return bp_parallel_for(a->table->n_matrices, a->threads, exact_row, a, err);
}

/* --- by a backend: a cell is taken as far as it was, an estimate as far as it could be --- */

static enum bp_status staged_row(struct again *a, size_t i, struct bp_err *err)
{
    const struct bp_table *t = a->table;
    const struct bp_candidate *c = &t->candidates[a->choice[i]];
    struct bp_lq_matrix matrix;
    BP_TRY(take_matrix(a, a->benches, i, &matrix, err));
    BP_TRY(bp_backend_load(&a->backend, &matrix, c->rank, t->about.seed, err));
    if (c->rank == 0)
        return bp_backend_plain(&a->backend, &c->config, 1, NULL, &a->error[i], err);
    if (bp_table_stage(t, i, a->choice[i]) == BP_CELL_ONE_STEP)
        return bp_backend_one_step(&a->backend, &c->config, 1, NULL, &a->error[i], err);
    return bp_backend_iterate(&a->backend, &c->config, 1, (uint32_t)t->about.iterations, NULL,
                              &a->error[i], NULL, err);
}

static enum bp_status staged_rows(struct again *a, struct bp_err *err)
{
    struct bp_backend_limits most;
    bp_measure_limits(a->table, &most);
    const enum bp_backend_kind kind = a->table->about.on_cuda ? BP_BACKEND_CUDA : BP_BACKEND_CPU;
    if (bp_backend_new(kind, &most, a->threads, &a->backend, err) != BP_OK)
        return bp_fail_in(err, BP_ERR_FAILED, "%s: cannot be measured again", a->table->path);
    BP_TRY(make_matrix(a, a->benches, err));
    for (size_t i = 0; i < a->table->n_matrices; i++)
        BP_TRY(staged_row(a, i, err));
    return BP_OK;
}

enum bp_status bp_measure_again(const struct bp_table *table, const struct bp_model *model,
                                const struct bp_model *fisher, const uint32_t *choice,
                                unsigned threads, double *error, struct bp_err *err)
{
    struct again a = {.table = table,
                      .model = model,
                      .fisher = fisher,
                      .choice = choice,
                      .threads = threads,
                      .error = error};
    enum bp_status status = check_method(&a, err);
    if (status == BP_OK)
        status = find_rows(&a, err);
    if (status == BP_OK && !(a.benches = bp_alloc_zero(threads, sizeof *a.benches)))
        status = bp_fail_nomem(err);
    if (status == BP_OK)
        status = a.effort == BP_EFFORT_EXACT ? exact_rows(&a, err) : staged_rows(&a, err);
    for (unsigned w = 0; a.benches && w < threads; w++) {
        bp_lq_work_free(a.benches[w].work);
        free(a.benches[w].W);
        free(a.benches[w].F);
    }
    bp_backend_free(&a.backend);
    free(a.benches);
    free(a.row_of);
    return status;
}
