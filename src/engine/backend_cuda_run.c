/* The CUDA backend over the operations of its shared object: what is computed is settled here, by
 * the rules that the CPU's backend has too. */
#include <stdlib.h>
#include <string.h>

#include "engine/backend_cuda.h"
#include "engine/lq_fast.h"
#include "engine/mem.h"
#include "engine/nf.h"
#include "engine/rng.h"
#include "kernels/bp_cuda.h"

/* Trajectories in flight: while one waits for a small factorization, another uses the device. */
enum { LANES = 4 };

struct cuda {
    const struct bp_cuda_api *api;
    struct bp_cuda *state;
    uint64_t d, k;
    float *sketch; /* [d_max * q_max] */
    float *scales; /* [d_max + k_max] */
};

static enum bp_status status_of(int code, const struct bp_cuda_say *say, struct bp_err *err)
{
    if (code == BP_CUDA_OK)
        return BP_OK;
    return code == BP_CUDA_STOPPED ? BP_STOPPED
                                   : bp_fail(err, BP_ERR_FAILED, "cuda: %s", say->text);
}

static void cuda_free(void *state)
{
    struct cuda *cuda = state;
    if (cuda->state)
        cuda->api->free(cuda->state);
    free(cuda->sketch);
    free(cuda->scales);
    free(cuda);
}

static enum bp_status cuda_load(void *state, const struct bp_lq_matrix *m, uint32_t rank,
                                uint64_t seed, struct bp_err *err)
{
    struct cuda *cuda = state;
    struct bp_cuda_say say = {""};
    struct bp_cuda_matrix on_device = {.W = m->W,
                                       .F = m->F,
                                       .row = cuda->scales,
                                       .col = cuda->scales + m->d,
                                       .sketch = cuda->sketch,
                                       .d = m->d,
                                       .k = m->k,
                                       .r = bp_svd_rank(m->d, m->k, rank),
                                       .power = BP_SVD_POWER_ITERATIONS};
    if (on_device.r > 0) {
        on_device.q = bp_lq_start_columns(m->d, m->k, on_device.r);
        bp_rng_normal(bp_rng_key(seed, m->name, "start", 0), 0, m->d * on_device.q, cuda->sketch);
    }
    if (m->F && !bp_lq_fisher_scales(m, cuda->scales, cuda->scales + m->d))
        return bp_fail_nomem(err);
    cuda->d = m->d;
    cuda->k = m->k;
    return status_of(cuda->api->load(cuda->state, &on_device, &say), &say, err);
}

/* --- following a call --- */

struct follow {
    const struct bp_backend_watch *watch;
    const struct bp_cuda_job *jobs; /* NULL: each item is a config */
};

static int stopped(void *ctx)
{
    const struct follow *f = ctx;
    return f->watch && f->watch->stop && atomic_load(f->watch->stop);
}

static void done(void *ctx, size_t n)
{
    const struct follow *f = ctx;
    size_t configs = f->jobs ? 0 : n;
    for (size_t i = 0; f->jobs && i < n; i++)
        configs += f->jobs[i].n_b2;
    if (f->watch && f->watch->done)
        f->watch->done(f->watch->ctx, configs);
}

/* --- errors of what is fixed --- */

static struct bp_cuda_config config_of(const struct bp_config *c)
{
    return (struct bp_cuda_config){.b0 = c->b0, .b1 = c->b1, .b2 = c->b2, .B0 = c->B0, .B1 = c->B1};
}

static enum bp_status evaluate(struct cuda *cuda, int one_step, const struct bp_config *configs,
                               size_t n, const struct bp_backend_watch *watch, double *error,
                               struct bp_err *err)
{
    struct bp_cuda_say say = {""};
    struct follow follow = {.watch = watch};
    const struct bp_cuda_watch on_device = {stopped, done, &follow};
    struct bp_cuda_config *list = bp_alloc(n, sizeof *list);
    if (!list)
        return bp_fail_nomem(err);
    for (size_t i = 0; i < n; i++)
        list[i] = config_of(&configs[i]);
    int code = cuda->api->evaluate(cuda->state, one_step, list, n, &on_device, error, &say);
    free(list);
    return status_of(code, &say, err);
}

