#include "engine/parallel.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

struct loop {
    size_t n;
    bp_turn_fn *turn;
    void *ctx;
    atomic_size_t next;
    atomic_bool failed;
    pthread_mutex_t lock; /* guards the three below */
    size_t first_bad;
    enum bp_status status;
    struct bp_err err;
};

struct worker {
    struct loop *loop;
    unsigned id;
};

static void *work(void *arg)
{
    const struct worker *w = arg;
    struct loop *loop = w->loop;
    while (!atomic_load(&loop->failed)) {
        size_t i = atomic_fetch_add(&loop->next, 1);
        if (i >= loop->n)
            break;
        struct bp_err err = {{0}};
        enum bp_status status = loop->turn(loop->ctx, i, w->id, &err);
        if (status == BP_OK)
            continue;
        atomic_store(&loop->failed, true);
        pthread_mutex_lock(&loop->lock);
        if (i < loop->first_bad) {
            loop->first_bad = i;
            loop->status = status;
            loop->err = err;
        }
        pthread_mutex_unlock(&loop->lock);
    }
    return NULL;
}

enum bp_status bp_parallel_for(size_t n, unsigned n_threads, bp_turn_fn *turn, void *ctx,
                               struct bp_err *err)
{
    struct loop loop = {.n = n, .turn = turn, .ctx = ctx, .first_bad = n, .status = BP_OK};
    atomic_init(&loop.next, 0);
    atomic_init(&loop.failed, false);
    pthread_mutex_init(&loop.lock, NULL);
    unsigned extra = n_threads > 1 ? n_threads - 1 : 0, started = 0;
    pthread_t *threads = calloc(extra + 1, sizeof *threads);
    struct worker *workers = calloc(extra + 1, sizeof *workers), self = {&loop, 0};
    while (threads && workers && started < extra) {
        workers[started] = (struct worker){&loop, started + 1};
        if (pthread_create(&threads[started], NULL, work, &workers[started]) != 0)
            break;
        started++;
    }
    work(&self);
    for (unsigned t = 0; t < started; t++)
        pthread_join(threads[t], NULL);
    free(threads);
    free(workers);
    pthread_mutex_destroy(&loop.lock);
    if (loop.status != BP_OK && err)
        *err = loop.err;
    return loop.status;
}

unsigned bp_available_threads(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    int n = CPU_COUNT(&set);
    return n > 0 ? (unsigned)n : 1;
}
