#include "engine/model.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "engine/mem.h"
#include "engine/model_parts.h"
#include "engine/printable.h"

/* --- tensors --- */

static int compare_names(const void *a, const void *b)
{
    const struct bp_model_tensor *x = a, *y = b;
    return strcmp(x->t->name, y->t->name);
}

/* All tensors of all files by name; the same one in two files is an error. */
static enum bp_status list_tensors(struct bp_model *model, struct bp_err *err)
{
    size_t n = 0;
    for (size_t f = 0; f < model->n_files; f++)
        n += model->files[f]->n_tensors;
    model->tensors = bp_alloc_zero(n, sizeof *model->tensors);
    if (!model->tensors)
        return bp_fail_nomem(err);
    for (size_t f = 0; f < model->n_files; f++) {
        const struct bp_st *st = model->files[f];
        for (size_t i = 0; i < st->n_tensors; i++)
            model->tensors[model->n_tensors++] =
                (struct bp_model_tensor){.st = st, .t = &st->tensors[i]};
    }
    if (n)
        qsort(model->tensors, n, sizeof *model->tensors, compare_names);
    for (size_t i = 1; i < n; i++) {
        const struct bp_model_tensor *x = &model->tensors[i - 1], *y = &model->tensors[i];
        if (strcmp(x->t->name, y->t->name) == 0)
            return bp_fail(err, BP_ERR_INPUT,
                           "%s: tensor %s is also in %s; one of the shards belongs to another "
                           "model",
                           y->st->path, bp_printable(y->t->name).text, x->st->path);
    }
    return BP_OK;
}

/* Only while the tensors are sorted by name. */
static struct bp_model_tensor *find_tensor(const struct bp_model *model, const char *name)
{
    struct bp_st_tensor t = {.name = (char *)(uintptr_t)name};
    struct bp_model_tensor key = {.t = &t};
    if (!model->n_tensors)
        return NULL;
    return bsearch(&key, model->tensors, model->n_tensors, sizeof key, compare_names);
}

/* --- tied tensors --- */

static enum bp_status add_alias(struct bp_model *model, const char *alias, const char *name,
                                struct bp_err *err)
{
    for (size_t i = 0; i < model->n_aliases; i++)
        if (strcmp(model->aliases[i].key, alias) == 0)
            return BP_OK; /* every shard may repeat the metadata */
    struct bp_st_pair *grown = bp_grow(model->aliases, model->n_aliases + 1, sizeof *grown);
    if (!grown)
        return bp_fail_nomem(err);
    model->aliases = grown;
    struct bp_st_pair *pair = &model->aliases[model->n_aliases];
    *pair = (struct bp_st_pair){bp_strdup(alias), bp_strdup(name)};
    if (!pair->key || !pair->value) {
        free(pair->key);
        free(pair->value);
        return bp_fail_nomem(err);
    }
    model->n_aliases++;
    return BP_OK;
}

/* `__metadata__` of writers that store a shared tensor once: another name -> the stored one. */
static enum bp_status follow_metadata(struct bp_model *model, struct bp_err *err)
{
    for (size_t f = 0; f < model->n_files; f++) {
        const struct bp_st *st = model->files[f];
        for (size_t i = 0; i < st->n_metadata; i++) {
            const struct bp_st_pair *pair = &st->metadata[i];
            if (strcmp(pair->key, "format") == 0 || !find_tensor(model, pair->value) ||
                find_tensor(model, pair->key))
                continue;
            BP_TRY(add_alias(model, pair->key, pair->value, err));
        }
    }
    return BP_OK;
}

static bool same_data(const struct bp_model_tensor *x, const struct bp_model_tensor *y)
{
    if (x->t->dtype != y->t->dtype || x->t->n_dims != y->t->n_dims ||
        memcmp(x->t->shape, y->t->shape, sizeof x->t->shape) != 0)
        return false;
    const bool same = memcmp(bp_st_data(x->st, x->t), bp_st_data(y->st, y->t), x->t->n_bytes) == 0;
    bp_st_forget(x->st, x->t);
    bp_st_forget(y->st, y->t);
    return same;
}

