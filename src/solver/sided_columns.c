/*
 * At most K columns: branch and bound over sets of columns. The bound prices the budget and the
 * limits and, with a price u of every class, that each takes one item; what is left falls apart by
 * columns: column j is worth the sum over classes of min(0, cost + prices - u), and the best K
 * columns are taken (the relaxation of the K-median problem: Cornuejols, Fisher, Nemhauser 1977;
 * its best value is that of the strong linear relaxation). Columns that the bound excludes or
 * needs are fixed; a set that is down to K columns is a problem without a bound on columns.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "solver/sided_impl.h"

enum { ROOT_STEPS = 2000, NODE_STEPS = 60, PATIENCE = 15 };
enum { FREE, IN, OUT };

/* Bytes of prices that open nodes may keep; beyond, they begin with the root's. */
static const size_t MAX_DUALS = (size_t)256 << 20;

/* Prices of an open node, shared by its children. */
struct dual {
    int holders;
    double value[]; /* [n_classes + n_rows] of classes, of rows */
};

struct node {
    double bound;
    struct dual *dual;
    uint8_t *state; /* [n_columns] FREE, IN, OUT */
};

struct tree {
    struct bp_sided_run *run;
    size_t n_classes, n_columns, n_rows, most, n_values;
    /* The items, by class; weights in units of the rows' spans above the class's least. */
    size_t *first;       /* [n_classes + 1] */
    uint32_t *column;    /* [n] */
    double *cost;        /* [n] */
    double *weight;      /* [n_rows * n] */
    double *priced;      /* [n] */
    size_t n, n_all;     /* n of the columns that the root leaves */
    double *room, *unit; /* [n_rows] */
    /* Of the node in work. */
    uint8_t *state;               /* [n_columns] */
    double *value, *best;         /* [n_values] */
    double *gradient, *direction; /* [n_values] */
    double *scale;                /* [n_values] of a step */
    double *worth;                /* [n_columns] <= 0 */
    double *best_worth;           /* at the best prices */
    uint8_t *taken, *best_taken;  /* [n_columns] */
    uint32_t *set;                /* [n_columns] scratch */
    double bound;
    struct node *heap;
    size_t n_heap, heap_size, n_duals;
    struct dual *root;
    double unresolved; /* least bound of leaves where it stayed below the incumbent ... */
    bool given_up;     /* ... by more than a proof's own rounding */
    uint64_t *seen;    /* [N_SEEN] hashes of sets that were tried */
};
enum { N_SEEN = 1 << 14 };

/* ---- a set of columns alone ---- */

/* The run's problem on the columns [n]; rows of limits that are the class's own stay that. */
struct subset {
    struct bp_sided_problem p;
    uint64_t *weight, *taken; /* taken: of limits that count a class in part */
    double *cost;
    const uint64_t **rows;
};

static void subset_done(struct subset *s)
{
    free(s->weight);
    free(s->taken);
    free(s->cost);
    free(s->rows);
}

static bool gather(const struct bp_sided_problem *p, const uint32_t *column, size_t n,
                   struct subset *s)
{
    const size_t N = p->mckp.n_classes, C = p->mckp.n_items;
    size_t partial = 0;
    for (size_t k = 0; k < p->n_limits * N; k++)
        partial += p->weight[k] != NULL && p->weight[k] != p->mckp.weight + k % N * C;
    *s = (struct subset){.weight = malloc(N * n * sizeof *s->weight),
                         .taken = malloc((partial * n + 1) * sizeof *s->taken),
                         .cost = malloc(N * n * sizeof *s->cost),
                         .rows = calloc(p->n_limits * N + 1, sizeof *s->rows)};
    if (s->weight == NULL || s->taken == NULL || s->cost == NULL || s->rows == NULL)
        return false;
    for (size_t c = 0; c < N; c++)
        for (size_t k = 0; k < n; k++) {
            s->weight[c * n + k] = p->mckp.weight[c * C + column[k]];
            s->cost[c * n + k] =
                bp_sided_offers(&p->mckp, c, column[k]) ? p->mckp.cost[c * C + column[k]] : NAN;
        }
    uint64_t *next = s->taken;
    for (size_t i = 0; i < p->n_limits * N; i++) {
        const uint64_t *row = p->weight[i];
        if (row == NULL)
            continue;
        if (row == p->mckp.weight + i % N * C) {
            s->rows[i] = s->weight + i % N * n;
            continue;
        }
        for (size_t k = 0; k < n; k++)
            next[k] = row[column[k]];
        s->rows[i] = next;
        next += n;
    }
    s->p = *p;
    s->p.mckp = (struct bp_mckp_problem){N, n, s->weight, s->cost, NULL};
    s->p.max_columns = 0;
    s->p.weight = s->rows;
    return true;
}

