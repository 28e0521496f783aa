/* What is done once per table: dominance, fixed point, hulls and the sorted LP frontier. */
#include "solver/mckp_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TOTAL_WEIGHT (UINT64_C(1) << 62)
#define COST_BITS        60

struct offer {
    uint64_t weight;
    double cost;
    uint32_t column;
};

/* Undominated items of all classes before they become integers. */
struct pruned {
    struct offer *item;
    size_t n, cap;
};

bool bp_mckp_reserve(void *buffer, size_t *cap, size_t need, size_t size)
{
    if (need <= *cap)
        return true;
    size_t want = need > SIZE_MAX / 2 ? need : need + need / 2 + 16;
    if (want > SIZE_MAX / size)
        return false;
    void *old;
    memcpy(&old, buffer, sizeof old);
    void *grown = realloc(old, want * size);
    if (grown == NULL)
        return false;
    memcpy(buffer, &grown, sizeof grown);
    *cap = want;
    return true;
}

int64_t bp_mckp_gcd(int64_t a, int64_t b)
{
    a = a < 0 ? -a : a;
    b = b < 0 ? -b : b;
    while (b != 0) {
        int64_t t = a % b;
        a = b;
        b = t;
    }
    return a;
}

static void *new_array(size_t n, size_t size)
{
    if (n > SIZE_MAX / size)
        return NULL;
    return malloc(n == 0 ? size : n * size);
}

/* ---- dominance ---- */

static bool offer_before(const struct offer *x, const struct offer *y)
{
    if (x->weight != y->weight)
        return x->weight < y->weight;
    if (x->cost != y->cost)
        return x->cost < y->cost;
    return x->column < y->column;
}

static int compare_offers(const void *a, const void *b)
{
    return offer_before(a, b) ? -1 : offer_before(b, a) ? 1 : 0;
}

/* Rows of one table have nearly the same order by weight, so a few shifts do; rows that have
 * nothing to do with one another go to qsort. */
static void sort_offers(struct offer *row, size_t n)
{
    size_t shifts_left = 8 * n;
    for (size_t i = 1; i < n; i++) {
        struct offer x = row[i];
        size_t j = i;
        while (j > 0 && offer_before(&x, &row[j - 1])) {
            row[j] = row[j - 1];
            j--;
        }
        row[j] = x;
        if (i - j > shifts_left) {
            qsort(row, n, sizeof *row, compare_offers);
            return;
        }
        shifts_left -= i - j;
    }
}

/* Loads the offered items of class c in the order of columns that `order` proposes and moves the
 * columns that are not offered to its front. */
static enum bp_status load_row(const struct bp_mckp_problem *p, size_t c, uint32_t *order,
                               struct offer *row, size_t *n_row)
{
    size_t n = 0, n_skipped = 0;
    uint64_t max_weight = MAX_TOTAL_WEIGHT / p->n_classes;
    for (size_t i = 0; i < p->n_items; i++) {
        uint32_t j = order[i];
        double cost = p->cost[c * p->n_items + j];
        if ((p->use != NULL && !p->use[c * p->n_items + j]) || !isfinite(cost) || cost < 0) {
            order[n_skipped++] = j;
            continue;
        }
        uint64_t weight = p->weight[c * p->n_items + j];
        if (weight > max_weight)
            return BP_ERR_INPUT;
        row[n++] = (struct offer){weight, cost, j};
    }
    *n_row = n;
    return n == 0 ? BP_ERR_INPUT : BP_OK;
}

/* Completes the order proposed to the next row with this row's. */
static void keep_order(const struct offer *row, size_t n_row, uint32_t *order, size_t n_items)
{
    for (size_t i = 0; i < n_row; i++)
        order[n_items - n_row + i] = row[i].column;
}

static enum bp_status prune_rows(const struct bp_mckp_problem *p, struct bp_mckp *m,
                                 struct pruned *out, struct offer *row, uint32_t *order,
                                 size_t *bad_class)
{
    for (size_t j = 0; j < p->n_items; j++)
        order[j] = (uint32_t)j;
    for (size_t c = 0; c < p->n_classes; c++) {
        size_t n_row;
        enum bp_status status = load_row(p, c, order, row, &n_row);
        if (status != BP_OK) {
            if (bad_class != NULL)
                *bad_class = c;
            return status;
        }
        sort_offers(row, n_row);
        keep_order(row, n_row, order, p->n_items);
        if (!bp_mckp_reserve(&out->item, &out->cap, out->n + n_row, sizeof *out->item))
            return BP_ERR_NOMEM;
        m->first[c] = (uint32_t)out->n;
        double least = INFINITY;
        for (size_t i = 0; i < n_row; i++) {
            if (row[i].cost < least) {
                least = row[i].cost;
                out->item[out->n++] = row[i];
            }
        }
        if (out->n >= BP_MCKP_NONE)
            return BP_ERR_INPUT;
        const struct offer *cheapest = &out->item[out->n - 1];
        m->cheapest_column[c] = cheapest->column;
        m->cheapest_cost[c] = cheapest->cost;
        m->min_weight += out->item[m->first[c]].weight;
        m->max_weight += cheapest->weight;
    }
    m->first[p->n_classes] = (uint32_t)out->n;
    return BP_OK;
}