/* Some writers store a tied head beside the embedding. It counts once. */
static enum bp_status drop_tied_head(struct bp_model *model, struct bp_err *err)
{
    static const char *const pairs[][2] = {
        {"model.embed_tokens.weight", "lm_head.weight"},
        {"model.language_model.embed_tokens.weight", "lm_head.weight"},
        {"language_model.model.embed_tokens.weight", "language_model.lm_head.weight"},
        {"transformer.wte.weight", "lm_head.weight"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        const char *embedding = pairs[i][0], *head = pairs[i][1];
        struct bp_model_tensor *x = find_tensor(model, embedding), *y = find_tensor(model, head);
        if (!x || !y)
            continue;
        if (!same_data(x, y))
            return bp_model_warn(model, err,
                                 "config.json ties %s to %s, but the files hold different ones; "
                                 "both are counted",
                                 head, embedding);
        BP_TRY(add_alias(model, head, embedding, err));
        size_t at = (size_t)(y - model->tensors);
        memmove(y, y + 1, (model->n_tensors - at - 1) * sizeof *y);
        model->n_tensors--;
        return bp_model_warn(model, err, "%s repeats %s (tied): counted once", head, embedding);
    }
    return BP_OK;
}

/* --- matrices --- */

static void classify(struct bp_model *model)
{
    for (size_t i = 0; i < model->n_tensors; i++) {
        const struct bp_st_tensor *t = model->tensors[i].t;
        bp_tensor_classify(t->name, t->dtype, t->n_dims, t->shape, &model->tensors[i].role);
    }
}

static enum bp_status add_matrices(struct bp_model *model, size_t tensor, struct bp_err *err)
{
    const struct bp_model_tensor *from = &model->tensors[tensor];
    const struct bp_st_tensor *t = from->t;
    bool stack = t->n_dims == 3;
    uint64_t n = stack ? t->shape[0] : 1;
    uint64_t d = t->shape[t->n_dims - 2], k = t->shape[t->n_dims - 1];
    for (uint64_t e = 0; e < n; e++) {
        struct bp_matrix *m = &model->matrices[model->n_matrices];
        *m = (struct bp_matrix){
            .name = stack ? bp_format("%s[%" PRIu64 "]", t->name, e) : bp_strdup(t->name),
            .d = d,
            .k = k,
            .dtype = t->dtype,
            .layer = from->role.layer,
            .kind = bp_strdup(from->role.kind),
            .tensor = tensor,
            .first_elem = e * d * k,
        };
        model->n_matrices++; /* closing frees what is there */
        if (!m->name || !m->kind)
            return bp_fail_nomem(err);
        model->params_planned += d * k;
    }
    return BP_OK;
}

/* Lists the matrices and sums what is planned and what is not. */
static enum bp_status list_matrices(struct bp_model *model, struct bp_err *err)
{
    size_t n = 0;
    for (size_t i = 0; i < model->n_tensors; i++) {
        const struct bp_st_tensor *t = model->tensors[i].t;
        model->params += t->n_elems;
        if (model->tensors[i].role.reason != BP_KEEP_PLANNED)
            model->bytes_outside += t->n_bytes;
        else
            n += t->n_dims == 3 ? t->shape[0] : 1;
    }
    model->matrices = bp_alloc_zero(n, sizeof *model->matrices);
    if (!model->matrices)
        return bp_fail_nomem(err);
    for (size_t i = 0; i < model->n_tensors; i++)
        if (model->tensors[i].role.reason == BP_KEEP_PLANNED)
            BP_TRY(add_matrices(model, i, err));
    return BP_OK;
}

/* A model with layers missing plans to a wrong total: say so. */
static enum bp_status check_layers(struct bp_model *model, uint64_t said, struct bp_err *err)
{
    int last = -1;
    for (size_t i = 0; i < model->n_tensors; i++) {
        const struct bp_tensor_role *role = &model->tensors[i].role;
        if (role->reason != BP_KEEP_OTHER_TOWER && role->layer > last)
            last = role->layer;
    }
    if (last < 0 || (uint64_t)last + 1 >= said)
        return BP_OK;
    return bp_model_warn(model, err, "config.json says %" PRIu64 " layers, the files hold %d", said,
                         last + 1);
}

/* --- opening --- */

/* Folder or file name without path; a file loses ".safetensors". */
static char *name_of(const char *path, bool is_folder)
{
    static const char suffix[] = ".safetensors";
    char *real = is_folder ? realpath(path, NULL) : NULL; /* for "." and "dir/" */
    if (is_folder && !real && errno == ENOMEM)
        return NULL;
    const char *base = real ? real : path;
    const char *slash = strrchr(base, '/');
    if (slash && slash[1])
        base = slash + 1;
    size_t n = strlen(base), m = sizeof suffix - 1;
    if (!is_folder && n > m && strcmp(base + n - m, suffix) == 0)
        n -= m;
    char *name = bp_strndup(base, n);
    free(real);
    return name;
}

static void find_synthetic(struct bp_model *model)
{
    for (size_t f = 0; f < model->n_files; f++) {
        const char *mark = bp_st_metadata(model->files[f], "bitplan.synthetic");
        if (mark && strcmp(mark, "true") == 0)
            model->synthetic = true;
    }
}

static enum bp_status load(struct bp_model *model, const struct bp_model_filter *filter,
                           struct bp_err *err)
{
    struct bp_model_config config = {0};
    bool is_folder = false;
    enum bp_status status = bp_model_open_files(model, &is_folder, err);
    if (status == BP_OK && is_folder)
        status = bp_model_read_config(model, &config, err);
    model->architecture = config.architecture ? config.architecture : bp_strdup("");
    if (status != BP_OK)
        return status;
    model->name = name_of(model->path, is_folder);
    if (!model->name || !model->architecture)
        return bp_fail_nomem(err);
    find_synthetic(model);

