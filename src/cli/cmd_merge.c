#include <stdlib.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/shard.h"
#include "engine/json_write.h"
#include "engine/printable.h"
#include "engine/table_merge.h"

/* A file that is kept is better found now than after the reading. */
static enum bp_status check_output(const struct bp_args *args, const char *path, size_t n_parts,
                                   struct bp_err *err)
{
    for (size_t i = 0; i < n_parts; i++)
        BP_TRY(bp_cli_keep_input(path, args->operands[i], err));
    if (!bp_args_has(args, BP_OPT_FORCE) && access(path, F_OK) == 0)
        return bp_fail(err, BP_ERR_MISMATCH,
                       "%s: exists already and was kept; give --force to replace it", path);
    return BP_OK;
}

static void print_report(const char *path, const struct bp_merge_report *r)
{
    enum { NAMES = 3 };
    const size_t missing = r->n_matrices - r->n_whole;
    printf("%s: %zu of %zu matrices, %s of %s cells, from %zu part%s%s\n", path, r->n_whole,
           r->n_matrices, bp_grouped(r->n_measured).text, bp_grouped(r->n_cells).text, r->n_parts,
           r->n_parts == 1 ? "" : "s", r->synthetic ? " (synthetic model)" : "");
    if (missing == 0)
        return;
    printf("not whole yet: %zu matri%s:", missing, missing == 1 ? "x" : "ces");
    for (size_t i = 0; i < missing && i < NAMES; i++)
        printf("%s %s", i ? "," : "", bp_printable(r->missing[i]).text);
    puts(missing > NAMES ? ", ..." : "");
}

static enum bp_status print_json(const char *path, const struct bp_merge_report *r,
                                 struct bp_err *err)
{
    struct bp_json_out out;
    bp_json_out_object(&out);
    bp_json_put_string(&out, out.root, "table", path);
    bp_json_put_u64(&out, out.root, "parts", r->n_parts);
    bp_json_put_u64(&out, out.root, "matrices_done", r->n_whole);
    bp_json_put_u64(&out, out.root, "matrices", r->n_matrices);
    bp_json_put_u64(&out, out.root, "cells_measured", r->n_measured);
    bp_json_put_u64(&out, out.root, "cells", r->n_cells);
    bp_json_put_u64(&out, out.root, "cells_repeated", r->n_repeated);
    struct cJSON *missing = bp_json_put_array(&out, out.root, "matrices_missing");
    for (size_t i = 0; i < r->n_matrices - r->n_whole; i++)
        bp_json_put_string(&out, missing, NULL, r->missing[i]);
    bp_json_put_bool(&out, out.root, "synthetic", r->synthetic);
    enum bp_status status = bp_cli_print_json(&out, err);
    bp_json_out_done(&out);
    return status;
}

static enum bp_status run(const struct bp_args *args, struct bp_err *err)
{
    const char *path = bp_args_text(args, BP_OPT_OUT, NULL);
    struct bp_merge_report report;
    size_t n_parts = 0;
    if (!path)
        return bp_fail(err, BP_ERR_USAGE,
                       "merge needs -o TABLE.safetensors: where the merged table goes");
    while (n_parts < args->command->n_operands && args->operands[n_parts])
        n_parts++;
    BP_TRY(check_output(args, path, n_parts, err));
    BP_TRY(bp_table_merge(args->operands, n_parts, path, bp_args_has(args, BP_OPT_FORCE), &report,
                          err));
    enum bp_status status = BP_OK;
    if (bp_args_has(args, BP_OPT_JSON))
        status = print_json(path, &report, err);
    else
        print_report(path, &report);
    bp_merge_report_done(&report);
    return status;
}

static const enum bp_option options[] = {BP_OPT_OUT, BP_OPT_FORCE, BP_OPT_JSON};

const struct bp_command bp_command_merge = {
    .name = "merge",
    .operands = "PART...",
    .n_operands = BP_MAX_SHARDS,
    .n_optional = BP_MAX_SHARDS - 1,
    .summary = "one table from the part files of several machines",
    .notes =
        "Every part is a table of the same work, each by `bitplan measure --shard` into a file of\n"
        "its own. Their order does not matter, cells that several parts hold must be equal, and\n"
        "the table equals one process's byte for byte. What no part has stays not measured: the\n"
        "matrices are named, and `bitplan measure -o TABLE` goes on from there.",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .run = run,
};
