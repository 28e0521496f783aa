/* What the fast iteration is made of: walks over panels, products of panels in both precisions,
 * orthonormal bases and eigenvectors of thin factors. */
#include "support.h"

#include "engine/dense.h"
#include "engine/lq_products.h"
#include "engine/lq_window.h"
#include "engine/svd.h"

/* A sum of n products is off by at most about n 2^-24 of the sum of their magnitudes in FP32; with
 * operands in BF16 (eight bits) each product is off by 2 * 2^-8 of its magnitude besides. */
static const double FP32_TOLERANCE = 2e-5;
static const double BF16_TOLERANCE = 0x1.01p-7 + 2e-5;
/* X from a Gram matrix in double, applied in FP32. */
static const double ORTHONORMAL_TOLERANCE = 1e-5;

/* --- walks --- */

static void walk(uint64_t d, uint64_t k, uint64_t unit, uint64_t panel)
{
    const uint64_t rows_max = bp_lq_window_rows(d, k, unit, panel), n = d * k;
    float *Z = malloc(rows_max * k * sizeof *Z);
    struct bp_lq_window w;
    struct bp_lq_span s;
    uint64_t filled = 0, treated = 0, done = 0;
    assert_non_null(Z);
    assert_true(rows_max >= 1 && rows_max <= d);
    bp_lq_window_start(&w, d, k, unit, rows_max, Z);
    for (; bp_lq_window_fill(&w, &s); bp_lq_window_drop(&w)) {
        assert_int_equal(s.first, filled);
        assert_true(s.Z >= Z && s.Z + s.n * k <= Z + rows_max * k);
        for (uint64_t i = 0; i < s.n * k; i++)
            s.Z[i] = (float)(s.first * k + i);
        filled += s.n;
        s = bp_lq_window_stretch(&w);
        assert_int_equal(s.first, treated);
        assert_true(s.n > 0);
        assert_true(s.first % unit == 0 && ((s.first + s.n) % unit == 0 || s.first + s.n == n));
        for (uint64_t i = 0; i < s.n; i++) {
            assert_true(s.Z[i] == (float)(s.first + i));
            s.Z[i] = -s.Z[i] - 1.0f;
        }
        treated += s.n;
        s = bp_lq_window_ready(&w);
        assert_int_equal(s.first, done);
        assert_true(s.n % 4 == 0 || s.first + s.n == d);
        for (uint64_t i = 0; i < s.n * k; i++)
            assert_true(s.Z[i] == -(float)(s.first * k + i) - 1.0f);
        done += s.n;
    }
    assert_int_equal(filled, d);
    assert_int_equal(treated, n);
    assert_int_equal(done, d);
    free(Z);
}

static void a_walk_treats_every_element_once_in_whole_units(void **state)
{
    (void)state;
    static const uint64_t shapes[][2] = {{1, 1},   {1, 1000}, {1000, 1}, {37, 203},
                                         {64, 96}, {130, 64}, {65, 33},  {256, 40}};
    static const uint64_t units[] = {1, 16, 48, 256, 1024, 5000, 1 << 22};
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++)
        for (size_t u = 0; u < sizeof units / sizeof units[0]; u++)
            for (uint64_t panel = 1; panel <= 4096; panel *= 64)
                walk(shapes[s][0], shapes[s][1], units[u], panel);
}

static void a_panel_does_not_grow_with_the_matrix(void **state)
{
    (void)state;
    const uint64_t rows = bp_lq_window_rows(100000, 203, 16384, 1 << 17);
    assert_true(rows * 203 <= 2 << 17);
    assert_int_equal(bp_lq_window_rows(4096, 4096, 16384, 1 << 17), 32);
}

/* --- products --- */

struct thin {
    float *p;
    uint64_t rows;
    uint32_t ld;
};

/* rows x q normal values, zeros up to ld. */
static struct thin thin(uint64_t rows, uint32_t q, uint32_t ld, uint64_t seed)
{
    struct thin t = {support_normals(rows * ld, seed), rows, ld};
    for (uint64_t i = 0; i < rows; i++)
        for (uint32_t j = q; j < ld; j++)
            t.p[i * ld + j] = 0.0f;
    return t;
}

static void near_sum(double got, double sum, double magnitude, double tolerance)
{
    if (fabs(got - sum) > tolerance * magnitude)
        fail_msg("%g is not %g within %g", got, sum, tolerance * magnitude);
}

