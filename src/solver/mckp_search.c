/*
 * Best-first branching on the class that is fractional in the relaxation. A node is a set of
 * classes restricted to item ranges; its relaxation is solved on the root's frontier with the few
 * restricted classes corrected, in microseconds. Every node is first tried as a leaf.
 *
 * The plain search is slow to close tables with many equal classes, so at given node counts the
 * root is tried again as one big leaf, and the dense program runs with an allowance that grows with
 * the work spent by then.
 */
#include "solver/mckp_impl.h"

#include <math.h>

#define BIG_STATES ((size_t)1 << 21)
#define FAR        (INT64_MAX / 4) /* a reduced cost above any gap */

/* The search looks for plans within a part of the gap first and widens that until a plan is found
 * or nothing is left: the true gap is often a small part of what the greedy plan leaves. */
#define FIRST_GAP   8 /* the first part is one in so many */
#define GAP_STEP    3
#define FIRST_SPLIT 64 /* the same for the moves of coarse classes */
#define SPLIT_STEP  4

/* From so many nodes on, the lists are tried. */
#define LISTS_FROM  32
#define LISTS_PART  64   /* of the gap, at first one part in so many */
#define LISTS_SHARE 4    /* steps for one of the rest */
#define LISTS_ITEMS 2500 /* with more in the core, branching is ahead mostly */

/* A table is flat where the dearest move of a small leaf is below such a part of the gap. */
#define FLAT 256

/* ---- a node as a leaf ---- */

static uint32_t core_class(const struct bp_mckp_core *core, uint32_t cls)
{
    uint32_t lo = 0, hi = core->n_classes;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (core->cls[mid] < cls)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < core->n_classes && core->cls[lo] == cls ? lo : BP_MCKP_NONE;
}

static const struct bp_mckp_range *range_of(const struct bp_mckp_node *x, uint32_t cls)
{
    for (uint32_t i = 0; i < x->n_ranges; i++)
        if (x->range[i].cls == cls)
            return &x->range[i];
    return NULL;
}

/* Is an item of the range left that a better plan can use? */
static bool range_alive(const struct bp_mckp *m, const struct bp_mckp_range *r)
{
    const struct bp_mckp_work *k = &m->work;
    uint32_t q = core_class(&k->core, r->cls);
    if (q == BP_MCKP_NONE)
        return k->base[r->cls] >= r->lo && k->base[r->cls] <= r->hi;
    for (uint32_t t = k->core.first[q]; t < k->core.first[q + 1]; t++)
        if (k->core.item[t] >= r->lo && k->core.item[t] <= r->hi)
            return true;
    return false;
}

/* Reduced costs of a class's items away from the least one, where products may pass 64 bits; those
 * that do not matter are clamped. */
static uint32_t reduce_wide(struct bp_mckp_core *core, uint32_t q, int64_t lambda)
{
    uint32_t begin = core->first[q], end = core->first[q + 1], best = begin;
    bp_mckp_wide least = 0;
    for (uint32_t t = begin; t < end; t++) {
        bp_mckp_wide v = (bp_mckp_wide)lambda * core->w[t] + core->e[t];
        if (t == begin || v < least) {
            least = v;
            best = t;
        }
    }
    for (uint32_t t = begin; t < end; t++) {
        bp_mckp_wide r = (bp_mckp_wide)lambda * core->w[t] + core->e[t] - least;
        core->now[t] = r < FAR ? (int64_t)r : FAR;
    }
    return best;
}

/* The same where all values are known to be small. */
static uint32_t reduce(struct bp_mckp_core *core, uint32_t q, int64_t lambda)
{
    uint32_t begin = core->first[q], end = core->first[q + 1], best = begin;
    int64_t least = lambda * core->w[begin] + core->e[begin];
    core->now[begin] = least;
    for (uint32_t t = begin + 1; t < end; t++) {
        int64_t v = core->now[t] = lambda * core->w[t] + core->e[t];
        if (v < least) {
            least = v;
            best = t;
        }
    }
    for (uint32_t t = begin; t < end; t++)
        core->now[t] -= least;
    return best;
}

