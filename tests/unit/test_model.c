/* Models on disk: folders, shards, tied tensors, experts, filters, fingerprints, reading. */
#include "sparse_model.h"

#include <math.h>
#include <xxhash.h>

#include "engine/model.h"

#define INDEX        "model.safetensors.index.json"
#define COUNT(array) (sizeof(array) / sizeof *(array))

static struct bp_model *opened_with(const char *path, const struct bp_model_filter *filter)
{
    struct bp_model *model;
    struct bp_err err;
    if (bp_model_open(path, filter, &model, &err) != BP_OK)
        fail_msg("%s", err.text);
    return model;
}

static struct bp_model *opened(const char *path)
{
    return opened_with(path, NULL);
}

static void refused_with(const char *path, const struct bp_model_filter *filter,
                         enum bp_status wanted, const char *words)
{
    struct bp_model *model;
    struct bp_err err = {""};
    enum bp_status status = bp_model_open(path, filter, &model, &err);
    assert_null(model);
    if (status != wanted || !strstr(err.text, words) || strchr(err.text, '\n'))
        fail_msg("status %d: %s", status, err.text);
}

static void refused(const char *path, const char *words)
{
    refused_with(path, NULL, BP_ERR_INPUT, words);
}

static bool warned(const struct bp_model *model, const char *words)
{
    for (size_t i = 0; i < model->n_warnings; i++)
        if (strstr(model->warnings[i], words))
            return true;
    return false;
}

static const struct bp_model_tensor *tensor(const struct bp_model *model, const char *name)
{
    for (size_t i = 0; i < model->n_tensors; i++)
        if (strcmp(model->tensors[i].t->name, name) == 0)
            return &model->tensors[i];
    return NULL;
}

/* Writes bytes into a tensor of a file made by sparse_file. */
static void poke(const char *folder, const char *file, const char *name, uint64_t at,
                 const void *bytes, size_t n)
{
    char *path = test_dir_join(folder, file);
    struct bp_st *st;
    struct bp_err err;
    assert_int_equal(bp_st_open(path, &st, &err), BP_OK);
    const struct bp_st_tensor *t = bp_st_find(st, name);
    assert_non_null(t);
    int fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, n, (off_t)(8 + st->header_bytes + t->begin + at)), n);
    close(fd);
    bp_st_close(st);
    free(path);
}

#define W2(name)               \
    {                          \
        name, BP_DTYPE_F32, 2, \
        {                      \
            16, 32             \
        }                      \
    }

/* Two layers in the order of a careless writer, an embedding and a head. */
static const struct bp_st_spec small[] = {
    {"lm_head.weight", BP_DTYPE_F32, 2, {64, 32}},
    {"model.embed_tokens.weight", BP_DTYPE_F32, 2, {64, 32}},
    W2("model.layers.10.mlp.down_proj.weight"),
    W2("model.layers.10.self_attn.q_proj.weight"),
    W2("model.layers.2.mlp.down_proj.weight"),
    W2("model.layers.2.mlp.gate_proj.weight"),
    W2("model.layers.2.mlp.up_proj.weight"),
    W2("model.layers.2.self_attn.k_proj.weight"),
    W2("model.layers.2.self_attn.o_proj.weight"),
    W2("model.layers.2.self_attn.q_proj.weight"),
    W2("model.layers.2.self_attn.v_proj.weight"),
    {"model.layers.2.input_layernorm.weight", BP_DTYPE_F32, 1, {32}},
    {"model.norm.weight", BP_DTYPE_F32, 1, {32}},
};

static char *make_small(void)
{
    char *dir = test_dir_make();
    sparse_file(dir, "model.safetensors", small, COUNT(small), NULL, 0);
    return dir;
}

