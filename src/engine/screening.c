#include "engine/screening.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/mem.h"

struct point {
    uint64_t storage;
    double error;
};

struct bp_screen {
    const struct bp_config *configs;
    size_t n;
    size_t *family;     /* [n] the first config that differs in b2 alone */
    double *nearness;   /* [n] error over the hull's there */
    struct point *hull; /* [n] the configs by storage, then, in front, the hull's corners */
};

enum bp_status bp_screen_new(const struct bp_config *configs, size_t n, struct bp_screen **out,
                             struct bp_err *err)
{
    struct bp_screen *s = calloc(1, sizeof *s);
    *out = NULL;
    if (!s)
        return bp_fail_nomem(err);
    s->configs = configs;
    s->n = n;
    s->family = bp_alloc(n, sizeof *s->family);
    s->nearness = bp_alloc(n, sizeof *s->nearness);
    s->hull = bp_alloc(n, sizeof *s->hull);
    if (!s->family || !s->nearness || !s->hull) {
        bp_screen_free(s);
        return bp_fail_nomem(err);
    }
    for (size_t j = 0; j < n; j++) {
        s->family[j] = 0;
        while (!bp_config_same_family(&configs[s->family[j]], &configs[j]))
            s->family[j]++;
    }
    *out = s;
    return BP_OK;
}

struct bp_screen *bp_screen_free(struct bp_screen *s)
{
    if (!s)
        return NULL;
    free(s->family);
    free(s->nearness);
    free(s->hull);
    free(s);
    return NULL;
}

/* --- the hull --- */

static int by_storage(const void *a, const void *b)
{
    const struct point *x = a, *y = b;
    if (x->storage != y->storage)
        return x->storage < y->storage ? -1 : 1;
    return (x->error > y->error) - (x->error < y->error);
}

/* The error at some storage on the line from a to b. */
static double on_line(struct point a, struct point b, uint64_t storage)
{
    const double share = (double)(storage - a.storage) / (double)(b.storage - a.storage);
    return a.error + (b.error - a.error) * share;
}

/* The falling part of the lower convex hull, as corners in front of s->hull; returns how many. */
static size_t find_hull(struct bp_screen *s, const uint64_t *storage, const double *error)
{
    struct point *hull = s->hull;
    size_t n = 0;
    for (size_t j = 0; j < s->n; j++)
        hull[j] = (struct point){storage[j], error[j]};
    qsort(hull, s->n, sizeof *hull, by_storage);
    for (size_t j = 0; j < s->n; j++) {
        const struct point p = hull[j];
        if (n > 0 && p.error >= hull[n - 1].error)
            continue;
        while (n > 1 && hull[n - 1].error >= on_line(hull[n - 2], p, hull[n - 1].storage))
            n--;
        hull[n++] = p; /* n <= j: read before */
    }
    return n;
}

/* nearness [n]: every error over the hull's at its storage; 1 is on it. */
static void compare_with_hull(struct bp_screen *s, const uint64_t *storage, const double *error)
{
    const size_t n = find_hull(s, storage, error);
    for (size_t j = 0; j < s->n; j++) {
        size_t right = 0; /* the first corner that is not left of it */
        while (right < n && s->hull[right].storage < storage[j])
            right++;
        const double least = right == n ? s->hull[n - 1].error
                             : s->hull[right].storage == storage[j]
                                 ? s->hull[right].error
                                 : on_line(s->hull[right - 1], s->hull[right], storage[j]);
        s->nearness[j] = error[j] <= least ? 1.0 : least > 0.0 ? error[j] / least : INFINITY;
    }
}

/* --- picking --- */

static void pick_family(const struct bp_screen *s, size_t of, uint8_t *picked)
{
    for (size_t j = 0; j < s->n; j++)
        if (s->family[j] == s->family[of])
            picked[j] = 1;
}

/* A kind: of a b0, or of a b0 and a b1. */
struct kind {
    unsigned b0, b1; /* b1 0: any */
};

static bool is_of(const struct bp_config *c, struct kind kind)
{
    return c->b0 == kind.b0 && (kind.b1 == 0 || c->b1 == kind.b1);
}

/* Families of a kind that are picked. */
static size_t families_picked(const struct bp_screen *s, struct kind kind, const uint8_t *picked)
{
    size_t n = 0;
    for (size_t j = 0; j < s->n; j++)
        n += s->family[j] == j && is_of(&s->configs[j], kind) && picked[j];
    return n;
}

