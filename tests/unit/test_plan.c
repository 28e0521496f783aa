/* The planner against enumeration of every choice; totals, baselines and memory summed again. */
#include "plan_tables.h"

/* Sums of some five doubles in another order. */
static const double SUM_TOLERANCE = 1e-14;
/* GLPK works in floating point with a relative gap of its own. */
static const double GLPK_TOLERANCE = 1e-6;

/* --- the optimum --- */

/* The least error of all choices within the budget; INFINITY when none fits. */
static double enumerate(const struct bp_table *t, uint64_t budget)
{
    double least = INFINITY;
    size_t n = 1;
    for (size_t i = 0; i < t->n_matrices; i++)
        n *= t->n_candidates;
    for (size_t all = 0; all < n; all++) {
        uint64_t bits = 0;
        double error = 0.0;
        size_t rest = all;
        for (size_t i = 0; i < t->n_matrices; i++, rest /= t->n_candidates) {
            bits += t->storage[i * t->n_candidates + rest % t->n_candidates];
            error += t->error[i * t->n_candidates + rest % t->n_candidates];
        }
        if (bits <= budget && error < least) /* NaN is never less */
            least = error;
    }
    return least;
}

static bool near(double a, double b, double tolerance)
{
    return fabs(a - b) <= tolerance * fabs(b);
}

static void check_totals(const struct bp_plan *plan)
{
    const struct bp_table *t = plan->table;
    uint64_t bits = 0;
    double error = 0.0;
    for (size_t i = 0; i < t->n_matrices; i++) {
        assert_in_range(plan->choice[i], 0, t->n_candidates - 1);
        bits += t->storage[i * t->n_candidates + plan->choice[i]];
        error += t->error[i * t->n_candidates + plan->choice[i]];
    }
    assert_true(plan->storage_bits == bits && bits <= plan->budget.bits);
    assert_true(plan->error == error);
    assert_true(plan->params == bp_table_params(t));
}

/* Budgets from one bit below the least to beyond the most. */
static void check_against_enumeration(const struct bp_table *t, int n_budgets)
{
    struct bp_planner *p = planner_of(t, NULL);
    uint64_t least, most;
    bp_planner_range(p, &least, &most);
    for (int b = -1; b <= n_budgets + 1; b++) {
        uint64_t bits = b < 0 ? least - 1
                        : b > n_budgets
                            ? most + 1
                            : least + (most - least) * (uint64_t)b / (uint64_t)n_budgets;
        struct bp_budget budget = exact_budget(bits);
        double best = enumerate(t, bits);
        struct bp_err err = {""};
        struct bp_plan *plan;
        enum bp_status status = bp_planner_solve(p, &budget, BP_SOLVER_MCKP, NULL, &plan, &err);
        assert_int_equal(status, isinf(best) ? BP_INFEASIBLE : BP_OK);
        assert_int_equal(status == BP_INFEASIBLE, b < 0);
        if (status != BP_OK)
            continue;
        assert_true(near(plan->error, best, SUM_TOLERANCE));
        assert_true(plan->certificate.optimal);
        assert_true(plan->certificate.lower_bound <= plan->error);
        assert_true(plan->certificate.gap >= 0.0 && plan->certificate.gap <= SUM_TOLERANCE);
        check_totals(plan);
        bp_plan_free(plan);
    }
    bp_planner_free(p);
}

static void plans_are_the_least_of_all_choices_at_every_budget(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 6; seed++) {
        struct bp_table *t = usual(seed);
        check_against_enumeration(t, 60);
        bp_table_close(t);
    }
}

/* Storage and errors without any law, ties among them. */
static void plans_are_the_least_for_tables_without_order(void **state)
{
    (void)state;
    struct support_rng g = {77};
    for (int n = 0; n < 6; n++) {
        struct bp_table *t = usual(1);
        double *error = t->copies[SUPPORT_ERROR];
        uint64_t *storage = t->copies[SUPPORT_STORAGE];
        for (int cell = 0; cell < N * C; cell++) {
            error[cell] = (double)support_below(&g, n % 2 ? 5 : 1000);
            storage[cell] = 1 + support_below(&g, n % 3 ? 1000 : 4);
        }
        check_against_enumeration(t, 40);
        bp_table_close(t);
    }
}