enum bp_status bp_sided_subset_solve(struct bp_sided_run *run, const uint32_t *column, size_t n,
                                     bool exact, double *bound, bool *closed, double *price)
{
    const size_t N = run->problem->mckp.n_classes;
    struct subset s = {0};
    struct bp_mckp *solver = NULL;
    uint32_t *choice = malloc(N * sizeof *choice);
    struct bp_sided_part part = {.choice = choice, .price = price};
    enum bp_status status = BP_ERR_NOMEM;
    *bound = INFINITY;
    *closed = true;
    if (n == 0 || choice == NULL || !gather(run->problem, column, n, &s)) {
        status = n == 0 ? BP_OK : BP_ERR_NOMEM;
        goto done;
    }
    status = bp_mckp_new(&s.p.mckp, &solver, NULL);
    if (status == BP_ERR_INPUT) { /* a class that none of the columns serves */
        status = BP_OK;
        goto done;
    }
    if (status == BP_OK)
        status =
            bp_sided_limits_solve(run, &s.p, solver, bp_sided_cutoff(run), exact, false, &part);
    if (status != BP_OK)
        goto done;
    for (size_t c = 0; part.found && c < N; c++)
        choice[c] = column[choice[c]];
    if (part.found) {
        if (part.cost < run->incumbent)
            run->shadow_price = part.shadow_price;
        bp_sided_offer(run, choice);
    }
    *bound = part.bound;
    *closed = part.closed;
done:
    bp_mckp_free(solver);
    free(choice);
    subset_done(&s);
    return status;
}

/* Whether a set is tried for the first time, about. */
static bool is_new(struct tree *t, const uint32_t *set, size_t n)
{
    uint64_t h = 0x9E3779B97F4A7C15u;
    for (size_t k = 0; k < n; k++)
        h = (h ^ (set[k] + 1)) * 0xD1342543DE82EF95u + (h >> 29);
    h |= 1;
    if (t->seen[h % N_SEEN] == h)
        return false;
    t->seen[h % N_SEEN] = h;
    return true;
}

static size_t list_columns(struct tree *t, const uint8_t *flags, uint8_t value)
{
    size_t n = 0;
    for (size_t j = 0; j < t->n_columns; j++)
        if (flags[j] == value)
            t->set[n++] = (uint32_t)j;
    return n;
}

/* ---- the bound ---- */

static void price_items(struct tree *t)
{
    const double *row_price = t->value + t->n_classes;
    memcpy(t->priced, t->cost, t->n * sizeof *t->priced);
    for (size_t r = 0; r < t->n_rows; r++)
        for (size_t i = 0; row_price[r] > 0 && i < t->n; i++)
            t->priced[i] += row_price[r] * t->weight[r * t->n_all + i];
}

