/* The base of an output: the model's own files, the planned weights dequantized. */
#include "engine/output_forms.h"

/* One of the model's files as it is, apart from the planned tensors, which are filled later. */
static enum bp_status layout_file(struct bp_output *out, size_t from, struct bp_err *err)
{
    const struct bp_outline *o = out->outline;
    const struct bp_outline_file *file = &o->files[from];
    size_t f;
    BP_TRY(bp_output_add_file(out, "", file->name, &f, err));
    for (size_t i = 0; i < file->n_metadata; i++)
        BP_TRY(bp_output_add_metadata(&out->files[f], file->metadata[i].key,
                                      file->metadata[i].value, err));
    for (size_t i = 0; i < file->n_tensors; i++) {
        const struct bp_outline_tensor *t = &file->tensors[i];
        struct bp_output_new_tensor tensor = {
            .name = t->name, .part = "", .dtype = t->dtype, .n_dims = t->n_dims, .fixed = t->data};
        for (unsigned j = 0; j < t->n_dims; j++)
            tensor.shape[j] = t->shape[j];
        BP_TRY(bp_output_add_tensor(out, f, &tensor, err));
        for (size_t n = 0; n < t->n_matrices; n++) {
            const size_t matrix = o->order[t->first_matrix + n];
            const uint64_t size = bp_dtype_bits(t->dtype) / 8;
            out->places[BP_EMIT_HF][matrix] =
                (struct bp_output_place){f, i, o->matrices[matrix].first_elem * size};
        }
    }
    return BP_OK;
}

static enum bp_status layout(struct bp_output *out, struct bp_err *err)
{
    BP_TRY(bp_output_make_places(out, BP_EMIT_HF, err));
    for (size_t f = 0; f < out->outline->n_files; f++)
        BP_TRY(layout_file(out, f, err));
    return bp_output_copy_others(out, "", true, err);
}

static enum bp_status put(const struct bp_output *out, size_t i, const struct bp_parts *parts,
                          struct bp_err *err)
{
    return bp_output_write_values(out, &out->places[BP_EMIT_HF][i], parts->Q, parts->d * parts->k,
                                  err);
}

static enum bp_status read(const struct bp_output_reader *reader, size_t i, struct bp_parts *parts,
                           struct bp_err *err)
{
    (void)err;
    const struct bp_st *st;
    const struct bp_st_tensor *t =
        bp_output_tensor(reader, &reader->output->places[BP_EMIT_HF][i], 0, &st);
    bp_st_read_f32(st, t, reader->output->outline->matrices[i].first_elem, parts->d * parts->k,
                   parts->Q);
    return BP_OK;
}

const struct bp_output_form bp_output_form_hf = {layout, put, read};
