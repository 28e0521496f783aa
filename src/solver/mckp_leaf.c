/*
 * Closing a node by meet in the middle (Horowitz and Sahni, JACM 21(2), 1974).
 *
 * The node's selection minimizes e + lambda * w, so every move away from it costs r >= 0 and a plan
 * that beats the incumbent U uses moves whose r sum up to less than U - bound. The classes with
 * such moves are split in two halves; each half becomes a list of undominated subsets by rising
 * weight, and one pass over both lists finds the best pair within the slack.
 */
#include "solver/mckp_impl.h"

#include <assert.h>
#include <math.h>

#define SPLIT_FINE   ((size_t)1 << 15) /* states of the fine classes */
#define SPLIT_STATES ((size_t)1 << 21) /* of both */

/* ---- moves ---- */

bool bp_mckp_thin_moves(struct bp_mckp *m, size_t *n, int64_t gap)
{
    struct bp_mckp_work *k = &m->work;
    size_t fit = 0, size = 64, kept = 0;
    int64_t sum = 0;
    while (fit < *n && sum + k->move[fit].r < gap)
        sum += k->move[fit++].r;
    if (fit == 0)
        fit = 1;
    while (size < 4 * *n)
        size *= 2;
    if (!bp_mckp_reserve(&k->table, &k->table_cap, 2 * size, sizeof *k->table))
        return false;
    for (size_t i = 0; i < size; i++)
        k->table[2 * i + 1] = 0;
    for (size_t t = 0; t < *n; t++) {
        uint64_t dw = (uint64_t)k->move[t].dw;
        size_t i = (size_t)(dw * UINT64_C(0x9E3779B97F4A7C15) >> 32) & (size - 1);
        while (k->table[2 * i + 1] != 0 && k->table[2 * i] != dw)
            i = (i + 1) & (size - 1);
        k->table[2 * i] = dw;
        if (k->table[2 * i + 1] < fit) {
            k->table[2 * i + 1]++;
            k->move[kept++] = k->move[t];
        }
    }
    k->work += size / 4 + 4 * *n;
    *n = kept;
    return true;
}

/* ---- halves ---- */

struct half {
    uint32_t *group;           /* [n] head moves of its classes, chained by move_next */
    struct bp_mckp_list *list; /* [n + 1] subsets of the first i classes */
    uint32_t n;
};

/* out = undominated states of `acc` and of `cur` with one move added, by rising weight; nothing
 * above r_max. A state is dominated by a lighter one of no larger cost; cost = r - lambda * w.
 * Returns how many. */
static size_t merge(const struct bp_mckp_state *acc, size_t n_acc, const struct bp_mckp_state *cur,
                    size_t n_cur, const struct bp_mckp_move *move, int64_t lambda, int64_t r_max,
                    struct bp_mckp_state *out)
{
    size_t a = 0, b = 0, n = 0;
    int64_t least = INT64_MAX, r_left = r_max - move->r;
    while (b < n_cur && cur[b].r > r_left)
        b++;
    while (a < n_acc || b < n_cur) {
        struct bp_mckp_state x = {0, 0};
        bool from_acc = b >= n_cur;
        if (b < n_cur) {
            x = (struct bp_mckp_state){cur[b].w + move->dw, cur[b].r + move->r};
            from_acc = a < n_acc && (acc[a].w < x.w || (acc[a].w == x.w && acc[a].r <= x.r));
        }
        if (from_acc) {
            x = acc[a++];
        } else {
            b++;
            while (b < n_cur && cur[b].r > r_left)
                b++;
        }
        int64_t cost = x.r - lambda * x.w;
        if (cost < least) {
            least = cost;
            out[n++] = x;
        }
    }
    return n;
}

/* ---- fence ---- */

/* The weights that a list's subsets must end in, and what it costs at least to get there from
 * outside: the fractional fill by the moves cheapest per unit of weight. */
struct fence {
    double lo, hi;
    struct fill {
        double *slope;  /* [n + 1] rising, the last infinite */
        double *length; /* [n + 1] weight filled by the first i moves */
        double *cost;   /* [n + 1] */
        size_t n;
    } fill[2]; /* upward, downward */
};