static enum bp_status cuda_plain(void *state, const struct bp_config *configs, size_t n,
                                 const struct bp_backend_watch *watch, double *error,
                                 struct bp_err *err)
{
    return evaluate(state, 0, configs, n, watch, error, err);
}

static enum bp_status cuda_one_step(void *state, const struct bp_config *configs, size_t n,
                                    const struct bp_backend_watch *watch, double *error,
                                    struct bp_err *err)
{
    return evaluate(state, 1, configs, n, watch, error, err);
}

/* --- trajectories --- */

/* The schedule of a family: eta [BP_LQ_MAX_ITERATIONS] is the job's. */
static void plan_job(const struct cuda *cuda, const struct bp_config *c, uint32_t max_iterations,
                     float *eta, struct bp_cuda_job *job)
{
    const uint32_t T = bp_lq_fast_iterations(cuda->d, cuda->k, c->b0);
    *job = (struct bp_cuda_job){.config = config_of(c), .eta = eta};
    job->iterations = T < max_iterations ? T : max_iterations;
    job->config.b2 = BP_SCALE_FP32; /* whichever of the family are asked for */
    job->carry_all = c->b0 == 2;
    for (uint32_t t = 1; t < job->iterations; t++)
        eta[t - 1] = bp_lq_fast_eta(c, t, job->iterations);
}

/* The jobs of one call: families of configs, where each config's answer is. */
struct batch {
    struct bp_cuda_job *jobs;   /* [n_jobs] of [n] */
    struct bp_config *families; /* [n_jobs] the first of each */
    float *eta;                 /* [n * BP_LQ_MAX_ITERATIONS] */
    struct {
        size_t job;
        uint32_t at;
    } * answers; /* [n] */
    size_t n_jobs;
};

static void batch_done(struct batch *b)
{
    free(b->jobs);
    free(b->families);
    free(b->eta);
    free(b->answers);
}

static enum bp_status batch_init(struct batch *b, const struct cuda *cuda,
                                 const struct bp_config *configs, size_t n, uint32_t max_iterations,
                                 struct bp_err *err)
{
    *b = (struct batch){.jobs = bp_alloc(n, sizeof *b->jobs),
                        .families = bp_alloc(n, sizeof *b->families),
                        .eta = bp_alloc(n * BP_LQ_MAX_ITERATIONS, sizeof *b->eta),
                        .answers = bp_alloc(n, sizeof *b->answers)};
    if (!b->jobs || !b->families || !b->eta || !b->answers)
        return bp_fail_nomem(err);
    for (size_t i = 0; i < n; i++) {
        size_t j = 0;
        while (j < b->n_jobs && (b->jobs[j].n_b2 == BP_N_SCALE_TYPES ||
                                 !bp_config_same_family(&b->families[j], &configs[i])))
            j++;
        if (j == b->n_jobs) {
            b->families[b->n_jobs++] = configs[i];
            plan_job(cuda, &configs[i], max_iterations, b->eta + j * BP_LQ_MAX_ITERATIONS,
                     &b->jobs[j]);
        }
        b->answers[i].job = j;
        b->answers[i].at = b->jobs[j].n_b2;
        b->jobs[j].b2[b->jobs[j].n_b2++] = configs[i].b2;
    }
    return BP_OK;
}

static enum bp_status cuda_iterate(void *state, const struct bp_config *configs, size_t n,
                                   uint32_t max_iterations, const struct bp_backend_watch *watch,
                                   double *error, uint16_t *ran, struct bp_err *err)
{
    struct cuda *cuda = state;
    struct bp_cuda_say say = {""};
    struct batch batch;
    enum bp_status status = batch_init(&batch, cuda, configs, n, max_iterations, err);
    if (status == BP_OK) {
        struct follow follow = {.watch = watch, .jobs = batch.jobs};
        const struct bp_cuda_watch on_device = {stopped, done, &follow};
        int code = cuda->api->iterate(cuda->state, batch.jobs, batch.n_jobs, &on_device, &say);
        status = status_of(code, &say, err);
    }
    for (size_t i = 0; status == BP_OK && i < n; i++) {
        const struct bp_cuda_job *job = &batch.jobs[batch.answers[i].job];
        error[i] = job->error[batch.answers[i].at];
        if (ran)
            ran[i] = (uint16_t)job->ran;
    }
    batch_done(&batch);
    return status;
}

