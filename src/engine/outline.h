/*
 * What is to be written of a model, whatever it comes from (a model and a plan, or a packed form):
 * its files with their tensors in the order of their data, and the matrices among them that are
 * replaced. Everything else is passed on byte for byte.
 *
 * Also what loaders need to know of the architecture: which module a tensor is the weight of, and
 * whether the low-rank parts of a matrix can be an adapter (PEFT) at all.
 */
#ifndef BP_ENGINE_OUTLINE_H
#define BP_ENGINE_OUTLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/config.h"
#include "engine/err.h"
#include "engine/safetensors.h"

struct bp_model;
struct bp_plan_file;

struct bp_outline_tensor {
    char *name;
    enum bp_dtype dtype;
    unsigned n_dims;
    uint64_t shape[BP_ST_MAX_DIMS];
    uint64_t n_bytes;
    const unsigned char *data; /* [n_bytes] of one that is passed on; NULL when matrices fill it */
    size_t first_matrix;       /* of outline->order: those that fill it are neighbours there */
    size_t n_matrices;
};

struct bp_outline_file {
    char *name; /* plain: "model-00001-of-00002.safetensors" */
    struct bp_outline_tensor *tensors;
    size_t n_tensors;
    struct bp_st_pair *metadata; /* with format = pt */
    size_t n_metadata;
};

struct bp_outline_matrix {
    char *name; /* the tensor's; "name[e]" for expert e of a stacked tensor */
    uint64_t d, k;
    enum bp_dtype dtype;
    struct bp_config config;
    uint32_t rank; /* as the plan has it */
    uint32_t r;    /* as the shape allows */
    size_t file, tensor;
    uint64_t first_elem; /* where it starts in that tensor */
};

struct bp_outline {
    struct bp_outline_file *files;
    size_t n_files;
    struct bp_outline_matrix *matrices; /* [n_matrices] in the plan's order */
    size_t n_matrices;
    size_t *order; /* [n_matrices] the matrices by file, tensor and place */
    char *folder;  /* its other files are copied; NULL for a model of one file */
    bool indexed;  /* the shards' index is one of those */
    unsigned low_rank_bits;
    /* Of config.json; "" when there is none. */
    char *architecture, *model_type;
    struct bp_st_pair *tied; /* [n_tied] tensors that share their data */
    size_t n_tied;
};

/* The outline of carrying a plan out on a model: every matrix of the plan by name. Borrows the
 * tensors' data from the model. BP_ERR_MISMATCH: the plan is not this model's. BP_ERR_INPUT: the
 * model lacks a matrix, a candidate is another quantizer's, some experts of a stack are planned and
 * some are not. */
enum bp_status bp_outline_new(const struct bp_model *model, const struct bp_plan_file *plan,
                              unsigned low_rank_bits, struct bp_outline **out, struct bp_err *err);

/* Takes NULL, returns NULL. */
struct bp_outline *bp_outline_free(struct bp_outline *outline);

/* The largest of everything over the matrices; d, k, n at least 1. */
struct bp_outline_extent {
    uint64_t d, k, n;
    uint32_t rank, r; /* as planned, as clamped */
    uint32_t B0;      /* the least */
};
struct bp_outline_extent bp_outline_extent(const struct bp_outline *outline);

/* Finishes one whose files and matrices are filled: `order`, and which matrices fill which tensor.
 * BP_ERR_INPUT when a tensor is filled in part. */
enum bp_status bp_outline_link(struct bp_outline *outline, const char *path, struct bp_err *err);

/* Reads what config.json in `folder` says of the architecture; a missing one leaves "". */
enum bp_status bp_outline_read_config(struct bp_outline *outline, const char *folder,
                                      struct bp_err *err);

/* Adds a metadata pair to a file. */
enum bp_status bp_outline_add_metadata(struct bp_outline_file *file, const char *key,
                                       const char *value, struct bp_err *err);

/* The module that a tensor is the weight of, as AutoModel... names it: "model.layers.0.mlp.fc1".
 * On the heap; NULL when out of memory. */
char *bp_outline_module(const struct bp_outline *outline, const char *tensor);

/* Weights stored as [in, out] (Conv1D of GPT-2). */
bool bp_outline_transposed(const struct bp_outline *outline);

/* NULL when the low-rank part of the matrix can be an adapter, else why not; a constant. */
const char *bp_outline_no_adapter(const struct bp_outline *outline,
                                  const struct bp_outline_matrix *m);

#endif
