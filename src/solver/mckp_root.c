/* The relaxation at one budget, the greedy plan on it, and the core that can still improve it. */
#include "solver/mckp_impl.h"

#include <string.h>

/* The greedy walk looks at this many segments past the break; later ones are tiny. */
#define GREEDY_REACH 20000

uint32_t bp_mckp_hull_at(const struct bp_mckp *m, size_t c, int64_t lambda)
{
    uint32_t lo = m->hull_first[c], hi = m->hull_first[c + 1];
    while (hi - lo > 1) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (m->hull_slope[mid] >= lambda)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

/* The number of segments that fit as a prefix. */
static uint32_t find_break(const struct bp_mckp *m, int64_t budget)
{
    uint32_t lo = 0, hi = m->n_segs + 1;
    while (hi - lo > 1) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (m->prefix_w[mid] <= budget)
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

/* Goes on past the break and takes every segment that fits; a class whose segment did not fit is
 * closed, as its later segments lie on top of that one. */
static void greedy(struct bp_mckp *m)
{
    struct bp_mckp_work *k = &m->work;
    int64_t left = k->slack, e = k->base_e;
    memcpy(k->best, k->base, m->n_classes * sizeof *k->best);
    uint32_t end =
        m->n_segs - k->break_seg > GREEDY_REACH ? k->break_seg + GREEDY_REACH : m->n_segs;
    uint32_t s = k->break_seg;
    for (; s < end && left > 0; s++) {
        uint32_t c = m->seg_class[s];
        int64_t dw = m->prefix_w[s + 1] - m->prefix_w[s];
        if (k->stamp[c])
            continue;
        if (dw > left) {
            k->stamp[c] = 1;
            continue;
        }
        left -= dw;
        e += m->prefix_e[s + 1] - m->prefix_e[s];
        k->best[c] = m->hull[m->seg_hull[s]];
    }
    k->work += s - k->break_seg;
    while (s > k->break_seg)
        k->stamp[m->seg_class[--s]] = 0;
    k->incumbent = e;
}

void bp_mckp_root(struct bp_mckp *m)
{
    struct bp_mckp_work *k = &m->work;
    uint32_t brk = find_break(m, k->budget);
    uint32_t tie_begin = brk, tie_end = brk;
    k->lambda = brk < m->n_segs ? m->seg_slope[brk] : 0;
    while (tie_begin > 0 && m->seg_slope[tie_begin - 1] == k->lambda)
        tie_begin--;
    while (tie_end < m->n_segs && m->seg_slope[tie_end] == k->lambda)
        tie_end++;
    /* All segments of slope >= lambda taken minimize e + lambda * w; with those of the break's
     * slope the weight may pass the budget, which costs the bound nothing. */
    bp_mckp_wide over = (bp_mckp_wide)m->prefix_w[tie_end] - k->budget;
    k->root_bound = (int64_t)(m->prefix_e[tie_end] + k->lambda * over);
    if (brk == m->n_segs)
        k->root_bound = m->prefix_e[brk];
    k->break_seg = brk;
    k->base_e = m->prefix_e[brk];
    k->slack = k->budget - m->prefix_w[brk];
    for (size_t c = 0; c < m->n_classes; c++) {
        uint32_t h =
            k->lambda < INT64_MAX ? bp_mckp_hull_at(m, c, k->lambda + 1) : m->hull_first[c];
        k->base[c] = m->hull[h];
    }
    for (uint32_t s = tie_begin; s < brk; s++)
        k->base[m->seg_class[s]] = m->hull[m->seg_hull[s]];
    k->work += 4 * m->n_classes + (tie_end - tie_begin);
    greedy(m);
}

/* Appends the items of class c whose reduced cost is below the gap. */
static bool gather_class(struct bp_mckp *m, size_t c, int64_t gap)
{
    struct bp_mckp_work *k = &m->work;
    struct bp_mckp_core *core = &k->core;
    uint32_t begin = m->first[c], end = m->first[c + 1], n = core->n, base = k->base[c];
    size_t need = (size_t)n + (end - begin);
    if (need > core->cap) {
        size_t cap_w = core->cap, cap_e = core->cap, cap_r = core->cap, cap_item = core->cap;
        if (!bp_mckp_reserve(&core->w, &cap_w, need, sizeof *core->w) ||
            !bp_mckp_reserve(&core->e, &cap_e, need, sizeof *core->e) ||
            !bp_mckp_reserve(&core->r, &cap_r, need, sizeof *core->r) ||
            !bp_mckp_reserve(&core->item, &cap_item, need, sizeof *core->item))
            return false;
        core->cap = cap_w;
    }
    uint32_t least = m->hull[bp_mckp_hull_at(m, c, k->lambda)];
    float gap_above = (float)gap * 1.000001F;
    for (uint32_t t = begin; t < end; t++) {
        if (m->height[t] > gap_above)
            continue;
        bp_mckp_wide r =
            (bp_mckp_wide)k->lambda * (m->w[t] - m->w[least]) + (m->e[t] - m->e[least]);
        if (r >= gap)
            continue;
        core->w[n] = m->w[t] - m->w[base];
        core->e[n] = m->e[t] - m->e[base];
        core->r[n] = (int64_t)r;
        core->item[n++] = t;
    }
    if (n == core->n + 1 && core->item[core->n] == base)
        return true;
    core->cls[core->n_classes] = (uint32_t)c;
    core->first[core->n_classes++] = core->n;
    core->n = n;
    return true;
}

enum bp_mckp_outcome bp_mckp_core_gather(struct bp_mckp *m)
{
    struct bp_mckp_work *k = &m->work;
    int64_t gap = k->incumbent - k->root_bound;
    k->core.n_classes = 0;
    k->core.n = 0;
    for (size_t c = 0; c < m->n_classes; c++) {
        if (bp_mckp_stopped(k))
            return BP_MCKP_OPEN;
        if (!gather_class(m, c, gap))
            return BP_MCKP_NOMEM;
    }
    k->core.first[k->core.n_classes] = k->core.n;
    k->work += m->n_items;
    return BP_MCKP_CLOSED;
}

void bp_mckp_core_shrink(struct bp_mckp *m)
{
    struct bp_mckp_work *k = &m->work;
    struct bp_mckp_core *core = &k->core;
    int64_t gap = k->incumbent - k->root_bound;
    uint32_t n_classes = 0, n = 0;
    k->work += core->n;
    for (uint32_t q = 0; q < core->n_classes; q++) {
        uint32_t begin = n, cls = core->cls[q], end = core->first[q + 1];
        if (bp_mckp_stopped(k))
            return;
        for (uint32_t t = core->first[q]; t < end; t++) {
            if (core->r[t] >= gap)
                continue;
            core->w[n] = core->w[t];
            core->e[n] = core->e[t];
            core->r[n] = core->r[t];
            core->item[n++] = core->item[t];
        }
        if (n == begin + 1 && core->item[begin] == k->base[cls]) {
            n = begin;
            continue;
        }
        core->cls[n_classes] = cls;
        core->first[n_classes++] = begin;
    }
    core->n_classes = n_classes;
    core->n = n;
    core->first[n_classes] = n;
}

void bp_mckp_keep_selection(struct bp_mckp *m)
{
    struct bp_mckp_work *k = &m->work;
    memcpy(k->best, k->base, m->n_classes * sizeof *k->best);
    for (uint32_t q = 0; q < k->core.n_classes; q++)
        k->best[k->core.cls[q]] = k->core.item[k->sel[q]];
    k->work += m->n_classes / 8;
}
