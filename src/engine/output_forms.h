/*
 * What the forms of an output share; nothing outside output*.c includes it.
 */
#ifndef BP_ENGINE_OUTPUT_FORMS_H
#define BP_ENGINE_OUTPUT_FORMS_H

#include "engine/output_layout.h"

/* One form's operations. */
struct bp_output_form {
    enum bp_status (*layout)(struct bp_output *out, struct bp_err *err);
    enum bp_status (*put)(const struct bp_output *out, size_t i, const struct bp_parts *parts,
                          struct bp_err *err);
    enum bp_status (*read)(const struct bp_output_reader *reader, size_t i, struct bp_parts *parts,
                           struct bp_err *err);
};

extern const struct bp_output_form bp_output_form_hf, bp_output_form_packed, bp_output_form_bnb,
    bp_output_form_adapter;

/* Appends a file; *f is its index. The name is copied. */
enum bp_status bp_output_add_file(struct bp_output *out, const char *folder, const char *name,
                                  size_t *f, struct bp_err *err);
enum bp_status bp_output_add_metadata(struct bp_output_file *file, const char *key,
                                      const char *value, struct bp_err *err);

/* Appends a tensor. name: "NAME" + `part`; *t (may be NULL) its index. Takes `owned` over, also on
 * failure. */
struct bp_output_new_tensor {
    const char *name, *part;
    enum bp_dtype dtype;
    unsigned n_dims;
    uint64_t shape[BP_ST_MAX_DIMS];
    const void *fixed;
    void *owned;
};
enum bp_status bp_output_add_tensor(struct bp_output *out, size_t f,
                                    const struct bp_output_new_tensor *t, struct bp_err *err);

/* Appends a text file, which takes `text` over (NULL fails as out of memory). */
enum bp_status bp_output_add_text(struct bp_output *out, const char *name, char *text,
                                  struct bp_err *err);

/* The model's other files, copied to OUT/folder ("" for OUT itself): configuration, tokenizer,
 * licences; neither weights of any format nor hidden files nor folders. Without `all`, config.json
 * and the shards' index are left out, too. */
enum bp_status bp_output_copy_others(struct bp_output *out, const char *folder, bool all,
                                     struct bp_err *err);

/* The places of a form, all nowhere. */
enum bp_status bp_output_make_places(struct bp_output *out, int form, struct bp_err *err);

/* Writes n bytes into tensor t of file f. */
enum bp_status bp_output_write(const struct bp_output *out, size_t f, size_t t, uint64_t at,
                               const void *bytes, size_t n, struct bp_err *err);

/* Writes values [n] in the tensor's dtype. */
enum bp_status bp_output_write_values(const struct bp_output *out,
                                      const struct bp_output_place *place, const float *values,
                                      uint64_t n, struct bp_err *err);

/* The tensor of an open file that stands at place + step. */
const struct bp_st_tensor *bp_output_tensor(const struct bp_output_reader *reader,
                                            const struct bp_output_place *place, size_t step,
                                            const struct bp_st **st);

#endif
