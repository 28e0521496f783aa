/*
 * The low-rank parts as a PEFT adapter: adapter_model.safetensors and adapter_config.json, with
 * lora_alpha = r everywhere, so that the scaling lora_alpha / r is exactly 1 and the layer computes
 * x (Q + B A)'. PEFT loads with strict = False: a misspelt key would go unnoticed.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/json_write.h"
#include "engine/mem.h"
#include "engine/output_forms.h"
#include "engine/printable.h"

static enum bp_status check_matrix(const struct bp_outline *o, const struct bp_outline_matrix *m,
                                   struct bp_err *err)
{
    const char *why = bp_outline_no_adapter(o, m);
    if (!why)
        return BP_OK;
    return bp_fail(err, BP_ERR_INPUT,
                   "%s: its low-rank part cannot be in an adapter: %s; --emit packed can hold it, "
                   "or plan it with rank 0",
                   bp_printable(m->name).text, why);
}

/* --- weights --- */

static enum bp_dtype factor_dtype(const struct bp_outline *o)
{
    return o->low_rank_bits == 16 ? BP_DTYPE_BF16 : BP_DTYPE_F32;
}

/* A [r, in] and B [out, r] of one module. A Conv1D holds its weight as [in, out]: there A is L1'
 * and B is L2', as PEFT turns B A around for it. */
static enum bp_status add_module(struct bp_output *out, size_t f, size_t i, struct bp_err *err)
{
    const struct bp_outline *o = out->outline;
    const struct bp_outline_matrix *m = &o->matrices[i];
    const bool turned = bp_outline_transposed(o);
    char *module = bp_outline_module(o, m->name);
    char *key = module ? bp_format("base_model.model.%s", module) : NULL;
    free(module);
    if (!key)
        return bp_fail_nomem(err);
    out->places[BP_PLACE_ADAPTER][i] = (struct bp_output_place){f, out->files[f].n_tensors, 0};
    struct bp_output_new_tensor A = {
        key, ".lora_A.weight", factor_dtype(o), 2, {m->r, turned ? m->d : m->k}, NULL, NULL};
    struct bp_output_new_tensor B = {
        key, ".lora_B.weight", factor_dtype(o), 2, {turned ? m->k : m->d, m->r}, NULL, NULL};
    enum bp_status status = bp_output_add_tensor(out, f, &A, err);
    if (status == BP_OK)
        status = bp_output_add_tensor(out, f, &B, err);
    free(key);
    return status;
}

/* --- configuration --- */

