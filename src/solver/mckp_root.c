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
    k->incumbent = k->cutoff = e;
}

/* base = the frontier's plan with the segments before the break, of which those before tie_begin
 * are steeper than lambda. */
static void walk_base(struct bp_mckp *m, uint32_t tie_begin)
{
    struct bp_mckp_work *k = &m->work;
    for (size_t c = 0; c < m->n_classes; c++) {
        uint32_t h =
            k->lambda < INT64_MAX ? bp_mckp_hull_at(m, c, k->lambda + 1) : m->hull_first[c];
        k->base[c] = m->hull[h];
    }
    for (uint32_t s = tie_begin; s < k->break_seg; s++)
        k->base[m->seg_class[s]] = m->hull[m->seg_hull[s]];
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
    k->work += tie_end - tie_begin;
    if (m->index.built) {
        bp_mckp_index_plan(m, brk, k->base);
        k->work += m->n_classes / 8;
    } else {
        walk_base(m, tie_begin);
        k->work += 4 * m->n_classes;
    }
    greedy(m);
}

static bool reserve_core(struct bp_mckp_core *core, size_t need)
{
    size_t cap_w = core->cap, cap_e = core->cap, cap_r = core->cap, cap_item = core->cap;
    if (need <= core->cap)
        return true;
    if (!bp_mckp_reserve(&core->w, &cap_w, need, sizeof *core->w) ||
        !bp_mckp_reserve(&core->e, &cap_e, need, sizeof *core->e) ||
        !bp_mckp_reserve(&core->r, &cap_r, need, sizeof *core->r) ||
        !bp_mckp_reserve(&core->item, &cap_item, need, sizeof *core->item))
        return false;
    core->cap = cap_w;
    return true;
}

struct sieve {
    int64_t lambda, gap;
    double lambda_double, enough;
};

/* Puts item t into the core, behind the class's items from `begin` on that it follows, if its
 * reduced cost above item `least` is below the gap. False if it is not. */
static bool sift(struct bp_mckp *m, const struct sieve *s, uint32_t begin, uint32_t t,
                 uint32_t least)
{
    struct bp_mckp_core *core = &m->work.core;
    int64_t dw = m->w[t] - m->w[least], de = m->e[t] - m->e[least];
    /* First in double, generously: the product may need more than 64 bits. */
    if (s->lambda_double * (double)dw + (double)de > s->enough)
        return false;
    bp_mckp_wide r = (bp_mckp_wide)s->lambda * dw + de;
    if (r >= s->gap)
        return false;
    uint32_t i = core->n++;
    for (; i > begin && core->item[i - 1] > t; i--) {
        core->item[i] = core->item[i - 1];
        core->r[i] = core->r[i - 1];
    }
    core->item[i] = t;
    core->r[i] = (int64_t)r;
    return true;
}

/* Appends the items of class c whose reduced cost is below the gap: hull vertices outward from the
 * least one, as the reduced cost is convex along the hull, and the others up to their height. */
static bool gather_class(struct bp_mckp *m, size_t c, const struct sieve *s)
{
    struct bp_mckp_work *k = &m->work;
    struct bp_mckp_core *core = &k->core;
    uint32_t begin = core->n, base = k->base[c];
    uint32_t lo = m->hull_first[c], hi = m->hull_first[c + 1];
    if (!reserve_core(core, (size_t)begin + (m->first[c + 1] - m->first[c])))
        return false;
    uint32_t at = bp_mckp_hull_at(m, c, s->lambda), least = m->hull[at];
    sift(m, s, begin, least, least);
    for (uint32_t h = at; h > lo && sift(m, s, begin, m->hull[h - 1], least);)
        h--;
    for (uint32_t h = at + 1; h < hi && sift(m, s, begin, m->hull[h], least);)
        h++;
    float gap_above = (float)s->gap * 1.000001F;
    uint32_t end = m->first[c + 1] - hi;
    for (uint32_t i = m->first[c] - lo; i < end; i++) {
        if (m->off_height[i] <= gap_above)
            sift(m, s, begin, m->off[i], least);
        else if (m->off_sorted)
            break;
    }
    if (core->n == begin + 1 && least == base) {
        core->n = begin;
        return true;
    }
    for (uint32_t i = begin; i < core->n; i++) {
        uint32_t t = core->item[i];
        core->w[i] = m->w[t] - m->w[base];
        core->e[i] = m->e[t] - m->e[base];
    }
    core->cls[core->n_classes] = (uint32_t)c;
    core->first[core->n_classes++] = begin;
    return true;
}

static enum bp_mckp_outcome clear_marks(struct bp_mckp *m)
{
    memset(m->index.mark, 0, (m->n_classes / 64 + 1) * sizeof *m->index.mark);
    return BP_MCKP_NOMEM;
}

/* Gathers the classes that the index marks. */
static enum bp_mckp_outcome gather_marked(struct bp_mckp *m, const struct sieve *fine,
                                          const struct sieve *coarse)
{
    struct bp_mckp_work *k = &m->work;
    uint64_t *mark = m->index.mark;
    bool alike = fine->gap == coarse->gap;
    k->work += bp_mckp_index_mark(m, k->lambda, coarse->gap) + m->n_classes / 64;
    for (size_t i = 0; i <= m->n_classes / 64; i++) {
        uint64_t bits = alike ? mark[i] : mark[i] | m->fine[i];
        mark[i] = 0;
        for (; bits != 0; bits &= bits - 1) {
            size_t c = 64 * i + (size_t)__builtin_ctzll(bits);
            if (!gather_class(m, c, m->coarse[c] ? coarse : fine))
                return clear_marks(m);
        }
    }
    return bp_mckp_stopped(k) ? BP_MCKP_OPEN : BP_MCKP_CLOSED;
}

static enum bp_mckp_outcome gather_all(struct bp_mckp *m, const struct sieve *fine,
                                       const struct sieve *coarse)
{
    for (size_t c = 0; c < m->n_classes; c++) {
        if (bp_mckp_stopped(&m->work))
            return BP_MCKP_OPEN;
        if (!gather_class(m, c, m->coarse[c] ? coarse : fine))
            return BP_MCKP_NOMEM;
    }
    m->work.work += 8 * m->n_classes;
    return BP_MCKP_CLOSED;
}

enum bp_mckp_outcome bp_mckp_core_gather_split(struct bp_mckp *m, int64_t coarse_gap)
{
    struct bp_mckp_work *k = &m->work;
    int64_t gap = k->cutoff - k->root_bound;
    /* Of the doubles, 2^60 * 1e-15 and a good deal more are given away. */
    const struct sieve fine = {k->lambda, gap, (double)k->lambda, (double)gap * 1.000001 + 65536};
    const struct sieve coarse = {k->lambda, coarse_gap, (double)k->lambda,
                                 (double)coarse_gap * 1.000001 + 65536};
    k->core.n_classes = 0;
    k->core.n = 0;
    enum bp_mckp_outcome outcome =
        m->index.built ? gather_marked(m, &fine, &coarse) : gather_all(m, &fine, &coarse);
    k->core.first[k->core.n_classes] = k->core.n;
    k->work += 4 * (uint64_t)k->core.n;
    return outcome;
}

enum bp_mckp_outcome bp_mckp_core_gather(struct bp_mckp *m)
{
    return bp_mckp_core_gather_split(m, m->work.cutoff - m->work.root_bound);
}

void bp_mckp_core_shrink(struct bp_mckp *m)
{
    struct bp_mckp_work *k = &m->work;
    struct bp_mckp_core *core = &k->core;
    int64_t gap = k->cutoff - k->root_bound;
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
