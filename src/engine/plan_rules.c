#include "engine/plan_rules.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/mem.h"
#include "engine/plan.h"
#include "engine/printable.h"

static const struct {
    const char *name, *many, *unit;
    bool large;
} rules[BP_N_RULES] = {
#define RULE_ROW(id, name, many, unit, large) {name, many, unit, large},
    BP_RULES(RULE_ROW)
#undef RULE_ROW
};

/* What the rules share about a plan. */
struct look {
    const struct bp_plan *plan;
    struct bp_plan *into; /* the same where warnings are added */
    const struct bp_table *t;
    struct bp_err *err;
};

static double params_of(const struct bp_table *t, size_t i)
{
    return (double)t->matrices[i].d * (double)t->matrices[i].k;
}

static double bits_of(const struct look *l, size_t i)
{
    return (double)l->t->storage[i * l->t->n_candidates + l->plan->choice[i]] / params_of(l->t, i);
}

static const struct bp_candidate *chosen(const struct look *l, size_t i)
{
    return &l->t->candidates[l->plan->choice[i]];
}

/* 2-bit codes; of another quantizer what is as small as those. */
static bool is_two_bit(const struct look *l, size_t i)
{
    const struct bp_candidate *c = chosen(l, i);
    return c->foreign ? bits_of(l, i) < 3.0 : c->config.b0 == 2;
}

static struct look look_at(const struct bp_plan *plan, struct bp_err *err)
{
    return (struct look){.plan = plan, .t = plan->table, .err = err};
}

/* --- words --- */

/* The first n characters of a name as a regular expression that can stand between a shell's
 * quotes. */
static void escape(const char *name, size_t n, char *out)
{
    for (size_t i = 0; i < n; i++) {
        if (strchr(".[()*+?{|^$\\", name[i]))
            *out++ = '\\';
        *out++ = name[i];
        if (name[i] == '\'')
            out[-1] = '.';
    }
    *out = '\0';
}

enum { CURE_TEXT = 2 * sizeof(struct bp_printable) + 64 };

/* ": --floor '^name$=3'" for the beginning of a name (n characters) or all of it; why there is no
 * such cure where no candidate is that large. */
static const char *cure(const struct look *l, const char *name, size_t n, unsigned floor_bits,
                        char text[CURE_TEXT])
{
    char pattern[2 * sizeof(struct bp_printable)];
    text[0] = '\0';
    if (l->plan->largest_bits < floor_bits) {
        snprintf(text, CURE_TEXT, "; the table has no candidate of %u bits/param", floor_bits);
    } else if (floor_bits && strcmp(bp_printable(name).text, name) == 0) {
        /* What cannot be shown cannot be pasted. */
        escape(name, n, pattern);
        snprintf(text, CURE_TEXT, ": --floor '^%s%s=%u'", pattern, name[n] ? "" : "$", floor_bits);
    }
    return text;
}

static void partial_text(const struct bp_table *t, char text[BP_WARNING_TEXT])
{
    const double params = (double)bp_table_params(t);
    snprintf(text, BP_WARNING_TEXT,
             "%zu of the table's %zu matrices are planned, %.1f %% of its parameters: the others "
             "are not measured yet",
             t->n_matrices, t->whole_matrices, 100.0 * params / (double)t->whole_params);
}

/* How many of the chosen errors are at each stage. */
static void count_chosen(const struct look *l, size_t n[BP_N_CELL_STAGES])
{
    memset(n, 0, BP_N_CELL_STAGES * sizeof *n);
    for (size_t i = 0; i < l->t->n_matrices; i++)
        n[bp_table_stage(l->t, i, l->plan->choice[i])]++;
}

/* Counts, and the first few matrices by name. */
static void not_iterated_text(const struct look *l, char text[BP_WARNING_TEXT])
{
    enum { NAMED = 3 };
    const struct bp_table *t = l->t;
    size_t n[BP_N_CELL_STAGES], named = 0;
    count_chosen(l, n);
    const size_t all = n[BP_CELL_ONE_STEP] + n[BP_CELL_ESTIMATED];
    snprintf(text, BP_WARNING_TEXT,
             "%zu of %zu chosen errors are not iterated (%zu at one step, %zu estimated), which "
             "measuring with --effort full would do: ",
             all, t->n_matrices, n[BP_CELL_ONE_STEP], n[BP_CELL_ESTIMATED]);
    for (size_t i = 0; i < t->n_matrices && named < NAMED; i++) {
        if (bp_table_stage(t, i, l->plan->choice[i]) == BP_CELL_ITERATED)
            continue;
        const size_t used = strlen(text);
        snprintf(text + used, BP_WARNING_TEXT - used, "%s%s", named++ ? ", " : "",
                 bp_printable(t->matrices[i].name).text);
    }
    if (all > NAMED && strlen(text) + 5 < BP_WARNING_TEXT)
        strcat(text, ", ...");
}

