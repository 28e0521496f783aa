#include "ui/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/mem.h"

/* Steps of the first answer: about 2 ms, so that with painting a key is answered within a frame of
 * 60 Hz. */
static const uint64_t FIRST_WORK = 1000000;

/* The frontier is drawn on a few hundred dots: this many points, each as good as 0.2 ms make it. */
enum { N_POINTS = 161 };
static const uint64_t POINT_WORK = 200000;

/* For a plan of a test of stability, where its proof can take long: good plans tell as much. */
static const double STABILITY_SECONDS = 2.0;

struct question {
    uint64_t generation;
    struct bp_source *source;
    struct bp_constraints constraints;
    struct bp_budget budget;
};

struct bp_worker {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t asked, told;
    int wake[2];
    bool quit, busy, has_question;
    struct question question; /* the newest, until the thread takes it */
    double noise;             /* in percent: its stability is asked for; 0 = not, or taken */
    atomic_bool stop;         /* a newer question is there */
    struct bp_news *first, **last;
    /* The thread's own. */
    struct bp_problem *problem;
    struct question now; /* what the problem is of */
    double last_progress;
    size_t n_points; /* sampled of the problem's frontier */
    struct bp_frontier_point points[N_POINTS];
};

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static void question_done(struct question *q)
{
    q->source = bp_source_drop(q->source);
    bp_constraints_done(&q->constraints);
}

static bool same_constraints(const struct bp_constraints *a, const struct bp_constraints *b)
{
    if (a->n != b->n)
        return false;
    for (size_t i = 0; i < a->n; i++)
        if (a->list[i].kind != b->list[i].kind || strcmp(a->list[i].value, b->list[i].value) != 0)
            return false;
    return true;
}

/* --- news --- */

void bp_worker_nudge(struct bp_worker *w)
{
    /* A full pipe is as good as one byte more. */
    ssize_t written = write(w->wake[1], "", 1);
    (void)written;
}

struct bp_news *bp_news_free(struct bp_news *news)
{
    if (news) {
        bp_stability_done(&news->stability);
        bp_plan_free(news->plan);
        bp_problem_drop(news->problem);
        free(news->points);
        free(news);
    }
    return NULL;
}

static void tell(struct bp_worker *w, struct bp_news *news)
{
    pthread_mutex_lock(&w->lock);
    news->next = NULL;
    *w->last = news;
    w->last = &news->next;
    pthread_cond_broadcast(&w->told);
    pthread_mutex_unlock(&w->lock);
    bp_worker_nudge(w);
}

static struct bp_news *news_new(struct bp_worker *w, enum bp_news_kind kind)
{
    struct bp_news *news = calloc(1, sizeof *news);
    if (news) {
        news->kind = kind;
        news->generation = w->now.generation;
        news->problem = w->problem ? bp_problem_hold(w->problem) : NULL;
    }
    return news;
}

/* --- the thread --- */

/* A problem for the question's constraints and what its budget counts, unless the last one is of
 * the same. */
static enum bp_status set_up(struct bp_worker *w, struct question *q, struct bp_err *err)
{
    bool same = w->problem && w->now.source == q->source &&
                bp_planner_counted(w->problem->planner) == bp_budget_counted(&q->budget) &&
                same_constraints(&w->now.constraints, &q->constraints);
    question_done(&w->now);
    w->now = *q;
    *q = (struct question){0};
    if (same)
        return BP_OK;
    w->problem = bp_problem_drop(w->problem);
    w->n_points = 0;
    return bp_problem_new(w->now.source, &w->now.constraints, bp_budget_counted(&w->now.budget),
                          &w->problem, err);
}

/* How far a long proof is, at most this often: a person reads no faster. */
static const double PROGRESS_MS = 100.0;

static void show_progress(void *arg, double objective, double lower_bound)
{
    struct bp_worker *w = arg;
    const double now = now_ms();
    if (now - w->last_progress < PROGRESS_MS)
        return;
    w->last_progress = now;
    struct bp_news *news = news_new(w, BP_NEWS_PROGRESS);
    if (!news)
        return;
    news->objective = objective;
    news->lower_bound = lower_bound;
    tell(w, news);
}

