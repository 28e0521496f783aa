/*
 * For tables of many thousand classes: finds those that have something to offer at a multiplier
 * without looking at the others.
 *
 * Between two slopes of a class's hull one vertex v is the least, and the reduced cost of the best
 * other item is the minimum of linear functions of lambda: concave, and 0 at both ends. So it lies
 * above the chords from both ends to its value p at any point M between, and the class has nothing
 * below a gap G unless lambda is closer to one of the ends than G * (M - end) / p. That factor is
 * the *reach* of the segment of this slope. Segments are kept by octave of their reach, of an
 * octave by falling slope; a query scans a window of each octave.
 *
 * Plans of the frontier are kept at some of its segments, so that one between is a few steps away.
 */
#include "solver/mckp_impl.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SNAPSHOT_STEP 8192 /* segments */

/* ---- reach ---- */

/* Least reduced cost at lambda of an item of class c other than hull vertex v. It is on one of the
 * hull's edges at v, or above one. */
static double best_other(const struct bp_mckp *m, size_t c, uint32_t v, double lambda)
{
    uint32_t at = m->hull[v];
    uint32_t lo = v > m->hull_first[c] ? m->hull[v - 1] : at;
    uint32_t hi = v + 1 < m->hull_first[c + 1] ? m->hull[v + 1] : at;
    double least = INFINITY;
    for (uint32_t t = lo; t <= hi; t++) {
        double r = (double)(m->e[t] - m->e[at]) + lambda * (double)(m->w[t] - m->w[at]);
        least = t != at && r < least ? r : least;
    }
    /* The differences are exact to 2^60 * 1e-15; more is given away. */
    return least * (1 - 1e-6) - 4096;
}

static float reach_of(double distance, double r)
{
    return r > 0 ? (float)fmin(distance / r * (1 + 1e-6), FLT_MAX) : FLT_MAX;
}

/* reach [n_hull] of the segment that ends at each hull vertex; the first vertices' mean nothing. */
static void set_reaches(const struct bp_mckp *m, float *reach)
{
    double top = m->n_segs > 0 ? (double)m->seg_slope[0] + 1 : 1; /* no lambda is above */
    for (size_t c = 0; c < m->n_classes; c++) {
        uint32_t begin = m->hull_first[c], end = m->hull_first[c + 1];
        for (uint32_t v = begin; v < end; v++) {
            bool first = v == begin, last = v + 1 == end;
            double hi = first ? top : (double)m->hull_slope[v];
            double lo = last ? 0 : (double)m->hull_slope[v + 1] + 1;
            double mid = first ? hi : last ? lo : 0.5 * (lo + hi);
            double r = best_other(m, c, v, mid);
            if (first)
                reach[v] = 0;
            else
                reach[v] = fmaxf(reach[v], reach_of(hi - mid, r));
            if (!last)
                reach[v + 1] = reach_of(mid - lo, r);
        }
    }
}

/* ---- building ---- */

static int octave(float reach)
{
    int exponent;
    frexpf(reach, &exponent);
    exponent += BP_MCKP_OCTAVES / 2;
    return exponent < 0 ? 0 : exponent >= BP_MCKP_OCTAVES ? BP_MCKP_OCTAVES - 1 : exponent;
}

/* Deals the frontier's segments to their octaves, in its order. */
static void deal_octaves(struct bp_mckp *m, const float *reach)
{
    struct bp_mckp_index *x = &m->index;
    uint32_t count[BP_MCKP_OCTAVES] = {0}, at = 0;
    for (uint32_t s = 0; s < m->n_segs; s++)
        count[octave(reach[m->seg_hull[s]])]++;
    for (int o = 0; o < BP_MCKP_OCTAVES; o++) {
        x->octave[o] = at;
        at += count[o];
        count[o] = x->octave[o];
        x->most[o] = 0;
    }
    x->octave[BP_MCKP_OCTAVES] = at;
    for (uint32_t s = 0; s < m->n_segs; s++) {
        float r = reach[m->seg_hull[s]];
        int o = octave(r);
        x->entry[count[o]++] = (struct bp_mckp_reach){m->seg_slope[s], m->seg_class[s], r};
        x->most[o] = fmaxf(x->most[o], r);
    }
}