/* Takes the columns that are in and the most worth of the free ones, in all `most`. Their worth. */
static double take_columns(struct tree *t)
{
    double sum = 0;
    size_t n = 0;
    for (size_t j = 0; j < t->n_columns; j++) {
        t->taken[j] = t->state[j] == IN;
        sum += t->taken[j] ? t->worth[j] : 0;
        n += t->taken[j];
    }
    for (; n < t->most; n++) {
        double least = 0;
        size_t at = SIZE_MAX;
        for (size_t j = 0; j < t->n_columns; j++)
            if (t->state[j] == FREE && !t->taken[j] && t->worth[j] < least) {
                least = t->worth[j];
                at = j;
            }
        if (at == SIZE_MAX)
            break;
        t->taken[at] = 1;
        sum += least;
    }
    return sum;
}

/* The bound at t->value; worths, taken columns and the gradient with it. */
static double evaluate(struct tree *t)
{
    const double *u = t->value, *row_price = t->value + t->n_classes;
    double sum = 0, rent = 0;
    price_items(t);
    memset(t->worth, 0, t->n_columns * sizeof *t->worth);
    for (size_t c = 0; c < t->n_classes; c++) {
        sum += u[c];
        for (size_t i = t->first[c]; i < t->first[c + 1]; i++) {
            const double over = t->priced[i] - u[c];
            if (over < 0)
                t->worth[t->column[i]] += over;
        }
    }
    const double gained = take_columns(t);
    for (size_t r = 0; r < t->n_rows; r++) {
        t->gradient[t->n_classes + r] = -t->room[r];
        rent += row_price[r] * t->room[r];
    }
    for (size_t c = 0; c < t->n_classes; c++) {
        t->gradient[c] = 1;
        for (size_t i = t->first[c]; i < t->first[c + 1]; i++) {
            if (!t->taken[t->column[i]] || t->priced[i] >= u[c])
                continue;
            t->gradient[c] -= 1;
            for (size_t r = 0; r < t->n_rows; r++)
                t->gradient[t->n_classes + r] += t->weight[r * t->n_all + i];
        }
    }
    t->run->work += 2 * t->n;
    return sum + gained - rent - 1e-12 * (fabs(sum) - gained + rent);
}

/* One step from t->value along the subgradient and the last direction (Camerini, Fratta, Maffioli
 * 1975). */
static void step(struct tree *t, double length, double missing)
{
    double norm = 0;
    for (size_t k = 0; k < t->n_values; k++) {
        if (k >= t->n_classes && t->value[k] <= 0 && t->gradient[k] < 0)
            t->gradient[k] = 0;
        t->direction[k] = t->gradient[k] + 0.5 * t->direction[k];
        norm += t->direction[k] * t->direction[k] * t->scale[k] * t->scale[k];
    }
    for (size_t k = 0; norm > 0 && k < t->n_values; k++) {
        t->value[k] += length * missing / norm * t->direction[k] * t->scale[k] * t->scale[k];
        if (k >= t->n_classes)
            t->value[k] = fmax(0, t->value[k]);
    }
}

static void keep_best(struct tree *t, double bound)
{
    t->bound = bound;
    memcpy(t->best, t->value, t->n_values * sizeof *t->best);
    memcpy(t->best_worth, t->worth, t->n_columns * sizeof *t->worth);
    memcpy(t->best_taken, t->taken, t->n_columns);
}

/* Raises the node's bound from the prices in t->value, trying sets that it takes on the way. */
static enum bp_status ascend(struct tree *t, int steps, int heuristics)
{
    double length = 1;
    int idle = 0;
    memset(t->direction, 0, t->n_values * sizeof *t->direction);
    for (int k = 0; k < steps && length > 1e-4; k++) {
        const double value = evaluate(t);
        const double cutoff = bp_sided_cutoff(t->run);
        if (k == 0 || value > t->bound) {
            if (k > 0 && value - t->bound > 1e-7 * fabs(value))
                idle = 0;
            keep_best(t, value);
        }
        if (++idle > PATIENCE) {
            idle = 0;
            length /= 2;
            memcpy(t->value, t->best, t->n_values * sizeof *t->best);
            memset(t->direction, 0, t->n_values * sizeof *t->direction);
            evaluate(t);
        }
        if (t->bound >= cutoff)
            break;
        if (k % heuristics == heuristics - 1) {
            double bound;
            bool closed;
            const size_t n = list_columns(t, t->taken, 1);
            if (is_new(t, t->set, n)) {
                const enum bp_status status =
                    bp_sided_subset_solve(t->run, t->set, n, false, &bound, &closed, NULL);
                if (status != BP_OK)
                    return status;
            }
        }
        if (bp_sided_over(t->run))
            break;
        const double target = isfinite(cutoff) ? cutoff : fabs(t->bound) * 1.5 + 1e-300;
        step(t, length, fmax(target - value, 1e-6 * fabs(target)));
    }
    return BP_OK;
}

