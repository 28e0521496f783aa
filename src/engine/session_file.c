/* Writing a session, and telling what a file is that the workbench can open. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/file_out.h"
#include "engine/json_lex.h"
#include "engine/json_read.h"
#include "engine/json_write.h"
#include "engine/low_rank.h"
#include "engine/mem.h"
#include "engine/printable.h"
#include "engine/session_read.h"

/* --- the table's path --- */

/* The folder of a path, as the system knows it, and "/" behind; what is not there stays as it is
 * spelled, below the working folder. On the heap, NULL when out of memory. */
static char *folder_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *given = slash ? bp_strndup(path, (size_t)(slash - path) + 1) : bp_strdup("./");
    char *real = given ? realpath(given, NULL) : NULL;
    char *folder = NULL;
    if (real)
        folder = bp_format("%s%s", real, strcmp(real, "/") == 0 ? "" : "/");
    else if (given && given[0] == '/')
        folder = bp_strdup(given);
    else if (given && (real = getcwd(NULL, 0)))
        folder = bp_format("%s/%s", real, given);
    else if (given && errno != ENOMEM) /* the working folder itself is gone */
        folder = bp_strdup(given);
    free(given);
    free(real);
    return folder;
}

/* How a session at `path` (NULL: nowhere) names its table. Links are followed up to the folders
 * alone: a table that is a link beside its session stays beside it. */
static char *name_table(const char *table_path, const char *path)
{
    if (!*table_path)
        return bp_strdup("");
    const char *slash = strrchr(table_path, '/');
    const char *last = slash ? slash + 1 : table_path;
    char *folder = folder_of(table_path), *home = path ? folder_of(path) : NULL, *name = NULL;
    if (folder && (home || !path)) {
        const size_t n = home ? strlen(home) : 0;
        const bool below = home && strncmp(folder, home, n) == 0;
        name = bp_format("%s%s", folder + (below ? n : 0), last);
    }
    free(folder);
    free(home);
    return name;
}

/* --- the text --- */

static void put_constraints(struct bp_json_out *out, struct cJSON *parent,
                            const struct bp_constraints *c)
{
    struct cJSON *list = bp_json_put_array(out, parent, "constraints");
    for (size_t i = 0; i < c->n; i++) {
        struct cJSON *node = bp_json_put_object(out, list, NULL);
        bp_json_put_string(out, node, "option", bp_constraint_option(c->list[i].kind));
        bp_json_put_string(out, node, "value", c->list[i].value);
    }
}

static void put_bookmark(struct bp_json_out *out, struct cJSON *list, const struct bp_bookmark *b)
{
    struct cJSON *node = bp_json_put_object(out, list, NULL);
    bp_json_put_string(out, node, "name", b->name);
    struct cJSON *budget = bp_json_put_object(out, node, "budget");
    bp_json_put_double(out, budget, "asked", b->budget.asked);
    bp_json_put_string(out, budget, "unit", bp_budget_unit_name(b->budget.unit));
    bp_json_put_u64(out, budget, "bits", b->budget.bits);
    if (b->budget.unit == BP_BUDGET_TOTAL_BYTES) {
        bp_json_put_u64(out, budget, "context", b->budget.context);
        bp_json_put_u64(out, budget, "batch", b->budget.batch);
        bp_json_put_u64(out, budget, "kv_bits", b->budget.kv_bits);
    }
    if (bp_budget_precision(&b->budget) != BP_LOW_RANK_STANDARD)
        bp_json_put_u64(out, budget, "low_rank_bits", b->budget.low_rank_bits);
    put_constraints(out, node, &b->constraints);
    bp_json_put_u64(out, node, "storage_bits", b->storage_bits);
    bp_json_put_double(out, node, "error", b->error);
    bp_json_put_bool(out, node, "optimal", b->optimal);
    struct cJSON *choice = bp_json_put_array(out, node, "choice");
    for (size_t i = 0; i < b->n_choice; i++)
        bp_json_put_u64(out, choice, NULL, b->choice[i]);
}

static void put_table(struct bp_json_out *out, const struct bp_session *s, const char *path)
{
    char *name = name_table(s->table_path, path);
    struct cJSON *table = bp_json_put_object(out, out->root, "table");
    out->failed |= !name; /* no memory, which a null would hide */
    bp_json_put_string(out, table, "path", name);
    bp_json_put_string(out, table, "fingerprint", s->table_fingerprint);
    free(name);
}

