/*
 * The optimum of a knapsack problem by a way of its own, for problems of full size. It shares no
 * code with src/solver: Lagrange multiplier by bisection, reduced-cost fixing, dynamic program over
 * lists of undominated states. All arithmetic is on integers.
 *
 * Costs are scaled by a power of two so that the largest costs of all classes sum up to less than
 * 2^90. With doubles of 53 bits nothing is rounded off a cost above 2^-37 of that sum; elsewhere
 * rounding is by at most half a unit, 2^-91 of it. The optimum of the scaled problem is exact.
 * Products must stay below 2^126: the heaviest item may be 2^34 times the least difference between
 * two weights of a class, which it is by far not where weights are sizes times bits.
 *
 * Why the result is the optimum: let L = sum over classes of min(e + lambda * w) - lambda * room.
 * For lambda >= 0 a plan within the room has e = L + sum of r + lambda * (room - w), where r >= 0
 * are its items' reduced costs. So a plan of e < L + gap has only items of r < gap, and every
 * partial plan of it, completed at its least by any other multiplier, stays below L + gap. The
 * program drops only what fails one of the two, or what a lighter and no dearer state stands in
 * for. If it finds a plan below L + gap, then the best of all; if none, the gap is doubled.
 */
#ifndef BP_TESTS_SOLVER_EXACT_H
#define BP_TESTS_SOLVER_EXACT_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "solver/mckp.h"

__extension__ typedef __int128 exact_int;

/* More states than this in a list, and the oracle says that it does not know. */
#define EXACT_STATES ((size_t)1 << 20)
#define EXACT_NONE   (-1)

/* An item, or a partial plan: weight above the lightest, cost. */
struct exact_state {
    int64_t w;
    exact_int e;
};

struct exact {
    size_t n_classes;
    size_t *first;            /* [n_classes + 1] */
    struct exact_state *item; /* of a class by rising w and falling e */
    uint64_t lightest;        /* weight of the lightest plan */
    int exponent;             /* e = cost * 2^exponent */
};

static inline int exact_order(const void *a, const void *b)
{
    const struct exact_state *x = a, *y = b;
    return x->w != y->w ? (x->w < y->w ? -1 : 1) : x->e < y->e ? -1 : x->e > y->e;
}

static inline exact_int exact_cost(const struct exact *x, double cost)
{
    return (exact_int)rintl(ldexpl((long double)cost, x->exponent));
}

/* Does item j of class c take part? */
static inline bool exact_offered(const struct bp_mckp_problem *p, size_t c, size_t j)
{
    size_t at = c * p->n_items + j;
    return (p->use == NULL || p->use[at]) && isfinite(p->cost[at]) && p->cost[at] >= 0;
}

static inline void *exact_must(void *memory)
{
    if (memory == NULL)
        abort();
    return memory;
}

/* Sorts the n items of a class and keeps the undominated ones; returns how many. */
static inline size_t exact_prune(struct exact_state *item, size_t n)
{
    size_t kept = 0;
    qsort(item, n, sizeof *item, exact_order);
    for (size_t i = 0; i < n; i++)
        if (kept == 0 || item[i].e < item[kept - 1].e)
            item[kept++] = item[i];
    for (size_t i = kept; i-- > 0;)
        item[i].w -= item[0].w;
    return kept;
}

/* Every class has an item. */
static inline struct exact exact_new(const struct bp_mckp_problem *p)
{
    struct exact x = {.n_classes = p->n_classes};
    double sum = 0;
    x.first = exact_must(calloc(p->n_classes + 1, sizeof *x.first));
    x.item = exact_must(calloc(p->n_classes * p->n_items, sizeof *x.item));
    for (size_t c = 0; c < p->n_classes; c++) {
        double largest = 0;
        for (size_t j = 0; j < p->n_items; j++)
            if (exact_offered(p, c, j))
                largest = fmax(largest, p->cost[c * p->n_items + j]);
        sum += largest;
    }
    frexp(sum, &x.exponent);
    x.exponent = 90 - x.exponent;
    for (size_t c = 0; c < p->n_classes; c++) {
        struct exact_state *item = x.item + x.first[c];
        size_t n = 0;
        for (size_t j = 0; j < p->n_items; j++)
            if (exact_offered(p, c, j))
                item[n++] = (struct exact_state){(int64_t)p->weight[c * p->n_items + j],
                                                 exact_cost(&x, p->cost[c * p->n_items + j])};
        int64_t least = INT64_MAX;
        for (size_t i = 0; i < n; i++)
            least = item[i].w < least ? item[i].w : least;
        x.lightest += (uint64_t)least;
        x.first[c + 1] = x.first[c] + exact_prune(item, n);
    }
    return x;
}

