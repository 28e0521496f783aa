#include "ui/carry.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/decompose.h"
#include "engine/json_write.h"
#include "engine/mem.h"
#include "engine/model.h"
#include "engine/parallel.h"
#include "engine/plan_file.h"
#include "engine/printable.h"

struct bp_carry {
    pthread_t thread;
    bool started;
    struct bp_worker *worker; /* to be nudged; outlives the job */
    struct bp_plan_file *plan;
    char *model_path, *fisher_path, *out;
    unsigned emits, threads;
    bool replace;
    atomic_bool stop;

    pthread_mutex_t lock;
    pthread_cond_t told;
    /* Under the lock. */
    struct bp_decompose_progress progress;
    double fresh_s; /* when the first of this run's matrices began */
    bool changed, done, said;
    enum bp_status status;
    struct bp_err err;
    size_t n_off;
    double planned, error; /* of the first form */
};

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* --- the thread --- */

static void show(void *ctx, const struct bp_decompose_progress *progress)
{
    struct bp_carry *c = ctx;
    pthread_mutex_lock(&c->lock);
    if (!progress->matrix)
        c->fresh_s = now_s();
    c->progress = *progress;
    c->progress.matrix = NULL;
    c->changed = true;
    pthread_cond_broadcast(&c->told);
    pthread_mutex_unlock(&c->lock);
    bp_worker_nudge(c->worker);
}

static void sum_up(struct bp_carry *c, const struct bp_decompose_report *r)
{
    int e = 0;
    while (!(c->emits >> e & 1))
        e++;
    c->n_off = r->n_off;
    for (size_t i = 0; i < r->n; i++) {
        c->planned += r->rows[i].planned;
        c->error += r->rows[i].error[e];
    }
}

static enum bp_status decompose(struct bp_carry *c, struct bp_err *err)
{
    struct bp_model *model = NULL, *fisher = NULL;
    struct bp_decompose_report report = {0};
    enum bp_status status = bp_model_open(c->model_path, NULL, &model, err);
    if (status == BP_OK && c->fisher_path)
        status = bp_model_open(c->fisher_path, NULL, &fisher, err);
    if (status == BP_OK) {
        const struct bp_decompose_options options = {.plan = c->plan,
                                                     .model = model,
                                                     .fisher = fisher,
                                                     .dir = c->out,
                                                     .emits = c->emits,
                                                     .low_rank_bits = c->plan->low_rank_bits,
                                                     .threads = c->threads,
                                                     .replace = c->replace,
                                                     .stop = &c->stop,
                                                     .progress = show,
                                                     .progress_ctx = c};
        status = bp_decompose(&options, &report, err);
    }
    pthread_mutex_lock(&c->lock);
    if (status == BP_OK)
        sum_up(c, &report);
    pthread_mutex_unlock(&c->lock);
    bp_decompose_report_done(&report);
    bp_model_close(model);
    bp_model_close(fisher);
    return status;
}

static void *run(void *arg)
{
    struct bp_carry *c = arg;
    struct bp_err err = {{0}};
    const enum bp_status status = decompose(c, &err);
    pthread_mutex_lock(&c->lock);
    c->done = c->changed = true;
    c->status = status;
    c->err = err;
    pthread_cond_broadcast(&c->told);
    pthread_mutex_unlock(&c->lock);
    bp_worker_nudge(c->worker);
    return NULL;
}

/* --- starting and ending --- */

/* The plan as `solve -o` would write it, read as `decompose` would. */
static enum bp_status take_plan(struct bp_carry *c, const struct bp_plan *plan, struct bp_err *err)
{
    struct bp_json_out out;
    bp_plan_to_json(plan, &out);
    char *text = bp_json_print(&out, false);
    bp_json_out_done(&out);
    if (!text)
        return bp_fail_nomem(err);
    enum bp_status status = bp_plan_file_parse(text, "the plan", &c->plan, err);
    free(text);
    if (status == BP_OK && !c->plan->method.known)
        status = bp_fail(err, BP_ERR_INPUT, "the table does not say how its errors were made");
    return status;
}

