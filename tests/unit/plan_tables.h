/*
 * The small table that the tests of planning and of verification share: five matrices of odd
 * shapes, four candidates of rank 4, numbers from a seed; and short ways to a planner, a budget, a
 * plan.
 */
#ifndef BP_TESTS_PLAN_TABLES_H
#define BP_TESTS_PLAN_TABLES_H

#include "support.h"

#include "engine/planner.h"

static const struct support_shape SHAPES[] = {{16, 48}, {33, 65}, {64, 16}, {20, 20}, {48, 100}};
enum { N = 5, C = 4 };

static inline struct bp_table *usual(uint64_t seed)
{
    const struct bp_candidate candidates[C] = {
        support_candidate("nf2:u2:bf16:64:256", 4), support_candidate("nf3:u4:fp16:32:64", 4),
        support_candidate("nf4:u4:bf16:64:16", 4), support_candidate("nf4:u8:fp32:16:16", 4)};
    struct bp_table *t = support_table(SHAPES, N, candidates, C);
    support_numbers(t, seed);
    return t;
}

/* A planner restricted to a grid (NULL: none). */
static inline enum bp_status new_planner(const struct bp_table *t, const char *grid,
                                         struct bp_planner **out, struct bp_err *err)
{
    struct bp_constraints constraints = {0};
    if (grid)
        assert_int_equal(bp_constraints_add(&constraints, BP_CONSTRAINT_GRID, grid, NULL), BP_OK);
    enum bp_status status = bp_planner_new(t, &constraints, out, err);
    bp_constraints_done(&constraints);
    return status;
}

static inline struct bp_planner *planner_of(const struct bp_table *t, const char *grid)
{
    struct bp_err err = {""};
    struct bp_planner *p;
    if (new_planner(t, grid, &p, &err))
        fail_msg("%s", err.text);
    return p;
}

static inline struct bp_budget bits_budget(const struct bp_table *t, const char *bits_per_param)
{
    struct bp_budget budget;
    assert_int_equal(bp_budget_parse_bits(bits_per_param, bp_table_params(t), &budget, NULL),
                     BP_OK);
    return budget;
}

static inline struct bp_budget exact_budget(uint64_t bits)
{
    return (struct bp_budget){.unit = BP_BUDGET_BYTES, .asked = (double)(bits / 8), .bits = bits};
}

static inline struct bp_plan *solve(struct bp_planner *p, struct bp_budget budget)
{
    struct bp_err err = {""};
    struct bp_plan *plan;
    if (bp_planner_solve(p, &budget, BP_SOLVER_MCKP, NULL, &plan, &err))
        fail_msg("%s", err.text);
    return plan;
}

#endif
