#include "engine/plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/json_write.h"

struct bp_plan *bp_plan_free(struct bp_plan *plan)
{
    if (!plan)
        return NULL;
    free(plan->warnings);
    free(plan->table_fingerprint);
    bp_constraints_done(&plan->constraints);
    free(plan->choice);
    free(plan);
    return NULL;
}

double bp_plan_bits_per_param(const struct bp_plan *plan)
{
    return (double)plan->storage_bits / (double)plan->params;
}

double bp_plan_effective_bits_per_param(const struct bp_plan *plan)
{
    return ((double)plan->storage_bits + (double)plan->low_rank_bits) / (double)plan->params;
}

uint64_t bp_plan_spent_bits(const struct bp_plan *plan)
{
    return plan->storage_bits + (plan->budget.counts_low_rank ? 8 * plan->low_rank_bytes : 0);
}

struct bp_ledger bp_plan_memory(const struct bp_plan *plan)
{
    struct bp_ledger l = {
        .codes_and_scales_bytes = (plan->storage_bits + 7) / 8,
        .offsets_bytes = plan->table->n_matrices * sizeof(float),
        .low_rank_bytes = plan->low_rank_bytes,
        .outside_bytes = plan->table->about.bytes_outside,
        .outside_known = plan->table->about.params > 0,
    };
    l.total_bytes = l.codes_and_scales_bytes + l.offsets_bytes + l.low_rank_bytes + l.outside_bytes;
    return l;
}

/* --- JSON --- */

static void put_config(struct bp_json_out *out, struct cJSON *node, const struct bp_candidate *c)
{
    if (c->foreign) {
        bp_json_put_null(out, node, "config");
        return;
    }
    struct cJSON *config = bp_json_put_object(out, node, "config");
    bp_json_put_u64(out, config, "b0", c->config.b0);
    bp_json_put_u64(out, config, "b1", c->config.b1);
    bp_json_put_string(out, config, "b2", bp_scale_type_name(c->config.b2));
    bp_json_put_u64(out, config, "B0", c->config.B0);
    bp_json_put_u64(out, config, "B1", c->config.B1);
}

static void put_label(struct bp_json_out *out, struct cJSON *node, const struct bp_candidate *c)
{
    char text[BP_CONFIG_TEXT];
    bp_json_put_string(out, node, "label",
                       c->foreign ? c->label : bp_config_format(&c->config, text));
}

static void put_model(const struct bp_plan *plan, struct bp_json_out *out)
{
    const struct bp_table_about *a = &plan->table->about;
    struct cJSON *model = bp_json_put_object(out, out->root, "model");
    bp_json_put_string(out, model, "name", a->model_name);
    bp_json_put_string(out, model, "fingerprint", a->model_fingerprint);
    bp_json_put_u64(out, model, "params", plan->params);
    if (a->params > 0)
        bp_json_put_u64(out, model, "params_outside", a->params_outside);
    else
        bp_json_put_null(out, model, "params_outside");
    bp_json_put_bool(out, model, "synthetic", a->synthetic);
}

/* The rank that all of a table's candidates have; null where they differ. */
static void put_rank(const struct bp_table *t, struct bp_json_out *out, struct cJSON *node)
{
    for (size_t j = 0; j < t->n_candidates; j++)
        if (t->candidates[j].foreign || t->candidates[j].rank != t->candidates[0].rank) {
            bp_json_put_null(out, node, "rank");
            return;
        }
    bp_json_put_u64(out, node, "rank", t->candidates[0].rank);
}

/* How the table's errors were made, which is how the plan is to be carried out; null when the table
 * does not say. rank: the largest of all candidates, which sizes the work. */
static void put_method(const struct bp_table *t, struct bp_json_out *out, struct cJSON *node)
{
    const struct bp_table_about *a = &t->about;
    uint32_t rank = 0;
    if (!*a->effort || a->iterations == 0) {
        bp_json_put_null(out, node, "method");
        return;
    }
    for (size_t j = 0; j < t->n_candidates; j++)
        if (!t->candidates[j].foreign && t->candidates[j].rank > rank)
            rank = t->candidates[j].rank;
    struct cJSON *method = bp_json_put_object(out, node, "method");
    bp_json_put_string(out, method, "effort", a->effort);
    bp_json_put_u64(out, method, "iterations", a->iterations);
    bp_json_put_u64(out, method, "rank", rank);
    bp_json_put_u64(out, method, "seed", a->seed);
    bp_json_put_u64(out, method, "version", a->method_version);
}

