/* Picks the command, nothing else: the command line and the workbench meet here. */
#include "cli/commands.h"
#include "ui/workbench.h"

static enum bp_status workbench(const struct bp_workbench_call *call, struct bp_err *err)
{
    struct bp_workbench_options options = {
        .path = call->path,
        .commands = call->commands,
        .n_commands = call->n_commands,
        .mouse = call->mouse,
        .ascii = call->ascii,
        .colors = call->colors,
        .script = call->script,
        .cols = call->cols,
        .rows = call->rows,
        .dump = call->dump,
        .table_path = call->table_path,
        .grid = call->grid,
        .rank = call->rank,
        .threads = call->threads,
    };
    return bp_workbench(&options, err);
}

int main(int argc, char **argv)
{
    return bp_cli_main(argc, argv, workbench);
}