/* Builds the fills of the moves [0, n). */
static bool build_fence(struct bp_mckp *m, size_t n, struct fence *f)
{
    struct bp_mckp_work *k = &m->work;
    if (!bp_mckp_reserve(&k->fill, &k->fill_cap, 6 * (n + 1), sizeof *k->fill) ||
        !bp_mckp_reserve(&k->key, &k->key_cap, n + 1, sizeof *k->key))
        return false;
    for (int dir = 0; dir < 2; dir++) {
        struct fill *x = &f->fill[dir];
        x->slope = k->fill + (size_t)dir * 3 * (n + 1);
        x->length = x->slope + n + 1;
        x->cost = x->length + n + 1;
        x->n = 0;
        for (size_t t = 0; t < n; t++) {
            double dw = (double)(dir == 0 ? k->move[t].dw : -k->move[t].dw);
            if (dw > 0)
                k->key[x->n++] = (struct bp_mckp_key){(double)k->move[t].r / dw, (uint32_t)t};
        }
        bp_mckp_sort_keys(k->key, x->n);
        x->length[0] = x->cost[0] = 0;
        for (size_t i = 0; i < x->n; i++) {
            x->slope[i] = k->key[i].value;
            x->length[i + 1] = x->length[i] + fabs((double)k->move[k->key[i].i].dw);
            x->cost[i + 1] = x->cost[i] + (double)k->move[k->key[i].i].r;
        }
        x->slope[x->n] = INFINITY;
    }
    k->work += 16 * n;
    return true;
}

static double filled(const struct fill *x, size_t i, double distance)
{
    double over = distance - x->length[i];
    return x->cost[i] + (over > 0 ? over * x->slope[i] : 0);
}

/* Drops the states that cannot end inside for r_max; returns how many are left. By rising weight,
 * the distance to the lower end falls and that to the upper end rises. */
static size_t keep_inside(const struct fence *f, struct bp_mckp_state *s, size_t n, int64_t r_max)
{
    size_t kept = 0, up = f->fill[0].n, down = 0;
    for (size_t i = 0; i < n; i++) {
        double w = (double)s[i].w, cost = 0;
        if (w < f->lo) {
            while (up > 0 && f->fill[0].length[up] > f->lo - w)
                up--;
            cost = filled(&f->fill[0], up, f->lo - w);
        } else if (w > f->hi) {
            while (down < f->fill[1].n && f->fill[1].length[down + 1] <= w - f->hi)
                down++;
            cost = filled(&f->fill[1], down, w - f->hi);
        }
        /* Sums of doubles are this exact by far. */
        if (((double)s[i].r + cost) * (1 - 1e-9) <= (double)r_max)
            s[kept++] = s[i];
    }
    return kept;
}

/* Fills the half's lists, within the fence if there is one. False when more than `end` states of
 * the arena would be used, or when stopped. */
static bool enumerate(struct bp_mckp *m, struct half *half, const struct fence *fence,
                      int64_t lambda, int64_t r_max, size_t end)
{
    struct bp_mckp_work *k = &m->work;
    if (k->arena_top >= end)
        return false;
    k->arena[k->arena_top] = (struct bp_mckp_state){0, 0};
    half->list[0] = (struct bp_mckp_list){k->arena_top++, 1};
    for (uint32_t i = 0; i < half->n; i++) {
        struct bp_mckp_list cur = half->list[i], acc = cur;
        for (uint32_t t = half->group[i]; t != BP_MCKP_NONE; t = k->move_next[t]) {
            if (k->arena_top + acc.n + cur.n > end || bp_mckp_stopped(k))
                return false;
            struct bp_mckp_list out = {k->arena_top, 0};
            out.n = merge(k->arena + acc.at, acc.n, k->arena + cur.at, cur.n, &k->move[t], lambda,
                          r_max, k->arena + out.at);
            k->work += 2 * (acc.n + cur.n) + 4;
            k->arena_top += out.n;
            acc = out;
        }
        if (fence != NULL) {
            acc.n = keep_inside(fence, k->arena + acc.at, acc.n, r_max);
            k->arena_top = acc.at + acc.n;
            k->work += 4 * acc.n;
        }
        half->list[i + 1] = acc;
    }
    return true;
}

/* The pair of least value below *value, one state of each list. */
static bool join(const struct bp_mckp *m, const struct bp_mckp_leaf *leaf,
                 const struct half half[2], int64_t *value, struct bp_mckp_state pair[2])
{
    const struct bp_mckp_work *k = &m->work;
    struct bp_mckp_list la = half[0].list[half[0].n], lb = half[1].list[half[1].n];
    const struct bp_mckp_state *a = k->arena + la.at, *b = k->arena + lb.at;
    int64_t all_slack = leaf->lambda * leaf->slack;
    bool found = false;
    size_t j = lb.n;
    for (size_t i = 0; i < la.n; i++) {
        int64_t room = leaf->slack - a[i].w;
        while (j > 0 && b[j - 1].w > room)
            j--;
        if (j == 0)
            break;
        int64_t v =
            (a[i].r - leaf->lambda * a[i].w) + (b[j - 1].r - leaf->lambda * b[j - 1].w) + all_slack;
        if (v < *value) {
            *value = v;
            pair[0] = a[i];
            pair[1] = b[j - 1];
            found = true;
        }
    }
    return found;
}

