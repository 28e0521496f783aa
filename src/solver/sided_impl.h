/*
 * What the files of the sided solver share: sided.c (the run: what is known so far, and its ends),
 * sided_limits.c (capacities), sided_columns.c (sets of columns), sided_start.c (a first set).
 */
#ifndef BP_SOLVER_SIDED_IMPL_H
#define BP_SOLVER_SIDED_IMPL_H

#include "solver/sided.h"

/* A bound within this share of the incumbent proves it. */
#define BP_SIDED_CLOSE 1e-10

/* A whole solve. */
struct bp_sided_run {
    const struct bp_sided_problem *problem;
    struct bp_sided_limits limits;
    double start, told; /* seconds */
    uint64_t work;
    double incumbent; /* INFINITY: none */
    double ceiling;   /* no choice at all costs more */
    double bound;
    double shadow_price;
    uint32_t *best; /* [n_classes] the incumbent's columns */
};

/* Whether to end: stop flag, time, work. Shows progress now and then. */
bool bp_sided_over(struct bp_sided_run *run);

/* Takes a choice that meets all conditions and is better than the incumbent. */
void bp_sided_offer(struct bp_sided_run *run, const uint32_t *choice);

/* Raises the bound. */
void bp_sided_raise(struct bp_sided_run *run, double bound);

/* What is left of the run's limits, for a knapsack of at most max_work steps. */
struct bp_mckp_limits bp_sided_mckp_limits(const struct bp_sided_run *run, uint64_t max_work);

/* Costs from here on are no better than the incumbent's. */
static inline double bp_sided_cutoff(const struct bp_sided_run *run)
{
    return run->incumbent <= run->ceiling ? run->incumbent * (1.0 - BP_SIDED_CLOSE) : run->ceiling;
}

static inline bool bp_sided_offers(const struct bp_mckp_problem *p, size_t c, size_t j)
{
    const size_t cell = c * p->n_items + j;
    /* NaN fails; so does infinity. */
    return (p->use == NULL || p->use[cell]) && p->cost[cell] >= 0 && p->cost[cell] <= 1.7e308;
}

/* What item j of class c takes of limit l. */
static inline uint64_t bp_sided_takes(const struct bp_sided_problem *p, size_t l, size_t c,
                                      size_t j)
{
    const uint64_t *row = p->weight[l * p->mckp.n_classes + c];
    return row == NULL ? 0 : row[j];
}

/* Whether a choice has no more distinct columns than it may. Out of memory: not. */
bool bp_sided_few_columns(const struct bp_sided_problem *p, const uint32_t *choice);

/* Whether a choice is within the budget and all capacities. */
bool bp_sided_fits(const struct bp_sided_problem *p, const uint32_t *choice);
double bp_sided_cost(const struct bp_sided_problem *p, const uint32_t *choice);

/* ---- capacities (sided_limits.c) ---- */

struct bp_sided_part {
    bool closed; /* cost is the least possible, or (found = false) nothing fits, or nothing is
                    below the cutoff */
    bool found;
    double cost, bound; /* bound: no choice that fits costs less */
    double shadow_price;
    uint32_t *choice; /* [n_classes] the caller's */
    double *price;    /* [1 + n_limits] the caller's, or NULL: cost per unit of budget, limits */
};

/* The problem without its bound on columns, but where GLPK is to prove all (by_glpk). `exact`: to
 * proof, by GLPK where it takes that; else what is quick. Nothing at or above the cutoff is of
 * interest. `whole`: the problem is the run's own, which then learns of bounds and choices at once.
 */
enum bp_status bp_sided_limits_solve(struct bp_sided_run *run, const struct bp_sided_problem *p,
                                     struct bp_mckp *relaxation, double cutoff, bool exact,
                                     bool whole, struct bp_sided_part *out);

/* ---- sets of columns (sided_columns.c) ---- */

/* The run's problem with its bound on columns. price [1 + n_limits]: a first guess, cost per unit.
 * BP_OK: closed. BP_LIMIT: not. */
enum bp_status bp_sided_columns_solve(struct bp_sided_run *run, const double *price);

/* The run's problem on some columns alone, [n] ascending: offers what it finds. *bound: nothing on
 * these columns costs less (INFINITY: nothing fits); *closed: that is proved as far as it can be.
 * *price [1 + n_limits], or NULL, as in the part. */
enum bp_status bp_sided_subset_solve(struct bp_sided_run *run, const uint32_t *column, size_t n,
                                     bool exact, double *bound, bool *closed, double *price);

/* ---- a first set (sided_start.c) ---- */

/* Local search: offers the best sets it finds. set [max_columns] gets the last one, ascending, *n
 * its size; price [1 + n_limits] in/out. */
enum bp_status bp_sided_start(struct bp_sided_run *run, double *price, uint32_t *set, size_t *n);

#endif
