/* Charts on sub-cells. */
#include "test_dir.h"

#include <float.h>
#include <math.h>
#include <time.h>

#include "ui/canvas.h"

struct chart {
    struct bp_cells cells;
    struct bp_canvas *canvas;
};

static struct chart chart(int cols, int rows, bool ascii)
{
    struct chart c = {.cells = {.ascii = ascii}};
    assert_true(bp_cells_resize(&c.cells, cols, rows));
    c.canvas = bp_canvas_new(&c.cells, bp_cells_rect(&c.cells));
    assert_non_null(c.canvas);
    return c;
}

static void done(struct chart *c)
{
    assert_null(bp_canvas_free(c->canvas));
    bp_cells_done(&c->cells);
}

static uint32_t drawn(struct chart *c, int x, int y)
{
    bp_cells_clear(&c->cells);
    bp_canvas_draw(c->canvas, &c->cells);
    return c->cells.at[y * c->cells.cols + x].ch;
}

static int count_dots(struct chart *c)
{
    int n = 0;
    for (int y = 0; y < c->cells.rows; y++)
        for (int x = 0; x < c->cells.cols; x++) {
            const uint32_t ch = drawn(c, x, y);
            n += ch == ' ' ? 0 : __builtin_popcount(ch & 0xff);
        }
    return n;
}

static void braille_has_eight_dots_a_cell(void **state)
{
    static const uint32_t bits[4][2] = {{1, 8}, {2, 16}, {4, 32}, {64, 128}};
    (void)state;
    for (int y = 0; y < 4; y++)
        for (int x = 0; x < 2; x++) {
            struct chart c = chart(3, 2, false);
            assert_int_equal(bp_canvas_width(c.canvas), 6);
            assert_int_equal(bp_canvas_height(c.canvas), 8);
            bp_canvas_dot(c.canvas, 2 + x, 4 + y, BP_ROLE_CURVE);
            assert_int_equal(drawn(&c, 1, 1), 0x2800 | bits[y][x]);
            assert_int_equal(drawn(&c, 0, 1), ' ');
            done(&c);
        }
}

static void ascii_has_two_dots_a_cell(void **state)
{
    (void)state;
    struct chart c = chart(3, 1, true);
    assert_int_equal(bp_canvas_width(c.canvas), 3);
    assert_int_equal(bp_canvas_height(c.canvas), 2);
    bp_canvas_dot(c.canvas, 0, 0, BP_ROLE_CURVE);
    bp_canvas_dot(c.canvas, 1, 1, BP_ROLE_CURVE);
    bp_canvas_dot(c.canvas, 2, 0, BP_ROLE_CURVE);
    bp_canvas_dot(c.canvas, 2, 1, BP_ROLE_CURVE);
    assert_int_equal(drawn(&c, 0, 0), '\'');
    assert_int_equal(drawn(&c, 1, 0), '.');
    assert_int_equal(drawn(&c, 2, 0), ':');
    bp_canvas_mark(c.canvas, 0, 0, BP_ROLE_BOOKMARK, 0x25c6);
    assert_int_equal(drawn(&c, 0, 0), '*');
    done(&c);
}

static void the_nearest_dot_is_taken(void **state)
{
    (void)state;
    struct chart c = chart(2, 1, false);
    bp_canvas_dot(c.canvas, 0.49, -0.49, BP_ROLE_CURVE);
    assert_int_equal(drawn(&c, 0, 0), 0x2801);
    bp_canvas_dot(c.canvas, 3.49, 3.49, BP_ROLE_CURVE);
    assert_int_equal(drawn(&c, 1, 0), 0x2880);
    bp_canvas_dot(c.canvas, nextafter(3.5, 0), nextafter(3.5, 0), BP_ROLE_CURVE);
    bp_canvas_dot(c.canvas, 3.5, 0, BP_ROLE_CURVE);
    bp_canvas_dot(c.canvas, -0.51, 0, BP_ROLE_CURVE);
    assert_int_equal(count_dots(&c), 2);
    done(&c);
}

static void lines_have_no_holes_whatever_their_slope(void **state)
{
    (void)state;
    for (int end_x = 0; end_x < 20; end_x += 3)
        for (int end_y = 0; end_y < 20; end_y += 3) {
            struct chart c = chart(10, 5, false);
            bp_canvas_line(c.canvas, 0, 0, end_x, end_y, BP_ROLE_CURVE);
            assert_int_equal(count_dots(&c), (end_x > end_y ? end_x : end_y) + 1);
            /* The other way round is the same line but for ties. */
            done(&c);
        }
    struct chart c = chart(1, 1, false);
    bp_canvas_line(c.canvas, 0, 0, 0, 3, BP_ROLE_CURVE);
    assert_int_equal(drawn(&c, 0, 0), 0x2847);
    bp_canvas_line(c.canvas, 1, 0, 1, 3, BP_ROLE_CURVE);
    assert_int_equal(drawn(&c, 0, 0), 0x28ff);
    done(&c);
}

