/*
 * The session: the one document of the workbench. Everything that a person decides (budget,
 * constraints with the grid among them, memory settings, bookmarked plans) is in it, and every
 * change is an edit, applied by one function that returns its inverse; undo is the list of
 * inverses. Saving a session is writing the document (docs/formats.md): saved, opened and saved
 * again it is equal byte for byte.
 *
 * What a person looks at (cursor, panel, metric) is carried along as words and is no part of undo.
 *
 * Strings and lists belong to the struct that holds them. One thread at a time.
 */
#ifndef BP_ENGINE_SESSION_H
#define BP_ENGINE_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/budget.h"
#include "engine/constraints.h"
#include "engine/err.h"
#include "engine/memory.h"
#include "engine/plan.h"
#include "engine/table.h"

/* The largest number that a file keeps (2^53 could be a 2^53 + 1 that a double has rounded), and
 * how many bookmarks there may be. */
#define BP_SESSION_MAX_INTEGER ((UINT64_C(1) << 53) - 1)
enum { BP_SESSION_MAX_BOOKMARKS = 4096 };

/* A plan kept under a name: how it was asked for, and what came out. */
struct bp_bookmark {
    char *name;
    struct bp_budget budget;
    struct bp_constraints constraints;
    uint32_t *choice; /* [n_choice] candidate of each matrix */
    size_t n_choice;
    uint64_t storage_bits;
    double error;
    bool optimal;
};

void bp_bookmark_done(struct bp_bookmark *bookmark);

/* The choice is one of this table: a candidate for each of its matrices. A session may come from
 * anybody, or its table may have changed: ask before using one. */
bool bp_bookmark_fits(const struct bp_bookmark *bookmark, const struct bp_table *table);

struct bp_view_word {
    char *key, *value;
};

struct bp_session {
    char *table_path;                  /* as this process reaches it; "" for none yet */
    char *table_fingerprint;           /* "" = not known */
    struct bp_budget budget;           /* .asked 0 = none chosen yet; .bits 0 = not resolved */
    struct bp_constraints constraints; /* in the order of their kinds, else as given */
    struct bp_memory_settings memory;
    struct bp_bookmark *bookmarks; /* [n_bookmarks] names are unique */
    size_t n_bookmarks;
    struct bp_view_word *view; /* [n_view] keys are unique */
    size_t n_view;
};

/* Defaults; the path may be "". */
enum bp_status bp_session_init(struct bp_session *session, const char *table_path,
                               struct bp_err *err);
void bp_session_done(struct bp_session *session);

/* Place of the bookmark of that name, SIZE_MAX when there is none. */
size_t bp_session_find_bookmark(const struct bp_session *session, const char *name);

/* What a person looks at: NULL when the key is not there. BP_ERR_USAGE for words that are not
 * UTF-8. */
const char *bp_session_view(const struct bp_session *session, const char *key);
enum bp_status bp_session_set_view(struct bp_session *session, const char *key, const char *value,
                                   struct bp_err *err);

/* --- edits --- */

enum bp_edit_kind {
    BP_EDIT_BUDGET,            /* budget */
    BP_EDIT_ADD_CONSTRAINT,    /* constraint; lands behind the last of its kind, or at `index` */
    BP_EDIT_REMOVE_CONSTRAINT, /* index */
    BP_EDIT_MEMORY,            /* memory */
    BP_EDIT_ADD_BOOKMARK,      /* bookmark, at `index` or last */
    BP_EDIT_REMOVE_BOOKMARK,   /* index */
};

#define BP_EDIT_LAST SIZE_MAX

struct bp_edit {
    enum bp_edit_kind kind;
    size_t index; /* BP_EDIT_LAST: where it belongs by itself; 0 is the first place */
    struct bp_budget budget;
    struct bp_constraint constraint;
    struct bp_memory_settings memory;
    struct bp_bookmark bookmark;
};
void bp_edit_done(struct bp_edit *edit);

/* Applies an edit (borrowed; what it holds is copied). *inverse is to be freed with bp_edit_done.
 * BP_ERR_USAGE: an index that is not there (for a constraint, one where the kinds would be out of
 * order), a bookmark's name that is taken or empty, memory settings out of their range, and what a
 * file could not hold (text that is not UTF-8, numbers that are not finite, or 2^53 and more); then
 * nothing has changed. Whether a budget or a constraint makes sense is found out by the planner. */
enum bp_status bp_session_apply(struct bp_session *session, const struct bp_edit *edit,
                                struct bp_edit *inverse, struct bp_err *err);

/* --- undo --- */

struct bp_history;

enum bp_status bp_history_new(struct bp_history **out, struct bp_err *err);
struct bp_history *bp_history_free(struct bp_history *history);

/* Applies edits [n] as one step, all or none; what was undone is forgotten. With `merge` the step
 * becomes part of the one before if that was a merging step of the same first kind, and nothing was
 * undone, redone or saved since: a finger on an arrow key is one undo. The session must change
 * through its history alone. */
enum bp_status bp_history_do(struct bp_history *history, struct bp_session *session,
                             const struct bp_edit *edits, size_t n, bool merge, struct bp_err *err);
/* False when there is nothing to undo or redo, BP_ERR_NOMEM apart, which leaves all as it was. */
bool bp_history_undo(struct bp_history *history, struct bp_session *session);
bool bp_history_redo(struct bp_history *history, struct bp_session *session);
size_t bp_history_undo_count(const struct bp_history *history);
size_t bp_history_redo_count(const struct bp_history *history);
/* Marks the present state as saved; changed says whether the state is another one: it is the same
 * after undoing or redoing to it, not after edits that happen to bring the same values. A fresh
 * history counts as saved. */
void bp_history_mark_saved(struct bp_history *history);
bool bp_history_changed(const struct bp_history *history);

/* --- files --- */

/* The document as text (on the heap, NULL when out of memory), the table's path written relative to
 * the folder of `path` where it lies below it, else (or when path is NULL) absolute. */
char *bp_session_text(const struct bp_session *session, const char *path);

/* Writes it whole or not at all. replace false: BP_ERR_MISMATCH when the name is taken.
 * BP_ERR_INPUT: the table's path is not UTF-8, which JSON cannot say. */
enum bp_status bp_session_save(const struct bp_session *session, const char *path, bool replace,
                               struct bp_err *err);

/* What a file is that the workbench can open. */
enum bp_opened { BP_OPENED_TABLE, BP_OPENED_SESSION, BP_OPENED_PLAN, BP_OPENED_MODEL };

/* Opens a table, a session, a plan (its table, constraints, budget; the first of a list) or a model
 * folder or file (table_path is then ""), without opening the table itself. A path inside a file is
 * taken from the file's folder, for a plan first from the working folder; it must name a file that
 * exists. The budget's bits are left 0: bp_budget_resolve (memory.h) sets them once the table is
 * open. BP_ERR_INPUT: the text names file and place; the session is then empty. */
enum bp_status bp_session_open(const char *path, struct bp_session *session, enum bp_opened *what,
                               struct bp_err *err);

#endif
