/*
 * A model on disk: a Hugging Face folder (config.json, one safetensors file or shards with an
 * index) or a single .safetensors file, and which of its tensors are planned.
 *
 * The tensors' names and shapes are the truth; config.json only labels and cross-checks, and may be
 * missing. Nothing is read into memory before bp_model_read: the files are mapped. A model is
 * read-only after opening, several threads may read it.
 */
#ifndef BP_ENGINE_MODEL_H
#define BP_ENGINE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/err.h"
#include "engine/quantizable.h"
#include "engine/safetensors.h"

struct bp_model_tensor {
    const struct bp_st *st;
    const struct bp_st_tensor *t;
    struct bp_tensor_role role;
};

/* One planned weight: d rows (out_features) of k elements (in_features). */
struct bp_matrix {
    char *name; /* the tensor's; "name[e]" for expert e of a stacked tensor */
    uint64_t d, k;
    enum bp_dtype dtype;
    int layer; /* -1 outside numbered layers */
    char *kind;
    size_t tensor;       /* index into bp_model.tensors */
    uint64_t first_elem; /* where it starts in that tensor */
};

struct bp_model {
    char *path;
    char *name;         /* folder or file name, without path and extension */
    char *architecture; /* config.json's architectures[0], or "" */
    bool synthetic;     /* written by `bitplan sample`: everything shown from it says so */
    /* "xxh3:<32 hex digits>": XXH3-128 over every stored tensor in the order of strcmp on the
     * names, of: the name and a NUL, the dtype's name and a NUL, the number of dimensions and each
     * dimension as u64 little endian, then the data. Of data up to 256 KiB all bytes; of longer
     * data 64 pages of 4096 bytes, page i starting at byte floor(i * (n_bytes - 4096) / 63), so
     * that the first and the last bytes are among them. Neither config.json nor the split into
     * files nor the filter changes it. */
    char *fingerprint;
    struct bp_st **files; /* [n_files] */
    size_t n_files;
    /* [n_tensors] numbered layers ascending (where a model has several stacks of layers, one stack
     * after the other), inside a layer the usual order (q, k, v, o, gate, up, down, then by name,
     * numbers in names as numbers), last what lies outside layers. Aliases are not included. */
    struct bp_model_tensor *tensors;
    size_t n_tensors;
    struct bp_matrix *matrices; /* [n_matrices] in the order of their tensors, experts ascending */
    size_t n_matrices;
    struct bp_st_pair *aliases; /* [n_aliases] tied tensors: key is another name of value */
    size_t n_aliases;
    uint64_t params;         /* all tensors, tied ones once */
    uint64_t params_planned; /* sum of d * k */
    uint64_t bytes_outside;  /* bytes of the tensors that are not planned, as stored */
    char **warnings;         /* [n_warnings] e.g. index total_size differs; one line each */
    size_t n_warnings;
};

/* Which matrices take part, over the automatic rule. POSIX extended regular expressions, searched
 * in the tensor's name. A tensor that matches `exclude` is kept as it is; one that matches
 * `include` is planned, beside those of the automatic rule, when it can be at all (2-D or stacked
 * experts, a weight dtype, not empty). With both, exclude wins. Every pattern list may be empty; a
 * pattern that is no regular expression, an `include` that makes nothing possible and an `exclude`
 * that matches nothing are BP_ERR_USAGE. */
struct bp_model_filter {
    const char *const *include;
    size_t n_include;
    const char *const *exclude;
    size_t n_exclude;
};

/* Opens a folder or a file. filter may be NULL. BP_ERR_INPUT: the sentence names file and place.
 * A model without a single matrix opens (n_matrices 0): the caller decides. */
enum bp_status bp_model_open(const char *path, const struct bp_model_filter *filter,
                             struct bp_model **out, struct bp_err *err);

/* Takes NULL, returns NULL. */
struct bp_model *bp_model_close(struct bp_model *model);

/* The tensor of that name in the model's files, NULL when there is none; *st gets its file. */
const struct bp_st_tensor *bp_model_find(const struct bp_model *model, const char *name,
                                         const struct bp_st **st);

/* Reads matrix i, widened to FP32, row-major into W [d * k]. BP_ERR_INPUT names the tensor and the
 * index of the first value that is not finite. */
enum bp_status bp_model_read(const struct bp_model *model, size_t i, float *W, struct bp_err *err);

#endif
