/* Rows of a table by a backend: one step for all cells, then iteration of all or of those that
 * screening picks. Candidates stand in blocks of one rank, each block the grid in its order. */
#include <string.h>

#include "engine/measure_impl.h"
#include "engine/mem.h"
#include "engine/printable.h"

/* Cells of the row in hand that are finished, beside those of the call under way. */
struct watched {
    struct bp_measure_job *job;
    uint64_t before;
};

static void configs_done(void *ctx, size_t n_configs)
{
    const struct watched *w = ctx;
    atomic_store(&w->job->row_cells, w->before + n_configs);
    bp_measure_tell(w->job);
}

static struct bp_backend_watch watch(struct watched *w, struct bp_measure_job *job)
{
    *w = (struct watched){job, atomic_load(&job->row_cells)};
    return (struct bp_backend_watch){.stop = job->options->stop, .done = configs_done, .ctx = w};
}

enum bp_status bp_measure_staged_begin(struct bp_measure_job *job, struct bp_err *err)
{
    const struct bp_measure_options *o = job->options;
    const size_t n = o->grid->n;
    struct bp_backend_limits most;
    bp_measure_limits(job->want, &most);
    BP_TRY(bp_backend_cpu_new(&most, o->threads, &job->backend, err));
    if (o->effort != BP_EFFORT_BALANCED)
        return BP_OK;
    job->some = bp_alloc(n, sizeof *job->some);
    job->one_step = bp_alloc(n, sizeof *job->one_step);
    job->some_error = bp_alloc(n, sizeof *job->some_error);
    job->some_ran = bp_alloc(n, sizeof *job->some_ran);
    job->picked = bp_alloc(n, 1);
    job->iterated = bp_alloc(n, 1);
    if (!job->some || !job->one_step || !job->some_error || !job->some_ran || !job->picked ||
        !job->iterated)
        return bp_fail_nomem(err);
    return bp_screen_new(o->grid->configs, n, &job->screen, err);
}

/* Iterates the picked configs of the block that begins at candidate `first`. */
static enum bp_status iterate_picked(struct bp_measure_job *job, size_t first, struct bp_err *err)
{
    const struct bp_grid *grid = job->options->grid;
    struct watched watched;
    const struct bp_backend_watch looking = watch(&watched, job);
    size_t n = 0;
    for (size_t j = 0; j < grid->n; j++)
        if (job->picked[j])
            job->some[n++] = grid->configs[j];
    BP_TRY(bp_backend_iterate(&job->backend, job->some, n, job->options->iterations, &looking,
                              job->some_error, job->some_ran, err));
    atomic_store(&job->row_cells, watched.before + n);
    n = 0;
    for (size_t j = 0; j < grid->n; j++) {
        if (!job->picked[j])
            continue;
        job->error[first + j] = job->some_error[n];
        job->iterations[first + j] = job->some_ran[n++];
        job->stage[first + j] = BP_CELL_ITERATED;
        job->iterated[j] = 1;
    }
    return BP_OK;
}

/* From the one-step errors in job->error to errors that plans can rest on. */
static enum bp_status refine_where_it_matters(struct bp_measure_job *job, size_t first,
                                              struct bp_err *err)
{
    const size_t n = job->options->grid->n;
    const uint64_t *storage = job->table->storage + job->row * job->want->n_candidates + first;
    double *error = job->error + first;
    memcpy(job->one_step, error, n * sizeof *error);
    memset(job->iterated, 0, n);
    memset(job->stage + first, BP_CELL_ESTIMATED, n);
    memset(job->iterations + first, 0, n * sizeof *job->iterations);
    size_t more = bp_screen_first(job->screen, storage, job->one_step, job->picked);
    while (more > 0) {
        BP_TRY(iterate_picked(job, first, err));
        bp_screen_estimate(job->screen, job->one_step, job->iterated, error);
        more = bp_screen_next(job->screen, storage, error, job->iterated, job->picked);
    }
    return BP_OK;
}

/* The candidates of one rank, which the backend has loaded. Rank 0 has nothing to iterate. */
static enum bp_status measure_block(struct bp_measure_job *job, size_t block, bool refine,
                                    struct bp_err *err)
{
    const struct bp_measure_options *o = job->options;
    const struct bp_config *configs = o->grid->configs;
    const size_t n = o->grid->n, first = block * n;
    const bool plain = o->ranks[block] == 0, all = refine && o->effort == BP_EFFORT_FULL;
    double *error = job->error + first;
    struct watched watched;
    const struct bp_backend_watch looking = watch(&watched, job);
    for (size_t j = first; j < first + n; j++) {
        job->iterations[j] = plain ? 0 : 1;
        job->stage[j] = plain || all ? BP_CELL_ITERATED : BP_CELL_ONE_STEP;
    }
    if (plain)
        BP_TRY(bp_backend_plain(&job->backend, configs, n, &looking, error, err));
    else if (all)
        BP_TRY(bp_backend_iterate(&job->backend, configs, n, o->iterations, &looking, error,
                                  job->iterations + first, err));
    else if (refine) /* its cells count when they are iterated */
        BP_TRY(bp_backend_one_step(&job->backend, configs, n,
                                   &(struct bp_backend_watch){.stop = o->stop}, error, err));
    else
        BP_TRY(bp_backend_one_step(&job->backend, configs, n, &looking, error, err));
    if (refine && !plain && !all)
        BP_TRY(refine_where_it_matters(job, first, err));
    atomic_store(&job->row_cells, first + n);
    return BP_OK;
}

static enum bp_status measure_blocks(struct bp_measure_job *job, bool refine, struct bp_err *err)
{
    static const struct bp_config *const baselines[BP_N_BASELINES] = {&bp_config_nf4,
                                                                      &bp_config_nf3};
    const struct bp_measure_options *o = job->options;
    const struct bp_lq_matrix m = bp_measure_matrix(job);
    const struct bp_backend_watch looking = {.stop = o->stop};
    for (size_t block = 0; block < o->n_ranks; block++) {
        if (o->stop && atomic_load(o->stop))
            return BP_STOPPED;
        BP_TRY(bp_backend_load(&job->backend, &m, o->ranks[block], o->seed, err));
        for (int b = 0; block == 0 && b < BP_N_BASELINES; b++)
            BP_TRY(
                bp_backend_plain(&job->backend, baselines[b], 1, &looking, &job->baseline[b], err));
        BP_TRY(measure_block(job, block, refine, err));
    }
    return BP_OK;
}

enum bp_status bp_measure_staged_row(struct bp_measure_job *job, bool refine, struct bp_err *err)
{
    const enum bp_status status = measure_blocks(job, refine, err);
    if (status == BP_OK || status == BP_STOPPED)
        return status;
    return bp_fail_in(err, status, "matrix %s",
                      bp_printable(job->want->matrices[job->row].name).text);
}
