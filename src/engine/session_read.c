#include "engine/session_read.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/json_read.h"
#include "engine/low_rank.h"
#include "engine/mem.h"
#include "engine/printable.h"

/* A sentence such as "s.json: bookmarks[2]: budget: "asked" must be ..." comes about piece by
 * piece: who reads a part puts its name in front of what was said of it. */

/* --- members --- */

/* Puts the name of the member that was read in front of what is wrong with it. */
static enum bp_status in_member(enum bp_status status, const char *name, struct bp_err *err)
{
    return status == BP_OK || status == BP_ERR_NOMEM ? status : bp_fail_in(err, status, "%s", name);
}

/* `known` ends with NULL. */
static enum bp_status check_members(const struct cJSON *node, const char *const *known,
                                    struct bp_err *err)
{
    if (!bp_json_is_object(node))
        return bp_fail(err, BP_ERR_INPUT, "must be an object");
    for (const struct cJSON *m = bp_json_first(node); m; m = bp_json_next(m)) {
        size_t i = 0;
        while (known[i] && strcmp(known[i], bp_json_key(m)) != 0)
            i++;
        if (!known[i])
            return bp_fail(err, BP_ERR_INPUT, "\"%s\" is nothing that this bitplan knows",
                           bp_printable(bp_json_key(m)).text);
    }
    return BP_OK;
}

static enum bp_status need_list(const struct cJSON *node, const char *name, struct bp_err *err)
{
    return bp_json_is_array(node) ? BP_OK
                                  : bp_fail(err, BP_ERR_INPUT, "\"%s\" must be a list", name);
}

/* A whole number below 2^53, which is what doubles tell apart. */
static enum bp_status need_whole(const struct cJSON *object, const char *key, uint64_t *out,
                                 struct bp_err *err)
{
    return bp_json_u64(bp_json_member(object, key), out) && *out <= BP_SESSION_MAX_INTEGER
               ? BP_OK
               : bp_fail(err, BP_ERR_INPUT, "\"%s\" must be a whole number below 2^53", key);
}

/* --- parts that sessions and plans share --- */

static enum bp_status read_asked(const struct cJSON *node, struct bp_budget *out,
                                 struct bp_err *err)
{
    static const enum bp_budget_unit units[] = {BP_BUDGET_BITS_PER_PARAM, BP_BUDGET_BYTES,
                                                BP_BUDGET_TOTAL_BYTES};
    const char *unit = bp_json_string(bp_json_member(node, "unit"));
    *out = (struct bp_budget){0};
    if (!bp_json_double(bp_json_member(node, "asked"), &out->asked) || !(out->asked > 0.0))
        return bp_fail(err, BP_ERR_INPUT, "\"asked\" must be a number above 0");
    for (size_t i = 0; unit && i < sizeof units / sizeof *units; i++)
        if (strcmp(unit, bp_budget_unit_name(units[i])) == 0) {
            out->unit = units[i];
            return BP_OK;
        }
    return bp_fail(err, BP_ERR_INPUT, "\"unit\" must be \"%s\", \"%s\" or \"%s\"",
                   bp_budget_unit_name(units[0]), bp_budget_unit_name(units[1]),
                   bp_budget_unit_name(units[2]));
}

/* What total bytes are to hold beside the matrices. */
static enum bp_status read_beside(const struct cJSON *node, struct bp_budget *out,
                                  struct bp_err *err)
{
    if (out->unit != BP_BUDGET_TOTAL_BYTES)
        return BP_OK;
    BP_TRY(need_whole(node, "context", &out->context, err));
    BP_TRY(need_whole(node, "batch", &out->batch, err));
    return need_whole(node, "kv_bits", &out->kv_bits, err);
}

/* The precision of the low-rank parts, the standard one where it is not said. */
static enum bp_status read_precision(const struct cJSON *node, struct bp_budget *out,
                                     struct bp_err *err)
{
    uint64_t precision = BP_LOW_RANK_STANDARD;
    if (bp_json_member(node, "low_rank_bits"))
        BP_TRY(need_whole(node, "low_rank_bits", &precision, err));
    if (!bp_low_rank_precision_valid(precision))
        return bp_fail(err, BP_ERR_INPUT, "\"low_rank_bits\" must be 8, 16 or 32");
    out->low_rank_bits = (unsigned)precision;
    return BP_OK;
}

