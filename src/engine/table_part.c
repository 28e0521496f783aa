/* A part of a table as a table of its own: numbers and names are copies. */
#include <stdlib.h>
#include <string.h>

#include "engine/mem.h"
#include "engine/table.h"

/* Which of t's copies holds what; any order would do. */
enum { COPY_ERROR, COPY_STORAGE, COPY_NORM, COPY_ITERATIONS, COPY_BASELINE, COPY_STAGE };

static bool copy_string(const char *from, char **to)
{
    return (*to = bp_strdup(from)) != NULL;
}

static bool copy_about(const struct bp_table_about *from, struct bp_table_about *to)
{
    *to = *from;
    to->weighting = to->weighting_source = to->weighting_fingerprint = NULL;
    to->model_name = to->model_fingerprint = to->effort = NULL;
    return copy_string(from->weighting, &to->weighting) &&
           copy_string(from->weighting_source, &to->weighting_source) &&
           copy_string(from->weighting_fingerprint, &to->weighting_fingerprint) &&
           copy_string(from->model_name, &to->model_name) &&
           copy_string(from->model_fingerprint, &to->model_fingerprint) &&
           copy_string(from->effort, &to->effort);
}

static bool copy_matrices(const struct bp_table *from, const size_t *row, struct bp_table *to)
{
    for (size_t i = 0; i < to->n_matrices; i++) {
        const struct bp_table_matrix *m = &from->matrices[row[i]];
        struct bp_table_matrix *own = &to->matrices[i];
        own->d = m->d;
        own->k = m->k;
        own->layer = m->layer;
        if (!copy_string(m->name, &own->name) || !copy_string(m->dtype, &own->dtype) ||
            !copy_string(m->kind, &own->kind))
            return false;
    }
    return true;
}

/* Rows of `width` bytes of an array that may not be there. */
static bool copy_rows(const void *from, const size_t *row, size_t n, size_t width, void **copy)
{
    if (!from)
        return true;
    unsigned char *to = bp_alloc(n, width);
    *copy = to;
    for (size_t i = 0; to && i < n; i++)
        memcpy(to + i * width, (const unsigned char *)from + row[i] * width, width);
    return to != NULL;
}

static bool copy_numbers(const struct bp_table *from, const size_t *row, struct bp_table *to)
{
    const size_t n = to->n_matrices, C = to->n_candidates;
    void **copy = to->copies;
    const bool whole =
        copy_rows(from->error, row, n, C * sizeof *from->error, &copy[COPY_ERROR]) &&
        copy_rows(from->storage, row, n, C * sizeof *from->storage, &copy[COPY_STORAGE]) &&
        copy_rows(from->norm, row, n, sizeof *from->norm, &copy[COPY_NORM]) &&
        copy_rows(from->iterations, row, n, C * sizeof *from->iterations, &copy[COPY_ITERATIONS]) &&
        copy_rows(from->baseline_error, row, n, BP_N_BASELINES * sizeof *from->baseline_error,
                  &copy[COPY_BASELINE]) &&
        copy_rows(from->stage, row, n, C * sizeof *from->stage, &copy[COPY_STAGE]);
    to->error = copy[COPY_ERROR];
    to->storage = copy[COPY_STORAGE];
    to->norm = copy[COPY_NORM];
    to->iterations = copy[COPY_ITERATIONS];
    to->baseline_error = copy[COPY_BASELINE];
    to->stage = copy[COPY_STAGE];
    return whole;
}

/* The rows [n] of a table; NULL when memory is out. */
static struct bp_table *part_of(const struct bp_table *from, const size_t *row, size_t n)
{
    struct bp_table *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    t->n_candidates = from->n_candidates;
    t->whole_matrices = from->whole_matrices ? from->whole_matrices : from->n_matrices;
    t->whole_params = from->whole_matrices ? from->whole_params : bp_table_params(from);
    t->matrices = bp_alloc_zero(n, sizeof *t->matrices);
    t->n_matrices = t->matrices ? n : 0;
    t->candidates = bp_alloc(t->n_candidates, sizeof *t->candidates);
    if (t->matrices && t->candidates && copy_string(from->path, &t->path) &&
        copy_about(&from->about, &t->about) && copy_matrices(from, row, t) &&
        copy_numbers(from, row, t)) {
        memcpy(t->candidates, from->candidates, t->n_candidates * sizeof *t->candidates);
        return t;
    }
    return bp_table_close(t);
}

enum bp_status bp_table_measured_part(const struct bp_table *table, struct bp_table **out,
                                      size_t **row, struct bp_err *err)
{
    size_t n = 0;
    *out = NULL;
    *row = bp_alloc(table->n_matrices, sizeof **row);
    if (!*row)
        return bp_fail_nomem(err);
    /* Listed once: others may be filling rows meanwhile. */
    for (size_t i = 0; i < table->n_matrices; i++)
        if (bp_table_measured_in_row(table, i) > 0)
            (*row)[n++] = i;
    if (n > 0 && (*out = part_of(table, *row, n)) != NULL)
        return BP_OK;
    free(*row);
    *row = NULL;
    return n > 0 ? bp_fail_nomem(err)
                 : bp_fail(err, BP_ERR_INPUT, "%s: nothing is measured yet", table->path);
}
