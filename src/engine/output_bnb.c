/*
 * The bitsandbytes form: a model that loads with its 4-bit NormalFloat layers, without double
 * quantization.
 *
 * bitsandbytes has one table of 16 values, hard-coded in its kernels, so that only 4-bit codes can
 * be its codes; blocks of 32 (from its version 0.49.2 on), 64, 128 ... 4096 elements; and scales of
 * blocks either in FP32 or in its own double quantization (a dynamic 8-bit map around the mean),
 * which is not ours. So a matrix of b0 = 4 and such a B0 is written with its dequantized scales in
 * FP32: the same values at 4 + 32 / B0 bits. Others are written as hf has them and are named in
 * llm_int8_skip_modules.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/json_read.h"
#include "engine/json_write.h"
#include "engine/mem.h"
#include "engine/narrow.h"
#include "engine/output_forms.h"
#include "engine/printable.h"

/* What a 4-bit layer is stored as, in this order. */
enum { WEIGHT, ABSMAX, QUANT_MAP, QUANT_STATE };

/* bitsandbytes' NF4: ours to 1.2e-7, with ends of exactly 1. */
static const float nf4[16] = {-1.0f,
                              -0.6961928009986877f,
                              -0.5250730514526367f,
                              -0.39491748809814453f,
                              -0.28444138169288635f,
                              -0.18477343022823334f,
                              -0.09105003625154495f,
                              0.0f,
                              0.07958029955625534f,
                              0.16093020141124725f,
                              0.24611230194568634f,
                              0.33791524171829224f,
                              0.44070982933044434f,
                              0.5626170039176941f,
                              0.7229568362236023f,
                              1.0f};

static const char *why_not(const struct bp_outline *o, const struct bp_outline_matrix *m)
{
    const uint32_t B0 = m->config.B0;
    const char *name = o->files[m->file].tensors[m->tensor].name;
    const size_t n = strlen(name);
    if (m->config.b0 != 4)
        return "bitsandbytes has 4-bit NormalFloat codes only";
    if (B0 < 32 || B0 > 4096 || (B0 & (B0 - 1)) != 0)
        return "bitsandbytes has blocks of 32, 64, 128, ... 4096 elements only";
    if (m->d * m->k % 2 != 0)
        return "bitsandbytes stores two codes a byte, and their number is odd";
    if (o->files[m->file].tensors[m->tensor].n_dims != 2 || n < 8 ||
        strcmp(name + n - 7, ".weight") != 0)
        return "it is no weight of a linear layer of its own";
    if (bp_outline_transposed(o))
        return "the layers of this architecture hold their weights transposed";
    return NULL;
}

/* --- layout --- */

static const char *torch_name(enum bp_dtype dtype)
{
    return dtype == BP_DTYPE_BF16 ? "bfloat16" : dtype == BP_DTYPE_F16 ? "float16" : "float32";
}

static char *state_text(const struct bp_outline_matrix *m)
{
    struct bp_json_out json;
    bp_json_out_object(&json);
    bp_json_put_string(&json, json.root, "quant_type", "nf4");
    bp_json_put_u64(&json, json.root, "blocksize", m->config.B0);
    bp_json_put_string(&json, json.root, "dtype", torch_name(m->dtype));
    struct cJSON *shape = bp_json_put_array(&json, json.root, "shape");
    bp_json_put_u64(&json, shape, NULL, m->d);
    bp_json_put_u64(&json, shape, NULL, m->k);
    char *text = bp_json_print(&json, false);
    bp_json_out_done(&json);
    return text;
}

static enum bp_status add_layer(struct bp_output *out, size_t f, size_t i, struct bp_err *err)
{
    const struct bp_outline_matrix *m = &out->outline->matrices[i];
    const uint64_t n = m->d * m->k, blocks = n / m->config.B0 + (n % m->config.B0 != 0);
    char *state = state_text(m);
    if (!state)
        return bp_fail_nomem(err);
    const struct bp_output_new_tensor tensors[] = {
        [WEIGHT] = {m->name, "", BP_DTYPE_U8, 2, {n / 2, 1}, NULL, NULL},
        [ABSMAX] = {m->name, ".absmax", BP_DTYPE_F32, 1, {blocks}, NULL, NULL},
        [QUANT_MAP] = {m->name, ".quant_map", BP_DTYPE_F32, 1, {16}, nf4, NULL},
        [QUANT_STATE] = {m->name,
                         ".quant_state.bitsandbytes__nf4",
                         BP_DTYPE_U8,
                         1,
                         {strlen(state)},
                         state,
                         state},
    };
    out->places[BP_EMIT_BNB][i] = (struct bp_output_place){f, out->files[f].n_tensors, 0};
    enum bp_status status = BP_OK;
    for (int t = WEIGHT; t <= QUANT_STATE; t++) {
        if (status == BP_OK)
            status = bp_output_add_tensor(out, f, &tensors[t], err);
        else
            free(tensors[t].owned);
    }
    return status;
}

