/* Memory: every part against numbers derived by hand on Llama-2-7B's shapes, what is not known, the
 * largest settings, and the budget that just fits. */
#include "plan_tables.h"

#include "engine/json_read.h"
#include "engine/memory.h"

/* Llama-2-7B: 32 layers of hidden 4096 and feed-forward 11008. Its linear layers hold
 * 32 * (4 * 4096^2 + 3 * 4096 * 11008) = 6,476,005,376 of 6,738,415,616 parameters; the other
 * 262,410,240 are stored in 16 bits. */
enum { LLAMA_LAYERS = 32, LLAMA_MATRICES = 7 * LLAMA_LAYERS };
#define LLAMA_PLANNED UINT64_C(6476005376)
#define LLAMA_OUTSIDE UINT64_C(262410240)

static struct bp_table *layers_of(const struct support_shape *layer, size_t n_layers, uint32_t rank)
{
    const struct bp_candidate candidate = support_candidate("nf3:u4:bf16:64:256", rank);
    struct support_shape *shapes = calloc(7 * n_layers, sizeof *shapes);
    assert_non_null(shapes);
    for (size_t i = 0; i < 7 * n_layers; i++)
        shapes[i] = layer[i % 7];
    struct bp_table *t = support_table(shapes, 7 * n_layers, &candidate, 1);
    free(shapes);
    return t;
}

static struct bp_table *llama(void)
{
    static const struct support_shape layer[7] = {{4096, 4096}, {4096, 4096},  {4096, 4096},
                                                  {4096, 4096}, {11008, 4096}, {11008, 4096},
                                                  {4096, 11008}};
    struct bp_table *t = layers_of(layer, LLAMA_LAYERS, 64);
    t->about.params = LLAMA_PLANNED + LLAMA_OUTSIDE;
    t->about.params_outside = LLAMA_OUTSIDE;
    t->about.bytes_outside = 2 * LLAMA_OUTSIDE;
    return t;
}

/* 2.75 bits/param. The rank-64 parts of a layer have 64 * (4 * 8192 + 3 * 15104) = 4,997,120
 * parameters, those of 32 layers 159,907,840. */
static struct bp_plan llama_plan(const struct bp_table *t)
{
    return (struct bp_plan){.table = t,
                            .params = LLAMA_PLANNED,
                            .storage_bits = UINT64_C(17809014784),
                            .low_rank_params = UINT64_C(159907840),
                            .low_rank_bits = 16 * UINT64_C(159907840),
                            .low_rank_bytes = 2 * UINT64_C(159907840)};
}

static struct bp_memory_settings usual_settings(void)
{
    struct bp_memory_settings s;
    bp_memory_settings_default(&s);
    return s;
}

static void set_kind(struct bp_table *t, size_t i, const char *kind)
{
    free(t->matrices[i].kind);
    t->matrices[i].kind = bp_strdup(kind);
    assert_non_null(t->matrices[i].kind);
}

static void set_name(struct bp_table *t, size_t i, const char *name)
{
    free(t->matrices[i].name);
    t->matrices[i].name = bp_strdup(name);
    assert_non_null(t->matrices[i].name);
}

static void shapes_of_llama(void **state)
{
    (void)state;
    struct bp_table *t = llama();
    struct bp_memory_shape shape;
    bp_memory_shape_of(t, &shape);
    assert_int_equal(shape.params, LLAMA_PLANNED);
    assert_int_equal(shape.n_layers, 32);
    assert_int_equal(shape.hidden, 4096);
    assert_true(shape.kv_known);
    assert_int_equal(shape.kv_per_token, 32 * (4096 + 4096)); /* 262,144 */
    /* q k v o: 4 * 8192; gate, up, down: 3 * 15104 */
    assert_int_equal(shape.layer_activation, 32768 + 45312);
    assert_true(shape.outside_known);
    assert_int_equal(shape.outside_params, LLAMA_OUTSIDE);
    assert_int_equal(shape.outside_bytes, 2 * LLAMA_OUTSIDE);

    /* 262,144 elements of 2 B are 0.5 MiB a token; 4096 tokens 2 GiB. */
    struct bp_memory_settings s = usual_settings();
    assert_int_equal(bp_memory_kv_bytes(&shape, &s), UINT64_C(2) << 30);
    s.context = 1;
    assert_int_equal(bp_memory_kv_bytes(&shape, &s), 512 << 10);
    s.batch = 3;
    s.kv_bits = 8;
    assert_int_equal(bp_memory_kv_bytes(&shape, &s), 3 * (256 << 10));
    s.batch = 0;
    assert_int_equal(bp_memory_kv_bytes(&shape, &s), 0);
    bp_table_close(t);
}

