/* The rank-r approximation: by residuals, against the full decomposition, bit-identical whatever
 * was computed before. */
#include "support.h"

#include "engine/svd.h"

/* FP32 factors of a matrix of norm 1: each product rounds to 2^-24, a few hundred add up. */
static const double FP32_TOLERANCE = 1e-5;
/* Two power iterations with ten more columns than asked for capture nearly all that the best
 * approximation does, even of pure noise, whose singular values fall as slowly as any. */
static const double CAPTURED_OF_NOISE = 0.9;
/* A spectrum that drops by a factor of 1000 behind the rank leaves the sketch nothing to miss. */
static const double LOW_RANK_TOLERANCE = 1e-3;

static struct bp_svd_work *work_for(uint64_t d, uint64_t k, uint32_t rank,
                                    enum bp_svd_method method)
{
    struct bp_err err = {""};
    struct bp_svd_work *work;
    bp_blas_single_thread();
    if (bp_svd_work_new(d, k, rank, method, &work, &err))
        fail_msg("%s", err.text);
    return work;
}

struct factors {
    float *L1, *L2;
    uint32_t r;
};

static struct factors factor(struct bp_svd_work *work, const float *A, uint64_t d, uint64_t k,
                             uint32_t rank, uint64_t key)
{
    struct bp_err err = {""};
    struct factors f = {.r = bp_svd_rank(d, k, rank)};
    f.L1 = malloc(d * f.r * sizeof *f.L1);
    f.L2 = malloc(k * f.r * sizeof *f.L2);
    assert_true(f.L1 && f.L2);
    if (bp_svd_lowrank(work, A, d, k, rank, key, f.L1, f.L2, &err))
        fail_msg("%s", err.text);
    return f;
}

static void factors_done(struct factors *f)
{
    free(f->L1);
    free(f->L2);
}

static double energy(const float *A, uint64_t n)
{
    double sum = 0.0;
    for (uint64_t i = 0; i < n; i++)
        sum += (double)A[i] * (double)A[i];
    return sum;
}

/* || A - L1 L2 ||_F^2 in double. */
static double rest(const float *A, const struct factors *f, uint64_t d, uint64_t k)
{
    double sum = 0.0;
    for (uint64_t i = 0; i < d; i++)
        for (uint64_t j = 0; j < k; j++) {
            double e = (double)A[i * k + j];
            for (uint32_t t = 0; t < f->r; t++)
                e -= (double)f->L1[i * f->r + t] * (double)f->L2[t * k + j];
            sum += e * e;
        }
    return sum;
}

/* L1 = U sqrt(S) and L2 = sqrt(S) V': the columns of L1 are orthogonal, so are the rows of L2, both
 * have the squared norms S, in falling order. */
static void check_form(const struct factors *f, uint64_t d, uint64_t k)
{
    double last = INFINITY, first = 0.0;
    for (uint32_t a = 0; a < f->r; a++)
        for (uint32_t b = a; b < f->r; b++) {
            double left = 0.0, right = 0.0;
            for (uint64_t i = 0; i < d; i++)
                left += (double)f->L1[i * f->r + a] * (double)f->L1[i * f->r + b];
            for (uint64_t j = 0; j < k; j++)
                right += (double)f->L2[a * k + j] * (double)f->L2[b * k + j];
            if (a == 0 && b == 0)
                first = left;
            if (a != b) {
                assert_true(fabs(left) <= FP32_TOLERANCE * first);
                assert_true(fabs(right) <= FP32_TOLERANCE * first);
                continue;
            }
            assert_true(fabs(left - right) <= FP32_TOLERANCE * first);
            assert_true(left <= last + FP32_TOLERANCE * first);
            last = left;
        }
}

/* A d x k matrix of rank r whose singular values halve, plus noise of the given size. */
static float *low_rank_matrix(uint64_t d, uint64_t k, uint32_t r, double noise, uint64_t seed)
{
    float *u = support_normals(d * r, seed), *v = support_normals(k * r, seed + 1);
    float *A = support_normals(d * k, seed + 2);
    for (uint64_t i = 0; i < d; i++)
        for (uint64_t j = 0; j < k; j++) {
            double sum = noise * (double)A[i * k + j];
            for (uint32_t t = 0; t < r; t++)
                sum += ldexp((double)u[i * r + t] * (double)v[j * r + t], -(int)t);
            A[i * k + j] = (float)sum;
        }
    free(u);
    free(v);
    return A;
}

