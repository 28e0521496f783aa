#include "engine/model_parts.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/json_read.h"
#include "engine/mem.h"
#include "engine/printable.h"

#define SINGLE_FILE "model.safetensors"
#define INDEX_FILE  "model.safetensors.index.json"

enum bp_status bp_model_warn(struct bp_model *model, struct bp_err *err, const char *fmt, ...)
{
    char *line = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&line, fmt, ap);
    va_end(ap);
    char **grown = n < 0 ? NULL : bp_grow(model->warnings, model->n_warnings + 1, sizeof *grown);
    if (!grown) {
        if (n >= 0)
            free(line);
        return bp_fail_nomem(err);
    }
    model->warnings = grown;
    model->warnings[model->n_warnings++] = line;
    return BP_OK;
}

char *bp_model_join(const char *folder, const char *file)
{
    size_t n = strlen(folder);
    while (n > 1 && folder[n - 1] == '/')
        n--;
    return bp_format("%.*s%s%s", (int)n, folder, n == 1 && *folder == '/' ? "" : "/", file);
}

/* True when the folder holds a file of that name that can be followed (a link into a cache may
 * hang). */
static enum bp_status exists(const char *folder, const char *file, bool *out, struct bp_err *err)
{
    struct stat info;
    char *path = bp_model_join(folder, file);
    if (!path)
        return bp_fail_nomem(err);
    *out = stat(path, &info) == 0;
    free(path);
    return BP_OK;
}

/* Maps one file of the model and appends it. */
static enum bp_status open_file(struct bp_model *model, const char *path, struct bp_err *err)
{
    struct bp_st **grown = bp_grow(model->files, model->n_files + 1, sizeof *grown);
    if (!grown)
        return bp_fail_nomem(err);
    model->files = grown;
    BP_TRY(bp_st_open(path, &model->files[model->n_files], err));
    model->n_files++;
    return BP_OK;
}

static enum bp_status open_in_folder(struct bp_model *model, const char *file, struct bp_err *err)
{
    char *path = bp_model_join(model->path, file);
    enum bp_status status = path ? open_file(model, path, err) : bp_fail_nomem(err);
    free(path);
    return status;
}

/* --- the index --- */

struct entry {
    const char *tensor, *shard; /* in the JSON tree */
};

struct index {
    struct cJSON *root;
    struct entry *entries; /* [n] by shard, later by tensor */
    size_t n;
    const char **shards; /* [n_shards] distinct, sorted; shard i is model->files[i] */
    size_t n_shards;
    const char *path;
};

static int compare_entry_shards(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return strcmp(x->shard, y->shard);
}

static int compare_entry_tensors(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return strcmp(x->tensor, y->tensor);
}

static int compare_texts(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

/* A shard lies beside its index: anything that is a path could lead elsewhere. */
static bool is_plain_file_name(const char *name)
{
    return *name && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && !strpbrk(name, "/\\");
}

static enum bp_status read_entries(struct index *index, struct bp_err *err)
{
    const struct cJSON *map = NULL;
    BP_TRY(bp_json_read_file(index->path, &index->root, err));
    BP_TRY(bp_json_need_object(index->root, "weight_map", index->path, &map, err));
    size_t n = bp_json_count(map);
    if (n == 0)
        return bp_fail(err, BP_ERR_INPUT, "%s: weight_map is empty; download the file again",
                       index->path);
    index->entries = bp_alloc(n, sizeof *index->entries);
    index->shards = bp_alloc(n, sizeof *index->shards);
    if (!index->entries || !index->shards)
        return bp_fail_nomem(err);
    for (const struct cJSON *node = bp_json_first(map); node; node = bp_json_next(node)) {
        struct entry entry = {bp_json_key(node), bp_json_string(node)};
        if (!entry.shard)
            return bp_fail(err, BP_ERR_INPUT, "%s: the shard of tensor %s is not a string",
                           index->path, bp_printable(entry.tensor).text);
        if (!is_plain_file_name(entry.shard))
            return bp_fail(err, BP_ERR_INPUT,
                           "%s: the shard \"%s\" of tensor %s is not a plain file name; shards lie "
                           "beside the index",
                           index->path, bp_printable(entry.shard).text,
                           bp_printable(entry.tensor).text);
        index->entries[index->n++] = entry;
    }
    qsort(index->entries, n, sizeof *index->entries, compare_entry_shards);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || strcmp(index->entries[i - 1].shard, index->entries[i].shard) != 0)
            index->shards[index->n_shards++] = index->entries[i].shard;
    return BP_OK;
}