/* The same with the items outside of the range made unaffordable. BP_MCKP_NONE: none is inside. */
static uint32_t reduce_range(struct bp_mckp_core *core, uint32_t q, int64_t lambda,
                             const struct bp_mckp_range *r)
{
    uint32_t best = BP_MCKP_NONE, end = core->first[q + 1];
    bp_mckp_wide least = 0;
    for (uint32_t t = core->first[q]; t < end; t++) {
        bp_mckp_wide v = (bp_mckp_wide)lambda * core->w[t] + core->e[t];
        bool inside = core->item[t] >= r->lo && core->item[t] <= r->hi;
        if (inside && (best == BP_MCKP_NONE || v < least)) {
            least = v;
            best = t;
        }
    }
    for (uint32_t t = core->first[q]; t < end; t++) {
        bp_mckp_wide v = (bp_mckp_wide)lambda * core->w[t] + core->e[t] - least;
        bool inside = core->item[t] >= r->lo && core->item[t] <= r->hi;
        core->now[t] = inside && v < FAR ? (int64_t)v : FAR;
    }
    return best;
}

/* Sets work.sel, core.now and the leaf's slack and bound for node x. False: nothing better is in
 * it, or stopped. */
static bool select_items(struct bp_mckp *m, const struct bp_mckp_node *x, struct bp_mckp_leaf *leaf)
{
    struct bp_mckp_work *k = &m->work;
    struct bp_mckp_core *core = &k->core;
    bool small = fabs((double)x->lambda) * (double)core->most_w + (double)core->most_e < 0x1p61;
    for (uint32_t i = 0; i < x->n_ranges; i++)
        if (!range_alive(m, &x->range[i]))
            return false;
    for (uint32_t q = 0; q < core->n_classes; q++) {
        if (bp_mckp_stopped(k))
            return false;
        k->sel[q] = small ? reduce(core, q, x->lambda) : reduce_wide(core, q, x->lambda);
    }
    for (uint32_t i = 0; i < x->n_ranges; i++) {
        uint32_t q = core_class(core, x->range[i].cls);
        if (q != BP_MCKP_NONE)
            k->sel[q] = reduce_range(core, q, x->lambda, &x->range[i]);
        if (q != BP_MCKP_NONE && k->sel[q] == BP_MCKP_NONE)
            return false;
    }
    int64_t w = 0, e = k->base_e;
    for (uint32_t q = 0; q < core->n_classes; q++) {
        w += core->w[k->sel[q]];
        e += core->e[k->sel[q]];
    }
    k->work += (uint64_t)core->n + core->n_classes + 8 * x->n_ranges;
    leaf->lambda = x->lambda;
    leaf->slack = k->slack - w;
    bp_mckp_wide bound = e - (bp_mckp_wide)x->lambda * leaf->slack;
    if (bound >= k->cutoff)
        return false;
    leaf->bound = (int64_t)bound;
    return true;
}

/* Lists the moves away from work.sel that stay below the cutoff; not all of them when stopped. */
static bool list_moves(struct bp_mckp *m, struct bp_mckp_leaf *leaf)
{
    struct bp_mckp_work *k = &m->work;
    const struct bp_mckp_core *core = &k->core;
    if (!bp_mckp_reserve(&k->move, &k->move_cap, core->n, sizeof *k->move))
        return false;
    size_t n = 0;
    int64_t gap = k->cutoff - leaf->bound;
    for (uint32_t q = 0; q < core->n_classes && !bp_mckp_stopped(k); q++) {
        uint32_t s = k->sel[q];
        for (uint32_t t = core->first[q]; t < core->first[q + 1]; t++)
            if (core->now[t] < gap && t != s)
                k->move[n++] = (struct bp_mckp_move){core->now[t], core->w[t] - core->w[s], q, t};
    }
    k->work += core->n;
    leaf->n_moves = n;
    return true;
}

