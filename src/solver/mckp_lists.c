/*
 * The core as one dynamic program over lists of undominated partial plans (Nemhauser and Ullmann,
 * Management Science 15(9), 1969), each bounded by what the classes that follow must cost.
 *
 * A plan's value above the root's bound is V = sum of r + lambda * (slack - sum of w), and it is
 * within the budget if the sum of w is at most the slack. So for every delta >= -lambda a partial
 * plan (w, r) cannot be completed below
 *     r + sum over the classes to come of min(r + delta * w) + delta * (w - slack).
 * Some deltas on both sides of 0 are tried. Classes of large steps come first: those that follow
 * must then still reach the slack, which leaves a narrow window of weights, and what fills the last
 * of it comes at the end.
 *
 * Of a list only the states of the best bounds are kept, up to a number. A plan that was lost with
 * the others, or that one of them stood in for, costs no less than the least bound dropped: if the
 * best plan found costs no more than that, it is proved.
 */
#include "solver/mckp_impl.h"

#include <string.h>

#define ALL_STATES ((size_t)1 << 22) /* of the lists of all classes */
#define BUCKETS    512

/* The deltas are lambda times powers of the root of 2, down from 1 on both sides, and a few above.
 */
#define N_HALF   18
#define N_ABOVE  3
#define N_DELTAS (2 * N_HALF + N_ABOVE)

struct lists {
    int64_t delta[N_DELTAS]; /* rising */
    int64_t lambda, slack, below;
    int64_t dropped; /* least bound of a state that was dropped for want of room */
    uint64_t max_work;
    size_t n;     /* classes */
    size_t width; /* states kept of a list */
};

/* The classes that may leave their base item, by falling span of their weights, into work.key.
 * Items of r >= below are passed over here and everywhere. */
static void order_classes(struct bp_mckp_work *k, struct lists *x)
{
    const struct bp_mckp_core *core = &k->core;
    x->n = 0;
    for (uint32_t q = 0; q < core->n_classes; q++) {
        int64_t lo = INT64_MAX, hi = INT64_MIN;
        for (uint32_t t = core->first[q]; t < core->first[q + 1]; t++) {
            if (core->r[t] >= x->below)
                continue;
            lo = core->w[t] < lo ? core->w[t] : lo;
            hi = core->w[t] > hi ? core->w[t] : hi;
        }
        if (lo != 0 || hi != 0)
            k->key[x->n++] = (struct bp_mckp_key){-(double)(hi - lo), q};
    }
    bp_mckp_sort_keys(k->key, x->n);
    k->work += core->n;
}

/* All sums of the bounds must stay below 2^62. Within the core lambda * |w| is below the gap and a
 * class's costs together, so that |delta| <= lambda is safe; the larger ones only where the costs
 * are small enough. */
static void choose_deltas(const struct bp_mckp *m, struct lists *x)
{
    const struct bp_mckp_core *core = &m->work.core;
    double reach = (double)x->slack;
    for (uint32_t q = 0; q < core->n_classes; q++) {
        int64_t most = 0;
        for (uint32_t t = core->first[q]; t < core->first[q + 1]; t++) {
            int64_t w = core->w[t] < 0 ? -core->w[t] : core->w[t];
            most = w > most ? w : most;
        }
        reach += (double)most;
    }
    for (int i = 0; i < N_HALF; i++) {
        int64_t delta = x->lambda >> i / 2;
        if (i % 2 == 1)
            delta -= (int64_t)((double)delta * 0.29);
        x->delta[i] = -delta;
        x->delta[2 * N_HALF - 1 - i] = delta;
    }
    for (int i = 0; i < N_ABOVE; i++) {
        int64_t delta = x->delta[2 * N_HALF + i - 1];
        x->delta[2 * N_HALF + i] = 2 * reach * (double)delta < 0x1p60 ? 2 * delta : delta;
    }
}

/* work.rest [(n + 1) * N_DELTAS]: what the classes from the i-th on add to the bound at each delta.
 */
static void sum_rests(struct bp_mckp_work *k, const struct lists *x)
{
    const struct bp_mckp_core *core = &k->core;
    memset(k->rest + x->n * N_DELTAS, 0, N_DELTAS * sizeof *k->rest);
    for (size_t i = x->n; i-- > 0;) {
        uint32_t q = k->key[i].i;
        int64_t least[N_DELTAS];
        for (int j = 0; j < N_DELTAS; j++)
            least[j] = INT64_MAX;
        for (uint32_t t = core->first[q]; t < core->first[q + 1]; t++) {
            int64_t r = core->r[t], w = core->w[t];
            if (r >= x->below)
                continue;
            for (int j = 0; j < N_DELTAS; j++) {
                int64_t v = r + x->delta[j] * w;
                least[j] = v < least[j] ? v : least[j];
            }
        }
        for (int j = 0; j < N_DELTAS; j++)
            k->rest[i * N_DELTAS + (size_t)j] = k->rest[(i + 1) * N_DELTAS + (size_t)j] + least[j];
    }
    k->work += (uint64_t)core->n * N_DELTAS / 2;
}

