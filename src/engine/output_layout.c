#include "engine/output_layout.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "engine/file_out.h"
#include "engine/mem.h"
#include "engine/narrow.h"
#include "engine/output_forms.h"
#include "engine/printable.h"

/* In the order of enum bp_emit, then the adapter, which goes with hf and bnb. */
static const struct bp_output_form *const forms[BP_N_PLACES] = {
    [BP_EMIT_HF] = &bp_output_form_hf,
    [BP_EMIT_PACKED] = &bp_output_form_packed,
    [BP_EMIT_BNB] = &bp_output_form_bnb,
    [BP_PLACE_ADAPTER] = &bp_output_form_adapter,
};

static const char *const emit_names[BP_N_EMITS] = {
#define EMIT_NAME(suffix, word) word,
    BP_EMITS(EMIT_NAME)
#undef EMIT_NAME
};

const char *bp_emit_name(enum bp_emit emit)
{
    return emit_names[emit];
}

enum bp_status bp_emit_parse(const char *text, unsigned *set, struct bp_err *err)
{
    *set = 0;
    for (const char *word = text; word;) {
        const char *comma = strchr(word, ',');
        const size_t n = comma ? (size_t)(comma - word) : strlen(word);
        unsigned bit = 0;
        for (int e = 0; e < BP_N_EMITS; e++)
            if (strlen(emit_names[e]) == n && strncmp(emit_names[e], word, n) == 0)
                bit = 1u << e;
        if (!bit)
            return bp_fail(err, BP_ERR_USAGE, "--emit: '%.*s' is none of hf, packed, bnb", (int)n,
                           word);
        *set |= bit;
        word = comma ? comma + 1 : NULL;
    }
    return BP_OK;
}

/* --- building --- */

enum bp_status bp_output_add_file(struct bp_output *out, const char *folder, const char *name,
                                  size_t *f, struct bp_err *err)
{
    struct bp_output_file *grown = bp_grow(out->files, out->n_files + 1, sizeof *grown);
    if (!grown)
        return bp_fail_nomem(err);
    out->files = grown;
    *f = out->n_files++;
    grown[*f] = (struct bp_output_file){.fd = -1};
    grown[*f].name = bp_format("%s%s%s", folder, *folder ? "/" : "", name);
    return grown[*f].name ? BP_OK : bp_fail_nomem(err);
}

enum bp_status bp_output_add_metadata(struct bp_output_file *file, const char *key,
                                      const char *value, struct bp_err *err)
{
    struct bp_st_pair *grown = bp_grow(file->metadata, file->n_metadata + 1, sizeof *grown);
    if (!grown)
        return bp_fail_nomem(err);
    file->metadata = grown;
    struct bp_st_pair *pair = &grown[file->n_metadata++];
    *pair = (struct bp_st_pair){bp_strdup(key), value ? bp_strdup(value) : NULL};
    return pair->key && pair->value ? BP_OK : bp_fail_nomem(err);
}

enum bp_status bp_output_add_tensor(struct bp_output *out, size_t f,
                                    const struct bp_output_new_tensor *t, struct bp_err *err)
{
    struct bp_output_file *file = &out->files[f];
    if (file->n_tensors == file->capacity) {
        size_t capacity = file->capacity * 2 + 16;
        struct bp_output_tensor *grown = bp_grow(file->tensors, capacity, sizeof *grown);
        if (!grown) {
            free(t->owned);
            return bp_fail_nomem(err);
        }
        file->tensors = grown;
        file->capacity = capacity;
    }
    struct bp_output_tensor *to = &file->tensors[file->n_tensors++];
    *to = (struct bp_output_tensor){.name = bp_format("%s%s", t->name, t->part),
                                    .dtype = t->dtype,
                                    .n_dims = t->n_dims,
                                    .fixed = t->fixed,
                                    .owned = t->owned};
    memcpy(to->shape, t->shape, sizeof to->shape);
    return to->name ? BP_OK : bp_fail_nomem(err);
}

