/* What is done once per table: dominance, fixed point, hulls and the sorted LP frontier. */
#include "solver/mckp_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TOTAL_WEIGHT (UINT64_C(1) << 62)
#define COST_BITS        60
#define COARSE_CLASSES   256 /* fewer are not worth a search of their own */

struct offer {
    uint64_t weight;
    double cost;
    uint32_t column;
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

/* Room for `need` undominated items. */
static bool reserve_items(struct bp_mckp *m, size_t *cap, size_t need)
{
    size_t cap_w = *cap, cap_cost = *cap, cap_column = *cap;
    if (need <= *cap)
        return true;
    if (!bp_mckp_reserve(&m->w, &cap_w, need, sizeof *m->w) ||
        !bp_mckp_reserve(&m->cost, &cap_cost, need, sizeof *m->cost) ||
        !bp_mckp_reserve(&m->column, &cap_column, need, sizeof *m->column))
        return false;
    *cap = cap_w;
    return true;
}

static enum bp_status prune_rows(const struct bp_mckp_problem *p, struct bp_mckp *m,
                                 struct offer *row, uint32_t *order, size_t *bad_class)
{
    size_t n = 0, cap = 0;
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
        if (!reserve_items(m, &cap, n + n_row))
            return BP_ERR_NOMEM;
        m->first[c] = (uint32_t)n;
        double least = INFINITY;
        const struct offer *cheapest = row;
        for (size_t i = 0; i < n_row; i++) {
            if (row[i].cost < least) {
                cheapest = &row[i];
                least = row[i].cost;
                m->w[n] = (int64_t)(row[i].weight - row[0].weight);
                m->cost[n] = row[i].cost;
                m->column[n++] = row[i].column;
            }
        }
        if (n >= BP_MCKP_NONE)
            return BP_ERR_INPUT;
        m->cheapest_column[c] = cheapest->column;
        m->cheapest_cost[c] = cheapest->cost;
        m->min_weight += row[0].weight;
        m->max_weight += cheapest->weight;
    }
    m->first[p->n_classes] = (uint32_t)n;
    return BP_OK;
}

static enum bp_status prune(const struct bp_mckp_problem *p, struct bp_mckp *m, size_t *bad_class)
{
    struct offer *row = new_array(p->n_items, sizeof *row);
    uint32_t *order = new_array(p->n_items, sizeof *order);
    enum bp_status status = BP_ERR_NOMEM;
    if (row != NULL && order != NULL)
        status = prune_rows(p, m, row, order, bad_class);
    free(row);
    free(order);
    return status;
}

/* ---- fixed point ---- */

/* The exponent k for which the sum over classes of the largest cost times 2^k is below 2^60. The
 * sum is taken relative to the largest power of two, as it may overflow a double. */
static int cost_exponent(const struct bp_mckp *m)
{
    double largest = 0;
    for (size_t c = 0; c < m->n_classes; c++)
        largest = fmax(largest, m->cost[m->first[c]]);
    if (largest == 0)
        return 0;
    int top, sum_exponent;
    frexp(largest, &top);
    double sum = 0;
    for (size_t c = 0; c < m->n_classes; c++)
        sum += ldexp(m->cost[m->first[c]], -top);
    frexp(sum, &sum_exponent);
    return COST_BITS - sum_exponent - top;
}

/* Turns costs and weights into integers. Of two items that round to the same cost the heavier one
 * is dropped: within the fixed point it is dominated. */
static enum bp_status to_integers(struct bp_mckp *m)
{
    m->e = new_array(m->first[m->n_classes], sizeof *m->e);
    if (!m->e)
        return BP_ERR_NOMEM;
    m->exponent = cost_exponent(m);
    /* A power of two within the range of double multiplies exactly, or down to nothing. */
    bool plain = m->exponent >= -1000 && m->exponent <= 1000;
    double scale = plain ? ldexp(1, m->exponent) : 0;
    m->unit = 0;
    uint32_t kept = 0, i = 0;
    for (size_t c = 0; c < m->n_classes; c++) {
        uint32_t begin = kept, end = m->first[c + 1];
        for (; i < end; i++) {
            int64_t w = m->w[i];
            int64_t e = llrint(plain ? m->cost[i] * scale : ldexp(m->cost[i], m->exponent));
            if (kept > begin && e >= m->e[kept - 1])
                continue;
            m->w[kept] = w;
            m->e[kept] = e;
            m->column[kept] = m->column[i];
            m->cost[kept] = m->cost[i];
            if (m->unit == 0 || (m->unit != 1 && w % m->unit != 0))
                m->unit = bp_mckp_gcd(m->unit, w);
            kept++;
        }
        m->first[c] = begin;
    }
    m->first[m->n_classes] = kept;
    m->n_items = kept;
    if (m->unit == 0)
        m->unit = 1;
    int shift = __builtin_ctzll((uint64_t)m->unit);
    if (m->unit == INT64_C(1) << shift)
        for (uint32_t t = 0; t < kept; t++)
            m->w[t] >>= shift;
    else
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

/* Lists the items of class c off its hull with their height above it, from `n` on: no integer
 * lambda gives them a smaller reduced cost. Computed in double, so 2^60 * 1e-12 and the rounding to
 * float are given away. Returns the number after the last. */
static uint32_t list_heights(struct bp_mckp *m, size_t c, uint32_t n)
{
    uint32_t k = m->hull_first[c], begin = n;
    bool sorted = m->off_sorted;
    double slope = 0;
    for (uint32_t t = m->first[c]; t < m->first[c + 1]; t++) {
        if (t == m->hull[k]) {
            if (k + 1 < m->hull_first[c + 1]) { /* else t is the class's last item */
                uint32_t q = m->hull[k + 1];
                slope = (double)(m->e[t] - m->e[q]) / (double)(m->w[q] - m->w[t]);
                k++;
            }
            continue;
        }
        uint32_t p = m->hull[k - 1];
        double exact = (double)(m->e[t] - m->e[p]) + slope * (double)(m->w[t] - m->w[p]);
        float height = (float)fmax(0, exact * (1 - 1e-6) - 4096);
        uint32_t i = n++;
        for (; sorted && i > begin && m->off_height[i - 1] > height; i--) {
            m->off_height[i] = m->off_height[i - 1];
            m->off[i] = m->off[i - 1];
        }
        m->off_height[i] = height;
        m->off[i] = t;
    }
    return n;
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
    }
    m->off = new_array(m->n_items - n, sizeof *m->off);
    m->off_height = new_array(m->n_items - n, sizeof *m->off_height);
    if (!m->off || !m->off_height)
        return BP_ERR_NOMEM;
    n = 0;
    /* Not worth the time where queries look at few of the classes. */
    m->off_sorted = m->n_classes < BP_MCKP_INDEX_CLASSES;
    for (size_t c = 0; c < m->n_classes; c++)
        n = list_heights(m, c, n);
    return BP_OK;
}