static void put_table(const struct bp_plan *plan, struct bp_json_out *out)
{
    const struct bp_table *t = plan->table;
    struct cJSON *table = bp_json_put_object(out, out->root, "table");
    bp_json_put_string(out, table, "path", t->path);
    bp_json_put_string(out, table, "fingerprint", plan->table_fingerprint);
    put_rank(t, out, table);
    bp_json_put_string(out, table, "weighting", t->about.weighting);
    bp_json_put_string(out, table, "weighting_fingerprint", t->about.weighting_fingerprint);
    put_method(t, out, table);
    bp_json_put_u64(out, table, "cells", (uint64_t)t->n_matrices * t->n_candidates);
    bp_json_put_u64(out, table, "cells_measured", bp_table_measured(t));
    if (t->stage) {
        uint64_t n[BP_N_CELL_STAGES];
        bp_table_count_stages(t, n);
        bp_json_put_u64(out, table, "cells_iterated", n[BP_CELL_ITERATED]);
        bp_json_put_u64(out, table, "cells_estimated", n[BP_CELL_ESTIMATED]);
        bp_json_put_u64(out, table, "cells_one_step", n[BP_CELL_ONE_STEP]);
    }
}

static void put_budget(const struct bp_plan *plan, struct bp_json_out *out)
{
    struct cJSON *budget = bp_json_put_object(out, out->root, "budget");
    bp_json_put_double(out, budget, "asked", plan->budget.asked);
    bp_json_put_string(out, budget, "unit", bp_budget_unit_name(plan->budget.unit));
    bp_json_put_u64(out, budget, "bits", plan->budget.bits);
    if (plan->budget.unit == BP_BUDGET_TOTAL_BYTES) {
        bp_json_put_u64(out, budget, "context", plan->budget.context);
        bp_json_put_u64(out, budget, "batch", plan->budget.batch);
        bp_json_put_u64(out, budget, "kv_bits", plan->budget.kv_bits);
    }
    if (plan->budget.counts_low_rank)
        bp_json_put_u64(out, budget, "spent_bits", bp_plan_spent_bits(plan));
    struct cJSON *constraints = bp_json_put_array(out, out->root, "constraints");
    for (size_t i = 0; i < plan->constraints.n; i++) {
        const struct bp_constraint *c = &plan->constraints.list[i];
        struct cJSON *node = bp_json_put_object(out, constraints, NULL);
        bp_json_put_string(out, node, "option", bp_constraint_option(c->kind));
        bp_json_put_string(out, node, "value", c->value);
    }
}

static void put_totals(const struct bp_plan *plan, struct bp_json_out *out)
{
    struct cJSON *totals = bp_json_put_object(out, out->root, "totals");
    bp_json_put_u64(out, totals, "params", plan->params);
    bp_json_put_u64(out, totals, "storage_bits", plan->storage_bits);
    bp_json_put_double(out, totals, "bits_per_param", bp_plan_bits_per_param(plan));
    bp_json_put_double(out, totals, "effective_bits_per_param",
                       bp_plan_effective_bits_per_param(plan));
    bp_json_put_double(out, totals, "error", plan->error);
    bp_json_put_double(out, totals, "relative_error", plan->relative_error);
    if (bp_constraints_scale(&plan->constraints))
        bp_json_put_double(out, totals, "objective", plan->objective);

    const struct bp_certificate *c = &plan->certificate;
    struct cJSON *certificate = bp_json_put_object(out, out->root, "certificate");
    bp_json_put_string(out, certificate, "status", c->optimal ? "optimal" : "bounded");
    bp_json_put_double(out, certificate, "lower_bound", c->lower_bound);
    bp_json_put_double(out, certificate, "gap", c->gap);
    bp_json_put_string(out, certificate, "method", c->method);
}

