#include "engine/constraints.h"

#include <ctype.h>
#include <regex.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/budget.h"
#include "engine/mem.h"
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

/* Bears on the matrices that `regex` finds, on all without one. Forbids columns, or bounds bits. */
struct rule {
    enum bp_constraint_kind kind;
    const char *value; /* as typed */
    regex_t regex;
    bool has_regex;
    uint8_t *column; /* [n_candidates] 1 = may be taken; NULL: `bits` is a bound */
    struct bp_decimal bits;
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

/* Of a repetition behind its brace: 3 of "3}", 5 of "2,5}"; at least 1. */
static unsigned long largest_count(const char *text)
{
    char *end;
    unsigned long low = strtoul(text, &end, 10);
    unsigned long high = *end == ',' ? strtoul(end + 1, NULL, 10) : low;
    low = low > high ? low : high;
    return low ? low : 1;
}

/* A plan, and its constraints with it, may come from anybody, and regcomp makes repetitions of
 * repetitions without end, takes the stack for every parenthesis, and follows back-references for
 * years. So: no back-references, and length times all repetition counts bounded. */
static bool is_modest(const char *text)
{
    enum { MAX_LENGTH = 1000, MAX_NODES = 100000 };
    unsigned long nodes = strlen(text);
    if (nodes > MAX_LENGTH)
        return false;
    for (const char *p = text; *p; p++) {
        unsigned long count = 1;
        if (*p == '\\' && isdigit((unsigned char)p[1]))
            return false;
        if (*p == '\\' && p[1])
            p++;
        else if (*p == '{')
            count = largest_count(p + 1);
        if (count > MAX_NODES || (nodes *= count) > MAX_NODES)
            return false;
    }
    return true;
}

/* The part in front of the last "=" as a regular expression. */
static enum bp_status read_regex(struct rule *r, const char *equals, struct bp_err *err)
{
    char *text = bp_strndup(r->value, (size_t)(equals - r->value));
    if (!text)
        return bp_fail_nomem(err);
    if (!is_modest(text)) {
        free(text);
        return bp_fail(err, BP_ERR_USAGE,
                       "%s '%s': too large a regular expression, or one with back-references",
                       options[r->kind], bp_printable(r->value).text);
    }
    int code = regcomp(&r->regex, text, REG_EXTENDED | REG_NOSUB);
    free(text);
    if (code == 0) {
        r->has_regex = true;
        return BP_OK;
    }
    char words[128];
    regerror(code, &r->regex, words, sizeof words);
    return code == REG_ESPACE ? bp_fail_nomem(err)
                              : bp_fail(err, BP_ERR_USAGE, "%s '%s': not a regular expression: %s",
                                        options[r->kind], bp_printable(r->value).text, words);
}

/* The columns that are in a grid. One that none is in leaves no plan. */
static enum bp_status grid_columns(struct rule *r, const struct bp_table *t, struct bp_err *err)
{
    struct bp_grid grid;
    bool any = false;
    BP_TRY(bp_grid_parse(r->value, &grid, err));
    for (size_t j = 0; j < t->n_candidates; j++) {
        const struct bp_candidate *c = &t->candidates[j];
        r->column[j] = !c->foreign && bp_grid_has(&grid, &c->config);
        any |= r->column[j];
    }
    bp_grid_done(&grid);
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

static enum bp_status read_rule(const struct bp_constraint *c, const struct bp_table *t,
                                struct rule *r, struct bp_err *err)
{
    *r = (struct rule){.kind = c->kind, .value = c->value};
    const bool bound = c->kind == BP_CONSTRAINT_FLOOR || c->kind == BP_CONSTRAINT_CEIL;
    if (!bound && !(r->column = bp_alloc(t->n_candidates, 1)))
        return bp_fail_nomem(err);
    if (c->kind == BP_CONSTRAINT_GRID)
        return grid_columns(r, t, err);
    const char *equals = strrchr(c->value, '=');
    if (!equals || equals == c->value || !equals[1])
        return bp_fail(err, BP_ERR_USAGE, "%s '%s' is not of the form %s", options[c->kind],
                       bp_printable(c->value).text,
                       bound ? "RE=BITS, as in v_proj=3.5"
                             : "RE=CONFIG, as in q_proj=nf4:*:*:64:*");
    BP_TRY(read_regex(r, equals, err));
    return bound ? read_bound(r, equals + 1, err) : config_columns(r, equals + 1, t, err);
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
    return !r->has_regex || regexec(&r->regex, t->matrices[i].name, 0, NULL, 0) == 0;
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
    return any_matrix ? BP_OK
                      : bp_fail(err, BP_ERR_USAGE, "%s '%s' matches no matrix of %s",
                                options[r->kind], bp_printable(r->value).text, t->path);
}

static bool row_is_empty(const struct bp_table *t, const uint8_t *use, size_t i)
{
    return !memchr(use + i * t->n_candidates, 1, t->n_candidates);
}

/* Which constraints leave matrix i without a candidate: those that bear on it. */
static enum bp_status contradiction(const struct rule *rules, size_t n, const struct bp_table *t,
                                    size_t i, struct bp_err *err)
{
    char list[512] = "";
    for (size_t k = 0; k < n; k++) {
        size_t used = strlen(list);
        if (bears_on(&rules[k], t, i))
            snprintf(list + used, sizeof list - used, "%s%s '%s'", used ? ", " : "",
                     options[rules[k].kind], bp_printable(rules[k].value).text);
    }
    return bp_fail(err, BP_INFEASIBLE,
                   "%s: no candidate is left for %s under %s; loosen one of them", t->path,
                   bp_printable(t->matrices[i].name).text, list);
}

enum bp_status bp_constraints_apply(const struct bp_constraints *c, const struct bp_table *t,
                                    uint8_t *use, struct bp_err *err)
{
    memset(use, 1, t->n_matrices * t->n_candidates);
    struct rule *rules = bp_alloc_zero(c->n, sizeof *rules);
    enum bp_status status = rules ? BP_OK : bp_fail_nomem(err);
    size_t n = 0;
    while (status == BP_OK && n < c->n) {
        status = read_rule(&c->list[n], t, &rules[n], err);
        n++;
        if (status == BP_OK)
            status = apply_rule(&rules[n - 1], t, use, err);
    }
    for (size_t i = 0; status == BP_OK && i < t->n_matrices; i++)
        if (row_is_empty(t, use, i))
            status = contradiction(rules, n, t, i, err);
    for (size_t k = 0; rules && k < n; k++)
        rule_done(&rules[k]);
    free(rules);
    return status;
}
