/* The grid of cells: clipping, text, frames, ASCII, dumps. */
#include "test_dir.h"

#include <limits.h>

#include "ui/cells.h"

static struct bp_cells grid(int cols, int rows, bool ascii)
{
    struct bp_cells cells = {.ascii = ascii};
    assert_true(bp_cells_resize(&cells, cols, rows));
    return cells;
}

static uint32_t ch_at(const struct bp_cells *cells, int x, int y)
{
    return cells->at[y * cells->cols + x].ch;
}

static void expect_row(const struct bp_cells *cells, int y, const char *expected)
{
    char row[4096] = "", text[5];
    for (int x = 0; x < cells->cols; x++)
        if (ch_at(cells, x, y)) {
            bp_utf8_text(ch_at(cells, x, y), text);
            strcat(row, text);
        }
    assert_string_equal(row, expected);
}

/* --- sizes and rectangles --------------------------------------------------------------------- */

static void sizes_are_clamped_and_the_grid_is_blank(void **state)
{
    static const int sizes[][4] = {
        {0, -5, 1, 1}, {3, 2, 3, 2}, {INT_MAX, INT_MAX, BP_MAX_COLS, BP_MAX_ROWS}, {1, 1, 1, 1}};
    struct bp_cells cells = {0};
    (void)state;
    for (int i = 0; i < 4; i++) {
        assert_true(bp_cells_resize(&cells, sizes[i][0], sizes[i][1]));
        assert_int_equal(cells.cols, sizes[i][2]);
        assert_int_equal(cells.rows, sizes[i][3]);
        assert_int_equal(cells.cursor_x, -1);
        for (int k = 0; k < cells.cols * cells.rows; k++)
            assert_true(cells.at[k].ch == ' ' && cells.at[k].role == BP_ROLE_TEXT &&
                        !cells.at[k].reversed);
        bp_cells_fill(&cells, bp_cells_rect(&cells), BP_ROLE_ERROR, '#');
    }
    bp_cells_done(&cells);
    assert_null(cells.at);
}

static void rectangles_intersect_wherever_they_lie(void **state)
{
    static const struct bp_rect screen = {0, 0, 10, 5};
    static const struct {
        struct bp_rect r, clipped;
    } cases[] = {
        {{0, 0, 10, 5}, {0, 0, 10, 5}},
        {{-3, -2, 5, 4}, {0, 0, 2, 2}},
        {{8, 4, 5, 5}, {8, 4, 2, 1}},
        {{INT_MIN, INT_MIN, INT_MAX, INT_MAX}, {0, 0, 0, 0}},
        {{INT_MAX - 1, 0, INT_MAX, 1}, {0, 0, 0, 0}},
        {{-5, -5, INT_MAX, INT_MAX}, {0, 0, 10, 5}},
        {{2, 2, 0, 3}, {0, 0, 0, 0}},
        {{2, 2, -4, 3}, {0, 0, 0, 0}},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct bp_rect r = bp_rect_clip(cases[i].r, screen);
        assert_int_equal(r.w, cases[i].clipped.w);
        assert_int_equal(r.h, cases[i].clipped.h);
        if (r.w) {
            assert_int_equal(r.x, cases[i].clipped.x);
            assert_int_equal(r.y, cases[i].clipped.y);
        }
    }
    assert_true(bp_rect_has(screen, 9, 4));
    assert_false(bp_rect_has(screen, 10, 4));
    assert_false(bp_rect_has(screen, -1, 0));
    const struct bp_rect inset = bp_rect_inset(screen, 2);
    assert_true(inset.x == 2 && inset.y == 2 && inset.w == 6 && inset.h == 1);
}

static void painting_outside_does_nothing(void **state)
{
    static const int places[] = {INT_MIN, -1000, -1, 0, 3, 4, 1000, INT_MAX};
    (void)state;
    struct bp_cells cells = grid(4, 4, false);
    const struct bp_rect all = bp_cells_rect(&cells), clip = {1, 1, 2, 2};
    for (int i = 0; i < 8; i++)
        for (int k = 0; k < 8; k++) {
            bp_cells_put(&cells, clip, places[i], places[k], BP_ROLE_TEXT, 'x');
            bp_cells_fill(&cells, (struct bp_rect){places[i], places[k], 0, 9}, BP_ROLE_TEXT, 'x');
        }
    for (int y = 0; y < 4; y++)
        expect_row(&cells, y, "    ");
    /* A clipping rectangle that reaches beyond the grid is cut to it. */
    bp_cells_text(&cells, (struct bp_rect){-9, -9, 99, 99}, -2, 0, BP_ROLE_TEXT, "abcdefgh");
    expect_row(&cells, 0, "cdef");
    bp_cells_text(&cells, clip, 0, 1, BP_ROLE_TEXT, "1234");
    expect_row(&cells, 1, " 23 ");
    bp_cells_text(&cells, all, 0, 9, BP_ROLE_TEXT, "below");
    bp_cells_reverse(&cells, (struct bp_rect){-5, 3, 7, 9});
    assert_true(cells.at[12].reversed && cells.at[13].reversed && !cells.at[14].reversed);
    bp_cells_done(&cells);
}

