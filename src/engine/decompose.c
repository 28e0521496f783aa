#include "engine/decompose.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "engine/backend.h"
#include "engine/fisher.h"
#include "engine/json_write.h"
#include "engine/lq.h"
#include "engine/mem.h"
#include "engine/model.h"
#include "engine/output_job.h"
#include "engine/parallel.h"
#include "engine/plan_file.h"
#include "engine/printable.h"

/* One worker's buffers. */
struct bench {
    struct bp_lq_work *work; /* with effort exact */
    struct bp_parts parts;
    float *W, *F;
};

struct run {
    const struct bp_decompose_options *options;
    struct bp_outline *outline;
    struct bp_output *output;
    struct bp_output_job *job;
    size_t *match; /* [n] the plan's matrices in the model */
    bool exact;
    struct bp_backend backend; /* without */
    struct bench *benches;
    unsigned n_benches;
    pthread_mutex_t lock; /* of what follows */
    struct bp_decompose_progress progress;
};

/* --- setting up --- */

static bool asked_to_stop(void *ctx)
{
    const struct run *run = ctx;
    return run->options->stop && atomic_load(run->options->stop);
}

/* Over everything that the bytes of the output depend on. */
static uint64_t hash_work(const struct run *run)
{
    const struct bp_decompose_options *o = run->options;
    const struct bp_plan_method *m = &o->plan->method;
    const char *weights = o->fisher ? o->fisher->fingerprint : "";
    const uint64_t numbers[] = {o->plan->hash,
                                o->emits,
                                o->low_rank_bits,
                                m->iterations,
                                m->rank,
                                m->seed,
                                m->version,
                                run->exact,
                                XXH3_64bits(weights, strlen(weights)),
                                XXH3_64bits(o->model->fingerprint, strlen(o->model->fingerprint))};
    return XXH3_64bits(numbers, sizeof numbers);
}

/* Of all matrices of the model and all ranks of the table, as measuring had it: LAPACK's blocking,
 * and so the last bits, may follow the size of the workspace. */
static struct bp_outline_extent largest(const struct run *run)
{
    const struct bp_model *model = run->options->model;
    const uint32_t rank = run->options->plan->method.rank;
    struct bp_outline_extent x = bp_outline_extent(run->outline);
    for (size_t i = 0; i < model->n_matrices; i++) {
        const struct bp_matrix *m = &model->matrices[i];
        x.d = m->d > x.d ? m->d : x.d;
        x.k = m->k > x.k ? m->k : x.k;
        x.n = m->d * m->k > x.n ? m->d * m->k : x.n;
    }
    x.rank = rank > x.rank ? rank : x.rank;
    x.B0 = bp_config_nf4.B0 < x.B0 ? bp_config_nf4.B0 : x.B0;
    return x;
}

/* The reference procedure runs one matrix a thread, the backend has threads of its own. */
static enum bp_status make_benches(struct run *run, struct bp_err *err)
{
    const struct bp_decompose_options *o = run->options;
    const struct bp_outline_extent x = largest(run);
    run->n_benches = !run->exact ? 1 : o->threads < o->plan->n ? o->threads : (unsigned)o->plan->n;
    run->benches = bp_alloc_zero(run->n_benches, sizeof *run->benches);
    if (!run->benches)
        return bp_fail_nomem(err);
    if (!run->exact) {
        const struct bp_backend_limits limits = {x.d, x.k, x.n, x.rank, x.B0};
        BP_TRY(bp_backend_new(o->backend, &limits, o->threads, &run->backend, err));
    }
    for (unsigned w = 0; w < run->n_benches; w++) {
        struct bench *b = &run->benches[w];
        if (run->exact)
            BP_TRY(bp_lq_work_new(x.d, x.k, x.n, x.rank, x.B0, BP_SVD_RANDOMIZED, &b->work, err));
        BP_TRY(bp_parts_init(&b->parts, x.d, x.k, x.n, x.r, x.B0, err));
        b->W = bp_alloc(x.n, sizeof *b->W);
        b->F = o->fisher ? bp_alloc(x.n, sizeof *b->F) : NULL;
        if (!b->W || (o->fisher && !b->F))
            return bp_fail_nomem(err);
    }
    return BP_OK;
}

static void free_benches(struct run *run)
{
    for (unsigned w = 0; run->benches && w < run->n_benches; w++) {
        bp_lq_work_free(run->benches[w].work);
        bp_parts_done(&run->benches[w].parts);
        free(run->benches[w].W);
        free(run->benches[w].F);
    }
    free(run->benches);
    run->benches = NULL;
    bp_backend_free(&run->backend);
}

/* --- matrices --- */

static enum bp_status factorize(struct run *run, struct bench *b, size_t i, struct bp_err *err)
{
    const struct bp_outline_matrix *m = &run->outline->matrices[i];
    const struct bp_plan_method *method = &run->options->plan->method;
    const struct bp_lq_matrix matrix = {b->W, b->F, m->d, m->k, m->name};
    const struct bp_lq_factors factors = {NULL, b->parts.L1, b->parts.L2};
    const struct bp_lq_options options = {m->rank, method->iterations, method->seed};
    struct bp_lq_result result;
    if (run->exact)
        return bp_lq_decompose(b->work, &matrix, &m->config, &options, &factors, NULL, &result,
                               err);
    BP_TRY(bp_backend_load(&run->backend, &matrix, m->rank, method->seed, err));
    return bp_backend_decompose(&run->backend, &m->config, method->iterations, &factors, &result,
                                err);
}

