/*
 * The multiple-choice knapsack with conditions beside its budget: at most so many distinct columns
 * in the whole choice, and capacities of their own for parts of it (weights of some classes summed
 * against a limit; parts may overlap). Numbers in, numbers out, as in solver/mckp.h.
 *
 * Neither condition fits the knapsack's form, so this is a search around it: a good choice first
 * (local search over sets of columns, knapsacks of the parts), a bound from the Lagrangian
 * relaxation, then the proof. Sets of columns are enumerated by branch and bound, each set being a
 * knapsack of its own, solved exactly; capacities are left to GLPK's branch and cut on what the
 * bound cannot exclude (solver/glpk.h). Every figure of a choice is summed again in integers.
 *
 * Such a proof can take long: limits of time and work, a stop flag, and a callback that shows how
 * far it is. Nothing here is kept between calls; different calls are independent.
 */
#ifndef BP_SOLVER_SIDED_H
#define BP_SOLVER_SIDED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "solver/mckp.h"
#include "solver/status.h"

struct bp_sided_problem {
    struct bp_mckp_problem mckp;
    uint64_t budget;
    size_t max_columns; /* distinct ones in a choice; 0 = any number */
    size_t n_limits;
    const uint64_t *capacity; /* [n_limits] */
    /* [n_limits * n_classes] row = limit: what each item of a class [n_items] takes of it, at most
     * its weight; NULL where the class takes nothing. Best the class's own row of mckp.weight where
     * all of it counts: equal pointers are known to be equal. */
    const uint64_t *const *weight;
};

/* incumbent: the least cost found, INFINITY for none yet; never rises. bound: no choice costs less;
 * never falls. */
typedef void bp_sided_progress_fn(void *arg, double incumbent, double bound);

struct bp_sided_limits {
    uint64_t max_work;       /* as in bp_mckp_limits, kept to roughly; 0 = none. It ends nothing
                                before a first choice is found. */
    double max_seconds;      /* 0 = none */
    const atomic_bool *stop; /* may be NULL; set by anybody: the solve ends within a second */
    bp_sided_progress_fn *progress; /* may be NULL; called by the solving thread: at every change,
                                       and a few times a second */
    void *progress_arg;
    bool by_glpk; /* the proof by GLPK alone, of the columns too: a second opinion, slow */
};

struct bp_sided_result {
    double cost;         /* of the choice, summed in double in class order */
    double lower_bound;  /* no choice that meets all conditions costs less; <= cost */
    uint64_t weight;     /* of the choice, <= budget */
    double shadow_price; /* cost per unit of weight at the budget, about; >= 0 */
};

/* The least cost. choice [n_classes] gets a column for each class. `relaxation`: the solver of
 * problem->mckp, used meanwhile; NULL = a new one. limits may be NULL.
 * BP_OK: proved, lower_bound within 2e-6 of cost (relative; 1e-9 without capacities). BP_LIMIT:
 * best found and its true gap. BP_INFEASIBLE: proved that nothing meets the conditions. BP_STOPPED:
 * a limit came before anything was found that does. BP_ERR_INPUT, BP_ERR_NOMEM, BP_ERR_FAILED.
 * Equal inputs give equal choices where the proof was closed without a tie. */
enum bp_status bp_sided_solve(const struct bp_sided_problem *problem, struct bp_mckp *relaxation,
                              const struct bp_sided_limits *limits, struct bp_sided_result *result,
                              uint32_t *choice);

#endif
