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
#define N_HALF   ((BP_MCKP_DELTAS - N_ABOVE) / 2)
#define N_ABOVE  3
#define N_DELTAS BP_MCKP_DELTAS

struct lists {
    int64_t delta[N_DELTAS]; /* rising */
    int64_t lambda, slack, below;
    int64_t dropped; /* least bound of a state that was dropped for want of room */
    uint64_t max_work;
    size_t n;     /* classes */
    size_t width; /* states kept of a list */
};

/* The classes that may leave their base item, by falling span of their weights, into work.key; the
 * coarse ones behind the others and a mark between.
 * Items of r >= below are passed over here and everywhere. */
static void order_classes(struct bp_mckp *m, struct lists *x)
{
    struct bp_mckp_work *k = &m->work;
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
        if (lo != 0 || hi != 0) {
            double span = (double)(hi - lo) + 1;
            bool last = m->coarse_unit > 1 && m->coarse[core->cls[q]];
            k->key[x->n++] = (struct bp_mckp_key){last ? 1 / span : -span, q};
        }
    }
    if (m->coarse_unit > 1)
        k->key[x->n++] = (struct bp_mckp_key){0, BP_MCKP_NONE};
    bp_mckp_sort_keys(k->key, x->n);
    k->work += core->n;
}

/* All sums of the bounds must fit into 64 bits. Within the core lambda * |w| is below the gap and a
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
        x->delta[2 * N_HALF + i] =
            m->coarse_unit <= 1 && 2 * reach * (double)delta < 0x1p60 ? 2 * delta : delta;
    }
}

/* Sum over all coarse classes of min(e + mu * w). */
static bp_mckp_wide least_coarse(const struct bp_mckp *m, int64_t mu)
{
    uint32_t lo = 0, hi = m->n_segs;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (m->seg_slope[mid] >= mu)
            lo = mid + 1;
        else
            hi = mid;
    }
    bp_mckp_wide sum = m->prefix_e[lo] + (bp_mckp_wide)mu * m->prefix_w[lo];
    for (size_t i = 0; i <= m->n_classes / 64; i++)
        for (uint64_t bits = m->fine[i]; bits != 0; bits &= bits - 1) {
            size_t c = 64 * i + (size_t)__builtin_ctzll(bits);
            uint32_t t = m->hull[bp_mckp_hull_at(m, c, mu)];
            sum -= m->e[t] - m->e[m->hull[m->hull_first[c]]] + (bp_mckp_wide)mu * m->w[t];
        }
    return sum;
}

/* What the coarse classes add to the bound, all of them with all of their items: the core may hold
 * a part only, and the fine classes are to be bounded for any. */
static void sum_coarse(struct bp_mckp *m, const struct lists *x, int64_t *rest)
{
    struct bp_mckp_work *k = &m->work;
    if (!k->coarse_known) {
        bp_mckp_wide at_lambda = least_coarse(m, x->lambda);
        int64_t w = k->budget - k->slack;
        for (size_t i = 0; i <= m->n_classes / 64; i++)
            for (uint64_t bits = m->fine[i]; bits != 0; bits &= bits - 1)
                w -= m->w[k->base[64 * i + (size_t)__builtin_ctzll(bits)]];
        for (int j = 0; j < N_DELTAS; j++)
            k->coarse_rest[j] = (int64_t)(least_coarse(m, x->lambda + x->delta[j]) - at_lambda -
                                          (bp_mckp_wide)x->delta[j] * w);
        k->coarse_known = true;
        k->work += 16 * N_DELTAS * (m->n_classes / 64);
    }
    memcpy(rest, k->coarse_rest, sizeof k->coarse_rest);
}

/* work.rest [(n + 1) * N_DELTAS]: what the classes from the i-th on add to the bound at each delta.
 */
