/*
 * The low-rank plus quantized decomposition made fast: the answer of lq.h up to that procedure's
 * own noise (its stop flips on rounding), at a fraction of the cost.
 *
 * L = U V' (U orthonormal, q columns, the first r of them in L) is carried from iteration to
 * iteration instead of factorizing anew, and one pass over W in panels of rows does all of it:
 *
 *     Z = W - L;  E = Z - quantize(Z);  R = L + eta E
 *     Y = R V = U (V'V) + eta E V;  A = R'Y = V (U'Y) + eta E'Y
 *     Y X orthonormal (CholeskyQR, Gram matrix in double);  U = Y X, V = A X
 *
 * One step of subspace iteration on R, warm-started. eta = 1 is Algorithm 2; falling from 3 or more
 * to 1 over the planned iterations (over-relaxation; less of it after a rise) reaches in 12 what
 * takes it 34 to 68. With Fisher weights U V' is D_row L D_col and R is D_row (L + eta E) D_col,
 * the diagonals applied to the thin factors. The least block maximum that the scales need is the
 * last iterate's within an iteration, and exact where an error is reported: the last iterate, in
 * FP32 with quantize.h's arithmetic, each b2 on its own; an earlier one and the one-step iterate
 * too where they may be better. So the result is never worse than one step.
 *
 * Memory of a work struct: 3 d + 4 k (with weights 6 k) rows of q floats and a panel, whatever d k.
 * Results depend on the matrix, the start, the config and max_iterations, on whether products are
 * in BF16, and on nothing else. A work struct serves one thread, a start any number.
 */
#ifndef BP_ENGINE_LQ_FAST_H
#define BP_ENGINE_LQ_FAST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/lq.h"
#include "engine/lq_start.h"

/* How many iterations (errors looked at; 1 is the one step) the schedule takes for codes of b0 bits
 * in a d x k matrix. */
uint32_t bp_lq_fast_iterations(uint64_t d, uint64_t k, uint32_t b0);

/* What the step behind iterate t of T multiplies E with, t = 1 .. T - 1, if no error rose. */
float bp_lq_fast_eta(const struct bp_config *c, uint32_t t, uint32_t T);

struct bp_lq_fast_work;

/* Workspace for one thread: matrices up to d_max x k_max, ranks up to r_max. BP_ERR_NOMEM. */
enum bp_status bp_lq_fast_work_new(uint64_t d_max, uint64_t k_max, uint32_t r_max,
                                   struct bp_lq_fast_work **out, struct bp_err *err);
struct bp_lq_fast_work *bp_lq_fast_work_free(struct bp_lq_fast_work *work);

struct bp_lq_fast_options {
    uint32_t max_iterations; /* >= 1 */
    bool portable;           /* FP32 products even where BF16 ones could be had */
    const atomic_bool *stop; /* NULL, or asked between panels: BP_STOPPED */
};

/* results [n] for the configs of one family, n <= BP_N_SCALE_TYPES. factors: NULL, or, with n == 1,
 * where the parts go. */
enum bp_status bp_lq_fast_decompose(struct bp_lq_fast_work *work, const struct bp_lq_start *start,
                                    const struct bp_config *configs, size_t n,
                                    const struct bp_lq_fast_options *options,
                                    const struct bp_lq_factors *factors,
                                    struct bp_lq_result *results, struct bp_err *err);

#endif
