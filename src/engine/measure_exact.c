/* Rows of a table by the reference procedure: cells are shared out over threads. */
#include <inttypes.h>

#include "engine/lq.h"
#include "engine/measure_impl.h"
#include "engine/mem.h"
#include "engine/parallel.h"
#include "engine/printable.h"

enum bp_status bp_measure_work_new(const struct bp_table *t, struct bp_lq_work **out,
                                   uint64_t *n_max, struct bp_err *err)
{
    struct bp_backend_limits most;
    bp_measure_limits(t, &most);
    *n_max = most.n_max;
    return bp_lq_work_new(most.d_max, most.k_max, most.n_max, most.r_max, most.B0_min,
                          BP_SVD_RANDOMIZED, out, err);
}

enum bp_status bp_measure_exact_begin(struct bp_measure_job *job, struct bp_err *err)
{
    const unsigned threads = job->options->threads;
    uint64_t n = 0;
    bp_blas_single_thread();
    job->work = bp_alloc_zero(threads, sizeof *job->work);
    if (!job->work)
        return bp_fail_nomem(err);
    for (unsigned w = 0; w < threads; w++)
        BP_TRY(bp_measure_work_new(job->want, &job->work[w], &n, err));
    return BP_OK;
}

/* One cell of the row in hand: candidate j, or one of the baselines behind the candidates. */
static enum bp_status measure_cell(void *ctx, size_t j, unsigned worker, struct bp_err *err)
{
    struct bp_measure_job *job = ctx;
    const struct bp_measure_options *o = job->options;
    if (o->stop && atomic_load(o->stop))
        return BP_STOPPED;
    const size_t C = job->want->n_candidates;
    const bool baseline = j >= C;
    const struct bp_config *config = !baseline ? &job->want->candidates[j].config
                                     : j == C  ? &bp_config_nf4
                                               : &bp_config_nf3;
    struct bp_lq_matrix m = bp_measure_matrix(job);
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
    job->stage[j] = BP_CELL_ITERATED;
    atomic_fetch_add(&job->row_cells, 1);
    if (worker == 0)
        bp_measure_tell(job);
    return BP_OK;
}

enum bp_status bp_measure_exact_row(struct bp_measure_job *job, struct bp_err *err)
{
    return bp_parallel_for(job->want->n_candidates + BP_N_BASELINES, job->options->threads,
                           measure_cell, job, err);
}
