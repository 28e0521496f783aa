/* Budgets for everything in memory where candidates differ in rank, against all plans there are:
 * the plan is the best that fits, to the byte, with low-rank parts in each precision and under
 * constraints. */
#include "plan_tables.h"

#include "engine/low_rank.h"
#include "engine/memory.h"
#include "engine/stability.h"

enum { M = 4, CANDIDATES = 7, PLANS = 7 * 7 * 7 * 7, OUTSIDE = 1001 };

/* Ranks above a short side are cut to it. */
static const struct support_shape shapes[M] = {{6, 40}, {20, 12}, {17, 31}, {64, 9}};

static struct bp_table *ranks_table(uint64_t seed)
{
    const struct bp_candidate candidates[CANDIDATES] = {
        support_candidate("nf2:u2:bf16:64:256", 0), support_candidate("nf2:u2:bf16:64:256", 4),
        support_candidate("nf3:u4:fp16:32:64", 0),  support_candidate("nf3:u4:fp16:32:64", 4),
        support_candidate("nf3:u4:fp16:32:64", 8),  support_candidate("nf4:u8:fp32:16:16", 0),
        support_candidate("nf4:u8:fp32:16:16", 8)};
    struct bp_table *t = support_table(shapes, M, candidates, CANDIDATES);
    support_numbers(t, seed);
    double *error = t->copies[SUPPORT_ERROR];
    for (size_t cell = 0; cell < M * CANDIDATES; cell++) /* a low-rank part lowers the error */
        error[cell] /= 1.0 + 0.4 * t->candidates[cell % CANDIDATES].rank;
    t->about.params_outside = OUTSIDE / 2;
    t->about.bytes_outside = OUTSIDE;
    return t;
}

/* ceil(n b / B) codes by hand: NF8 with a block of 64 and a group of 256 blocks. */
static uint64_t nf8_bytes(uint64_t n)
{
    const uint64_t blocks = (n + 63) / 64;
    return n + blocks + 4 * ((blocks + 255) / 256) + 4; /* an FP32 offset */
}

static uint64_t low_rank_bytes_by_hand(const struct bp_table *t, size_t i, size_t j, uint64_t bits)
{
    const uint64_t d = t->matrices[i].d, k = t->matrices[i].k, side = d < k ? d : k;
    const uint64_t rank = t->candidates[j].rank, r = rank < side ? rank : side;
    if (r == 0)
        return 0;
    return bits == 8 ? nf8_bytes(d * r) + nf8_bytes(r * k) : r * (d + k) * bits / 8;
}

/* One constraint or none, and whether a choice meets it, by hand. */
struct rule {
    enum bp_constraint_kind kind;
    const char *value; /* NULL = none */
    bool (*meets)(const struct bp_table *t, const uint32_t *choice);
};

static bool anything(const struct bp_table *t, const uint32_t *choice)
{
    (void)t;
    return choice[0] < CANDIDATES;
}

static bool second_has_nf3(const struct bp_table *t, const uint32_t *choice)
{
    return t->candidates[choice[1]].config.b0 == 3;
}

static bool first_has_no_nf2(const struct bp_table *t, const uint32_t *choice)
{
    return t->candidates[choice[0]].config.b0 != 2;
}

static bool first_three_are_tied(const struct bp_table *t, const uint32_t *choice)
{
    (void)t;
    return choice[0] == choice[1] && choice[1] == choice[2];
}

static bool third_has_three_bits(const struct bp_table *t, const uint32_t *choice)
{
    return t->storage[2 * CANDIDATES + choice[2]] >= 3 * 17 * 31;
}

static bool no_rank_8(const struct bp_table *t, const uint32_t *choice)
{
    bool met = true;
    for (size_t i = 0; i < M; i++)
        met &= t->candidates[choice[i]].rank != 8;
    return met;
}

static bool at_most_two(const struct bp_table *t, const uint32_t *choice)
{
    bool seen[CANDIDATES] = {false};
    size_t n = 0;
    (void)t;
    for (size_t i = 0; i < M; i++) {
        n += !seen[choice[i]];
        seen[choice[i]] = true;
    }
    return n <= 2;
}

/* In storage: q_proj and v_proj together, without their low-rank parts. */
static bool first_and_third_in_330_bytes(const struct bp_table *t, const uint32_t *choice)
{
    return t->storage[choice[0]] + t->storage[2 * CANDIDATES + choice[2]] <= 330 * 8;
}

