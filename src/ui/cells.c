#include "ui/cells.h"

#include <assert.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "engine/json_lex.h"
#include "engine/mem.h"

/* --- roles ------------------------------------------------------------------------------------ */

char bp_role_letter(unsigned role)
{
    static const char letters[BP_ROLE_HEAT + 1] = {
#define LETTER(suffix, letter, meaning) letter,
        BP_ROLES(LETTER)
#undef LETTER
    };
    assert(role < BP_N_ROLES);
    if (role >= BP_ROLE_HEAT)
        return (char)(letters[BP_ROLE_HEAT] + (role - BP_ROLE_HEAT));
    return letters[role];
}

const char *bp_role_meaning(unsigned role)
{
    static const char *const meanings[BP_ROLE_HEAT + 1] = {
#define MEANING(suffix, letter, meaning) meaning,
        BP_ROLES(MEANING)
#undef MEANING
    };
    assert(role < BP_N_ROLES);
    return meanings[role < BP_ROLE_HEAT ? role : BP_ROLE_HEAT];
}

/* --- rectangles ------------------------------------------------------------------------------- */

static int min_int(int a, int b)
{
    return a < b ? a : b;
}

static int max_int(int a, int b)
{
    return a > b ? a : b;
}

struct bp_rect bp_cells_rect(const struct bp_cells *cells)
{
    return (struct bp_rect){0, 0, cells->cols, cells->rows};
}

struct bp_rect bp_rect_inset(struct bp_rect r, int by)
{
    return (struct bp_rect){r.x + by, r.y + by, r.w - 2 * by, r.h - 2 * by};
}

struct bp_rect bp_rect_clip(struct bp_rect r, struct bp_rect to)
{
    /* Wide sums: a rectangle may lie anywhere. */
    const long long x0 = max_int(r.x, to.x), y0 = max_int(r.y, to.y);
    long long x1 = (long long)r.x + r.w, y1 = (long long)r.y + r.h;
    if (x1 > (long long)to.x + to.w)
        x1 = (long long)to.x + to.w;
    if (y1 > (long long)to.y + to.h)
        y1 = (long long)to.y + to.h;
    if (r.w <= 0 || r.h <= 0 || x1 <= x0 || y1 <= y0)
        return (struct bp_rect){(int)x0, (int)y0, 0, 0};
    return (struct bp_rect){(int)x0, (int)y0, (int)(x1 - x0), (int)(y1 - y0)};
}

bool bp_rect_has(struct bp_rect r, int x, int y)
{
    return x >= r.x && y >= r.y && (long long)x < (long long)r.x + r.w &&
           (long long)y < (long long)r.y + r.h;
}

/* --- the grid --------------------------------------------------------------------------------- */

bool bp_cells_resize(struct bp_cells *cells, int cols, int rows)
{
    cols = min_int(max_int(cols, 1), BP_MAX_COLS);
    rows = min_int(max_int(rows, 1), BP_MAX_ROWS);
    if (!cells->at || cols != cells->cols || rows != cells->rows) {
        struct bp_cell *at = bp_grow(cells->at, (size_t)cols * (size_t)rows, sizeof *at);
        if (!at)
            return false;
        cells->at = at;
        cells->cols = cols;
        cells->rows = rows;
    }
    bp_cells_clear(cells);
    return true;
}

void bp_cells_done(struct bp_cells *cells)
{
    free(cells->at);
    *cells = (struct bp_cells){.cursor_x = -1, .cursor_y = -1};
}

void bp_cells_clear(struct bp_cells *cells)
{
    const size_t n = (size_t)cells->cols * (size_t)cells->rows;
    for (size_t i = 0; i < n; i++)
        cells->at[i] = (struct bp_cell){.ch = ' ', .role = BP_ROLE_TEXT};
    cells->cursor_x = cells->cursor_y = -1;
}

static struct bp_cell *cell_at(struct bp_cells *cells, int x, int y)
{
    return &cells->at[(size_t)y * (size_t)cells->cols + (size_t)x];
}

/* A new cell at (x, y) within the grid. What is left of a wide character there turns blank. */
static void set_cell(struct bp_cells *cells, int x, int y, unsigned role, uint32_t ch)
{
    assert(role < BP_N_ROLES);
    struct bp_cell *cell = cell_at(cells, x, y);
    if (cell->ch == 0 && x > 0)
        cell[-1].ch = ' ';
    if (x + 1 < cells->cols && cell[1].ch == 0)
        cell[1].ch = ' ';
    *cell = (struct bp_cell){.ch = ch, .role = (uint8_t)role};
}

/* --- characters ------------------------------------------------------------------------------- */

