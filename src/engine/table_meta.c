#include "engine/table_meta.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "engine/json_read.h"
#include "engine/json_write.h"
#include "engine/mem.h"
#include "engine/printable.h"
#include "engine/quantizable.h"

/* --- writing --- */

static void put_matrices(struct bp_json_out *out, const struct bp_table *t)
{
    bp_json_out_array(out);
    for (size_t i = 0; i < t->n_matrices; i++) {
        const struct bp_table_matrix *m = &t->matrices[i];
        struct cJSON *node = bp_json_put_object(out, out->root, NULL);
        bp_json_put_string(out, node, "name", m->name);
        struct cJSON *shape = bp_json_put_array(out, node, "shape");
        bp_json_put_u64(out, shape, NULL, m->d);
        bp_json_put_u64(out, shape, NULL, m->k);
        bp_json_put_string(out, node, "dtype", m->dtype);
        if (m->layer >= 0)
            bp_json_put_u64(out, node, "layer", (uint64_t)m->layer);
        bp_json_put_string(out, node, "kind", m->kind);
    }
}

static void put_candidates(struct bp_json_out *out, const struct bp_table *t)
{
    bp_json_out_array(out);
    for (size_t i = 0; i < t->n_candidates; i++) {
        const struct bp_candidate *c = &t->candidates[i];
        struct cJSON *node = bp_json_put_object(out, out->root, NULL);
        if (c->foreign) {
            bp_json_put_string(out, node, "label", c->label);
            continue;
        }
        bp_json_put_u64(out, node, "b0", c->config.b0);
        bp_json_put_u64(out, node, "b1", c->config.b1);
        bp_json_put_string(out, node, "b2", bp_scale_type_name(c->config.b2));
        bp_json_put_u64(out, node, "B0", c->config.B0);
        bp_json_put_u64(out, node, "B1", c->config.B1);
        bp_json_put_u64(out, node, "rank", c->rank);
    }
}

static void put_objective(struct bp_json_out *out, const struct bp_table *t)
{
    bp_json_out_object(out);
    bp_json_put_string(out, out->root, "weighting", t->about.weighting);
    bp_json_put_string(out, out->root, "source", t->about.weighting_source);
    bp_json_put_string(out, out->root, "fingerprint", t->about.weighting_fingerprint);
}

static void put_model(struct bp_json_out *out, const struct bp_table *t)
{
    bp_json_out_object(out);
    bp_json_put_string(out, out->root, "name", t->about.model_name);
    bp_json_put_string(out, out->root, "fingerprint", t->about.model_fingerprint);
    bp_json_put_u64(out, out->root, "params", t->about.params);
    bp_json_put_u64(out, out->root, "params_outside", t->about.params_outside);
    bp_json_put_u64(out, out->root, "bytes_outside", t->about.bytes_outside);
    bp_json_put_bool(out, out->root, "synthetic", t->about.synthetic);
}

static void put_method(struct bp_json_out *out, const struct bp_table *t)
{
    bp_json_out_object(out);
    bp_json_put_string(out, out->root, "effort", t->about.effort);
    if (t->about.on_cuda)
        bp_json_put_string(out, out->root, "backend", "cuda");
    bp_json_put_u64(out, out->root, "iterations", t->about.iterations);
    bp_json_put_u64(out, out->root, "oversampling", t->about.oversampling);
    bp_json_put_u64(out, out->root, "power_iterations", t->about.power_iterations);
    bp_json_put_u64(out, out->root, "seed", t->about.seed);
    bp_json_put_string(out, out->root, "stop", "first strict rise");
    bp_json_put_u64(out, out->root, "version", t->about.method_version);
}

typedef void put_fn(struct bp_json_out *out, const struct bp_table *t);

static const struct {
    const char *key;
    put_fn *put; /* NULL: `text` as it is */
    const char *text;
} parts[BP_TABLE_META_PAIRS] = {
    {"format", NULL, BP_TABLE_FORMAT},  {"version", NULL, BP_TABLE_VERSION},
    {"matrices", put_matrices, NULL},   {"candidates", put_candidates, NULL},
    {"objective", put_objective, NULL}, {"model", put_model, NULL},
    {"method", put_method, NULL},
};