/* Fixes columns that a better choice cannot do with or without. False: there is no better one. */
static bool fix_columns(struct tree *t)
{
    const double cutoff = bp_sided_cutoff(t->run);
    double last_in = -INFINITY, first_out = 0; /* worths at the border of what is taken */
    size_t n = 0, n_in = 0;
    for (size_t j = 0; j < t->n_columns; j++) {
        n += t->best_taken[j];
        if (t->state[j] != FREE)
            continue;
        if (t->best_taken[j])
            last_in = fmax(last_in, t->best_worth[j]);
        else
            first_out = fmin(first_out, t->best_worth[j]);
    }
    if (n < t->most)
        last_in = 0; /* there is room for one more */
    if (t->bound >= cutoff)
        return false;
    for (size_t j = 0; j < t->n_columns; j++) {
        if (t->state[j] == FREE && !t->best_taken[j] &&
            t->bound + (t->best_worth[j] - last_in) >= cutoff)
            t->state[j] = OUT;
        else if (t->state[j] == FREE && t->best_taken[j] &&
                 t->bound - t->best_worth[j] + first_out >= cutoff)
            t->state[j] = IN;
        n_in += t->state[j] == IN;
    }
    for (size_t j = 0; n_in >= t->most && j < t->n_columns; j++)
        if (t->state[j] == FREE)
            t->state[j] = OUT;
    return n_in <= t->most;
}

/* ---- open nodes: a heap, least bound on top ---- */

static void dual_drop(struct tree *t, struct dual *d)
{
    if (d != NULL && --d->holders == 0) {
        free(d);
        t->n_duals--;
    }
}

static struct dual *dual_new(struct tree *t)
{
    const size_t bytes = t->n_values * sizeof(double);
    struct dual *d = NULL;
    if (t->root == NULL || (t->n_duals + 1) * bytes <= MAX_DUALS)
        d = malloc(sizeof *d + bytes);
    if (d == NULL) {
        if (t->root != NULL)
            t->root->holders++;
        return t->root;
    }
    t->n_duals++;
    d->holders = 1;
    memcpy(d->value, t->best, bytes);
    return d;
}

static bool push(struct tree *t, double bound, struct dual *dual)
{
    if (t->n_heap == t->heap_size) {
        const size_t size = 2 * t->heap_size + 64;
        struct node *heap = realloc(t->heap, size * sizeof *heap);
        if (heap == NULL)
            return false;
        t->heap = heap;
        t->heap_size = size;
    }
    struct node node = {bound, dual, malloc(t->n_columns)};
    if (node.state == NULL)
        return false;
    memcpy(node.state, t->state, t->n_columns);
    dual->holders++;
    size_t k = t->n_heap++;
    for (; k > 0 && t->heap[(k - 1) / 2].bound > bound; k = (k - 1) / 2)
        t->heap[k] = t->heap[(k - 1) / 2];
    t->heap[k] = node;
    return true;
}

