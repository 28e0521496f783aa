/* The words of keys, both ways. */
#include "test_dir.h"

#include "ui/event.h"

static void words_and_keys_go_both_ways(void **state)
{
    static const struct {
        const char *word;
        uint32_t key;
    } cases[] = {
        {"q", 'q'},
        {"Q", 'Q'},
        {"-", '-'},
        {":", ':'},
        {"Space", ' '},
        {"\u00e9", 0xe9},
        {"\U0001f600", 0x1f600},
        {"Up", BP_KEY_UP},
        {"Esc", BP_KEY_ESCAPE},
        {"F12", BP_KEY_F12},
        {"S-Right", BP_SHIFT | BP_KEY_RIGHT},
        {"S-Tab", BP_SHIFT | BP_KEY_TAB},
        {"C-l", BP_CTRL | 'l'},
        {"C--", BP_CTRL | '-'},
        {"C-Space", BP_CTRL | ' '},
        {"C-S-Left", BP_CTRL | BP_SHIFT | BP_KEY_LEFT},
        {"A-x", BP_ALT | 'x'},
        {"A-X", BP_ALT | 'X'},
        {"C-A-S-Backspace", BP_CTRL | BP_ALT | BP_SHIFT | BP_KEY_BACKSPACE},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[BP_KEY_TEXT];
        uint32_t key = 0;
        assert_true(bp_key_parse(cases[i].word, &key));
        assert_int_equal(key, cases[i].key);
        assert_ptr_equal(bp_key_name(key, text), text);
        assert_string_equal(text, cases[i].word);
    }
}

static void every_named_key_goes_both_ways_with_every_modifier(void **state)
{
    (void)state;
    for (uint32_t named = BP_KEY_NAMED + 1; named < BP_KEY_END_OF_NAMES; named++)
        for (uint32_t m = 0; m < 8; m++) {
            const uint32_t key =
                named | (m & 1 ? BP_SHIFT : 0u) | (m & 2 ? BP_CTRL : 0u) | (m & 4 ? BP_ALT : 0u);
            char text[BP_KEY_TEXT];
            uint32_t back = 0;
            assert_true(bp_key_parse(bp_key_name(key, text), &back));
            assert_int_equal(back, key);
        }
}

static void other_ways_to_write_a_key(void **state)
{
    uint32_t key;
    (void)state;
    assert_true(bp_key_parse("C-L", &key)); /* terminals do not tell it from C-l */
    assert_int_equal(key, BP_CTRL | 'l');
    assert_true(bp_key_parse("M-x", &key));
    assert_int_equal(key, BP_ALT | 'x');
    assert_true(bp_key_parse("S-C-Up", &key));
    assert_int_equal(key, BP_SHIFT | BP_CTRL | BP_KEY_UP);
    assert_true(bp_key_parse(" ", &key));
    assert_int_equal(key, ' ');
}

static void what_is_no_key_is_refused(void **state)
{
    static const char *const words[] = {"",        "up",    "Upp",      "ab",  "C-",    "S-a",
                                        "S-Space", "C-C-a", "M-A-x",    "F13", "F0",    "\n",
                                        "\x7f",    "\xff",  "\xc2\x9b", "X-a", "C-Upp", "S--"};
    (void)state;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        uint32_t key = 12345;
        if (bp_key_parse(words[i], &key))
            fail_msg("\"%s\" was taken for a key", words[i]);
        assert_int_equal(key, 12345);
    }
}

static void keys_that_nobody_can_type_still_have_a_name(void **state)
{
    char text[BP_KEY_TEXT];
    (void)state;
    assert_string_equal(bp_key_name(0, text), "U+0000");
    assert_string_equal(bp_key_name(0x9b, text), "U+009B");
    assert_string_equal(bp_key_name(BP_SHIFT | BP_CTRL | BP_ALT | 0x3fffff, text),
                        "C-A-S-U+3FFFFF");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_and_keys_go_both_ways),
        cmocka_unit_test(every_named_key_goes_both_ways_with_every_modifier),
        cmocka_unit_test(other_ways_to_write_a_key),
        cmocka_unit_test(what_is_no_key_is_refused),
        cmocka_unit_test(keys_that_nobody_can_type_still_have_a_name),
    };
    return cmocka_run_group_tests_name("keys", tests, NULL, NULL);
}