static void cells_that_are_not_measured_are_not_chosen(void **state)
{
    (void)state;
    struct support_rng g = {78};
    for (uint64_t seed = 0; seed < 6; seed++) {
        struct bp_table *t = usual(seed);
        double *error = t->copies[SUPPORT_ERROR];
        for (int i = 0; i < N; i++)
            for (int n = 0; n < 2; n++)
                error[i * C + (int)support_below(&g, C)] = NAN;
        check_against_enumeration(t, 30);
        bp_table_close(t);
    }
}

static void one_matrix_and_one_candidate_make_a_plan(void **state)
{
    (void)state;
    const struct bp_candidate c = support_candidate("nf3:u8:fp32:64:256", 0);
    struct bp_table *t = support_table(SHAPES, 1, &c, 1);
    support_numbers(t, 1);
    check_against_enumeration(t, 2);
    bp_table_close(t);
}

static void glpk_gives_the_same_error(void **state)
{
    (void)state;
    struct bp_table *t = usual(3);
    struct bp_planner *p = planner_of(t, NULL);
    static const char *const budgets[] = {"2.3", "2.75", "3.5", "4.1"};
    for (int b = 0; b < 4; b++) {
        struct bp_budget budget = bits_budget(t, budgets[b]);
        struct bp_plan *plan = solve(p, budget), *other;
        assert_int_equal(bp_planner_solve(p, &budget, BP_SOLVER_GLPK, NULL, &other, NULL), BP_OK);
        assert_true(near(other->error, plan->error, GLPK_TOLERANCE));
        assert_string_equal(plan->certificate.method, "mckp");
        assert_string_equal(other->certificate.method, "glpk");
        check_totals(other);
        bp_plan_free(plan);
        bp_plan_free(other);
    }
    bp_planner_free(p);
    bp_table_close(t);
}

static void more_budget_never_gives_more_error(void **state)
{
    (void)state;
    struct bp_table *t = usual(9);
    struct bp_planner *p = planner_of(t, NULL);
    uint64_t least, most;
    double last = INFINITY;
    bp_planner_range(p, &least, &most);
    for (uint64_t bits = least; bits <= most; bits += 97) {
        struct bp_plan *plan = solve(p, exact_budget(bits));
        assert_true(plan->error <= last * (1.0 + SUM_TOLERANCE));
        last = plan->error;
        bp_plan_free(plan);
    }
    bp_planner_free(p);
    bp_table_close(t);
}

/* --- what cannot be planned --- */

/* The number that stands before `unit` in a text, without its grouping commas. */
static void number_before(const char *text, const char *unit, char out[64])
{
    const char *end = strstr(text, unit);
    size_t n = 0;
    assert_non_null(end);
    const char *begin = end;
    while (begin > text && strchr("0123456789.,", begin[-1]))
        begin--;
    for (; begin < end && n < 63; begin++)
        if (*begin != ',')
            out[n++] = *begin;
    out[n] = '\0';
    assert_true(n > 0);
}

