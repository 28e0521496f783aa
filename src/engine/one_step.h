/*
 * Errors of many configs of one matrix in one go: of quantizing W - L1 L2, or W itself. Each config
 * is what bp_quantize_scales, bp_quantize_values and bp_weighted_error give, within
 * BP_FAST_TOLERANCE; what configs have in common is done once: W - L1 L2 and block maxima for all,
 * scales for those that differ in b0 alone.
 *
 * The matrix is walked twice in panels of whole groups that fit a cache: once for the least block
 * maximum, which every scale needs, once for the rest. An error is the same to the bit whatever the
 * threads and whichever other configs are asked for.
 */
#ifndef BP_ENGINE_ONE_STEP_H
#define BP_ENGINE_ONE_STEP_H

#include <stddef.h>
#include <stdint.h>

#include "engine/backend.h"

/* error [n] of the configs, threads >= 1; L1 [d * r], L2 [r * k], or NULL with r = 0 for W itself;
 * watch may be NULL, and is told how much is done as if configs came one after the other. Memory:
 * panels of 64 Ki elements or, where rows are long, up to 260 rows a thread, whatever d; only
 * configs whose groups have no small common multiple make a panel of the whole matrix.
 * BP_ERR_NOMEM; BP_ERR_FAILED when numbers left FP32's range; BP_STOPPED. */
enum bp_status bp_one_step(const struct bp_lq_matrix *matrix, const float *L1, const float *L2,
                           uint32_t r, const struct bp_config *configs, size_t n, unsigned threads,
                           const struct bp_backend_watch *watch, double *error, struct bp_err *err);

#endif
