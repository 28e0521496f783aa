/*
 * A picture of a frame: reads a dump (src/ui/cells.h) on standard input, writes an SVG on standard
 * output, in the theme's colours on a dark terminal. Lines, blocks and Braille are drawn, so that
 * the picture does not depend on what a font has of them; text stands cell by cell.
 *
 *     frame_svg TITLE <0003.txt >picture.svg
 */
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ui/cells.h"
#include "ui/theme.h"

enum {
    W = 9, /* of a cell: what DejaVu Sans Mono has at FONT pixels */
    H = 18,
    FONT = 15,
    BASE = 14, /* the baseline below a cell's upper edge */
    PAD = 12,
    INK = 0xd8dee4, /* what a terminal has for its own */
    PAPER = 0x14171c,
};

/* A line of a dump, "|" and so many columns of at most 4 bytes. */
enum { LINE = 4 * BP_MAX_COLS + 8 };

_Noreturn static void die(const char *what)
{
    fprintf(stderr, "frame_svg: %s\n", what);
    exit(1);
}

/* --- reading ---------------------------------------------------------------------------------- */

static void next_line(char line[LINE])
{
    if (!fgets(line, LINE, stdin))
        die("the dump is cut off");
    line[strcspn(line, "\n")] = '\0';
}

static unsigned role_of(char letter)
{
    for (unsigned role = 0; role < BP_N_ROLES; role++)
        if (bp_role_letter(role) == letter)
            return role;
    die("a style that is none");
}

static void read_characters(struct bp_cells *c)
{
    char line[LINE];
    for (int y = 0; y < c->rows; y++) {
        next_line(line);
        const char *p = line + 1;
        struct bp_cell *row = &c->at[y * c->cols];
        for (int x = 0; x < c->cols; x++) {
            const char *from = p;
            char text[5] = "";
            row[x].ch = bp_utf8_next(&p);
            if (row[x].ch == UINT32_MAX || p == from)
                die("a row of another length");
            memcpy(text, from, (size_t)(p - from));
            if (bp_text_width(text) == 2 && x + 1 < c->cols)
                row[++x].ch = 0;
        }
        if (strcmp(p, "|") != 0)
            die("a row of another length");
    }
}

static void read_dump(struct bp_cells *c)
{
    char line[LINE];
    int cols, rows, x, y, n;
    next_line(line);
    if (sscanf(line, "size %dx%d", &cols, &rows) != 2 || !bp_cells_resize(c, cols, rows) ||
        c->cols != cols || c->rows != rows)
        die("not a dump: it begins with size COLSxROWS");
    read_characters(c);
    next_line(line);
    for (y = 0; y < rows; y++) {
        next_line(line);
        if (strlen(line) != (size_t)cols + 2)
            die("a row of styles of another length");
        for (x = 0; x < cols; x++)
            c->at[y * cols + x].role = (uint8_t)role_of(line[x + 1]);
    }
    while (fgets(line, sizeof line, stdin))
        if (sscanf(line, "reversed %d,%d+%d", &x, &y, &n) == 3)
            bp_cells_reverse(c, (struct bp_rect){x, y, n, 1});
}

/* --- colours ---------------------------------------------------------------------------------- */

/* As the terminal would have them: its own colours in numbers, reversing done. */
struct look {
    int32_t ink, paper;
    bool bold, dim, underline;
};

static struct look look_of(const struct bp_cell *cell)
{
    const struct bp_style *s = bp_theme_style(cell->role);
    const int32_t fg = s->fg < 0 ? INK : s->fg, bg = s->bg < 0 ? PAPER : s->bg;
    const bool swap = s->reverse != cell->reversed;
    return (struct look){swap ? bg : fg, swap ? fg : bg, s->bold, s->dim, s->underline};
}

/* Cells of one class look alike but for the background. */
static bool same_ink(const struct bp_cell *a, const struct bp_cell *b)
{
    const struct look p = look_of(a), q = look_of(b);
    return p.ink == q.ink && p.bold == q.bold && p.dim == q.dim && p.underline == q.underline;
}

