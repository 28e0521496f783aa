/* The fast quantizer against the readable one: maxima and scales to the bit, errors within
 * BP_FAST_TOLERANCE, and the same bits from every build. */
#include "support.h"

#include <float.h>

#include "engine/quantize.h"
#include "engine/quantize_fast.h"

#define STRETCH_VECTOR 4
#include "engine/quantize_stretch.h"

/* A remainder may differ by the rounding of one quotient: the other side of a bound that an element
 * lies on, in units of the
 * block's scale or of the element, should that be larger. */
static const double REMAINDER_TOLERANCE = 0x1p-21;

static const uint32_t BLOCKS[] = {1, 7, 16, 32, 64, 100, 300};

struct bench {
    uint64_t n;
    float *A, *Q, *F, *E, *maxima, *choosing, *value;
    struct bp_scales s;
};

static void bench_init(struct bench *t, uint64_t n, uint64_t seed)
{
    t->n = n;
    t->A = support_normals(n, seed);
    t->F = support_normals(n, seed + 1);
    for (uint64_t i = 0; i < n; i++)
        t->F[i] *= t->F[i];
    float **all[] = {&t->Q, &t->E, &t->maxima, &t->choosing, &t->value};
    for (int i = 0; i < 5; i++)
        assert_non_null(*all[i] = bp_alloc(n, sizeof **all[i]));
    assert_int_equal(bp_scales_init(&t->s, n, 1, NULL), BP_OK);
}

static void bench_done(struct bench *t)
{
    float *all[] = {t->A, t->Q, t->F, t->E, t->maxima, t->choosing, t->value};
    for (int i = 0; i < 7; i++)
        free(all[i]);
    bp_scales_done(&t->s);
}

static bool near(double got, double want)
{
    return fabs(got - want) <= BP_FAST_TOLERANCE * want;
}

static void check_errors(struct bench *t, const struct bp_config *c, const float *F, uint64_t n)
{
    const double want = bp_weighted_error(t->A, t->Q, F, n);
    double error = bp_fast_error(t->A, F, n, c, t->choosing, t->value);
    if (!near(error, want))
        fail_msg("b0 %u B0 %u n %llu: %.12g, the oracle has %.12g", c->b0, c->B0,
                 (unsigned long long)n, error, want);
    assert_true(bp_fast_remainder(t->A, F, n, c, t->choosing, t->value, t->E) == error);
    for (uint64_t i = 0; i < n; i++) {
        double e = fabs((double)t->A[i] - (double)t->Q[i]), got = fabs((double)t->E[i]);
        double size = fmax((double)t->value[i / c->B0], fabs((double)t->A[i]));
        assert_true(fabs(e - got) <= REMAINDER_TOLERANCE * size);
    }
    memcpy(t->E, t->A, n * sizeof *t->E); /* and in place */
    assert_true(bp_fast_remainder(t->E, F, n, c, t->choosing, t->value, t->E) == error);
}

/* The first n elements of the bench under one config. */
static void compare(struct bench *t, uint64_t n, const struct bp_config *c)
{
    bp_quantize_scales(t->A, n, c, &t->s);
    bp_quantize_values(t->A, &t->s, t->Q);
    float least = bp_fast_block_maxima(t->A, n, c->B0, t->maxima);
    assert_true(least == t->s.offset);
    bp_fast_scales(t->maxima, t->s.n_blocks, c, least, t->choosing, t->value);
    assert_memory_equal(t->choosing, t->s.choosing, t->s.n_blocks * sizeof(float));
    assert_memory_equal(t->value, t->s.value, t->s.n_blocks * sizeof(float));
    check_errors(t, c, NULL, n);
    check_errors(t, c, t->F, n);
}

static void compare_all(struct bench *t, const uint64_t *sizes, size_t n_sizes, const char *grid)
{
    struct bp_grid g;
    assert_int_equal(bp_grid_parse(grid, &g, NULL), BP_OK);
    for (size_t b = 0; b < sizeof BLOCKS / sizeof *BLOCKS; b++)
        for (size_t i = 0; i < g.n; i++) {
            struct bp_config c = g.configs[i];
            c.B0 = BLOCKS[b];
            for (size_t s = 0; s < n_sizes; s++)
                compare(t, sizes[s], &c);
        }
    bp_grid_done(&g);
}

static void every_config_agrees_with_the_quantizer(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {1, 15, 17, 257, 4099};
    struct bench t;
    bench_init(&t, 4099, 1);
    compare_all(&t, sizes, 5, "b0=2,3,4,8:b1=2,3,4,8:b2=bf16,fp16,fp32:B0=16:B1=1,16,256");
    bench_done(&t);
}

