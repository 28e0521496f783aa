#include "cli/shard.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "cli/options.h"

/* One division of the work: number `index` (from 0) of `count`. */
struct division {
    uint64_t index, count;
    const char *name; /* of the variable that numbers the processes, NULL when there is none */
    uint64_t value;   /* of that variable */
};

static const char *text_of(bp_variable_fn *variable, const char *name)
{
    const char *text = variable(name);
    return text && *text ? text : NULL;
}

static enum bp_status number_of(bp_variable_fn *variable, const char *name, uint64_t least,
                                uint64_t most, uint64_t *out, struct bp_err *err)
{
    const char *text = text_of(variable, name);
    if (!text)
        return bp_fail(err, BP_ERR_USAGE, "%s is not set, though others of its kind are", name);
    return bp_parse_u64(text, name, least, most, out, err);
}

/* --- arrays --- */

static enum bp_status read_array(bp_variable_fn *variable, struct division *out, struct bp_err *err)
{
    uint64_t id, first, last, step;
    *out = (struct division){0, 1, NULL, 0};
    if (!text_of(variable, "SLURM_ARRAY_TASK_ID"))
        return BP_OK;
    BP_TRY(number_of(variable, "SLURM_ARRAY_TASK_ID", 0, UINT32_MAX, &id, err));
    BP_TRY(number_of(variable, "SLURM_ARRAY_TASK_MIN", 0, UINT32_MAX, &first, err));
    BP_TRY(number_of(variable, "SLURM_ARRAY_TASK_MAX", first, UINT32_MAX, &last, err));
    BP_TRY(number_of(variable, "SLURM_ARRAY_TASK_STEP", 1, UINT32_MAX, &step, err));
    BP_TRY(number_of(variable, "SLURM_ARRAY_TASK_COUNT", 1, BP_MAX_SHARDS, &out->count, err));
    /* Of a list such as 1,3,4 Slurm does not say which number a task has in it. */
    if (out->count > 1 && (last - first != (out->count - 1) * step))
        return bp_fail(err, BP_ERR_USAGE,
                       "a Slurm array of %" PRIu64 " tasks from %" PRIu64 " to %" PRIu64
                       " is not evenly spaced",
                       out->count, first, last);
    if (id < first || id > last || (out->count > 1 && (id - first) % step != 0))
        return bp_fail(err, BP_ERR_USAGE,
                       "SLURM_ARRAY_TASK_ID is %" PRIu64 ", but the array goes from %" PRIu64
                       " to %" PRIu64 " in steps of %" PRIu64,
                       id, first, last, step);
    out->index = out->count > 1 ? (id - first) / step : 0;
    out->name = "SLURM_ARRAY_TASK_ID";
    out->value = id;
    return BP_OK;
}

/* --- ranks --- */

static enum bp_status read_ranks(bp_variable_fn *variable, const char *rank, const char *size,
                                 struct division *out, struct bp_err *err)
{
    *out = (struct division){0, 1, NULL, 0};
    if (!text_of(variable, rank) && !text_of(variable, size))
        return BP_OK;
    BP_TRY(number_of(variable, size, 1, BP_MAX_SHARDS, &out->count, err));
    BP_TRY(number_of(variable, rank, 0, out->count - 1, &out->value, err));
    out->index = out->value;
    out->name = rank;
    return BP_OK;
}