static enum bp_status read_constraints(const struct cJSON *list, struct bp_constraints *out,
                                       struct bp_err *err)
{
    static const char *const known[] = {"option", "value", NULL};
    size_t i = 0;
    BP_TRY(need_list(list, "constraints", err));
    for (const struct cJSON *node = bp_json_first(list); node; node = bp_json_next(node), i++) {
        const char *option = bp_json_string(bp_json_member(node, "option"));
        const char *value = bp_json_string(bp_json_member(node, "value"));
        enum bp_status status = check_members(node, known, err);
        if (status == BP_OK)
            status = option && value
                         ? bp_constraints_add_option(out, option, value, err)
                         : bp_fail(err, BP_ERR_INPUT, "\"option\" and \"value\" must be strings");
        if (status != BP_OK)
            return bp_fail_in(err, status, "constraints[%zu]", i);
    }
    return BP_OK;
}

/* The order that a session keeps: by kind, and as they came within a kind. */
static enum bp_status sort_constraints(struct bp_constraints *c, struct bp_err *err)
{
    struct bp_constraint *sorted = bp_alloc(c->n, sizeof *sorted);
    size_t n = 0;
    if (!sorted)
        return bp_fail_nomem(err);
    for (int kind = 0; kind < BP_N_CONSTRAINT_KINDS; kind++)
        for (size_t i = 0; i < c->n; i++)
            if ((int)c->list[i].kind == kind)
                sorted[n++] = c->list[i];
    free(c->list);
    c->list = sorted;
    return BP_OK;
}

/* The path of a file that `named`, out of the file at `path`, means: taken from that file's folder,
 * or, where working_folder_first, as it is if that exists. */
static enum bp_status find_table(const char *named, const char *path, bool working_folder_first,
                                 char **out, struct bp_err *err)
{
    const char *slash = strrchr(path, '/');
    const bool as_it_is =
        named[0] == '/' || !*named || (working_folder_first && access(named, F_OK) == 0) || !slash;
    char *found =
        as_it_is ? bp_strdup(named) : bp_format("%.*s%s", (int)(slash + 1 - path), path, named);
    if (!found)
        return bp_fail_nomem(err);
    if (*found && access(found, F_OK) != 0) {
        enum bp_status status =
            bp_fail(err, BP_ERR_INPUT, "the table %s is not there", bp_printable(found).text);
        free(found);
        return status;
    }
    free(*out);
    *out = found;
    return BP_OK;
}

static enum bp_status read_table(const struct cJSON *node, const char *path,
                                 bool working_folder_first, struct bp_session *session,
                                 struct bp_err *err)
{
    const char *name = bp_json_string(bp_json_member(node, "path"));
    const struct cJSON *member = bp_json_member(node, "fingerprint");
    const char *fingerprint = member ? bp_json_string(member) : "";
    if (!name || !fingerprint)
        return bp_fail(err, BP_ERR_INPUT, "\"path\" and \"fingerprint\" must be strings");
    BP_TRY(find_table(name, path, working_folder_first, &session->table_path, err));
    char *copy = bp_strdup(fingerprint);
    if (!copy)
        return bp_fail_nomem(err);
    free(session->table_fingerprint);
    session->table_fingerprint = copy;
    return BP_OK;
}

/* --- a session's parts --- */

static enum bp_status read_own_table(const struct cJSON *node, const char *path,
                                     struct bp_session *session, struct bp_err *err)
{
    static const char *const known[] = {"path", "fingerprint", NULL};
    BP_TRY(check_members(node, known, err));
    return read_table(node, path, false, session, err);
}

static enum bp_status read_own_budget(const struct cJSON *node, struct bp_budget *out,
                                      struct bp_err *err)
{
    static const char *const known[] = {"asked", "unit", NULL};
    if (bp_json_is_null(node))
        return BP_OK;
    BP_TRY(check_members(node, known, err));
    return read_asked(node, out, err);
}

static enum bp_status read_memory(const struct cJSON *node, struct bp_memory_settings *out,
                                  struct bp_err *err)
{
    static const char *const known[] = {
#define SETTING_KEY(field, key, least, most, standard) key,
        BP_MEMORY_SETTINGS(SETTING_KEY)
#undef SETTING_KEY
            NULL};
    BP_TRY(check_members(node, known, err));
#define READ_SETTING(field, key, least, most, standard) \
    if (bp_json_member(node, key))                      \
        BP_TRY(need_whole(node, key, &out->field, err));
    BP_MEMORY_SETTINGS(READ_SETTING)
#undef READ_SETTING
    enum bp_status status = bp_memory_settings_check(out, err);
    return status == BP_ERR_USAGE ? BP_ERR_INPUT : status;
}

