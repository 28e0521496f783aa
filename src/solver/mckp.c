#include "solver/mckp.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "solver/mckp_impl.h"

static void free_work(struct bp_mckp_work *k)
{
    free(k->base);
    free(k->best);
    free(k->stamp);
    free(k->core.cls);
    free(k->core.first);
    free(k->core.w);
    free(k->core.e);
    free(k->core.r);
    free(k->core.item);
    free(k->sel);
    free(k->move);
    free(k->list);
    free(k->arena);
    free(k->partial[0]);
    free(k->partial[1]);
    free(k->rest);
    free(k->table);
    free(k->row_a);
    free(k->row_b);
    free(k->back);
    free(k->fill);
    free(k->order);
    free(k->row);
    free(k->key);
}

struct bp_mckp *bp_mckp_free(struct bp_mckp *m)
{
    if (m == NULL)
        return NULL;
    free_work(&m->work);
    bp_mckp_index_done(m);
    free(m->first);
    free(m->w);
    free(m->e);
    free(m->column);
    free(m->cost);
    free(m->hull_first);
    free(m->hull);
    free(m->hull_slope);
    free(m->off);
    free(m->coarse);
    free(m->fine);
    free(m->off_height);
    free(m->seg_class);
    free(m->seg_hull);
    free(m->seg_slope);
    free(m->prefix_w);
    free(m->prefix_e);
    free(m->cheapest_column);
    free(m->cheapest_cost);
    free(m);
    return NULL;
}

/* The part of the workspace whose size is known beforehand. */
static bool new_work(struct bp_mckp_work *k, size_t n_classes)
{
    k->base = calloc(n_classes, sizeof *k->base);
    k->best = calloc(n_classes, sizeof *k->best);
    k->stamp = calloc(n_classes, sizeof *k->stamp);
    k->sel = calloc(n_classes, sizeof *k->sel);
    k->core.cls = calloc(n_classes, sizeof *k->core.cls);
    k->core.first = calloc(n_classes + 1, sizeof *k->core.first);
    return k->base && k->best && k->stamp && k->sel && k->core.cls && k->core.first;
}

enum bp_status bp_mckp_new(const struct bp_mckp_problem *problem, struct bp_mckp **out,
                           size_t *bad_class)
{
    if (problem->n_classes == 0 || problem->n_items == 0 || problem->n_classes >= BP_MCKP_NONE ||
        problem->n_items >= BP_MCKP_NONE) {
        if (bad_class != NULL)
            *bad_class = 0;
        return BP_ERR_INPUT;
    }
    struct bp_mckp *m = calloc(1, sizeof *m);
    if (m == NULL)
        return BP_ERR_NOMEM;
    enum bp_status status = bp_mckp_build(problem, m, bad_class);
    if (status == BP_OK && !new_work(&m->work, m->n_classes))
        status = BP_ERR_NOMEM;
    if (status == BP_OK)
        *out = m;
    else
        bp_mckp_free(m);
    return status;
}

uint64_t bp_mckp_min_weight(const struct bp_mckp *m)
{
    return m->min_weight;
}

uint64_t bp_mckp_max_weight(const struct bp_mckp *m)
{
    return m->max_weight;
}

/* A bound on the sum of e as a true bound on the real-valued sum of costs. Each e is off its cost
 * by at most half a unit, so n_classes units cover the sum twice over; both conversions round
 * toward zero. */
static double true_bound(const struct bp_mckp *m, int64_t bound, double cost)
{
    int64_t safe = bound - (int64_t)m->n_classes;
    if (safe <= 0)
        return 0;
    double units = (double)safe;
    if (units > 1)
        units = nextafter(units, 0);
    double value = nextafter(ldexp(units, -m->exponent), 0);
    return value < cost ? value : cost;
}

/* Everything fits: each class takes its cheapest item. */
static enum bp_status take_cheapest(const struct bp_mckp *m, struct bp_mckp_result *result,
                                    uint32_t *choice)
{
    double cost = 0;
    for (size_t c = 0; c < m->n_classes; c++) {
        choice[c] = m->cheapest_column[c];
        cost += m->cheapest_cost[c];
    }
    *result = (struct bp_mckp_result){
        .cost = cost,
        .lower_bound = cost,
        .root_bound = cost,
        .weight = m->max_weight,
        .work = m->n_classes,
    };
    return BP_OK;
}

static double shadow_price(const struct bp_mckp *m, uint32_t seg)
{
    if (seg >= m->n_segs)
        return 0;
    double dw = (double)(m->prefix_w[seg + 1] - m->prefix_w[seg]);
    double de = (double)(m->prefix_e[seg] - m->prefix_e[seg + 1]);
    return ldexp(de / dw / (double)m->unit, -m->exponent);
}

static void report(const struct bp_mckp *m, struct bp_mckp_result *result, uint32_t *choice)
{
    const struct bp_mckp_work *k = &m->work;
    double cost = 0;
    int64_t w = 0;
    for (size_t c = 0; c < m->n_classes; c++) {
        uint32_t t = k->best[c];
        choice[c] = m->column[t];
        cost += m->cost[t];
        w += m->w[t];
    }
    *result = (struct bp_mckp_result){
        .cost = cost,
        .lower_bound = true_bound(m, k->bound, cost),
        .root_bound = true_bound(m, k->root_bound, cost),
        .weight = m->min_weight + (uint64_t)w * (uint64_t)m->unit,
        .shadow_price = shadow_price(m, k->break_seg),
        .work = k->work,
    };
}

enum bp_status bp_mckp_solve(struct bp_mckp *m, uint64_t budget,
                             const struct bp_mckp_limits *limits, struct bp_mckp_result *result,
                             uint32_t *choice)
{
    if (budget < m->min_weight)
        return BP_INFEASIBLE;
    if (budget >= m->max_weight)
        return take_cheapest(m, result, choice);
    struct bp_mckp_work *k = &m->work;
    k->work = 0;
    k->max_work = limits != NULL && limits->max_work != 0 ? limits->max_work : UINT64_MAX;
    k->stop = limits != NULL ? limits->stop : NULL;
    k->stopped = false;
    k->budget = (int64_t)(budget - m->min_weight) / m->unit;
    bp_mckp_root(m);
    k->bound = k->root_bound;
    enum bp_mckp_outcome outcome = BP_MCKP_CLOSED;
    if (k->incumbent > k->root_bound)
        outcome = bp_mckp_search(m);
    if (outcome == BP_MCKP_NOMEM)
        return BP_ERR_NOMEM;
    if (outcome == BP_MCKP_CLOSED)
        k->bound = k->incumbent;
    report(m, result, choice);
    return outcome == BP_MCKP_CLOSED ? BP_OK : BP_LIMIT;
}
