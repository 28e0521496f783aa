/*
 * How much of a plan rests on the last digits of its table. Errors are measured by a randomized
 * procedure: another seed moves a cell by a few percent. So the table is disturbed, cell by cell
 * and at random, and planned again at the same budget, many times over: what the choice of each
 * matrix does then, and what the plan would lose by standing firm.
 *
 * Deterministic: the noise of a cell is a function of the matrix's name, the candidate's number and
 * the run.
 */
#ifndef BP_ENGINE_STABILITY_H
#define BP_ENGINE_STABILITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/plan.h"
#include "engine/planner.h"

struct bp_json_out;

/* Runs of a test, and the share of them from which a choice that changed is called a coin flip. */
enum { BP_STABILITY_RUNS = 20 };
#define BP_STABILITY_FLIP 0.4

struct bp_stability {
    const struct bp_plan *plan; /* borrowed */
    double noise_percent;
    unsigned runs;
    unsigned n_optimal; /* runs whose optimum is proved; the others' is the best that was found */
    /* Runs in which a matrix took another candidate, and in which it took one with other bits a
     * code (b0; of another quantizer any other): of 243 configs several are always about as good.
     */
    uint32_t *changed, *codes_changed; /* [n_matrices] each */
    size_t n_steady, n_codes_steady;   /* matrices that never did */
    size_t n_flips, n_code_flips;      /* matrices that did in 40 % of the runs or more */
    /* On a disturbed table: what the plan lies above the optimum there, relative to that. */
    double regret_median, regret_max;
    /* On the table itself: what the optimum of a disturbed one lies above the plan, relative to the
     * plan. So much do errors of this size cost. */
    double loss_median, loss_max;
};

/* "5" or "5%": above 0 and at most 100. BP_ERR_USAGE. */
enum bp_status bp_stability_parse(const char *text, double *noise_percent, struct bp_err *err);

/* Disturbs every measured error by a factor exp(s z - s^2 / 2), z standard normal,
 * s^2 = ln(1 + x^2): log-normal with mean 1 and a standard deviation of x = noise_percent / 100,
 * which is above 0 and at most 1. limits (may be NULL) hold for each run. BP_ERR_INPUT where the
 * noise takes errors out of what can be summed; BP_STOPPED where their stop flag was set before the
 * last run. bp_stability_done in any case. */
enum bp_status bp_stability_test(const struct bp_plan *plan, double noise_percent,
                                 const struct bp_planner_limits *limits, struct bp_stability *out,
                                 struct bp_err *err);
void bp_stability_done(struct bp_stability *stability);

/* Whether so many changes make a choice a coin flip. */
bool bp_stability_is_flip(const struct bp_stability *stability, uint32_t changed);

/* Adds the member "stability" to a plan's document. */
void bp_stability_to_json(const struct bp_stability *stability, struct bp_json_out *out);

#endif
