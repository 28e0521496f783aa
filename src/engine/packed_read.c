#include "engine/packed_read.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "engine/json_read.h"
#include "engine/mem.h"
#include "engine/printable.h"
#include "engine/svd.h"

/* --- the files --- */

static int compare_paths(const void *a, const void *b)
{
    const struct bp_st *const *x = a, *const *y = b;
    return strcmp((*x)->path, (*y)->path);
}

static enum bp_status open_file(struct bp_packed *p, const char *name, struct bp_err *err)
{
    struct bp_st **grown = bp_grow(p->files, p->n_files + 1, sizeof *grown);
    char *path = bp_format("%s/%s", p->folder, name);
    if (grown)
        p->files = grown;
    if (!grown || !path) {
        free(path);
        return bp_fail_nomem(err);
    }
    enum bp_status status = bp_st_open(path, &p->files[p->n_files], err);
    free(path);
    if (status != BP_OK)
        return status;
    const struct bp_st *st = p->files[p->n_files++];
    const char *format = bp_st_metadata(st, "format"), *version = bp_st_metadata(st, "version");
    if (!format || strcmp(format, "bitplan.packed") != 0)
        return bp_fail(err, BP_ERR_INPUT,
                       "%s: not a packed form: its \"format\" is not bitplan.packed", st->path);
    if (!version || strcmp(version, "1") != 0)
        return bp_fail(err, BP_ERR_INPUT,
                       "%s: a packed form of version %s; this bitplan reads version 1", st->path,
                       version ? bp_printable(version).text : "?");
    return BP_OK;
}

static enum bp_status open_files(struct bp_packed *p, struct bp_err *err)
{
    static const char suffix[] = ".safetensors";
    DIR *dir = opendir(p->folder);
    if (!dir && errno == ENOMEM)
        return bp_fail_nomem(err);
    if (!dir)
        return bp_fail(err, errno == ENOENT ? BP_ERR_INPUT : BP_ERR_FAILED,
                       "%s: cannot be opened: %s", p->folder, strerror(errno));
    enum bp_status status = BP_OK;
    for (struct dirent *entry; status == BP_OK && (entry = readdir(dir));) {
        const size_t n = strlen(entry->d_name), m = sizeof suffix - 1;
        if (entry->d_name[0] != '.' && n > m && strcmp(entry->d_name + n - m, suffix) == 0)
            status = open_file(p, entry->d_name, err);
    }
    closedir(dir);
    if (status == BP_OK && p->n_files == 0)
        status = bp_fail(err, BP_ERR_INPUT, "%s: holds no packed files", p->folder);
    if (status == BP_OK)
        qsort(p->files, p->n_files, sizeof *p->files, compare_paths);
    return status;
}

static void hash_files(struct bp_packed *p)
{
    p->hash = 0;
    for (size_t f = 0; f < p->n_files; f++)
        p->hash = XXH3_64bits_withSeed(p->files[f]->map, p->files[f]->map_bytes, p->hash);
}

/* --- what they say --- */

static enum bp_status bad(const struct bp_st *st, const char *key, size_t i, struct bp_err *err)
{
    return bp_fail(err, BP_ERR_INPUT, "%s: %s[%zu] in its metadata makes no sense", st->path, key,
                   i);
}

static enum bp_status json_list(const struct bp_st *st, const char *key, struct cJSON **out,
                                struct bp_err *err)
{
    const char *text = bp_st_metadata(st, key);
    *out = NULL;
    if (!text)
        return bp_fail(err, BP_ERR_INPUT, "%s: has no \"%s\" in its metadata", st->path, key);
    enum bp_status status = bp_json_read_text(text, strlen(text), st->path, out, err);
    if (status == BP_OK && !bp_json_is_array(*out)) {
        *out = bp_json_free(*out);
        status = bp_fail(err, BP_ERR_INPUT, "%s: \"%s\" in its metadata is no list", st->path, key);
    }
    return status;
}

