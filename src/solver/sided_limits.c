/*
 * Capacities beside the budget. Quick ways first: the knapsack without them, which often meets
 * them; then each part at its own capacity, which is optimal where the budget is not what binds;
 * then parts that are over theirs held there and the rest solved anew. The bound is that of the
 * Lagrangian relaxation, by subgradients; what it cannot exclude goes to GLPK.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "solver/glpk.h"
#include "solver/sided_impl.h"
#include "solver/sided_lagrange.h"

/* Steps of a knapsack that is a means, and of one that is a proof. */
static const uint64_t QUICK_WORK = 5000000;
static const uint64_t EXACT_WORK = UINT64_C(2000000000);

/* What a proof by GLPK may leave between choice and bound. */
static const double PROOF = 2e-6;

/* One call. */
struct call {
    struct bp_sided_run *run;
    const struct bp_sided_problem *p;
    bool exact, whole;
    bool columns; /* the bound on columns holds, too */
    double cutoff;
    struct bp_sided_part *out;
    uint32_t *trial; /* [n_classes] */
};

static double ceiling_of(const struct call *c)
{
    return c->out->found && c->out->cost < c->cutoff ? c->out->cost : c->cutoff;
}

/* Takes a choice into the part's result when it fits and is better. */
static void offer(struct call *c, const uint32_t *choice)
{
    const double cost = bp_sided_cost(c->p, choice);
    if ((c->out->found && cost >= c->out->cost) || !bp_sided_fits(c->p, choice) ||
        (c->columns && !bp_sided_few_columns(c->p, choice)))
        return;
    c->out->found = true;
    c->out->cost = cost;
    memmove(c->out->choice, choice, c->p->mckp.n_classes * sizeof *choice);
    if (c->whole)
        bp_sided_offer(c->run, choice);
}

static void raise_bound(struct call *c, double bound)
{
    if (bound > c->out->bound)
        c->out->bound = bound;
    if (c->whole)
        bp_sided_raise(c->run, bound);
}

/* ---- knapsacks of some classes ---- */

static size_t count_of(const uint8_t *in, size_t n)
{
    size_t k = 0;
    for (size_t c = 0; c < n; c++)
        k += in[c];
    return k;
}

/* Solves the classes in [n_classes] within a budget of their own; their columns go to choice.
 * *bound: nothing is cheaper. No classes: nothing to do. */
static enum bp_status solve_classes(struct call *call, const uint8_t *in, uint64_t budget,
                                    uint32_t *choice, double *bound)
{
    const struct bp_mckp_problem *m = &call->p->mckp;
    const size_t k = count_of(in, m->n_classes), C = m->n_items;
    *bound = 0;
    if (k == 0)
        return BP_OK;
    uint64_t *weight = malloc(k * C * sizeof *weight);
    double *cost = malloc(k * C * sizeof *cost);
    uint8_t *use = malloc(k * C);
    uint32_t *part = malloc(k * sizeof *part);
    struct bp_mckp *solver = NULL;
    struct bp_mckp_result r;
    enum bp_status status = BP_ERR_NOMEM;
    size_t at = 0;
    if (weight == NULL || cost == NULL || use == NULL || part == NULL)
        goto done;
    for (size_t c = 0; c < m->n_classes; c++) {
        if (!in[c])
            continue;
        memcpy(weight + at * C, m->weight + c * C, C * sizeof *weight);
        memcpy(cost + at * C, m->cost + c * C, C * sizeof *cost);
        for (size_t j = 0; j < C; j++)
            use[at * C + j] = bp_sided_offers(m, c, j);
        at++;
    }
    const struct bp_mckp_problem some = {k, C, weight, cost, use};
    const struct bp_mckp_limits limits =
        bp_sided_mckp_limits(call->run, call->exact ? EXACT_WORK / 10 : QUICK_WORK);
    status = bp_mckp_new(&some, &solver, NULL);
    if (status == BP_OK)
        status = bp_mckp_solve(solver, budget, &limits, &r, part);
    if (status == BP_OK || status == BP_LIMIT) {
        call->run->work += r.work;
        *bound = r.lower_bound;
        at = 0;
        for (size_t c = 0; c < m->n_classes; c++)
            if (in[c])
                choice[c] = part[at++];
    }
done:
    bp_mckp_free(solver);
    free(weight);
    free(cost);
    free(use);
    free(part);
    return status;
}