static void a_cache_of_odd_bits_is_rounded_up(void **state)
{
    (void)state;
    const struct bp_memory_shape shape = {.kv_known = true, .kv_per_token = 3};
    struct bp_memory_settings s = usual_settings();
    s.context = 1;
    s.kv_bits = 3; /* 9 bits */
    assert_int_equal(bp_memory_kv_bytes(&shape, &s), 2);
    s.kv_bits = 8;
    assert_int_equal(bp_memory_kv_bytes(&shape, &s), 3);
}

static void running_llama(void **state)
{
    (void)state;
    struct bp_table *t = llama();
    struct bp_plan plan = llama_plan(t);
    struct bp_memory_settings s = usual_settings();
    struct bp_memory_shape shape;
    struct bp_memory_parts p;
    bp_memory_shape_of(t, &shape);
    bp_memory_run(&plan, &shape, &s, &p);
    assert_int_equal(p.quantized, UINT64_C(2226126848) + 224 * 4); /* 17,809,014,784 / 8 */
    assert_int_equal(p.low_rank, UINT64_C(319815680));             /* 2 B * 159,907,840 */
    assert_int_equal(p.outside, UINT64_C(524820480));
    assert_int_equal(p.kv_cache, UINT64_C(2147483648));
    assert_int_equal(p.gradients, 0);
    assert_int_equal(p.optimizer, 0);
    assert_int_equal(p.activations, 0);
    assert_int_equal(p.total, UINT64_C(2226127744) + UINT64_C(319815680) + UINT64_C(524820480) +
                                  UINT64_C(2147483648));
    assert_true(p.complete);
    plan.storage_bits++; /* a bit more is a byte more */
    bp_memory_run(&plan, &shape, &s, &p);
    assert_int_equal(p.quantized, UINT64_C(2226127745));
    bp_table_close(t);
}

static void training_llama(void **state)
{
    (void)state;
    struct bp_table *t = llama();
    const struct bp_plan plan = llama_plan(t);
    const struct bp_memory_settings s = usual_settings();
    struct bp_memory_shape shape;
    struct bp_memory_parts p;
    bp_memory_shape_of(t, &shape);
    /* 2 B * 2048 tokens * (32 * 4096 + 78080) */
    const uint64_t activations = UINT64_C(856686592);

    bp_memory_train(&plan, &shape, &s, BP_TRAINING_FROZEN, &p);
    assert_int_equal(p.quantized, UINT64_C(2226127744));
    assert_int_equal(p.low_rank, UINT64_C(319815680));
    assert_int_equal(p.outside, UINT64_C(524820480));
    assert_int_equal(p.kv_cache, 0);
    assert_int_equal(p.gradients, UINT64_C(319815680));  /* 2 B * 159,907,840 */
    assert_int_equal(p.optimizer, UINT64_C(1279262720)); /* 8 B * 159,907,840 */
    assert_int_equal(p.activations, activations);
    assert_int_equal(p.total, UINT64_C(2226127744) + 2 * UINT64_C(319815680) + UINT64_C(524820480) +
                                  UINT64_C(1279262720) + activations);
    assert_true(p.complete);
    const uint64_t frozen = p.total;

    bp_memory_train(&plan, &shape, &s, BP_TRAINING_QAT, &p);
    assert_int_equal(p.quantized, 2 * LLAMA_PLANNED);
    assert_int_equal(p.total - frozen, 2 * LLAMA_PLANNED - UINT64_C(2226127744));
    assert_true(p.complete);

    /* 16 B * 6,738,415,616 and the activations */
    bp_memory_train(&plan, &shape, &s, BP_TRAINING_FULL, &p);
    assert_int_equal(p.quantized, UINT64_C(12952010752));
    assert_int_equal(p.outside, UINT64_C(524820480));
    assert_int_equal(p.low_rank, 0);
    assert_int_equal(p.gradients, UINT64_C(13476831232));
    assert_int_equal(p.optimizer, UINT64_C(80860987392));
    assert_int_equal(p.total, UINT64_C(107814649856) + activations);
    assert_true(p.complete);
    /* NF8 is for what is only read: training keeps 16 bits. In 32 bits weights and gradients are
     * twice as wide, but in full finetuning, which has no low-rank part. */
    struct bp_plan other = plan;
    other.budget.low_rank_bits = 8;
    other.low_rank_bytes = 12345;
    bp_memory_run(&other, &shape, &s, &p);
    assert_int_equal(p.low_rank, 12345);
    bp_memory_train(&other, &shape, &s, BP_TRAINING_FROZEN, &p);
    assert_int_equal(p.total, frozen);
    other.budget.low_rank_bits = 32;
    bp_memory_train(&other, &shape, &s, BP_TRAINING_FROZEN, &p);
    assert_int_equal(p.total, frozen + 2 * UINT64_C(319815680));
    bp_memory_train(&other, &shape, &s, BP_TRAINING_FULL, &p);
    assert_int_equal(p.total, UINT64_C(107814649856) + activations);
    for (int way = 0; way < BP_N_TRAINING_WAYS; way++) {
        assert_true(bp_training_way_name((enum bp_training_way)way)[0]);
        assert_true(bp_training_way_text((enum bp_training_way)way)[0]);
    }
    bp_table_close(t);
}

