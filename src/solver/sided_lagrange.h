/*
 * The Lagrangian relaxation of a budget and capacities: each at a price, which leaves every class
 * its own choice. For prices p >= 0, sum over classes of min (cost + p . weight) - p . room is a
 * bound; subgradient steps raise it (Held, Wolfe, Crowder 1974, Polyak's step length).
 *
 * Weights are counted above the class's least and in units of the row's whole span, so that prices
 * are in units of cost. Used by sided_limits.c alone.
 */
#ifndef BP_SOLVER_SIDED_LAGRANGE_H
#define BP_SOLVER_SIDED_LAGRANGE_H

#include "solver/sided_impl.h"

struct bp_glpk_branch;

struct bp_sided_lagrange {
    const struct bp_sided_problem *p;
    size_t n_classes, n_rows, n; /* rows: budget, limits */
    size_t *first;               /* [n_classes + 1] items of each class */
    uint32_t *column;            /* [n] */
    double *cost;                /* [n] */
    double *weight;              /* [n_rows * n] */
    double *room, *unit;         /* [n_rows] */
    double *lambda, *best;       /* [n_rows] prices: now, those of the bound */
    double *gradient;            /* [n_rows] */
    double *priced;              /* [n] cost + prices */
    size_t *pick;                /* [n_classes] cheapest at the prices now */
    double bound;                /* best so far */
    double step;                 /* of the full length; halved without progress */
    int idle;                    /* steps without progress */
};

/* Items that others of their class are as good as in every respect are left out, unless columns
 * count (max_columns > 0). BP_INFEASIBLE: the lightest items are beyond a row's room.
 * bp_sided_lagrange_done in any case. */
enum bp_status bp_sided_lagrange_init(struct bp_sided_lagrange *g, const struct bp_sided_problem *p,
                                      size_t max_columns);
void bp_sided_lagrange_done(struct bp_sided_lagrange *g);

/* The bound at the prices now, then new prices. True when it is better than all before. ceiling: a
 * cost that is known, INFINITY for none. */
bool bp_sided_lagrange_step(struct bp_sided_lagrange *g, double ceiling);

/* Makes the choice g->pick fit by the moves that cost least, then better where there is room, also
 * by pairs of moves where the items are few. False where that fails. choice [n_classes] gets the
 * columns. */
bool bp_sided_lagrange_repair(struct bp_sided_lagrange *g, uint32_t *choice);

/* Leaves the items that a choice below the ceiling can hold, and describes them for GLPK: costs
 * are then those above g->bound. BP_INFEASIBLE: there is none. */
enum bp_status bp_sided_lagrange_reduce(struct bp_sided_lagrange *g, double ceiling,
                                        struct bp_glpk_branch *out);

/* The items of a choice; false when one was left out. */
bool bp_sided_lagrange_find(const struct bp_sided_lagrange *g, const uint32_t *choice,
                            size_t *pick);

#endif
