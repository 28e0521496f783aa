/* Stability: deterministic, nothing without a choice, everything where candidates are alike. */
#include "plan_tables.h"

#include "engine/stability.h"

static struct bp_stability tested(const struct bp_plan *plan, double percent)
{
    struct bp_stability s;
    struct bp_err err = {""};
    if (bp_stability_test(plan, percent, NULL, &s, &err))
        fail_msg("%s", err.text);
    return s;
}

static void the_same_every_time_and_figures_that_agree(void **state)
{
    (void)state;
    struct bp_table *t = usual(4);
    struct bp_planner *p = planner_of(t, NULL);
    struct bp_plan *plan = solve(p, bits_budget(t, "3"));
    struct bp_stability a = tested(plan, 20.0), b = tested(plan, 20.0);
    assert_int_equal(a.runs, BP_STABILITY_RUNS);
    assert_int_equal(a.n_optimal, a.runs);
    assert_memory_equal(a.changed, b.changed, N * sizeof *a.changed);
    assert_memory_equal(a.codes_changed, b.codes_changed, N * sizeof *a.codes_changed);
    assert_true(a.regret_median == b.regret_median && a.loss_max == b.loss_max);
    assert_true(0.0 <= a.regret_median && a.regret_median <= a.regret_max);
    assert_true(0.0 <= a.loss_median && a.loss_median <= a.loss_max);
    size_t steady = 0;
    for (int i = 0; i < N; i++) {
        assert_true(a.codes_changed[i] <= a.changed[i] && a.changed[i] <= a.runs);
        steady += a.changed[i] == 0;
    }
    assert_int_equal(a.n_steady, steady);
    bp_stability_done(&a);
    bp_stability_done(&b);
    bp_plan_free(plan);
    bp_planner_free(p);
    bp_table_close(t);
}

/* usual()'s candidates lie factors apart; noise of a thousandth changes nothing at a budget that
 * one config fills. */
static void little_noise_changes_little(void **state)
{
    (void)state;
    struct bp_table *t = usual(4);
    struct bp_planner *p = planner_of(t, NULL);
    uint64_t least, most;
    bp_planner_range(p, &least, &most);
    struct bp_plan *plan = solve(p, exact_budget(most));
    struct bp_stability s = tested(plan, 0.1);
    assert_int_equal(s.n_steady, N);
    assert_int_equal(s.n_flips, 0);
    assert_true(s.regret_max == 0.0 && s.loss_max == 0.0);
    bp_stability_done(&s);
    bp_plan_free(plan);
    bp_planner_free(p);
    bp_table_close(t);
}

/* Two configs of the same bits a code and the same error: which of them is chance; the bits a code
 * are not. */
static void candidates_that_are_alike_are_coin_flips(void **state)
{
    (void)state;
    static const struct support_shape shapes[] = {{64, 64}, {64, 64}, {64, 64}};
    const struct bp_candidate candidates[] = {support_candidate("nf3:u4:bf16:64:256", 4),
                                              support_candidate("nf3:u4:fp16:64:256", 4)};
    struct bp_table *t = support_table(shapes, 3, candidates, 2);
    support_numbers(t, 1);
    double *error = t->copies[SUPPORT_ERROR];
    for (int cell = 0; cell < 6; cell++)
        error[cell] = 5.0;
    struct bp_planner *p = planner_of(t, NULL);
    struct bp_plan *plan = solve(p, bits_budget(t, "4"));
    struct bp_stability s = tested(plan, 5.0);
    uint32_t changed = 0;
    for (int i = 0; i < 3; i++)
        changed += s.changed[i];
    assert_in_range(changed, 15, 45); /* 60 tosses: 30 and four deviations of sqrt(15) */
    assert_int_equal(s.n_codes_steady, 3);
    assert_int_equal(s.n_code_flips, 0);
    assert_true(s.loss_max == 0.0);
    /* The better of two factors of 5 %: 5 % / sqrt(pi) = 2.8 % below the mean, each a third. */
    assert_true(s.regret_median > 0.005 && s.regret_max < 0.1);
    assert_true(bp_stability_is_flip(&s, 8) && !bp_stability_is_flip(&s, 7));
    bp_stability_done(&s);
    bp_plan_free(plan);
    bp_planner_free(p);
    bp_table_close(t);
}

static void constraints_and_holes_hold_under_noise(void **state)
{
    (void)state;
    struct bp_table *t = usual(4);
    double *error = t->copies[SUPPORT_ERROR];
    for (int i = 0; i < N; i++)
        error[i * C + 3] = NAN;
    struct bp_constraints constraints = {0};
    struct bp_planner *p;
    assert_int_equal(bp_constraints_add(&constraints, BP_CONSTRAINT_TIE, "kind=.", NULL), BP_OK);
    assert_int_equal(bp_constraints_add(&constraints, BP_CONSTRAINT_WEIGHT, "q_proj=10", NULL),
                     BP_OK);
    assert_int_equal(bp_planner_new(t, &constraints, &p, NULL), BP_OK);
    struct bp_plan *plan = solve(p, bits_budget(t, "3.6"));
    struct bp_stability s = tested(plan, 30.0);
    for (int i = 1; i < N; i++)
        assert_int_equal(s.changed[i], s.changed[0]);
    bp_stability_done(&s);
    bp_plan_free(plan);
    bp_planner_free(p);
    bp_constraints_done(&constraints);
    bp_table_close(t);
}

static void percentages(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "%", "0", "0%", "101", "-1", "5%%", "5 %", "1e1", "x"};
    double noise = 0.0;
    struct bp_err err = {""};
    assert_int_equal(bp_stability_parse("2.5", &noise, &err), BP_OK);
    assert_true(noise == 2.5);
    assert_int_equal(bp_stability_parse("100%", &noise, &err), BP_OK);
    assert_true(noise == 100.0);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(bp_stability_parse(bad[i], &noise, &err), BP_ERR_USAGE);
        support_says(err.text, "is no percentage above 0 and at most 100");
    }
    assert_true(noise == 100.0);
}

static void a_test_that_is_stopped_says_so(void **state)
{
    (void)state;
    struct bp_table *t = usual(3);
    struct bp_planner *p = planner_of(t, NULL);
    struct bp_plan *plan = solve(p, bits_budget(t, "3"));
    atomic_bool stop;
    atomic_init(&stop, true);
    const struct bp_planner_limits limits = {.stop = &stop};
    struct bp_stability stability;
    struct bp_err err = {""};
    assert_int_equal(bp_stability_test(plan, 1.0, &limits, &stability, &err), BP_STOPPED);
    bp_stability_done(&stability);
    bp_plan_free(plan);
    bp_planner_free(p);
    bp_table_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_every_time_and_figures_that_agree),
        cmocka_unit_test(little_noise_changes_little),
        cmocka_unit_test(candidates_that_are_alike_are_coin_flips),
        cmocka_unit_test(constraints_and_holes_hold_under_noise),
        cmocka_unit_test(percentages),
        cmocka_unit_test(a_test_that_is_stopped_says_so),
    };
    return cmocka_run_group_tests_name("stability", tests, NULL, NULL);
}