/* Solves for a budget that is too small; the least budgets that the text names must work. */
static void check_too_small(const struct bp_table *t)
{
    struct bp_planner *p = planner_of(t, NULL);
    struct bp_err err = {""};
    struct bp_budget budget = exact_budget(0);
    struct bp_plan *plan = NULL;
    char number[64];
    uint64_t least, most;
    bp_planner_range(p, &least, &most);
    assert_int_equal(bp_planner_solve(p, &budget, BP_SOLVER_MCKP, NULL, &plan, &err),
                     BP_INFEASIBLE);
    assert_null(plan);
    support_says(err.text, "below the least possible");
    const char *tail = strstr(err.text, "least possible: ");
    assert_non_null(tail);

    number_before(tail, " bits/param", number);
    budget = bits_budget(t, number);
    if (budget.bits < least)
        fail_msg("%s bits/param is not enough for %llu bits", number, (unsigned long long)least);
    bp_plan_free(solve(p, budget));
    number_before(tail, " bytes", number);
    assert_int_equal(bp_budget_parse_size(number, &budget, NULL), BP_OK);
    bp_plan_free(solve(p, budget));
    number_before(tail, " bits)", number);
    assert_true(strtoull(number, NULL, 10) == least);
    bp_planner_free(p);
}

static void the_text_of_an_infeasible_budget_names_budgets_that_work(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 4; seed++) {
        struct bp_table *t = usual(seed);
        check_too_small(t);
        bp_table_close(t);
    }
}

/* Sixteen matrices of (2^31 - 1) x 64 have some 2.2e12 parameters. The storage is chosen so that
 * the least budget lies above a number of six decimals by less than 400 / 2.2e12 of a millionth:
 * not enough for a double near 5e6, whose steps are 9e-10, to tell. */
static void the_least_budget_is_rounded_up_even_by_a_hair(void **state)
{
    (void)state;
    struct support_shape shapes[16];
    const struct bp_candidate c = support_candidate("nf4:u8:fp32:64:256", 0);
    for (int i = 0; i < 16; i++)
        shapes[i] = (struct support_shape){INT32_MAX, 64};
    struct bp_table *t = support_table(shapes, 16, &c, 1);
    support_numbers(t, 1);
    uint64_t *storage = t->copies[SUPPORT_STORAGE], params = bp_table_params(t), total = 0;
    /* The first storage above 5 bits a parameter whose millionfold leaves a small remainder. */
    for (uint64_t six = 5000000; total == 0; six++) {
        __extension__ unsigned __int128 product = (unsigned __int128)six * params;
        uint64_t whole = (uint64_t)(product / 1000000), rest = (uint64_t)(product % 1000000);
        if (rest != 0 && 1000000 - rest < 400)
            total = whole + 1;
    }
    for (int i = 0; i < 16; i++)
        storage[i] = total / 16 + (i == 0 ? total % 16 : 0);
    check_too_small(t);
    bp_table_close(t);
}

static void a_matrix_without_a_measured_candidate_is_named(void **state)
{
    (void)state;
    struct bp_table *t = usual(1);
    double *error = t->copies[SUPPORT_ERROR];
    struct bp_err err = {""};
    struct bp_planner *p;
    for (int j = 0; j < C; j++)
        error[2 * C + j] = error[4 * C + j] = NAN;
    assert_int_equal(bp_planner_new(t, NULL, &p, &err), BP_ERR_INPUT);
    assert_null(p);
    support_says(err.text, "2 of 5 matrices are not measured|model.layers.0.self_attn.v_proj");
    bp_table_close(t);
}

/* --- grids --- */

static void a_grid_restricts_the_choice(void **state)
{
    (void)state;
    struct bp_table *t = usual(4);
    struct bp_planner *all = planner_of(t, NULL), *some = planner_of(t, "b0=3,4:b1=4");
    double *error = t->copies[SUPPORT_ERROR];
    for (int b = 0; b < 20; b++) {
        struct bp_budget budget = exact_budget(30000 + 800 * (uint64_t)b);
        struct bp_plan *plan = solve(some, budget), *free_plan = solve(all, budget);
        for (int i = 0; i < N; i++)
            assert_in_range(plan->choice[i], 1, 2);
        assert_true(free_plan->error <= plan->error * (1.0 + SUM_TOLERANCE));
        bp_plan_free(plan);
        bp_plan_free(free_plan);
    }
    bp_planner_free(all);
    bp_planner_free(some);
    for (int i = 0; i < N; i++) /* a matrix that is measured outside the grid alone */
        error[i * C + 1] = error[i * C + 2] = NAN;
    struct bp_err err = {""};
    assert_int_equal(new_planner(t, "b0=3,4:b1=4", &some, &err), BP_ERR_INPUT);
    bp_table_close(t);
}