/* Grouped queries (Llama-3-8B: k and v of 1024 rows): the cache follows k and v, not hidden. */
static void grouped_queries_have_a_small_cache(void **state)
{
    (void)state;
    static const struct support_shape layer[7] = {{4096, 4096}, {1024, 4096},  {1024, 4096},
                                                  {4096, 4096}, {14336, 4096}, {14336, 4096},
                                                  {4096, 14336}};
    struct bp_table *t = layers_of(layer, 32, 0);
    struct bp_memory_shape shape;
    bp_memory_shape_of(t, &shape);
    assert_int_equal(shape.kv_per_token, 32 * 2048);
    assert_int_equal(shape.hidden, 4096);
    bp_table_close(t);
}

/* Multi-head latent attention (DeepSeek-V3: 512 + 64 rows): the compressed vector alone. */
static void latent_attention_caches_what_it_compresses(void **state)
{
    (void)state;
    static const struct support_shape layer[7] = {{1536, 7168},  {576, 7168},  {32768, 512},
                                                  {7168, 16384}, {2048, 7168}, {2048, 7168},
                                                  {7168, 2048}};
    struct bp_table *t = layers_of(layer, 2, 0);
    struct bp_memory_shape shape;
    for (size_t i = 0; i < t->n_matrices; i += 7) {
        set_kind(t, i, "q_a_proj");
        set_kind(t, i + 1, "kv_a_proj_with_mqa");
        set_kind(t, i + 2, "kv_b_proj");
    }
    bp_memory_shape_of(t, &shape);
    assert_true(shape.kv_known);
    assert_int_equal(shape.kv_per_token, 2 * 576);
    assert_int_equal(shape.hidden, 7168);
    bp_table_close(t);
}

/* Experts of one kind count once, whatever their order; fc1 and fc2 are two layers. */
static void experts_count_once(void **state)
{
    (void)state;
    static const struct support_shape layer[7] = {{64, 64}, {64, 64}, {64, 64}, {64, 64},
                                                  {32, 64}, {32, 64}, {32, 64}};
    struct bp_table *t = layers_of(layer, 1, 0);
    struct bp_memory_shape shape;
    set_name(t, 4, "model.layers.0.mlp.experts.11.fc1.weight");
    set_name(t, 5, "model.layers.0.mlp.experts.2.fc1.weight");
    set_name(t, 6, "model.layers.0.mlp.experts.2.fc2.weight");
    bp_memory_shape_of(t, &shape);
    assert_int_equal(shape.layer_activation, 4 * 128 + 2 * 96);
    set_name(t, 4, "model.layers.0.mlp.experts.up[7]");
    set_name(t, 5, "model.layers.0.mlp.experts.up[10]");
    set_name(t, 6, "model.layers.0.mlp.experts.up[0]");
    t->matrices[5].d = 48; /* of different widths the widest */
    bp_memory_shape_of(t, &shape);
    assert_int_equal(shape.layer_activation, 4 * 128 + 112);
    bp_table_close(t);
}

/* Encoder and decoder both have a layer 0; the widest layer counts. */
static void layers_of_two_stacks_are_different_layers(void **state)
{
    (void)state;
    static const struct support_shape layer[7] = {{64, 64}, {64, 64},  {64, 64}, {64, 64},
                                                  {64, 64}, {128, 64}, {64, 128}};
    struct bp_table *t = layers_of(layer, 1, 0);
    struct bp_memory_shape shape;
    bp_memory_shape_of(t, &shape);
    assert_int_equal(shape.n_layers, 1);
    set_name(t, 5, "encoder.layers.0.up_proj.weight");
    set_name(t, 6, "encoder.layers.0.down_proj.weight");
    bp_memory_shape_of(t, &shape);
    assert_int_equal(shape.n_layers, 2);
    assert_int_equal(shape.layer_activation, 5 * 128);
    assert_false(shape.kv_known);
    bp_table_close(t);
}