static const struct {
    uint64_t d, k;
} SHAPES[] = {{1, 1},   {1, 50},   {50, 1},   {2, 3},   {16, 16},  {33, 65},
              {65, 33}, {200, 20}, {20, 200}, {15, 17}, {100, 100}};
enum { N_SHAPES = sizeof SHAPES / sizeof *SHAPES };
static const uint32_t RANKS[] = {1, 2, 5, 16, 64, 1000};
enum { N_RANKS = sizeof RANKS / sizeof *RANKS };

static void the_rank_is_at_most_the_short_side(void **state)
{
    (void)state;
    assert_int_equal(bp_svd_rank(10, 20, 5), 5);
    assert_int_equal(bp_svd_rank(10, 20, 10), 10);
    assert_int_equal(bp_svd_rank(10, 20, 11), 10);
    assert_int_equal(bp_svd_rank(20, 10, 64), 10);
    assert_int_equal(bp_svd_rank(1, 1, UINT32_MAX), 1);
    assert_int_equal(bp_svd_rank(UINT64_C(1) << 40, UINT64_C(1) << 40, 7), 7);
    assert_int_equal(bp_svd_rank(4, 4, 0), 0);
}

static void both_methods_give_singular_factors_of_every_shape_and_rank(void **state)
{
    (void)state;
    for (int method = 0; method < 2; method++)
        for (size_t s = 0; s < N_SHAPES; s++)
            for (size_t r = 0; r < N_RANKS; r++) {
                const uint64_t d = SHAPES[s].d, k = SHAPES[s].k;
                float *A = support_normals(d * k, 10 + s);
                struct bp_svd_work *work =
                    work_for(d, k, RANKS[r], method ? BP_SVD_FULL : BP_SVD_RANDOMIZED);
                struct factors f = factor(work, A, d, k, RANKS[r], 1);
                check_form(&f, d, k);
                double left = rest(A, &f, d, k), all = energy(A, d * k);
                assert_true(left < all);
                if (f.r == (d < k ? d : k)) /* nothing is left out */
                    assert_true(left <= FP32_TOLERANCE * FP32_TOLERANCE * all);
                factors_done(&f);
                bp_svd_work_free(work);
                free(A);
            }
}

/* What the approximation leaves is orthogonal to it on both sides: U' (A - L1 L2) = 0. */
static void the_rest_of_the_full_method_is_orthogonal_to_its_factors(void **state)
{
    (void)state;
    const uint64_t d = 40, k = 60;
    float *A = support_normals(d * k, 4);
    struct bp_svd_work *work = work_for(d, k, 7, BP_SVD_FULL);
    struct factors f = factor(work, A, d, k, 7, 0);
    float *R = malloc(d * k * sizeof *R);
    assert_non_null(R);
    bp_residual(A, f.L1, f.L2, d, k, 7, R);
    double scale = sqrt(energy(A, d * k) * energy(f.L1, d * 7));
    for (uint32_t t = 0; t < 7; t++)
        for (uint64_t j = 0; j < k; j++) {
            double sum = 0.0;
            for (uint64_t i = 0; i < d; i++)
                sum += (double)f.L1[i * 7 + t] * (double)R[i * k + j];
            assert_true(fabs(sum) <= FP32_TOLERANCE * scale);
        }
    free(R);
    factors_done(&f);
    bp_svd_work_free(work);
    free(A);
}

static void a_matrix_of_rank_r_is_recovered_by_both_methods(void **state)
{
    (void)state;
    for (int method = 0; method < 2; method++)
        for (size_t s = 4; s < N_SHAPES; s++) {
            const uint64_t d = SHAPES[s].d, k = SHAPES[s].k;
            float *A = low_rank_matrix(d, k, 5, 0.0, 100 + s);
            struct bp_svd_work *work = work_for(d, k, 5, method ? BP_SVD_FULL : BP_SVD_RANDOMIZED);
            struct factors f = factor(work, A, d, k, 5, 3);
            assert_true(rest(A, &f, d, k) <= FP32_TOLERANCE * FP32_TOLERANCE * energy(A, d * k));
            factors_done(&f);
            bp_svd_work_free(work);
            free(A);
        }
}

