/*
 * Roles to colours. The heat ramp is one hue order that the colour-blind tell apart by lightness
 * (cividis: dark blue to yellow), and every heat cell carries a glyph besides.
 */
#ifndef BP_UI_THEME_H
#define BP_UI_THEME_H

#include <stdbool.h>
#include <stdint.h>

struct bp_style {
    int32_t fg, bg;                     /* 0xRRGGBB; -1 = the terminal's own */
    int16_t fg256, bg256;               /* xterm's 256; -1 = the terminal's own */
    int16_t fg16, bg16;                 /* 0 .. 15; -1 = the terminal's own */
    bool bold, dim, underline, reverse; /* all that mono has; also used with colours where set */
    bool mono_bold, mono_dim, mono_underline, mono_reverse;
};

/* The style of a role (cells.h). */
const struct bp_style *bp_theme_style(unsigned role);

#endif