static int compare_ranks(const void *a, const void *b)
{
    const uint32_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* The rank that most matrices with a low-rank part have: the others are listed one by one. 0: there
 * is none. */
static enum bp_status usual_rank(const struct bp_outline *o, uint32_t *out, struct bp_err *err)
{
    uint32_t *ranks = bp_alloc(o->n_matrices, sizeof *ranks);
    if (!ranks)
        return bp_fail_nomem(err);
    for (size_t i = 0; i < o->n_matrices; i++)
        ranks[i] = o->matrices[i].r;
    qsort(ranks, o->n_matrices, sizeof *ranks, compare_ranks);
    for (size_t i = 0, end, most = 0; i < o->n_matrices; i = end) {
        for (end = i; end < o->n_matrices && ranks[end] == ranks[i]; end++)
            ;
        if (ranks[i] > 0 && end - i > most) {
            most = end - i;
            *out = ranks[i];
        }
    }
    free(ranks);
    return BP_OK;
}

/* PEFT takes the keys of its patterns for regular expressions that end a module's path. */
static char *escape(const char *module)
{
    char *text = bp_alloc(strlen(module) * 2 + 1, 1), *to = text;
    for (const char *from = module; text && *from; from++) {
        if (strchr(".[](){}*+?^$|\\", *from))
            *to++ = '\\';
        *to++ = *from;
    }
    if (text)
        *to = '\0';
    return text;
}

static void put_patterns(const struct bp_outline *o, uint32_t usual, const char *key,
                         struct bp_json_out *json)
{
    struct cJSON *node = bp_json_put_object(json, json->root, key);
    for (size_t n = 0; n < o->n_matrices; n++) {
        const struct bp_outline_matrix *m = &o->matrices[o->order[n]];
        if (m->r == 0 || m->r == usual)
            continue;
        char *module = bp_outline_module(o, m->name), *pattern = module ? escape(module) : NULL;
        if (pattern)
            bp_json_put_u64(json, node, pattern, m->r);
        else
            json->failed = true;
        free(module);
        free(pattern);
    }
}

static void put_modules(const struct bp_outline *o, struct bp_json_out *json)
{
    struct cJSON *list = bp_json_put_array(json, json->root, "target_modules");
    for (size_t n = 0; n < o->n_matrices; n++) {
        const struct bp_outline_matrix *m = &o->matrices[o->order[n]];
        if (m->r == 0)
            continue;
        char *module = bp_outline_module(o, m->name);
        if (module)
            bp_json_put_string(json, list, NULL, module);
        else
            json->failed = true;
        free(module);
    }
}

static bool is_causal(const struct bp_outline *o)
{
    return !*o->architecture || strstr(o->architecture, "ForCausalLM") ||
           strstr(o->architecture, "LMHeadModel");
}

/* Few keys: PEFT needs no others, and older ones refuse those that they do not know. The base is
 * not named, as no name is right wherever the folder goes. */
static char *config_text(const struct bp_outline *o, uint32_t usual)
{
    struct bp_json_out json;
    bp_json_out_object(&json);
    bp_json_put_string(&json, json.root, "peft_type", "LORA");
    bp_json_put_string(&json, json.root, "task_type", is_causal(o) ? "CAUSAL_LM" : NULL);
    bp_json_put_null(&json, json.root, "base_model_name_or_path");
    bp_json_put_u64(&json, json.root, "r", usual);
    bp_json_put_u64(&json, json.root, "lora_alpha", usual);
    bp_json_put_double(&json, json.root, "lora_dropout", 0.0);
    bp_json_put_string(&json, json.root, "bias", "none");
    bp_json_put_bool(&json, json.root, "fan_in_fan_out", bp_outline_transposed(o));
    bp_json_put_bool(&json, json.root, "init_lora_weights", true);
    bp_json_put_bool(&json, json.root, "use_rslora", false);
    put_modules(o, &json);
    put_patterns(o, usual, "rank_pattern", &json);
    put_patterns(o, usual, "alpha_pattern", &json);
    bp_json_put_null(&json, json.root, "modules_to_save");
    bp_json_put_bool(&json, json.root, "inference_mode", true);
    char *text = bp_json_print(&json, true);
    bp_json_out_done(&json);
    return text;
}

static enum bp_status layout(struct bp_output *out, struct bp_err *err)
{
    const struct bp_outline *o = out->outline;
    uint32_t usual = 0;
    size_t f;
    BP_TRY(usual_rank(o, &usual, err));
    if (usual == 0)
        return BP_OK;
    for (size_t i = 0; i < o->n_matrices; i++)
        if (o->matrices[i].r > 0)
            BP_TRY(check_matrix(o, &o->matrices[i], err));
    BP_TRY(bp_output_make_places(out, BP_PLACE_ADAPTER, err));
    BP_TRY(bp_output_add_file(out, "adapter", "adapter_model.safetensors", &f, err));
    BP_TRY(bp_output_add_metadata(&out->files[f], "format", "pt", err));
    for (size_t n = 0; n < o->n_matrices; n++)
        if (o->matrices[o->order[n]].r > 0)
            BP_TRY(add_module(out, f, o->order[n], err));
    return bp_output_add_text(out, "adapter/adapter_config.json", config_text(o, usual), err);
}

/* --- values --- */

/* to [n * m] = from [m * n] transposed; on the heap. */
static float *turn(const float *from, uint64_t m, uint64_t n)
{
    float *to = bp_alloc(m * n, sizeof *to);
    for (uint64_t i = 0; to && i < m; i++)
        for (uint64_t j = 0; j < n; j++)
            to[j * m + i] = from[i * n + j];
    return to;
}

static enum bp_status put(const struct bp_output *out, size_t i, const struct bp_parts *p,
                          struct bp_err *err)
{
    const struct bp_output_place A = out->places[BP_PLACE_ADAPTER][i];
    const struct bp_output_place B = {A.file, A.tensor + 1, 0};
    if (!bp_outline_transposed(out->outline)) {
        BP_TRY(bp_output_write_values(out, &A, p->L2, p->r * p->k, err));
        return bp_output_write_values(out, &B, p->L1, p->d * p->r, err);
    }
    float *a = turn(p->L1, p->d, p->r), *b = turn(p->L2, p->r, p->k);
    enum bp_status status = a && b ? BP_OK : bp_fail_nomem(err);
    if (status == BP_OK)
        status = bp_output_write_values(out, &A, a, p->d * p->r, err);
    if (status == BP_OK)
        status = bp_output_write_values(out, &B, b, p->r * p->k, err);
    free(a);
    free(b);
    return status;
}

static void turn_into(float *values, uint64_t m, uint64_t n, const float *turned)
{
    for (uint64_t i = 0; i < m; i++)
        for (uint64_t j = 0; j < n; j++)
            values[i * n + j] = turned[j * m + i];
}

static enum bp_status read(const struct bp_output_reader *reader, size_t i, struct bp_parts *p,
                           struct bp_err *err)
{
    const struct bp_output_place *place = &reader->output->places[BP_PLACE_ADAPTER][i];
    const struct bp_st *st;
    const struct bp_st_tensor *A = bp_output_tensor(reader, place, 0, &st);
    const struct bp_st_tensor *B = bp_output_tensor(reader, place, 1, &st);
    if (!bp_outline_transposed(reader->output->outline)) {
        bp_st_read_f32(st, A, 0, A->n_elems, p->L2);
        bp_st_read_f32(st, B, 0, B->n_elems, p->L1);
        return BP_OK;
    }
    const uint64_t n = A->n_elems > B->n_elems ? A->n_elems : B->n_elems;
    float *turned = bp_alloc(n, sizeof *turned);
    if (!turned)
        return bp_fail_nomem(err);
    bp_st_read_f32(st, A, 0, A->n_elems, turned);
    turn_into(p->L1, p->d, p->r, turned);
    bp_st_read_f32(st, B, 0, B->n_elems, turned);
    turn_into(p->L2, p->r, p->k, turned);
    free(turned);
    return BP_OK;
}

const struct bp_output_form bp_output_form_adapter = {layout, put, read};
