/* The grid: a switch for every value of b0, b1, b2, B0, B1 and the rank that the table has; each
 * flip is planned at once. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/mem.h"
#include "engine/printable.h"
#include "ui/view.h"

enum { N_FIELDS = 6, MAX_VALUES = 24, PRESET_ROW = N_FIELDS, RANK_FIELD = 5 };

static const char *const fields[N_FIELDS] = {"b0", "b1", "b2", "B0", "B1", "rank"};
static const char *const meanings[N_FIELDS] = {
    "bits a code",
    "bits a scale",
    "type of the second-level scale",
    "elements a scale",
    "scales a second-level scale",
    "of the low-rank part",
};

/* Presets: their name is their --grid text; "all" is no constraint. */
static const char *const presets[] = {"paper", "reference", "nf4", "all"};
enum { N_PRESETS = sizeof presets / sizeof *presets };

struct switches {
    uint32_t value[N_FIELDS][MAX_VALUES];
    bool on[N_FIELDS][MAX_VALUES];
    int n[N_FIELDS];
    size_t n_allowed; /* candidates that the grid leaves */
    bool foreign;     /* some are no configs, so that no switch speaks of them */
};

static uint32_t field_value(const struct bp_candidate *c, int field)
{
    switch (field) {
    case 0:
        return c->config.b0;
    case 1:
        return c->config.b1;
    case 2:
        return c->config.b2;
    case 3:
        return c->config.B0;
    case 4:
        return c->config.B1;
    default:
        return c->rank;
    }
}

static int find_value(struct switches *s, int field, uint32_t value)
{
    for (int v = 0; v < s->n[field]; v++)
        if (s->value[field][v] == value)
            return v;
    if (s->n[field] == MAX_VALUES)
        return -1;
    /* Ascending. */
    int at = s->n[field]++;
    for (; at > 0 && s->value[field][at - 1] > value; at--)
        s->value[field][at] = s->value[field][at - 1];
    s->value[field][at] = value;
    return at;
}

/* A value is on where some candidate that has it is left by the grid. */
static void read_switches(const struct bp_app *app, struct switches *s)
{
    const struct bp_table *t = app->source->table;
    *s = (struct switches){.n_allowed = 0};
    for (size_t j = 0; j < t->n_candidates; j++) {
        s->foreign |= t->candidates[j].foreign;
        for (int f = 0; f < N_FIELDS && !t->candidates[j].foreign; f++)
            find_value(s, f, field_value(&t->candidates[j], f));
    }
    uint8_t *left = bp_alloc(t->n_candidates, 1);
    if (!left)
        return;
    bp_constraints_columns(&app->session.constraints, t, left);
    for (size_t j = 0; j < t->n_candidates; j++) {
        s->n_allowed += left[j];
        for (int f = 0; f < N_FIELDS && left[j] && !t->candidates[j].foreign; f++) {
            int v = find_value(s, f, field_value(&t->candidates[j], f));
            if (v >= 0)
                s->on[f][v] = true;
        }
    }
    free(left);
}

static void value_words(int field, uint32_t value, char *text, size_t n)
{
    if (field == 2)
        snprintf(text, n, "%s", bp_scale_type_name((enum bp_scale_type)value));
    else
        snprintf(text, n, "%" PRIu32, value);
}

bool bp_grid_set(struct bp_app *app, const char *text)
{
    const struct bp_constraints *c = &app->session.constraints;
    struct bp_edit edits[17];
    size_t n = 0;
    char value[BP_PROMPT_TEXT];
    for (size_t i = c->n; i-- > 0;)
        if (c->list[i].kind == BP_CONSTRAINT_GRID && n < 16)
            edits[n++] = (struct bp_edit){.kind = BP_EDIT_REMOVE_CONSTRAINT, .index = i};
    snprintf(value, sizeof value, "%s", text);
    if (*value)
        edits[n++] = (struct bp_edit){.kind = BP_EDIT_ADD_CONSTRAINT,
                                      .index = BP_EDIT_LAST,
                                      .constraint = {BP_CONSTRAINT_GRID, value}};
    if (n == 0 || !bp_app_edit(app, edits, n, false))
        return n == 0;
    bp_app_say(app, BP_ROLE_TEXT, "grid: %s", *value ? bp_printable(value).text : "all candidates");
    return true;
}

