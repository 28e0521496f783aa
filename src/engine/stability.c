#include "engine/stability.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/json_write.h"
#include "engine/mem.h"
#include "engine/printable.h"
#include "engine/rng.h"

void bp_stability_done(struct bp_stability *s)
{
    free(s->changed);
    free(s->codes_changed);
    *s = (struct bp_stability){0};
}

enum bp_status bp_stability_parse(const char *text, double *noise_percent, struct bp_err *err)
{
    struct bp_decimal decimal;
    const char *end;
    const double noise = strtod(text, NULL);
    const bool good = bp_decimal_parse(text, &decimal, &end) && (!*end || strcmp(end, "%") == 0);
    if (!good || !(noise > 0.0) || noise > 100.0)
        return bp_fail(err, BP_ERR_USAGE, "'%s' is no percentage above 0 and at most 100",
                       bp_printable(text).text);
    *noise_percent = noise;
    return BP_OK;
}

bool bp_stability_is_flip(const struct bp_stability *s, uint32_t changed)
{
    return changed >= BP_STABILITY_FLIP * s->runs;
}

/* error [n_matrices * n_candidates] gets the table's, disturbed; z [n_candidates] is scratch. */
static void disturb(const struct bp_table *t, double noise, unsigned run, float *z, double *error)
{
    const double variance = log1p(noise * noise), deviation = sqrt(variance);
    for (size_t i = 0; i < t->n_matrices; i++) {
        const uint64_t key = bp_rng_key(0, t->matrices[i].name, "stability", run);
        const double *from = t->error + i * t->n_candidates;
        double *to = error + i * t->n_candidates;
        bp_rng_normal(key, 0, t->n_candidates, z);
        for (size_t j = 0; j < t->n_candidates; j++)
            to[j] = from[j] * exp(deviation * z[j] - variance / 2.0); /* NaN stays */
    }
}

/* What runs find: [BP_STABILITY_RUNS] each. */
struct outcomes {
    double regret[BP_STABILITY_RUNS], loss[BP_STABILITY_RUNS];
};

static bool same_codes(const struct bp_candidate *a, const struct bp_candidate *b)
{
    return a->foreign || b->foreign ? bp_candidate_equal(a, b) : a->config.b0 == b->config.b0;
}

static void count_changes(struct bp_stability *s, const uint32_t *choice)
{
    const struct bp_table *t = s->plan->table;
    for (size_t i = 0; i < t->n_matrices; i++) {
        const uint32_t a = choice[i], b = s->plan->choice[i];
        s->changed[i] += a != b;
        s->codes_changed[i] += !same_codes(&t->candidates[a], &t->candidates[b]);
    }
}

/* The objective of a choice under a planner's table. */
static enum bp_status objective_of(const struct bp_planner *planner, const struct bp_plan *plan,
                                   const uint32_t *choice, double *out, struct bp_err *err)
{
    struct bp_plan *assembled;
    BP_TRY(
        bp_planner_assemble(planner, &plan->budget, choice, &plan->certificate, &assembled, err));
    *out = assembled->objective;
    bp_plan_free(assembled);
    return BP_OK;
}

static double above(double objective, double least)
{
    return least > 0.0 && objective > least ? (objective - least) / least : 0.0;
}