static void put_ink(const struct look *look, const char *property)
{
    printf(" %s=\"#%06x\"", property, (unsigned)look->ink);
    if (look->dim)
        printf(" opacity=\".6\"");
}

static void draw_backgrounds(const struct bp_cells *c)
{
    for (int y = 0; y < c->rows; y++)
        for (int x = 0, n; x < c->cols; x += n) {
            const struct bp_cell *row = &c->at[y * c->cols];
            const int32_t paper = look_of(&row[x]).paper;
            for (n = 1; x + n < c->cols && look_of(&row[x + n]).paper == paper;)
                n++;
            if (paper != PAPER)
                printf("<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"#%06x\"/>\n",
                       x * W, y * H, n * W, H, (unsigned)paper);
        }
}

/* --- what is drawn, not written --------------------------------------------------------------- */

/* Arms of a box-drawing character from the middle of its cell: left, right, up, down; 2 = heavy. */
struct arms {
    uint32_t ch;
    char left, right, up, down;
};

static const struct arms ARMS[] = {
    {0x2500, 1, 1, 0, 0}, {0x2501, 2, 2, 0, 0}, {0x2502, 0, 0, 1, 1}, {0x2503, 0, 0, 2, 2},
    {0x250c, 0, 1, 0, 1}, {0x2510, 1, 0, 0, 1}, {0x2514, 0, 1, 1, 0}, {0x2518, 1, 0, 1, 0},
    {0x251c, 0, 1, 1, 1}, {0x2524, 1, 0, 1, 1}, {0x252c, 1, 1, 0, 1}, {0x2534, 1, 1, 1, 0},
    {0x253c, 1, 1, 1, 1}, {0x256d, 0, 1, 0, 1}, {0x256e, 1, 0, 0, 1}, {0x256f, 1, 0, 1, 0},
    {0x2570, 0, 1, 1, 0}, {0x2574, 1, 0, 0, 0}, {0x2575, 0, 0, 1, 0}, {0x2576, 0, 1, 0, 0},
    {0x2577, 0, 0, 0, 1},
};

static const struct arms *arms_of(uint32_t ch)
{
    for (size_t i = 0; i < sizeof ARMS / sizeof *ARMS; i++)
        if (ARMS[i].ch == ch)
            return &ARMS[i];
    return NULL;
}

static bool is_braille(uint32_t ch)
{
    return ch > 0x2800 && ch <= 0x28ff;
}

static bool is_block(uint32_t ch)
{
    return ch >= 0x2580 && ch <= 0x2595;
}

static bool is_drawn(uint32_t ch)
{
    return arms_of(ch) || is_braille(ch) || is_block(ch);
}

/* A straight line joins its neighbour: one stroke for a run of horizontals. */
static int stroke_length(const struct bp_cell *row, int n)
{
    int k = 1;
    while (k < n && row[k].ch == row[0].ch && same_ink(&row[0], &row[k]))
        k++;
    return row[0].ch == 0x2500 || row[0].ch == 0x2501 ? k : 1;
}

/* A box character, n of them where they lie in a row. */
static void draw_arms(const struct arms *arms, int x, int y, int n)
{
    const double mx = x * W + W / 2.0, my = y * H + H / 2.0;
    if (arms->left && arms->right)
        printf("M%d %gh%d", x * W, my, n * W);
    else if (arms->left || arms->right)
        printf("M%g %gH%d", mx, my, arms->left ? x * W : (x + 1) * W);
    if (arms->up && arms->down)
        printf("M%g %dv%d", mx, y * H, H);
    else if (arms->up || arms->down)
        printf("M%g %gV%d", mx, my, arms->up ? y * H : (y + 1) * H);
}

static void draw_dots(uint32_t ch, int x, int y)
{
    /* Bit k of a Braille character: its dot's column and row (Unicode, chapter 21.1). */
    static const char at[8][2] = {{0, 0}, {0, 1}, {0, 2}, {1, 0}, {1, 1}, {1, 2}, {0, 3}, {1, 3}};
    for (int k = 0; k < 8; k++)
        if ((ch - 0x2800) >> k & 1)
            printf("M%g %gh0", x * W + (at[k][0] + 0.5) * W / 2.0,
                   y * H + (at[k][1] + 0.5) * H / 4.0);
}

