/* The worker: the newest question counts, late news are told by their generation, idle is idle, and
 * it ends at once. */
#include "plan_tables.h"

#include <poll.h>
#include <time.h>

#include "ui/worker.h"

enum { LIMIT_MS = 20000 };

static char *folder;
static struct bp_worker *worker;
static struct bp_source *source;
static int wake_fd;

static int set_up(void **state)
{
    struct bp_err err = {""};
    struct bp_table *t = usual(3), *file;
    (void)state;
    folder = test_dir_make();
    char *path = test_dir_join(folder, "t.safetensors");
    support_save(t, path);
    if (bp_table_open(path, &file, &err) || bp_source_new(file, &source, &err) ||
        bp_worker_new(&worker, &wake_fd, &err))
        fail_msg("%s", err.text);
    bp_table_close(t);
    free(path);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    worker = bp_worker_free(worker);
    source = bp_source_drop(source);
    test_dir_remove(folder);
    return 0;
}

/* Asks with one constraint (kind and value, NULL: none). */
static void ask(uint64_t generation, const char *bits, enum bp_constraint_kind kind,
                const char *value)
{
    struct bp_constraints constraints = {0};
    struct bp_budget budget = {0};
    if (bits)
        budget = bits_budget(source->planned, bits);
    if (value)
        assert_int_equal(bp_constraints_add(&constraints, kind, value, NULL), BP_OK);
    assert_int_equal(bp_worker_ask(worker, generation, source, &constraints, &budget, NULL), BP_OK);
    bp_constraints_done(&constraints); /* copied */
}

static void wait_idle(void)
{
    struct pollfd p = {.fd = wake_fd, .events = POLLIN};
    for (int i = 0; i < LIMIT_MS / 100 && !bp_worker_idle(worker); i++) {
        if (bp_worker_wait(worker, 100))
            return; /* news are to be taken first */
        poll(&p, 1, 0);
    }
}

/* The next news; fails the test when none come. */
static struct bp_news *next(void)
{
    for (int i = 0; i < LIMIT_MS / 100; i++) {
        bp_worker_wait(worker, 100);
        struct bp_news *news = bp_worker_take(worker);
        if (news)
            return news;
    }
    fail_msg("no news");
    return NULL;
}

static void a_question_gets_plan_and_frontier(void **state)
{
    struct pollfd p = {.fd = wake_fd, .events = POLLIN};
    (void)state;
    assert_true(bp_worker_idle(worker));
    assert_false(bp_worker_wait(worker, 0));
    assert_null(bp_worker_take(worker));
    ask(7, "3", BP_CONSTRAINT_GRID, NULL);
    assert_int_equal(poll(&p, 1, LIMIT_MS), 1);
    struct bp_news *news = next();
    assert_int_equal(news->kind, BP_NEWS_PLAN);
    assert_int_equal(news->generation, 7);
    assert_true(news->final && news->status == BP_OK && news->plan->certificate.optimal);
    assert_true(news->plan->storage_bits <= bits_budget(source->planned, "3").bits);
    struct bp_problem *problem = news->problem;
    bp_problem_hold(problem);
    bp_news_free(news);
    news = next();
    assert_int_equal(news->kind, BP_NEWS_FRONTIER);
    assert_true(news->problem == problem && news->n_points > 100);
    for (size_t i = 1; i < news->n_points; i++)
        assert_true(news->points[i].budget_bits >= news->points[i - 1].budget_bits);
    bp_news_free(news);
    wait_idle();
    assert_true(bp_worker_idle(worker));

    /* Another budget of the same constraints: the problem stays, and nothing is sampled again. */
    ask(8, "2.9", BP_CONSTRAINT_GRID, NULL);
    news = next();
    assert_true(news->problem == problem && news->generation == 8);
    bp_news_free(news);
    wait_idle();
    assert_true(bp_worker_idle(worker));
    assert_null(bp_worker_take(worker));
    bp_problem_drop(problem);
}

static void the_newest_question_is_answered_last(void **state)
{
    char bits[16];
    (void)state;
    uint64_t last = 0, seen = 0;
    for (uint64_t g = 1; g <= 500; g++) {
        snprintf(bits, sizeof bits, "%.3f", 2.5 + (double)g * 0.004);
        ask(g, bits, BP_CONSTRAINT_BAN, g % 50 == 0 ? "q_proj=nf2:*:*:*:*" : NULL);
        if (g % 7 == 0)
            bp_worker_wait(worker, 1);
    }
    while (last < 500) {
        struct bp_news *news = next();
        assert_true(news->generation >= last); /* never an older one behind a newer */
        last = news->generation;
        seen += news->kind == BP_NEWS_PLAN;
        bp_news_free(news);
    }
    assert_true(seen >= 1);
    for (struct bp_news *news; (wait_idle(), news = bp_worker_take(worker));)
        bp_news_free(news);
    assert_true(bp_worker_idle(worker));
}

static void what_has_no_plan_says_why(void **state)
{
    (void)state;
    ask(1, "1.001", BP_CONSTRAINT_GRID, NULL);
    struct bp_news *news = next();
    assert_int_equal(news->status, BP_INFEASIBLE);
    assert_true(!news->plan && news->problem && news->err.text[0] && news->final);
    bp_news_free(news);
    ask(2, "3", BP_CONSTRAINT_PIN, "nobody=nf4:*:*:*:*");
    do
        news = next();
    while (news->generation != 2 && !bp_news_free(news));
    assert_true(news->status < BP_OK && !news->plan && !news->problem && news->err.text[0]);
    bp_news_free(news);
    /* No budget: the range that there is. */
    ask(3, NULL, BP_CONSTRAINT_GRID, NULL);
    news = next();
    assert_true(news->status == BP_OK && !news->plan && news->problem && news->final);
    assert_true(news->problem->least_bits < news->problem->most_bits);
    bp_news_free(news);
}

static void it_ends_with_work_in_hand(void **state)
{
    struct timespec from, to;
    (void)state;
    for (int i = 0; i < 50; i++) {
        ask((uint64_t)i + 1, i % 2 ? "3.3" : "2.7", BP_CONSTRAINT_GRID, NULL);
        if (i % 3 == 0)
            bp_worker_nudge(worker);
        clock_gettime(CLOCK_MONOTONIC, &from);
        worker = bp_worker_free(worker); /* news that nobody takes are freed */
        clock_gettime(CLOCK_MONOTONIC, &to);
        assert_true(to.tv_sec - from.tv_sec < 5);
        assert_int_equal(bp_worker_new(&worker, &wake_fd, NULL), BP_OK);
    }
    assert_null(bp_worker_free(NULL));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_question_gets_plan_and_frontier),
        TEST(the_newest_question_is_answered_last),
        TEST(what_has_no_plan_says_why),
        TEST(it_ends_with_work_in_hand),
    };
    return cmocka_run_group_tests_name("worker", tests, NULL, NULL);
}