static void sum_rests(struct bp_mckp *m, const struct lists *x)
{
    struct bp_mckp_work *k = &m->work;
    const struct bp_mckp_core *core = &k->core;
    memset(k->rest + x->n * N_DELTAS, 0, N_DELTAS * sizeof *k->rest);
    for (size_t i = x->n; i-- > 0;) {
        uint32_t q = k->key[i].i;
        int64_t least[N_DELTAS];
        if (q == BP_MCKP_NONE) {
            sum_coarse(m, x, k->rest + i * N_DELTAS);
            continue;
        }
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

/* The best of the bounds from delta *j on, which moves there. Heavier states have their best bound
 * at a larger delta. */
static inline int64_t best_bound(const struct lists *x, const int64_t *rest, int64_t w, int64_t r,
                                 int *j)
{
    int64_t bound = bound_of(x, rest, w, r, *j), next;
    for (; *j + 1 < N_DELTAS && (next = bound_of(x, rest, w, r, *j + 1)) >= bound; ++*j)
        bound = next;
    return bound;
}

/* out = undominated states of `acc` and of `cur` with item t added, the latter only if they can be
 * completed below the limit; all by rising weight. Returns how many. */
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
            s.bound = best_bound(x, rest, s.w, s.r, &j);
            if (s.bound >= x->below)
                continue;
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

/* Makes the best of s [n] the list after the i-th class. */
static enum bp_mckp_outcome keep_list(struct bp_mckp_work *k, struct lists *x, size_t i,
                                      struct bp_mckp_partial *s, size_t n)
{
    size_t top = k->list[i].at + k->list[i].n;
    n = thin(k, x, s, n);
    if (top + n > ALL_STATES)
        return BP_MCKP_OPEN;
    if (!bp_mckp_reserve(&k->arena, &k->arena_cap, top + n, sizeof *k->arena))
        return BP_MCKP_NOMEM;
    for (size_t t = 0; t < n; t++)
        k->arena[top + t] = (struct bp_mckp_state){s[t].w, s[t].r};
    k->list[i + 1] = (struct bp_mckp_list){top, n};
    return BP_MCKP_CLOSED;
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
    return keep_list(k, x, i, k->partial[acc], n);
}

/* Weight that the coarse classes cannot fill. */
static int64_t gap_of(const struct bp_mckp *m, const struct lists *x, int64_t w)
{
    int64_t rest = (x->slack - w) % m->coarse_unit;
    return rest < 0 ? rest + m->coarse_unit : rest;
}

/* Between the fine and the coarse classes: what only the fine ones could fill stays open whatever
 * follows. States count as heavier and dearer by that, after which few different weights are left.
 */
static enum bp_mckp_outcome pad_list(struct bp_mckp *m, struct lists *x, size_t i)
{
    struct bp_mckp_work *k = &m->work;
    struct bp_mckp_list cur = k->list[i];
    size_t n = 0, kept = 0;
    int64_t least = INT64_MAX, fine_least = x->below < x->dropped ? x->below : x->dropped;
    int j = 0;
    if (!bp_mckp_reserve(&k->partial[0], &k->partial_cap[0], cur.n, sizeof *k->partial[0]) ||
        !bp_mckp_reserve(&k->partial[1], &k->partial_cap[1], cur.n, sizeof *k->partial[1]) ||
        !bp_mckp_reserve(&k->key, &k->key_cap, x->n + cur.n, sizeof *k->key))
        return BP_MCKP_NOMEM;
    struct bp_mckp_key *key = k->key + x->n;
    struct bp_mckp_partial *from = k->partial[0], *to = k->partial[1];
    for (size_t t = 0; t < cur.n; t++) {
        struct bp_mckp_state s = k->arena[cur.at + t];
        int64_t open = gap_of(m, x, s.w);
        bp_mckp_wide r = s.r + (bp_mckp_wide)x->lambda * open;
        if (r >= x->below)
            continue;
        from[n] = (struct bp_mckp_partial){s.w + open, (int64_t)r, 0};
        key[n] =
            (struct bp_mckp_key){(double)((s.w + open - x->slack) / m->coarse_unit), (uint32_t)n};
        n++;
        fine_least = r < fine_least ? (int64_t)r : fine_least;
    }
    k->fine_least = fine_least;
    bp_mckp_sort_keys(key, n);
    for (size_t t = 0; t < n; t++) {
        struct bp_mckp_partial s = from[key[t].i];
        if (s.r - x->lambda * s.w >= least)
            continue;
        least = s.r - x->lambda * s.w;
        if (kept > 0 && to[kept - 1].w == s.w)
            kept--;
        s.bound = best_bound(x, k->rest + (i + 1) * N_DELTAS, s.w, s.r, &j);
        if (s.bound < x->below)
            to[kept++] = s;
    }
    k->work += 16 * cur.n;
    return keep_list(k, x, i, to, kept);
}

/* Fills work.list [n + 1] in the arena. OPEN: too much. */
static enum bp_mckp_outcome fill_lists(struct bp_mckp *m, struct lists *x)
{
    struct bp_mckp_work *k = &m->work;
    k->arena[0] = (struct bp_mckp_state){0, 0};
    k->list[0] = (struct bp_mckp_list){0, 1};
    for (size_t i = 0; i < x->n; i++) {
        enum bp_mckp_outcome outcome =
            k->key[i].i == BP_MCKP_NONE ? pad_list(m, x, i) : next_list(k, x, i);
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

/* The state of the list that has become s. */
static struct bp_mckp_state before_padding(const struct bp_mckp *m, const struct lists *x,
                                           struct bp_mckp_list list, struct bp_mckp_state s)
{
    const struct bp_mckp_state *from = m->work.arena + list.at;
    for (size_t i = 0; i < list.n; i++) {
        int64_t open = gap_of(m, x, from[i].w);
        if (from[i].w + open == s.w && from[i].r + (bp_mckp_wide)x->lambda * open == s.r)
            return from[i];
    }
    return s;
}

/* best = the plan that ends in state s of the last list. */
static void take_plan(struct bp_mckp *m, const struct lists *x, struct bp_mckp_state s)
{
    struct bp_mckp_work *k = &m->work;
    memcpy(k->best, k->base, m->n_classes * sizeof *k->best);
    for (size_t i = x->n; i-- > 0;) {
        uint32_t q = k->key[i].i, t;
        if (q == BP_MCKP_NONE) {
            s = before_padding(m, x, k->list[i], s);
            continue;
        }
        t = k->core.first[q];
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
           bp_mckp_reserve(&k->rest, &k->rest_cap, (n + 2) * N_DELTAS, sizeof *k->rest) &&
           bp_mckp_reserve(&k->list, &k->list_cap, n + 2, sizeof *k->list) &&
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
    k->fine_least = 0;
    choose_deltas(m, &x);
    order_classes(m, &x);
    sum_rests(m, &x);
    enum bp_mckp_outcome outcome = fill_lists(m, &x);
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