/* The same in two shards with an index; *specs of `small` are split after `n_first`. */
static char *make_sharded(size_t n_first, const char *extra_metadata)
{
    char *dir = test_dir_make(), json[4000];
    int n = snprintf(json, sizeof json, "{\"metadata\":{%s},\"weight_map\":{", extra_metadata);
    sparse_file(dir, "a.safetensors", small, n_first, NULL, 0);
    sparse_file(dir, "b.safetensors", small + n_first, COUNT(small) - n_first, NULL, 0);
    for (size_t i = 0; i < COUNT(small); i++)
        n += snprintf(json + n, sizeof json - (size_t)n, "%s\"%s\":\"%c.safetensors\"",
                      i ? "," : "", small[i].name, i < n_first ? 'a' : 'b');
    snprintf(json + n, sizeof json - (size_t)n, "}}");
    test_dir_write_text(dir, INDEX, json);
    return dir;
}

/* --- real models --- */

static void count_real(const char *name, size_t n_tensors, size_t n_matrices,
                       const char *architecture)
{
    char folder[100];
    snprintf(folder, sizeof folder, "data/hf-index/%s", name);
    char *from = test_shared(folder), *dir = test_dir_make();
    sparse_model_from_index(from, dir);
    struct bp_model *model = opened(dir);
    assert_int_equal(model->n_tensors, n_tensors);
    assert_int_equal(model->n_matrices, n_matrices);
    assert_string_equal(model->architecture, architecture);
    assert_int_equal(model->n_warnings, 0); /* the index's total_size agrees, among others */
    for (size_t i = 1; i < model->n_matrices; i++)
        assert_true(model->matrices[i - 1].layer <= model->matrices[i].layer);
    bp_model_close(model);
    test_dir_remove(dir);
    free(from);
}

static void llama_70b_has_560_matrices(void **state)
{
    (void)state;
    count_real("llama-70b", 723, 560, "LlamaForCausalLM");
}

static void mixtral_8x22b_has_1568_matrices(void **state)
{
    (void)state;
    count_real("mixtral-8x22b", 1739, 1568, "MixtralForCausalLM");
}

static void phi3_has_128_matrices(void **state)
{
    (void)state;
    count_real("phi3-3b", 195, 128, "Phi3ForCausalLM");
}

static void gemma_2b_has_126_matrices(void **state)
{
    (void)state;
    count_real("gemma-2b", 164, 126, "GemmaForCausalLM");
}

static void ocr2_has_2196_matrices_and_168_more_with_its_tower(void **state)
{
    (void)state;
    char *from = test_shared("data/hf-index/deepseek-ocr2-moe"), *dir = test_dir_make();
    sparse_model_from_index(from, dir);
    struct bp_model *model = opened(dir);
    assert_int_equal(model->n_tensors, 2707);
    assert_int_equal(model->n_matrices, 2196);
    assert_string_equal(model->architecture, "DeepseekOCR2ForCausalLM");
    char *fingerprint = strdup(model->fingerprint);
    bp_model_close(model);
    const char *include = "qwen2_model.*_proj\\.weight$";
    model = opened_with(dir, &(struct bp_model_filter){.include = &include, .n_include = 1});
    assert_int_equal(model->n_matrices, 2196 + 168);
    assert_string_equal(model->fingerprint, fingerprint);
    /* One stack of layers after the other, experts by number. */
    assert_string_equal(model->matrices[2195].name,
                        "model.layers.11.mlp.shared_experts.down_proj.weight");
    assert_string_equal(model->matrices[2196].name,
                        "model.qwen2_model.model.model.layers.0.self_attn.q_proj.weight");
    const char *const order[] = {"model.layers.1.self_attn.q_proj.weight",
                                 "model.layers.1.self_attn.k_proj.weight",
                                 "model.layers.1.self_attn.v_proj.weight",
                                 "model.layers.1.self_attn.o_proj.weight",
                                 "model.layers.1.mlp.experts.0.gate_proj.weight",
                                 "model.layers.1.mlp.experts.1.gate_proj.weight",
                                 "model.layers.1.mlp.experts.2.gate_proj.weight"};
    for (size_t i = 0; i < COUNT(order); i++)
        assert_string_equal(model->matrices[7 + i].name, order[i]);
    bp_model_close(model);
    free(fingerprint);
    test_dir_remove(dir);
    free(from);
}

