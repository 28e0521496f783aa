/*
 * The words of JSON, read strictly: what both the safetensors header and the JSON documents are
 * made of.
 *
 * RFC 8259 to the letter, where general libraries are lax: whitespace is the four characters only,
 * numbers have no leading zero, strings hold no raw control character, every escape is complete,
 * surrogates come in pairs, all text is valid UTF-8. One thing more is refused: a NUL inside a
 * string (\u0000), because names travel as C strings and two parsers would disagree about them.
 *
 * Functions that can fail return NULL for done, otherwise a few words on what is wrong (static
 * text), with `at` on the offending byte. Nothing is allocated.
 */
#ifndef BP_ENGINE_JSON_LEX_H
#define BP_ENGINE_JSON_LEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bp_lex {
    const unsigned char *at;  /* next byte */
    const unsigned char *end; /* one past the last */
};

/* Skips whitespace. */
void bp_lex_space(struct bp_lex *lx);

/* Takes the next byte when it is `c`. */
bool bp_lex_take(struct bp_lex *lx, char c);

/* Reads a string, quotes included. out, when not NULL, gets the decoded text and a NUL; the decoded
 * text is never longer than the escaped one, so room for the bytes between the quotes and one more
 * is enough. *n_out (may be NULL) gets its length without the NUL. */
const char *bp_lex_string(struct bp_lex *lx, char *out, size_t *n_out);

/* Reads an unsigned integer of at most 64 bits: digits only, no sign, fraction or exponent. */
const char *bp_lex_u64(struct bp_lex *lx, uint64_t *out);

/* Skips any JSON number. */
const char *bp_lex_number(struct bp_lex *lx);

/* Length (1 to 4) of the UTF-8 character at p, 0 when it is not valid or cut by `end`. */
size_t bp_utf8_length(const unsigned char *p, const unsigned char *end);

/* True when s is valid UTF-8. */
bool bp_utf8_valid(const char *s);

#endif
