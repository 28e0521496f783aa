#include "engine/plan_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "engine/json_read.h"
#include "engine/low_rank.h"
#include "engine/lq.h"
#include "engine/mem.h"
#include "engine/plan.h"
#include "engine/printable.h"
#include "engine/table.h"

static const struct cJSON *member(const struct cJSON *node, const char *a, const char *b)
{
    return bp_json_member(bp_json_member(node, a), b);
}

static enum bp_status keep(char **out, const char *text, struct bp_err *err)
{
    *out = bp_strdup(text ? text : "");
    return *out ? BP_OK : bp_fail_nomem(err);
}

/* --- entries --- */

static bool small_u64(const struct cJSON *node, uint64_t most, uint64_t *out)
{
    return bp_json_u64(node, out) && *out <= most;
}

static bool read_config(const struct cJSON *node, struct bp_config *out)
{
    const char *b2 = bp_json_string(bp_json_member(node, "b2"));
    uint64_t b0, b1, B0, B1;
    enum bp_scale_type type;
    if (!b2 || !bp_scale_type_parse(b2, &type) || !small_u64(bp_json_member(node, "b0"), 8, &b0) ||
        !small_u64(bp_json_member(node, "b1"), 8, &b1) ||
        !small_u64(bp_json_member(node, "B0"), BP_MAX_BLOCK, &B0) ||
        !small_u64(bp_json_member(node, "B1"), BP_MAX_BLOCK, &B1))
        return false;
    *out = (struct bp_config){(uint8_t)b0, (uint8_t)b1, (uint8_t)type, (uint32_t)B0, (uint32_t)B1};
    return bp_config_valid(out);
}

static bool read_entry_numbers(const struct cJSON *node, struct bp_plan_entry *e)
{
    const struct cJSON *shape = bp_json_member(node, "shape");
    const struct cJSON *d = bp_json_first(shape), *k = bp_json_next(d);
    uint64_t n, rank;
    if (!bp_json_u64(d, &e->d) || !bp_json_u64(k, &e->k) || bp_json_next(k) || e->d == 0 ||
        e->k == 0 || !bp_mul_u64(e->d, e->k, &n) || n > UINT64_C(1) << 53)
        return false;
    if (!bp_json_u64(bp_json_member(node, "storage_bits"), &e->storage_bits) ||
        !bp_json_double(bp_json_member(node, "error"), &e->error) || e->error < 0.0 ||
        !small_u64(bp_json_member(node, "rank"), UINT32_MAX, &rank))
        return false;
    e->candidate.rank = (uint32_t)rank;
    return true;
}

static enum bp_status read_entry(struct bp_plan_file *p, const struct cJSON *node,
                                 struct bp_err *err)
{
    struct bp_plan_entry *e = &p->entries[p->n];
    const struct cJSON *config = bp_json_member(node, "config");
    const char *name = bp_json_string(bp_json_member(node, "name"));
    const char *label = bp_json_string(bp_json_member(node, "label"));
    *e = (struct bp_plan_entry){.candidate.foreign = bp_json_is_null(config)};
    if (!name || !*name)
        return bp_fail(err, BP_ERR_INPUT, "%s: matrices[%zu] has no name", p->path, p->n);
    BP_TRY(keep(&e->name, name, err));
    p->n++; /* freeing takes what is there */
    if (!read_entry_numbers(node, e) ||
        (!e->candidate.foreign && !read_config(config, &e->candidate.config)))
        return bp_fail(
            err, BP_ERR_INPUT,
            "%s: matrices[%zu]: no shape, config, rank, storage_bits and error of a plan", p->path,
            p->n - 1);
    if (e->candidate.foreign && label)
        snprintf(e->candidate.label, sizeof e->candidate.label, "%s", label);
    p->params += e->d * e->k;
    p->storage_bits += e->storage_bits;
    return BP_OK;
}