static enum bp_status carry_out(struct run *run, struct bench *b, size_t i, struct bp_err *err)
{
    const struct bp_decompose_options *o = run->options;
    const struct bp_outline_matrix *m = &run->outline->matrices[i];
    struct bp_parts *p = &b->parts;
    BP_TRY(bp_model_read(o->model, run->match[i], b->W, err));
    if (b->F)
        BP_TRY(bp_fisher_read(o->fisher, o->model, run->match[i], b->F, err));
    p->d = m->d;
    p->k = m->k;
    p->r = m->r;
    p->low_rank_bits = o->low_rank_bits;
    if (m->r > 0) {
        enum bp_status status = factorize(run, b, i, err);
        if (status != BP_OK)
            return bp_fail_in(err, status, "matrix %s", bp_printable(m->name).text);
    }
    bp_parts_make(p, b->W, &m->config);
    BP_TRY(bp_output_put(run->output, i, p, err));
    return bp_output_job_mark(run->job, i, err);
}

static void tell(struct run *run, const char *matrix)
{
    struct bp_decompose_progress now = run->progress;
    now.matrix = matrix;
    if (run->options->progress)
        run->options->progress(run->options->progress_ctx, &now);
}

static enum bp_status one_matrix(void *ctx, size_t i, unsigned worker, struct bp_err *err)
{
    struct run *run = ctx;
    const struct bp_outline_matrix *m = &run->outline->matrices[i];
    if (bp_output_job_has(run->job, i))
        return BP_OK;
    if (asked_to_stop(run))
        return BP_STOPPED;
    BP_TRY(carry_out(run, &run->benches[worker], i, err));
    pthread_mutex_lock(&run->lock);
    run->progress.done++;
    run->progress.weights_done += m->d * m->k;
    if (worker == 0)
        tell(run, m->name);
    pthread_mutex_unlock(&run->lock);
    return BP_OK;
}

static void count_before(struct run *run)
{
    struct bp_decompose_progress *p = &run->progress;
    p->total = run->outline->n_matrices;
    p->weights_total = run->options->plan->params;
    for (size_t i = 0; i < p->total; i++)
        if (bp_output_job_has(run->job, i)) {
            p->done++;
            p->weights_done += run->outline->matrices[i].d * run->outline->matrices[i].k;
        }
    p->before = p->done;
}

/* --- reading back --- */

static void show_check(void *ctx, uint64_t done, uint64_t total, const char *matrix)
{
    struct run *run = ctx;
    run->progress.checking = true;
    run->progress.weights_done = done;
    run->progress.weights_total = total;
    tell(run, matrix);
}

static enum bp_status check(struct run *run, struct bp_decompose_report *report, struct bp_err *err)
{
    const struct bp_decompose_options *o = run->options;
    struct bp_output_reader reader;
    BP_TRY(bp_output_reader_open(run->output, bp_output_job_path, run->job, &reader, err));
    const struct bp_output_check c = {.reader = &reader,
                                      .plan = o->plan,
                                      .model = o->model,
                                      .fisher = o->fisher,
                                      .tolerance = report->tolerance,
                                      .threads = o->threads,
                                      .stop = o->stop,
                                      .progress = show_check,
                                      .progress_ctx = run};
    enum bp_status status = bp_output_check_run(&c, report->rows, &report->n_off, err);
    bp_output_reader_close(&reader);
    return status;
}

/* The first form that was emitted. */
static int first_form(unsigned emits)
{
    int e = 0;
    while (!(emits >> e & 1))
        e++;
    return e;
}

static enum bp_status fill_report(struct run *run, struct bp_decompose_report *report,
                                  struct bp_err *err)
{
    const int e = first_form(run->options->emits);
    report->n = run->outline->n_matrices;
    report->before = run->progress.before;
    report->bytes = bp_output_bytes(run->output);
    BP_TRY(check(run, report, err));
    report->no_bnb = run->output->no_bnb;
    run->output->no_bnb = NULL;
    for (size_t i = 0; i < report->n; i++)
        report->n_equal += report->rows[i].error[e] == report->rows[i].planned;
    return BP_OK;
}

/* --- the run --- */

static enum bp_status open_output(struct run *run, struct bp_err *err)
{
    const struct bp_decompose_options *o = run->options;
    BP_TRY(bp_output_check_weights(o->plan, o->fisher, err));
    BP_TRY(bp_outline_new(o->model, o->plan, o->low_rank_bits, &run->outline, err));
    BP_TRY(bp_output_new(run->outline, o->emits, &run->output, err));
    run->match = bp_output_match(o->model, o->plan);
    if (!run->match)
        return bp_fail_nomem(err);
    BP_TRY(make_benches(run, err));
    const struct bp_output_work work = {.output = run->output,
                                        .dir = o->dir,
                                        .hash = hash_work(run),
                                        .replace = o->replace,
                                        .last_name = "decompose.json",
                                        .stopped = asked_to_stop,
                                        .ctx = run};
    return bp_output_job_open(&work, &run->job, err);
}

