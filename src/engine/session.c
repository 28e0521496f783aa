#include "engine/session.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/json_lex.h"
#include "engine/mem.h"
#include "engine/printable.h"

/* --- the document --- */

enum bp_status bp_session_init(struct bp_session *session, const char *table_path,
                               struct bp_err *err)
{
    *session = (struct bp_session){.table_path = bp_strdup(table_path),
                                   .table_fingerprint = bp_strdup("")};
    bp_memory_settings_default(&session->memory);
    if (session->table_path && session->table_fingerprint)
        return BP_OK;
    bp_session_done(session);
    return bp_fail_nomem(err);
}

void bp_bookmark_done(struct bp_bookmark *bookmark)
{
    free(bookmark->name);
    free(bookmark->choice);
    bp_constraints_done(&bookmark->constraints);
    *bookmark = (struct bp_bookmark){0};
}

void bp_session_done(struct bp_session *session)
{
    free(session->table_path);
    free(session->table_fingerprint);
    bp_constraints_done(&session->constraints);
    for (size_t i = 0; i < session->n_bookmarks; i++)
        bp_bookmark_done(&session->bookmarks[i]);
    free(session->bookmarks);
    for (size_t i = 0; i < session->n_view; i++) {
        free(session->view[i].key);
        free(session->view[i].value);
    }
    free(session->view);
    *session = (struct bp_session){0};
}

size_t bp_session_find_bookmark(const struct bp_session *session, const char *name)
{
    for (size_t i = 0; i < session->n_bookmarks; i++)
        if (strcmp(session->bookmarks[i].name, name) == 0)
            return i;
    return SIZE_MAX;
}

bool bp_bookmark_fits(const struct bp_bookmark *bookmark, const struct bp_table *table)
{
    bool fits = bookmark->n_choice == table->n_matrices;
    for (size_t i = 0; fits && i < bookmark->n_choice; i++)
        fits = bookmark->choice[i] < table->n_candidates;
    return fits;
}

/* --- what a person looks at --- */

static struct bp_view_word *find_view(const struct bp_session *session, const char *key)
{
    for (size_t i = 0; i < session->n_view; i++)
        if (strcmp(session->view[i].key, key) == 0)
            return &session->view[i];
    return NULL;
}

const char *bp_session_view(const struct bp_session *session, const char *key)
{
    const struct bp_view_word *word = find_view(session, key);
    return word ? word->value : NULL;
}

enum bp_status bp_session_set_view(struct bp_session *session, const char *key, const char *value,
                                   struct bp_err *err)
{
    struct bp_view_word *word = find_view(session, key);
    if (!bp_utf8_valid(key) || !bp_utf8_valid(value))
        return bp_fail(err, BP_ERR_USAGE, "'%s': a view's words must be UTF-8",
                       bp_printable(key).text);
    if (word && strcmp(word->value, value) == 0)
        return BP_OK;
    char *new_key = word ? NULL : bp_strdup(key);
    char *new_value = bp_strdup(value);
    if (!new_value || (!word && !new_key))
        goto no_memory;
    if (!word) {
        word = bp_grow(session->view, session->n_view + 1, sizeof *word);
        if (!word)
            goto no_memory;
        session->view = word;
        word += session->n_view++;
        *word = (struct bp_view_word){.key = new_key};
    }
    free(word->value);
    word->value = new_value;
    return BP_OK;
no_memory:
    free(new_key);
    free(new_value);
    return bp_fail_nomem(err);
}

/* --- edits --- */

void bp_edit_done(struct bp_edit *edit)
{
    free(edit->constraint.value);
    bp_bookmark_done(&edit->bookmark);
    *edit = (struct bp_edit){0};
}

