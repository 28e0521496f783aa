#include "engine/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* One line that any terminal may be shown: names in files and paths may hold newlines and escape
 * sequences. */
static void make_printable(char *text)
{
    for (unsigned char *p = (unsigned char *)text; *p; p++)
        if (*p < 0x20 || *p == 0x7f)
            *p = '?';
        else if (p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0) /* C1: some terminals obey them */
            p[0] = p[1] = '?';
}

enum bp_status bp_fail(struct bp_err *err, enum bp_status status, const char *fmt, ...)
{
    if (err) {
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(err->text, sizeof err->text, fmt, ap);
        va_end(ap);
        make_printable(err->text);
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
        make_printable(err->text);
    }
    return status;
}

enum bp_status bp_fail_nomem(struct bp_err *err)
{
    return bp_fail(err, BP_ERR_NOMEM, "out of memory");
}
