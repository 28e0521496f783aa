/*
 * The multiple-choice knapsack: from every class exactly one item, total weight within a budget,
 * least total cost (Kellerer, Pferschy, Pisinger, "Knapsack Problems", chapter 11; for bitplan:
 * class = matrix, item = candidate, weight = storage in bits, cost = error; LQ-LoRA section 3.2).
 *
 * Numbers in, numbers out: nothing here knows of matrices, files or screens. Weights are exact
 * integers. Costs are doubles outside and 64-bit fixed point inside (a power of two such that the
 * sum of the largest costs stays below 2^60), so that every bound and every comparison of the
 * search is integer arithmetic and the proof has no tolerance.
 *
 * A `struct bp_mckp` is built once per table and grid and then solved for many budgets. It holds
 * its own workspace: one thread at a time, different structs are independent. It copies what it
 * needs: the arrays of the problem may go away after bp_mckp_new. The workspace only grows, so that
 * a warmed-up solver allocates nothing, and what the search may take is bounded (about 400 MB in
 * the worst case, a few MB on ordinary tables) also where the work is not.
 */
#ifndef BP_SOLVER_MCKP_H
#define BP_SOLVER_MCKP_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "solver/status.h"

/* A dense problem: row = class, column = item. An item takes part if it is in use and its cost is
 * finite and not negative. */
struct bp_mckp_problem {
    size_t n_classes;       /* >= 1 */
    size_t n_items;         /* >= 1 columns */
    const uint64_t *weight; /* [n_classes * n_items] each at most 2^62 / n_classes */
    const double *cost;     /* [n_classes * n_items]; NaN = this item is not offered */
    const uint8_t *use;     /* [n_classes * n_items] 1 = the item takes part; NULL = all do */
};

/* When to give up proving. Work is deterministic, unlike time, so that equal inputs give equal
 * plans; the flag is for somebody who no longer waits. */
struct bp_mckp_limits {
    /* In elementary steps of the search (about 1 ns each), kept to roughly; 0 = no limit. */
    uint64_t max_work;
    /* NULL, or set by any thread at any time: the solve then ends within some 10 ms, as at the work
     * limit. */
    const atomic_bool *stop;
};

struct bp_mckp_result {
    double cost;        /* of the choice, summed in double in class order */
    double lower_bound; /* no choice within the budget costs less; <= cost */
    double root_bound;  /* the bound of the linear relaxation, for comparison */
    uint64_t weight;    /* of the choice, <= budget */
    double
        shadow_price; /* cost per unit of weight at the budget, >= 0 (slope of the LP frontier) */
    uint64_t work;    /* steps spent */
};

struct bp_mckp;

/* Builds the solver's index of a problem: dominance, hull, the frontier of the linear relaxation.
 * BP_ERR_INPUT when a class has no item (its number in *bad_class if that is not NULL) or a weight
 * is too large; BP_ERR_NOMEM. Free with bp_mckp_free. */
enum bp_status bp_mckp_new(const struct bp_mckp_problem *problem, struct bp_mckp **out,
                           size_t *bad_class);

/* Takes NULL, returns NULL. */
struct bp_mckp *bp_mckp_free(struct bp_mckp *m);

/* Least possible total weight: budgets below are infeasible. */
uint64_t bp_mckp_min_weight(const struct bp_mckp *m);

/* Weight of the cheapest choice: a larger budget buys nothing more. */
uint64_t bp_mckp_max_weight(const struct bp_mckp *m);

/* The least cost within `budget`. choice [n_classes] gets a column for each class.
 * BP_OK: optimal, proved; lower_bound is then below cost by no more than the rounding of the fixed
 * point. BP_LIMIT: best found, true gap between lower_bound and cost; without limits too, when the
 * search has reached its bound of memory.
 * BP_INFEASIBLE: budget below bp_mckp_min_weight; outputs untouched. Equal inputs give equal
 * choices; of two items of one class with equal weight and cost the lower column is taken, of two
 * with equal cost the lighter. limits may be NULL (no limit). */
enum bp_status bp_mckp_solve(struct bp_mckp *m, uint64_t budget,
                             const struct bp_mckp_limits *limits, struct bp_mckp_result *result,
                             uint32_t *choice);

#endif
