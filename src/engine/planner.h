/*
 * From a table, a grid and a budget to a plan: sets up the multiple-choice knapsack once, solves it
 * for many budgets. Borrows the table. One thread at a time.
 */
#ifndef BP_ENGINE_PLANNER_H
#define BP_ENGINE_PLANNER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/plan.h"

enum bp_solver { BP_SOLVER_MCKP, BP_SOLVER_GLPK };

/* The largest gap at which a plan of GLPK's is called optimal: its relative tolerance and then
 * some. */
#define BP_GLPK_GAP 1e-5

struct bp_planner;

/* How far a solve is: the objective of the best plan found, INFINITY for none yet, and what no plan
 * is below. Called by the thread that solves, at every change and a few times a second; the
 * objective never rises, the bound never falls. */
typedef void bp_planner_progress_fn(void *arg, double objective, double lower_bound);

/* How long a solve goes on proving. Without limits: until it is proved, for some tens of seconds at
 * most. */
struct bp_planner_limits {
    uint64_t max_work;       /* steps of the search, about 1 ns each; 0 = as without limits */
    const atomic_bool *stop; /* may be NULL; set by anyone: the solve ends soon with what it has */
    /* Of plans under --max-configs and --limit alone, whose proof can take long: */
    double max_seconds;               /* 0 = 60 */
    bp_planner_progress_fn *progress; /* may be NULL */
    void *progress_arg;
};

/* constraints NULL or empty: every candidate of the table may be taken. They are copied.
 * BP_ERR_INPUT when a matrix has no measured candidate among those left; BP_INFEASIBLE when the
 * constraints leave it none at all; BP_ERR_USAGE for constraints that cannot be read. */
enum bp_status bp_planner_new(const struct bp_table *table,
                              const struct bp_constraints *constraints, struct bp_planner **out,
                              struct bp_err *err);
/* The same for budgets that count low-rank parts at a precision (bp_budget_counted; 0 = those that
 * do not, which are all but some in total bytes). Bits are then, here and below, those of storage
 * with low-rank parts. */
enum bp_status bp_planner_new_counting(const struct bp_table *table,
                                       const struct bp_constraints *constraints, unsigned counted,
                                       struct bp_planner **out, struct bp_err *err);
struct bp_planner *bp_planner_free(struct bp_planner *planner);

/* What it was made for. */
unsigned bp_planner_counted(const struct bp_planner *planner);
const struct bp_constraints *bp_planner_constraints(const struct bp_planner *planner);

/* Whether the constraints let matrix i, and those tied to it, take candidate j. */
bool bp_planner_allows(const struct bp_planner *planner, size_t i, size_t j);

/* The number of the group that matrix i is in: matrices of one group are tied and take one
 * candidate. Numbers ascend from 0 in the order of the groups' first matrices. */
size_t bp_planner_group(const struct bp_planner *planner, size_t i);

/* Whether there are conditions beside the budget (--max-configs, --limit), which are solved by
 * search: see bp_planner_limits. */
bool bp_planner_sided(const struct bp_planner *planner);

/* Whether a choice [n_matrices] meets those; BP_ERR_MISMATCH names the first that it does not. */
enum bp_status bp_planner_check_sided(const struct bp_planner *planner, const uint32_t *choice,
                                      struct bp_err *err);

/* The budgets that make sense, in bits: below *least nothing fits, above *most nothing improves.
 * Conditions beside the budget are not counted: under them the least may be more. */
void bp_planner_range(const struct bp_planner *planner, uint64_t *least, uint64_t *most);

/* The plan of least error within the budget, one that counts what the planner was made for. BP_OK:
 * proved optimal. BP_LIMIT: *out holds the best plan found and its true gap. BP_INFEASIBLE: the
 * text says what the least budget is. BP_STOPPED: under conditions beside the budget, a limit came
 * before any plan was found. limits may be NULL; GLPK heeds them under such conditions only. */
enum bp_status bp_planner_solve(struct bp_planner *planner, const struct bp_budget *budget,
                                enum bp_solver solver, const struct bp_planner_limits *limits,
                                struct bp_plan **out, struct bp_err *err);

/* A point of the frontier, without making a plan of it: the error of the best choice found within
 * `bits`, and a bound below which there is none. BP_OK, BP_LIMIT or BP_INFEASIBLE as above.
 * Conditions beside the budget are left out: under them a point is what plans are not below. */
struct bp_frontier_point {
    uint64_t budget_bits, storage_bits;
    double error, lower_bound; /* the objective: errors with --weight's factors */
};
enum bp_status bp_planner_point(struct bp_planner *planner, uint64_t bits,
                                const struct bp_planner_limits *limits,
                                struct bp_frontier_point *out, struct bp_err *err);

/* What candidate j of matrix i takes of a budget. */
uint64_t bp_planner_bits(const struct bp_planner *planner, size_t i, size_t j);

/* The one candidate j for all matrices: what it takes of a budget in *bits, and its objective, NaN
 * where a matrix is not measured or may not take it, and where a --limit is exceeded. */
double bp_planner_uniform(const struct bp_planner *planner, size_t j, uint64_t *bits);

/* What a matrix's choice would change for. Prices are error (with --weight's factors) saved per bit
 * spent. */
struct bp_matrix_prices {
    bool has_up, has_down;
    uint32_t up;     /* the candidate that saves most error per bit more ... */
    double up_price; /* ... and how much that is */
    uint32_t down;   /* the one that costs least error per bit given back ... */
    double down_price;
    bool has_runner_up;
    uint32_t
        runner_up; /* least error + price * bits among the others, at the plan's shadow price */
    double
        flip_price; /* the price of a bit at which it takes over; NaN when it has the same bits */
};
/* For matrix i with candidate j chosen, at the price `shadow` per bit. A matrix that is tied to
 * others is looked at alone. */
void bp_planner_prices(const struct bp_planner *planner, size_t i, uint32_t j, double shadow,
                       struct bp_matrix_prices *out);

/* The plan that a given choice [n_matrices] is: totals, baselines and warnings recomputed from the
 * table; the certificate is the caller's. BP_ERR_INPUT for a candidate that is not measured. */
enum bp_status bp_planner_assemble(const struct bp_planner *planner, const struct bp_budget *budget,
                                   const uint32_t *choice, const struct bp_certificate *certificate,
                                   struct bp_plan **out, struct bp_err *err);

#endif