static const struct rule rules[] = {
    {BP_CONSTRAINT_PIN, NULL, anything},
    {BP_CONSTRAINT_PIN, "k_proj=nf3:*:*:*:*", second_has_nf3},
    {BP_CONSTRAINT_BAN, "q_proj=nf2:*:*:*:*", first_has_no_nf2},
    {BP_CONSTRAINT_TIE, "qkv", first_three_are_tied},
    {BP_CONSTRAINT_FLOOR, "v_proj=3", third_has_three_bits},
    {BP_CONSTRAINT_GRID, "rank=0,4", no_rank_8},
    {BP_CONSTRAINT_MAX_CONFIGS, "2", at_most_two},
    {BP_CONSTRAINT_LIMIT, "q_proj|v_proj=330", first_and_third_in_330_bytes},
};
enum { N_RULES = sizeof rules / sizeof *rules };

/* Every plan there is: what it takes in memory, and its error; INFINITY where a rule forbids it. */
struct all {
    uint64_t bytes[PLANS];
    double error[PLANS];
    bool uniform[PLANS];
    uint64_t least, most; /* bytes, of those that are allowed */
};

static void enumerate(const struct bp_table *t, const struct rule *rule, uint64_t precision,
                      uint64_t beside, struct all *all)
{
    all->least = UINT64_MAX;
    all->most = 0;
    for (size_t p = 0; p < PLANS; p++) {
        uint64_t storage = 0, low_rank = 0;
        uint32_t choice[M];
        double error = 0.0;
        for (size_t i = 0, rest = p; i < M; i++, rest /= CANDIDATES) {
            choice[i] = (uint32_t)(rest % CANDIDATES);
            storage += t->storage[i * CANDIDATES + choice[i]];
            low_rank += low_rank_bytes_by_hand(t, i, choice[i], precision);
            error += t->error[i * CANDIDATES + choice[i]];
        }
        all->bytes[p] = (storage + 7) / 8 + low_rank + beside;
        all->error[p] = rule->meets(t, choice) ? error : INFINITY;
        all->uniform[p] =
            choice[0] == choice[1] && choice[1] == choice[2] && choice[2] == choice[3];
        if (isinf(all->error[p]))
            continue;
        all->least = all->bytes[p] < all->least ? all->bytes[p] : all->least;
        all->most = all->bytes[p] > all->most ? all->bytes[p] : all->most;
    }
}

static double best_within(const struct all *all, uint64_t total, bool uniform)
{
    double best = INFINITY;
    for (size_t p = 0; p < PLANS; p++)
        if (all->bytes[p] <= total && (!uniform || all->uniform[p]))
            best = fmin(best, all->error[p]);
    return best;
}

static void check_total(struct bp_planner *planner, const struct bp_table *t,
                        const struct bp_memory_settings *s, const struct all *all, uint64_t total)
{
    struct bp_memory_shape shape;
    struct bp_memory_parts parts;
    struct bp_budget budget;
    struct bp_plan *plan;
    struct bp_err err = {""};
    const double best = best_within(all, total, false), uniform = best_within(all, total, true);
    if (bp_memory_budget_total(t, s, (double)total, &budget, &err))
        fail_msg("%s", err.text);
    assert_true(budget.counts_low_rank && budget.low_rank_bits == s->low_rank_bits);
    const enum bp_status status =
        bp_planner_solve(planner, &budget, BP_SOLVER_MCKP, NULL, &plan, &err);
    if (isinf(best)) {
        assert_int_equal(status, BP_INFEASIBLE);
        return;
    }
    if (status)
        fail_msg("%s", err.text);
    assert_true(plan->certificate.optimal && fabs(plan->error / best - 1.0) < 1e-12);
    bp_memory_shape_of(t, &shape);
    bp_memory_run(plan, &shape, s, &parts);
    assert_true(parts.complete && parts.total <= total);
    assert_int_equal(parts.total, bp_budget_total_for(&budget, bp_plan_spent_bits(plan)));
    if (isinf(uniform))
        assert_string_equal(plan->baselines[0].name, "nf4");
    else
        assert_true(plan->baselines[0].error == uniform);
    bp_plan_free(plan);
}

static struct bp_planner *planner_for(const struct bp_table *t, const struct rule *rule,
                                      uint64_t precision)
{
    struct bp_constraints list = {0};
    struct bp_planner *planner;
    struct bp_err err = {""};
    if (rule->value)
        assert_int_equal(bp_constraints_add(&list, rule->kind, rule->value, &err), BP_OK);
    if (bp_planner_new_counting(t, &list, (unsigned)precision, &planner, &err))
        fail_msg("%s", err.text);
    bp_constraints_done(&list);
    return planner;
}

