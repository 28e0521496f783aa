#include "solver/sided_lagrange.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "solver/glpk.h"

/* Steps without progress until the step's length is halved. */
enum { PATIENCE = 10 };

/* Items up to which pairs of moves are tried. */
enum { MAX_PAIRED = 3000 };

/* Room that rounding of the scaled weights may take; choices are checked in integers after. */
static const double SLACK = 1e-12;

/* ---- setting up ---- */

/* An item as it is sorted. */
struct entry {
    uint64_t weight;
    double cost;
    uint32_t column;
};

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    if (x->weight != y->weight)
        return x->weight < y->weight ? -1 : 1;
    if (x->cost != y->cost)
        return x->cost < y->cost ? -1 : 1;
    return x->column < y->column ? -1 : x->column > y->column;
}

/* Whether what class c takes of the limits follows from its weight. */
static bool takes_all_or_nothing(const struct bp_sided_problem *p, size_t c)
{
    for (size_t l = 0; l < p->n_limits; l++) {
        const uint64_t *row = p->weight[l * p->mckp.n_classes + c];
        if (row != NULL && row != p->mckp.weight + c * p->mckp.n_items)
            return false;
    }
    return true;
}

static bool dominates(const struct bp_sided_problem *p, size_t c, const struct entry *a,
                      const struct entry *b)
{
    if (a->weight > b->weight || a->cost > b->cost)
        return false;
    for (size_t l = 0; l < p->n_limits; l++)
        if (bp_sided_takes(p, l, c, a->column) > bp_sided_takes(p, l, c, b->column))
            return false;
    return true;
}

/* Appends what is worth having of class c. False when that is nothing. */
static bool add_class(struct bp_sided_lagrange *g, size_t c, bool all, struct entry *row)
{
    const struct bp_mckp_problem *m = &g->p->mckp;
    const bool simple = takes_all_or_nothing(g->p, c);
    size_t n = 0, kept = 0;
    for (size_t j = 0; j < m->n_items; j++)
        if (bp_sided_offers(m, c, j))
            row[n++] = (struct entry){m->weight[c * m->n_items + j], m->cost[c * m->n_items + j],
                                      (uint32_t)j};
    qsort(row, n, sizeof *row, compare_entries);
    for (size_t i = 0; i < n; i++) {
        bool keep = true;
        if (!all && simple)
            keep = kept == 0 || row[i].cost < row[kept - 1].cost;
        for (size_t k = 0; !all && !simple && keep && k < kept; k++)
            keep = !dominates(g->p, c, &row[k], &row[i]);
        if (keep)
            row[kept++] = row[i];
    }
    for (size_t i = 0; i < kept; i++) {
        g->column[g->n] = row[i].column;
        g->cost[g->n++] = row[i].cost;
    }
    g->first[c + 1] = g->n;
    return kept > 0;
}

/* What item t takes of row r: 0 the budget, then the limits. */
static uint64_t takes(const struct bp_sided_lagrange *g, size_t r, size_t c, size_t t)
{
    const struct bp_mckp_problem *m = &g->p->mckp;
    return r == 0 ? m->weight[c * m->n_items + g->column[t]]
                  : bp_sided_takes(g->p, r - 1, c, g->column[t]);
}

/* Scales one row. False when the lightest items are beyond its room. */
static bool scale_row(struct bp_sided_lagrange *g, size_t r)
{
    const uint64_t capacity = r == 0 ? g->p->budget : g->p->capacity[r - 1];
    double *weight = g->weight + r * g->n, span = 0;
    uint64_t least = 0;
    for (size_t c = 0; c < g->n_classes; c++) {
        uint64_t low = UINT64_MAX, high = 0;
        for (size_t t = g->first[c]; t < g->first[c + 1]; t++) {
            const uint64_t w = takes(g, r, c, t);
            low = w < low ? w : low;
            high = w > high ? w : high;
        }
        for (size_t t = g->first[c]; t < g->first[c + 1]; t++)
            weight[t] = (double)(takes(g, r, c, t) - low);
        least += low;
        span += (double)(high - low);
    }
    if (least > capacity)
        return false;
    g->unit[r] = span > 0 ? span : 1;
    for (size_t t = 0; t < g->n; t++)
        weight[t] /= g->unit[r];
    g->room[r] = fmin((double)(capacity - least) / g->unit[r], 1);
    return true;
}

