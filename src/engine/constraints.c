#include "engine/constraints.h"

#include <inttypes.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/budget.h"
#include "engine/candidate_grid.h"
#include "engine/mem.h"
#include "engine/name_regex.h"
#include "engine/printable.h"

static const char *const options[BP_N_CONSTRAINT_KINDS] = {
#define OPTION_ROW(name, option) option,
    BP_CONSTRAINT_KINDS(OPTION_ROW)
#undef OPTION_ROW
};

const char *bp_constraint_option(enum bp_constraint_kind kind)
{
    return options[kind];
}

/* --- the list --- */

enum bp_status bp_constraints_add(struct bp_constraints *c, enum bp_constraint_kind kind,
                                  const char *value, struct bp_err *err)
{
    struct bp_constraint *list = bp_grow(c->list, c->n + 1, sizeof *list);
    if (!list)
        return bp_fail_nomem(err);
    c->list = list;
    char *copy = bp_strdup(value);
    if (!copy)
        return bp_fail_nomem(err);
    list[c->n++] = (struct bp_constraint){kind, copy};
    return BP_OK;
}

enum bp_status bp_constraints_add_option(struct bp_constraints *c, const char *option,
                                         const char *value, struct bp_err *err)
{
    for (int kind = 0; kind < BP_N_CONSTRAINT_KINDS; kind++)
        if (strcmp(option, options[kind]) == 0)
            return bp_constraints_add(c, (enum bp_constraint_kind)kind, value, err);
    return bp_fail(err, BP_ERR_INPUT, "'%s' is no constraint", bp_printable(option).text);
}

enum bp_status bp_constraints_copy(const struct bp_constraints *from, struct bp_constraints *to,
                                   struct bp_err *err)
{
    *to = (struct bp_constraints){0};
    for (size_t i = 0; from && i < from->n; i++) {
        enum bp_status status =
            bp_constraints_add(to, from->list[i].kind, from->list[i].value, err);
        if (status != BP_OK) {
            bp_constraints_done(to);
            return status;
        }
    }
    return BP_OK;
}

bool bp_constraints_has(const struct bp_constraints *c, enum bp_constraint_kind kind)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->list[i].kind == kind)
            return true;
    return false;
}

void bp_constraints_done(struct bp_constraints *c)
{
    for (size_t i = 0; i < c->n; i++)
        free(c->list[i].value);
    free(c->list);
    *c = (struct bp_constraints){0};
}

/* --- one constraint, read --- */

/* A config with fields that may be anything, or a label. */
struct pattern {
    bool any;
    const char *label; /* NULL: the fields count */
    char field[5][BP_CONFIG_TEXT];
};

/* Bears on the matrices that `regex` finds, on all without one. Forbids columns, bounds bits, or
 * gives errors a factor. Ties are read elsewhere (constraints_groups.c). */
struct rule {
    enum bp_constraint_kind kind;
    const char *value; /* as typed */
    regex_t regex;
    bool has_regex;
    uint8_t *column; /* [n_candidates] 1 = may be taken; NULL: `bits` is a bound */
    struct bp_decimal bits;
    double factor;
};

static void rule_done(struct rule *r)
{
    free(r->column);
    if (r->has_regex)
        regfree(&r->regex);
}

/* Fields of "nf4:*:*:64:*"; anything else is taken for a label. */
static void read_pattern(const char *text, struct pattern *p)
{
    *p = (struct pattern){.any = strcmp(text, "*") == 0};
    const char *at = text;
    for (int i = 0; i < 5; i++) {
        size_t n = strcspn(at, ":");
        bool last = at[n] == '\0';
        if (n == 0 || n >= sizeof p->field[i] || last != (i == 4)) {
            p->label = text;
            return;
        }
        memcpy(p->field[i], at, n);
        p->field[i][n] = '\0';
        at += n + 1;
    }
}

static bool field_fits(const char *pattern, const char *text, size_t n)
{
    return strcmp(pattern, "*") == 0 || (strlen(pattern) == n && memcmp(pattern, text, n) == 0);
}

