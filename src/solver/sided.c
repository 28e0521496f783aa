#include "solver/sided.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "solver/sided_impl.h"

/* Between two calls of the progress callback without news. */
static const double TELL_SECONDS = 0.2;

/* ---- the run ---- */

static double now_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void tell(struct bp_sided_run *run, double now)
{
    run->told = now;
    if (run->limits.progress != NULL)
        run->limits.progress(run->limits.progress_arg, run->incumbent, run->bound);
}

bool bp_sided_over(struct bp_sided_run *run)
{
    const double now = now_seconds();
    if (now - run->told >= TELL_SECONDS)
        tell(run, now);
    return (run->limits.stop != NULL && atomic_load(run->limits.stop)) ||
           (run->limits.max_work > 0 && run->work >= run->limits.max_work &&
            run->incumbent < INFINITY) ||
           (run->limits.max_seconds > 0 && now - run->start >= run->limits.max_seconds);
}

struct bp_mckp_limits bp_sided_mckp_limits(const struct bp_sided_run *run, uint64_t max_work)
{
    struct bp_mckp_limits limits = {max_work, run->limits.stop};
    if (run->limits.max_work > 0) {
        const uint64_t left =
            run->limits.max_work > run->work ? run->limits.max_work - run->work : 1;
        limits.max_work = left < max_work ? left : max_work;
    }
    return limits;
}

double bp_sided_cost(const struct bp_sided_problem *p, const uint32_t *choice)
{
    double sum = 0;
    for (size_t c = 0; c < p->mckp.n_classes; c++)
        sum += p->mckp.cost[c * p->mckp.n_items + choice[c]];
    return sum;
}

static uint64_t weight_of(const struct bp_sided_problem *p, const uint32_t *choice)
{
    uint64_t sum = 0;
    for (size_t c = 0; c < p->mckp.n_classes; c++)
        sum += p->mckp.weight[c * p->mckp.n_items + choice[c]];
    return sum;
}

bool bp_sided_fits(const struct bp_sided_problem *p, const uint32_t *choice)
{
    if (weight_of(p, choice) > p->budget)
        return false;
    for (size_t l = 0; l < p->n_limits; l++) {
        uint64_t sum = 0;
        for (size_t c = 0; c < p->mckp.n_classes; c++)
            sum += bp_sided_takes(p, l, c, choice[c]);
        if (sum > p->capacity[l])
            return false;
    }
    return true;
}

bool bp_sided_few_columns(const struct bp_sided_problem *p, const uint32_t *choice)
{
    if (p->max_columns == 0 || p->max_columns >= p->mckp.n_items)
        return true;
    uint8_t *seen = calloc(p->mckp.n_items, 1);
    size_t n = seen == NULL ? SIZE_MAX / 2 : 0;
    for (size_t c = 0; seen != NULL && c < p->mckp.n_classes; c++) {
        n += !seen[choice[c]];
        seen[choice[c]] = 1;
    }
    free(seen);
    return n <= p->max_columns;
}

void bp_sided_offer(struct bp_sided_run *run, const uint32_t *choice)
{
    const struct bp_sided_problem *p = run->problem;
    const double cost = bp_sided_cost(p, choice);
    if (!(cost < run->incumbent) || !bp_sided_fits(p, choice) || !bp_sided_few_columns(p, choice))
        return;
    run->incumbent = cost;
    /* A bound that rounding has put above a choice that is there. */
    run->bound = run->bound < cost ? run->bound : cost;
    memcpy(run->best, choice, p->mckp.n_classes * sizeof *choice);
    tell(run, now_seconds());
}

void bp_sided_raise(struct bp_sided_run *run, double bound)
{
    if (bound > run->incumbent)
        bound = run->incumbent;
    if (!(bound > run->bound))
        return;
    run->bound = bound;
    if (isfinite(bound))
        tell(run, now_seconds());
}

/* ---- the solve ---- */