/* ---- frontier ---- */

struct segment {
    int64_t slope;
    uint32_t cls, hull;
};

/* Sorts by falling slope; equal slopes stay in the order of class and hull, so that every prefix of
 * the sorted list is a choice. By digits of a byte from the lowest up, as far as slopes differ; the
 * buffers change places. Returns the one that holds the result. */
static struct segment *sort_segments(struct segment *seg, struct segment *other, size_t n)
{
    int64_t most = 0;
    for (size_t i = 0; i < n; i++)
        most = seg[i].slope > most ? seg[i].slope : most;
    for (int shift = 0; shift < 64 && most >> shift > 0; shift += 8) {
        size_t at[257] = {0};
        for (size_t i = 0; i < n; i++)
            at[256 - (seg[i].slope >> shift & 255)]++;
        for (int digit = 1; digit < 257; digit++)
            at[digit] += at[digit - 1];
        for (size_t i = 0; i < n; i++)
            other[at[255 - (seg[i].slope >> shift & 255)]++] = seg[i];
        struct segment *swap = seg;
        seg = other;
        other = swap;
    }
    return seg;
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
    struct segment *seg = new_array(2 * n, sizeof *seg);
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
    lay_frontier(m, sort_segments(seg, seg + n, n));
    free(seg);
    return BP_OK;
}

/* ---- coarse classes ---- */

static int64_t class_step(const struct bp_mckp *m, size_t c)
{
    int64_t step = 0;
    for (uint32_t t = m->first[c] + 1; t < m->first[c + 1] && step != 1; t++)
        if (step == 0 || m->w[t] % step != 0)
            step = bp_mckp_gcd(step, m->w[t]);
    return step;
}

/* Finds the number that divides all weights of most classes: the step of one of them, voted for as
 * by Boyer and Moore, confirmed by counting. */
static enum bp_status find_coarse(struct bp_mckp *m)
{
    int64_t candidate = 0;
    size_t votes = 0, n = 0;
    m->coarse_unit = 0;
    m->coarse = new_array(m->n_classes, sizeof *m->coarse);
    m->fine = calloc(m->n_classes / 64 + 1, sizeof *m->fine);
    int64_t *step = new_array(m->n_classes, sizeof *step);
    if (m->coarse == NULL || m->fine == NULL || step == NULL) {
        free(step);
        return BP_ERR_NOMEM;
    }
    for (size_t c = 0; c < m->n_classes; c++) {
        step[c] = class_step(m, c);
        if (votes == 0)
            candidate = step[c];
        votes = step[c] == candidate ? votes + 1 : votes - 1;
    }
    for (size_t c = 0; c < m->n_classes; c++) {
        m->coarse[c] = candidate > 1 && step[c] % candidate == 0;
        n += m->coarse[c];
        m->fine[c / 64] |= (uint64_t)!m->coarse[c] << c % 64;
    }
    free(step);
    if (n >= COARSE_CLASSES && n >= m->n_classes / 10 * 8)
        m->coarse_unit = candidate;
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
    enum bp_status status = prune(problem, m, bad_class);
    if (status == BP_OK)
        status = to_integers(m);
    if (status == BP_OK)
        status = build_hulls(m);
    if (status == BP_OK)
        status = build_frontier(m);
    if (status == BP_OK)
        status = find_coarse(m);
    if (status == BP_OK && n_classes >= BP_MCKP_INDEX_CLASSES)
        status = bp_mckp_index_build(m);
    return status;
}