/* The words of a warning, without the matrix's name in front. */
static void put_words(const struct look *l, const struct bp_warning *w, char text[BP_WARNING_TEXT])
{
    const struct bp_table *t = l->t;
    if (w->row == BP_NO_MATRIX) {
        if (w->id == BP_RULE_PARTIAL)
            partial_text(t, text);
        else
            not_iterated_text(l, text);
        return;
    }
    const struct bp_table_matrix *m = &t->matrices[w->row];
    char label[BP_CANDIDATE_TEXT], help[CURE_TEXT];
    bp_candidate_format(chosen(l, w->row), label);
    const struct bp_printable shown = bp_printable(label);
    cure(l, m->name, strlen(m->name), w->floor_bits, help);
    switch (w->id) {
    case BP_RULE_UNMEASURED:
        snprintf(text, BP_WARNING_TEXT, "%.0f of %zu candidates are not measured and took no part",
                 w->figure, t->n_candidates);
        break;
    case BP_RULE_RELATIVE_ERROR:
        snprintf(text, BP_WARNING_TEXT, "%s loses %.4f of its norm, more than %.2f%s", shown.text,
                 w->figure, BP_LIMIT_RELATIVE_ERROR, help);
        break;
    case BP_RULE_TWO_BIT:
        snprintf(text, BP_WARNING_TEXT,
                 "%s has 2-bit codes, %.4f bits/param, and no low-rank part to mend them, which "
                 "measuring with --rank 64 would give it%s",
                 shown.text, w->figure, help);
        break;
    case BP_RULE_EDGE_LAYERS:
        snprintf(text, BP_WARNING_TEXT,
                 "%s in layer %d, at the edge of the model: %.4f bits/param, where the plan's mean "
                 "is %.4f%s",
                 shown.text, m->layer, w->figure, w->mean, help);
        break;
    case BP_RULE_BELOW_KIND:
        snprintf(text, BP_WARNING_TEXT,
                 "%s: %.4f bits/param, where the mean of the plan's %s is %.4f%s", shown.text,
                 w->figure, bp_printable(m->kind).text, w->mean, help);
        break;
    case BP_RULE_PARTIAL:
    case BP_RULE_NOT_ITERATED:
    case BP_N_RULES:
        break;
    }
}

const char *bp_warning_format(const struct bp_plan *plan, const struct bp_warning *w,
                              char text[BP_WARNING_TEXT])
{
    const struct look l = look_at(plan, NULL);
    text[0] = '\0';
    put_words(&l, w, text);
    return text;
}

/* --- looking --- */

static enum bp_status warn(const struct look *l, struct bp_warning w)
{
    struct bp_plan *plan = l->into;
    const size_t n = plan->n_warnings;
    if ((n & (n - 1)) == 0) { /* a power of two: full */
        struct bp_warning *grown = bp_grow(plan->warnings, n ? 2 * n : 1, sizeof *plan->warnings);
        if (!grown)
            return bp_fail_nomem(l->err);
        plan->warnings = grown;
    }
    w.matrix = w.row == BP_NO_MATRIX ? "" : l->t->matrices[w.row].name;
    w.rule = rules[w.id].name;
    plan->warnings[plan->n_warnings++] = w;
    return BP_OK;
}

static enum bp_status look_partial(const struct look *l)
{
    if (l->t->whole_matrices <= l->t->n_matrices)
        return BP_OK;
    return warn(l, (struct bp_warning){.row = BP_NO_MATRIX, .id = BP_RULE_PARTIAL});
}

static enum bp_status look_unmeasured(const struct look *l)
{
    for (size_t i = 0; i < l->t->n_matrices; i++) {
        const size_t missing = l->t->n_candidates - bp_table_measured_in_row(l->t, i);
        if (missing > 0)
            BP_TRY(warn(l, (struct bp_warning){
                               .row = i, .id = BP_RULE_UNMEASURED, .figure = (double)missing}));
    }
    return BP_OK;
}

static enum bp_status look_not_iterated(const struct look *l)
{
    size_t n[BP_N_CELL_STAGES];
    if (!l->t->stage)
        return BP_OK;
    count_chosen(l, n);
    if (n[BP_CELL_ITERATED] == l->t->n_matrices)
        return BP_OK;
    return warn(l, (struct bp_warning){.row = BP_NO_MATRIX, .id = BP_RULE_NOT_ITERATED});
}

/* The next whole number of bits above what the matrix has: the floor that leaves its codebook
 * behind, as scales take less than a bit. */
static unsigned next_bits(double bits)
{
    return (unsigned)floor(bits) + 1;
}

