/* The automatic rule: which tensors are planned, and the reason why others are kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "engine/model.h"

struct sample {
    const char *name;
    unsigned n_dims;
    uint64_t shape[4];
    enum bp_keep_reason reason;
    int layer;
    const char *kind;
};

static void check(const struct sample *samples, size_t n, enum bp_dtype dtype)
{
    for (size_t i = 0; i < n; i++) {
        const struct sample *s = &samples[i];
        struct bp_tensor_role role;
        bp_tensor_classify(s->name, dtype, s->n_dims, s->shape, &role);
        if (role.reason != s->reason || role.layer != s->layer || strcmp(role.kind, s->kind) != 0)
            fail_msg("%s: %s, layer %d, kind '%s'", s->name, bp_keep_reason_text(role.reason),
                     role.layer, role.kind);
    }
}

#define CHECK(...)                                                       \
    do {                                                                 \
        const struct sample samples[] = {__VA_ARGS__};                   \
        check(samples, sizeof samples / sizeof *samples, BP_DTYPE_BF16); \
    } while (0)
#define M(name, layer, kind)                            \
    {                                                   \
        name, 2, {64, 64}, BP_KEEP_PLANNED, layer, kind \
    }
#define K(name, reason, layer, kind)                     \
    {                                                    \
        name, 2, {64, 64}, BP_KEEP_##reason, layer, kind \
    }

static void plans_the_linear_layers_of_many_families(void **state)
{
    (void)state;
    CHECK(M("model.layers.0.self_attn.q_proj.weight", 0, "q_proj"),
          M("model.layers.79.mlp.down_proj.weight", 79, "down_proj"),
          M("model.layers.3.self_attn.qkv_proj.weight", 3, "qkv_proj"),
          M("model.layers.3.mlp.gate_up_proj.weight", 3, "gate_up_proj"),
          M("model.layers.5.block_sparse_moe.experts.7.w2.weight", 5, "w2"),
          M("model.layers.1.mlp.experts.63.up_proj.weight", 1, "up_proj"),
          M("model.layers.1.mlp.shared_experts.gate_proj.weight", 1, "gate_proj"),
          M("model.layers.1.mlp.shared_expert.gate_proj.weight", 1, "gate_proj"),
          M("model.layers.2.self_attn.kv_a_proj_with_mqa.weight", 2, "kv_a_proj_with_mqa"),
          M("language_model.model.layers.2.self_attn.q_proj.weight", 2, "q_proj"),
          M("roberta.encoder.layer.11.attention.output.dense.weight", 11, "dense"),
          M("roberta.encoder.layer.11.attention.self.query.weight", 11, "query"),
          M("transformer.h.4.attn.c_attn.weight", 4, "c_attn"),
          M("h.4.mlp.c_proj.weight", 4, "c_proj"), M("layers.0.feed_forward.w1.weight", 0, "w1"),
          M("transformer.blocks.9.attn.Wqkv.weight", 9, "Wqkv"),
          M("gpt_neox.layers.1.mlp.dense_h_to_4h.weight", 1, "dense_h_to_4h"),
          M("backbone.layers.12.mixer.in_proj.weight", 12, "in_proj"),
          M("model.decoder.layers.2.fc1.weight", 2, "fc1"));
}

static void names_the_reason_of_what_is_kept(void **state)
{
    (void)state;
    CHECK(K("model.embed_tokens.weight", EMBEDDING, -1, "embed_tokens"),
          K("transformer.wte.weight", EMBEDDING, -1, "wte"),
          K("roberta.embeddings.word_embeddings.weight", EMBEDDING, -1, "word_embeddings"),
          K("lm_head.weight", HEAD, -1, "lm_head"), K("embed_out.weight", HEAD, -1, "embed_out"),
          K("output.weight", HEAD, -1, "output"), K("lm_head.dense.weight", HEAD, -1, "dense"),
          K("classifier.dense.weight", HEAD, -1, "dense"), K("score.weight", HEAD, -1, "score"),
          K("roberta.pooler.dense.weight", HEAD, -1, "dense"),
          K("model.layers.0.mlp.gate.weight", ROUTER, 0, "gate"),
          K("model.layers.0.block_sparse_moe.gate.weight", ROUTER, 0, "gate"),
          K("model.layers.0.block_sparse_moe.router.layer.weight", ROUTER, 0, "layer"),
          K("model.layers.0.mlp.shared_expert_gate.weight", ROUTER, 0, "shared_expert_gate"),
          K("model.layers.0.feed_forward.router.weight", ROUTER, 0, "router"),
          {"model.norm.weight", 1, {64}, BP_KEEP_NORM, -1, "norm"},
          {"model.layers.0.input_layernorm.weight", 1, {64}, BP_KEEP_NORM, 0, "input_layernorm"},
          {"lm_head.layer_norm.weight", 1, {64}, BP_KEEP_NORM, -1, "layer_norm"},
          {"encoder.layer.1.output.LayerNorm.weight", 1, {64}, BP_KEEP_NORM, 1, "LayerNorm"},
          {"h.0.ln_1.weight", 1, {64}, BP_KEEP_NORM, 0, "ln_1"},
          {"model.layers.0.self_attn.q_proj.bias", 1, {64}, BP_KEEP_NOT_2D, 0, "q_proj"},
          {"model.layers.0.mlp.gate.e_score_correction_bias", 1, {64}, BP_KEEP_ROUTER, 0, "gate"},
          {"stft_conv.weight", 3, {258, 1, 256}, BP_KEEP_NOT_2D, -1, "stft_conv"},
          {"layers.0.conv1d.weight", 3, {64, 64, 4}, BP_KEEP_NOT_2D, 0, "conv1d"},
          {"layers.0.fc1.weight", 2, {15, 64}, BP_KEEP_TOO_SMALL, 0, "fc1"},
          {"layers.0.fc1.weight", 2, {64, 15}, BP_KEEP_TOO_SMALL, 0, "fc1"},
          {"layers.0.fc1.weight", 2, {16, 16}, BP_KEEP_PLANNED, 0, "fc1"},
          {"layers.0.fc1.weight", 0, {0}, BP_KEEP_NOT_2D, 0, "fc1"},
          K("lstm_cell.weight_ih", NOT_WEIGHT, -1, "lstm_cell"),
          K("b1.a.q_proj.W", NOT_WEIGHT, -1, "q_proj"),
          K("proj.q_proj.weight", NO_BLOCK, -1, "q_proj"),
          K("layers.q_proj.weight", NO_BLOCK, -1, "q_proj"),
          K("sublayers.0.q_proj.weight", NO_BLOCK, -1, "q_proj"),
          K("layers.0x.q_proj.weight", NO_BLOCK, -1, "q_proj"),
          K("layers.99999999999.q_proj.weight", NO_BLOCK, -1, "q_proj"),
          K("model.layers.0.mlp.some_thing.weight", UNKNOWN_LAYER, 0, "some_thing"),
          K("model.layers.0.self_attn.rotary.weight", UNKNOWN_LAYER, 0, "rotary"),
          K("weight", NOT_WEIGHT, -1, ""), K("", NOT_WEIGHT, -1, ""));
}

static void keeps_other_towers(void **state)
{
    (void)state;
    CHECK(K("model.qwen2_model.model.model.layers.3.self_attn.q_proj.weight", OTHER_TOWER, 3,
            "q_proj"),
          K("model.sam_model.blocks.3.attn.qkv.weight", OTHER_TOWER, 3, "qkv"),
          K("model.sam_model.blocks.3.mlp.lin1.weight", OTHER_TOWER, 3, "lin1"),
          K("vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight", OTHER_TOWER, 0, "fc1"),
          K("visual.blocks.0.mlp.fc1.weight", OTHER_TOWER, 0, "fc1"),
          K("my_audio_tower.layers.0.fc1.weight", OTHER_TOWER, 0, "fc1"),
          K("model.projector.layers.weight", OTHER_TOWER, -1, "layers"),
          K("multi_modal_projector.linear_1.weight", OTHER_TOWER, -1, "linear_1"));
}

static void keeps_adapters_and_quantized_parts(void **state)
{
    (void)state;
    CHECK(K("base_model.model.layers.0.self_attn.q_proj.lora_A.weight", ADAPTER, 0, "lora_A"),
          K("model.layers.0.q_proj.lora_B.default.weight", ADAPTER, 0, "default"),
          K("model.layers.0.mlp.up_proj.qweight", QUANTIZED, 0, "up_proj"),
          K("model.layers.0.mlp.up_proj.qzeros", QUANTIZED, 0, "up_proj"),
          K("model.layers.0.mlp.up_proj.scales", QUANTIZED, 0, "up_proj"),
          K("model.layers.0.mlp.up_proj.g_idx", QUANTIZED, 0, "up_proj"),
          K("model.layers.0.mlp.up_proj.weight_scale_inv", QUANTIZED, 0, "up_proj"),
          K("model.layers.0.mlp.up_proj.weight.absmax", QUANTIZED, 0, "weight"),
          K("model.layers.0.mlp.up_proj.weight.quant_state.bitsandbytes__nf4", QUANTIZED, 0,
            "quant_state"),
          K("model.layers.0.mlp.experts.down_proj_blocks", QUANTIZED, 0, "experts"),
          K("model.layers.0.mlp.experts.down_proj_scales", QUANTIZED, 0, "experts"));
}

static void only_three_dtypes_are_planned(void **state)
{
    (void)state;
    const uint64_t shape[2] = {64, 64};
    for (int i = 0; i < BP_N_DTYPES; i++) {
        struct bp_tensor_role role;
        bp_tensor_classify("layers.0.fc1.weight", (enum bp_dtype)i, 2, shape, &role);
        bool weight = i == BP_DTYPE_F32 || i == BP_DTYPE_F16 || i == BP_DTYPE_BF16;
        assert_int_equal(role.reason, weight ? BP_KEEP_PLANNED : BP_KEEP_DTYPE);
    }
}

static void plans_stacked_experts(void **state)
{
    (void)state;
    CHECK(
        {"model.layers.0.block_sparse_moe.input_linear.weight",
         3,
         {40, 1024, 1536},
         BP_KEEP_PLANNED,
         0,
         "input_linear"},
        {"model.layers.0.block_sparse_moe.output_linear.weight",
         3,
         {40, 1536, 512},
         BP_KEEP_PLANNED,
         0,
         "output_linear"},
        {"language_model.model.layers.7.feed_forward.experts.gate_up_proj",
         3,
         {16, 64, 128},
         BP_KEEP_PLANNED,
         7,
         "gate_up_proj"},
        {"model.layers.7.mlp.experts.down_proj", 3, {32, 64, 64}, BP_KEEP_PLANNED, 7, "down_proj"},
        {"model.layers.7.mlp.experts.down_proj_bias",
         2,
         {32, 64},
         BP_KEEP_NOT_WEIGHT,
         7,
         "experts"},
        {"model.layers.7.mlp.experts.down_proj",
         3,
         {32, 15, 64},
         BP_KEEP_TOO_SMALL,
         7,
         "down_proj"},
        {"model.layers.7.mlp.experts.down_proj", 3, {0, 64, 64}, BP_KEEP_TOO_SMALL, 7, "down_proj"},
        {"model.layers.7.mlp.down_proj.weight", 3, {32, 64, 64}, BP_KEEP_NOT_2D, 7, "down_proj"},
        {"model.layers.7.mlp.experts.down_proj", 4, {2, 16, 64, 64}, BP_KEEP_NOT_2D, 7, "experts"});
}

static void survives_wild_names(void **state)
{
    (void)state;
    static char name[20000];
    struct bp_tensor_role role;
    const uint64_t shape[2] = {64, 64};
    memset(name, 'a', sizeof name - 1);
    bp_tensor_classify(name, BP_DTYPE_F32, 2, shape, &role);
    assert_int_equal(role.reason, BP_KEEP_NOT_WEIGHT);
    memcpy(name + sizeof name - 8, ".weight", 8);
    memcpy(name, "layers.0.", 9);
    bp_tensor_classify(name, BP_DTYPE_F32, 2, shape, &role);
    assert_int_equal(role.reason, BP_KEEP_UNKNOWN_LAYER);
    assert_int_equal(strlen(role.kind), sizeof role.kind - 1);
    memset(name, '.', sizeof name - 1);
    bp_tensor_classify(name, BP_DTYPE_F32, 2, shape, &role);
    assert_int_equal(role.reason, BP_KEEP_UNKNOWN_LAYER);
    assert_int_equal(role.layer, -1);
}

static void every_reason_has_words(void **state)
{
    (void)state;
    for (int i = 0; i < BP_N_KEEP_REASONS; i++)
        assert_true(strlen(bp_keep_reason_text((enum bp_keep_reason)i)) > 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans_the_linear_layers_of_many_families),
        cmocka_unit_test(names_the_reason_of_what_is_kept),
        cmocka_unit_test(keeps_other_towers),
        cmocka_unit_test(keeps_adapters_and_quantized_parts),
        cmocka_unit_test(only_three_dtypes_are_planned),
        cmocka_unit_test(plans_stacked_experts),
        cmocka_unit_test(survives_wild_names),
        cmocka_unit_test(every_reason_has_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