static void opens_a_real_tied_model(void **state)
{
    (void)state;
    char *dir = test_shared("data/story-656K");
    struct bp_model *model = opened(dir);
    struct bp_err err;
    float W[128 * 384];
    assert_string_equal(model->name, "story-656K");
    assert_string_equal(model->fingerprint, "xxh3:8c700e0dc9b0ce95a6d5a479d893cb39");
    assert_false(model->synthetic);
    assert_int_equal(model->n_matrices, 14);
    assert_int_equal(model->params, 656000);
    assert_int_equal(model->params_planned, 2 * (2 * 128 * 128 + 2 * 64 * 128 + 3 * 384 * 128));
    assert_int_equal(model->bytes_outside, 4 * (model->params - model->params_planned));
    assert_int_equal(model->n_aliases, 1);
    assert_string_equal(model->aliases[0].key, "model.embed_tokens.weight");
    assert_string_equal(model->aliases[0].value, "lm_head.weight");
    assert_int_equal(model->n_warnings, 0);
    assert_string_equal(model->matrices[6].kind, "down_proj");
    assert_int_equal(bp_model_read(model, 6, W, &err), BP_OK);
    assert_true(W[100] == -0.0625f);
    bp_model_close(model);
    free(dir);
}

/* --- folders and files --- */

static void lists_layers_and_kinds_in_the_usual_order(void **state)
{
    (void)state;
    static const char *const matrices[] = {
        "2.self_attn.q_proj", "2.self_attn.k_proj",  "2.self_attn.v_proj",
        "2.self_attn.o_proj", "2.mlp.gate_proj",     "2.mlp.up_proj",
        "2.mlp.down_proj",    "10.self_attn.q_proj", "10.mlp.down_proj"};
    char *dir = make_small(), name[100];
    struct bp_model *model = opened(dir);
    assert_int_equal(model->n_matrices, COUNT(matrices));
    for (size_t i = 0; i < COUNT(matrices); i++) {
        const struct bp_matrix *m = &model->matrices[i];
        snprintf(name, sizeof name, "model.layers.%s.weight", matrices[i]);
        assert_string_equal(m->name, name);
        assert_int_equal(m->layer, i < 7 ? 2 : 10);
        assert_string_equal(m->kind, strrchr(matrices[i], '.') + 1);
        assert_int_equal(m->d, 16);
        assert_int_equal(m->k, 32);
    }
    assert_string_equal(model->tensors[7].t->name, "model.layers.2.input_layernorm.weight");
    assert_string_equal(model->tensors[10].t->name, "lm_head.weight");
    assert_string_equal(model->tensors[12].t->name, "model.norm.weight");
    assert_string_equal(model->architecture, "");
    bp_model_close(model);
    test_dir_remove(dir);
}

static void names_come_from_the_path(void **state)
{
    (void)state;
    char *dir = make_small(), *slash = test_dir_join(dir, ""), *sub = test_dir_join(dir, "M.v1");
    char *file = test_dir_join(dir, "model.safetensors"), *json = test_dir_join(dir, "x.json");
    struct bp_model *model = opened(slash);
    assert_string_equal(model->name, strrchr(dir, '/') + 1);
    bp_model_close(model);
    model = opened(file);
    assert_string_equal(model->name, "model");
    assert_int_equal(model->n_matrices, 9);
    bp_model_close(model);
    refused(sub, "No such file");
    assert_int_equal(mkdir(sub, 0777), 0);
    refused(sub, "holds neither model.safetensors nor " INDEX);
    test_dir_write_text(dir, "x.json", "{}");
    refused(json, "is a JSON file");
    free(json);
    free(file);
    free(sub);
    free(slash);
    test_dir_remove(dir);
}