static enum bp_status copy_bookmark(const struct bp_bookmark *from, struct bp_bookmark *to,
                                    struct bp_err *err)
{
    *to = *from;
    to->constraints = (struct bp_constraints){0};
    to->name = bp_strdup(from->name);
    to->choice = bp_alloc(from->n_choice, sizeof *to->choice);
    enum bp_status status = to->name && to->choice
                                ? bp_constraints_copy(&from->constraints, &to->constraints, err)
                                : bp_fail_nomem(err);
    if (status != BP_OK)
        bp_bookmark_done(to);
    else if (from->n_choice)
        memcpy(to->choice, from->choice, from->n_choice * sizeof *to->choice);
    return status;
}

/* Takes of an edit what its kind uses. */
static enum bp_status copy_edit(const struct bp_edit *from, struct bp_edit *to, struct bp_err *err)
{
    *to = (struct bp_edit){.kind = from->kind, .index = from->index};
    switch (from->kind) {
    case BP_EDIT_BUDGET:
        to->budget = from->budget;
        break;
    case BP_EDIT_MEMORY:
        to->memory = from->memory;
        break;
    case BP_EDIT_ADD_CONSTRAINT:
        to->constraint.kind = from->constraint.kind;
        to->constraint.value = bp_strdup(from->constraint.value);
        return to->constraint.value ? BP_OK : bp_fail_nomem(err);
    case BP_EDIT_ADD_BOOKMARK:
        return copy_bookmark(&from->bookmark, &to->bookmark, err);
    case BP_EDIT_REMOVE_CONSTRAINT:
    case BP_EDIT_REMOVE_BOOKMARK:
        break;
    }
    return BP_OK;
}

/* Where a constraint goes: behind the last of its kind, or where it was asked for if the kinds stay
 * in order. False when it cannot stand there. */
static bool place_constraint(const struct bp_constraints *c, const struct bp_edit *edit,
                             size_t *place)
{
    const enum bp_constraint_kind kind = edit->constraint.kind;
    size_t end = c->n;
    while (end > 0 && c->list[end - 1].kind > kind)
        end--;
    *place = edit->index == BP_EDIT_LAST ? end : edit->index;
    return *place <= end && (*place == 0 || c->list[*place - 1].kind <= kind) &&
           (*place == end || c->list[*place].kind == kind);
}

/* What JSON could not hold, or hand back unchanged, is refused before it gets into a session. */
static enum bp_status check_bookmark(const struct bp_session *session, const struct bp_bookmark *b,
                                     struct bp_err *err)
{
    const uint64_t most = BP_SESSION_MAX_INTEGER;
    bool text = bp_utf8_valid(b->name);
    for (size_t i = 0; i < b->constraints.n; i++)
        text = text && bp_utf8_valid(b->constraints.list[i].value);
    if (!*b->name || !text)
        return bp_fail(err, BP_ERR_USAGE, "'%s': a bookmark needs a name, and words in UTF-8",
                       bp_printable(b->name).text);
    if (bp_session_find_bookmark(session, b->name) != SIZE_MAX)
        return bp_fail(err, BP_ERR_USAGE, "there is a bookmark '%s' already",
                       bp_printable(b->name).text);
    if (session->n_bookmarks >= BP_SESSION_MAX_BOOKMARKS)
        return bp_fail(err, BP_ERR_USAGE, "a session holds at most %d bookmarks",
                       (int)BP_SESSION_MAX_BOOKMARKS);
    if (!(b->budget.asked > 0.0 && isfinite(b->budget.asked)) ||
        !(b->error >= 0.0 && isfinite(b->error)))
        return bp_fail(err, BP_ERR_USAGE,
                       "bookmark '%s': its budget must be above 0, its error at least 0",
                       bp_printable(b->name).text);
    for (size_t i = 0; i < b->n_choice; i++)
        if (b->choice[i] >= BP_MAX_CANDIDATES)
            return bp_fail(err, BP_ERR_USAGE, "bookmark '%s': no table has a candidate %u",
                           bp_printable(b->name).text, b->choice[i]);
    if (b->storage_bits > most || b->budget.bits > most || b->budget.context > most ||
        b->budget.batch > most || b->budget.kv_bits > most)
        return bp_fail(err, BP_ERR_USAGE, "bookmark '%s': a figure is 2^53 or more",
                       bp_printable(b->name).text);
    return BP_OK;
}

