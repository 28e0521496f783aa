/*
 * Models of any size for tests, that take no room on disk: real headers, the data a hole.
 *
 * sparse_model_from_index takes the config.json and the index of a real model and makes its shards,
 * with the shapes that follow from the config and the names. sparse_file makes one file from a
 * list. All values read as zero.
 */
#ifndef BP_TESTS_SPARSE_MODEL_H
#define BP_TESTS_SPARSE_MODEL_H

#include "test_dir.h"

#include "engine/json_read.h"
#include "engine/safetensors.h"

static inline void sparse_file(const char *folder, const char *file, const struct bp_st_spec *specs,
                               size_t n, const struct bp_st_pair *metadata, size_t n_metadata)
{
    unsigned char *head;
    size_t n_head;
    uint64_t length;
    struct bp_err err;
    if (bp_st_build_header(specs, n, metadata, n_metadata, &head, &n_head, NULL, &length, &err))
        fail_msg("%s", err.text);
    test_dir_write_sparse(folder, file, head, n_head, length);
    free(head);
}

struct sparse_sizes {
    uint64_t hidden, inter, moe_inter, heads, kv_heads, head_dim, vocab, experts, shared;
};

static inline uint64_t sparse_field(const struct cJSON *config, const char *key, uint64_t missing)
{
    uint64_t value = missing;
    bp_json_u64(bp_json_member(config, key), &value);
    return value;
}

static inline struct sparse_sizes sparse_sizes_of(const struct cJSON *config)
{
    struct sparse_sizes s;
    s.hidden = sparse_field(config, "hidden_size", 0);
    s.inter = sparse_field(config, "intermediate_size", 0);
    s.moe_inter = sparse_field(config, "moe_intermediate_size", s.inter);
    s.heads = sparse_field(config, "num_attention_heads", 1);
    s.kv_heads = sparse_field(config, "num_key_value_heads", s.heads);
    s.head_dim = sparse_field(config, "head_dim", s.hidden / s.heads);
    s.vocab = sparse_field(config, "vocab_size", 0);
    s.experts =
        sparse_field(config, "n_routed_experts", sparse_field(config, "num_local_experts", 0));
    s.shared = sparse_field(config, "n_shared_experts", 0);
    return s;
}

