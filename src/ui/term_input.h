/*
 * What a terminal sends, byte by byte, into events: characters, control and Alt keys, the reports
 * of the mouse; unknown sequences are swallowed whole, so that none of them is taken for typed
 * text.
 *
 * No curses here. The bytes come from a callback, which also gives codes for the sequences that it
 * has recognized: keys by name, and the beginnings of the mouse's reports.
 */
#ifndef BP_UI_TERM_INPUT_H
#define BP_UI_TERM_INPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "ui/event.h"

enum {
    BP_INPUT_NONE = -1,      /* nothing came in time */
    BP_INPUT_KEY = 0x2000,   /* + modifiers * 64 + place of the name */
    BP_INPUT_MOUSE = 0x3000, /* ESC [ <, an SGR report follows */
    BP_INPUT_OLD_MOUSE,      /* ESC [ M, three bytes follow */
    BP_INPUT_IGNORE,         /* something that means nothing here */
    BP_INPUT_ESCAPE_MS = 25, /* how long the rest of a sequence may take */
};

struct bp_input {
    /* The next byte (0 .. 255) or code, waiting at most ms for it; BP_INPUT_NONE for none. */
    int (*next)(void *from, int ms);
    void *from;
    bool utf8;        /* else the locale's single bytes */
    int pushed;       /* read too early; BP_INPUT_NONE at first */
    bool button_down; /* the left one */
};

/* The code of a named key (event.h) with BP_SHIFT, BP_ALT and BP_CTRL. */
int bp_input_code(uint32_t key);

/* The next key or deed of the mouse that has arrived; false when there is none. */
bool bp_input_take(struct bp_input *input, struct bp_event *event);

#endif
