/*
 * From a table, a grid and a budget to a plan: sets up the multiple-choice knapsack once, solves it
 * for many budgets. Borrows the table. One thread at a time.
 */
#ifndef BP_ENGINE_PLANNER_H
#define BP_ENGINE_PLANNER_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/plan.h"

enum bp_solver { BP_SOLVER_MCKP, BP_SOLVER_GLPK };

/* The largest gap at which a plan of GLPK's is called optimal: its relative tolerance and then
 * some. */
#define BP_GLPK_GAP 1e-5

struct bp_planner;

/* constraints NULL or empty: every candidate of the table may be taken. They are copied.
 * BP_ERR_INPUT when a matrix has no measured candidate among those left; BP_INFEASIBLE when the
 * constraints leave it none at all; BP_ERR_USAGE for constraints that cannot be read. */
enum bp_status bp_planner_new(const struct bp_table *table,
                              const struct bp_constraints *constraints, struct bp_planner **out,
                              struct bp_err *err);
struct bp_planner *bp_planner_free(struct bp_planner *planner);

/* Whether the constraints let matrix i take candidate j. */
bool bp_planner_allows(const struct bp_planner *planner, size_t i, size_t j);

/* The budgets that make sense, in bits: below *least nothing fits, above *most nothing improves. */
void bp_planner_range(const struct bp_planner *planner, uint64_t *least, uint64_t *most);

/* The plan of least error within the budget. BP_OK: proved optimal. BP_LIMIT: *out holds the best
 * plan found and its true gap. BP_INFEASIBLE: the text says what the least budget is. */
enum bp_status bp_planner_solve(struct bp_planner *planner, const struct bp_budget *budget,
                                enum bp_solver solver, struct bp_plan **out, struct bp_err *err);

/* The plan that a given choice [n_matrices] is: totals, baselines and warnings recomputed from the
 * table; the certificate is the caller's. BP_ERR_INPUT for a candidate that is not measured. */
enum bp_status bp_planner_assemble(const struct bp_planner *planner, const struct bp_budget *budget,
                                   const uint32_t *choice, const struct bp_certificate *certificate,
                                   struct bp_plan **out, struct bp_err *err);

#endif
