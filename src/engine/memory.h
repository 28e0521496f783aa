/*
 * Where every byte goes: what a plan takes on a card when it runs and when its low-rank part is
 * trained (LQ-LoRA Figure 3), told from the table's own shapes; and the reverse, the budget that
 * just fits. Pure arithmetic in bytes. A figure that the table cannot tell is marked as not known,
 * never guessed.
 */
#ifndef BP_ENGINE_MEMORY_H
#define BP_ENGINE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/budget.h"
#include "engine/err.h"
#include "engine/plan.h"
#include "engine/table.h"

/* What a person sets. X(field, key, least, most, default): the whole numbers. */
#define BP_MEMORY_SETTINGS(X)                                                                   \
    X(card_bytes, "card", 1, UINT64_C(1) << 50, UINT64_C(24) << 30)                             \
    X(context, "context", 0, UINT64_C(1) << 32, 4096) /* tokens in the KV cache */              \
    X(batch, "batch", 0, UINT64_C(1) << 20, 1)        /* sequences in it; 0 = none */           \
    X(kv_bits, "kv-bits", 1, 32, 16)                  /* of an element of the cache */          \
    X(low_rank_bits, "low-rank-bits", 8, 32, 16)      /* precision: 8, 16 or 32 (low_rank.h) */ \
    X(train_batch, "train-batch", 1, UINT64_C(1) << 20, 1)                                      \
    X(train_sequence, "train-sequence", 1, UINT64_C(1) << 32, 2048)

struct bp_memory_settings {
#define BP_MEMORY_FIELD(field, key, least, most, standard) uint64_t field;
    BP_MEMORY_SETTINGS(BP_MEMORY_FIELD)
#undef BP_MEMORY_FIELD
};

void bp_memory_settings_default(struct bp_memory_settings *settings);

/* Sets one by its key: "context", "4096"; "card" takes a size ("24GiB", "80GB", a bare number of at
 * most 4 digits is GiB). BP_ERR_USAGE names the keys, or the range. */
enum bp_status bp_memory_settings_set(struct bp_memory_settings *settings, const char *key,
                                      const char *value, struct bp_err *err);

/* BP_ERR_USAGE names the first that is out of its range. */
enum bp_status bp_memory_settings_check(const struct bp_memory_settings *settings,
                                        struct bp_err *err);

/* Cards that a person can choose from, by size: [n] with their names. */
struct bp_card {
    const char *name; /* "24 GB: RTX 3090, RTX 4090, A10" */
    uint64_t bytes;
};
const struct bp_card *bp_cards(size_t *n);

/* What the table's matrices say about the model. */
struct bp_memory_shape {
    uint64_t params;       /* of the planned matrices */
    uint64_t n_layers;     /* distinct numbered layers */
    uint64_t hidden;       /* width of what layers hand on; 0 = not known */
    uint64_t kv_per_token; /* elements that a token leaves in the KV cache, all layers; 0 = no */
    bool kv_known;         /* k_proj and v_proj (or kv_a_proj_with_mqa) in every layer */
    uint64_t layer_activation; /* elements a token keeps of the widest layer while it is redone;
                                  of experts one */
    bool outside_known;
    uint64_t outside_params, outside_bytes;
};
/* Out of memory it says no more than params and outside: the rest is then not known. */
void bp_memory_shape_of(const struct bp_table *table, struct bp_memory_shape *out);

/* Bytes of the KV cache; 0 when not known (see shape->kv_known). */
uint64_t bp_memory_kv_bytes(const struct bp_memory_shape *shape,
                            const struct bp_memory_settings *settings);

/* Ways of finetuning that the field uses. X(suffix, name, what it keeps) */
#define BP_TRAINING_WAYS(X)                                                              \
    X(FROZEN, "frozen quantized base",                                                   \
      "frozen quantized base, low-rank part trained: LQ-LoRA, QLoRA")                    \
    X(QAT, "quantization-aware", "16-bit base kept beside the low-rank part, as in L4Q") \
    X(FULL, "full finetuning", "every parameter trained, an FP32 master copy kept")

enum bp_training_way {
#define BP_TRAINING_ENUM(suffix, name, text) BP_TRAINING_##suffix,
    BP_TRAINING_WAYS(BP_TRAINING_ENUM)
#undef BP_TRAINING_ENUM
        BP_N_TRAINING_WAYS
};
const char *bp_training_way_name(enum bp_training_way way);
const char *bp_training_way_text(enum bp_training_way way);

/* Bytes, part by part. The formulas stand in memory.c beside each line and in docs/memory.md. */
struct bp_memory_parts {
    uint64_t quantized;   /* codes, scales, offsets; 16-bit weights where the way keeps those */
    uint64_t low_rank;    /* L1 and L2 in the plan's precision; trained ones in 16 bits at least */
    uint64_t outside;     /* embeddings, head, norms as stored; 0 when not known */
    uint64_t kv_cache;    /* 0 in training, and when not known */
    uint64_t gradients;   /* of what is trained */
    uint64_t optimizer;   /* Adam's two FP32 moments, and the FP32 master copy where there is one */
    uint64_t activations; /* with checkpoints at the layers' inputs; 0 when not known */
    uint64_t total;
    bool complete; /* no part of it is unknown */
};

/* Running the plan. */
void bp_memory_run(const struct bp_plan *plan, const struct bp_memory_shape *shape,
                   const struct bp_memory_settings *settings, struct bp_memory_parts *out);
/* Training its low-rank part (or what the way trains). */
void bp_memory_train(const struct bp_plan *plan, const struct bp_memory_shape *shape,
                     const struct bp_memory_settings *settings, enum bp_training_way way,
                     struct bp_memory_parts *out);

/* What remains for the planned matrices' storage when everything that runs together (low-rank
 * parts, outside, KV cache as set) takes total_bytes: a budget of unit BP_BUDGET_TOTAL_BYTES. Where
 * the table's candidates differ in rank the low-rank parts depend on the plan: what remains is then
 * for them and the storage together (counts_low_rank). BP_INFEASIBLE when the rest alone is larger;
 * BP_ERR_USAGE when the table does not say what the model holds. */
enum bp_status bp_memory_budget_total(const struct bp_table *table,
                                      const struct bp_memory_settings *settings, double total_bytes,
                                      struct bp_budget *out, struct bp_err *err);

/* Sets the bits and the precision of a budget of which .asked and .unit are known (out of a session
 * or a plan), the way they were first made: from the shortest decimal of .asked. BP_ERR_USAGE for
 * what no one can have asked for, and what bp_memory_budget_total returns; *budget is then as it
 * was. */
enum bp_status bp_budget_resolve(struct bp_budget *budget, const struct bp_table *table,
                                 const struct bp_memory_settings *settings, struct bp_err *err);

#endif