static enum bp_status read_pairs(const struct bp_st *st, const struct cJSON *list,
                                 struct bp_outline_file *file, struct bp_err *err)
{
    size_t i = 0;
    for (const struct cJSON *node = bp_json_first(list); node; node = bp_json_next(node), i++) {
        const char *key = bp_json_string(bp_json_first(node));
        const char *value = bp_json_string(bp_json_next(bp_json_first(node)));
        if (!key || !value)
            return bad(st, "metadata", i, err);
        BP_TRY(bp_outline_add_metadata(file, key, value, err));
    }
    return BP_OK;
}

/* A shape, and its number of elements, which is at most 2^53. */
static bool read_shape(const struct cJSON *list, uint64_t *shape, unsigned most, unsigned *n_dims,
                       uint64_t *n)
{
    *n = 1;
    *n_dims = 0;
    if (!bp_json_is_array(list))
        return false;
    for (const struct cJSON *node = bp_json_first(list); node; node = bp_json_next(node)) {
        if (*n_dims == most || !bp_json_u64(node, &shape[*n_dims]) ||
            !bp_mul_u64(*n, shape[*n_dims], n) || *n > UINT64_C(1) << 53)
            return false;
        ++*n_dims;
    }
    return true;
}

/* The model's tensors: those that stand in the packed file under their own names are passed on. */
static enum bp_status read_tensors(const struct bp_st *st, const struct cJSON *list,
                                   struct bp_outline_file *file, struct bp_err *err)
{
    file->tensors = bp_alloc_zero(bp_json_count(list), sizeof *file->tensors);
    if (!file->tensors)
        return bp_fail_nomem(err);
    for (const struct cJSON *node = bp_json_first(list); node; node = bp_json_next(node)) {
        struct bp_outline_tensor *t = &file->tensors[file->n_tensors];
        const char *name = bp_json_string(bp_json_member(node, "name"));
        const char *dtype = bp_json_string(bp_json_member(node, "dtype"));
        uint64_t n;
        if (!name || !dtype || !bp_dtype_parse(dtype, &t->dtype) ||
            !read_shape(bp_json_member(node, "shape"), t->shape, BP_ST_MAX_DIMS, &t->n_dims, &n) ||
            n * bp_dtype_bits(t->dtype) % 8 != 0)
            return bad(st, "tensors", file->n_tensors, err);
        t->n_bytes = n * bp_dtype_bits(t->dtype) / 8;
        t->name = bp_strdup(name);
        file->n_tensors++;
        if (!t->name)
            return bp_fail_nomem(err);
        const struct bp_st_tensor *kept = bp_st_find(st, name);
        if (kept && kept->n_bytes == t->n_bytes)
            t->data = bp_st_data(st, kept);
    }
    return BP_OK;
}

static bool read_matrix(const struct cJSON *node, const struct bp_outline_file *file, size_t *at,
                        struct bp_outline_matrix *m)
{
    const char *tensor = bp_json_string(bp_json_member(node, "tensor"));
    const char *config = bp_json_string(bp_json_member(node, "config"));
    uint64_t shape[2], n, rank;
    unsigned n_dims;
    if (!tensor || !config || bp_config_parse(config, &m->config, NULL) != BP_OK ||
        !read_shape(bp_json_member(node, "shape"), shape, 2, &n_dims, &n) || n_dims != 2 ||
        n == 0 || !bp_json_u64(bp_json_member(node, "first"), &m->first_elem) ||
        !bp_json_u64(bp_json_member(node, "rank"), &rank) || rank > UINT32_MAX)
        return false;
    /* Matrices stand in the order of their tensors. */
    while (*at < file->n_tensors && strcmp(file->tensors[*at].name, tensor) != 0)
        ++*at;
    if (*at == file->n_tensors || !bp_dtype_is_weight(file->tensors[*at].dtype))
        return false;
    m->d = shape[0];
    m->k = shape[1];
    m->dtype = file->tensors[*at].dtype;
    m->tensor = *at;
    m->rank = (uint32_t)rank;
    m->r = bp_svd_rank(m->d, m->k, m->rank);
    return true;
}