static void a_grid_that_leaves_nothing_is_infeasible_and_a_bad_one_is_usage(void **state)
{
    (void)state;
    struct bp_table *t = usual(4);
    struct bp_planner *p;
    struct bp_err err = {""};
    assert_int_equal(new_planner(t, "b0=8", &p, &err), BP_INFEASIBLE);
    support_says(err.text, "by hand|none of its 4 candidates|'b0=8'");
    assert_int_equal(new_planner(t, "b0=5", &p, &err), BP_ERR_USAGE);
    assert_null(p);
    bp_table_close(t);
}

static void a_grid_leaves_out_the_candidates_of_other_quantizers(void **state)
{
    (void)state;
    struct bp_candidate candidates[2] = {support_candidate("nf3:u4:bf16:64:256", 0),
                                         {.foreign = true, .label = "Q2_K"}};
    struct bp_table *t = support_table(SHAPES, 2, candidates, 2);
    support_numbers(t, 6);
    struct bp_planner *all = planner_of(t, NULL), *own = planner_of(t, "paper");
    uint64_t *storage = t->copies[SUPPORT_STORAGE], least, most;
    assert_true(storage[1] == 0);
    bp_planner_range(all, &least, &most);
    assert_true(least == 0);
    bp_planner_range(own, &least, &most);
    assert_true(least == storage[0] + storage[2] && most == least);
    bp_planner_free(all);
    bp_planner_free(own);
    bp_table_close(t);
}

/* --- baselines, totals, memory --- */

static const struct bp_baseline *baseline(const struct bp_plan *plan, const char *name)
{
    for (size_t i = 0; i < plan->n_baselines; i++)
        if (strcmp(plan->baselines[i].name, name) == 0)
            return &plan->baselines[i];
    return NULL;
}

static void the_best_uniform_plan_is_the_best_column_that_fits(void **state)
{
    (void)state;
    struct bp_table *t = usual(5);
    double *error = t->copies[SUPPORT_ERROR];
    error[3 * C + 2] = NAN; /* one column is not whole: no uniform plan */
    struct bp_planner *p = planner_of(t, NULL);
    for (int b = 0; b < 40; b++) {
        struct bp_plan *plan = solve(p, exact_budget(20000 + 600 * (uint64_t)b));
        const struct bp_baseline *found = baseline(plan, "best uniform");
        double least = INFINITY;
        int best = -1;
        for (int j = 0; j < C; j++) {
            double sum = 0.0;
            uint64_t bits = 0;
            for (int i = 0; i < N; i++) {
                sum += t->error[i * C + j];
                bits += t->storage[i * C + j];
            }
            if (bits <= plan->budget.bits && sum < least) {
                least = sum;
                best = j;
            }
        }
        assert_int_not_equal(best, 2);
        assert_int_equal(found == NULL, best < 0);
        if (found) {
            assert_true(found->error == least);
            assert_true(bp_candidate_equal(&found->candidate, &t->candidates[best]));
            assert_true(plan->error <= found->error * (1.0 + SUM_TOLERANCE));
        }
        bp_plan_free(plan);
    }
    bp_planner_free(p);
    bp_table_close(t);
}

