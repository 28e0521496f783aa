/* The kernels against the engine's quantizer and packing: codes, scales, packed words and
 * dequantized values to the bit; errors within what another order of a sum may change; in every
 * order of threads the same. */
#include "object.h"

#include "engine/pack.h"
#include "engine/quantize.h"

/* Fewer than 2^16 additions of doubles, each 2^-53 off at most. */
static const double SUM_TOLERANCE = 1e-11;

static const struct bp_cuda_api *api;
static struct bp_cuda *state;
static struct bp_cuda_say say;

static int open_state(void **unused)
{
    struct bp_cuda_codebooks books;
    const struct bp_cuda_limits limits = {
        .d_max = 64, .k_max = 65, .n_max = 4096, .r_max = 4, .q_max = 8, .B0_min = 16, .lanes = 1};
    (void)unused;
    api = object_open(&say);
    object_codebooks(&books);
    if (api)
        object_ok(api->create(&limits, &books, &state, &say), &say);
    return 0;
}

static int close_state(void **unused)
{
    (void)unused;
    if (api)
        api->free(state);
    return 0;
}

static void need_device(void)
{
    if (!api) {
        print_message("no device: %s\n", say.text);
        skip();
    }
}

/* --- one array, both ways --- */

struct parts {
    uint64_t n, blocks, groups, n_words;
    uint8_t *codes, *scale_codes;
    uint32_t *words;
    float *choosing, *value, *second, *Q, *unpacked_Q;
    float offset;
    double error;
};

static struct parts parts_new(uint64_t n, const struct bp_config *c)
{
    struct parts p = {.n = n};
    p.blocks = (n + c->B0 - 1) / c->B0;
    p.groups = (p.blocks + c->B1 - 1) / c->B1;
    p.n_words = bp_pack_words(n, c->b0);
    p.codes = malloc(n);
    p.scale_codes = malloc(p.blocks);
    p.words = malloc(p.n_words * sizeof *p.words);
    p.choosing = malloc(p.blocks * sizeof(float));
    p.value = malloc(p.blocks * sizeof(float));
    p.second = malloc(p.groups * sizeof(float));
    p.Q = malloc(n * sizeof(float));
    p.unpacked_Q = malloc(n * sizeof(float));
    assert_true(p.codes && p.scale_codes && p.words && p.choosing && p.value && p.second && p.Q &&
                p.unpacked_Q);
    return p;
}

static void parts_free(struct parts *p)
{
    free(p->codes);
    free(p->scale_codes);
    free(p->words);
    free(p->choosing);
    free(p->value);
    free(p->second);
    free(p->Q);
    free(p->unpacked_Q);
}

static struct parts on_device(const float *A, const float *F, uint64_t n, const struct bp_config *c)
{
    struct parts p = parts_new(n, c);
    const struct bp_cuda_config config = object_config(c);
    const struct bp_cuda_quantized out = {.codes = p.codes,
                                          .words = p.words,
                                          .scale_codes = p.scale_codes,
                                          .choosing = p.choosing,
                                          .value = p.value,
                                          .second = p.second,
                                          .offset = &p.offset,
                                          .Q = p.Q,
                                          .unpacked_Q = p.unpacked_Q,
                                          .error = &p.error};
    object_ok(api->quantize(state, A, F, n, &config, &out, &say), &say);
    return p;
}

static struct parts by_engine(const float *A, const float *F, uint64_t n, const struct bp_config *c)
{
    struct parts p = parts_new(n, c);
    struct bp_scales s;
    assert_int_equal(bp_scales_init(&s, n, c->B0, NULL), BP_OK);
    bp_quantize_scales(A, n, c, &s);
    bp_quantize_codes(A, &s, p.codes);
    bp_pack(p.codes, n, c->b0, p.words);
    bp_quantize_values(A, &s, p.Q);
    memcpy(p.unpacked_Q, p.Q, n * sizeof(float));
    memcpy(p.scale_codes, s.code, p.blocks);
    memcpy(p.choosing, s.choosing, p.blocks * sizeof(float));
    memcpy(p.value, s.value, p.blocks * sizeof(float));
    memcpy(p.second, s.second, p.groups * sizeof(float));
    p.offset = s.offset;
    p.error = bp_weighted_error(A, p.Q, F, n);
    bp_scales_done(&s);
    return p;
}

