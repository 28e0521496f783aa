/*
 * A first set of columns. At given prices every cell has one number, and the best K columns are a
 * K-median problem: columns are added one by one, each the best to add (greedy), then swapped for
 * others while that helps (Teitz, Bart 1968, with the bookkeeping of Whitaker 1983). The set's own
 * knapsack tells its true cost and a better price, and so on until the set stays.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "solver/sided_impl.h"

enum { ROUNDS = 8, DOUBLINGS = 64, MAX_SWAPS = 200 };

struct search {
    struct bp_sided_run *run;
    size_t n_classes, n_columns, most;
    double *priced;           /* [n_classes * n_columns] */
    double missing;           /* in place of a cell that is not offered; far above all others */
    double *best, *second;    /* [n_classes] of the set's cells */
    uint32_t *best_column;    /* [n_classes] */
    uint8_t *in;              /* [n_columns] */
    double *loss;             /* [n_columns] */
    uint32_t *previous, *now; /* [most] sets, ascending */
    size_t n_previous, n_now;
};

static void price_cells(struct search *s, const double *price)
{
    const struct bp_sided_problem *p = s->run->problem;
    double largest = 0;
    for (size_t c = 0; c < s->n_classes; c++)
        for (size_t j = 0; j < s->n_columns; j++) {
            const size_t cell = c * s->n_columns + j;
            double sum = NAN;
            if (bp_sided_offers(&p->mckp, c, j)) {
                sum = p->mckp.cost[cell] + price[0] * (double)p->mckp.weight[cell];
                for (size_t l = 0; l < p->n_limits; l++)
                    if (price[1 + l] > 0)
                        sum += price[1 + l] * (double)bp_sided_takes(p, l, c, j);
                largest = fmax(largest, sum);
            }
            s->priced[cell] = sum;
        }
    s->missing = 10 * (largest + 1e-300) * (double)s->n_classes;
    for (size_t cell = 0; cell < s->n_classes * s->n_columns; cell++)
        if (isnan(s->priced[cell]))
            s->priced[cell] = s->missing;
    s->run->work += 2 * s->n_classes * s->n_columns;
}

/* The two best cells of each class in the set. */
static void find_best(struct search *s)
{
    for (size_t c = 0; c < s->n_classes; c++) {
        const double *row = s->priced + c * s->n_columns;
        s->best[c] = s->second[c] = 2 * s->missing;
        s->best_column[c] = 0;
        for (size_t j = 0; j < s->n_columns; j++) {
            if (!s->in[j])
                continue;
            if (row[j] < s->best[c]) {
                s->second[c] = s->best[c];
                s->best[c] = row[j];
                s->best_column[c] = (uint32_t)j;
            } else if (row[j] < s->second[c]) {
                s->second[c] = row[j];
            }
        }
    }
}

/* Adds the column that saves most; false when none saves anything. */
static bool add_best(struct search *s)
{
    double most = 0;
    size_t at = SIZE_MAX;
    memset(s->loss, 0, s->n_columns * sizeof *s->loss);
    for (size_t c = 0; c < s->n_classes; c++)
        for (size_t j = 0; j < s->n_columns; j++)
            s->loss[j] += fmax(0, s->best[c] - s->priced[c * s->n_columns + j]);
    for (size_t j = 0; j < s->n_columns; j++)
        if (!s->in[j] && s->loss[j] > most) {
            most = s->loss[j];
            at = j;
        }
    s->run->work += s->n_classes * s->n_columns;
    if (at == SIZE_MAX)
        return false;
    s->in[at] = 1;
    find_best(s);
    return true;
}

/* The best column to take out when `into` comes in; *gain is what that saves. */
static size_t best_out(struct search *s, size_t into, double *gain)
{
    double saved = 0, least = INFINITY;
    size_t at = SIZE_MAX;
    memset(s->loss, 0, s->n_columns * sizeof *s->loss);
    for (size_t c = 0; c < s->n_classes; c++) {
        const double cell = s->priced[c * s->n_columns + into];
        if (cell < s->best[c])
            saved += s->best[c] - cell;
        else
            s->loss[s->best_column[c]] += fmin(s->second[c], cell) - s->best[c];
    }
    for (size_t j = 0; j < s->n_columns; j++)
        if (s->in[j] && s->loss[j] < least) {
            least = s->loss[j];
            at = j;
        }
    *gain = saved - least;
    return at;
}

