/* Plans under every kind of constraint, alone and in all pairs, against the enumeration of every
 * choice; what verify says of plans under conditions beside the budget; limits and progress. */
#include "plan_tables.h"

#include "engine/constraints.h"

enum { Q, K, V, O, GATE }; /* the matrices of the table */
enum { N_CHOICES = C * C * C * C * C };

/* A constraint, and what it says once more by hand. Candidates: 0 nf2:u2:bf16:64:256,
 * 1 nf3:u4:fp16:32:64, 2 nf4:u4:bf16:64:16, 3 nf4:u8:fp32:16:16. */
static const struct rule {
    const char *option, *value;
    bool forbidden[N][C];
    bool tied[N];
    double factor[N]; /* 0: 1 */
    bool relative;
    size_t most; /* 0: any number */
    bool limited[N];
    uint64_t bytes;
} rules[] = {
    {"--pin", "q_proj=nf4:*:*:*:*", .forbidden = {[Q] = {true, true}}},
    {"--ban", "gate=nf2:u2:bf16:64:256", .forbidden = {[GATE] = {true}}},
    {"--floor", "k_proj=3", .forbidden = {[K] = {true}}},
    {"--ceil", "k_proj=4.3", .forbidden = {[K] = {false, false, false, true}}},
    {"--grid", "b0=3,4:b1=2,4,8", .forbidden = {{true}, {true}, {true}, {true}, {true}}},
    {"--tie", "qkv", .tied = {[Q] = true, [K] = true, [V] = true}},
    {"--weight", "v_proj=40", .factor = {[V] = 40}},
    {"--objective", "relative", .relative = true},
    {.option = "--objective", .value = "sum"},
    {"--max-configs", "1", .most = 1},
    {"--max-configs", "2", .most = 2},
    {"--max-configs", "3", .most = 3},
    {"--max-configs", "4", .most = 4},
    {"--limit", "self_attn=1800B", .limited = {true, true, true, true}, .bytes = 1800},
    {"--limit", "(v|o)_proj=600B", .limited = {[V] = true, [O] = true}, .bytes = 600},
    {"--limit", "k_proj|gate=2600B", .limited = {[K] = true, [GATE] = true}, .bytes = 2600},
    {"--limit", "q_proj=100000B", .limited = {[Q] = true}, .bytes = 100000},
};
enum { N_RULES = sizeof rules / sizeof *rules };

static bool is(const struct rule *r, const char *option)
{
    return strcmp(r->option, option) == 0;
}

static double factor_of(const struct rule *r, int i)
{
    return r->factor[i] > 0 ? r->factor[i] : 1;
}

/* What the two say of a choice. */
static bool allowed(const struct bp_table *t, const struct rule *r, const uint32_t *choice)
{
    uint64_t bits = 0;
    int first = -1;
    bool seen[C] = {false};
    size_t n = 0;
    for (int i = 0; i < N; i++) {
        const uint32_t j = choice[i];
        if (r->forbidden[i][j])
            return false;
        if (r->tied[i] && first >= 0 && choice[first] != j)
            return false;
        first = r->tied[i] && first < 0 ? i : first;
        n += !seen[j];
        seen[j] = true;
        bits += r->limited[i] ? t->storage[i * C + (int)j] : 0;
    }
    return (r->most == 0 || n <= r->most) && bits <= (r->bytes ? r->bytes * 8 : UINT64_MAX);
}

static double objective_of(const struct bp_table *t, const struct rule *a, const struct rule *b,
                           const uint32_t *choice)
{
    double sum = 0.0;
    /* The last --objective counts. */
    const bool relative = is(b, "--objective") ? b->relative : a->relative;
    for (int i = 0; i < N; i++)
        sum += t->error[i * C + (int)choice[i]] * factor_of(a, i) * factor_of(b, i) /
               (relative ? t->norm[i] : 1.0);
    return sum;
}

static uint64_t bits_of(const struct bp_table *t, const uint32_t *choice)
{
    uint64_t bits = 0;
    for (int i = 0; i < N; i++)
        bits += t->storage[i * C + (int)choice[i]];
    return bits;
}

static double enumerate(const struct bp_table *t, const struct rule *a, const struct rule *b,
                        uint64_t budget)
{
    double best = INFINITY;
    for (int all = 0; all < N_CHOICES; all++) {
        uint32_t choice[N];
        for (int i = 0, rest = all; i < N; i++, rest /= C)
            choice[i] = (uint32_t)(rest % C);
        if (bits_of(t, choice) <= budget && allowed(t, a, choice) && allowed(t, b, choice))
            best = fmin(best, objective_of(t, a, b, choice));
    }
    return best;
}

/* The least and the most that choices take whatever the constraints. */
static uint64_t budget_at(const struct bp_table *t, uint64_t b, uint64_t n)
{
    uint64_t least = 0, most = 0;
    for (int i = 0; i < N; i++) {
        uint64_t low = UINT64_MAX, high = 0;
        for (int j = 0; j < C; j++) {
            low = t->storage[i * C + j] < low ? t->storage[i * C + j] : low;
            high = t->storage[i * C + j] > high ? t->storage[i * C + j] : high;
        }
        least += low;
        most += high;
    }
    return least + (most - least) * b / n;
}

