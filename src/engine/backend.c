#include "engine/backend.h"

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
