/* Configurations: their text form, their storage by hand, grids and their order. */
#include "support.h"

static struct bp_config config_of(const char *text)
{
    struct bp_config c;
    struct bp_err err = {""};
    if (bp_config_parse(text, &c, &err))
        fail_msg("%s", err.text);
    return c;
}

/* --- text --- */

static void the_text_form_of_all_432_reads_back(void **state)
{
    (void)state;
    struct bp_grid grid;
    assert_int_equal(bp_grid_parse("reference", &grid, NULL), BP_OK);
    assert_int_equal(grid.n, 432);
    for (size_t i = 0; i < grid.n; i++) {
        char text[BP_CONFIG_TEXT];
        struct bp_config back = config_of(bp_config_format(&grid.configs[i], text));
        assert_true(bp_config_valid(&grid.configs[i]));
        assert_true(bp_config_equal(&back, &grid.configs[i]));
        for (size_t j = 0; j < i; j++)
            assert_false(bp_config_equal(&grid.configs[i], &grid.configs[j]));
    }
    bp_grid_done(&grid);
}

static void the_text_form_is_as_documented(void **state)
{
    (void)state;
    char text[BP_CONFIG_TEXT];
    const struct bp_config c = {3, 8, BP_SCALE_FP32, 64, 256};
    const struct bp_config largest = {8, 8, BP_SCALE_BF16, BP_MAX_BLOCK, BP_MAX_BLOCK};
    assert_string_equal(bp_config_format(&c, text), "nf3:u8:fp32:64:256");
    assert_string_equal(bp_config_format(&largest, text), "nf8:u8:bf16:65536:65536");
    struct bp_config back = config_of(text);
    assert_true(bp_config_equal(&back, &largest));
    assert_string_equal(bp_config_format(&bp_config_nf4, text), "nf4:u8:fp32:64:256");
    assert_string_equal(bp_config_format(&bp_config_nf3, text), "nf3:u8:fp32:64:256");
}

static void everything_but_the_text_form_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "nf3",
        "nf3:u8:fp32:64",
        "nf3:u8:fp32:64:256:",
        "nf3:u8:fp32:64:256:1",
        ":nf3:u8:fp32:64:256",
        "nf3:u8:fp32::256",
        "nf3:u8:fp32:64:",
        "nf3 :u8:fp32:64:256",
        " nf3:u8:fp32:64:256",
        "nf3:u8:fp32:64:256 ",
        "nf3:u8:fp32: 64:256",
        "NF3:u8:fp32:64:256",
        "nf3:U8:fp32:64:256",
        "nf3:u8:FP32:64:256",
        "nf:u8:fp32:64:256",
        "nf1:u8:fp32:64:256",
        "nf5:u8:fp32:64:256",
        "nf16:u8:fp32:64:256",
        "nf03:u8:fp32:64:256",
        "nf+3:u8:fp32:64:256",
        "nf3:u:fp32:64:256",
        "nf3:u1:fp32:64:256",
        "nf3:u6:fp32:64:256",
        "nf3:8:fp32:64:256",
        "3:u8:fp32:64:256",
        "nf3:u8:fp8:64:256",
        "nf3:u8:fp3:64:256",
        "nf3:u8:fp322:64:256",
        "nf3:u8::64:256",
        "nf3:u8:fp32:0:256",
        "nf3:u8:fp32:64:0",
        "nf3:u8:fp32:-64:256",
        "nf3:u8:fp32:064:256",
        "nf3:u8:fp32:64.0:256",
        "nf3:u8:fp32:0x40:256",
        "nf3:u8:fp32:65537:256",
        "nf3:u8:fp32:64:65537",
        "nf3:u8:fp32:18446744073709551680:256",
        "nf3:u8:fp32:64:256nf3:u8:fp32:64:256nf3:u8:fp32:64:256",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct bp_config c = {7, 7, 7, 7, 7};
        struct bp_err err = {""};
        if (bp_config_parse(bad[i], &c, &err) != BP_ERR_USAGE)
            fail_msg("not refused: '%s'", bad[i]);
        support_says(err.text, bad[i]);
        support_says(err.text, "nf3:u8:fp32:64:256");
        assert_int_equal(c.B1, 7); /* untouched */
    }
}