static bool pattern_fits(const struct pattern *p, const struct bp_candidate *c)
{
    if (p->any)
        return true;
    if (c->foreign || p->label)
        return c->foreign && p->label && strcmp(p->label, c->label) == 0;
    char text[BP_CONFIG_TEXT];
    const char *at = bp_config_format(&c->config, text);
    for (int i = 0; i < 5; i++) {
        size_t n = strcspn(at, ":");
        if (!field_fits(p->field[i], at, n))
            return false;
        at += n + (at[n] == ':');
    }
    return true;
}

/* The part in front of the last "=" as a regular expression. */
static enum bp_status read_regex(struct rule *r, const char *equals, struct bp_err *err)
{
    BP_TRY(bp_name_regex(r->value, (size_t)(equals - r->value), options[r->kind], r->value,
                         &r->regex, err));
    r->has_regex = true;
    return BP_OK;
}

/* The columns that are in a grid. One that none is in leaves no plan. */
static enum bp_status grid_columns(struct rule *r, const struct bp_table *t, struct bp_err *err)
{
    struct bp_candidate_grid grid;
    bool any = false;
    BP_TRY(bp_candidate_grid_parse(r->value, &grid, err));
    for (size_t j = 0; j < t->n_candidates; j++) {
        r->column[j] = bp_candidate_grid_has(&grid, &t->candidates[j]);
        any |= r->column[j];
    }
    bp_candidate_grid_done(&grid);
    return any ? BP_OK
               : bp_fail(err, BP_INFEASIBLE,
                         "%s: none of its %zu candidates is in the grid '%s'; widen the grid",
                         t->path, t->n_candidates, bp_printable(r->value).text);
}

/* The columns that a pin lets through or a ban leaves. A pattern that no candidate has is a typing
 * error. */
static enum bp_status config_columns(struct rule *r, const char *config, const struct bp_table *t,
                                     struct bp_err *err)
{
    struct pattern pattern;
    bool any = false;
    read_pattern(config, &pattern);
    for (size_t j = 0; j < t->n_candidates; j++) {
        const bool fits = pattern_fits(&pattern, &t->candidates[j]);
        r->column[j] = fits == (r->kind == BP_CONSTRAINT_PIN);
        any |= fits;
    }
    return any ? BP_OK
               : bp_fail(err, BP_ERR_USAGE, "%s '%s': no candidate of %s is of that form",
                         options[r->kind], bp_printable(r->value).text, t->path);
}

static enum bp_status read_bound(struct rule *r, const char *text, struct bp_err *err)
{
    const char *end;
    return bp_decimal_parse(text, &r->bits, &end) && !*end
               ? BP_OK
               : bp_fail(err, BP_ERR_USAGE, "%s '%s': '%s' is no number of bits/param",
                         options[r->kind], bp_printable(r->value).text, bp_printable(text).text);
}

/* X of "RE=X" on its way into the double nearest to it. */
static enum bp_status read_factor(struct rule *r, const char *text, struct bp_err *err)
{
    const char *end;
    struct bp_decimal value;
    const bool good = bp_decimal_parse(text, &value, &end) && !*end && value.digits > 0;
    r->factor = good ? strtod(text, NULL) : 0.0;
    return good && r->factor <= 1e6
               ? BP_OK
               : bp_fail(err, BP_ERR_USAGE, "%s '%s': '%s' is no factor above 0 and at most 10^6",
                         options[r->kind], bp_printable(r->value).text, bp_printable(text).text);
}

/* Of a rule that is written RE=SOMETHING. */
static const char *form_of(enum bp_constraint_kind kind)
{
    if (kind == BP_CONSTRAINT_WEIGHT)
        return "RE=X, as in v_proj=4";
    return kind == BP_CONSTRAINT_PIN || kind == BP_CONSTRAINT_BAN
               ? "RE=CONFIG, as in q_proj=nf4:*:*:64:*"
               : "RE=BITS, as in v_proj=3.5";
}

static enum bp_status read_rule(const struct bp_constraint *c, const struct bp_table *t,
                                struct rule *r, struct bp_err *err)
{
    *r = (struct rule){.kind = c->kind, .value = c->value};
    const bool columns = c->kind == BP_CONSTRAINT_GRID || c->kind == BP_CONSTRAINT_PIN ||
                         c->kind == BP_CONSTRAINT_BAN;
    if (columns && !(r->column = bp_alloc(t->n_candidates, 1)))
        return bp_fail_nomem(err);
    if (c->kind == BP_CONSTRAINT_GRID)
        return grid_columns(r, t, err);
    const char *equals = strrchr(c->value, '=');
    if (!equals || equals == c->value || !equals[1])
        return bp_fail(err, BP_ERR_USAGE, "%s '%s' is not of the form %s", options[c->kind],
                       bp_printable(c->value).text, form_of(c->kind));
    BP_TRY(read_regex(r, equals, err));
    if (c->kind == BP_CONSTRAINT_WEIGHT)
        return read_factor(r, equals + 1, err);
    return columns ? config_columns(r, equals + 1, t, err) : read_bound(r, equals + 1, err);
}