static void put_session(struct bp_json_out *out, const struct bp_session *s, const char *path)
{
    bp_json_put_string(out, out->root, "format", BP_SESSION_FORMAT);
    bp_json_put_u64(out, out->root, "version", BP_SESSION_VERSION);
    put_table(out, s, path);
    if (s->budget.asked > 0.0) {
        struct cJSON *budget = bp_json_put_object(out, out->root, "budget");
        bp_json_put_double(out, budget, "asked", s->budget.asked);
        bp_json_put_string(out, budget, "unit", bp_budget_unit_name(s->budget.unit));
    } else {
        bp_json_put_null(out, out->root, "budget");
    }
    put_constraints(out, out->root, &s->constraints);
    struct cJSON *memory = bp_json_put_object(out, out->root, "memory");
#define PUT_SETTING(field, key, least, most, standard) \
    bp_json_put_u64(out, memory, key, s->memory.field);
    BP_MEMORY_SETTINGS(PUT_SETTING)
#undef PUT_SETTING
    struct cJSON *bookmarks = bp_json_put_array(out, out->root, "bookmarks");
    for (size_t i = 0; i < s->n_bookmarks; i++)
        put_bookmark(out, bookmarks, &s->bookmarks[i]);
    struct cJSON *view = bp_json_put_object(out, out->root, "view");
    for (size_t i = 0; i < s->n_view; i++)
        bp_json_put_string(out, view, s->view[i].key, s->view[i].value);
}

char *bp_session_text(const struct bp_session *session, const char *path)
{
    struct bp_json_out out;
    bp_json_out_object(&out);
    put_session(&out, session, path);
    char *text = bp_json_print(&out, true);
    bp_json_out_done(&out);
    return text;
}

enum bp_status bp_session_save(const struct bp_session *session, const char *path, bool replace,
                               struct bp_err *err)
{
    char *text = bp_session_text(session, path);
    if (!text)
        return bp_fail_nomem(err);
    enum bp_status status =
        bp_utf8_valid(text)
            ? bp_file_write(path, text, strlen(text), replace, err)
            : bp_fail(err, BP_ERR_INPUT,
                      "%s: the path of its table '%s' is not UTF-8: a session cannot name it", path,
                      bp_printable(session->table_path).text);
    free(text);
    return status;
}

/* --- what a file is --- */

static enum bp_status open_json(const char *path, struct bp_session *session, enum bp_opened *what,
                                struct bp_err *err)
{
    struct cJSON *root;
    BP_TRY(bp_json_read_file(path, &root, err));
    const struct cJSON *plan = bp_json_is_array(root) ? bp_json_first(root) : root;
    const char *own = bp_json_string(bp_json_member(root, "format"));
    const char *planned = bp_json_string(bp_json_member(plan, "format"));
    enum bp_status status;
    if (own && strcmp(own, BP_SESSION_FORMAT) == 0) {
        *what = BP_OPENED_SESSION;
        status = bp_session_read(root, path, session, err);
    } else if (planned && strcmp(planned, "bitplan.plan") == 0) {
        *what = BP_OPENED_PLAN;
        status = bp_session_read_plan(plan, path, session, err);
    } else {
        status = bp_fail(err, BP_ERR_INPUT, "%s: JSON, but neither a session nor a plan", path);
    }
    bp_json_free(root);
    return status;
}

enum bp_status bp_session_open(const char *path, struct bp_session *session, enum bp_opened *what,
                               struct bp_err *err)
{
    struct stat st;
    bool json = false, table = false;
    *session = (struct bp_session){0};
    if (stat(path, &st) != 0)
        return bp_fail(err, BP_ERR_INPUT, "%s: %s", path, strerror(errno));
    if (S_ISREG(st.st_mode))
        BP_TRY(bp_json_looks_like(path, &json, err));
    if (json)
        return open_json(path, session, what, err);
    if (S_ISREG(st.st_mode))
        BP_TRY(bp_table_looks_like(path, &table, err));
    *what = table ? BP_OPENED_TABLE : BP_OPENED_MODEL;
    return bp_session_init(session, table ? path : "", err);
}
