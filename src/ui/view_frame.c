/* The screen around the panels: header, tabs, message or prompt, keys, and the card that
 * says that the terminal is too small. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/printable.h"
#include "ui/carry.h"
#include "ui/job.h"
#include "ui/view.h"

/* --- header --- */

/* ", 40 % at one step" of a table that is not refined, ", 40 % estimated" of one that is. */
static void stage_words(const struct bp_source *s, double cells_all, char *text, size_t n)
{
    const bool refined = s->n_cells[BP_CELL_ONE_STEP] == 0;
    const uint64_t cells = s->n_cells[refined ? BP_CELL_ESTIMATED : BP_CELL_ONE_STEP];
    text[0] = '\0';
    if (cells > 0)
        snprintf(text, n, ", %.0f %% %s", ceil(100.0 * (double)cells / cells_all),
                 refined ? "estimated" : "at one step");
}

/* What is measured, as long as there is room for. */
static void right_part(const struct bp_app *app, struct bp_cells *cells, struct bp_rect r, int left)
{
    const struct bp_source *s = app->source;
    const struct bp_table *t = s->table;
    const double cells_all = (double)t->n_matrices * (double)t->n_candidates;
    const double share = floor(100.0 * (double)s->n_cells_measured / cells_all);
    const char *unsaved = bp_app_would_lose(app) ? "  unsaved" : "";
    char text[4][160], stages[40];
    stage_words(s, cells_all, stages, sizeof stages);
    const bool measuring =
        (app->job && bp_job_words(app->job, app->clock, text[0], sizeof text[0])) ||
        (app->carry && bp_carry_words(app->carry, app->clock, text[0], sizeof text[0]));
    if (!measuring)
        snprintf(text[0], sizeof text[0], "%zu matrices x %zu candidates  measured %.0f %%%s%s",
                 t->n_matrices, t->n_candidates, share, stages, unsaved);
    snprintf(text[1], sizeof text[1], "%zu x %zu  measured %.0f %%%s%s", t->n_matrices,
             t->n_candidates, share, stages, unsaved);
    snprintf(text[2], sizeof text[2], "measured %.0f %%%s", share, unsaved);
    snprintf(text[3], sizeof text[3], "%.0f %%%s", share, unsaved);
    for (int i = 0; i < 4; i++) {
        const int start = r.x + r.w - 1 - bp_text_width(text[i]);
        if (start <= left)
            continue;
        bp_cells_text(cells, r, start, r.y, measuring ? BP_ROLE_WARNING : BP_ROLE_DIM, text[i]);
        break;
    }
}

/* The rank that all candidates have, -1 where they differ. */
static long rank_of(const struct bp_table *t)
{
    for (size_t j = 1; j < t->n_candidates; j++)
        if (t->candidates[j].foreign || t->candidates[j].rank != t->candidates[0].rank)
            return -1;
    return t->candidates[0].foreign ? -1 : (long)t->candidates[0].rank;
}

void bp_render_header(const struct bp_app *app, struct bp_cells *cells, struct bp_rect r)
{
    int x = bp_cells_text(cells, r, r.x, r.y, BP_ROLE_TITLE, " bitplan  ");
    if (!app->source) {
        bp_cells_text(cells, r, x, r.y, BP_ROLE_WARNING, "measuring the first matrix ...");
        return;
    }
    const struct bp_table *t = app->source->table;
    const char *slash = strrchr(t->path, '/');
    const char *name = *t->about.model_name ? t->about.model_name : slash ? slash + 1 : t->path;
    x = bp_cells_text(cells, r, x, r.y, BP_ROLE_VALUE, bp_printable(name).text);
    if (t->about.synthetic)
        x = bp_cells_text(cells, r, x, r.y, BP_ROLE_WARNING, " (synthetic)");
    if (rank_of(t) >= 0)
        x = bp_cells_printf(cells, r, x, r.y, BP_ROLE_DIM, "  rank %ld", rank_of(t));
    if (strcmp(t->about.weighting, "none") != 0)
        x = bp_cells_printf(cells, r, x, r.y, BP_ROLE_DIM, "  %s",
                            bp_printable(t->about.weighting).text);
    right_part(app, cells, r, x);
}

/* --- tabs --- */

