#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "engine/json_write.h"
#include "engine/mem.h"
#include "engine/planner.h"

enum { MAX_STEPS = 100000 };

/* The budgets of a sweep: from, from + step, ... up to `to`. In millionths of a bit per parameter,
 * so that 2.5 + 2 x 0.25 is 3 and not nearly 3. */
struct range {
    uint64_t from, to, step;
};

static const double MILLION = 1e6;

static enum bp_status read_millionths(const struct bp_args *args, enum bp_option option,
                                      uint64_t *out, struct bp_err *err)
{
    const char *text = bp_args_text(args, option, NULL), *end;
    struct bp_decimal value;
    if (!text)
        return BP_OK;
    if (!bp_decimal_parse(text, &value, &end) || *end || value.scale > 6 ||
        strtod(text, NULL) > 64.0)
        return bp_fail(err, BP_ERR_USAGE,
                       "%s: '%s' is no number of bits/param with at most 6 decimals",
                       bp_option_row(option)->spelling, text);
    for (; value.scale < 6; value.scale++)
        value.digits *= 10;
    *out = value.digits;
    return BP_OK;
}

static enum bp_status read_range(const struct bp_args *args, const struct bp_planner *planner,
                                 uint64_t params, struct range *r, struct bp_err *err)
{
    uint64_t least, most;
    bp_planner_range(planner, &least, &most);
    r->from = (uint64_t)ceil((double)least / (double)params * MILLION);
    r->to = (uint64_t)ceil((double)most / (double)params * MILLION);
    r->step = 250000;
    BP_TRY(read_millionths(args, BP_OPT_FROM, &r->from, err));
    BP_TRY(read_millionths(args, BP_OPT_TO, &r->to, err));
    BP_TRY(read_millionths(args, BP_OPT_STEP, &r->step, err));
    if (!bp_args_has(args, BP_OPT_TO) && r->to < r->from)
        r->to = r->from;
    if (r->step == 0 || r->from > r->to || (r->to - r->from) / r->step >= MAX_STEPS)
        return bp_fail(
            err, BP_ERR_USAGE,
            "sweep needs --from at most --to, and a --step that makes at most %d budgets",
            MAX_STEPS);
    return BP_OK;
}

/* The lower bound is then one of the objective, which is no longer the error. */
static bool is_weighted(const struct bp_plan *plan)
{
    return bp_constraints_has(&plan->constraints, BP_CONSTRAINT_WEIGHT);
}

/* One line of the result. */
static void put_csv(const struct bp_plan *plan, FILE *out)
{
    char asked[BP_DOUBLE_TEXT], bpp[BP_DOUBLE_TEXT], effective[BP_DOUBLE_TEXT];
    char error[BP_DOUBLE_TEXT], relative[BP_DOUBLE_TEXT] = "", bound[BP_DOUBLE_TEXT];
    if (isfinite(plan->relative_error))
        bp_double_format(plan->relative_error, relative);
    fprintf(out, "%s,%" PRIu64 ",%s,%s,%s,%s,%s,%s,%s", bp_double_format(plan->budget.asked, asked),
            plan->storage_bits, bp_double_format(bp_plan_bits_per_param(plan), bpp),
            bp_double_format(bp_plan_effective_bits_per_param(plan), effective),
            bp_double_format(plan->error, error), relative,
            bp_double_format(plan->certificate.lower_bound, bound),
            plan->certificate.optimal ? "optimal" : "bounded",
            plan->table->about.synthetic ? "true" : "false");
    if (is_weighted(plan))
        fprintf(out, ",%s", bp_double_format(plan->objective, error));
    fputc('\n', out);
}

static void put_json(const struct bp_plan *plan, struct bp_json_out *out)
{
    struct cJSON *node = bp_json_put_object(out, out->root, NULL);
    bp_json_put_double(out, node, "asked", plan->budget.asked);
    bp_json_put_u64(out, node, "storage_bits", plan->storage_bits);
    bp_json_put_double(out, node, "bits_per_param", bp_plan_bits_per_param(plan));
    bp_json_put_double(out, node, "effective_bits_per_param",
                       bp_plan_effective_bits_per_param(plan));
    bp_json_put_double(out, node, "error", plan->error);
    bp_json_put_double(out, node, "relative_error", plan->relative_error);
    bp_json_put_double(out, node, "lower_bound", plan->certificate.lower_bound);
    bp_json_put_string(out, node, "status", plan->certificate.optimal ? "optimal" : "bounded");
    bp_json_put_bool(out, node, "synthetic", plan->table->about.synthetic);
    if (is_weighted(plan))
        bp_json_put_double(out, node, "objective", plan->objective);
}

