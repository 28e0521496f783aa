#include "engine/table.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "engine/mem.h"
#include "engine/printable.h"
#include "engine/safetensors.h"
#include "engine/table_meta.h"

/* --- efforts --- */

static const char *const effort_names[BP_N_EFFORTS] = {
#define EFFORT_NAME(id, name) name,
    BP_EFFORTS(EFFORT_NAME)
#undef EFFORT_NAME
};

const char *bp_effort_name(enum bp_effort effort)
{
    return effort_names[effort];
}

bool bp_effort_parse(const char *name, enum bp_effort *out)
{
    for (int e = 0; e < BP_N_EFFORTS; e++)
        if (strcmp(name, effort_names[e]) == 0) {
            *out = (enum bp_effort)e;
            return true;
        }
    return false;
}

/* --- opening --- */

enum how { REQUIRED = 1, COPIED = 2 };

/* The data of a tensor of the given form: in place when the file aligns it and it need not be
 * COPIED, else a copy in *copy. NULL in *out when there is none and it is not REQUIRED. */
static enum bp_status take(const struct bp_st *st, const char *name, enum bp_dtype dtype,
                           size_t rows, size_t cols, int how, const void **out, void **copy,
                           struct bp_err *err)
{
    const struct bp_st_tensor *t = bp_st_find(st, name);
    const unsigned bytes = bp_dtype_bits(dtype) / 8;
    *out = NULL;
    if (!t)
        return how & REQUIRED
                   ? bp_fail(err, BP_ERR_INPUT, "%s: not a bitplan table: it has no tensor `%s`",
                             st->path, name)
                   : BP_OK;
    bool fits = t->dtype == dtype && t->shape[0] == rows &&
                (cols == 0 ? t->n_dims == 1 : t->n_dims == 2 && t->shape[1] == cols);
    if (!fits)
        return bp_fail(err, BP_ERR_INPUT,
                       "%s: tensor `%s` is not %s [%zu, %zu] as its metadata says", st->path, name,
                       bp_dtype_name(dtype), rows, cols ? cols : 1);
    const unsigned char *data = bp_st_data(st, t);
    if (!(how & COPIED) && (uintptr_t)data % bytes == 0) {
        *out = data;
        return BP_OK;
    }
    *copy = bp_alloc(t->n_bytes, 1);
    if (!*copy)
        return bp_fail_nomem(err);
    memcpy(*copy, data, t->n_bytes);
    *out = *copy;
    return BP_OK;
}