/* 0 and -0 are equal, as values; everything else bit by bit. */
static void same_values(const float *a, const float *b, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        if (!(a[i] == b[i]))
            fail_msg("value %zu: %a is not %a", (size_t)i, a[i], b[i]);
}

static void same_parts(const struct parts *a, const struct parts *b, double tolerance)
{
    assert_memory_equal(a->codes, b->codes, a->n);
    assert_memory_equal(a->words, b->words, a->n_words * sizeof *a->words);
    assert_memory_equal(a->scale_codes, b->scale_codes, a->blocks);
    assert_memory_equal(a->choosing, b->choosing, a->blocks * sizeof(float));
    assert_memory_equal(a->value, b->value, a->blocks * sizeof(float));
    assert_memory_equal(a->second, b->second, a->groups * sizeof(float));
    assert_memory_equal(&a->offset, &b->offset, sizeof a->offset);
    same_values(a->Q, b->Q, a->n);
    same_values(a->unpacked_Q, b->unpacked_Q, a->n);
    if (!(fabs(a->error - b->error) <= tolerance * b->error))
        fail_msg("error %.17g is not %.17g", a->error, b->error);
}

static void compare(const float *A, const float *F, uint64_t n, const char *config)
{
    struct bp_config c;
    assert_int_equal(bp_config_parse(config, &c, NULL), BP_OK);
    struct parts device = on_device(A, F, n, &c), engine = by_engine(A, F, n, &c);
    same_parts(&device, &engine, SUM_TOLERANCE);
    parts_free(&device);
    parts_free(&engine);
}

static float *weights_for(uint64_t n, uint64_t seed)
{
    float *F = support_normals(n, seed);
    for (uint64_t i = 0; i < n; i++)
        F[i] *= F[i];
    return F;
}

/* --- tests --- */

static const char *const CONFIGS[] = {
    "nf2:u2:bf16:16:16", "nf2:u8:fp32:64:256", "nf3:u3:fp16:32:16", "nf3:u4:fp32:16:64",
    "nf4:u8:fp32:64:256", "nf4:u4:bf16:32:64", "nf8:u8:fp16:64:16", "nf8:u2:bf16:16:256",
    /* Blocks that are no power of two, less than a warp and more. */
    "nf4:u8:fp32:1:3", "nf3:u4:bf16:7:5", "nf2:u3:fp16:48:2", "nf4:u4:fp32:100:1"};
enum { N_CONFIGS = sizeof CONFIGS / sizeof CONFIGS[0] };

static void arrays_of_awkward_sizes(void **unused)
{
    static const uint64_t sizes[] = {1, 2, 15, 16, 17, 31, 33, 63, 65, 1023};
    (void)unused;
    need_device();
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        float *A = support_normals(sizes[s], 100 + s), *F = weights_for(sizes[s], 200 + s);
        for (size_t c = s % 3; c < N_CONFIGS; c += 3)
            compare(A, c % 2 ? F : NULL, sizes[s], CONFIGS[c]);
        free(A);
        free(F);
    }
}

/* Larger than what one block of threads takes in any kernel, and not by a whole number of them. */
static void every_config_on_a_larger_array(void **unused)
{
    enum { N = 12345 };
    (void)unused;
    need_device();
    float *A = support_normals(N, 7), *F = weights_for(N, 8);
    for (size_t c = 0; c < N_CONFIGS; c++)
        compare(A, c % 2 ? NULL : F, N, CONFIGS[c]);
    free(A);
    free(F);
}

/* Values on the bounds between codes, zeros, a flat group, steps of the second-level types, what
 * leaves the range of FP16. */
