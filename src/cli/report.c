/* A plan for people: one table of layers by kinds, then the totals. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "engine/plan.h"
#include "engine/printable.h"

enum { MAX_KINDS = 12 };

/* Storage and parameters of the matrices of one layer and kind. */
struct cell {
    uint64_t bits, params;
};

/* The kinds of a plan, in the order in which they first appear. */
struct kinds {
    const char *name[MAX_KINDS];
    int n;
    bool more; /* kinds that found no column */
};

static int kind_of(struct kinds *kinds, const char *name)
{
    for (int i = 0; i < kinds->n; i++)
        if (strcmp(kinds->name[i], name) == 0)
            return i;
    if (kinds->n == MAX_KINDS) {
        kinds->more = true;
        return -1;
    }
    kinds->name[kinds->n] = name;
    return kinds->n++;
}

static void add(struct cell *cell, const struct bp_plan *plan, size_t i)
{
    const struct bp_table *t = plan->table;
    cell->bits += t->storage[i * t->n_candidates + plan->choice[i]];
    cell->params += t->matrices[i].d * t->matrices[i].k;
}

static void print_cell(const struct cell *cell, int width, FILE *out)
{
    if (cell->params)
        fprintf(out, " %*.2f", width, (double)cell->bits / (double)cell->params);
    else
        fprintf(out, " %*s", width, "");
}

/* Rows are runs of matrices of the same layer, which is how a table lists them. */
static void print_allocation(const struct bp_plan *plan, FILE *out)
{
    enum { WIDTH = 9 };
    const struct bp_table *t = plan->table;
    struct kinds kinds = {.n = 0};
    for (size_t i = 0; i < t->n_matrices; i++)
        kind_of(&kinds, t->matrices[i].kind);
    fprintf(out, "bits/param by layer and kind\n%8s", "layer");
    for (int k = 0; k < kinds.n; k++)
        fprintf(out, " %*.*s", WIDTH, WIDTH, kinds.name[k]);
    fprintf(out, " %*s\n", WIDTH, "all");
    struct cell by_kind[MAX_KINDS] = {{0}}, total = {0};
    for (size_t i = 0; i < t->n_matrices;) {
        struct cell row[MAX_KINDS] = {{0}}, all = {0};
        int layer = t->matrices[i].layer;
        for (; i < t->n_matrices && t->matrices[i].layer == layer; i++) {
            int k = kind_of(&kinds, t->matrices[i].kind);
            if (k >= 0) {
                add(&row[k], plan, i);
                add(&by_kind[k], plan, i);
            }
            add(&all, plan, i);
            add(&total, plan, i);
        }
        if (layer >= 0)
            fprintf(out, "%8d", layer);
        else
            fprintf(out, "%8s", "-");
        for (int k = 0; k < kinds.n; k++)
            print_cell(&row[k], WIDTH, out);
        print_cell(&all, WIDTH, out);
        fputc('\n', out);
    }
    fprintf(out, "%8s", "all");
    for (int k = 0; k < kinds.n; k++)
        print_cell(&by_kind[k], WIDTH, out);
    print_cell(&total, WIDTH, out);
    fputc('\n', out);
    if (kinds.more)
        fprintf(out, "(only the first %d kinds have a column; `all` counts every matrix)\n",
                MAX_KINDS);
}

static void print_baselines(const struct bp_plan *plan, FILE *out)
{
    for (size_t i = 0; i < plan->n_baselines; i++) {
        const struct bp_baseline *b = &plan->baselines[i];
        char text[BP_CANDIDATE_TEXT], note[64] = "not in the table";
        if (isfinite(b->error) && plan->error > 0.0)
            snprintf(note, sizeof note, "%.6g, %.2f times the plan's", b->error,
                     b->error / plan->error);
        else if (isfinite(b->error))
            snprintf(note, sizeof note, "%.6g", b->error);
        fprintf(out, "  %-13s %-26s %.4f bits/param, error %s\n", b->name,
                bp_printable(bp_candidate_format(&b->candidate, text)).text,
                (double)b->storage_bits / (double)plan->params, note);
    }
}