enum bp_status bp_table_meta_build(const struct bp_table *table,
                                   struct bp_st_pair pairs[BP_TABLE_META_PAIRS], struct bp_err *err)
{
    memset(pairs, 0, BP_TABLE_META_PAIRS * sizeof *pairs);
    for (int i = 0; i < BP_TABLE_META_PAIRS; i++) {
        pairs[i].key = bp_strdup(parts[i].key);
        if (parts[i].put) {
            struct bp_json_out out;
            parts[i].put(&out, table);
            pairs[i].value = bp_json_print(&out, false);
            bp_json_out_done(&out);
        } else {
            pairs[i].value = bp_strdup(parts[i].text);
        }
        if (!pairs[i].key || !pairs[i].value) {
            bp_table_meta_done(pairs);
            return bp_fail_nomem(err);
        }
    }
    return BP_OK;
}

void bp_table_meta_done(struct bp_st_pair pairs[BP_TABLE_META_PAIRS])
{
    for (int i = 0; i < BP_TABLE_META_PAIRS; i++) {
        free(pairs[i].key);
        free(pairs[i].value);
    }
}

/* --- reading --- */

/* Of all matrices together: what a number in JSON holds exactly. Totals of a plan do not overflow
 * then. */
static const uint64_t MAX_PARAMS = UINT64_C(1) << 53;

/* Parses one part; *out stays NULL when the table has none and need not. */
static enum bp_status part_of(const struct bp_st *st, const char *key, bool required,
                              struct cJSON **out, struct bp_err *err)
{
    *out = NULL;
    const char *text = bp_st_metadata(st, key);
    if (!text)
        return required
                   ? bp_fail(err, BP_ERR_INPUT,
                             "%s: not a bitplan table: its metadata has no \"%s\"", st->path, key)
                   : BP_OK;
    char *label = bp_format("%s: metadata \"%s\"", st->path, key);
    if (!label)
        return bp_fail_nomem(err);
    enum bp_status status = bp_json_read_text(text, strlen(text), label, out, err);
    free(label);
    return status;
}

static enum bp_status keep_string(char **slot, const char *text, struct bp_err *err)
{
    *slot = bp_strdup(text ? text : "");
    return *slot ? BP_OK : bp_fail_nomem(err);
}

/* Layer and kind as the table says, or as the name says when the table is silent. */
static enum bp_status matrix_labels(const struct cJSON *node, struct bp_table_matrix *m,
                                    struct bp_err *err)
{
    struct bp_tensor_role role;
    uint64_t layer, shape[2] = {m->d, m->k};
    bp_tensor_classify(m->name, BP_DTYPE_F32, 2, shape, &role);
    m->layer = role.layer;
    if (bp_json_u64(bp_json_member(node, "layer"), &layer) && layer <= INT_MAX)
        m->layer = (int)layer;
    const char *kind = bp_json_string(bp_json_member(node, "kind"));
    BP_TRY(keep_string(&m->kind, kind ? kind : role.kind, err));
    return keep_string(&m->dtype, bp_json_string(bp_json_member(node, "dtype")), err);
}

static enum bp_status parse_matrix(const struct cJSON *node, const char *path, size_t i,
                                   struct bp_table_matrix *m, struct bp_err *err)
{
    const char *name = bp_json_string(bp_json_member(node, "name"));
    const struct cJSON *shape = bp_json_member(node, "shape");
    const struct cJSON *d = bp_json_first(shape);
    if (!name || !*name)
        return bp_fail(err, BP_ERR_INPUT, "%s: matrix %zu has no name", path, i);
    BP_TRY(keep_string(&m->name, name, err));
    if (!bp_json_is_array(shape) || bp_json_count(shape) != 2 || !bp_json_u64(d, &m->d) ||
        !bp_json_u64(bp_json_next(d), &m->k) || m->d == 0 || m->k == 0 || m->d > INT_MAX ||
        m->k > INT_MAX)
        return bp_fail(err, BP_ERR_INPUT, "%s: matrix %s has no shape of two positive sizes", path,
                       bp_printable(name).text);
    return matrix_labels(node, m, err);
}