static void the_types_of_the_second_level_scale_have_names_and_widths(void **state)
{
    (void)state;
    enum bp_scale_type type = BP_N_SCALE_TYPES;
    assert_string_equal(bp_scale_type_name(BP_SCALE_BF16), "bf16");
    assert_string_equal(bp_scale_type_name(BP_SCALE_FP16), "fp16");
    assert_string_equal(bp_scale_type_name(BP_SCALE_FP32), "fp32");
    assert_int_equal(bp_scale_type_bits(BP_SCALE_BF16), 16);
    assert_int_equal(bp_scale_type_bits(BP_SCALE_FP16), 16);
    assert_int_equal(bp_scale_type_bits(BP_SCALE_FP32), 32);
    assert_false(bp_scale_type_parse("fp64", &type));
    assert_int_equal(type, BP_N_SCALE_TYPES);
    assert_true(bp_scale_type_parse("fp16", &type));
    assert_int_equal(type, BP_SCALE_FP16);
}

static void fields_out_of_range_are_not_valid(void **state)
{
    (void)state;
    const struct bp_config good = {3, 8, BP_SCALE_FP32, 64, 256};
    struct bp_config c = good;
    assert_true(bp_config_valid(&c));
    for (unsigned bits = 0; bits < 256; bits++) {
        const bool known = bits == 2 || bits == 3 || bits == 4 || bits == 8;
        c = good;
        c.b0 = (uint8_t)bits;
        assert_int_equal(bp_config_valid(&c), known);
        c = good;
        c.b1 = (uint8_t)bits;
        assert_int_equal(bp_config_valid(&c), known);
        c = good;
        c.b2 = (uint8_t)bits;
        assert_int_equal(bp_config_valid(&c), bits < 3);
    }
    c = good;
    c.B0 = 0;
    assert_false(bp_config_valid(&c));
    c.B0 = BP_MAX_BLOCK + 1;
    assert_false(bp_config_valid(&c));
    c = good;
    c.B1 = 0;
    assert_false(bp_config_valid(&c));
    c.B1 = BP_MAX_BLOCK;
    assert_true(bp_config_valid(&c));
}

static void configs_and_candidates_differ_in_any_field(void **state)
{
    (void)state;
    const struct bp_config a = {3, 8, BP_SCALE_FP32, 64, 256};
    const struct bp_config others[] = {{4, 8, BP_SCALE_FP32, 64, 256},
                                       {3, 4, BP_SCALE_FP32, 64, 256},
                                       {3, 8, BP_SCALE_FP16, 64, 256},
                                       {3, 8, BP_SCALE_FP32, 32, 256},
                                       {3, 8, BP_SCALE_FP32, 64, 64}};
    assert_true(bp_config_equal(&a, &a));
    for (int i = 0; i < 5; i++)
        assert_false(bp_config_equal(&a, &others[i]));
    struct bp_candidate x = {.config = a, .rank = 4}, y = x;
    struct bp_candidate p = {.foreign = true, .label = "Q4_K"}, q = p;
    assert_true(bp_candidate_equal(&x, &y) && bp_candidate_equal(&p, &q));
    assert_false(bp_candidate_equal(&x, &p) || bp_candidate_equal(&p, &x));
    y.rank = 5;
    assert_false(bp_candidate_equal(&x, &y));
    q.label[0] = 'R';
    assert_false(bp_candidate_equal(&p, &q));
    q = p;
    q.rank = 9; /* a foreign candidate is its label */
    assert_true(bp_candidate_equal(&p, &q));
}

/* --- storage --- */

static uint64_t storage_of(const char *config, uint64_t n)
{
    struct bp_config c = config_of(config);
    uint64_t bits = 1;
    if (!bp_config_storage(&c, n, &bits))
        fail_msg("%s of %llu elements does not fit", config, (unsigned long long)n);
    return bits;
}

/* LQ-LoRA Eq. 3 with divisible sizes: numel (b0 + b1 / B0 + b2 / (B0 B1)). */
static void storage_of_whole_groups_is_eq_3(void **state)
{
    (void)state;
    struct bp_grid grid;
    const uint64_t n = 4096 * 4096; /* divisible by 64 * 256 */
    assert_int_equal(bp_grid_parse("reference", &grid, NULL), BP_OK);
    for (size_t i = 0; i < grid.n; i++) {
        const struct bp_config *c = &grid.configs[i];
        uint64_t b2 = c->b2 == BP_SCALE_FP32 ? 32 : 16, bits;
        assert_true(bp_config_storage(c, n, &bits));
        assert_int_equal(bits, n * c->b0 + n / c->B0 * c->b1 + n / c->B0 / c->B1 * b2);
    }
    bp_grid_done(&grid);
    /* NF4 as in QLoRA: 4 + 8/64 + 32/(64 * 256) = 4.126953125 bits a parameter. */
    assert_int_equal(storage_of("nf4:u8:fp32:64:256", 1 << 20), 4327424);
}