static void qloras_baselines_are_sums_over_the_table(void **state)
{
    (void)state;
    struct bp_table *t = usual(5);
    struct bp_planner *p = planner_of(t, NULL);
    struct bp_plan *plan = solve(p, bits_budget(t, "3"));
    const struct bp_baseline *nf4 = baseline(plan, "nf4"), *nf3 = baseline(plan, "nf3");
    double errors[2] = {0.0, 0.0};
    uint64_t bits = 0;
    for (int i = 0; i < N; i++) {
        const uint64_t n = SHAPES[i].d * SHAPES[i].k, blocks = (n + 63) / 64;
        errors[0] += t->baseline_error[2 * i];
        errors[1] += t->baseline_error[2 * i + 1];
        bits += 4 * n + 8 * blocks + 32 * ((blocks + 255) / 256);
    }
    assert_non_null(nf4);
    assert_non_null(nf3);
    assert_true(nf4->error == errors[0] && nf3->error == errors[1]);
    assert_true(nf4->storage_bits == bits && nf3->storage_bits == bits - plan->params);
    bp_plan_free(plan);
    t->baseline_error = NULL; /* a table that does not hold them */
    plan = solve(p, bits_budget(t, "3"));
    assert_true(isnan(baseline(plan, "nf4")->error));
    assert_true(baseline(plan, "nf4")->storage_bits == bits);
    bp_plan_free(plan);
    bp_planner_free(p);
    bp_table_close(t);
}

static void totals_and_memory_are_as_computed_by_hand(void **state)
{
    (void)state;
    struct bp_table *t = usual(5);
    struct bp_planner *p = planner_of(t, NULL);
    struct bp_plan *plan = solve(p, bits_budget(t, "3"));
    /* Rank 4 of 16 x 48, 33 x 65, 64 x 16, 20 x 20 and 48 x 100. */
    const uint64_t low_rank = 4 * (64 + 98 + 80 + 40 + 148);
    double norms = 0.0;
    for (int i = 0; i < N; i++)
        norms += t->norm[i];
    assert_true(plan->params == 768 + 2145 + 1024 + 400 + 4800);
    assert_true(plan->low_rank_params == low_rank);
    assert_true(plan->relative_error == plan->error / norms);
    assert_true(bp_plan_bits_per_param(plan) == (double)plan->storage_bits / (double)plan->params);
    assert_true(bp_plan_effective_bits_per_param(plan) ==
                (double)(plan->storage_bits + 16 * low_rank) / (double)plan->params);
    struct bp_ledger l = bp_plan_memory(plan);
    assert_true(l.codes_and_scales_bytes == (plan->storage_bits + 7) / 8);
    assert_true(l.offsets_bytes == 4 * N);
    assert_true(l.low_rank_bytes == 2 * low_rank);
    assert_true(l.outside_known && l.outside_bytes == 200);
    assert_true(l.total_bytes == l.codes_and_scales_bytes + 4 * N + 2 * low_rank + 200);
    bp_plan_free(plan);
    bp_planner_free(p);
    bp_table_close(t);
}

static void ranks_beyond_the_short_side_count_as_the_short_side(void **state)
{
    (void)state;
    const struct bp_candidate c = support_candidate("nf3:u8:fp32:64:256", 64);
    const struct support_shape shapes[2] = {{16, 48}, {100, 80}};
    struct bp_table *t = support_table(shapes, 2, &c, 1);
    support_numbers(t, 5);
    struct bp_planner *p = planner_of(t, NULL);
    struct bp_plan *plan = solve(p, bits_budget(t, "8"));
    assert_true(plan->low_rank_params == 16 * 64 + 64 * 180);
    bp_plan_free(plan);
    bp_planner_free(p);
    bp_table_close(t);
}

static void rows_that_are_not_whole_are_warned_of(void **state)
{
    (void)state;
    struct bp_table *t = usual(5);
    double *error = t->copies[SUPPORT_ERROR];
    error[1 * C + 0] = error[1 * C + 3] = error[4 * C + 2] = NAN;
    struct bp_planner *p = planner_of(t, NULL);
    struct bp_plan *plan = solve(p, bits_budget(t, "3.6"));
    char words[BP_WARNING_TEXT];
    assert_int_equal(plan->n_warnings, 2);
    assert_int_equal(plan->warnings[0].id, BP_RULE_UNMEASURED);
    assert_int_equal(plan->warnings[0].row, 1);
    support_says(bp_warning_format(plan, &plan->warnings[0], words), "2 of 4");
    assert_int_equal(plan->warnings[1].row, 4);
    support_says(bp_warning_format(plan, &plan->warnings[1], words), "1 of 4");
    bp_plan_free(plan);
    bp_planner_free(p);
    bp_table_close(t);
}

