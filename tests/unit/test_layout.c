/* Where the panels are, at every size: on the screen, apart from each other, the open page among
 * them. */
#include "support.h"

#include "ui/layout.h"

enum { MOST_COLS = 300, MOST_ROWS = 100, N_RECTS = BP_N_PANELS + 5 };

static size_t rects_of(const struct bp_layout *l, struct bp_rect at[N_RECTS])
{
    const struct bp_rect all[] = {l->header, l->message, l->footer, l->tabs, l->memory_line};
    size_t n = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].w > 0 && all[i].h > 0)
            at[n++] = all[i];
    for (int p = 0; p < BP_N_PANELS; p++)
        if (bp_layout_shows(l, (enum bp_panel)p))
            at[n++] = l->panel[p];
    return n;
}

static bool apart(struct bp_rect a, struct bp_rect b)
{
    return a.x + a.w <= b.x || b.x + b.w <= a.x || a.y + a.h <= b.y || b.y + b.h <= a.y;
}

static void check(int cols, int rows, enum bp_panel page)
{
    struct bp_rect at[N_RECTS];
    const struct bp_layout l = bp_layout(cols, rows, page);
    const size_t n = rects_of(&l, at);
    for (size_t i = 0; i < n; i++) {
        if (at[i].x < 0 || at[i].y < 0 || at[i].x + at[i].w > cols || at[i].y + at[i].h > rows)
            fail_msg("%dx%d page %d: %d,%d %dx%d is off the screen", cols, rows, page, at[i].x,
                     at[i].y, at[i].w, at[i].h);
        for (size_t k = 0; k < i; k++)
            if (!apart(at[i], at[k]))
                fail_msg("%dx%d page %d: %d,%d %dx%d and %d,%d %dx%d overlap", cols, rows, page,
                         at[i].x, at[i].y, at[i].w, at[i].h, at[k].x, at[k].y, at[k].w, at[k].h);
    }
    const bool card = cols < BP_LEAST_COLS || rows < BP_LEAST_ROWS;
    assert_int_equal(l.screen == BP_SCREEN_CARD, card);
    if (card) {
        assert_int_equal(n, 0);
        return;
    }
    if (!bp_layout_shows(&l, page) || !bp_layout_shows(&l, BP_PANEL_BUDGET))
        fail_msg("%dx%d: page %d or the budget is not on the screen", cols, rows, page);
    for (int p = 0; p < BP_N_PANELS; p++) /* a frame and something in it */
        if (bp_layout_shows(&l, (enum bp_panel)p))
            assert_true(l.panel[p].w >= 20 && l.panel[p].h >= 5);
}

static void at_every_size_panels_are_on_the_screen_and_apart(void **state)
{
    (void)state;
    for (int cols = 1; cols <= MOST_COLS; cols++)
        for (int rows = 1; rows <= MOST_ROWS; rows++)
            for (int page = 0; page < BP_N_PANELS; page++)
                check(cols, rows, (enum bp_panel)page);
}

static void more_room_never_shows_less(void **state)
{
    (void)state;
    for (int page = 0; page < BP_N_PANELS; page++)
        for (int cols = 2; cols <= MOST_COLS; cols++)
            for (int rows = 2; rows <= MOST_ROWS; rows++) {
                const enum bp_screen here = bp_layout(cols, rows, (enum bp_panel)page).screen;
                assert_true(bp_layout(cols - 1, rows, (enum bp_panel)page).screen <= here);
                assert_true(bp_layout(cols, rows - 1, (enum bp_panel)page).screen <= here);
            }
}

static void every_panel_has_a_title_of_its_own(void **state)
{
    (void)state;
    for (int p = 0; p < BP_N_PANELS; p++) {
        assert_true(*bp_panel_word((enum bp_panel)p));
        for (int q = 0; q < p; q++)
            assert_string_not_equal(bp_panel_word((enum bp_panel)p),
                                    bp_panel_word((enum bp_panel)q));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_every_size_panels_are_on_the_screen_and_apart),
        cmocka_unit_test(more_room_never_shows_less),
        cmocka_unit_test(every_panel_has_a_title_of_its_own),
    };
    return cmocka_run_group_tests_name("layout", tests, NULL, NULL);
}