static enum bp_status set_up(struct bp_carry *c, const struct bp_app *app, const char *model,
                             const char *out, struct bp_err *err)
{
    const struct bp_table_about *about = &app->plan->table->about;
    const bool weighted = strcmp(about->weighting, "none") != 0;
    BP_TRY(take_plan(c, app->plan, err));
    c->threads = app->options.threads ? app->options.threads : bp_available_threads();
    c->model_path = bp_strdup(model);
    c->out = bp_strdup(out);
    c->fisher_path = weighted ? bp_strdup(about->weighting_source) : NULL;
    if (!c->model_path || !c->out || (weighted && !c->fisher_path))
        return bp_fail_nomem(err);
    c->fresh_s = now_s();
    int failed = pthread_create(&c->thread, NULL, run, c);
    if (failed)
        return bp_fail(err, BP_ERR_FAILED, "a thread cannot be started: %s", strerror(failed));
    c->started = true;
    return BP_OK;
}

enum bp_status bp_carry_new(struct bp_app *app, const char *model, const char *out, unsigned emits,
                            bool replace, struct bp_carry **result, struct bp_err *err)
{
    *result = NULL;
    struct bp_carry *c = calloc(1, sizeof *c);
    if (!c)
        return bp_fail_nomem(err);
    c->worker = app->worker;
    c->emits = emits;
    c->replace = replace;
    pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->told, &attr);
    pthread_condattr_destroy(&attr);
    enum bp_status status = set_up(c, app, model, out, err);
    if (status != BP_OK)
        c = bp_carry_free(c);
    *result = c;
    return status;
}

void bp_carry_stop(struct bp_carry *c)
{
    atomic_store(&c->stop, true);
}

struct bp_carry *bp_carry_free(struct bp_carry *c)
{
    if (!c)
        return NULL;
    bp_carry_stop(c);
    if (c->started)
        pthread_join(c->thread, NULL);
    pthread_cond_destroy(&c->told);
    pthread_mutex_destroy(&c->lock);
    bp_plan_file_free(c->plan);
    free(c->model_path);
    free(c->fisher_path);
    free(c->out);
    free(c);
    return NULL;
}

/* --- on the screen --- */

bool bp_carry_take(struct bp_carry *c, struct bp_app *app)
{
    pthread_mutex_lock(&c->lock);
    const bool changed = c->changed, ended = c->done && !c->said;
    c->changed = false;
    c->said |= ended;
    pthread_mutex_unlock(&c->lock);
    if (!ended)
        return changed;
    const struct bp_printable out = bp_printable(c->out);
    if (c->status == BP_OK && c->n_off == 0)
        bp_app_say(app, BP_ROLE_GOOD, "decomposed into %s: error %.6g as written, %.6g as planned",
                   out.text, c->error, c->planned);
    else if (c->status == BP_OK)
        bp_app_say(app, BP_ROLE_WARNING,
                   "decomposed into %s, but %zu matrices are not as planned: see decompose.json",
                   out.text, c->n_off);
    else if (c->status == BP_STOPPED)
        bp_app_say(app, BP_ROLE_WARNING,
                   "stopped: what is in %s is kept; the same command goes on from there", out.text);
    else
        bp_app_say(app, BP_ROLE_ERROR, "%s%s", c->err.text,
                   strstr(c->err.text, "--force") ? " (:decompose!)" : "");
    return true;
}

bool bp_carry_done(struct bp_carry *c)
{
    pthread_mutex_lock(&c->lock);
    const bool done = c->done && c->said;
    pthread_mutex_unlock(&c->lock);
    return done;
}

void bp_carry_wait(struct bp_carry *c, int timeout_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000 + 1;
    pthread_mutex_lock(&c->lock);
    int failed = 0;
    while (!c->changed && !c->done && failed == 0)
        failed = pthread_cond_timedwait(&c->told, &c->lock, &until);
    pthread_mutex_unlock(&c->lock);
}

bool bp_carry_words(struct bp_carry *c, bool clock, char *text, size_t n)
{
    pthread_mutex_lock(&c->lock);
    const struct bp_decompose_progress p = c->progress;
    const double fresh_s = c->fresh_s;
    const bool done = c->done;
    pthread_mutex_unlock(&c->lock);
    if (done)
        return false;
    char left[32] = "";
    const size_t fresh = p.done - p.before;
    if (clock && fresh > 0 && !p.checking) {
        const double s = (now_s() - fresh_s) / (double)fresh * (double)(p.total - p.done);
        if (s >= 7200.0)
            snprintf(left, sizeof left, ", %.0f h left", s / 3600.0);
        else if (s >= 120.0)
            snprintf(left, sizeof left, ", %.0f min left", s / 60.0);
        else
            snprintf(left, sizeof left, ", %.0f s left", s);
    }
    if (p.checking)
        snprintf(text, n, "reading %zu matrices back", p.total);
    else
        snprintf(text, n, "decomposing %zu of %zu matrices%s", p.done, p.total, left);
    return true;
}