static void a_choice_that_is_not_measured_is_not_assembled(void **state)
{
    (void)state;
    struct bp_table *t = usual(5);
    double *error = t->copies[SUPPORT_ERROR];
    const uint32_t choice[N] = {0, 1, 2, 3, 0};
    const struct bp_certificate certificate = {false, 0.0, 1.0, "mckp"};
    struct bp_budget budget = bits_budget(t, "5");
    struct bp_plan *plan;
    struct bp_err err = {""};
    error[2 * C + 2] = NAN;
    struct bp_planner *p = planner_of(t, NULL);
    assert_int_equal(bp_planner_assemble(p, &budget, choice, &certificate, &plan, &err),
                     BP_ERR_INPUT);
    assert_null(plan);
    support_says(err.text, "v_proj.weight|nf4:u4:bf16:64:16 r4 is not measured");
    bp_planner_free(p);
    bp_table_close(t);
}

/* --- limits, points, prices --- */

static void a_set_stop_flag_leaves_a_plan_within_the_budget_and_a_true_bound(void **state)
{
    (void)state;
    const atomic_bool stop = true, go = false;
    const struct bp_planner_limits stopped = {.stop = &stop}, free_to_go = {.stop = &go},
                                   short_work = {.max_work = 1};
    const struct bp_planner_limits *const cut[] = {&stopped, &short_work};
    int n_open = 0;
    for (uint64_t seed = 0; seed < 4; seed++) {
        struct bp_table *t = usual(seed);
        struct bp_planner *p = planner_of(t, NULL);
        uint64_t least, most;
        bp_planner_range(p, &least, &most);
        for (int b = 0; b <= 20; b++) {
            struct bp_budget budget = exact_budget(least + (most - least) * (uint64_t)b / 20);
            struct bp_plan *best = solve(p, budget), *plan;
            for (int n = 0; n < 2; n++) {
                enum bp_status status =
                    bp_planner_solve(p, &budget, BP_SOLVER_MCKP, cut[n], &plan, NULL);
                assert_true(status == BP_OK || status == BP_LIMIT);
                check_totals(plan);
                assert_int_equal(plan->certificate.optimal, status == BP_OK);
                assert_true(plan->certificate.lower_bound <= best->error);
                assert_true(plan->error >= best->error * (1.0 - SUM_TOLERANCE));
                assert_true(near(plan->certificate.gap * plan->error,
                                 plan->error - plan->certificate.lower_bound, 1e-9));
                n_open += status == BP_LIMIT;
                bp_plan_free(plan);
            }
            assert_int_equal(bp_planner_solve(p, &budget, BP_SOLVER_MCKP, &free_to_go, &plan, NULL),
                             BP_OK);
            assert_memory_equal(plan->choice, best->choice, N * sizeof *plan->choice);
            bp_plan_free(plan);
            bp_plan_free(best);
        }
        bp_planner_free(p);
        bp_table_close(t);
    }
    assert_true(n_open > 0);
}

