/* Constraints: which cells each leaves, alone and in pairs, and plans under them against the
 * enumeration of every choice. */
#include "plan_tables.h"

#include "engine/constraints.h"

static const double SUM_TOLERANCE = 1e-14; /* sums of five doubles in another order */

enum { Q, K, V, O, GATE }; /* the matrices of the table */

/* storage / params >= bits (in tenths), in integers. */
static bool at_least(const struct bp_table *t, int i, int j, uint64_t tenths)
{
    return t->storage[i * C + j] * 10 >= tenths * t->matrices[i].d * t->matrices[i].k;
}

static bool at_most(const struct bp_table *t, int i, int j, uint64_t tenths)
{
    return t->storage[i * C + j] * 10 <= tenths * t->matrices[i].d * t->matrices[i].k;
}

/* What each constraint lets through, said once more by hand. Candidates: 0 nf2:u2:bf16:64:256,
 * 1 nf3:u4:fp16:32:64, 2 nf4:u4:bf16:64:16, 3 nf4:u8:fp32:16:16. */
static bool pin_q_nf4(const struct bp_table *t, int i, int j)
{
    (void)t;
    return i != Q || j >= 2;
}

static bool pin_attention_bf16(const struct bp_table *t, int i, int j)
{
    (void)t;
    return i == GATE || j == 0 || j == 2;
}

static bool ban_gate_nf2(const struct bp_table *t, int i, int j)
{
    (void)t;
    return i != GATE || j != 0;
}

static bool ban_u8(const struct bp_table *t, int i, int j)
{
    (void)t;
    (void)i;
    return j != 3;
}

static bool anything(const struct bp_table *t, int i, int j)
{
    (void)t;
    (void)i;
    (void)j;
    return true;
}

static bool floor_k(const struct bp_table *t, int i, int j)
{
    return i != K || at_least(t, i, j, 30);
}

static bool ceil_v_o(const struct bp_table *t, int i, int j)
{
    return (i != V && i != O) || at_most(t, i, j, 43);
}

static bool grid_3_4(const struct bp_table *t, int i, int j)
{
    (void)t;
    (void)i;
    return j != 0;
}

static const struct {
    enum bp_constraint_kind kind;
    const char *value;
    bool (*allows)(const struct bp_table *t, int i, int j);
} cases[] = {
    {BP_CONSTRAINT_PIN, "q_proj=nf4:*:*:*:*", pin_q_nf4},
    {BP_CONSTRAINT_PIN, "self_attn=*:*:bf16:*:*", pin_attention_bf16},
    {BP_CONSTRAINT_BAN, "gate=nf2:u2:bf16:64:256", ban_gate_nf2},
    {BP_CONSTRAINT_BAN, ".=*:u8:*:*:*", ban_u8},
    {BP_CONSTRAINT_PIN, "^model.*v_proj=*", anything},
    {BP_CONSTRAINT_FLOOR, "k_proj=3", floor_k},
    {BP_CONSTRAINT_CEIL, "(v|o)_proj=4.3", ceil_v_o},
    {BP_CONSTRAINT_GRID, "b0=3,4:b1=2,4,8", grid_3_4},
};
enum { N_CASES = sizeof cases / sizeof *cases };

static struct bp_constraints list_of(int a, int b)
{
    struct bp_constraints list = {0};
    assert_int_equal(bp_constraints_add(&list, cases[a].kind, cases[a].value, NULL), BP_OK);
    assert_int_equal(bp_constraints_add(&list, cases[b].kind, cases[b].value, NULL), BP_OK);
    return list;
}

/* The least error within the budget over the choices that `use` allows; INFINITY when there is
 * none, *least gets the least storage. */
static double enumerate(const struct bp_table *t, const uint8_t *use, uint64_t budget,
                        uint64_t *least)
{
    double best = INFINITY;
    *least = UINT64_MAX;
    for (int all = 0; all < C * C * C * C * C; all++) {
        uint64_t bits = 0;
        double error = 0.0;
        bool allowed = true;
        for (int i = 0, rest = all; i < N; i++, rest /= C) {
            allowed = allowed && use[i * C + rest % C];
            bits += t->storage[i * C + rest % C];
            error += t->error[i * C + rest % C];
        }
        if (!allowed)
            continue;
        *least = bits < *least ? bits : *least;
        if (bits <= budget && error < best)
            best = error;
    }
    return best;
}

