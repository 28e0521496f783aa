#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "engine/err.h"

#define BITPLAN_VERSION "0.1.0"

atomic_bool bp_cli_stop;

const struct bp_workbench_ops *bp_cli_workbench;

static const struct bp_command *const commands[] = {
    &bp_command_workbench, &bp_command_measure,   &bp_command_merge,  &bp_command_solve,
    &bp_command_sweep,     &bp_command_decompose, &bp_command_unpack, &bp_command_verify,
    &bp_command_info,      &bp_command_sample,
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

static void print_help(FILE *out)
{
    fputs("bitplan plans the quantization of a model's matrices under one memory budget.\n\n"
          "usage: bitplan [FILE]         the workbench on a table, session, plan or model\n"
          "       bitplan COMMAND ...\n\n",
          out);
    for (int i = 0; i < N_COMMANDS; i++)
        fprintf(out, "  %-9s %-7s %s\n", commands[i]->name, commands[i]->operands,
                commands[i]->summary);
    fputs("\nA first use:\n"
          "  bitplan measure MODEL -o table.safetensors --rank 64\n"
          "  bitplan solve table.safetensors --bits 2.75 -o plan.json\n"
          "  bitplan decompose plan.json MODEL -o OUT\n"
          "`bitplan COMMAND --help` lists a command's options.\n",
          out);
}

static int exit_status(enum bp_status status)
{
    switch (status) {
#define EXIT_CASE(name, value, exit_code) \
    case name:                            \
        return exit_code;
        BP_STATUSES(EXIT_CASE)
#undef EXIT_CASE
    }
    return 1;
}

static void ask_to_stop(int signal_number)
{
    (void)signal_number;
    atomic_store(&bp_cli_stop, true);
}

void bp_cli_catch_stop(void)
{
    struct sigaction action = {.sa_handler = ask_to_stop};
    sigemptyset(&action.sa_mask);
    action.sa_flags = (int)SA_RESETHAND; /* a second Ctrl-C ends the process at once */
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* A file that is opened while a standard stream is closed would take the stream's number, and what
 * is meant for people would end in the file: /dev/null takes it instead. */
static void hold_standard_streams(void)
{
    int fd;
    while ((fd = open("/dev/null", O_RDWR)) >= 0 && fd <= STDERR_FILENO)
        ;
    if (fd >= 0)
        close(fd);
}

/* The end of everything that prints: output that did not arrive is a failure. Returns the process's
 * exit status. */
static int finish(enum bp_status status, struct bp_err *err)
{
    bool done = status == BP_OK || status == BP_LIMIT;
    errno = 0;
    if (done && (fflush(stdout) != 0 || ferror(stdout))) {
        status = bp_fail(err, BP_ERR_FAILED, "standard output: cannot be written: %s",
                         errno ? strerror(errno) : "an earlier write failed");
        done = false;
    }
    if (!done && err->text[0])
        fprintf(stderr, "bitplan: %s\n", err->text);
    return exit_status(status);
}

static int run_command(const struct bp_command *command, int argc, char **argv)
{
    struct bp_args args;
    struct bp_err err = {{0}};
    enum bp_status status = bp_args_parse(command, argc, argv, &args, &err);
    if (status == BP_STOPPED) /* --help */
        return finish(BP_OK, &err);
    if (status == BP_OK) {
        status = command->run(&args, &err);
        bp_args_done(&args);
    }
    return finish(status, &err);
}

/* A file's name, or an option: then it is the workbench that is meant. */
static bool means_workbench(const char *word)
{
    return !*word || *word == '-' || access(word, F_OK) == 0 || strchr(word, '/');
}

int bp_cli_main(int argc, char **argv, const struct bp_workbench_ops *workbench)
{
    bp_cli_workbench = workbench;
    /* A full disk and a closed pipe are errors of a write, not the death of the process. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    hold_standard_streams();
    struct bp_err err = {{0}};
    const char *word = argc > 1 ? argv[1] : "";
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0) {
        print_help(stdout);
        return finish(BP_OK, &err);
    }
    if (strcmp(word, "--version") == 0) {
        puts("bitplan " BITPLAN_VERSION);
        return finish(BP_OK, &err);
    }
    if (strcmp(word, "--man") == 0) {
        bp_print_man(commands, N_COMMANDS, BITPLAN_VERSION);
        return finish(BP_OK, &err);
    }
    for (int i = 0; i < N_COMMANDS; i++)
        if (strcmp(word, commands[i]->name) == 0)
            return run_command(commands[i], argc - 2, argv + 2);
    if (means_workbench(word))
        return run_command(&bp_command_workbench, argc - 1, argv + 1);
    return finish(bp_fail(&err, BP_ERR_USAGE,
                          "there is no command and no file '%s'; see `bitplan --help`", word),
                  &err);
}