static enum bp_status check_edit(const struct bp_session *session, const struct bp_edit *edit,
                                 struct bp_err *err)
{
    size_t place, n = session->constraints.n;
    switch (edit->kind) {
    case BP_EDIT_BUDGET:
        return edit->budget.asked >= 0.0 && isfinite(edit->budget.asked)
                   ? BP_OK
                   : bp_fail(err, BP_ERR_USAGE, "a budget must be a number above 0");
    case BP_EDIT_MEMORY:
        return bp_memory_settings_check(&edit->memory, err);
    case BP_EDIT_ADD_CONSTRAINT:
        if (!bp_utf8_valid(edit->constraint.value))
            return bp_fail(err, BP_ERR_USAGE, "%s '%s' is not UTF-8",
                           bp_constraint_option(edit->constraint.kind),
                           bp_printable(edit->constraint.value).text);
        if (!place_constraint(&session->constraints, edit, &place))
            return bp_fail(err, BP_ERR_USAGE, "no %s can stand at place %zu of %zu",
                           bp_constraint_option(edit->constraint.kind), edit->index, n);
        return BP_OK;
    case BP_EDIT_REMOVE_CONSTRAINT:
        return edit->index < n ? BP_OK
                               : bp_fail(err, BP_ERR_USAGE, "there is no constraint %zu of %zu",
                                         edit->index, n);
    case BP_EDIT_ADD_BOOKMARK:
        if (edit->index != BP_EDIT_LAST && edit->index > session->n_bookmarks)
            return bp_fail(err, BP_ERR_USAGE, "no bookmark can stand at place %zu of %zu",
                           edit->index, session->n_bookmarks);
        return check_bookmark(session, &edit->bookmark, err);
    case BP_EDIT_REMOVE_BOOKMARK:
        return edit->index < session->n_bookmarks
                   ? BP_OK
                   : bp_fail(err, BP_ERR_USAGE, "there is no bookmark %zu of %zu", edit->index,
                             session->n_bookmarks);
    }
    return bp_fail(err, BP_ERR_USAGE, "no such edit");
}

/* Room for what edits [n] will add, so that applying them, and taking them back half way, needs no
 * memory: removing leaves the room as it is. */
static enum bp_status reserve(struct bp_session *session, const struct bp_edit *edits, size_t n,
                              struct bp_err *err)
{
    size_t constraints = 0, bookmarks = 0;
    for (size_t i = 0; i < n; i++) {
        constraints += edits[i].kind == BP_EDIT_ADD_CONSTRAINT;
        bookmarks += edits[i].kind == BP_EDIT_ADD_BOOKMARK;
    }
    if (constraints) {
        struct bp_constraint *list =
            bp_grow(session->constraints.list, session->constraints.n + constraints, sizeof *list);
        if (!list)
            return bp_fail_nomem(err);
        session->constraints.list = list;
    }
    if (bookmarks) {
        struct bp_bookmark *list =
            bp_grow(session->bookmarks, session->n_bookmarks + bookmarks, sizeof *list);
        if (!list)
            return bp_fail_nomem(err);
        session->bookmarks = list;
    }
    return BP_OK;
}

/* Applies an edit that was checked and for which there is room, and turns it into its inverse: what
 * it holds moves into the session, what the session loses moves into it. */