static int compare_names(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

static enum bp_status check_twice(const struct bp_plan_file *p, struct bp_err *err)
{
    const char **names = bp_alloc(p->n, sizeof *names), *twice = NULL;
    if (!names)
        return bp_fail_nomem(err);
    for (size_t i = 0; i < p->n; i++)
        names[i] = p->entries[i].name;
    qsort(names, p->n, sizeof *names, compare_names);
    for (size_t i = 1; i < p->n && !twice; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            twice = names[i];
    free(names);
    return !twice ? BP_OK
                  : bp_fail(err, BP_ERR_INPUT, "%s: the matrix %s stands there twice", p->path,
                            bp_printable(twice).text);
}

static enum bp_status read_entries(struct bp_plan_file *p, const struct cJSON *root,
                                   struct bp_err *err)
{
    const struct cJSON *list;
    BP_TRY(bp_json_need_array(root, "matrices", p->path, &list, err));
    size_t n = bp_json_count(list);
    if (n == 0)
        return bp_fail(err, BP_ERR_INPUT, "%s: a plan without a matrix", p->path);
    p->entries = bp_alloc_zero(n, sizeof *p->entries);
    if (!p->entries)
        return bp_fail_nomem(err);
    for (const struct cJSON *node = bp_json_first(list); node; node = bp_json_next(node))
        BP_TRY(read_entry(p, node, err));
    return check_twice(p, err);
}

/* --- method --- */

static enum bp_status set_method(struct bp_plan_file *p, const char *effort, uint64_t iterations,
                                 uint64_t rank, uint64_t seed, uint64_t version, struct bp_err *err)
{
    if (iterations < 1 || iterations > BP_LQ_MAX_ITERATIONS || rank > UINT32_MAX)
        return bp_fail(err, BP_ERR_INPUT,
                       "%s: its errors were made with %" PRIu64 " iterations; "
                       "this bitplan knows 1 to %d",
                       p->path, iterations, BP_LQ_MAX_ITERATIONS);
    if (version != BP_METHOD_VERSION)
        return bp_fail(err, BP_ERR_INPUT,
                       "%s: its errors were made by version %" PRIu64
                       " of the arithmetic, this bitplan has version %d; measure again",
                       p->path, version, BP_METHOD_VERSION);
    BP_TRY(keep(&p->method.effort, effort, err));
    p->method.known = true;
    p->method.iterations = (uint32_t)iterations;
    p->method.rank = (uint32_t)rank;
    p->method.seed = seed;
    p->method.version = version;
    return BP_OK;
}

static enum bp_status read_method(struct bp_plan_file *p, const struct cJSON *node,
                                  struct bp_err *err)
{
    const char *effort = bp_json_string(bp_json_member(node, "effort"));
    uint64_t iterations, rank, seed, version;
    if (!bp_json_is_object(node))
        return BP_OK;
    if (!effort || !bp_json_u64(bp_json_member(node, "iterations"), &iterations) ||
        !bp_json_u64(bp_json_member(node, "rank"), &rank) ||
        !bp_json_u64(bp_json_member(node, "seed"), &seed) ||
        !bp_json_u64(bp_json_member(node, "version"), &version))
        return bp_fail(err, BP_ERR_INPUT,
                       "%s: table.method has no effort, iterations, rank, seed and version",
                       p->path);
    return set_method(p, effort, iterations, rank, seed, version, err);
}

/* What an older plan does not say, from its table. */
static enum bp_status take_from_table(struct bp_plan_file *p, const struct bp_table *t,
                                      struct bp_err *err)
{
    uint64_t rank = 0;
    char *fingerprint = bp_table_fingerprint(t);
    if (!fingerprint)
        return bp_fail_nomem(err);
    bool same = strcmp(fingerprint, p->table_fingerprint) == 0;
    free(fingerprint);
    if (!same)
        return bp_fail(err, BP_ERR_MISMATCH, "%s: is not the table that %s was made from", t->path,
                       p->path);
    if (!*t->about.effort || t->about.iterations == 0)
        return BP_OK;
    for (size_t j = 0; j < t->n_candidates; j++)
        if (!t->candidates[j].foreign && t->candidates[j].rank > rank)
            rank = t->candidates[j].rank;
    free(p->weighting_fingerprint);
    p->weighting_fingerprint = NULL;
    BP_TRY(keep(&p->weighting_fingerprint, t->about.weighting_fingerprint, err));
    free(p->method.effort);
    p->method.effort = NULL;
    return set_method(p, t->about.effort, t->about.iterations, rank, t->about.seed,
                      t->about.method_version, err);
}

/* The path of the plan's table where it is to be found, on the heap; *out NULL when it is not. */
static enum bp_status find_table(const struct bp_plan_file *p, const char *given, char **out,
                                 struct bp_err *err)
{
    const char *path = given ? given : p->table_path, *slash = strrchr(p->path, '/');
    *out = NULL;
    if (!*path)
        return BP_OK;
    *out = given || access(path, F_OK) == 0 || *path == '/'
               ? bp_strdup(path)
               : bp_format("%.*s%s", slash ? (int)(slash - p->path + 1) : 0, p->path, path);
    if (!*out)
        return bp_fail_nomem(err);
    if (!given && access(*out, F_OK) != 0) {
        free(*out);
        *out = NULL;
    }
    return BP_OK;
}

static enum bp_status ask_table(struct bp_plan_file *p, const char *given, struct bp_err *err)
{
    char *path;
    struct bp_table *table;
    BP_TRY(find_table(p, given, &path, err));
    if (!path)
        return BP_OK;
    enum bp_status status = bp_table_open(path, &table, err);
    free(path);
    if (status != BP_OK)
        return status;
    status = take_from_table(p, table, err);
    bp_table_close(table);
    return status;
}

/* --- the document --- */

static enum bp_status check_format(const struct bp_plan_file *p, const struct cJSON *root,
                                   struct bp_err *err)
{
    uint64_t version;
    const char *format = bp_json_string(bp_json_member(root, "format"));
    if (bp_json_is_array(root))
        return bp_fail(err, BP_ERR_INPUT, "%s: a list of plans; one is carried out at a time",
                       p->path);
    if (!format || strcmp(format, "bitplan.plan") != 0)
        return bp_fail(err, BP_ERR_INPUT,
                       "%s: not a bitplan plan: its \"format\" is not bitplan.plan", p->path);
    BP_TRY(bp_json_need_u64(root, "version", p->path, &version, err));
    return version == 1 ? BP_OK
                        : bp_fail(err, BP_ERR_INPUT,
                                  "%s: a plan of version %" PRIu64 "; this bitplan reads version 1",
                                  p->path, version);
}

static enum bp_status read_document(struct bp_plan_file *p, const struct cJSON *root,
                                    struct bp_err *err)
{
    uint64_t bits = BP_LOW_RANK_STANDARD;
    BP_TRY(check_format(p, root, err));
    const struct cJSON *table = bp_json_member(root, "table");
    BP_TRY(keep(&p->model_name, bp_json_string(member(root, "model", "name")), err));
    BP_TRY(keep(&p->model_fingerprint, bp_json_string(member(root, "model", "fingerprint")), err));
    BP_TRY(keep(&p->table_path, bp_json_string(bp_json_member(table, "path")), err));
    BP_TRY(keep(&p->table_fingerprint, bp_json_string(bp_json_member(table, "fingerprint")), err));
    BP_TRY(keep(&p->weighting, bp_json_string(bp_json_member(table, "weighting")), err));
    BP_TRY(keep(&p->weighting_fingerprint,
                bp_json_string(bp_json_member(table, "weighting_fingerprint")), err));
    (void)bp_json_bool(member(root, "model", "synthetic"), &p->synthetic);
    (void)small_u64(member(root, "memory", "low_rank_bits"), 32, &bits);
    p->low_rank_bits = (unsigned)bits;
    BP_TRY(read_entries(p, root, err));
    return read_method(p, bp_json_member(table, "method"), err);
}

/* Over what was read: a plan whose spaces or key order differ is the same. */
static enum bp_status hash_entries(struct bp_plan_file *p, struct bp_err *err)
{
    XXH3_state_t *state = XXH3_createState();
    if (!state)
        return bp_fail_nomem(err);
    XXH3_64bits_reset(state);
    XXH3_64bits_update(state, p->model_fingerprint, strlen(p->model_fingerprint) + 1);
    XXH3_64bits_update(state, p->table_fingerprint, strlen(p->table_fingerprint) + 1);
    for (size_t i = 0; i < p->n; i++) {
        char text[BP_CANDIDATE_TEXT];
        const struct bp_plan_entry *e = &p->entries[i];
        bp_candidate_format(&e->candidate, text);
        XXH3_64bits_update(state, e->name, strlen(e->name) + 1);
        XXH3_64bits_update(state, text, strlen(text) + 1);
        XXH3_64bits_update(state, &e->error, sizeof e->error);
    }
    p->hash = XXH3_64bits_digest(state);
    XXH3_freeState(state);
    return BP_OK;
}

/* Takes the document over. */
static enum bp_status take_document(const char *path, struct cJSON *root, struct bp_plan_file **out,
                                    struct bp_err *err)
{
    struct bp_plan_file *p = calloc(1, sizeof *p);
    enum bp_status status = p ? keep(&p->path, path, err) : bp_fail_nomem(err);
    if (status == BP_OK)
        status = read_document(p, root, err);
    bp_json_free(root);
    *out = status == BP_OK ? p : bp_plan_file_free(p);
    return status;
}

enum bp_status bp_plan_file_parse(const char *text, const char *label, struct bp_plan_file **out,
                                  struct bp_err *err)
{
    struct cJSON *root;
    *out = NULL;
    BP_TRY(bp_json_read_text(text, strlen(text), label, &root, err));
    BP_TRY(take_document(label, root, out, err));
    enum bp_status status = hash_entries(*out, err);
    if (status != BP_OK)
        *out = bp_plan_file_free(*out);
    return status;
}

enum bp_status bp_plan_file_read(const char *path, const char *table_path,
                                 struct bp_plan_file **out, struct bp_err *err)
{
    struct cJSON *root;
    *out = NULL;
    BP_TRY(bp_json_read_file(path, &root, err));
    BP_TRY(take_document(path, root, out, err));
    enum bp_status status = BP_OK;
    if (!(*out)->method.known || table_path)
        status = ask_table(*out, table_path, err);
    if (status == BP_OK)
        status = hash_entries(*out, err);
    if (status != BP_OK)
        *out = bp_plan_file_free(*out);
    return status;
}

struct bp_plan_file *bp_plan_file_free(struct bp_plan_file *p)
{
    if (!p)
        return NULL;
    for (size_t i = 0; i < p->n; i++)
        free(p->entries[i].name);
    free(p->entries);
    free(p->path);
    free(p->model_name);
    free(p->model_fingerprint);
    free(p->table_path);
    free(p->table_fingerprint);
    free(p->weighting);
    free(p->weighting_fingerprint);
    free(p->method.effort);
    free(p);
    return NULL;
}