/* Plans the disturbed table. */
static enum bp_status plan_run(struct bp_stability *s, unsigned run, const struct bp_table *noisy,
                               const struct bp_planner *calm,
                               const struct bp_planner_limits *limits, struct outcomes *out,
                               struct bp_err *err)
{
    struct bp_planner *planner;
    struct bp_plan *best = NULL;
    double kept = 0.0, there = 0.0;
    BP_TRY(bp_planner_new_counting(noisy, &s->plan->constraints,
                                   bp_budget_counted(&s->plan->budget), &planner, err));
    const enum bp_status solved =
        bp_planner_solve(planner, &s->plan->budget, BP_SOLVER_MCKP, limits, &best, err);
    enum bp_status status = solved == BP_LIMIT ? BP_OK : solved;
    if (status == BP_OK)
        status = objective_of(planner, s->plan, s->plan->choice, &kept, err);
    if (status == BP_OK)
        status = objective_of(calm, s->plan, best->choice, &there, err);
    if (status == BP_OK) {
        out->regret[run] = above(kept, best->objective);
        out->loss[run] = above(there, s->plan->objective);
        s->n_optimal += solved == BP_OK;
        count_changes(s, best->choice);
    }
    bp_plan_free(best);
    bp_planner_free(planner);
    return status;
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static void median_and_max(double *values, unsigned n, double *median, double *max)
{
    qsort(values, n, sizeof *values, compare_doubles);
    *median = (values[(n - 1) / 2] + values[n / 2]) / 2.0;
    *max = values[n - 1];
}

static void sum_up(struct bp_stability *s, struct outcomes *o)
{
    for (size_t i = 0; i < s->plan->table->n_matrices; i++) {
        s->n_steady += s->changed[i] == 0;
        s->n_codes_steady += s->codes_changed[i] == 0;
        s->n_flips += bp_stability_is_flip(s, s->changed[i]);
        s->n_code_flips += bp_stability_is_flip(s, s->codes_changed[i]);
    }
    median_and_max(o->regret, s->runs, &s->regret_median, &s->regret_max);
    median_and_max(o->loss, s->runs, &s->loss_median, &s->loss_max);
}

enum bp_status bp_stability_test(const struct bp_plan *plan, double noise_percent,
                                 const struct bp_planner_limits *limits, struct bp_stability *out,
                                 struct bp_err *err)
{
    const struct bp_table *t = plan->table;
    /* The table itself but for its errors. Borrowed, and never closed. */
    struct bp_table noisy = *t;
    struct outcomes outcomes;
    struct bp_planner *calm = NULL;
    double *error = bp_alloc(t->n_matrices * t->n_candidates, sizeof *error);
    float *z = bp_alloc(t->n_candidates, sizeof *z);
    *out = (struct bp_stability){
        .plan = plan, .noise_percent = noise_percent, .runs = BP_STABILITY_RUNS};
    out->changed = bp_alloc_zero(t->n_matrices, sizeof *out->changed);
    out->codes_changed = bp_alloc_zero(t->n_matrices, sizeof *out->codes_changed);
    enum bp_status status = BP_OK;
    if (!error || !z || !out->changed || !out->codes_changed)
        status = bp_fail_nomem(err);
    if (status == BP_OK)
        status = bp_planner_new_counting(t, &plan->constraints, bp_budget_counted(&plan->budget),
                                         &calm, err);
    noisy.error = error;
    for (unsigned run = 0; status == BP_OK && run < out->runs; run++) {
        disturb(t, noise_percent / 100.0, run, z, error);
        if (limits && limits->stop && atomic_load(limits->stop))
            status = bp_fail(err, BP_STOPPED, "stopped");
        else
            status = plan_run(out, run, &noisy, calm, limits, &outcomes, err);
    }
    if (status == BP_OK)
        sum_up(out, &outcomes);
    bp_planner_free(calm);
    free(error);
    free(z);
    return status;
}

void bp_stability_to_json(const struct bp_stability *s, struct bp_json_out *out)
{
    const struct bp_table *t = s->plan->table;
    struct cJSON *node = bp_json_put_object(out, out->root, "stability");
    bp_json_put_double(out, node, "noise_percent", s->noise_percent);
    bp_json_put_u64(out, node, "runs", s->runs);
    bp_json_put_u64(out, node, "runs_optimal", s->n_optimal);
    bp_json_put_double(out, node, "share_steady", (double)s->n_steady / (double)t->n_matrices);
    bp_json_put_double(out, node, "share_codes_steady",
                       (double)s->n_codes_steady / (double)t->n_matrices);
    bp_json_put_u64(out, node, "coin_flips", s->n_flips);
    bp_json_put_u64(out, node, "code_flips", s->n_code_flips);
    bp_json_put_double(out, node, "regret_median", s->regret_median);
    bp_json_put_double(out, node, "regret_max", s->regret_max);
    bp_json_put_double(out, node, "loss_median", s->loss_median);
    bp_json_put_double(out, node, "loss_max", s->loss_max);
    struct cJSON *list = bp_json_put_array(out, node, "matrices");
    for (size_t i = 0; i < t->n_matrices; i++) {
        struct cJSON *matrix = bp_json_put_object(out, list, NULL);
        bp_json_put_string(out, matrix, "name", t->matrices[i].name);
        bp_json_put_u64(out, matrix, "changed", s->changed[i]);
        bp_json_put_u64(out, matrix, "codes_changed", s->codes_changed[i]);
    }
}
