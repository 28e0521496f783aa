/*
 * Options of all commands: one table gives parsing, help and completions. The same option has the
 * same spelling and meaning in every command that takes it.
 */
#ifndef BP_CLI_OPTIONS_H
#define BP_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/err.h"

/* X(id, name, short letter or 0, argument or NULL, help) */
#define BP_OPTIONS(X)                                                                              \
    X(OUT, "output", 'o', "FILE", "where the result goes; of verify: a decomposed model to check") \
    X(FORCE, "force", 'f', NULL, "replace an output that exists")                                  \
    X(JSON, "json", 0, NULL, "one JSON document on standard output, nothing else there")           \
    X(BITS, "bits", 0, "X[,Y...]", "budget in bits/param over the planned matrices")               \
    X(SIZE, "size", 0, "N", "budget in bytes over the planned matrices: 2.2GiB, 2200MB")           \
    X(TOTAL, "total", 0, "N",                                                                      \
      "budget in bytes for all in memory: matrices, low-rank parts, the rest, KV cache")           \
    X(CONTEXT, "context", 0, "N", "tokens in the KV cache that --total holds (default 0: none)")   \
    X(BATCH, "batch", 0, "N", "sequences in that KV cache (default 1)")                            \
    X(LOW_RANK_BITS, "low-rank-bits", 0, "B",                                                      \
      "low-rank parts are kept in 8 (NF8), 16 (default) or 32 bits; decompose: as planned")        \
    X(FROM, "from", 0, "X", "first budget in bits/param (default: the least possible)")            \
    X(TO, "to", 0, "X", "last budget in bits/param (default: where nothing improves)")             \
    X(STEP, "step", 0, "X", "distance of the budgets in bits/param (default 0.25)")                \
    X(POINTS, "points", 0, "N", "so many budgets, evenly spaced, instead of --step")               \
    X(SVG, "svg", 0, NULL, "the frontier as an SVG picture (also: -o FILE.svg)")                   \
    X(GRID, "grid", 0, "G",                                                                        \
      "paper (243 configs), reference (432), nf4, or "                                             \
      "b0=2,3,4:b1=2,3,4,8:b2=bf16,fp32:B0=..:B1=..")                                              \
    X(PIN, "pin", 0, "RE=CONFIG", "matching matrices take a config of that form: nf4:*:*:64:*")    \
    X(BAN, "ban", 0, "RE=CONFIG", "matching matrices take none of that form")                      \
    X(FLOOR, "floor", 0, "RE=BITS", "matching matrices take at least BITS bits/param")             \
    X(CEIL, "ceil", 0, "RE=BITS", "matching matrices take at most BITS bits/param")                \
    X(TIE, "tie", 0, "GROUP[,GROUP]",                                                              \
      "one candidate a group: qkv, gate_up, experts, layer, kind, or NAME=RE")                     \
    X(WEIGHT, "weight", 0, "RE=X", "the error of matching matrices counts X times")                \
    X(OBJECTIVE, "objective", 0, "O",                                                              \
      "sum of the errors (default), or relative: each over its matrix's norm")                     \
    X(MAX_CONFIGS, "max-configs", 0, "K", "at most K distinct configs in the plan")                \
    X(LIMIT, "limit", 0, "RE=SIZE",                                                                \
      "matching matrices together take at most SIZE (may be repeated)")                            \
    X(TIME_LIMIT, "time-limit", 0, "S",                                                            \
      "seconds for the proof under --max-configs and --limit (default 60)")                        \
    X(PARTIAL, "partial", 0, NULL, "plan the measured part of a table that is not finished")       \
    X(EFFORT, "effort", 0, "E", "exact, full, balanced (default) or quick")                        \
    X(ITERATIONS, "iterations", 0, "T", "cap of the iterations a cell (default 100)")              \
    X(RANK, "rank", 0, "R[,R...]", "rank of the low-rank part, 0 for none (default 64)")           \
    X(EMIT, "emit", 0, "FORM[,FORM]", "what to write: hf (default), packed, bnb")                  \
    X(FISHER, "fisher", 0, "F", "weights of the error: a safetensors file or folder, same names")  \
    X(INCLUDE, "include", 0, "RE", "plan tensors whose name matches, too (may be repeated)")       \
    X(EXCLUDE, "exclude", 0, "RE",                                                                 \
      "keep tensors whose name matches as they are (may be repeated)")                             \
    X(LINT, "lint", 0, NULL, "list what is odd about the numbers of a table, or missing in it")    \
    X(STABILITY, "stability", 0, "X",                                                              \
      "how far the plan holds when every error is off by X percent at random")                     \
    X(SOLVER, "solver", 0, "S", "mckp: exact (default); glpk: a second opinion, slow")             \
    X(THREADS, "threads", 0, "N", "threads (default: all processors)")                             \
    X(BACKEND, "backend", 0, "B",                                                                  \
      "what computes: cpu (default), cuda, or auto: cuda where it can be used, else cpu")          \
    X(BACKENDS, "backends", 0, NULL, "what can compute on this machine, and why CUDA cannot")      \
    X(SEED, "seed", 0, "S", "seed of the random numbers (default 0)")                              \
    X(SHARD, "shard", 0, "I/N", "do part I (1..N) of N of the work; auto: what Slurm or MPI say")  \
    X(PROGRESS, "progress", 0, "P", "auto (default), plain, json or none; on standard error")      \
    X(TABLE, "table", 0, "T", "the error table (default: the path in the plan)")                   \
    X(MODEL, "model", 0, "DIR", "check against this model, too")                                   \
    X(REMEASURE, "remeasure", 0, NULL, "measure the chosen cells again from the model")            \
    X(LAYERS, "layers", 0, "N", "number of layers")                                                \
    X(HIDDEN, "hidden", 0, "N", "hidden size, a multiple of 64")                                   \
    X(SHAPES, "shapes", 0, "NAME", "shapes of a known model: llama-2-7b, llama-2-70b, tiny, ...")  \
    X(SCRIPT, "script", 0, "KEYS",                                                                 \
      "replay keys without a terminal (words: Right, \"text\", click:X,Y, ...)")                   \
    X(DUMP, "dump", 0, "DIR", "with --script: every frame as DIR/0000.txt, 0001.txt, ...")         \
    X(COLORS, "colors", 0, "C", "auto (default), true, 256, 16 or mono")                           \
    X(ASCII, "ascii", 0, NULL, "no characters beyond ASCII on the screen")                         \
    X(NO_MOUSE, "no-mouse", 0, NULL, "leave the mouse to the terminal")                            \
    X(HELP, "help", 'h', NULL, "this help")