static bool has_state(const struct bp_mckp *m, struct bp_mckp_list list, struct bp_mckp_state x)
{
    const struct bp_mckp_state *s = m->work.arena + list.at;
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

/* Finds the moves that make up state x of the last list and puts them into the incumbent. */
static void trace(struct bp_mckp *m, const struct half *half, struct bp_mckp_state x)
{
    struct bp_mckp_work *k = &m->work;
    for (uint32_t i = half->n; i-- > 0;) {
        if (has_state(m, half->list[i], x))
            continue;
        uint32_t t = half->group[i];
        for (; t != BP_MCKP_NONE; t = k->move_next[t]) {
            struct bp_mckp_state y = {x.w - k->move[t].dw, x.r - k->move[t].r};
            if (has_state(m, half->list[i], y)) {
                x = y;
                break;
            }
        }
        assert(t != BP_MCKP_NONE);
        k->best[k->core.cls[k->move[t].cls]] = k->core.item[k->move[t].item];
    }
    assert(x.w == 0 && x.r == 0);
}

static size_t count_below(const struct bp_mckp_move *move, size_t n, int64_t r)
{
    size_t i = 0;
    while (i < n && move[i].r < r)
        i++;
    return i;
}

/* ---- coarse and fine classes ---- */

/* Brings the moves of coarse classes to the front; returns how many there are. */
static size_t coarse_first(struct bp_mckp *m, size_t n)
{
    struct bp_mckp_work *k = &m->work;
    size_t n_coarse = 0;
    for (size_t t = 0; t < n; t++)
        if (m->coarse[k->core.cls[k->move[t].cls]]) {
            struct bp_mckp_move x = k->move[n_coarse];
            k->move[n_coarse++] = k->move[t];
            k->move[t] = x;
        }
    return n_coarse;
}

/* Chains the moves [begin, end) by class; all classes are one half. */
static void chain(struct bp_mckp *m, size_t begin, size_t end, uint32_t *tail, struct half *half)
{
    struct bp_mckp_work *k = &m->work;
    half->n = 0;
    for (size_t i = begin; i < end; i++) {
        uint32_t t = (uint32_t)i, cls = k->move[t].cls, g = k->stamp[cls];
        k->move_next[t] = BP_MCKP_NONE;
        if (g == 0) {
            half->group[half->n] = tail[half->n] = t;
            k->stamp[cls] = ++half->n;
        } else {
            k->move_next[tail[g - 1]] = t;
            tail[g - 1] = t;
        }
    }
    for (uint32_t g = 0; g < half->n; g++)
        k->stamp[k->move[half->group[g]].cls] = 0;
}

/* Least value of a fine state when the coarse classes fill all of the slack that they can. */
static int64_t least_rest(const struct bp_mckp *m, const struct bp_mckp_leaf *leaf,
                          const struct half *fine, int64_t gap)
{
    struct bp_mckp_list list = fine->list[fine->n];
    const struct bp_mckp_state *s = m->work.arena + list.at;
    int64_t least = gap;
    for (size_t i = 0; i < list.n; i++) {
        int64_t rest = (leaf->slack - s[i].w) % m->coarse_unit;
        rest = rest < 0 ? rest + m->coarse_unit : rest;
        bp_mckp_wide v = s[i].r + (bp_mckp_wide)leaf->lambda * rest;
        least = v < least ? (int64_t)v : least;
    }
    return least;
}

/* Coarse subsets of a sum of r up to a limit that is raised until nothing better is beyond it. */
static enum bp_mckp_outcome deepen(struct bp_mckp *m, const struct bp_mckp_leaf *leaf,
                                   struct bp_mckp_split *split, struct half half[2], uint32_t *tail,
                                   size_t n_coarse)
{
    struct bp_mckp_work *k = &m->work;
    size_t top = k->arena_top;
    struct bp_mckp_list fine = half[1].list[half[1].n];
    struct fence fence;
    /* The weight left to the coarse classes by the heaviest and by the lightest fine state; the
     * slack that stays open must cost less than the gap. */
    double open_slack = (double)(k->cutoff - leaf->bound) / (double)leaf->lambda;
    fence.lo = (double)(leaf->slack - k->arena[fine.at + fine.n - 1].w) - open_slack - 1;
    fence.hi = (double)(leaf->slack - k->arena[fine.at].w);
    k->work += half[1].list[half[1].n].n;
    int64_t rest = split->rest = least_rest(m, leaf, &half[1], k->cutoff - leaf->bound);
    for (size_t take = split->take;; take += take / 2) {
        int64_t r_max = k->cutoff - leaf->bound - rest - 1;
        if (r_max < 0)
            return BP_MCKP_CLOSED;
        if (k->work >= k->max_work) {
            split->too_large = true;
            return BP_MCKP_OPEN;
        }
        r_max = r_max < split->limit ? r_max : split->limit - 1;
        take = take < n_coarse ? take : n_coarse;
        size_t sorted = take < n_coarse ? take + 1 : n_coarse;
        bp_mckp_sort_smallest(k->move, n_coarse, sorted);
        k->work += 4 * n_coarse;
        if (take < n_coarse && k->move[take].r <= r_max)
            r_max = k->move[take].r - 1;
        size_t use = count_below(k->move, take, r_max + 1), kept = use;
        if (!bp_mckp_thin_moves(m, &kept, k->cutoff - leaf->bound - rest))
            return BP_MCKP_NOMEM;
        chain(m, 0, kept, tail, &half[0]);
        if (!build_fence(m, kept, &fence))
            return BP_MCKP_NOMEM;
        k->arena_top = top;
        struct bp_mckp_state none = {0, 0};
        bool reachable = keep_inside(&fence, &none, 1, r_max) == 1;
        if (reachable && !enumerate(m, &half[0], &fence, leaf->lambda, r_max, SPLIT_STATES)) {
            split->too_large = true;
            return BP_MCKP_OPEN;
        }
        int64_t value = k->incumbent - leaf->bound;
        struct bp_mckp_state pair[2];
        if (reachable)
            k->work += half[0].list[half[0].n].n + half[1].list[half[1].n].n;
        if (reachable && join(m, leaf, half, &value, pair)) {
            bp_mckp_accept(k, leaf->bound + value);
            bp_mckp_keep_selection(m);
            trace(m, &half[0], pair[0]);
            trace(m, &half[1], pair[1]);
        }
        if (r_max >= k->cutoff - leaf->bound - rest - 1)
            return BP_MCKP_CLOSED;
        if (r_max >= split->limit - 1) {
            split->take = take > split->take ? take : split->take;
            return BP_MCKP_OPEN;
        }
        /* What was dropped is not needed later either. */
        for (size_t i = kept; i < use; i++)
            k->move[i] = k->move[--n_coarse];
    }
}

enum bp_mckp_outcome bp_mckp_leaf_split(struct bp_mckp *m, const struct bp_mckp_leaf *leaf,
                                        struct bp_mckp_split *split)
{
    struct bp_mckp_work *k = &m->work;
    size_t n = leaf->n_moves;
    split->too_large = false;
    split->rest = 0;
    if (!bp_mckp_reserve(&k->arena, &k->arena_cap, SPLIT_STATES, sizeof *k->arena) ||
        !bp_mckp_reserve(&k->move_next, &k->move_next_cap, n, sizeof *k->move_next) ||
        !bp_mckp_reserve(&k->group, &k->group_cap, 3 * n + 4, sizeof *k->group) ||
        !bp_mckp_reserve(&k->list, &k->list_cap, n + 4, sizeof *k->list))
        return BP_MCKP_NOMEM;
    size_t n_coarse = coarse_first(m, n);
    uint32_t *tail = k->group + 2 * n;
    struct half half[2] = {{k->group, k->list, 0},
                           {k->group + n_coarse, k->list + n_coarse + 1, 0}};
    bp_mckp_sort_moves(k->move + n_coarse, n - n_coarse);
    chain(m, n_coarse, n, tail, &half[1]);
    k->arena_top = 0;
    k->work += 8 * n;
    if (!enumerate(m, &half[1], NULL, leaf->lambda, k->cutoff - leaf->bound - 1, SPLIT_FINE)) {
        split->too_large = true;
        return BP_MCKP_OPEN;
    }
    return deepen(m, leaf, split, half, tail, n_coarse);
}