/* ---- parts that do not overlap ---- */

/* The limit that each class counts against, all of it; n_limits for none. False where a class
 * counts against two, or in part. */
static bool parts_of(const struct bp_sided_problem *p, size_t *part)
{
    const size_t N = p->mckp.n_classes;
    for (size_t c = 0; c < N; c++) {
        part[c] = p->n_limits;
        for (size_t l = 0; l < p->n_limits; l++) {
            const uint64_t *row = p->weight[l * N + c];
            if (row == NULL)
                continue;
            if (part[c] != p->n_limits || row != p->mckp.weight + c * p->mckp.n_items)
                return false;
            part[c] = l;
        }
    }
    return true;
}

static void mark(const size_t *part, size_t n, size_t l, uint8_t *in)
{
    for (size_t c = 0; c < n; c++)
        in[c] = part[c] == l;
}

static uint64_t weight_of(const struct bp_mckp_problem *m, const uint8_t *in,
                          const uint32_t *choice)
{
    uint64_t sum = 0;
    for (size_t c = 0; c < m->n_classes; c++)
        sum += in[c] ? m->weight[c * m->n_items + choice[c]] : 0;
    return sum;
}

/* Each part at its capacity, as if it had the budget for itself: their bounds add up, and where the
 * choices together are within the budget, that is the answer. BP_OK: closed. BP_LIMIT: not. */
static enum bp_status solve_apart(struct call *call, const size_t *part, uint8_t *in)
{
    const struct bp_sided_problem *p = call->p;
    double sum = 0;
    for (size_t l = 0; l <= p->n_limits; l++) {
        double bound;
        uint64_t budget = p->budget;
        if (l < p->n_limits && p->capacity[l] < budget)
            budget = p->capacity[l];
        mark(part, p->mckp.n_classes, l, in);
        enum bp_status status = solve_classes(call, in, budget, call->trial, &bound);
        if (status != BP_OK && status != BP_LIMIT)
            return status;
        sum += bound;
    }
    offer(call, call->trial);
    raise_bound(call, sum * (1 - 1e-13));
    return call->out->found && call->out->bound >= call->out->cost * (1 - BP_SIDED_CLOSE)
               ? BP_OK
               : BP_LIMIT;
}

/* Parts that are over their capacity in the choice for the rest of the budget are held at it, until
 * none is. */
static enum bp_status hold_parts(struct call *call, const size_t *part, uint8_t *in, uint8_t *held)
{
    const struct bp_sided_problem *p = call->p;
    const size_t N = p->mckp.n_classes;
    uint64_t left = p->budget;
    memset(held, 0, p->n_limits + 1);
    for (;;) {
        double bound;
        bool any = false;
        for (size_t c = 0; c < N; c++)
            in[c] = !held[part[c]];
        enum bp_status status = solve_classes(call, in, left, call->trial, &bound);
        for (size_t l = 0; (status == BP_OK || status == BP_LIMIT) && l < p->n_limits; l++) {
            mark(part, N, l, in);
            if (held[l] || weight_of(&p->mckp, in, call->trial) <= p->capacity[l])
                continue;
            status = solve_classes(call, in, p->capacity[l], call->trial, &bound);
            if (status != BP_OK && status != BP_LIMIT)
                break;
            left -= weight_of(&p->mckp, in, call->trial); /* less than it had before */
            held[l] = 1;
            any = true;
        }
        if (status != BP_OK && status != BP_LIMIT)
            return status == BP_INFEASIBLE ? BP_LIMIT : status;
        if (any)
            continue;
        offer(call, call->trial);
        return BP_LIMIT;
    }
}