static inline void exact_free(struct exact *x)
{
    free(x->first);
    free(x->item);
}

/* The item of least e + lambda * w among n, the lightest of equals. */
static inline size_t exact_argmin(const struct exact_state *item, size_t n, exact_int lambda)
{
    size_t best = 0;
    for (size_t i = 1; i < n; i++)
        if (item[i].e + lambda * item[i].w < item[best].e + lambda * item[best].w)
            best = i;
    return best;
}

/* The plan of least e + lambda * w. */
static inline struct exact_state exact_relaxed(const struct exact *x, exact_int lambda)
{
    struct exact_state sum = {0, 0};
    for (size_t c = 0; c < x->n_classes; c++) {
        const struct exact_state *item = x->item + x->first[c];
        size_t i = exact_argmin(item, x->first[c + 1] - x->first[c], lambda);
        sum.w += item[i].w;
        sum.e += item[i].e;
    }
    return sum;
}

/* The least integer multiplier whose plan is within the room. */
static inline exact_int exact_multiplier(const struct exact *x, int64_t room)
{
    exact_int lo = -1, hi = 0;
    while (exact_relaxed(x, hi).w > room) {
        lo = hi;
        hi = 2 * hi + 1;
    }
    while (hi - lo > 1) {
        exact_int mid = lo + (hi - lo) / 2;
        if (exact_relaxed(x, mid).w > room)
            lo = mid;
        else
            hi = mid;
    }
    return hi;
}

/* ---- the dynamic program ---- */

#define EXACT_MULTIPLIERS 40

/* The classes that still have a choice, by falling reach, and what the others add. */
struct exact_core {
    size_t n;
    struct exact_class {
        const struct exact_state *item; /* those of r < gap */
        size_t n;
        int64_t reach;
    } * cls;
    struct exact_state *item;
    struct exact_state fixed;
    exact_int multiplier[EXACT_MULTIPLIERS]; /* rising */
    exact_int
        *rest; /* [(n + 1) * EXACT_MULTIPLIERS] least e + multiplier * w of the classes from i on */
};

static inline int exact_by_reach(const void *a, const void *b)
{
    const struct exact_class *x = a, *y = b;
    if (x->reach != y->reach)
        return x->reach > y->reach ? -1 : 1;
    return x->item < y->item ? -1 : x->item > y->item;
}

/* Multipliers on both sides of lambda, close to it and far from it. */
static inline void exact_multipliers(struct exact_core *k, exact_int lambda)
{
    const int half = EXACT_MULTIPLIERS / 2;
    for (int i = 0; i < half; i++) {
        k->multiplier[i] = lambda - (lambda >> i);
        k->multiplier[EXACT_MULTIPLIERS - 1 - i] = lambda + (4 * lambda >> i);
    }
}

static inline struct exact_core exact_core_new(const struct exact *x, exact_int lambda,
                                               exact_int gap)
{
    struct exact_core k = {0};
    k.cls = exact_must(calloc(x->n_classes, sizeof *k.cls));
    k.item = exact_must(calloc(x->first[x->n_classes], sizeof *k.item));
    size_t used = 0;
    for (size_t c = 0; c < x->n_classes; c++) {
        const struct exact_state *item = x->item + x->first[c];
        size_t n = x->first[c + 1] - x->first[c], begin = used;
        size_t best = exact_argmin(item, n, lambda);
        exact_int least = item[best].e + lambda * item[best].w;
        for (size_t i = 0; i < n; i++)
            if (item[i].e + lambda * item[i].w - least < gap)
                k.item[used++] = item[i];
        if (used == begin + 1) {
            k.fixed.w += k.item[begin].w;
            k.fixed.e += k.item[begin].e;
            used = begin;
        } else {
            k.cls[k.n++] = (struct exact_class){k.item + begin, used - begin,
                                                k.item[used - 1].w - k.item[begin].w};
        }
    }
    qsort(k.cls, k.n, sizeof *k.cls, exact_by_reach);
    exact_multipliers(&k, lambda);
    k.rest = exact_must(calloc((k.n + 1) * EXACT_MULTIPLIERS, sizeof *k.rest));
    for (size_t i = k.n; i-- > 0;)
        for (size_t j = 0; j < EXACT_MULTIPLIERS; j++) {
            const struct exact_class *c = &k.cls[i];
            const struct exact_state *t = &c->item[exact_argmin(c->item, c->n, k.multiplier[j])];
            k.rest[i * EXACT_MULTIPLIERS + j] =
                k.rest[(i + 1) * EXACT_MULTIPLIERS + j] + t->e + k.multiplier[j] * t->w;
        }
    return k;
}