static void short_last_blocks_and_groups_cost_a_whole_scale(void **state)
{
    (void)state;
    assert_int_equal(storage_of("nf4:u8:fp32:64:256", 1), 4 + 8 + 32);
    assert_int_equal(storage_of("nf2:u2:bf16:16:16", 1), 2 + 2 + 16);
    assert_int_equal(storage_of("nf2:u2:bf16:16:16", 16), 32 + 2 + 16);
    assert_int_equal(storage_of("nf2:u2:bf16:16:16", 17), 34 + 4 + 16);
    assert_int_equal(storage_of("nf2:u2:bf16:16:16", 256), 512 + 32 + 16);
    assert_int_equal(storage_of("nf2:u2:bf16:16:16", 257), 514 + 34 + 32);
    assert_int_equal(storage_of("nf3:u4:fp16:32:64", 100), 300 + 16 + 16);
    assert_int_equal(storage_of("nf3:u3:fp32:1:1", 7), 21 + 21 + 224);
    assert_int_equal(storage_of("nf8:u4:fp32:65536:65536", 65537), 8 * 65537 + 8 + 32);
    assert_int_equal(storage_of("nf4:u8:fp32:64:256", 0), 0);
}

static void storage_beyond_62_bits_is_refused(void **state)
{
    (void)state;
    const struct bp_config c = config_of("nf4:u8:fp32:65536:65536");
    uint64_t bits = 99, n = UINT64_C(1) << 60;
    assert_false(bp_config_storage(&c, n, &bits));
    assert_false(bp_config_storage(&c, UINT64_MAX, &bits));
    assert_false(bp_config_storage(&c, UINT64_MAX / 4, &bits));
    assert_false(bp_config_storage(&c, UINT64_MAX / 4 + 1, &bits));
    assert_int_equal(bits, 99);
    assert_true(bp_config_storage(&c, n / 2, &bits));
    assert_true(bits >> 62 == 0 && bits > n);
}

/* --- grids --- */

static size_t grid_size(const char *text)
{
    struct bp_grid grid;
    struct bp_err err = {""};
    if (bp_grid_parse(text, &grid, &err))
        fail_msg("%s", err.text);
    size_t n = grid.n;
    bp_grid_done(&grid);
    assert_null(grid.configs);
    return n;
}

static void named_grids_have_their_sizes(void **state)
{
    (void)state;
    assert_int_equal(grid_size("paper"), 243);
    assert_int_equal(grid_size("reference"), 432);
    assert_int_equal(grid_size("nf4"), 1);
    assert_int_equal(grid_size("b0=2"), 81);
    assert_int_equal(grid_size("B1=16,64:b0=3"), 54);
    assert_int_equal(grid_size("b0=2,3,4,8:b1=2,3,4,8"), 432);
}

static void the_grid_nf4_is_qloras_config(void **state)
{
    (void)state;
    struct bp_grid grid;
    assert_int_equal(bp_grid_parse("nf4", &grid, NULL), BP_OK);
    assert_true(bp_config_equal(&grid.configs[0], &bp_config_nf4));
    bp_grid_done(&grid);
}

static void b0_is_slowest_and_B1_fastest(void **state)
{
    (void)state;
    static const uint8_t b[3] = {2, 3, 4};
    static const uint32_t B0[3] = {16, 32, 64}, B1[3] = {16, 64, 256};
    struct bp_grid grid;
    assert_int_equal(bp_grid_parse("paper", &grid, NULL), BP_OK);
    for (size_t i = 0; i < 243; i++) {
        struct bp_config c = {b[i / 81], b[i / 27 % 3], (uint8_t)(i / 9 % 3), B0[i / 3 % 3],
                              B1[i % 3]};
        assert_true(bp_config_equal(&grid.configs[i], &c));
    }
    bp_grid_done(&grid);
}

static void a_grid_does_not_depend_on_the_order_of_its_parts_and_values(void **state)
{
    (void)state;
    struct bp_grid a, b;
    assert_int_equal(bp_grid_parse("b0=2,4:b1=3,8:b2=bf16,fp32:B0=16,64:B1=8,256", &a, NULL),
                     BP_OK);
    assert_int_equal(bp_grid_parse("B1=256,8:B0=64,16:b2=fp32,bf16:b1=8,3:b0=4,2", &b, NULL),
                     BP_OK);
    assert_int_equal(a.n, 32);
    assert_int_equal(b.n, 32);
    for (size_t i = 0; i < a.n; i++)
        assert_true(bp_config_equal(&a.configs[i], &b.configs[i]));
    bp_grid_done(&a);
    bp_grid_done(&b);
}

