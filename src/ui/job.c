#include "ui/job.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/measure.h"
#include "engine/mem.h"
#include "engine/parallel.h"
#include "engine/printable.h"
#include "ui/places.h"

struct bp_job {
    pthread_t thread;
    bool started;
    struct bp_worker *worker; /* to be nudged; outlives the job */
    struct bp_model *model;
    struct bp_grid grid;
    uint32_t rank;
    char *path;
    struct bp_measure_options options;
    atomic_bool stop;

    pthread_mutex_t lock;
    pthread_cond_t told;
    /* Under the lock. */
    struct bp_source *source; /* the newest state of the table, until the app takes it */
    struct bp_measure_progress progress;
    double phase_start_s; /* of progress.phase */
    bool changed, done;
    enum bp_status status;
    struct bp_err err;

    /* The thread's own. */
    double read_s, read_at_s; /* what the last reading of the table took, and when it ended */
    size_t rows_told;
    enum bp_measure_phase phase_told;
    bool told_once;
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Reading the table anew takes at most this part of the time: one of 45,000 matrices takes longer
 * to read than a matrix to measure. */
enum { READING_SHARE = 20 };

/* The table as it is on disk now. What cannot be read just now comes with the next row. */
static struct bp_source *read_table(struct bp_job *job)
{
    struct bp_table *table;
    struct bp_source *source = NULL;
    const double start_s = now_s();
    if (bp_table_open(job->path, &table, NULL) != BP_OK ||
        bp_source_new(table, &source, NULL) != BP_OK)
        source = NULL;
    job->read_at_s = now_s();
    job->read_s = job->read_at_s - start_s;
    return source;
}

/* Under the lock. */
static void take_source(struct bp_job *job, struct bp_source *source)
{
    if (source) {
        bp_source_drop(job->source);
        job->source = source;
    }
    job->changed = true;
    pthread_cond_broadcast(&job->told);
}

/* After every cell, on the measuring thread. */
static void show(void *ctx, const struct bp_measure_progress *progress)
{
    struct bp_job *job = ctx;
    pthread_mutex_lock(&job->lock);
    if (progress->phase != job->progress.phase)
        job->phase_start_s = now_s();
    job->progress = *progress;
    job->progress.matrix = NULL;
    pthread_mutex_unlock(&job->lock);
    struct bp_source *source = NULL;
    const bool soon = now_s() - job->read_at_s < READING_SHARE * job->read_s;
    if (!job->told_once || progress->phase != job->phase_told ||
        (progress->rows_done != job->rows_told && !soon))
        source = read_table(job);
    if (source) {
        job->told_once = true;
        job->rows_told = progress->rows_done;
        job->phase_told = progress->phase;
    }
    pthread_mutex_lock(&job->lock);
    take_source(job, source);
    pthread_mutex_unlock(&job->lock);
    bp_worker_nudge(job->worker);
}

static void *measure(void *arg)
{
    struct bp_job *job = arg;
    struct bp_err err = {{0}};
    struct bp_measure_progress progress = {0};
    enum bp_status status = bp_measure(&job->options, &progress, &err);
    struct bp_source *source = read_table(job);
    pthread_mutex_lock(&job->lock);
    job->done = true;
    job->status = status;
    job->err = err;
    job->progress = progress;
    job->progress.matrix = NULL;
    take_source(job, source); /* with `done`: whoever sees the end has the whole table to take */
    pthread_mutex_unlock(&job->lock);
    bp_worker_nudge(job->worker);
    return NULL;
}

/* A name that the same model finds again under the same rank and effort. */
static char *default_path(const struct bp_job *job)
{
    char name[300], safe[120];
    size_t n = 0;
    for (const char *p = job->model->name; *p && n + 1 < sizeof safe; p++)
        safe[n++] = *p == '/' ? '_' : *p;
    safe[n] = '\0';
    const char *digits = strchr(job->model->fingerprint, ':');
    snprintf(name, sizeof name, "%s-%.12s-r%u-%s.safetensors", safe,
             digits ? digits + 1 : job->model->fingerprint, job->rank,
             bp_effort_name(job->options.effort));
    return bp_place_state(name);
}

static enum bp_status set_up(struct bp_job *job, const struct bp_app_options *o, struct bp_err *err)
{
    BP_TRY(bp_model_open(o->path, NULL, &job->model, err));
    if (job->model->n_matrices == 0)
        return bp_fail(err, BP_ERR_INPUT,
                       "%s: none of its tensors is a matrix that would be quantized; "
                       "`bitplan info` says why",
                       o->path);
    BP_TRY(bp_grid_parse(o->grid ? o->grid : "paper", &job->grid, err));
    job->rank = (uint32_t)o->rank;
    job->options.effort = o->effort;
    job->path = o->table_path ? bp_strdup(o->table_path) : default_path(job);
    if (!job->path)
        return bp_fail(err, BP_ERR_FAILED,
                       "there is no folder for the table ($XDG_STATE_HOME, $HOME): "
                       "say where it goes with -o TABLE.safetensors");
    job->options = (struct bp_measure_options){
        .model = job->model,
        .effort = o->effort,
        .grid = &job->grid,
        .ranks = &job->rank,
        .n_ranks = 1,
        .iterations = BP_LQ_MAX_ITERATIONS,
        .threads = o->threads ? o->threads : bp_available_threads(),
        .shard = 1,
        .n_shards = 1,
        .path = job->path,
        .stop = &job->stop,
        .progress = show,
        .progress_ctx = job,
    };
    return BP_OK;
}

static enum bp_status start(struct bp_job *job, struct bp_app *app, struct bp_err *err)
{
    char *path = bp_strdup(job->path);
    if (!path)
        return bp_fail_nomem(err);
    free(app->session.table_path);
    app->session.table_path = path;
    job->phase_start_s = now_s();
    int failed = pthread_create(&job->thread, NULL, measure, job);
    if (failed)
        return bp_fail(err, BP_ERR_FAILED, "a thread cannot be started: %s", strerror(failed));
    job->started = true;
    return BP_OK;
}

enum bp_status bp_job_new(struct bp_app *app, const struct bp_app_options *options,
                          struct bp_job **out, struct bp_err *err)
{
    *out = NULL;
    struct bp_job *job = calloc(1, sizeof *job);
    if (!job)
        return bp_fail_nomem(err);
    job->worker = app->worker;
    pthread_mutex_init(&job->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&job->told, &attr);
    pthread_condattr_destroy(&attr);
    enum bp_status status = set_up(job, options, err);
    if (status == BP_OK)
        status = start(job, app, err);
    if (status != BP_OK)
        job = bp_job_free(job);
    *out = job;
    return status;
}

struct bp_job *bp_job_free(struct bp_job *job)
{
    if (!job)
        return NULL;
    atomic_store(&job->stop, true);
    if (job->started)
        pthread_join(job->thread, NULL);
    pthread_cond_destroy(&job->told);
    pthread_mutex_destroy(&job->lock);
    bp_source_drop(job->source);
    bp_model_close(job->model);
    bp_grid_done(&job->grid);
    free(job->path);
    free(job);
    return NULL;
}

bool bp_job_take(struct bp_job *job, struct bp_app *app)
{
    pthread_mutex_lock(&job->lock);
    struct bp_source *source = job->source;
    const bool changed = job->changed, failed = job->done && job->status != BP_OK;
    job->source = NULL;
    job->changed = false;
    pthread_mutex_unlock(&job->lock);
    if (source)
        bp_app_set_source(app, source);
    if (changed && failed && job->status != BP_STOPPED)
        bp_app_say(app, BP_ROLE_ERROR, "measuring has ended: %s", job->err.text);
    return changed;
}

bool bp_job_done(struct bp_job *job)
{
    pthread_mutex_lock(&job->lock);
    bool done = job->done && !job->changed;
    pthread_mutex_unlock(&job->lock);
    return done;
}

void bp_job_wait(struct bp_job *job, int timeout_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000 + 1;
    pthread_mutex_lock(&job->lock);
    int failed = 0;
    while (!job->changed && !job->done && failed == 0)
        failed = pthread_cond_timedwait(&job->told, &job->lock, &until);
    pthread_mutex_unlock(&job->lock);
}

/* "5 h", "12 min", "40 s". */
static void time_left(double s, char *text, size_t n)
{
    if (s >= 2 * 3600.0)
        snprintf(text, n, "%.0f h", s / 3600.0);
    else if (s >= 120.0)
        snprintf(text, n, "%.0f min", s / 60.0);
    else
        snprintf(text, n, "%.0f s", s);
}

bool bp_job_words(struct bp_job *job, bool clock, char *text, size_t n)
{
    pthread_mutex_lock(&job->lock);
    const struct bp_measure_progress p = job->progress;
    const double start_s = job->phase_start_s;
    const bool done = job->done;
    pthread_mutex_unlock(&job->lock);
    if (done)
        return false;
    const double fresh = (double)(p.cells_done - p.cells_before);
    const double share = p.cells_total ? (double)p.cells_done / (double)p.cells_total : 0.0;
    char left[32] = "";
    if (clock && fresh > 0.0) {
        char word[24];
        time_left((now_s() - start_s) / fresh * (double)(p.cells_total - p.cells_done), word,
                  sizeof word);
        snprintf(left, sizeof left, ", %s left", word);
    }
    snprintf(text, n, "%s %zu of %zu matrices%s, %.0f %% of the cells%s",
             p.phase == BP_PHASE_REFINE ? "refining" : "measuring", p.rows_done, p.rows_total,
             p.phase == BP_PHASE_ONE_STEP ? " at one step" : "", floor(100.0 * share), left);
    return true;
}
