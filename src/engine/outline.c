#include "engine/outline.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/json_read.h"
#include "engine/mem.h"
#include "engine/model.h"
#include "engine/plan_file.h"
#include "engine/printable.h"
#include "engine/svd.h"

/* --- files --- */

enum bp_status bp_outline_add_metadata(struct bp_outline_file *file, const char *key,
                                       const char *value, struct bp_err *err)
{
    struct bp_st_pair *grown = bp_grow(file->metadata, file->n_metadata + 1, sizeof *grown);
    if (!grown)
        return bp_fail_nomem(err);
    file->metadata = grown;
    struct bp_st_pair pair = {bp_strdup(key), bp_strdup(value)};
    if (!pair.key || !pair.value) {
        free(pair.key);
        free(pair.value);
        return bp_fail_nomem(err);
    }
    grown[file->n_metadata++] = pair;
    return BP_OK;
}

/* Loaders of PyTorch models want format = pt; older ones refuse a file without metadata. */
static enum bp_status copy_metadata(struct bp_outline_file *file, const struct bp_st *st,
                                    struct bp_err *err)
{
    if (!bp_st_metadata(st, "format"))
        BP_TRY(bp_outline_add_metadata(file, "format", "pt", err));
    for (size_t i = 0; i < st->n_metadata; i++)
        BP_TRY(bp_outline_add_metadata(file, st->metadata[i].key, st->metadata[i].value, err));
    return BP_OK;
}

static enum bp_status copy_tensors(struct bp_outline_file *file, const struct bp_st *st,
                                   struct bp_err *err)
{
    file->tensors = bp_alloc_zero(st->n_tensors, sizeof *file->tensors);
    if (!file->tensors)
        return bp_fail_nomem(err);
    for (size_t i = 0; i < st->n_tensors; i++) {
        const struct bp_st_tensor *from = &st->tensors[i];
        struct bp_outline_tensor *t = &file->tensors[i];
        *t = (struct bp_outline_tensor){.name = bp_strdup(from->name),
                                        .dtype = from->dtype,
                                        .n_dims = from->n_dims,
                                        .n_bytes = from->n_bytes,
                                        .data = bp_st_data(st, from)};
        memcpy(t->shape, from->shape, sizeof t->shape);
        file->n_tensors++;
        if (!t->name)
            return bp_fail_nomem(err);
    }
    return BP_OK;
}

static const char *base_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* One file is model.safetensors whatever it was called; several, and one that an index names, keep
 * their names. */
static enum bp_status copy_files(struct bp_outline *o, const struct bp_model *model,
                                 struct bp_err *err)
{
    o->files = bp_alloc_zero(model->n_files, sizeof *o->files);
    if (!o->files)
        return bp_fail_nomem(err);
    for (size_t f = 0; f < model->n_files; f++) {
        struct bp_outline_file *file = &o->files[f];
        const struct bp_st *st = model->files[f];
        o->n_files++;
        file->name = bp_strdup(o->indexed ? base_of(st->path) : "model.safetensors");
        if (!file->name)
            return bp_fail_nomem(err);
        BP_TRY(copy_metadata(file, st, err));
        BP_TRY(copy_tensors(file, st, err));
    }
    return BP_OK;
}

/* --- matrices --- */

/* The model's matrix of that name. Plan and model list them in the same order, so that the one
 * behind the last hit is nearly always it. */
static const struct bp_matrix *find_matrix(const struct bp_model *model, const char *name,
                                           size_t *at)
{
    for (size_t tried = 0; tried < model->n_matrices; tried++) {
        const struct bp_matrix *m = &model->matrices[(*at + tried) % model->n_matrices];
        if (strcmp(m->name, name) == 0) {
            *at = (size_t)(m - model->matrices) + 1;
            return m;
        }
    }
    return NULL;
}

/* Which tensor of the outline a tensor of the model became. */
static void locate(const struct bp_model *model, const struct bp_model_tensor *t,
                   struct bp_outline_matrix *out)
{
    for (size_t f = 0; f < model->n_files; f++)
        if (model->files[f] == t->st)
            out->file = f;
    out->tensor = (size_t)(t->t - t->st->tensors);
}