static enum bp_status add_tensor(struct bp_output *out, size_t f, const struct bp_outline_tensor *t,
                                 struct bp_err *err)
{
    const struct bp_outline *o = out->outline;
    if (t->n_matrices == 1 && !out->no_bnb[o->order[t->first_matrix]])
        return add_layer(out, f, o->order[t->first_matrix], err);
    struct bp_output_new_tensor tensor = {
        .name = t->name, .part = "", .dtype = t->dtype, .n_dims = t->n_dims, .fixed = t->data};
    memcpy(tensor.shape, t->shape, sizeof tensor.shape);
    for (size_t n = 0; n < t->n_matrices; n++) {
        const size_t i = o->order[t->first_matrix + n];
        const uint64_t at = o->matrices[i].first_elem * bp_dtype_bits(t->dtype) / 8;
        out->places[BP_EMIT_BNB][i] = (struct bp_output_place){f, out->files[f].n_tensors, at};
    }
    return bp_output_add_tensor(out, f, &tensor, err);
}

/* --- configuration --- */

/* Every layer with a weight that is not 4-bit here: the loader would take it for one. */
static void put_skipped(const struct bp_output *out, struct bp_json_out *json, struct cJSON *node)
{
    const struct bp_outline *o = out->outline;
    struct cJSON *list = bp_json_put_array(json, node, "llm_int8_skip_modules");
    bp_json_put_string(json, list, NULL, "lm_head");
    for (size_t f = 0; f < o->n_files; f++)
        for (size_t i = 0; i < o->files[f].n_tensors; i++) {
            const struct bp_outline_tensor *t = &o->files[f].tensors[i];
            if (t->n_dims != 2 || strcmp(t->name, "lm_head.weight") == 0 ||
                (t->n_matrices == 1 && !out->no_bnb[o->order[t->first_matrix]]))
                continue;
            char *module = bp_outline_module(o, t->name);
            if (module)
                bp_json_put_string(json, list, NULL, module);
            else
                json->failed = true;
            free(module);
        }
}

static char *quantization_text(const struct bp_output *out)
{
    struct bp_json_out json;
    const enum bp_dtype dtype = out->outline->matrices[0].dtype;
    bp_json_out_object(&json);
    bp_json_put_string(&json, json.root, "quant_method", "bitsandbytes");
    bp_json_put_bool(&json, json.root, "load_in_4bit", true);
    bp_json_put_bool(&json, json.root, "load_in_8bit", false);
    bp_json_put_string(&json, json.root, "bnb_4bit_quant_type", "nf4");
    bp_json_put_bool(&json, json.root, "bnb_4bit_use_double_quant", false);
    bp_json_put_string(&json, json.root, "bnb_4bit_compute_dtype", torch_name(dtype));
    bp_json_put_string(&json, json.root, "bnb_4bit_quant_storage", "uint8");
    put_skipped(out, &json, json.root);
    char *text = bp_json_print(&json, false);
    bp_json_out_done(&json);
    return text;
}

/* The text of a file, on the heap. */
static enum bp_status read_text(const char *path, char **out, struct bp_err *err)
{
    FILE *file = fopen(path, "re");
    size_t room = 0;
    *out = NULL;
    ssize_t n = file ? getdelim(out, &room, '\0', file) : -1;
    if (file)
        fclose(file);
    if (n > 0)
        return BP_OK;
    free(*out);
    *out = NULL;
    return bp_fail(err, BP_ERR_INPUT, "%s: cannot be read; the bnb form needs it", path);
}

/* config.json with one member more; the rest stays as it stands there. */
static enum bp_status add_config(struct bp_output *out, struct bp_err *err)
{
    struct cJSON *root = NULL;
    char *text = NULL, *config = NULL;
    char *path = bp_format("%s/config.json", out->outline->folder);
    if (!path)
        return bp_fail_nomem(err);
    enum bp_status status = bp_json_read_file(path, &root, err);
    if (status == BP_OK && !bp_json_is_object(root))
        status = bp_fail(err, BP_ERR_INPUT, "%s: is no object", path);
    if (status == BP_OK && bp_json_member(root, "quantization_config"))
        status = bp_fail(err, BP_ERR_INPUT, "%s: has a quantization_config already", path);
    if (status == BP_OK)
        status = read_text(path, &text, err);
    if (status == BP_OK) {
        char *quantization = quantization_text(out), *end = strrchr(text, '}');
        while (end && end > text && isspace((unsigned char)end[-1]))
            end--;
        if (quantization && end)
            config = bp_format("%.*s%s\n  \"quantization_config\": %s\n}\n", (int)(end - text),
                               text, bp_json_first(root) ? "," : "", quantization);
        free(quantization);
        status = bp_output_add_text(out, "bnb/config.json", config, err);
    }
    bp_json_free(root);
    free(text);
    free(path);
    return status;
}

