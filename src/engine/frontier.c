#include "engine/frontier.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/mem.h"

static const double BITS_PER_MIB = 8.0 * 1024.0 * 1024.0;

void bp_frontier_done(struct bp_frontier *f)
{
    free(f->samples);
    free(f->uniform);
    *f = (struct bp_frontier){0};
}

/* --- knees --- */

static double bits_between(const struct bp_frontier_sample *s, size_t a, size_t b)
{
    return (double)s[b].budget_bits - (double)s[a].budget_bits;
}

/* The slope from sample a to b; NaN where there is none. */
static double slope(const struct bp_frontier_sample *s, size_t a, size_t b)
{
    const double bits = bits_between(s, a, b);
    return bits > 0.0 && s[a].objective > 0.0 && s[b].objective > 0.0
               ? log(s[b].objective / s[a].objective) / bits
               : NAN;
}

/* How steep the samples are over all that have an error, as a positive number; NaN when they do not
 * fall. */
static double mean_slope(const struct bp_frontier_sample *s, size_t n)
{
    size_t last = n - 1;
    while (last > 0 && !(s[last].objective > 0.0))
        last--;
    const double fall = -slope(s, 0, last);
    return fall > 0.0 ? fall : NAN;
}

static void find_bends(struct bp_frontier_sample *s, size_t n)
{
    const double window = BP_KNEE_WINDOW * bits_between(s, 0, n - 1), mean = mean_slope(s, n);
    size_t before = 0, behind = 0; /* the ends of the windows of sample i */
    for (size_t i = 0; i < n; i++) {
        while (before + 1 < i && bits_between(s, before + 1, i) >= window)
            before++;
        while (behind + 1 < n && (behind <= i || bits_between(s, i, behind) < window))
            behind++;
        const double bend = (slope(s, i, behind) - slope(s, before, i)) / mean;
        const bool whole = i > 0 && i + 1 < n && bits_between(s, before, i) >= window &&
                           bits_between(s, i, behind) >= window;
        s[i].bend = whole && !isnan(bend) ? bend : -INFINITY;
    }
}

/* Not below its neighbours' bends, which are known: a bend that grows up to the end of what can be
 * seen is no knee. */
static bool is_peak(const struct bp_frontier_sample *s, size_t i)
{
    return s[i].bend >= s[i - 1].bend && s[i].bend >= s[i + 1].bend && isfinite(s[i - 1].bend) &&
           isfinite(s[i + 1].bend);
}

/* No knee lies within a window of it. */
static bool stands_alone(const struct bp_frontier_sample *s, size_t n, size_t i)
{
    const double window = BP_KNEE_WINDOW * bits_between(s, 0, n - 1);
    for (size_t k = 0; k < n; k++)
        if (s[k].knee && fabs(bits_between(s, k, i)) < window)
            return false;
    return true;
}

void bp_frontier_find_knees(struct bp_frontier_sample *s, size_t n)
{
    if (n == 0)
        return;
    find_bends(s, n);
    for (size_t i = 0; i < n; i++)
        s[i].knee = 0;
    for (unsigned knee = 1; knee <= BP_MAX_KNEES; knee++) {
        size_t best = n;
        for (size_t i = 1; i + 1 < n; i++)
            if (s[i].bend > (best < n ? s[best].bend : BP_KNEE_LEAST) && is_peak(s, i) &&
                stands_alone(s, n, i))
                best = i;
        if (best == n)
            return;
        s[best].knee = knee;
    }
}

/* --- solving --- */

static struct bp_frontier_sample sample_of(const struct bp_plan *plan)
{
    return (struct bp_frontier_sample){
        .asked = plan->budget.asked,
        .budget_bits = plan->budget.bits,
        .storage_bits = plan->storage_bits,
        .bits_per_param = bp_plan_bits_per_param(plan),
        .effective_bits_per_param = bp_plan_effective_bits_per_param(plan),
        .error = plan->error,
        .relative_error = plan->relative_error,
        .objective = plan->objective,
        .lower_bound = plan->certificate.lower_bound,
        .optimal = plan->certificate.optimal,
        .shadow_price = plan->shadow_price * BITS_PER_MIB,
    };
}

/* What no budget changes. */
static void take_common(struct bp_frontier *f, const struct bp_plan *plan)
{
    f->weighted = bp_constraints_scale(&plan->constraints);
    for (size_t i = 0; i < plan->n_baselines; i++)
        if (strncmp(plan->baselines[i].name, "nf", 2) == 0)
            f->baselines[f->n_baselines++] = plan->baselines[i];
}

static void take_uniform(struct bp_frontier *f, const struct bp_planner *planner)
{
    const double params = (double)bp_table_params(f->table);
    for (size_t j = 0; j < f->table->n_candidates; j++) {
        uint64_t bits;
        const double objective = bp_planner_uniform(planner, j, &bits);
        if (isfinite(objective))
            f->uniform[f->n_uniform++] =
                (struct bp_frontier_uniform){(uint32_t)j, (double)bits / params, objective};
    }
}

enum bp_status bp_frontier_solve(struct bp_planner *planner, const struct bp_table *table,
                                 const struct bp_budget *budgets, size_t n,
                                 const struct bp_planner_limits *limits, struct bp_frontier *out,
                                 struct bp_err *err)
{
    *out = (struct bp_frontier){.table = table};
    out->samples = bp_alloc_zero(n, sizeof *out->samples);
    out->uniform = bp_alloc_zero(table->n_candidates, sizeof *out->uniform);
    if (!out->samples || !out->uniform)
        return bp_fail_nomem(err);
    for (size_t i = 0; i < n; i++) {
        struct bp_plan *plan;
        enum bp_status status =
            bp_planner_solve(planner, &budgets[i], BP_SOLVER_MCKP, limits, &plan, err);
        if (status != BP_OK && status != BP_LIMIT)
            return status;
        if (i == 0)
            take_common(out, plan);
        out->samples[out->n++] = sample_of(plan);
        bp_plan_free(plan);
    }
    take_uniform(out, planner);
    bp_frontier_find_knees(out->samples, out->n);
    return BP_OK;
}