static inline int64_t bound_of(const struct lists *x, const int64_t *rest, int64_t w, int64_t r,
                               int j)
{
    return x->delta[j] * (w - x->slack) + rest[j] + r;
}

/* out = undominated states of `acc` and of `cur` with item t added, the latter only if they can be
 * completed below the limit; all by rising weight. Heavier states have their best bound at a larger
 * delta. Returns how many. */
static size_t extend(const struct bp_mckp_work *k, const struct lists *x, const int64_t *rest,
                     uint32_t t, const struct bp_mckp_partial *acc, size_t n_acc,
                     const struct bp_mckp_state *cur, size_t n_cur, struct bp_mckp_partial *out)
{
    size_t a = 0, b = 0, n = 0;
    int64_t least = INT64_MAX, dw = k->core.w[t], dr = k->core.r[t];
    int j = 0;
    while (a < n_acc || b < n_cur) {
        struct bp_mckp_partial s = {0};
        bool fresh = b < n_cur;
        if (fresh) {
            s.w = cur[b].w + dw;
            s.r = cur[b].r + dr;
            fresh = a >= n_acc || s.w < acc[a].w || (s.w == acc[a].w && s.r < acc[a].r);
        }
        if (fresh)
            b++;
        else
            s = acc[a++];
        if (fresh && s.r >= x->below)
            continue;
        int64_t cost = s.r - x->lambda * s.w;
        if (cost >= least)
            continue;
        if (fresh) {
            int64_t bound = bound_of(x, rest, s.w, s.r, j), next;
            for (; j + 1 < N_DELTAS && (next = bound_of(x, rest, s.w, s.r, j + 1)) >= bound; j++)
                bound = next;
            if (bound >= x->below)
                continue;
            s.bound = bound;
        }
        least = cost;
        out[n++] = s;
    }
    return n;
}

/* Keeps the x->width states of least bound; returns how many are left. */
static size_t thin(struct bp_mckp_work *k, struct lists *x, struct bp_mckp_partial *s, size_t n)
{
    uint32_t count[BUCKETS] = {0};
    int shift = 0;
    if (n <= x->width)
        return n;
    while (x->below >> shift >= BUCKETS)
        shift++;
    for (size_t i = 0; i < n; i++)
        count[s[i].bound > 0 ? s[i].bound >> shift : 0]++;
    size_t room = x->width, kept = 0;
    int last = 0;
    while (count[last] <= room)
        room -= count[last++];
    for (size_t i = 0; i < n; i++) {
        int64_t bucket = s[i].bound > 0 ? s[i].bound >> shift : 0;
        if (bucket < last || (bucket == last && room > 0)) {
            room -= bucket == last;
            s[kept++] = s[i];
        } else if (s[i].bound < x->dropped) {
            x->dropped = s[i].bound;
        }
    }
    k->work += n + BUCKETS / 4;
    return kept;
}

/* The list of the i-th class from the one before it, built item by item in two places. OPEN: too
 * much. */
static enum bp_mckp_outcome next_list(struct bp_mckp_work *k, struct lists *x, size_t i)
{
    uint32_t q = k->key[i].i;
    struct bp_mckp_list cur = k->list[i];
    size_t n = 0;
    int acc = 0;
    for (uint32_t t = k->core.first[q]; t < k->core.first[q + 1]; t++) {
        if (k->core.r[t] >= x->below)
            continue;
        if (k->work > x->max_work || bp_mckp_stopped(k))
            return BP_MCKP_OPEN;
        for (int side = 0; side < 2; side++)
            if (!bp_mckp_reserve(&k->partial[side], &k->partial_cap[side], n + cur.n,
                                 sizeof *k->partial[0]))
                return BP_MCKP_NOMEM;
        k->work += 3 * (n + cur.n);
        n = extend(k, x, k->rest + (i + 1) * N_DELTAS, t, k->partial[acc], n, k->arena + cur.at,
                   cur.n, k->partial[1 - acc]);
        acc = 1 - acc;
        if (n > 4 * x->width)
            n = thin(k, x, k->partial[acc], n);
    }
    n = thin(k, x, k->partial[acc], n);
    size_t top = cur.at + cur.n;
    if (top + n > ALL_STATES)
        return BP_MCKP_OPEN;
    if (!bp_mckp_reserve(&k->arena, &k->arena_cap, top + n, sizeof *k->arena))
        return BP_MCKP_NOMEM;
    for (size_t s = 0; s < n; s++)
        k->arena[top + s] = (struct bp_mckp_state){k->partial[acc][s].w, k->partial[acc][s].r};
    k->list[i + 1] = (struct bp_mckp_list){top, n};
    return BP_MCKP_CLOSED;
}

