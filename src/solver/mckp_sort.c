/*
 * Sorting within the workspace: the library's qsort may allocate, and its order of equal elements
 * is its own affair. Both orders here are total.
 */
#include "solver/mckp_impl.h"

/* ---- moves ---- */

static bool move_before(const struct bp_mckp_move *x, const struct bp_mckp_move *y)
{
    if (x->r != y->r)
        return x->r < y->r;
    if (x->cls != y->cls)
        return x->cls < y->cls;
    return x->item < y->item;
}

static void swap_moves(struct bp_mckp_move *x, struct bp_mckp_move *y)
{
    struct bp_mckp_move t = *x;
    *x = *y;
    *y = t;
}

static void insertion_sort(struct bp_mckp_move *a, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        struct bp_mckp_move x = a[i];
        size_t j = i;
        for (; j > 0 && move_before(&x, &a[j - 1]); j--)
            a[j] = a[j - 1];
        a[j] = x;
    }
}

/* Hoare's partition by the median of three: returns p, 1 <= p < n, such that nothing in a[0, p) is
 * behind anything in a[p, n). n >= 3. */
static size_t partition(struct bp_mckp_move *a, size_t n)
{
    if (move_before(&a[n / 2], &a[0]))
        swap_moves(&a[n / 2], &a[0]);
    if (move_before(&a[n - 1], &a[0]))
        swap_moves(&a[n - 1], &a[0]);
    if (move_before(&a[n - 1], &a[n / 2]))
        swap_moves(&a[n - 1], &a[n / 2]);
    struct bp_mckp_move pivot = a[n / 2];
    size_t i = 0, j = n - 1;
    for (;;) {
        while (move_before(&a[i], &pivot))
            i++;
        while (move_before(&pivot, &a[j]))
            j--;
        if (i >= j)
            return j + 1 < n ? j + 1 : n - 1;
        swap_moves(&a[i++], &a[j--]);
    }
}

static void sift_move(struct bp_mckp_move *a, size_t i, size_t n)
{
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && move_before(&a[child], &a[child + 1]))
            child++;
        if (!move_before(&a[i], &a[child]))
            return;
        swap_moves(&a[i], &a[child]);
    }
}

static void heap_sort(struct bp_mckp_move *a, size_t n)
{
    for (size_t i = n / 2; i-- > 0;)
        sift_move(a, i, n);
    for (; n > 1; n--) {
        swap_moves(&a[0], &a[n - 1]);
        sift_move(a, 0, n - 1);
    }
}

static void quick_sort(struct bp_mckp_move *a, size_t n, unsigned depth_left)
{
    while (n > 16) {
        if (depth_left-- == 0) {
            heap_sort(a, n);
            return;
        }
        size_t p = partition(a, n);
        if (p < n - p) {
            quick_sort(a, p, depth_left);
            a += p;
            n -= p;
        } else {
            quick_sort(a + p, n - p, depth_left);
            n = p;
        }
    }
    insertion_sort(a, n);
}

void bp_mckp_sort_moves(struct bp_mckp_move *move, size_t n)
{
    quick_sort(move, n, 64);
}

/* ---- keys ---- */

static bool key_before(const struct bp_mckp_key *x, const struct bp_mckp_key *y)
{
    return x->value != y->value ? x->value < y->value : x->i < y->i;
}

static void sift_key(struct bp_mckp_key *a, size_t i, size_t n)
{
    struct bp_mckp_key x = a[i];
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && key_before(&a[child], &a[child + 1]))
            child++;
        if (!key_before(&x, &a[child]))
            break;
        a[i] = a[child];
    }
    a[i] = x;
}

void bp_mckp_sort_keys(struct bp_mckp_key *a, size_t n)
{
    for (size_t i = n / 2; i-- > 0;)
        sift_key(a, i, n);
    for (; n > 1; n--) {
        struct bp_mckp_key t = a[0];
        a[0] = a[n - 1];
        a[n - 1] = t;
        sift_key(a, 0, n - 1);
    }
}