static void take_snapshots(const struct bp_mckp *m, uint32_t *plan, uint32_t *snapshot)
{
    size_t n = m->n_classes;
    for (size_t c = 0; c < n; c++)
        plan[c] = m->hull[m->hull_first[c]];
    for (uint32_t s = 0; s <= m->n_segs; s++) {
        if (s % SNAPSHOT_STEP == 0) {
            memcpy(snapshot, plan, n * sizeof *plan);
            snapshot += n;
        }
        if (s < m->n_segs)
            plan[m->seg_class[s]] = m->hull[m->seg_hull[s]];
    }
}

enum bp_status bp_mckp_index_build(struct bp_mckp *m)
{
    struct bp_mckp_index *x = &m->index;
    size_t n = m->n_classes, n_hull = m->hull_first[n], n_plans = m->n_segs / SNAPSHOT_STEP + 1;
    float *reach = calloc(n_hull, sizeof *reach);
    uint32_t *plan = calloc(n, sizeof *plan);
    x->entry = calloc((size_t)m->n_segs + 1, sizeof *x->entry);
    x->snapshot =
        n <= SIZE_MAX / sizeof *plan / n_plans ? malloc(n * n_plans * sizeof *plan) : NULL;
    x->mark = calloc(n / 64 + 1, sizeof *x->mark);
    bool built = reach && plan && x->entry && x->snapshot && x->mark;
    if (built) {
        set_reaches(m, reach);
        deal_octaves(m, reach);
        take_snapshots(m, plan, x->snapshot);
    }
    free(reach);
    free(plan);
    x->built = built;
    return built ? BP_OK : BP_ERR_NOMEM;
}

void bp_mckp_index_done(struct bp_mckp *m)
{
    free(m->index.entry);
    free(m->index.snapshot);
    free(m->index.mark);
}

/* ---- queries ---- */

void bp_mckp_index_plan(const struct bp_mckp *m, uint32_t n_taken, uint32_t *plan)
{
    uint32_t s = n_taken / SNAPSHOT_STEP;
    memcpy(plan, m->index.snapshot + s * m->n_classes, m->n_classes * sizeof *plan);
    for (s *= SNAPSHOT_STEP; s < n_taken; s++)
        plan[m->seg_class[s]] = m->hull[m->seg_hull[s]];
}

/* The first entry of octave o whose slope is at most `slope`. */
static uint32_t first_at(const struct bp_mckp_index *x, int o, double slope)
{
    uint32_t lo = x->octave[o], hi = x->octave[o + 1];
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if ((double)x->entry[mid].slope > slope)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

uint64_t bp_mckp_index_mark(const struct bp_mckp *m, int64_t lambda, int64_t gap)
{
    const struct bp_mckp_index *x = &m->index;
    uint64_t seen = 0;
    for (int o = 0; o < BP_MCKP_OCTAVES; o++) {
        /* Slopes are rounded down; two units and the rounding to double are given away. */
        double window = (double)gap * x->most[o] * (1 + 1e-9) + 2 + 1e-12 * (double)lambda;
        uint32_t t = first_at(x, o, (double)lambda + window), end = x->octave[o + 1];
        for (; t < end; t++, seen++) {
            const struct bp_mckp_reach *r = &x->entry[t];
            double off = (double)lambda - (double)r->slope;
            if (off > window)
                break;
            if (fabs(off) <= (double)gap * r->reach + 2 + 1e-12 * (double)lambda)
                x->mark[r->cls / 64] |= UINT64_C(1) << r->cls % 64;
        }
    }
    return seen;
}