static void what_a_table_does_not_tell_is_not_known(void **state)
{
    (void)state;
    struct bp_table *t = llama();
    const struct bp_plan plan = llama_plan(t);
    struct bp_memory_settings s = usual_settings();
    struct bp_memory_shape shape;
    struct bp_memory_parts p;
    set_kind(t, 223 - 4, "other"); /* the last layer's v_proj */
    bp_memory_shape_of(t, &shape);
    assert_false(shape.kv_known);
    assert_int_equal(shape.kv_per_token, 0);
    bp_memory_run(&plan, &shape, &s, &p);
    assert_int_equal(p.kv_cache, 0);
    assert_false(p.complete);
    s.context = 0; /* without a cache nothing is missing */
    bp_memory_run(&plan, &shape, &s, &p);
    assert_true(p.complete);

    t->about.params = t->about.params_outside = t->about.bytes_outside = 0;
    bp_memory_shape_of(t, &shape);
    bp_memory_run(&plan, &shape, &s, &p);
    assert_int_equal(p.outside, 0);
    assert_false(p.complete);
    bp_memory_train(&plan, &shape, &s, BP_TRAINING_FULL, &p);
    assert_int_equal(p.gradients, 2 * LLAMA_PLANNED);
    assert_false(p.complete);

    for (size_t i = 0; i < t->n_matrices; i++)
        set_kind(t, i, "");
    bp_memory_shape_of(t, &shape);
    assert_int_equal(shape.hidden, 0);
    bp_memory_train(&plan, &shape, &s, BP_TRAINING_FROZEN, &p);
    assert_int_equal(p.activations, 0);
    assert_false(p.complete);

    for (size_t i = 0; i < t->n_matrices; i++)
        t->matrices[i].layer = -1;
    bp_memory_shape_of(t, &shape);
    assert_int_equal(shape.n_layers, 0);
    assert_false(shape.kv_known);
    bp_table_close(t);
}

/* Nothing wraps: what is too large stops at the largest number. */
static void the_largest_settings_do_not_wrap(void **state)
{
    (void)state;
    struct bp_table *t = llama();
    const struct bp_plan plan = llama_plan(t);
    struct bp_memory_settings s = usual_settings();
    struct bp_memory_shape shape;
    struct bp_memory_parts p;
    struct bp_budget budget;
    s.context = s.train_sequence = UINT64_C(1) << 32;
    s.batch = s.train_batch = UINT64_C(1) << 20;
    s.kv_bits = 32;
    bp_memory_shape_of(t, &shape);
    bp_memory_run(&plan, &shape, &s, &p);
    assert_true(p.kv_cache == UINT64_MAX && p.total == UINT64_MAX);
    bp_memory_train(&plan, &shape, &s, BP_TRAINING_FULL, &p);
    assert_true(p.activations == UINT64_MAX && p.total == UINT64_MAX);
    assert_int_equal(bp_memory_budget_total(t, &s, 1e15, &budget, NULL), BP_INFEASIBLE);
    t->matrices[0].d = t->matrices[0].k = UINT64_MAX;
    bp_memory_shape_of(t, &shape);
    assert_true(shape.layer_activation == UINT64_MAX);
    bp_table_close(t);
}

/* --- a real model's own files --- */

static uint64_t config_number(const struct cJSON *config, const char *key)
{
    uint64_t value = 0;
    if (!bp_json_u64(bp_json_member(config, key), &value))
        fail_msg("config.json has no %s", key);
    return value;
}

static bool ends_with(const char *name, const char *end)
{
    const size_t n = strlen(name), m = strlen(end);
    return n >= m && strcmp(name + n - m, end) == 0;
}

/* The shape that a name of the index has by the config: {0, 0} for what is no linear layer of a
 * block, whose parameters then are added to *outside. */
