/*
 * Which tensors of a model are planned, told from names, dtypes and shapes alone.
 *
 * A name is a path of parts between dots. What is surely not a linear layer of the language model
 * (adapters, other towers, norms, embeddings, heads, routers, remains of another quantizer) is
 * named first, so that a person reads the real reason; what is left must be a 2-D weight of at
 * least 16 x 16 in a numbered layer whose last module is one of the linear layers known below.
 */
#include "engine/quantizable.h"

#include <limits.h>
#include <string.h>
#include <strings.h>

enum { MAX_PARTS = 64, MIN_SIDE = 16, MAX_EXPERTS = 65536 };

struct part {
    const char *s;
    size_t n;
};

struct parts {
    struct part part[MAX_PARTS];
    int n;      /* MAX_PARTS + 1: too many */
    int block;  /* index of "layers" in "layers.7.", -1 when there is none */
    int layer;  /* its number, -1 */
    int module; /* index of the last module, -1 */
};

/* Lists of words, each terminated by NULL. */
static const char *const block_words[] = {"layers", "layer", "h", "blocks", "block", NULL};

static const char *const linear_words[] = {
    /* attention */
    "q_proj", "k_proj", "v_proj", "o_proj", "out_proj", "qkv_proj", "query", "key", "value",
    "query_key_value", "q_lin", "k_lin", "v_lin", "out_lin", "wq", "wk", "wv", "wo", "wqkv", "Wqkv",
    "Wo", "c_attn", "c_proj", "q_a_proj", "q_b_proj", "kv_a_proj_with_mqa", "kv_b_proj",
    /* feed-forward */
    "gate_proj", "up_proj", "down_proj", "gate_up_proj", "fc1", "fc2", "fc_in", "fc_out", "dense",
    "dense_h_to_4h", "dense_4h_to_h", "c_fc", "w1", "w2", "w3", "lin1", "lin2", "Wi",
    "input_linear", "output_linear",
    /* state space */
    "in_proj", "x_proj", "dt_proj", NULL};

static const char *const tower_words[] = {
    /* seeing */
    "sam_model", "qwen2_model", "vision_model", "vision_tower", "vision_encoder", "vision",
    "visual", "vit", "image_encoder", "img_processor", "vision_embed_tokens", "embed_vision",
    /* hearing */
    "audio_tower", "audio_model", "audio_encoder", "speech_model", "speech_encoder", "embed_audio",
    /* between the towers */
    "projector", "mm_projector", "multi_modal_projector", "connector", "resampler", "aligner",
    NULL};

static const char *const head_words[] = {"lm_head", "embed_out",  "score", "classifier",
                                         "pooler",  "qa_outputs", "cls",   NULL};

static const char *const quantized_words[] = {"qweight",       "qzeros",
                                              "scales",        "zeros",
                                              "g_idx",         "SCB",
                                              "absmax",        "quant_map",
                                              "nested_absmax", "nested_quant_map",
                                              "weight_format", "weight_packed",
                                              "weight_shape",  "weight_zero_point",
                                              "weight_g_idx",  NULL};

static const char *const stack_words[] = {"experts", "block_sparse_moe", NULL};

static bool is(struct part part, const char *word)
{
    return strlen(word) == part.n && memcmp(part.s, word, part.n) == 0;
}

static bool is_one_of(struct part part, const char *const *words)
{
    for (; *words; words++)
        if (is(part, *words))
            return true;
    return false;
}

static bool starts(struct part part, const char *word)
{
    size_t n = strlen(word);
    return part.n >= n && memcmp(part.s, word, n) == 0;
}

static bool ends(struct part part, const char *word)
{
    size_t n = strlen(word);
    return part.n >= n && memcmp(part.s + part.n - n, word, n) == 0;
}

/* Ignores the case: LayerNorm, layernorm, Embedding. */
static bool holds(struct part part, const char *word)
{
    size_t n = strlen(word);
    for (size_t i = 0; i + n <= part.n; i++)
        if (strncasecmp(part.s + i, word, n) == 0)
            return true;
    return false;
}

/* The number that a part is, -1 when it is none. */
static int number(struct part part)
{
    int value = 0;
    if (!part.n)
        return -1;
    for (size_t i = 0; i < part.n; i++) {
        if (part.s[i] < '0' || part.s[i] > '9' || value > (INT_MAX - 9) / 10)
            return -1;
        value = value * 10 + (part.s[i] - '0');
    }
    return value;
}

static void split(const char *name, struct parts *parts)
{
    parts->n = 0;
    parts->block = parts->layer = -1;
    for (;;) {
        size_t n = strcspn(name, ".");
        if (parts->n == MAX_PARTS) {
            parts->n++;
            break;
        }
        parts->part[parts->n++] = (struct part){name, n};
        if (!name[n])
            break;
        name += n + 1;
    }
    for (int i = 0; i + 2 < parts->n && parts->n <= MAX_PARTS && parts->block < 0; i++) {
        int layer = number(parts->part[i + 1]);
        if (layer >= 0 && is_one_of(parts->part[i], block_words)) {
            parts->block = i;
            parts->layer = layer;
        }
    }
    parts->module = parts->n <= MAX_PARTS ? parts->n - 2 : -1;
}

/* llama4 and gpt-oss store the stacked experts as a parameter of the module `experts`, without
 * ".weight": the parameter's own name is the layer then. */