static void the_randomized_method_captures_nearly_what_the_full_one_does(void **state)
{
    (void)state;
    static const uint32_t ranks[] = {1, 4, 16, 40};
    for (size_t s = 4; s < N_SHAPES; s++)
        for (int r = 0; r < 4; r++) {
            const uint64_t d = SHAPES[s].d, k = SHAPES[s].k;
            float *A = support_normals(d * k, 50 + s);
            struct bp_svd_work *full = work_for(d, k, ranks[r], BP_SVD_FULL);
            struct bp_svd_work *fast = work_for(d, k, ranks[r], BP_SVD_RANDOMIZED);
            struct factors best = factor(full, A, d, k, ranks[r], 0);
            double all = energy(A, d * k), least = rest(A, &best, d, k);
            for (uint64_t key = 0; key < 3; key++) {
                struct factors f = factor(fast, A, d, k, ranks[r], key);
                double left = rest(A, &f, d, k);
                assert_true(left >=
                            least - FP32_TOLERANCE * all); /* none is better than the best */
                assert_true(all - left >= CAPTURED_OF_NOISE * (all - least));
                factors_done(&f);
            }
            factors_done(&best);
            bp_svd_work_free(full);
            bp_svd_work_free(fast);
            free(A);
        }
}

static void a_low_rank_matrix_under_small_noise_is_found_nearly_exactly(void **state)
{
    (void)state;
    for (size_t s = 5; s < N_SHAPES; s++) {
        const uint64_t d = SHAPES[s].d, k = SHAPES[s].k;
        float *A = low_rank_matrix(d, k, 4, 1e-4, 200 + s);
        struct bp_svd_work *full = work_for(d, k, 4, BP_SVD_FULL);
        struct bp_svd_work *fast = work_for(d, k, 4, BP_SVD_RANDOMIZED);
        struct factors best = factor(full, A, d, k, 4, 0), f = factor(fast, A, d, k, 4, 9);
        double least = rest(A, &best, d, k);
        assert_true(rest(A, &f, d, k) <= least * (1.0 + LOW_RANK_TOLERANCE));
        factors_done(&best);
        factors_done(&f);
        bp_svd_work_free(full);
        bp_svd_work_free(fast);
        free(A);
    }
}

static void a_matrix_of_zeros_has_factors_of_zeros(void **state)
{
    (void)state;
    float A[12 * 9] = {0.0f};
    for (int method = 0; method < 2; method++) {
        struct bp_svd_work *work = work_for(12, 9, 3, method ? BP_SVD_FULL : BP_SVD_RANDOMIZED);
        struct factors f = factor(work, A, 12, 9, 3, 1);
        assert_true(energy(f.L1, 12 * 3) == 0.0 && energy(f.L2, 9 * 3) == 0.0);
        factors_done(&f);
        bp_svd_work_free(work);
    }
}

static void matrices_of_any_scale_work(void **state)
{
    (void)state;
    static const float scales[] = {1e-30f, 1e-18f, 1e15f, 1e18f};
    for (int s = 0; s < 4; s++)
        for (int method = 0; method < 2; method++) {
            float *A = low_rank_matrix(30, 40, 5, 0.0, 7);
            for (int i = 0; i < 30 * 40; i++)
                A[i] *= scales[s];
            struct bp_svd_work *work =
                work_for(30, 40, 5, method ? BP_SVD_FULL : BP_SVD_RANDOMIZED);
            struct factors f = factor(work, A, 30, 40, 5, 1);
            assert_true(rest(A, &f, 30, 40) <=
                        FP32_TOLERANCE * FP32_TOLERANCE * energy(A, 30 * 40));
            factors_done(&f);
            bp_svd_work_free(work);
            free(A);
        }
}