static enum bp_status read_choice(const struct cJSON *list, struct bp_bookmark *out,
                                  struct bp_err *err)
{
    uint64_t value;
    BP_TRY(need_list(list, "choice", err));
    out->choice = bp_alloc(bp_json_count(list), sizeof *out->choice);
    if (!out->choice)
        return bp_fail_nomem(err);
    for (const struct cJSON *node = bp_json_first(list); node; node = bp_json_next(node)) {
        if (!bp_json_u64(node, &value) || value >= BP_MAX_CANDIDATES)
            return bp_fail(err, BP_ERR_INPUT,
                           "choice[%zu] must be the number of a candidate, below %d", out->n_choice,
                           (int)BP_MAX_CANDIDATES);
        out->choice[out->n_choice++] = (uint32_t)value;
    }
    return BP_OK;
}

static enum bp_status read_bookmark_budget(const struct cJSON *node, struct bp_budget *out,
                                           struct bp_err *err)
{
    static const char *const plain[] = {"asked", "unit", "bits", "low_rank_bits", NULL};
    static const char *const total[] = {"asked", "unit",    "bits",          "context",
                                        "batch", "kv_bits", "low_rank_bits", NULL};
    BP_TRY(read_asked(node, out, err));
    BP_TRY(check_members(node, out->unit == BP_BUDGET_TOTAL_BYTES ? total : plain, err));
    BP_TRY(need_whole(node, "bits", &out->bits, err));
    BP_TRY(read_precision(node, out, err));
    return read_beside(node, out, err);
}

static enum bp_status read_bookmark(const struct cJSON *node, struct bp_bookmark *out,
                                    struct bp_err *err)
{
    static const char *const known[] = {"name",         "budget", "constraints", "choice",
                                        "storage_bits", "error",  "optimal",     NULL};
    BP_TRY(check_members(node, known, err));
    const char *name = bp_json_string(bp_json_member(node, "name"));
    if (!name)
        return bp_fail(err, BP_ERR_INPUT, "\"name\" must be a string");
    out->name = bp_strdup(name);
    if (!out->name)
        return bp_fail_nomem(err);
    BP_TRY(in_member(read_bookmark_budget(bp_json_member(node, "budget"), &out->budget, err),
                     "budget", err));
    BP_TRY(read_constraints(bp_json_member(node, "constraints"), &out->constraints, err));
    BP_TRY(read_choice(bp_json_member(node, "choice"), out, err));
    BP_TRY(need_whole(node, "storage_bits", &out->storage_bits, err));
    if (!bp_json_double(bp_json_member(node, "error"), &out->error))
        return bp_fail(err, BP_ERR_INPUT, "\"error\" must be a number");
    if (!bp_json_bool(bp_json_member(node, "optimal"), &out->optimal))
        return bp_fail(err, BP_ERR_INPUT, "\"optimal\" must be true or false");
    return BP_OK;
}

/* Bookmarks come in as edits do, so that what a file holds is held to the same rules. */
static enum bp_status read_bookmarks(const struct cJSON *list, struct bp_session *session,
                                     struct bp_err *err)
{
    size_t i = 0;
    BP_TRY(need_list(list, "bookmarks", err));
    for (const struct cJSON *node = bp_json_first(list); node; node = bp_json_next(node), i++) {
        struct bp_edit add = {.kind = BP_EDIT_ADD_BOOKMARK, .index = BP_EDIT_LAST};
        struct bp_edit inverse = {0};
        enum bp_status status = read_bookmark(node, &add.bookmark, err);
        if (status == BP_OK)
            status = bp_session_apply(session, &add, &inverse, err);
        bp_edit_done(&add);
        bp_edit_done(&inverse);
        if (status == BP_ERR_USAGE)
            status = BP_ERR_INPUT;
        if (status != BP_OK)
            return bp_fail_in(err, status, "bookmarks[%zu]", i);
    }
    return BP_OK;
}

/* The reader of JSON has refused a key that is there twice. */
static enum bp_status read_view(const struct cJSON *object, struct bp_session *session,
                                struct bp_err *err)
{
    if (!bp_json_is_object(object))
        return bp_fail(err, BP_ERR_INPUT, "must be an object");
    session->view = bp_alloc_zero(bp_json_count(object), sizeof *session->view);
    if (!session->view)
        return bp_fail_nomem(err);
    for (const struct cJSON *node = bp_json_first(object); node; node = bp_json_next(node)) {
        const char *key = bp_json_key(node), *value = bp_json_string(node);
        if (!value)
            return bp_fail(err, BP_ERR_INPUT, "\"%s\" must be a string", bp_printable(key).text);
        struct bp_view_word *word = &session->view[session->n_view++];
        *word = (struct bp_view_word){bp_strdup(key), bp_strdup(value)};
        if (!word->key || !word->value)
            return bp_fail_nomem(err);
    }
    return BP_OK;
}

