/* Nodes of the search: the relaxation of one, and the heap of those that are open. */
#include "solver/mckp_impl.h"

#define MAX_NODES  (1u << 15)         /* open at a time: 16 MB */
#define MAX_LAMBDA (INT64_C(1) << 61) /* above every slope */

/* ---- relaxation of a node ---- */

uint32_t bp_mckp_range_argmin(const struct bp_mckp *m, const struct bp_mckp_range *r,
                              int64_t lambda)
{
    uint32_t best = r->lo;
    for (uint32_t t = r->lo + 1; t <= r->hi; t++)
        if (m->e[best] - m->e[t] >= (bp_mckp_wide)lambda * (m->w[t] - m->w[best]))
            best = t;
    return best;
}

/* Weight and e of the node's minimizer at lambda, where `prefix` is the number of segments of slope
 * >= lambda. */
static void evaluate(struct bp_mckp *m, const struct bp_mckp_node *x, int64_t lambda,
                     uint32_t prefix, int64_t *w, int64_t *e)
{
    *w = m->prefix_w[prefix];
    *e = m->prefix_e[prefix];
    for (uint32_t i = 0; i < x->n_ranges; i++) {
        const struct bp_mckp_range *r = &x->range[i];
        uint32_t free = m->hull[bp_mckp_hull_at(m, r->cls, lambda)];
        uint32_t bound = bp_mckp_range_argmin(m, r, lambda);
        *w += m->w[bound] - m->w[free];
        *e += m->e[bound] - m->e[free];
        m->work.work += 8 + (r->hi - r->lo);
    }
}

/* One past the last segment of segment s's slope, and the first one of that slope. */
static uint32_t tie_end(const struct bp_mckp *m, uint32_t s)
{
    int64_t slope = m->seg_slope[s];
    while (s < m->n_segs && m->seg_slope[s] == slope)
        s++;
    return s;
}

static uint32_t tie_begin(const struct bp_mckp *m, uint32_t s)
{
    while (s > 0 && m->seg_slope[s - 1] == m->seg_slope[s])
        s--;
    return s;
}

/* The restricted class that moves between lambda + 1 and lambda. */
static uint32_t moving_class(const struct bp_mckp *m, const struct bp_mckp_node *x, int64_t lambda)
{
    for (uint32_t i = 0; i < x->n_ranges; i++)
        if (bp_mckp_range_argmin(m, &x->range[i], lambda) !=
            bp_mckp_range_argmin(m, &x->range[i], lambda + 1))
            return x->range[i].cls;
    return BP_MCKP_NONE;
}

/* The class with which the weight passes the budget when the tie group [begin, end) of slope lambda
 * is taken one by one, from weight w. */
static uint32_t breaking_class(const struct bp_mckp *m, const struct bp_mckp_node *x,
                               int64_t lambda, uint32_t begin, uint32_t end, int64_t w)
{
    int64_t budget = m->work.budget;
    for (uint32_t i = 0; i < x->n_ranges; i++) {
        uint32_t a = bp_mckp_range_argmin(m, &x->range[i], lambda + 1);
        uint32_t b = bp_mckp_range_argmin(m, &x->range[i], lambda);
        w += m->w[b] - m->w[a];
        if (w > budget)
            return x->range[i].cls;
    }
    for (uint32_t s = begin; s < end; s++) {
        bool restricted = false;
        for (uint32_t i = 0; i < x->n_ranges; i++)
            restricted |= x->range[i].cls == m->seg_class[s];
        if (restricted)
            continue;
        w += m->prefix_w[s + 1] - m->prefix_w[s];
        if (w > budget)
            return m->seg_class[s];
    }
    return BP_MCKP_NONE;
}

static void set_bound(const struct bp_mckp *m, struct bp_mckp_node *x, int64_t lambda, int64_t w,
                      int64_t e)
{
    x->lambda = lambda;
    x->bound = (int64_t)(e + (bp_mckp_wide)lambda * (w - m->work.budget));
}

/* lo < lambda < hi with weight(lo) > budget >= weight(hi), no segment's slope between: only a
 * restricted class moves here. Bisects to the last integer whose minimizer is too heavy. */