static inline void exact_core_free(struct exact_core *k)
{
    free(k->cls);
    free(k->item);
    free(k->rest);
}

/* Nothing that completes the state with classes from i on costs less. */
static inline exact_int exact_bound(const struct exact_core *k, size_t i, struct exact_state s,
                                    size_t j, int64_t room)
{
    return s.e + k->rest[i * EXACT_MULTIPLIERS + j] + k->multiplier[j] * ((exact_int)s.w - room);
}

/* Drops the states whose completion by the classes from i on costs `limit` or more. Heavier states
 * have their best bound at larger multipliers, but any is a bound. */
static inline size_t exact_keep_below(const struct exact_core *k, size_t i,
                                      struct exact_state *state, size_t n, int64_t room,
                                      exact_int limit)
{
    size_t kept = 0, j = 0;
    for (size_t t = 0; t < n; t++) {
        exact_int bound = exact_bound(k, i, state[t], j, room);
        while (j + 1 < EXACT_MULTIPLIERS) {
            exact_int next = exact_bound(k, i, state[t], j + 1, room);
            if (next < bound)
                break;
            bound = next;
            j++;
        }
        if (bound < limit)
            state[kept++] = state[t];
    }
    return kept;
}

/* out = undominated states of a and of b with the item added; all by rising w and falling e. */
static inline size_t exact_merge(const struct exact_state *a, size_t n_a,
                                 const struct exact_state *b, size_t n_b,
                                 const struct exact_state *item, struct exact_state *out)
{
    size_t n = 0, i = 0, j = 0;
    while (i < n_a || j < n_b) {
        struct exact_state s;
        if (j < n_b)
            s = (struct exact_state){b[j].w + item->w, b[j].e + item->e};
        if (j >= n_b || (i < n_a && exact_order(&a[i], &s) <= 0))
            s = a[i++];
        else
            j++;
        if (n == 0 || s.e < out[n - 1].e)
            out[n++] = s;
    }
    return n;
}

struct exact_list {
    struct exact_state *state;
    size_t n, cap;
};

static inline void exact_reserve(struct exact_list *list, size_t need)
{
    if (need <= list->cap)
        return;
    list->cap = 2 * need;
    list->state = exact_must(realloc(list->state, list->cap * sizeof *list->state));
}

static inline void exact_swap(struct exact_list *a, struct exact_list *b)
{
    struct exact_list t = *a;
    *a = *b;
    *b = t;
}

/* Least e below `limit` of a plan within the room that the core holds, in *best; EXACT_NONE if
 * there is none. False: too many states. */
static inline bool exact_program(const struct exact_core *k, int64_t room, exact_int limit,
                                 exact_int *best)
{
    struct exact_list now = {0}, next = {0}, out = {0};
    exact_reserve(&now, 1);
    now.state[0] = k->fixed;
    now.n = 1;
    for (size_t i = 0; i < k->n && now.n <= EXACT_STATES; i++) {
        next.n = 0;
        for (size_t t = 0; t < k->cls[i].n && next.n <= EXACT_STATES; t++) {
            exact_reserve(&out, now.n + next.n);
            out.n =
                exact_merge(next.state, next.n, now.state, now.n, &k->cls[i].item[t], out.state);
            out.n = exact_keep_below(k, i + 1, out.state, out.n, room, limit);
            exact_swap(&next, &out);
        }
        exact_swap(&now, &next);
    }
    *best = EXACT_NONE;
    for (size_t t = 0; t < now.n; t++)
        if (now.state[t].w <= room && now.state[t].e < limit)
            *best = now.state[t].e; /* the heaviest is the cheapest */
    free(now.state);
    free(next.state);
    free(out.state);
    return now.n <= EXACT_STATES;
}

/* The least cost within a budget that holds the lightest plan. False: not known. */
static inline bool exact_optimum(const struct exact *x, uint64_t budget, exact_int *optimum)
{
    uint64_t above = budget - x->lightest;
    int64_t room = above < INT64_MAX ? (int64_t)above : INT64_MAX;
    exact_int lambda = exact_multiplier(x, room);
    struct exact_state plan = exact_relaxed(x, lambda);
    *optimum = plan.e;
    if (lambda == 0)
        return true;
    exact_int bound = plan.e + lambda * ((exact_int)plan.w - room);
    for (exact_int gap = (plan.e - bound) / 1024 + 1;; gap *= 2) {
        struct exact_core core = exact_core_new(x, lambda, gap);
        bool known = exact_program(&core, room, bound + gap, optimum);
        exact_core_free(&core);
        if (!known || *optimum != EXACT_NONE)
            return known;
    }
}

#endif
