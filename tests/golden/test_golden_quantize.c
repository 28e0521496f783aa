/* The quantizer against the authors' code: codebooks, codes, packed words, scales, dequantized
 * values, plain errors of 243 configs. Skips without the shared golden values. */
#include <math.h>

#include "engine/config.h"
#include "engine/nf.h"
#include "engine/pack.h"
#include "engine/quantize.h"
#include "fixture.h"

enum { N = 128 * 128 };

static const double PLAIN_ERROR_TOLERANCE = 2e-6; /* relative: both sides accumulate FP32 values */

static int load(void **state)
{
    (void)state;
    fixture_load();
    return 0;
}

static int unload(void **state)
{
    (void)state;
    fixture_free();
    return 0;
}

static void codebooks_and_bounds_are_the_authors_to_the_bit(void **state)
{
    (void)state;
    need_golden();
    static const unsigned widths[] = {2, 3, 4, 8};
    for (int w = 0; w < 4; w++) {
        char name[32];
        float bounds[BP_NF_MAX];
        snprintf(name, sizeof name, "nf%u_values", widths[w]);
        float *golden = npy_load(name, NULL);
        assert_memory_equal(golden, bp_nf_values(widths[w]), sizeof(float) << widths[w]);
        free(golden);
        snprintf(name, sizeof name, "nf%u_boundaries", widths[w]);
        golden = npy_load(name, NULL);
        bp_nf_bounds(widths[w], bounds);
        assert_memory_equal(golden, bounds, sizeof(float) * ((1u << widths[w]) - 1));
        free(golden);
    }
}

static void check_packed(const char *stem, struct bp_config c)
{
    char name[64];
    struct bp_scales s;
    assert_int_equal(bp_scales_init(&s, N, c.B0, NULL), BP_OK);
    bp_quantize_scales(W, N, &c, &s);

    snprintf(name, sizeof name, "%s_offset", stem);
    float *offset = npy_load(name, NULL);
    assert_memory_equal(offset, &s.offset, sizeof(float));
    free(offset);

    size_t n_bytes;
    snprintf(name, sizeof name, "%s_v", stem);
    unsigned char *v = npy_load(name, &n_bytes);
    size_t width = n_bytes / s.n_groups;
    for (uint64_t g = 0; g < s.n_groups; g++) {
        uint32_t bits = bp_scale_bits(s.second[g], (enum bp_scale_type)c.b2);
        assert_memory_equal(v + g * width, &bits, width);
    }
    free(v);

    snprintf(name, sizeof name, "%s_qscales", stem);
    uint32_t *words = npy_load(name, &n_bytes), *ours = malloc(n_bytes);
    assert_int_equal(n_bytes, 4 * bp_pack_words(s.n_blocks, c.b1));
    bp_pack(s.code, s.n_blocks, c.b1, ours);
    assert_memory_equal(words, ours, n_bytes);
    free(words);
    free(ours);

    snprintf(name, sizeof name, "%s_qtensor", stem);
    words = npy_load(name, &n_bytes);
    ours = malloc(n_bytes);
    uint8_t *codes = malloc(N);
    assert_int_equal(n_bytes, 4 * bp_pack_words(N, c.b0));
    bp_quantize_codes(W, &s, codes);
    bp_pack(codes, N, c.b0, ours);
    assert_memory_equal(words, ours, n_bytes);
    free(words);
    free(ours);

    snprintf(name, sizeof name, "%s_dequant", stem);
    float *golden = npy_load(name, NULL), *Q = malloc(N * sizeof *Q);
    bp_quantize_values(W, &s, Q);
    assert_memory_equal(golden, Q, N * sizeof *Q);
    bp_dequantize(codes, &s, golden);
    assert_memory_equal(golden, Q, N * sizeof *Q);
    free(golden);
    free(Q);
    free(codes);
    bp_scales_done(&s);
}

static void packed_words_scales_and_dequantized_values_are_the_authors(void **state)
{
    (void)state;
    need_golden();
    check_packed("a_pack_2_2_bf16_16_16", (struct bp_config){2, 2, BP_SCALE_BF16, 16, 16});
    check_packed("a_pack_3_3_fp16_32_64", (struct bp_config){3, 3, BP_SCALE_FP16, 32, 64});
    check_packed("a_pack_3_8_bf16_64_64", (struct bp_config){3, 8, BP_SCALE_BF16, 64, 64});
    check_packed("a_pack_4_4_fp32_64_256", (struct bp_config){4, 4, BP_SCALE_FP32, 64, 256});
}

static void plain_errors_of_243_configs_with_and_without_fisher(void **state)
{
    (void)state;
    need_golden();
    int32_t *grid = npy_load("grid243", NULL);
    double *golden = npy_load("a_nf_err243", NULL), *bits = npy_load("storage_bits243", NULL);
    struct bp_grid paper;
    struct bp_scales s;
    float *Q = malloc(N * sizeof *Q);
    double worst = 0.0;
    assert_int_equal(bp_grid_parse("paper", &paper, NULL), BP_OK);
    assert_int_equal(paper.n, 243);
    assert_int_equal(bp_scales_init(&s, N, 16, NULL), BP_OK);
    for (size_t i = 0; i < paper.n; i++) {
        const struct bp_config *c = &paper.configs[i];
        const int32_t *g = grid + 5 * i;
        struct bp_config as_golden = {(uint8_t)g[0], (uint8_t)g[1], (uint8_t)g[2], (uint32_t)g[3],
                                      (uint32_t)g[4]};
        assert_true(bp_config_equal(c, &as_golden));
        uint64_t storage;
        assert_true(bp_config_storage(c, N, &storage));
        assert_true((double)storage / N == bits[i]);
        bp_quantize_scales(W, N, c, &s);
        bp_quantize_values(W, &s, Q);
        double plain = bp_weighted_error(W, Q, NULL, N), fisher = bp_weighted_error(W, Q, F, N);
        worst = fmax(worst, fabs(plain / golden[2 * i] - 1.0));
        worst = fmax(worst, fabs(fisher / golden[2 * i + 1] - 1.0));
    }
    print_message("largest relative deviation %.2g\n", worst);
    assert_true(worst <= PLAIN_ERROR_TOLERANCE);
    free(Q);
    bp_scales_done(&s);
    bp_grid_done(&paper);
    free(grid);
    free(golden);
    free(bits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codebooks_and_bounds_are_the_authors_to_the_bit),
        cmocka_unit_test(packed_words_scales_and_dequantized_values_are_the_authors),
        cmocka_unit_test(plain_errors_of_243_configs_with_and_without_fisher),
    };
    return cmocka_run_group_tests_name("golden quantizer", tests, load, unload);
}