/* A cost above that of every choice. */
static double ceiling_of(const struct bp_mckp_problem *p)
{
    double sum = 0;
    for (size_t c = 0; c < p->n_classes; c++) {
        double most = 0;
        for (size_t j = 0; j < p->n_items; j++)
            if (bp_sided_offers(p, c, j) && p->cost[c * p->n_items + j] > most)
                most = p->cost[c * p->n_items + j];
        sum += most;
    }
    return sum * (1 + 1e-9) + DBL_MIN;
}

static bool bounds_columns(const struct bp_sided_problem *p)
{
    return p->max_columns > 0 && p->max_columns < p->mckp.n_items;
}

/* A first choice of few columns, for GLPK to begin with. */
static enum bp_status start(struct bp_sided_run *run, double *price)
{
    uint32_t *set = malloc(run->problem->max_columns * sizeof *set);
    size_t n;
    enum bp_status status = set == NULL ? BP_ERR_NOMEM : bp_sided_start(run, price, set, &n);
    free(set);
    return status;
}

/* BP_OK: closed. BP_LIMIT: not. */
static enum bp_status search(struct bp_sided_run *run, struct bp_mckp *relaxation, uint32_t *choice)
{
    const struct bp_sided_problem *p = run->problem;
    double *price = calloc(1 + p->n_limits, sizeof *price);
    if (price == NULL)
        return BP_ERR_NOMEM;
    struct bp_sided_part part = {.choice = choice, .price = price};
    const bool bounded = bounds_columns(p), columns = bounded && !run->limits.by_glpk;
    enum bp_status status =
        bp_sided_limits_solve(run, p, relaxation, INFINITY, !bounded, true, &part);
    if (status == BP_OK && bounded && !columns && !(part.closed && !part.found)) {
        status = start(run, price);
        if (status == BP_OK)
            status = bp_sided_limits_solve(run, p, relaxation, INFINITY, true, true, &part);
    }
    run->shadow_price = part.shadow_price;
    if (status == BP_OK && part.closed && !part.found)
        status = BP_INFEASIBLE;
    else if (status == BP_OK && columns && !(part.closed && run->incumbent <= part.cost))
        status = bp_sided_columns_solve(run, price);
    else if (status == BP_OK)
        status = part.closed ? BP_OK : BP_LIMIT;
    free(price);
    return status;
}

enum bp_status bp_sided_solve(const struct bp_sided_problem *problem, struct bp_mckp *relaxation,
                              const struct bp_sided_limits *limits, struct bp_sided_result *result,
                              uint32_t *choice)
{
    struct bp_sided_run run = {.problem = problem, .incumbent = INFINITY, .start = now_seconds()};
    struct bp_mckp *own = NULL;
    enum bp_status status = BP_ERR_NOMEM;
    if (limits != NULL)
        run.limits = *limits;
    run.told = run.start;
    run.ceiling = ceiling_of(&problem->mckp);
    run.best = malloc(problem->mckp.n_classes * sizeof *run.best);
    if (run.best == NULL)
        goto done;
    status = relaxation != NULL ? BP_OK : bp_mckp_new(&problem->mckp, &own, NULL);
    if (status == BP_OK)
        status = search(&run, relaxation != NULL ? relaxation : own, choice);
    if (status == BP_LIMIT && run.incumbent == INFINITY)
        status = BP_STOPPED;
    if (status == BP_OK && run.incumbent == INFINITY)
        status = BP_INFEASIBLE;
    if (status != BP_OK && status != BP_LIMIT)
        goto done;
    memcpy(choice, run.best, problem->mckp.n_classes * sizeof *choice);
    if (status == BP_LIMIT && run.bound >= bp_sided_cutoff(&run))
        status = BP_OK;
    *result = (struct bp_sided_result){
        .cost = run.incumbent,
        .lower_bound = fmin(run.bound, run.incumbent),
        .weight = weight_of(problem, choice),
        .shadow_price = run.shadow_price,
    };
    if (status == BP_OK)
        tell(&run, now_seconds());
done:
    bp_mckp_free(own);
    free(run.best);
    return status;
}
