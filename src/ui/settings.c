#include "ui/settings.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "engine/printable.h"

bool bp_colors_parse(const char *word, enum bp_colors *out)
{
    static const char *const words[] = {
        [BP_COLORS_AUTO] = "auto", [BP_COLORS_MONO] = "mono", [BP_COLORS_16] = "16",
        [BP_COLORS_256] = "256",   [BP_COLORS_TRUE] = "true",
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(word, words[i]) == 0) {
            *out = (enum bp_colors)i;
            return true;
        }
    return false;
}

static char *trimmed(char *text)
{
    text += strspn(text, " \t");
    size_t n = strlen(text);
    while (n > 0 && isspace((unsigned char)text[n - 1]))
        text[--n] = '\0';
    return text;
}

/* False for a name or a value that is not known. */
static bool set(struct bp_settings *s, struct bp_keymap *keymap, char *name, const char *value)
{
    if (strcmp(name, "colors") == 0)
        return bp_colors_parse(value, &s->colors);
    if (strcmp(name, "glyphs") == 0) {
        s->ascii = strcmp(value, "ascii") == 0;
        return s->ascii || strcmp(value, "auto") == 0;
    }
    if (strcmp(name, "mouse") == 0) {
        s->mouse = strcmp(value, "yes") == 0;
        return s->mouse || strcmp(value, "no") == 0;
    }
    if (strncmp(name, "bind ", 5) == 0)
        return bp_keymap_bind(keymap, trimmed(name + 5), value);
    return false;
}

enum bp_status bp_settings_read(const char *path, struct bp_settings *settings,
                                struct bp_keymap *keymap, struct bp_err *err)
{
    FILE *f = fopen(path, "r");
    if (!f)
        return errno == ENOENT || errno == ENOTDIR
                   ? BP_OK
                   : bp_fail(err, BP_ERR_INPUT, "%s: cannot be opened: %s", path, strerror(errno));
    char line[512];
    enum bp_status status = BP_OK;
    for (int number = 1; status == BP_OK && fgets(line, sizeof line, f); number++) {
        char *text = trimmed(line);
        if (!*text || *text == '#')
            continue;
        /* The last '=' that stands alone: "bind = = zoom-in" binds the key '='. */
        char *equals = strrchr(text, '=');
        if (equals)
            *equals = '\0';
        if (!equals || !set(settings, keymap, trimmed(text), trimmed(equals + 1)))
            status = bp_fail(err, BP_ERR_INPUT,
                             "%s: line %d: '%s' is no setting; there are colors, glyphs, mouse and "
                             "bind KEY = ACTION",
                             path, number, bp_printable(text).text);
    }
    fclose(f);
    return status;
}