static void zeros_agree_with_the_quantizer(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {1200, 3001};
    struct bench t;
    bench_init(&t, 3001, 3);
    for (int i = 0; i < 3001; i++) {
        t.A[i] = i < 1300 || i % 3 == 0 ? (i % 2 ? -0.0f : 0.0f) : t.A[i];
        t.F[i] = i % 2 ? 0.0f : t.F[i];
    }
    compare_all(&t, sizes, 2, "b0=2,3,4,8:b1=2,8:b2=bf16,fp32:B0=16:B1=16");
    bench_done(&t);
}

static void huge_and_tiny_values_agree_with_the_quantizer(void **state)
{
    (void)state;
    static const float factors[] = {0x1p-140f, 1e-30f, 1e-12f, 1e15f, 1e30f, 1e38f};
    static const uint64_t sizes[] = {1000, 2003};
    struct bench t;
    bench_init(&t, 2003, 5);
    float *normal = bp_alloc(t.n, sizeof *normal);
    assert_non_null(normal);
    for (uint64_t i = 0; i < t.n; i++) /* so that 1e38 times it is finite */
        normal[i] = fminf(fmaxf(t.A[i], -3.0f), 3.0f);
    for (size_t f = 0; f < sizeof factors / sizeof *factors; f++) {
        for (uint64_t i = 0; i < t.n; i++)
            t.A[i] = normal[i] * factors[f];
        compare_all(&t, sizes, 2, "b0=2,3,4,8:b1=2,8:b2=fp16,fp32:B0=16:B1=16");
        for (uint64_t i = 0; i < t.n; i += 50) /* and beside values of usual size */
            t.A[i] = normal[i];
        compare_all(&t, sizes, 2, "b0=3,8:b1=8:b2=bf16:B0=16:B1=16");
    }
    free(normal);
    bench_done(&t);
}

/* As those of gradients may be. */
static void weights_far_from_1_keep_the_tolerance(void **state)
{
    (void)state;
    static const float factors[] = {0x1p-140f, 1e-25f, 1e25f, 1e36f};
    static const uint64_t size = 2003;
    struct bench t;
    bench_init(&t, size, 7);
    for (size_t f = 0; f < sizeof factors / sizeof *factors; f++) {
        for (uint64_t i = 0; i < size; i++)
            t.F[i] = fabsf(t.A[size - 1 - i]) * factors[f];
        compare_all(&t, &size, 1, "b0=2,4,8:b1=4:b2=bf16:B0=16:B1=16");
    }
    bench_done(&t);
}

/* Constant matrices: remainders far below the scale. */
static void the_smallest_errors_keep_the_tolerance(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {1, 777};
    struct bench t;
    bench_init(&t, 777, 9);
    for (uint64_t i = 0; i < t.n; i++)
        t.A[i] = 0.7f;
    compare_all(&t, sizes, 2, "b0=2,3,4,8:b1=2,8:b2=fp32:B0=16:B1=16");
    bench_done(&t);
}

static void maxima_of_maxima_are_those_of_larger_blocks(void **state)
{
    (void)state;
    struct bench t;
    bench_init(&t, 1001, 11);
    float least = bp_fast_block_maxima(t.A, t.n, 64, t.maxima);
    bp_fast_block_maxima(t.A, t.n, 16, t.choosing);
    assert_true(bp_fast_block_maxima(t.choosing, 63, 4, t.value) == least);
    assert_memory_equal(t.value, t.maxima, 16 * sizeof(float));
    assert_true(isinf(bp_fast_block_maxima(t.A, 0, 16, t.maxima)));
    bench_done(&t);
}

static void an_offset_above_a_maximum_makes_its_code_0(void **state)
{
    (void)state;
    const float maxima[] = {0.5f, 1.0f, 2.0f};
    float choosing[3], value[3];
    struct bp_config c;
    assert_int_equal(bp_config_parse("nf4:u2:fp32:16:3", &c, NULL), BP_OK);
    bp_fast_scales(maxima, 3, &c, 0.75f, choosing, value);
    assert_true(choosing[0] == 0.75f && value[0] == 0.75f); /* code 0: the offset itself */
    assert_true(choosing[2] == 2.0f && value[2] == 2.0f);
    bp_fast_scales(maxima, 3, &c, 3.0f, choosing, value);
    for (int b = 0; b < 3; b++)
        assert_true(choosing[b] == 3.0f && value[b] == 3.0f);
}