static void check_plans(const struct bp_table *t, const struct bp_constraints *list,
                        const uint8_t *use)
{
    struct bp_planner *p;
    struct bp_err err = {""};
    uint64_t least, most, least_by_hand;
    if (bp_planner_new(t, list, &p, &err))
        fail_msg("%s", err.text);
    bp_planner_range(p, &least, &most);
    for (int b = 0; b <= 8; b++) {
        const struct bp_budget budget = exact_budget(least + (most - least) * (uint64_t)b / 8);
        double best = enumerate(t, use, budget.bits, &least_by_hand);
        struct bp_plan *plan = solve(p, budget);
        assert_true(least_by_hand == least);
        assert_true(fabs(plan->error - best) <= SUM_TOLERANCE * best);
        for (int i = 0; i < N; i++)
            assert_true(use[i * C + (int)plan->choice[i]]);
        assert_int_equal(plan->constraints.n, list->n);
        assert_string_equal(plan->constraints.list[1].value, list->list[1].value);
        bp_plan_free(plan);
    }
    bp_planner_free(p);
}

static void each_alone_and_all_pairs_agree_with_enumeration(void **state)
{
    (void)state;
    struct bp_table *t = usual(11);
    for (int a = 0; a < N_CASES; a++)
        for (int b = 0; b < N_CASES; b++) {
            struct bp_constraints list = list_of(a, b);
            uint8_t use[N * C];
            struct bp_err err = {""};
            if (bp_constraints_apply(&list, t, use, &err))
                fail_msg("%s", err.text);
            for (int i = 0; i < N; i++)
                for (int j = 0; j < C; j++)
                    assert_int_equal(use[i * C + j],
                                     cases[a].allows(t, i, j) && cases[b].allows(t, i, j));
            check_plans(t, &list, use);
            bp_constraints_done(&list);
        }
    bp_table_close(t);
}

static void a_bound_is_compared_exactly(void **state)
{
    (void)state;
    /* 2048 parameters of nf4:u4:bf16:64:16: 4 + 4/64 + 16/1024 = 4.078125 bits/param. */
    const struct support_shape shape = {32, 64};
    const struct bp_candidate candidate = support_candidate("nf4:u4:bf16:64:16", 0);
    struct bp_table *t = support_table(&shape, 1, &candidate, 1);
    support_numbers(t, 1);
    static const struct {
        const char *value;
        enum bp_status floor, ceil;
    } bounds[] = {{"q=4.078125", BP_OK, BP_OK},
                  {"q=4.078125000000001", BP_INFEASIBLE, BP_OK},
                  {"q=4.078124999999999", BP_OK, BP_INFEASIBLE}};
    for (size_t i = 0; i < 3; i++)
        for (int ceiling = 0; ceiling < 2; ceiling++) {
            struct bp_constraints list = {0};
            uint8_t use;
            bp_constraints_add(&list, ceiling ? BP_CONSTRAINT_CEIL : BP_CONSTRAINT_FLOOR,
                               bounds[i].value, NULL);
            assert_int_equal(bp_constraints_apply(&list, t, &use, NULL),
                             ceiling ? bounds[i].ceil : bounds[i].floor);
            bp_constraints_done(&list);
        }
    bp_table_close(t);
}

static void labels_of_other_quantizers_are_pinned_by_name(void **state)
{
    (void)state;
    const struct support_shape shape = {32, 64};
    struct bp_candidate candidates[2] = {support_candidate("nf4:u4:bf16:64:16", 0),
                                         {.foreign = true, .label = "Q4_K:x"}};
    struct bp_table *t = support_table(&shape, 1, candidates, 2);
    struct bp_constraints list = {0};
    uint8_t use[2];
    bp_constraints_add(&list, BP_CONSTRAINT_PIN, "q_proj=Q4_K:x", NULL);
    assert_int_equal(bp_constraints_apply(&list, t, use, NULL), BP_OK);
    assert_true(!use[0] && use[1]);
    bp_constraints_done(&list);
    bp_constraints_add(&list, BP_CONSTRAINT_PIN, "q_proj=*:*:*:*:*", NULL);
    assert_int_equal(bp_constraints_apply(&list, t, use, NULL), BP_OK);
    assert_true(use[0] && !use[1]);
    bp_constraints_done(&list);
    bp_table_close(t);
}

