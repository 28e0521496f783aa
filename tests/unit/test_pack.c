/* Packed codes: layouts by hand, round trips, padding. */
#include "support.h"

#include "engine/pack.h"

static const unsigned WIDTHS[4] = {2, 3, 4, 8};

static void words_are_counted_with_the_last_one_filled_up(void **state)
{
    (void)state;
    static const struct {
        uint64_t n;
        unsigned bits;
        uint64_t words;
    } counts[] = {
        {0, 2, 0},  {1, 2, 1},  {16, 2, 1}, {17, 2, 2}, {0, 3, 0}, {1, 3, 3},
        {32, 3, 3}, {33, 3, 6}, {64, 3, 6}, {65, 3, 9}, {8, 4, 1}, {9, 4, 2},
        {4, 8, 1},  {5, 8, 2},  {1, 8, 1},  {0, 8, 0},
    };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        assert_int_equal(bp_pack_words(counts[i].n, counts[i].bits), counts[i].words);
    /* More codes than a product with the width in 64 bits could hold. */
    assert_int_equal(bp_pack_words(UINT64_C(1) << 62, 8), UINT64_C(1) << 60);
    assert_int_equal(bp_pack_words(UINT64_C(1) << 62, 3), (UINT64_C(1) << 57) * 3);
}

static void two_four_and_eight_bits_are_little_endian_fields(void **state)
{
    (void)state;
    const uint8_t two[18] = {3, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 3};
    const uint8_t four[9] = {0x1, 0x2, 0x3, 0x4, 0x5, 0x6, 0x7, 0xf, 0xa};
    const uint8_t eight[5] = {0x11, 0x22, 0x33, 0xff, 0x44};
    uint32_t words[2];
    bp_pack(two, 18, 2, words);
    assert_int_equal(words[0], 3u | 1u << 4 | 2u << 6 | 2u << 30);
    assert_int_equal(words[1], 1u | 3u << 2);
    bp_pack(four, 9, 4, words);
    assert_int_equal(words[0], 0xf7654321);
    assert_int_equal(words[1], 0xa);
    bp_pack(eight, 5, 8, words);
    assert_int_equal(words[0], 0xff332211);
    assert_int_equal(words[1], 0x44);
}

static void three_bits_are_three_planes_of_32(void **state)
{
    (void)state;
    uint8_t codes[34] = {1, 2, 4, 7, 5};
    uint32_t words[6];
    codes[31] = 6;
    codes[32] = 3;
    codes[33] = 4;
    bp_pack(codes, 34, 3, words);
    assert_int_equal(words[0], 1u | 1u << 3 | 1u << 4);
    assert_int_equal(words[1], 1u << 1 | 1u << 3 | 1u << 31);
    assert_int_equal(words[2], 1u << 2 | 1u << 3 | 1u << 4 | 1u << 31);
    assert_int_equal(words[3], 1u);
    assert_int_equal(words[4], 1u);
    assert_int_equal(words[5], 1u << 1);
}

static void every_width_and_count_round_trips_and_pads_with_zeros(void **state)
{
    (void)state;
    struct support_rng g = {8};
    for (uint64_t n = 1; n <= 1100; n += n < 140 ? 1 : 319)
        for (int w = 0; w < 4; w++) {
            const unsigned bits = WIDTHS[w];
            const uint64_t n_words = bp_pack_words(n, bits);
            uint8_t *codes = malloc(n), *back = malloc(n + 1);
            uint32_t *words = malloc((n_words + 1) * sizeof *words);
            assert_true(codes && back && words);
            for (uint64_t i = 0; i < n; i++)
                codes[i] = (uint8_t)support_below(&g, 1u << bits);
            memset(words, 0xee, (n_words + 1) * sizeof *words);
            back[n] = 0xaa;
            bp_pack(codes, n, bits, words);
            assert_int_equal(words[n_words], 0xeeeeeeee); /* not one word more */
            bp_unpack(words, n, bits, back);
            assert_memory_equal(codes, back, n);
            assert_int_equal(back[n], 0xaa);
            uint64_t set = 0, expected = 0; /* no bit is set but those of the codes */
            for (uint64_t i = 0; i < n_words; i++)
                set += (uint64_t)__builtin_popcount(words[i]);
            for (uint64_t i = 0; i < n; i++)
                expected += (uint64_t)__builtin_popcount(codes[i]);
            assert_int_equal(set, expected);
            free(codes);
            free(back);
            free(words);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_counted_with_the_last_one_filled_up),
        cmocka_unit_test(two_four_and_eight_bits_are_little_endian_fields),
        cmocka_unit_test(three_bits_are_three_planes_of_32),
        cmocka_unit_test(every_width_and_count_round_trips_and_pads_with_zeros),
    };
    return cmocka_run_group_tests_name("packing", tests, NULL, NULL);
}