enum bp_status bp_sided_lagrange_init(struct bp_sided_lagrange *g, const struct bp_sided_problem *p,
                                      size_t max_columns)
{
    const size_t N = p->mckp.n_classes, C = p->mckp.n_items, rows = 1 + p->n_limits;
    struct entry *row = malloc(C * sizeof *row);
    enum bp_status status = BP_ERR_NOMEM;
    *g = (struct bp_sided_lagrange){.p = p, .n_classes = N, .n_rows = rows, .step = 1};
    g->first = calloc(N + 1, sizeof *g->first);
    g->column = malloc(N * C * sizeof *g->column);
    g->cost = malloc(N * C * sizeof *g->cost);
    g->pick = malloc(N * sizeof *g->pick);
    g->room = calloc(5 * rows, sizeof *g->room);
    if (row == NULL || g->first == NULL || g->column == NULL || g->cost == NULL ||
        g->pick == NULL || g->room == NULL)
        goto done;
    g->unit = g->room + rows;
    g->lambda = g->room + 2 * rows;
    g->best = g->room + 3 * rows;
    g->gradient = g->room + 4 * rows;
    status = BP_INFEASIBLE;
    for (size_t c = 0; c < N; c++)
        if (!add_class(g, c, max_columns > 0, row))
            goto done;
    g->weight = malloc(rows * g->n * sizeof *g->weight);
    g->priced = malloc(g->n * sizeof *g->priced);
    status = g->weight == NULL || g->priced == NULL ? BP_ERR_NOMEM : BP_OK;
    for (size_t r = 0; status == BP_OK && r < rows; r++)
        if (!scale_row(g, r))
            status = BP_INFEASIBLE;
done:
    free(row);
    return status;
}

void bp_sided_lagrange_done(struct bp_sided_lagrange *g)
{
    free(g->first);
    free(g->column);
    free(g->cost);
    free(g->pick);
    free(g->room);
    free(g->weight);
    free(g->priced);
}

/* ---- the bound ---- */

static void price_items(struct bp_sided_lagrange *g, const double *lambda)
{
    memcpy(g->priced, g->cost, g->n * sizeof *g->priced);
    for (size_t r = 0; r < g->n_rows; r++)
        for (size_t t = 0; lambda[r] > 0 && t < g->n; t++)
            g->priced[t] += lambda[r] * g->weight[r * g->n + t];
}

/* The bound at prices; picks and gradient with it. */
static double evaluate(struct bp_sided_lagrange *g, const double *lambda)
{
    double sum = 0, rent = 0;
    price_items(g, lambda);
    for (size_t r = 0; r < g->n_rows; r++) {
        g->gradient[r] = -g->room[r];
        rent += lambda[r] * g->room[r];
    }
    for (size_t c = 0; c < g->n_classes; c++) {
        size_t at = g->first[c];
        for (size_t t = at + 1; t < g->first[c + 1]; t++)
            at = g->priced[t] < g->priced[at] ? t : at;
        g->pick[c] = at;
        sum += g->priced[at];
        for (size_t r = 0; r < g->n_rows; r++)
            g->gradient[r] += g->weight[r * g->n + at];
    }
    return sum - rent - 1e-12 * (sum + rent);
}

bool bp_sided_lagrange_step(struct bp_sided_lagrange *g, double ceiling)
{
    const double value = evaluate(g, g->lambda);
    const bool better = value > g->bound;
    double norm = 0;
    if (better) {
        g->bound = value;
        memcpy(g->best, g->lambda, g->n_rows * sizeof *g->best);
        g->idle = 0;
    } else if (++g->idle >= PATIENCE) {
        g->idle = 0;
        g->step /= 2;
        memcpy(g->lambda, g->best, g->n_rows * sizeof *g->best);
        evaluate(g, g->lambda);
    }
    for (size_t r = 0; r < g->n_rows; r++) {
        if (g->lambda[r] <= 0 && g->gradient[r] < 0)
            g->gradient[r] = 0; /* the price stays at 0 */
        norm += g->gradient[r] * g->gradient[r];
    }
    const double target = isfinite(ceiling) ? ceiling : 2 * fmax(g->bound, 1e-300);
    for (size_t r = 0; norm > 0 && r < g->n_rows; r++)
        g->lambda[r] = fmax(0, g->lambda[r] + g->step * fmax(target - value, 1e-9 * target) / norm *
                                                  g->gradient[r]);
    return better;
}

