#include "engine/json_lex.h"

#include <string.h>

void bp_lex_space(struct bp_lex *lx)
{
    while (lx->at < lx->end &&
           (*lx->at == ' ' || *lx->at == '\n' || *lx->at == '\r' || *lx->at == '\t'))
        lx->at++;
}

bool bp_lex_take(struct bp_lex *lx, char c)
{
    if (lx->at == lx->end || *lx->at != (unsigned char)c)
        return false;
    lx->at++;
    return true;
}

/* The table of well-formed sequences of the Unicode standard: no overlong forms, no surrogates,
 * nothing above U+10FFFF. */
size_t bp_utf8_length(const unsigned char *p, const unsigned char *end)
{
    if (p >= end)
        return 0;
    unsigned char c = p[0], low = 0x80, high = 0xbf;
    size_t n;
    if (c < 0x80)
        return 1;
    if (c >= 0xc2 && c <= 0xdf)
        n = 2;
    else if (c >= 0xe0 && c <= 0xef)
        n = 3;
    else if (c >= 0xf0 && c <= 0xf4)
        n = 4;
    else
        return 0;
    if ((size_t)(end - p) < n)
        return 0;
    if (c == 0xe0)
        low = 0xa0;
    else if (c == 0xed)
        high = 0x9f;
    else if (c == 0xf0)
        low = 0x90;
    else if (c == 0xf4)
        high = 0x8f;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

bool bp_utf8_valid(const char *s)
{
    const unsigned char *p = (const unsigned char *)s, *end = p + strlen(s);
    while (p < end) {
        size_t n = bp_utf8_length(p, end);
        if (!n)
            return false;
        p += n;
    }
    return true;
}

/* Four hexadecimal digits; -1 when they are not. */
static int32_t hex4(struct bp_lex *lx)
{
    int32_t value = 0;
    for (int i = 0; i < 4; i++) {
        if (lx->at == lx->end)
            return -1;
        unsigned char c = *lx->at;
        int digit;
        if (c >= '0' && c <= '9')
            digit = c - '0';
        else if (c >= 'a' && c <= 'f')
            digit = c - 'a' + 10;
        else if (c >= 'A' && c <= 'F')
            digit = c - 'A' + 10;
        else
            return -1;
        value = value * 16 + digit;
        lx->at++;
    }
    return value;
}

static size_t encode_utf8(uint32_t code, char *out)
{
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xc0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3f));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xe0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3f));
        out[2] = (char)(0x80 | (code & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3f));
    out[2] = (char)(0x80 | (code >> 6 & 0x3f));
    out[3] = (char)(0x80 | (code & 0x3f));
    return 4;
}

/* The part of \uXXXX after the u, and the second half of a surrogate pair. */
static const char *unicode_escape(struct bp_lex *lx, char *out, size_t *n_out)
{
    int32_t code = hex4(lx);
    if (code < 0)
        return "\\u needs four hexadecimal digits";
    if (code == 0)
        return "a NUL character in a string";
    if (code >= 0xdc00 && code <= 0xdfff)
        return "a low surrogate without a high one";
    if (code >= 0xd800 && code <= 0xdbff) {
        if (!bp_lex_take(lx, '\\') || !bp_lex_take(lx, 'u'))
            return "a high surrogate without a low one";
        int32_t low = hex4(lx);
        if (low < 0)
            return "\\u needs four hexadecimal digits";
        if (low < 0xdc00 || low > 0xdfff)
            return "a high surrogate without a low one";
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    *n_out = encode_utf8((uint32_t)code, out);
    return NULL;
}

/* The part of an escape after the backslash. */
static const char *escape(struct bp_lex *lx, char *out, size_t *n_out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (lx->at == lx->end)
        return "the string does not end";
    if (*lx->at == 'u') {
        lx->at++;
        return unicode_escape(lx, out, n_out);
    }
    const char *hit = memchr(from, *lx->at, sizeof from - 1);
    if (!hit)
        return "an unknown escape in a string";
    lx->at++;
    out[0] = to[hit - from];
    *n_out = 1;
    return NULL;
}

const char *bp_lex_string(struct bp_lex *lx, char *out, size_t *n_out)
{
    size_t used = 0;
    if (!bp_lex_take(lx, '"'))
        return "a string is expected";
    while (lx->at < lx->end && *lx->at != '"') {
        char piece[4];
        size_t n;
        /* Nearly everything is plain ASCII: a hundred-megabyte header is worth the short way. */
        if (*lx->at >= 0x20 && *lx->at < 0x80 && *lx->at != '\\') {
            if (out)
                out[used] = (char)*lx->at;
            used++;
            lx->at++;
            continue;
        }
        if (*lx->at == '\\') {
            lx->at++;
            const char *wrong = escape(lx, piece, &n);
            if (wrong)
                return wrong;
        } else {
            if (*lx->at < 0x20)
                return "a raw control character in a string";
            n = bp_utf8_length(lx->at, lx->end);
            if (!n)
                return "text that is not UTF-8";
            memcpy(piece, lx->at, n);
            lx->at += n;
        }
        if (out)
            memcpy(out + used, piece, n);
        used += n;
    }
    if (!bp_lex_take(lx, '"'))
        return "the string does not end";
    if (out)
        out[used] = '\0';
    if (n_out)
        *n_out = used;
    return NULL;
}

static bool at_digit(const struct bp_lex *lx)
{
    return lx->at < lx->end && *lx->at >= '0' && *lx->at <= '9';
}

const char *bp_lex_u64(struct bp_lex *lx, uint64_t *out)
{
    uint64_t value = 0;
    if (lx->at < lx->end && *lx->at == '-')
        return "a negative number";
    if (!at_digit(lx))
        return "an unsigned integer is expected";
    bool zero = *lx->at == '0';
    const unsigned char *start = lx->at;
    while (at_digit(lx)) {
        if (zero && lx->at > start)
            return "a number with a leading zero";
        if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*lx->at - '0'), &value))
            return "an integer above 64 bits";
        lx->at++;
    }
    if (lx->at < lx->end && (*lx->at == '.' || *lx->at == 'e' || *lx->at == 'E'))
        return "a fraction or an exponent where an integer is expected";
    *out = value;
    return NULL;
}

const char *bp_lex_number(struct bp_lex *lx)
{
    bp_lex_take(lx, '-');
    if (!at_digit(lx))
        return "a digit is expected";
    if (bp_lex_take(lx, '0')) {
        if (at_digit(lx))
            return "a number with a leading zero";
    }
    while (at_digit(lx))
        lx->at++;
    if (bp_lex_take(lx, '.')) {
        if (!at_digit(lx))
            return "a digit is expected after the point";
        while (at_digit(lx))
            lx->at++;
    }
    if (bp_lex_take(lx, 'e') || bp_lex_take(lx, 'E')) {
        if (!bp_lex_take(lx, '+'))
            bp_lex_take(lx, '-');
        if (!at_digit(lx))
            return "a digit is expected in the exponent";
        while (at_digit(lx))
            lx->at++;
    }
    return NULL;
}