static struct support_shape shape_by_config(const char *name, const struct cJSON *config,
                                            uint64_t *outside)
{
    const uint64_t hidden = config_number(config, "hidden_size");
    const uint64_t wide = config_number(config, "intermediate_size");
    const uint64_t narrow = hidden / config_number(config, "num_attention_heads") *
                            config_number(config, "num_key_value_heads");
    if (ends_with(name, ".q_proj.weight") || ends_with(name, ".o_proj.weight"))
        return (struct support_shape){hidden, hidden};
    if (ends_with(name, ".k_proj.weight") || ends_with(name, ".v_proj.weight"))
        return (struct support_shape){narrow, hidden};
    if (ends_with(name, ".gate_proj.weight") || ends_with(name, ".up_proj.weight"))
        return (struct support_shape){wide, hidden};
    if (ends_with(name, ".down_proj.weight"))
        return (struct support_shape){hidden, wide};
    const bool words = ends_with(name, "embed_tokens.weight") || ends_with(name, "lm_head.weight");
    if (!words && !ends_with(name, "norm.weight"))
        fail_msg("a tensor that this test does not know: %s", name);
    *outside += words ? hidden * config_number(config, "vocab_size") : hidden;
    return (struct support_shape){0, 0};
}

/* A table of the model's planned matrices, named as its index names them; every cell NF4 with a
 * low-rank part of rank 64. */
static struct bp_table *table_of_index(const struct cJSON *map, const struct cJSON *config)
{
    enum { MOST = 1024 };
    const struct bp_candidate nf4 = support_candidate("nf4:u8:fp32:64:256", 64);
    struct support_shape shapes[MOST] = {{0, 0}};
    const char *names[MOST];
    uint64_t outside = 0;
    size_t n = 0;
    for (const struct cJSON *node = bp_json_first(map); node; node = bp_json_next(node)) {
        assert_true(n < MOST);
        names[n] = bp_json_key(node);
        shapes[n] = shape_by_config(names[n], config, &outside);
        n += shapes[n].d > 0;
    }
    struct bp_table *t = support_table(shapes, n, &nf4, 1);
    for (size_t i = 0; i < n; i++) {
        char kind[32];
        set_name(t, i, names[i]);
        assert_int_equal(
            sscanf(names[i], "model.layers.%d.%*[a-z_].%31[a-z_]", &t->matrices[i].layer, kind), 2);
        set_kind(t, i, kind);
    }
    support_numbers(t, 1);
    t->about.params += outside - t->about.params_outside;
    t->about.params_outside = outside;
    t->about.bytes_outside = 2 * outside; /* "torch_dtype": "float16" */
    return t;
}

/* Llama-2-70B: 80 layers, hidden 8192, feed-forward 28672, 64 heads of 128, 8 of them for keys and
 * values (1024 wide), 32000 words.
 *   a layer    q, o: 2 * 8192^2 = 134,217,728; k, v: 2 * 1024 * 8192 = 16,777,216;
 *              gate, up, down: 3 * 28672 * 8192 = 704,643,072; together 855,638,016
 *   planned    80 * 855,638,016 = 68,451,041,280
 *   outside    2 * 32000 * 8192 + 161 norms * 8192 = 524,288,000 + 1,318,912 = 525,606,912
 *              in 2 bytes each 1,051,213,824; with the planned 68,976,648,192 parameters, as stated
 *   NF4        every matrix is whole groups of 64 * 256: 4 + 8/64 + 32/16384 = 4.126953125 bits:
 *              273,804,165,120 + 8,556,380,160 + 133,693,440 = 282,494,238,720 bits, an eighth of
 *              which are 35,311,779,840 bytes; and an offset of 4 bytes a matrix: 560 * 4 = 2,240
 *   rank 64    a layer 64 * (2 * 16384 + 2 * 9216 + 3 * 36864) = 10,354,688; 80 of them 828,375,040
 *              parameters, in 2 bytes 1,656,750,080
 *   KV cache   80 * 2 * 1024 = 163,840 elements a token, 2 bytes each: 4096 tokens 1,342,177,280 */