static void check_products(const struct bp_lq_products_ops *ops, double tolerance, uint64_t rows,
                           uint64_t k, uint32_t r, uint32_t q)
{
    const uint32_t ld = (q + BP_LQ_COLUMNS - 1) / BP_LQ_COLUMNS * BP_LQ_COLUMNS;
    struct thin U = thin(rows, q, ld, 1), V1 = thin(k, q, ld, 2), V2 = thin(k, q, ld, 3);
    struct thin Y = thin(rows, 0, ld, 4), P = thin(rows, q, ld, 5), A = thin(k, q, ld, 6);
    struct thin before = thin(k, q, ld, 6);
    float *W = support_normals(rows * k, 7), *Z = support_normals(rows * k, 8);
    struct bp_lq_products p = {
        .ops = ops, .k = k, .ld = ld, .r = r, .q = q, .rows_max = rows, .V1 = V1.p, .V2 = V2.p};
    p.scratch = bp_alloc(ops->scratch_bytes(k, ld, rows), 1);
    assert_non_null(p.scratch);
    ops->set(&p);
    ops->remainder(&p, W, U.p, rows, Z);
    for (uint64_t e = 0; e < rows * k; e++) {
        double sum = W[e], magnitude = fabs(sum);
        for (uint32_t t = 0; t < r; t++) {
            double x = (double)U.p[e / k * ld + t] * (double)V1.p[e % k * ld + t];
            sum -= x;
            magnitude += fabs(x);
        }
        near_sum(Z[e], sum, magnitude, tolerance);
    }
    ops->forward(&p, W, rows, Y.p);
    for (uint64_t e = 0; e < rows * ld; e++) {
        double sum = 0.0, magnitude = 0.0;
        for (uint64_t t = 0; t < k; t++) {
            double x = (double)W[e / ld * k + t] * (double)V2.p[t * ld + e % ld];
            sum += x;
            magnitude += fabs(x);
        }
        near_sum(Y.p[e], sum, magnitude, tolerance);
    }
    ops->backward(&p, P.p, rows, A.p);
    for (uint64_t e = 0; e < k * ld; e++) {
        double sum = before.p[e], magnitude = fabs(sum);
        for (uint64_t t = 0; t < rows; t++) {
            double x = (double)W[t * k + e / ld] * (double)P.p[t * ld + e % ld];
            sum += x;
            magnitude += fabs(x);
        }
        near_sum(A.p[e], sum, magnitude, tolerance);
    }
    float *const all[] = {U.p, V1.p, V2.p, Y.p, P.p, A.p, before.p, W, Z};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        free(all[i]);
    free(p.scratch);
}

static const struct {
    uint64_t rows, k;
    uint32_t r, q;
} product_shapes[] = {{1, 32, 1, 1},    {2, 64, 16, 16},   {3, 96, 5, 15},
                      {4, 160, 17, 33}, {5, 32, 31, 48},   {9, 544, 64, 64},
                      {33, 64, 64, 80}, {16, 96, 74, 130}, {36, 32, 100, 112}};

static void products_in_fp32_are_the_sums_they_stand_for(void **state)
{
    (void)state;
    bp_blas_single_thread();
    for (size_t i = 0; i < sizeof product_shapes / sizeof product_shapes[0]; i++)
        check_products(&bp_lq_products_fp32, FP32_TOLERANCE, product_shapes[i].rows,
                       product_shapes[i].k + i % 3, product_shapes[i].r, product_shapes[i].q);
}

static void products_in_bf16_are_the_same_sums_of_rounded_numbers(void **state)
{
    (void)state;
    if (!bp_lq_products_bf16(32))
        skip();
    for (size_t i = 0; i < sizeof product_shapes / sizeof product_shapes[0]; i++)
        check_products(bp_lq_products_bf16(product_shapes[i].k), BF16_TOLERANCE,
                       product_shapes[i].rows, product_shapes[i].k, product_shapes[i].r,
                       product_shapes[i].q);
}

static void widths_that_the_bf16_kernels_do_not_take_are_refused(void **state)
{
    (void)state;
    assert_null(bp_lq_products_bf16(1));
    assert_null(bp_lq_products_bf16(31));
    assert_null(bp_lq_products_bf16(48));
}

/* --- thin factors --- */

enum { ROWS = 300, COLUMNS = 21, WIDTH = 32 };

