/*
 * Regular expressions that constraints look for in matrices' names: POSIX extended ones, of a size
 * that cannot hurt, as a plan, and its constraints with it, may come from anybody.
 */
#ifndef BP_ENGINE_NAME_REGEX_H
#define BP_ENGINE_NAME_REGEX_H

#include <regex.h>
#include <stdbool.h>
#include <stddef.h>

#include "engine/err.h"

/* Compiles text [n] into *out (free with regfree). BP_ERR_USAGE for one that cannot be read, is too
 * large or has back-references: the text names the option and its whole value. */
enum bp_status bp_name_regex(const char *text, size_t n, const char *option, const char *value,
                             regex_t *out, struct bp_err *err);

/* Whether it is found in the name. */
bool bp_name_matches(const regex_t *regex, const char *name);

#endif