static void check_pair(const struct bp_table *t, const struct rule *a, const struct rule *b)
{
    struct bp_constraints list = {0};
    struct bp_planner *p;
    struct bp_err err = {""};
    bp_constraints_add_option(&list, a->option, a->value, NULL);
    bp_constraints_add_option(&list, b->option, b->value, NULL);
    enum bp_status made = bp_planner_new(t, &list, &p, &err);
    if (made != BP_OK && made != BP_INFEASIBLE)
        fail_msg("%s", err.text);
    for (uint64_t n = 0; n <= 12; n++) {
        const struct bp_budget budget = exact_budget(budget_at(t, n, 12));
        const double best = enumerate(t, a, b, budget.bits);
        struct bp_plan *plan = NULL;
        enum bp_status status =
            made != BP_OK ? made : bp_planner_solve(p, &budget, BP_SOLVER_MCKP, NULL, &plan, &err);
        if (status != (isfinite(best) ? BP_OK : BP_INFEASIBLE))
            fail_msg("%s %s, %s %s at %d: status %d, best %g: %s", a->option, a->value, b->option,
                     b->value, (int)n, status, best, err.text);
        if (status != BP_OK)
            continue;
        if (fabs(plan->objective - best) > 1e-9 * best)
            fail_msg("%s %s, %s %s: %.17g, best %.17g", a->option, a->value, b->option, b->value,
                     plan->objective, best);
        assert_true(allowed(t, a, plan->choice) && allowed(t, b, plan->choice));
        assert_true(plan->storage_bits <= budget.bits);
        assert_true(plan->storage_bits == bits_of(t, plan->choice));
        assert_true(plan->certificate.optimal && plan->certificate.gap <= 2e-6);
        assert_true(plan->certificate.lower_bound <= best * (1 + 1e-12));
        const bool sided = a->most || b->most || a->bytes || b->bytes;
        assert_string_equal(plan->certificate.method, sided ? "sided" : "mckp");
        assert_int_equal(bp_planner_sided(p), sided);
        assert_int_equal(bp_planner_check_sided(p, plan->choice, NULL), BP_OK);
        bp_plan_free(plan);
    }
    bp_planner_free(p);
    bp_constraints_done(&list);
}

static void each_alone_and_all_pairs_agree_with_enumeration(void **state)
{
    (void)state;
    struct bp_table *t = usual(11);
    for (int a = 0; a < N_RULES; a++)
        for (int b = 0; b < N_RULES; b++)
            check_pair(t, &rules[a], &rules[b]);
    bp_table_close(t);
}

static void what_cannot_be_meant_is_refused_in_words(void **state)
{
    (void)state;
    static const struct {
        const char *option, *value, *words;
    } bad[] = {
        {"--objective", "total", "--objective: 'total' is neither sum nor relative"},
        {"--objective", "", "neither sum nor relative"},
        {"--max-configs", "0", "'0' is no whole number of configs, at least 1"},
        {"--max-configs", "2.0", "no whole number"},
        {"--max-configs", "two", "no whole number"},
        {"--max-configs", "-1", "no whole number"},
        {"--limit", "q_proj", "--limit 'q_proj' is not of the form RE=SIZE"},
        {"--limit", "q_proj=", "RE=SIZE"},
        {"--limit", "=2GiB", "RE=SIZE"},
        {"--limit", "q_proj=2XB", "--limit 'q_proj=2XB'|is no size"},
        {"--limit", "q_prj=2GiB", "--limit 'q_prj=2GiB' matches no matrix"},
        {"--limit", "(=2GiB", "not a regular expression"},
    };
    struct bp_table *t = usual(3);
    for (size_t n = 0; n < sizeof bad / sizeof *bad; n++) {
        struct bp_constraints list = {0};
        struct bp_planner *p;
        struct bp_err err = {""};
        bp_constraints_add_option(&list, bad[n].option, bad[n].value, NULL);
        assert_int_equal(bp_planner_new(t, &list, &p, &err), BP_ERR_USAGE);
        support_says(err.text, bad[n].words);
        bp_constraints_done(&list);
    }
    bp_table_close(t);
}

static void relative_errors_need_norms(void **state)
{
    (void)state;
    struct bp_table *t = usual(3);
    struct bp_constraints list = {0};
    struct bp_planner *p;
    struct bp_err err = {""};
    const double *norm = t->norm;
    bp_constraints_add(&list, BP_CONSTRAINT_OBJECTIVE, "relative", NULL);
    ((double *)t->copies[SUPPORT_NORM])[K] = 0.0;
    assert_int_equal(bp_planner_new(t, &list, &p, &err), BP_ERR_USAGE);
    support_says(err.text, "--objective relative|the norm of|k_proj.weight is zero");
    t->norm = NULL;
    assert_int_equal(bp_planner_new(t, &list, &p, &err), BP_ERR_USAGE);
    support_says(err.text, "holds no norms");
    t->norm = norm;
    bp_constraints_done(&list);
    bp_table_close(t);
}