static enum bp_status prune(const struct bp_mckp_problem *p, struct bp_mckp *m, struct pruned *out,
                            size_t *bad_class)
{
    struct offer *row = new_array(p->n_items, sizeof *row);
    uint32_t *order = new_array(p->n_items, sizeof *order);
    enum bp_status status = BP_ERR_NOMEM;
    if (row != NULL && order != NULL)
        status = prune_rows(p, m, out, row, order, bad_class);
    free(row);
    free(order);
    return status;
}

/* ---- fixed point ---- */

/* The exponent k for which the sum over classes of the largest cost times 2^k is below 2^60. The
 * sum is taken relative to the largest power of two, as it may overflow a double. */
static int cost_exponent(const struct bp_mckp *m, const struct pruned *items)
{
    double largest = 0;
    for (size_t c = 0; c < m->n_classes; c++)
        largest = fmax(largest, items->item[m->first[c]].cost);
    if (largest == 0)
        return 0;
    int top, sum_exponent;
    frexp(largest, &top);
    double sum = 0;
    for (size_t c = 0; c < m->n_classes; c++)
        sum += ldexp(items->item[m->first[c]].cost, -top);
    frexp(sum, &sum_exponent);
    return COST_BITS - sum_exponent - top;
}

/* Turns costs and weights into integers. Of two items that round to the same cost the heavier one
 * is dropped: within the fixed point it is dominated. */
static enum bp_status to_integers(struct bp_mckp *m, const struct pruned *items)
{
    size_t n = items->n;
    m->w = new_array(n, sizeof *m->w);
    m->e = new_array(n, sizeof *m->e);
    m->height = new_array(n, sizeof *m->height);
    m->column = new_array(n, sizeof *m->column);
    m->cost = new_array(n, sizeof *m->cost);
    if (!m->w || !m->e || !m->height || !m->column || !m->cost)
        return BP_ERR_NOMEM;
    m->exponent = cost_exponent(m, items);
    m->unit = 0;
    uint32_t kept = 0;
    size_t i = 0;
    for (size_t c = 0; c < m->n_classes; c++) {
        size_t end = m->first[c + 1];
        uint64_t lightest = items->item[i].weight;
        uint32_t begin = kept;
        for (; i < end; i++) {
            const struct offer *o = &items->item[i];
            int64_t e = llrint(ldexp(o->cost, m->exponent));
            if (kept > begin && e >= m->e[kept - 1])
                continue;
            m->w[kept] = (int64_t)(o->weight - lightest);
            m->e[kept] = e;
            m->column[kept] = o->column;
            m->cost[kept] = o->cost;
            m->unit = bp_mckp_gcd(m->unit, m->w[kept]);
            kept++;
        }
        m->first[c] = begin;
    }
    m->first[m->n_classes] = kept;
    m->n_items = kept;
    if (m->unit == 0)
        m->unit = 1;
    for (uint32_t t = 0; t < kept; t++)
        m->w[t] /= m->unit;
    return BP_OK;
}

/* ---- hulls ---- */

/* Is vertex q above the line from p to t? Items rise in weight p < q < t. */
static bool above_line(const struct bp_mckp *m, uint32_t p, uint32_t q, uint32_t t)
{
    return (bp_mckp_wide)(m->e[p] - m->e[q]) * (m->w[t] - m->w[q]) <=
           (bp_mckp_wide)(m->e[q] - m->e[t]) * (m->w[q] - m->w[p]);
}

/* Height of each item of class c above its hull: no integer lambda gives it a smaller reduced cost.
 * Computed in double, so 2^60 * 1e-12 and the rounding to float are given away. */
static void set_heights(struct bp_mckp *m, size_t c)
{
    uint32_t k = m->hull_first[c];
    for (uint32_t t = m->first[c]; t < m->first[c + 1]; t++) {
        while (k + 1 < m->hull_first[c + 1] && m->hull[k + 1] <= t)
            k++;
        uint32_t p = m->hull[k];
        double height = 0;
        if (p != t) {
            uint32_t q = m->hull[k + 1]; /* the last item is on the hull, so q exists */
            double slope = (double)(m->e[p] - m->e[q]) / (double)(m->w[q] - m->w[p]);
            height = (double)(m->e[t] - m->e[p]) + slope * (double)(m->w[t] - m->w[p]);
            height = fmax(0, height * (1 - 1e-6) - 4096);
        }
        m->height[t] = (float)height;
    }
}

