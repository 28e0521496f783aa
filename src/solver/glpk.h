/*
 * The same problem through GLPK: the second opinion. Slow and only as exact as a floating-point
 * branch-and-cut is (see docs/architecture.md), so its answer is re-summed in integers and repaired
 * or refused when it is over budget. GLPK's terminal output is off, and its fatal errors (it calls
 * abort by default) come back as BP_ERR_FAILED.
 *
 * GLPK keeps an environment per thread (where it was built with thread-local storage, else one for
 * the process). A call uses it, leaves the error hook cleared, and after a fatal error frees it as
 * a whole, so nothing else in the thread may hold GLPK objects meanwhile.
 */
#ifndef BP_SOLVER_GLPK_H
#define BP_SOLVER_GLPK_H

#include <stdbool.h>

#include "solver/mckp.h"

/* As bp_mckp_solve, from scratch, single-threaded. time_limit_ms 0 = none; with BP_LIMIT the best
 * integer solution and GLPK's bound come back. BP_ERR_FAILED: GLPK broke down or its answer did not
 * hold in integers. */
enum bp_status bp_glpk_solve(const struct bp_mckp_problem *problem, uint64_t budget,
                             unsigned time_limit_ms, struct bp_mckp_result *result,
                             uint32_t *choice);

/* A problem with rows beside the budget, as solver/sided_lagrange.h leaves it: prices are known, so
 * that costs are those above its bound, and room left unused costs, too. */
struct bp_glpk_branch {
    size_t n_classes, n_rows, n;
    const size_t *first;  /* [n_classes + 1] items of each class */
    const double *cost;   /* [n] >= 0 */
    const double *weight; /* [n_rows * n] >= 0, a row's items to a sum of about 1 */
    const double *room;   /* [n_rows] */
    const double *price;  /* [n_rows] cost of a unit of room that is left */
    double ceiling;       /* costs above are of no interest; INFINITY = none known */
    size_t max_columns;   /* distinct ones among the chosen; 0 = any number */
    size_t n_columns;
    const uint32_t *column; /* [n] < n_columns */
    const size_t *start;    /* [n_classes] items of a choice that is known, or NULL */
    /* Called with a bound, and with the items [n_classes] of each better choice, else NULL. True:
     * stop. */
    bool (*tell)(void *arg, double bound, const size_t *pick);
    /* Called with the largest item of each class in a relaxation's solution: may turn it into a
     * choice that fits and is better than all before (true). */
    bool (*round)(void *arg, size_t *pick);
    void *arg;
};

/* Branch and cut. BP_OK: closed; *found tells whether a choice better than the start was told of.
 * BP_LIMIT: stopped. Nothing costs less than *bound. Choices fit to GLPK's tolerance: sum them
 * again. BP_ERR_NOMEM, BP_ERR_FAILED. */
enum bp_status bp_glpk_branch(const struct bp_glpk_branch *problem, bool *found, double *bound);

#endif