static void points_of_the_frontier_are_those_of_the_plans(void **state)
{
    (void)state;
    struct bp_table *t = usual(5);
    struct bp_planner *p = planner_of(t, NULL);
    struct bp_frontier_point point = {.error = -1.0};
    struct bp_err err = {""};
    uint64_t least, most;
    bp_planner_range(p, &least, &most);
    for (uint64_t bits = least; bits <= most + 500; bits += 397) {
        struct bp_plan *plan = solve(p, exact_budget(bits));
        assert_int_equal(bp_planner_point(p, bits, NULL, &point, &err), BP_OK);
        assert_true(point.budget_bits == bits && point.storage_bits == plan->storage_bits);
        assert_true(point.error == plan->error && plan->objective == plan->error);
        assert_true(point.lower_bound == plan->certificate.lower_bound);
        assert_true(plan->shadow_price >= 0.0 && (bits < most || plan->shadow_price == 0.0));
        bp_plan_free(plan);
    }
    point.error = -1.0;
    assert_int_equal(bp_planner_point(p, least - 1, NULL, &point, &err), BP_INFEASIBLE);
    support_says(err.text, "below the least possible");
    assert_true(point.error == -1.0);
    bp_planner_free(p);
    bp_table_close(t);
}

static void uniform_plans_are_sums_of_columns(void **state)
{
    (void)state;
    struct bp_table *t = usual(5);
    double *error = t->copies[SUPPORT_ERROR];
    error[3 * C + 2] = NAN;
    struct bp_planner *p = planner_of(t, "b0=3,4:b1=2,4,8");
    for (int j = 0; j < C; j++) {
        uint64_t bits, bits_by_hand = 0;
        double sum = 0.0, found = bp_planner_uniform(p, (size_t)j, &bits);
        for (int i = 0; i < N; i++) {
            sum += t->error[i * C + j];
            bits_by_hand += t->storage[i * C + j];
        }
        assert_true(bits == bits_by_hand);
        assert_true(j == 0 || j == 2 ? isnan(found) : found == sum);
    }
    bp_planner_free(p);
    bp_table_close(t);
}

/* Is k the best of all that `counts` says, by rising `key`? Every other one is compared with it. */
static void check_first(int k, bool has, const bool counts[C], const double key[C])
{
    bool any = false;
    for (int a = 0; a < C; a++) {
        any = any || counts[a];
        if (counts[a] && has)
            assert_true(key[k] <= key[a]);
    }
    assert_int_equal(has, any);
    assert_true(!has || counts[k]);
}

/* The definition of planner.h, each candidate against each. */
static void check_prices(const struct bp_planner *p, const struct bp_table *t, int i, int j,
                         double shadow)
{
    struct bp_matrix_prices x;
    bool up[C], down[C], other[C];
    double saves[C], costs[C], total[C];
    const double *e = t->error + i * C;
    bp_planner_prices(p, (size_t)i, (uint32_t)j, shadow, &x);
    for (int k = 0; k < C; k++) {
        const double more = (double)t->storage[i * C + k] - (double)t->storage[i * C + j];
        other[k] = k != j && bp_planner_allows(p, (size_t)i, (size_t)k) && !isnan(e[k]);
        up[k] = other[k] && more > 0 && e[k] < e[j];
        down[k] = other[k] && more < 0;
        saves[k] = -(e[j] - e[k]) / more;
        costs[k] = (e[k] - e[j]) / -more;
        total[k] = (e[k] - e[j]) + shadow * more;
    }
    check_first((int)x.up, x.has_up, up, saves);
    check_first((int)x.down, x.has_down, down, costs);
    check_first((int)x.runner_up, x.has_runner_up, other, total);
    assert_true(!x.has_up || (x.up_price > 0.0 && near(x.up_price, -saves[x.up], SUM_TOLERANCE)));
    assert_true(!x.has_down || near(x.down_price, costs[x.down], SUM_TOLERANCE));
    if (!x.has_runner_up)
        return;
    /* At the flip price both cost the same. */
    const double b = (double)t->storage[i * C + j],
                 c = (double)t->storage[i * C + (int)x.runner_up], r = e[x.runner_up];
    assert_int_equal(isnan(x.flip_price), b == c);
    if (b != c)
        assert_true(fabs((e[j] + x.flip_price * b) - (r + x.flip_price * c)) <=
                    1e-12 * (e[j] + r + fabs(x.flip_price) * (b + c)));
}

