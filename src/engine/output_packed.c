/*
 * The packed form (docs/packed.md): in the place of each planned tensor its codes, scale codes,
 * second-level scales, offset and factors; every other tensor as it is; and in the metadata what it
 * takes to write the model's own files again.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/json_write.h"
#include "engine/low_rank.h"
#include "engine/mem.h"
#include "engine/nf.h"
#include "engine/output_forms.h"
#include "engine/pack.h"
#include "engine/printable.h"

/* What a coded array is stored as, in this order. */
enum { CODES, SCALE_CODES, SCALE_SCALES, SCALE_OFFSET, N_CODED };

/* --- layout --- */

static uint64_t ceil_div(uint64_t a, uint64_t b)
{
    return a / b + (a % b != 0);
}

static enum bp_dtype scale_dtype(const struct bp_config *c)
{
    static const enum bp_dtype dtypes[BP_N_SCALE_TYPES] = {
        [BP_SCALE_BF16] = BP_DTYPE_BF16,
        [BP_SCALE_FP16] = BP_DTYPE_F16,
        [BP_SCALE_FP32] = BP_DTYPE_F32,
    };
    return dtypes[c->b2];
}

static enum bp_status add_coded(struct bp_output *out, size_t f, const char *name, uint64_t n,
                                const struct bp_config *c, struct bp_err *err)
{
    const uint64_t blocks = ceil_div(n, c->B0), groups = ceil_div(blocks, c->B1);
    const struct bp_output_new_tensor tensors[N_CODED] = {
        {name, ".codes", BP_DTYPE_I32, 1, {bp_pack_words(n, c->b0)}, NULL, NULL},
        {name, ".scale_codes", BP_DTYPE_I32, 1, {bp_pack_words(blocks, c->b1)}, NULL, NULL},
        {name, ".scale_scales", scale_dtype(c), 1, {groups}, NULL, NULL},
        {name, ".scale_offset", BP_DTYPE_F32, 0, {0}, NULL, NULL},
    };
    for (int i = 0; i < N_CODED; i++)
        BP_TRY(bp_output_add_tensor(out, f, &tensors[i], err));
    return BP_OK;
}

static enum bp_status add_factor(struct bp_output *out, size_t f, const char *matrix,
                                 const char *part, uint64_t rows, uint64_t cols, struct bp_err *err)
{
    const unsigned bits = out->outline->low_rank_bits;
    const struct bp_output_new_tensor plain = {
        matrix, part, bits == 16 ? BP_DTYPE_BF16 : BP_DTYPE_F32, 2, {rows, cols}, NULL, NULL};
    if (bits != 8)
        return bp_output_add_tensor(out, f, &plain, err);
    char *name = bp_format("%s%s", matrix, part);
    if (!name)
        return bp_fail_nomem(err);
    enum bp_status status = add_coded(out, f, name, rows * cols, &bp_low_rank_nf8, err);
    free(name);
    return status;
}

static enum bp_status add_matrix(struct bp_output *out, size_t f, size_t i, struct bp_err *err)
{
    const struct bp_outline_matrix *m = &out->outline->matrices[i];
    out->places[BP_EMIT_PACKED][i] = (struct bp_output_place){f, out->files[f].n_tensors, 0};
    BP_TRY(add_coded(out, f, m->name, m->d * m->k, &m->config, err));
    if (m->r == 0)
        return BP_OK;
    BP_TRY(add_factor(out, f, m->name, ".lora_A", m->r, m->k, err));
    return add_factor(out, f, m->name, ".lora_B", m->d, m->r, err);
}

static enum bp_status add_tensors(struct bp_output *out, size_t f,
                                  const struct bp_outline_file *file, struct bp_err *err)
{
    for (size_t i = 0; i < file->n_tensors; i++) {
        const struct bp_outline_tensor *t = &file->tensors[i];
        struct bp_output_new_tensor kept = {
            .name = t->name, .part = "", .dtype = t->dtype, .n_dims = t->n_dims, .fixed = t->data};
        memcpy(kept.shape, t->shape, sizeof kept.shape);
        if (t->data)
            BP_TRY(bp_output_add_tensor(out, f, &kept, err));
        for (size_t n = 0; n < t->n_matrices; n++)
            BP_TRY(add_matrix(out, f, out->outline->order[t->first_matrix + n], err));
    }
    return BP_OK;
}

