/*
 * What can happen to the workbench: a key, the mouse, a new size, news from a worker. Keys have
 * words ("Right", "S-Right", "F1", "C-l", "q"), the same in the action table, in the configuration
 * and in scripts.
 */
#ifndef BP_UI_EVENT_H
#define BP_UI_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Keys beyond Unicode. X(suffix, word) */
#define BP_KEYS(X)            \
    X(UP, "Up")               \
    X(DOWN, "Down")           \
    X(LEFT, "Left")           \
    X(RIGHT, "Right")         \
    X(HOME, "Home")           \
    X(END, "End")             \
    X(PAGE_UP, "PageUp")      \
    X(PAGE_DOWN, "PageDown")  \
    X(INSERT, "Insert")       \
    X(DELETE, "Delete")       \
    X(BACKSPACE, "Backspace") \
    X(TAB, "Tab")             \
    X(ENTER, "Enter")         \
    X(ESCAPE, "Esc")          \
    X(F1, "F1")               \
    X(F2, "F2")               \
    X(F3, "F3")               \
    X(F4, "F4")               \
    X(F5, "F5")               \
    X(F6, "F6")               \
    X(F7, "F7")               \
    X(F8, "F8")               \
    X(F9, "F9")               \
    X(F10, "F10")             \
    X(F11, "F11")             \
    X(F12, "F12")

/* A key is a code point, or one of these, with modifiers as high bits. Space is ' ' ("Space").
 * Ctrl-letter is BP_CTRL | 'l'; a shifted letter is its capital; BP_SHIFT goes with named keys. */
enum {
    BP_KEY_NAMED = 0x200000,
#define BP_KEY_ENUM(suffix, word) BP_KEY_##suffix,
    BP_KEYS(BP_KEY_ENUM)
#undef BP_KEY_ENUM
        BP_KEY_END_OF_NAMES,
    BP_SHIFT = 0x1000000,
    BP_CTRL = 0x2000000,
    BP_ALT = 0x4000000,
};

enum { BP_KEY_TEXT = 24 };

/* "S-Right" into the key; false for a word that is none. One character is itself. */
bool bp_key_parse(const char *word, uint32_t *key);
/* The reverse; returns text. */
const char *bp_key_name(uint32_t key, char text[BP_KEY_TEXT]);

enum bp_mouse { BP_MOUSE_PRESS, BP_MOUSE_RELEASE, BP_MOUSE_DRAG, BP_MOUSE_WHEEL };

enum bp_event_kind {
    BP_EVENT_NONE,
    BP_EVENT_KEY,    /* key */
    BP_EVENT_MOUSE,  /* mouse, x, y, wheel: -1 up, 1 down; the left button only */
    BP_EVENT_RESIZE, /* x, y: columns and rows */
    BP_EVENT_WAKE,   /* a worker has news */
    BP_EVENT_STOP,   /* SIGTERM, SIGHUP: leave at once, save what would be lost */
};

struct bp_event {
    enum bp_event_kind kind;
    uint32_t key;
    enum bp_mouse mouse;
    int x, y, wheel;
};

#endif