static void takes_a_lone_file_but_does_not_guess(void **state)
{
    (void)state;
    char *dir = test_dir_make();
    sparse_file(dir, "other.safetensors", small, COUNT(small), NULL, 0);
    test_dir_write_text(dir, ".hidden.safetensors", "x");
    struct bp_model *model = opened(dir);
    assert_int_equal(model->n_matrices, 9);
    bp_model_close(model);
    sparse_file(dir, "second.safetensors", small, COUNT(small), NULL, 0);
    refused(dir, "holds 2 safetensors files (other.safetensors, second.safetensors, ...)");
    test_dir_remove(dir);
}

static void prefers_the_single_file_and_says_so(void **state)
{
    (void)state;
    char *dir = make_small();
    test_dir_write_text(dir, INDEX, "not even JSON");
    struct bp_model *model = opened(dir);
    assert_true(warned(model, "model.safetensors is used"));
    bp_model_close(model);
    test_dir_remove(dir);
}

static void config_is_optional_but_must_be_json(void **state)
{
    (void)state;
    char *dir = make_small();
    test_dir_write_text(dir, "config.json", "{\n\"architectures\": [\"A\"],\n}");
    refused(dir, "config.json: line 3:");
    test_dir_write_text(dir, "config.json", "[]");
    struct bp_model *model = opened(dir);
    assert_true(warned(model, "not an object"));
    bp_model_close(model);
    test_dir_write_text(dir, "config.json",
                        "{\"architectures\": 7, \"tie_word_embeddings\": \"yes\","
                        "\"num_hidden_layers\": -1.5, \"quantization_config\": {}}");
    model = opened(dir);
    assert_string_equal(model->architecture, "");
    assert_true(warned(model, "\"architectures\""));
    assert_true(warned(model, "\"tie_word_embeddings\""));
    assert_true(warned(model, "\"num_hidden_layers\""));
    assert_true(warned(model, "already quantized"));
    assert_int_equal(model->n_warnings, 4);
    bp_model_close(model);
    test_dir_write_text(dir, "config.json",
                        "{\"text_config\": {\"architectures\": [\"Inner\"],"
                        "\"num_hidden_layers\": 12}, \"quantization_config\": null}");
    model = opened(dir);
    assert_string_equal(model->architecture, "Inner");
    assert_true(warned(model, "says 12 layers, the files hold 11"));
    assert_int_equal(model->n_warnings, 1);
    bp_model_close(model);
    test_dir_remove(dir);
}

static void synthetic_models_are_marked(void **state)
{
    (void)state;
    char *dir = test_dir_make();
    struct bp_st_pair mark = {(char[]){"bitplan.synthetic"}, (char[]){"true"}};
    sparse_file(dir, "model.safetensors", small, COUNT(small), &mark, 1);
    struct bp_model *model = opened(dir);
    assert_true(model->synthetic);
    bp_model_close(model);
    test_dir_remove(dir);
}

/* --- shards --- */

static void shards_make_one_model(void **state)
{
    (void)state;
    char *one = make_small(), *two = make_sharded(5, "");
    struct bp_model *a = opened(one), *b = opened(two);
    assert_int_equal(b->n_files, 2);
    assert_int_equal(a->n_matrices, b->n_matrices);
    for (size_t i = 0; i < a->n_matrices; i++)
        assert_string_equal(a->matrices[i].name, b->matrices[i].name);
    assert_string_equal(a->fingerprint, b->fingerprint);
    assert_int_equal(b->n_warnings, 0);
    bp_model_close(a);
    bp_model_close(b);
    test_dir_remove(one);
    test_dir_remove(two);
}

