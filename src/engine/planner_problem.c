#include "engine/planner_problem.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/mem.h"
#include "engine/printable.h"

/* --- reading the constraints --- */

static enum bp_status apply(struct bp_problem *p, const struct bp_constraints *c,
                            struct bp_err *err)
{
    const struct bp_table *t = p->table;
    p->use = bp_alloc(t->n_matrices * t->n_candidates, sizeof *p->use);
    if (!p->use)
        return bp_fail_nomem(err);
    BP_TRY(bp_constraints_apply(c, t, p->use, err));
    if (bp_constraints_has(c, BP_CONSTRAINT_TIE)) {
        p->group = bp_alloc(t->n_matrices, sizeof *p->group);
        if (!p->group)
            return bp_fail_nomem(err);
        BP_TRY(bp_constraints_groups(c, t, p->group, &p->n_classes, err));
        BP_TRY(bp_constraints_tie(c, t, p->group, p->n_classes, p->use, err));
    }
    if (bp_constraints_scale(c) || bp_constraints_has(c, BP_CONSTRAINT_OBJECTIVE)) {
        p->factor = bp_alloc(t->n_matrices, sizeof *p->factor);
        if (!p->factor)
            return bp_fail_nomem(err);
        BP_TRY(bp_constraints_weights(c, t, p->factor, err));
    }
    BP_TRY(bp_constraints_max_configs(c, &p->max_configs, err));
    return bp_constraints_limits(c, t, &p->limits, &p->n_limits, err);
}

/* Every matrix needs a measured candidate; says how many lack one. */
static enum bp_status check_measured(const struct bp_problem *p, struct bp_err *err)
{
    const struct bp_table *t = p->table;
    size_t missing = 0, first = 0;
    for (size_t i = t->n_matrices; i-- > 0;) {
        bool any = false;
        for (size_t j = 0; j < t->n_candidates && !any; j++)
            any = bp_problem_allows(p, i, j) && !isnan(t->error[i * t->n_candidates + j]);
        if (!any) {
            missing++;
            first = i;
        }
    }
    return missing == 0 ? BP_OK
                        : bp_fail(err, BP_ERR_INPUT,
                                  "%s: %zu of %zu matrices are not measured yet (first %s); run "
                                  "`bitplan measure` again to finish the table",
                                  t->path, missing, t->n_matrices,
                                  bp_printable(t->matrices[first].name).text);
}

enum bp_status bp_problem_init(struct bp_problem *p, const struct bp_table *table,
                               const struct bp_constraints *constraints, unsigned counted,
                               struct bp_err *err)
{
    *p = (struct bp_problem){.table = table, .n_classes = table->n_matrices, .counted = counted};
    if (constraints && constraints->n > 0)
        BP_TRY(apply(p, constraints, err));
    return check_measured(p, err);
}

void bp_problem_done(struct bp_problem *p)
{
    free(p->use);
    free(p->group);
    free(p->factor);
    bp_limits_free(p->limits, p->n_limits);
}

double bp_problem_objective(const struct bp_problem *p, const uint32_t *choice)
{
    double sum = 0.0;
    for (size_t i = 0; i < p->table->n_matrices; i++)
        sum += bp_problem_cost(p, i, choice[i]);
    return sum;
}

/* --- the solvers' arrays --- */

/* Adds the rows of each class; a cell that one of its matrices may not take, or that is not
 * measured there, becomes NaN: not offered. */
static void add_rows(const struct bp_problem *p, struct bp_problem_arrays *a)
{
    const size_t C = p->table->n_candidates;
    for (size_t i = 0; i < p->table->n_matrices; i++) {
        const size_t c = p->group ? p->group[i] : i;
        for (size_t j = 0; j < C; j++) {
            if (a->cost)
                a->cost[c * C + j] += bp_problem_allows(p, i, j) ? bp_problem_cost(p, i, j) : NAN;
            if (a->weight)
                a->weight[c * C + j] += bp_problem_weight(p, i, j);
        }
    }
}

/* Sums of the costs must stay within the doubles, as sums of a table's errors do. */
static enum bp_status check_costs(const struct bp_problem *p, const double *cost,
                                  struct bp_err *err)
{
    const double most = DBL_MAX / 2 / (double)p->n_classes;
    for (size_t cell = 0; cell < p->n_classes * p->table->n_candidates; cell++)
        if (cost[cell] > most) /* NaN is not */
            return bp_fail(err, BP_ERR_INPUT,
                           "%s: errors times the factors of --weight and --objective are beyond "
                           "what can be summed",
                           p->table->path);
    return BP_OK;
}

/* A class of several matrices may find each of its candidates unmeasured in one of them. */
static enum bp_status check_classes(const struct bp_problem *p, const double *cost,
                                    struct bp_err *err)
{
    const struct bp_table *t = p->table;
    for (size_t c = 0; c < p->n_classes; c++) {
        size_t j = 0, i = 0;
        while (j < t->n_candidates && isnan(cost[c * t->n_candidates + j]))
            j++;
        if (j < t->n_candidates)
            continue;
        while (p->group && p->group[i] != c)
            i++;
        return bp_fail(err, BP_ERR_INPUT,
                       "%s: no candidate that is left is measured in %s and in all matrices that "
                       "--tie ties to it; run `bitplan measure` again to finish the table",
                       t->path, bp_printable(t->matrices[i].name).text);
    }
    return BP_OK;
}

enum bp_status bp_problem_lay(const struct bp_problem *p, struct bp_problem_arrays *out,
                              struct bp_err *err)
{
    const struct bp_table *t = p->table;
    *out = (struct bp_problem_arrays){
        {p->n_classes, t->n_candidates, t->storage, t->error, p->use}, NULL, NULL};
    const bool costs = p->group || p->factor, weights = p->group || p->counted;
    if (costs && !(out->cost = bp_alloc_zero(p->n_classes * t->n_candidates, sizeof *out->cost)))
        return bp_fail_nomem(err);
    if (weights &&
        !(out->weight = bp_alloc_zero(p->n_classes * t->n_candidates, sizeof *out->weight)))
        return bp_fail_nomem(err);
    if (costs || weights)
        add_rows(p, out);
    if (weights)
        out->mckp.weight = out->weight;
    if (!costs)
        return BP_OK;
    out->mckp.cost = out->cost;
    out->mckp.use = NULL; /* what it forbids costs NaN now */
    BP_TRY(check_costs(p, out->cost, err));
    return p->group ? check_classes(p, out->cost, err) : BP_OK;
}

void bp_problem_arrays_done(struct bp_problem_arrays *a)
{
    free(a->cost);
    free(a->weight);
}

void bp_problem_spread(const struct bp_problem *p, uint32_t *choice)
{
    /* A class's number is at most that of its first matrix: from the end nothing is overwritten
     * that is still to be read. */
    for (size_t i = p->table->n_matrices; p->group && i-- > 0;)
        choice[i] = choice[p->group[i]];
}
