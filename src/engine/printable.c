#include "engine/printable.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "engine/json_lex.h"

struct bp_printable bp_printable(const char *s)
{
    struct bp_printable out;
    const unsigned char *p = (const unsigned char *)s;
    size_t used = 0;
    const size_t room = sizeof out.text - 4; /* "..." and the NUL */
    while (*p) {
        /* strnlen keeps a character that the end of the string cuts from being read beyond. */
        size_t n = bp_utf8_length(p, p + strnlen((const char *)p, 4));
        bool control = *p < 0x20 || *p == 0x7f || (n == 2 && p[0] == 0xc2 && p[1] < 0xa0);
        size_t wanted = n && !control ? n : 1;
        if (used + wanted > room) {
            memcpy(out.text + used, "...", 3);
            used += 3;
            break;
        }
        if (n && !control)
            memcpy(out.text + used, p, n);
        else
            out.text[used] = '?';
        used += wanted;
        p += n ? n : 1;
    }
    out.text[used] = '\0';
    return out;
}

struct bp_printable bp_grouped(uint64_t value)
{
    char digits[24];
    struct bp_printable out;
    int n = snprintf(digits, sizeof digits, "%" PRIu64, value);
    size_t used = 0;
    for (int i = 0; i < n; i++) {
        if (i && (n - i) % 3 == 0)
            out.text[used++] = ',';
        out.text[used++] = digits[i];
    }
    out.text[used] = '\0';
    return out;
}

const char *bp_size_format(uint64_t bytes, char text[BP_SIZE_TEXT])
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)bytes;
    int unit = 0;
    while (value >= 1024.0 && unit < 4) {
        value /= 1024.0;
        unit++;
    }
    snprintf(text, BP_SIZE_TEXT, unit ? "%.2f %s" : "%.0f %s", value, units[unit]);
    return text;
}