/* The switches as --grid's text: every field's values that are on. */
static void grid_text(const struct switches *s, char *text, size_t n)
{
    size_t used = 0;
    bool all = true;
    text[0] = '\0';
    for (int f = 0; f < N_FIELDS; f++) {
        bool some = false, full = true;
        for (int v = 0; v < s->n[f]; v++)
            full &= s->on[f][v];
        all &= full;
        if (f == RANK_FIELD && full)
            continue;
        for (int v = 0; v < s->n[f] && used < n; v++) {
            char word[16];
            if (!s->on[f][v])
                continue;
            value_words(f, s->value[f][v], word, sizeof word);
            used += (size_t)snprintf(text + used, n - used, "%s%s%s%s",
                                     some   ? ","
                                     : used ? ":"
                                            : "",
                                     some ? "" : fields[f], some ? "" : "=", word);
            some = true;
        }
    }
    if (all)
        text[0] = '\0';
}

bool bp_grid_flip(struct bp_app *app, int field, int index)
{
    struct switches s;
    char text[512], word[16];
    read_switches(app, &s);
    if (field >= N_FIELDS || index >= s.n[field])
        return false;
    s.on[field][index] = !s.on[field][index];
    int on = 0;
    for (int v = 0; v < s.n[field]; v++)
        on += s.on[field][v];
    if (on == 0) {
        value_words(field, s.value[field][index], word, sizeof word);
        bp_app_say(app, BP_ROLE_WARNING, "%s=%s stays on: a field needs a value", fields[field],
                   word);
        return false;
    }
    grid_text(&s, text, sizeof text);
    return bp_grid_set(app, text);
}

/* --- painting --- */

enum { LABEL = 6 };

/* Switches stand in columns of equal width. */
static int switch_width(const struct switches *s, int field)
{
    int widest = 0;
    for (int v = 0; v < s->n[field]; v++) {
        char word[16];
        value_words(field, s->value[field][v], word, sizeof word);
        widest = (int)strlen(word) > widest ? (int)strlen(word) : widest;
    }
    return widest + 5; /* "[x]64 " */
}

static void paint_field(const struct bp_app *app, struct bp_cells *cells, struct bp_rect in,
                        const struct switches *s, int field, int y)
{
    const bool here = app->view.focus == BP_PANEL_GRID && app->view.grid_y == field;
    const int w = switch_width(s, field);
    int x = in.x + LABEL;
    bp_cells_text(cells, in, in.x, y, here ? BP_ROLE_VALUE : BP_ROLE_TEXT, fields[field]);
    for (int v = 0; v < s->n[field]; v++, x += w) {
        char word[16];
        const bool on = s->on[field][v];
        value_words(field, s->value[field][v], word, sizeof word);
        bp_cells_printf(cells, in, x, y, on ? BP_ROLE_ON : BP_ROLE_OFF, "[%c]%s", on ? 'x' : ' ',
                        word);
        if (here && app->view.grid_x == v)
            bp_cells_reverse(cells, (struct bp_rect){x, y, 3 + (int)strlen(word), 1});
    }
    bp_cells_text(cells, in, x + 1, y, BP_ROLE_DIM, meanings[field]);
}

