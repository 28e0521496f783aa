/*
 * Weights of the error (a diagonal Fisher information, or any other measure of importance): one
 * number >= 0 for every weight, in safetensors files under the names of the model's tensors.
 */
#ifndef BP_ENGINE_FISHER_H
#define BP_ENGINE_FISHER_H

#include <stddef.h>

#include "engine/err.h"
#include "engine/model.h"

/* Reads the weights of matrix i of `model` from `fisher` into F [d * k]. BP_ERR_INPUT: no such
 * tensor, another shape, a negative or non-finite value (tensor and index). */
enum bp_status bp_fisher_read(const struct bp_model *fisher, const struct bp_model *model, size_t i,
                              float *F, struct bp_err *err);

#endif