static void values_on_the_edges(void **unused)
{
    enum { N = 2048 };
    (void)unused;
    need_device();
    float A[N], bounds[BP_NF_MAX];
    bp_nf_bounds(4, bounds);
    for (int i = 0; i < N; i++)
        A[i] = i % 16 == 15 ? 1.0f : bounds[i % 16 < 15 ? i % 16 : 0];
    compare(A, NULL, N, "nf4:u8:fp32:16:16");
    for (int i = 0; i < N; i++)
        A[i] = i / 64 % 3 == 0 ? 0.0f : ldexpf(i % 2 ? 1.5f : -1.0f, -(i / 64));
    for (size_t c = 0; c < N_CONFIGS; c++)
        compare(A, NULL, N, CONFIGS[c]);
    for (int i = 0; i < N; i++)
        A[i] = 65000.0f + (float)i * 3.0f;
    A[5] = 1.0f;
    for (size_t c = 0; c < N_CONFIGS; c++)
        compare(A, NULL, N, CONFIGS[c]);
    memset(A, 0, sizeof A);
    compare(A, NULL, N, "nf3:u4:fp16:16:16");
}

/* More than one pass takes, of several block sizes. */
static void many_configs_are_as_each_alone(void **unused)
{
    enum { D = 63, K = 65, EACH = 3 };
    struct bp_config parsed[N_CONFIGS * EACH];
    struct bp_cuda_config configs[N_CONFIGS * EACH];
    double error[N_CONFIGS * EACH];
    (void)unused;
    need_device();
    float *A = support_normals(D * K, 27), *F = weights_for(D * K, 28);
    float *ones = malloc((D + K) * sizeof *ones);
    for (int i = 0; i < D + K; i++)
        ones[i] = 1.0f;
    for (int i = 0; i < N_CONFIGS * EACH; i++) { /* the larger blocks alone: room is for 16 */
        assert_int_equal(bp_config_parse(CONFIGS[i % 8], &parsed[i], NULL), BP_OK);
        parsed[i].b0 = (uint8_t[]){2, 3, 4, 8}[i % 4];
        configs[i] = object_config(&parsed[i]);
    }
    const struct bp_cuda_matrix matrix = {
        .W = A, .F = F, .row = ones, .col = ones + D, .d = D, .k = K};
    object_ok(api->load(state, &matrix, &say), &say);
    object_ok(api->evaluate(state, 0, configs, N_CONFIGS * EACH, NULL, error, &say), &say);
    for (int i = 0; i < N_CONFIGS * EACH; i++) {
        struct parts alone = by_engine(A, F, D * K, &parsed[i]);
        if (!(fabs(error[i] - alone.error) <= SUM_TOLERANCE * alone.error))
            fail_msg("config %d: %.17g is not %.17g", i, error[i], alone.error);
        parts_free(&alone);
    }
    free(A);
    free(F);
    free(ones);
}

static void any_order_of_threads_gives_the_same_bits(void **unused)
{
    enum { N = 5000 };
    static const char *const orders[] = {"reverse", "random:1", "random:2", "random:3"};
    (void)unused;
    need_device();
    if (strcmp(api->name, "cuemu") != 0) {
        print_message("a device has an order of its own\n");
        skip();
    }
    float *A = support_normals(N, 17), *F = weights_for(N, 18);
    for (size_t c = 0; c < N_CONFIGS; c += 4) {
        struct bp_config config;
        assert_int_equal(bp_config_parse(CONFIGS[c], &config, NULL), BP_OK);
        struct parts forward = on_device(A, F, N, &config);
        for (size_t o = 0; o < sizeof orders / sizeof orders[0]; o++) {
            setenv("BP_CUEMU_ORDER", orders[o], 1);
            struct parts other = on_device(A, F, N, &config);
            unsetenv("BP_CUEMU_ORDER");
            same_parts(&other, &forward, 0.0);
            parts_free(&other);
        }
        parts_free(&forward);
    }
    free(A);
    free(F);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrays_of_awkward_sizes),
        cmocka_unit_test(every_config_on_a_larger_array),
        cmocka_unit_test(values_on_the_edges),
        cmocka_unit_test(many_configs_are_as_each_alone),
        cmocka_unit_test(any_order_of_threads_gives_the_same_bits),
    };
    return cmocka_run_group_tests(tests, open_state, close_state);
}
