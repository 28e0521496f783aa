/* The screen around the panels: header, tabs, message or prompt, keys, help, and the card that
 * says that the terminal is too small. */
#include <stdio.h>
#include <string.h>

#include "engine/printable.h"
#include "ui/command_words.h"
#include "ui/job.h"
#include "ui/view.h"

/* --- header --- */

static void right_part(const struct bp_app *app, struct bp_cells *cells, struct bp_rect r, int left)
{
    const struct bp_source *s = app->source;
    char text[160], job[100];
    const uint64_t cells_all = (uint64_t)s->table->n_matrices * s->table->n_candidates;
    const bool measuring = app->job && bp_job_words(app->job, app->clock, job, sizeof job);
    if (measuring)
        snprintf(text, sizeof text, "%s ", job);
    else
        snprintf(text, sizeof text, "table %zu x %zu  measured %.0f %%%s ", s->table->n_matrices,
                 s->table->n_candidates, 100.0 * (double)s->n_cells_measured / (double)cells_all,
                 bp_history_changed(app->history) ? "  unsaved" : "");
    const struct bp_rect right = {left + 1, r.y, r.x + r.w - left - 1, 1};
    bp_cells_right(cells, right, r.x + r.w, r.y, measuring ? BP_ROLE_WARNING : BP_ROLE_DIM, text);
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
        bp_cells_printf(cells, r, r.x, r.y, app->message_role, " %s", app->message);
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

/* A key as short as it goes: arrows as arrows. */
static const char *short_key(const struct bp_app *app, enum bp_action action, char text[24])
{
    bp_keymap_key(&app->keymap, action, text);
    if (strcmp(text, "Left") == 0)
        return "\xE2\x86\x90";
    return strcmp(text, "Right") == 0 ? "\xE2\x86\x92" : text;
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

void bp_render_footer(const struct bp_app *app, struct bp_cells *cells, struct bp_rect r)
{
    int x = r.x;
    for (int a = next_label(app, -1); a < BP_N_ACTIONS; a = next_label(app, a)) {
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
    for (int a = next_label(app, -1); a < BP_N_ACTIONS; a = next_label(app, a)) {
        char keys[64];
        const int w = label_width(app, (enum bp_action)a, keys);
        if (x >= start && x < start + w)
            return (enum bp_action)a;
        start += w;
    }
    return BP_N_ACTIONS;
}

/* --- help --- */

static const struct {
    const char *word, *args, *help;
} command_rows[] = {
#define COMMAND_ROW(word, args, help) {#word, args, help},
    BP_COMMANDS(COMMAND_ROW)
#undef COMMAND_ROW
};
enum { N_COMMANDS = sizeof command_rows / sizeof *command_rows };

static const struct {
    const char *word, *meaning;
} glossary[] = {
    {"bits/param", "storage of the planned matrices over their parameters (Eq. 3)"},
    {"effective", "the same with the low-rank parts, at 16 bits, added"},
    {"error", "squared (weighted) Frobenius norm of W - (Q + L1 L2), summed"},
    {"relative", "error over the error of keeping nothing"},
    {"config",
     "nf3:u8:fp32:64:256 = b0, b1, b2, B0, B1: 3-bit codes, 8-bit scales of 64 elements,"},
    {"", "an FP32 scale for 256 of those"},
    {"rank", "columns of L1, rows of L2: the low-rank part, trained later"},
    {"optimal", "proved: no plan within the budget has a smaller error"},
    {"uniform", "one config for all matrices"},
    {"NF3 NF4", "QLoRA's uniform configs, low-rank part at zero"},
    {"optimum", "the least error at every budget: the frontier"},
    {"# and !", "on the map: a matrix that is pinned, or bound otherwise, by name"},
    {"hatched", "not measured yet: no part of the plan"},
};
enum { N_WORDS = sizeof glossary / sizeof *glossary };

/* Paints line `line` of the help at y, or only counts when cells is NULL. Returns lines in all. */
static int help_text(const struct bp_app *app, struct bp_cells *cells, struct bp_rect in, int first)
{
    int line = 0;
    const char *group = "";
    for (int a = 0; a < BP_N_ACTIONS; a++) {
        const struct bp_action_row *row = bp_action_row((enum bp_action)a);
        char keys[64] = "";
        if (strcmp(row->group, group) != 0) {
            group = row->group;
            if (cells && line >= first)
                bp_cells_text(cells, in, in.x, in.y + line - first, BP_ROLE_TITLE, group);
            line++;
        }
        for (size_t i = 0; i < app->keymap.n; i++) {
            char key[24];
            const struct bp_binding *b = &app->keymap.at[i];
            if ((int)b->action != a || (int)bp_keymap_find(&app->keymap, b->key) != a)
                continue;
            const size_t used = strlen(keys);
            snprintf(keys + used, sizeof keys - used, "%s%s", used ? " " : "",
                     bp_key_name(b->key, key));
        }
        if (cells && line >= first) {
            bp_cells_text(cells, in, in.x + 2, in.y + line - first, BP_ROLE_KEY, keys);
            bp_cells_text(cells, in, in.x + 16, in.y + line - first, BP_ROLE_TEXT, row->help);
        }
        line++;
    }
    if (cells && line >= first)
        bp_cells_text(cells, in, in.x, in.y + line - first, BP_ROLE_TITLE,
                      "Command line (:), Tab completes, Up recalls");
    line++;
    for (int i = 0; i < N_COMMANDS; i++, line++)
        if (cells && line >= first) {
            int x = bp_cells_text(cells, in, in.x + 2, in.y + line - first, BP_ROLE_KEY,
                                  command_rows[i].word);
            bp_cells_text(cells, in, x + 1, in.y + line - first, BP_ROLE_DIM, command_rows[i].args);
            bp_cells_text(cells, in, in.x + 22, in.y + line - first, BP_ROLE_TEXT,
                          command_rows[i].help);
        }
    if (cells && line >= first)
        bp_cells_text(cells, in, in.x, in.y + line - first, BP_ROLE_TITLE, "Words");
    line++;
    for (int i = 0; i < N_WORDS; i++, line++)
        if (cells && line >= first) {
            bp_cells_text(cells, in, in.x + 2, in.y + line - first, BP_ROLE_VALUE,
                          glossary[i].word);
            bp_cells_text(cells, in, in.x + 16, in.y + line - first, BP_ROLE_TEXT,
                          glossary[i].meaning);
        }
    return line;
}

int bp_help_lines(const struct bp_app *app)
{
    return help_text(app, NULL, (struct bp_rect){0, 0, 0, 0}, 0);
}

void bp_render_help(const struct bp_app *app, struct bp_cells *cells, struct bp_rect r)
{
    bp_cells_fill(cells, r, BP_ROLE_TEXT, ' ');
    bp_cells_frame(cells, r, true, "Help: Up, Down, PageDown scroll, any other key closes");
    help_text(app, cells, bp_rect_inset(r, 1), app->view.help_scroll);
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