static void print_memory(const struct bp_plan *plan, FILE *out)
{
    struct bp_ledger l = bp_plan_memory(plan);
    char a[BP_SIZE_TEXT], b[BP_SIZE_TEXT], c[BP_SIZE_TEXT], d[BP_SIZE_TEXT];
    fprintf(out, "memory      quantized %s, low-rank %s at %u bits",
            bp_size_format(l.codes_and_scales_bytes + l.offsets_bytes, a),
            bp_size_format(l.low_rank_bytes, b), bp_budget_precision(&plan->budget));
    if (l.outside_known)
        fprintf(out, ", everything else %s as stored: %s together\n",
                bp_size_format(l.outside_bytes, c), bp_size_format(l.total_bytes, d));
    else
        fprintf(out, "; the table does not say what else the model holds\n");
}

static void print_budget(const struct bp_budget *b, FILE *out)
{
    if (b->unit != BP_BUDGET_TOTAL_BYTES) {
        fprintf(out, "asked       %.10g %s = %s bits\n", b->asked, bp_budget_unit_name(b->unit),
                bp_grouped(b->bits).text);
        return;
    }
    fprintf(out, "asked       %.0f bytes for everything in memory, ", b->asked);
    if (b->context > 0 && b->batch > 0)
        fprintf(out, "KV cache of %s x %s tokens at %s bits", bp_grouped(b->batch).text,
                bp_grouped(b->context).text, bp_grouped(b->kv_bits).text);
    else
        fprintf(out, "no KV cache");
    fprintf(out, " = %s bits for the matrices%s\n", bp_grouped(b->bits).text,
            b->counts_low_rank ? " with their low-rank parts" : "");
}

void bp_print_plan(const struct bp_plan *plan, FILE *out)
{
    const struct bp_table *t = plan->table;
    const struct bp_certificate *c = &plan->certificate;
    fprintf(out, "%s%s, %zu matrices x %zu candidates, weights: %s\n",
            *t->about.model_name ? bp_printable(t->about.model_name).text : t->path,
            t->about.synthetic ? " (synthetic)" : "", t->n_matrices, t->n_candidates,
            bp_printable(t->about.weighting).text);
    print_allocation(plan, out);
    fputc('\n', out);
    print_budget(&plan->budget, out);
    fprintf(out, "plan        %.4f bits/param = %s bits, %.4f effective with the low-rank parts\n",
            bp_plan_bits_per_param(plan), bp_grouped(plan->storage_bits).text,
            bp_plan_effective_bits_per_param(plan));
    if (plan->budget.unit == BP_BUDGET_TOTAL_BYTES)
        fprintf(out, "takes       %" PRIu64 " bytes for everything in memory\n",
                bp_budget_total_for(&plan->budget, bp_plan_spent_bits(plan)));
    fprintf(out, "error       %.9g", plan->error);
    if (isfinite(plan->relative_error))
        fprintf(out, ", relative %.4g (1 = keeping nothing)", plan->relative_error);
    if (bp_constraints_scale(&plan->constraints))
        fprintf(out, "\nobjective   %.9g, the errors times the factors of %s", plan->objective,
                !bp_constraints_has(&plan->constraints, BP_CONSTRAINT_OBJECTIVE) ? "--weight"
                : bp_constraints_has(&plan->constraints, BP_CONSTRAINT_WEIGHT)
                    ? "--weight and --objective"
                    : "--objective");
    if (c->optimal)
        fprintf(out, ", optimal (proved)\n");
    else
        fprintf(out, ", at most %.2g above the optimum (proved, relative)\n", c->gap);
    print_memory(plan, out);
    fprintf(out, "compare\n");
    print_baselines(plan, out);
    bp_plan_write_warnings(plan, out);
}