/* Columns of a code point: 0, 1 or 2; -1 for a control character. The C library knows, but only
 * where the locale's characters are Unicode, so it is asked in one that surely is. */
static int char_width(uint32_t ch)
{
    static locale_t unicode;
    if (ch < 0x20 || (ch >= 0x7f && ch < 0xa0))
        return -1;
    /* Latin, and the symbols from arrows to braille that most of the picture is made of. */
    if (ch < 0x300 || (ch >= 0x2500 && ch < 0x2600) || (ch >= 0x2800 && ch < 0x2900))
        return 1;
    if (!unicode)
        unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    if (!unicode)
        return 1;
    locale_t before = uselocale(unicode);
    const int width = wcwidth((wchar_t)ch);
    uselocale(before);
    return width < 0 ? -1 : width;
}

uint32_t bp_utf8_next(const char **p)
{
    const unsigned char *s = (const unsigned char *)*p;
    /* strnlen keeps a character that the end of the string cuts from being read beyond. */
    const size_t n = bp_utf8_length(s, s + strnlen(*p, 4));
    uint32_t ch = UINT32_MAX;
    if (n == 1)
        ch = s[0];
    else if (n > 1) {
        ch = s[0] & (0xffu >> (n + 1));
        for (size_t i = 1; i < n; i++)
            ch = ch << 6 | (s[i] & 0x3fu);
    }
    *p += n ? n : 1;
    return ch;
}

int bp_utf8_text(uint32_t ch, char text[5])
{
    const int n = ch < 0x80 ? 1 : ch < 0x800 ? 2 : ch < 0x10000 ? 3 : 4;
    static const uint8_t lead[5] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (int i = n - 1; i > 0; i--) {
        text[i] = (char)(0x80 | (ch & 0x3f));
        ch >>= 6;
    }
    text[0] = (char)(lead[n] | ch);
    text[n] = '\0';
    return n;
}

/* The character to show for a code point, and its columns: '?' for what cannot be shown. */
static uint32_t shown_char(uint32_t ch, int *width)
{
    *width = ch == UINT32_MAX ? -1 : char_width(ch);
    if (*width >= 0)
        return ch;
    *width = 1;
    return '?';
}

int bp_text_width(const char *utf8)
{
    int columns = 0;
    while (*utf8) {
        int width;
        shown_char(bp_utf8_next(&utf8), &width);
        columns += width;
    }
    return columns;
}

/* Light, heavy and double box characters, U+2500..257F. */
static char ascii_of_box(uint32_t ch)
{
    static const char map[] = "--||--||--||++++"   /* 2500 */
                              "++++++++++++++++"   /* 2510 */
                              "++++++++++++++++"   /* 2520 */
                              "++++++++++++++++"   /* 2530 */
                              "++++++++++++--||"   /* 2540 */
                              "=|++++++++++++++"   /* 2550 */
                              "++++++++++++++++"   /* 2560 */
                              "+/\\X-|-|-|-|-|-|"; /* 2570 */
    return map[ch - 0x2500];
}

/* Blocks and shades, U+2580..259F: by how much of the cell they fill. */
static char ascii_of_block(uint32_t ch)
{
    /* upper half; lower 1/8 .. 7/8; full; left 7/8 .. 1/8; right half; three shades; upper 1/8;
     * right 1/8; ten of quadrants */
    static const char map[] = "\"__..==##"  /* 2580 .. 2588 */
                              "#==:::|"     /* 2589 .. 258f */
                              "|.:%\"|"     /* 2590 .. 2595 */
                              "..'####'##"; /* 2596 .. 259f */
    return map[ch - 0x2580];
}

/* Geometric shapes, U+25A0..25FF. */
static char ascii_of_shape(uint32_t ch)
{
    static const struct {
        uint16_t first, last;
        char ascii;
    } map[] = {
        {0x25a0, 0x25a0, '#'}, {0x25a1, 0x25a3, 'o'}, {0x25a4, 0x25a9, '%'}, {0x25aa, 0x25aa, '*'},
        {0x25ab, 0x25ab, 'o'}, {0x25ac, 0x25ad, '-'}, {0x25ae, 0x25af, '|'}, {0x25b0, 0x25b1, '/'},
        {0x25b2, 0x25b5, '^'}, {0x25b6, 0x25bb, '>'}, {0x25bc, 0x25bf, 'v'}, {0x25c0, 0x25c5, '<'},
        {0x25c6, 0x25c6, '*'}, {0x25c7, 0x25c7, 'o'}, {0x25c8, 0x25c9, '@'}, {0x25ca, 0x25cc, 'o'},
        {0x25cd, 0x25ce, '@'}, {0x25cf, 0x25cf, '*'}, {0x25d0, 0x25d7, '*'}, {0x25d8, 0x25e1, 'o'},
        {0x25e2, 0x25e5, '#'}, {0x25e6, 0x25e6, 'o'}, {0x25e7, 0x25ff, 'o'},
    };
    for (size_t i = 0; i < sizeof map / sizeof *map; i++)
        if (ch >= map[i].first && ch <= map[i].last)
            return map[i].ascii;
    return '?';
}