/* The codebooks that the codes of a file refer to, so that it can be read without another source.
 */
static enum bp_status add_codebooks(struct bp_output *out, size_t f, size_t from,
                                    struct bp_err *err)
{
    const struct bp_outline *o = out->outline;
    bool used[9] = {false};
    for (size_t i = 0; i < o->n_matrices; i++) {
        const struct bp_outline_matrix *m = &o->matrices[i];
        used[m->config.b0] |= m->file == from;
        used[bp_low_rank_nf8.b0] |= m->file == from && m->r > 0 && o->low_rank_bits == 8;
    }
    for (unsigned bits = 2; bits <= 8; bits++) {
        const char part[] = {(char)('0' + bits), '\0'};
        if (!used[bits])
            continue;
        const struct bp_output_new_tensor values = {
            "bitplan.nf", part, BP_DTYPE_F32, 1, {1u << bits}, bp_nf_values(bits), NULL};
        BP_TRY(bp_output_add_tensor(out, f, &values, err));
    }
    return BP_OK;
}

/* --- metadata --- */

static void put_shape(struct bp_json_out *json, struct cJSON *node, const uint64_t *shape,
                      unsigned n)
{
    struct cJSON *list = bp_json_put_array(json, node, "shape");
    for (unsigned i = 0; i < n; i++)
        bp_json_put_u64(json, list, NULL, shape[i]);
}

/* The tensors of the model's file in the order of their data. */
static char *tensors_text(const struct bp_outline_file *file)
{
    struct bp_json_out json;
    bp_json_out_array(&json);
    for (size_t i = 0; i < file->n_tensors; i++) {
        const struct bp_outline_tensor *t = &file->tensors[i];
        struct cJSON *node = bp_json_put_object(&json, json.root, NULL);
        bp_json_put_string(&json, node, "name", t->name);
        bp_json_put_string(&json, node, "dtype", bp_dtype_name(t->dtype));
        put_shape(&json, node, t->shape, t->n_dims);
    }
    char *text = bp_json_print(&json, false);
    bp_json_out_done(&json);
    return text;
}

/* The matrices of one file, in the order of their places. */
static char *matrices_text(const struct bp_outline *o, size_t f)
{
    struct bp_json_out json;
    bp_json_out_array(&json);
    for (size_t n = 0; n < o->n_matrices; n++) {
        const struct bp_outline_matrix *m = &o->matrices[o->order[n]];
        char config[BP_CONFIG_TEXT];
        if (m->file != f)
            continue;
        const uint64_t shape[] = {m->d, m->k};
        struct cJSON *node = bp_json_put_object(&json, json.root, NULL);
        bp_json_put_string(&json, node, "name", m->name);
        bp_json_put_string(&json, node, "tensor", o->files[f].tensors[m->tensor].name);
        bp_json_put_u64(&json, node, "first", m->first_elem);
        put_shape(&json, node, shape, 2);
        bp_json_put_string(&json, node, "config", bp_config_format(&m->config, config));
        bp_json_put_u64(&json, node, "rank", m->rank);
    }
    char *text = bp_json_print(&json, false);
    bp_json_out_done(&json);
    return text;
}

static char *metadata_text(const struct bp_outline_file *file)
{
    struct bp_json_out json;
    bp_json_out_array(&json);
    for (size_t i = 0; i < file->n_metadata; i++) {
        struct cJSON *pair = bp_json_put_array(&json, json.root, NULL);
        bp_json_put_string(&json, pair, NULL, file->metadata[i].key);
        bp_json_put_string(&json, pair, NULL, file->metadata[i].value);
    }
    char *text = bp_json_print(&json, false);
    bp_json_out_done(&json);
    return text;
}

static enum bp_status add_owned(struct bp_output_file *file, const char *key, char *value,
                                struct bp_err *err)
{
    enum bp_status status = bp_output_add_metadata(file, key, value, err);
    free(value);
    return status;
}