static enum bp_status read_matrices(struct bp_outline *o, const struct bp_st *st, size_t f,
                                    const struct cJSON *list, struct bp_err *err)
{
    const size_t n = bp_json_count(list);
    struct bp_outline_matrix *grown = bp_grow(o->matrices, o->n_matrices + n + 1, sizeof *grown);
    size_t at = 0, i = 0;
    if (!grown)
        return bp_fail_nomem(err);
    o->matrices = grown;
    for (const struct cJSON *node = bp_json_first(list); node; node = bp_json_next(node), i++) {
        struct bp_outline_matrix *m = &o->matrices[o->n_matrices];
        const char *name = bp_json_string(bp_json_member(node, "name"));
        *m = (struct bp_outline_matrix){.file = f};
        if (!name || !read_matrix(node, &o->files[f], &at, m))
            return bad(st, "matrices", i, err);
        m->name = bp_strdup(name);
        o->n_matrices++;
        if (!m->name)
            return bp_fail_nomem(err);
    }
    return BP_OK;
}

/* A plain name of a safetensors file that no other of the files has. */
static bool is_free(const struct bp_outline *o, const char *name)
{
    static const char suffix[] = ".safetensors";
    const size_t n = name ? strlen(name) : 0, m = sizeof suffix - 1;
    bool is = n > m && strcmp(name + n - m, suffix) == 0 && *name != '.' && !strpbrk(name, "/\\");
    for (size_t f = 0; is && f < o->n_files; f++)
        is = strcmp(o->files[f].name, name) != 0;
    return is;
}

static enum bp_status read_file(struct bp_outline *o, const struct bp_st *st, size_t f,
                                struct bp_err *err)
{
    struct cJSON *pairs = NULL, *tensors = NULL, *matrices = NULL;
    const char *name = bp_st_metadata(st, "file"), *bits = bp_st_metadata(st, "low_rank_bits");
    struct bp_outline_file *file = &o->files[f];
    if (!is_free(o, name) || !bits)
        return bp_fail(err, BP_ERR_INPUT,
                       "%s: has no \"file\" of its own and no \"low_rank_bits\" in its metadata",
                       st->path);
    const unsigned long said = strtoul(bits, NULL, 10);
    if ((said != 8 && said != 16 && said != 32) || (f > 0 && said != o->low_rank_bits))
        return bp_fail(err, BP_ERR_INPUT, "%s: low_rank_bits is not 8, 16 or 32 in all files",
                       st->path);
    o->low_rank_bits = (unsigned)said;
    file->name = bp_strdup(name);
    o->n_files++;
    enum bp_status status = file->name ? BP_OK : bp_fail_nomem(err);
    if (status == BP_OK)
        status = json_list(st, "metadata", &pairs, err);
    if (status == BP_OK)
        status = read_pairs(st, pairs, file, err);
    if (status == BP_OK)
        status = json_list(st, "tensors", &tensors, err);
    if (status == BP_OK)
        status = read_tensors(st, tensors, file, err);
    if (status == BP_OK)
        status = json_list(st, "matrices", &matrices, err);
    if (status == BP_OK)
        status = read_matrices(o, st, f, matrices, err);
    bp_json_free(pairs);
    bp_json_free(tensors);
    bp_json_free(matrices);
    return status;
}

/* --- the whole --- */