/* Paths of one kind for the look of a role, all rows in one. */
static void draw_paths(const struct bp_cells *c, const struct bp_cell *like, bool braille,
                       bool heavy)
{
    bool open = false;
    for (int y = 0; y < c->rows; y++)
        for (int x = 0, n; x < c->cols; x += n) {
            const struct bp_cell *cell = &c->at[y * c->cols + x];
            const struct arms *arms = arms_of(cell->ch);
            const bool is_heavy = arms && (arms->left == 2 || arms->up == 2);
            n = arms ? stroke_length(cell, c->cols - x) : 1;
            if (!same_ink(cell, like) ||
                (braille ? !is_braille(cell->ch) : !arms || is_heavy != heavy))
                continue;
            if (!open) {
                const struct look look = look_of(like);
                printf("<path%s", braille ? " class=\"d\"" : heavy ? " class=\"h\"" : "");
                put_ink(&look, "stroke");
                printf(" d=\"");
            }
            open = true;
            if (braille)
                draw_dots(cell->ch, x, y);
            else
                draw_arms(arms, x, y, n);
        }
    if (open)
        printf("\"/>\n");
}

/* Every look once. */
static void draw_all_paths(const struct bp_cells *c)
{
    struct bp_cell inks[2 * BP_N_ROLES];
    int n = 0;
    for (int i = 0; i < c->rows * c->cols; i++) {
        int k = 0;
        while (k < n && !same_ink(&inks[k], &c->at[i]))
            k++;
        if (k < n || !is_drawn(c->at[i].ch))
            continue;
        inks[n++] = c->at[i];
        draw_paths(c, &c->at[i], false, false);
        draw_paths(c, &c->at[i], false, true);
        draw_paths(c, &c->at[i], true, false);
    }
}

/* A run of one block element as a rectangle: eighths from below or from the left, shades by
 * opacity. */
static void draw_block(uint32_t ch, int x, int y, int n, const struct look *look)
{
    double left = 0, top = 0, right = W, bottom = H, shade = 1;
    if (ch == 0x2580)
        bottom = H / 2.0;
    else if (ch <= 0x2588)
        top = H * (0x2588 - (int)ch) / 8.0;
    else if (ch <= 0x258f)
        right = W * (0x2590 - (int)ch) / 8.0;
    else if (ch == 0x2590)
        left = W / 2.0;
    else if (ch <= 0x2593)
        shade = ((int)ch - 0x2590) / 4.0;
    else if (ch == 0x2594)
        bottom = H / 8.0;
    else
        left = W * 7 / 8.0;
    printf("<rect x=\"%g\" y=\"%g\" width=\"%g\" height=\"%g\" fill=\"#%06x\"", x * W + left,
           y * H + top, (n - 1) * W + right - left, bottom - top, (unsigned)look->ink);
    if (shade < 1)
        printf(" opacity=\"%g\"", shade);
    printf("/>\n");
}

static bool joins(uint32_t ch)
{
    return ch <= 0x2588 || (ch >= 0x2591 && ch <= 0x2594);
}

static void draw_blocks(const struct bp_cells *c)
{
    for (int y = 0; y < c->rows; y++)
        for (int x = 0, n; x < c->cols; x += n) {
            const struct bp_cell *cell = &c->at[y * c->cols + x];
            n = 1;
            if (!is_block(cell->ch))
                continue;
            while (x + n < c->cols && cell[n].ch == cell->ch && joins(cell->ch) &&
                   same_ink(cell, &cell[n]))
                n++;
            const struct look look = look_of(cell);
            draw_block(cell->ch, x, y, n, &look);
        }
}

/* --- text ------------------------------------------------------------------------------------- */