static enum bp_status add_text(struct bp_output *out, struct bp_output_text text,
                               struct bp_err *err)
{
    struct bp_output_text *grown = bp_grow(out->texts, out->n_texts + 1, sizeof *grown);
    if (grown)
        out->texts = grown;
    if (!grown || !text.name || (!text.text && !text.from)) {
        free(text.name);
        free(text.text);
        free(text.from);
        return bp_fail_nomem(err);
    }
    grown[out->n_texts++] = text;
    return BP_OK;
}

enum bp_status bp_output_add_text(struct bp_output *out, const char *name, char *text,
                                  struct bp_err *err)
{
    return add_text(out, (struct bp_output_text){.name = bp_strdup(name), .text = text}, err);
}

enum bp_status bp_output_make_places(struct bp_output *out, int form, struct bp_err *err)
{
    const size_t n = out->outline->n_matrices;
    out->places[form] = bp_alloc(n, sizeof **out->places);
    if (!out->places[form])
        return bp_fail_nomem(err);
    for (size_t i = 0; i < n; i++)
        out->places[form][i] = (struct bp_output_place){.file = SIZE_MAX};
    return BP_OK;
}

/* --- the model's other files --- */

static bool ends_with(const char *name, const char *suffix)
{
    size_t n = strlen(name), m = strlen(suffix);
    return n >= m && strcasecmp(name + n - m, suffix) == 0;
}

/* Weights in any format are what this output takes the place of. */
static bool is_weights(const char *name)
{
    static const char *const suffixes[] = {".safetensors", ".bin",  ".bin.index.json", ".pt",
                                           ".pth",         ".ckpt", ".gguf",           ".msgpack",
                                           ".h5",          ".npz",  ".onnx",           ".onnx_data",
                                           ".tflite",      ".ot",   ".mlmodel",        ".tar",
                                           ".tar.gz"};
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++)
        if (ends_with(name, suffixes[i]))
            return true;
    return false;
}