/* Everything else that has a likeness: signs of numbers and of typography, arrows, marks. */
static char ascii_of_sign(uint32_t ch)
{
    static const struct {
        uint32_t ch;
        char ascii;
    } map[] = {
        {0xa0, ' '},    {0xab, '<'},   {0xb0, 'o'},    {0xb1, '+'},    {0xb2, '2'},
        {0xb3, '3'},    {0xb4, '\''},  {0xb5, 'u'},    {0xb7, '.'},    {0xbb, '>'},
        {0xd7, 'x'},    {0xf7, '/'},   {0x394, 'D'},   {0x3a3, 'S'},   {0x3b5, 'e'},
        {0x3bb, 'l'},   {0x3bc, 'u'},  {0x3c3, 's'},   {0x2010, '-'},  {0x2011, '-'},
        {0x2012, '-'},  {0x2013, '-'}, {0x2014, '-'},  {0x2018, '\''}, {0x2019, '\''},
        {0x201c, '"'},  {0x201d, '"'}, {0x2022, '*'},  {0x2023, '>'},  {0x2024, '.'},
        {0x2026, '.'},  {0x202f, ' '}, {0x2032, '\''}, {0x2033, '"'},  {0x2039, '<'},
        {0x203a, '>'},  {0x2043, '-'}, {0x2190, '<'},  {0x2191, '^'},  {0x2192, '>'},
        {0x2193, 'v'},  {0x2194, '-'}, {0x2195, '|'},  {0x2196, '\\'}, {0x2197, '/'},
        {0x2198, '\\'}, {0x2199, '/'}, {0x21a6, '>'},  {0x21b5, '<'},  {0x21d0, '<'},
        {0x21d1, '^'},  {0x21d2, '>'}, {0x21d3, 'v'},  {0x21d4, '-'},  {0x21e7, '^'},
        {0x2205, '0'},  {0x2211, 'S'}, {0x2212, '-'},  {0x2215, '/'},  {0x2217, '*'},
        {0x2219, '.'},  {0x221a, 'v'}, {0x2225, '|'},  {0x223c, '~'},  {0x2248, '~'},
        {0x2260, '#'},  {0x2264, '<'}, {0x2265, '>'},  {0x22c5, '.'},  {0x2605, '*'},
        {0x2606, '*'},  {0x2610, 'o'}, {0x2611, 'x'},  {0x2612, 'x'},  {0x2713, '+'},
        {0x2714, '+'},  {0x2715, 'x'}, {0x2716, 'x'},  {0x2717, 'x'},  {0x2718, 'x'},
        {0x2795, '+'},  {0x2796, '-'}, {0x279c, '>'},  {0x27a4, '>'},  {0x2b06, '^'},
        {0x2b07, 'v'},  {0x2b24, '*'},
    };
    for (size_t i = 0; i < sizeof map / sizeof *map; i++)
        if (map[i].ch == ch)
            return map[i].ascii;
    return '?';
}

char bp_ascii_of(uint32_t ch)
{
    if (ch >= 0x20 && ch < 0x7f)
        return (char)ch;
    if (ch >= 0x2500 && ch <= 0x257f)
        return ascii_of_box(ch);
    if (ch >= 0x2580 && ch <= 0x259f)
        return ascii_of_block(ch);
    if (ch >= 0x25a0 && ch <= 0x25ff)
        return ascii_of_shape(ch);
    if (ch >= 0x2800 && ch <= 0x28ff) {
        const int dots = __builtin_popcount(ch & 0xff);
        return dots == 0 ? ' ' : dots <= 4 ? '.' : ':';
    }
    return ascii_of_sign(ch);
}

/* --- painting --------------------------------------------------------------------------------- */

/* A character of `width` columns where the clipping rectangle, already within the grid, lets it. Of
 * a wide one that is cut, the half inside turns blank. */
static void put_char(struct bp_cells *cells, struct bp_rect clip, int x, int y, unsigned role,
                     uint32_t ch, int width)
{
    const bool left = bp_rect_has(clip, x, y);
    const bool right = width == 2 && bp_rect_has(clip, x + 1, y);
    if (cells->ascii && ch >= 0x7f)
        ch = (uint32_t)(unsigned char)bp_ascii_of(ch);
    if (left)
        set_cell(cells, x, y, role, width == 2 && !right ? ' ' : ch);
    if (!right)
        return;
    set_cell(cells, x + 1, y, role, ' ');
    if (left && !cells->ascii) {
        cell_at(cells, x, y)->ch = ch;
        cell_at(cells, x + 1, y)->ch = 0;
    }
}

