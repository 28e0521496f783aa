/*
 * What the files of the model reader share; nothing outside model*.c includes it.
 *
 * Opening goes in steps, each one function: find and map the files (model_files.c), list their
 * tensors, hash them (model_fingerprint.c), follow tied tensors, decide who is planned
 * (quantizable.h, model_filter.c), sort (model_order.c), list the matrices (model.c).
 */
#ifndef BP_ENGINE_MODEL_PARTS_H
#define BP_ENGINE_MODEL_PARTS_H

#include <regex.h>

#include "engine/model.h"

/* --- model_files.c --- */

/* Appends a line to model->warnings. BP_ERR_NOMEM or BP_OK. */
enum bp_status bp_model_warn(struct bp_model *model, struct bp_err *err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Maps the safetensors files of model->path into model->files and checks the index against them.
 * *is_folder tells what the path was. */
enum bp_status bp_model_open_files(struct bp_model *model, bool *is_folder, struct bp_err *err);

/* "folder/file" without doubling the slash; NULL when out of memory. */
char *bp_model_join(const char *folder, const char *file);

/* --- model_config.c --- */

struct bp_model_config {
    char *architecture; /* heap, "" when not given */
    bool tied;          /* tie_word_embeddings is true */
    uint64_t n_layers;  /* num_hidden_layers, 0 when not given */
};

/* Reads config.json in the folder; a missing one leaves the defaults. Fields of the wrong type and
 * a model that is already quantized give warnings. The caller frees config->architecture. */
enum bp_status bp_model_read_config(struct bp_model *model, struct bp_model_config *config,
                                    struct bp_err *err);

/* --- model_fingerprint.c --- */

/* Sets model->fingerprint from model->tensors, which must be sorted by name; the definition stands
 * at bp_model.fingerprint. */
enum bp_status bp_model_hash(struct bp_model *model, struct bp_err *err);

/* --- model_filter.c --- */

/* Applies the patterns to the roles of model->tensors. BP_ERR_USAGE for a pattern that is not a
 * regular expression or that has no effect. filter may be NULL. */
enum bp_status bp_model_apply_filter(struct bp_model *model, const struct bp_model_filter *filter,
                                     struct bp_err *err);

/* --- model_order.c --- */

/* Sorts model->tensors into the order of people: stacks of layers, layers, the usual order inside,
 * then what lies outside layers, by name. */
enum bp_status bp_model_sort(struct bp_model *model, struct bp_err *err);

#endif
