/*
 * Which tensors of a model are planned, told from names, dtypes and shapes alone, and why the
 * others are kept as they are. The rule is automatic; --include and --exclude overrule it
 * (model.h).
 */
#ifndef BP_ENGINE_QUANTIZABLE_H
#define BP_ENGINE_QUANTIZABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/safetensors.h"

/* Why a tensor is not planned. X(enum suffix, words for a person) */
#define BP_KEEP_REASONS(X)                           \
    X(PLANNED, "planned")                            \
    X(NOT_2D, "not a matrix")                        \
    X(DTYPE, "dtype is not F32, F16 or BF16")        \
    X(NOT_WEIGHT, "name does not end in .weight")    \
    X(TOO_SMALL, "a side is shorter than 16")        \
    X(NO_BLOCK, "not inside a numbered layer")       \
    X(NORM, "normalization")                         \
    X(EMBEDDING, "embedding")                        \
    X(HEAD, "output head")                           \
    X(ROUTER, "expert router")                       \
    X(OTHER_TOWER, "not the language model")         \
    X(QUANTIZED, "already quantized, or part of it") \
    X(ADAPTER, "adapter")                            \
    X(UNKNOWN_LAYER, "not a known linear layer")     \
    X(EXCLUDED, "excluded by --exclude")

enum bp_keep_reason {
#define BP_KEEP_ENUM(name, text) BP_KEEP_##name,
    BP_KEEP_REASONS(BP_KEEP_ENUM)
#undef BP_KEEP_ENUM
        BP_N_KEEP_REASONS
};

const char *bp_keep_reason_text(enum bp_keep_reason reason);

/* What a tensor's name says, by the rule. */
struct bp_tensor_role {
    enum bp_keep_reason reason; /* BP_KEEP_PLANNED: it takes part */
    int layer;                  /* number of its layer (block), -1 outside */
    char kind[64];              /* last module of the name: "q_proj"; "" when there is none */
};

/* The automatic rule on a name, a dtype and a shape [n_dims]; needs no file. A stacked-experts
 * tensor ([experts, out, in] as stored; llama4 and gpt-oss store [experts, in, out]) is eligible
 * and becomes `shape[0]` matrices. */
void bp_tensor_classify(const char *name, enum bp_dtype dtype, unsigned n_dims,
                        const uint64_t *shape, struct bp_tensor_role *role);

/* True for a 3-D tensor of experts [experts, out, in]. */
bool bp_tensor_is_stacked(const char *name, unsigned n_dims, const uint64_t *shape);

/* Length of the name's part in front of "layers.7.": which stack of layers it belongs to. 0 for a
 * tensor outside numbered layers. */
size_t bp_tensor_stack_length(const char *name);

#endif
