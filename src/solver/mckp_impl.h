/*
 * Inside the multiple-choice knapsack: what mckp_build.c lays out once and what mckp_root.c,
 * mckp_search.c, mckp_lists.c and mckp_dp.c do with it for one budget. Only they
 * include this.
 *
 * Words: an *item* is an undominated candidate of a class, numbered through all classes, within a
 * class by rising weight and so by falling cost. w is its weight above the class's lightest item in
 * units of the gcd of all such differences, e its cost in fixed point. A *segment* is an edge of a
 * class's lower hull; all segments sorted by falling slope are the frontier of the linear
 * relaxation. lambda is always an integer multiplier, and a segment's slope is floor(de / dw), so
 * that "take every segment of slope >= lambda" is exactly the minimizer of e + lambda * w: bounds,
 * reduced costs and comparisons are integers and the proof has no tolerance.
 *
 * Sizes: the sum of the largest e of all classes stays below 2^60 (plus rounding), the sum of the
 * largest w below 2^62. A product lambda * w is formed in 128 bits and narrowed where the search
 * has shown it to be small.
 */
#ifndef BP_SOLVER_MCKP_IMPL_H
#define BP_SOLVER_MCKP_IMPL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "solver/mckp.h"

__extension__ typedef __int128 bp_mckp_wide;

#define BP_MCKP_NONE UINT32_MAX

/* How a part of the search ended: it proved that nothing below the incumbent is left, it gave up
 * (too large for it), or memory ran out. */
enum bp_mckp_outcome { BP_MCKP_CLOSED, BP_MCKP_OPEN, BP_MCKP_NOMEM };

/* The items that a better plan can use: those of reduced cost below the gap. w and e count from the
 * class's base item, which is in the list unless its own reduced cost reaches the gap. */
struct bp_mckp_core {
    uint32_t n_classes, n;
    uint32_t *cls;   /* [n_classes] rising */
    uint32_t *first; /* [n_classes + 1] into the arrays below */
    int64_t *w;      /* [n] */
    int64_t *e;      /* [n] */
    int64_t *r;      /* [n] reduced cost at the root's lambda, >= 0 */
    uint32_t *item;  /* [n] rising within a class */
    size_t cap;      /* of w, e, r, item */
};

/* A change of one class away from the node's selection: weight by dw, Lagrangian cost by r >= 0. */
struct bp_mckp_move {
    int64_t r, dw;
    uint32_t cls;  /* in the core */
    uint32_t item; /* in the core */
};

/* More moves than this are not sorted and thinned: with so many, neither lists nor a dense program
 * would close anyway, and the workspace stays small. */
#define BP_MCKP_MAX_MOVES (1u << 18)

/* A subset of moves: total weight and reduced cost. */
struct bp_mckp_state {
    int64_t w, r;
};

/* A partial plan and what no completion of it costs less than. */
struct bp_mckp_partial {
    int64_t w, r, bound;
};

/* Multipliers that the lists are bounded by. */
#define BP_MCKP_DELTAS 39

struct bp_mckp_list {
    size_t at, n; /* in the arena */
};

struct bp_mckp_key {
    double value;
    uint32_t i;
};

/* A class of the dense program: its moves, and where its decisions are kept. */
struct bp_mckp_row {
    uint32_t first, end; /* into work.order */
    int64_t lo;          /* the window's cell that back[at] is for */
    size_t at;
};

/* Everything a query writes. Buffers only grow, so that a warmed-up solver allocates nothing. */
struct bp_mckp_work {
    /* root */
    int64_t budget;     /* in units above the lightest choice */
    int64_t lambda;     /* multiplier of the relaxation */
    int64_t root_bound; /* L: no choice has a smaller sum of e */
    int64_t incumbent;  /* U: sum of e of `best` */
    int64_t cutoff;     /* only plans below are searched for; <= U */
    int64_t base_e;     /* sum of e of `base` */
    int64_t slack;      /* budget - weight of `base`, >= 0 */
    int64_t bound;      /* proven at the end of the search */
    uint32_t break_seg; /* first segment that does not fit */
    uint64_t work, max_work;
    const atomic_bool *stop; /* of the limits, may be NULL */
    bool stopped;            /* it was seen set; stays, whatever the flag does then */
    uint32_t *base;  /* [n_classes] items of the frontier's last whole point within the budget */
    uint32_t *best;  /* [n_classes] items of the incumbent */
    uint32_t *stamp; /* [n_classes] all 0 between uses: greedy's closed classes, grouping */