/* --- applying --- */

/* Bits/param of a cell compared with the decimal, exactly: -1, 0 or 1. */
static int compare_bits(const struct bp_table *t, size_t i, size_t j, const struct bp_decimal *bits)
{
    __extension__ typedef unsigned __int128 u128;
    u128 scaled = t->storage[i * t->n_candidates + j];
    u128 wanted = (u128)bits->digits * (t->matrices[i].d * t->matrices[i].k);
    for (unsigned k = 0; k < bits->scale; k++)
        scaled *= 10; /* below 2^62 x 10^18: fits */
    return scaled < wanted ? -1 : scaled > wanted;
}

static bool allows(const struct rule *r, const struct bp_table *t, size_t i, size_t j)
{
    if (r->column)
        return r->column[j];
    int order = compare_bits(t, i, j, &r->bits);
    return r->kind == BP_CONSTRAINT_FLOOR ? order >= 0 : order <= 0;
}

static bool bears_on(const struct rule *r, const struct bp_table *t, size_t i)
{
    return !r->has_regex || bp_name_matches(&r->regex, t->matrices[i].name);
}

static enum bp_status matches_none(const struct rule *r, const struct bp_table *t,
                                   struct bp_err *err)
{
    return bp_fail(err, BP_ERR_USAGE, "%s '%s' matches no matrix of %s", options[r->kind],
                   bp_printable(r->value).text, t->path);
}

/* Takes out the cells that one rule forbids. A pattern that no matrix has is a typing error. */
static enum bp_status apply_rule(const struct rule *r, const struct bp_table *t, uint8_t *use,
                                 struct bp_err *err)
{
    bool any_matrix = false;
    for (size_t i = 0; i < t->n_matrices; i++) {
        if (!bears_on(r, t, i))
            continue;
        any_matrix = true;
        for (size_t j = 0; j < t->n_candidates; j++)
            use[i * t->n_candidates + j] &= allows(r, t, i, j);
    }
    return any_matrix ? BP_OK : matches_none(r, t, err);
}

static bool row_is_empty(const struct bp_table *t, const uint8_t *use, size_t i)
{
    return !memchr(use + i * t->n_candidates, 1, t->n_candidates);
}

/* The rules of a list that forbid cells. */
struct rules {
    struct rule *rule; /* [n] */
    size_t n;
};

static void rules_done(struct rules *rules)
{
    for (size_t k = 0; k < rules->n; k++)
        rule_done(&rules->rule[k]);
    free(rules->rule);
}

/* Those in front of the ties do. */
static bool forbids(enum bp_constraint_kind kind)
{
    return kind < BP_CONSTRAINT_TIE;
}

/* Reads the rules and, with `use`, applies each as it is read. */
static enum bp_status read_rules(const struct bp_constraints *c, const struct bp_table *t,
                                 uint8_t *use, struct rules *out, struct bp_err *err)
{
    *out = (struct rules){.rule = bp_alloc_zero(c->n, sizeof *out->rule)};
    if (!out->rule)
        return bp_fail_nomem(err);
    for (size_t i = 0; i < c->n; i++) {
        if (!forbids(c->list[i].kind))
            continue;
        struct rule *r = &out->rule[out->n++];
        BP_TRY(read_rule(&c->list[i], t, r, err));
        if (use)
            BP_TRY(apply_rule(r, t, use, err));
    }
    return BP_OK;
}

/* Names of constraints for a sentence, as many as have room. */
struct naming {
    char text[512];
};

static void name_one(struct naming *list, enum bp_constraint_kind kind, const char *value)
{
    size_t used = strlen(list->text);
    snprintf(list->text + used, sizeof list->text - used, "%s%s '%s'", used ? ", " : "",
             options[kind], bp_printable(value).text);
}

