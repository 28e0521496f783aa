/*
 * The packed form (docs/packed.md) back to the model's own files and a PEFT adapter: byte for byte
 * what decomposing to the hf form would have written.
 */
#ifndef BP_ENGINE_UNPACK_H
#define BP_ENGINE_UNPACK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/err.h"

struct bp_unpack_options {
    const char *path; /* folder of the packed files, or the one above that holds packed/ */
    const char *dir;  /* OUT */
    unsigned threads; /* >= 1 */
    bool replace;
    const atomic_bool *stop; /* may be NULL */
    /* On the calling thread, after each of its matrices; may be NULL. */
    void (*progress)(void *ctx, uint64_t weights_done, uint64_t weights_total, const char *matrix);
    void *progress_ctx;
};

struct bp_unpack_report {
    size_t n_matrices, n_files;
    uint64_t bytes; /* of all files */
};

/* BP_ERR_INPUT: not a packed form, or one that contradicts itself. BP_STOPPED: the same call goes
 * on from there. Errors of the output are those of output_job.h. */
enum bp_status bp_unpack_model(const struct bp_unpack_options *options,
                               struct bp_unpack_report *report, struct bp_err *err);

#endif
