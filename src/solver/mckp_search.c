/*
 * The search of one budget. It looks for plans within a part of the gap first and widens that until
 * a plan is found or nothing is left: the true gap is often a small part of what the greedy plan
 * leaves, and below it the lists of partial plans die out at once, while above it they grow fast.
 * For each part, lists of few states first: the plan that they find is the limit for the next.
 *
 * Where lists do not close a table, costs on a line or thousands of equal classes, the dense
 * program runs with an allowance that grows with the work spent by then.
 */
#include "solver/mckp_impl.h"

#define FIRST_GAP   8 /* the first part of the gap is one in so many */
#define GAP_STEP    2
#define SPLIT_GAP   64 /* the same for the moves of coarse classes */
#define SPLIT_STEP  4
#define SPLIT_WIDTH ((size_t)256)

/* States of a list, at first and at most. */
#define FIRST_WIDTH ((size_t)8)
#define WIDTH_STEP  8
#define MAX_WIDTH   ((size_t)1 << 17)
#define DENSE_FROM  ((size_t)16384) /* the dense program is tried after lists of so many */

static double work_left(struct bp_mckp *m)
{
    struct bp_mckp_work *k = &m->work;
    return !bp_mckp_stopped(k) && k->work < k->max_work ? (double)(k->max_work - k->work) : 0;
}

static enum bp_mckp_outcome dense(struct bp_mckp *m, double max_cells, bool narrow)
{
    double left = work_left(m);
    if (m->work.stopped)
        return BP_MCKP_OPEN;
    return bp_mckp_dp(m, max_cells < left ? max_cells : left, narrow);
}

/* Lists of more and more states. OPEN: that was not enough. */
static enum bp_mckp_outcome widen(struct bp_mckp *m)
{
    struct bp_mckp_work *k = &m->work;
    for (size_t width = FIRST_WIDTH; width <= MAX_WIDTH; width *= WIDTH_STEP) {
        double left = work_left(m);
        if (left <= 0)
            return BP_MCKP_OPEN;
        enum bp_mckp_outcome outcome = bp_mckp_lists(m, width, left);
        if (outcome == BP_MCKP_OPEN && width >= DENSE_FROM)
            outcome = dense(m, 4 * (double)k->work, false);
        if (outcome != BP_MCKP_OPEN)
            return outcome;
        bp_mckp_core_shrink(m);
    }
    return BP_MCKP_OPEN;
}

/* After the lists gave up: the dense program at any affordable price, its narrow form in between
 * for a better incumbent, which makes the window smaller. */
static enum bp_mckp_outcome last_resort(struct bp_mckp *m)
{
    struct bp_mckp_work *k = &m->work;
    for (int round = 0; round < 4 && work_left(m) > 0; round++) {
        int64_t before = k->incumbent;
        enum bp_mckp_outcome outcome = dense(m, round < 3 ? 2e9 : 2e10, false);
        if (outcome != BP_MCKP_OPEN)
            return outcome;
        if (dense(m, 1e9, true) == BP_MCKP_NOMEM)
            return BP_MCKP_NOMEM;
        if (k->incumbent <= k->root_bound)
            return BP_MCKP_CLOSED;
        if (k->incumbent == before && round < 2)
            round = 2;
    }
    return BP_MCKP_OPEN;
}

/* ---- coarse classes ---- */

/* Gathers the core where most classes are coarse: of these only the cheapest moves at first, for a
 * better plan, as what the fine classes must cost leaves little for them. CLOSED: the core holds
 * every better plan. */
static enum bp_mckp_outcome gather_coarse(struct bp_mckp *m)
{
    struct bp_mckp_work *k = &m->work;
    int64_t limit = (k->cutoff - k->root_bound) / SPLIT_GAP + 1;
    for (;;) {
        enum bp_mckp_outcome outcome = bp_mckp_core_gather_split(m, limit);
        if (outcome != BP_MCKP_CLOSED || work_left(m) <= 0)
            return outcome == BP_MCKP_CLOSED ? BP_MCKP_OPEN : outcome;
        int64_t bound = k->bound, begin = k->cutoff - k->root_bound;
        k->fine_least = 0;
        if (limit < begin && bp_mckp_lists(m, SPLIT_WIDTH, work_left(m)) == BP_MCKP_NOMEM)
            return BP_MCKP_NOMEM;
        int64_t left = k->cutoff - k->root_bound - k->fine_least;
        if (limit >= left)
            return BP_MCKP_CLOSED;
        k->bound = bound; /* it was that of a part */
        limit = limit < left / SPLIT_STEP ? SPLIT_STEP * limit : left;
    }
}

/* ---- the search ---- */

/* Searches for plans below the cutoff. CLOSED: there is none but the incumbent. */
static enum bp_mckp_outcome search_below_cutoff(struct bp_mckp *m, bool last)
{
    enum bp_mckp_outcome outcome = m->coarse_unit > 1 ? gather_coarse(m) : bp_mckp_core_gather(m);
    if (outcome != BP_MCKP_CLOSED)
        return outcome;
    if (m->work.bound >= m->work.cutoff)
        return BP_MCKP_CLOSED;
    outcome = widen(m);
    return outcome == BP_MCKP_OPEN && last ? last_resort(m) : outcome;
}

enum bp_mckp_outcome bp_mckp_search(struct bp_mckp *m)
{
    struct bp_mckp_work *k = &m->work;
    int64_t below = (k->incumbent - k->root_bound) / FIRST_GAP;
    k->coarse_known = false;
    for (;;) {
        if (work_left(m) <= 0)
            return BP_MCKP_OPEN;
        below = below > 0 ? below : 1;
        bool last = below >= k->incumbent - k->root_bound;
        k->cutoff = last ? k->incumbent : k->root_bound + below;
        enum bp_mckp_outcome outcome = search_below_cutoff(m, last);
        if (outcome == BP_MCKP_NOMEM || (outcome == BP_MCKP_OPEN && last))
            return outcome;
        if (outcome == BP_MCKP_CLOSED) {
            k->bound = k->cutoff;
            if (k->incumbent <= k->cutoff)
                return BP_MCKP_CLOSED;
        }
        below = outcome == BP_MCKP_CLOSED ? GAP_STEP * below : INT64_MAX / 2;
    }
}