static void turn(struct bp_session *session, struct bp_edit *edit)
{
    struct bp_constraints *c = &session->constraints;
    const size_t i = edit->index;
    size_t place = i;
    switch (edit->kind) {
    case BP_EDIT_BUDGET: {
        const struct bp_budget old = session->budget;
        session->budget = edit->budget;
        edit->budget = old;
        break;
    }
    case BP_EDIT_MEMORY: {
        const struct bp_memory_settings old = session->memory;
        session->memory = edit->memory;
        edit->memory = old;
        break;
    }
    case BP_EDIT_ADD_CONSTRAINT:
        place_constraint(c, edit, &place);
        memmove(c->list + place + 1, c->list + place, (c->n++ - place) * sizeof *c->list);
        c->list[place] = edit->constraint;
        *edit = (struct bp_edit){.kind = BP_EDIT_REMOVE_CONSTRAINT, .index = place};
        break;
    case BP_EDIT_REMOVE_CONSTRAINT:
        *edit =
            (struct bp_edit){.kind = BP_EDIT_ADD_CONSTRAINT, .index = i, .constraint = c->list[i]};
        memmove(c->list + i, c->list + i + 1, (--c->n - i) * sizeof *c->list);
        break;
    case BP_EDIT_ADD_BOOKMARK: {
        if (place == BP_EDIT_LAST)
            place = session->n_bookmarks;
        struct bp_bookmark *at = session->bookmarks + place;
        memmove(at + 1, at, (session->n_bookmarks++ - place) * sizeof *at);
        *at = edit->bookmark;
        *edit = (struct bp_edit){.kind = BP_EDIT_REMOVE_BOOKMARK, .index = place};
        break;
    }
    case BP_EDIT_REMOVE_BOOKMARK: {
        struct bp_bookmark *at = session->bookmarks + i;
        *edit = (struct bp_edit){.kind = BP_EDIT_ADD_BOOKMARK, .index = i, .bookmark = *at};
        memmove(at, at + 1, (--session->n_bookmarks - i) * sizeof *at);
        break;
    }
    }
}

enum bp_status bp_session_apply(struct bp_session *session, const struct bp_edit *edit,
                                struct bp_edit *inverse, struct bp_err *err)
{
    BP_TRY(check_edit(session, edit, err));
    BP_TRY(reserve(session, edit, 1, err));
    BP_TRY(copy_edit(edit, inverse, err));
    turn(session, inverse);
    return BP_OK;
}

/* --- undo --- */

/* The inverses of what was done, or, once undone, what is to be done again. */
struct step {
    struct bp_edit *edits; /* [n] in the order in which they were done */
    size_t n;
    enum bp_edit_kind first;
    bool merging;
    uint64_t state; /* number of the state that the step leads to */
};

struct bp_history {
    struct step *steps; /* [n_steps] the first n_done are done, the others undone */
    size_t n_steps, n_done;
    uint64_t n_states, saved; /* states are numbered as they come about, from 0 */
    bool open;                /* the last thing was a step, which the next may become part of */
};

enum bp_status bp_history_new(struct bp_history **out, struct bp_err *err)
{
    *out = bp_alloc_zero(1, sizeof **out);
    return *out ? BP_OK : bp_fail_nomem(err);
}

static void free_edits(struct bp_edit *edits, size_t n)
{
    for (size_t i = 0; i < n; i++)
        bp_edit_done(&edits[i]);
    free(edits);
}

static void forget_undone(struct bp_history *history)
{
    while (history->n_steps > history->n_done) {
        struct step *s = &history->steps[--history->n_steps];
        free_edits(s->edits, s->n);
    }
}

struct bp_history *bp_history_free(struct bp_history *history)
{
    if (!history)
        return NULL;
    history->n_done = 0;
    forget_undone(history);
    free(history->steps);
    free(history);
    return NULL;
}

static uint64_t present(const struct bp_history *history)
{
    return history->n_done ? history->steps[history->n_done - 1].state : 0;
}

/* The present's step, when edits that begin with `first` become part of it. */
static struct step *merge_target(struct bp_history *history, enum bp_edit_kind first)
{
    struct step *last = history->n_done ? &history->steps[history->n_done - 1] : NULL;
    return history->open && last && last->merging && last->first == first ? last : NULL;
}