/* Lists the cheapest of these only, as many as a small leaf can use, and finds the step of all. */
static bool list_cheapest(struct bp_mckp *m, struct bp_mckp_leaf *leaf)
{
    enum { KEEP = BP_MCKP_SMALL_MOVES + 1, MOST = 4 * KEEP };
    struct bp_mckp_work *k = &m->work;
    const struct bp_mckp_core *core = &k->core;
    if (!bp_mckp_reserve(&k->move, &k->move_cap, MOST, sizeof *k->move))
        return false;
    size_t n = 0;
    int64_t gap = k->cutoff - leaf->bound, limit = gap, step = 0;
    for (uint32_t q = 0; q < core->n_classes && !bp_mckp_stopped(k); q++) {
        uint32_t s = k->sel[q];
        for (uint32_t t = core->first[q]; t < core->first[q + 1]; t++) {
            if (core->now[t] >= (step == 1 ? limit : gap) || t == s)
                continue;
            int64_t dw = core->w[t] - core->w[s];
            if (step == 0 || (step != 1 && dw % step != 0))
                step = bp_mckp_gcd(step, dw);
            if (core->now[t] >= limit)
                continue;
            k->move[n++] = (struct bp_mckp_move){core->now[t], dw, q, t};
            if (n == MOST) {
                /* Moves come in the order in which ties are broken, so that a later one of equal
                 * cost is not among the first. */
                bp_mckp_sort_smallest(k->move, n, KEEP);
                n = KEEP;
                limit = k->move[KEEP - 1].r;
            }
        }
    }
    k->work += core->n;
    leaf->n_moves = n;
    leaf->step = step;
    return true;
}

/* Node x as a leaf. CLOSED: nothing better is in it. OPEN: work.sel, core.now, *leaf and, as far as
 * a small leaf goes, work.move say what is, unless stopped. */
static enum bp_mckp_outcome describe(struct bp_mckp *m, const struct bp_mckp_node *x,
                                     struct bp_mckp_leaf *leaf)
{
    if (!select_items(m, x, leaf))
        return m->work.stopped ? BP_MCKP_OPEN : BP_MCKP_CLOSED;
    return list_cheapest(m, leaf) ? BP_MCKP_OPEN : BP_MCKP_NOMEM;
}

/* Every plan below the incumbent ends at a weight that is off the selection's by a multiple of the
 * moves' gcd. Does the slack that no multiple fills cost too much already? */
static bool residue_closes(const struct bp_mckp *m, const struct bp_mckp_leaf *leaf)
{
    const struct bp_mckp_work *k = &m->work;
    int64_t g = leaf->step;
    if (g <= 1)
        return false;
    int64_t rest = leaf->slack % g;
    rest = rest < 0 ? rest + g : rest;
    return leaf->bound + (bp_mckp_wide)leaf->lambda * rest >= k->cutoff;
}

/* ---- branching ---- */

struct split {
    uint32_t cls, left_hi, right_lo; /* children: up to left_hi, from right_lo, and between */
};

/* At the break class: below and above the jump that the budget cuts. */
static bool split_at_break(const struct bp_mckp *m, const struct bp_mckp_node *x,
                           struct bp_mckp_range *cur, struct split *out)
{
    if (x->break_class == BP_MCKP_NONE)
        return false;
    uint32_t c = x->break_class;
    const struct bp_mckp_range *r = range_of(x, c);
    *cur = r != NULL ? *r : (struct bp_mckp_range){c, m->first[c], m->first[c + 1] - 1};
    *out = (struct split){c, bp_mckp_range_argmin(m, cur, x->lambda + 1),
                          bp_mckp_range_argmin(m, cur, x->lambda)};
    return out->left_hi < out->right_lo;
}

/* Without a jump: at the move of the largest step for its reduced cost. */
static bool split_at_move(struct bp_mckp *m, const struct bp_mckp_node *x,
                          struct bp_mckp_leaf *leaf, struct bp_mckp_range *cur, struct split *out)
{
    struct bp_mckp_work *k = &m->work;
    if (!list_moves(m, leaf))
        return false;
    double best = -1, gap = (double)(k->cutoff - leaf->bound);
    const struct bp_mckp_move *pick = NULL;
    for (size_t t = 0; t < leaf->n_moves && !bp_mckp_stopped(k); t++) {
        const struct bp_mckp_move *move = &k->move[t];
        double dw = (double)(move->dw < 0 ? -move->dw : move->dw);
        double score = dw / ((double)move->r + 1 + 0.02 * gap);
        if (score > best) {
            best = score;
            pick = move;
        }
    }
    if (pick == NULL)
        return false;
    uint32_t c = k->core.cls[pick->cls];
    uint32_t a = k->core.item[pick->item], b = k->core.item[k->sel[pick->cls]];
    const struct bp_mckp_range *r = range_of(x, c);
    *cur = r != NULL ? *r : (struct bp_mckp_range){c, m->first[c], m->first[c + 1] - 1};
    *out = (struct split){c, a < b ? a : b, a < b ? b : a};
    return true;
}

