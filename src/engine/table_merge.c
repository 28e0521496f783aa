#include "engine/table_merge.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/mem.h"
#include "engine/printable.h"
#include "engine/table.h"

struct merge {
    struct bp_table *first; /* the part that says what the work is */
    struct bp_table about;  /* of the result: borrows from `first` all but the two names below */
    char *model_name, *weighting_source;
    double *error, *norm, *baseline; /* the result's, shaped as in struct bp_table */
    uint16_t *iterations;
    uint8_t *stage;
    struct bp_merge_report *report;
};

/* --- one part --- */

/* Parts come from bp_measure: all its tensors, and storage by its configs, which the file that is
 * written gets anew. */
static enum bp_status check_part(const struct merge *m, const struct bp_table *part,
                                 struct bp_err *err)
{
    const size_t cells = part->n_matrices * part->n_candidates;
    const char *lacks = !part->norm             ? "norm"
                        : !part->iterations     ? "iterations"
                        : !part->baseline_error ? "baseline_error"
                                                : NULL;
    if (lacks)
        return bp_fail(err, BP_ERR_INPUT,
                       "%s: no table of `bitplan measure`: it has no tensor `%s`", part->path,
                       lacks);
    for (size_t j = 0; j < part->n_candidates; j++)
        if (part->candidates[j].foreign)
            return bp_fail(err, BP_ERR_INPUT,
                           "%s: no table of `bitplan measure`: candidate %s is no config",
                           part->path, bp_printable(part->candidates[j].label).text);
    if (part == m->first)
        return BP_OK;
    BP_TRY(bp_table_same_work(part, m->first, err));
    if (memcmp(part->storage, m->first->storage, cells * sizeof *part->storage) != 0)
        return bp_fail(err, BP_ERR_MISMATCH, "%s: has another storage than %s", part->path,
                       m->first->path);
    return BP_OK;
}

static enum bp_status differs(const struct bp_table *part, size_t i, const char *what, double other,
                              double own, struct bp_err *err)
{
    return bp_fail(
        err, BP_ERR_MISMATCH,
        "%s: matrix %s, %s is %.17g, and %.17g in a part before; parts that overlap must "
        "come from machines of one kind",
        part->path, bp_printable(part->matrices[i].name).text, what, own, other);
}

/* One number of row i: taken where there is none yet, else the same. */
static enum bp_status take_number(const struct bp_table *part, size_t i, const char *what,
                                  double *to, double from, struct bp_err *err)
{
    if (isnan(from))
        return BP_OK;
    if (isnan(*to))
        *to = from;
    return *to == from ? BP_OK : differs(part, i, what, *to, from, err);
}

/* How far a part's cell is for sure: a number whose mark is not there yet may be of either stage,
 * and is measured again. */
static enum bp_cell_stage stage_of(const struct bp_table *part, size_t i, size_t j)
{
    if (part->stage && part->stage[i * part->n_candidates + j] == BP_CELL_MISSING)
        return BP_CELL_MISSING;
    return bp_table_stage(part, i, j);
}

/* Of a cell that two parts took differently far, the one that is further. */
static enum bp_status take_cell(struct merge *m, const struct bp_table *part, size_t i, size_t j,
                                struct bp_err *err)
{
    const size_t at = i * part->n_candidates + j;
    const double own = part->error[at];
    const enum bp_cell_stage stage = stage_of(part, i, j);
    if (stage == BP_CELL_MISSING)
        return BP_OK;
    m->report->n_measured += isnan(m->error[at]);
    m->report->n_repeated += !isnan(m->error[at]);
    if (stage > m->stage[at]) {
        m->error[at] = own;
        m->iterations[at] = part->iterations[at];
        m->stage[at] = stage;
        return BP_OK;
    }
    if (stage < m->stage[at])
        return BP_OK;
    if (m->error[at] == own && m->iterations[at] == part->iterations[at])
        return BP_OK;
    char text[BP_CANDIDATE_TEXT], what[BP_CANDIDATE_TEXT + 64];
    const bool error = m->error[at] != own;
    snprintf(what, sizeof what, "candidate %s: the %s",
             bp_candidate_format(&part->candidates[j], text),
             error ? "error" : "number of iterations");
    return differs(part, i, what, error ? m->error[at] : m->iterations[at],
                   error ? own : part->iterations[at], err);
}

static bool has_cells(const struct bp_table *part, size_t i)
{
    for (size_t j = 0; j < part->n_candidates; j++)
        if (stage_of(part, i, j) != BP_CELL_MISSING)
            return true;
    return false;
}

/* A row without a measured cell may hold other numbers of a process that was killed between two
 * writes: they are left out, as they are in an undisturbed run's file. */
