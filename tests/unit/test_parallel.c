/* The parallel loop: every turn once, which failure is told, early ends. */
#include "support.h"

#include <sched.h>
#include <stdatomic.h>

#include "engine/parallel.h"

enum { MAX_TURNS = 1000 };

struct loop {
    atomic_int ran[MAX_TURNS];
    atomic_uint workers; /* bits of those that were seen */
    unsigned n_threads;
    const uint8_t *bad; /* [n] 1 = this turn fails */
    atomic_int n_ran;
};

static enum bp_status turn(void *ctx, size_t i, unsigned worker, struct bp_err *err)
{
    struct loop *loop = ctx;
    if (worker >= loop->n_threads)
        return bp_fail(err, BP_ERR_FAILED, "a worker of number %u", worker);
    atomic_fetch_add(&loop->ran[i], 1);
    atomic_fetch_add(&loop->n_ran, 1);
    atomic_fetch_or(&loop->workers, 1u << worker);
    if (loop->bad && loop->bad[i])
        return bp_fail(err, i % 2 ? BP_ERR_INPUT : BP_STOPPED, "turn %zu", i);
    return BP_OK;
}

static void every_turn_runs_once_on_any_number_of_threads(void **state)
{
    (void)state;
    static const size_t counts[] = {0, 1, 2, 7, 8, 9, 1000};
    for (unsigned threads = 0; threads <= 8; threads++)
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
            struct loop loop = {.n_threads = threads ? threads : 1};
            struct bp_err err = {"untouched"};
            assert_int_equal(bp_parallel_for(counts[c], threads, turn, &loop, &err), BP_OK);
            for (size_t i = 0; i < MAX_TURNS; i++)
                assert_int_equal(loop.ran[i], i < counts[c]);
            assert_string_equal(err.text, "untouched");
        }
}

static void one_thread_runs_in_order_and_stops_at_the_first_failure(void **state)
{
    (void)state;
    for (size_t bad_at = 0; bad_at < 50; bad_at++) {
        uint8_t bad[50] = {0};
        struct loop loop = {.n_threads = 1, .bad = bad};
        struct bp_err err = {""};
        char expected[32];
        bad[bad_at] = 1;
        bad[49] = 1;
        snprintf(expected, sizeof expected, "turn %zu", bad_at);
        assert_int_equal(bp_parallel_for(50, 1, turn, &loop, &err),
                         bad_at % 2 ? BP_ERR_INPUT : BP_STOPPED);
        assert_string_equal(err.text, expected);
        assert_int_equal(loop.n_ran, bad_at + 1);
        assert_int_equal(loop.workers, 1);
    }
}

/* Turns are handed out in order, so the first bad one is always among those that ran. */
static void the_first_failure_by_index_is_told(void **state)
{
    (void)state;
    struct support_rng g = {3};
    for (unsigned threads = 1; threads <= 8; threads++)
        for (int n = 0; n < 50; n++) {
            uint8_t bad[200] = {0};
            struct loop loop = {.n_threads = threads, .bad = bad};
            struct bp_err err = {""};
            char expected[32];
            size_t first = support_below(&g, 200);
            for (size_t i = first; i < 200; i++)
                bad[i] = support_below(&g, 2) == 0 || i == first;
            snprintf(expected, sizeof expected, "turn %zu", first);
            assert_int_equal(bp_parallel_for(200, threads, turn, &loop, &err),
                             first % 2 ? BP_ERR_INPUT : BP_STOPPED);
            assert_string_equal(err.text, expected);
            for (size_t i = 0; i < 200; i++)
                assert_in_range(loop.ran[i], i <= first, 1); /* all before it, none twice */
        }
}

/* Waits until as many turns run as there are threads, then fails with all of them. */
static enum bp_status fail_together(void *ctx, size_t i, unsigned worker, struct bp_err *err)
{
    struct loop *loop = ctx;
    (void)worker;
    atomic_fetch_add(&loop->n_ran, 1);
    while (atomic_load(&loop->n_ran) < (int)loop->n_threads)
        sched_yield();
    return bp_fail(err, BP_ERR_FAILED, "turn %zu", i);
}

static void of_failures_at_the_same_time_the_first_by_index_is_told(void **state)
{
    (void)state;
    for (int n = 0; n < 100; n++) {
        struct loop loop = {.n_threads = 4};
        struct bp_err err = {""};
        assert_int_equal(bp_parallel_for(100, 4, fail_together, &loop, &err), BP_ERR_FAILED);
        assert_string_equal(err.text, "turn 0");
    }
}

static void a_failure_ends_the_loop_early(void **state)
{
    (void)state;
    uint8_t bad[MAX_TURNS];
    memset(bad, 1, sizeof bad);
    for (unsigned threads = 1; threads <= 8; threads++) {
        struct loop loop = {.n_threads = threads, .bad = bad};
        assert_int_equal(bp_parallel_for(MAX_TURNS, threads, turn, &loop, NULL), BP_STOPPED);
        assert_in_range(loop.n_ran, 1, threads); /* at most the one in hand of each */
    }
}

static void at_least_one_processor_is_available(void **state)
{
    (void)state;
    assert_in_range(bp_available_threads(), 1, 1 << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_turn_runs_once_on_any_number_of_threads),
        cmocka_unit_test(one_thread_runs_in_order_and_stops_at_the_first_failure),
        cmocka_unit_test(the_first_failure_by_index_is_told),
        cmocka_unit_test(of_failures_at_the_same_time_the_first_by_index_is_told),
        cmocka_unit_test(a_failure_ends_the_loop_early),
        cmocka_unit_test(at_least_one_processor_is_available),
    };
    return cmocka_run_group_tests_name("parallel loop", tests, NULL, NULL);
}