/* ---- choices that fit ---- */

static double excess(const struct bp_sided_lagrange *g, const double *used)
{
    double sum = 0;
    for (size_t r = 0; r < g->n_rows; r++)
        sum += fmax(0, used[r] - g->room[r] - SLACK);
    return sum;
}

/* By how much less a move goes over the rooms. */
static double relief(const struct bp_sided_lagrange *g, const double *used, size_t from, size_t to)
{
    double sum = 0;
    for (size_t r = 0; r < g->n_rows; r++) {
        const double *w = g->weight + r * g->n;
        const double over = used[r] - g->room[r] - SLACK;
        sum += fmax(0, over) - fmax(0, over + w[to] - w[from]);
    }
    return sum;
}

static void move(const struct bp_sided_lagrange *g, double *used, size_t *pick, size_t to)
{
    for (size_t r = 0; r < g->n_rows; r++)
        used[r] += g->weight[r * g->n + to] - g->weight[r * g->n + *pick];
    *pick = to;
}

/* Takes the move that costs least for what it relieves, until nothing is over. */
static bool bring_in(const struct bp_sided_lagrange *g, double *used, size_t *pick)
{
    for (size_t n = 0; excess(g, used) > 0; n++) {
        double least = INFINITY;
        size_t at = 0, to = SIZE_MAX;
        /* A table of many thousand classes is left to prices that fit by themselves. */
        if (n * g->n > 200000000 || n > 4 * g->n_classes)
            return false;
        for (size_t c = 0; c < g->n_classes; c++)
            for (size_t t = g->first[c]; t < g->first[c + 1]; t++) {
                const double gain = t == pick[c] ? 0 : relief(g, used, pick[c], t);
                const double loss = g->cost[t] - g->cost[pick[c]];
                const double ratio = loss > 0 ? loss / gain : loss * gain;
                if (gain > 0 && ratio < least) {
                    least = ratio;
                    at = c;
                    to = t;
                }
            }
        if (to == SIZE_MAX)
            return false;
        move(g, used, &pick[at], to);
    }
    return true;
}

/* Cheaper items wherever they fit, twice round. */
static void fill_up(const struct bp_sided_lagrange *g, double *used, size_t *pick)
{
    for (size_t k = 0; k < 2 * g->n_classes; k++) {
        const size_t c = k % g->n_classes;
        size_t to = pick[c];
        for (size_t t = g->first[c]; t < g->first[c + 1]; t++) {
            bool fits = g->cost[t] < g->cost[to];
            for (size_t r = 0; fits && r < g->n_rows; r++) {
                const double *w = g->weight + r * g->n;
                fits = used[r] + w[t] - w[pick[c]] <= g->room[r] + SLACK;
            }
            if (fits)
                to = t;
        }
        move(g, used, &pick[c], to);
    }
}

/* The best pair of moves that starts with class c taking t: another class gives way. *to: its item,
 * SIZE_MAX for none. */
static double best_partner(const struct bp_sided_lagrange *g, double *used, const size_t *pick,
                           size_t c, size_t t, size_t *to)
{
    double least = -1e-12 * fabs(g->bound); /* of a saving that is none */
    *to = SIZE_MAX;
    const double own = g->cost[t] - g->cost[pick[c]];
    for (size_t d = 0; d < g->n_classes; d++) {
        for (size_t s = g->first[d]; d != c && s < g->first[d + 1]; s++) {
            bool good = own + g->cost[s] - g->cost[pick[d]] < least;
            for (size_t r = 0; good && r < g->n_rows; r++) {
                const double *w = g->weight + r * g->n;
                good = used[r] + w[t] - w[pick[c]] + w[s] - w[pick[d]] <= g->room[r] + SLACK;
            }
            if (good) {
                least = own + g->cost[s] - g->cost[pick[d]];
                *to = s;
            }
        }
    }
    return least;
}

