/* Ties and weights: which matrices a group ties, and plans under ties, weights and other
 * constraints against the enumeration of every choice. */
#include "plan_tables.h"

#include "engine/constraints.h"
#include "engine/json_write.h"

/* Sums of nine doubles in another order. */
static const double SUM_TOLERANCE = 1e-14;

/* Seven matrices of layer 0 (q k v o gate up down) and two of layer 1 (q k). */
enum { M = 9, K = 3, N_CHOICES = 19683 };

static struct bp_table *nine(uint64_t seed)
{
    static const struct support_shape shapes[M] = {
        {16, 48}, {33, 65}, {64, 16}, {20, 20}, {48, 100}, {16, 64}, {32, 32}, {40, 40}, {24, 72}};
    const struct bp_candidate candidates[K] = {support_candidate("nf2:u2:bf16:64:256", 4),
                                               support_candidate("nf3:u4:fp16:32:64", 4),
                                               support_candidate("nf4:u4:bf16:64:16", 4)};
    struct bp_table *t = support_table(shapes, M, candidates, K);
    support_numbers(t, seed);
    return t;
}

/* Numbers without any law: a lighter candidate may be better. */
static void shuffle(struct bp_table *t, struct support_rng *g)
{
    double *error = t->copies[SUPPORT_ERROR];
    uint64_t *storage = t->copies[SUPPORT_STORAGE];
    for (int cell = 0; cell < M * K; cell++) {
        error[cell] = (double)support_below(g, 1000);
        storage[cell] = 1 + support_below(g, 300);
    }
}

static struct bp_constraints list_of(const char *const *options)
{
    struct bp_constraints list = {0};
    for (; options[0]; options += 2)
        assert_int_equal(bp_constraints_add_option(&list, options[0], options[1], NULL), BP_OK);
    return list;
}

static struct bp_planner *planner_under(const struct bp_table *t, const struct bp_constraints *list)
{
    struct bp_planner *p;
    struct bp_err err = {""};
    if (bp_planner_new(t, list, &p, &err))
        fail_msg("%s", err.text);
    return p;
}

/* --- groups --- */

