#include "ui/canvas.h"

#include <math.h>
#include <stdlib.h>

/* What a cell of the chart holds. */
struct spot {
    uint32_t mark; /* 0: the dots */
    uint8_t dots;  /* Braille's bits; in ASCII bit 0 is the upper and bit 1 the lower dot */
    uint8_t role;
};

struct bp_canvas {
    struct bp_rect where;
    bool ascii;
    int width, height; /* in dots */
    int per_col, per_row;
    struct spot at[]; /* [where.w * where.h] */
};

struct bp_canvas *bp_canvas_new(const struct bp_cells *cells, struct bp_rect where)
{
    const struct bp_rect inside = bp_rect_clip(where, bp_cells_rect(cells));
    if (inside.w <= 0 || inside.h <= 0)
        return NULL;
    const size_t n = (size_t)inside.w * (size_t)inside.h;
    struct bp_canvas *canvas = calloc(1, sizeof *canvas + n * sizeof *canvas->at);
    if (!canvas)
        return NULL;
    canvas->where = inside;
    canvas->ascii = cells->ascii;
    canvas->per_col = cells->ascii ? 1 : 2;
    canvas->per_row = cells->ascii ? 2 : 4;
    canvas->width = inside.w * canvas->per_col;
    canvas->height = inside.h * canvas->per_row;
    return canvas;
}

struct bp_canvas *bp_canvas_free(struct bp_canvas *canvas)
{
    free(canvas);
    return NULL;
}

int bp_canvas_width(const struct bp_canvas *canvas)
{
    return canvas->width;
}

int bp_canvas_height(const struct bp_canvas *canvas)
{
    return canvas->height;
}

/* The dot that is nearest to (x, y); false when that is outside. */
static bool nearest_dot(const struct bp_canvas *canvas, double x, double y, int *dot_x, int *dot_y)
{
    /* Written so that NaN fails. */
    if (!(x >= -0.5 && y >= -0.5 && x < canvas->width - 0.5 && y < canvas->height - 0.5))
        return false;
    *dot_x = (int)floor(x + 0.5);
    *dot_y = (int)floor(y + 0.5);
    /* x + 0.5 may have been rounded up to the edge. */
    return *dot_x < canvas->width && *dot_y < canvas->height;
}

static struct spot *spot_of(struct bp_canvas *canvas, int dot_x, int dot_y)
{
    const int col = dot_x / canvas->per_col, row = dot_y / canvas->per_row;
    return &canvas->at[(size_t)row * (size_t)canvas->where.w + (size_t)col];
}

/* Braille numbers its dots 1 2 3 down the left, 4 5 6 down the right, 7 8 below. */
static uint8_t dot_bit(const struct bp_canvas *canvas, int dot_x, int dot_y)
{
    static const uint8_t braille[4][2] = {{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}};
    return canvas->ascii ? (uint8_t)(1 << dot_y % 2) : braille[dot_y % 4][dot_x % 2];
}

void bp_canvas_dot(struct bp_canvas *canvas, double x, double y, unsigned role)
{
    int dot_x, dot_y;
    if (!nearest_dot(canvas, x, y, &dot_x, &dot_y))
        return;
    struct spot *spot = spot_of(canvas, dot_x, dot_y);
    spot->dots |= dot_bit(canvas, dot_x, dot_y);
    /* A mark is on top whatever is drawn after it. */
    if (!spot->mark)
        spot->role = (uint8_t)role;
}

/* The sides of the canvas that a point lies beyond. */
enum { LEFT = 1, RIGHT = 2, ABOVE = 4, BELOW = 8 };

static unsigned sides_of(const struct bp_canvas *canvas, double x, double y)
{
    return (x < -0.5 ? LEFT : 0u) | (x > canvas->width - 0.5 ? RIGHT : 0u) |
           (y < -0.5 ? ABOVE : 0u) | (y > canvas->height - 0.5 ? BELOW : 0u);
}

/* Moves the first point along the line to where it enters the canvas; false when it never does.
 * Cohen and Sutherland's way: the coordinate that is cut becomes the edge itself, which stays right
 * where the other end of the line is 1e300 away. */
static bool clip_end(const struct bp_canvas *canvas, double *x, double *y, double other_x,
                     double other_y)
{
    /* In halves: the difference of two huge numbers stays finite. */
    const double dx = other_x / 2 - *x / 2, dy = other_y / 2 - *y / 2;
    const unsigned other = sides_of(canvas, other_x, other_y);
    unsigned sides = sides_of(canvas, *x, *y);
    /* Twice at most, but for rounding. */
    for (int i = 0; i < 4 && sides; i++) {
        if (sides & other)
            return false;
        if (sides & (LEFT | RIGHT)) {
            const double edge = sides & LEFT ? -0.5 : canvas->width - 0.5;
            *y += (edge - *x) * (dy / dx);
            *x = edge;
        } else {
            const double edge = sides & ABOVE ? -0.5 : canvas->height - 0.5;
            *x += (edge - *y) * (dx / dy);
            *y = edge;
        }
        sides = sides_of(canvas, *x, *y);
    }
    return sides == 0;
}

void bp_canvas_line(struct bp_canvas *canvas, double x0, double y0, double x1, double y1,
                    unsigned role)
{
    if (!isfinite(x0) || !isfinite(y0) || !isfinite(x1) || !isfinite(y1) ||
        !clip_end(canvas, &x0, &y0, x1, y1) || !clip_end(canvas, &x1, &y1, x0, y0))
        return;
    const double right = canvas->width - 1, bottom = canvas->height - 1;
    x0 = fmin(fmax(x0, 0.0), right);
    x1 = fmin(fmax(x1, 0.0), right);
    y0 = fmin(fmax(y0, 0.0), bottom);
    y1 = fmin(fmax(y1, 0.0), bottom);
    const int steps = (int)ceil(fmax(fabs(x1 - x0), fabs(y1 - y0)));
    for (int i = 0; i <= steps; i++) {
        const double t = steps ? (double)i / steps : 0.0;
        bp_canvas_dot(canvas, x0 + t * (x1 - x0), y0 + t * (y1 - y0), role);
    }
}

void bp_canvas_mark(struct bp_canvas *canvas, double x, double y, unsigned role, uint32_t ch)
{
    int dot_x, dot_y;
    if (!nearest_dot(canvas, x, y, &dot_x, &dot_y))
        return;
    struct spot *spot = spot_of(canvas, dot_x, dot_y);
    spot->mark = ch;
    spot->role = (uint8_t)role;
}

void bp_canvas_draw(const struct bp_canvas *canvas, struct bp_cells *cells)
{
    static const char ascii[4] = {' ', '\'', '.', ':'};
    for (int row = 0; row < canvas->where.h; row++)
        for (int col = 0; col < canvas->where.w; col++) {
            const struct spot *spot =
                &canvas->at[(size_t)row * (size_t)canvas->where.w + (size_t)col];
            if (!spot->mark && !spot->dots)
                continue;
            const uint32_t dots =
                canvas->ascii ? (uint32_t)ascii[spot->dots] : 0x2800u | spot->dots;
            bp_cells_put(cells, canvas->where, canvas->where.x + col, canvas->where.y + row,
                         spot->role, spot->mark ? spot->mark : dots);
        }
}
