/*
 * The exact error of W ~ quantize(W - L1 L2) + L1 L2 for given L1, L2: FP32 products, the exact
 * offset, the arithmetic of quantize.h, in two passes over W by panels. The panel is workspace of
 * one thread and grows as needed: about a megabyte, or four groups of a config whose groups are
 * larger.
 */
#ifndef BP_ENGINE_LQ_EVALUATE_H
#define BP_ENGINE_LQ_EVALUATE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/lq.h"

struct bp_lq_panel {
    float *Z; /* [elems] */
    uint64_t elems;
    float *maxima, *choosing, *value; /* [blocks] */
    uint64_t blocks;
};

/* Room for so many elements in blocks of at least B0. BP_ERR_NOMEM. */
enum bp_status bp_lq_panel_reserve(struct bp_lq_panel *panel, uint64_t elems, uint32_t B0,
                                   struct bp_err *err);
void bp_lq_panel_done(struct bp_lq_panel *panel);

/* L1 [d * r], L2 [r * k]; r = 0: none. */
struct bp_lq_lowrank {
    const float *L1, *L2;
    uint32_t r;
};

/* The least block maximum of W - L1 L2 in blocks of B0. */
enum bp_status bp_lq_offset(struct bp_lq_panel *panel, const struct bp_lq_matrix *matrix,
                            const struct bp_lq_lowrank *lowrank, uint32_t B0, uint32_t B1,
                            const atomic_bool *stop, float *offset, struct bp_err *err);

/* error [n] for configs [n] that differ in b2 alone. BP_STOPPED when *stop (may be NULL) is set,
 * BP_ERR_FAILED when an error is not finite. */
enum bp_status bp_lq_evaluate(struct bp_lq_panel *panel, const struct bp_lq_matrix *matrix,
                              const struct bp_lq_lowrank *lowrank, const struct bp_config *configs,
                              size_t n, const atomic_bool *stop, double *error, struct bp_err *err);

#endif