static bool bare_experts(const struct parts *parts, unsigned n_dims)
{
    return n_dims == 3 && parts->module >= 0 && is(parts->part[parts->module], "experts") &&
           is_one_of(parts->part[parts->n - 1], linear_words);
}

static bool stacked(const struct parts *parts, unsigned n_dims, const uint64_t *shape)
{
    if (n_dims != 3 || shape[0] > MAX_EXPERTS || parts->n > MAX_PARTS)
        return false;
    for (int i = 0; i < parts->n; i++)
        if (is_one_of(parts->part[i], stack_words))
            return true;
    return false;
}

bool bp_tensor_is_stacked(const char *name, unsigned n_dims, const uint64_t *shape)
{
    struct parts parts;
    split(name, &parts);
    return stacked(&parts, n_dims, shape);
}

size_t bp_tensor_stack_length(const char *name)
{
    struct parts parts;
    split(name, &parts);
    return parts.block < 0 ? 0 : (size_t)(parts.part[parts.block].s - name);
}

static bool is_quantized(const struct parts *parts)
{
    struct part last = parts->part[parts->n - 1];
    for (int i = 0; i < parts->n; i++)
        if (is(parts->part[i], "quant_state"))
            return true;
    return is_one_of(last, quantized_words) || holds(last, "_scale") || ends(last, "_blocks");
}

/* A tower is named in front of its layers. */
static bool is_other_tower(const struct parts *parts)
{
    int n = parts->block >= 0 ? parts->block : parts->n - 1;
    for (int i = 0; i < n; i++)
        if (is_one_of(parts->part[i], tower_words) || ends(parts->part[i], "_tower"))
            return true;
    return false;
}

/* Reasons that one part of the name gives. */
static enum bp_keep_reason part_reason(struct part part)
{
    if (holds(part, "norm") || starts(part, "ln_") || is(part, "ln"))
        return BP_KEEP_NORM;
    if (is_one_of(part, head_words))
        return BP_KEEP_HEAD;
    if (holds(part, "embed") || is(part, "wte") || is(part, "wpe"))
        return BP_KEEP_EMBEDDING;
    if (is(part, "gate") || is(part, "shared_expert_gate") || starts(part, "router"))
        return BP_KEEP_ROUTER;
    return BP_KEEP_PLANNED;
}

/* What the name alone says; BP_KEEP_PLANNED when it excludes nothing. */
static enum bp_keep_reason name_reason(const struct parts *parts)
{
    if (parts->n > MAX_PARTS)
        return BP_KEEP_UNKNOWN_LAYER;
    for (int i = 0; i < parts->n; i++)
        if (starts(parts->part[i], "lora_"))
            return BP_KEEP_ADAPTER;
    if (is_quantized(parts))
        return BP_KEEP_QUANTIZED;
    if (is_other_tower(parts))
        return BP_KEEP_OTHER_TOWER;
    /* The innermost part decides: lm_head.layer_norm is a norm. */
    for (int i = parts->n - 1; i >= 0; i--) {
        enum bp_keep_reason reason = part_reason(parts->part[i]);
        if (reason != BP_KEEP_PLANNED)
            return reason;
    }
    if (parts->block < 0 && parts->module >= 0 && is(parts->part[parts->module], "output"))
        return BP_KEEP_HEAD;
    return BP_KEEP_PLANNED;
}

void bp_tensor_classify(const char *name, enum bp_dtype dtype, unsigned n_dims,
                        const uint64_t *shape, struct bp_tensor_role *role)
{
    struct parts parts;
    struct part kind = {"", 0};
    split(name, &parts);
    bool bare = bare_experts(&parts, n_dims);
    bool stack = stacked(&parts, n_dims, shape);
    if (bare)
        kind = parts.part[parts.n - 1];
    else if (parts.module >= 0)
        kind = parts.part[parts.module];
    role->layer = parts.layer;
    size_t n = kind.n < sizeof role->kind ? kind.n : sizeof role->kind - 1;
    memcpy(role->kind, kind.s, n);
    role->kind[n] = '\0';

    role->reason = name_reason(&parts);
    if (role->reason != BP_KEEP_PLANNED)
        return;
    bool weight = bare || (parts.n > 1 && is(parts.part[parts.n - 1], "weight"));
    if (n_dims != 2 && !stack)
        role->reason = BP_KEEP_NOT_2D;
    else if (!bp_dtype_is_weight(dtype))
        role->reason = BP_KEEP_DTYPE;
    else if (!weight)
        role->reason = BP_KEEP_NOT_WEIGHT;
    else if (shape[n_dims - 1] < MIN_SIDE || shape[n_dims - 2] < MIN_SIDE || shape[0] == 0)
        role->reason = BP_KEEP_TOO_SMALL;
    else if (parts.block < 0)
        role->reason = BP_KEEP_NO_BLOCK;
    else if (!is_one_of(kind, linear_words))
        role->reason = BP_KEEP_UNKNOWN_LAYER;
}

const char *bp_keep_reason_text(enum bp_keep_reason reason)
{
    static const char *const texts[BP_N_KEEP_REASONS] = {
#define BP_KEEP_TEXT(name, text) text,
        BP_KEEP_REASONS(BP_KEEP_TEXT)
#undef BP_KEEP_TEXT
    };
    return texts[reason];
}
