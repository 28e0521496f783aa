#include "engine/lint.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "engine/mem.h"
#include "engine/printable.h"

static const char *const names[BP_N_LINTS] = {
#define LINT_NAME(id, name) name,
    BP_LINTS(LINT_NAME)
#undef LINT_NAME
};

/* Adds a finding, unless nothing was found. */
static void found(struct bp_lint *out, enum bp_lint_rule rule, uint64_t count, const char *format,
                  ...) __attribute__((format(printf, 4, 5)));
static void found(struct bp_lint *out, enum bp_lint_rule rule, uint64_t count, const char *format,
                  ...)
{
    if (count == 0)
        return;
    struct bp_finding *f = &out->list[out->n++];
    f->rule = names[rule];
    f->count = count;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(f->text, sizeof f->text, format, arguments);
    va_end(arguments);
}

/* Cells that a rule counts, with the worst of them. */
struct tally {
    uint64_t n;
    double worst;
    size_t cell;
};

static void count_cell(struct tally *t, double how_bad, size_t cell)
{
    if (t->n++ == 0 || how_bad > t->worst) {
        t->worst = how_bad;
        t->cell = cell;
    }
}

/* "model.layers.0.mlp.up_proj.weight, nf2:u2:bf16:16:16 r64" */
struct place {
    char text[2 * sizeof(struct bp_printable) + 4];
};

static struct place place_of(const struct bp_table *t, size_t cell)
{
    struct place p;
    char candidate[BP_CANDIDATE_TEXT];
    bp_candidate_format(&t->candidates[cell % t->n_candidates], candidate);
    snprintf(p.text, sizeof p.text, "%s, %s",
             bp_printable(t->matrices[cell / t->n_candidates].name).text,
             bp_printable(candidate).text);
    return p;
}

/* --- cells --- */

static void lint_cells(const struct bp_table *t, struct bp_lint *out)
{
    const size_t cells = t->n_matrices * t->n_candidates;
    struct tally missing = {0}, zero = {0}, above = {0}, storage = {0};
    for (size_t cell = 0; cell < cells; cell++) {
        const size_t i = cell / t->n_candidates;
        const struct bp_candidate *c = &t->candidates[cell % t->n_candidates];
        const double error = t->error[cell];
        uint64_t bits;
        if (isnan(error))
            count_cell(&missing, 0.0, cell);
        else if (error == 0.0)
            count_cell(&zero, 0.0, cell);
        else if (t->norm && t->norm[i] > 0.0 && error > t->norm[i] * (1.0 + BP_LINT_TOLERANCE))
            count_cell(&above, error / t->norm[i], cell);
        if (!c->foreign &&
            (!bp_config_storage(&c->config, t->matrices[i].d * t->matrices[i].k, &bits) ||
             bits != t->storage[cell]))
            count_cell(&storage, 0.0, cell);
    }
    const struct bp_printable of = bp_grouped(cells);
    found(out, BP_LINT_NOT_MEASURED, missing.n,
          "%s of %s cells (%.1f %%): not measured; the first: %s", bp_grouped(missing.n).text,
          of.text, 100.0 * (double)missing.n / (double)cells, place_of(t, missing.cell).text);
    found(out, BP_LINT_ZERO, zero.n, "%s of %s cells: an error of 0; the first: %s",
          bp_grouped(zero.n).text, of.text, place_of(t, zero.cell).text);
    found(out, BP_LINT_ABOVE_NORM, above.n,
          "%s of %s cells: an error above the norm, worse than keeping nothing; the worst, %.4g "
          "times the norm: %s",
          bp_grouped(above.n).text, of.text, above.worst, place_of(t, above.cell).text);
    found(out, BP_LINT_STORAGE, storage.n,
          "%s of %s cells: not the storage that Eq. 3 gives; the first: %s",
          bp_grouped(storage.n).text, of.text, place_of(t, storage.cell).text);
}

/* --- candidates --- */

/* All but b0, then b0: neighbours differ in their codebook alone, or not at all. */
static int compare_candidates(const void *a, const void *b)
{
    const struct bp_candidate *x = *(const struct bp_candidate *const *)a;
    const struct bp_candidate *y = *(const struct bp_candidate *const *)b;
    if (x->foreign || y->foreign)
        return x->foreign && y->foreign ? strcmp(x->label, y->label) : x->foreign - y->foreign;
    const uint32_t fields[][2] = {{x->rank, y->rank},           {x->config.b1, y->config.b1},
                                  {x->config.b2, y->config.b2}, {x->config.B0, y->config.B0},
                                  {x->config.B1, y->config.B1}, {x->config.b0, y->config.b0}};
    for (size_t f = 0; f < sizeof fields / sizeof *fields; f++)
        if (fields[f][0] != fields[f][1])
            return fields[f][0] < fields[f][1] ? -1 : 1;
    return 0;
}

static bool same_but_b0(const struct bp_candidate *x, const struct bp_candidate *y)
{
    struct bp_candidate z = *y;
    z.config.b0 = x->config.b0;
    return !x->foreign && !y->foreign && bp_candidate_equal(x, &z);
}

/* Candidate `more` is `less` with a larger codebook: its error is smaller in every row. */
static void compare_columns(const struct bp_table *t, size_t less, size_t more, struct tally *out)
{
    for (size_t i = 0; i < t->n_matrices; i++) {
        const double a = t->error[i * t->n_candidates + less];
        const double b = t->error[i * t->n_candidates + more];
        if (b > a * (1.0 + BP_LINT_TOLERANCE)) /* NaN is not */
            count_cell(out, b / a, i * t->n_candidates + more);
    }
}