static const enum bp_panel tab_order[] = {BP_PANEL_MAP,  BP_PANEL_CURVE,  BP_PANEL_DETAIL,
                                          BP_PANEL_GRID, BP_PANEL_MEMORY, BP_PANEL_PLANS};
enum { N_TABS = sizeof tab_order / sizeof *tab_order };

/* Short names, with the key that opens the panel. */
static const struct {
    const char *name;
    enum bp_action action;
} tabs[BP_N_PANELS] = {
    [BP_PANEL_MAP] = {"Allocation", BP_ACTION_MAP},   [BP_PANEL_CURVE] = {"Curve", BP_ACTION_CURVE},
    [BP_PANEL_DETAIL] = {"Matrix", BP_ACTION_DETAIL}, [BP_PANEL_GRID] = {"Grid", BP_ACTION_GRID},
    [BP_PANEL_MEMORY] = {"Memory", BP_ACTION_MEMORY}, [BP_PANEL_PLANS] = {"Plans", BP_ACTION_PLANS},
};

static int tab_width(const struct bp_app *app, enum bp_panel panel)
{
    char key[24];
    bp_keymap_key(&app->keymap, tabs[panel].action, key);
    return bp_text_width(tabs[panel].name) + bp_text_width(key) + 3;
}

void bp_render_tabs(const struct bp_app *app, struct bp_cells *cells, struct bp_rect r)
{
    int x = r.x;
    for (int i = 0; i < N_TABS; i++) {
        const enum bp_panel panel = tab_order[i];
        const bool open =
            app->view.page == panel || (panel == BP_PANEL_MAP && app->view.page == BP_PANEL_BUDGET);
        char key[24];
        const int start = x, w = tab_width(app, panel);
        x = bp_cells_printf(cells, r, x + 1, r.y, BP_ROLE_KEY, "%s",
                            bp_keymap_key(&app->keymap, tabs[panel].action, key));
        bp_cells_printf(cells, r, x, r.y, open ? BP_ROLE_FOCUS : BP_ROLE_DIM, " %s ",
                        tabs[panel].name);
        if (open)
            bp_cells_reverse(cells, bp_rect_clip((struct bp_rect){start, r.y, w, 1}, r));
        x = start + w;
    }
}

enum bp_panel bp_tab_at(const struct bp_app *app, struct bp_rect r, int x)
{
    int start = r.x;
    for (int i = 0; i < N_TABS; i++) {
        const int w = tab_width(app, tab_order[i]);
        if (x >= start && x < start + w)
            return tab_order[i];
        start += w;
    }
    return BP_N_PANELS;
}

/* --- message, prompt --- */

static void prompt_line(const struct bp_app *app, struct bp_cells *cells, struct bp_rect r)
{
    const struct bp_prompt *p = &app->prompt;
    if (p->kind == BP_PROMPT_LEAVE) {
        bp_cells_text(cells, r, r.x, r.y, BP_ROLE_WARNING,
                      " Changes are not saved:  s save   d discard   any other key stays");
        return;
    }
    char before[BP_PROMPT_TEXT];
    snprintf(before, sizeof before, "%.*s", (int)p->at, p->text);
    /* A long line shows its end. */
    const int w = bp_text_width(before), shift = w + 2 < r.w ? 0 : w + 2 - r.w;
    const struct bp_rect line = {r.x + 1, r.y, r.w - 1, 1};
    bp_cells_text(cells, line, line.x - shift, r.y, BP_ROLE_VALUE, p->text);
    bp_cells_text(cells, r, r.x, r.y, BP_ROLE_KEY, p->kind == BP_PROMPT_FIND ? "/" : ":");
    cells->cursor_x = line.x + w - shift;
    cells->cursor_y = r.y;
}

