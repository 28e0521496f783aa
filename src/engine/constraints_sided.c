/*
 * The constraints that name no candidates: how errors count (--objective), and the conditions
 * beside the budget (--max-configs, --limit).
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/budget.h"
#include "engine/constraints.h"
#include "engine/mem.h"
#include "engine/name_regex.h"
#include "engine/printable.h"

/* --- the objective --- */

/* Of the last --objective; NULL without one. */
static const char *last_objective(const struct bp_constraints *c)
{
    const char *value = NULL;
    for (size_t k = 0; k < c->n; k++)
        if (c->list[k].kind == BP_CONSTRAINT_OBJECTIVE)
            value = c->list[k].value;
    return value;
}

static bool is_relative(const struct bp_constraints *c)
{
    const char *value = last_objective(c);
    return value && strcmp(value, "relative") == 0;
}

bool bp_constraints_scale(const struct bp_constraints *c)
{
    return bp_constraints_has(c, BP_CONSTRAINT_WEIGHT) || is_relative(c);
}

enum bp_status bp_constraints_objective(const struct bp_constraints *c, const struct bp_table *t,
                                        double *weight, struct bp_err *err)
{
    for (size_t k = 0; k < c->n; k++)
        if (c->list[k].kind == BP_CONSTRAINT_OBJECTIVE && strcmp(c->list[k].value, "sum") != 0 &&
            strcmp(c->list[k].value, "relative") != 0)
            return bp_fail(err, BP_ERR_USAGE, "--objective: '%s' is neither sum nor relative",
                           bp_printable(c->list[k].value).text);
    if (!is_relative(c))
        return BP_OK;
    if (!t->norm)
        return bp_fail(err, BP_ERR_USAGE,
                       "--objective relative: %s holds no norms to take errors relative to; "
                       "`bitplan measure` writes them",
                       t->path);
    for (size_t i = 0; i < t->n_matrices; i++) {
        if (!(t->norm[i] > 0.0))
            return bp_fail(err, BP_ERR_USAGE,
                           "--objective relative: %s: the norm of %s is %s, and errors have no "
                           "relation to it",
                           t->path, bp_printable(t->matrices[i].name).text,
                           t->norm[i] == 0.0 ? "zero" : "not measured");
        weight[i] /= t->norm[i];
    }
    return BP_OK;
}

/* --- beside the budget --- */

bool bp_constraints_sided(const struct bp_constraints *c)
{
    return bp_constraints_has(c, BP_CONSTRAINT_MAX_CONFIGS) ||
           bp_constraints_has(c, BP_CONSTRAINT_LIMIT);
}

enum bp_status bp_constraints_max_configs(const struct bp_constraints *c, size_t *most,
                                          struct bp_err *err)
{
    *most = 0;
    for (size_t k = 0; k < c->n; k++) {
        const char *value = c->list[k].value, *end;
        struct bp_decimal number;
        if (c->list[k].kind != BP_CONSTRAINT_MAX_CONFIGS)
            continue;
        if (!bp_decimal_parse(value, &number, &end) || *end || number.scale > 0 ||
            strchr(value, '.') || number.digits < 1 || number.digits > 1000000)
            return bp_fail(err, BP_ERR_USAGE,
                           "--max-configs: '%s' is no whole number of configs, at least 1",
                           bp_printable(value).text);
        if (*most == 0 || number.digits < *most)
            *most = (size_t)number.digits;
    }
    return BP_OK;
}

/* Members and capacity of one. */
static enum bp_status read_limit(const char *value, const struct bp_table *t, struct bp_limit *out,
                                 struct bp_err *err)
{
    const char *equals = strrchr(value, '=');
    struct bp_budget size;
    regex_t regex;
    bool any = false;
    if (!equals || equals == value || !equals[1])
        return bp_fail(err, BP_ERR_USAGE,
                       "--limit '%s' is not of the form RE=SIZE, as in layers.[0-9][.]=1.1GiB",
                       bp_printable(value).text);
    enum bp_status status = bp_budget_parse_size(equals + 1, &size, err);
    if (status != BP_OK)
        return bp_fail_in(err, status, "--limit '%s'", bp_printable(value).text);
    BP_TRY(bp_name_regex(value, (size_t)(equals - value), "--limit", value, &regex, err));
    out->value = value;
    out->bits = size.bits;
    out->member = bp_alloc_zero(t->n_matrices, sizeof *out->member);
    for (size_t i = 0; out->member && i < t->n_matrices; i++) {
        out->member[i] = bp_name_matches(&regex, t->matrices[i].name);
        any |= out->member[i];
    }
    regfree(&regex);
    if (!out->member)
        return bp_fail_nomem(err);
    return any ? BP_OK
               : bp_fail(err, BP_ERR_USAGE, "--limit '%s' matches no matrix of %s",
                         bp_printable(value).text, t->path);
}

enum bp_status bp_constraints_limits(const struct bp_constraints *c, const struct bp_table *t,
                                     struct bp_limit **out, size_t *n, struct bp_err *err)
{
    *n = 0;
    *out = bp_alloc_zero(c->n, sizeof **out);
    if (!*out)
        return bp_fail_nomem(err);
    for (size_t k = 0; k < c->n; k++)
        if (c->list[k].kind == BP_CONSTRAINT_LIMIT)
            BP_TRY(read_limit(c->list[k].value, t, &(*out)[(*n)++], err));
    return BP_OK;
}

struct bp_limit *bp_limits_free(struct bp_limit *limits, size_t n)
{
    for (size_t k = 0; limits && k < n; k++)
        free(limits[k].member);
    free(limits);
    return NULL;
}