/* Under one rule: totals over the whole range, and the edge of it to the byte. */
static void check_rule(const struct bp_table *t, const struct rule *rule, uint64_t precision,
                       struct support_rng *g, struct all *all)
{
    struct bp_memory_settings s;
    struct bp_memory_shape shape;
    bp_memory_settings_default(&s);
    s.low_rank_bits = precision;
    s.context = 3;
    bp_memory_shape_of(t, &shape);
    enumerate(t, rule, precision, 4 * M + OUTSIDE + bp_memory_kv_bytes(&shape, &s), all);
    struct bp_planner *planner = planner_for(t, rule, precision);
    check_total(planner, t, &s, all, all->least - 1);
    check_total(planner, t, &s, all, all->least);
    check_total(planner, t, &s, all, all->most);
    for (int n = 0; n < 6; n++)
        check_total(planner, t, &s, all, all->least + support_below(g, all->most - all->least));
    bp_planner_free(planner);
}

static void the_plan_for_a_total_is_the_best_of_all_that_fit(void **state)
{
    (void)state;
    static const uint64_t precisions[] = {16, 8, 32};
    struct all *all = calloc(1, sizeof *all);
    assert_non_null(all);
    for (uint64_t seed = 1; seed <= 15; seed++) {
        struct support_rng g = {seed};
        struct bp_table *t = ranks_table(seed);
        for (int r = 0; r < N_RULES; r++)
            check_rule(t, &rules[r], precisions[(seed + (uint64_t)r) % 3], &g, all);
        bp_table_close(t);
    }
    free(all);
}

static struct bp_budget total_of(const struct bp_table *t, double bytes, uint64_t precision)
{
    struct bp_memory_settings s;
    struct bp_budget budget;
    struct bp_err err = {""};
    bp_memory_settings_default(&s);
    s.context = 0;
    s.low_rank_bits = precision;
    if (bp_memory_budget_total(t, &s, bytes, &budget, &err))
        fail_msg("%s", err.text);
    return budget;
}

static void a_total_that_is_too_small_names_one_that_is_enough(void **state)
{
    (void)state;
    struct bp_table *t = ranks_table(3);
    struct bp_err err = {""};
    struct bp_plan *plan;
    const struct rule pinned = {BP_CONSTRAINT_PIN, "down|o_proj=nf4:*:*:*:*", anything};
    struct bp_planner *planner = planner_for(t, &pinned, 16);
    const struct bp_budget small = total_of(t, 1100.0, 16);
    assert_int_equal(bp_planner_solve(planner, &small, BP_SOLVER_MCKP, NULL, &plan, &err),
                     BP_INFEASIBLE);
    support_says(err.text, "1100 total bytes|with their low-rank parts|without --pin");
    unsigned long enough = 0, without = 0;
    const char *takes = strstr(err.text, "it takes "), *would = strstr(err.text, "would be ");
    assert_true(takes && sscanf(takes, "it takes %lu total bytes", &enough) == 1);
    assert_true(would && sscanf(would, "would be %lu total bytes", &without) == 1);
    bp_plan_free(solve(planner, total_of(t, (double)enough, 16)));
    const struct bp_budget less = total_of(t, (double)enough - 1.0, 16);
    assert_int_equal(bp_planner_solve(planner, &less, BP_SOLVER_MCKP, NULL, &plan, &err),
                     BP_INFEASIBLE);
    bp_planner_free(planner);
    struct bp_planner *open = planner_for(t, &rules[0], 16);
    bp_plan_free(solve(open, total_of(t, (double)without, 16)));
    bp_planner_free(open);
    bp_table_close(t);
}

/* The same choices for every rank make the rank no part of the plan: the budget is one of storage,
 * as where the table has the rank alone. */
static void one_rank_everywhere_is_counted_beside_the_budget(void **state)
{
    (void)state;
    struct bp_table *t = usual(4);
    const struct bp_budget budget = total_of(t, 12000.0, 16);
    uint64_t low_rank = 0;
    for (size_t i = 0; i < N; i++)
        low_rank += low_rank_bytes_by_hand(t, i, 0, 16);
    assert_false(budget.counts_low_rank);
    assert_int_equal(bp_budget_counted(&budget), 0);
    assert_int_equal(budget.bits, 8 * (12000 - low_rank - 4 * N - t->about.bytes_outside));
    const struct bp_budget half = total_of(t, 12000.0, 8);
    for (size_t i = 0; i < N; i++)
        low_rank -= low_rank_bytes_by_hand(t, i, 0, 16) - low_rank_bytes_by_hand(t, i, 0, 8);
    assert_int_equal(half.bits, 8 * (12000 - low_rank - 4 * N - t->about.bytes_outside));
    bp_table_close(t);
}