enum bp_option {
#define BP_OPTION_ENUM(id, name, letter, arg, help) BP_OPT_##id,
    BP_OPTIONS(BP_OPTION_ENUM)
#undef BP_OPTION_ENUM
        BP_N_OPTIONS
};

/* A command: its options and its place in the help. `run` gets parsed arguments and returns what
 * the process's exit status follows from; the error's text is printed by the caller. */
struct bp_args;
struct bp_command {
    const char *name;
    const char *operands; /* "MODEL" as shown after the name */
    size_t n_operands;    /* how many at most */
    size_t n_optional;    /* how many of those may be left out */
    const char *summary;  /* one line */
    const char *notes;    /* more lines for --help, may be "" */
    const enum bp_option *options;
    size_t n_options;
    enum bp_status (*run)(const struct bp_args *args, struct bp_err *err);
};

struct bp_args {
    const struct bp_command *command;
    const char **operands;             /* [command->n_operands] NULL for one that was left out */
    const char **values[BP_N_OPTIONS]; /* each [n_values]; "" for an option without an argument */
    size_t n_values[BP_N_OPTIONS];
};

/* Parses argv behind the command's name. BP_STOPPED: --help was printed. BP_ERR_USAGE. The strings
 * stay argv's. */
enum bp_status bp_args_parse(const struct bp_command *command, int argc, char **argv,
                             struct bp_args *args, struct bp_err *err);
void bp_args_done(struct bp_args *args);

bool bp_args_has(const struct bp_args *args, enum bp_option option);
/* The last value given, or the fallback. */
const char *bp_args_text(const struct bp_args *args, enum bp_option option, const char *fallback);
/* An integer in least .. most; *out is left alone when the option was not given. */
enum bp_status bp_args_u64(const struct bp_args *args, enum bp_option option, uint64_t least,
                           uint64_t most, uint64_t *out, struct bp_err *err);
/* The same on any text, named `what` in messages. */
enum bp_status bp_parse_u64(const char *text, const char *what, uint64_t least, uint64_t most,
                            uint64_t *out, struct bp_err *err);

/* One option as the table above has it. */
struct bp_option_row {
    const char *spelling; /* "--bits" */
    char letter;          /* 0 for none */
    const char *arg;      /* NULL for a flag */
    const char *help;
};
const struct bp_option_row *bp_option_row(enum bp_option option);

void bp_command_print_help(const struct bp_command *command);

#endif
