/*
 * The sentence that goes with a failure: what is wrong, where, and what to do.
 *
 * The caller owns the struct (usually on its stack) and passes its address down; NULL means that
 * nobody wants the text. Nothing here is static, so threads do not disturb each other. One error,
 * one line, no full stop, no newline: the command line prints it behind "bitplan: ". Control
 * characters that a path or a name brings along become '?' here.
 */
#ifndef BP_ENGINE_ERR_H
#define BP_ENGINE_ERR_H

#include "solver/status.h"

struct bp_err {
    char text[1024];
};

/* Writes the formatted text into err (truncated to fit; err may be NULL) and returns `status`, so
 * that a failing function reads `return bp_fail(err, BP_ERR_INPUT, "...", ...);`. */
enum bp_status bp_fail(struct bp_err *err, enum bp_status status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts the formatted words and ": " in front of the text that err holds. Returns `status`. */
enum bp_status bp_fail_in(struct bp_err *err, enum bp_status status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* bp_fail with BP_ERR_NOMEM and the words "out of memory". */
enum bp_status bp_fail_nomem(struct bp_err *err);

/* Forwards a failure (negative or soft): leaves the enclosing function with the status. */
#define BP_TRY(call)                            \
    do {                                        \
        enum bp_status bp_try_status_ = (call); \
        if (bp_try_status_ != BP_OK)            \
            return bp_try_status_;              \
    } while (0)

#endif