static enum bp_status read_launcher(bp_variable_fn *variable, struct division *out,
                                    struct bp_err *err)
{
    struct division pmi;
    BP_TRY(read_ranks(variable, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", out, err));
    BP_TRY(read_ranks(variable, "PMI_RANK", "PMI_SIZE", &pmi, err));
    if (out->name && pmi.name && (out->index != pmi.index || out->count != pmi.count))
        return bp_fail(err, BP_ERR_USAGE,
                       "OMPI_COMM_WORLD_RANK is %" PRIu64 " of %" PRIu64
                       ", but PMI_RANK is %" PRIu64 " of %" PRIu64,
                       out->index, out->count, pmi.index, pmi.count);
    if (!out->name)
        *out = pmi;
    /* A batch script has SLURM_PROCID as well, and is no step. */
    if (out->name || !text_of(variable, "SLURM_STEP_NUM_TASKS"))
        return BP_OK;
    return read_ranks(variable, "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", out, err);
}

/* --- both --- */

static enum bp_status read_variables(bp_variable_fn *variable, struct bp_shard *out,
                                     struct bp_err *err)
{
    struct division array, ranks;
    BP_TRY(read_array(variable, &array, err));
    BP_TRY(read_launcher(variable, &ranks, err));
    if (array.count * ranks.count > BP_MAX_SHARDS)
        return bp_fail(err, BP_ERR_USAGE,
                       "%" PRIu64 " tasks of an array times %" PRIu64
                       " ranks are more than %d parts",
                       array.count, ranks.count, BP_MAX_SHARDS);
    out->part = (uint32_t)(array.index * ranks.count + ranks.index + 1);
    out->parts = (uint32_t)(array.count * ranks.count);
    int n = 0;
    if (array.name)
        n = snprintf(out->source, sizeof out->source, "%s=%" PRIu64, array.name, array.value);
    if (ranks.name)
        snprintf(out->source + n, sizeof out->source - (size_t)n, "%s%s=%" PRIu64, n ? ", " : "",
                 ranks.name, ranks.value);
    return BP_OK;
}

static enum bp_status read_text(const char *text, struct bp_shard *out, struct bp_err *err)
{
    char copy[64];
    uint64_t part, parts;
    const char *slash = strchr(text, '/');
    if (!slash || strlen(text) >= sizeof copy)
        return bp_fail(err, BP_ERR_USAGE,
                       "--shard: '%s' is neither auto nor of the form I/N, as in 1/4", text);
    strcpy(copy, text);
    copy[slash - text] = '\0';
    BP_TRY(bp_parse_u64(copy + (slash - text) + 1, "--shard: N", 1, BP_MAX_SHARDS, &parts, err));
    BP_TRY(bp_parse_u64(copy, "--shard: I", 1, parts, &part, err));
    out->part = (uint32_t)part;
    out->parts = (uint32_t)parts;
    return BP_OK;
}

enum bp_status bp_shard_read(const char *text, bp_variable_fn *variable, struct bp_shard *out,
                             struct bp_err *err)
{
    const bool insist = text && strcmp(text, "auto") == 0;
    *out = (struct bp_shard){.part = 1, .parts = 1};
    if (text && !insist)
        return read_text(text, out, err);
    const enum bp_status status = read_variables(variable, out, err);
    if (status != BP_OK)
        return bp_fail_in(err, status, "the part of the work (--shard I/N states it, 1/1 is all)");
    if (insist && !*out->source)
        return bp_fail(err, BP_ERR_USAGE,
                       "--shard auto: there are no variables of a Slurm array or step, nor of an "
                       "MPI launcher; give --shard I/N");
    return BP_OK;
}

/* --- threads --- */

enum bp_status bp_shard_threads(bp_variable_fn *variable, uint64_t available, uint64_t online,
                                uint64_t *threads, struct bp_err *err)
{
    static const char *const neighbours[] = {"OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS"};
    *threads = available;
    if (text_of(variable, "SLURM_CPUS_PER_TASK")) {
        uint64_t most;
        BP_TRY(number_of(variable, "SLURM_CPUS_PER_TASK", 1, UINT32_MAX, &most, err));
        *threads = most < available ? most : available;
        return BP_OK;
    }
    /* A launcher that bound its processes left each fewer processors than the machine has; one that
     * did not left all to all. */
    for (size_t i = 0; i < sizeof neighbours / sizeof *neighbours; i++) {
        uint64_t n;
        if (!text_of(variable, neighbours[i]))
            continue;
        BP_TRY(number_of(variable, neighbours[i], 1, UINT32_MAX, &n, err));
        const uint64_t share = online / n > 0 ? online / n : 1;
        *threads = share < *threads ? share : *threads;
    }
    return BP_OK;
}
