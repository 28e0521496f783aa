/*
 * Where the panels are: a pure function of the size, of the page that is open and of nothing else,
 * so that painting and the mouse agree, and so that it can be tested at every size.
 */
#ifndef BP_UI_LAYOUT_H
#define BP_UI_LAYOUT_H

#include <stdbool.h>

#include "ui/cells.h"

/* X(suffix, word in sessions and on the command line) */
#define BP_PANELS(X)    \
    X(BUDGET, "budget") \
    X(MAP, "map")       \
    X(CURVE, "curve")   \
    X(DETAIL, "matrix") \
    X(GRID, "grid")     \
    X(MEMORY, "memory") \
    X(PLANS, "plans")

enum bp_panel {
#define BP_PANEL_ENUM(suffix, word) BP_PANEL_##suffix,
    BP_PANELS(BP_PANEL_ENUM)
#undef BP_PANEL_ENUM
        BP_N_PANELS
};

const char *bp_panel_word(enum bp_panel panel);
/* BP_N_PANELS for a word that is none. */
enum bp_panel bp_panel_parse(const char *word);

enum bp_screen {
    BP_SCREEN_CARD,  /* too small: says what is needed */
    BP_SCREEN_TABS,  /* one panel at a time under the budget */
    BP_SCREEN_WIDE,  /* map, grid or a page on the left; curve and matrix on the right */
    BP_SCREEN_LARGE, /* everything at once */
};

enum { BP_LEAST_COLS = 60, BP_LEAST_ROWS = 17 };

struct bp_layout {
    enum bp_screen screen;
    struct bp_rect header, message, footer; /* one row each */
    struct bp_rect tabs;                    /* one row; empty where all panels show */
    struct bp_rect memory_line;        /* a row of memory figures where the panel is not open */
    struct bp_rect panel[BP_N_PANELS]; /* empty = not on the screen */
};

/* The panel `page` is on the screen in any case (but on a card). */
struct bp_layout bp_layout(int cols, int rows, enum bp_panel page);

static inline bool bp_layout_shows(const struct bp_layout *layout, enum bp_panel panel)
{
    return layout->panel[panel].w > 0 && layout->panel[panel].h > 0;
}

#endif