static enum bp_status add_matrix(struct bp_outline *o, const struct bp_model *model,
                                 const struct bp_plan_file *plan, size_t i, size_t *at,
                                 struct bp_err *err)
{
    const struct bp_plan_entry *e = &plan->entries[i];
    const struct bp_matrix *m = find_matrix(model, e->name, at);
    if (e->candidate.foreign)
        return bp_fail(err, BP_ERR_INPUT,
                       "%s: %s takes %s, a candidate of another quantizer, which only that one can "
                       "carry out",
                       plan->path, bp_printable(e->name).text,
                       bp_printable(e->candidate.label).text);
    if (!m)
        return bp_fail(err, BP_ERR_INPUT,
                       "%s: has no matrix %s that would be quantized; give the --include and "
                       "--exclude that the table was measured with",
                       model->path, bp_printable(e->name).text);
    if (m->d != e->d || m->k != e->k)
        return bp_fail(err, BP_ERR_MISMATCH, "%s: %s has another shape than in %s", model->path,
                       bp_printable(e->name).text, plan->path);
    for (size_t a = 0; a < model->n_aliases; a++) {
        const struct bp_st_pair *tie = &model->aliases[a];
        const struct bp_st *st;
        if ((strcmp(tie->key, e->name) == 0 || strcmp(tie->value, e->name) == 0) &&
            bp_model_find(model, tie->key, &st) && bp_model_find(model, tie->value, &st))
            return bp_fail(err, BP_ERR_INPUT,
                           "%s: holds %s twice, tied: only one of the two would change; measure "
                           "without it (--exclude)",
                           model->path, bp_printable(e->name).text);
    }
    struct bp_outline_matrix *out = &o->matrices[o->n_matrices++];
    *out = (struct bp_outline_matrix){.name = bp_strdup(e->name),
                                      .d = e->d,
                                      .k = e->k,
                                      .dtype = m->dtype,
                                      .config = e->candidate.config,
                                      .rank = e->candidate.rank,
                                      .r = bp_svd_rank(e->d, e->k, e->candidate.rank),
                                      .first_elem = m->first_elem};
    locate(model, &model->tensors[m->tensor], out);
    return out->name ? BP_OK : bp_fail_nomem(err);
}

/* --- linking --- */

/* qsort takes no context, so the places travel with the numbers. */
struct place {
    size_t file, tensor, matrix;
    uint64_t first_elem;
};

static int compare_places(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    if (x->file != y->file)
        return x->file < y->file ? -1 : 1;
    if (x->tensor != y->tensor)
        return x->tensor < y->tensor ? -1 : 1;
    return (x->first_elem > y->first_elem) - (x->first_elem < y->first_elem);
}

static enum bp_status sort_places(struct bp_outline *o, struct bp_err *err)
{
    struct place *places = bp_alloc(o->n_matrices, sizeof *places);
    o->order = bp_alloc(o->n_matrices, sizeof *o->order);
    if (!places || !o->order) {
        free(places);
        return bp_fail_nomem(err);
    }
    for (size_t i = 0; i < o->n_matrices; i++) {
        const struct bp_outline_matrix *m = &o->matrices[i];
        places[i] = (struct place){m->file, m->tensor, i, m->first_elem};
    }
    qsort(places, o->n_matrices, sizeof *places, compare_places);
    for (size_t i = 0; i < o->n_matrices; i++)
        o->order[i] = places[i].matrix;
    free(places);
    return BP_OK;
}

enum bp_status bp_outline_link(struct bp_outline *o, const char *path, struct bp_err *err)
{
    BP_TRY(sort_places(o, err));
    for (size_t i = 0, end; i < o->n_matrices; i = end) {
        const struct bp_outline_matrix *m = &o->matrices[o->order[i]];
        struct bp_outline_tensor *t = &o->files[m->file].tensors[m->tensor];
        uint64_t next = 0;
        for (end = i; end < o->n_matrices; end++) {
            const struct bp_outline_matrix *n = &o->matrices[o->order[end]];
            if (n->file != m->file || n->tensor != m->tensor || n->first_elem != next)
                break;
            next += n->d * n->k;
        }
        if (end == i || next * bp_dtype_bits(t->dtype) / 8 != t->n_bytes)
            return bp_fail(err, BP_ERR_INPUT,
                           "%s: some of the matrices in %s are planned and some are not; they are "
                           "one tensor and go together",
                           path, bp_printable(t->name).text);
        t->data = NULL;
        t->first_matrix = i;
        t->n_matrices = end - i;
    }
    return BP_OK;
}