/* Of the keys of an action the one that takes least room, arrows as arrows. */
static const char *short_key(const struct bp_app *app, enum bp_action action, char text[24])
{
    static const char *const arrows[][2] = {{"Left", "\xE2\x86\x90"},
                                            {"Right", "\xE2\x86\x92"},
                                            {"Up", "\xE2\x86\x91"},
                                            {"Down", "\xE2\x86\x93"}};
    const struct bp_keymap *keymap = &app->keymap;
    text[0] = '\0';
    for (size_t i = 0; i < keymap->n; i++) {
        char key[24];
        const struct bp_binding *b = &keymap->at[i];
        if (b->action != action || bp_keymap_find(keymap, b->key) != action)
            continue;
        bp_key_name(b->key, key);
        for (size_t k = 0; !app->ascii && k < sizeof arrows / sizeof *arrows; k++)
            if (strcmp(key, arrows[k][0]) == 0)
                snprintf(key, sizeof key, "%s", arrows[k][1]);
        /* Of two as short, a letter: it is under the fingers already. */
        const int wins = bp_text_width(text) - bp_text_width(key);
        if (!*text || wins > 0 || (wins == 0 && (unsigned char)text[0] >= 0x80))
            memcpy(text, key, sizeof key);
    }
    return text;
}

/* What the keys do in the panel that has them, where there is nothing more important to say. */
static const struct hint {
    enum bp_panel panel;
    enum bp_action actions[4]; /* [n] */
    int n;
    const char *label;
} hints[] = {
#define MOVE                                                                                      \
    {                                                                                             \
        BP_ACTION_CURSOR_LEFT, BP_ACTION_CURSOR_DOWN, BP_ACTION_CURSOR_UP, BP_ACTION_CURSOR_RIGHT \
    }
#define DOWN_UP                                    \
    {                                              \
        BP_ACTION_CURSOR_DOWN, BP_ACTION_CURSOR_UP \
    }
#define LEFT_RIGHT                                    \
    {                                                 \
        BP_ACTION_CURSOR_LEFT, BP_ACTION_CURSOR_RIGHT \
    }
    {BP_PANEL_MAP, MOVE, 4, "move"},
    {BP_PANEL_MAP, {BP_ACTION_METRIC}, 1, "figure"},
    {BP_PANEL_MAP, {BP_ACTION_ZOOM_IN, BP_ACTION_ZOOM_OUT}, 2, "zoom"},
    {BP_PANEL_MAP, {BP_ACTION_CHOOSE}, 1, "open"},
    {BP_PANEL_MAP, {BP_ACTION_PIN}, 1, "pin"},
    {BP_PANEL_MAP, {BP_ACTION_BAN}, 1, "ban"},
    {BP_PANEL_MAP, {BP_ACTION_FLOOR}, 1, "floor"},
    {BP_PANEL_MAP, {BP_ACTION_CEIL}, 1, "ceiling"},
    {BP_PANEL_MAP, {BP_ACTION_FREE}, 1, "free"},
    {BP_PANEL_MAP, {BP_ACTION_TIE}, 1, "tie"},
    {BP_PANEL_CURVE, LEFT_RIGHT, 2, "along the curve"},
    {BP_PANEL_CURVE, {BP_ACTION_BUDGET_DOWN_COARSE, BP_ACTION_BUDGET_UP_COARSE}, 2, "by 0.1"},
    {BP_PANEL_CURVE, {BP_ACTION_BUDGET_DOWN_FINE, BP_ACTION_BUDGET_UP_FINE}, 2, "by 0.001"},
    {BP_PANEL_DETAIL, MOVE, 4, "next matrix"},
    {BP_PANEL_DETAIL, {BP_ACTION_PIN}, 1, "pin"},
    {BP_PANEL_DETAIL, {BP_ACTION_BAN}, 1, "ban"},
    {BP_PANEL_DETAIL, {BP_ACTION_FLOOR}, 1, "floor"},
    {BP_PANEL_DETAIL, {BP_ACTION_CEIL}, 1, "ceiling"},
    {BP_PANEL_DETAIL, {BP_ACTION_FREE}, 1, "free"},
    {BP_PANEL_GRID, MOVE, 4, "move"},
    {BP_PANEL_GRID, {BP_ACTION_TOGGLE}, 1, "flip the switch"},
    {BP_PANEL_MEMORY, DOWN_UP, 2, "choose"},
    {BP_PANEL_MEMORY, LEFT_RIGHT, 2, "less, more"},
    {BP_PANEL_MEMORY, {BP_ACTION_CHOOSE}, 1, "type it"},
    {BP_PANEL_MEMORY, {BP_ACTION_FIT_CARD}, 1, "the budget that just fits"},
    {BP_PANEL_PLANS, DOWN_UP, 2, "choose"},
    {BP_PANEL_PLANS, {BP_ACTION_CHOOSE}, 1, "back to it"},
    {BP_PANEL_PLANS, {BP_ACTION_COMPARE}, 1, "compare"},
    {BP_PANEL_PLANS, {BP_ACTION_DELETE}, 1, "forget"},
#undef MOVE
#undef DOWN_UP
#undef LEFT_RIGHT
};

