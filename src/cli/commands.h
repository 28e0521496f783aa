/*
 * The commands of `bitplan COMMAND ...`, one file each, and what they share: finding a command,
 * output that must not be lost, progress.
 */
#ifndef BP_CLI_COMMANDS_H
#define BP_CLI_COMMANDS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/options.h"
#include "engine/backend.h"
#include "engine/table.h"

struct bp_model_filter;
struct bp_plan;
struct bp_planner;
struct bp_stability;
struct bp_table;
struct bp_json_out;

extern const struct bp_command bp_command_info, bp_command_measure, bp_command_solve,
    bp_command_sweep, bp_command_verify, bp_command_merge, bp_command_sample, bp_command_workbench,
    bp_command_decompose, bp_command_unpack;

/* What the command line says of the workbench, which is not the command line's: main hands it on.
 */
struct bp_workbench_call {
    const char *path;
    bool template;               /* a session to start from */
    const char *const *commands; /* [n_commands] "bits 2.6": options as lines of its command line */
    size_t n_commands;
    const char *script, *dump, *colors; /* NULL when not given */
    int cols, rows;                     /* of a script's frames */
    bool ascii, mouse;
    const char *table_path, *grid; /* for measuring a model; NULL when not given */
    uint64_t rank;
    enum bp_effort effort;
    unsigned threads;
};

/* A piece of the manual page, in plain text. A section goes on until another is named, and so does
 * a group in it (a heading of its own, "" for none); term is what the text explains, "" for a
 * paragraph. */
typedef void bp_manual_fn(const char *section, const char *group, const char *term,
                          const char *text);

struct bp_workbench_ops {
    enum bp_status (*run)(const struct bp_workbench_call *call, struct bp_err *err);
    /* Gives the workbench's part of the manual page, piece by piece. */
    void (*manual)(bp_manual_fn *put);
};

/* Runs the command line; returns the process's exit status (0 done, 1 failed, 2 usage, 3
 * infeasible, 4 bad input). Errors go to standard error, one line. */
int bp_cli_main(int argc, char **argv, const struct bp_workbench_ops *workbench);

/* What bp_cli_main was given. */
extern const struct bp_workbench_ops *bp_cli_workbench;

/* Prints the manual page of the commands and the workbench in roff. */
void bp_print_man(const struct bp_command *const *commands, size_t n, const char *version);

enum { BP_MAX_THREADS = 1024 };

/* Set by SIGINT and SIGTERM after bp_cli_catch_stop: long work ends at the next whole step. */
extern atomic_bool bp_cli_stop;
void bp_cli_catch_stop(void);

/* --- output --- */

/* Prints a text, or a document, on standard output, whatever --output names. Frees nothing. */
enum bp_status bp_cli_print_text(const char *text, struct bp_err *err);
enum bp_status bp_cli_print_json(const struct bp_json_out *out, struct bp_err *err);

/* Prints a document on standard output, or writes it to the path of --output (kept unless --force).
 * Frees nothing. */
enum bp_status bp_cli_emit_json(const struct bp_args *args, const struct bp_json_out *out,
                                bool to_stdout, struct bp_err *err);
enum bp_status bp_cli_emit_text(const struct bp_args *args, const char *text, struct bp_err *err);

/* BP_ERR_MISMATCH when the output `path` is the file `input`: --force replaces results, never what
 * they are made from. */
enum bp_status bp_cli_keep_input(const char *path, const char *input, struct bp_err *err);

/* A plan for people: allocation per layer and kind, totals, baselines, memory. */
void bp_print_plan(const struct bp_plan *plan, FILE *out);

/* With --stability, how stable each of plans [n] is: a list [n] that bp_cli_stability_free takes;
 * without, NULL. */
enum bp_status bp_cli_stability(const struct bp_args *args, struct bp_plan *const *plans, size_t n,
                                struct bp_stability **out, struct bp_err *err);
struct bp_stability *bp_cli_stability_free(struct bp_stability *list, size_t n);
void bp_print_stability(const struct bp_stability *stability, FILE *out);

/* --- inputs --- */

/* The --include and --exclude of the command line; borrows the arguments. */
struct bp_model_filter bp_cli_filter(const struct bp_args *args);

/* --effort, balanced where it is not given. BP_ERR_USAGE. */
enum bp_status bp_cli_effort(const struct bp_args *args, enum bp_effort *out, struct bp_err *err);

/* The limits of a solve as the command line has them: --time-limit, the stop flag, and under
 * conditions beside the budget progress, for which p must live as long. BP_ERR_USAGE. */
struct bp_planner_limits;
struct bp_progress;
enum bp_status bp_cli_planner_limits(const struct bp_args *args, const struct bp_planner *planner,
                                     struct bp_progress *p, struct bp_planner_limits *out,
                                     struct bp_err *err);

/* The memory settings of a command line: --context, --batch, --low-rank-bits; without --context no
 * KV cache. BP_ERR_USAGE. */
struct bp_memory_settings;
enum bp_status bp_cli_memory(const struct bp_args *args, struct bp_memory_settings *out,
                             struct bp_err *err);

/* Opens the table that the operand names and a planner under the constraints of the command line.
 * The planner borrows the table: free it first. With --partial *table is the measured part. */
enum bp_status bp_cli_open_planner(const struct bp_args *args, struct bp_table **table,
                                   struct bp_planner **planner, struct bp_err *err);

/* --backend, settled for this machine: cpu or cuda, and always cpu for the reference procedure
 * (exact). Says on standard error, once, why auto does not take a device that is there.
 * BP_ERR_FAILED with the reason why cuda cannot be used. */
enum bp_status bp_cli_backend(const struct bp_args *args, bool exact, enum bp_backend_kind *out,
                              struct bp_err *err);

/* info --backends. */
enum bp_status bp_cli_info_backends(const struct bp_args *args, struct bp_err *err);

/* --- progress --- */

enum bp_progress_mode { BP_PROGRESS_BAR, BP_PROGRESS_PLAIN, BP_PROGRESS_JSON, BP_PROGRESS_NONE };

struct bp_progress {
    enum bp_progress_mode mode;
    const char *unit;  /* "cells" */
    const char *phase; /* NULL where the work has one alone */
    double start, last;
    uint64_t before; /* done at the start: no part of the rate */
    bool complete;   /* the last report, done == total, was shown */
    bool drawn;      /* a bar stands on the line */
};

/* Reads --progress: auto is a bar on a terminal, else plain lines. */
enum bp_status bp_progress_begin(struct bp_progress *p, const struct bp_args *args,
                                 const char *unit, struct bp_err *err);

/* What the work is at, a constant text; a new phase counts and is timed from its beginning. */
void bp_progress_phase(struct bp_progress *p, const char *phase);

/* Shows done of total, `what` is in work (NULL = nothing to name). Draws at most ten times a second
 * (plain: every 30 s; json: every second). */
void bp_progress_show(struct bp_progress *p, uint64_t done, uint64_t total, const char *what);

/* Shows how far a proof is: the best objective so far (INFINITY: none), and what none is below. */
void bp_progress_show_gap(struct bp_progress *p, double objective, double lower_bound);

/* Takes the bar away. */
void bp_progress_end(struct bp_progress *p);

#endif