/* Solves within max_work steps (0: to proof). True when there is nothing to add. */
static bool solve(struct bp_worker *w, uint64_t max_work, double start)
{
    struct bp_news *news = news_new(w, BP_NEWS_PLAN);
    if (!news)
        return true;
    struct bp_planner_limits limits = {
        .max_work = max_work, .stop = &w->stop, .progress = show_progress, .progress_arg = w};
    news->status = bp_planner_solve(w->problem->planner, &w->now.budget, BP_SOLVER_MCKP, &limits,
                                    &news->plan, &news->err);
    news->final = max_work == 0 || news->status != BP_LIMIT;
    news->elapsed_ms = now_ms() - start;
    bool done = news->final;
    if (atomic_load(&w->stop) && (max_work == 0 || !news->plan))
        bp_news_free(news); /* given up for a newer question, which is what counts */
    else
        tell(w, news);
    return done;
}

static void answer(struct bp_worker *w, struct question *q)
{
    double start = now_ms();
    struct bp_err err = {{0}};
    enum bp_status status = set_up(w, q, &err);
    if (status == BP_OK && w->now.budget.asked > 0.0) {
        start = now_ms();
        if (!solve(w, FIRST_WORK, start))
            solve(w, 0, start);
        return;
    }
    struct bp_news *news = news_new(w, BP_NEWS_PLAN);
    if (!news)
        return;
    news->status = status;
    news->err = err;
    news->final = true;
    tell(w, news);
}

/* One more point, from the least budget to the most; all of them are told together, so that the
 * curve does not grow before the eyes. */
static void sample_frontier(struct bp_worker *w)
{
    const struct bp_problem *p = w->problem;
    struct bp_frontier_point *point = &w->points[w->n_points];
    double share = (double)w->n_points / (N_POINTS - 1);
    uint64_t bits = p->least_bits + (uint64_t)(share * (double)(p->most_bits - p->least_bits));
    struct bp_planner_limits limits = {.max_work = POINT_WORK, .stop = &w->stop};
    enum bp_status status = bp_planner_point(p->planner, bits, &limits, point, NULL);
    if (atomic_load(&w->stop) && status != BP_OK)
        return; /* comes again */
    w->n_points++;
    if (w->n_points < N_POINTS)
        return;
    struct bp_news *news = news_new(w, BP_NEWS_FRONTIER);
    if (!news)
        return;
    news->points = bp_alloc(N_POINTS, sizeof *news->points);
    if (news->points) {
        memcpy(news->points, w->points, sizeof w->points);
        news->n_points = N_POINTS;
    }
    tell(w, news);
}

/* Of the plan that the screen shows, solved again: it is the screen's now. */
static void test_stability(struct bp_worker *w, double noise)
{
    const struct bp_planner_limits limits = {.stop = &w->stop, .max_seconds = STABILITY_SECONDS};
    struct bp_news *news = w->problem ? news_new(w, BP_NEWS_STABILITY) : NULL;
    if (!news)
        return;
    news->status = bp_planner_solve(w->problem->planner, &w->now.budget, BP_SOLVER_MCKP, &limits,
                                    &news->plan, &news->err);
    if (news->plan)
        news->status = bp_stability_test(news->plan, noise, &limits, &news->stability, &news->err);
    if (atomic_load(&w->stop))
        bp_news_free(news); /* what it is of has changed */
    else
        tell(w, news);
}

