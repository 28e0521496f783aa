#include "ui/event.h"

#include <stdio.h>
#include <string.h>

#include "ui/cells.h"

static const struct {
    const char *word;
    uint32_t key;
} NAMES[] = {
#define NAME(suffix, word) {word, BP_KEY_##suffix},
    BP_KEYS(NAME)
#undef NAME
        {"Space", ' '},
};
enum { N_NAMES = sizeof NAMES / sizeof *NAMES };

static const struct {
    char letter;
    uint32_t bit;
} MODIFIERS[] = {{'C', BP_CTRL}, {'A', BP_ALT}, {'S', BP_SHIFT}, {'M', BP_ALT}};
/* M- is read as A-, and never written. */
enum { N_MODIFIERS = sizeof MODIFIERS / sizeof *MODIFIERS, N_WRITTEN = 3 };

/* The modifier that the word begins with, 0 when it begins with none: "C-" alone is none. */
static uint32_t leading_modifier(const char *word)
{
    if (word[0] == '\0' || word[1] != '-' || word[2] == '\0')
        return 0;
    for (int i = 0; i < N_MODIFIERS; i++)
        if (MODIFIERS[i].letter == word[0])
            return MODIFIERS[i].bit;
    return 0;
}

/* One printable character into its code point; false when the word is anything else. */
static bool parse_char(const char *word, uint32_t *key)
{
    const uint32_t ch = bp_utf8_next(&word);
    if (ch == UINT32_MAX || *word != '\0' || ch < 0x20 || (ch >= 0x7f && ch < 0xa0))
        return false;
    *key = ch;
    return true;
}

bool bp_key_parse(const char *word, uint32_t *key)
{
    uint32_t modifiers = 0, bit, base = 0;
    while ((bit = leading_modifier(word)) != 0) {
        if (modifiers & bit)
            return false;
        modifiers |= bit;
        word += 2;
    }
    for (int i = 0; i < N_NAMES && !base; i++)
        if (strcmp(NAMES[i].word, word) == 0)
            base = NAMES[i].key;
    if (!base) {
        /* A shifted character is another character; a terminal sends the same for C-L and C-l. */
        if (!parse_char(word, &base) || modifiers & BP_SHIFT)
            return false;
        if (modifiers & BP_CTRL && base >= 'A' && base <= 'Z')
            base += 'a' - 'A';
    } else if (base == ' ' && modifiers & BP_SHIFT) {
        return false;
    }
    *key = modifiers | base;
    return true;
}

const char *bp_key_name(uint32_t key, char text[BP_KEY_TEXT])
{
    const uint32_t base = key & ~(uint32_t)(BP_SHIFT | BP_CTRL | BP_ALT);
    size_t n = 0;
    for (int i = 0; i < N_WRITTEN; i++)
        if (key & MODIFIERS[i].bit) {
            text[n++] = MODIFIERS[i].letter;
            text[n++] = '-';
        }
    for (int i = 0; i < N_NAMES; i++)
        if (NAMES[i].key == base) {
            snprintf(text + n, BP_KEY_TEXT - n, "%s", NAMES[i].word);
            return text;
        }
    if (base < 0x20 || (base >= 0x7f && base < 0xa0) || base > 0x10ffff)
        snprintf(text + n, BP_KEY_TEXT - n, "U+%04X", (unsigned)base);
    else
        bp_utf8_text(base, text + n);
    return text;
}
