/*
 * The frontier: the least error at each of many budgets, with its proof, what another MiB is worth
 * there, and the knees, where that worth drops most. And as a picture.
 *
 * Borrows the planner's table, which must outlive it. Errors here are what was minimized: the
 * objective, which is the error but for --weight and --objective.
 */
#ifndef BP_ENGINE_FRONTIER_H
#define BP_ENGINE_FRONTIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/planner.h"

struct bp_frontier_sample {
    double asked; /* in the budget's unit */
    uint64_t budget_bits, storage_bits;
    double bits_per_param, effective_bits_per_param;
    double error, relative_error; /* NaN as in plans */
    double objective, lower_bound;
    bool optimal;
    double shadow_price; /* objective that another MiB would save here */
    double bend;   /* see bp_frontier_find_knees, in mean slopes; -INFINITY where there is none */
    unsigned knee; /* 1 = the sharpest of all, 2, 3; 0 = none */
};

/* A candidate taken for every matrix. */
struct bp_frontier_uniform {
    uint32_t candidate;
    double bits_per_param, objective;
};

struct bp_frontier {
    const struct bp_table *table;
    bool weighted;                      /* the objective is not the error */
    struct bp_frontier_sample *samples; /* [n] in the order of the budgets */
    size_t n;
    struct bp_frontier_uniform *uniform; /* [n_uniform] those that are whole and allowed */
    size_t n_uniform;
    struct bp_baseline baselines[BP_MAX_BASELINES]; /* QLoRA's, of the first plan */
    size_t n_baselines;
};

/* Solves each of budgets [n], n >= 1, ascending, none of which counts low-rank parts. limits (may
 * be NULL) hold for each solve. Fails as bp_planner_solve does; a solve that ends without a proof
 * leaves a sample that is not optimal. bp_frontier_done in any case. */
enum bp_status bp_frontier_solve(struct bp_planner *planner, const struct bp_table *table,
                                 const struct bp_budget *budgets, size_t n,
                                 const struct bp_planner_limits *limits, struct bp_frontier *out,
                                 struct bp_err *err);
void bp_frontier_done(struct bp_frontier *frontier);

/* Knees: at most so many, each with a bend of this share of the mean slope at least; bends are seen
 * over this share of the range on either side, so that they do not depend on how densely it is
 * sampled. */
enum { BP_MAX_KNEES = 3 };
#define BP_KNEE_LEAST  0.25
#define BP_KNEE_WINDOW 0.1

/* Sets bends and knees of samples [n], ascending. A slope is that of ln(objective) over bits; the
 * bend at a sample is the slope over a tenth of the range behind it (or to the next sample, where
 * that is farther) less that before it: a second difference of the log error over the bits, which
 * no unit of error or memory changes. A knee is a sample whose bend is above a quarter of the mean
 * slope and not below its neighbours'; the three sharpest count, a tenth of the range apart. Within
 * that of its ends, where every frontier bends (it begins steep and ends flat), there is none. */
void bp_frontier_find_knees(struct bp_frontier_sample *samples, size_t n);

/* The frontier as a picture: an SVG document on a light ground that refers to nothing outside. The
 * same for the same frontier. On the heap, NULL when out of memory. */
char *bp_frontier_to_svg(const struct bp_frontier *frontier);

#endif
