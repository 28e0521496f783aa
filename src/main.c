/* Picks the command, nothing else: the command line and the workbench meet here. */
#include <signal.h>

#include "cli/commands.h"
#include "ui/workbench.h"

static int stop_signal; /* what ended the workbench, 0 for nothing */

static enum bp_status workbench(const struct bp_workbench_call *call, struct bp_err *err)
{
    struct bp_workbench_options options = {
        .path = call->path,
        .template = call->template,
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
        .effort = call->effort,
        .threads = call->threads,
        .stop_signal = &stop_signal,
    };
    return bp_workbench(&options, err);
}

static const struct bp_workbench_ops ops = {.run = workbench, .manual = bp_workbench_manual};

int main(int argc, char **argv)
{
    const int status = bp_cli_main(argc, argv, &ops);
    /* All is saved and said: now whoever waits for the process sees what ended it. */
    if (stop_signal) {
        signal(stop_signal, SIG_DFL);
        raise(stop_signal);
    }
    return status;
}