static void hint_line(const struct bp_app *app, struct bp_cells *cells, struct bp_rect r)
{
    int x = r.x + 1;
    for (size_t i = 0; i < sizeof hints / sizeof *hints; i++) {
        char keys[128] = "", key[24];
        if (hints[i].panel != app->view.focus)
            continue;
        for (int k = 0; k < hints[i].n; k++) {
            const size_t used = strlen(keys);
            snprintf(keys + used, sizeof keys - used, "%s%s", used ? " " : "",
                     short_key(app, hints[i].actions[k], key));
        }
        if (x + bp_text_width(keys) + bp_text_width(hints[i].label) + 1 > r.x + r.w)
            break;
        x = bp_cells_text(cells, r, x, r.y, BP_ROLE_KEY, keys);
        x = bp_cells_printf(cells, r, x, r.y, BP_ROLE_DIM, " %s", hints[i].label) + 2;
    }
}

/* A long message takes the row above, too, broken at a blank. */
static void message_lines(const struct bp_app *app, struct bp_cells *cells, struct bp_rect r)
{
    const struct bp_rect above = {r.x, r.y - 1, r.w, 1};
    const char *rest = app->message;
    size_t cut = 0;
    if (bp_text_width(rest) + 1 > r.w) {
        /* Bytes stand for columns here: a message with wide characters breaks early. */
        for (size_t i = 0; rest[i] && (int)i + 1 < r.w; i++)
            cut = rest[i] == ' ' ? i : cut;
        bp_cells_fill(cells, above, BP_ROLE_TEXT, ' ');
        bp_cells_printf(cells, above, r.x, above.y, app->message_role, " %.*s", (int)cut, rest);
        rest += cut + (cut > 0);
    }
    bp_cells_printf(cells, r, r.x, r.y, app->message_role, " %s", rest);
}

void bp_render_message(const struct bp_app *app, struct bp_cells *cells, struct bp_rect r)
{
    if (app->prompt.kind != BP_PROMPT_NONE) {
        prompt_line(app, cells, r);
        if (app->message[0] && app->prompt.kind == BP_PROMPT_COMMAND) {
            struct bp_rect above = {r.x, r.y - 1, r.w, 1};
            bp_cells_fill(cells, above, BP_ROLE_TEXT, ' ');
            bp_cells_printf(cells, above, r.x, above.y, app->message_role, " %s", app->message);
        }
        return;
    }
    if (app->entry[0]) {
        int x = bp_cells_printf(cells, r, r.x, r.y, BP_ROLE_SLIDER, " %s", app->entry);
        bp_cells_text(cells, r, x, r.y, BP_ROLE_DIM,
                      strpbrk(app->entry, "kKMGTB")
                          ? "   Enter: a budget of so many bytes"
                          : "   Enter: a budget of so many bits/param, or times an arrow key");
        cells->cursor_x = x;
        cells->cursor_y = r.y;
        return;
    }
    if (app->message[0])
        message_lines(app, cells, r);
    else
        hint_line(app, cells, r);
}

/* --- keys --- */

/* Actions with a label, in the table's order. What the tabs say already is left out. */
static int next_label(const struct bp_app *app, int action)
{
    const bool tabs_show = bp_app_layout(app).tabs.w > 0;
    for (action++; action < BP_N_ACTIONS; action++) {
        const struct bp_action_row *row = bp_action_row((enum bp_action)action);
        if (*row->label && !(tabs_show && strcmp(row->group, "Panels") == 0))
            return action;
    }
    return BP_N_ACTIONS;
}

