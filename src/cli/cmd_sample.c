#include "cli/commands.h"
#include "engine/sample.h"

static bool show(void *ctx, uint64_t done, uint64_t total)
{
    bp_progress_show(ctx, done, total, NULL);
    return !atomic_load(&bp_cli_stop);
}

static enum bp_status run(const struct bp_args *args, struct bp_err *err)
{
    struct bp_sample_options o = {.seed = 0, .force = bp_args_has(args, BP_OPT_FORCE)};
    struct bp_progress progress;
    BP_TRY(bp_sample_shapes(bp_args_text(args, BP_OPT_SHAPES, "tiny"), &o, err));
    if (bp_args_has(args, BP_OPT_HIDDEN))
        o.intermediate = o.kv_dim = 0; /* follow the hidden size */
    BP_TRY(bp_args_u64(args, BP_OPT_LAYERS, 1, 1000, &o.layers, err));
    BP_TRY(bp_args_u64(args, BP_OPT_HIDDEN, 64, 65536, &o.hidden, err));
    BP_TRY(bp_args_u64(args, BP_OPT_SEED, 0, UINT64_C(1) << 53, &o.seed, err));
    BP_TRY(bp_progress_begin(&progress, args, "parameters", err));
    bp_cli_catch_stop();
    enum bp_status status = bp_sample_write(args->operands[0], &o, show, &progress, err);
    bp_progress_end(&progress);
    if (status == BP_STOPPED)
        return bp_fail(err, status, "stopped: nothing was written to %s", args->operands[0]);
    if (status == BP_OK)
        printf("%s: a synthetic model of %llu layers, hidden size %llu, seed %llu\n",
               args->operands[0], (unsigned long long)o.layers, (unsigned long long)o.hidden,
               (unsigned long long)o.seed);
    return status;
}

static const enum bp_option options[] = {
    BP_OPT_SHAPES, BP_OPT_LAYERS, BP_OPT_HIDDEN, BP_OPT_SEED, BP_OPT_PROGRESS, BP_OPT_FORCE,
};

const struct bp_command bp_command_sample = {
    .name = "sample",
    .operands = "DIR",
    .n_operands = 1,
    .summary = "write a synthetic Llama folder, for trying bitplan without a model",
    .notes =
        "Starts from --shapes (default tiny); --layers and --hidden change them. The weights have\n"
        "the traits of trained ones but are made up: everything shown from them says synthetic.",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .run = run,
};
