/*
 * Conditions beside the budget, of matrices and candidates: laying them for the solver, checking a
 * choice against them, and saying why nothing meets them.
 */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/mem.h"
#include "engine/planner_problem.h"
#include "engine/printable.h"

/* --- laying --- */

/* Lays what each class takes of a limit: its row of storage where all its matrices count, NULL
 * where none does, else a row of its own out of *next. */
static enum bp_status lay_limit(const struct bp_problem *p, const struct bp_limit *limit,
                                const struct bp_mckp_problem *m, const uint64_t **rows,
                                uint64_t **next)
{
    const size_t C = p->table->n_candidates, M = p->table->n_matrices;
    uint32_t *size = bp_alloc_zero(2 * p->n_classes, sizeof *size), *counts = size + p->n_classes;
    uint64_t **own = bp_alloc_zero(p->n_classes, sizeof *own);
    /* Storage by class, where it stands somewhere: weights of groups may hold low-rank parts. */
    const uint64_t *storage = !p->group ? p->table->storage : p->counted ? NULL : m->weight;
    enum bp_status status = size && own ? BP_OK : BP_ERR_NOMEM;
    for (size_t i = 0; status == BP_OK && i < M; i++) {
        size[p->group ? p->group[i] : i]++;
        counts[p->group ? p->group[i] : i] += limit->member[i];
    }
    for (size_t c = 0; status == BP_OK && c < p->n_classes; c++) {
        rows[c] = counts[c] && storage ? storage + c * C : NULL;
        if (counts[c] == 0 || (storage && counts[c] == size[c]))
            continue;
        rows[c] = own[c] = *next;
        memset(own[c], 0, C * sizeof **own);
        *next += C;
    }
    for (size_t i = 0; status == BP_OK && p->group && i < M; i++)
        for (size_t j = 0; own[p->group[i]] && limit->member[i] && j < C; j++)
            own[p->group[i]][j] += p->table->storage[i * C + j];
    free(size);
    free(own);
    return status;
}

enum bp_status bp_problem_lay_sided(const struct bp_problem *p, uint64_t bits,
                                    struct bp_problem_sided *out, struct bp_err *err)
{
    const size_t N = p->n_classes, C = p->table->n_candidates;
    *out = (struct bp_problem_sided){0};
    BP_TRY(bp_problem_lay(p, &out->arrays, err));
    out->capacity = bp_alloc(p->n_limits, sizeof *out->capacity);
    out->rows = bp_alloc(p->n_limits * N, sizeof *out->rows);
    out->part = bp_alloc(p->group ? p->n_limits * N * C : 0, sizeof *out->part);
    if (!out->capacity || !out->rows || !out->part)
        return bp_fail_nomem(err);
    uint64_t *next = out->part;
    for (size_t l = 0; l < p->n_limits; l++) {
        out->capacity[l] = p->limits[l].bits;
        if (lay_limit(p, &p->limits[l], &out->arrays.mckp, out->rows + l * N, &next) != BP_OK)
            return bp_fail_nomem(err);
    }
    out->sided = (struct bp_sided_problem){.mckp = out->arrays.mckp,
                                           .budget = bits,
                                           .max_columns = p->max_configs,
                                           .n_limits = p->n_limits,
                                           .capacity = out->capacity,
                                           .weight = out->rows};
    return BP_OK;
}

void bp_problem_sided_done(struct bp_problem_sided *s)
{
    bp_problem_arrays_done(&s->arrays);
    free(s->capacity);
    free(s->part);
    free(s->rows);
}

/* --- checking --- */

/* What the matrices of a limit take in a choice; `choice` NULL: candidate j for all. */
static uint64_t limit_bits(const struct bp_problem *p, const struct bp_limit *limit,
                           const uint32_t *choice, size_t j)
{
    const struct bp_table *t = p->table;
    uint64_t sum = 0;
    for (size_t i = 0; i < t->n_matrices; i++)
        if (limit->member[i])
            sum += t->storage[i * t->n_candidates + (choice ? choice[i] : j)];
    return sum;
}

bool bp_problem_uniform_fits(const struct bp_problem *p, size_t j)
{
    for (size_t l = 0; l < p->n_limits; l++)
        if (limit_bits(p, &p->limits[l], NULL, j) > p->limits[l].bits)
            return false;
    return true;
}

static size_t count_configs(const struct bp_problem *p, const uint32_t *choice, uint8_t *seen)
{
    size_t n = 0;
    for (size_t i = 0; i < p->table->n_matrices; i++) {
        n += !seen[choice[i]];
        seen[choice[i]] = 1;
    }
    return n;
}

enum bp_status bp_problem_check_sided(const struct bp_problem *p, const uint32_t *choice,
                                      struct bp_err *err)
{
    uint8_t *seen = bp_alloc_zero(p->table->n_candidates, sizeof *seen);
    if (!seen)
        return bp_fail_nomem(err);
    const size_t n = count_configs(p, choice, seen);
    free(seen);
    if (p->max_configs > 0 && n > p->max_configs)
        return bp_fail(err, BP_ERR_MISMATCH,
                       "--max-configs is not met: they take %zu distinct configs, not at most %zu",
                       n, p->max_configs);
    for (size_t l = 0; l < p->n_limits; l++) {
        const uint64_t bits = limit_bits(p, &p->limits[l], choice, 0);
        if (bits > p->limits[l].bits)
            return bp_fail(err, BP_ERR_MISMATCH,
                           "--limit '%s' is not met: its matrices take %s bits, over %s",
                           bp_printable(p->limits[l].value).text, bp_grouped(bits).text,
                           bp_grouped(p->limits[l].bits).text);
    }
    return BP_OK;
}

/* --- saying why not --- */