static struct node pop(struct tree *t)
{
    const struct node top = t->heap[0], last = t->heap[--t->n_heap];
    size_t k = 0;
    for (size_t child; (child = 2 * k + 1) < t->n_heap; k = child) {
        if (child + 1 < t->n_heap && t->heap[child + 1].bound < t->heap[child].bound)
            child++;
        if (last.bound <= t->heap[child].bound)
            break;
        t->heap[k] = t->heap[child];
    }
    if (t->n_heap > 0)
        t->heap[k] = last;
    return top;
}

/* ---- branching ---- */

/* A node that is down to as many columns as may be taken. */
static enum bp_status solve_leaf(struct tree *t)
{
    double bound;
    bool closed;
    size_t n = 0;
    for (size_t j = 0; j < t->n_columns; j++)
        if (t->state[j] != OUT)
            t->set[n++] = (uint32_t)j;
    enum bp_status status = bp_sided_subset_solve(t->run, t->set, n, true, &bound, &closed, NULL);
    if (status == BP_OK && bound < bp_sided_cutoff(t->run)) {
        t->given_up |= !closed; /* a limit came first */
        t->unresolved = fmin(t->unresolved, bound);
    }
    return status;
}

/* Two nodes: with the free column that is worth most, and without it. */
static enum bp_status split(struct tree *t)
{
    size_t at = SIZE_MAX;
    for (size_t j = 0; j < t->n_columns; j++)
        if (t->state[j] == FREE && (at == SIZE_MAX || t->best_worth[j] < t->best_worth[at]))
            at = j;
    struct dual *dual = dual_new(t);
    if (dual == NULL)
        return BP_ERR_NOMEM;
    t->state[at] = OUT;
    bool good = push(t, t->bound, dual);
    t->state[at] = IN;
    good = good && push(t, t->bound, dual);
    dual_drop(t, dual);
    return good ? BP_OK : BP_ERR_NOMEM;
}

/* Bounds the node in t->state from the prices in t->value, whose parent's bound is given. */
static enum bp_status work_on(struct tree *t, double parent, int steps, int heuristics)
{
    enum bp_status status = ascend(t, steps, heuristics);
    if (status != BP_OK)
        return status;
    const double own = t->bound;
    if (!fix_columns(t))
        return BP_OK;
    t->bound = fmax(own, parent);
    size_t n_in = 0, n_left = 0;
    for (size_t j = 0; j < t->n_columns; j++) {
        n_in += t->state[j] == IN;
        n_left += t->state[j] != OUT;
    }
    return n_left <= t->most || n_in == t->most ? solve_leaf(t) : split(t);
}

/* Leaves the items of the columns that the root did not exclude. */
static void drop_items(struct tree *t)
{
    size_t n = 0, begin = 0;
    for (size_t c = 0; c < t->n_classes; c++) {
        const size_t end = t->first[c + 1];
        for (size_t i = begin; i < end; i++) {
            if (t->state[t->column[i]] == OUT)
                continue;
            t->column[n] = t->column[i];
            t->cost[n] = t->cost[i];
            for (size_t r = 0; r < t->n_rows; r++)
                t->weight[r * t->n_all + n] = t->weight[r * t->n_all + i];
            n++;
        }
        begin = end;
        t->first[c + 1] = n;
    }
    t->n = n;
}

/* The global bound: the least of what is open. */
static void tell_bound(struct tree *t, double in_work)
{
    double bound = fmin(in_work, t->unresolved);
    if (t->n_heap > 0)
        bound = fmin(bound, t->heap[0].bound);
    bp_sided_raise(t->run, fmin(bound, bp_sided_cutoff(t->run)));
}

