#include "engine/backend.h"

#include <string.h>

#include "engine/backend_cuda.h"

bool bp_backend_kind_parse(const char *word, enum bp_backend_kind *out)
{
    static const char *const words[] = {
        [BP_BACKEND_CPU] = "cpu", [BP_BACKEND_CUDA] = "cuda", [BP_BACKEND_AUTO] = "auto"};
    for (int i = 0; i <= BP_BACKEND_AUTO; i++)
        if (strcmp(word, words[i]) == 0) {
            *out = (enum bp_backend_kind)i;
            return true;
        }
    return false;
}

enum bp_backend_kind bp_backend_auto(struct bp_err *why)
{
    struct bp_cuda_look look;
    bp_cuda_look(&look);
    why->text[0] = '\0';
    if (look.cause == BP_CUDA_USABLE)
        return BP_BACKEND_CUDA;
    if (bp_cuda_half_working(&look))
        bp_fail(why, BP_OK, "%s", look.reason);
    return BP_BACKEND_CPU;
}

enum bp_status bp_backend_new(enum bp_backend_kind kind, const struct bp_backend_limits *limits,
                              unsigned threads, struct bp_backend *out, struct bp_err *err)
{
    struct bp_err why;
    if (kind == BP_BACKEND_AUTO)
        kind = bp_backend_auto(&why);
    return kind == BP_BACKEND_CUDA ? bp_backend_cuda_new(limits, out, err)
                                   : bp_backend_cpu_new(limits, threads, out, err);
}

void bp_backend_free(struct bp_backend *b)
{
    if (b->ops)
        b->ops->free(b->state);
    *b = (struct bp_backend){0};
}

enum bp_status bp_backend_load(struct bp_backend *b, const struct bp_lq_matrix *matrix,
                               uint32_t rank, uint64_t seed, struct bp_err *err)
{
    return b->ops->load(b->state, matrix, rank, seed, err);
}

enum bp_status bp_backend_plain(struct bp_backend *b, const struct bp_config *configs, size_t n,
                                const struct bp_backend_watch *watch, double *error,
                                struct bp_err *err)
{
    return b->ops->plain(b->state, configs, n, watch, error, err);
}

enum bp_status bp_backend_one_step(struct bp_backend *b, const struct bp_config *configs, size_t n,
                                   const struct bp_backend_watch *watch, double *error,
                                   struct bp_err *err)
{
    return b->ops->one_step(b->state, configs, n, watch, error, err);
}

enum bp_status bp_backend_iterate(struct bp_backend *b, const struct bp_config *configs, size_t n,
                                  uint32_t max_iterations, const struct bp_backend_watch *watch,
                                  double *error, uint16_t *ran, struct bp_err *err)
{
    return b->ops->iterate(b->state, configs, n, max_iterations, watch, error, ran, err);
}

enum bp_status bp_backend_decompose(struct bp_backend *b, const struct bp_config *config,
                                    uint32_t max_iterations, const struct bp_lq_factors *factors,
                                    struct bp_lq_result *result, struct bp_err *err)
{
    return b->ops->decompose(b->state, config, max_iterations, factors, result, err);
}
