/* Budgets: exact decimals, units, what is refused. */
#include "support.h"

#include "engine/budget.h"

static uint64_t bits_of(const char *text, uint64_t params)
{
    struct bp_budget budget;
    struct bp_err err = {""};
    if (bp_budget_parse_bits(text, params, &budget, &err))
        fail_msg("%s", err.text);
    assert_int_equal(budget.unit, BP_BUDGET_BITS_PER_PARAM);
    assert_true(budget.asked == strtod(text, NULL));
    return budget.bits;
}

static uint64_t size_of(const char *text)
{
    struct bp_budget budget;
    struct bp_err err = {""};
    if (bp_budget_parse_size(text, &budget, &err))
        fail_msg("%s", err.text);
    assert_int_equal(budget.unit, BP_BUDGET_BYTES);
    assert_true(budget.asked == (double)(budget.bits / 8));
    assert_int_equal(budget.bits % 8, 0);
    return budget.bits / 8;
}

static void decimals_are_exact_and_rounded_down(void **state)
{
    (void)state;
    assert_int_equal(bits_of("2.6", 5), 13);
    assert_int_equal(bits_of("2.60", 5), 13);
    assert_int_equal(bits_of("2.6", 10), 26);
    assert_int_equal(bits_of("0.1", 10), 1);
    assert_int_equal(bits_of("0.1", 9), 0);
    assert_int_equal(bits_of("0.7", 10), 7);
    assert_int_equal(bits_of("1.1", 10), 11);
    assert_int_equal(bits_of("2.3", 100), 230);
    assert_int_equal(bits_of("4.35", 100), 435);
    assert_int_equal(bits_of("3", 7), 21);
    assert_int_equal(bits_of("64", 3), 192);
    assert_int_equal(bits_of("64.000", 3), 192);
    assert_int_equal(bits_of("0.3333333333", 3), 0);
    assert_int_equal(bits_of("2.9999", 10), 29);
}

/* Every decimal of up to three places, against integers. */
static void every_decimal_of_three_places_is_exact(void **state)
{
    (void)state;
    static const uint64_t params[] = {1, 3, 1000, 999, UINT64_C(6476005376)};
    for (unsigned thousandths = 1; thousandths <= 9999; thousandths++)
        for (int p = 0; p < 5; p++) {
            char text[16];
            snprintf(text, sizeof text, "%u.%03u", thousandths / 1000, thousandths % 1000);
            assert_int_equal(bits_of(text, params[p]), thousandths * params[p] / 1000);
        }
}

static void long_decimals_and_large_models_are_exact(void **state)
{
    (void)state;
    /* Llama-2-7B's linear layers and the largest counts that 62 bits of budget hold. */
    assert_int_equal(bits_of("2.75", UINT64_C(6476005376)), UINT64_C(17809014784));
    assert_int_equal(bits_of("2.123456789012345", UINT64_C(1000000000000000)),
                     UINT64_C(2123456789012345));
    assert_int_equal(bits_of("1.000000000000001", UINT64_C(1000000000000000)),
                     UINT64_C(1000000000000001));
    assert_int_equal(bits_of("00000000000000000002.5", 2), 5);
    assert_int_equal(bits_of(".5", 2), 1);
    assert_int_equal(bits_of("5.", 2), 10);
    assert_int_equal(bits_of("0.000000000000000001", UINT64_C(1000000000000000000)), 1);
}

static void digits_beyond_a_double_count_as_the_double(void **state)
{
    (void)state;
    assert_int_equal(bits_of("2.99999999999999999", 1000), 3000);
    assert_int_equal(bits_of("3.00000000000000001", 1000), 3000);
    assert_int_equal(bits_of("2.60000000000000001", 5), 13);
    assert_int_equal(bits_of("2.59999999999999999", 5), 13);
    assert_int_equal(bits_of("2.599999999999999", 5), 12);  /* a double of its own */
    assert_int_equal(bits_of("3.3333333333333333", 3), 10); /* prints as ...35 */
}