static void prices_are_those_of_the_definition(void **state)
{
    (void)state;
    struct support_rng g = {80};
    for (uint64_t seed = 0; seed < 30; seed++) {
        struct bp_table *t = usual(seed);
        double *error = t->copies[SUPPORT_ERROR];
        uint64_t *storage = t->copies[SUPPORT_STORAGE];
        for (int cell = 0; seed % 3 && cell < N * C; cell++) {
            error[cell] = (double)support_below(&g, 20);
            storage[cell] = 1 + support_below(&g, 6);
        }
        if (seed % 5 == 0)
            error[2 * C + 2] = error[4 * C] = NAN;
        struct bp_planner *p = planner_of(t, seed % 2 ? "b0=2,4" : NULL);
        for (int i = 0; i < N; i++)
            for (int j = 0; j < C; j++)
                for (int s = 0; s < 4 && !isnan(t->error[i * C + j]); s++)
                    check_prices(p, t, i, j, s ? 10.0 * support_unit(&g) : 0.0);
        bp_planner_free(p);
        bp_table_close(t);
    }
}

/* From the lightest plan on, the first bit is worth what the best exchange of any matrix saves. */
static void the_shadow_price_of_the_least_budget_is_that_of_the_best_exchange(void **state)
{
    (void)state;
    struct bp_table *t = usual(6);
    struct bp_planner *p = planner_of(t, NULL);
    uint64_t least, most;
    bp_planner_range(p, &least, &most);
    struct bp_plan *all = solve(p, exact_budget(least));
    double best = 0.0;
    for (int i = 0; i < N; i++) {
        struct bp_matrix_prices x;
        bp_planner_prices(p, (size_t)i, all->choice[i], all->shadow_price, &x);
        assert_false(x.has_down); /* the lightest everywhere */
        best = x.has_up && x.up_price > best ? x.up_price : best;
    }
    assert_true(near(all->shadow_price, best, 1e-9));
    bp_plan_free(all);
    bp_planner_free(p);
    bp_table_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans_are_the_least_of_all_choices_at_every_budget),
        cmocka_unit_test(plans_are_the_least_for_tables_without_order),
        cmocka_unit_test(cells_that_are_not_measured_are_not_chosen),
        cmocka_unit_test(one_matrix_and_one_candidate_make_a_plan),
        cmocka_unit_test(glpk_gives_the_same_error),
        cmocka_unit_test(more_budget_never_gives_more_error),
        cmocka_unit_test(the_text_of_an_infeasible_budget_names_budgets_that_work),
        cmocka_unit_test(the_least_budget_is_rounded_up_even_by_a_hair),
        cmocka_unit_test(a_matrix_without_a_measured_candidate_is_named),
        cmocka_unit_test(a_grid_restricts_the_choice),
        cmocka_unit_test(a_grid_that_leaves_nothing_is_infeasible_and_a_bad_one_is_usage),
        cmocka_unit_test(a_grid_leaves_out_the_candidates_of_other_quantizers),
        cmocka_unit_test(the_best_uniform_plan_is_the_best_column_that_fits),
        cmocka_unit_test(qloras_baselines_are_sums_over_the_table),
        cmocka_unit_test(totals_and_memory_are_as_computed_by_hand),
        cmocka_unit_test(ranks_beyond_the_short_side_count_as_the_short_side),
        cmocka_unit_test(rows_that_are_not_whole_are_warned_of),
        cmocka_unit_test(a_choice_that_is_not_measured_is_not_assembled),
        cmocka_unit_test(a_set_stop_flag_leaves_a_plan_within_the_budget_and_a_true_bound),
        cmocka_unit_test(points_of_the_frontier_are_those_of_the_plans),
        cmocka_unit_test(uniform_plans_are_sums_of_columns),
        cmocka_unit_test(prices_are_those_of_the_definition),
        cmocka_unit_test(the_shadow_price_of_the_least_budget_is_that_of_the_best_exchange),
    };
    return cmocka_run_group_tests_name("planner", tests, NULL, NULL);
}