/* --- text ------------------------------------------------------------------------------------- */

static void text_returns_the_column_behind_it_as_if_nothing_were_clipped(void **state)
{
    (void)state;
    struct bp_cells cells = grid(6, 1, false);
    const struct bp_rect all = bp_cells_rect(&cells);
    assert_int_equal(bp_cells_text(&cells, all, 2, 0, BP_ROLE_TEXT, "a\u00e9\u4f4d\u2500xyz"), 10);
    expect_row(&cells, 0, "  a\u00e9\u4f4d");
    assert_int_equal(bp_cells_text(&cells, all, -3, 5, BP_ROLE_TEXT, "\u4f4d\u4f4d"), 1);
    assert_int_equal(bp_text_width("a\u00e9\u4f4d\u2500"), 5);
    assert_int_equal(bp_text_width(""), 0);
    /* A combining character takes no column, and has no cell to be in. */
    assert_int_equal(bp_text_width("e\u0301x"), 2);
    assert_int_equal(bp_cells_text(&cells, all, 0, 0, BP_ROLE_TEXT, "e\u0301x   "), 5);
    expect_row(&cells, 0, "ex    ");
    bp_cells_done(&cells);
}

static void what_cannot_be_shown_is_a_question_mark(void **state)
{
    (void)state;
    struct bp_cells cells = grid(12, 1, false);
    const struct bp_rect all = bp_cells_rect(&cells);
    /* An escape, a newline, DEL, C1; a stray byte, an overlong form, a surrogate, a cut character.
     */
    const int end =
        bp_cells_text(&cells, all, 0, 0, BP_ROLE_TEXT, "\033\n\x7f\xc2\x9b|\xff\xc0\x80|\xe2\x94");
    expect_row(&cells, 0, "????|???|?? ");
    assert_int_equal(end, 11);
    bp_cells_put(&cells, all, 0, 0, BP_ROLE_TEXT, 0x4f4d);
    bp_cells_put(&cells, all, 1, 0, BP_ROLE_TEXT, 7);
    bp_cells_put(&cells, all, 2, 0, BP_ROLE_TEXT, 0x301);
    expect_row(&cells, 0, "????|???|?? ");
    bp_cells_done(&cells);
}

static void a_wide_character_that_is_cut_turns_blank(void **state)
{
    (void)state;
    struct bp_cells cells = grid(6, 1, false);
    const struct bp_rect all = bp_cells_rect(&cells);
    bp_cells_fill(&cells, all, BP_ROLE_TEXT, '.');
    bp_cells_text(&cells, (struct bp_rect){1, 0, 3, 1}, 0, 0, BP_ROLE_TEXT, "\u4f4d\u4f4d\u4f4d");
    expect_row(&cells, 0, ". \u4f4d..");
    /* Over either half of one that is there. */
    bp_cells_put(&cells, all, 3, 0, BP_ROLE_TEXT, 'x');
    expect_row(&cells, 0, ".  x..");
    bp_cells_text(&cells, all, 2, 0, BP_ROLE_TEXT, "\u4f4d");
    bp_cells_put(&cells, all, 2, 0, BP_ROLE_TEXT, 'x');
    expect_row(&cells, 0, ". x ..");
    /* One over the halves of two. */
    bp_cells_text(&cells, all, 0, 0, BP_ROLE_TEXT, "\u4f4d\u4f4d");
    bp_cells_text(&cells, all, 1, 0, BP_ROLE_TEXT, "\u5b57");
    expect_row(&cells, 0, " \u5b57 ..");
    bp_cells_text(&cells, all, 5, 0, BP_ROLE_TEXT, "\u4f4d");
    expect_row(&cells, 0, " \u5b57 . ");
    bp_cells_done(&cells);
}

static void formatted_and_right_aligned_text(void **state)
{
    char big[6000];
    (void)state;
    struct bp_cells cells = grid(10, 2, false);
    const struct bp_rect all = bp_cells_rect(&cells);
    assert_int_equal(bp_cells_printf(&cells, all, 1, 0, BP_ROLE_VALUE, "%d %s", 42, "b/p"), 7);
    expect_row(&cells, 0, " 42 b/p   ");
    assert_int_equal(cells.at[1].role, BP_ROLE_VALUE);
    assert_int_equal(bp_cells_right(&cells, all, 10, 1, BP_ROLE_DIM, "\u4f4d3"), 7);
    expect_row(&cells, 1, "       \u4f4d3");
    assert_int_equal(bp_cells_right(&cells, all, 3, 1, BP_ROLE_DIM, "12345"), -2);
    expect_row(&cells, 1, "345    \u4f4d3");
    /* Longer than any row: cut between characters. */
    memset(big, 0, sizeof big);
    for (int i = 0; i < 1900; i++)
        memcpy(big + 3 * i, "\u2500", 3);
    assert_int_equal(bp_cells_printf(&cells, all, 0, 0, BP_ROLE_TEXT, "%s", big), 1333);
    expect_row(&cells, 0, "\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500");
    bp_cells_done(&cells);
}