static void what_is_no_budget_in_bits_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        ".",
        "0",
        "0.0",
        "-1",
        "+1",
        " 2",
        "2 ",
        "2,5",
        "2.5.1",
        "1e1",
        "0x2",
        "nan",
        "inf",
        "2b",
        "65",
        "64.1",
        "64.00001",
        "1000",
        "2.75x",
        "..5",
        "2..5",
        "--2",
        "two",
        "2.6 bits",
        "2/3",
        "1111111111111111111",
        "2.1234567890123456789",
        "99999999999999999999999999999999",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct bp_budget budget;
        struct bp_err err = {""};
        if (bp_budget_parse_bits(bad[i], 1000, &budget, &err) != BP_ERR_USAGE)
            fail_msg("not refused: '%s'", bad[i]);
        support_says(err.text, bad[i]);
        support_says(err.text, "bits/param");
    }
    struct bp_budget budget; /* more than 62 bits */
    assert_int_equal(bp_budget_parse_bits("8", UINT64_C(1) << 59, &budget, NULL), BP_ERR_USAGE);
    assert_int_equal(bp_budget_parse_bits("7.9", UINT64_C(1) << 59, &budget, NULL), BP_OK);
    assert_int_equal(bp_budget_parse_bits("64", UINT64_MAX, &budget, NULL), BP_ERR_USAGE);
}

static void sizes_take_decimal_and_binary_units(void **state)
{
    (void)state;
    assert_int_equal(size_of("1"), 1);
    assert_int_equal(size_of("1000000"), 1000000);
    assert_int_equal(size_of("17B"), 17);
    assert_int_equal(size_of("3kB"), 3000);
    assert_int_equal(size_of("3KB"), 3000);
    assert_int_equal(size_of("2200MB"), UINT64_C(2200000000));
    assert_int_equal(size_of("2.2GB"), UINT64_C(2200000000));
    assert_int_equal(size_of("1TB"), UINT64_C(1000000000000));
    assert_int_equal(size_of("1.5KiB"), 1536);
    assert_int_equal(size_of("1MiB"), 1 << 20);
    assert_int_equal(size_of("24GiB"), UINT64_C(24) << 30);
    assert_int_equal(size_of("2.2GiB"), UINT64_C(2362232012)); /* 2362232012.8 */
    assert_int_equal(size_of("0.5TiB"), UINT64_C(1) << 39);
    assert_int_equal(size_of("1.9"), 1);
    assert_int_equal(size_of("0.001kB"), 1);
}

static void what_is_no_size_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "0",
        "0GiB",
        "0.9",
        "0.5B",
        "-1GB",
        "GB",
        ".GB",
        "1 GB",
        "1gb",
        "1GIB",
        "1G",
        "1GiBB",
        "1Gb",
        "1e9",
        "1,5GB",
        "1PB",
        "1KIB",
        "1kiB",
        "nan",
        "0x10",
        "1.5.5GB",
        "1GB ",
        " 1GB",
        "999999999999TB",
        "600000TiB",
        "576460752303423488",
        "1234567890123456789",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct bp_budget budget;
        struct bp_err err = {""};
        if (bp_budget_parse_size(bad[i], &budget, &err) != BP_ERR_USAGE)
            fail_msg("not refused: '%s'", bad[i]);
        support_says(err.text, bad[i]);
        support_says(err.text, "2.2GiB");
    }
    assert_int_equal(size_of("576460752303423487") >> 59, 0);
}

static void decimals_say_where_they_end(void **state)
{
    (void)state;
    struct bp_decimal d;
    const char *end, *text = "12.50GiB";
    assert_true(bp_decimal_parse(text, &d, &end));
    assert_int_equal(d.digits, 1250);
    assert_int_equal(d.scale, 2);
    assert_string_equal(end, "GiB");
    assert_true(bp_decimal_parse("007", &d, &end));
    assert_int_equal(d.digits, 7);
    assert_false(bp_decimal_parse("x", &d, &end));
    assert_true(bp_decimal_parse("999999999999999999", &d, &end));
    assert_int_equal(d.digits, UINT64_C(999999999999999999));
    assert_false(bp_decimal_parse("1000000000000000000", &d, &end));
}

static void units_have_names(void **state)
{
    (void)state;
    assert_string_equal(bp_budget_unit_name(BP_BUDGET_BITS_PER_PARAM), "bits/param");
    assert_string_equal(bp_budget_unit_name(BP_BUDGET_BYTES), "bytes");
    assert_string_equal(bp_budget_unit_name(BP_BUDGET_TOTAL_BYTES), "total bytes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decimals_are_exact_and_rounded_down),
        cmocka_unit_test(every_decimal_of_three_places_is_exact),
        cmocka_unit_test(long_decimals_and_large_models_are_exact),
        cmocka_unit_test(digits_beyond_a_double_count_as_the_double),
        cmocka_unit_test(what_is_no_budget_in_bits_is_refused),
        cmocka_unit_test(sizes_take_decimal_and_binary_units),
        cmocka_unit_test(what_is_no_size_is_refused),
        cmocka_unit_test(decimals_say_where_they_end),
        cmocka_unit_test(units_have_names),
    };
    return cmocka_run_group_tests_name("budgets", tests, NULL, NULL);
}