/* Picks the nearest config of a kind that is not yet, with its family; false when all are. */
static bool pick_nearest(const struct bp_screen *s, struct kind kind, uint8_t *picked)
{
    size_t nearest = s->n;
    for (size_t j = 0; j < s->n; j++)
        if (is_of(&s->configs[j], kind) && !picked[j] &&
            (nearest == s->n || s->nearness[j] < s->nearness[nearest]))
            nearest = j;
    if (nearest < s->n)
        pick_family(s, nearest, picked);
    return nearest < s->n;
}

static void pick_at_least(const struct bp_screen *s, struct kind kind, size_t least,
                          uint8_t *picked)
{
    while (families_picked(s, kind, picked) < least && pick_nearest(s, kind, picked))
        ;
}

static size_t count(const struct bp_screen *s, const uint8_t *picked)
{
    size_t n = 0;
    for (size_t j = 0; j < s->n; j++)
        n += picked[j];
    return n;
}

size_t bp_screen_first(struct bp_screen *s, const uint64_t *storage, const double *one_step,
                       uint8_t *picked)
{
    memset(picked, 0, s->n);
    compare_with_hull(s, storage, one_step);
    for (size_t j = 0; j < s->n; j++)
        if (s->nearness[j] <= 1.0 + BP_SCREEN_MARGIN)
            pick_family(s, j, picked);
    for (size_t j = 0; j < s->n; j++) {
        const struct bp_config *c = &s->configs[j];
        pick_at_least(s, (struct kind){c->b0, 0}, BP_SCREEN_LEAST_OF_B0, picked);
        pick_at_least(s, (struct kind){c->b0, c->b1}, BP_SCREEN_LEAST_OF_B0_B1, picked);
    }
    return count(s, picked);
}

size_t bp_screen_next(struct bp_screen *s, const uint64_t *storage, const double *error,
                      const uint8_t *iterated, uint8_t *picked)
{
    memset(picked, 0, s->n);
    compare_with_hull(s, storage, error);
    for (size_t j = 0; j < s->n; j++)
        if (!iterated[j] && s->nearness[j] <= 1.0 + BP_SCREEN_ESTIMATE_MARGIN)
            pick_family(s, j, picked);
    return count(s, picked);
}

/* --- estimates --- */

/* How unlike two configs are, as a fraction, so that ties are ties. Another b1 counts more than any
 * quotient, which is at most 2^18. */
struct distance {
    uint64_t over, under;
};

static struct distance distance(const struct bp_config *a, const struct bp_config *b)
{
    const uint64_t B0 = a->B0 > b->B0 ? a->B0 : b->B0, b1 = a->b1 > b->b1 ? a->b1 : b->b1;
    return (struct distance){B0 * b1 << (a->b1 == b->b1 ? 0 : 20),
                             (uint64_t)a->B0 * b->B0 / B0 * ((uint64_t)a->b1 * b->b1 / b1)};
}

/* Below 0, 0, above 0: which is the smaller. Both sides stay below 2^60. */
static int compare(struct distance a, struct distance b)
{
    const uint64_t x = a.over * b.under, y = b.over * a.under;
    return (x > y) - (x < y);
}

/* What iterating made of the errors of configs like j. */
static double gain_near(const struct bp_screen *s, size_t j, const double *one_step,
                        const uint8_t *iterated, const double *error)
{
    struct distance nearest = {1, 0}; /* beyond all */
    double sum = 0.0;
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        if (!iterated[i] || s->configs[i].b0 != s->configs[j].b0 || !(one_step[i] > 0.0) ||
            !(error[i] > 0.0))
            continue;
        const struct distance d = distance(&s->configs[i], &s->configs[j]);
        const int order = compare(d, nearest);
        if (order > 0)
            continue;
        if (order < 0) {
            nearest = d;
            sum = 0.0;
            n = 0;
        }
        sum += log(error[i] / one_step[i]);
        n++;
    }
    return n ? exp(sum / (double)n) : 1.0;
}

void bp_screen_estimate(const struct bp_screen *s, const double *one_step, const uint8_t *iterated,
                        double *error)
{
    for (size_t j = 0; j < s->n; j++)
        if (!iterated[j])
            error[j] = one_step[j] * gain_near(s, j, one_step, iterated, error);
}
