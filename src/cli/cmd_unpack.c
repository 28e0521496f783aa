#include <stdio.h>

#include "cli/commands.h"
#include "engine/parallel.h"
#include "engine/printable.h"
#include "engine/unpack.h"

static void show(void *ctx, uint64_t done, uint64_t total, const char *matrix)
{
    bp_progress_show(ctx, done, total, matrix);
}

static enum bp_status run(const struct bp_args *args, struct bp_err *err)
{
    struct bp_progress progress;
    struct bp_unpack_report r;
    uint64_t threads = bp_available_threads();
    char size[BP_SIZE_TEXT];
    const char *dir = bp_args_text(args, BP_OPT_OUT, NULL);
    if (!dir)
        return bp_fail(err, BP_ERR_USAGE, "unpack needs -o FOLDER: where the model goes");
    BP_TRY(bp_args_u64(args, BP_OPT_THREADS, 1, BP_MAX_THREADS, &threads, err));
    BP_TRY(bp_progress_begin(&progress, args, "weights", err));
    BP_TRY(bp_cli_keep_input(dir, args->operands[0], err));
    const struct bp_unpack_options o = {.path = args->operands[0],
                                        .dir = dir,
                                        .threads = (unsigned)threads,
                                        .replace = bp_args_has(args, BP_OPT_FORCE),
                                        .stop = &bp_cli_stop,
                                        .progress = show,
                                        .progress_ctx = &progress};
    bp_cli_catch_stop();
    enum bp_status status = bp_unpack_model(&o, &r, err);
    bp_progress_end(&progress);
    if (status == BP_STOPPED)
        return bp_fail(err, status,
                       "stopped: what is in %s so far is kept; the same command goes on from there",
                       dir);
    if (status == BP_OK)
        printf("%s: %zu matrices unpacked, %zu files, %s\n", dir, r.n_matrices, r.n_files,
               bp_size_format(r.bytes, size));
    return status;
}

static const enum bp_option options[] = {
    BP_OPT_OUT,
    BP_OPT_THREADS,
    BP_OPT_PROGRESS,
    BP_OPT_FORCE,
};

const struct bp_command bp_command_unpack = {
    .name = "unpack",
    .operands = "PACKED",
    .n_operands = 1,
    .summary = "write the model's own files and the adapter from a packed form",
    .notes =
        "Byte for byte what decompose writes as hf. PACKED is the folder of the packed files, or\n"
        "the one that holds it.",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .run = run,
};