/* Every tensor is either passed on or filled. */
static enum bp_status check_tensors(const struct bp_packed *p, struct bp_err *err)
{
    for (size_t f = 0; f < p->n_files; f++)
        for (size_t i = 0; i < p->outline->files[f].n_tensors; i++) {
            const struct bp_outline_tensor *t = &p->outline->files[f].tensors[i];
            if (!t->data && t->n_matrices == 0)
                return bp_fail(err, BP_ERR_INPUT, "%s: has neither tensor %s nor its parts",
                               p->files[f]->path, bp_printable(t->name).text);
        }
    return BP_OK;
}

static bool has_tensor(const struct bp_outline *o, const char *name)
{
    for (size_t f = 0; f < o->n_files; f++)
        for (size_t i = 0; i < o->files[f].n_tensors; i++)
            if (strcmp(o->files[f].tensors[i].name, name) == 0)
                return true;
    return false;
}

/* The metadata of writers that store a shared tensor once: another name -> the stored one. */
static enum bp_status read_ties(struct bp_outline *o, struct bp_err *err)
{
    for (size_t f = 0; f < o->n_files; f++)
        for (size_t i = 0; i < o->files[f].n_metadata; i++) {
            const struct bp_st_pair *pair = &o->files[f].metadata[i];
            if (strcmp(pair->key, "format") == 0 || !has_tensor(o, pair->value))
                continue;
            struct bp_st_pair *grown = bp_grow(o->tied, o->n_tied + 1, sizeof *grown);
            if (!grown)
                return bp_fail_nomem(err);
            o->tied = grown;
            grown[o->n_tied] = (struct bp_st_pair){bp_strdup(pair->key), bp_strdup(pair->value)};
            o->n_tied++;
            if (!grown[o->n_tied - 1].key || !grown[o->n_tied - 1].value)
                return bp_fail_nomem(err);
        }
    return BP_OK;
}

static enum bp_status read_outline(struct bp_packed *p, struct bp_err *err)
{
    struct bp_outline *o = calloc(1, sizeof *o);
    p->outline = o;
    if (!o)
        return bp_fail_nomem(err);
    o->files = bp_alloc_zero(p->n_files, sizeof *o->files);
    o->folder = bp_strdup(p->folder);
    char *index = bp_format("%s/model.safetensors.index.json", p->folder);
    if (!o->files || !o->folder || !index) {
        free(index);
        return bp_fail_nomem(err);
    }
    o->indexed = access(index, F_OK) == 0;
    free(index);
    BP_TRY(bp_outline_read_config(o, p->folder, err));
    for (size_t f = 0; f < p->n_files; f++)
        BP_TRY(read_file(o, p->files[f], f, err));
    if (o->n_matrices == 0)
        return bp_fail(err, BP_ERR_INPUT, "%s: holds no packed matrix", p->folder);
    BP_TRY(read_ties(o, err));
    BP_TRY(bp_outline_link(o, p->folder, err));
    return check_tensors(p, err);
}

enum bp_status bp_packed_open(const char *path, struct bp_packed **out, struct bp_err *err)
{
    struct stat st;
    *out = NULL;
    struct bp_packed *p = calloc(1, sizeof *p);
    char *below = bp_format("%s/packed", path);
    if (!p || !below) {
        free(p);
        free(below);
        return bp_fail_nomem(err);
    }
    const bool is_below = stat(below, &st) == 0 && S_ISDIR(st.st_mode);
    p->folder = is_below ? below : bp_strdup(path);
    if (!is_below)
        free(below);
    enum bp_status status = p->folder ? open_files(p, err) : bp_fail_nomem(err);
    if (status == BP_OK)
        status = read_outline(p, err);
    if (status == BP_OK)
        hash_files(p);
    else
        p = bp_packed_close(p);
    *out = p;
    return status;
}

struct bp_packed *bp_packed_close(struct bp_packed *p)
{
    if (!p)
        return NULL;
    bp_outline_free(p->outline);
    for (size_t f = 0; f < p->n_files; f++)
        bp_st_close(p->files[f]);
    free(p->files);
    free(p->folder);
    free(p);
    return NULL;
}