static enum bp_status parse_matrices(const struct cJSON *root, struct bp_table *t,
                                     struct bp_err *err)
{
    size_t n = bp_json_count(root), i = 0;
    uint64_t params = 0;
    if (!bp_json_is_array(root) || n == 0)
        return bp_fail(err, BP_ERR_INPUT, "%s: its metadata lists no matrices", t->path);
    t->matrices = bp_alloc_zero(n, sizeof *t->matrices);
    if (!t->matrices)
        return bp_fail_nomem(err);
    t->n_matrices = n;
    for (const struct cJSON *node = bp_json_first(root); node; node = bp_json_next(node), i++) {
        BP_TRY(parse_matrix(node, t->path, i, &t->matrices[i], err));
        params += t->matrices[i].d * t->matrices[i].k; /* 2^53 + 2^62 at most */
        if (params > MAX_PARAMS)
            return bp_fail(err, BP_ERR_INPUT,
                           "%s: its matrices hold more than 2^53 parameters together", t->path);
    }
    return BP_OK;
}

static enum bp_status parse_candidate(const struct cJSON *node, const char *path, size_t i,
                                      struct bp_candidate *c, struct bp_err *err)
{
    uint64_t b0, b1, B0, B1, rank = 0;
    enum bp_scale_type b2;
    const char *label = bp_json_string(bp_json_member(node, "label"));
    const char *scale = bp_json_string(bp_json_member(node, "b2"));
    const struct cJSON *rank_node = bp_json_member(node, "rank");
    *c = (struct bp_candidate){0};
    if (label && *label && strlen(label) < sizeof c->label && !bp_json_member(node, "b0")) {
        c->foreign = true;
        strcpy(c->label, label);
        return BP_OK;
    }
    if (!bp_json_u64(bp_json_member(node, "b0"), &b0) ||
        !bp_json_u64(bp_json_member(node, "b1"), &b1) || !scale ||
        !bp_scale_type_parse(scale, &b2) || !bp_json_u64(bp_json_member(node, "B0"), &B0) ||
        !bp_json_u64(bp_json_member(node, "B1"), &B1) || b0 > 8 || b1 > 8 || B0 > BP_MAX_BLOCK ||
        B1 > BP_MAX_BLOCK || (rank_node && !bp_json_u64(rank_node, &rank)) || rank > UINT16_MAX)
        return bp_fail(err, BP_ERR_INPUT,
                       "%s: candidate %zu has neither a label nor b0, b1, b2, B0, B1 of a config",
                       path, i);
    c->config =
        (struct bp_config){(uint8_t)b0, (uint8_t)b1, (uint8_t)b2, (uint32_t)B0, (uint32_t)B1};
    c->rank = (uint32_t)rank;
    if (!bp_config_valid(&c->config))
        return bp_fail(err, BP_ERR_INPUT, "%s: candidate %zu is no valid config", path, i);
    return BP_OK;
}

static enum bp_status parse_candidates(const struct cJSON *root, struct bp_table *t,
                                       struct bp_err *err)
{
    size_t n = bp_json_count(root), i = 0;
    if (!bp_json_is_array(root) || n == 0 || n > BP_MAX_CANDIDATES)
        return bp_fail(err, BP_ERR_INPUT, "%s: its metadata lists no candidates, or more than %d",
                       t->path, BP_MAX_CANDIDATES);
    t->candidates = bp_alloc_zero(n, sizeof *t->candidates);
    if (!t->candidates)
        return bp_fail_nomem(err);
    t->n_candidates = n;
    for (const struct cJSON *node = bp_json_first(root); node; node = bp_json_next(node), i++) {
        char text[BP_CANDIDATE_TEXT];
        BP_TRY(parse_candidate(node, t->path, i, &t->candidates[i], err));
        for (size_t j = 0; j < i; j++)
            if (bp_candidate_equal(&t->candidates[j], &t->candidates[i]))
                return bp_fail(err, BP_ERR_INPUT, "%s: candidate %s stands there twice", t->path,
                               bp_printable(bp_candidate_format(&t->candidates[i], text)).text);
    }
    return BP_OK;
}

