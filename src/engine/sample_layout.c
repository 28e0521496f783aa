#include "engine/sample_layout.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "engine/mem.h"

enum {
    TENSORS_PER_LAYER = 9,
    TENSORS_OUTSIDE = 3,
    MAX_LAYERS = 1000,
    MAX_SHARDS = 99999,     /* five digits in a shard's name */
    HEADER_PER_TENSOR = 256 /* more than a tensor takes in a shard's header */
};

/* Sides above this are refused: a product of two fits then. */
static const uint64_t MAX_SIDE = INT32_MAX;

/* A file offset is 63 bits, and sums of a few sizes are to fit as well. */
static const uint64_t MAX_PARAMS = INT64_MAX / 8;

/* llama's reference code: two thirds of 4 * hidden, up to the next multiple of 256. */
static uint64_t llama_intermediate(uint64_t hidden)
{
    return (8 * hidden / 3 + 255) / 256 * 256;
}

/* Rows a head: 128 as in the large models, 64 in small ones, 16 in tiny ones; smaller where a head
 * would not divide the keys' width. kv_dim is a multiple of 16, so the last one always fits. */
static uint64_t head_dim_of(uint64_t hidden, uint64_t kv_dim)
{
    if (hidden >= 4096 && hidden % 128 == 0 && kv_dim % 128 == 0)
        return 128;
    if (hidden >= 1024 && kv_dim % 64 == 0)
        return 64;
    return 16;
}

static enum bp_status check_side(const char *what, uint64_t side, struct bp_err *err)
{
    if (side < 1 || side > MAX_SIDE)
        return bp_fail(err, BP_ERR_USAGE, "%s is %" PRIu64 ", but must be 1 to %" PRIu64, what,
                       side, MAX_SIDE);
    return BP_OK;
}

/* Fills in what 0 stands for and refuses what makes no Llama. */
static enum bp_status check_options(struct bp_sample_options *o, struct bp_err *err)
{
    if (o->layers < 1 || o->layers > MAX_LAYERS)
        return bp_fail(err, BP_ERR_USAGE, "layers is %" PRIu64 ", but must be 1 to %d", o->layers,
                       MAX_LAYERS);
    BP_TRY(check_side("hidden", o->hidden, err));
    if (o->hidden % 64 != 0)
        return bp_fail(err, BP_ERR_USAGE, "hidden is %" PRIu64 ", but must be a multiple of 64",
                       o->hidden);
    if (o->intermediate == 0)
        o->intermediate = llama_intermediate(o->hidden);
    BP_TRY(check_side("intermediate", o->intermediate, err));
    if (o->kv_dim == 0)
        o->kv_dim = o->hidden;
    if (o->kv_dim % 16 != 0 || o->hidden % o->kv_dim != 0)
        return bp_fail(err, BP_ERR_USAGE,
                       "kv_dim is %" PRIu64 ", but must be a multiple of 16 that divides hidden "
                       "(%" PRIu64 ")",
                       o->kv_dim, o->hidden);
    return check_side("vocab", o->vocab, err);
}

/* --- tensors --- */

/* Adds a tensor; false when out of memory. The count of params stops above MAX_PARAMS. */
static bool add_tensor(struct bp_sample_layout *layout, char *name, enum bp_sample_kind kind,
                       uint64_t rows, uint64_t cols, double depth)
{
    layout->tensors[layout->n_tensors++] = (struct bp_sample_tensor){
        .name = name, .kind = kind, .rows = rows, .cols = cols, .depth = depth};
    if (layout->params <= MAX_PARAMS)
        layout->params += rows * cols;
    return name != NULL;
}

static bool add_layer(struct bp_sample_layout *layout, uint64_t layer)
{
    const struct bp_sample_options *o = &layout->options;
    const struct {
        const char *name;
        enum bp_sample_kind kind;
        uint64_t rows, cols;
    } parts[TENSORS_PER_LAYER] = {
        {"input_layernorm", BP_SAMPLE_NORM, 1, o->hidden},
        {"self_attn.q_proj", BP_SAMPLE_Q, o->hidden, o->hidden},
        {"self_attn.k_proj", BP_SAMPLE_K, o->kv_dim, o->hidden},
        {"self_attn.v_proj", BP_SAMPLE_V, o->kv_dim, o->hidden},
        {"self_attn.o_proj", BP_SAMPLE_O, o->hidden, o->hidden},
        {"post_attention_layernorm", BP_SAMPLE_NORM, 1, o->hidden},
        {"mlp.gate_proj", BP_SAMPLE_GATE, o->intermediate, o->hidden},
        {"mlp.up_proj", BP_SAMPLE_UP, o->intermediate, o->hidden},
        {"mlp.down_proj", BP_SAMPLE_DOWN, o->hidden, o->intermediate},
    };
    double depth = o->layers > 1 ? (double)layer / (double)(o->layers - 1) : 0.5;
    bool ok = true;
    for (size_t i = 0; ok && i < TENSORS_PER_LAYER; i++)
        ok = add_tensor(layout,
                        bp_format("model.layers.%" PRIu64 ".%s.weight", layer, parts[i].name),
                        parts[i].kind, parts[i].rows, parts[i].cols, depth);
    return ok;
}

static bool add_tensors(struct bp_sample_layout *layout)
{
    const struct bp_sample_options *o = &layout->options;
    bool ok = add_tensor(layout, bp_strdup("model.embed_tokens.weight"), BP_SAMPLE_EMBEDDING,
                         o->vocab, o->hidden, 0);
    for (uint64_t i = 0; ok && i < o->layers; i++)
        ok = add_layer(layout, i);
    return ok &&
           add_tensor(layout, bp_strdup("model.norm.weight"), BP_SAMPLE_NORM, 1, o->hidden, 1) &&
           add_tensor(layout, bp_strdup("lm_head.weight"), BP_SAMPLE_HEAD, o->vocab, o->hidden, 1);
}