static enum bp_status open_shards(struct bp_model *model, const struct index *index,
                                  struct bp_err *err)
{
    const char *missing = NULL;
    size_t n_missing = 0;
    for (size_t i = 0; i < index->n_shards; i++) {
        bool there = false;
        BP_TRY(exists(model->path, index->shards[i], &there, err));
        if (!there && n_missing++ == 0)
            missing = index->shards[i];
    }
    if (missing)
        return bp_fail(err, BP_ERR_INPUT,
                       "%s: the shard %s is missing (%zu of %zu are); download it", model->path,
                       bp_printable(missing).text, n_missing, index->n_shards);
    for (size_t i = 0; i < index->n_shards; i++)
        BP_TRY(open_in_folder(model, index->shards[i], err));
    return BP_OK;
}

/* Each entry must be in its shard. */
static enum bp_status check_entries(const struct bp_model *model, const struct index *index,
                                    struct bp_err *err)
{
    for (size_t i = 0, shard = 0; i < index->n; i++) {
        const struct entry *entry = &index->entries[i];
        while (strcmp(index->shards[shard], entry->shard) != 0)
            shard++;
        if (!bp_st_find(model->files[shard], entry->tensor))
            return bp_fail(err, BP_ERR_INPUT,
                           "%s: has no tensor %s, which " INDEX_FILE
                           " places there; download both again",
                           model->files[shard]->path, bp_printable(entry->tensor).text);
    }
    return BP_OK;
}

/* Tensors that the index does not know are used all the same, as transformers does. */
static enum bp_status check_unlisted(struct bp_model *model, struct index *index,
                                     struct bp_err *err)
{
    const struct bp_st_tensor *first = NULL;
    size_t n = 0, at = 0;
    qsort(index->entries, index->n, sizeof *index->entries, compare_entry_tensors);
    for (size_t f = 0; f < model->n_files; f++) {
        const struct bp_st *st = model->files[f];
        for (size_t i = 0; i < st->n_tensors; i++) {
            struct entry key = {st->tensors[i].name, NULL};
            if (bsearch(&key, index->entries, index->n, sizeof key, compare_entry_tensors))
                continue;
            if (n++ == 0) {
                first = &st->tensors[i];
                at = f;
            }
        }
    }
    if (!n)
        return BP_OK;
    return bp_model_warn(model, err,
                         INDEX_FILE ": %zu tensor%s of the shards not listed (first: %s in %s); "
                                    "used all the same",
                         n, n == 1 ? "" : "s", bp_printable(first->name).text,
                         bp_printable(index->shards[at]).text);
}

/* Merge tools get total_size wrong now and then: no reason to refuse a model. */
static enum bp_status check_total_size(struct bp_model *model, const struct index *index,
                                       struct bp_err *err)
{
    uint64_t said, found = 0;
    if (!bp_json_u64(bp_json_member(bp_json_member(index->root, "metadata"), "total_size"), &said))
        return BP_OK;
    for (size_t f = 0; f < model->n_files; f++)
        found += model->files[f]->data_bytes;
    if (said == found)
        return BP_OK;
    return bp_model_warn(model, err, INDEX_FILE ": total_size says %s bytes, the shards hold %s",
                         bp_grouped(said).text, bp_grouped(found).text);
}

