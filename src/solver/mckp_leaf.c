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

#define SMALL_FIRST  32   /* moves tried at first, to better the incumbent */
#define SMALL_FULL   64   /* moves with which a small leaf is closed */
#define SMALL_STATES 4096 /* of the first half; twice that for both */
#define BIG_MOVES    4096

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

/* Chains the moves [0, n) by class and deals the classes to two halves of like size. */
static bool deal(struct bp_mckp *m, size_t n, struct half half[2])
{
    struct bp_mckp_work *k = &m->work;
    if (!bp_mckp_reserve(&k->move_next, &k->move_next_cap, n, sizeof *k->move_next) ||
        !bp_mckp_reserve(&k->group, &k->group_cap, 5 * n + 4, sizeof *k->group) ||
        !bp_mckp_reserve(&k->list, &k->list_cap, 2 * n + 4, sizeof *k->list))
        return false;
    uint32_t *head = k->group, *tail = head + n, *count = tail + n, n_groups = 0;
    for (uint32_t t = 0; t < n; t++) {
        uint32_t cls = k->move[t].cls, g = k->stamp[cls];
        k->move_next[t] = BP_MCKP_NONE;
        if (g == 0) {
            head[n_groups] = tail[n_groups] = t;
            count[n_groups] = 1;
            k->stamp[cls] = ++n_groups;
        } else {
            k->move_next[tail[g - 1]] = t;
            tail[g - 1] = t;
            count[g - 1]++;
        }
    }
    for (uint32_t g = 0; g < n_groups; g++)
        k->stamp[k->move[head[g]].cls] = 0;
    half[0] = (struct half){count + n, k->list, 0};
    half[1] = (struct half){count + 2 * n, k->list + n + 1, 0};
    size_t dealt[2] = {0, 0};
    for (uint32_t g = 0; g < n_groups; g++) {
        int h = dealt[0] <= dealt[1] ? 0 : 1;
        half[h].group[half[h].n++] = head[g];
        dealt[h] += count[g];
    }
    return true;
}

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

/* Fills the half's lists. False when more than `end` states of the arena would be used, or when
 * stopped. */
static bool enumerate(struct bp_mckp *m, struct half *half, int64_t lambda, int64_t r_max,
                      size_t end)
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

/* Enumerates all subsets of the moves [0, n) with a sum of r up to r_max and takes the best into
 * the incumbent. CLOSED: all were seen. */
static enum bp_mckp_outcome solve_subsets(struct bp_mckp *m, const struct bp_mckp_leaf *leaf,
                                          size_t n, int64_t r_max, size_t max_states)
{
    struct bp_mckp_work *k = &m->work;
    struct half half[2];
    struct bp_mckp_state pair[2];
    if (!bp_mckp_reserve(&k->arena, &k->arena_cap, 2 * max_states, sizeof *k->arena) ||
        !deal(m, n, half))
        return BP_MCKP_NOMEM;
    k->arena_top = 0;
    k->work += 8 * n;
    if (!enumerate(m, &half[0], leaf->lambda, r_max, max_states) ||
        !enumerate(m, &half[1], leaf->lambda, r_max, 2 * max_states))
        return BP_MCKP_OPEN;
    int64_t value = k->incumbent - leaf->bound;
    k->work += half[0].list[half[0].n].n + half[1].list[half[1].n].n;
    if (join(m, leaf, half, &value, pair)) {
        k->incumbent = leaf->bound + value;
        bp_mckp_keep_selection(m);
        trace(m, &half[0], pair[0]);
        trace(m, &half[1], pair[1]);
    }
    return BP_MCKP_CLOSED;
}

static size_t count_below(const struct bp_mckp_move *move, size_t n, int64_t r)
{
    size_t i = 0;
    while (i < n && move[i].r < r)
        i++;
    return i;
}

enum bp_mckp_outcome bp_mckp_leaf_small(struct bp_mckp *m, const struct bp_mckp_leaf *leaf)
{
    struct bp_mckp_work *k = &m->work;
    size_t n = leaf->n_moves;
    size_t sorted = n < SMALL_FULL + 1 ? n : SMALL_FULL + 1;
    bp_mckp_sort_smallest(k->move, n, sorted);
    k->work += 4 * n;
    int64_t gap = k->incumbent - leaf->bound;
    size_t needed = count_below(k->move, sorted, gap);
    if (needed > SMALL_FIRST) {
        /* Too many to be sure that all fit: the cheapest first, for a better incumbent. */
        int64_t r_max = k->move[SMALL_FIRST].r - 1;
        size_t use = count_below(k->move, SMALL_FIRST, r_max + 1);
        enum bp_mckp_outcome outcome = solve_subsets(m, leaf, use, r_max, SMALL_STATES);
        if (outcome != BP_MCKP_CLOSED)
            return outcome;
        gap = k->incumbent - leaf->bound;
        if (gap <= r_max + 1)
            return BP_MCKP_CLOSED;
        needed = count_below(k->move, sorted, gap);
        if (needed > SMALL_FULL)
            return BP_MCKP_OPEN;
    }
    return solve_subsets(m, leaf, needed, gap - 1, SMALL_STATES);
}

enum bp_mckp_outcome bp_mckp_leaf_big(struct bp_mckp *m, const struct bp_mckp_leaf *leaf,
                                      size_t max_states)
{
    struct bp_mckp_work *k = &m->work;
    int64_t gap = k->incumbent - leaf->bound;
    size_t n = 0;
    for (size_t t = 0; t < leaf->n_moves && !bp_mckp_stopped(k); t++)
        if (k->move[t].r < gap) {
            struct bp_mckp_move x = k->move[n];
            k->move[n++] = k->move[t];
            k->move[t] = x;
        }
    k->work += 16 * n;
    if (n > BP_MCKP_MAX_MOVES || k->stopped)
        return BP_MCKP_OPEN;
    bp_mckp_sort_moves(k->move, n);
    if (!bp_mckp_thin_moves(m, &n, gap))
        return BP_MCKP_NOMEM;
    if (n > BIG_MOVES)
        return BP_MCKP_OPEN;
    return solve_subsets(m, leaf, n, gap - 1, max_states);
}
