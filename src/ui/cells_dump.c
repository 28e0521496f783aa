#include "ui/cells.h"

#include <stdio.h>
#include <stdlib.h>

static const struct bp_cell *row_of(const struct bp_cells *cells, int y)
{
    return &cells->at[(size_t)y * (size_t)cells->cols];
}

static void dump_characters(const struct bp_cells *cells, FILE *out)
{
    char text[5];
    for (int y = 0; y < cells->rows; y++) {
        const struct bp_cell *row = row_of(cells, y);
        fputc('|', out);
        for (int x = 0; x < cells->cols; x++)
            if (row[x].ch) {
                bp_utf8_text(row[x].ch, text);
                fputs(text, out);
            }
        fputs("|\n", out);
    }
}

static void dump_styles(const struct bp_cells *cells, FILE *out)
{
    for (int y = 0; y < cells->rows; y++) {
        const struct bp_cell *row = row_of(cells, y);
        fputc('|', out);
        for (int x = 0; x < cells->cols; x++)
            fputc(bp_role_letter(row[x].role), out);
        fputs("|\n", out);
    }
}

static void dump_reversed(const struct bp_cells *cells, FILE *out)
{
    for (int y = 0; y < cells->rows; y++) {
        const struct bp_cell *row = row_of(cells, y);
        for (int x = 0; x < cells->cols;) {
            int n = 0;
            while (x + n < cells->cols && row[x + n].reversed)
                n++;
            if (n)
                fprintf(out, "reversed %d,%d+%d\n", x, y, n);
            x += n ? n : 1;
        }
    }
}

static bool any_reversed(const struct bp_cells *cells)
{
    const size_t n = (size_t)cells->cols * (size_t)cells->rows;
    for (size_t i = 0; i < n; i++)
        if (cells->at[i].reversed)
            return true;
    return false;
}

char *bp_cells_dump(const struct bp_cells *cells)
{
    const bool cursor = cells->cursor_x >= 0 && cells->cursor_y >= 0;
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    if (!out)
        return NULL;
    fprintf(out, "size %dx%d\n", cells->cols, cells->rows);
    dump_characters(cells, out);
    fputc('\n', out);
    dump_styles(cells, out);
    if (cursor || any_reversed(cells))
        fputc('\n', out);
    dump_reversed(cells, out);
    if (cursor)
        fprintf(out, "cursor %d,%d\n", cells->cursor_x, cells->cursor_y);
    const bool failed = ferror(out) != 0;
    if (fclose(out) == 0 && !failed)
        return text;
    free(text);
    return NULL;
}
