/* The table of actions, and binding keys to them. */
#include "support.h"

#include <ctype.h>

#include "ui/actions.h"
#include "ui/command_words.h"
#include "ui/event.h"

static struct bp_keymap keymap;

static int set_up(void **state)
{
    (void)state;
    return bp_keymap_init(&keymap) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    bp_keymap_done(&keymap);
    return 0;
}

static void every_action_has_a_key_and_a_line_of_help(void **state)
{
    char key[BP_KEY_TEXT];
    (void)state;
    for (int a = 0; a < BP_N_ACTIONS; a++) {
        const struct bp_action_row *row = bp_action_row((enum bp_action)a);
        assert_true(*row->name && *row->group && strlen(row->help) >= 8);
        if (!*bp_keymap_key(&keymap, (enum bp_action)a, key))
            fail_msg("%s has no key", row->name);
    }
}

static void every_word_of_the_table_is_a_key_and_none_stands_twice(void **state)
{
    size_t words = 0;
    (void)state;
    for (int a = 0; a < BP_N_ACTIONS; a++)
        for (const char *p = bp_action_row((enum bp_action)a)->keys; *p; words++) {
            char word[BP_KEY_TEXT];
            uint32_t key;
            const size_t n = strcspn(p, " ");
            snprintf(word, sizeof word, "%.*s", (int)n, p);
            p += n + (p[n] == ' ');
            if (!bp_key_parse(word, &key))
                fail_msg("'%s' is no key", word);
            assert_int_equal(bp_keymap_find(&keymap, key), a);
        }
    assert_int_equal(keymap.n, words);
    for (size_t i = 0; i < keymap.n; i++)
        for (size_t k = 0; k < i; k++)
            assert_int_not_equal(keymap.at[i].key, keymap.at[k].key);
}

static void groups_stand_together(void **state)
{
    (void)state;
    for (int a = 1; a < BP_N_ACTIONS; a++) {
        const char *group = bp_action_row((enum bp_action)a)->group;
        if (strcmp(group, bp_action_row((enum bp_action)(a - 1))->group) == 0)
            continue;
        for (int b = 0; b < a; b++)
            assert_string_not_equal(group, bp_action_row((enum bp_action)b)->group);
    }
}

static void every_action_can_be_bound_by_its_name(void **state)
{
    (void)state;
    for (int a = 0; a < BP_N_ACTIONS; a++) {
        char name[64] = "";
        uint32_t key;
        for (size_t i = 0; bp_action_row((enum bp_action)a)->name[i]; i++) {
            const char c = bp_action_row((enum bp_action)a)->name[i];
            name[i] = c == '_' ? '-' : (char)tolower((unsigned char)c);
            name[i + 1] = '\0';
        }
        assert_true(bp_keymap_bind(&keymap, "F12", name));
        assert_true(bp_key_parse("F12", &key));
        assert_int_equal(bp_keymap_find(&keymap, key), a);
    }
}

static void a_later_binding_wins_and_none_unbinds(void **state)
{
    char key[BP_KEY_TEXT];
    (void)state;
    assert_true(bp_keymap_bind(&keymap, "q", "undo"));
    assert_int_equal(bp_keymap_find(&keymap, 'q'), BP_ACTION_UNDO);
    assert_string_equal(bp_keymap_key(&keymap, BP_ACTION_QUIT, key), "C-c");
    assert_true(bp_keymap_bind(&keymap, "C-c", "none"));
    assert_int_equal(bp_keymap_find(&keymap, BP_CTRL | 'c'), BP_N_ACTIONS);
    assert_string_equal(bp_keymap_key(&keymap, BP_ACTION_QUIT, key), "");
    assert_false(bp_keymap_bind(&keymap, "q", "sing"));
    assert_false(bp_keymap_bind(&keymap, "q", "und"));
    assert_false(bp_keymap_bind(&keymap, "Hyper-q", "undo"));
    assert_int_equal(bp_keymap_find(&keymap, 0x20AC), BP_N_ACTIONS);
}

static void commands_differ(void **state)
{
    static const char *const commands[] = {
#define ROW(word, ...) word,
        BP_COMMANDS(ROW)
#undef ROW
    };
    (void)state;
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(commands[i], commands[k]);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(every_action_has_a_key_and_a_line_of_help),
        TEST(every_word_of_the_table_is_a_key_and_none_stands_twice),
        TEST(groups_stand_together),
        TEST(every_action_can_be_bound_by_its_name),
        TEST(a_later_binding_wins_and_none_unbinds),
        TEST(commands_differ),
    };
    return cmocka_run_group_tests_name("actions", tests, NULL, NULL);
}
