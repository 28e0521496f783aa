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
    uint8_t *stage;   /* NULL for an exact table */
    uint64_t n_found; /* cells in all parts */
    struct bp_merge_report *report;
};

/* How far row i of a table with marks is. Marks are written last: a row that lacks some was in hand
 * when its process was killed, or is in hand now. */
enum level { NOT_DONE, ONE_STEP, REFINED };

static enum level level_of(const double *error, const uint8_t *stage, size_t i, size_t n_candidates)
{
    enum level level = REFINED;
    for (size_t at = i * n_candidates; at < (i + 1) * n_candidates; at++) {
        if (stage[at] == BP_CELL_MISSING || isnan(error[at]))
            return NOT_DONE;
        if (stage[at] == BP_CELL_ONE_STEP)
            level = ONE_STEP;
    }
    return level;
}

/* --- one part --- */

/* Parts come from bp_measure: all its tensors, and storage by its configs, which the file that is
 * written gets anew. */
static enum bp_status check_part(const struct merge *m, const struct bp_table *part,
                                 struct bp_err *err)
{
    const size_t cells = part->n_matrices * part->n_candidates;
    const char *lacks = !part->norm                ? "norm"
                        : !part->iterations        ? "iterations"
                        : !part->baseline_error    ? "baseline_error"
                        : m->stage && !part->stage ? "stage"
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

static enum bp_status take_cell(struct merge *m, const struct bp_table *part, size_t i, size_t j,
                                struct bp_err *err)
{
    const size_t at = i * part->n_candidates + j;
    const double own = part->error[at];
    if (isnan(own))
        return BP_OK;
    if (isnan(m->error[at])) {
        m->error[at] = own;
        m->iterations[at] = part->iterations[at];
        if (m->stage)
            m->stage[at] = part->stage[at];
        return BP_OK;
    }
    const bool same_stage = !m->stage || m->stage[at] == part->stage[at];
    if (m->error[at] == own && m->iterations[at] == part->iterations[at] && same_stage)
        return BP_OK;
    char text[BP_CANDIDATE_TEXT], what[BP_CANDIDATE_TEXT + 64];
    const bool error = m->error[at] != own;
    snprintf(what, sizeof what, "candidate %s: the %s",
             bp_candidate_format(&part->candidates[j], text),
             error        ? "error"
             : same_stage ? "number of iterations"
                          : "stage");
    return error        ? differs(part, i, what, m->error[at], own, err)
           : same_stage ? differs(part, i, what, m->iterations[at], part->iterations[at], err)
                        : differs(part, i, what, m->stage[at], part->stage[at], err);
}

/* Whether row i of the part is to be taken. A row without a measured cell may hold other numbers of
 * a process that was killed between two writes: they are left out, as they are in an undisturbed
 * run's file. Of rows with marks those that are further along replace the others. */
static bool row_counts(struct merge *m, const struct bp_table *part, size_t i)
{
    const size_t C = part->n_candidates, measured = bp_table_measured_in_row(part, i);
    if (!m->stage) {
        m->n_found += measured;
        return measured > 0;
    }
    const enum level own = level_of(part->error, part->stage, i, C);
    const enum level have = level_of(m->error, m->stage, i, C);
    m->n_found += own > NOT_DONE ? measured : 0;
    for (size_t j = 0; own > have && j < C; j++)
        m->error[i * C + j] = NAN; /* to be taken anew */
    return own > NOT_DONE && own >= have;
}

static enum bp_status take_row(struct merge *m, const struct bp_table *part, size_t i,
                               struct bp_err *err)
{
    static const char *const baselines[BP_N_BASELINES] = {"the error of NF4", "the error of NF3"};
    if (!row_counts(m, part, i))
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
    const bool marks = strcmp(m->first->about.effort, bp_effort_name(BP_EFFORT_EXACT)) != 0;
    m->stage = marks ? bp_alloc_zero(cells, 1) : NULL;
    m->report->n_matrices = N;
    m->report->n_cells = cells;
    m->report->synthetic = m->first->about.synthetic;
    return m->error && m->norm && m->baseline && m->iterations && (m->stage || !marks)
               ? BP_OK
               : bp_fail_nomem(err);
}

/* Row i has all that the effort asks for. */
static bool is_whole(const struct merge *m, size_t i)
{
    const size_t C = m->about.n_candidates;
    const bool one_step_is_all =
        strcmp(m->about.about.effort, bp_effort_name(BP_EFFORT_QUICK)) == 0;
    return m->stage ? level_of(m->error, m->stage, i, C) >= (one_step_is_all ? ONE_STEP : REFINED)
                    : bp_table_measured_in_row(&m->about, i) == C;
}

/* Counts what is there, and lists the matrices that are not whole. */
static enum bp_status list_missing(struct merge *m, struct bp_err *err)
{
    struct bp_merge_report *r = m->report;
    size_t n = 0;
    r->missing = bp_alloc_zero(r->n_matrices, sizeof *r->missing);
    if (!r->missing)
        return bp_fail_nomem(err);
    r->n_whole = r->n_matrices;
    for (size_t i = 0; i < r->n_matrices; i++) {
        r->n_measured += bp_table_measured_in_row(&m->about, i);
        if (is_whole(m, i))
            continue;
        r->n_whole--;
        if (!(r->missing[n++] = bp_strdup(m->about.matrices[i].name)))
            return bp_fail_nomem(err);
    }
    r->n_repeated = m->n_found - r->n_measured;
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