void bp_cells_put(struct bp_cells *cells, struct bp_rect clip, int x, int y, unsigned role,
                  uint32_t ch)
{
    if (char_width(ch) != 1)
        ch = '?';
    put_char(cells, bp_rect_clip(clip, bp_cells_rect(cells)), x, y, role, ch, 1);
}

void bp_cells_fill(struct bp_cells *cells, struct bp_rect r, unsigned role, uint32_t ch)
{
    const struct bp_rect inside = bp_rect_clip(r, bp_cells_rect(cells));
    if (char_width(ch) != 1)
        ch = '?';
    for (int y = inside.y; y < inside.y + inside.h; y++)
        for (int x = inside.x; x < inside.x + inside.w; x++)
            put_char(cells, inside, x, y, role, ch, 1);
}

int bp_cells_text(struct bp_cells *cells, struct bp_rect clip, int x, int y, unsigned role,
                  const char *utf8)
{
    const struct bp_rect inside = bp_rect_clip(clip, bp_cells_rect(cells));
    while (*utf8) {
        int width;
        const uint32_t ch = shown_char(bp_utf8_next(&utf8), &width);
        /* Combining characters have no cell: a cell holds one code point. */
        if (width > 0)
            put_char(cells, inside, x, y, role, ch, width);
        x += width;
    }
    return x;
}

int bp_cells_printf(struct bp_cells *cells, struct bp_rect clip, int x, int y, unsigned role,
                    const char *fmt, ...)
{
    char text[4 * BP_MAX_COLS + 1]; /* what a row can hold; more is cut */
    va_list args;
    va_start(args, fmt);
    const int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (n < 0)
        return x;
    if ((size_t)n >= sizeof text) {
        /* Not in the middle of a character. */
        size_t end = sizeof text - 1;
        while (end > 0 && ((unsigned char)text[end - 1] & 0xc0) == 0x80)
            end--;
        if (end > 0 && (unsigned char)text[end - 1] >= 0xc0)
            end--;
        text[end] = '\0';
    }
    return bp_cells_text(cells, clip, x, y, role, text);
}

int bp_cells_right(struct bp_cells *cells, struct bp_rect clip, int x_end, int y, unsigned role,
                   const char *utf8)
{
    const int x = x_end - bp_text_width(utf8);
    bp_cells_text(cells, clip, x, y, role, utf8);
    return x;
}

void bp_cells_frame(struct bp_cells *cells, struct bp_rect r, bool focus, const char *title)
{
    const unsigned role = focus ? BP_ROLE_FOCUS : BP_ROLE_FRAME;
    const struct bp_rect all = bp_cells_rect(cells);
    if (r.w < 2 || r.h < 2)
        return;
    const int right = r.x + r.w - 1, bottom = r.y + r.h - 1;
    bp_cells_fill(cells, (struct bp_rect){r.x, r.y, r.w, 1}, role, 0x2500);
    bp_cells_fill(cells, (struct bp_rect){r.x, bottom, r.w, 1}, role, 0x2500);
    bp_cells_fill(cells, (struct bp_rect){r.x, r.y, 1, r.h}, role, 0x2502);
    bp_cells_fill(cells, (struct bp_rect){right, r.y, 1, r.h}, role, 0x2502);
    bp_cells_put(cells, all, r.x, r.y, role, 0x250c);
    bp_cells_put(cells, all, right, r.y, role, 0x2510);
    bp_cells_put(cells, all, r.x, bottom, role, 0x2514);
    bp_cells_put(cells, all, right, bottom, role, 0x2518);
    /* A blank on either side of the title, an edge outside of these. */
    const struct bp_rect room = {r.x + 2, r.y, r.w - 4, 1};
    if (!title || !*title || room.w <= 0)
        return;
    const int width = min_int(bp_text_width(title), room.w);
    bp_cells_fill(cells, (struct bp_rect){room.x - 1, r.y, width + 2, 1}, role, ' ');
    bp_cells_text(cells, room, room.x, r.y, focus ? BP_ROLE_FOCUS : BP_ROLE_TITLE, title);
}

void bp_cells_reverse(struct bp_cells *cells, struct bp_rect r)
{
    const struct bp_rect inside = bp_rect_clip(r, bp_cells_rect(cells));
    for (int y = inside.y; y < inside.y + inside.h; y++)
        for (int x = inside.x; x < inside.x + inside.w; x++) {
            struct bp_cell *cell = cell_at(cells, x, y);
            cell->reversed = !cell->reversed;
        }
}