static void check_groups(const struct bp_table *t, const char *const *options,
                         const uint32_t *expected)
{
    struct bp_constraints list = list_of(options);
    struct bp_err err = {""};
    uint32_t group[32];
    size_t n, most = 0;
    if (bp_constraints_groups(&list, t, group, &n, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < t->n_matrices; i++) {
        if (group[i] != expected[i])
            fail_msg("%s: matrix %zu is in group %u, not %u", options[1], i, group[i], expected[i]);
        most = expected[i] > most ? expected[i] : most;
    }
    assert_int_equal(n, most + 1);
    bp_constraints_done(&list);
}

/* The cases that plans are tried under, too. */
static const struct {
    const char *options[5];
    uint32_t group[M];
} ties[] = {
    {{"--tie", "qkv"}, {0, 0, 0, 1, 2, 3, 4, 5, 5}},
    {{"--tie", "gate_up"}, {0, 1, 2, 3, 4, 4, 5, 6, 7}},
    {{"--tie", "qkv,gate_up"}, {0, 0, 0, 1, 2, 2, 3, 4, 4}},
    {{"--tie", "layer"}, {0, 0, 0, 0, 0, 0, 0, 1, 1}},
    {{"--tie", "kind"}, {0, 1, 2, 3, 4, 5, 6, 0, 1}},
    {{"--tie", "mine=mlp"}, {0, 1, 2, 3, 4, 4, 4, 5, 6}},
    {{"--tie", "odd=(up|o)_proj"}, {0, 1, 2, 3, 4, 3, 5, 6, 7}},
    {{"--tie", "qkv", "--tie", "kind"}, {0, 0, 0, 1, 2, 3, 4, 0, 0}},
    {{"--tie", "a=self_attn", "--tie", "b=down|layers.1"}, {0, 0, 0, 0, 1, 2, 0, 0, 0}},
    {{"--tie", "layer", "--tie", "qkv"}, {0, 0, 0, 0, 0, 0, 0, 1, 1}},
    {{"--tie", "all=."}, {0, 0, 0, 0, 0, 0, 0, 0, 0}},
};
enum { N_TIES = sizeof ties / sizeof *ties };

static void groups_are_those_of_the_names(void **state)
{
    (void)state;
    struct bp_table *t = nine(1);
    for (int n = 0; n < N_TIES; n++)
        check_groups(t, ties[n].options, ties[n].group);
    const char *const none[] = {"--ban", "q_proj=nf2:*:*:*:*", NULL};
    check_groups(t, none, (const uint32_t[M]){0, 1, 2, 3, 4, 5, 6, 7, 8});
    bp_table_close(t);
}

/* A table of the given names, all of one shape. Layers and kinds are those of the names. */
static struct bp_table *named(const char *const *names, const int *layers, size_t n)
{
    struct support_shape shapes[32];
    const struct bp_candidate candidate = support_candidate("nf2:u2:bf16:64:256", 0);
    assert_true(n <= 32);
    for (size_t i = 0; i < n; i++)
        shapes[i] = (struct support_shape){16, 16};
    struct bp_table *t = support_table(shapes, n, &candidate, 1);
    for (size_t i = 0; i < n; i++) {
        free(t->matrices[i].name);
        t->matrices[i].name = bp_strdup(names[i]);
        t->matrices[i].layer = layers ? layers[i] : 0;
    }
    return t;
}

static void experts_are_tied_by_layer_and_kind_whatever_their_number(void **state)
{
    (void)state;
    static const char *const names[] = {
        "model.layers.0.mlp.experts.0.up_proj.weight",    /* 0 */
        "model.layers.0.mlp.experts.1.up_proj.weight",    /* 0 */
        "model.layers.0.mlp.experts.10.up_proj.weight",   /* 0 */
        "model.layers.0.mlp.experts.10.gate_proj.weight", /* 1 */
        "model.layers.1.mlp.experts.10.up_proj.weight",   /* 2: another layer */
        "model.layers.0.mlp.shared_expert.up_proj.weight",
        "model.layers.2.mlp.experts.up_proj.weight[0]",  /* 4: one stack */
        "model.layers.2.mlp.experts.up_proj.weight[11]", /* 4 */
        "model.layers.3.mlp.experts.up_proj[0]",
        "model.layers.4.block_sparse_moe.experts.0.w1.weight", /* 6 */
        "model.layers.4.block_sparse_moe.experts.1.w1.weight", /* 6 */
        "model.layers.4.block_sparse_moe.experts.1.w3.weight",
    };
    const char *const experts[] = {"--tie", "experts", NULL};
    const char *const gate_up[] = {"--tie", "gate_up", NULL};
    const char *const both[] = {"--tie", "experts,gate_up", NULL};
    struct bp_table *t = named(names, NULL, 12);
    check_groups(t, experts, (const uint32_t[]){0, 0, 0, 1, 2, 3, 4, 4, 5, 6, 6, 7});
    check_groups(t, gate_up, (const uint32_t[]){0, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9, 9});
    check_groups(t, both, (const uint32_t[]){0, 0, 0, 0, 1, 2, 3, 3, 4, 5, 5, 5});
    bp_table_close(t);
}

static void stacks_and_spellings_are_kept_apart(void **state)
{
    (void)state;
    static const char *const names[] = {
        "encoder.layers.0.self_attn.q_proj.weight",
        "encoder.layers.0.self_attn.k_proj.weight",
        "decoder.layers.0.self_attn.q_proj.weight",
        "decoder.layers.0.cross_attn.k_proj.weight",
        "layers.0.attention.wq.weight",
        "layers.0.attention.wk.weight",
        "encoder.layer.3.attention.self.query.weight",
        "encoder.layer.3.attention.self.value.weight",
        "layers.0.attention.wo.weight",
        "layers.0.attention.q_proj",
        "layers.0.attention.v_proj",
    };
    const int layers[] = {0, 0, 0, 0, 0, 0, 3, 3, 0, -1, -1};
    const char *const qkv[] = {"--tie", "qkv", NULL};
    const char *const layer[] = {"--tie", "layer", NULL};
    struct bp_table *t = named(names, layers, 11);
    check_groups(t, qkv, (const uint32_t[]){0, 0, 1, 2, 3, 3, 4, 4, 5, 6, 6});
    check_groups(t, layer, (const uint32_t[]){0, 0, 1, 1, 2, 2, 3, 3, 2, 4, 5});
    bp_table_close(t);
}

static void ties_that_cannot_be_meant_are_refused_in_words(void **state)
{
    (void)state;
    static const struct {
        const char *option, *value, *words;
    } bad[] = {
        {"--tie", "experts", "--tie 'experts'|ties nothing"},
        {"--tie", "qkv,experts", "--tie 'qkv,experts': experts ties nothing"},
        {"--tie", "qvk", "'qvk' is no group: qkv, gate_up, experts, layer, kind, or NAME=RE"},
        {"--tie", "qkv,", "'' is no group"},
        {"--tie", "", "'' is no group"},
        {"--tie", "mine=", "is not of the form NAME=RE"},
        {"--tie", "=mlp", "is not of the form NAME=RE"},
        {"--tie", "mine=norm", "--tie 'mine=norm' matches no matrix"},
        {"--tie", "mine=down", "ties nothing"},
        {"--tie", "mine=(", "not a regular expression"},
        {"--tie", "mine=(a)\\1", "back-references"},
        {"--weight", "q_proj", "RE=X"},
        {"--weight", "q_proj=", "RE=X"},
        {"--weight", "q_prj=2", "--weight 'q_prj=2' matches no matrix"},
        {"--weight", "q_proj=0", "'0' is no factor above 0 and at most 10^6"},
        {"--weight", "q_proj=1000000.1", "is no factor"},
        {"--weight", "q_proj=-1", "is no factor"},
        {"--weight", "q_proj=1e3", "is no factor"},
        {"--weight", "q_proj=inf", "is no factor"},
        {"--weight", "(=2", "not a regular expression"},
    };
    struct bp_table *t = nine(2);
    for (size_t n = 0; n < sizeof bad / sizeof *bad; n++) {
        const char *const options[] = {bad[n].option, bad[n].value, NULL};
        struct bp_constraints list = list_of(options);
        struct bp_planner *p;
        struct bp_err err = {""};
        if (bp_planner_new(t, &list, &p, &err) != BP_ERR_USAGE)
            fail_msg("%s %s passes", bad[n].option, bad[n].value);
        support_says(err.text, bad[n].words);
        assert_null(p);
        bp_constraints_done(&list);
    }
    bp_table_close(t);
}

static void factors_beyond_all_measure_are_refused(void **state)
{
    (void)state;
    struct bp_constraints list = {0};
    struct bp_table *t = nine(2);
    struct bp_planner *p;
    struct bp_err err = {""};
    double *error = t->copies[SUPPORT_ERROR];
    for (int n = 0; n < 17; n++)
        bp_constraints_add(&list, BP_CONSTRAINT_WEIGHT, "q=1000000", NULL);
    assert_int_equal(bp_planner_new(t, &list, &p, &err), BP_ERR_USAGE);
    support_says(err.text, "q_proj.weight multiply to a number beyond");
    free(list.list[--list.n].value);
    bp_planner_free(planner_under(t, &list)); /* 10^96 */
    error[0] = 1e300;
    assert_int_equal(bp_planner_new(t, &list, &p, &err), BP_ERR_INPUT);
    support_says(err.text, "beyond what can be summed");
    bp_constraints_done(&list);
    bp_table_close(t);
}

/* --- plans --- */

struct truth {
    double objective; /* INFINITY: nothing fits */
    uint64_t least;   /* storage */
};

/* Tries every choice that keeps to the groups and to `use`. */
static struct truth enumerate(const struct bp_table *t, const uint32_t *group, const uint8_t *use,
                              const double *weight, uint64_t budget)
{
    struct truth best = {INFINITY, UINT64_MAX};
    for (int all = 0; all < N_CHOICES; all++) {
        int choice[M], of_group[M];
        uint64_t bits = 0;
        double sum = 0.0;
        bool good = true;
        memset(of_group, -1, sizeof of_group);
        for (int i = 0, rest = all; i < M && good; i++, rest /= K) {
            int *tied = &of_group[group[i]];
            choice[i] = rest % K;
            good = use[i * K + choice[i]] && !isnan(t->error[i * K + choice[i]]) &&
                   (*tied < 0 || *tied == choice[i]);
            *tied = choice[i];
            bits += t->storage[i * K + choice[i]];
            sum += weight[i] * t->error[i * K + choice[i]];
        }
        if (!good)
            continue;
        best.least = bits < best.least ? bits : best.least;
        if (bits <= budget && sum < best.objective)
            best.objective = sum;
    }
    return best;
}

static void check_plan(const struct bp_plan *plan, const uint32_t *group, const uint8_t *use,
                       const double *weight, double best)
{
    const struct bp_table *t = plan->table;
    uint64_t bits = 0;
    double error = 0.0, objective = 0.0;
    for (int i = 0; i < M; i++) {
        const uint32_t j = plan->choice[i];
        assert_true(use[i * K + (int)j]);
        for (int k = 0; k < i; k++)
            assert_true(group[k] != group[i] || plan->choice[k] == j);
        bits += t->storage[i * K + (int)j];
        error += t->error[i * K + (int)j];
        objective += weight[i] * t->error[i * K + (int)j];
    }
    assert_true(plan->storage_bits == bits && bits <= plan->budget.bits);
    assert_true(plan->error == error);
    assert_true(plan->objective == objective);
    assert_true(fabs(objective - best) <= SUM_TOLERANCE * best);
    assert_true(plan->certificate.optimal);
    assert_true(plan->certificate.lower_bound <= objective);
    assert_true(plan->certificate.gap >= 0.0 && plan->certificate.gap <= SUM_TOLERANCE);
}

/* Plans of a table at budgets over the range, by both solvers at some. */
static void check_plans(const struct bp_table *t, const char *const *options, const uint32_t *group,
                        const uint8_t *use, const double *weight)
{
    struct bp_constraints list = list_of(options);
    struct bp_planner *p = planner_under(t, &list);
    uint64_t least, most;
    bp_planner_range(p, &least, &most);
    for (int i = 0; i < M; i++) {
        assert_int_equal(bp_planner_group(p, (size_t)i), group[i]);
        for (int j = 0; j < K; j++)
            assert_int_equal(bp_planner_allows(p, (size_t)i, (size_t)j), use[i * K + j]);
    }
    for (int b = 0; b <= 4; b++) {
        const struct bp_budget budget = exact_budget(least + (most - least) * (uint64_t)b / 4);
        struct truth truth = enumerate(t, group, use, weight, budget.bits);
        struct bp_plan *plan = solve(p, budget), *other;
        struct bp_frontier_point point;
        assert_true(truth.least == least);
        check_plan(plan, group, use, weight, truth.objective);
        assert_int_equal(bp_planner_point(p, budget.bits, NULL, &point, NULL), BP_OK);
        assert_true(point.error == plan->objective && point.storage_bits == plan->storage_bits);
        assert_int_equal(bp_planner_solve(p, &budget, BP_SOLVER_GLPK, NULL, &other, NULL), BP_OK);
        assert_true(fabs(other->objective - plan->objective) <= 1e-6 * plan->objective);
        bp_plan_free(other);
        bp_plan_free(plan);
    }
    bp_planner_free(p);
    bp_constraints_done(&list);
}

/* What all matrices of a group may take. */
static void close_groups(const uint32_t *group, uint8_t *use)
{
    for (int i = 0; i < M; i++)
        for (int k = 0; k < M; k++)
            for (int j = 0; group[i] == group[k] && j < K; j++)
                use[i * K + j] &= use[k * K + j];
}

static const double ONES[M] = {1, 1, 1, 1, 1, 1, 1, 1, 1};

static void plans_under_ties_are_the_least_of_all_choices(void **state)
{
    (void)state;
    struct support_rng g = {21};
    for (int n = 0; n < N_TIES; n++)
        for (uint64_t seed = 0; seed < 4; seed++) {
            struct bp_table *t = nine(seed);
            uint8_t use[M * K];
            memset(use, 1, sizeof use);
            if (seed % 2)
                shuffle(t, &g);
            check_plans(t, ties[n].options, ties[n].group, use, ONES);
            bp_table_close(t);
        }
}

static void plans_under_ties_pins_bans_and_holes_are_the_least_of_all_choices(void **state)
{
    (void)state;
    struct support_rng g = {22};
    for (int n = 0; n < N_TIES; n++)
        for (int round = 0; round < 3; round++) {
            struct bp_table *t = nine(3);
            const char *options[11] = {"--ban", "layers.0.*q_proj=nf2:*:*:*:*"};
            uint8_t use[M * K];
            memset(use, 1, sizeof use);
            use[0] = 0;
            size_t at = 2;
            if (round > 0) {
                options[at++] = "--pin";
                options[at++] = "down_proj=*:u4:*:*:*";
                use[6 * K] = 0;
            }
            memcpy(&options[at], ties[n].options, 4 * sizeof *options);
            close_groups(ties[n].group, use);
            shuffle(t, &g);
            if (round > 1) /* candidate 1 is not measured somewhere */
                ((double *)t->copies[SUPPORT_ERROR])[support_below(&g, M) * K + 1] = NAN;
            check_plans(t, options, ties[n].group, use, ONES);
            bp_table_close(t);
        }
}

static void plans_under_weights_are_the_least_of_all_choices(void **state)
{
    (void)state;
    struct support_rng g = {23};
    const char *const alone[] = {"--weight", "v_proj=4.5", "--weight", "layers.0=0.25", NULL};
    const char *const tied[] = {"--weight", "v_proj=4.5", "--weight", "layers.0=0.25",
                                "--tie",    "qkv",        NULL};
    const double weight[M] = {0.25, 0.25, 4.5 * 0.25, 0.25, 0.25, 0.25, 0.25, 1, 1};
    const uint32_t each[M] = {0, 1, 2, 3, 4, 5, 6, 7, 8};
    for (uint64_t seed = 0; seed < 8; seed++) {
        struct bp_table *t = nine(seed);
        uint8_t use[M * K];
        memset(use, 1, sizeof use);
        if (seed % 2)
            shuffle(t, &g);
        check_plans(t, alone, each, use, weight);
        check_plans(t, tied, ties[0].group, use, weight);
        bp_table_close(t);
    }
}

static void the_best_uniform_plan_is_that_of_the_objective(void **state)
{
    (void)state;
    const char *const options[] = {"--weight", "down_proj=1000", NULL};
    struct bp_constraints list = list_of(options);
    struct bp_table *t = nine(5);
    double *error = t->copies[SUPPORT_ERROR];
    uint64_t *storage = t->copies[SUPPORT_STORAGE], bits;
    for (int cell = 0; cell < M * K; cell++) {
        error[cell] = cell % K == 1 ? 10.0 : 1.0; /* candidate 1 is the worst by plain errors ... */
        storage[cell] = 100;
    }
    error[6 * K + 1] = 0.0; /* ... and the best where it counts */
    error[3 * K + 2] = NAN;
    struct bp_planner *p = planner_under(t, &list);
    struct bp_plan *plan = solve(p, exact_budget(1000));
    assert_string_equal(plan->baselines[0].name, "best uniform");
    assert_true(bp_candidate_equal(&plan->baselines[0].candidate, &t->candidates[1]));
    assert_true(plan->baselines[0].error == 80.0);
    assert_true(bp_planner_uniform(p, 0, &bits) == 1008.0 && bits == 900);
    assert_true(bp_planner_uniform(p, 1, &bits) == 80.0 && bits == 900);
    assert_true(isnan(bp_planner_uniform(p, 2, &bits)));
    assert_true(plan->objective == 8.0 && plan->error == 8.0);
    bp_plan_free(plan);
    bp_planner_free(p);
    bp_constraints_done(&list);
    bp_table_close(t);
}

static void tied_matrices_that_share_no_candidate_are_named_with_the_constraints(void **state)
{
    (void)state;
    const char *const options[] = {
        "--pin", "layers.0.*q_proj=nf2:*:*:*:*", "--ban", "down=nf2:*:*:*:*",
        "--ban", "layers.0.*k_proj=nf2:*:*:*:*", "--tie", "qkv",
        NULL};
    struct bp_constraints list = list_of(options);
    struct bp_table *t = nine(2);
    struct bp_planner *p;
    struct bp_err err = {""};
    assert_int_equal(bp_planner_new(t, &list, &p, &err), BP_INFEASIBLE);
    support_says(err.text, "the 3 tied matrices from model.layers.0.self_attn.q_proj.weight to "
                           "model.layers.0.self_attn.v_proj.weight under --tie 'qkv', --pin "
                           "'layers.0.*q_proj=nf2:*:*:*:*', --ban 'layers.0.*k_proj=nf2:*:*:*:*';");
    assert_null(strstr(err.text, "down"));
    bp_constraints_done(&list);
    bp_table_close(t);
}

static void tied_matrices_that_are_not_measured_together_are_named(void **state)
{
    (void)state;
    const char *const options[] = {"--tie", "qkv", NULL};
    struct bp_constraints list = list_of(options);
    struct bp_table *t = nine(2);
    double *error = t->copies[SUPPORT_ERROR];
    struct bp_planner *p;
    struct bp_err err = {""};
    error[7 * K + 0] = error[7 * K + 1] = error[8 * K + 2] = NAN;
    assert_int_equal(bp_planner_new(t, &list, &p, &err), BP_ERR_INPUT);
    support_says(err.text, "measured in model.layers.1.self_attn.q_proj.weight|--tie");
    bp_constraints_done(&list);
    bp_table_close(t);
}

static void only_plans_under_weights_state_an_objective(void **state)
{
    (void)state;
    static const char *const options[3][3] = {
        {NULL}, {"--tie", "qkv", NULL}, {"--weight", "q=2", NULL}};
    struct bp_table *t = nine(2);
    for (int n = 0; n < 3; n++) {
        struct bp_constraints list = list_of(options[n]);
        struct bp_planner *p = planner_under(t, &list);
        struct bp_plan *plan = solve(p, exact_budget(60000));
        struct bp_json_out out;
        bp_plan_to_json(plan, &out);
        char *text = bp_json_print(&out, false);
        assert_int_equal(strstr(text, "\"objective\":") != NULL, n == 2);
        assert_null(strstr(text, "\"shadow_price\""));
        assert_null(strstr(text, "\"context\""));
        assert_int_equal(plan->objective == plan->error, n < 2);
        free(text);
        bp_json_out_done(&out);
        bp_plan_free(plan);
        bp_planner_free(p);
        bp_constraints_done(&list);
    }
    bp_table_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(groups_are_those_of_the_names),
        cmocka_unit_test(experts_are_tied_by_layer_and_kind_whatever_their_number),
        cmocka_unit_test(stacks_and_spellings_are_kept_apart),
        cmocka_unit_test(ties_that_cannot_be_meant_are_refused_in_words),
        cmocka_unit_test(factors_beyond_all_measure_are_refused),
        cmocka_unit_test(plans_under_ties_are_the_least_of_all_choices),
        cmocka_unit_test(plans_under_ties_pins_bans_and_holes_are_the_least_of_all_choices),
        cmocka_unit_test(plans_under_weights_are_the_least_of_all_choices),
        cmocka_unit_test(the_best_uniform_plan_is_that_of_the_objective),
        cmocka_unit_test(tied_matrices_that_share_no_candidate_are_named_with_the_constraints),
        cmocka_unit_test(tied_matrices_that_are_not_measured_together_are_named),
        cmocka_unit_test(only_plans_under_weights_state_an_objective),
    };
    return cmocka_run_group_tests_name("ties and weights", tests, NULL, NULL);
}