static void what_nothing_meets_is_explained_with_what_would(void **state)
{
    (void)state;
    static const struct {
        const char *options[2][2];
        const char *words;
        uint64_t part; /* of 12 */
    } cases[] = {
        {{{"--limit", "o_proj=1B"}, {NULL}},
         "--limit 'o_proj=1B' is too small: its matrices take at least",
         12},
        {{{"--max-configs", "1"}, {"--pin", "q_proj=nf4:u8:*:*:*"}},
         "below the least possible under --max-configs: ",
         6},
    };
    struct bp_table *t = usual(11);
    for (size_t n = 0; n < 2; n++) {
        struct bp_constraints list = {0};
        struct bp_planner *p;
        struct bp_plan *plan;
        struct bp_err err = {""};
        const struct bp_budget budget = exact_budget(budget_at(t, cases[n].part, 12));
        for (int k = 0; k < 2 && cases[n].options[k][0]; k++)
            bp_constraints_add_option(&list, cases[n].options[k][0], cases[n].options[k][1], NULL);
        assert_int_equal(bp_planner_new(t, &list, &p, &err), BP_OK);
        assert_int_equal(bp_planner_solve(p, &budget, BP_SOLVER_MCKP, NULL, &plan, &err),
                         BP_INFEASIBLE);
        support_says(err.text, cases[n].words);
        assert_null(plan);
        bp_planner_free(p);
        bp_constraints_done(&list);
    }
    bp_table_close(t);
}

/* --- progress and limits --- */

struct seen {
    double objective, bound;
    int n;
};

static void watch(void *arg, double objective, double lower_bound)
{
    struct seen *seen = arg;
    assert_true(objective <= seen->objective && lower_bound >= seen->bound);
    assert_true(lower_bound <= objective);
    *seen = (struct seen){objective, lower_bound, seen->n + 1};
}

static void progress_goes_one_way_and_ends_with_the_plan(void **state)
{
    (void)state;
    struct bp_table *t = usual(11);
    for (int r = 0; r < N_RULES; r++) {
        if (!rules[r].most && !rules[r].bytes)
            continue;
        struct bp_constraints list = {0};
        struct bp_planner *p;
        struct bp_plan *plan;
        struct seen seen = {INFINITY, 0.0, 0};
        const struct bp_planner_limits limits = {.progress = watch, .progress_arg = &seen};
        const struct bp_budget budget = exact_budget(budget_at(t, 8, 12));
        bp_constraints_add_option(&list, rules[r].option, rules[r].value, NULL);
        assert_int_equal(bp_planner_new(t, &list, &p, NULL), BP_OK);
        assert_int_equal(bp_planner_solve(p, &budget, BP_SOLVER_MCKP, &limits, &plan, NULL), BP_OK);
        assert_true(seen.n > 0);
        assert_true(fabs(seen.objective - plan->objective) <= 1e-12 * plan->objective);
        bp_plan_free(plan);
        bp_planner_free(p);
        bp_constraints_done(&list);
    }
    bp_table_close(t);
}

static void a_stopped_solve_keeps_a_plan_within_its_budget(void **state)
{
    (void)state;
    struct bp_table *t = usual(11);
    struct bp_constraints list = {0};
    struct bp_planner *p;
    struct bp_plan *plan;
    struct bp_err err = {""};
    atomic_bool stop = false;
    const struct bp_planner_limits limits = {.max_work = 1, .stop = &stop};
    bp_constraints_add(&list, BP_CONSTRAINT_MAX_CONFIGS, "2", NULL);
    assert_int_equal(bp_planner_new(t, &list, &p, NULL), BP_OK);
    const struct bp_budget budget = exact_budget(budget_at(t, 7, 12));
    enum bp_status status = bp_planner_solve(p, &budget, BP_SOLVER_MCKP, &limits, &plan, &err);
    assert_true(status == BP_OK || status == BP_LIMIT);
    assert_true(plan->storage_bits <= budget.bits);
    assert_true(plan->certificate.lower_bound <= plan->objective);
    bp_plan_free(plan);
    atomic_store(&stop, true);
    status = bp_planner_solve(p, &budget, BP_SOLVER_MCKP, &limits, &plan, &err);
    assert_true(status == BP_OK || status == BP_LIMIT || status == BP_STOPPED);
    assert_true(status != BP_STOPPED || (plan == NULL && *err.text));
    bp_plan_free(plan);
    bp_planner_free(p);
    bp_constraints_done(&list);
    bp_table_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_alone_and_all_pairs_agree_with_enumeration),
        cmocka_unit_test(what_cannot_be_meant_is_refused_in_words),
        cmocka_unit_test(relative_errors_need_norms),
        cmocka_unit_test(what_nothing_meets_is_explained_with_what_would),
        cmocka_unit_test(progress_goes_one_way_and_ends_with_the_plan),
        cmocka_unit_test(a_stopped_solve_keeps_a_plan_within_its_budget),
    };
    return cmocka_run_group_tests_name("plans under all constraints", tests, NULL, NULL);
}