static void results_do_not_depend_on_calls_before_or_on_the_room_of_the_workspace(void **state)
{
    (void)state;
    for (int method = 0; method < 2; method++) {
        enum bp_svd_method m = method ? BP_SVD_FULL : BP_SVD_RANDOMIZED;
        struct bp_svd_work *shared = work_for(200, 200, 1000, m);
        for (int turn = 0; turn < 2; turn++)
            for (size_t s = 0; s < N_SHAPES; s++) {
                const uint64_t d = SHAPES[s].d, k = SHAPES[s].k;
                float *A = support_normals(d * k, 10 + s);
                struct bp_svd_work *own = work_for(d, k, 8, m);
                struct factors a = factor(own, A, d, k, 8, 5), b = factor(shared, A, d, k, 8, 5);
                struct factors c = factor(own, A, d, k, 8, 5);
                assert_memory_equal(a.L1, c.L1, d * a.r * sizeof(float));
                assert_memory_equal(a.L2, c.L2, k * a.r * sizeof(float));
                assert_memory_equal(a.L1, b.L1, d * a.r * sizeof(float));
                assert_memory_equal(a.L2, b.L2, k * a.r * sizeof(float));
                factors_done(&a);
                factors_done(&b);
                factors_done(&c);
                bp_svd_work_free(own);
                free(A);
            }
        bp_svd_work_free(shared);
    }
}

static void the_key_changes_the_sketch_and_the_matrix_stays(void **state)
{
    (void)state;
    const uint64_t d = 50, k = 70;
    float *A = support_normals(d * k, 6), *copy = support_normals(d * k, 6);
    struct bp_svd_work *work = work_for(d, k, 5, BP_SVD_RANDOMIZED);
    struct factors a = factor(work, A, d, k, 5, 1), b = factor(work, A, d, k, 5, 2);
    assert_memory_not_equal(a.L1, b.L1, d * 5 * sizeof(float));
    assert_memory_equal(A, copy, d * k * sizeof(float));
    factors_done(&a);
    factors_done(&b);
    bp_svd_work_free(work);
    free(A);
    free(copy);
}

static void values_that_are_not_finite_are_a_failure_with_words(void **state)
{
    (void)state;
    float *A = support_normals(20 * 30, 6), L1[20 * 4], L2[4 * 30];
    A[77] = NAN;
    struct bp_svd_work *work = work_for(20, 30, 4, BP_SVD_RANDOMIZED);
    struct bp_err err = {""};
    assert_int_equal(bp_svd_lowrank(work, A, 20, 30, 4, 1, L1, L2, &err), BP_ERR_FAILED);
    support_says(err.text, "did not converge");
    bp_svd_work_free(work);
    free(A);
}

static void a_matrix_beyond_lapack_is_refused(void **state)
{
    (void)state;
    struct bp_svd_work *work;
    struct bp_err err = {""};
    assert_int_equal(bp_svd_work_new(UINT64_C(1) << 31, 10, 4, BP_SVD_RANDOMIZED, &work, &err),
                     BP_ERR_INPUT);
    support_says(err.text, "2147483648 x 10");
    assert_null(work);
    assert_null(bp_svd_work_free(NULL));
}

static void the_residual_is_a_minus_the_product(void **state)
{
    (void)state;
    for (size_t s = 0; s < N_SHAPES; s++)
        for (uint32_t r = 1; r <= 16; r *= 4) {
            const uint64_t d = SHAPES[s].d, k = SHAPES[s].k;
            float *A = support_normals(d * k, 1), *L1 = support_normals(d * r, 2);
            float *L2 = support_normals(r * k, 3), *R = malloc(d * k * sizeof *R);
            assert_non_null(R);
            bp_residual(A, L1, L2, d, k, r, R);
            for (uint64_t i = 0; i < d; i++)
                for (uint64_t j = 0; j < k; j++) {
                    double sum = (double)A[i * k + j], size = fabs(sum);
                    for (uint32_t t = 0; t < r; t++) {
                        double p = (double)L1[i * r + t] * (double)L2[t * k + j];
                        sum -= p;
                        size += fabs(p);
                    }
                    /* r + 1 roundings of at most 2^-24 of what has been added up. */
                    assert_true(fabs((double)R[i * k + j] - sum) <= (r + 1) * 0x1p-24 * size);
                }
            bp_residual(A, L1, L2, d, k, r, A); /* in place: the same bits */
            assert_memory_equal(A, R, d * k * sizeof *R);
            free(A);
            free(L1);
            free(L2);
            free(R);
        }
}

