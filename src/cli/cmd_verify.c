#include <stdio.h>
#include <stdlib.h>

#include "cli/commands.h"
#include "engine/json_write.h"
#include "engine/measure.h"
#include "engine/model.h"
#include "engine/parallel.h"
#include "engine/plan_file.h"
#include "engine/verify.h"
#include "engine/verify_output.h"

/* Checks a decomposed model. The plan itself is found good already. */
static enum bp_status check_output(const struct bp_verify_options *v, const char *dir,
                                   struct bp_verify_output_report *r, struct bp_err *err)
{
    struct bp_plan_file *plan = NULL;
    struct bp_model *model = NULL, *fisher = NULL;
    enum bp_status status = bp_plan_file_read(v->plan_path, v->table_path, &plan, err);
    if (status == BP_OK && !plan->method.known)
        status = bp_fail(err, BP_ERR_INPUT, "%s: its table does not say how errors were made",
                         v->plan_path);
    if (status == BP_OK)
        status = bp_model_open(v->model_path, v->filter, &model, err);
    if (status == BP_OK && v->fisher_path)
        status = bp_model_open(v->fisher_path, NULL, &fisher, err);
    if (status == BP_OK) {
        const struct bp_verify_output_options o = {dir, plan, model, fisher, v->threads};
        status = bp_verify_output(&o, r, err);
    }
    bp_plan_file_free(plan);
    bp_model_close(model);
    bp_model_close(fisher);
    return status;
}

static void print_output(const char *dir, const struct bp_verify_output_report *r)
{
    printf("%s: %zu matrices rebuilt, within %g %% of the plan's errors", dir, r->n,
           100.0 * r->tolerance);
    for (int e = 0; e < BP_N_EMITS; e++) {
        double error = 0.0;
        if (!(r->emits >> e & 1))
            continue;
        for (size_t i = 0; i < r->n; i++)
            error += r->rows[i].error[e];
        printf(", %s %.9g", bp_emit_name((enum bp_emit)e), error);
    }
    if (r->emits >> BP_EMIT_PACKED & 1)
        printf(", packed storage equal to the bit");
    putchar('\n');
}

static void put_output(const struct bp_verify_output_report *r, struct bp_json_out *out)
{
    struct cJSON *node = bp_json_put_object(out, out->root, "output");
    bp_json_put_u64(out, node, "matrices", r->n);
    bp_json_put_double(out, node, "tolerance", r->tolerance);
    struct cJSON *errors = bp_json_put_object(out, node, "error");
    for (int e = 0; e < BP_N_EMITS; e++) {
        if (!(r->emits >> e & 1))
            continue;
        struct cJSON *list = bp_json_put_array(out, errors, bp_emit_name((enum bp_emit)e));
        for (size_t i = 0; i < r->n; i++)
            bp_json_put_double(out, list, NULL, r->rows[i].error[e]);
    }
}

static enum bp_status print(const struct bp_args *args, const struct bp_verify_options *o,
                            const struct bp_verify_report *r,
                            const struct bp_verify_output_report *output, struct bp_err *err)
{
    const char *dir = bp_args_text(args, BP_OPT_OUT, NULL);
    if (!bp_args_has(args, BP_OPT_JSON)) {
        printf("%s: %zu plan%s, %zu figures recomputed and equal, %zu optimal%s", o->plan_path,
               r->n_plans, r->n_plans == 1 ? "" : "s", r->n_figures, r->n_optimal,
               r->model_checked ? ", the model agrees" : "");
        if (o->remeasure)
            printf(", %zu cells measured again and equal", r->n_remeasured - r->n_estimates);
        if (r->n_estimates > 0)
            printf(", %zu estimates iterated and off by at most %.1f %%", r->n_estimates,
                   100.0 * r->worst_estimate);
        puts(r->synthetic ? " (synthetic model)" : "");
        if (dir)
            print_output(dir, output);
        return BP_OK;
    }
    struct bp_json_out out;
    bp_json_out_object(&out);
    bp_json_put_string(&out, out.root, "plan", o->plan_path);
    bp_json_put_u64(&out, out.root, "plans", r->n_plans);
    bp_json_put_u64(&out, out.root, "matrices", r->n_matrices);
    bp_json_put_u64(&out, out.root, "figures", r->n_figures);
    bp_json_put_u64(&out, out.root, "optimal", r->n_optimal);
    bp_json_put_u64(&out, out.root, "remeasured", r->n_remeasured);
    bp_json_put_u64(&out, out.root, "estimates", r->n_estimates);
    bp_json_put_double(&out, out.root, "worst_estimate", r->worst_estimate);
    bp_json_put_bool(&out, out.root, "model_checked", r->model_checked);
    bp_json_put_bool(&out, out.root, "synthetic", r->synthetic);
    if (dir)
        put_output(output, &out);
    enum bp_status status = bp_cli_print_json(&out, err);
    bp_json_out_done(&out);
    return status;
}

static enum bp_status run(const struct bp_args *args, struct bp_err *err)
{
    struct bp_verify_report r;
    struct bp_verify_output_report output = {0};
    const char *dir = bp_args_text(args, BP_OPT_OUT, NULL);
    const char *path = args->operands[0];
    uint64_t threads = bp_available_threads();
    BP_TRY(bp_args_u64(args, BP_OPT_THREADS, 1, BP_MAX_THREADS, &threads, err));
    const struct bp_model_filter filter = bp_cli_filter(args);
    const struct bp_verify_options o = {
        .plan_path = path,
        .filter = &filter,
        .table_path = bp_args_text(args, BP_OPT_TABLE, NULL),
        .model_path = bp_args_text(args, BP_OPT_MODEL, NULL),
        .fisher_path = bp_args_text(args, BP_OPT_FISHER, NULL),
        .remeasure = bp_args_has(args, BP_OPT_REMEASURE),
        .threads = (unsigned)threads,
    };
    if (o.remeasure && !o.model_path)
        return bp_fail(err, BP_ERR_USAGE, "--remeasure needs the model: --model DIR");
    if (dir && !o.model_path)
        return bp_fail(err, BP_ERR_USAGE, "--output needs the model: --model DIR");
    BP_TRY(bp_verify_plan(&o, &r, err));
    enum bp_status status = dir ? check_output(&o, dir, &output, err) : BP_OK;
    if (status == BP_OK)
        status = print(args, &o, &r, &output, err);
    free(output.rows);
    return status;
}
static const enum bp_option options[] = {
    BP_OPT_OUT,       BP_OPT_TABLE,  BP_OPT_MODEL,   BP_OPT_INCLUDE, BP_OPT_EXCLUDE,
    BP_OPT_REMEASURE, BP_OPT_FISHER, BP_OPT_THREADS, BP_OPT_JSON,
};

const struct bp_command bp_command_verify = {
    .name = "verify",
    .operands = "PLAN",
    .n_operands = 1,
    .summary = "recompute every figure of a plan and name the first that is wrong",
    .notes =
        "Totals, baselines and the certificate are recomputed from the table. With --model the\n"
        "model's shapes and fingerprint are compared; --remeasure decomposes every matrix again\n"
        "under its chosen config and wants the same error to the bit, which holds on the kind of\n"
        "machine that measured the table. An error that is an estimate is iterated instead, and\n"
        "how far off the worst one was is said; twice as much is wrong. --output names a folder\n"
        "that `decompose` wrote: every matrix is rebuilt from it, its error compared with the\n"
        "plan's and its packed storage counted, and everything else compared with the model byte\n"
        "for byte.",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .run = run,
};
