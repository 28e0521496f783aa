/* Typing a line. */
#include "support.h"

#include "ui/cells.h"
#include "ui/event.h"
#include "ui/prompt.h"

static struct bp_prompt prompt;

static void open_with(const char *text)
{
    bp_prompt_open(&prompt, BP_PROMPT_COMMAND, text);
}

static void keys(const char *words)
{
    for (const char *p = words; *p;) {
        char word[BP_KEY_TEXT];
        uint32_t key;
        const size_t n = strcspn(p, " ");
        snprintf(word, sizeof word, "%.*s", (int)n, p);
        p += n + (p[n] == ' ');
        assert_true(bp_key_parse(word, &key));
        assert_true(bp_prompt_key(&prompt, key));
        assert_int_equal(prompt.n, strlen(prompt.text));
        assert_true(prompt.at <= prompt.n);
    }
}

static void expect(const char *text, size_t at)
{
    assert_string_equal(prompt.text, text);
    assert_int_equal(prompt.at, at);
}

static void a_line_is_typed_and_edited(void **state)
{
    (void)state;
    open_with("");
    keys("a b Space c d");
    expect("ab cd", 5);
    keys("Left Left x Home y End z");
    expect("yab xcdz", 8);
    keys("Backspace Home Delete C-e Left C-k");
    expect("ab xc", 5);
    keys("C-w");
    expect("ab ", 3);
    keys("C-w");
    expect("", 0);
    keys("Backspace Delete Left Right C-w C-u C-k"); /* at the ends nothing happens */
    expect("", 0);
    open_with("bits 2.5");
    keys("C-a Right Right C-u");
    expect("ts 2.5", 0);
}

static void characters_of_several_bytes_are_one(void **state)
{
    (void)state;
    open_with("a\u00e9\u4f4d\U0001f600");
    assert_int_equal(prompt.at, 10);
    keys("Left Backspace");
    expect("a\u00e9\U0001f600", 3);
    keys("Delete Left \u00fc");
    expect("a\u00fc\u00e9", 3);
    keys("Right Right Right");
    assert_int_equal(prompt.at, prompt.n);
}

static void keys_of_others_are_left_to_them(void **state)
{
    static const uint32_t others[] = {BP_KEY_ENTER,  BP_KEY_ESCAPE, BP_KEY_UP,
                                      BP_KEY_DOWN,   BP_KEY_TAB,    BP_KEY_F1,
                                      BP_CTRL | 'z', BP_ALT | 'x',  BP_SHIFT | BP_KEY_LEFT,
                                      0x110000,      0x1F,          0x7F,
                                      0x9B};
    (void)state;
    open_with("x");
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        assert_false(bp_prompt_key(&prompt, others[i]));
        expect("x", 1);
    }
}

static void a_full_line_takes_no_more(void **state)
{
    (void)state;
    open_with("");
    for (int i = 0; i < 2 * BP_PROMPT_TEXT; i++)
        bp_prompt_key(&prompt, i % 3 ? 'x' : 0x4F4D);
    assert_true(prompt.n < BP_PROMPT_TEXT && prompt.n > BP_PROMPT_TEXT - 5);
    const char *p = prompt.text;
    while (*p)
        assert_int_not_equal(bp_utf8_next(&p), UINT32_MAX); /* no character is cut in two */
}

static void every_code_point_goes_round(void **state)
{
    char text[5];
    (void)state;
    for (uint32_t ch = 0x20; ch < 0x110000; ch++) {
        const char *p = text;
        if (!bp_key_utf8(ch, text) || (ch >= 0xD800 && ch < 0xE000))
            continue;
        assert_int_equal(bp_utf8_next(&p), ch);
        assert_int_equal(*p, 0);
    }
    assert_int_equal(bp_key_utf8(0xD800, text), 0); /* half of a pair is no character */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_is_typed_and_edited),
        cmocka_unit_test(characters_of_several_bytes_are_one),
        cmocka_unit_test(keys_of_others_are_left_to_them),
        cmocka_unit_test(a_full_line_takes_no_more),
        cmocka_unit_test(every_code_point_goes_round),
    };
    return cmocka_run_group_tests_name("prompt", tests, NULL, NULL);
}