static enum bp_status search(struct tree *t)
{
    enum bp_status status = work_on(t, 0, ROOT_STEPS, 25);
    if (status != BP_OK)
        return status;
    drop_items(t);
    t->root = dual_new(t);
    if (t->root == NULL)
        return BP_ERR_NOMEM;
    tell_bound(t, INFINITY);
    while (status == BP_OK && t->n_heap > 0) {
        if (bp_sided_over(t->run))
            return BP_LIMIT;
        struct node node = pop(t);
        tell_bound(t, node.bound);
        if (node.bound < bp_sided_cutoff(t->run)) {
            memcpy(t->state, node.state, t->n_columns);
            memcpy(t->value, node.dual->value, t->n_values * sizeof *t->value);
            status = work_on(t, node.bound, NODE_STEPS, NODE_STEPS);
        }
        dual_drop(t, node.dual);
        free(node.state);
        if (bp_sided_over(t->run) && status == BP_OK)
            return BP_LIMIT;
    }
    tell_bound(t, INFINITY);
    return status != BP_OK ? status : t->given_up ? BP_LIMIT : BP_OK;
}

/* ---- setting up ---- */

static bool allocate(struct tree *t)
{
    const size_t n = t->n_all, m = t->n_rows, C = t->n_columns;
    t->first = calloc(t->n_classes + 1, sizeof *t->first);
    t->column = malloc(n * sizeof *t->column);
    t->cost = malloc(n * sizeof *t->cost);
    t->weight = malloc(m * n * sizeof *t->weight);
    t->priced = malloc(n * sizeof *t->priced);
    t->room = malloc(2 * m * sizeof *t->room);
    t->state = calloc(C, 1);
    t->value = calloc(5 * t->n_values, sizeof *t->value);
    t->worth = calloc(2 * C, sizeof *t->worth);
    t->taken = calloc(2 * C, 1);
    t->set = malloc(C * sizeof *t->set);
    t->seen = calloc(N_SEEN, sizeof *t->seen);
    if (t->first == NULL || t->column == NULL || t->cost == NULL || t->weight == NULL ||
        t->priced == NULL || t->room == NULL || t->state == NULL || t->value == NULL ||
        t->worth == NULL || t->taken == NULL || t->set == NULL || t->seen == NULL)
        return false;
    t->unit = t->room + m;
    t->best = t->value + t->n_values;
    t->gradient = t->value + 2 * t->n_values;
    t->direction = t->value + 3 * t->n_values;
    t->scale = t->value + 4 * t->n_values;
    t->best_worth = t->worth + C;
    t->best_taken = t->taken + C;
    return true;
}

static void done(struct tree *t)
{
    while (t->n_heap > 0) {
        const struct node *node = &t->heap[--t->n_heap];
        dual_drop(t, node->dual);
        free(node->state);
    }
    if (t->root != NULL)
        dual_drop(t, t->root);
    free(t->heap);
    free(t->first);
    free(t->column);
    free(t->cost);
    free(t->weight);
    free(t->priced);
    free(t->room);
    free(t->state);
    free(t->value);
    free(t->worth);
    free(t->taken);
    free(t->set);
    free(t->seen);
}

static uint64_t takes(const struct bp_sided_problem *p, size_t r, size_t c, size_t j)
{
    return r == 0 ? p->mckp.weight[c * p->mckp.n_items + j] : bp_sided_takes(p, r - 1, c, j);
}

/* As in sided_lagrange.c. False when the lightest items are beyond the row's room. */
static bool scale_row(struct tree *t, size_t r)
{
    const struct bp_sided_problem *p = t->run->problem;
    const uint64_t capacity = r == 0 ? p->budget : p->capacity[r - 1];
    double *weight = t->weight + r * t->n_all, span = 0;
    uint64_t least = 0;
    for (size_t c = 0; c < t->n_classes; c++) {
        uint64_t low = UINT64_MAX, high = 0;
        for (size_t i = t->first[c]; i < t->first[c + 1]; i++) {
            const uint64_t w = takes(p, r, c, t->column[i]);
            low = w < low ? w : low;
            high = w > high ? w : high;
        }
        for (size_t i = t->first[c]; i < t->first[c + 1]; i++)
            weight[i] = (double)(takes(p, r, c, t->column[i]) - low);
        least += low;
        span += (double)(high - low);
    }
    t->unit[r] = span > 0 ? span : 1;
    for (size_t i = 0; i < t->n; i++)
        weight[i] /= t->unit[r];
    t->room[r] = least > capacity ? 0 : fmin((double)(capacity - least) / t->unit[r], 1);
    return least <= capacity;
}

