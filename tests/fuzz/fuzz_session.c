/* Fuzz target: any bytes as a file that the workbench opens. A session that opens is saved and
 * opened again to the same bytes; a plan's becomes a session that can be saved. */
#include "fuzz.h"

#include "engine/session.h"

static struct memory_file input, saved;

/* The text as a file, opened: its text is the same. No path is given, as both files lie in /proc.
 */
static void must_come_back(const char *text)
{
    struct bp_session again;
    enum bp_opened what;
    memory_file_write(&saved, text, strlen(text));
    must(bp_session_open(saved.path, &again, &what, NULL) == BP_OK);
    must(what == BP_OPENED_SESSION);
    char *second = bp_session_text(&again, NULL);
    must(second && strcmp(text, second) == 0);
    free(second);
    bp_session_done(&again);
}

/* Taking out every constraint and bookmark and undoing that leaves the text as it was. */
static void must_undo(struct bp_session *session, const char *text)
{
    struct bp_history *history;
    must(bp_history_new(&history, NULL) == BP_OK);
    while (session->constraints.n + session->n_bookmarks > 0) {
        const bool last = session->constraints.n == 0;
        const struct bp_edit edit = {last ? BP_EDIT_REMOVE_BOOKMARK : BP_EDIT_REMOVE_CONSTRAINT,
                                     .index = 0};
        must(bp_history_do(history, session, &edit, 1, false, NULL) == BP_OK);
    }
    while (bp_history_undo(history, session))
        ;
    must(!bp_history_changed(history));
    char *undone = bp_session_text(session, NULL);
    must(undone && strcmp(text, undone) == 0);
    free(undone);
    bp_history_free(history);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bp_session session;
    enum bp_opened what;
    struct bp_err err = {""};
    memory_file_write(&input, data, size);
    enum bp_status status = bp_session_open(input.path, &session, &what, &err);
    must(status == BP_OK || status == BP_ERR_INPUT);
    must_say(status, &err);
    if (status != BP_OK)
        return 0;
    if (what == BP_OPENED_SESSION || what == BP_OPENED_PLAN) {
        char *text = bp_session_text(&session, NULL);
        must(text != NULL);
        must_come_back(text);
        must_undo(&session, text);
        free(text);
    }
    bp_session_done(&session);
    return 0;
}