static void the_ledger_of_llama_2_70b_to_the_byte(void **state)
{
    (void)state;
    char *config_path = test_shared("data/hf-index/llama-70b/config.json");
    char *index_path = test_shared("data/hf-index/llama-70b/model.safetensors.index.json");
    struct cJSON *config = NULL, *index = NULL;
    struct bp_err err = {""};
    if (bp_json_read_file(config_path, &config, &err) ||
        bp_json_read_file(index_path, &index, &err))
        fail_msg("%s", err.text);
    free(config_path);
    free(index_path);
    struct bp_table *t = table_of_index(bp_json_member(index, "weight_map"), config);
    assert_int_equal(t->n_matrices, 560);
    assert_true(bp_table_params(t) == UINT64_C(68451041280));
    assert_true(t->about.params == UINT64_C(68976648192));

    struct bp_planner *planner = planner_of(t, NULL);
    struct bp_plan *plan = solve(planner, bits_budget(t, "4.13"));
    assert_true(plan->storage_bits == UINT64_C(282494238720));
    assert_true(plan->low_rank_params == UINT64_C(828375040));
    const struct bp_ledger ledger = bp_plan_memory(plan);
    assert_true(ledger.codes_and_scales_bytes == UINT64_C(35311779840));
    assert_true(ledger.offsets_bytes == 2240);
    assert_true(ledger.low_rank_bytes == UINT64_C(1656750080));
    assert_true(ledger.outside_known && ledger.outside_bytes == UINT64_C(1051213824));

    struct bp_memory_shape shape;
    struct bp_memory_settings s = usual_settings();
    struct bp_memory_parts p;
    s.context = 4096;
    bp_memory_shape_of(t, &shape);
    assert_int_equal(shape.n_layers, 80);
    assert_int_equal(shape.hidden, 8192);
    assert_true(shape.kv_known);
    assert_int_equal(shape.kv_per_token, 163840);
    assert_true(bp_memory_kv_bytes(&shape, &s) == UINT64_C(1342177280));
    bp_memory_run(plan, &shape, &s, &p);
    assert_true(p.complete);
    /* 35,311,779,840 + 2,240 + 1,656,750,080 + 1,051,213,824 + 1,342,177,280 */
    assert_true(p.total == UINT64_C(39361923264));

    bp_plan_free(plan);
    bp_planner_free(planner);
    bp_table_close(t);
    bp_json_free(config);
    bp_json_free(index);
}

/* --- settings --- */

static void settings_take_words(void **state)
{
    (void)state;
    struct bp_memory_settings s = usual_settings();
    assert_int_equal(s.card_bytes, UINT64_C(24) << 30);
    assert_int_equal(s.context, 4096);
    assert_int_equal(s.batch, 1);
    assert_int_equal(s.kv_bits, 16);
    assert_int_equal(s.train_batch, 1);
    assert_int_equal(s.train_sequence, 2048);
    static const struct {
        const char *key, *value;
        uint64_t want;
    } good[] = {{"card", "24GiB", UINT64_C(24) << 30},  {"card", "80GB", UINT64_C(80000000000)},
                {"card", "48", UINT64_C(48) << 30},     {"card", "0.5", UINT64_C(1) << 29},
                {"card", "9999", UINT64_C(9999) << 30}, {"card", "10000", 10000},
                {"card", "1024TiB", UINT64_C(1) << 50}, {"card", "1B", 1}};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(bp_memory_settings_set(&s, good[i].key, good[i].value, NULL), BP_OK);
        assert_int_equal(s.card_bytes, good[i].want);
    }
    assert_int_equal(bp_memory_settings_set(&s, "context", "4294967296", NULL), BP_OK);
    assert_int_equal(bp_memory_settings_set(&s, "batch", "0", NULL), BP_OK);
    assert_int_equal(bp_memory_settings_set(&s, "kv-bits", "8", NULL), BP_OK);
    assert_int_equal(bp_memory_settings_set(&s, "train-batch", "7", NULL), BP_OK);
    assert_int_equal(bp_memory_settings_set(&s, "train-sequence", "0512", NULL), BP_OK);
    assert_true(s.context == UINT64_C(1) << 32 && s.batch == 0 && s.kv_bits == 8);
    assert_true(s.train_batch == 7 && s.train_sequence == 512);
}

static void settings_refuse_what_makes_no_sense(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value, *says;
    } bad[] = {{"card", "0", "card"},
               {"card", "", "card"},
               {"card", "big", "24GiB"},
               {"card", "-1", "card"},
               {"card", "1025TiB", "card"},
               {"card", "1e3", "card"},
               {"card", "0.00000000000000001", "card"},
               {"context", "-1", "context|4,294,967,296"},
               {"context", "4294967297", "context|from 0 to"},
               {"context", "99999999999999999999", "context"},
               {"batch", "1.5", "batch"},
               {"kv-bits", "0", "from 1 to 32"},
               {"kv-bits", "33", "from 1 to 32"},
               {"low-rank-bits", "4", "'4' is neither 8 (NF8) nor 16 nor 32"},
               {"low-rank-bits", "12", "'12' is neither"},
               {"low-rank-bits", "64", "neither"},
               {"low-rank-bits", "nf8", "'nf8' is neither"},
               {"train-batch", "0", "train-batch"},
               {"train-sequence", "", "train-sequence"},
               {"size", "1", "card context batch kv-bits low-rank-bits train-batch train-sequence"},
               {"", "1", "card"},
               {"a\nb", "1", "'a?b'"}};
    const struct bp_memory_settings usual = usual_settings();
    struct bp_memory_settings s = usual;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct bp_err err = {""};
        if (bp_memory_settings_set(&s, bad[i].key, bad[i].value, &err) != BP_ERR_USAGE)
            fail_msg("not refused: %s %s", bad[i].key, bad[i].value);
        support_says(err.text, bad[i].says);
        assert_memory_equal(&s, &usual, sizeof s);
    }
}