/* BP_OK: closed; BP_LIMIT: not; BP_INFEASIBLE: nothing fits. */
static enum bp_status try_parts(struct call *call)
{
    const size_t N = call->p->mckp.n_classes;
    size_t *part = malloc(N * sizeof *part);
    uint8_t *in = malloc(N), *held = malloc(call->p->n_limits + 1);
    enum bp_status status = BP_ERR_NOMEM;
    if (part != NULL && in != NULL && held != NULL)
        status = parts_of(call->p, part) ? solve_apart(call, part, in) : BP_LIMIT;
    if (status == BP_LIMIT && parts_of(call->p, part))
        status = hold_parts(call, part, in, held);
    free(part);
    free(in);
    free(held);
    return status;
}

/* ---- proof ---- */

/* What GLPK's search hands on. */
struct proof {
    struct call *call;
    struct bp_sided_lagrange *g;
    double base;
};

static bool on_round(void *arg, size_t *pick)
{
    struct proof *proof = arg;
    struct call *call = proof->call;
    const double before = ceiling_of(call);
    memcpy(proof->g->pick, pick, proof->g->n_classes * sizeof *pick);
    if (bp_sided_lagrange_repair(proof->g, call->trial))
        offer(call, call->trial);
    if (!(ceiling_of(call) < before))
        return false;
    memcpy(pick, proof->g->pick, proof->g->n_classes * sizeof *pick);
    return true;
}

static bool on_glpk(void *arg, double bound, const size_t *pick)
{
    struct proof *proof = arg;
    if (pick != NULL) {
        for (size_t c = 0; c < proof->g->n_classes; c++)
            proof->call->trial[c] = proof->g->column[pick[c]];
        offer(proof->call, proof->call->trial);
    }
    raise_bound(proof->call, proof->base + bound);
    return bp_sided_over(proof->call->run);
}

/* Branch and cut over what the Lagrangian bound leaves. */
static enum bp_status prove(struct call *call, struct bp_sided_lagrange *g)
{
    struct proof proof = {call, g, g->bound};
    struct bp_glpk_branch b;
    double bound = 0;
    bool found = false;
    size_t *pick = malloc(g->n_classes * sizeof *pick);
    enum bp_status status = pick == NULL ? BP_ERR_NOMEM : BP_OK;
    /* A better choice leaves fewer items, and fewer items a better choice. */
    for (int k = 0; status == BP_OK && k < 3; k++) {
        const double before = ceiling_of(call);
        status = bp_sided_lagrange_reduce(g, before, &b);
        if (status == BP_OK && bp_sided_lagrange_repair(g, call->trial))
            offer(call, call->trial);
        if (!(ceiling_of(call) < before) || bp_sided_over(call->run))
            break;
    }
    if (status != BP_OK) {
        free(pick);
        return status == BP_INFEASIBLE ? BP_OK : status;
    }
    if (call->columns)
        b.max_columns = call->p->max_columns;
    b.n_columns = call->p->mckp.n_items;
    b.start = NULL;
    if (call->out->found && bp_sided_lagrange_find(g, call->out->choice, pick))
        b.start = pick;
    b.tell = on_glpk;
    b.round = on_round;
    b.arg = &proof;
    status = bp_glpk_branch(&b, &found, &bound);
    if (status == BP_OK || status == BP_LIMIT)
        raise_bound(call, fmin(g->bound + bound, ceiling_of(call)));
    /* GLPK's best does not always fit in integers. */
    if (status == BP_OK && found && call->out->bound < ceiling_of(call) * (1 - PROOF))
        status = BP_LIMIT;
    free(pick);
    return status;
}