static void bisect(struct bp_mckp *m, struct bp_mckp_node *x, int64_t lo, int64_t hi,
                   uint32_t prefix)
{
    int64_t w, e;
    while (hi - lo > 1) {
        int64_t mid = lo + (hi - lo) / 2;
        evaluate(m, x, mid, prefix, &w, &e);
        if (w > m->work.budget)
            lo = mid;
        else
            hi = mid;
    }
    evaluate(m, x, lo, prefix, &w, &e);
    set_bound(m, x, lo, w, e);
    x->break_class = moving_class(m, x, lo);
}

bool bp_mckp_relax(struct bp_mckp *m, struct bp_mckp_node *x)
{
    int64_t w = 0, e, budget = m->work.budget;
    for (uint32_t i = 0; i < x->n_ranges; i++)
        w += m->w[x->range[i].lo];
    if (w > budget)
        return false;
    /* The first segment whose slope's minimizer is too heavy. */
    uint32_t lo = 0, hi = m->n_segs;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        evaluate(m, x, m->seg_slope[mid], tie_end(m, mid), &w, &e);
        if (w > budget)
            hi = mid;
        else
            lo = mid + 1;
    }
    if (hi == m->n_segs) {
        evaluate(m, x, 0, m->n_segs, &w, &e);
        if (w <= budget) {
            x->lambda = 0;
            x->bound = e;
            x->break_class = BP_MCKP_NONE;
        } else {
            bisect(m, x, 0, m->seg_slope[m->n_segs - 1], m->n_segs);
        }
        return true;
    }
    int64_t lambda = m->seg_slope[hi];
    uint32_t begin = tie_begin(m, hi), end = tie_end(m, hi);
    int64_t w_before;
    evaluate(m, x, lambda + 1, begin, &w_before, &e);
    if (w_before <= budget) {
        evaluate(m, x, lambda, end, &w, &e);
        set_bound(m, x, lambda, w, e);
        x->break_class = breaking_class(m, x, lambda, begin, end, w_before);
    } else {
        bisect(m, x, lambda + 1, begin > 0 ? m->seg_slope[begin - 1] : MAX_LAMBDA, begin);
    }
    return true;
}

/* ---- open nodes ---- */

static bool entry_before(const struct bp_mckp_heap_entry *a, const struct bp_mckp_heap_entry *b)
{
    return a->bound != b->bound ? a->bound < b->bound : a->seq < b->seq;
}

enum bp_mckp_outcome bp_mckp_push(struct bp_mckp *m, const struct bp_mckp_node *x)
{
    struct bp_mckp_work *k = &m->work;
    uint32_t at;
    if (k->n_node_free > 0) {
        at = k->node_free[--k->n_node_free];
    } else {
        if (k->n_nodes >= MAX_NODES)
            return BP_MCKP_OPEN;
        if (!bp_mckp_reserve(&k->node, &k->node_cap, k->n_nodes + 1, sizeof *k->node) ||
            !bp_mckp_reserve(&k->node_free, &k->node_free_cap, k->n_nodes + 1,
                             sizeof *k->node_free) ||
            !bp_mckp_reserve(&k->heap, &k->heap_cap, k->n_nodes + 1, sizeof *k->heap))
            return BP_MCKP_NOMEM;
        at = (uint32_t)k->n_nodes++;
    }
    k->node[at] = *x;
    struct bp_mckp_heap_entry entry = {x->bound, k->seq++, at};
    size_t i = k->n_heap++;
    for (; i > 0 && entry_before(&entry, &k->heap[(i - 1) / 2]); i = (i - 1) / 2)
        k->heap[i] = k->heap[(i - 1) / 2];
    k->heap[i] = entry;
    return BP_MCKP_CLOSED;
}

void bp_mckp_pop(struct bp_mckp *m, struct bp_mckp_node *x)
{
    struct bp_mckp_work *k = &m->work;
    uint32_t at = k->heap[0].node;
    struct bp_mckp_heap_entry last = k->heap[--k->n_heap];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < k->n_heap; i = child) {
        if (child + 1 < k->n_heap && entry_before(&k->heap[child + 1], &k->heap[child]))
            child++;
        if (!entry_before(&k->heap[child], &last))
            break;
        k->heap[i] = k->heap[child];
    }
    k->heap[i] = last;
    *x = k->node[at];
    k->node_free[k->n_node_free++] = at;
}

void bp_mckp_clear_nodes(struct bp_mckp *m)
{
    struct bp_mckp_work *k = &m->work;
    k->n_heap = 0;
    k->n_nodes = 0;
    k->n_node_free = 0;
    k->seq = 0;
}