static enum bp_status look_relative_error(const struct look *l)
{
    const struct bp_table *t = l->t;
    for (size_t i = 0; t->norm && i < t->n_matrices; i++) {
        const double error = t->error[i * t->n_candidates + l->plan->choice[i]];
        const double relative = t->norm[i] > 0.0 ? error / t->norm[i] : 0.0;
        if (relative > BP_LIMIT_RELATIVE_ERROR)
            BP_TRY(warn(l, (struct bp_warning){.row = i,
                                               .id = BP_RULE_RELATIVE_ERROR,
                                               .figure = relative,
                                               .floor_bits = next_bits(bits_of(l, i))}));
    }
    return BP_OK;
}

static enum bp_status look_two_bit(const struct look *l)
{
    for (size_t i = 0; i < l->t->n_matrices; i++) {
        const struct bp_candidate *c = chosen(l, i);
        if (!c->foreign && c->config.b0 == 2 && c->rank == 0)
            BP_TRY(warn(
                l, (struct bp_warning){
                       .row = i, .id = BP_RULE_TWO_BIT, .figure = bits_of(l, i), .floor_bits = 3}));
    }
    return BP_OK;
}

/* The first layer takes the embeddings apart, the last one forms the answer; both are known to
 * suffer most, and two layers of many cost little. With fewer than three layers there is no middle
 * that they would differ from. */
static enum bp_status look_edge_layers(const struct look *l)
{
    const struct bp_table *t = l->t;
    const double mean = bp_plan_bits_per_param(l->plan);
    int first = -1, last = -1;
    for (size_t i = 0; i < t->n_matrices; i++) {
        const int layer = t->matrices[i].layer;
        if (layer < 0)
            continue;
        first = first < 0 || layer < first ? layer : first;
        last = layer > last ? layer : last;
    }
    if (last - first < 2 || mean < BP_LIMIT_EDGE_MEAN)
        return BP_OK;
    for (size_t i = 0; i < t->n_matrices; i++) {
        const int layer = t->matrices[i].layer;
        if ((layer == first || layer == last) && is_two_bit(l, i) && bits_of(l, i) < mean)
            BP_TRY(warn(l, (struct bp_warning){.row = i,
                                               .id = BP_RULE_EDGE_LAYERS,
                                               .figure = bits_of(l, i),
                                               .mean = mean,
                                               .floor_bits = 3}));
    }
    return BP_OK;
}

/* Values and what the MLP hands on lie on every path through a layer, and nothing behind them
 * normalizes their error away, as the softmax does with that of queries and keys. */
static enum bp_status look_below_kind(const struct look *l)
{
    static const char *const kinds[] = {"v_proj", "down_proj"};
    const struct bp_table *t = l->t;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        double bits = 0.0, params = 0.0;
        for (size_t i = 0; i < t->n_matrices; i++)
            if (strcmp(t->matrices[i].kind, kinds[k]) == 0) {
                bits += (double)t->storage[i * t->n_candidates + l->plan->choice[i]];
                params += params_of(t, i);
            }
        const double mean = params > 0.0 ? bits / params : 0.0;
        for (size_t i = 0; i < t->n_matrices; i++)
            if (strcmp(t->matrices[i].kind, kinds[k]) == 0 &&
                bits_of(l, i) < mean - BP_LIMIT_BELOW_KIND)
                BP_TRY(warn(l, (struct bp_warning){.row = i,
                                                   .id = BP_RULE_BELOW_KIND,
                                                   .figure = bits_of(l, i),
                                                   .mean = mean,
                                                   .floor_bits = next_bits(bits_of(l, i))}));
    }
    return BP_OK;
}

enum bp_status bp_plan_apply_rules(struct bp_plan *plan, bool complete, struct bp_err *err)
{
    struct look l = look_at(plan, err);
    l.into = plan;
    for (size_t j = 0; j < l.t->n_candidates; j++)
        plan->largest_bits = fmax(plan->largest_bits, (double)l.t->storage[j] / params_of(l.t, 0));
    BP_TRY(look_partial(&l));
    if (!complete)
        BP_TRY(look_unmeasured(&l));
    BP_TRY(look_not_iterated(&l));
    BP_TRY(look_relative_error(&l));
    BP_TRY(look_two_bit(&l));
    BP_TRY(look_edge_layers(&l));
    return look_below_kind(&l);
}

/* --- many at once --- */

/* Some warnings of one rule: of a kind, or of a layer. */
struct group {
    const struct bp_table_matrix *first;
    size_t n;
    double worst;
    unsigned floor_bits;
    bool mixed; /* what found no group of its own */
};

