#include "engine/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum bp_status bp_fail(struct bp_err *err, enum bp_status status, const char *fmt, ...)
{
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(err->text, sizeof err->text, fmt, ap);
        va_end(ap);
    }
    return status;
}

enum bp_status bp_fail_in(struct bp_err *err, enum bp_status status, const char *fmt, ...)
{
    if (err) {
        char front[sizeof err->text], both[2 * sizeof err->text + 2];
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(front, sizeof front, fmt, ap);
        va_end(ap);
        snprintf(both, sizeof both, "%s: %s", front, err->text);
        memcpy(err->text, both, sizeof err->text);
        err->text[sizeof err->text - 1] = '\0';
    }
    return status;
}

enum bp_status bp_fail_nomem(struct bp_err *err)
{
    return bp_fail(err, BP_ERR_NOMEM, "out of memory");
}