/* The model's index does not know the tensors of 4-bit layers. */
static enum bp_status add_index(struct bp_output *out, size_t first, struct bp_err *err)
{
    struct bp_json_out json;
    uint64_t total = 0;
    if (!out->outline->indexed)
        return BP_OK;
    bp_json_out_object(&json);
    struct cJSON *metadata = bp_json_put_object(&json, json.root, "metadata");
    struct cJSON *map = bp_json_put_object(&json, json.root, "weight_map");
    for (size_t f = first; f < out->n_files; f++)
        for (size_t t = 0; t < out->files[f].n_tensors; t++) {
            const struct bp_output_tensor *tensor = &out->files[f].tensors[t];
            uint64_t bits = bp_dtype_bits(tensor->dtype);
            for (unsigned i = 0; i < tensor->n_dims; i++)
                bits *= tensor->shape[i];
            total += bits / 8;
            bp_json_put_string(&json, map, tensor->name, out->files[f].name + strlen("bnb/"));
        }
    bp_json_put_u64(&json, metadata, "total_size", total);
    char *text = bp_json_print(&json, true);
    bp_json_out_done(&json);
    return bp_output_add_text(out, "bnb/model.safetensors.index.json", text, err);
}

static enum bp_status choose(struct bp_output *out, struct bp_err *err)
{
    const struct bp_outline *o = out->outline;
    size_t n = 0;
    out->no_bnb = bp_alloc_zero(o->n_matrices, sizeof *out->no_bnb);
    if (!out->no_bnb)
        return bp_fail_nomem(err);
    for (size_t i = 0; i < o->n_matrices; i++) {
        out->no_bnb[i] = why_not(o, &o->matrices[i]);
        n += !out->no_bnb[i];
    }
    if (n == 0)
        return bp_fail(err, BP_ERR_INPUT, "--emit bnb: no matrix of the plan can be one: %s: %s",
                       bp_printable(o->matrices[0].name).text, out->no_bnb[0]);
    return o->folder ? BP_OK
                     : bp_fail(err, BP_ERR_INPUT,
                               "--emit bnb: needs the model's config.json; give its folder");
}

static enum bp_status layout(struct bp_output *out, struct bp_err *err)
{
    const struct bp_outline *o = out->outline;
    const size_t first = out->n_files;
    BP_TRY(choose(out, err));
    BP_TRY(bp_output_make_places(out, BP_EMIT_BNB, err));
    for (size_t from = 0; from < o->n_files; from++) {
        const struct bp_outline_file *file = &o->files[from];
        size_t f;
        BP_TRY(bp_output_add_file(out, "bnb", file->name, &f, err));
        for (size_t i = 0; i < file->n_metadata; i++)
            BP_TRY(bp_output_add_metadata(&out->files[f], file->metadata[i].key,
                                          file->metadata[i].value, err));
        for (size_t i = 0; i < file->n_tensors; i++)
            BP_TRY(add_tensor(out, f, &file->tensors[i], err));
    }
    BP_TRY(bp_output_copy_others(out, "bnb", false, err));
    BP_TRY(add_index(out, first, err));
    return add_config(out, err);
}

/* --- values --- */

static enum bp_status put(const struct bp_output *out, size_t i, const struct bp_parts *p,
                          struct bp_err *err)
{
    const struct bp_output_place place = out->places[BP_EMIT_BNB][i];
    const struct bp_output_place absmax = {place.file, place.tensor + ABSMAX, 0};
    const uint64_t n = p->d * p->k;
    if (out->no_bnb[i])
        return bp_output_write_values(out, &place, p->Q, n, err);
    uint8_t *bytes = bp_alloc(n / 2, 1);
    if (!bytes)
        return bp_fail_nomem(err);
    for (uint64_t j = 0; j < n / 2; j++) /* the first of two in the high half */
        bytes[j] = (uint8_t)(p->q.codes[2 * j] << 4 | p->q.codes[2 * j + 1]);
    enum bp_status status = bp_output_write(out, place.file, place.tensor, 0, bytes, n / 2, err);
    free(bytes);
    return status == BP_OK
               ? bp_output_write_values(out, &absmax, p->q.scales.value, p->q.scales.n_blocks, err)
               : status;
}

/* As its kernels dequantize: the product in FP32, rounded to the layer's dtype. */
static enum bp_status read(const struct bp_output_reader *reader, size_t i, struct bp_parts *p,
                           struct bp_err *err)
{
    (void)err;
    const struct bp_output *out = reader->output;
    const struct bp_outline_matrix *m = &out->outline->matrices[i];
    const struct bp_output_place *place = &out->places[BP_EMIT_BNB][i];
    const struct bp_st *st;
    const struct bp_st_tensor *t = bp_output_tensor(reader, place, WEIGHT, &st);
    if (out->no_bnb[i]) {
        bp_st_read_f32(st, t, m->first_elem, m->d * m->k, p->Q);
        return BP_OK;
    }
    const unsigned char *bytes = bp_st_data(st, t);
    const struct bp_st_tensor *absmax = bp_output_tensor(reader, place, ABSMAX, &st);
    bp_st_read_f32(st, absmax, 0, absmax->n_elems, p->q.scales.value);
    for (uint64_t j = 0; j < m->d * m->k; j++)
        p->Q[j] = nf4[bytes[j / 2] >> (j % 2 ? 0 : 4) & 15] * p->q.scales.value[j / m->config.B0];
    bp_round_to(p->Q, m->d * m->k, m->dtype);
    return BP_OK;
}

const struct bp_output_form bp_output_form_bnb = {layout, put, read};
