/*
 * A session out of JSON: its own document, or what a plan says of how it was asked for. Private to
 * the session's files.
 *
 * A session may come from anybody. Members that this bitplan does not know are refused, as saving
 * would lose them; what a session could not have been saved with is refused, too.
 */
#ifndef BP_ENGINE_SESSION_READ_H
#define BP_ENGINE_SESSION_READ_H

#include "engine/session.h"

#define BP_SESSION_FORMAT "bitplan.session"
enum { BP_SESSION_VERSION = 1 };

struct cJSON;

/* Both: *session is empty after a failure; BP_ERR_INPUT says where in the file at `path`. */
enum bp_status bp_session_read(const struct cJSON *root, const char *path,
                               struct bp_session *session, struct bp_err *err);
enum bp_status bp_session_read_plan(const struct cJSON *plan, const char *path,
                                    struct bp_session *session, struct bp_err *err);

#endif