static enum bp_status add_metadata(struct bp_output *out, size_t f, size_t from, struct bp_err *err)
{
    const struct bp_outline *o = out->outline;
    const struct bp_outline_file *source = &o->files[from];
    struct bp_output_file *file = &out->files[f];
    BP_TRY(bp_output_add_metadata(file, "format", "bitplan.packed", err));
    BP_TRY(bp_output_add_metadata(file, "version", "1", err));
    BP_TRY(bp_output_add_metadata(file, "file", source->name, err));
    BP_TRY(add_owned(file, "low_rank_bits", bp_format("%u", o->low_rank_bits), err));
    BP_TRY(add_owned(file, "matrices", matrices_text(o, from), err));
    BP_TRY(add_owned(file, "metadata", metadata_text(source), err));
    return add_owned(file, "tensors", tensors_text(source), err);
}

static enum bp_status layout(struct bp_output *out, struct bp_err *err)
{
    const struct bp_outline *o = out->outline;
    BP_TRY(bp_output_make_places(out, BP_EMIT_PACKED, err));
    for (size_t from = 0; from < o->n_files; from++) {
        const char *name = o->files[from].name;
        const bool usual = strncmp(name, "model", 5) == 0;
        char *packed = bp_format("packed%s%s", usual ? "" : "-", usual ? name + 5 : name);
        size_t f;
        enum bp_status status =
            packed ? bp_output_add_file(out, "packed", packed, &f, err) : bp_fail_nomem(err);
        free(packed);
        if (status != BP_OK)
            return status;
        BP_TRY(add_metadata(out, f, from, err));
        BP_TRY(add_tensors(out, f, &o->files[from], err));
        BP_TRY(add_codebooks(out, f, from, err));
    }
    return bp_output_copy_others(out, "packed", true, err);
}

/* --- writing --- */

static enum bp_status put_packed(const struct bp_output *out, const struct bp_output_place *place,
                                 size_t step, const uint8_t *codes, uint64_t n, unsigned bits,
                                 struct bp_err *err)
{
    const uint64_t words = bp_pack_words(n, bits);
    uint32_t *packed = bp_alloc(words, sizeof *packed);
    if (!packed)
        return bp_fail_nomem(err);
    bp_pack(codes, n, bits, packed);
    enum bp_status status = bp_output_write(out, place->file, place->tensor + step, 0, packed,
                                            words * sizeof *packed, err);
    free(packed);
    return status;
}

static enum bp_status put_coded(const struct bp_output *out, struct bp_output_place place,
                                const struct bp_coded *c, struct bp_err *err)
{
    const struct bp_scales *s = &c->scales;
    const struct bp_output_place scales = {place.file, place.tensor + SCALE_SCALES, 0};
    BP_TRY(put_packed(out, &place, CODES, c->codes, s->n, s->config.b0, err));
    BP_TRY(put_packed(out, &place, SCALE_CODES, s->code, s->n_blocks, s->config.b1, err));
    BP_TRY(bp_output_write_values(out, &scales, s->second, s->n_groups, err));
    return bp_output_write(out, place.file, place.tensor + SCALE_OFFSET, 0, &s->offset,
                           sizeof s->offset, err);
}

static enum bp_status put(const struct bp_output *out, size_t i, const struct bp_parts *p,
                          struct bp_err *err)
{
    struct bp_output_place place = out->places[BP_EMIT_PACKED][i];
    BP_TRY(put_coded(out, place, &p->q, err));
    if (p->r == 0)
        return BP_OK;
    place.tensor += N_CODED;
    if (p->low_rank_bits == 8) {
        BP_TRY(put_coded(out, place, &p->c2, err));
        place.tensor += N_CODED;
        return put_coded(out, place, &p->c1, err);
    }
    BP_TRY(bp_output_write_values(out, &place, p->L2, p->r * p->k, err));
    place.tensor++;
    return bp_output_write_values(out, &place, p->L1, p->d * p->r, err);
}

/* --- reading --- */

static enum bp_status read_packed(const struct bp_st *st, const struct bp_st_tensor *t, uint64_t n,
                                  unsigned bits, uint8_t *codes, struct bp_err *err)
{
    uint32_t *words = bp_alloc(t->n_elems, sizeof *words);
    if (!words)
        return bp_fail_nomem(err);
    memcpy(words, bp_st_data(st, t), t->n_bytes);
    bp_unpack(words, n, bits, codes);
    free(words);
    return BP_OK;
}

static bool is_scale(float v)
{
    return isfinite(v) && v >= 0.0f;
}