static void triplets_of_a_scaled_matrix_reproduce_it_whatever_the_threads(void **state)
{
    (void)state;
    enum { D = 300, K = 270, R = 6, Q = 12, LD = 16 };
    struct bp_svd_work *work = work_for(D, K, R, BP_SVD_RANDOMIZED);
    float *u = support_normals(D * R, 1), *v = support_normals(K * R, 2);
    float *row = support_normals(D, 4), *col = support_normals(K, 5);
    float *U[2], *V[2], S[2][Q];
    float *A = malloc(sizeof *A * D * K);
    assert_non_null(A);
    for (uint64_t i = 0; i < D; i++)
        for (uint64_t j = 0; j < K; j++) {
            double sum = 0.0;
            for (uint64_t t = 0; t < R; t++)
                sum += (double)u[i * R + t] * (double)v[j * R + t];
            A[i * K + j] = (float)sum;
        }
    for (unsigned n = 0; n < 2; n++) {
        const struct bp_svd_operand operand = {A, D, K, row, col, 1 + 2 * n};
        U[n] = malloc(sizeof *U[n] * D * LD);
        V[n] = malloc(sizeof *V[n] * K * LD);
        assert_true(U[n] && V[n]);
        assert_int_equal(bp_svd_triplets(work, &operand, Q, 77, LD, U[n], S[n], V[n], NULL), BP_OK);
    }
    assert_memory_equal(U[0], U[1], sizeof *U[0] * D * LD);
    assert_memory_equal(V[0], V[1], sizeof *V[0] * K * LD);
    assert_memory_equal(S[0], S[1], sizeof S[0]);
    double off = 0.0, all = 0.0;
    for (uint64_t i = 0; i < D; i++)
        for (uint64_t j = 0; j < K; j++) {
            double want = (double)row[i] * (double)A[i * K + j] * (double)col[j], sum = want;
            for (uint64_t t = 0; t < LD; t++)
                sum -= (double)U[0][i * LD + t] * (double)V[0][j * LD + t] *
                       (t < Q ? (double)S[0][t] : 0.0);
            off += sum * sum;
            all += want * want;
        }
    assert_true(off < FP32_TOLERANCE * FP32_TOLERANCE * all);
    for (unsigned n = 0; n < 2; n++) {
        free(U[n]);
        free(V[n]);
    }
    free(u);
    free(v);
    free(A);
    free(row);
    free(col);
    bp_svd_work_free(work);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rank_is_at_most_the_short_side),
        cmocka_unit_test(both_methods_give_singular_factors_of_every_shape_and_rank),
        cmocka_unit_test(the_rest_of_the_full_method_is_orthogonal_to_its_factors),
        cmocka_unit_test(a_matrix_of_rank_r_is_recovered_by_both_methods),
        cmocka_unit_test(the_randomized_method_captures_nearly_what_the_full_one_does),
        cmocka_unit_test(a_low_rank_matrix_under_small_noise_is_found_nearly_exactly),
        cmocka_unit_test(a_matrix_of_zeros_has_factors_of_zeros),
        cmocka_unit_test(matrices_of_any_scale_work),
        cmocka_unit_test(results_do_not_depend_on_calls_before_or_on_the_room_of_the_workspace),
        cmocka_unit_test(the_key_changes_the_sketch_and_the_matrix_stays),
        cmocka_unit_test(values_that_are_not_finite_are_a_failure_with_words),
        cmocka_unit_test(a_matrix_beyond_lapack_is_refused),
        cmocka_unit_test(the_residual_is_a_minus_the_product),
        cmocka_unit_test(triplets_of_a_scaled_matrix_reproduce_it_whatever_the_threads),
    };
    return cmocka_run_group_tests_name("singular value decomposition", tests, NULL, NULL);
}