/* --- frames ----------------------------------------------------------------------------------- */

static void a_frame_has_its_title_in_the_upper_edge(void **state)
{
    (void)state;
    struct bp_cells cells = grid(14, 3, false);
    const struct bp_rect all = bp_cells_rect(&cells);
    bp_cells_frame(&cells, all, false, "Budget");
    expect_row(&cells, 0, "\u250c Budget \u2500\u2500\u2500\u2500\u2510");
    expect_row(&cells, 1, "\u2502            \u2502");
    expect_row(&cells, 2,
               "\u2514\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500\u2500"
               "\u2518");
    assert_int_equal(cells.at[0].role, BP_ROLE_FRAME);
    assert_int_equal(cells.at[2].role, BP_ROLE_TITLE);
    bp_cells_frame(&cells, all, true, "A title that is too long");
    expect_row(&cells, 0, "\u250c A title th \u2510");
    assert_int_equal(cells.at[0].role, BP_ROLE_FOCUS);
    assert_int_equal(cells.at[2].role, BP_ROLE_FOCUS);
    bp_cells_done(&cells);
}

static void frames_of_any_size_stay_inside(void **state)
{
    static const int corners[][2] = {{1, 1}, {-2, -2}, {8, 4}};
    (void)state;
    for (int i = 0; i < 3; i++)
        for (int w = -1; w <= 12; w++)
            for (int h = -1; h <= 8; h++) {
                struct bp_cells cells = grid(10, 6, false);
                const struct bp_rect r = {corners[i][0], corners[i][1], w, h};
                bp_cells_frame(&cells, r, false, "\u4f4d\u4f4dtitle");
                for (int y = 0; y < 6; y++)
                    for (int x = 0; x < 10; x++)
                        if (!bp_rect_has(r, x, y) || bp_rect_has(bp_rect_inset(r, 1), x, y))
                            assert_int_equal(ch_at(&cells, x, y), ' ');
                if (i == 0 && w >= 2 && h >= 2) {
                    assert_int_equal(ch_at(&cells, 1, 1), 0x250c);
                    if (w < 10 && h < 6)
                        assert_int_equal(ch_at(&cells, w, h), 0x2518);
                }
                bp_cells_done(&cells);
            }
}

/* --- ASCII ------------------------------------------------------------------------------------ */

static void an_ascii_grid_holds_only_ascii(void **state)
{
    (void)state;
    struct bp_cells cells = grid(10, 2, true);
    const struct bp_rect all = bp_cells_rect(&cells);
    bp_cells_frame(&cells, all, false, NULL);
    expect_row(&cells, 0, "+--------+");
    bp_cells_text(&cells, all, 0, 1, BP_ROLE_TEXT, "\u4f4dx\u00d7\u2192\u2713\u28ff\u2588");
    expect_row(&cells, 1, "? xx>+:#-+");
    /* The same columns as with Unicode, halves cut or not. */
    bp_cells_text(&cells, all, 9, 1, BP_ROLE_TEXT, "\u4f4d");
    expect_row(&cells, 1, "? xx>+:#- ");
    bp_cells_done(&cells);
}