static enum bp_status solve_with_limits(struct call *call, double shadow_price)
{
    struct bp_sided_lagrange g;
    enum bp_status status = try_parts(call);
    if (status != BP_LIMIT)
        return status;
    status = bp_sided_lagrange_init(&g, call->p, call->columns ? call->p->max_columns : 0);
    if (status != BP_OK)
        goto done;
    g.lambda[0] = shadow_price * g.unit[0];
    for (int i = 0, n = call->exact ? 600 : 60; i < n && !bp_sided_over(call->run); i++) {
        const bool better = bp_sided_lagrange_step(&g, ceiling_of(call));
        call->run->work += g.n * g.n_rows;
        if (!better && i % 10 != 0)
            continue;
        raise_bound(call, fmin(g.bound, ceiling_of(call)));
        if (i % 10 == 0 && bp_sided_lagrange_repair(&g, call->trial))
            offer(call, call->trial);
        if (g.bound >= ceiling_of(call) * (1 - BP_SIDED_CLOSE) || g.step < 1e-4)
            break;
    }
    for (size_t l = 0; call->out->price != NULL && l < g.n_rows; l++)
        call->out->price[l] = g.best[l] / g.unit[l];
    call->out->shadow_price = g.best[0] / g.unit[0];
    const bool had = isfinite(ceiling_of(call));
    status = BP_LIMIT;
    if (g.bound >= ceiling_of(call) * (1 - BP_SIDED_CLOSE))
        status = BP_OK;
    else if (call->exact && !bp_sided_over(call->run))
        status = prove(call, &g);
    /* Without a choice to begin with GLPK's costs have no scale: with it they are finer. */
    if (status == BP_LIMIT && !had && call->out->found && !bp_sided_over(call->run))
        status = prove(call, &g);
done:
    bp_sided_lagrange_done(&g);
    return status;
}

/* ---- all ---- */

static enum bp_status solve_part(struct call *call, struct bp_mckp *relaxation)
{
    const struct bp_sided_problem *p = call->p;
    struct bp_mckp_result r;
    const bool sided = p->n_limits > 0 || (call->whole && p->max_columns > 0);
    const struct bp_mckp_limits limits =
        bp_sided_mckp_limits(call->run, sided         ? QUICK_WORK * (call->exact ? 40 : 1)
                                        : call->exact ? EXACT_WORK
                                                      : QUICK_WORK);
    enum bp_status status = bp_mckp_solve(relaxation, p->budget, &limits, &r, call->trial);
    if (status != BP_OK && status != BP_LIMIT)
        return status;
    call->run->work += r.work;
    call->out->shadow_price = r.shadow_price;
    if (call->out->price != NULL)
        call->out->price[0] = r.shadow_price;
    offer(call, call->trial);
    raise_bound(call, r.lower_bound);
    if ((p->n_limits == 0 && !call->columns) ||
        (call->out->found && call->out->cost <= r.cost && status == BP_OK))
        return status; /* meets them by itself */
    return solve_with_limits(call, r.shadow_price);
}

enum bp_status bp_sided_limits_solve(struct bp_sided_run *run, const struct bp_sided_problem *p,
                                     struct bp_mckp *relaxation, double cutoff, bool exact,
                                     bool whole, struct bp_sided_part *out)
{
    struct call call = {.run = run,
                        .p = p,
                        .exact = exact,
                        .whole = whole,
                        .columns = exact && p->max_columns > 0,
                        .cutoff = cutoff,
                        .out = out,
                        .trial = malloc(p->mckp.n_classes * sizeof *call.trial)};
    out->closed = out->found = false;
    out->cost = INFINITY;
    out->bound = 0;
    out->shadow_price = 0;
    if (call.columns && whole && run->incumbent < INFINITY) {
        out->found = true;
        out->cost = run->incumbent;
        memcpy(out->choice, run->best, p->mckp.n_classes * sizeof *out->choice);
    }
    enum bp_status status = call.trial == NULL ? BP_ERR_NOMEM : solve_part(&call, relaxation);
    free(call.trial);
    if (status == BP_INFEASIBLE)
        out->bound = INFINITY;
    out->closed = status == BP_OK || status == BP_INFEASIBLE;
    return status < BP_OK ? status : BP_OK;
}
