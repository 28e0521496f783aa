#include "cli/commands.h"
#include "engine/json_write.h"
#include "engine/verify.h"

static enum bp_status run(const struct bp_args *args, struct bp_err *err)
{
    struct bp_verify_report r;
    const char *path = args->operands[0];
    BP_TRY(bp_verify_plan(path, bp_args_text(args, BP_OPT_TABLE, NULL),
                          bp_args_text(args, BP_OPT_MODEL, NULL), &r, err));
    if (!bp_args_has(args, BP_OPT_JSON)) {
        printf("%s: %zu plan%s, %zu figures recomputed and equal, %zu optimal%s\n", path, r.n_plans,
               r.n_plans == 1 ? "" : "s", r.n_figures, r.n_optimal,
               r.model_checked ? ", the model agrees" : "");
        return BP_OK;
    }
    struct bp_json_out out;
    bp_json_out_object(&out);
    bp_json_put_string(&out, out.root, "plan", path);
    bp_json_put_u64(&out, out.root, "plans", r.n_plans);
    bp_json_put_u64(&out, out.root, "matrices", r.n_matrices);
    bp_json_put_u64(&out, out.root, "figures", r.n_figures);
    bp_json_put_u64(&out, out.root, "optimal", r.n_optimal);
    bp_json_put_bool(&out, out.root, "model_checked", r.model_checked);
    enum bp_status status = bp_cli_emit_json(args, &out, true, err);
    bp_json_out_done(&out);
    return status;
}

static const enum bp_option options[] = {BP_OPT_TABLE, BP_OPT_MODEL, BP_OPT_JSON};

const struct bp_command bp_command_verify = {
    .name = "verify",
    .operands = "PLAN",
    .n_operands = 1,
    .summary = "recompute every figure of a plan and name the first that is wrong",
    .notes = "",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .run = run,
};
