/*
 * Which part of the work a process does: said by --shard, or read from the variables that Slurm and
 * MPI launchers give to each of the processes they start.
 *
 * Pure functions of a text and a look-up of variables, so that tests need no launcher. A variable
 * that is empty counts as not set.
 */
#ifndef BP_CLI_SHARD_H
#define BP_CLI_SHARD_H

#include <stdint.h>

#include "engine/err.h"

enum { BP_MAX_SHARDS = 65535 };

/* The value of a variable, NULL when it is not set: getenv, or a test's table. */
typedef const char *bp_variable_fn(const char *name);

struct bp_shard {
    uint32_t part, parts; /* part (from 1) of parts */
    char source[96];      /* the variables that say so: "SLURM_ARRAY_TASK_ID=3"; "" for none */
};

/* `text` is the value of --shard: "I/N"; "auto" for the variables, which must then be there; NULL
 * for the variables when there are any, else all of the work.
 *
 * A Slurm array (SLURM_ARRAY_TASK_ID, _MIN, _MAX, _STEP, _COUNT) is one division, the ranks of a
 * launcher are another; together they multiply. The ranks are Open MPI's (OMPI_COMM_WORLD_RANK,
 * _SIZE) or those of MPICH and Intel MPI (PMI_RANK, PMI_SIZE), else those of a Slurm step
 * (SLURM_PROCID, SLURM_STEP_NUM_TASKS): mpirun may run inside a step, whose ranks are then not its
 * own. SLURM_NTASKS is not read, as a batch script that runs once has it too.
 *
 * BP_ERR_USAGE: a text of another form, a variable that is no number in its range, one that lacks
 * its companions, an array whose numbers are not evenly spaced, or two launchers that disagree. */
enum bp_status bp_shard_read(const char *text, bp_variable_fn *variable, struct bp_shard *out,
                             struct bp_err *err);

/* Threads of a process that may run on `available` processors of a machine of `online`, when the
 * user says nothing: all of them, but no more than SLURM_CPUS_PER_TASK, and no more than its share
 * where a launcher says how many processes it started on this machine
 * (OMPI_COMM_WORLD_LOCAL_SIZE, MPI_LOCALNRANKS). At least 1. BP_ERR_USAGE as above. */
enum bp_status bp_shard_threads(bp_variable_fn *variable, uint64_t available, uint64_t online,
                                uint64_t *threads, struct bp_err *err);

#endif