    BP_TRY(list_tensors(model, err));
    BP_TRY(bp_model_hash(model, err));
    BP_TRY(follow_metadata(model, err));
    if (config.tied)
        BP_TRY(drop_tied_head(model, err));
    classify(model);
    BP_TRY(check_layers(model, config.n_layers, err));
    BP_TRY(bp_model_apply_filter(model, filter, err));
    BP_TRY(bp_model_sort(model, err));
    return list_matrices(model, err);
}

enum bp_status bp_model_open(const char *path, const struct bp_model_filter *filter,
                             struct bp_model **out, struct bp_err *err)
{
    *out = NULL;
    struct bp_model *model = bp_alloc_zero(1, sizeof *model);
    if (!model)
        return bp_fail_nomem(err);
    model->path = bp_strdup(path);
    enum bp_status status = model->path ? load(model, filter, err) : bp_fail_nomem(err);
    if (status != BP_OK)
        model = bp_model_close(model);
    *out = model;
    return status;
}

struct bp_model *bp_model_close(struct bp_model *model)
{
    if (!model)
        return NULL;
    for (size_t i = 0; i < model->n_matrices; i++) {
        free(model->matrices[i].name);
        free(model->matrices[i].kind);
    }
    for (size_t i = 0; i < model->n_aliases; i++) {
        free(model->aliases[i].key);
        free(model->aliases[i].value);
    }
    for (size_t i = 0; i < model->n_warnings; i++)
        free(model->warnings[i]);
    for (size_t i = 0; i < model->n_files; i++)
        bp_st_close(model->files[i]);
    free(model->matrices);
    free(model->aliases);
    free(model->warnings);
    free(model->files);
    free(model->tensors);
    free(model->fingerprint);
    free(model->architecture);
    free(model->name);
    free(model->path);
    free(model);
    return NULL;
}

/* --- reading --- */

/* All bits of the exponent set: infinite or NaN. Told from the bits, so that no compiler option can
 * argue it away. */
static bool is_finite_f32(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (bits & 0x7f800000) != 0x7f800000;
}

const struct bp_st_tensor *bp_model_find(const struct bp_model *model, const char *name,
                                         const struct bp_st **st)
{
    for (size_t f = 0; f < model->n_files; f++) {
        const struct bp_st_tensor *t = bp_st_find(model->files[f], name);
        if (t) {
            *st = model->files[f];
            return t;
        }
    }
    return NULL;
}

enum bp_status bp_model_read(const struct bp_model *model, size_t i, float *W, struct bp_err *err)
{
    const struct bp_matrix *m = &model->matrices[i];
    const struct bp_model_tensor *tensor = &model->tensors[m->tensor];
    uint64_t n = m->d * m->k;
    bp_st_read_f32(tensor->st, tensor->t, m->first_elem, n, W);
    bool finite = true;
    for (uint64_t j = 0; j < n; j++)
        finite &= is_finite_f32(W[j]);
    if (finite)
        return BP_OK;
    uint64_t j = 0;
    while (is_finite_f32(W[j]))
        j++;
    const char *what = W[j] != W[j] ? "NaN" : W[j] > 0 ? "infinite" : "minus infinite";
    return bp_fail(err, BP_ERR_INPUT,
                   "%s: tensor %s: value at index [%" PRIu64 ", %" PRIu64
                   "] is %s; download the file again or leave the tensor out with --exclude",
                   tensor->st->path, bp_printable(m->name).text, j / m->k, j % m->k, what);
}