static enum bp_status lint_candidates(const struct bp_table *t, struct bp_lint *out,
                                      struct bp_err *err)
{
    const size_t C = t->n_candidates;
    const struct bp_candidate **order = bp_alloc(C, sizeof *order);
    if (!order)
        return bp_fail_nomem(err);
    struct tally falling = {0}, twice = {0};
    for (size_t j = 0; j < C; j++)
        order[j] = &t->candidates[j];
    qsort(order, C, sizeof *order, compare_candidates);
    for (size_t j = 1; j < C; j++) {
        const size_t a = (size_t)(order[j - 1] - t->candidates);
        const size_t b = (size_t)(order[j] - t->candidates);
        if (compare_candidates(&order[j - 1], &order[j]) == 0)
            count_cell(&twice, 0.0, b);
        else if (same_but_b0(order[j - 1], order[j]))
            compare_columns(t, a, b, &falling);
    }
    free(order);
    char text[BP_CANDIDATE_TEXT];
    found(out, BP_LINT_NOT_FALLING, falling.n,
          "%s of %s cells: a larger error than the same config with fewer bits a code; the worst, "
          "%.4g times as large: %s",
          bp_grouped(falling.n).text, bp_grouped((uint64_t)t->n_matrices * C).text, falling.worst,
          place_of(t, falling.cell).text);
    found(out, BP_LINT_DUPLICATE, twice.n, "%s of %s candidates: there before; the first: %s",
          bp_grouped(twice.n).text, bp_grouped(C).text,
          bp_printable(bp_candidate_format(&t->candidates[twice.cell % C], text)).text);
    return BP_OK;
}

/* --- rows --- */

struct row {
    uint64_t hash;
    size_t i;
};

static int compare_rows(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return x->i < y->i ? -1 : x->i > y->i;
}

static enum bp_status lint_rows(const struct bp_table *t, struct bp_lint *out, struct bp_err *err)
{
    const size_t width = t->n_candidates * sizeof *t->error;
    struct row *rows = bp_alloc(t->n_matrices, sizeof *rows);
    if (!rows)
        return bp_fail_nomem(err);
    size_t n = 0, first = 0, other = 0;
    for (size_t i = 0; i < t->n_matrices; i++)
        if (bp_table_measured_in_row(t, i) > 0)
            rows[n++] = (struct row){XXH3_64bits(t->error + i * t->n_candidates, width), i};
    qsort(rows, n, sizeof *rows, compare_rows);
    uint64_t same = 0;
    for (size_t r = 1; r < n; r++) {
        const size_t a = rows[r - 1].i, b = rows[r].i;
        if (memcmp(t->error + a * t->n_candidates, t->error + b * t->n_candidates, width) != 0)
            continue;
        if (same++ == 0 || b < other) {
            first = a;
            other = b;
        }
    }
    free(rows);
    found(out, BP_LINT_SAME_ROW, same,
          "%s of %s matrices: the errors of another one to the bit; the first: %s, those of %s",
          bp_grouped(same).text, bp_grouped(t->n_matrices).text,
          bp_printable(t->matrices[other].name).text, bp_printable(t->matrices[first].name).text);
    return BP_OK;
}

static void lint_names(const struct bp_table *t, struct bp_lint *out)
{
    uint64_t n = 0;
    size_t first = 0;
    for (size_t i = t->n_matrices; i-- > 0;)
        if (t->matrices[i].layer < 0 || !*t->matrices[i].kind) {
            n++;
            first = i;
        }
    found(
        out, BP_LINT_NO_LAYER, n,
        "%s of %s matrices: no layer or no kind, so that ties, the map and the KV cache pass them "
        "by; the first: %s",
        bp_grouped(n).text, bp_grouped(t->n_matrices).text,
        bp_printable(t->matrices[first].name).text);
}

/* --- what the table says --- */

static void lint_about(const struct bp_table *t, struct bp_lint *out)
{
    const struct bp_table_about *a = &t->about;
    found(out, BP_LINT_SYNTHETIC, a->synthetic,
          "the model is synthetic: its errors are those of no trained weights");
    found(out, BP_LINT_NO_NORM, !t->norm, "no `norm`: relative errors are not known");
    found(out, BP_LINT_NO_BASELINES, !t->baseline_error,
          "no `baseline_error`: plans cannot be compared with QLoRA's NF4 and NF3");
    found(out, BP_LINT_NO_MODEL, !*a->model_name || !*a->model_fingerprint || a->params == 0,
          "it does not say which model it is of%s",
          a->params == 0 ? ", nor what the model holds beside the planned matrices" : "");
    found(out, BP_LINT_NO_METHOD, !*a->effort || a->method_version == 0,
          "it does not say how it was measured: more cannot be measured into it");
}

enum bp_status bp_table_lint(const struct bp_table *t, struct bp_lint *out, struct bp_err *err)
{
    *out = (struct bp_lint){.n = 0};
    lint_cells(t, out);
    BP_TRY(lint_candidates(t, out, err));
    BP_TRY(lint_rows(t, out, err));
    lint_names(t, out);
    lint_about(t, out);
    return BP_OK;
}