/* n and config are known; the tensors' shapes were checked when the reader was opened. */
static enum bp_status read_coded(const struct bp_output_reader *reader,
                                 const struct bp_output_place *place, struct bp_coded *c,
                                 struct bp_err *err)
{
    struct bp_scales *s = &c->scales;
    const struct bp_st *st;
    const struct bp_st_tensor *t[N_CODED];
    for (int i = 0; i < N_CODED; i++)
        t[i] = bp_output_tensor(reader, place, (size_t)i, &st);
    const uint64_t blocks = ceil_div(s->n, s->config.B0);
    BP_TRY(read_packed(st, t[CODES], s->n, s->config.b0, c->codes, err));
    BP_TRY(read_packed(st, t[SCALE_CODES], blocks, s->config.b1, s->code, err));
    bp_st_read_f32(st, t[SCALE_SCALES], 0, t[SCALE_SCALES]->n_elems, s->second);
    bp_st_read_f32(st, t[SCALE_OFFSET], 0, 1, &s->offset);
    bool sound = is_scale(s->offset);
    for (uint64_t g = 0; g < t[SCALE_SCALES]->n_elems; g++)
        sound &= is_scale(s->second[g]);
    if (!sound)
        return bp_fail(err, BP_ERR_INPUT, "%s: %s holds a scale that is negative or not finite",
                       st->path, bp_printable(t[SCALE_SCALES]->name).text);
    bp_scales_restore(s);
    return BP_OK;
}

static enum bp_status read_factor(const struct bp_output_reader *reader,
                                  const struct bp_output_place *place, unsigned bits, uint64_t n,
                                  struct bp_coded *c, float *L, struct bp_err *err)
{
    const struct bp_st *st;
    const struct bp_st_tensor *t = bp_output_tensor(reader, place, 0, &st);
    if (bits == 8) {
        c->scales.config = bp_low_rank_nf8;
        c->scales.n = n;
        BP_TRY(read_coded(reader, place, c, err));
        bp_dequantize(c->codes, &c->scales, L);
        return BP_OK;
    }
    bp_st_read_f32(st, t, 0, n, L);
    for (uint64_t i = 0; i < n; i++)
        if (!isfinite(L[i]))
            return bp_fail(err, BP_ERR_INPUT, "%s: %s holds a value that is not finite", st->path,
                           bp_printable(t->name).text);
    return BP_OK;
}

static enum bp_status read(const struct bp_output_reader *reader, size_t i, struct bp_parts *p,
                           struct bp_err *err)
{
    struct bp_output_place place = reader->output->places[BP_EMIT_PACKED][i];
    p->q.scales.config = reader->output->outline->matrices[i].config;
    p->q.scales.n = p->d * p->k;
    BP_TRY(read_coded(reader, &place, &p->q, err));
    bp_dequantize(p->q.codes, &p->q.scales, p->Q);
    if (p->r == 0)
        return BP_OK;
    place.tensor += N_CODED;
    BP_TRY(read_factor(reader, &place, p->low_rank_bits, p->r * p->k, &p->c2, p->L2, err));
    place.tensor += p->low_rank_bits == 8 ? N_CODED : 1;
    return read_factor(reader, &place, p->low_rank_bits, p->d * p->r, &p->c1, p->L1, err);
}

uint64_t bp_output_packed_bits(const struct bp_output_reader *reader, size_t i)
{
    const struct bp_outline_matrix *m = &reader->output->outline->matrices[i];
    const struct bp_output_place *place = &reader->output->places[BP_EMIT_PACKED][i];
    const struct bp_st *st;
    const uint64_t n = m->d * m->k;
    const uint64_t groups = bp_output_tensor(reader, place, SCALE_SCALES, &st)->n_bytes * 8;
    /* Whole words, less the bits that no code fills. */
    const uint64_t blocks = ceil_div(n, m->config.B0);
    const uint64_t codes = bp_output_tensor(reader, place, CODES, &st)->n_bytes * 8 -
                           (bp_pack_words(n, m->config.b0) * 32 - n * m->config.b0);
    const uint64_t scales = bp_output_tensor(reader, place, SCALE_CODES, &st)->n_bytes * 8 -
                            (bp_pack_words(blocks, m->config.b1) * 32 - blocks * m->config.b1);
    return codes + scales + groups;
}

const struct bp_output_form bp_output_form_packed = {layout, put, read};