static void huge_lines_are_clipped_before_they_cost_anything(void **state)
{
    static const double ends[][4] = {
        {-1e300, 5, 1e300, 5},     {-DBL_MAX, 5, DBL_MAX, 5},
        {5, -DBL_MAX, 5, DBL_MAX}, {-DBL_MAX, -DBL_MAX, DBL_MAX, DBL_MAX},
        {0, 1e308, 1e308, 1e308},  {-1e9, -1e9, 1e9, 1e9},
        {-1e15, 0, 1e15, 19},      {DBL_MAX, 3, DBL_MAX, 4},
    };
    struct timespec before, after;
    (void)state;
    struct chart c = chart(10, 5, false);
    clock_gettime(CLOCK_MONOTONIC, &before);
    for (int i = 0; i < 1000; i++)
        for (size_t k = 0; k < sizeof ends / sizeof *ends; k++)
            bp_canvas_line(c.canvas, ends[k][0], ends[k][1], ends[k][2], ends[k][3], BP_ROLE_CURVE);
    clock_gettime(CLOCK_MONOTONIC, &after);
    assert_true(after.tv_sec - before.tv_sec < 5);
    assert_int_equal(drawn(&c, 0, 1) & 0x12, 0x12); /* the row of y = 5, from edge to edge */
    assert_int_equal(drawn(&c, 9, 1) & 0x12, 0x12);
    assert_int_equal(drawn(&c, 2, 0) & 0xb8, 0xb8); /* the column of x = 5 */
    assert_int_equal(drawn(&c, 2, 4) & 0xb8, 0xb8);
    done(&c);
}

static void a_clipped_line_is_part_of_the_whole_one(void **state)
{
    (void)state;
    struct chart c = chart(10, 5, false);
    /* y = 2 x - 10 inside: from (5, 0) to (14.5, 19). */
    bp_canvas_line(c.canvas, -995, -2000, 1005, 2000, BP_ROLE_CURVE);
    assert_true(drawn(&c, 2, 0) & 0x08);  /* (5, 0) */
    assert_true(drawn(&c, 5, 2) & 0x04);  /* (10, 10) */
    assert_true(drawn(&c, 7, 4) & 0x04);  /* (14, 18) */
    assert_int_equal(count_dots(&c), 20); /* one a row */
    done(&c);
}

static void what_is_outside_or_no_number_draws_nothing(void **state)
{
    (void)state;
    struct chart c = chart(4, 4, false);
    static const double odd[] = {NAN, INFINITY, -INFINITY, -1e300, 1e300};
    for (int i = 0; i < 5; i++)
        for (int k = 0; k < 5; k++) {
            bp_canvas_dot(c.canvas, odd[i], odd[k], BP_ROLE_CURVE);
            bp_canvas_dot(c.canvas, odd[i], 1, BP_ROLE_CURVE);
            bp_canvas_mark(c.canvas, 1, odd[k], BP_ROLE_CURVE, 'x');
            if (i < 3)
                bp_canvas_line(c.canvas, odd[i], 0, 3, odd[k], BP_ROLE_CURVE);
        }
    bp_canvas_line(c.canvas, -5, -1, 100, -1, BP_ROLE_CURVE);
    bp_canvas_line(c.canvas, 8, 0, 8, 100, BP_ROLE_CURVE);
    bp_canvas_line(c.canvas, -10, 5, 5, -10, BP_ROLE_CURVE); /* past the corner */
    assert_int_equal(count_dots(&c), 0);
    done(&c);
}

static void the_later_role_wins_and_marks_are_on_top(void **state)
{
    (void)state;
    struct chart c = chart(2, 1, false);
    bp_canvas_dot(c.canvas, 0, 0, BP_ROLE_CURVE);
    bp_canvas_dot(c.canvas, 1, 0, BP_ROLE_UNIFORM);
    assert_int_equal(drawn(&c, 0, 0), 0x2809);
    assert_int_equal(c.cells.at[0].role, BP_ROLE_UNIFORM);
    bp_canvas_mark(c.canvas, 0, 0, BP_ROLE_BOOKMARK, 'B');
    bp_canvas_line(c.canvas, 0, 0, 1, 3, BP_ROLE_CURVE);
    assert_int_equal(drawn(&c, 0, 0), 'B');
    assert_int_equal(c.cells.at[0].role, BP_ROLE_BOOKMARK);
    done(&c);
}

static void a_canvas_covers_what_is_in_the_grid(void **state)
{
    struct bp_cells cells = {.ascii = false};
    (void)state;
    assert_true(bp_cells_resize(&cells, 10, 4));
    struct bp_canvas *canvas = bp_canvas_new(&cells, (struct bp_rect){7, 2, 20, 20});
    assert_non_null(canvas);
    assert_int_equal(bp_canvas_width(canvas), 6);
    assert_int_equal(bp_canvas_height(canvas), 8);
    bp_cells_put(&cells, bp_cells_rect(&cells), 8, 2, BP_ROLE_TEXT, 'k');
    bp_canvas_dot(canvas, 0, 0, BP_ROLE_CURVE);
    bp_canvas_draw(canvas, &cells);
    assert_int_equal(cells.at[2 * 10 + 7].ch, 0x2801);
    assert_int_equal(cells.at[2 * 10 + 8].ch, 'k'); /* what holds no dot is left alone */
    bp_canvas_free(canvas);
    assert_null(bp_canvas_new(&cells, (struct bp_rect){10, 0, 5, 5}));
    assert_null(bp_canvas_new(&cells, (struct bp_rect){0, 0, 0, 5}));
    assert_null(bp_canvas_new(&cells, (struct bp_rect){0, 0, 5, -1}));
    bp_cells_done(&cells);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(braille_has_eight_dots_a_cell),
        cmocka_unit_test(ascii_has_two_dots_a_cell),
        cmocka_unit_test(the_nearest_dot_is_taken),
        cmocka_unit_test(lines_have_no_holes_whatever_their_slope),
        cmocka_unit_test(huge_lines_are_clipped_before_they_cost_anything),
        cmocka_unit_test(a_clipped_line_is_part_of_the_whole_one),
        cmocka_unit_test(what_is_outside_or_no_number_draws_nothing),
        cmocka_unit_test(the_later_role_wins_and_marks_are_on_top),
        cmocka_unit_test(a_canvas_covers_what_is_in_the_grid),
    };
    return cmocka_run_group_tests_name("canvas", tests, NULL, NULL);
}
