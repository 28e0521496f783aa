/*
 * Which matrices a --tie ties. A group by name gives each matrix a key, or none, and equal keys are
 * tied; NAME=RE ties what the expression finds. All ties of a list hold together: the groups are
 * the classes of their union.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/constraints.h"
#include "engine/mem.h"
#include "engine/name_regex.h"
#include "engine/printable.h"
#include "engine/quantizable.h"

static const uint32_t NO_MATRIX = UINT32_MAX;

/* --- keys --- */

/* A stretch of a name. */
struct span {
    size_t at, n;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static size_t digits(const char *text)
{
    size_t n = 0;
    while (is_digit(text[n]))
        n++;
    return n;
}

/* Where an expert of a stack carries its number: "[7]" at the name's end. Its length, 0 for none.
 */
static size_t stack_suffix(const char *name)
{
    const char *bracket = strrchr(name, '[');
    size_t n = bracket ? digits(bracket + 1) : 0;
    return n > 0 && strcmp(bracket + 1 + n, "]") == 0 ? n + 2 : 0;
}

/* The last module of a name: q_proj of "...self_attn.q_proj.weight" and of "...q_proj.weight[7]".
 */
static struct span last_module(const char *name)
{
    static const char weight[] = ".weight";
    size_t end = strlen(name) - stack_suffix(name);
    if (end > sizeof weight - 1 && memcmp(name + end - (sizeof weight - 1), weight, 7) == 0)
        end -= sizeof weight - 1;
    size_t begin = end;
    while (begin > 0 && name[begin - 1] != '.')
        begin--;
    return (struct span){begin, end - begin};
}

/* *out = the name with a star in place of the stretch. */
static enum bp_status key_without(const char *name, struct span s, char **out)
{
    *out = bp_format("%.*s*%s", (int)s.at, name, name + s.at + s.n);
    return *out ? BP_OK : BP_ERR_NOMEM;
}

/* Keyed by the rest of the name where the last module is one of the words. */
static enum bp_status key_of_words(const char *name, const char *const *words, char **out)
{
    struct span s = last_module(name);
    for (; *words; words++)
        if (strlen(*words) == s.n && memcmp(*words, name + s.at, s.n) == 0)
            return key_without(name, s, out);
    return BP_OK;
}

static enum bp_status key_qkv(const struct bp_table_matrix *m, char **out)
{
    static const char *const words[] = {"q_proj", "k_proj", "v_proj", "query", "key",
                                        "value",  "q_lin",  "k_lin",  "v_lin", "wq",
                                        "wk",     "wv",     NULL};
    return key_of_words(m->name, words, out);
}

/* w1 and w3 are the gate and the up projection where those names are used; w2 is the way down. */
static enum bp_status key_gate_up(const struct bp_table_matrix *m, char **out)
{
    static const char *const words[] = {"gate_proj", "up_proj", "w1", "w3", NULL};
    return key_of_words(m->name, words, out);
}

/* "...experts.7.up_proj.weight", or one matrix of a stack: "...experts.up_proj[7]". */
static enum bp_status key_experts(const struct bp_table_matrix *m, char **out)
{
    static const char word[] = "experts.";
    size_t suffix = stack_suffix(m->name);
    if (suffix > 0)
        return key_without(m->name, (struct span){strlen(m->name) - suffix + 1, suffix - 2}, out);
    for (const char *at = m->name; (at = strstr(at, word)) != NULL; at++) {
        const char *number = at + sizeof word - 1;
        size_t n = digits(number);
        if (n > 0 && number[n] == '.')
            return key_without(m->name, (struct span){(size_t)(number - m->name), n}, out);
    }
    return BP_OK;
}

static enum bp_status key_layer(const struct bp_table_matrix *m, char **out)
{
    if (m->layer < 0)
        return BP_OK;
    *out = bp_format("%d %.*s", m->layer, (int)bp_tensor_stack_length(m->name), m->name);
    return *out ? BP_OK : BP_ERR_NOMEM;
}

static enum bp_status key_kind(const struct bp_table_matrix *m, char **out)
{
    if (!*m->kind)
        return BP_OK;
    *out = bp_strdup(m->kind);
    return *out ? BP_OK : BP_ERR_NOMEM;
}

/* key: *out (on the heap) stays NULL for a matrix that is in no such group. */
static const struct tie_group {
    const char *name;
    enum bp_status (*key)(const struct bp_table_matrix *m, char **out);
} tie_groups[] = {
    {"qkv", key_qkv},     {"gate_up", key_gate_up}, {"experts", key_experts},
    {"layer", key_layer}, {"kind", key_kind},
};
enum { N_TIE_GROUPS = sizeof tie_groups / sizeof *tie_groups };

/* --- union --- */

/* Points from each matrix to one in front of it of its group, from the first to itself. */
struct forest {
    uint32_t *parent; /* [n_matrices] */
};

static uint32_t root(struct forest *f, uint32_t i)
{
    while (f->parent[i] != i) {
        f->parent[i] = f->parent[f->parent[i]];
        i = f->parent[i];
    }
    return i;
}

static void join(struct forest *f, uint32_t a, uint32_t b)
{
    a = root(f, a);
    b = root(f, b);
    f->parent[a > b ? a : b] = a < b ? a : b;
}

/* --- one option --- */

struct keyed {
    char *key;
    uint32_t i;
};

static int compare_keyed(const void *a, const void *b)
{
    const struct keyed *x = a, *y = b;
    int order = strcmp(x->key, y->key);
    return order ? order : x->i < y->i ? -1 : x->i > y->i;
}

/* Ties the matrices of equal keys; *any: there were some. */
static enum bp_status tie_by_key(struct forest *f, const struct tie_group *tie,
                                 const struct bp_table *t, bool *any, struct bp_err *err)
{
    struct keyed *list = bp_alloc(t->n_matrices, sizeof *list);
    size_t n = 0;
    enum bp_status status = list ? BP_OK : BP_ERR_NOMEM;
    for (size_t i = 0; status == BP_OK && i < t->n_matrices; i++) {
        list[n] = (struct keyed){NULL, (uint32_t)i};
        status = tie->key(&t->matrices[i], &list[n].key);
        n += list[n].key != NULL; /* NULL: it is in no such group */
    }
    if (n > 0)
        qsort(list, n, sizeof *list, compare_keyed);
    for (size_t k = 1; status == BP_OK && k < n; k++)
        if (strcmp(list[k - 1].key, list[k].key) == 0) {
            join(f, list[k - 1].i, list[k].i);
            *any = true;
        }
    for (size_t k = 0; k < n; k++)
        free(list[k].key);
    free(list);
    return status == BP_OK ? BP_OK : bp_fail_nomem(err);
}

static enum bp_status ties_nothing(const char *value, const char *group, const struct bp_table *t,
                                   struct bp_err *err)
{
    return bp_fail(err, BP_ERR_USAGE,
                   "--tie '%s': %s ties nothing: no two matrices of %s are in it",
                   bp_printable(value).text, bp_printable(group).text, t->path);
}

/* One group of "qkv,gate_up". */
static enum bp_status tie_by_name(struct forest *f, const char *name, const char *value,
                                  const struct bp_table *t, struct bp_err *err)
{
    bool any = false;
    for (int g = 0; g < N_TIE_GROUPS; g++) {
        if (strcmp(name, tie_groups[g].name) != 0)
            continue;
        BP_TRY(tie_by_key(f, &tie_groups[g], t, &any, err));
        return any ? BP_OK : ties_nothing(value, name, t, err);
    }
    return bp_fail(err, BP_ERR_USAGE,
                   "--tie '%s': '%s' is no group: qkv, gate_up, experts, layer, kind, or NAME=RE",
                   bp_printable(value).text, bp_printable(name).text);
}

static enum bp_status tie_by_names(struct forest *f, const char *value, const struct bp_table *t,
                                   struct bp_err *err)
{
    char *copy = bp_strdup(value), *rest = copy;
    if (!copy)
        return bp_fail_nomem(err);
    enum bp_status status = BP_OK;
    for (char *word; status == BP_OK && (word = strsep(&rest, ","));)
        status = tie_by_name(f, word, value, t, err);
    free(copy);
    return status;
}

/* NAME=RE: one group, of a person's own. */
static enum bp_status tie_by_regex(struct forest *f, const char *value, const char *equals,
                                   const struct bp_table *t, struct bp_err *err)
{
    regex_t regex;
    uint32_t first = NO_MATRIX;
    bool any = false;
    if (equals == value || !equals[1])
        return bp_fail(err, BP_ERR_USAGE, "--tie '%s' is not of the form NAME=RE",
                       bp_printable(value).text);
    BP_TRY(bp_name_regex(equals + 1, strlen(equals + 1), "--tie", value, &regex, err));
    for (size_t i = 0; i < t->n_matrices; i++) {
        if (!bp_name_matches(&regex, t->matrices[i].name))
            continue;
        if (first == NO_MATRIX) {
            first = (uint32_t)i;
        } else {
            join(f, first, (uint32_t)i);
            any = true;
        }
    }
    regfree(&regex);
    if (first == NO_MATRIX)
        return bp_fail(err, BP_ERR_USAGE, "--tie '%s' matches no matrix of %s",
                       bp_printable(value).text, t->path);
    return any ? BP_OK : ties_nothing(value, "it", t, err);
}

/* --- all of them --- */

enum bp_status bp_constraints_groups(const struct bp_constraints *c, const struct bp_table *t,
                                     uint32_t *group, size_t *n_groups, struct bp_err *err)
{
    struct forest f = {bp_alloc(t->n_matrices, sizeof *f.parent)};
    enum bp_status status = f.parent ? BP_OK : bp_fail_nomem(err);
    for (size_t i = 0; status == BP_OK && i < t->n_matrices; i++)
        f.parent[i] = (uint32_t)i;
    for (size_t k = 0; status == BP_OK && k < c->n; k++) {
        if (c->list[k].kind != BP_CONSTRAINT_TIE)
            continue;
        const char *value = c->list[k].value, *equals = strchr(value, '=');
        status = equals ? tie_by_regex(&f, value, equals, t, err) : tie_by_names(&f, value, t, err);
    }
    *n_groups = 0;
    for (size_t i = 0; status == BP_OK && i < t->n_matrices; i++) {
        uint32_t first = root(&f, (uint32_t)i); /* <= i, so it has its number already */
        group[i] = first == i ? (uint32_t)(*n_groups)++ : group[first];
    }
    free(f.parent);
    return status;
}
