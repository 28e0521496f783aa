#include "cli/commands.h"
#include "engine/json_write.h"
#include "engine/measure.h"
#include "engine/model.h"
#include "engine/parallel.h"
#include "engine/verify.h"

static enum bp_status run(const struct bp_args *args, struct bp_err *err)
{
    struct bp_verify_report r;
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
    BP_TRY(bp_verify_plan(&o, &r, err));
    if (!bp_args_has(args, BP_OPT_JSON)) {
        printf("%s: %zu plan%s, %zu figures recomputed and equal, %zu optimal%s", path, r.n_plans,
               r.n_plans == 1 ? "" : "s", r.n_figures, r.n_optimal,
               r.model_checked ? ", the model agrees" : "");
        if (o.remeasure)
            printf(", %zu cells measured again and equal", r.n_remeasured - r.n_estimates);
        if (r.n_estimates > 0)
            printf(", %zu estimates iterated and right within %.0f %%", r.n_estimates,
                   100.0 * BP_ESTIMATE_TOLERANCE);
        puts(r.synthetic ? " (synthetic model)" : "");
        return BP_OK;
    }
    struct bp_json_out out;
    bp_json_out_object(&out);
    bp_json_put_string(&out, out.root, "plan", path);
    bp_json_put_u64(&out, out.root, "plans", r.n_plans);
    bp_json_put_u64(&out, out.root, "matrices", r.n_matrices);
    bp_json_put_u64(&out, out.root, "figures", r.n_figures);
    bp_json_put_u64(&out, out.root, "optimal", r.n_optimal);
    bp_json_put_u64(&out, out.root, "remeasured", r.n_remeasured);
    bp_json_put_u64(&out, out.root, "estimates", r.n_estimates);
    bp_json_put_bool(&out, out.root, "model_checked", r.model_checked);
    bp_json_put_bool(&out, out.root, "synthetic", r.synthetic);
    enum bp_status status = bp_cli_emit_json(args, &out, true, err);
    bp_json_out_done(&out);
    return status;
}

static const enum bp_option options[] = {
    BP_OPT_TABLE,     BP_OPT_MODEL,  BP_OPT_INCLUDE, BP_OPT_EXCLUDE,
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
        "machine that measured the table. An error that is an estimate is iterated instead and "
        "may\n"
        "be off by a tenth.",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .run = run,
};