static void *work(void *arg)
{
    struct bp_worker *w = arg;
    pthread_mutex_lock(&w->lock);
    while (!w->quit) {
        bool sampling = w->problem && w->n_points < N_POINTS;
        if (!w->has_question && w->noise <= 0.0 && !sampling) {
            w->busy = false;
            pthread_cond_broadcast(&w->told);
            pthread_cond_wait(&w->asked, &w->lock);
            continue;
        }
        struct question q = w->question;
        bool has_question = w->has_question;
        double noise = has_question ? 0.0 : w->noise;
        w->noise -= noise;
        w->question = (struct question){0};
        w->has_question = false;
        atomic_store(&w->stop, false);
        pthread_mutex_unlock(&w->lock);
        if (has_question)
            answer(w, &q);
        else if (noise > 0.0)
            test_stability(w, noise);
        else
            sample_frontier(w);
        question_done(&q);
        pthread_mutex_lock(&w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* --- for the screen --- */

enum bp_status bp_worker_new(struct bp_worker **out, int *wake_fd, struct bp_err *err)
{
    *out = NULL;
    struct bp_worker *w = calloc(1, sizeof *w);
    if (!w)
        return bp_fail_nomem(err);
    w->last = &w->first;
    if (pipe2(w->wake, O_CLOEXEC | O_NONBLOCK) != 0) {
        free(w);
        return bp_fail(err, BP_ERR_FAILED, "a pipe cannot be made: %s", strerror(errno));
    }
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->asked, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&w->told, &attr);
    pthread_condattr_destroy(&attr);
    int failed = pthread_create(&w->thread, NULL, work, w);
    if (failed) {
        close(w->wake[0]);
        close(w->wake[1]);
        free(w);
        return bp_fail(err, BP_ERR_FAILED, "a thread cannot be started: %s", strerror(failed));
    }
    *wake_fd = w->wake[0];
    *out = w;
    return BP_OK;
}

struct bp_worker *bp_worker_free(struct bp_worker *w)
{
    if (!w)
        return NULL;
    pthread_mutex_lock(&w->lock);
    w->quit = true;
    atomic_store(&w->stop, true);
    pthread_cond_signal(&w->asked);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    for (struct bp_news *news = w->first, *next; news; news = next) {
        next = news->next;
        bp_news_free(news);
    }
    question_done(&w->question);
    bp_problem_drop(w->problem);
    question_done(&w->now);
    pthread_cond_destroy(&w->asked);
    pthread_cond_destroy(&w->told);
    pthread_mutex_destroy(&w->lock);
    close(w->wake[0]);
    close(w->wake[1]);
    free(w);
    return NULL;
}

enum bp_status bp_worker_ask(struct bp_worker *w, uint64_t generation, struct bp_source *source,
                             const struct bp_constraints *constraints,
                             const struct bp_budget *budget, struct bp_err *err)
{
    struct question q = {.generation = generation, .budget = *budget};
    BP_TRY(bp_constraints_copy(constraints, &q.constraints, err));
    q.source = bp_source_hold(source);
    pthread_mutex_lock(&w->lock);
    question_done(&w->question);
    w->question = q;
    w->has_question = true;
    w->noise = 0.0;
    w->busy = true;
    atomic_store(&w->stop, true);
    pthread_cond_signal(&w->asked);
    pthread_mutex_unlock(&w->lock);
    return BP_OK;
}

void bp_worker_ask_stability(struct bp_worker *w, double noise_percent)
{
    pthread_mutex_lock(&w->lock);
    w->noise = noise_percent;
    w->busy = true;
    pthread_cond_signal(&w->asked);
    pthread_mutex_unlock(&w->lock);
}

struct bp_news *bp_worker_take(struct bp_worker *w)
{
    char drained[64];
    while (read(w->wake[0], drained, sizeof drained) > 0)
        ;
    pthread_mutex_lock(&w->lock);
    struct bp_news *news = w->first;
    if (news) {
        w->first = news->next;
        if (!w->first)
            w->last = &w->first;
    }
    pthread_mutex_unlock(&w->lock);
    return news;
}

bool bp_worker_wait(struct bp_worker *w, int timeout_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock(&w->lock);
    int failed = 0;
    while (!w->first && w->busy && failed == 0)
        failed = pthread_cond_timedwait(&w->told, &w->lock, &until);
    bool any = w->first != NULL;
    pthread_mutex_unlock(&w->lock);
    return any;
}

bool bp_worker_idle(struct bp_worker *w)
{
    pthread_mutex_lock(&w->lock);
    bool idle = !w->busy && !w->first;
    pthread_mutex_unlock(&w->lock);
    return idle;
}
