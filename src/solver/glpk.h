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

#include "solver/mckp.h"

/* As bp_mckp_solve, from scratch, single-threaded. time_limit_ms 0 = none; with BP_LIMIT the best
 * integer solution and GLPK's bound come back. BP_ERR_FAILED: GLPK broke down or its answer did not
 * hold in integers. */
enum bp_status bp_glpk_solve(const struct bp_mckp_problem *problem, uint64_t budget,
                             unsigned time_limit_ms, struct bp_mckp_result *result,
                             uint32_t *choice);

#endif
