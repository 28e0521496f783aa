/*
 * Synthetic model folders: Llama's names and shapes, weights with the traits of trained ones, for
 * trying bitplan without a model at hand. Deterministic in the seed: equal options give equal
 * bytes.
 *
 * The traits, each drawn per matrix from the seed: a Gaussian bulk; a power-law spectrum on top of
 * it (a low-rank part whose singular values fall as a power); a few outlier columns; heavier tails
 * in some kinds; a difficulty that drifts with depth, as in LQ-LoRA's Figure 1. `__metadata__`
 * holds "bitplan.synthetic" = "true", which everything shown from such a model repeats.
 */
#ifndef BP_ENGINE_SAMPLE_H
#define BP_ENGINE_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/err.h"

struct bp_sample_options {
    uint64_t layers;       /* num_hidden_layers, >= 1 */
    uint64_t hidden;       /* hidden_size, a multiple of 64 */
    uint64_t intermediate; /* intermediate_size; 0 = Llama's rule for `hidden` */
    uint64_t kv_dim;       /* out_features of k_proj and v_proj; 0 = hidden */
    uint64_t vocab;        /* vocab_size */
    uint64_t seed;
    bool force; /* replace files that are there */
};

/* Progress of long work: done of total units; returns false to ask for a stop. */
typedef bool bp_progress_fn(void *ctx, uint64_t done, uint64_t total);

/* Fills in a known model's shapes by name ("llama-2-7b", "llama-2-13b", "llama-2-70b",
 * "llama-3.1-8b", "tiny"), leaving seed and force. BP_ERR_USAGE names the known ones. */
enum bp_status bp_sample_shapes(const char *name, struct bp_sample_options *options,
                                struct bp_err *err);

/* Writes config.json and BF16 shards of at most 5 GB (with an index when there are several) into
 * `dir`, which is made when it is missing; its parent must exist. Memory: one matrix.
 *
 * All or nothing: the files get their names after the last byte of all of them, so a run that fails
 * or is stopped leaves the folder as it was. BP_ERR_USAGE names a wrong option; BP_ERR_MISMATCH
 * when a file is there and force is not set, or when the folder holds a model of the other form
 * (one file, or shards with an index), which is never removed; BP_ERR_FAILED also when the disk is
 * too small; BP_STOPPED when `progress` (may be NULL; in parameters) asked to stop. */
enum bp_status bp_sample_write(const char *dir, const struct bp_sample_options *options,
                               bp_progress_fn *progress, void *progress_ctx, struct bp_err *err);

#endif