static void every_glyph_class_has_a_likeness(void **state)
{
    static const struct {
        uint32_t ch;
        char ascii;
    } cases[] = {
        {'a', 'a'},    {'~', '~'},     {' ', ' '},    {0x2500, '-'}, {0x2502, '|'},
        {0x253c, '+'}, {0x256d, '+'},  {0x2550, '='}, {0x2571, '/'}, {0x2588, '#'},
        {0x2591, '.'}, {0x2592, ':'},  {0x2593, '%'}, {0x2800, ' '}, {0x2801, '.'},
        {0x280f, '.'}, {0x281f, ':'},  {0x28ff, ':'}, {0x2190, '<'}, {0x2191, '^'},
        {0x2192, '>'}, {0x2193, 'v'},  {0x2022, '*'}, {0x25cf, '*'}, {0x25cb, 'o'},
        {0x25b2, '^'}, {0x25b6, '>'},  {0x25bc, 'v'}, {0x25c0, '<'}, {0x25c6, '*'},
        {0x2713, '+'}, {0x2717, 'x'},  {0x2212, '-'}, {0x2026, '.'}, {0x2264, '<'},
        {0x4f4d, '?'}, {0x1f600, '?'}, {7, '?'},      {0x7f, '?'},   {UINT32_MAX, '?'},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(bp_ascii_of(cases[i].ch), cases[i].ascii);
    for (uint32_t ch = 0; ch < 0x3000; ch++)
        assert_in_range(bp_ascii_of(ch), 0x20, 0x7e);
    /* Box characters, blocks, shapes and braille all have one. */
    for (uint32_t ch = 0x2500; ch < 0x2600; ch++)
        assert_int_not_equal(bp_ascii_of(ch), '?');
    for (uint32_t ch = 0x2800; ch < 0x2900; ch++)
        assert_int_not_equal(bp_ascii_of(ch), '?');
}

/* --- roles, UTF-8 and dumps ------------------------------------------------------------------- */

static void every_role_has_a_letter_of_its_own_and_a_meaning(void **state)
{
    bool seen[128] = {false};
    (void)state;
    for (unsigned role = 0; role < BP_N_ROLES; role++) {
        const char letter = bp_role_letter(role);
        assert_in_range(letter, 0x21, 0x7e);
        assert_false(seen[(int)letter]);
        seen[(int)letter] = true;
        assert_true(strlen(bp_role_meaning(role)) > 0);
    }
    assert_int_equal(bp_role_letter(BP_ROLE_HEAT), 'a');
    assert_int_equal(bp_role_letter(BP_ROLE_HEAT + 15), 'p');
}

static void utf8_goes_both_ways(void **state)
{
    static const uint32_t chars[] = {1,      0x7f,   0x80,   0x7ff,   0x800,
                                     0xd7ff, 0xe000, 0xffff, 0x10000, 0x10ffff};
    char text[5];
    (void)state;
    for (size_t i = 0; i < sizeof chars / sizeof *chars; i++) {
        const char *p = text;
        const int n = bp_utf8_text(chars[i], text);
        assert_int_equal(strlen(text), n);
        assert_int_equal(bp_utf8_next(&p), chars[i]);
        assert_ptr_equal(p, text + n);
    }
    const char *bad = "\xf4\x90\x80\x80";
    const char *p = bad;
    assert_true(bp_utf8_next(&p) == UINT32_MAX);
    assert_ptr_equal(p, bad + 1);
}

static void a_dump_has_characters_styles_and_what_is_special(void **state)
{
    (void)state;
    struct bp_cells cells = grid(5, 2, false);
    const struct bp_rect all = bp_cells_rect(&cells);
    bp_cells_text(&cells, all, 0, 0, BP_ROLE_ERROR, "a\u4f4d");
    bp_cells_put(&cells, all, 4, 0, BP_ROLE_HEAT + 15, 0x2588);
    char *text = bp_cells_dump(&cells);
    assert_string_equal(text, "size 5x2\n|a\u4f4d \u2588|\n|     |\n\n|EEE.p|\n|.....|\n");
    free(text);
    bp_cells_reverse(&cells, (struct bp_rect){1, 0, 2, 2});
    bp_cells_reverse(&cells, (struct bp_rect){4, 1, 1, 1});
    cells.cursor_x = 3;
    cells.cursor_y = 1;
    text = bp_cells_dump(&cells);
    assert_string_equal(text, "size 5x2\n|a\u4f4d \u2588|\n|     |\n\n|EEE.p|\n|.....|\n\n"
                              "reversed 1,0+2\nreversed 1,1+2\nreversed 4,1+1\ncursor 3,1\n");
    free(text);
    bp_cells_done(&cells);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_clamped_and_the_grid_is_blank),
        cmocka_unit_test(rectangles_intersect_wherever_they_lie),
        cmocka_unit_test(painting_outside_does_nothing),
        cmocka_unit_test(text_returns_the_column_behind_it_as_if_nothing_were_clipped),
        cmocka_unit_test(what_cannot_be_shown_is_a_question_mark),
        cmocka_unit_test(a_wide_character_that_is_cut_turns_blank),
        cmocka_unit_test(formatted_and_right_aligned_text),
        cmocka_unit_test(a_frame_has_its_title_in_the_upper_edge),
        cmocka_unit_test(frames_of_any_size_stay_inside),
        cmocka_unit_test(an_ascii_grid_holds_only_ascii),
        cmocka_unit_test(every_glyph_class_has_a_likeness),
        cmocka_unit_test(every_role_has_a_letter_of_its_own_and_a_meaning),
        cmocka_unit_test(utf8_goes_both_ways),
        cmocka_unit_test(a_dump_has_characters_styles_and_what_is_special),
    };
    return cmocka_run_group_tests_name("cells", tests, NULL, NULL);
}
