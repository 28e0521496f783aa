/*
 * Random problems of eight kinds and what cannot be wrong: a dynamic program in integers over every
 * capacity.
 */
#ifndef BP_TESTS_SOLVER_ORACLE_H
#define BP_TESTS_SOLVER_ORACLE_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "solver_tables.h"

/* Fewer rounds under the sanitizers. */
#ifdef __SANITIZE_ADDRESS__
#define SHARE(n) ((n) / 4)
#else
#define SHARE(n) (n)
#endif

#define MAX_INSTANCE_CLASSES 400

enum kind {
    UNIFORM,   /* costs have nothing to do with weights */
    LAW,       /* falling exponentially with the bits */
    TWINS,     /* three distinct classes over and over, some without cost */
    LINE,      /* cost falls linearly with the weight: a subset sum */
    NEAR_LINE, /* the same with tiny noise */
    ONE_SIZE,  /* hundreds of classes, nearly all of one size */
    SENSITIVE, /* classes' scales over orders of magnitude */
    RESIDUES,  /* weights with a residue structure */
    N_KINDS
};

struct instance {
    struct table table;
    uint64_t min, max; /* over all items */
    bool integral;     /* costs are small integers: no rounding at all */
};

static inline double draw_cost(struct rng *g, enum kind kind, size_t cls, double size, double bits,
                               double line, double sigma)
{
    switch (kind) {
    case TWINS:
        return (double)(cls % 3) * pow(2, -0.2 * bits) * size + 0.001;
    case LINE:
        return fmax(0, 1000 - line * size * bits);
    case NEAR_LINE:
        return fmax(0, 1000 - size * bits + 0.001 * (double)rng_int(g, 0, 3));
    case UNIFORM:
        return rng_unit(g);
    default:
        return size * sigma * pow(2, -0.3 * bits) * (1 + 0.1 * rng_unit(g));
    }
}

static inline struct instance draw_instance(struct rng *g, enum kind kind)
{
    bool many = kind == ONE_SIZE || kind == RESIDUES;
    size_t n_items = (size_t)rng_int(g, 2, 14);
    size_t n_classes = many ? (size_t)rng_int(g, 150, 400) : (size_t)rng_int(g, 1, 60);
    int64_t n_sizes = many ? 4 : rng_int(g, 1, 4), sizes[4], bits[16];
    static const int64_t one_size[4] = {8, 3, 5, 16}, residues[4] = {12, 3, 7, 24};
    for (int i = 0; i < 4; i++) {
        sizes[i] = rng_int(g, 1, kind == NEAR_LINE ? 3 : 9);
        if (many)
            sizes[i] = kind == ONE_SIZE ? one_size[i] : residues[i];
    }
    for (size_t j = 0; j < n_items; j++) {
        bits[j] = rng_int(g, 1, many ? 14 : 40);
        if (kind == RESIDUES)
            bits[j] = bits[j] / 3 * 3 + (j == 0) + 1;
    }
    struct instance x = {table_new(n_classes, n_items), 0, 0, rng_unit(g) < 0.3};
    double line = rng_unit(g);
    for (size_t c = 0; c < n_classes; c++) {
        int64_t size = sizes[many && rng_unit(g) < 0.93 ? 0 : rng_int(g, 0, n_sizes - 1)];
        double sigma = exp((kind == SENSITIVE ? 8 : 0.3) * (rng_unit(g) - 0.5));
        uint64_t least = UINT64_MAX, most = 0;
        for (size_t j = 0; j < n_items; j++) {
            uint64_t w = (uint64_t)(size * bits[j]);
            double cost = draw_cost(g, kind, c, (double)size, (double)bits[j], line, sigma);
            x.table.weight[c * n_items + j] = w;
            x.table.cost[c * n_items + j] = x.integral ? rint(cost * 16) : cost;
            least = w < least ? w : least;
            most = w > most ? w : most;
        }
        x.min += least;
        x.max += most;
    }
    return x;
}

/* The exponent for the oracle's own fixed point. */
static inline int oracle_exponent(const struct instance *x)
{
    const struct bp_mckp_problem *p = &x->table.problem;
    double sum = 0;
    int exponent;
    for (size_t c = 0; c < p->n_classes; c++) {
        double largest = 0;
        for (size_t j = 0; j < p->n_items; j++)
            largest = fmax(largest, p->cost[c * p->n_items + j]);
        sum += largest;
    }
    if (x->integral || sum == 0)
        return 0;
    frexp(sum, &exponent);
    return 60 - exponent;
}

static inline int64_t fixed(double cost, int exponent)
{
    return llrint(ldexp(cost, exponent));
}

/* Least cost for every capacity 0..max - min above the lightest plan, in fixed point. */
static inline int64_t *oracle(const struct instance *x, int exponent)
{
    const struct bp_mckp_problem *p = &x->table.problem;
    size_t cap = (size_t)(x->max - x->min);
    int64_t *best = calloc(cap + 1, sizeof *best);
    int64_t *next = calloc(cap + 1, sizeof *next);
    if (best == NULL || next == NULL)
        abort();
    for (size_t c = 0; c < p->n_classes; c++) {
        const uint64_t *weight = p->weight + c * p->n_items;
        uint64_t least = UINT64_MAX;
        for (size_t j = 0; j < p->n_items; j++)
            least = weight[j] < least ? weight[j] : least;
        for (size_t w = 0; w <= cap; w++)
            next[w] = INT64_MAX;
        for (size_t j = 0; j < p->n_items; j++) {
            size_t dw = (size_t)(weight[j] - least);
            int64_t e = fixed(p->cost[c * p->n_items + j], exponent);
            for (size_t w = dw; w <= cap; w++)
                next[w] = best[w - dw] + e < next[w] ? best[w - dw] + e : next[w];
        }
        int64_t *t = best;
        best = next;
        next = t;
    }
    free(next);
    return best;
}

static inline int64_t plan_cost(const struct bp_mckp_problem *p, const uint32_t *choice,
                                int exponent)
{
    int64_t e = 0;
    for (size_t c = 0; c < p->n_classes; c++)
        e += fixed(p->cost[c * p->n_items + choice[c]], exponent);
    return e;
}

#endif