static int compare_texts(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

static bool is_copied(const struct bp_outline *o, const char *name, bool all)
{
    static const char index[] = "model.safetensors.index.json";
    struct stat st;
    if (*name == '.' || is_weights(name) || (!all && strcmp(name, "config.json") == 0) ||
        (strcmp(name, index) == 0 && (!o->indexed || !all)) || strcmp(name, "decompose.json") == 0)
        return false;
    char *path = bp_format("%s/%s", o->folder, name);
    bool regular = path && stat(path, &st) == 0 && S_ISREG(st.st_mode);
    free(path);
    return regular;
}

/* The names of the folder's files that are copied, sorted. */
static enum bp_status list_others(const struct bp_outline *o, bool all, char ***names, size_t *n,
                                  struct bp_err *err)
{
    DIR *dir = opendir(o->folder);
    if (!dir && errno == ENOMEM)
        return bp_fail_nomem(err);
    if (!dir)
        return bp_fail(err, BP_ERR_FAILED, "%s: cannot be read: %s", o->folder, strerror(errno));
    enum bp_status status = BP_OK;
    for (struct dirent *entry; status == BP_OK && (entry = readdir(dir));) {
        if (!is_copied(o, entry->d_name, all))
            continue;
        if (!bp_names_add(names, n, entry->d_name))
            status = bp_fail_nomem(err);
    }
    closedir(dir);
    if (*n)
        qsort(*names, *n, sizeof **names, compare_texts);
    return status;
}

enum bp_status bp_output_copy_others(struct bp_output *out, const char *folder, bool all,
                                     struct bp_err *err)
{
    char **names = NULL;
    size_t n = 0;
    if (!out->outline->folder)
        return BP_OK;
    enum bp_status status = list_others(out->outline, all, &names, &n, err);
    for (size_t i = 0; status == BP_OK && i < n; i++) {
        struct bp_output_text text = {.name =
                                          bp_format("%s%s%s", folder, *folder ? "/" : "", names[i]),
                                      .from = bp_format("%s/%s", out->outline->folder, names[i])};
        status = add_text(out, text, err);
    }
    for (size_t i = 0; i < n; i++)
        free(names[i]);
    free(names);
    return status;
}

/* --- the whole --- */

static enum bp_status build_header(struct bp_output_file *file, struct bp_err *err)
{
    struct bp_st_spec *specs = bp_alloc_zero(file->n_tensors, sizeof *specs);
    file->offsets = bp_alloc(file->n_tensors, sizeof *file->offsets);
    if (!specs || !file->offsets) {
        free(specs);
        return bp_fail_nomem(err);
    }
    for (size_t t = 0; t < file->n_tensors; t++) {
        const struct bp_output_tensor *from = &file->tensors[t];
        specs[t] = (struct bp_st_spec){from->name, from->dtype, from->n_dims, {0}};
        memcpy(specs[t].shape, from->shape, sizeof specs[t].shape);
    }
    enum bp_status status =
        bp_st_build_header(specs, file->n_tensors, file->metadata, file->n_metadata, &file->header,
                           &file->n_header, file->offsets, &file->n_bytes, err);
    free(specs);
    return status == BP_OK ? BP_OK : bp_fail_in(err, status, "%s", file->name);
}

static enum bp_status lay_out(struct bp_output *out, struct bp_err *err)
{
    const unsigned loaded = 1u << BP_EMIT_HF | 1u << BP_EMIT_BNB;
    for (int e = 0; e < BP_N_EMITS; e++)
        if (out->emits >> e & 1)
            BP_TRY(forms[e]->layout(out, err));
    if (out->emits & loaded)
        BP_TRY(forms[BP_PLACE_ADAPTER]->layout(out, err));
    for (size_t f = 0; f < out->n_files; f++)
        BP_TRY(build_header(&out->files[f], err));
    return BP_OK;
}

enum bp_status bp_output_new(const struct bp_outline *outline, unsigned emits,
                             struct bp_output **result, struct bp_err *err)
{
    *result = NULL;
    struct bp_output *out = calloc(1, sizeof *out);
    if (!out)
        return bp_fail_nomem(err);
    out->outline = outline;
    out->emits = emits;
    enum bp_status status = lay_out(out, err);
    if (status != BP_OK)
        out = bp_output_free(out);
    *result = out;
    return status;
}

static void free_file(struct bp_output_file *file)
{
    for (size_t t = 0; t < file->n_tensors; t++) {
        free(file->tensors[t].name);
        free(file->tensors[t].owned);
    }
    for (size_t i = 0; i < file->n_metadata; i++) {
        free(file->metadata[i].key);
        free(file->metadata[i].value);
    }
    free(file->tensors);
    free(file->metadata);
    free(file->header);
    free(file->offsets);
    free(file->name);
}

struct bp_output *bp_output_free(struct bp_output *out)
{
    if (!out)
        return NULL;
    for (size_t f = 0; f < out->n_files; f++)
        free_file(&out->files[f]);
    for (size_t i = 0; i < out->n_texts; i++) {
        free(out->texts[i].name);
        free(out->texts[i].text);
        free(out->texts[i].from);
    }
    for (int p = 0; p < BP_N_PLACES; p++)
        free(out->places[p]);
    free(out->no_bnb);
    free(out->files);
    free(out->texts);
    free(out);
    return NULL;
}

uint64_t bp_output_bytes(const struct bp_output *out)
{
    uint64_t total = 0;
    for (size_t f = 0; f < out->n_files; f++)
        total += out->files[f].n_bytes;
    for (size_t i = 0; i < out->n_texts; i++) {
        struct stat st;
        if (out->texts[i].text)
            total += strlen(out->texts[i].text);
        else if (stat(out->texts[i].from, &st) == 0)
            total += (uint64_t)st.st_size;
    }
    return total;
}

/* --- writing --- */

enum bp_status bp_output_write(const struct bp_output *out, size_t f, size_t t, uint64_t at,
                               const void *bytes, size_t n, struct bp_err *err)
{
    const struct bp_output_file *file = &out->files[f];
    return bp_pwrite_all(file->fd, file->name, bytes, n, file->offsets[t] + at, err);
}

enum bp_status bp_output_write_values(const struct bp_output *out,
                                      const struct bp_output_place *place, const float *values,
                                      uint64_t n, struct bp_err *err)
{
    enum { CHUNK = 1 << 14 };
    unsigned char bytes[CHUNK * sizeof(float)];
    const enum bp_dtype dtype = out->files[place->file].tensors[place->tensor].dtype;
    const size_t size = bp_dtype_bits(dtype) / 8;
    for (uint64_t first = 0; first < n; first += CHUNK) {
        const uint64_t run = n - first < CHUNK ? n - first : CHUNK;
        bp_narrow(values + first, run, dtype, bytes);
        BP_TRY(bp_output_write(out, place->file, place->tensor, place->at + first * size, bytes,
                               run * size, err));
    }
    return BP_OK;
}

enum bp_status bp_output_put(const struct bp_output *out, size_t i, const struct bp_parts *parts,
                             struct bp_err *err)
{
    for (int p = 0; p < BP_N_PLACES; p++)
        if (out->places[p] && out->places[p][i].file != SIZE_MAX)
            BP_TRY(forms[p]->put(out, i, parts, err));
    return BP_OK;
}

/* --- reading --- */

const struct bp_st_tensor *bp_output_tensor(const struct bp_output_reader *reader,
                                            const struct bp_output_place *place, size_t step,
                                            const struct bp_st **st)
{
    const struct bp_output_file *file = &reader->output->files[place->file];
    *st = reader->files[place->file];
    return bp_st_find(*st, file->tensors[place->tensor + step].name);
}

static enum bp_status check_file(const struct bp_output_file *file, const struct bp_st *st,
                                 struct bp_err *err)
{
    for (size_t i = 0; i < file->n_tensors; i++) {
        const struct bp_output_tensor *want = &file->tensors[i];
        const struct bp_st_tensor *have = bp_st_find(st, want->name);
        if (!have)
            return bp_fail(err, BP_ERR_MISMATCH, "%s: has no tensor %s", st->path,
                           bp_printable(want->name).text);
        if (have->dtype != want->dtype || have->n_dims != want->n_dims ||
            memcmp(have->shape, want->shape, want->n_dims * sizeof *want->shape) != 0)
            return bp_fail(err, BP_ERR_MISMATCH, "%s: tensor %s has another shape or dtype",
                           st->path, bp_printable(want->name).text);
        if (want->fixed && memcmp(bp_st_data(st, have), want->fixed, have->n_bytes) != 0)
            return bp_fail(err, BP_ERR_MISMATCH, "%s: tensor %s differs from the model's", st->path,
                           bp_printable(want->name).text);
    }
    if (st->n_tensors != file->n_tensors)
        return bp_fail(err, BP_ERR_MISMATCH, "%s: holds %zu tensors, not %zu", st->path,
                       st->n_tensors, file->n_tensors);
    return BP_OK;
}

enum bp_status bp_output_reader_open(const struct bp_output *out,
                                     char *(*path_of)(void *ctx, size_t f), void *ctx,
                                     struct bp_output_reader *reader, struct bp_err *err)
{
    *reader = (struct bp_output_reader){.output = out};
    reader->files = bp_alloc_zero(out->n_files, sizeof *reader->files);
    enum bp_status status = reader->files ? BP_OK : bp_fail_nomem(err);
    for (size_t f = 0; status == BP_OK && f < out->n_files; f++) {
        char *path = path_of(ctx, f);
        status = path ? bp_st_open(path, &reader->files[f], err) : bp_fail_nomem(err);
        free(path);
        if (status == BP_OK)
            status = check_file(&out->files[f], reader->files[f], err);
    }
    if (status != BP_OK)
        bp_output_reader_close(reader);
    return status;
}

void bp_output_reader_close(struct bp_output_reader *reader)
{
    for (size_t f = 0; reader->files && f < reader->output->n_files; f++)
        bp_st_close(reader->files[f]);
    free(reader->files);
    *reader = (struct bp_output_reader){0};
}

enum bp_status bp_output_read(const struct bp_output_reader *reader, enum bp_emit e, size_t i,
                              struct bp_parts *scratch, struct bp_err *err)
{
    const struct bp_outline_matrix *m = &reader->output->outline->matrices[i];
    scratch->d = m->d;
    scratch->k = m->k;
    scratch->r = m->r;
    scratch->low_rank_bits = reader->output->outline->low_rank_bits;
    BP_TRY(forms[e]->read(reader, i, scratch, err));
    return e == BP_EMIT_PACKED || m->r == 0
               ? BP_OK
               : forms[BP_PLACE_ADAPTER]->read(reader, i, scratch, err);
}
