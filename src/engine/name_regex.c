#include "engine/name_regex.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "engine/mem.h"
#include "engine/printable.h"

/* Of a repetition behind its brace: 3 of "3}", 5 of "2,5}"; at least 1. */
static unsigned long largest_count(const char *text)
{
    char *end;
    unsigned long low = strtoul(text, &end, 10);
    unsigned long high = *end == ',' ? strtoul(end + 1, NULL, 10) : low;
    low = low > high ? low : high;
    return low ? low : 1;
}

/* regcomp makes repetitions of repetitions without end, takes the stack for every parenthesis, and
 * follows back-references for years. So: no back-references, and length times all repetition counts
 * bounded. */
static bool is_modest(const char *text)
{
    enum { MAX_LENGTH = 1000, MAX_NODES = 100000 };
    unsigned long nodes = strlen(text);
    if (nodes > MAX_LENGTH)
        return false;
    for (const char *p = text; *p; p++) {
        unsigned long count = 1;
        if (*p == '\\' && isdigit((unsigned char)p[1]))
            return false;
        if (*p == '\\' && p[1])
            p++;
        else if (*p == '{')
            count = largest_count(p + 1);
        if (count > MAX_NODES || (nodes *= count) > MAX_NODES)
            return false;
    }
    return true;
}

enum bp_status bp_name_regex(const char *text, size_t n, const char *option, const char *value,
                             regex_t *out, struct bp_err *err)
{
    char *copy = bp_strndup(text, n);
    if (!copy)
        return bp_fail_nomem(err);
    if (!is_modest(copy)) {
        free(copy);
        return bp_fail(err, BP_ERR_USAGE,
                       "%s '%s': too large a regular expression, or one with back-references",
                       option, bp_printable(value).text);
    }
    int code = regcomp(out, copy, REG_EXTENDED | REG_NOSUB);
    free(copy);
    if (code == 0)
        return BP_OK;
    char words[128];
    regerror(code, out, words, sizeof words);
    return code == REG_ESPACE ? bp_fail_nomem(err)
                              : bp_fail(err, BP_ERR_USAGE, "%s '%s': not a regular expression: %s",
                                        option, bp_printable(value).text, words);
}

bool bp_name_matches(const regex_t *regex, const char *name)
{
    return regexec(regex, name, 0, NULL, 0) == 0;
}