static void index_must_be_what_an_index_is(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"{", INDEX ": line 1:"},
        {"[]", "an object with \"weight_map\" is expected"},
        {"{}", "\"weight_map\" is missing"},
        {"{\"weight_map\":[]}", "\"weight_map\" must be an object"},
        {"{\"weight_map\":{}}", "weight_map is empty"},
        {"{\"weight_map\":{\"t\":1}}", "the shard of tensor t is not a string"},
        {"{\"weight_map\":{\"t\":\"../a.safetensors\"}}", "is not a plain file name"},
        {"{\"weight_map\":{\"t\":\"/etc/passwd\"}}", "is not a plain file name"},
        {"{\"weight_map\":{\"t\":\"sub/a.safetensors\"}}", "is not a plain file name"},
        {"{\"weight_map\":{\"t\":\"..\"}}", "is not a plain file name"},
        {"{\"weight_map\":{\"t\":\"\"}}", "is not a plain file name"},
        {"{\"weight_map\":{\"t\":\"a\\\\b\"}}", "is not a plain file name"},
        {"{\"weight_map\":{\"t\":\"a.safetensors\",\"t\":\"b.safetensors\"}}",
         "the key \"t\" appears twice"},
        {"{\"weight_map\":{\"t\":\"a.safetensors\",\"u\":\"no.safetensors\"}}",
         "the shard no.safetensors is missing (1 of 2 are); download it"},
        {"{\"weight_map\":{\"nobody\":\"a.safetensors\"}}",
         "a.safetensors: has no tensor nobody, which " INDEX " places there"},
    };
    char *dir = make_sharded(5, "");
    for (size_t i = 0; i < COUNT(bad); i++) {
        test_dir_write_text(dir, INDEX, bad[i][0]);
        refused(dir, bad[i][1]);
    }
    test_dir_remove(dir);
}

static void index_may_be_incomplete(void **state)
{
    (void)state;
    char *dir = make_sharded(5, "\"total_size\":100");
    struct bp_model *model = opened(dir);
    assert_true(warned(model, "total_size says 100 bytes, the shards hold 35,072"));
    assert_int_equal(model->n_warnings, 1);
    bp_model_close(model);
    test_dir_write_text(dir, INDEX,
                        "{\"weight_map\":{\"lm_head.weight\":\"a.safetensors\","
                        "\"model.norm.weight\":\"b.safetensors\"}}");
    model = opened(dir);
    assert_true(warned(model, "11 tensors of the shards not listed (first: "));
    assert_int_equal(model->n_matrices, 9);
    bp_model_close(model);
    test_dir_remove(dir);
}

static void one_tensor_in_two_shards_is_an_error(void **state)
{
    (void)state;
    char *dir = make_sharded(5, "");
    sparse_file(dir, "b.safetensors", small + 4, COUNT(small) - 4, NULL, 0);
    refused(dir, "tensor model.layers.2.mlp.down_proj.weight is also in");
    test_dir_remove(dir);
}