static bool fill(struct tree *t)
{
    const struct bp_sided_problem *p = t->run->problem;
    bool fits = true;
    for (size_t c = 0; c < t->n_classes; c++) {
        for (size_t j = 0; j < t->n_columns; j++)
            if (bp_sided_offers(&p->mckp, c, j)) {
                t->column[t->n] = (uint32_t)j;
                t->cost[t->n++] = p->mckp.cost[c * t->n_columns + j];
            }
        t->first[c + 1] = t->n;
    }
    for (size_t r = 0; r < t->n_rows; r++)
        fits &= scale_row(t, r);
    return fits;
}

/* Prices to begin with: those of the rows as given, and of each class its cheapest item in the
 * set. Steps of a class are in the order of its costs. */
static void set_prices(struct tree *t, const double *price, const uint32_t *set, size_t n)
{
    double total = 0;
    memset(t->taken, 0, t->n_columns);
    for (size_t k = 0; k < n; k++)
        t->taken[set[k]] = 1;
    for (size_t r = 0; r < t->n_rows; r++)
        t->value[t->n_classes + r] = price[r] * t->unit[r];
    price_items(t);
    for (size_t c = 0; c < t->n_classes; c++) {
        double least = INFINITY, all = INFINITY;
        for (size_t i = t->first[c]; i < t->first[c + 1]; i++) {
            all = fmin(all, t->priced[i]);
            if (t->taken[t->column[i]])
                least = fmin(least, t->priced[i]);
        }
        t->value[c] = isfinite(least) ? least : all;
        total += t->value[c];
    }
    const double floor = 1e-3 * total / (double)t->n_classes + 1e-300;
    for (size_t c = 0; c < t->n_classes; c++)
        t->scale[c] = fmax(t->value[c], floor);
    for (size_t r = 0; r < t->n_rows; r++)
        t->scale[t->n_classes + r] = fmax(total, 1e-300);
}

/* One column for all: each is tried. */
static enum bp_status try_each(struct bp_sided_run *run)
{
    for (uint32_t j = 0; j < run->problem->mckp.n_items; j++) {
        double bound;
        bool closed;
        enum bp_status status = bp_sided_subset_solve(run, &j, 1, true, &bound, &closed, NULL);
        if (status != BP_OK)
            return status;
        if (bp_sided_over(run))
            return BP_LIMIT;
    }
    bp_sided_raise(run, bp_sided_cutoff(run));
    return BP_OK;
}

enum bp_status bp_sided_columns_solve(struct bp_sided_run *run, const double *price)
{
    if (run->problem->max_columns == 1)
        return try_each(run);
    const struct bp_sided_problem *p = run->problem;
    struct tree t = {.run = run,
                     .n_classes = p->mckp.n_classes,
                     .n_columns = p->mckp.n_items,
                     .n_rows = 1 + p->n_limits,
                     .most = p->max_columns,
                     .unresolved = INFINITY};
    size_t n = 0;
    double *start = malloc(t.n_rows * sizeof *start);
    enum bp_status status = BP_ERR_NOMEM;
    t.n_all = t.n_classes * t.n_columns;
    t.n_values = t.n_classes + t.n_rows;
    if (start == NULL || !allocate(&t))
        goto done;
    memcpy(start, price, t.n_rows * sizeof *start);
    status = bp_sided_start(run, start, t.set, &n);
    if (status != BP_OK)
        goto done;
    if (bp_sided_over(run)) {
        status = BP_LIMIT;
        goto done;
    }
    status = BP_INFEASIBLE;
    if (!fill(&t))
        goto done;
    set_prices(&t, start, t.set, n);
    status = search(&t);
done:
    free(start);
    done(&t);
    return status;
}