/* The most bits/param (the least, where `ceiling`) that all rules but r leave matrix i, as a
 * decimal that r may say instead; false where they leave nothing either. */
static bool nearest_bits(const struct rules *rules, const struct rule *r, const struct bp_table *t,
                         size_t i, bool ceiling, char text[32])
{
    __extension__ typedef unsigned __int128 u128;
    const uint64_t params = t->matrices[i].d * t->matrices[i].k;
    bool any = false;
    uint64_t nearest = 0;
    for (size_t j = 0; j < t->n_candidates; j++) {
        const uint64_t bits = t->storage[i * t->n_candidates + j];
        bool left = true;
        for (size_t k = 0; left && k < rules->n; k++)
            left = &rules->rule[k] == r || !bears_on(&rules->rule[k], t, i) ||
                   allows(&rules->rule[k], t, i, j);
        if (left && (!any || (ceiling ? bits < nearest : bits > nearest)))
            nearest = bits;
        any |= left;
    }
    /* Rounded to where it still leaves that one. */
    const uint64_t parts =
        (uint64_t)(((u128)nearest * 10000 + (ceiling ? params - 1 : 0)) / params);
    snprintf(text, 32, "%" PRIu64 ".%04" PRIu64, parts / 10000, parts % 10000);
    return any;
}

/* What would leave matrix i a candidate: another bound, else one constraint less. */
static void suggest(const struct rules *rules, const struct bp_table *t, size_t i, char text[512])
{
    char bits[32];
    snprintf(text, 512, "loosen one of them");
    for (size_t k = 0; k < rules->n; k++) {
        const struct rule *r = &rules->rule[k];
        const bool ceiling = r->kind == BP_CONSTRAINT_CEIL;
        if (!bears_on(r, t, i) || !nearest_bits(rules, r, t, i, ceiling, bits))
            continue;
        if (!r->column) {
            snprintf(text, 512, "%s '%s' leaves none: the %s that it could have has %s bits/param",
                     options[r->kind], bp_printable(r->value).text,
                     ceiling ? "smallest" : "largest", bits);
            return;
        }
        snprintf(text, 512, "without %s '%s' some would be left", options[r->kind],
                 bp_printable(r->value).text);
    }
}

/* Which constraints leave matrix i without a candidate: those that bear on it. */
static enum bp_status contradiction(const struct rules *rules, const struct bp_table *t, size_t i,
                                    struct bp_err *err)
{
    struct naming list = {""};
    for (size_t k = 0; k < rules->n; k++)
        if (bears_on(&rules->rule[k], t, i))
            name_one(&list, rules->rule[k].kind, rules->rule[k].value);
    char hint[512];
    suggest(rules, t, i, hint);
    return bp_fail(err, BP_INFEASIBLE, "%s: no candidate is left for %s under %s; %s", t->path,
                   bp_printable(t->matrices[i].name).text, list.text, hint);
}

enum bp_status bp_constraints_apply(const struct bp_constraints *c, const struct bp_table *t,
                                    uint8_t *use, struct bp_err *err)
{
    struct rules rules;
    memset(use, 1, t->n_matrices * t->n_candidates);
    enum bp_status status = read_rules(c, t, use, &rules, err);
    for (size_t i = 0; status == BP_OK && i < t->n_matrices; i++)
        if (row_is_empty(t, use, i))
            status = contradiction(&rules, t, i, err);
    rules_done(&rules);
    return status;
}

/* --- ties --- */

static bool bears_on_group(const struct rule *r, const struct bp_table *t, const uint32_t *group,
                           uint32_t g)
{
    for (size_t i = 0; i < t->n_matrices; i++)
        if (group[i] == g && bears_on(r, t, i))
            return true;
    return false;
}

/* The matrices of group g share no candidate: names it by its first and last matrix, all ties, and
 * the other constraints that bear on it. */