static void a_grid_has_its_configs_and_no_others(void **state)
{
    (void)state;
    struct bp_grid grid;
    const struct bp_config in = config_of("nf4:u3:fp16:32:64");
    const struct bp_config out = config_of("nf8:u3:fp16:32:64");
    assert_int_equal(bp_grid_parse("paper", &grid, NULL), BP_OK);
    assert_true(bp_grid_has(&grid, &in));
    assert_false(bp_grid_has(&grid, &out));
    bp_grid_done(&grid);
    assert_false(bp_grid_has(&grid, &in));
}

static void bad_grids_name_the_part_that_is_wrong(void **state)
{
    (void)state;
    static const struct {
        const char *text, *words;
    } bad[] = {
        {"", "''"},
        {"papers", "'papers'"},
        {"Paper", "'Paper'"},
        {"paper:b0=2", "'paper'"},
        {"b0", "'b0'"},
        {"b0=", "'' is no value of b0"},
        {"b0=5", "'5' is no value of b0"},
        {"b0=2,5", "'5' is no value of b0"},
        {"b0=2,,3", "'' is no value of b0"},
        {"b0=2,", "'' is no value of b0"},
        {"b0=2 ", "'2 ' is no value"},
        {"b0=+2", "'+2'"},
        {"b1=1", "'1' is no value of b1"},
        {"b2=fp64", "'fp64' is no value of b2"},
        {"B0=0", "'0' is no value of B0"},
        {"B0=016", "'016'"},
        {"B1=65537", "'65537' is no value of B1"},
        {"B1=-1", "'-1'"},
        {"b3=2", "'b3'"},
        {"b0=2:", "''"},
        {":b0=2", "''"},
        {"b0=2:b0=3", "b0 is given twice"},
        {"b0=2,3,2", "b0=2 is given twice"},
        {"b2=bf16,bf16", "b2=bf16 is given twice"},
        {"B0=16:B1=16,16", "B1=16 is given twice"},
        {"=2", "''"},
        {"b0=2=3", "'2=3'"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct bp_grid grid;
        struct bp_err err = {""};
        if (bp_grid_parse(bad[i].text, &grid, &err) != BP_ERR_USAGE)
            fail_msg("not refused: '%s'", bad[i].text);
        support_says(err.text, bad[i].words);
        support_says(err.text, "grid: ");
        assert_null(grid.configs);
    }
}

static void a_grid_takes_32_block_sizes_and_no_more(void **state)
{
    (void)state;
    char text[400] = "b0=2:b1=2:b2=bf16:B0=16:B1=1";
    for (int i = 2; i <= 32; i++)
        snprintf(text + strlen(text), 16, ",%d", i);
    assert_int_equal(grid_size(text), 32);
    struct bp_grid grid;
    struct bp_err err = {""};
    strcat(text, ",33");
    assert_int_equal(bp_grid_parse(text, &grid, &err), BP_ERR_USAGE);
    support_says(err.text, "B1|32 values");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_text_form_of_all_432_reads_back),
        cmocka_unit_test(the_text_form_is_as_documented),
        cmocka_unit_test(everything_but_the_text_form_is_refused),
        cmocka_unit_test(the_types_of_the_second_level_scale_have_names_and_widths),
        cmocka_unit_test(fields_out_of_range_are_not_valid),
        cmocka_unit_test(configs_and_candidates_differ_in_any_field),
        cmocka_unit_test(storage_of_whole_groups_is_eq_3),
        cmocka_unit_test(short_last_blocks_and_groups_cost_a_whole_scale),
        cmocka_unit_test(storage_beyond_62_bits_is_refused),
        cmocka_unit_test(named_grids_have_their_sizes),
        cmocka_unit_test(the_grid_nf4_is_qloras_config),
        cmocka_unit_test(b0_is_slowest_and_B1_fastest),
        cmocka_unit_test(a_grid_does_not_depend_on_the_order_of_its_parts_and_values),
        cmocka_unit_test(a_grid_has_its_configs_and_no_others),
        cmocka_unit_test(bad_grids_name_the_part_that_is_wrong),
        cmocka_unit_test(a_grid_takes_32_block_sizes_and_no_more),
    };
    return cmocka_run_group_tests_name("configurations", tests, NULL, NULL);
}