static void what_cannot_be_meant_is_refused_in_words(void **state)
{
    (void)state;
    static const struct {
        enum bp_constraint_kind kind;
        const char *value;
        enum bp_status status;
        const char *words;
    } bad[] = {
        {BP_CONSTRAINT_PIN, "q_proj", BP_ERR_USAGE, "--pin 'q_proj'|RE=CONFIG"},
        {BP_CONSTRAINT_PIN, "=nf4:*:*:*:*", BP_ERR_USAGE, "RE=CONFIG"},
        {BP_CONSTRAINT_PIN, "q_proj=", BP_ERR_USAGE, "RE=CONFIG"},
        {BP_CONSTRAINT_PIN, "q_prj=nf4:*:*:*:*", BP_ERR_USAGE, "matches no matrix"},
        {BP_CONSTRAINT_PIN, "q_proj=nf8:*:*:*:*", BP_ERR_USAGE, "no candidate|of that form"},
        {BP_CONSTRAINT_BAN, "q_proj=nf4:*:*", BP_ERR_USAGE, "--ban|no candidate"},
        {BP_CONSTRAINT_BAN, "q_proj=nf4:*:*:*:*:*", BP_ERR_USAGE, "no candidate"},
        {BP_CONSTRAINT_BAN, "(=*", BP_ERR_USAGE, "not a regular expression"},
        {BP_CONSTRAINT_FLOOR, "q_proj=x", BP_ERR_USAGE, "'x' is no number of bits/param"},
        {BP_CONSTRAINT_FLOOR, "q_proj=-1", BP_ERR_USAGE, "'-1' is no number"},
        {BP_CONSTRAINT_CEIL, "q_proj=3 ", BP_ERR_USAGE, "'3 ' is no number"},
        {BP_CONSTRAINT_GRID, "b0=7", BP_ERR_USAGE, "grid"},
        {BP_CONSTRAINT_GRID, "b0=8", BP_INFEASIBLE, "none of its 4 candidates"},
        {BP_CONSTRAINT_FLOOR, "q_proj=9", BP_INFEASIBLE,
         "no candidate is left for model.layers.0.self_attn.q_proj.weight under --floor "
         "'q_proj=9'; "
         "--floor 'q_proj=9' leaves none: the largest that it could have has 4.6250 bits/param"},
        {BP_CONSTRAINT_CEIL, "q_proj=1", BP_INFEASIBLE, "the smallest that it could have has 2.0"},
        {BP_CONSTRAINT_BAN, "o_proj=*", BP_INFEASIBLE, "o_proj|--ban 'o_proj=*'"},
    };
    struct bp_table *t = usual(3);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct bp_constraints list = {0};
        struct bp_planner *p;
        struct bp_err err = {""};
        bp_constraints_add(&list, bad[i].kind, bad[i].value, NULL);
        assert_int_equal(bp_planner_new(t, &list, &p, &err), bad[i].status);
        support_says(err.text, bad[i].words);
        assert_null(p);
        bp_constraints_done(&list);
    }
    bp_table_close(t);
}

static void a_contradiction_names_all_that_bear_on_the_matrix(void **state)
{
    (void)state;
    struct bp_table *t = usual(3);
    struct bp_constraints list = {0};
    struct bp_planner *p;
    struct bp_err err = {""};
    bp_constraints_add(&list, BP_CONSTRAINT_FLOOR, "k_proj=4", NULL);
    bp_constraints_add(&list, BP_CONSTRAINT_BAN, "gate=nf2:*:*:*:*", NULL);
    bp_constraints_add(&list, BP_CONSTRAINT_PIN, "self_attn=nf2:*:*:*:*", NULL);
    assert_int_equal(bp_planner_new(t, &list, &p, &err), BP_INFEASIBLE);
    support_says(err.text, "k_proj.weight|--floor 'k_proj=4', --pin 'self_attn=nf2:*:*:*:*'");
    assert_null(strstr(err.text, "gate"));
    bp_constraints_done(&list);
    bp_table_close(t);
}

static void a_list_is_copied_whole_and_read_by_option(void **state)
{
    (void)state;
    struct bp_constraints list = {0}, copy;
    struct bp_err err = {""};
    assert_int_equal(bp_constraints_add_option(&list, "--ceil", "x=3", &err), BP_OK);
    assert_int_equal(bp_constraints_add_option(&list, "--wish", "x", &err), BP_ERR_INPUT);
    support_says(err.text, "'--wish' is no constraint");
    assert_int_equal(bp_constraints_copy(&list, &copy, NULL), BP_OK);
    bp_constraints_done(&list);
    assert_int_equal(copy.n, 1);
    assert_int_equal(copy.list[0].kind, BP_CONSTRAINT_CEIL);
    assert_string_equal(copy.list[0].value, "x=3");
    assert_string_equal(bp_constraint_option(BP_CONSTRAINT_CEIL), "--ceil");
    bp_constraints_done(&copy);
    assert_int_equal(bp_constraints_copy(NULL, &copy, NULL), BP_OK);
    assert_int_equal(copy.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_alone_and_all_pairs_agree_with_enumeration),
        cmocka_unit_test(a_bound_is_compared_exactly),
        cmocka_unit_test(labels_of_other_quantizers_are_pinned_by_name),
        cmocka_unit_test(what_cannot_be_meant_is_refused_in_words),
        cmocka_unit_test(a_contradiction_names_all_that_bear_on_the_matrix),
        cmocka_unit_test(a_list_is_copied_whole_and_read_by_option),
    };
    return cmocka_run_group_tests_name("constraints", tests, NULL, NULL);
}