static enum bp_status check_version(const struct cJSON *root, const char *what, uint64_t ours,
                                    struct bp_err *err)
{
    uint64_t version;
    BP_TRY(need_whole(root, "version", &version, err));
    if (version > ours)
        return bp_fail(err, BP_ERR_INPUT,
                       "a %s of version %" PRIu64 ", written by a newer bitplan; this one reads "
                       "version %" PRIu64,
                       what, version, ours);
    return version == ours
               ? BP_OK
               : bp_fail(err, BP_ERR_INPUT, "there is no %s of version %" PRIu64, what, version);
}

static enum bp_status read_session(const struct cJSON *root, const char *path,
                                   struct bp_session *session, struct bp_err *err)
{
    static const char *const known[] = {"format", "version",   "table", "budget", "constraints",
                                        "memory", "bookmarks", "view",  NULL};
    const struct cJSON *node;
    BP_TRY(check_version(root, "session", BP_SESSION_VERSION, err));
    BP_TRY(check_members(root, known, err));
    node = bp_json_member(root, "table");
    BP_TRY(in_member(read_own_table(node, path, session, err), "table", err));
    if ((node = bp_json_member(root, "budget")))
        BP_TRY(in_member(read_own_budget(node, &session->budget, err), "budget", err));
    if ((node = bp_json_member(root, "constraints")))
        BP_TRY(read_constraints(node, &session->constraints, err));
    BP_TRY(sort_constraints(&session->constraints, err));
    if ((node = bp_json_member(root, "memory")))
        BP_TRY(in_member(read_memory(node, &session->memory, err), "memory", err));
    if ((node = bp_json_member(root, "bookmarks")))
        BP_TRY(read_bookmarks(node, session, err));
    if ((node = bp_json_member(root, "view")))
        BP_TRY(in_member(read_view(node, session, err), "view", err));
    return BP_OK;
}

static enum bp_status read_plan(const struct cJSON *plan, const char *path,
                                struct bp_session *session, struct bp_err *err)
{
    const struct cJSON *budget = bp_json_member(plan, "budget");
    struct bp_memory_settings *memory = &session->memory;
    BP_TRY(check_version(plan, "plan", 1, err));
    BP_TRY(in_member(read_table(bp_json_member(plan, "table"), path, true, session, err), "table",
                     err));
    BP_TRY(in_member(read_asked(budget, &session->budget, err), "budget", err));
    BP_TRY(in_member(read_beside(budget, &session->budget, err), "budget", err));
    BP_TRY(in_member(read_precision(bp_json_member(plan, "memory"), &session->budget, err),
                     "memory", err));
    memory->low_rank_bits = session->budget.low_rank_bits;
    BP_TRY(read_constraints(bp_json_member(plan, "constraints"), &session->constraints, err));
    BP_TRY(sort_constraints(&session->constraints, err));
    if (session->budget.unit == BP_BUDGET_TOTAL_BYTES) {
        /* The workbench's settings are then the ones that the plan was made for. */
        memory->context = session->budget.context;
        memory->batch = session->budget.batch;
        memory->kv_bits = session->budget.kv_bits;
    }
    return bp_memory_settings_check(memory, err) == BP_OK ? BP_OK
                                                          : bp_fail_in(err, BP_ERR_INPUT, "budget");
}

/* --- both --- */

static enum bp_status finish(enum bp_status status, const char *path, struct bp_session *session,
                             struct bp_err *err)
{
    if (status == BP_OK)
        return BP_OK;
    bp_session_done(session);
    return status == BP_ERR_NOMEM ? status : bp_fail_in(err, status, "%s", path);
}

enum bp_status bp_session_read(const struct cJSON *root, const char *path,
                               struct bp_session *session, struct bp_err *err)
{
    BP_TRY(bp_session_init(session, "", err));
    return finish(read_session(root, path, session, err), path, session, err);
}

enum bp_status bp_session_read_plan(const struct cJSON *plan, const char *path,
                                    struct bp_session *session, struct bp_err *err)
{
    BP_TRY(bp_session_init(session, "", err));
    return finish(read_plan(plan, path, session, err), path, session, err);
}
