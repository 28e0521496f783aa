/* What a terminal sends into events, with hostile and broken input. */
#include "support.h"

#include "ui/term_input.h"

/* Codes that arrive one after the other; GAP is a silence. */
enum { GAP = -2, END = -3, ROOM = 64 };

struct sender {
    const int *at;
};

static int send_next(void *from, int ms)
{
    struct sender *sender = from;
    (void)ms;
    if (*sender->at == END)
        return BP_INPUT_NONE;
    const int c = *sender->at++;
    return c == GAP ? BP_INPUT_NONE : c;
}

/* Takes all events; a silence ends a round. */
static int take_all(const int *codes, bool utf8, struct bp_event events[ROOM])
{
    struct sender sender = {codes};
    struct bp_input input = {
        .next = send_next, .from = &sender, .utf8 = utf8, .pushed = BP_INPUT_NONE};
    int n = 0;
    for (;;) {
        while (n < ROOM && bp_input_take(&input, &events[n]))
            n++;
        if (n == ROOM || *sender.at == END)
            return n;
    }
}

static void codes_are_keys_with_modifiers(void **state)
{
    struct bp_event events[ROOM];
    (void)state;
    for (uint32_t named = BP_KEY_NAMED + 1; named < BP_KEY_END_OF_NAMES; named++)
        for (uint32_t m = 0; m < 8; m++) {
            const uint32_t key =
                named | (m & 1 ? BP_SHIFT : 0u) | (m & 2 ? BP_CTRL : 0u) | (m & 4 ? BP_ALT : 0u);
            const int codes[] = {bp_input_code(key), END};
            assert_int_equal(take_all(codes, true, events), 1);
            assert_int_equal(events[0].kind, BP_EVENT_KEY);
            assert_int_equal(events[0].key, key);
        }
}

static void an_escape_is_a_key_a_modifier_or_a_beginning(void **state)
{
    static const struct {
        int codes[8];
        uint32_t keys[4]; /* ends with 0 */
    } cases[] = {
        {{27, END}, {BP_KEY_ESCAPE}},
        {{27, 27, END}, {BP_KEY_ESCAPE, BP_KEY_ESCAPE}},
        {{27, GAP, 'x', END}, {BP_KEY_ESCAPE, 'x'}},
        {{27, 'x', END}, {BP_ALT | 'x'}},
        {{27, '[', GAP, 'x', END}, {BP_ALT | '[', 'x'}},
        {{27, '[', '9', ';', '9', 'u', 'x', END}, {'x'}},
        {{27, 'O', 'j', 'x', END}, {'x'}},
        {{27, '[', '9', GAP, 'x', END}, {'x'}},
        {{27, '[', '9', 27, 'x', END}, {BP_ALT | 'x'}},
        {{27, BP_INPUT_IGNORE, 'x', END}, {BP_KEY_ESCAPE, 'x'}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bp_event events[ROOM];
        int expected = 0;
        while (cases[i].keys[expected])
            expected++;
        assert_int_equal(take_all(cases[i].codes, true, events), expected);
        for (int k = 0; k < expected; k++)
            assert_int_equal(events[k].key, cases[i].keys[k]);
    }
}

static void single_bytes_stay_single_without_utf8(void **state)
{
    const int codes[] = {0xc3, 0xa9, 'x', END};
    struct bp_event events[ROOM];
    (void)state;
    /* In the C locale bytes beyond ASCII are no characters. */
    assert_int_equal(take_all(codes, false, events), 1);
    assert_int_equal(events[0].key, 'x');
}

static void the_mouse_counts_from_zero_and_only_its_left_button_matters(void **state)
{
    const int codes[] = {BP_INPUT_MOUSE,
                         '0',
                         ';',
                         '1',
                         ';',
                         '1',
                         'M', /* press */
                         BP_INPUT_MOUSE,
                         '4',
                         ';',
                         '2',
                         ';',
                         '3',
                         'M', /* with shift */
                         BP_INPUT_MOUSE,
                         '2',
                         ';',
                         '1',
                         ';',
                         '1',
                         'm', /* right released */
                         BP_INPUT_MOUSE,
                         '0',
                         ';',
                         '4',
                         ';',
                         '5',
                         'm', /* released */
                         BP_INPUT_MOUSE,
                         '0',
                         ';',
                         '4',
                         ';',
                         '5',
                         'm', /* was up already */
                         BP_INPUT_OLD_MOUSE,
                         32 + 65,
                         33,
                         33, /* wheel down */
                         END};
    struct bp_event events[ROOM];
    (void)state;
    assert_int_equal(take_all(codes, true, events), 4);
    assert_true(events[0].mouse == BP_MOUSE_PRESS && events[0].x == 0 && events[0].y == 0);
    assert_true(events[1].mouse == BP_MOUSE_PRESS && events[1].x == 1 && events[1].y == 2);
    assert_true(events[2].mouse == BP_MOUSE_RELEASE && events[2].x == 3 && events[2].y == 4);
    assert_true(events[3].mouse == BP_MOUSE_WHEEL && events[3].wheel == 1);
}

/* Whatever comes ends, and gives only events that make sense. */
static void random_input_gives_sound_events(void **state)
{
    struct support_rng g = {17};
    (void)state;
    for (int round = 0; round < 20000; round++) {
        static const int likely[] = {27,
                                     '[',
                                     'O',
                                     ';',
                                     '<',
                                     '0',
                                     '9',
                                     'M',
                                     'm',
                                     GAP,
                                     0xc3,
                                     0xe2,
                                     0x94,
                                     0x80,
                                     0xf0,
                                     BP_INPUT_MOUSE,
                                     BP_INPUT_OLD_MOUSE,
                                     BP_INPUT_IGNORE};
        int codes[ROOM / 2 + 1];
        struct bp_event events[ROOM];
        for (int i = 0; i < ROOM / 2; i++)
            codes[i] = support_below(&g, 2)
                           ? (int)support_below(&g, 256)
                           : likely[support_below(&g, sizeof likely / sizeof *likely)];
        codes[ROOM / 2] = END;
        const int n = take_all(codes, true, events);
        assert_true(n <= ROOM / 2);
        for (int i = 0; i < n; i++) {
            char name[BP_KEY_TEXT];
            uint32_t back;
            if (events[i].kind == BP_EVENT_KEY)
                assert_true(bp_key_parse(bp_key_name(events[i].key, name), &back));
            else
                assert_true(events[i].kind == BP_EVENT_MOUSE && events[i].x >= 0 &&
                            events[i].y >= 0 && abs(events[i].wheel) <= 1);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_are_keys_with_modifiers),
        cmocka_unit_test(an_escape_is_a_key_a_modifier_or_a_beginning),
        cmocka_unit_test(single_bytes_stay_single_without_utf8),
        cmocka_unit_test(the_mouse_counts_from_zero_and_only_its_left_button_matters),
        cmocka_unit_test(random_input_gives_sound_events),
    };
    return cmocka_run_group_tests_name("terminal input", tests, NULL, NULL);
}