static enum bp_status run_all(struct run *run, struct bp_decompose_report *report,
                              struct bp_err *err)
{
    const struct bp_decompose_options *o = run->options;
    report->tolerance = bp_output_tolerance(o->plan->method.effort);
    BP_TRY(open_output(run, err));
    report->rows = bp_alloc_zero(run->outline->n_matrices, sizeof *report->rows);
    if (!report->rows)
        return bp_fail_nomem(err);
    count_before(run);
    report->before = run->progress.before;
    report->n = run->progress.total;
    tell(run, NULL);
    BP_TRY(bp_parallel_for(run->outline->n_matrices, run->n_benches, one_matrix, run, err));
    free_benches(run); /* reading back has its own */
    BP_TRY(fill_report(run, report, err));
    char *text = bp_decompose_report_json(o, report);
    if (!text)
        return bp_fail_nomem(err);
    enum bp_status status = bp_output_job_finish(run->job, text, err);
    free(text);
    return status;
}

enum bp_status bp_decompose(const struct bp_decompose_options *options,
                            struct bp_decompose_report *report, struct bp_err *err)
{
    struct run run = {.options = options,
                      .exact = strcmp(options->plan->method.effort, "exact") == 0};
    *report = (struct bp_decompose_report){0};
    bp_blas_single_thread();
    pthread_mutex_init(&run.lock, NULL);
    enum bp_status status = run_all(&run, report, err);
    bp_output_job_close(run.job);
    free_benches(&run);
    bp_output_free(run.output);
    bp_outline_free(run.outline);
    free(run.match);
    pthread_mutex_destroy(&run.lock);
    return status;
}

void bp_decompose_report_done(struct bp_decompose_report *report)
{
    free(report->rows);
    free(report->no_bnb);
    *report = (struct bp_decompose_report){0};
}

/* --- the report --- */

static void put_row(const struct bp_decompose_options *o, const struct bp_decompose_report *r,
                    size_t i, struct bp_json_out *out, struct cJSON *list)
{
    const struct bp_plan_entry *entry = &o->plan->entries[i];
    const struct bp_output_row *row = &r->rows[i];
    char config[BP_CONFIG_TEXT];
    struct cJSON *node = bp_json_put_object(out, list, NULL);
    bp_json_put_string(out, node, "name", entry->name);
    bp_json_put_string(out, node, "config", bp_config_format(&entry->candidate.config, config));
    bp_json_put_u64(out, node, "rank", entry->candidate.rank);
    bp_json_put_u64(out, node, "storage_bits", row->storage_bits);
    if (o->emits >> BP_EMIT_PACKED & 1)
        bp_json_put_u64(out, node, "packed_bits", row->packed_bits);
    bp_json_put_double(out, node, "planned_error", row->planned);
    struct cJSON *errors = bp_json_put_object(out, node, "error");
    for (int e = 0; e < BP_N_EMITS; e++)
        if (o->emits >> e & 1)
            bp_json_put_double(out, errors, bp_emit_name((enum bp_emit)e), row->error[e]);
    if (r->no_bnb)
        bp_json_put_string(out, node, "no_bnb", r->no_bnb[i]);
    bp_json_put_bool(out, node, "off", row->off);
}

char *bp_decompose_report_json(const struct bp_decompose_options *o,
                               const struct bp_decompose_report *r)
{
    struct bp_json_out out;
    bp_json_out_object(&out);
    bp_json_put_string(&out, out.root, "format", "bitplan.decomposition");
    bp_json_put_u64(&out, out.root, "version", 1);
    struct cJSON *model = bp_json_put_object(&out, out.root, "model");
    bp_json_put_string(&out, model, "name", o->model->name);
    bp_json_put_string(&out, model, "fingerprint", o->model->fingerprint);
    bp_json_put_bool(&out, model, "synthetic", o->model->synthetic);
    bp_json_put_string(&out, out.root, "table_fingerprint", o->plan->table_fingerprint);
    bp_json_put_string(&out, out.root, "weighting", o->plan->weighting);
    bp_json_put_string(&out, out.root, "effort", o->plan->method.effort);
    struct cJSON *forms = bp_json_put_array(&out, out.root, "forms");
    for (int e = 0; e < BP_N_EMITS; e++)
        if (o->emits >> e & 1)
            bp_json_put_string(&out, forms, NULL, bp_emit_name((enum bp_emit)e));
    bp_json_put_u64(&out, out.root, "low_rank_bits", o->low_rank_bits);
    bp_json_put_double(&out, out.root, "tolerance", r->tolerance);
    bp_json_put_u64(&out, out.root, "off", r->n_off);
    struct cJSON *list = bp_json_put_array(&out, out.root, "matrices");
    for (size_t i = 0; i < r->n; i++)
        put_row(o, r, i, &out, list);
    char *text = bp_json_print(&out, true);
    bp_json_out_done(&out);
    return text;
}
