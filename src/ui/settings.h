/*
 * Settings of a person: the file `config` in the settings folder, lines of "name = value".
 *
 *     colors = auto | true | 256 | 16 | mono
 *     glyphs = auto | ascii
 *     mouse = yes | no
 *     bind KEY = ACTION      (bind F2 = save; "none" unbinds)
 *
 * Blank lines and lines that begin with '#' do not count.
 */
#ifndef BP_UI_SETTINGS_H
#define BP_UI_SETTINGS_H

#include <stdbool.h>

#include "engine/err.h"
#include "ui/actions.h"
#include "ui/term.h"

struct bp_settings {
    enum bp_colors colors;
    bool ascii;
    bool mouse;
};

/* "auto", "true", "256", "16", "mono"; false for another word. */
bool bp_colors_parse(const char *word, enum bp_colors *out);

/* Reads the file into settings and keymap; a file that is not there changes nothing. BP_ERR_INPUT
 * names file and line. */
enum bp_status bp_settings_read(const char *path, struct bp_settings *settings,
                                struct bp_keymap *keymap, struct bp_err *err);

#endif
