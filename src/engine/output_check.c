#include "engine/output_check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/fisher.h"
#include "engine/lq.h"
#include "engine/mem.h"
#include "engine/model.h"
#include "engine/parallel.h"
#include "engine/plan_file.h"
#include "engine/printable.h"
#include "engine/svd.h"

double bp_output_tolerance(const char *effort)
{
    return strcmp(effort, "exact") == 0 || strcmp(effort, "full") == 0
               ? BP_OUTPUT_TOLERANCE_MEASURED
               : BP_OUTPUT_TOLERANCE_ESTIMATED;
}

enum bp_status bp_output_check_weights(const struct bp_plan_file *plan,
                                       const struct bp_model *fisher, struct bp_err *err)
{
    const bool weighted = strcmp(plan->weighting, "none") != 0 && *plan->weighting;
    if (weighted != (fisher != NULL))
        return bp_fail(err, BP_ERR_INPUT, "%s: its errors were measured with%s weights: give %s",
                       plan->path, weighted ? "" : "out",
                       weighted ? "them with --fisher" : "no --fisher");
    if (weighted && *plan->weighting_fingerprint &&
        strcmp(plan->weighting_fingerprint, fisher->fingerprint) != 0)
        return bp_fail(err, BP_ERR_MISMATCH, "%s: are not the weights that %s was measured with",
                       fisher->path, plan->path);
    return BP_OK;
}

size_t *bp_output_match(const struct bp_model *model, const struct bp_plan_file *plan)
{
    size_t *match = bp_alloc(plan->n, sizeof *match);
    for (size_t i = 0, at = 0; match && i < plan->n; i++) {
        while (strcmp(model->matrices[at % model->n_matrices].name, plan->entries[i].name) != 0)
            at++;
        match[i] = at++ % model->n_matrices;
    }
    return match;
}

/* One worker's buffers. */
struct bench {
    struct bp_parts parts;
    float *W, *F;
};

struct run {
    const struct bp_output_check *check;
    size_t *match;
    struct bench *benches;
    struct bp_output_row *rows;
    atomic_uint_fast64_t done;
    uint64_t total;
};

static enum bp_status make_benches(struct run *run, unsigned threads, struct bp_err *err)
{
    const struct bp_outline_extent x = bp_outline_extent(run->check->reader->output->outline);
    run->benches = bp_alloc_zero(threads, sizeof *run->benches);
    if (!run->benches)
        return bp_fail_nomem(err);
    for (unsigned w = 0; w < threads; w++) {
        struct bench *b = &run->benches[w];
        BP_TRY(bp_parts_init(&b->parts, x.d, x.k, x.n, x.r, x.B0, err));
        b->W = bp_alloc(x.n, sizeof *b->W);
        b->F = run->check->fisher ? bp_alloc(x.n, sizeof *b->F) : NULL;
        if (!b->W || (run->check->fisher && !b->F))
            return bp_fail_nomem(err);
    }
    return BP_OK;
}

/* W and F are read before each form, as W turns into the remainder. */
static enum bp_status form_error(const struct run *run, struct bench *b, enum bp_emit e, size_t i,
                                 struct bp_err *err)
{
    const struct bp_output_check *c = run->check;
    const struct bp_outline_matrix *m = &c->reader->output->outline->matrices[i];
    struct bp_parts *p = &b->parts;
    BP_TRY(bp_model_read(c->model, run->match[i], b->W, err));
    BP_TRY(bp_output_read(c->reader, e, i, p, err));
    run->rows[i].norm =
        bp_lq_norm(&(struct bp_lq_matrix){.W = b->W, .F = b->F, .d = m->d, .k = m->k});
    if (p->r > 0)
        bp_residual(b->W, p->L1, p->L2, m->d, m->k, p->r, b->W);
    run->rows[i].error[e] = bp_weighted_error(b->W, p->Q, b->F, m->d * m->k);
    if (!isfinite(run->rows[i].error[e]))
        return bp_fail(err, BP_ERR_MISMATCH, "%s: the %s form holds values that are not finite",
                       bp_printable(m->name).text, bp_emit_name(e));
    return BP_OK;
}

bool bp_output_error_off(const struct bp_output_row *row, enum bp_emit form, double tolerance)
{
    const double allowed = tolerance * row->planned + BP_OUTPUT_ROUNDING * row->norm;
    return !isnan(row->error[form]) && fabs(row->error[form] - row->planned) > allowed;
}

static enum bp_status check_row(void *ctx, size_t i, unsigned worker, struct bp_err *err)
{
    struct run *run = ctx;
    const struct bp_output_check *c = run->check;
    const struct bp_output *out = c->reader->output;
    const struct bp_plan_entry *entry = &c->plan->entries[i];
    struct bench *b = &run->benches[worker];
    struct bp_output_row *row = &run->rows[i];
    if (c->stop && atomic_load(c->stop))
        return BP_STOPPED;
    *row = (struct bp_output_row){.planned = entry->error, .storage_bits = entry->storage_bits};
    if (b->F)
        BP_TRY(bp_fisher_read(c->fisher, c->model, run->match[i], b->F, err));
    for (int e = 0; e < BP_N_EMITS; e++) {
        row->error[e] = NAN;
        if (out->emits >> e & 1)
            BP_TRY(form_error(run, b, (enum bp_emit)e, i, err));
        row->off |= bp_output_error_off(row, (enum bp_emit)e, c->tolerance);
    }
    if (out->emits >> BP_EMIT_PACKED & 1) {
        row->packed_bits = bp_output_packed_bits(c->reader, i);
        row->off |= row->packed_bits != row->storage_bits;
    }
    uint64_t done = atomic_fetch_add(&run->done, entry->d * entry->k) + entry->d * entry->k;
    if (worker == 0 && c->progress)
        c->progress(c->progress_ctx, done, run->total, entry->name);
    return BP_OK;
}

enum bp_status bp_output_check_run(const struct bp_output_check *c, struct bp_output_row *rows,
                                   size_t *n_off, struct bp_err *err)
{
    struct run run = {.check = c, .rows = rows, .total = c->plan->params};
    const unsigned threads =
        c->threads < BP_OUTPUT_MAX_READERS ? c->threads : BP_OUTPUT_MAX_READERS;
    bp_blas_single_thread();
    run.match = bp_output_match(c->model, c->plan);
    enum bp_status status = run.match ? make_benches(&run, threads, err) : bp_fail_nomem(err);
    if (status == BP_OK)
        status = bp_parallel_for(c->plan->n, threads, check_row, &run, err);
    *n_off = 0;
    for (size_t i = 0; status == BP_OK && i < c->plan->n; i++)
        *n_off += rows[i].off;
    for (unsigned w = 0; run.benches && w < threads; w++) {
        bp_parts_done(&run.benches[w].parts);
        free(run.benches[w].W);
        free(run.benches[w].F);
    }
    free(run.benches);
    free(run.match);
    return status;
}