/* Two keys for the budget, one for the others. */
static int label_width(const struct bp_app *app, enum bp_action action, char keys[64])
{
    char key[24], other[24];
    if (action == BP_ACTION_BUDGET_UP)
        snprintf(keys, 64, "%s %s", short_key(app, BP_ACTION_BUDGET_DOWN, other),
                 short_key(app, action, key));
    else
        snprintf(keys, 64, "%s", short_key(app, action, key));
    return bp_text_width(keys) + bp_text_width(bp_action_row(action)->label) + 3;
}

/* The next action of a footer that is `room` wide; help and quit are always among them. `used` is
 * what those before take. */
static int next_in_footer(const struct bp_app *app, int action, int room, int used)
{
    char keys[64];
    int kept = 0;
    for (int a = BP_ACTION_HELP; a < BP_N_ACTIONS; a = next_label(app, a))
        kept += label_width(app, (enum bp_action)a, keys);
    for (action = next_label(app, action); action < BP_ACTION_HELP;
         action = next_label(app, action))
        if (used + label_width(app, (enum bp_action)action, keys) + kept <= room)
            break;
    return action;
}

void bp_render_footer(const struct bp_app *app, struct bp_cells *cells, struct bp_rect r)
{
    int x = r.x;
    for (int a = next_in_footer(app, -1, r.w, 0); a < BP_N_ACTIONS;
         a = next_in_footer(app, a, r.w, x - r.x)) {
        char keys[64];
        const int start = x, w = label_width(app, (enum bp_action)a, keys);
        x = bp_cells_text(cells, r, x + 1, r.y, BP_ROLE_KEY, keys);
        bp_cells_printf(cells, r, x, r.y, BP_ROLE_TEXT, " %s",
                        bp_action_row((enum bp_action)a)->label);
        x = start + w;
    }
}

enum bp_action bp_footer_at(const struct bp_app *app, struct bp_rect r, int x)
{
    int start = r.x;
    for (int a = next_in_footer(app, -1, r.w, 0); a < BP_N_ACTIONS;
         a = next_in_footer(app, a, r.w, start - r.x)) {
        char keys[64];
        const int w = label_width(app, (enum bp_action)a, keys);
        if (x >= start && x < start + w)
            return (enum bp_action)a;
        start += w;
    }
    return BP_N_ACTIONS;
}

/* --- too small --- */

void bp_render_card(const struct bp_app *app, struct bp_cells *cells)
{
    const struct bp_rect all = bp_cells_rect(cells);
    char text[80];
    snprintf(text, sizeof text, "bitplan needs %d x %d", BP_LEAST_COLS, BP_LEAST_ROWS);
    int x = (all.w - bp_text_width(text)) / 2;
    bp_cells_text(cells, all, x > 0 ? x : 0, all.h / 2, BP_ROLE_WARNING, text);
    snprintf(text, sizeof text, "this is %d x %d", app->cols, app->rows);
    x = (all.w - bp_text_width(text)) / 2;
    if (all.h > 1)
        bp_cells_text(cells, all, x > 0 ? x : 0, all.h / 2 + 1, BP_ROLE_DIM, text);
}

/* --- all of it --- */

void bp_app_render(const struct bp_app *app, struct bp_cells *cells)
{
    const struct bp_layout l = bp_app_layout(app);
    bp_cells_clear(cells);
    if (l.screen == BP_SCREEN_CARD) {
        bp_render_card(app, cells);
        return;
    }
    bp_render_header(app, cells, l.header);
    if (l.tabs.w > 0)
        bp_render_tabs(app, cells, l.tabs);
    for (int p = 0; p < BP_N_PANELS; p++) {
        char title[256];
        const struct bp_panel_ops *ops = bp_panel_ops((enum bp_panel)p);
        if (!bp_layout_shows(&l, (enum bp_panel)p))
            continue;
        ops->title(app, title, sizeof title);
        bp_cells_frame(cells, l.panel[p], app->view.focus == (enum bp_panel)p, title);
        struct bp_rect inside = bp_rect_inset(l.panel[p], 1);
        if (inside.w > 0 && inside.h > 0)
            ops->render(app, cells, inside);
    }
    if (l.memory_line.w > 0)
        bp_render_memory_line(app, cells, l.memory_line);
    bp_render_message(app, cells, l.message);
    bp_render_footer(app, cells, l.footer);
    if (app->view.help)
        bp_render_help(app, cells, (struct bp_rect){0, 1, app->cols, app->rows - 2});
}