static inline bool sparse_ends(const char *name, const char *end)
{
    size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

static inline void sparse_shape(struct bp_st_spec *spec, unsigned n_dims, uint64_t a, uint64_t b,
                                uint64_t c, uint64_t d)
{
    const uint64_t shape[4] = {a, b, c, d};
    spec->n_dims = n_dims;
    memcpy(spec->shape, shape, sizeof shape);
}

/* The vision tower "sam_model" (ViT-B) and what joins it, of DeepSeek-OCR2. */
static inline bool sparse_sam_shape(struct bp_st_spec *spec)
{
    const struct {
        const char *end;
        unsigned n_dims;
        uint64_t shape[4];
    } rows[] = {
        {"attn.qkv.weight", 2, {2304, 768}},
        {"attn.qkv.bias", 1, {2304}},
        {"attn.proj.weight", 2, {768, 768}},
        {"attn.proj.bias", 1, {768}},
        {"mlp.lin1.weight", 2, {3072, 768}},
        {"mlp.lin1.bias", 1, {3072}},
        {"mlp.lin2.weight", 2, {768, 3072}},
        {"mlp.lin2.bias", 1, {768}},
        {"neck.0.weight", 4, {256, 768, 1, 1}},
        {"neck.2.weight", 4, {256, 256, 3, 3}},
        {"neck.1.weight", 1, {256}},
        {"neck.3.weight", 1, {256}},
        {"neck.1.bias", 1, {256}},
        {"neck.3.bias", 1, {256}},
        {"net_2.weight", 4, {512, 256, 3, 3}},
        {"net_3.weight", 4, {896, 512, 3, 3}},
        {"embed.proj.weight", 4, {768, 3, 16, 16}},
        {"embed.proj.bias", 1, {768}},
        {"pos_embed", 4, {1, 64, 64, 768}},
        {".norm1.weight", 1, {768}},
        {".norm1.bias", 1, {768}},
        {".norm2.weight", 1, {768}},
        {".norm2.bias", 1, {768}},
    };
    unsigned block = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (sparse_ends(spec->name, rows[i].end)) {
            spec->n_dims = rows[i].n_dims;
            memcpy(spec->shape, rows[i].shape, sizeof rows[i].shape);
            return true;
        }
    /* rel_pos_h and rel_pos_w: the blocks 2, 5, 8 and 11 look at the whole picture, others at
     * windows of 14. */
    if (sscanf(spec->name, "model.sam_model.blocks.%u.attn.rel_pos", &block) != 1)
        return false;
    sparse_shape(spec, 2, block % 3 == 2 ? 127 : 27, 64, 0, 0);
    return true;
}

/* Shape of one tensor by its name; fails the test for a name that it does not know. */
static inline void sparse_shape_by_name(struct bp_st_spec *spec, struct sparse_sizes s)
{
    const char *name = spec->name;
    if (strstr(name, "sam_model.")) {
        if (!sparse_sam_shape(spec))
            fail_msg("no shape for %s", name);
        return;
    }
    if (strstr(name, "qwen2_model.")) /* Qwen2-0.5B */
        s = (struct sparse_sizes){896, 4864, 4864, 14, 2, 64, 0, 0, 0};
    uint64_t inter = strstr(name, ".experts.")         ? s.moe_inter
                     : strstr(name, "shared_experts.") ? s.moe_inter * s.shared
                                                       : s.inter;
    uint64_t q = s.heads * s.head_dim, kv = s.kv_heads * s.head_dim;
    const struct {
        const char *end;
        uint64_t rows, columns; /* columns 0: one dimension */
    } rows[] = {
        {"embed_tokens.weight", s.vocab, s.hidden},
        {"lm_head.weight", s.vocab, s.hidden},
        {"norm.weight", s.hidden, 0},
        {"q_proj.weight", q, s.hidden},
        {".k_proj.weight", kv, s.hidden},
        {".v_proj.weight", kv, s.hidden},
        {"q_proj.bias", q, 0},
        {"k_proj.bias", kv, 0},
        {"v_proj.bias", kv, 0},
        {"o_proj.weight", s.hidden, q},
        {"qkv_proj.weight", q + 2 * kv, s.hidden},
        {"gate_up_proj.weight", 2 * inter, s.hidden},
        {"gate_proj.weight", inter, s.hidden},
        {"up_proj.weight", inter, s.hidden},
        {"down_proj.weight", s.hidden, inter},
        {"gate.weight", s.experts, s.hidden},
        {"w1.weight", inter, s.hidden},
        {"w3.weight", inter, s.hidden},
        {"w2.weight", s.hidden, inter},
        {"projector.layers.weight", s.hidden, 896},
        {"projector.layers.bias", s.hidden, 0},
        {"view_seperator", s.hidden, 0},
        {"query_768.weight", 144, 896},
        {"query_1024.weight", 256, 896},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (sparse_ends(name, rows[i].end)) {
            sparse_shape(spec, rows[i].columns ? 2 : 1, rows[i].rows, rows[i].columns, 0, 0);
            return;
        }
    fail_msg("no shape for %s", name);
}

struct sparse_entry {
    const char *tensor, *shard;
};

static inline int sparse_compare(const void *a, const void *b)
{
    const struct sparse_entry *x = a, *y = b;
    int order = strcmp(x->shard, y->shard);
    return order ? order : strcmp(x->tensor, y->tensor);
}

static inline struct cJSON *sparse_copy_json(const char *from, const char *to, const char *file)
{
    char *path = test_dir_join(from, file);
    struct cJSON *root = NULL;
    struct bp_err err;
    if (bp_json_read_file(path, &root, &err))
        fail_msg("%s", err.text);
    FILE *in = fopen(path, "rb");
    assert_non_null(in);
    char *text = malloc(4 << 20);
    assert_non_null(text);
    size_t n = fread(text, 1, 4 << 20, in);
    fclose(in);
    test_dir_write(to, file, text, n);
    free(text);
    free(path);
    return root;
}

/* Makes in `to` the shards that the index in `from` names, and copies both JSON files there. */
static inline void sparse_model_from_index(const char *from, const char *to)
{
    struct cJSON *config = sparse_copy_json(from, to, "config.json");
    struct cJSON *index = sparse_copy_json(from, to, "model.safetensors.index.json");
    const struct cJSON *map = bp_json_member(index, "weight_map");
    const char *type = bp_json_string(bp_json_member(config, "torch_dtype"));
    struct sparse_sizes sizes = sparse_sizes_of(config);
    size_t n = bp_json_count(map), n_entries = 0;
    struct sparse_entry *entries = calloc(n, sizeof *entries);
    struct bp_st_spec *specs = calloc(n, sizeof *specs);
    assert_true(entries && specs && type);
    for (const struct cJSON *node = bp_json_first(map); node; node = bp_json_next(node))
        entries[n_entries++] = (struct sparse_entry){bp_json_key(node), bp_json_string(node)};
    qsort(entries, n, sizeof *entries, sparse_compare);
    for (size_t i = 0; i < n;) {
        size_t n_specs = 0;
        const char *shard = entries[i].shard;
        for (; i < n && strcmp(entries[i].shard, shard) == 0; i++) {
            struct bp_st_spec *spec = &specs[n_specs++];
            spec->name = entries[i].tensor;
            spec->dtype = strcmp(type, "float16") == 0 ? BP_DTYPE_F16 : BP_DTYPE_BF16;
            sparse_shape_by_name(spec, sizes);
        }
        struct bp_st_pair format = {(char[]){"format"}, (char[]){"pt"}};
        sparse_file(to, shard, specs, n_specs, &format, 1);
    }
    free(specs);
    free(entries);
    bp_json_free(index);
    bp_json_free(config);
}

#endif