/* Solves the range; each plan goes to the one of `csv` and `json` that is not NULL. */
static enum bp_status sweep(struct bp_planner *planner, uint64_t params, const struct range *r,
                            FILE *csv, struct bp_json_out *json, struct bp_err *err)
{
    for (uint64_t at = r->from; at <= r->to; at += r->step) {
        char text[32];
        struct bp_budget budget;
        struct bp_plan *plan = NULL;
        snprintf(text, sizeof text, "%" PRIu64 ".%06" PRIu64, at / 1000000, at % 1000000);
        BP_TRY(bp_budget_parse_bits(text, params, &budget, err));
        enum bp_status status =
            bp_planner_solve(planner, &budget, BP_SOLVER_MCKP, NULL, &plan, err);
        if (status != BP_OK && status != BP_LIMIT)
            return status;
        if (csv && at == r->from)
            fprintf(csv,
                    "asked_bits_per_param,storage_bits,bits_per_param,effective_bits_per_param,"
                    "error,relative_error,lower_bound,status,synthetic%s\n",
                    is_weighted(plan) ? ",objective" : "");
        if (csv)
            put_csv(plan, csv);
        else
            put_json(plan, json);
        bp_plan_free(plan);
    }
    return BP_OK;
}

static enum bp_status sweep_csv(const struct bp_args *args, struct bp_planner *planner,
                                uint64_t params, const struct range *r, struct bp_err *err)
{
    char *text = NULL;
    size_t n;
    FILE *csv = open_memstream(&text, &n);
    if (!csv)
        return bp_fail_nomem(err);
    enum bp_status status = sweep(planner, params, r, csv, NULL, err);
    if (fclose(csv) != 0 && status == BP_OK)
        status = bp_fail_nomem(err);
    if (status == BP_OK)
        status = bp_cli_emit_text(args, text, err);
    free(text);
    return status;
}

static enum bp_status sweep_json(const struct bp_args *args, struct bp_planner *planner,
                                 uint64_t params, const struct range *r, struct bp_err *err)
{
    struct bp_json_out json;
    bp_json_out_array(&json);
    enum bp_status status = sweep(planner, params, r, NULL, &json, err);
    if (status == BP_OK)
        status = bp_cli_emit_json(args, &json, !bp_args_has(args, BP_OPT_OUT), err);
    bp_json_out_done(&json);
    return status;
}

static enum bp_status run(const struct bp_args *args, struct bp_err *err)
{
    struct bp_table *table;
    struct bp_planner *planner;
    struct range range;
    BP_TRY(bp_cli_open_planner(args, &table, &planner, err));
    const uint64_t params = bp_table_params(table);
    enum bp_status status = read_range(args, planner, params, &range, err);
    if (status == BP_OK)
        status = bp_args_has(args, BP_OPT_JSON) ? sweep_json(args, planner, params, &range, err)
                                                : sweep_csv(args, planner, params, &range, err);
    bp_planner_free(planner);
    bp_table_close(table);
    return status;
}

static const enum bp_option options[] = {
    BP_OPT_FROM, BP_OPT_TO,  BP_OPT_STEP,   BP_OPT_GRID, BP_OPT_PIN,   BP_OPT_BAN,  BP_OPT_FLOOR,
    BP_OPT_CEIL, BP_OPT_TIE, BP_OPT_WEIGHT, BP_OPT_OUT,  BP_OPT_FORCE, BP_OPT_JSON,
};

const struct bp_command bp_command_sweep = {
    .name = "sweep",
    .operands = "TABLE",
    .n_operands = 1,
    .summary = "the least error at each of many budgets, as CSV or JSON",
    .notes = "Every line is a plan solved to proof; `solve --bits` prints the plan itself.",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .run = run,
};
