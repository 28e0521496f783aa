/*
 * The worker: a thread that sets up problems, solves budgets and samples the frontier, always for
 * the newest question. The screen asks and takes news; neither waits for the other.
 *
 * A question is answered first by what a few milliseconds give, with its true gap, and, where that
 * is no proof yet, once more when it is proved. A newer question ends the work on an older one; its
 * late news are told by the generation. When nothing is asked, the frontier is sampled.
 */
#ifndef BP_UI_WORKER_H
#define BP_UI_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/budget.h"
#include "engine/constraints.h"
#include "engine/err.h"
#include "engine/plan.h"
#include "engine/stability.h"
#include "ui/problem.h"

struct bp_worker;

/* wake_fd gets a descriptor that can be polled: readable when there are news. */
enum bp_status bp_worker_new(struct bp_worker **out, int *wake_fd, struct bp_err *err);
/* Stops and joins the thread. Takes NULL, returns NULL. */
struct bp_worker *bp_worker_free(struct bp_worker *worker);

/* Asks for the plan of a budget; replaces what was asked before. The source is held, constraints
 * and budget are copied. A budget without `asked` only sets the problem up. `generation` comes back
 * with the news. */
enum bp_status bp_worker_ask(struct bp_worker *worker, uint64_t generation,
                             struct bp_source *source, const struct bp_constraints *constraints,
                             const struct bp_budget *budget, struct bp_err *err);

/* Asks how stable the plan of the newest question is under so much noise (stability.h), once it is
 * answered. A newer question ends it without news. */
void bp_worker_ask_stability(struct bp_worker *worker, double noise_percent);

enum bp_news_kind {
    BP_NEWS_PLAN,      /* status, plan, final, elapsed_ms */
    BP_NEWS_FRONTIER,  /* points */
    BP_NEWS_PROGRESS,  /* objective, lower_bound: of a proof that takes long */
    BP_NEWS_STABILITY, /* status, plan, stability */
};

struct bp_news {
    enum bp_news_kind kind;
    uint64_t generation;
    struct bp_problem *problem; /* held; NULL when the constraints do not give one */
    enum bp_status status;      /* BP_OK, BP_LIMIT, BP_INFEASIBLE or an error with its text */
    struct bp_err err;
    struct bp_plan *plan;             /* NULL without one; borrows problem */
    bool final;                       /* nothing better comes for this question */
    double elapsed_ms;                /* of solving */
    struct bp_frontier_point *points; /* [n_points] by ascending budget */
    size_t n_points;
    double objective, lower_bound; /* INFINITY: no plan found yet */
    struct bp_stability stability;
    struct bp_news *next; /* the worker's */
};

/* The oldest news, to be freed with bp_news_free; NULL when there are none. Drains wake_fd. */
struct bp_news *bp_worker_take(struct bp_worker *worker);
struct bp_news *bp_news_free(struct bp_news *news);

/* Makes wake_fd readable: somebody else has something to say. Any thread. */
void bp_worker_nudge(struct bp_worker *worker);

/* Waits at most timeout_ms for news, or until nothing is left to do. True when there are news. */
bool bp_worker_wait(struct bp_worker *worker, int timeout_ms);
/* True when all that was asked is answered and the frontier is sampled. */
bool bp_worker_idle(struct bp_worker *worker);

#endif
