#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/shard.h"
#include "engine/json_write.h"
#include "engine/lq.h"
#include "engine/measure.h"
#include "engine/parallel.h"
#include "engine/printable.h"
#include "engine/safetensors.h"

enum { MAX_RANKS = 16 };

/* Everything that the options name, open. */
struct setup {
    struct bp_model *model, *fisher;
    struct bp_grid grid;
    uint32_t ranks[MAX_RANKS];
    struct bp_measure_options options;
};

static void show(void *ctx, const struct bp_measure_progress *p)
{
    bp_progress_phase(ctx, bp_measure_phase_name(p->phase));
    bp_progress_show(ctx, p->cells_done, p->cells_total, p->matrix);
}

static enum bp_status parse_ranks(const char *text, struct setup *s, struct bp_err *err)
{
    char copy[256];
    char *rest = copy;
    if (strlen(text) >= sizeof copy)
        return bp_fail(err, BP_ERR_USAGE, "--rank: too many ranks");
    strcpy(copy, text);
    for (char *word; (word = strsep(&rest, ","));) {
        uint64_t rank;
        BP_TRY(bp_parse_u64(word, "--rank", 0, 4096, &rank, err));
        for (size_t i = 0; i < s->options.n_ranks; i++)
            if (s->ranks[i] == rank)
                return bp_fail(err, BP_ERR_USAGE, "--rank: %s is given twice", word);
        if (s->options.n_ranks == MAX_RANKS)
            return bp_fail(err, BP_ERR_USAGE, "--rank: more than %d ranks", MAX_RANKS);
        s->ranks[s->options.n_ranks++] = (uint32_t)rank;
    }
    s->options.ranks = s->ranks;
    return BP_OK;
}

static const char *environment(const char *name)
{
    return getenv(name);
}

/* Part and threads of this process, where the options leave them open. */
static enum bp_status read_place(const struct bp_args *args, struct bp_measure_options *o,
                                 struct bp_err *err)
{
    struct bp_shard shard;
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    const unsigned available = bp_available_threads();
    uint64_t threads = available;
    BP_TRY(bp_shard_read(bp_args_text(args, BP_OPT_SHARD, NULL), environment, &shard, err));
    if (!bp_args_has(args, BP_OPT_THREADS))
        BP_TRY(bp_shard_threads(environment, available, online > 0 ? (uint64_t)online : available,
                                &threads, err));
    BP_TRY(bp_args_u64(args, BP_OPT_THREADS, 1, BP_MAX_THREADS, &threads, err));
    o->shard = shard.part;
    o->n_shards = shard.parts;
    o->threads = (unsigned)(threads < BP_MAX_THREADS ? threads : BP_MAX_THREADS);
    if (!*shard.source || shard.parts == 1)
        return BP_OK;
    if (o->replace)
        return bp_fail(err, BP_ERR_USAGE,
                       "--force by %u processes at once: each would throw away what the others "
                       "measured; remove %s beforehand instead",
                       shard.parts, o->path);
    fprintf(stderr, "bitplan: part %u of %u, by %s\n", shard.part, shard.parts, shard.source);
    return BP_OK;
}

static enum bp_status read_options(const struct bp_args *args, struct setup *s, struct bp_err *err)
{
    struct bp_measure_options *o = &s->options;
    uint64_t iterations = BP_LQ_MAX_ITERATIONS;
    o->path = bp_args_text(args, BP_OPT_OUT, NULL);
    if (!o->path)
        return bp_fail(err, BP_ERR_USAGE,
                       "measure needs -o TABLE.safetensors: where the table goes");
    BP_TRY(bp_cli_effort(args, &o->effort, err));
    BP_TRY(parse_ranks(bp_args_text(args, BP_OPT_RANK, "64"), s, err));
    BP_TRY(bp_args_u64(args, BP_OPT_ITERATIONS, 1, BP_LQ_MAX_ITERATIONS, &iterations, err));
    BP_TRY(bp_args_u64(args, BP_OPT_SEED, 0, UINT64_C(1) << 53, &o->seed, err));
    o->replace = bp_args_has(args, BP_OPT_FORCE);
    BP_TRY(read_place(args, o, err));
    BP_TRY(bp_grid_parse(bp_args_text(args, BP_OPT_GRID, "paper"), &s->grid, err));
    BP_TRY(bp_cli_backend(args, o->effort == BP_EFFORT_EXACT, &o->backend, err));
    o->iterations = (uint32_t)iterations;
    o->grid = &s->grid;
    o->stop = &bp_cli_stop;
    return BP_OK;
}

/* Weights are what nobody gets back: no option replaces them. */
static enum bp_status keep_files(const struct bp_model *model, const char *path, struct bp_err *err)
{
    for (size_t i = 0; model && i < model->n_files; i++)
        BP_TRY(bp_cli_keep_input(path, model->files[i]->path, err));
    return BP_OK;
}

static enum bp_status open_inputs(const struct bp_args *args, struct setup *s, struct bp_err *err)
{
    struct bp_model_filter filter = bp_cli_filter(args);
    const char *fisher = bp_args_text(args, BP_OPT_FISHER, NULL);
    BP_TRY(bp_model_open(args->operands[0], &filter, &s->model, err));
    for (size_t i = 0; i < s->model->n_warnings; i++)
        fprintf(stderr, "bitplan: warning: %s\n", s->model->warnings[i]);
    if (s->model->n_matrices == 0)
        return bp_fail(
            err, BP_ERR_INPUT,
            "%s: none of its %zu tensors is a matrix that would be quantized; `bitplan info` "
            "says why, --include RE overrules",
            args->operands[0], s->model->n_tensors);
    if (fisher)
        BP_TRY(bp_model_open(fisher, NULL, &s->fisher, err));
    BP_TRY(keep_files(s->model, s->options.path, err));
    BP_TRY(keep_files(s->fisher, s->options.path, err));
    s->options.model = s->model;
    s->options.fisher = s->fisher;
    s->options.fisher_source = fisher;
    return BP_OK;
}