static enum bp_status cuda_decompose(void *state, const struct bp_config *config,
                                     uint32_t max_iterations, const struct bp_lq_factors *factors,
                                     struct bp_lq_result *result, struct bp_err *err)
{
    struct cuda *cuda = state;
    struct bp_cuda_say say = {""};
    struct bp_cuda_job job;
    float eta[BP_LQ_MAX_ITERATIONS];
    const struct bp_lq_factors none = {0}, *f = factors ? factors : &none;
    const struct bp_cuda_factors on_device = {.Q = f->Q, .L1 = f->L1, .L2 = f->L2};
    plan_job(cuda, config, max_iterations, eta, &job);
    job.b2[job.n_b2++] = config->b2;
    BP_TRY(status_of(cuda->api->decompose(cuda->state, &job, &on_device, &say), &say, err));
    *result = (struct bp_lq_result){job.error[0], job.ran, job.best};
    return BP_OK;
}

/* --- making one --- */

static void codebooks(struct bp_cuda_codebooks *books)
{
    static const unsigned bits[4] = {2, 3, 4, 8};
    memset(books, 0, sizeof *books);
    for (int b = 0; b < 4; b++) {
        memcpy(books->values[b], bp_nf_values(bits[b]), sizeof(float) << bits[b]);
        bp_nf_bounds(bits[b], books->bounds[b]);
    }
}

static enum bp_status make(struct cuda *cuda, const struct bp_backend_limits *limits,
                           struct bp_err *err)
{
    struct bp_cuda_say say = {""};
    struct bp_cuda_codebooks books;
    struct bp_cuda_limits on_device = {
        .d_max = limits->d_max,
        .k_max = limits->k_max,
        .n_max = limits->n_max,
        .r_max = bp_svd_rank(limits->d_max, limits->k_max, limits->r_max),
        .B0_min = limits->B0_min,
        .lanes = LANES,
        .tf32 = 1,
    };
    if (on_device.r_max > 0)
        on_device.q_max = bp_lq_start_columns(limits->d_max, limits->k_max, on_device.r_max);
    cuda->sketch = bp_alloc(limits->d_max * on_device.q_max, sizeof(float));
    cuda->scales = bp_alloc(limits->d_max + limits->k_max, sizeof(float));
    if (!cuda->sketch || !cuda->scales)
        return bp_fail_nomem(err);
    codebooks(&books);
    return status_of(cuda->api->create(&on_device, &books, &cuda->state, &say), &say, err);
}

static const struct bp_backend_ops cuda_ops = {.free = cuda_free,
                                               .load = cuda_load,
                                               .plain = cuda_plain,
                                               .one_step = cuda_one_step,
                                               .iterate = cuda_iterate,
                                               .decompose = cuda_decompose};

enum bp_status bp_backend_cuda_new(const struct bp_backend_limits *limits, struct bp_backend *out,
                                   struct bp_err *err)
{
    *out = (struct bp_backend){0};
    struct bp_cuda_look look;
    const struct bp_cuda_api *api = bp_cuda_open(&look);
    if (!api)
        return bp_fail(err, BP_ERR_FAILED, "cuda: %s", look.reason);
    struct cuda *cuda = calloc(1, sizeof *cuda);
    if (!cuda)
        return bp_fail_nomem(err);
    cuda->api = api;
    enum bp_status status = make(cuda, limits, err);
    if (status != BP_OK) {
        cuda_free(cuda);
        return status;
    }
    *out = (struct bp_backend){.name = "cuda", .state = cuda, .ops = &cuda_ops};
    return BP_OK;
}