/* Prices are per bit that the budget counts: of two candidates that differ in rank alone, the one
 * with the low-rank part is dearer. */
static void prices_count_what_the_budget_counts(void **state)
{
    (void)state;
    struct bp_table *t = ranks_table(5);
    struct bp_planner *storage = planner_for(t, &rules[0], 0), *all = planner_for(t, &rules[0], 16);
    struct bp_matrix_prices prices;
    assert_int_equal(bp_planner_bits(storage, 1, 1), bp_planner_bits(storage, 1, 0));
    assert_int_equal(bp_planner_bits(all, 1, 1) - bp_planner_bits(all, 1, 0), 16 * 4 * (20 + 12));
    bp_planner_prices(all, 1, 0, 0.0, &prices);
    double best = 0.0;
    for (uint32_t j = 1; j < CANDIDATES; j++) {
        const double more = (double)bp_planner_bits(all, 1, j) - (double)bp_planner_bits(all, 1, 0);
        best = fmax(best, (t->error[CANDIDATES] - t->error[CANDIDATES + j]) / more);
    }
    assert_true(prices.has_up && prices.up_price == best);
    bp_planner_free(storage);
    bp_planner_free(all);
    bp_table_close(t);
}

static void stability_of_a_plan_for_a_total_counts_alike(void **state)
{
    (void)state;
    struct bp_table *t = ranks_table(6);
    struct bp_planner *planner = planner_for(t, &rules[0], 8);
    struct bp_plan *plan = solve(planner, total_of(t, 1900.0, 8));
    struct bp_stability stability;
    struct bp_err err = {""};
    if (bp_stability_test(plan, 1e-6, NULL, &stability, &err))
        fail_msg("%s", err.text);
    assert_int_equal(stability.n_steady, M); /* noise that changes nothing */
    bp_stability_done(&stability);
    bp_plan_free(plan);
    bp_planner_free(planner);
    bp_table_close(t);
}

/* --- precisions --- */

static void low_rank_parts_by_their_precision(void **state)
{
    (void)state;
    /* 64 * (4096 + 11008) elements; NF8: a byte each, a byte a block of 64, 4 B a group of 256
     * blocks: L1 262,144 + 4,096 + 64, L2 704,512 + 11,008 + 172. */
    assert_int_equal(bp_low_rank_params(4096, 11008, 64), 966656);
    assert_int_equal(bp_low_rank_bits(4096, 11008, 64, 16), 16 * 966656);
    assert_int_equal(bp_low_rank_bits(4096, 11008, 64, 32), 32 * 966656);
    assert_int_equal(bp_low_rank_bits(4096, 11008, 64, 8),
                     8 * (262144 + 4096 + 64 + 704512 + 11008 + 172));
    assert_int_equal(bp_low_rank_bytes(4096, 11008, 64, 16), 2 * 966656);
    assert_int_equal(bp_low_rank_bytes(4096, 11008, 64, 8),
                     262144 + 4096 + 64 + 704512 + 11008 + 172 + 2 * 4);
    /* A rank is cut to the short side, and none takes nothing. */
    assert_int_equal(bp_low_rank_params(3, 100, 8), 3 * 103);
    assert_int_equal(bp_low_rank_bytes(3, 100, 8, 8), (9 + 1 + 4 + 4) + (300 + 5 + 4 + 4));
    for (unsigned precision = 8; precision <= 32; precision *= 2)
        assert_int_equal(bp_low_rank_bytes(100, 100, 0, precision), 0);
    for (uint64_t precision = 0; precision < 70; precision++)
        assert_int_equal(bp_low_rank_precision_valid(precision),
                         precision == 8 || precision == 16 || precision == 32);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_plan_for_a_total_is_the_best_of_all_that_fit),
        cmocka_unit_test(a_total_that_is_too_small_names_one_that_is_enough),
        cmocka_unit_test(one_rank_everywhere_is_counted_beside_the_budget),
        cmocka_unit_test(prices_count_what_the_budget_counts),
        cmocka_unit_test(stability_of_a_plan_for_a_total_counts_alike),
        cmocka_unit_test(low_rank_parts_by_their_precision),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