/* Fills work.list [n + 1] in the arena. OPEN: too much. */
static enum bp_mckp_outcome fill_lists(struct bp_mckp_work *k, struct lists *x)
{
    k->arena[0] = (struct bp_mckp_state){0, 0};
    k->list[0] = (struct bp_mckp_list){0, 1};
    for (size_t i = 0; i < x->n; i++) {
        enum bp_mckp_outcome outcome = next_list(k, x, i);
        if (outcome != BP_MCKP_CLOSED)
            return outcome;
    }
    return BP_MCKP_CLOSED;
}

static bool has_state(const struct bp_mckp_work *k, struct bp_mckp_list list,
                      struct bp_mckp_state x)
{
    const struct bp_mckp_state *s = k->arena + list.at;
    size_t lo = 0, hi = list.n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (s[mid].w < x.w)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < list.n && s[lo].w == x.w && s[lo].r == x.r;
}

/* best = the plan that ends in state s of the last list. */
static void take_plan(struct bp_mckp *m, const struct lists *x, struct bp_mckp_state s)
{
    struct bp_mckp_work *k = &m->work;
    memcpy(k->best, k->base, m->n_classes * sizeof *k->best);
    for (size_t i = x->n; i-- > 0;) {
        uint32_t q = k->key[i].i, t = k->core.first[q];
        struct bp_mckp_state before = {s.w - k->core.w[t], s.r - k->core.r[t]};
        while (!has_state(k, k->list[i], before)) {
            t++;
            before = (struct bp_mckp_state){s.w - k->core.w[t], s.r - k->core.r[t]};
        }
        k->best[k->core.cls[q]] = k->core.item[t];
        s = before;
    }
    k->work += m->n_classes / 8;
}

static bool reserve(struct bp_mckp_work *k, size_t n)
{
    return bp_mckp_reserve(&k->key, &k->key_cap, n + 1, sizeof *k->key) &&
           bp_mckp_reserve(&k->rest, &k->rest_cap, (n + 1) * N_DELTAS, sizeof *k->rest) &&
           bp_mckp_reserve(&k->list, &k->list_cap, n + 1, sizeof *k->list) &&
           bp_mckp_reserve(&k->arena, &k->arena_cap, 1, sizeof *k->arena);
}

enum bp_mckp_outcome bp_mckp_lists(struct bp_mckp *m, size_t width, double max_work)
{
    struct bp_mckp_work *k = &m->work;
    struct lists x = {.lambda = k->lambda,
                      .slack = k->slack,
                      .below = k->cutoff - k->root_bound,
                      .dropped = INT64_MAX,
                      .width = width,
                      .max_work = max_work < 0x1p62 ? k->work + (uint64_t)max_work : UINT64_MAX};
    if ((double)k->core.n * N_DELTAS > max_work)
        return BP_MCKP_OPEN;
    if (!reserve(k, k->core.n_classes))
        return BP_MCKP_NOMEM;
    choose_deltas(m, &x);
    order_classes(k, &x);
    sum_rests(k, &x);
    enum bp_mckp_outcome outcome = fill_lists(k, &x);
    if (outcome != BP_MCKP_CLOSED)
        return outcome;
    const struct bp_mckp_state *s = k->arena + k->list[x.n].at, *best = NULL;
    for (size_t i = 0; i < k->list[x.n].n; i++)
        if (s[i].w <= x.slack) /* the heaviest is the cheapest */
            best = &s[i];
    if (best != NULL && best->r + x.lambda * (x.slack - best->w) < x.below) {
        x.below = best->r + x.lambda * (x.slack - best->w);
        bp_mckp_accept(k, k->root_bound + x.below);
        take_plan(m, &x, *best);
    }
    x.dropped = x.dropped < x.below ? x.dropped : x.below;
    if (k->bound < k->root_bound + x.dropped)
        k->bound = k->root_bound + x.dropped;
    return k->bound >= k->cutoff ? BP_MCKP_CLOSED : BP_MCKP_OPEN;
}