static void cards_ascend(void **state)
{
    (void)state;
    size_t n;
    const struct bp_card *cards = bp_cards(&n);
    assert_true(n >= 11);
    for (size_t i = 0; i < n; i++) {
        assert_true(strtoull(cards[i].name, NULL, 10) > 0 && strchr(cards[i].name, ':'));
        assert_true(i == 0 || cards[i].bytes > cards[i - 1].bytes);
    }
    assert_int_equal(cards[3].bytes, UINT64_C(24) << 30);
}

/* --- the reverse --- */

static struct bp_table *usual_with_outside(uint64_t seed)
{
    struct bp_table *t = usual(seed);
    t->about.params_outside = 1001;
    t->about.bytes_outside = 2002;
    return t;
}

/* Whatever total is asked: the plan for it, run, fits; the budget in full takes it to the byte; one
 * bit more does not fit. */
static void the_budget_of_a_total_just_fits(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct bp_table *t = usual_with_outside(seed);
        struct bp_memory_settings s = usual_settings();
        struct bp_memory_shape shape;
        struct bp_memory_parts p;
        struct bp_budget budget;
        struct bp_err err = {""};
        s.context = seed;
        bp_memory_shape_of(t, &shape);
        assert_true(shape.kv_known);
        const double total = 18000.0 + 613.0 * (double)seed + 0.5;
        if (bp_memory_budget_total(t, &s, total, &budget, &err))
            fail_msg("%s", err.text);
        assert_int_equal(budget.unit, BP_BUDGET_TOTAL_BYTES);
        assert_true(budget.asked == total);
        assert_true(budget.context == seed && budget.batch == 1 && budget.kv_bits == 16);
        struct bp_planner *planner = planner_of(t, NULL);
        struct bp_plan *plan = solve(planner, budget);
        bp_memory_run(plan, &shape, &s, &p);
        assert_true(p.complete && p.total <= (uint64_t)total);
        plan->storage_bits = budget.bits;
        bp_memory_run(plan, &shape, &s, &p);
        assert_int_equal(p.total, (uint64_t)total);
        plan->storage_bits = budget.bits + 1;
        bp_memory_run(plan, &shape, &s, &p);
        assert_int_equal(p.total, (uint64_t)total + 1);
        bp_plan_free(plan);
        bp_planner_free(planner);
        bp_table_close(t);
    }
}

static void totals_that_make_no_budget(void **state)
{
    (void)state;
    struct bp_table *t = usual_with_outside(1);
    struct bp_memory_settings s = usual_settings();
    struct bp_budget budget;
    struct bp_err err = {""};
    s.batch = 0;
    /* offsets 5 * 4; 4 * 2 B * (64 + 98 + 80 + 40 + 148); outside 2002: 5462 bytes */
    assert_int_equal(bp_memory_budget_total(t, &s, 5462.0, &budget, &err), BP_OK);
    assert_int_equal(budget.bits, 0);
    assert_int_equal(bp_memory_budget_total(t, &s, 5463.0, &budget, &err), BP_OK);
    assert_int_equal(budget.bits, 8);
    assert_int_equal(bp_memory_budget_total(t, &s, 5461.0, &budget, &err), BP_INFEASIBLE);
    support_says(err.text, "5,461|5,462|low-rank|KV cache");
    static const double bad[] = {0.0, 0.5, -1.0, NAN, INFINITY, -INFINITY, 0x1p59, 1e300};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(bp_memory_budget_total(t, &s, bad[i], &budget, &err), BP_ERR_USAGE);

    t->candidates[2].rank = 8;
    /* Candidates that differ in rank: their low-rank parts are part of what is left. */
    assert_int_equal(bp_memory_budget_total(t, &s, 9000.0, &budget, &err), BP_OK);
    assert_int_equal(budget.bits, 8 * (9000 - 5 * 4 - 2002));
    assert_true(budget.counts_low_rank);
    assert_int_equal(bp_memory_budget_total(t, &s, 2021.0, &budget, &err), BP_INFEASIBLE);
    assert_null(strstr(err.text, "low-rank"));
    t->candidates[2].rank = 4;
    set_kind(t, 1, "other");
    assert_int_equal(bp_memory_budget_total(t, &s, 9000.0, &budget, &err), BP_OK);
    s.batch = 1;
    assert_int_equal(bp_memory_budget_total(t, &s, 9000.0, &budget, &err), BP_ERR_USAGE);
    support_says(err.text, "KV cache|batch");
    t->about.params = 0;
    assert_int_equal(bp_memory_budget_total(t, &s, 9000.0, &budget, &err), BP_ERR_USAGE);
    support_says(err.text, "by hand");
    bp_table_close(t);
}