static void restrict_class(struct bp_mckp_node *x, struct bp_mckp_range r)
{
    for (uint32_t i = 0; i < x->n_ranges; i++) {
        if (x->range[i].cls == r.cls) {
            x->range[i] = r;
            return;
        }
    }
    x->range[x->n_ranges++] = r;
}

/* Opens the children of x. OPEN: it cannot be split further, or too many nodes are open. */
static enum bp_mckp_outcome branch(struct bp_mckp *m, const struct bp_mckp_node *x,
                                   struct bp_mckp_leaf *leaf)
{
    struct bp_mckp_range cur;
    struct split split;
    if (x->n_ranges >= BP_MCKP_MAX_DEPTH ||
        (!split_at_break(m, x, &cur, &split) && !split_at_move(m, x, leaf, &cur, &split)))
        return BP_MCKP_OPEN;
    const struct bp_mckp_range part[3] = {
        {cur.cls, cur.lo, split.left_hi},
        {cur.cls, split.right_lo, cur.hi},
        {cur.cls, split.left_hi + 1, split.right_lo - 1},
    };
    for (int i = 0; i < 3; i++) {
        if (part[i].lo > part[i].hi || !range_alive(m, &part[i]))
            continue;
        struct bp_mckp_node child = *x;
        restrict_class(&child, part[i]);
        if (!bp_mckp_relax(m, &child))
            continue;
        if (child.bound < x->bound)
            child.bound = x->bound;
        if (child.bound >= m->work.cutoff)
            continue;
        enum bp_mckp_outcome outcome = bp_mckp_push(m, &child);
        if (outcome != BP_MCKP_CLOSED)
            return outcome;
    }
    return BP_MCKP_CLOSED;
}

/* ---- the search ---- */

struct progress {
    uint64_t nodes;
    uint64_t big_tried, big_closed;
    int64_t core_gap;  /* gap at the last shrink */
    int64_t lists_gap; /* the lists have found nothing in this part of the gap */
    uint64_t lists_work;
    bool flat; /* most moves cost next to nothing: branching will not get far */
    struct bp_mckp_node root;
};

static bool is_power_of_two(uint64_t n)
{
    return (n & (n - 1)) == 0;
}

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

/* The lists for a small part of the gap, then for more of it: their size hangs on it. What they may
 * cost is in proportion to the rest of the search. CLOSED: all of the gap. */
static enum bp_mckp_outcome lists(struct bp_mckp *m, struct progress *p)
{
    struct bp_mckp_work *k = &m->work;
    uint64_t begin = k->work, others = begin - p->lists_work;
    double left = work_left(m), allowed = LISTS_SHARE * (double)others - (double)p->lists_work;
    int64_t cutoff = k->cutoff, gap = cutoff - k->root_bound;
    uint64_t end = begin + (uint64_t)(allowed < 0 ? 0 : allowed < left ? allowed : left);
    enum bp_mckp_outcome outcome = BP_MCKP_CLOSED;
    if (p->lists_gap < k->bound - k->root_bound)
        p->lists_gap = k->bound - k->root_bound;
    if (p->lists_gap < gap / LISTS_PART)
        p->lists_gap = gap / LISTS_PART;
    bp_mckp_core_shrink(m);
    if (k->core.n > LISTS_ITEMS)
        return BP_MCKP_OPEN;
    while (outcome == BP_MCKP_CLOSED && !bp_mckp_stopped(k) && k->work < end) {
        int64_t below = 2 * p->lists_gap + 1;
        bool last = below >= gap;
        k->cutoff = last ? cutoff : k->root_bound + below;
        outcome = bp_mckp_lists(m, (double)(end - k->work));
        if (outcome == BP_MCKP_CLOSED && (last || k->incumbent <= k->cutoff))
            return BP_MCKP_CLOSED;
        if (outcome == BP_MCKP_CLOSED)
            p->lists_gap = below;
    }
    k->cutoff = cutoff < k->incumbent ? cutoff : k->incumbent;
    p->lists_work += k->work - begin;
    return outcome == BP_MCKP_NOMEM ? outcome : BP_MCKP_OPEN;
}

/* A big leaf of no more states than the work left allows. */
static enum bp_mckp_outcome big_leaf(struct bp_mckp *m, const struct bp_mckp_leaf *leaf,
                                     size_t max_states)
{
    double allowed = work_left(m) / 8;
    if (allowed < (double)max_states)
        max_states = (size_t)allowed;
    return max_states > 0 ? bp_mckp_leaf_big(m, leaf, max_states) : BP_MCKP_OPEN;
}