/* The least that the matrices of a limit can take, each for itself. */
static uint64_t least_bits(const struct bp_problem_sided *s, size_t l)
{
    const struct bp_mckp_problem *m = &s->sided.mckp;
    uint64_t sum = 0;
    for (size_t c = 0; c < m->n_classes; c++) {
        const uint64_t *row = s->rows[l * m->n_classes + c];
        uint64_t least = UINT64_MAX;
        for (size_t j = 0; row && j < m->n_items; j++) {
            const size_t cell = c * m->n_items + j;
            if ((!m->use || m->use[cell]) && !isnan(m->cost[cell]) && row[j] < least)
                least = row[j];
        }
        sum += row && least < UINT64_MAX ? least : 0;
    }
    return sum;
}

/* The least weight under the bound on configs (and the limits): the same problem with weights for
 * errors. 0 where a few seconds do not tell. */
static uint64_t least_weight(const struct bp_problem_sided *s)
{
    static const double SECONDS = 3.0;
    const struct bp_mckp_problem *m = &s->sided.mckp;
    const struct bp_sided_limits limits = {.max_seconds = SECONDS};
    const size_t n_cells = m->n_classes * m->n_items;
    struct bp_sided_problem p = s->sided;
    struct bp_sided_result r;
    double *cost = bp_alloc(n_cells, sizeof *cost);
    uint32_t *choice = bp_alloc(m->n_classes, sizeof *choice);
    uint64_t least = 0;
    for (size_t cell = 0; cost && cell < n_cells; cell++)
        cost[cell] =
            (m->use && !m->use[cell]) || isnan(m->cost[cell]) ? NAN : (double)m->weight[cell];
    p.mckp.cost = cost;
    p.mckp.use = NULL;
    p.budget = UINT64_MAX;
    if (cost && choice && bp_sided_solve(&p, NULL, &limits, &r, choice) == BP_OK)
        least = r.weight;
    free(cost);
    free(choice);
    return least;
}

static enum bp_status explain(const struct bp_problem *p, const struct bp_problem_sided *s,
                              uint64_t bits, struct bp_err *err)
{
    const char *path = p->table->path;
    for (size_t l = 0; l < p->n_limits; l++) {
        const uint64_t least = least_bits(s, l);
        if (least > p->limits[l].bits)
            return bp_fail(err, BP_INFEASIBLE,
                           "%s: --limit '%s' is too small: its matrices take at least %s bytes "
                           "under the other constraints",
                           path, bp_printable(p->limits[l].value).text,
                           bp_grouped((least + 7) / 8).text);
    }
    const uint64_t least = least_weight(s);
    if (least > bits)
        return bp_fail(err, BP_INFEASIBLE,
                       "%s: a budget of %s bits%s is below the least possible under %s: %s bits, "
                       "%s bytes, %.6f bits/param",
                       path, bp_grouped(bits).text, p->counted ? " with low-rank parts" : "",
                       !p->n_limits      ? "--max-configs"
                       : !p->max_configs ? "--limit"
                                         : "--max-configs and --limit",
                       bp_grouped(least).text, bp_grouped((least + 7) / 8).text,
                       (double)least / (double)bp_table_params(p->table));
    return bp_fail(err, BP_INFEASIBLE, "%s: no plan within %s bits meets %s; loosen one of them",
                   path, bp_grouped(bits).text,
                   !p->n_limits      ? "--max-configs"
                   : !p->max_configs ? "every --limit"
                                     : "both --max-configs and every --limit");
}

enum bp_status bp_problem_explain_sided(const struct bp_problem *p, uint64_t bits,
                                        struct bp_err *err)
{
    struct bp_problem_sided s;
    enum bp_status status = bp_problem_lay_sided(p, bits, &s, err);
    if (status == BP_OK)
        status = explain(p, &s, bits, err);
    bp_problem_sided_done(&s);
    return status;
}

/* --- the least weight --- */

enum bp_status bp_problem_least(const struct bp_problem *p, uint64_t *bits)
{
    struct bp_problem_arrays arrays;
    enum bp_status status = bp_problem_lay(p, &arrays, NULL);
    const struct bp_mckp_problem *m = &arrays.mckp;
    *bits = 0;
    for (size_t c = 0; status == BP_OK && c < m->n_classes; c++) {
        uint64_t least = UINT64_MAX;
        for (size_t j = 0; j < m->n_items; j++) {
            const size_t cell = c * m->n_items + j;
            if ((!m->use || m->use[cell]) && !isnan(m->cost[cell]) && m->weight[cell] < least)
                least = m->weight[cell];
        }
        *bits += least < UINT64_MAX ? least : 0;
    }
    bp_problem_arrays_done(&arrays);
    return status;
}

size_t bp_problem_dearest(const struct bp_table *table, const struct bp_constraints *constraints,
                          unsigned counted, uint64_t *bits)
{
    struct bp_constraints others = {0};
    size_t dearest = SIZE_MAX;
    *bits = UINT64_MAX;
    for (size_t k = 0; k < constraints->n; k++) {
        struct bp_problem p;
        uint64_t least;
        if (constraints->list[k].kind > BP_CONSTRAINT_TIE ||
            bp_constraints_copy(constraints, &others, NULL) != BP_OK)
            continue;
        free(others.list[k].value);
        memmove(&others.list[k], &others.list[k + 1], (--others.n - k) * sizeof *others.list);
        if (bp_problem_init(&p, table, &others, counted, NULL) == BP_OK &&
            bp_problem_least(&p, &least) == BP_OK && least < *bits) {
            *bits = least;
            dearest = k;
        }
        bp_problem_done(&p);
        bp_constraints_done(&others);
    }
    return dearest;
}
