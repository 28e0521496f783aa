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
    size_t *row_of; /* [n_matrices] index into model->matrices */
    struct bench *benches;
    double *error;
};

static enum bp_status check_method(const struct bp_table *t, const struct bp_model *fisher,
                                   struct bp_err *err)
{
    const struct bp_table_about *a = &t->about;
    if (strcmp(a->effort, "exact") != 0 || a->method_version != BP_METHOD_VERSION ||
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

static enum bp_status make_benches(struct again *a, unsigned threads, struct bp_err *err)
{
    a->benches = bp_alloc_zero(threads, sizeof *a->benches);
    if (!a->benches)
        return bp_fail_nomem(err);
    for (unsigned w = 0; w < threads; w++) {
        struct bench *b = &a->benches[w];
        uint64_t n = 0;
        BP_TRY(bp_measure_work_new(a->table, &b->work, &n, err));
        b->W = bp_alloc(n, sizeof *b->W);
        b->F = a->fisher ? bp_alloc(n, sizeof *b->F) : NULL;
        if (!b->W || (a->fisher && !b->F))
            return bp_fail_nomem(err);
    }
    return BP_OK;
}

static enum bp_status again_row(void *ctx, size_t i, unsigned worker, struct bp_err *err)
{
    struct again *a = ctx;
    struct bench *b = &a->benches[worker];
    const struct bp_table_matrix *m = &a->table->matrices[i];
    const struct bp_candidate *c = &a->table->candidates[a->choice[i]];
    struct bp_lq_matrix matrix = {b->W, b->F, m->d, m->k, m->name};
    struct bp_lq_options options = {.rank = c->rank,
                                    .iterations = (uint32_t)a->table->about.iterations,
                                    .seed = a->table->about.seed};
    struct bp_lq_result result;
    BP_TRY(bp_model_read(a->model, a->row_of[i], b->W, err));
    if (b->F)
        BP_TRY(bp_fisher_read(a->fisher, a->model, a->row_of[i], b->F, err));
    BP_TRY(bp_lq_decompose(b->work, &matrix, &c->config, &options, NULL, NULL, &result, err));
    a->error[i] = result.error;
    return BP_OK;
}

enum bp_status bp_measure_again(const struct bp_table *table, const struct bp_model *model,
                                const struct bp_model *fisher, const uint32_t *choice,
                                unsigned threads, double *error, struct bp_err *err)
{
    struct again a = {
        .table = table, .model = model, .fisher = fisher, .choice = choice, .error = error};
    bp_blas_single_thread();
    enum bp_status status = check_method(table, fisher, err);
    if (status == BP_OK)
        status = find_rows(&a, err);
    if (status == BP_OK)
        status = make_benches(&a, threads, err);
    if (status == BP_OK)
        status = bp_parallel_for(table->n_matrices, threads, again_row, &a, err);
    for (unsigned w = 0; a.benches && w < threads; w++) {
        bp_lq_work_free(a.benches[w].work);
        free(a.benches[w].W);
        free(a.benches[w].F);
    }
    free(a.benches);
    free(a.row_of);
    return status;
}