/* Takes the best swap; false when none helps. */
static bool swap_best(struct search *s)
{
    double most = 0, scale = 0;
    size_t into = SIZE_MAX, out = 0;
    for (size_t j = 0; j < s->n_columns; j++) {
        double gain;
        if (s->in[j])
            continue;
        const size_t at = best_out(s, j, &gain);
        if (at != SIZE_MAX && gain > most) {
            most = gain;
            into = j;
            out = at;
        }
    }
    for (size_t c = 0; c < s->n_classes; c++)
        scale += s->best[c];
    s->run->work += 2 * s->n_classes * s->n_columns;
    if (into == SIZE_MAX || most <= 1e-12 * scale)
        return false;
    s->in[into] = 1;
    s->in[out] = 0;
    find_best(s);
    return true;
}

/* The best set at the prices, from the set that is there. */
static void find_set(struct search *s)
{
    size_t n = 0;
    find_best(s);
    for (size_t j = 0; j < s->n_columns; j++)
        n += s->in[j];
    while (n < s->most && (n == 0 || !bp_sided_over(s->run)) && add_best(s))
        n++;
    for (int k = 0; k < MAX_SWAPS && !bp_sided_over(s->run) && swap_best(s); k++)
        ;
    s->n_now = 0;
    for (size_t j = 0; j < s->n_columns; j++)
        if (s->in[j])
            s->now[s->n_now++] = (uint32_t)j;
}

/* A price to begin with where there is none: that of the whole range. */
static double usual_price(const struct bp_mckp_problem *p)
{
    double cost = 0, weight = 0;
    for (size_t c = 0; c < p->n_classes; c++) {
        double low = INFINITY, high = 0, light = INFINITY, heavy = 0;
        for (size_t j = 0; j < p->n_items; j++) {
            if (!bp_sided_offers(p, c, j))
                continue;
            low = fmin(low, p->cost[c * p->n_items + j]);
            high = fmax(high, p->cost[c * p->n_items + j]);
            light = fmin(light, (double)p->weight[c * p->n_items + j]);
            heavy = fmax(heavy, (double)p->weight[c * p->n_items + j]);
        }
        cost += high - low;
        weight += heavy - light;
    }
    return cost > 0 && weight > 0 ? cost / weight : 1;
}

static enum bp_status rounds(struct search *s, double *price)
{
    const size_t n_prices = 1 + s->run->problem->n_limits;
    double *asked = malloc(n_prices * sizeof *asked);
    enum bp_status status = asked == NULL ? BP_ERR_NOMEM : BP_OK;
    int doublings = 0;
    for (int k = 0; k < ROUNDS && status == BP_OK && (k == 0 || !bp_sided_over(s->run));) {
        double bound;
        bool closed;
        price_cells(s, price);
        find_set(s);
        const bool same = s->n_now == s->n_previous &&
                          memcmp(s->now, s->previous, s->n_now * sizeof *s->now) == 0;
        if (same && isfinite(s->run->incumbent))
            break;
        memcpy(s->previous, s->now, s->n_now * sizeof *s->now);
        s->n_previous = s->n_now;
        memcpy(asked, price, n_prices * sizeof *asked);
        status = bp_sided_subset_solve(s->run, s->now, s->n_now, false, &bound, &closed, price);
        if (isfinite(bound)) {
            k++;
            continue;
        }
        /* Nothing fits: bits must be dearer. */
        for (size_t r = 0; r < n_prices; r++)
            price[r] = 2 * asked[r];
        if (!(price[0] > 0))
            price[0] = 1e-3 * usual_price(&s->run->problem->mckp);
        if (++doublings > DOUBLINGS || bp_sided_over(s->run))
            break;
    }
    free(asked);
    return status;
}

enum bp_status bp_sided_start(struct bp_sided_run *run, double *price, uint32_t *set, size_t *n)
{
    const struct bp_sided_problem *p = run->problem;
    const size_t N = p->mckp.n_classes, C = p->mckp.n_items;
    struct search s = {.run = run, .n_classes = N, .n_columns = C, .most = p->max_columns};
    enum bp_status status = BP_ERR_NOMEM;
    s.priced = malloc(N * C * sizeof *s.priced);
    s.best = malloc(N * sizeof *s.best);
    s.second = malloc(N * sizeof *s.second);
    s.best_column = malloc(N * sizeof *s.best_column);
    s.in = calloc(C, 1);
    s.loss = malloc(C * sizeof *s.loss);
    s.previous = malloc(s.most * sizeof *s.previous);
    s.now = set;
    if (s.priced != NULL && s.best != NULL && s.second != NULL && s.best_column != NULL &&
        s.in != NULL && s.loss != NULL && s.previous != NULL)
        status = rounds(&s, price);
    *n = s.n_now;
    free(s.priced);
    free(s.best);
    free(s.second);
    free(s.best_column);
    free(s.in);
    free(s.loss);
    free(s.previous);
    return status;
}
