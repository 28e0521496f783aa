/* The CPU's backend: configs of a matrix are shared out over threads. */
#include <stdlib.h>

#include "engine/backend.h"
#include "engine/mem.h"
#include "engine/one_step.h"
#include "engine/parallel.h"

struct cpu {
    unsigned threads;
    struct bp_lq_work **work; /* [threads] */
    struct bp_lq_matrix matrix;
    uint32_t rank;
    uint64_t seed;
};

static void cpu_free(void *state)
{
    struct cpu *cpu = state;
    for (unsigned t = 0; cpu->work && t < cpu->threads; t++)
        bp_lq_work_free(cpu->work[t]);
    free(cpu->work);
    free(cpu);
}

static enum bp_status cpu_load(void *state, const struct bp_lq_matrix *matrix, uint32_t rank,
                               uint64_t seed, struct bp_err *err)
{
    (void)err;
    struct cpu *cpu = state;
    cpu->matrix = *matrix;
    cpu->rank = rank;
    cpu->seed = seed;
    return BP_OK;
}

/* One call's worth of configs. */
struct batch {
    struct cpu *cpu;
    const struct bp_config *configs;
    struct bp_lq_options options;
    const struct bp_backend_watch *watch;
    atomic_size_t finished;
    double *error;
    uint16_t *ran;
};

static enum bp_status one_config(void *ctx, size_t i, unsigned worker, struct bp_err *err)
{
    struct batch *batch = ctx;
    const struct bp_backend_watch *watch = batch->watch;
    struct bp_lq_result result;
    if (watch && watch->stop && atomic_load(watch->stop))
        return BP_STOPPED;
    BP_TRY(bp_lq_decompose(batch->cpu->work[worker], &batch->cpu->matrix, &batch->configs[i],
                           &batch->options, NULL, NULL, &result, err));
    batch->error[i] = result.error;
    if (batch->ran)
        batch->ran[i] = (uint16_t)result.iterations;
    size_t finished = atomic_fetch_add(&batch->finished, 1) + 1;
    if (worker == 0 && watch && watch->done)
        watch->done(watch->ctx, finished);
    return BP_OK;
}

static enum bp_status run_batch(struct cpu *cpu, const struct bp_config *configs, size_t n,
                                uint32_t rank, uint32_t iterations,
                                const struct bp_backend_watch *watch, double *error, uint16_t *ran,
                                struct bp_err *err)
{
    struct batch batch = {
        .cpu = cpu, .configs = configs, .watch = watch, .error = error, .ran = ran};
    batch.options =
        (struct bp_lq_options){.rank = rank, .iterations = iterations, .seed = cpu->seed};
    return bp_parallel_for(n, cpu->threads, one_config, &batch, err);
}

static enum bp_status cpu_plain(void *state, const struct bp_config *configs, size_t n,
                                const struct bp_backend_watch *watch, double *error,
                                struct bp_err *err)
{
    struct cpu *cpu = state;
    return bp_one_step(&cpu->matrix, NULL, NULL, 0, configs, n, cpu->threads, watch, error, err);
}

static enum bp_status cpu_one_step(void *state, const struct bp_config *configs, size_t n,
                                   const struct bp_backend_watch *watch, double *error,
                                   struct bp_err *err)
{
    struct cpu *cpu = state;
    return run_batch(cpu, configs, n, cpu->rank, 1, watch, error, NULL, err);
}

static enum bp_status cpu_iterate(void *state, const struct bp_config *configs, size_t n,
                                  uint32_t max_iterations, const struct bp_backend_watch *watch,
                                  double *error, uint16_t *ran, struct bp_err *err)
{
    struct cpu *cpu = state;
    return run_batch(cpu, configs, n, cpu->rank, max_iterations, watch, error, ran, err);
}

static enum bp_status cpu_decompose(void *state, const struct bp_config *config,
                                    uint32_t max_iterations, const struct bp_lq_factors *factors,
                                    struct bp_lq_result *result, struct bp_err *err)
{
    struct cpu *cpu = state;
    struct bp_lq_options options = {cpu->rank, max_iterations, cpu->seed};
    return bp_lq_decompose(cpu->work[0], &cpu->matrix, config, &options, factors, NULL, result,
                           err);
}

static const struct bp_backend_ops cpu_ops = {.free = cpu_free,
                                              .load = cpu_load,
                                              .plain = cpu_plain,
                                              .one_step = cpu_one_step,
                                              .iterate = cpu_iterate,
                                              .decompose = cpu_decompose};

enum bp_status bp_backend_cpu_new(const struct bp_backend_limits *limits, unsigned threads,
                                  struct bp_backend *out, struct bp_err *err)
{
    *out = (struct bp_backend){0};
    struct cpu *cpu = calloc(1, sizeof *cpu);
    if (!cpu)
        return bp_fail_nomem(err);
    bp_blas_single_thread();
    cpu->threads = threads;
    cpu->work = bp_alloc_zero(threads, sizeof *cpu->work);
    enum bp_status status = cpu->work ? BP_OK : bp_fail_nomem(err);
    for (unsigned t = 0; status == BP_OK && t < threads; t++)
        status = bp_lq_work_new(limits->d_max, limits->k_max, limits->n_max, limits->r_max,
                                limits->B0_min, BP_SVD_RANDOMIZED, &cpu->work[t], err);
    if (status != BP_OK) {
        cpu_free(cpu);
        return status;
    }
    *out = (struct bp_backend){.name = "cpu", .state = cpu, .ops = &cpu_ops};
    return BP_OK;
}