/* Puts tensors into files in their order; a file is closed when the next tensor does not fit. */
static void assign_shards(struct bp_sample_layout *layout, uint64_t shard_bytes)
{
    uint64_t used = 0;
    size_t shard = 0;
    for (size_t i = 0; i < layout->n_tensors; i++) {
        struct bp_sample_tensor *t = &layout->tensors[i];
        uint64_t bytes = t->rows * t->cols * 2 + HEADER_PER_TENSOR;
        if (i > 0 && (used > shard_bytes || bytes > shard_bytes - used)) {
            shard++;
            used = 0;
        }
        if (used == 0)
            used = HEADER_PER_TENSOR; /* the header's length and __metadata__ */
        t->shard = shard;
        used += bytes;
    }
    layout->n_shards = shard + 1;
}

enum bp_status bp_sample_layout_init(struct bp_sample_layout *layout,
                                     const struct bp_sample_options *options, uint64_t shard_bytes,
                                     struct bp_err *err)
{
    *layout = (struct bp_sample_layout){.options = *options};
    BP_TRY(check_options(&layout->options, err));
    layout->head_dim = head_dim_of(layout->options.hidden, layout->options.kv_dim);
    size_t n = TENSORS_OUTSIDE + (size_t)layout->options.layers * TENSORS_PER_LAYER;
    layout->tensors = bp_alloc_zero(n, sizeof *layout->tensors);
    if (!layout->tensors)
        return bp_fail_nomem(err);
    enum bp_status status = BP_OK;
    if (!add_tensors(layout))
        status = bp_fail_nomem(err);
    else if (layout->params > MAX_PARAMS)
        status = bp_fail(err, BP_ERR_USAGE,
                         "layers, hidden, intermediate and vocab make a model above the limit of "
                         "%" PRIu64 " parameters",
                         MAX_PARAMS);
    if (status == BP_OK) {
        assign_shards(layout, shard_bytes);
        if (layout->n_shards > MAX_SHARDS)
            status = bp_fail(err, BP_ERR_USAGE, "the model would take %zu files, %d is the limit",
                             layout->n_shards, MAX_SHARDS);
    }
    if (status != BP_OK)
        bp_sample_layout_done(layout);
    return status;
}

void bp_sample_layout_done(struct bp_sample_layout *layout)
{
    for (size_t i = 0; i < layout->n_tensors; i++)
        free(layout->tensors[i].name);
    free(layout->tensors);
    *layout = (struct bp_sample_layout){0};
}

/* --- names and texts --- */

char *bp_sample_shard_name(const struct bp_sample_layout *layout, size_t i)
{
    if (layout->n_shards == 1)
        return bp_strdup("model.safetensors");
    return bp_format("model-%05zu-of-%05zu.safetensors", i + 1, layout->n_shards);
}

char *bp_sample_config_json(const struct bp_sample_layout *layout)
{
    const struct bp_sample_options *o = &layout->options;
    return bp_format("{\n"
                     "  \"architectures\": [\"LlamaForCausalLM\"],\n"
                     "  \"attention_bias\": false,\n"
                     "  \"bitplan_seed\": \"%" PRIu64 "\",\n"
                     "  \"bitplan_synthetic\": true,\n"
                     "  \"head_dim\": %" PRIu64 ",\n"
                     "  \"hidden_act\": \"silu\",\n"
                     "  \"hidden_size\": %" PRIu64 ",\n"
                     "  \"initializer_range\": 0.02,\n"
                     "  \"intermediate_size\": %" PRIu64 ",\n"
                     "  \"max_position_embeddings\": 4096,\n"
                     "  \"mlp_bias\": false,\n"
                     "  \"model_type\": \"llama\",\n"
                     "  \"num_attention_heads\": %" PRIu64 ",\n"
                     "  \"num_hidden_layers\": %" PRIu64 ",\n"
                     "  \"num_key_value_heads\": %" PRIu64 ",\n"
                     "  \"rms_norm_eps\": 1e-05,\n"
                     "  \"rope_scaling\": null,\n"
                     "  \"rope_theta\": 10000.0,\n"
                     "  \"tie_word_embeddings\": false,\n"
                     "  \"torch_dtype\": \"bfloat16\",\n"
                     "  \"transformers_version\": \"4.44.0\",\n"
                     "  \"use_cache\": true,\n"
                     "  \"vocab_size\": %" PRIu64 "\n"
                     "}\n",
                     o->seed, layout->head_dim, o->hidden, o->intermediate,
                     o->hidden / layout->head_dim, o->layers, o->kv_dim / layout->head_dim,
                     o->vocab);
}

char *bp_sample_index_json(const struct bp_sample_layout *layout)
{
    char *text = NULL;
    size_t n_text;
    FILE *f = open_memstream(&text, &n_text);
    if (!f)
        return NULL;
    bool ok = true;
    fprintf(f, "{\n  \"metadata\": {\n    \"total_size\": %" PRIu64 "\n  },\n  \"weight_map\": {",
            2 * layout->params);
    for (size_t i = 0; ok && i < layout->n_tensors; i++) {
        char *file = bp_sample_shard_name(layout, layout->tensors[i].shard);
        ok = file &&
             fprintf(f, "%s\n    \"%s\": \"%s\"", i ? "," : "", layout->tensors[i].name, file) > 0;
        free(file);
    }
    ok = fputs("\n  }\n}\n", f) >= 0 && ok && !ferror(f);
    ok = fclose(f) == 0 && ok;
    if (!ok) {
        free(text);
        return NULL;
    }
    return text;
}
