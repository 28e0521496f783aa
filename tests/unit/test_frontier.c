/* The frontier: its figures are the plans', its knees where the slope breaks, its picture sound. */
#include "plan_tables.h"

#include "engine/frontier.h"

static void figures_are_the_plans(void **state)
{
    (void)state;
    enum { POINTS = 9 };
    struct bp_table *t = usual(3);
    struct bp_planner *p = planner_of(t, NULL);
    struct bp_budget budgets[POINTS];
    struct bp_frontier f;
    struct bp_err err = {""};
    uint64_t least, most;
    bp_planner_range(p, &least, &most);
    for (size_t i = 0; i < POINTS; i++)
        budgets[i] = exact_budget(least + (most - least) * i / (POINTS - 1));
    if (bp_frontier_solve(p, t, budgets, POINTS, NULL, &f, &err))
        fail_msg("%s", err.text);
    assert_int_equal(f.n, POINTS);
    assert_int_equal(f.n_uniform, C);
    assert_int_equal(f.n_baselines, 2);
    assert_false(f.weighted);
    for (size_t i = 0; i < POINTS; i++) {
        struct bp_plan *plan = solve(p, budgets[i]);
        const struct bp_frontier_sample *s = &f.samples[i];
        assert_true(s->error == plan->error && s->objective == plan->objective);
        assert_true(s->lower_bound == plan->certificate.lower_bound && s->optimal);
        assert_true(s->storage_bits == plan->storage_bits);
        assert_true(s->relative_error == plan->relative_error);
        assert_true(s->shadow_price == plan->shadow_price * 8388608.0);
        bp_plan_free(plan);
    }
    bp_frontier_done(&f);
    budgets[1].bits = least - 1;
    assert_int_equal(bp_frontier_solve(p, t, budgets, POINTS, NULL, &f, &err), BP_INFEASIBLE);
    bp_frontier_done(&f);
    bp_planner_free(p);
    bp_table_close(t);
}

/* --- knees --- */

enum { MANY = 101 };

/* Error e^y at every sample, y falling from 10 by the slopes given for each tenth of the range. */
static void lay(struct bp_frontier_sample *s, const double slope[10], double scale)
{
    double y = 10.0;
    for (int i = 0; i < MANY; i++) {
        s[i] = (struct bp_frontier_sample){.budget_bits = 1000 + 10 * (uint64_t)i,
                                           .objective = scale * exp(y)};
        y -= slope[i / 10 < 10 ? i / 10 : 9];
    }
}

static void knees_are_where_the_slope_breaks(void **state)
{
    (void)state;
    static const double slope[10] = {.1, .1, .1, .02, .02, .02, .05, .05, .01, .01};
    struct bp_frontier_sample s[MANY];
    static const double scales[] = {1.0, 1e-200, 1e250};
    for (size_t k = 0; k < sizeof scales / sizeof *scales; k++) {
        lay(s, slope, scales[k]);
        bp_frontier_find_knees(s, MANY);
        for (int i = 0; i < MANY; i++)
            assert_int_equal(s[i].knee, i == 30 ? 1 : i == 80 ? 2 : 0);
    }
}

static void a_line_has_no_knee_and_what_has_no_logarithm_does_no_harm(void **state)
{
    (void)state;
    static const double even[10] = {.1, .1, .1, .1, .1, .1, .1, .1, .1, .1};
    struct bp_frontier_sample s[MANY];
    lay(s, even, 1.0);
    bp_frontier_find_knees(s, MANY);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(s[i].knee, 0);
    for (int i = 50; i < MANY; i++)
        s[i].objective = 0.0;
    bp_frontier_find_knees(s, MANY);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(s[i].knee, 0);
        s[i].budget_bits = 7; /* all at one budget */
        s[i].objective = 3.0;
    }
    bp_frontier_find_knees(s, MANY);
    bp_frontier_find_knees(s, 0);
    bp_frontier_find_knees(s, 1);
    bp_frontier_find_knees(s, 2);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(s[i].knee, 0);
}

/* --- the picture --- */

/* Pictures of odd frontiers: one point, no error, a bound far below, names that XML would take for
 * its own. */
static void pictures_of_odd_frontiers(void **state)
{
    (void)state;
    struct bp_table *t = usual(3);
    free(t->about.model_name);
    t->about.model_name = bp_strdup("a<b>&\"'\x01\xef\xbf\xbf\xff");
    struct bp_frontier_sample s[3] = {
        {.bits_per_param = 2.0, .objective = 1e-300, .lower_bound = 0.0, .knee = 1},
        {.bits_per_param = 3.0, .objective = 0.0},
        {.bits_per_param = 4.0, .objective = 1e300, .lower_bound = 1e-9},
    };
    struct bp_frontier_uniform u = {.candidate = 1, .bits_per_param = 3.0, .objective = 0.0};
    for (size_t n = 1; n <= 3; n++) {
        const struct bp_frontier f = {
            .table = t, .samples = s + 3 - n, .n = n, .uniform = &u, .n_uniform = 1};
        char *svg = bp_frontier_to_svg(&f), *again = bp_frontier_to_svg(&f);
        assert_non_null(svg);
        assert_string_equal(svg, again);
        support_says(svg, "a&lt;b&gt;&amp;&quot;&#39;???|</svg>");
        assert_null(strstr(svg, "nan"));
        assert_null(strstr(svg, "inf"));
        free(svg);
        free(again);
    }
    bp_table_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_are_the_plans),
        cmocka_unit_test(knees_are_where_the_slope_breaks),
        cmocka_unit_test(a_line_has_no_knee_and_what_has_no_logarithm_does_no_harm),
        cmocka_unit_test(pictures_of_odd_frontiers),
    };
    return cmocka_run_group_tests_name("frontier", tests, NULL, NULL);
}