    struct bp_mckp_core core;
    uint32_t *sel; /* [n_classes] per core class: the core item that a plan starts from */

    /* leaves */
    struct bp_mckp_move *move;
    size_t move_cap;
    struct bp_mckp_list *list;
    size_t list_cap;
    struct bp_mckp_state *arena;
    size_t arena_cap;
    struct bp_mckp_partial *partial[2];
    size_t partial_cap[2];
    bool coarse_known; /* the next, for this budget */
    int64_t coarse_rest[BP_MCKP_DELTAS];
    int64_t fine_least; /* what the fine classes cost at least, with the slack that they leave */
    int64_t *rest;      /* bounds of mckp_lists.c */
    size_t rest_cap;
    uint64_t *table; /* hash table of weight steps */
    size_t table_cap;

    /* dense dynamic program */
    int64_t *row_a, *row_b;
    size_t row_a_cap, row_b_cap;
    uint8_t *back;
    size_t back_cap;
    double *fill;
    size_t fill_cap;
    uint32_t *order;
    size_t order_cap;
    struct bp_mckp_row *row;
    size_t row_cap;
    struct bp_mckp_key *key;
    size_t key_cap;
};

/* A segment as mckp_index.c keeps it. */
struct bp_mckp_reach {
    int64_t slope;
    uint32_t cls;
    float reach; /* slope units per unit of gap */
};

#define BP_MCKP_OCTAVES 128
struct bp_mckp_index {
    bool built;
    struct bp_mckp_reach *entry; /* [n_segs] by octave, of an octave by falling slope */
    uint32_t octave[BP_MCKP_OCTAVES + 1];
    float most[BP_MCKP_OCTAVES]; /* longest reach of each */
    uint32_t *snapshot;          /* plans of the frontier, [n_classes] items each */
    uint64_t *mark;              /* a bit for each class; all 0 between uses */
};

struct bp_mckp {
    size_t n_classes;
    uint32_t n_items;
    uint32_t *first; /* [n_classes + 1] */
    int64_t *w;      /* [n_items] rising within a class, first 0 */
    int64_t *e;      /* [n_items] strictly falling within a class */
    uint32_t *column;
    double *cost;

    uint32_t *hull_first; /* [n_classes + 1] */
    uint32_t *hull;       /* [hull_first[n_classes]] items */
    int64_t *hull_slope;  /* of the edge that ends here; INT64_MAX at a class's first vertex */

    /* Items off the hull and their height above it, a lower bound of the reduced cost at every
     * lambda; of a class by rising height if off_sorted. Class c's are at [first[c] -
     * hull_first[c], first[c + 1] - hull_first[c + 1]). */
    uint32_t *off; /* [n_items - hull_first[n_classes]] */
    bool off_sorted;
    float *off_height; /* [n_items - hull_first[n_classes]] */

    uint32_t n_segs;
    uint32_t *seg_class; /* [n_segs] */
    uint32_t *seg_hull;  /* [n_segs] the hull vertex that the segment leads to */
    int64_t *seg_slope;  /* [n_segs] falling */
    int64_t *prefix_w;   /* [n_segs + 1] weight with the first s segments taken */
    int64_t *prefix_e;   /* [n_segs + 1] */

    int64_t unit; /* weight of one unit of w */
    /* Of most classes, the *coarse* ones, all w are multiples of this; 0 = there is no such number
     * above 1. A mixture of experts is like this: its matrices of one size outnumber all others. */
    int64_t coarse_unit;
    uint8_t *coarse; /* [n_classes] 1 = is a coarse class */
    uint64_t *fine;  /* [n_classes / 64 + 1] a bit for each class that is not */
    int exponent;    /* e = rint(cost * 2^exponent) */
    uint64_t min_weight;
    uint64_t max_weight;
    uint32_t *cheapest_column; /* [n_classes] of least cost, before rounding */
    double *cheapest_cost;     /* [n_classes] */

    struct bp_mckp_index index;
    struct bp_mckp_work work;
};

/* Whether somebody wants the solve to end; no work is left then. To be asked at least once in some
 * milliseconds of work. What was in hand is given up: OPEN. */