static enum bp_status open_sharded(struct bp_model *model, struct bp_err *err)
{
    struct index index = {0};
    char *path = bp_model_join(model->path, INDEX_FILE);
    index.path = path;
    enum bp_status status = path ? read_entries(&index, err) : bp_fail_nomem(err);
    if (status == BP_OK)
        status = open_shards(model, &index, err);
    if (status == BP_OK)
        status = check_entries(model, &index, err);
    if (status == BP_OK)
        status = check_unlisted(model, &index, err);
    if (status == BP_OK)
        status = check_total_size(model, &index, err);
    bp_json_free(index.root);
    free(index.entries);
    free(index.shards);
    free(path);
    return status;
}

/* --- folders --- */

static bool has_suffix(const char *name, const char *suffix)
{
    size_t n = strlen(name), m = strlen(suffix);
    return n > m && strcmp(name + n - m, suffix) == 0;
}

/* Collects the folder's *.safetensors, sorted. The caller frees names and list. */
static enum bp_status list_safetensors(const char *folder, char ***names, size_t *n,
                                       struct bp_err *err)
{
    DIR *dir = opendir(folder);
    if (!dir)
        return bp_fail(err, BP_ERR_FAILED, "%s: cannot be read: %s", folder, strerror(errno));
    enum bp_status status = BP_OK;
    for (struct dirent *entry; status == BP_OK && (entry = readdir(dir));) {
        if (entry->d_name[0] == '.' || !has_suffix(entry->d_name, ".safetensors"))
            continue;
        if (!bp_names_add(names, n, entry->d_name))
            status = bp_fail_nomem(err);
    }
    closedir(dir);
    if (*n)
        qsort(*names, *n, sizeof **names, compare_texts);
    return status;
}

/* A folder with neither of the two usual files: its only *.safetensors, if it is the only one. */
static enum bp_status open_lone_file(struct bp_model *model, struct bp_err *err)
{
    char **names = NULL;
    size_t n = 0;
    enum bp_status status = list_safetensors(model->path, &names, &n, err);
    if (status == BP_OK && n == 0)
        status = bp_fail(err, BP_ERR_INPUT,
                         "%s: holds neither " SINGLE_FILE " nor " INDEX_FILE
                         "; give the folder of a model in safetensors format",
                         model->path);
    else if (status == BP_OK && n > 1)
        status = bp_fail(err, BP_ERR_INPUT,
                         "%s: holds %zu safetensors files (%s, %s, ...) but no " INDEX_FILE
                         "; give one of them or add the index",
                         model->path, n, names[0], names[1]);
    else if (status == BP_OK)
        status = open_in_folder(model, names[0], err);
    for (size_t i = 0; i < n; i++)
        free(names[i]);
    free(names);
    return status;
}

static enum bp_status open_folder(struct bp_model *model, struct bp_err *err)
{
    bool single = false, index = false;
    BP_TRY(exists(model->path, SINGLE_FILE, &single, err));
    BP_TRY(exists(model->path, INDEX_FILE, &index, err));
    if (single && index)
        BP_TRY(bp_model_warn(
            model, err, "both " SINGLE_FILE " and " INDEX_FILE " exist; " SINGLE_FILE " is used"));
    if (single)
        return open_in_folder(model, SINGLE_FILE, err);
    return index ? open_sharded(model, err) : open_lone_file(model, err);
}

enum bp_status bp_model_open_files(struct bp_model *model, bool *is_folder, struct bp_err *err)
{
    struct stat info;
    if (stat(model->path, &info) != 0)
        return bp_fail(err, errno == ENOENT ? BP_ERR_INPUT : BP_ERR_FAILED,
                       "%s: cannot be opened: %s", model->path, strerror(errno));
    *is_folder = S_ISDIR(info.st_mode);
    if (*is_folder)
        return open_folder(model, err);
    if (has_suffix(model->path, ".json"))
        return bp_fail(err, BP_ERR_INPUT,
                       "%s: is a JSON file; give the model's folder or a .safetensors file",
                       model->path);
    return open_file(model, model->path, err);
}