static void put_character(uint32_t ch)
{
    char text[5];
    bp_utf8_text(ch, text);
    fputs(ch == '<' ? "&lt;" : ch == '>' ? "&gt;" : ch == '&' ? "&amp;" : text, stdout);
}

static void begin_text(int x, int y, const struct look *look)
{
    printf("<text x=\"%g\" y=\"%d\"", x / 2.0, y * H + BASE);
    if (look->ink != INK)
        put_ink(look, "fill");
    printf("%s%s", look->bold ? " font-weight=\"bold\"" : "",
           look->underline ? " text-decoration=\"underline\"" : "");
}

/* A character that another font may have to lend stands alone in the middle of its cell. */
static int draw_symbol(const struct bp_cell *row, int n_left, int x, int y)
{
    const int n = n_left > 1 && row[1].ch == 0 ? 2 : 1;
    const struct look look = look_of(row);
    begin_text(2 * x * W + n * W, y, &look);
    printf(" text-anchor=\"middle\">");
    put_character(row->ch);
    printf("</text>\n");
    return n;
}

static bool plain(const struct bp_cell *cell)
{
    return cell->ch >= ' ' && cell->ch < 0x7f;
}

/* ASCII of one look up to two blanks, as long as its cells. Returns its cells. */
static int draw_words(const struct bp_cell *row, int n_left, int x, int y)
{
    int n = 1;
    while (n < n_left && plain(&row[n]) && same_ink(row, &row[n]) &&
           (row[n].ch != ' ' || (n + 1 < n_left && plain(&row[n + 1]) && row[n + 1].ch != ' ' &&
                                 same_ink(row, &row[n + 1]))))
        n++;
    const struct look look = look_of(row);
    begin_text(2 * x * W, y, &look);
    if (n > 1)
        printf(" textLength=\"%d\"", n * W);
    putchar('>');
    for (int i = 0; i < n; i++)
        put_character(row[i].ch);
    printf("</text>\n");
    return n;
}

static void draw_text(const struct bp_cells *c)
{
    for (int y = 0; y < c->rows; y++)
        for (int x = 0, n; x < c->cols; x += n) {
            const struct bp_cell *cell = &c->at[y * c->cols + x];
            n = 1;
            if (cell->ch == 0 || cell->ch == ' ' || cell->ch == 0x2800 || is_drawn(cell->ch))
                continue;
            n = plain(cell) ? draw_words(cell, c->cols - x, x, y)
                            : draw_symbol(cell, c->cols - x, x, y);
        }
}

static void put_escaped(const char *text)
{
    for (; *text; text++)
        if (*text == '<' || *text == '>' || *text == '&')
            put_character((unsigned char)*text);
        else
            putchar(*text);
}

static void draw(const struct bp_cells *c, const char *title)
{
    const int width = c->cols * W + 2 * PAD, height = c->rows * H + 2 * PAD;
    printf("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" "
           "height=\"%d\">\n<title>",
           width, height, width, height);
    put_escaped(title);
    printf("</title>\n<style>path{fill:none;stroke-width:1.2}.h{stroke-width:3}"
           ".d{stroke-width:2.6;stroke-linecap:round}</style>\n"
           "<rect width=\"%d\" height=\"%d\" rx=\"8\" fill=\"#%06x\"/>\n"
           "<g transform=\"translate(%d %d)\" font-family=\"DejaVu Sans Mono, Menlo, Consolas, "
           "monospace\" font-size=\"%d\" fill=\"#%06x\">\n",
           width, height, PAPER, PAD, PAD, FONT, INK);
    draw_backgrounds(c);
    draw_all_paths(c);
    draw_blocks(c);
    draw_text(c);
    printf("</g>\n</svg>\n");
}

int main(int argc, char **argv)
{
    struct bp_cells cells = {0};
    if (argc != 2)
        die("usage: frame_svg TITLE <dump >svg");
    setlocale(LC_CTYPE, "C.UTF-8");
    read_dump(&cells);
    draw(&cells, argv[1]);
    bp_cells_done(&cells);
    if (fflush(stdout) != 0 || ferror(stdout))
        die(strerror(errno));
    return 0;
}