static size_t class_of(const struct bp_sided_lagrange *g, size_t t)
{
    size_t low = 0, high = g->n_classes;
    while (low + 1 < high) {
        const size_t middle = (low + high) / 2;
        if (g->first[middle] <= t)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* Pairs of moves, the first half of each a cheaper item, while they save something. */
static void swap_pairs(const struct bp_sided_lagrange *g, double *used, size_t *pick)
{
    bool any = true;
    for (int round = 0; any && round < 10; round++) {
        any = false;
        for (size_t c = 0; c < g->n_classes; c++) {
            double least = 0;
            size_t at = SIZE_MAX, with = SIZE_MAX, to;
            for (size_t t = g->first[c]; t < g->first[c + 1]; t++) {
                if (g->cost[t] >= g->cost[pick[c]])
                    continue;
                const double change = best_partner(g, used, pick, c, t, &to);
                if (to != SIZE_MAX && change < least) {
                    least = change;
                    at = t;
                    with = to;
                }
            }
            if (at == SIZE_MAX)
                continue;
            move(g, used, &pick[c], at);
            move(g, used, &pick[class_of(g, with)], with);
            any = true;
        }
    }
}

bool bp_sided_lagrange_repair(struct bp_sided_lagrange *g, uint32_t *choice)
{
    double *used = calloc(g->n_rows, sizeof *used);
    bool fits = used != NULL;
    for (size_t r = 0; fits && r < g->n_rows; r++)
        for (size_t c = 0; c < g->n_classes; c++)
            used[r] += g->weight[r * g->n + g->pick[c]];
    fits = fits && bring_in(g, used, g->pick);
    if (fits)
        fill_up(g, used, g->pick);
    if (fits && g->n <= MAX_PAIRED)
        swap_pairs(g, used, g->pick);
    for (size_t c = 0; fits && c < g->n_classes; c++)
        choice[c] = g->column[g->pick[c]];
    free(used);
    return fits;
}

/* ---- for GLPK ---- */

enum bp_status bp_sided_lagrange_reduce(struct bp_sided_lagrange *g, double ceiling,
                                        struct bp_glpk_branch *out)
{
    const size_t before = g->n;
    size_t n = 0, begin = 0;
    g->bound = evaluate(g, g->best);
    size_t *old = malloc(before * sizeof *old); /* of the items that stay */
    double *least = malloc(g->n_classes * sizeof *least);
    if (old == NULL || least == NULL) {
        free(old);
        free(least);
        return BP_ERR_NOMEM;
    }
    for (size_t c = 0; c < g->n_classes; c++) {
        least[c] = g->priced[g->pick[c]];
        const size_t end = g->first[c + 1];
        for (size_t t = begin; t < end; t++)
            if (!(g->bound + (g->priced[t] - least[c]) > ceiling * (1 + 1e-12)))
                old[n++] = t;
        begin = end;
        g->first[c + 1] = n;
    }
    for (size_t k = 0, c = 0; k < n; k++) {
        while (k >= g->first[c + 1])
            c++;
        g->column[k] = g->column[old[k]];
        g->cost[k] = g->cost[old[k]];
        g->priced[k] = g->priced[old[k]] - least[c];
    }
    for (size_t r = 0; r < g->n_rows; r++)
        for (size_t k = 0; k < n; k++)
            g->weight[r * n + k] = g->weight[r * before + old[k]];
    free(old);
    free(least);
    g->n = n;
    *out = (struct bp_glpk_branch){
        .n_classes = g->n_classes,
        .n_rows = g->n_rows,
        .n = n,
        .first = g->first,
        .column = g->column,
        .cost = g->priced,
        .weight = g->weight,
        .room = g->room,
        .price = g->best,
        .ceiling = isfinite(ceiling) ? ceiling - g->bound : INFINITY,
    };
    return g->bound > ceiling ? BP_INFEASIBLE : BP_OK;
}

bool bp_sided_lagrange_find(const struct bp_sided_lagrange *g, const uint32_t *choice, size_t *pick)
{
    for (size_t c = 0; c < g->n_classes; c++) {
        size_t t = g->first[c];
        while (t < g->first[c + 1] && g->column[t] != choice[c])
            t++;
        if (t == g->first[c + 1])
            return false;
        pick[c] = t;
    }
    return true;
}