/* The most memory that this process ever had in use. */
static uint64_t peak_memory_bytes(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (uint64_t)usage.ru_maxrss * 1024 : 0;
}

static void report_words(const struct setup *s, const struct bp_measure_progress *p)
{
    char size[BP_SIZE_TEXT];
    printf("%s: %zu of %zu matrices measured%s, %s cells now, %s before", s->options.path,
           p->rows_done, p->rows_total, s->options.n_shards > 1 ? " of this shard" : "",
           bp_grouped(p->cells_done - p->cells_before).text, bp_grouped(p->cells_before).text);
    if (s->options.effort != BP_EFFORT_EXACT) {
        static const char *const words[BP_N_CELL_STAGES] = {[BP_CELL_ITERATED] = "iterated",
                                                            [BP_CELL_ESTIMATED] = "estimated",
                                                            [BP_CELL_ONE_STEP] = "at one step"};
        for (int stage = BP_CELL_ITERATED; stage > BP_CELL_MISSING; stage--)
            if (p->stages[stage] > 0)
                printf(", %s %s", bp_grouped(p->stages[stage]).text, words[stage]);
    }
    printf(", peak memory %s%s\n", bp_size_format(peak_memory_bytes(), size),
           s->model->synthetic ? " (synthetic model)" : "");
}

static enum bp_status report(const struct bp_args *args, const struct setup *s,
                             const struct bp_measure_progress *p, struct bp_err *err)
{
    if (!bp_args_has(args, BP_OPT_JSON)) {
        report_words(s, p);
        return BP_OK;
    }
    struct bp_json_out out;
    bp_json_out_object(&out);
    bp_json_put_string(&out, out.root, "table", s->options.path);
    bp_json_put_string(&out, out.root, "effort", bp_effort_name(s->options.effort));
    bp_json_put_u64(&out, out.root, "matrices_done", p->rows_done);
    bp_json_put_u64(&out, out.root, "matrices", p->rows_total);
    bp_json_put_u64(&out, out.root, "cells_measured_now", p->cells_done - p->cells_before);
    bp_json_put_u64(&out, out.root, "cells_measured_before", p->cells_before);
    bp_json_put_u64(&out, out.root, "cells_iterated", p->stages[BP_CELL_ITERATED]);
    bp_json_put_u64(&out, out.root, "cells_estimated", p->stages[BP_CELL_ESTIMATED]);
    bp_json_put_u64(&out, out.root, "cells_one_step", p->stages[BP_CELL_ONE_STEP]);
    bp_json_put_u64(&out, out.root, "peak_memory_bytes", peak_memory_bytes());
    bp_json_put_bool(&out, out.root, "synthetic", s->model->synthetic);
    enum bp_status status = bp_cli_print_json(&out, err);
    bp_json_out_done(&out);
    return status;
}

static enum bp_status measure(const struct bp_args *args, struct setup *s, struct bp_err *err)
{
    struct bp_progress progress;
    struct bp_measure_progress done = {0};
    BP_TRY(read_options(args, s, err));
    BP_TRY(bp_progress_begin(&progress, args, "cells", err));
    BP_TRY(open_inputs(args, s, err));
    s->options.progress = show;
    s->options.progress_ctx = &progress;
    bp_cli_catch_stop();
    enum bp_status status = bp_measure(&s->options, &done, err);
    bp_progress_end(&progress);
    if (status == BP_STOPPED)
        return bp_fail(
            err, status,
            "stopped: %zu of %zu matrices are %s %s; the same command goes on from there",
            done.rows_done, done.rows_total,
            done.phase == BP_PHASE_MEASURE    ? "in"
            : done.phase == BP_PHASE_ONE_STEP ? "at one step in"
                                              : "refined, all others at one step, in",
            s->options.path);
    return status == BP_OK ? report(args, s, &done, err) : status;
}

static enum bp_status run(const struct bp_args *args, struct bp_err *err)
{
    struct setup s = {0};
    enum bp_status status = measure(args, &s, err);
    bp_model_close(s.model);
    bp_model_close(s.fisher);
    bp_grid_done(&s.grid);
    return status;
}

static const enum bp_option options[] = {
    BP_OPT_OUT,     BP_OPT_GRID,   BP_OPT_RANK,     BP_OPT_EFFORT,  BP_OPT_ITERATIONS,
    BP_OPT_BACKEND, BP_OPT_FISHER, BP_OPT_INCLUDE,  BP_OPT_EXCLUDE, BP_OPT_THREADS,
    BP_OPT_SEED,    BP_OPT_SHARD,  BP_OPT_PROGRESS, BP_OPT_FORCE,   BP_OPT_JSON,
};

const struct bp_command bp_command_measure = {
    .name = "measure",
    .operands = "MODEL",
    .n_operands = 1,
    .summary = "measure the error table of a model folder or .safetensors file",
    .notes =
        "The table is valid at every instant: a run that was stopped or killed is continued by\n"
        "the same command, and several shards may fill one file, or one each for `bitplan merge`.\n"
        "Without --shard the part is read from the variables of a Slurm array or step, Open MPI,\n"
        "MPICH or Intel MPI, and so is the default of --threads; --shard 1/1 does all.\n"
        "Efforts: exact is the authors' procedure cell by cell; full iterates every cell, faster;\n"
        "balanced measures all cells at one step, iterates those that plans can rest on and\n"
        "estimates the others; quick stops after the one step.",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .run = run,
};
