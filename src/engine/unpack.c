#include "engine/unpack.h"

#include <stdlib.h>

#include "engine/mem.h"
#include "engine/output_check.h"
#include "engine/output_job.h"
#include "engine/packed_read.h"
#include "engine/parallel.h"

struct run {
    const struct bp_unpack_options *options;
    struct bp_packed *packed;
    struct bp_output *from, *to;
    struct bp_output_reader reader; /* of `from` */
    struct bp_output_job *job;
    unsigned threads;       /* that read at a time */
    struct bp_parts *parts; /* [threads] */
    atomic_uint_fast64_t done;
    uint64_t total;
};

static bool asked_to_stop(void *ctx)
{
    const struct run *run = ctx;
    return run->options->stop && atomic_load(run->options->stop);
}

static char *path_of(void *ctx, size_t f)
{
    const struct run *run = ctx;
    return bp_strdup(run->packed->files[f]->path);
}

static enum bp_status make_parts(struct run *run, struct bp_err *err)
{
    const struct bp_outline *o = run->packed->outline;
    const struct bp_outline_extent x = bp_outline_extent(o);
    for (size_t i = 0; i < o->n_matrices; i++)
        run->total += o->matrices[i].d * o->matrices[i].k;
    run->parts = bp_alloc_zero(run->threads, sizeof *run->parts);
    if (!run->parts)
        return bp_fail_nomem(err);
    for (unsigned w = 0; w < run->threads; w++)
        BP_TRY(bp_parts_init(&run->parts[w], x.d, x.k, x.n, x.r, x.B0, err));
    return BP_OK;
}

static enum bp_status one_matrix(void *ctx, size_t i, unsigned worker, struct bp_err *err)
{
    struct run *run = ctx;
    const struct bp_outline_matrix *m = &run->packed->outline->matrices[i];
    const uint64_t n = m->d * m->k;
    if (asked_to_stop(run))
        return BP_STOPPED;
    if (!bp_output_job_has(run->job, i)) {
        BP_TRY(bp_output_read(&run->reader, BP_EMIT_PACKED, i, &run->parts[worker], err));
        BP_TRY(bp_output_put(run->to, i, &run->parts[worker], err));
        BP_TRY(bp_output_job_mark(run->job, i, err));
    }
    const uint64_t done = atomic_fetch_add(&run->done, n) + n;
    if (worker == 0 && run->options->progress)
        run->options->progress(run->options->progress_ctx, done, run->total, m->name);
    return BP_OK;
}

static enum bp_status run_all(struct run *run, struct bp_unpack_report *report, struct bp_err *err)
{
    const struct bp_unpack_options *o = run->options;
    BP_TRY(bp_packed_open(o->path, &run->packed, err));
    const struct bp_outline *outline = run->packed->outline;
    BP_TRY(bp_output_new(outline, 1u << BP_EMIT_PACKED, &run->from, err));
    BP_TRY(bp_output_reader_open(run->from, path_of, run, &run->reader, err));
    BP_TRY(bp_output_new(outline, 1u << BP_EMIT_HF, &run->to, err));
    BP_TRY(make_parts(run, err));
    const struct bp_output_work work = {.output = run->to,
                                        .dir = o->dir,
                                        .hash = run->packed->hash,
                                        .replace = o->replace,
                                        .stopped = asked_to_stop,
                                        .ctx = run};
    BP_TRY(bp_output_job_open(&work, &run->job, err));
    BP_TRY(bp_parallel_for(outline->n_matrices, run->threads, one_matrix, run, err));
    *report =
        (struct bp_unpack_report){outline->n_matrices, run->to->n_files, bp_output_bytes(run->to)};
    return bp_output_job_finish(run->job, NULL, err);
}

enum bp_status bp_unpack_model(const struct bp_unpack_options *options,
                               struct bp_unpack_report *report, struct bp_err *err)
{
    struct run run = {.options = options, .threads = options->threads};
    if (run.threads > BP_OUTPUT_MAX_READERS)
        run.threads = BP_OUTPUT_MAX_READERS;
    *report = (struct bp_unpack_report){0};
    enum bp_status status = run_all(&run, report, err);
    bp_output_job_close(run.job);
    for (unsigned w = 0; run.parts && w < run.threads; w++)
        bp_parts_done(&run.parts[w]);
    free(run.parts);
    if (run.reader.output)
        bp_output_reader_close(&run.reader);
    bp_output_free(run.from);
    bp_output_free(run.to);
    bp_packed_close(run.packed);
    return status;
}