/* Largest difference of (Y X)'(Y X) from the identity over the first n columns. */
static double far_from_orthonormal(const float *Y, const double *X, uint32_t n)
{
    double worst = 0.0;
    float x[COLUMNS * COLUMNS], *out = malloc(sizeof *out * ROWS * WIDTH);
    double scratch[128 * COLUMNS], G[COLUMNS * COLUMNS];
    assert_true(out && bp_dense_gram_scratch(COLUMNS) <= 128 * COLUMNS);
    for (int i = 0; i < COLUMNS * COLUMNS; i++)
        x[i] = (float)X[i];
    bp_dense_times(Y, ROWS, WIDTH, COLUMNS, x, COLUMNS, COLUMNS, out);
    bp_dense_gram(out, ROWS, COLUMNS, WIDTH, scratch, G);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < n; j++)
            worst = fmax(worst, fabs(G[i * COLUMNS + j] - (i == j)));
    free(out);
    return worst;
}

static void whitened_columns_are_orthonormal_whatever_their_scales(void **state)
{
    (void)state;
    struct thin Y = thin(ROWS, COLUMNS, WIDTH, 9);
    double scratch[128 * COLUMNS], G[COLUMNS * COLUMNS], scale[COLUMNS];
    for (uint64_t i = 0; i < ROWS; i++)
        for (int j = 0; j < COLUMNS; j++)
            Y.p[i * WIDTH + (uint64_t)j] *= powf(10.0f, (float)(j % 9 - 4));
    bp_dense_gram(Y.p, ROWS, COLUMNS, WIDTH, scratch, G);
    assert_true(bp_dense_whiten(G, COLUMNS, scale));
    assert_true(far_from_orthonormal(Y.p, G, COLUMNS) < ORTHONORMAL_TOLERANCE);
    free(Y.p);
}

static void dependent_zero_and_vanishing_columns_do_not_blow_up(void **state)
{
    (void)state;
    struct thin Y = thin(ROWS, COLUMNS, WIDTH, 9);
    double scratch[128 * COLUMNS], G[COLUMNS * COLUMNS], scale[COLUMNS];
    for (uint64_t i = 0; i < ROWS; i++) {
        Y.p[i * WIDTH + COLUMNS - 1] = 0.0f;
        Y.p[i * WIDTH + COLUMNS - 2] = Y.p[i * WIDTH];
        Y.p[i * WIDTH + COLUMNS - 3] *= 1e-43f;
    }
    bp_dense_gram(Y.p, ROWS, COLUMNS, WIDTH, scratch, G);
    assert_true(bp_dense_whiten(G, COLUMNS, scale));
    assert_true(far_from_orthonormal(Y.p, G, COLUMNS - 3) < ORTHONORMAL_TOLERANCE);
    assert_true(far_from_orthonormal(Y.p, G, COLUMNS) < 1.0 + ORTHONORMAL_TOLERANCE);
    G[3] = G[0] = NAN;
    assert_false(bp_dense_whiten(G, COLUMNS, scale));
    free(Y.p);
}

static void eigenvectors_come_with_falling_values(void **state)
{
    (void)state;
    struct thin Y = thin(ROWS, COLUMNS, WIDTH, 10);
    double scratch[128 * COLUMNS], G[COLUMNS * COLUMNS], X[COLUMNS * COLUMNS], w[COLUMNS];
    double GX[COLUMNS * COLUMNS];
    bp_dense_gram(Y.p, ROWS, COLUMNS, WIDTH, scratch, G);
    memcpy(X, G, sizeof X);
    double *room = malloc(bp_dense_eigen_scratch(COLUMNS) * sizeof *room);
    assert_true(room && bp_dense_eigen(X, COLUMNS, room, w));
    bp_dense_square_nn(G, X, COLUMNS, GX);
    for (int j = 0; j < COLUMNS; j++) {
        assert_true(j == 0 || w[j] <= w[j - 1]);
        for (int i = 0; i < COLUMNS; i++)
            assert_true(fabs(GX[i * COLUMNS + j] - w[j] * X[i * COLUMNS + j]) < 1e-10 * w[0]);
    }
    X[0] = INFINITY;
    assert_false(bp_dense_eigen(X, COLUMNS, room, w));
    free(room);
    free(Y.p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_walk_treats_every_element_once_in_whole_units),
        cmocka_unit_test(a_panel_does_not_grow_with_the_matrix),
        cmocka_unit_test(products_in_fp32_are_the_sums_they_stand_for),
        cmocka_unit_test(products_in_bf16_are_the_same_sums_of_rounded_numbers),
        cmocka_unit_test(widths_that_the_bf16_kernels_do_not_take_are_refused),
        cmocka_unit_test(whitened_columns_are_orthonormal_whatever_their_scales),
        cmocka_unit_test(dependent_zero_and_vanishing_columns_do_not_blow_up),
        cmocka_unit_test(eigenvectors_come_with_falling_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