static void paint_presets(const struct bp_app *app, struct bp_cells *cells, struct bp_rect in,
                          int y)
{
    const bool here = app->view.focus == BP_PANEL_GRID && app->view.grid_y == PRESET_ROW;
    int x = bp_cells_text(cells, in, in.x, y, BP_ROLE_TEXT, "preset");
    x += 1;
    for (int i = 0; i < N_PRESETS; i++) {
        const int end = bp_cells_printf(cells, in, x, y, BP_ROLE_KEY, "<%s>", presets[i]);
        if (here && app->view.grid_x == i)
            bp_cells_reverse(cells, (struct bp_rect){x, y, end - x, 1});
        x = end + 1;
    }
}

static void render(const struct bp_app *app, struct bp_cells *cells, struct bp_rect in)
{
    struct switches s;
    if (!app->source)
        return;
    read_switches(app, &s);
    for (int f = 0; f < N_FIELDS; f++)
        paint_field(app, cells, in, &s, f, in.y + f);
    paint_presets(app, cells, in, in.y + PRESET_ROW);
    int x =
        bp_cells_printf(cells, in, in.x, in.y + PRESET_ROW + 1, BP_ROLE_VALUE, "%zu", s.n_allowed);
    bp_cells_printf(cells, in, x, in.y + PRESET_ROW + 1, BP_ROLE_DIM,
                    " of %zu candidates may be used%s", app->source->table->n_candidates,
                    s.foreign ? " (labels have no switches: --ban)" : "");
}

static void title(const struct bp_app *app, char *text, size_t n)
{
    (void)app;
    snprintf(text, n, "Grid: which candidates may be used");
}

/* --- acting --- */

static int row_length(const struct bp_app *app, int y)
{
    struct switches s;
    if (y == PRESET_ROW)
        return N_PRESETS;
    read_switches(app, &s);
    return s.n[y];
}

static void choose(struct bp_app *app)
{
    const struct bp_view *v = &app->view;
    if (v->grid_y == PRESET_ROW)
        bp_grid_set(app, strcmp(presets[v->grid_x], "all") == 0 ? "" : presets[v->grid_x]);
    else
        bp_grid_flip(app, v->grid_y, v->grid_x);
}

static bool act(struct bp_app *app, enum bp_action action, double n)
{
    struct bp_view *v = &app->view;
    (void)n;
    if (!app->source)
        return false;
    switch (action) {
    case BP_ACTION_CURSOR_LEFT:
        v->grid_x--;
        break;
    case BP_ACTION_CURSOR_RIGHT:
        v->grid_x++;
        break;
    case BP_ACTION_CURSOR_UP:
        v->grid_y -= v->grid_y > 0;
        break;
    case BP_ACTION_CURSOR_DOWN:
        v->grid_y += v->grid_y < PRESET_ROW;
        break;
    case BP_ACTION_CHOOSE:
    case BP_ACTION_TOGGLE:
        choose(app);
        break;
    default:
        return false;
    }
    const int length = row_length(app, v->grid_y);
    v->grid_x = v->grid_x >= length ? length - 1 : v->grid_x;
    v->grid_x = v->grid_x < 0 ? 0 : v->grid_x;
    return true;
}

static void mouse(struct bp_app *app, struct bp_rect in, const struct bp_event *event)
{
    struct bp_view *v = &app->view;
    const int y = event->y - in.y;
    if (event->mouse != BP_MOUSE_PRESS || !app->source || y < 0 || y > PRESET_ROW)
        return;
    int index = -1;
    if (y == PRESET_ROW) {
        int x = in.x + 7;
        for (int i = 0; i < N_PRESETS; i++) {
            const int w = (int)strlen(presets[i]) + 2;
            if (event->x >= x && event->x < x + w)
                index = i;
            x += w + 1;
        }
    } else {
        struct switches s;
        read_switches(app, &s);
        const int x = event->x - in.x - LABEL;
        index = x >= 0 ? x / switch_width(&s, y) : -1;
        index = index < s.n[y] ? index : -1;
    }
    if (index < 0)
        return;
    v->grid_x = index;
    v->grid_y = y;
    choose(app);
}

const struct bp_panel_ops bp_panel_grid = {render, act, mouse, title};