/* A node as a leaf: OPEN when it has to be branched; then work.move and *leaf describe it. */

static enum bp_mckp_outcome try_leaf(struct bp_mckp *m, const struct bp_mckp_node *x,
                                     struct progress *p, struct bp_mckp_leaf *leaf)
{
    struct bp_mckp_work *k = &m->work;
    enum bp_mckp_outcome outcome = describe(m, x, leaf);
    if (outcome != BP_MCKP_OPEN || k->stopped)
        return outcome;
    if (leaf->slack >= 0 && leaf->bound + (bp_mckp_wide)leaf->lambda * leaf->slack < k->incumbent) {
        bp_mckp_accept(k, leaf->bound + leaf->lambda * leaf->slack);
        bp_mckp_keep_selection(m);
    }
    if (residue_closes(m, leaf))
        return BP_MCKP_CLOSED;
    outcome = bp_mckp_leaf_small(m, leaf);
    if (p->nodes == 1)
        p->flat = leaf->n_moves > BP_MCKP_SMALL_MOVES &&
                  k->move[BP_MCKP_SMALL_MOVES].r < (k->cutoff - leaf->bound) / FLAT;
    if (outcome == BP_MCKP_OPEN && m->coarse_unit > 1) {
        if (!list_moves(m, leaf))
            return BP_MCKP_NOMEM;
        struct bp_mckp_split split = {.limit = FAR, .take = BP_MCKP_SPLIT_FIRST};
        return bp_mckp_leaf_split(m, leaf, &split);
    }
    if (outcome == BP_MCKP_OPEN && p->nodes >= (p->flat ? 16 : 64) &&
        (is_power_of_two(p->nodes) || p->big_closed * 2 >= p->big_tried)) {
        size_t part = p->nodes >= 256 ? 3 : p->nodes >= 64 ? 8 : 32;
        if (!list_moves(m, leaf))
            return BP_MCKP_NOMEM;
        outcome = big_leaf(m, leaf, BIG_STATES / part);
        p->big_tried++;
        p->big_closed += outcome == BP_MCKP_CLOSED;
    }
    return outcome;
}

/* The root as one big leaf, with the incumbent found since. */
static enum bp_mckp_outcome retry_root(struct bp_mckp *m, const struct progress *p,
                                       size_t max_states)
{
    struct bp_mckp_leaf leaf;
    bp_mckp_core_shrink(m);
    enum bp_mckp_outcome outcome = describe(m, &p->root, &leaf);
    if (outcome != BP_MCKP_OPEN || m->work.stopped)
        return outcome;
    if (!list_moves(m, &leaf))
        return BP_MCKP_NOMEM;
    return big_leaf(m, &leaf, max_states);
}

/* A node that cannot be split further, as the largest leaf that is allowed. */
static enum bp_mckp_outcome force_leaf(struct bp_mckp *m, struct bp_mckp_leaf *leaf)
{
    if (!list_moves(m, leaf))
        return BP_MCKP_NOMEM;
    return big_leaf(m, leaf, BIG_STATES / 3);
}

/* What is tried for the whole problem at certain node counts. CLOSED ends the search. The dense
 * program may cost a few times the work so far: cheap where branching is quick, and what closes
 * tables with many equal classes. */
static enum bp_mckp_outcome milestone(struct bp_mckp *m, struct progress *p)
{
    enum bp_mckp_outcome outcome = BP_MCKP_OPEN;
    if (p->nodes >= LISTS_FROM && is_power_of_two(p->nodes))
        outcome = lists(m, p);
    if (outcome != BP_MCKP_OPEN)
        return outcome;
    if (p->nodes == (p->flat ? 24 : 100) || p->nodes == 400 || p->nodes == 2000)
        outcome = retry_root(m, p, BIG_STATES / (p->nodes <= 100 ? 8 : 3));
    if (outcome == BP_MCKP_OPEN && p->nodes >= (p->flat ? 32 : 128) && is_power_of_two(p->nodes))
        outcome = dense(m, 4 * (double)(m->work.work - p->lists_work), false);
    return outcome;
}

