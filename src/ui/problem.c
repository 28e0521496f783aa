#include "ui/problem.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "engine/mem.h"

/* The counts stay out of the header: nobody else touches them. */
struct counted_source {
    struct bp_source source;
    atomic_size_t holders;
};

struct counted_problem {
    struct bp_problem problem;
    atomic_size_t holders;
};

static enum bp_status find_measured(struct bp_source *s, struct bp_err *err)
{
    const struct bp_table *t = s->table;
    bp_table_count_stages(t, s->n_cells);
    for (size_t i = 0; i < t->n_matrices; i++) {
        size_t n = bp_table_measured_in_row(t, i);
        s->n_cells_measured += n;
        s->n_rows_measured += n > 0;
    }
    if (s->n_rows_measured == t->n_matrices)
        s->planned = s->table;
    if (s->planned || s->n_rows_measured == 0)
        return BP_OK;
    BP_TRY(bp_table_measured_part(t, &s->planned, &s->row, err));
    s->part = bp_alloc(t->n_matrices, sizeof *s->part);
    if (!s->part)
        return bp_fail_nomem(err);
    for (size_t i = 0; i < t->n_matrices; i++)
        s->part[i] = BP_NO_ROW;
    for (size_t i = 0; i < s->planned->n_matrices; i++)
        s->part[s->row[i]] = (int64_t)i;
    return BP_OK;
}

enum bp_status bp_source_new(struct bp_table *table, struct bp_source **out, struct bp_err *err)
{
    *out = NULL;
    struct counted_source *c = calloc(1, sizeof *c);
    if (!c) {
        bp_table_close(table);
        return bp_fail_nomem(err);
    }
    c->source.table = table;
    atomic_init(&c->holders, 1);
    enum bp_status status = find_measured(&c->source, err);
    if (status != BP_OK) {
        bp_source_drop(&c->source);
        return status;
    }
    *out = &c->source;
    return BP_OK;
}

struct bp_source *bp_source_hold(struct bp_source *source)
{
    atomic_fetch_add(&((struct counted_source *)source)->holders, 1);
    return source;
}

struct bp_source *bp_source_drop(struct bp_source *source)
{
    struct counted_source *c = (struct counted_source *)source;
    if (c && atomic_fetch_sub(&c->holders, 1) == 1) {
        if (source->planned != source->table)
            bp_table_close(source->planned);
        bp_table_close(source->table);
        free(source->row);
        free(source->part);
        free(c);
    }
    return NULL;
}

size_t bp_source_row(const struct bp_source *source, size_t part)
{
    return source->row ? source->row[part] : part;
}

int64_t bp_source_part(const struct bp_source *source, size_t row)
{
    if (!source->planned)
        return BP_NO_ROW;
    return source->part ? source->part[row] : (int64_t)row;
}

enum bp_status bp_problem_new(struct bp_source *source, const struct bp_constraints *constraints,
                              unsigned counted, struct bp_problem **out, struct bp_err *err)
{
    *out = NULL;
    if (!source->planned)
        return bp_fail(err, BP_ERR_INPUT, "%s: nothing is measured yet", source->table->path);
    struct counted_problem *c = calloc(1, sizeof *c);
    if (!c)
        return bp_fail_nomem(err);
    atomic_init(&c->holders, 1);
    enum bp_status status =
        bp_planner_new_counting(source->planned, constraints, counted, &c->problem.planner, err);
    if (status != BP_OK) {
        free(c);
        return status;
    }
    c->problem.source = bp_source_hold(source);
    bp_planner_range(c->problem.planner, &c->problem.least_bits, &c->problem.most_bits);
    *out = &c->problem;
    return BP_OK;
}

struct bp_problem *bp_problem_hold(struct bp_problem *problem)
{
    atomic_fetch_add(&((struct counted_problem *)problem)->holders, 1);
    return problem;
}

struct bp_problem *bp_problem_drop(struct bp_problem *problem)
{
    struct counted_problem *c = (struct counted_problem *)problem;
    if (c && atomic_fetch_sub(&c->holders, 1) == 1) {
        bp_planner_free(problem->planner);
        bp_source_drop(problem->source);
        free(c);
    }
    return NULL;
}