static uint64_t mix(uint64_t hash, const void *bytes, size_t n)
{
    const unsigned char *p = bytes;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ p[i]) * UINT64_C(0x100000001b3);
    return hash;
}

#ifdef BP_HAVE_CLONES
static void check_stretch(bp_stretch_fn *fast, const struct bench *t, const struct bp_config *c,
                          const float *F)
{
    struct bp_codebook book;
    bp_codebook_init(&book, c->b0);
    float *E = bp_alloc(t->n, sizeof *E);
    assert_non_null(E);
    double plain = stretch(t->A, F, t->n, c->B0, t->choosing, t->value, &book, t->E);
    assert_true(fast(t->A, F, t->n, c->B0, t->choosing, t->value, &book, E) == plain);
    assert_memory_equal(E, t->E, t->n * sizeof *E);
    free(E);
}

static void every_instruction_set_gives_the_same_bits(void **state)
{
    (void)state;
    struct bench t;
    struct bp_grid g;
    bool avx2 = __builtin_cpu_supports("x86-64-v3"), avx512 = __builtin_cpu_supports("x86-64-v4");
    bench_init(&t, 20011, 15);
    for (uint64_t i = 5000; i < 6000; i++)
        t.A[i] *= i < 5500 ? 0.0f : 1e25f;
    assert_int_equal(bp_grid_parse("b0=2,3,4,8:b1=8:b2=bf16:B0=7,16,32,64,100,300:B1=16", &g, NULL),
                     BP_OK);
    for (size_t i = 0; i < g.n; i++) {
        const struct bp_config *c = &g.configs[i];
        float least = bp_fast_block_maxima(t.A, t.n, c->B0, t.maxima);
        bp_fast_scales(t.maxima, (t.n + c->B0 - 1) / c->B0, c, least, t.choosing, t.value);
        for (int weighted = 0; weighted < 2; weighted++) {
            if (avx2)
                check_stretch(bp_fast_stretch_avx2, &t, c, weighted ? t.F : NULL);
            if (avx512)
                check_stretch(bp_fast_stretch_avx512, &t, c, weighted ? t.F : NULL);
        }
    }
    bp_grid_done(&g);
    bench_done(&t);
}
#endif

/* The release build runs the code that fits the processor, the sanitizers' the plain one: both
 * must come to this number. Elements are drawn without libm, whose last bits may change. */
static void every_build_gives_the_same_bits(void **state)
{
    (void)state;
    struct bench t;
    struct bp_grid g;
    struct support_rng rng = {13};
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    bench_init(&t, 6000, 13);
    for (uint64_t i = 0; i < t.n; i++) {
        t.A[i] = (float)(support_unit(&rng) + support_unit(&rng) - support_unit(&rng) - 0.5);
        t.F[i] = (float)support_unit(&rng);
    }
    assert_int_equal(bp_grid_parse("b0=2,3,4,8:b1=2,8:b2=bf16,fp32:B0=7,16,100:B1=16", &g, NULL),
                     BP_OK);
    for (size_t i = 0; i < g.n; i++) {
        const struct bp_config *c = &g.configs[i];
        float least = bp_fast_block_maxima(t.A, t.n, c->B0, t.maxima);
        bp_fast_scales(t.maxima, (t.n + c->B0 - 1) / c->B0, c, least, t.choosing, t.value);
        double error = bp_fast_error(t.A, NULL, t.n, c, t.choosing, t.value);
        double weighted = bp_fast_remainder(t.A, t.F, t.n, c, t.choosing, t.value, t.E);
        hash = mix(mix(hash, &error, sizeof error), &weighted, sizeof weighted);
        hash = mix(hash, t.E, t.n * sizeof *t.E);
    }
    assert_int_equal(hash, UINT64_C(0x5008a5e032106604));
    bp_grid_done(&g);
    bench_done(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_config_agrees_with_the_quantizer),
        cmocka_unit_test(zeros_agree_with_the_quantizer),
        cmocka_unit_test(huge_and_tiny_values_agree_with_the_quantizer),
        cmocka_unit_test(weights_far_from_1_keep_the_tolerance),
        cmocka_unit_test(the_smallest_errors_keep_the_tolerance),
        cmocka_unit_test(maxima_of_maxima_are_those_of_larger_blocks),
        cmocka_unit_test(an_offset_above_a_maximum_makes_its_code_0),
#ifdef BP_HAVE_CLONES
        cmocka_unit_test(every_instruction_set_gives_the_same_bits),
#endif
        cmocka_unit_test(every_build_gives_the_same_bits),
    };
    return cmocka_run_group_tests_name("fast quantizer", tests, NULL, NULL);
}
