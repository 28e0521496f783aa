/*
 * Getting an output onto disk matrix by matrix, so that it appears whole, survives kill -9 and is
 * gone on with.
 *
 * Until the end every file has a hidden name beside its final one, at its final size, and the
 * folder holds a journal that says whose work this is and which matrices are in place: a matrix is
 * marked after its bytes are synced. The same work opened again goes on from there. At the end
 * files get their names, and the journal goes last. One process at a time works in a folder.
 */
#ifndef BP_ENGINE_OUTPUT_JOB_H
#define BP_ENGINE_OUTPUT_JOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/err.h"
#include "engine/output_layout.h"

struct bp_output_job;

struct bp_output_work {
    struct bp_output *output; /* laid out; its files are opened */
    const char *dir;          /* OUT; its parent exists */
    uint64_t hash;            /* of everything that the result depends on */
    bool replace;             /* files of OUT may be replaced */
    const char *last_name;    /* of the file that is written last, "decompose.json"; NULL: none */
    /* Asked for between copies; true: stop. May be NULL. */
    bool (*stopped)(void *ctx);
    void *ctx;
};

/* Creates the folder and its hidden files, with everything that is known beforehand, or opens what
 * an earlier run left. BP_ERR_MISMATCH: a file exists already, or the folder holds other unfinished
 * work (with `replace` that is thrown away). BP_ERR_FAILED: not enough room (needed and available
 * are told), or the system refuses; what was made is removed then. */
enum bp_status bp_output_job_open(const struct bp_output_work *work, struct bp_output_job **out,
                                  struct bp_err *err);

/* Whether matrix i is in place. */
bool bp_output_job_has(const struct bp_output_job *job, size_t i);

/* Syncs what was written for matrix i and marks it. Threads may mark different matrices at once. */
enum bp_status bp_output_job_mark(struct bp_output_job *job, size_t i, struct bp_err *err);

/* Where file f is at the moment, on the heap; `job` is a struct bp_output_job *. */
char *bp_output_job_path(void *job, size_t f);

/* Gives all files their names, writes the texts, then `last` as the last file, and removes the
 * journal. */
enum bp_status bp_output_job_finish(struct bp_output_job *job, const char *last,
                                    struct bp_err *err);

/* Closes; without finish all stays for the next run. Takes NULL, returns NULL. */
struct bp_output_job *bp_output_job_close(struct bp_output_job *job);

#endif