/* All or none: copies of edits [n] are applied and become their inverses. */
static enum bp_status apply_all(struct bp_session *session, const struct bp_edit *edits, size_t n,
                                struct bp_edit *inverses, struct bp_err *err)
{
    enum bp_status status = BP_OK;
    size_t copied = 0, done = 0;
    for (; status == BP_OK && copied < n; copied += status == BP_OK)
        status = copy_edit(&edits[copied], &inverses[copied], err);
    if (status == BP_OK)
        status = reserve(session, edits, n, err);
    for (; status == BP_OK && done < n; done += status == BP_OK) {
        status = check_edit(session, &inverses[done], err);
        if (status == BP_OK)
            turn(session, &inverses[done]);
    }
    if (status == BP_OK)
        return BP_OK;
    while (done-- > 0)
        turn(session, &inverses[done]);
    for (size_t i = 0; i < copied; i++)
        bp_edit_done(&inverses[i]);
    return status;
}

/* Of several budgets or settings in a row only the first inverse matters. */
static bool is_there_already(const struct step *step, const struct bp_edit *inverse)
{
    bool found = false;
    for (size_t i = 0; i < step->n; i++)
        found |= step->edits[i].kind == inverse->kind;
    return found && (inverse->kind == BP_EDIT_BUDGET || inverse->kind == BP_EDIT_MEMORY);
}

enum bp_status bp_history_do(struct bp_history *history, struct bp_session *session,
                             const struct bp_edit *edits, size_t n, bool merge, struct bp_err *err)
{
    if (n == 0)
        return BP_OK;
    struct step *target = merge ? merge_target(history, edits[0].kind) : NULL;
    struct bp_edit *inverses = bp_alloc(n, sizeof *inverses);
    struct step *steps = NULL;
    struct bp_edit *longer = NULL;
    if (inverses && target) {
        longer = bp_grow(target->edits, target->n + n, sizeof *longer);
        target->edits = longer ? longer : target->edits;
    } else if (inverses) {
        steps = bp_grow(history->steps, history->n_steps + 1, sizeof *steps);
        history->steps = steps ? steps : history->steps;
    }
    if (!inverses || (!steps && !longer)) {
        free(inverses);
        return bp_fail_nomem(err);
    }
    enum bp_status status = apply_all(session, edits, n, inverses, err);
    if (status != BP_OK) {
        free(inverses);
        return status;
    }
    forget_undone(history);
    if (!target) {
        target = &history->steps[history->n_steps++];
        *target = (struct step){inverses, n, edits[0].kind, merge, 0};
        history->n_done++;
    } else {
        for (size_t i = 0; i < n; i++)
            if (!is_there_already(target, &inverses[i]))
                target->edits[target->n++] = inverses[i];
        free(inverses); /* those left out, budgets and settings, hold nothing */
    }
    target->state = ++history->n_states;
    history->open = true;
    return BP_OK;
}

bool bp_history_undo(struct bp_history *history, struct bp_session *session)
{
    if (history->n_done == 0)
        return false;
    struct step *s = &history->steps[history->n_done - 1];
    if (reserve(session, s->edits, s->n, NULL) != BP_OK)
        return false;
    for (size_t i = s->n; i-- > 0;) {
        assert(check_edit(session, &s->edits[i], NULL) == BP_OK);
        turn(session, &s->edits[i]);
    }
    history->n_done--;
    history->open = false;
    return true;
}

bool bp_history_redo(struct bp_history *history, struct bp_session *session)
{
    if (history->n_done == history->n_steps)
        return false;
    struct step *s = &history->steps[history->n_done];
    if (reserve(session, s->edits, s->n, NULL) != BP_OK)
        return false;
    for (size_t i = 0; i < s->n; i++) {
        assert(check_edit(session, &s->edits[i], NULL) == BP_OK);
        turn(session, &s->edits[i]);
    }
    history->n_done++;
    history->open = false;
    return true;
}

size_t bp_history_undo_count(const struct bp_history *history)
{
    return history->n_done;
}

size_t bp_history_redo_count(const struct bp_history *history)
{
    return history->n_steps - history->n_done;
}

void bp_history_mark_saved(struct bp_history *history)
{
    history->saved = present(history);
    history->open = false; /* what comes is a change, and undoing it leads back here */
}

bool bp_history_changed(const struct bp_history *history)
{
    return history->saved != present(history);
}
