/* The colours of the roles: legible, told apart, nearest in each palette. */
#include "test_dir.h"

#include <math.h>

#include "ui/cells.h"
#include "ui/theme.h"

struct rgb {
    int r, g, b;
};

static struct rgb rgb_of(int32_t color)
{
    return (struct rgb){color >> 16, color >> 8 & 255, color & 255};
}

/* xterm's colours from 16 on: a cube, then greys. */
static struct rgb xterm_color(int index)
{
    static const int levels[6] = {0, 95, 135, 175, 215, 255};
    const int k = index - 16;
    if (index >= 232)
        return (struct rgb){8 + 10 * (index - 232), 8 + 10 * (index - 232), 8 + 10 * (index - 232)};
    return (struct rgb){levels[k / 36], levels[k / 6 % 6], levels[k % 6]};
}

static int distance(struct rgb a, struct rgb b)
{
    return (a.r - b.r) * (a.r - b.r) + (a.g - b.g) * (a.g - b.g) + (a.b - b.b) * (a.b - b.b);
}

/* Of a colour's luminance, as WCAG 2 defines it. */
static double channel(int c)
{
    const double v = c / 255.0;
    return v <= 0.04045 ? v / 12.92 : pow((v + 0.055) / 1.055, 2.4);
}

static double luminance(int32_t color)
{
    const struct rgb c = rgb_of(color);
    return 0.2126 * channel(c.r) + 0.7152 * channel(c.g) + 0.0722 * channel(c.b);
}

static void expect_nearest(int32_t color, int index)
{
    if (color < 0) {
        assert_int_equal(index, -1);
        return;
    }
    assert_in_range(index, 16, 255);
    for (int i = 16; i < 256; i++)
        assert_true(distance(rgb_of(color), xterm_color(index)) <=
                    distance(rgb_of(color), xterm_color(i)));
}

static void every_role_names_the_nearest_colours(void **state)
{
    (void)state;
    for (unsigned role = 0; role < BP_N_ROLES; role++) {
        const struct bp_style *s = bp_theme_style(role);
        assert_non_null(s);
        assert_true(s->fg >= -1 && s->fg <= 0xffffff && s->bg >= -1 && s->bg <= 0xffffff);
        expect_nearest(s->fg, s->fg256);
        expect_nearest(s->bg, s->bg256);
        assert_true(s->fg16 >= -1 && s->fg16 < 16 && s->bg16 >= -1 && s->bg16 < 16);
        assert_int_equal(s->fg == -1, s->fg16 == -1);
        assert_int_equal(s->bg == -1, s->bg16 == -1);
    }
    assert_ptr_equal(bp_theme_style(9999), bp_theme_style(BP_ROLE_TEXT));
}

static void heat_gets_lighter_step_by_step_and_stays_legible(void **state)
{
    double before = -1.0;
    (void)state;
    for (unsigned i = 0; i < BP_N_HEATS; i++) {
        const struct bp_style *s = bp_theme_style(BP_ROLE_HEAT + i);
        const double light = luminance(s->bg);
        assert_true(light > before);
        before = light;
        const double white = 1.05 / (light + 0.05), black = (light + 0.05) / 0.05;
        assert_int_equal(s->fg, white >= black ? 0xffffff : 0);
        assert_true(fmax(white, black) > 4.5);
    }
    assert_int_equal(bp_theme_style(BP_ROLE_HEAT)->bg, 0x00224e);
    assert_int_equal(bp_theme_style(BP_ROLE_HEAT + 15)->bg, 0xfee838);
}

static void attributes_tell_the_roles_that_matter_apart_without_colour(void **state)
{
    (void)state;
    const struct bp_style *good = bp_theme_style(BP_ROLE_GOOD);
    const struct bp_style *warning = bp_theme_style(BP_ROLE_WARNING);
    const struct bp_style *error = bp_theme_style(BP_ROLE_ERROR);
    assert_true(bp_theme_style(BP_ROLE_SELECTED)->mono_reverse);
    assert_true(good->mono_bold && !good->mono_underline);
    assert_true(!warning->mono_bold && warning->mono_underline);
    assert_true(error->mono_bold && error->mono_underline);
    assert_true(bp_theme_style(BP_ROLE_FRAME)->mono_dim);
    assert_false(bp_theme_style(BP_ROLE_FOCUS)->mono_dim);
    assert_true(bp_theme_style(BP_ROLE_ON)->mono_bold && bp_theme_style(BP_ROLE_OFF)->mono_dim);
}

static void parts_of_memory_have_colours_of_their_own(void **state)
{
    (void)state;
    for (unsigned a = BP_ROLE_QUANTIZED; a <= BP_ROLE_ACTIVATION; a++)
        for (unsigned b = BP_ROLE_QUANTIZED; b < a; b++) {
            const struct bp_style *p = bp_theme_style(a), *q = bp_theme_style(b);
            assert_true(distance(rgb_of(p->fg), rgb_of(q->fg)) > 60 * 60);
            assert_int_not_equal(p->fg256, q->fg256);
            assert_int_not_equal(p->fg16, q->fg16);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_role_names_the_nearest_colours),
        cmocka_unit_test(heat_gets_lighter_step_by_step_and_stays_legible),
        cmocka_unit_test(attributes_tell_the_roles_that_matter_apart_without_colour),
        cmocka_unit_test(parts_of_memory_have_colours_of_their_own),
    };
    return cmocka_run_group_tests_name("theme", tests, NULL, NULL);
}
