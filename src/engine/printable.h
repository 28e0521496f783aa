/*
 * Words for messages: foreign names made safe to print, and numbers a person can read.
 *
 * A tensor name comes out of a file that anybody may have written: it can be megabytes long, hold
 * newlines or the escape sequences of a terminal. Both functions return a small struct by value, so
 * that a message reads `bp_fail(err, ..., "%s: ...", bp_printable(name).text)`.
 */
#ifndef BP_ENGINE_PRINTABLE_H
#define BP_ENGINE_PRINTABLE_H

#include <stdint.h>

struct bp_printable {
    char text[200];
};

/* `s` with control characters (C0, DEL, C1) and bytes that are not UTF-8 as '?', cut with "..."
 * where it is longer than the struct holds. */
struct bp_printable bp_printable(const char *s);

/* 9798096920 as "9,798,096,920". */
struct bp_printable bp_grouped(uint64_t value);

/* "1.23 GiB" into text; returns text. */
enum { BP_SIZE_TEXT = 24 };
const char *bp_size_format(uint64_t bytes, char text[BP_SIZE_TEXT]);

#endif