static void a_broken_shard_is_named(void **state)
{
    (void)state;
    char *dir = make_sharded(5, ""), *shard = test_dir_join(dir, "b.safetensors");
    struct stat info;
    assert_int_equal(stat(shard, &info), 0);
    assert_int_equal(truncate(shard, info.st_size - 10), 0);
    refused(dir, "b.safetensors: truncated, 10 bytes missing");
    test_dir_write_text(dir, "b.safetensors",
                        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1234\n");
    refused(dir, "b.safetensors: is a Git LFS pointer (real size 1,234 bytes); run git lfs pull");
    free(shard);
    test_dir_remove(dir);
}

/* --- tied tensors --- */

static void aliases_are_followed_and_counted_once(void **state)
{
    (void)state;
    char *dir = test_dir_make();
    struct bp_st_pair pairs[] = {
        {(char[]){"format"}, (char[]){"pt"}},
        {(char[]){"other.name"}, (char[]){"lm_head.weight"}},
        {(char[]){"lm_head.weight"}, (char[]){"model.norm.weight"}}, /* stored itself: no alias */
        {(char[]){"a.name"}, (char[]){"nothing.weight"}},
    };
    sparse_file(dir, "model.safetensors", small, COUNT(small), pairs, COUNT(pairs));
    struct bp_model *model = opened(dir);
    assert_int_equal(model->n_aliases, 1);
    assert_string_equal(model->aliases[0].key, "other.name");
    assert_int_equal(model->n_tensors, COUNT(small));
    bp_model_close(model);
    test_dir_remove(dir);
}

static void a_tied_head_stored_twice_counts_once(void **state)
{
    (void)state;
    char *dir = make_small();
    struct bp_model *model = opened(dir);
    uint64_t params = model->params, outside = model->bytes_outside;
    char *fingerprint = strdup(model->fingerprint);
    bp_model_close(model);
    test_dir_write_text(dir, "config.json", "{\"tie_word_embeddings\":true}");
    model = opened(dir);
    assert_int_equal(model->params, params - 64 * 32);
    assert_int_equal(model->bytes_outside, outside - 64 * 32 * 4);
    assert_null(tensor(model, "lm_head.weight"));
    assert_int_equal(model->n_aliases, 1);
    assert_string_equal(model->aliases[0].value, "model.embed_tokens.weight");
    assert_true(warned(model, "counted once"));
    assert_string_equal(model->fingerprint, fingerprint);
    bp_model_close(model);
    free(fingerprint);
    float one = 1;
    poke(dir, "model.safetensors", "lm_head.weight", 64 * 32 * 4 - 4, &one, 4);
    model = opened(dir);
    assert_int_equal(model->params, params);
    assert_int_equal(model->n_aliases, 0);
    assert_true(warned(model, "both are counted"));
    bp_model_close(model);
    test_dir_remove(dir);
}

/* --- experts --- */

static void stacked_experts_become_matrices(void **state)
{
    (void)state;
    static const struct bp_st_spec specs[] = {
        {"model.layers.0.mlp.experts.gate_up_proj", BP_DTYPE_BF16, 3, {12, 32, 16}},
        {"model.layers.0.block_sparse_moe.output_linear.weight", BP_DTYPE_F32, 3, {2, 16, 48}},
    };
    char *dir = test_dir_make();
    sparse_file(dir, "model.safetensors", specs, 2, NULL, 0);
    const uint16_t two = 0x4000; /* 2.0 in BF16 */
    poke(dir, "model.safetensors", specs[0].name, (11 * 512 + 7) * 2, &two, 2);
    struct bp_model *model = opened(dir);
    struct bp_err err;
    float W[512];
    assert_int_equal(model->n_matrices, 14);
    const struct bp_matrix *m = &model->matrices[11];
    assert_string_equal(m->name, "model.layers.0.mlp.experts.gate_up_proj[11]");
    assert_string_equal(m->kind, "gate_up_proj");
    assert_int_equal(m->d, 32);
    assert_int_equal(m->k, 16);
    assert_int_equal(m->first_elem, 11 * 512);
    assert_int_equal(bp_model_read(model, 11, W, &err), BP_OK);
    assert_true(W[7] == 2 && W[6] == 0);
    assert_string_equal(model->matrices[13].name,
                        "model.layers.0.block_sparse_moe.output_linear.weight[1]");
    assert_int_equal(model->params_planned, model->params);
    assert_int_equal(model->bytes_outside, 0);
    bp_model_close(model);
    test_dir_remove(dir);
}

/* --- filters --- */

static void filters_add_and_remove(void **state)
{
    (void)state;
    static const char *const in[] = {"^lm_head", "embed"}, *const out[] = {"down_proj", "embed"};
    char *dir = make_small();
    struct bp_model_filter filter = {in, 2, out, 2};
    struct bp_model *model = opened_with(dir, &filter);
    assert_int_equal(model->n_matrices, 8); /* 9 - 2 + the head; the embedding is excluded */
    assert_string_equal(model->matrices[7].name, "lm_head.weight");
    assert_int_equal(model->matrices[7].layer, -1);
    assert_int_equal(tensor(model, "model.embed_tokens.weight")->role.reason, BP_KEEP_EXCLUDED);
    assert_int_equal(tensor(model, "model.layers.2.mlp.down_proj.weight")->role.reason,
                     BP_KEEP_EXCLUDED);
    assert_int_equal(tensor(model, "model.norm.weight")->role.reason, BP_KEEP_NORM);
    bp_model_close(model);
    test_dir_remove(dir);
}

static void filters_that_do_nothing_are_usage_errors(void **state)
{
    (void)state;
    static const struct {
        const char *include, *exclude, *words;
    } bad[] = {
        {"q_porj", NULL, "--include 'q_porj' matches no tensor of "},
        {NULL, "q_porj", "--exclude 'q_porj' matches no tensor of "},
        {"model.norm", NULL, "--include 'model.norm' matches nothing that can be planned"},
        {"a(b", NULL, "--include 'a(b': not a regular expression"},
        {NULL, "[", "--exclude '[': not a regular expression"},
    };
    char *dir = make_small();
    for (size_t i = 0; i < COUNT(bad); i++) {
        struct bp_model_filter filter = {&bad[i].include, bad[i].include != NULL, &bad[i].exclude,
                                         bad[i].exclude != NULL};
        refused_with(dir, &filter, BP_ERR_USAGE, bad[i].words);
    }
    test_dir_remove(dir);
}

static void a_model_without_matrices_opens(void **state)
{
    (void)state;
    static const struct bp_st_spec specs[] = {{"lstm_cell.weight_ih", BP_DTYPE_F32, 2, {512, 128}},
                                              {"conv.weight", BP_DTYPE_F32, 3, {258, 1, 256}},
                                              {"empty", BP_DTYPE_F32, 2, {0, 128}}};
    char *dir = test_dir_make();
    sparse_file(dir, "vad.safetensors", specs, 3, NULL, 0);
    struct bp_model *model = opened(dir);
    assert_int_equal(model->n_matrices, 0);
    assert_int_equal(model->n_tensors, 3);
    bp_model_close(model);
    const char *include = ".";
    model = opened_with(dir, &(struct bp_model_filter){.include = &include, .n_include = 1});
    assert_int_equal(model->n_matrices, 1); /* a convolution is no stack of experts */
    bp_model_close(model);
    sparse_file(dir, "vad.safetensors", NULL, 0, NULL, 0);
    model = opened(dir);
    assert_int_equal(model->n_tensors, 0);
    bp_model_close(model);
    test_dir_remove(dir);
}

/* --- fingerprints --- */

/* The definition in model.h, done in the plainest way: one buffer, hashed at once. */
static void fingerprint_is_as_defined(void **state)
{
    (void)state;
    enum { BIG = 300000, ROOM = 400000 };
    static const struct bp_st_spec specs[] = {{"z.big", BP_DTYPE_U8, 2, {3, BIG / 3}},
                                              {"a", BP_DTYPE_F32, 0, {0}}};
    char *dir = test_dir_make();
    unsigned char *data = malloc(BIG), *text = calloc(1, ROOM);
    assert_true(data && text);
    for (size_t i = 0; i < BIG; i++)
        data[i] = (unsigned char)(i * 2654435761u >> 13);
    sparse_file(dir, "model.safetensors", specs, 2, NULL, 0);
    poke(dir, "model.safetensors", "z.big", 0, data, BIG);
    poke(dir, "model.safetensors", "a", 0, "\1\2\3\4", 4);
    size_t n = 0;
    const uint64_t dims[3] = {2, 3, BIG / 3};
    memcpy(text, "a\0F32\0\0\0\0\0\0\0\0\0\1\2\3\4", 18);
    n = 18;
    memcpy(text + n, "z.big\0U8", 9);
    n += 9;
    memcpy(text + n, dims, 24);
    n += 24;
    for (uint64_t i = 0; i < 64; i++, n += 4096)
        memcpy(text + n, data + i * (BIG - 4096) / 63, 4096);
    XXH128_hash_t hash = XXH3_128bits(text, n);
    char wanted[64];
    snprintf(wanted, sizeof wanted, "xxh3:%016llx%016llx", (unsigned long long)hash.high64,
             (unsigned long long)hash.low64);
    struct bp_model *model = opened(dir);
    assert_string_equal(model->fingerprint, wanted);
    bp_model_close(model);
    free(text);
    free(data);
    test_dir_remove(dir);
}

static void fingerprint_sees_a_changed_value_in_a_small_tensor(void **state)
{
    (void)state;
    char *dir = make_small();
    struct bp_model *model = opened(dir);
    char *before = strdup(model->fingerprint);
    bp_model_close(model);
    poke(dir, "model.safetensors", "model.norm.weight", 77, "\1", 1);
    model = opened(dir);
    assert_string_not_equal(model->fingerprint, before);
    bp_model_close(model);
    free(before);
    test_dir_remove(dir);
}

/* --- reading --- */

static void values_that_are_not_finite_are_named(void **state)
{
    (void)state;
    static const struct {
        float value;
        const char *words;
    } bad[] = {{NAN, "[3, 5] is NaN"},
               {INFINITY, "[3, 5] is infinite"},
               {-INFINITY, "[3, 5] is minus infinite"}};
    for (size_t i = 0; i < COUNT(bad); i++) {
        char *dir = make_small();
        float W[16 * 32];
        struct bp_err err;
        poke(dir, "model.safetensors", "model.layers.2.self_attn.q_proj.weight", (3 * 32 + 5) * 4,
             &bad[i].value, 4);
        struct bp_model *model = opened(dir);
        assert_int_equal(bp_model_read(model, 0, W, &err), BP_ERR_INPUT);
        assert_non_null(strstr(err.text, "model.safetensors: tensor "
                                         "model.layers.2.self_attn.q_proj.weight: value at index"));
        assert_non_null(strstr(err.text, bad[i].words));
        assert_int_equal(bp_model_read(model, 1, W, &err), BP_OK);
        bp_model_close(model);
        test_dir_remove(dir);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(llama_70b_has_560_matrices),
        cmocka_unit_test(mixtral_8x22b_has_1568_matrices),
        cmocka_unit_test(phi3_has_128_matrices),
        cmocka_unit_test(gemma_2b_has_126_matrices),
        cmocka_unit_test(ocr2_has_2196_matrices_and_168_more_with_its_tower),
        cmocka_unit_test(opens_a_real_tied_model),
        cmocka_unit_test(lists_layers_and_kinds_in_the_usual_order),
        cmocka_unit_test(names_come_from_the_path),
        cmocka_unit_test(takes_a_lone_file_but_does_not_guess),
        cmocka_unit_test(prefers_the_single_file_and_says_so),
        cmocka_unit_test(config_is_optional_but_must_be_json),
        cmocka_unit_test(synthetic_models_are_marked),
        cmocka_unit_test(shards_make_one_model),
        cmocka_unit_test(index_must_be_what_an_index_is),
        cmocka_unit_test(index_may_be_incomplete),
        cmocka_unit_test(one_tensor_in_two_shards_is_an_error),
        cmocka_unit_test(a_broken_shard_is_named),
        cmocka_unit_test(aliases_are_followed_and_counted_once),
        cmocka_unit_test(a_tied_head_stored_twice_counts_once),
        cmocka_unit_test(stacked_experts_become_matrices),
        cmocka_unit_test(filters_add_and_remove),
        cmocka_unit_test(filters_that_do_nothing_are_usage_errors),
        cmocka_unit_test(a_model_without_matrices_opens),
        cmocka_unit_test(fingerprint_is_as_defined),
        cmocka_unit_test(fingerprint_sees_a_changed_value_in_a_small_tensor),
        cmocka_unit_test(values_that_are_not_finite_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
