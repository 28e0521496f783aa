/*
 * The picture that a view paints: a grid of cells, each a character and a style role. Views never
 * touch a terminal; term_curses.c shows a grid, dump.c writes one as text, tests read it.
 *
 * Roles say what a cell means ("heat", "selected", "warning"); the theme turns roles into
 * colours last. Every function clips: painting outside a grid or a rectangle does nothing.
 */
#ifndef BP_UI_CELLS_H
#define BP_UI_CELLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* X(suffix, letter in the style plane of a dump, meaning). heat 0..15 follow as letters a..p. */
#define BP_ROLES(X)                                             \
    X(TEXT, '.', "plain text")                                  \
    X(DIM, '-', "labels, axes, units")                          \
    X(TITLE, 'T', "titles of panels")                           \
    X(FRAME, '|', "frames of panels")                           \
    X(FOCUS, 'F', "frame and title of the panel with the keys") \
    X(KEY, 'K', "a key that does something")                    \
    X(VALUE, 'V', "figures that matter")                        \
    X(GOOD, 'G', "fits, proved")                                \
    X(WARNING, 'W', "bounded, close, unmeasured")               \
    X(ERROR, 'E', "does not fit, refused")                      \
    X(SELECTED, 'S', "the selected line or switch")             \
    X(ON, 'O', "a switch that is on")                           \
    X(OFF, 'x', "a switch that is off")                         \
    X(SLIDER, 'L', "the budget: slider, this plan on a chart")  \
    X(TRACK, '=', "the slider's track")                         \
    X(CURVE, 'C', "the frontier")                               \
    X(UNIFORM, 'U', "uniform configs")                          \
    X(BASELINE, 'N', "QLoRA's NF3 and NF4")                     \
    X(BOOKMARK, 'B', "bookmarked plans")                        \
    X(PINNED, 'P', "a matrix under a constraint of its own")    \
    X(HATCHED, 'H', "not measured")                             \
    X(QUANTIZED, 'q', "memory: codes and scales")               \
    X(LOW_RANK, 'r', "memory: low-rank parts")                  \
    X(OUTSIDE, 's', "memory: everything else")                  \
    X(CACHE, 't', "memory: KV cache")                           \
    X(TRAINING, 'u', "memory: gradients and optimizer")         \
    X(ACTIVATION, 'v', "memory: activations")                   \
    X(HEAT, 'a', "heat 0 (least) .. 15 (most): letters a..p")

enum { BP_N_HEATS = 16 };

enum bp_role {
#define BP_ROLE_ENUM(suffix, letter, meaning) BP_ROLE_##suffix,
    BP_ROLES(BP_ROLE_ENUM)
#undef BP_ROLE_ENUM
        BP_N_ROLES = BP_ROLE_HEAT + BP_N_HEATS
};

char bp_role_letter(unsigned role);
const char *bp_role_meaning(unsigned role);

struct bp_cell {
    uint32_t ch;   /* Unicode code point; 0 = right half of a wide character */
    uint8_t role;  /* enum bp_role */
    bool reversed; /* cursor and selection on top of a role */
};

struct bp_rect {
    int x, y, w, h; /* columns and rows from the upper left; empty when w or h <= 0 */
};

struct bp_cells {
    int cols, rows;
    bool ascii;             /* put characters outside ASCII as their nearest ASCII ones */
    struct bp_cell *at;     /* [rows * cols] */
    int cursor_x, cursor_y; /* where the terminal's cursor shows (text entry); -1 = hidden */
};

enum { BP_MAX_COLS = 1000, BP_MAX_ROWS = 500 };

/* Sizes are clamped to 1 .. BP_MAX_*; the grid is cleared. False when out of memory: then the old
 * size stays. */
bool bp_cells_resize(struct bp_cells *cells, int cols, int rows);
void bp_cells_done(struct bp_cells *cells);
/* All blanks of role TEXT, cursor hidden. */
void bp_cells_clear(struct bp_cells *cells);

struct bp_rect bp_cells_rect(const struct bp_cells *cells);
/* Within `by` on each side. */
struct bp_rect bp_rect_inset(struct bp_rect r, int by);
struct bp_rect bp_rect_clip(struct bp_rect r, struct bp_rect to);
bool bp_rect_has(struct bp_rect r, int x, int y);

/* One character of width 1, clipped to `clip`. */
void bp_cells_put(struct bp_cells *cells, struct bp_rect clip, int x, int y, unsigned role,
                  uint32_t ch);
void bp_cells_fill(struct bp_cells *cells, struct bp_rect r, unsigned role, uint32_t ch);
/* UTF-8 text from (x, y), clipped; bytes that are no UTF-8 and control characters show as '?'.
 * Returns the column behind it, as if nothing had been clipped. */
int bp_cells_text(struct bp_cells *cells, struct bp_rect clip, int x, int y, unsigned role,
                  const char *utf8);
int bp_cells_printf(struct bp_cells *cells, struct bp_rect clip, int x, int y, unsigned role,
                    const char *fmt, ...) __attribute__((format(printf, 6, 7)));
/* The same so that it ends before column x_end; returns the column it starts at. */
int bp_cells_right(struct bp_cells *cells, struct bp_rect clip, int x_end, int y, unsigned role,
                   const char *utf8);
/* A frame with a title in its upper edge; the title is cut where the frame is narrow. */
void bp_cells_frame(struct bp_cells *cells, struct bp_rect r, bool focus, const char *title);
/* Turns what is there reversed, or back. */
void bp_cells_reverse(struct bp_cells *cells, struct bp_rect r);

/* The code point at *p, which moves behind it; UINT32_MAX for a byte that is no UTF-8. */
uint32_t bp_utf8_next(const char **p);
/* A code point as UTF-8 with a NUL behind it; returns its bytes, 1 .. 4. */
int bp_utf8_text(uint32_t ch, char text[5]);
/* Columns that UTF-8 text takes. */
int bp_text_width(const char *utf8);
/* The ASCII character that stands for a code point ('?' for those without one). */
char bp_ascii_of(uint32_t ch);

/* --- dump --- */

/* The frame as text, on the heap (NULL when out of memory): a line "size COLSxROWS", each row
 * between '|' bars, an empty line, each row of the style plane (a letter a role) between '|' bars;
 * then, where there are any, an empty line and a line "reversed X,Y+N" for each run of reversed
 * cells, and "cursor X,Y" when the cursor shows. */
char *bp_cells_dump(const struct bp_cells *cells);

#endif