static uint64_t u64_or_zero(const struct cJSON *node, const char *key)
{
    uint64_t value = 0;
    bp_json_u64(bp_json_member(node, key), &value);
    return value;
}

/* The parts that a table may lack: what is not said stays "" and 0. */
static enum bp_status parse_about(const struct cJSON *objective, const struct cJSON *model,
                                  const struct cJSON *method, struct bp_table_about *a,
                                  struct bp_err *err)
{
    const char *weighting = bp_json_string(bp_json_member(objective, "weighting"));
    BP_TRY(keep_string(&a->weighting, weighting ? weighting : "none", err));
    BP_TRY(keep_string(&a->weighting_source, bp_json_string(bp_json_member(objective, "source")),
                       err));
    BP_TRY(keep_string(&a->weighting_fingerprint,
                       bp_json_string(bp_json_member(objective, "fingerprint")), err));
    BP_TRY(keep_string(&a->model_name, bp_json_string(bp_json_member(model, "name")), err));
    BP_TRY(keep_string(&a->model_fingerprint, bp_json_string(bp_json_member(model, "fingerprint")),
                       err));
    BP_TRY(keep_string(&a->effort, bp_json_string(bp_json_member(method, "effort")), err));
    const char *backend = bp_json_string(bp_json_member(method, "backend"));
    a->on_cuda = backend && strcmp(backend, "cuda") == 0;
    a->params = u64_or_zero(model, "params");
    a->params_outside = u64_or_zero(model, "params_outside");
    a->bytes_outside = u64_or_zero(model, "bytes_outside");
    bp_json_bool(bp_json_member(model, "synthetic"), &a->synthetic);
    a->iterations = u64_or_zero(method, "iterations");
    a->oversampling = u64_or_zero(method, "oversampling");
    a->power_iterations = u64_or_zero(method, "power_iterations");
    a->seed = u64_or_zero(method, "seed");
    a->method_version = u64_or_zero(method, "version");
    return BP_OK;
}

static enum bp_status check_version(const struct bp_st *st, struct bp_err *err)
{
    const char *format = bp_st_metadata(st, "format"), *version = bp_st_metadata(st, "version");
    if (format && strcmp(format, BP_TABLE_FORMAT) == 0 && version &&
        strcmp(version, BP_TABLE_VERSION) != 0)
        return bp_fail(err, BP_ERR_INPUT,
                       "%s: a table of version %s; this bitplan reads version " BP_TABLE_VERSION,
                       st->path, bp_printable(version).text);
    return BP_OK;
}

enum bp_status bp_table_meta_parse(const struct bp_st *st, struct bp_table *table,
                                   struct bp_err *err)
{
    struct cJSON *matrices = NULL, *candidates = NULL;
    struct cJSON *objective = NULL, *model = NULL, *method = NULL;
    enum bp_status status = check_version(st, err);
    if (status == BP_OK)
        status = part_of(st, "matrices", true, &matrices, err);
    if (status == BP_OK)
        status = part_of(st, "candidates", true, &candidates, err);
    if (status == BP_OK)
        status = part_of(st, "objective", false, &objective, err);
    if (status == BP_OK)
        status = part_of(st, "model", false, &model, err);
    if (status == BP_OK)
        status = part_of(st, "method", false, &method, err);
    if (status == BP_OK)
        status = parse_matrices(matrices, table, err);
    if (status == BP_OK)
        status = parse_candidates(candidates, table, err);
    if (status == BP_OK)
        status = parse_about(objective, model, method, &table->about, err);
    bp_json_free(matrices);
    bp_json_free(candidates);
    bp_json_free(objective);
    bp_json_free(model);
    bp_json_free(method);
    return status;
}
