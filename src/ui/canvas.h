/*
 * Charts on sub-cells: a canvas of dots over a rectangle of cells, 2 x 4 dots a cell as Braille, or
 * 1 x 2 in ASCII. Drawing is clipped; coordinates are in dots from the upper left, as doubles, so
 * that a chart need not know the resolution: it asks for the size and scales.
 */
#ifndef BP_UI_CANVAS_H
#define BP_UI_CANVAS_H

#include "ui/cells.h"

struct bp_canvas;

/* Over the rectangle of the grid; ASCII where the grid is. NULL when out of memory or empty. */
struct bp_canvas *bp_canvas_new(const struct bp_cells *cells, struct bp_rect where);
struct bp_canvas *bp_canvas_free(struct bp_canvas *canvas);

int bp_canvas_width(const struct bp_canvas *canvas); /* in dots */
int bp_canvas_height(const struct bp_canvas *canvas);

/* A later drawing's role wins in a cell. NaN or infinite coordinates draw nothing. */
void bp_canvas_dot(struct bp_canvas *canvas, double x, double y, unsigned role);
void bp_canvas_line(struct bp_canvas *canvas, double x0, double y0, double x1, double y1,
                    unsigned role);
/* A character in the cell at the dot, on top of all dots. */
void bp_canvas_mark(struct bp_canvas *canvas, double x, double y, unsigned role, uint32_t ch);

/* Puts the cells that hold something onto the grid. */
void bp_canvas_draw(const struct bp_canvas *canvas, struct bp_cells *cells);

#endif