static enum bp_status build_hulls(struct bp_mckp *m)
{
    m->hull = new_array(m->n_items, sizeof *m->hull);
    m->hull_slope = new_array(m->n_items, sizeof *m->hull_slope);
    if (!m->hull || !m->hull_slope)
        return BP_ERR_NOMEM;
    uint32_t n = 0;
    for (size_t c = 0; c < m->n_classes; c++) {
        uint32_t begin = n;
        m->hull_first[c] = begin;
        for (uint32_t t = m->first[c]; t < m->first[c + 1]; t++) {
            while (n - begin >= 2 && above_line(m, m->hull[n - 2], m->hull[n - 1], t))
                n--;
            m->hull[n++] = t;
        }
        m->hull_slope[begin] = INT64_MAX;
        for (uint32_t k = begin + 1; k < n; k++) {
            uint32_t p = m->hull[k - 1], q = m->hull[k];
            m->hull_slope[k] = (m->e[p] - m->e[q]) / (m->w[q] - m->w[p]);
        }
        m->hull_first[c + 1] = n;
        set_heights(m, c);
    }
    return BP_OK;
}

/* ---- frontier ---- */

struct segment {
    int64_t slope;
    uint32_t cls, hull;
};

/* Falling slope; equal slopes by class and, within a class, in hull order, so that every prefix of
 * the sorted list is a choice. hull numbers rise with the class. */
static int compare_segments(const void *a, const void *b)
{
    const struct segment *x = a, *y = b;
    if (x->slope != y->slope)
        return x->slope > y->slope ? -1 : 1;
    return x->hull < y->hull ? -1 : x->hull > y->hull;
}

static void lay_frontier(struct bp_mckp *m, const struct segment *seg)
{
    m->prefix_w[0] = 0;
    m->prefix_e[0] = 0;
    for (size_t c = 0; c < m->n_classes; c++)
        m->prefix_e[0] += m->e[m->first[c]];
    for (uint32_t s = 0; s < m->n_segs; s++) {
        uint32_t p = m->hull[seg[s].hull - 1], q = m->hull[seg[s].hull];
        m->seg_class[s] = seg[s].cls;
        m->seg_hull[s] = seg[s].hull;
        m->seg_slope[s] = seg[s].slope;
        m->prefix_w[s + 1] = m->prefix_w[s] + m->w[q] - m->w[p];
        m->prefix_e[s + 1] = m->prefix_e[s] + m->e[q] - m->e[p];
    }
}

static enum bp_status build_frontier(struct bp_mckp *m)
{
    size_t n = m->hull_first[m->n_classes] - m->n_classes;
    struct segment *seg = new_array(n, sizeof *seg);
    m->seg_class = new_array(n, sizeof *m->seg_class);
    m->seg_hull = new_array(n, sizeof *m->seg_hull);
    m->seg_slope = new_array(n, sizeof *m->seg_slope);
    m->prefix_w = new_array(n + 1, sizeof *m->prefix_w);
    m->prefix_e = new_array(n + 1, sizeof *m->prefix_e);
    if (!seg || !m->seg_class || !m->seg_hull || !m->seg_slope || !m->prefix_w || !m->prefix_e) {
        free(seg);
        return BP_ERR_NOMEM;
    }
    m->n_segs = 0;
    for (size_t c = 0; c < m->n_classes; c++)
        for (uint32_t k = m->hull_first[c] + 1; k < m->hull_first[c + 1]; k++)
            seg[m->n_segs++] = (struct segment){m->hull_slope[k], (uint32_t)c, k};
    if (n > 0)
        qsort(seg, n, sizeof *seg, compare_segments);
    lay_frontier(m, seg);
    free(seg);
    return BP_OK;
}

enum bp_status bp_mckp_build(const struct bp_mckp_problem *problem, struct bp_mckp *m,
                             size_t *bad_class)
{
    size_t n_classes = problem->n_classes;
    m->n_classes = n_classes;
    m->first = new_array(n_classes + 1, sizeof *m->first);
    m->hull_first = new_array(n_classes + 1, sizeof *m->hull_first);
    m->cheapest_column = new_array(n_classes, sizeof *m->cheapest_column);
    m->cheapest_cost = new_array(n_classes, sizeof *m->cheapest_cost);
    if (!m->first || !m->hull_first || !m->cheapest_column || !m->cheapest_cost)
        return BP_ERR_NOMEM;
    struct pruned items = {NULL, 0, 0};
    enum bp_status status = prune(problem, m, &items, bad_class);
    if (status == BP_OK)
        status = to_integers(m, &items);
    free(items.item);
    if (status == BP_OK)
        status = build_hulls(m);
    if (status == BP_OK)
        status = build_frontier(m);
    return status;
}