static enum bp_status take_row(struct merge *m, const struct bp_table *part, size_t i,
                               struct bp_err *err)
{
    static const char *const baselines[BP_N_BASELINES] = {"the error of NF4", "the error of NF3"};
    if (!has_cells(part, i))
        return BP_OK;
    for (size_t j = 0; j < part->n_candidates; j++)
        BP_TRY(take_cell(m, part, i, j, err));
    for (size_t b = 0; b < BP_N_BASELINES; b++)
        BP_TRY(take_number(part, i, baselines[b], &m->baseline[i * BP_N_BASELINES + b],
                           part->baseline_error[i * BP_N_BASELINES + b], err));
    return take_number(part, i, "the norm", &m->norm[i], part->norm[i], err);
}

/* Keeps the lesser of two names, so that the order of the parts does not matter. */
static enum bp_status keep_least(char **name, const char *other, struct bp_err *err)
{
    if (*name && strcmp(*name, other) <= 0)
        return BP_OK;
    free(*name);
    *name = bp_strdup(other);
    return *name ? BP_OK : bp_fail_nomem(err);
}

static enum bp_status take_part(struct merge *m, const struct bp_table *part, struct bp_err *err)
{
    BP_TRY(check_part(m, part, err));
    BP_TRY(keep_least(&m->model_name, part->about.model_name, err));
    BP_TRY(keep_least(&m->weighting_source, part->about.weighting_source, err));
    for (size_t i = 0; i < part->n_matrices; i++)
        BP_TRY(take_row(m, part, i, err));
    return BP_OK;
}

/* --- the result --- */

static double *nans(size_t n)
{
    double *numbers = bp_alloc(n, sizeof *numbers);
    for (size_t i = 0; numbers && i < n; i++)
        numbers[i] = NAN;
    return numbers;
}

static enum bp_status begin(struct merge *m, struct bp_err *err)
{
    const size_t N = m->first->n_matrices, cells = N * m->first->n_candidates;
    m->error = nans(cells);
    m->norm = nans(N);
    m->baseline = nans(N * BP_N_BASELINES);
    m->iterations = bp_alloc_zero(cells, sizeof *m->iterations);
    m->stage = bp_alloc_zero(cells, sizeof *m->stage);
    m->report->n_matrices = N;
    m->report->n_cells = cells;
    m->report->synthetic = m->first->about.synthetic;
    return m->error && m->norm && m->baseline && m->iterations && m->stage ? BP_OK
                                                                           : bp_fail_nomem(err);
}

/* Lists the matrices that are not whole. */
static enum bp_status list_missing(struct merge *m, struct bp_err *err)
{
    struct bp_merge_report *r = m->report;
    size_t n = 0;
    r->missing = bp_alloc_zero(r->n_matrices, sizeof *r->missing);
    if (!r->missing)
        return bp_fail_nomem(err);
    r->n_whole = r->n_matrices;
    for (size_t i = 0; i < r->n_matrices; i++) {
        if (bp_table_measured_in_row(&m->about, i) == m->about.n_candidates)
            continue;
        r->n_whole--;
        if (!(r->missing[n++] = bp_strdup(m->about.matrices[i].name)))
            return bp_fail_nomem(err);
    }
    return BP_OK;
}

static enum bp_status finish(struct merge *m, const char *path, bool replace, struct bp_err *err)
{
    const struct bp_table_numbers numbers = {m->error, m->norm, m->baseline, m->iterations,
                                             m->stage};
    m->about = *m->first;
    m->about.about.model_name = m->model_name;
    m->about.about.weighting_source = m->weighting_source;
    m->about.error = m->error;
    BP_TRY(list_missing(m, err));
    return bp_table_write(&m->about, &numbers, path, replace, err);
}

static enum bp_status merge(struct merge *m, const char *const *parts, size_t n_parts,
                            struct bp_err *err)
{
    BP_TRY(bp_table_open(parts[0], &m->first, err));
    BP_TRY(begin(m, err));
    BP_TRY(take_part(m, m->first, err));
    for (size_t p = 1; p < n_parts; p++) {
        struct bp_table *part;
        BP_TRY(bp_table_open(parts[p], &part, err));
        const enum bp_status status = take_part(m, part, err);
        bp_table_close(part);
        BP_TRY(status);
    }
    m->report->n_parts = n_parts;
    return BP_OK;
}

enum bp_status bp_table_merge(const char *const *parts, size_t n_parts, const char *path,
                              bool replace, struct bp_merge_report *report, struct bp_err *err)
{
    struct merge m = {.report = report};
    *report = (struct bp_merge_report){0};
    enum bp_status status = merge(&m, parts, n_parts, err);
    if (status == BP_OK)
        status = finish(&m, path, replace, err);
    bp_table_close(m.first);
    free(m.model_name);
    free(m.weighting_source);
    free(m.error);
    free(m.norm);
    free(m.baseline);
    free(m.iterations);
    free(m.stage);
    if (status != BP_OK)
        bp_merge_report_done(report);
    return status;
}

void bp_merge_report_done(struct bp_merge_report *report)
{
    for (size_t i = 0; report->missing && i < report->n_matrices; i++)
        free(report->missing[i]);
    free(report->missing);
    *report = (struct bp_merge_report){0};
}