static void budgets_are_resolved_as_they_were_made(void **state)
{
    (void)state;
    struct bp_table *t = usual_with_outside(1);
    struct bp_memory_settings s = usual_settings();
    struct bp_err err = {""};
    s.context = 3;
    static const char *const bits[] = {"2.6", "2.75", "3.3333333333333333", "0.1", "64"};
    for (size_t i = 0; i < sizeof bits / sizeof *bits; i++) {
        const struct bp_budget made = bits_budget(t, bits[i]);
        struct bp_budget budget = {.unit = made.unit, .asked = made.asked};
        assert_int_equal(bp_budget_resolve(&budget, t, &s, &err), BP_OK);
        assert_int_equal(budget.bits, made.bits);
        assert_true(budget.asked == made.asked);
    }
    struct bp_budget budget = {.unit = BP_BUDGET_BYTES, .asked = 2362232012.0};
    assert_int_equal(bp_budget_resolve(&budget, t, &s, &err), BP_OK);
    assert_int_equal(budget.bits, UINT64_C(2362232012) * 8);
    struct bp_budget total = {.unit = BP_BUDGET_TOTAL_BYTES, .asked = 20000.0}, again;
    assert_int_equal(bp_budget_resolve(&total, t, &s, &err), BP_OK);
    assert_int_equal(bp_memory_budget_total(t, &s, 20000.0, &again, &err), BP_OK);
    assert_int_equal(total.bits, again.bits);
    static const struct bp_budget bad[] = {
        {.unit = BP_BUDGET_BITS_PER_PARAM, .asked = 0.0},
        {.unit = BP_BUDGET_BITS_PER_PARAM, .asked = 65.0},
        {.unit = BP_BUDGET_BITS_PER_PARAM, .asked = NAN},
        {.unit = BP_BUDGET_BYTES, .asked = 1e300},
        {.unit = BP_BUDGET_BYTES, .asked = -1.0},
        {.unit = BP_BUDGET_BYTES, .asked = INFINITY},
        {.unit = BP_BUDGET_TOTAL_BYTES, .asked = 0.0},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        budget = bad[i];
        budget.bits = 77;
        assert_int_equal(bp_budget_resolve(&budget, t, &s, &err), BP_ERR_USAGE);
        assert_int_equal(budget.bits, 77);
    }
    bp_table_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_of_llama),
        cmocka_unit_test(a_cache_of_odd_bits_is_rounded_up),
        cmocka_unit_test(running_llama),
        cmocka_unit_test(training_llama),
        cmocka_unit_test(grouped_queries_have_a_small_cache),
        cmocka_unit_test(latent_attention_caches_what_it_compresses),
        cmocka_unit_test(experts_count_once),
        cmocka_unit_test(layers_of_two_stacks_are_different_layers),
        cmocka_unit_test(what_a_table_does_not_tell_is_not_known),
        cmocka_unit_test(the_largest_settings_do_not_wrap),
        cmocka_unit_test(the_ledger_of_llama_2_70b_to_the_byte),
        cmocka_unit_test(settings_take_words),
        cmocka_unit_test(settings_refuse_what_makes_no_sense),
        cmocka_unit_test(cards_ascend),
        cmocka_unit_test(the_budget_of_a_total_just_fits),
        cmocka_unit_test(totals_that_make_no_budget),
        cmocka_unit_test(budgets_are_resolved_as_they_were_made),
    };
    return cmocka_run_group_tests_name("memory", tests, NULL, NULL);
}