struct bp_outline_extent bp_outline_extent(const struct bp_outline *o)
{
    struct bp_outline_extent x = {1, 1, 1, 0, 0, BP_MAX_BLOCK};
    for (size_t i = 0; i < o->n_matrices; i++) {
        const struct bp_outline_matrix *m = &o->matrices[i];
        x.d = m->d > x.d ? m->d : x.d;
        x.k = m->k > x.k ? m->k : x.k;
        x.n = m->d * m->k > x.n ? m->d * m->k : x.n;
        x.rank = m->rank > x.rank ? m->rank : x.rank;
        x.r = m->r > x.r ? m->r : x.r;
        x.B0 = m->config.B0 < x.B0 ? m->config.B0 : x.B0;
    }
    return x;
}

/* --- the architecture --- */

static enum bp_status keep(char **out, const char *text, struct bp_err *err)
{
    free(*out);
    *out = bp_strdup(text ? text : "");
    return *out ? BP_OK : bp_fail_nomem(err);
}

enum bp_status bp_outline_read_config(struct bp_outline *o, const char *folder, struct bp_err *err)
{
    struct cJSON *root = NULL;
    char *path = folder ? bp_format("%s/config.json", folder) : NULL;
    enum bp_status status = BP_OK;
    if (folder && !path)
        return bp_fail_nomem(err);
    if (path && (access(path, F_OK) == 0 || errno != ENOENT))
        status = bp_json_read_file(path, &root, err);
    free(path);
    const struct cJSON *list = bp_json_member(root, "architectures");
    if (status == BP_OK)
        status = keep(&o->architecture, bp_json_string(bp_json_first(list)), err);
    if (status == BP_OK)
        status = keep(&o->model_type, bp_json_string(bp_json_member(root, "model_type")), err);
    bp_json_free(root);
    return status;
}