static void put_baselines(const struct bp_plan *plan, struct bp_json_out *out)
{
    struct cJSON *list = bp_json_put_array(out, out->root, "baselines");
    for (size_t i = 0; i < plan->n_baselines; i++) {
        const struct bp_baseline *b = &plan->baselines[i];
        struct cJSON *node = bp_json_put_object(out, list, NULL);
        bp_json_put_string(out, node, "name", b->name);
        put_config(out, node, &b->candidate);
        put_label(out, node, &b->candidate);
        bp_json_put_u64(out, node, "rank", b->candidate.rank);
        bp_json_put_double(out, node, "bits_per_param",
                           (double)b->storage_bits / (double)plan->params);
        bp_json_put_double(out, node, "error", b->error);
    }
}

static void put_warnings(const struct bp_plan *plan, struct bp_json_out *out)
{
    struct cJSON *list = bp_json_put_array(out, out->root, "warnings");
    for (size_t i = 0; i < plan->n_warnings; i++) {
        struct cJSON *node = bp_json_put_object(out, list, NULL);
        char text[BP_WARNING_TEXT];
        bp_json_put_string(out, node, "matrix", plan->warnings[i].matrix);
        bp_json_put_string(out, node, "rule", plan->warnings[i].rule);
        bp_json_put_string(out, node, "text", bp_warning_format(plan, &plan->warnings[i], text));
    }
}

static void put_memory(const struct bp_plan *plan, struct bp_json_out *out)
{
    struct bp_ledger l = bp_plan_memory(plan);
    struct cJSON *memory = bp_json_put_object(out, out->root, "memory");
    bp_json_put_u64(out, memory, "codes_and_scales_bytes", l.codes_and_scales_bytes);
    bp_json_put_u64(out, memory, "offsets_bytes", l.offsets_bytes);
    bp_json_put_u64(out, memory, "low_rank_bytes", l.low_rank_bytes);
    bp_json_put_u64(out, memory, "low_rank_bits", bp_budget_precision(&plan->budget));
    if (l.outside_known) {
        bp_json_put_u64(out, memory, "outside_bytes", l.outside_bytes);
        bp_json_put_u64(out, memory, "total_bytes", l.total_bytes);
    } else {
        bp_json_put_null(out, memory, "outside_bytes");
        bp_json_put_null(out, memory, "total_bytes");
    }
}

static void put_matrices(const struct bp_plan *plan, struct bp_json_out *out)
{
    const struct bp_table *t = plan->table;
    struct cJSON *list = bp_json_put_array(out, out->root, "matrices");
    for (size_t i = 0; i < t->n_matrices; i++) {
        const struct bp_table_matrix *m = &t->matrices[i];
        const struct bp_candidate *c = &t->candidates[plan->choice[i]];
        size_t cell = i * t->n_candidates + plan->choice[i];
        bool normed = t->norm && t->norm[i] > 0.0;
        struct cJSON *node = bp_json_put_object(out, list, NULL);
        bp_json_put_string(out, node, "name", m->name);
        struct cJSON *shape = bp_json_put_array(out, node, "shape");
        bp_json_put_u64(out, shape, NULL, m->d);
        bp_json_put_u64(out, shape, NULL, m->k);
        put_config(out, node, c);
        put_label(out, node, c);
        bp_json_put_u64(out, node, "rank", c->rank);
        bp_json_put_u64(out, node, "storage_bits", t->storage[cell]);
        bp_json_put_double(out, node, "error", t->error[cell]);
        bp_json_put_double(out, node, "relative_error", normed ? t->error[cell] / t->norm[i] : NAN);
    }
}

void bp_plan_to_json(const struct bp_plan *plan, struct bp_json_out *out)
{
    bp_json_out_object(out);
    bp_json_put_string(out, out->root, "format", "bitplan.plan");
    bp_json_put_u64(out, out->root, "version", 1);
    put_model(plan, out);
    put_table(plan, out);
    put_budget(plan, out);
    put_totals(plan, out);
    put_baselines(plan, out);
    put_warnings(plan, out);
    put_memory(plan, out);
    put_matrices(plan, out);
}
