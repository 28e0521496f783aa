#include "ui/layout.h"

#include <string.h>

static const char *const words[BP_N_PANELS] = {
#define PANEL_WORD(suffix, word) word,
    BP_PANELS(PANEL_WORD)
#undef PANEL_WORD
};

const char *bp_panel_word(enum bp_panel panel)
{
    return words[panel];
}

enum bp_panel bp_panel_parse(const char *word)
{
    int p = 0;
    while (p < BP_N_PANELS && strcmp(word, words[p]) != 0)
        p++;
    return (enum bp_panel)p;
}

enum {
    BUDGET_ROWS = 6,
    GRID_ROWS = 10,
    WIDE_COLS = 110,
    WIDE_ROWS = 32,
    LARGE_COLS = 160,
    LARGE_ROWS = 48,
    MEMORY_ROWS = 23,
};

static struct bp_rect rect(int x, int y, int w, int h)
{
    return (struct bp_rect){x, y, w > 0 ? w : 0, h > 0 ? h : 0};
}

/* One panel below the budget, the others behind tabs. */
static void lay_tabs(struct bp_layout *l, int cols, int top, int bottom, enum bp_panel page)
{
    l->tabs = rect(0, top, cols, 1);
    if (page == BP_PANEL_BUDGET)
        page = BP_PANEL_MAP;
    l->panel[page] = rect(0, top + 1, cols, bottom - top - 1);
}

/* Left: the map over the grid, or the memory, or the plans. Right: curve over matrix. */
static void lay_wide(struct bp_layout *l, int cols, int top, int bottom, enum bp_panel page)
{
    const int left = cols * 57 / 100;
    l->memory_line = rect(0, bottom - 1, cols, 1);
    bottom--;
    const int h = bottom - top;
    if (page == BP_PANEL_MEMORY || page == BP_PANEL_PLANS) {
        l->panel[page] = rect(0, top, left, h);
    } else {
        l->panel[BP_PANEL_MAP] = rect(0, top, left, h - GRID_ROWS);
        l->panel[BP_PANEL_GRID] = rect(0, bottom - GRID_ROWS, left, GRID_ROWS);
    }
    const int curve = h * 45 / 100;
    l->panel[BP_PANEL_CURVE] = rect(left, top, cols - left, curve);
    l->panel[BP_PANEL_DETAIL] = rect(left, top + curve, cols - left, h - curve);
}

/* Everything: the wide screen with memory and plans below. */
static void lay_large(struct bp_layout *l, int cols, int top, int bottom)
{
    const int left = cols * 57 / 100, lower = bottom - MEMORY_ROWS;
    const int h = lower - top, curve = h / 2;
    l->panel[BP_PANEL_MAP] = rect(0, top, left, h - GRID_ROWS);
    l->panel[BP_PANEL_GRID] = rect(0, lower - GRID_ROWS, left, GRID_ROWS);
    l->panel[BP_PANEL_CURVE] = rect(left, top, cols - left, curve);
    l->panel[BP_PANEL_DETAIL] = rect(left, top + curve, cols - left, h - curve);
    l->panel[BP_PANEL_MEMORY] = rect(0, lower, left, MEMORY_ROWS);
    l->panel[BP_PANEL_PLANS] = rect(left, lower, cols - left, MEMORY_ROWS);
}

struct bp_layout bp_layout(int cols, int rows, enum bp_panel page)
{
    struct bp_layout l = {.screen = BP_SCREEN_CARD};
    if (cols < BP_LEAST_COLS || rows < BP_LEAST_ROWS)
        return l;
    l.header = rect(0, 0, cols, 1);
    l.panel[BP_PANEL_BUDGET] = rect(0, 1, cols, BUDGET_ROWS);
    l.message = rect(0, rows - 2, cols, 1);
    l.footer = rect(0, rows - 1, cols, 1);
    const int top = 1 + BUDGET_ROWS, bottom = rows - 2;
    if (cols >= LARGE_COLS && rows >= LARGE_ROWS) {
        l.screen = BP_SCREEN_LARGE;
        lay_large(&l, cols, top, bottom);
    } else if (cols >= WIDE_COLS && rows >= WIDE_ROWS) {
        l.screen = BP_SCREEN_WIDE;
        lay_wide(&l, cols, top, bottom, page);
    } else {
        l.screen = BP_SCREEN_TABS;
        lay_tabs(&l, cols, top, bottom, page);
    }
    return l;
}
