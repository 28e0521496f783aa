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

#define FIRST_GAP  8 /* the first part of the gap is one in so many */
#define GAP_STEP   2
#define SPLIT_GAP  64 /* the same for the moves of coarse classes */
#define SPLIT_STEP 4

/* States of a list, at first and at most. */
#define FIRST_WIDTH ((size_t)32)
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

/* Sets work.sel to the minimizer of e + lambda * w, and the leaf to it and all moves away from it.
 */
static bool describe(struct bp_mckp *m, struct bp_mckp_leaf *leaf)
{
    struct bp_mckp_work *k = &m->work;
    const struct bp_mckp_core *core = &k->core;
    if (!bp_mckp_reserve(&k->move, &k->move_cap, core->n, sizeof *k->move))
        return false;
    *leaf = (struct bp_mckp_leaf){k->lambda, k->slack, k->root_bound, 0};
    for (uint32_t q = 0; q < core->n_classes; q++) {
        uint32_t s = core->first[q];
        while (core->r[s] > 0)
            s++;
        k->sel[q] = s;
        leaf->slack -= core->w[s];
        for (uint32_t t = core->first[q]; t < core->first[q + 1]; t++)
            if (t != s)
                k->move[leaf->n_moves++] =
                    (struct bp_mckp_move){core->r[t], core->w[t] - core->w[s], q, t};
    }
    k->work += 2 * (uint64_t)core->n + core->n_classes;
    return true;
}

/* The root where most classes are coarse: of these only the cheapest moves are gathered at first,
 * as the bound of the fine classes leaves little for them. OPEN: too large for that. */
static enum bp_mckp_outcome split_root(struct bp_mckp *m)
{
    struct bp_mckp_work *k = &m->work;
    struct bp_mckp_leaf leaf;
    struct bp_mckp_split split = {.limit = (k->cutoff - k->root_bound) / SPLIT_GAP + 1,
                                  .take = BP_MCKP_SPLIT_FIRST};
    for (;;) {
        enum bp_mckp_outcome outcome = bp_mckp_core_gather_split(m, split.limit);
        if (outcome != BP_MCKP_CLOSED)
            return outcome;
        if (!describe(m, &leaf))
            return BP_MCKP_NOMEM;
        outcome = bp_mckp_leaf_split(m, &leaf, &split);
        if (outcome != BP_MCKP_OPEN || split.too_large || work_left(m) <= 0)
            return outcome;
        int64_t left = k->cutoff - leaf.bound - split.rest;
        split.limit = split.limit < left / SPLIT_STEP ? SPLIT_STEP * split.limit : left;
    }
}

/* ---- the search ---- */

/* Searches for plans below the cutoff. CLOSED: there is none but the incumbent. */
static enum bp_mckp_outcome search_below_cutoff(struct bp_mckp *m, bool last)
{
    if (m->coarse_unit > 1) {
        enum bp_mckp_outcome outcome = split_root(m);
        if (outcome != BP_MCKP_OPEN || work_left(m) <= 0)
            return outcome;
    }
    enum bp_mckp_outcome outcome = bp_mckp_core_gather(m);
    if (outcome != BP_MCKP_CLOSED)
        return outcome;
    outcome = widen(m);
    return outcome == BP_MCKP_OPEN && last ? last_resort(m) : outcome;
}

enum bp_mckp_outcome bp_mckp_search(struct bp_mckp *m)
{
    struct bp_mckp_work *k = &m->work;
    int64_t below = (k->incumbent - k->root_bound) / FIRST_GAP;
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
