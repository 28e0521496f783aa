/*
 * What a synthetic model consists of, before a byte is written: the tensors of a Llama, the files
 * they go to, and the text of config.json and of the index.
 *
 * Internal to `sample`: only sample*.c and the tests include this.
 */
#ifndef BP_ENGINE_SAMPLE_LAYOUT_H
#define BP_ENGINE_SAMPLE_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "engine/err.h"
#include "engine/sample.h"
#include "engine/sample_weights.h"

/* Hugging Face's usual limit of one file. A longer tensor gets a file of its own. */
#define BP_SAMPLE_SHARD_BYTES UINT64_C(5000000000)

struct bp_sample_tensor {
    char *name;
    enum bp_sample_kind kind;
    uint64_t rows, cols; /* a norm's vector is one row */
    double depth;        /* 0 in the first layer, 1 in the last */
    size_t shard;        /* ascending */
};

struct bp_sample_layout {
    struct bp_sample_options options; /* with the rules for 0 filled in */
    uint64_t head_dim;
    struct bp_sample_tensor *tensors; /* [n_tensors] */
    size_t n_tensors;
    size_t n_shards; /* >= 1 */
    uint64_t params; /* elements of all tensors; two bytes each */
};

/* Checks the options and lays the model out in files of at most shard_bytes. BP_ERR_USAGE names the
 * option that is wrong. The layout is to be finished with _done after BP_OK. */
enum bp_status bp_sample_layout_init(struct bp_sample_layout *layout,
                                     const struct bp_sample_options *options, uint64_t shard_bytes,
                                     struct bp_err *err);
void bp_sample_layout_done(struct bp_sample_layout *layout);

/* File name of shard i, on the heap; NULL when out of memory. */
char *bp_sample_shard_name(const struct bp_sample_layout *layout, size_t i);

/* Text of config.json and of model.safetensors.index.json, on the heap; NULL when out of memory. */
char *bp_sample_config_json(const struct bp_sample_layout *layout);
char *bp_sample_index_json(const struct bp_sample_layout *layout);

#endif