static inline bool bp_mckp_stopped(struct bp_mckp_work *k)
{
    if (!k->stopped && k->stop != NULL && atomic_load_explicit(k->stop, memory_order_relaxed)) {
        k->stopped = true;
        k->max_work = 0;
    }
    return k->stopped;
}

/* `best` has become a plan of this sum of e. */
static inline void bp_mckp_accept(struct bp_mckp_work *k, int64_t e)
{
    k->incumbent = e;
    if (k->cutoff > e)
        k->cutoff = e;
}

/* -- mckp_build.c -- */

/* Fills all of *m (zeroed) but its workspace. What it has allocated on failure stays in *m. */
enum bp_status bp_mckp_build(const struct bp_mckp_problem *problem, struct bp_mckp *m,
                             size_t *bad_class);

/* Makes room for `need` elements of `size` bytes in *buffer (a pointer to any object pointer),
 * keeping its contents. False when memory is out; *buffer then stands as it was. */
bool bp_mckp_reserve(void *buffer, size_t *cap, size_t need, size_t size);

/* Greatest common divisor of |a| and |b|. */
int64_t bp_mckp_gcd(int64_t a, int64_t b);

/* -- mckp_index.c -- */

/* So many classes are worth an index. */
#define BP_MCKP_INDEX_CLASSES 4096

/* Builds m->index. BP_ERR_NOMEM: it is not `built`; what it has stays in *m. */
enum bp_status bp_mckp_index_build(struct bp_mckp *m);
void bp_mckp_index_done(struct bp_mckp *m);

/* plan [n_classes]: the frontier's plan with its first n_taken segments. */
void bp_mckp_index_plan(const struct bp_mckp *m, uint32_t n_taken, uint32_t *plan);

/* Marks at least the classes that have an item of reduced cost below the gap at lambda besides the
 * least one. Returns the steps it took. */
uint64_t bp_mckp_index_mark(const struct bp_mckp *m, int64_t lambda, int64_t gap);

/* -- mckp_root.c -- */

/* The hull vertex (index into m->hull) that minimizes e + lambda * w in class c, the heavier one of
 * two equal. */
uint32_t bp_mckp_hull_at(const struct bp_mckp *m, size_t c, int64_t lambda);

/* Solves the relaxation at work.budget (< the frontier's end) and takes the skipping greedy as the
 * incumbent. */
void bp_mckp_root(struct bp_mckp *m);

/* Collects the core for the present gap. OPEN: stopped. */
enum bp_mckp_outcome bp_mckp_core_gather(struct bp_mckp *m);

/* The same, with a gap of their own for the coarse classes, not above the present one. */
enum bp_mckp_outcome bp_mckp_core_gather_split(struct bp_mckp *m, int64_t coarse_gap);

/* Drops what the present gap no longer needs. The core is of no more use when stopped. */
void bp_mckp_core_shrink(struct bp_mckp *m);

/* best = base with work.sel applied. */
void bp_mckp_keep_selection(struct bp_mckp *m);

/* -- mckp_sort.c -- */

/* Sorts by r, then class, then item. */
void bp_mckp_sort_moves(struct bp_mckp_move *move, size_t n);

/* Sorts by value, then i. No NaN. */
void bp_mckp_sort_keys(struct bp_mckp_key *key, size_t n);

/* -- mckp_dp.c -- */

/* Dense dynamic program over the weight window in which a better plan must move. Gives up after
 * max_cells updates, and at once where it would need many times as many. `narrow`: a part of the
 * window and the cheapest moves only; may improve the incumbent, proves nothing. */
enum bp_mckp_outcome bp_mckp_dp(struct bp_mckp *m, double max_cells, bool narrow);

/* -- mckp_lists.c -- */

/* Dynamic program over lists of partial plans of the core, of at most `width` states each: those of
 * the best bounds. Improves the incumbent where it can, and work.bound by what was dropped. Gives
 * up after max_work steps. */
enum bp_mckp_outcome bp_mckp_lists(struct bp_mckp *m, size_t width, double max_work);

/* -- mckp_search.c -- */

/* Searches below the incumbent of bp_mckp_root. Leaves the proven bound in work.bound. CLOSED: the
 * incumbent is optimal. */
enum bp_mckp_outcome bp_mckp_search(struct bp_mckp *m);

#endif