static bool starts(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static bool ends(const char *text, const char *with)
{
    size_t n = strlen(text), m = strlen(with);
    return n > m && strcmp(text + n - m, with) == 0;
}

bool bp_outline_transposed(const struct bp_outline *o)
{
    static const char *const types[] = {"gpt2", "openai-gpt", "imagegpt", "decision_transformer"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(o->model_type, types[i]) == 0)
            return true;
    return false;
}

char *bp_outline_module(const struct bp_outline *o, const char *tensor)
{
    static const char suffix[] = ".weight";
    size_t n = strlen(tensor);
    bool headed = ends(o->architecture, "ForCausalLM") || ends(o->architecture, "LMHeadModel");
    /* Files of a model without its head: the loader puts the prefix in front. */
    const char *prefix = headed && starts(tensor, "h.")        ? "transformer."
                         : headed && starts(tensor, "layers.") ? "model."
                                                               : "";
    if (ends(tensor, suffix))
        n -= sizeof suffix - 1;
    return bp_format("%s%.*s", prefix, (int)n, tensor);
}

static bool is_tied(const struct bp_outline *o, const char *name)
{
    for (size_t i = 0; i < o->n_tied; i++)
        if (strcmp(o->tied[i].key, name) == 0 || strcmp(o->tied[i].value, name) == 0)
            return true;
    return false;
}

const char *bp_outline_no_adapter(const struct bp_outline *o, const struct bp_outline_matrix *m)
{
    const struct bp_outline_tensor *t = &o->files[m->file].tensors[m->tensor];
    if (t->n_dims != 2)
        return "it is an expert of a stacked tensor, and adapters are for modules of their own";
    if (!ends(t->name, ".weight"))
        return "its name does not end in .weight, so it is no module's weight";
    if (is_tied(o, t->name))
        return "it is tied to another tensor, and an adapter would change only one of the two";
    if (strstr(t->name, "embed") || strstr(t->name, "wte") || strstr(t->name, "wpe"))
        return "it is an embedding, and its adapter is another one";
    return NULL;
}

/* --- the whole --- */

static enum bp_status copy_ties(struct bp_outline *o, const struct bp_model *model,
                                struct bp_err *err)
{
    o->tied = bp_alloc_zero(model->n_aliases, sizeof *o->tied);
    if (!o->tied)
        return bp_fail_nomem(err);
    for (size_t i = 0; i < model->n_aliases; i++) {
        o->tied[i] = (struct bp_st_pair){bp_strdup(model->aliases[i].key),
                                         bp_strdup(model->aliases[i].value)};
        o->n_tied++;
        if (!o->tied[i].key || !o->tied[i].value)
            return bp_fail_nomem(err);
    }
    return BP_OK;
}

/* A folder whose shards an index names; BP_OK with folder NULL for a single file. */
static enum bp_status look_at_folder(struct bp_outline *o, const struct bp_model *model,
                                     struct bp_err *err)
{
    char *single = bp_format("%s/model.safetensors", model->path);
    char *index = bp_format("%s/model.safetensors.index.json", model->path);
    enum bp_status status = single && index ? BP_OK : bp_fail_nomem(err);
    if (status == BP_OK && strcmp(model->files[0]->path, model->path) != 0) {
        o->folder = bp_strdup(model->path);
        o->indexed = access(single, F_OK) != 0 && access(index, F_OK) == 0;
        if (!o->folder)
            status = bp_fail_nomem(err);
    }
    free(single);
    free(index);
    return status;
}

static enum bp_status fill(struct bp_outline *o, const struct bp_model *model,
                           const struct bp_plan_file *plan, struct bp_err *err)
{
    size_t at = 0;
    if (*plan->model_fingerprint && strcmp(plan->model_fingerprint, model->fingerprint) != 0)
        return bp_fail(err, BP_ERR_MISMATCH,
                       "%s: is not the model of %s: its fingerprint is %s, the plan's %s",
                       model->path, plan->path, model->fingerprint,
                       bp_printable(plan->model_fingerprint).text);
    BP_TRY(look_at_folder(o, model, err));
    BP_TRY(bp_outline_read_config(o, o->folder, err));
    BP_TRY(copy_ties(o, model, err));
    BP_TRY(copy_files(o, model, err));
    o->matrices = bp_alloc_zero(plan->n, sizeof *o->matrices);
    if (!o->matrices)
        return bp_fail_nomem(err);
    for (size_t i = 0; i < plan->n; i++)
        BP_TRY(add_matrix(o, model, plan, i, &at, err));
    return bp_outline_link(o, plan->path, err);
}

enum bp_status bp_outline_new(const struct bp_model *model, const struct bp_plan_file *plan,
                              unsigned low_rank_bits, struct bp_outline **out, struct bp_err *err)
{
    *out = NULL;
    struct bp_outline *o = calloc(1, sizeof *o);
    if (!o)
        return bp_fail_nomem(err);
    o->low_rank_bits = low_rank_bits;
    enum bp_status status = fill(o, model, plan, err);
    if (status != BP_OK)
        o = bp_outline_free(o);
    *out = o;
    return status;
}

static void free_pairs(struct bp_st_pair *pairs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        free(pairs[i].key);
        free(pairs[i].value);
    }
    free(pairs);
}

struct bp_outline *bp_outline_free(struct bp_outline *o)
{
    if (!o)
        return NULL;
    for (size_t f = 0; f < o->n_files; f++) {
        for (size_t i = 0; i < o->files[f].n_tensors; i++)
            free(o->files[f].tensors[i].name);
        free(o->files[f].tensors);
        free_pairs(o->files[f].metadata, o->files[f].n_metadata);
        free(o->files[f].name);
    }
    for (size_t i = 0; i < o->n_matrices; i++)
        free(o->matrices[i].name);
    free_pairs(o->tied, o->n_tied);
    free(o->files);
    free(o->matrices);
    free(o->order);
    free(o->folder);
    free(o->architecture);
    free(o->model_type);
    free(o);
    return NULL;
}
