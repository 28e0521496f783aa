/*
 * The knapsack that a table is under constraints. A class is a matrix, or a group of tied matrices
 * that take one candidate: its items weigh and cost the sums over its members. --weight's factors
 * scale costs. Items weigh their storage, and what their low-rank parts take in memory where the
 * budget counts those. Without all that the table's own arrays are the problem, and nothing is
 * copied. Conditions beside the budget are laid for solver/sided.h; --limit is in storage whatever
 * the budget counts. Only the planner's files include this.
 */
#ifndef BP_ENGINE_PLANNER_PROBLEM_H
#define BP_ENGINE_PLANNER_PROBLEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/constraints.h"
#include "engine/err.h"
#include "engine/low_rank.h"
#include "engine/table.h"
#include "solver/sided.h"

struct bp_problem {
    const struct bp_table *table;
    uint8_t *use;    /* [n_matrices * n_candidates] 0 = a constraint forbids it; NULL = none does */
    uint32_t *group; /* [n_matrices] class of each, ascending in the order of first matrices; NULL =
                        each its own */
    double *factor;  /* [n_matrices] of the errors; NULL = 1 */
    size_t n_classes;
    unsigned counted; /* precision at which low-rank parts weigh (bp_budget_counted), 0 = nothing */
    /* Beside the budget. */
    size_t max_configs;      /* 0 = any number */
    struct bp_limit *limits; /* [n_limits] */
    size_t n_limits;
};

/* Reads the constraints. Borrows the table and the constraints. What is allocated on failure stays
 * in *p. BP_ERR_INPUT: a class has no candidate that is measured in all its matrices. */
enum bp_status bp_problem_init(struct bp_problem *p, const struct bp_table *table,
                               const struct bp_constraints *constraints, unsigned counted,
                               struct bp_err *err);
void bp_problem_done(struct bp_problem *p);

static inline bool bp_problem_allows(const struct bp_problem *p, size_t i, size_t j)
{
    return !p->use || p->use[i * p->table->n_candidates + j];
}

/* What candidate j of matrix i adds to the objective; NaN = not measured. */
static inline double bp_problem_cost(const struct bp_problem *p, size_t i, size_t j)
{
    double error = p->table->error[i * p->table->n_candidates + j];
    return p->factor ? error * p->factor[i] : error;
}

/* Bits of a budget that candidate j of matrix i takes: below 2^62 + 2^60. */
static inline uint64_t bp_problem_weight(const struct bp_problem *p, size_t i, size_t j)
{
    const struct bp_table_matrix *m = &p->table->matrices[i];
    const uint64_t storage = p->table->storage[i * p->table->n_candidates + j];
    const uint32_t rank = p->table->candidates[j].rank;
    return p->counted ? storage + 8 * bp_low_rank_bytes(m->d, m->k, rank, p->counted) : storage;
}

/* The objective of a choice [n_matrices], summed in the table's order. */
double bp_problem_objective(const struct bp_problem *p, const uint32_t *choice);

/* The problem as the solvers take it. Valid while the bp_problem and its table are. */
struct bp_problem_arrays {
    struct bp_mckp_problem mckp;
    double *cost; /* own arrays behind it, or NULL */
    uint64_t *weight;
};

/* BP_ERR_INPUT where a factor takes an error out of the doubles. bp_problem_arrays_done in any
 * case.
 */
enum bp_status bp_problem_lay(const struct bp_problem *p, struct bp_problem_arrays *out,
                              struct bp_err *err);
void bp_problem_arrays_done(struct bp_problem_arrays *a);

/* The problem with its conditions beside the budget. */
struct bp_problem_sided {
    struct bp_sided_problem sided;
    struct bp_problem_arrays arrays; /* behind it, and these: */
    uint64_t *capacity, *part;
    const uint64_t **rows;
};
/* bp_problem_sided_done in any case. */
enum bp_status bp_problem_lay_sided(const struct bp_problem *p, uint64_t bits,
                                    struct bp_problem_sided *out, struct bp_err *err);
void bp_problem_sided_done(struct bp_problem_sided *s);

static inline bool bp_problem_is_sided(const struct bp_problem *p)
{
    return p->max_configs > 0 || p->n_limits > 0;
}

/* Whether a choice [n_matrices] of one candidate for all meets the limits. */
bool bp_problem_uniform_fits(const struct bp_problem *p, size_t j);

/* What a choice [n_matrices] does against a condition beside the budget: BP_ERR_MISMATCH and a
 * sentence that says which. */
enum bp_status bp_problem_check_sided(const struct bp_problem *p, const uint32_t *choice,
                                      struct bp_err *err);

/* The least that the classes' items weigh; conditions beside the budget are left out.
 * BP_ERR_NOMEM. */
enum bp_status bp_problem_least(const struct bp_problem *p, uint64_t *bits);

/* Of constraints, the one without which the least weight is least: its place in the list, and that
 * weight in *bits; SIZE_MAX where none makes a difference. */
size_t bp_problem_dearest(const struct bp_table *table, const struct bp_constraints *constraints,
                          unsigned counted, uint64_t *bits);

/* Says why nothing meets the conditions within `bits`, and what would. Returns BP_INFEASIBLE. */
enum bp_status bp_problem_explain_sided(const struct bp_problem *p, uint64_t bits,
                                        struct bp_err *err);

/* Turns a choice of the classes in choice [n_classes] into one of the matrices in the same array,
 * [n_matrices]. */
void bp_problem_spread(const struct bp_problem *p, uint32_t *choice);

#endif
