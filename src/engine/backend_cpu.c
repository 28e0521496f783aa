/* The CPU's backend: the configs of a matrix are shared out over threads, a family (configs that
 * differ in b2 alone) at a time. */
#include <stdlib.h>

#include "engine/backend.h"
#include "engine/lq_fast.h"
#include "engine/mem.h"
#include "engine/one_step.h"
#include "engine/parallel.h"

struct cpu {
    unsigned threads;
    struct bp_lq_start *start;
    struct bp_lq_fast_work **work; /* [threads] */
};

static void cpu_free(void *state)
{
    struct cpu *cpu = state;
    for (unsigned t = 0; cpu->work && t < cpu->threads; t++)
        bp_lq_fast_work_free(cpu->work[t]);
    free(cpu->work);
    bp_lq_start_free(cpu->start);
    free(cpu);
}

static enum bp_status cpu_load(void *state, const struct bp_lq_matrix *matrix, uint32_t rank,
                               uint64_t seed, struct bp_err *err)
{
    struct cpu *cpu = state;
    return bp_lq_start_make(cpu->start, matrix, rank, seed, cpu->threads, err);
}

/* --- many configs --- */

struct family {
    struct bp_config configs[BP_N_SCALE_TYPES];
    size_t at[BP_N_SCALE_TYPES]; /* their places in the call's arrays */
    size_t n;
};

/* One call's worth of configs. */
struct batch {
    struct cpu *cpu;
    struct bp_lq_fast_options options;
    const struct bp_backend_watch *watch;
    struct family *families;
    atomic_size_t finished;
    double *error;
    uint16_t *ran;
};

/* families [n] from configs [n]; returns how many there are. */
static size_t group(const struct bp_config *configs, size_t n, struct family *families)
{
    size_t n_families = 0;
    for (size_t i = 0; i < n; i++) {
        size_t f = 0;
        while (f < n_families && !(families[f].n < BP_N_SCALE_TYPES &&
                                   bp_config_same_family(&families[f].configs[0], &configs[i])))
            f++;
        if (f == n_families)
            families[n_families++].n = 0;
        families[f].at[families[f].n] = i;
        families[f].configs[families[f].n++] = configs[i];
    }
    return n_families;
}

static enum bp_status one_family(void *ctx, size_t i, unsigned worker, struct bp_err *err)
{
    struct batch *batch = ctx;
    const struct bp_backend_watch *watch = batch->watch;
    const struct family *f = &batch->families[i];
    struct bp_lq_result results[BP_N_SCALE_TYPES];
    BP_TRY(bp_lq_fast_decompose(batch->cpu->work[worker], batch->cpu->start, f->configs, f->n,
                                &batch->options, NULL, results, err));
    for (size_t j = 0; j < f->n; j++) {
        batch->error[f->at[j]] = results[j].error;
        if (batch->ran)
            batch->ran[f->at[j]] = (uint16_t)results[j].iterations;
    }
    size_t finished = atomic_fetch_add(&batch->finished, f->n) + f->n;
    if (worker == 0 && watch && watch->done)
        watch->done(watch->ctx, finished);
    return BP_OK;
}

static enum bp_status cpu_plain(void *state, const struct bp_config *configs, size_t n,
                                const struct bp_backend_watch *watch, double *error,
                                struct bp_err *err)
{
    struct cpu *cpu = state;
    return bp_one_step(&cpu->start->matrix, NULL, NULL, 0, configs, n, cpu->threads, watch, error,
                       err);
}

static enum bp_status cpu_one_step(void *state, const struct bp_config *configs, size_t n,
                                   const struct bp_backend_watch *watch, double *error,
                                   struct bp_err *err)
{
    struct cpu *cpu = state;
    const struct bp_lq_start *s = cpu->start;
    return bp_one_step(&s->matrix, s->L1, s->L2, s->r, configs, n, cpu->threads, watch, error, err);
}

static enum bp_status cpu_iterate(void *state, const struct bp_config *configs, size_t n,
                                  uint32_t max_iterations, const struct bp_backend_watch *watch,
                                  double *error, uint16_t *ran, struct bp_err *err)
{
    struct cpu *cpu = state;
    struct batch batch = {.cpu = cpu, .watch = watch, .error = error, .ran = ran};
    if (cpu->start->r == 0 || max_iterations == 1) {
        for (size_t i = 0; ran && i < n; i++)
            ran[i] = cpu->start->r > 0;
        return cpu_one_step(state, configs, n, watch, error, err);
    }
    batch.options = (struct bp_lq_fast_options){.max_iterations = max_iterations,
                                                .stop = watch ? watch->stop : NULL};
    batch.families = bp_alloc(n, sizeof *batch.families);
    if (!batch.families)
        return bp_fail_nomem(err);
    size_t n_families = group(configs, n, batch.families);
    enum bp_status status = bp_parallel_for(n_families, cpu->threads, one_family, &batch, err);
    free(batch.families);
    return status;
}

static enum bp_status cpu_decompose(void *state, const struct bp_config *config,
                                    uint32_t max_iterations, const struct bp_lq_factors *factors,
                                    struct bp_lq_result *result, struct bp_err *err)
{
    struct cpu *cpu = state;
    const struct bp_lq_fast_options options = {.max_iterations = max_iterations};
    return bp_lq_fast_decompose(cpu->work[0], cpu->start, config, 1, &options, factors, result,
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
    if (status == BP_OK)
        status = bp_lq_start_new(limits->d_max, limits->k_max, limits->r_max, &cpu->start, err);
    for (unsigned t = 0; status == BP_OK && t < threads; t++)
        status =
            bp_lq_fast_work_new(limits->d_max, limits->k_max, limits->r_max, &cpu->work[t], err);
    if (status != BP_OK) {
        cpu_free(cpu);
        return status;
    }
    *out = (struct bp_backend){.name = "cpu", .state = cpu, .ops = &cpu_ops};
    return BP_OK;
}