static enum bp_status take_all(const struct bp_st *st, struct bp_table *t, struct bp_err *err)
{
    size_t N = t->n_matrices, C = t->n_candidates;
    const void *error, *storage, *norm, *iterations, *baseline, *stage;
    /* Cells with marks change when a run refines them: a table that is open does not, and its
     * marks, read first, never say more than is true. */
    const int changing = bp_st_find(st, "stage") ? COPIED : 0;
    BP_TRY(take(st, "stage", BP_DTYPE_U8, N, C, COPIED, &stage, &t->copies[5], err));
    BP_TRY(take(st, "error", BP_DTYPE_F64, N, C, REQUIRED | changing, &error, &t->copies[0], err));
    BP_TRY(take(st, "storage", BP_DTYPE_U64, N, C, REQUIRED, &storage, &t->copies[1], err));
    BP_TRY(take(st, "norm", BP_DTYPE_F64, N, 0, 0, &norm, &t->copies[2], err));
    BP_TRY(take(st, "iterations", BP_DTYPE_U16, N, C, 0, &iterations, &t->copies[3], err));
    BP_TRY(take(st, "baseline_error", BP_DTYPE_F64, N, BP_N_BASELINES, 0, &baseline, &t->copies[4],
                err));
    t->error = error;
    t->storage = storage;
    t->norm = norm;
    t->iterations = iterations;
    t->baseline_error = baseline;
    t->stage = stage;
    return BP_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static enum bp_status check_names(const struct bp_table *t, struct bp_err *err)
{
    const char **names = bp_alloc(t->n_matrices, sizeof *names);
    if (!names)
        return bp_fail_nomem(err);
    for (size_t i = 0; i < t->n_matrices; i++)
        names[i] = t->matrices[i].name;
    qsort(names, t->n_matrices, sizeof *names, compare_names);
    enum bp_status status = BP_OK;
    for (size_t i = 1; i < t->n_matrices && status == BP_OK; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            status = bp_fail(err, BP_ERR_INPUT, "%s: matrix %s stands there twice", t->path,
                             bp_printable(names[i]).text);
    free(names);
    return status;
}

static enum bp_status check_numbers(const struct bp_table *t, struct bp_err *err)
{
    /* Totals of a plan are at most N times the largest cell: they stay within 62 bits, and within
     * the doubles. */
    const uint64_t most = (UINT64_C(1) << 62) / t->n_matrices;
    const double most_error = DBL_MAX / 2 / (double)t->n_matrices;
    for (size_t i = 0; i < t->n_matrices; i++)
        for (size_t j = 0; j < t->n_candidates; j++) {
            char text[BP_CANDIDATE_TEXT];
            double error = t->error[i * t->n_candidates + j];
            bool negative = error<0.0, huge = t->storage[i * t->n_candidates + j]> most;
            if (negative || error > most_error || huge)
                return bp_fail(err, BP_ERR_INPUT, "%s: matrix %s, candidate %s: %s", t->path,
                               bp_printable(t->matrices[i].name).text,
                               bp_printable(bp_candidate_format(&t->candidates[j], text)).text,
                               huge       ? "storage is beyond what any plan can hold"
                               : negative ? "the error is negative"
                                          : "the error is infinite, or sums of it would be");
        }
    for (size_t i = 0; t->norm && i < t->n_matrices; i++)
        if (t->norm[i] < 0.0 || t->norm[i] > most_error)
            return bp_fail(err, BP_ERR_INPUT, "%s: the norm of matrix %s is not a number >= 0",
                           t->path, bp_printable(t->matrices[i].name).text);
    for (size_t i = 0; t->baseline_error && i < t->n_matrices * BP_N_BASELINES; i++)
        if (t->baseline_error[i] < 0.0 || t->baseline_error[i] > most_error)
            return bp_fail(err, BP_ERR_INPUT, "%s: a baseline error of matrix %s is no number >= 0",
                           t->path, bp_printable(t->matrices[i / BP_N_BASELINES].name).text);
    for (size_t i = 0; t->stage && i < t->n_matrices * t->n_candidates; i++)
        if (t->stage[i] >= BP_N_CELL_STAGES)
            return bp_fail(err, BP_ERR_INPUT, "%s: a stage of matrix %s is %u, and 3 the last",
                           t->path, bp_printable(t->matrices[i / t->n_candidates].name).text,
                           t->stage[i]);
    return BP_OK;
}

enum bp_status bp_table_open(const char *path, struct bp_table **out, struct bp_err *err)
{
    *out = NULL;
    struct bp_table *t = calloc(1, sizeof *t);
    if (!t || !(t->path = bp_strdup(path))) {
        free(t);
        return bp_fail_nomem(err);
    }
    enum bp_status status = bp_st_open(path, &t->st, err);
    if (status == BP_OK)
        status = bp_table_meta_parse(t->st, t, err);
    if (status == BP_OK)
        status = take_all(t->st, t, err);
    if (status == BP_OK)
        status = check_names(t, err);
    if (status == BP_OK)
        status = check_numbers(t, err);
    if (status != BP_OK) {
        bp_table_close(t);
        return status;
    }
    *out = t;
    return BP_OK;
}

struct bp_table *bp_table_close(struct bp_table *t)
{
    if (!t)
        return NULL;
    for (size_t i = 0; i < t->n_matrices; i++) {
        free(t->matrices[i].name);
        free(t->matrices[i].dtype);
        free(t->matrices[i].kind);
    }
    free(t->matrices);
    free(t->candidates);
    free(t->about.weighting);
    free(t->about.weighting_source);
    free(t->about.weighting_fingerprint);
    free(t->about.model_name);
    free(t->about.model_fingerprint);
    free(t->about.effort);
    for (size_t i = 0; i < sizeof t->copies / sizeof *t->copies; i++)
        free(t->copies[i]);
    bp_st_close(t->st);
    free(t->path);
    free(t);
    return NULL;
}

enum bp_status bp_table_looks_like(const char *path, bool *yes, struct bp_err *err)
{
    struct bp_st *st;
    *yes = false;
    enum bp_status status = bp_st_open(path, &st, err);
    if (status != BP_OK)
        return status == BP_ERR_INPUT ? BP_OK : status;
    const char *format = bp_st_metadata(st, "format");
    *yes = (format && strcmp(format, BP_TABLE_FORMAT) == 0) ||
           (bp_st_find(st, "error") && bp_st_metadata(st, "candidates"));
    bp_st_close(st);
    return BP_OK;
}

/* --- questions --- */

size_t bp_table_measured_in_row(const struct bp_table *t, size_t i)
{
    size_t n = 0;
    for (size_t j = 0; j < t->n_candidates; j++)
        n += !isnan(t->error[i * t->n_candidates + j]);
    return n;
}

size_t bp_table_rows_measured(const struct bp_table *t)
{
    size_t n = 0;
    for (size_t i = 0; i < t->n_matrices; i++)
        n += bp_table_measured_in_row(t, i) > 0;
    return n;
}

uint64_t bp_table_measured(const struct bp_table *t)
{
    uint64_t n = 0;
    for (size_t i = 0; i < t->n_matrices; i++)
        n += bp_table_measured_in_row(t, i);
    return n;
}

enum bp_cell_stage bp_table_stage(const struct bp_table *t, size_t i, size_t j)
{
    const size_t cell = i * t->n_candidates + j;
    if (isnan(t->error[cell]))
        return BP_CELL_MISSING;
    if (!t->stage)
        return BP_CELL_ITERATED;
    return t->stage[cell] == BP_CELL_MISSING ? BP_CELL_ONE_STEP
                                             : (enum bp_cell_stage)t->stage[cell];
}

void bp_table_count_stages(const struct bp_table *t, uint64_t n[BP_N_CELL_STAGES])
{
    memset(n, 0, BP_N_CELL_STAGES * sizeof *n);
    for (size_t i = 0; i < t->n_matrices; i++)
        for (size_t j = 0; j < t->n_candidates; j++)
            n[bp_table_stage(t, i, j)]++;
}

uint64_t bp_table_params(const struct bp_table *t)
{
    uint64_t params = 0;
    for (size_t i = 0; i < t->n_matrices; i++)
        params += t->matrices[i].d * t->matrices[i].k;
    return params;
}

char *bp_table_fingerprint(const struct bp_table *t)
{
    XXH3_state_t *h = XXH3_createState();
    if (!h || XXH3_128bits_reset(h) != XXH_OK) {
        XXH3_freeState(h);
        return NULL;
    }
    for (size_t i = 0; i < t->n_matrices; i++) {
        const struct bp_table_matrix *m = &t->matrices[i];
        XXH3_128bits_update(h, m->name, strlen(m->name) + 1);
        XXH3_128bits_update(h, &m->d, sizeof m->d);
        XXH3_128bits_update(h, &m->k, sizeof m->k);
    }
    for (size_t j = 0; j < t->n_candidates; j++) {
        char text[BP_CANDIDATE_TEXT];
        bp_candidate_format(&t->candidates[j], text);
        XXH3_128bits_update(h, text, strlen(text) + 1);
    }
    size_t cells = t->n_matrices * t->n_candidates;
    XXH3_128bits_update(h, t->storage, cells * sizeof *t->storage);
    XXH3_128bits_update(h, t->error, cells * sizeof *t->error);
    if (t->norm)
        XXH3_128bits_update(h, t->norm, t->n_matrices * sizeof *t->norm);
    XXH128_hash_t hash = XXH3_128bits_digest(h);
    XXH3_freeState(h);
    return bp_format("xxh3:%016llx%016llx", (unsigned long long)hash.high64,
                     (unsigned long long)hash.low64);
}