/* Kinds would not do for the edges: raising a kind raises it in every layer. */
static bool same_group(enum bp_rule rule, const struct bp_table_matrix *a,
                       const struct bp_table_matrix *b)
{
    return rule == BP_RULE_EDGE_LAYERS ? a->layer == b->layer : strcmp(a->kind, b->kind) == 0;
}

/* The groups of a rule's warnings; the last of `room` takes in what finds none. */
static size_t group_warnings(const struct bp_plan *plan, enum bp_rule rule, struct group *groups,
                             size_t room)
{
    size_t n = 0;
    for (size_t i = 0; i < plan->n_warnings; i++) {
        const struct bp_warning *w = &plan->warnings[i];
        if (w->id != rule)
            continue;
        const struct bp_table_matrix *m = &plan->table->matrices[w->row];
        size_t g = 0;
        while (g < n && !same_group(rule, groups[g].first, m))
            g++;
        if (g == room)
            g = room - 1;
        else if (g == n)
            groups[n++] = (struct group){.first = m, .worst = w->figure};
        struct group *own = &groups[g];
        own->n++;
        own->worst = rules[rule].large ? fmax(own->worst, w->figure) : fmin(own->worst, w->figure);
        own->floor_bits = w->floor_bits > own->floor_bits ? w->floor_bits : own->floor_bits;
        own->mixed |= !same_group(rule, own->first, m);
    }
    return n;
}

/* Characters of a name up to behind its layer's number: "model.layers.0."; 0 where it has none. */
static size_t layer_prefix(const struct bp_table_matrix *m)
{
    char number[16];
    const int n = snprintf(number, sizeof number, ".%d.", m->layer);
    const char *at = strstr(m->name, number);
    return at ? (size_t)(at - m->name) + (size_t)n : 0;
}

/* Whether the kind stands in the names of its own matrices only, and all of those. */
static bool kind_is_pattern(const struct bp_table *t, const char *kind)
{
    if (!*kind || strspn(kind, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") !=
                      strlen(kind))
        return false;
    for (size_t i = 0; i < t->n_matrices; i++)
        if ((strstr(t->matrices[i].name, kind) != NULL) != (strcmp(t->matrices[i].kind, kind) == 0))
            return false;
    return true;
}

static void write_group(const struct look *l, enum bp_rule rule, const struct group *g, FILE *out)
{
    const bool by_layer = rule == BP_RULE_EDGE_LAYERS;
    if (g->mixed)
        fprintf(out, "  others");
    else if (by_layer)
        fprintf(out, "  layer %d", g->first->layer);
    else
        fprintf(out, "  %s", *g->first->kind ? bp_printable(g->first->kind).text : "no kind");
    fprintf(out, ": %zu, ", g->n);
    fprintf(out, "%s to %.*f %s", rules[rule].large ? "up" : "down",
            rule == BP_RULE_UNMEASURED ? 0 : 4, g->worst, rules[rule].unit);
    char help[CURE_TEXT];
    const size_t prefix = by_layer ? layer_prefix(g->first) : 0;
    if (prefix && !g->mixed)
        fprintf(out, "%s", cure(l, g->first->name, prefix, g->floor_bits, help));
    if (g->floor_bits && !by_layer && !g->mixed && kind_is_pattern(l->t, g->first->kind))
        fprintf(out, ": --floor %s=%u", g->first->kind, g->floor_bits);
    fputc('\n', out);
}

static void write_rule(const struct look *l, enum bp_rule rule, FILE *out)
{
    const struct bp_plan *plan = l->plan;
    enum { FEW = 4, ROOM = BP_RULE_LINES - 1 };
    size_t n = 0;
    for (size_t i = 0; i < plan->n_warnings; i++)
        n += plan->warnings[i].id == rule;
    for (size_t i = 0; n <= FEW && i < plan->n_warnings; i++) {
        const struct bp_warning *w = &plan->warnings[i];
        if (w->id != rule)
            continue;
        char text[BP_WARNING_TEXT];
        fprintf(out, "warning: %s%s%s\n", bp_printable(w->matrix).text, *w->matrix ? ": " : "",
                bp_warning_format(plan, w, text));
    }
    if (n <= FEW)
        return;
    struct group groups[ROOM];
    const size_t n_groups = group_warnings(plan, rule, groups, ROOM);
    fprintf(out, "warning: %s: %zu of %zu matrices %s\n", rules[rule].name, n,
            plan->table->n_matrices, rules[rule].many);
    for (size_t g = 0; g < n_groups; g++)
        write_group(l, rule, &groups[g], out);
}

void bp_plan_write_warnings(const struct bp_plan *plan, FILE *out)
{
    const struct look l = look_at(plan, NULL);
    for (int rule = 0; rule < BP_N_RULES; rule++)
        write_rule(&l, (enum bp_rule)rule, out);
}