static enum bp_status tied_contradiction(const struct bp_constraints *c, const struct bp_table *t,
                                         const uint32_t *group, uint32_t g, struct bp_err *err)
{
    struct naming list = {""};
    struct rules rules;
    size_t first = t->n_matrices, last = 0, n = 0;
    enum bp_status status = read_rules(c, t, NULL, &rules, err);
    for (size_t i = 0; i < t->n_matrices; i++) {
        if (group[i] != g)
            continue;
        first = n++ ? first : i;
        last = i;
    }
    for (size_t k = 0; k < c->n; k++)
        if (c->list[k].kind == BP_CONSTRAINT_TIE)
            name_one(&list, BP_CONSTRAINT_TIE, c->list[k].value);
    for (size_t k = 0; k < rules.n; k++)
        if (status == BP_OK && bears_on_group(&rules.rule[k], t, group, g))
            name_one(&list, rules.rule[k].kind, rules.rule[k].value);
    rules_done(&rules);
    return status != BP_OK
               ? status
               : bp_fail(err, BP_INFEASIBLE,
                         "%s: no candidate is left for all of the %zu tied matrices from %s to %s "
                         "under %s; loosen one of them",
                         t->path, n, bp_printable(t->matrices[first].name).text,
                         bp_printable(t->matrices[last].name).text, list.text);
}

enum bp_status bp_constraints_tie(const struct bp_constraints *c, const struct bp_table *t,
                                  const uint32_t *group, size_t n_groups, uint8_t *use,
                                  struct bp_err *err)
{
    const size_t C = t->n_candidates;
    size_t *first =
        bp_alloc(n_groups, sizeof *first); /* matrix of each group; SIZE_MAX: none yet */
    if (!first)
        return bp_fail_nomem(err);
    memset(first, 0xff, n_groups * sizeof *first);
    for (size_t i = 0; i < t->n_matrices; i++) {
        if (first[group[i]] == SIZE_MAX)
            first[group[i]] = i;
        for (size_t j = 0; j < C; j++)
            use[first[group[i]] * C + j] &= use[i * C + j];
    }
    enum bp_status status = BP_OK;
    for (size_t i = 0; status == BP_OK && i < t->n_matrices; i++) {
        memmove(use + i * C, use + first[group[i]] * C, C);
        if (row_is_empty(t, use, i))
            status = tied_contradiction(c, t, group, group[i], err);
    }
    free(first);
    return status;
}

/* --- weights --- */

/* Factors beyond this are no wish but a typing error, and would leave the doubles. */
static const double MAX_FACTOR = 1e100;

static enum bp_status multiply(const struct rule *r, const struct bp_table *t, double *weight,
                               struct bp_err *err)
{
    bool any_matrix = false;
    for (size_t i = 0; i < t->n_matrices; i++) {
        if (!bears_on(r, t, i))
            continue;
        any_matrix = true;
        weight[i] *= r->factor;
        if (!(weight[i] <= MAX_FACTOR && weight[i] >= 1.0 / MAX_FACTOR))
            return bp_fail(err, BP_ERR_USAGE,
                           "%s '%s': the factors of %s multiply to a number beyond 10^-100 .. "
                           "10^100",
                           options[r->kind], bp_printable(r->value).text,
                           bp_printable(t->matrices[i].name).text);
    }
    return any_matrix ? BP_OK : matches_none(r, t, err);
}

enum bp_status bp_constraints_weights(const struct bp_constraints *c, const struct bp_table *t,
                                      double *weight, struct bp_err *err)
{
    enum bp_status status = BP_OK;
    for (size_t i = 0; i < t->n_matrices; i++)
        weight[i] = 1.0;
    for (size_t k = 0; status == BP_OK && k < c->n; k++) {
        struct rule r;
        if (c->list[k].kind != BP_CONSTRAINT_WEIGHT)
            continue;
        status = read_rule(&c->list[k], t, &r, err);
        if (status == BP_OK)
            status = multiply(&r, t, weight, err);
        rule_done(&r);
    }
    return status == BP_OK ? bp_constraints_objective(c, t, weight, err) : status;
}

void bp_constraints_columns(const struct bp_constraints *c, const struct bp_table *t,
                            uint8_t *column)
{
    memset(column, 1, t->n_candidates);
    for (size_t k = 0; k < c->n; k++) {
        struct bp_candidate_grid grid;
        if (c->list[k].kind != BP_CONSTRAINT_GRID ||
            bp_candidate_grid_parse(c->list[k].value, &grid, NULL) != BP_OK)
            continue;
        for (size_t j = 0; j < t->n_candidates; j++)
            column[j] &= bp_candidate_grid_has(&grid, &t->candidates[j]);
        bp_candidate_grid_done(&grid);
    }
}