/* After branching gave up: the dense program at any affordable price, its narrow form in between
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

/* Branches until nothing is open, the work is used up, or a node resists. */
static enum bp_mckp_outcome branch_and_bound(struct bp_mckp *m, struct progress *p)
{
    struct bp_mckp_work *k = &m->work;
    struct bp_mckp_node x;
    struct bp_mckp_leaf leaf;
    while (k->n_heap > 0 && k->heap[0].bound < k->cutoff) {
        if (k->heap[0].bound > k->bound)
            k->bound = k->heap[0].bound; /* no open node has a smaller one */
        if (bp_mckp_stopped(k) || k->work >= k->max_work)
            return BP_MCKP_OPEN;
        bp_mckp_pop(m, &x);
        p->nodes++;
        enum bp_mckp_outcome outcome = milestone(m, p);
        if (outcome != BP_MCKP_OPEN)
            return outcome;
        int64_t gap = k->cutoff - k->root_bound;
        if (gap <= 0)
            return BP_MCKP_CLOSED;
        if (gap < p->core_gap - p->core_gap / 4) {
            p->core_gap = gap;
            bp_mckp_core_shrink(m);
        }
        outcome = try_leaf(m, &x, p, &leaf);
        if (k->stopped) /* the leaf may be half described */
            return BP_MCKP_OPEN;
        if (outcome == BP_MCKP_OPEN)
            outcome = branch(m, &x, &leaf);
        if (outcome == BP_MCKP_OPEN)
            outcome = force_leaf(m, &leaf);
        if (outcome != BP_MCKP_CLOSED)
            return outcome;
    }
    return BP_MCKP_CLOSED;
}

/* The root where most classes are coarse: of these only the cheapest moves are gathered at first,
 * as the bound of the fine classes leaves little for them. OPEN: too large for that. */
static enum bp_mckp_outcome split_root(struct bp_mckp *m, const struct bp_mckp_node *root)
{
    struct bp_mckp_work *k = &m->work;
    struct bp_mckp_leaf leaf;
    struct bp_mckp_split split = {.limit = (k->cutoff - k->root_bound) / FIRST_SPLIT + 1,
                                  .take = BP_MCKP_SPLIT_FIRST};
    for (;;) {
        enum bp_mckp_outcome outcome = bp_mckp_core_gather_split(m, split.limit);
        if (outcome != BP_MCKP_CLOSED)
            return outcome;
        if (!select_items(m, root, &leaf))
            return k->stopped ? BP_MCKP_OPEN : BP_MCKP_CLOSED;
        if (!list_moves(m, &leaf))
            return BP_MCKP_NOMEM;
        outcome = bp_mckp_leaf_split(m, &leaf, &split);
        if (outcome != BP_MCKP_OPEN || split.too_large || k->work >= k->max_work)
            return outcome;
        int64_t left = k->cutoff - leaf.bound - split.rest;
        split.limit = split.limit < left / SPLIT_STEP ? SPLIT_STEP * split.limit : left;
    }
}

/* Searches for plans below the cutoff. CLOSED: there is none but the incumbent. */
static enum bp_mckp_outcome search_below_cutoff(struct bp_mckp *m, bool last)
{
    struct bp_mckp_work *k = &m->work;
    struct progress p = {.core_gap = k->cutoff - k->root_bound};
    enum bp_mckp_outcome outcome;
    p.root.bound = k->root_bound;
    p.root.lambda = k->lambda;
    p.root.break_class = k->break_seg < m->n_segs ? m->seg_class[k->break_seg] : BP_MCKP_NONE;
    if (m->coarse_unit > 1) {
        outcome = split_root(m, &p.root);
        if (outcome != BP_MCKP_OPEN || bp_mckp_stopped(k) || k->work >= k->max_work)
            return outcome;
    }
    outcome = bp_mckp_core_gather(m);
    if (outcome != BP_MCKP_CLOSED)
        return outcome;
    bp_mckp_clear_nodes(m);
    if (bp_mckp_push(m, &p.root) != BP_MCKP_CLOSED)
        return BP_MCKP_NOMEM;
    outcome = branch_and_bound(m, &p);
    return outcome == BP_MCKP_OPEN && last ? last_resort(m) : outcome;
}

enum bp_mckp_outcome bp_mckp_search(struct bp_mckp *m)
{
    struct bp_mckp_work *k = &m->work;
    int64_t below = (k->incumbent - k->root_bound) / FIRST_GAP;
    for (;;) {
        if (bp_mckp_stopped(k) || k->work >= k->max_work)
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
