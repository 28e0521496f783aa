/* Events become actions. */
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/mem.h"
#include "engine/printable.h"
#include "ui/app.h"
#include "ui/view.h"

const struct bp_panel_ops *bp_panel_ops(enum bp_panel panel)
{
    static const struct bp_panel_ops *const ops[BP_N_PANELS] = {
        [BP_PANEL_BUDGET] = &bp_panel_budget, [BP_PANEL_MAP] = &bp_panel_map,
        [BP_PANEL_CURVE] = &bp_panel_curve,   [BP_PANEL_DETAIL] = &bp_panel_detail,
        [BP_PANEL_GRID] = &bp_panel_grid,     [BP_PANEL_MEMORY] = &bp_panel_memory,
        [BP_PANEL_PLANS] = &bp_panel_plans,
    };
    return ops[panel];
}

/* --- keys --- */

/* Digits wait for what they are: a count for the action that follows, or, at Enter, a budget. */
static bool type_number(struct bp_app *app, uint32_t key)
{
    const size_t n = strlen(app->entry);
    if (n > 0 && key == BP_KEY_BACKSPACE) {
        app->entry[n - 1] = '\0';
        return true;
    }
    if (n > 0 && key == BP_KEY_ESCAPE) {
        app->entry[0] = '\0';
        return true;
    }
    if (n > 0 && key == BP_KEY_ENTER) {
        bool size = strpbrk(app->entry, "kKMGTB") != NULL;
        char text[sizeof app->entry];
        memcpy(text, app->entry, sizeof text);
        app->entry[0] = '\0';
        app->message[0] = '\0';
        bp_app_set_budget(app, size ? BP_BUDGET_BYTES : BP_BUDGET_BITS_PER_PARAM, text, false);
        return true;
    }
    const bool digit = key < 128 && (isdigit((int)key) || (n > 0 && key == '.'));
    const bool unit = n > 0 && key < 128 && strchr("kKMGTiB", (int)key) && key;
    if ((!digit && !unit) || n + 1 >= sizeof app->entry)
        return false;
    app->entry[n] = (char)key;
    app->entry[n + 1] = '\0';
    return true;
}

static double take_count(struct bp_app *app)
{
    char *end;
    double n = strtod(app->entry, &end);
    bool whole = *app->entry && *end == '\0' && n >= 1.0 && n <= 1e6 && n == floor(n);
    app->entry[0] = '\0';
    return whole ? n : 1.0;
}

static unsigned leave_key(struct bp_app *app, uint32_t key)
{
    bp_prompt_close(&app->prompt);
    if (key == 'd' || key == 'y')
        return BP_FLAG_QUIT;
    if (key != 's')
        return BP_FLAG_REDRAW;
    if (!app->session_path) {
        bp_prompt_open(&app->prompt, BP_PROMPT_COMMAND, "save session.json");
        app->leaving = true;
        return BP_FLAG_REDRAW;
    }
    bp_app_save(app, app->session_path, true);
    return bp_app_would_lose(app) ? BP_FLAG_REDRAW : BP_FLAG_QUIT;
}

static void remember(struct bp_app *app, const char *line)
{
    if (!*line ||
        (app->n_history_lines && strcmp(app->history_lines[app->n_history_lines - 1], line) == 0))
        return;
    char **grown = bp_grow(app->history_lines, app->n_history_lines + 1, sizeof *grown);
    if (!grown)
        return;
    app->history_lines = grown;
    char *copy = bp_strdup(line);
    if (copy)
        app->history_lines[app->n_history_lines++] = copy;
}

static void recall(struct bp_app *app, int step)
{
    struct bp_prompt *p = &app->prompt;
    if ((step > 0 && p->recall == app->n_history_lines) || (step < 0 && p->recall == 0))
        return;
    p->recall += (size_t)step;
    bp_prompt_set(p, p->recall ? app->history_lines[app->n_history_lines - p->recall] : "");
}

static unsigned prompt_key(struct bp_app *app, uint32_t key)
{
    struct bp_prompt *p = &app->prompt;
    const bool command = p->kind == BP_PROMPT_COMMAND;
    char line[BP_PROMPT_TEXT];
    if (p->kind == BP_PROMPT_LEAVE)
        return leave_key(app, key);
    if (key == BP_KEY_ESCAPE || key == (BP_CTRL | 'c') || (key == BP_KEY_BACKSPACE && p->n == 0)) {
        bp_prompt_close(p);
        app->leaving = false;
    } else if (key == BP_KEY_ENTER) {
        memcpy(line, p->text, sizeof line);
        bp_prompt_close(p);
        app->message[0] = '\0';
        if (command) {
            remember(app, line);
            const unsigned flags = bp_app_command(app, line);
            app->leaving = false;
            return flags | BP_FLAG_REDRAW;
        }
        bp_app_find(app, line);
    } else if (command && (key == BP_KEY_UP || key == BP_KEY_DOWN)) {
        recall(app, key == BP_KEY_UP ? 1 : -1);
    } else if (command && key == BP_KEY_TAB) {
        bp_app_complete(app);
    } else if (!bp_prompt_key(p, key)) {
        return BP_FLAG_BEEP;
    }
    return BP_FLAG_REDRAW;
}

static unsigned help_key(struct bp_app *app, uint32_t key)
{
    const int page = app->rows > 6 ? app->rows - 6 : 1;
    int *scroll = &app->view.help_scroll;
    switch (bp_keymap_find(&app->keymap, key)) {
    case BP_ACTION_CURSOR_UP:
        *scroll -= 1;
        break;
    case BP_ACTION_CURSOR_DOWN:
        *scroll += 1;
        break;
    case BP_ACTION_PAGE_UP:
        *scroll -= page;
        break;
    case BP_ACTION_TOGGLE:
    case BP_ACTION_PAGE_DOWN:
        *scroll += page;
        break;
    case BP_ACTION_SUSPEND:
        return BP_FLAG_REDRAW | BP_FLAG_SUSPEND;
    case BP_ACTION_REDRAW:
        return BP_FLAG_REDRAW | BP_FLAG_REFRESH;
    default:
        app->view.help = false;
        break;
    }
    const int most = bp_help_lines(app) - page;
    *scroll = *scroll > most ? most : *scroll;
    *scroll = *scroll < 0 ? 0 : *scroll;
    return BP_FLAG_REDRAW;
}

static unsigned key(struct bp_app *app, uint32_t key)
{
    if (app->prompt.kind != BP_PROMPT_NONE)
        return prompt_key(app, key);
    if (app->view.help)
        return help_key(app, key);
    if (type_number(app, key))
        return BP_FLAG_REDRAW;
    const enum bp_action action = bp_keymap_find(&app->keymap, key);
    const double n = take_count(app);
    if (action == BP_N_ACTIONS)
        return BP_FLAG_BEEP | BP_FLAG_REDRAW;
    return bp_app_act(app, action, n);
}

/* --- the mouse --- */

static unsigned mouse(struct bp_app *app, const struct bp_event *event)
{
    const struct bp_layout l = bp_app_layout(app);
    if (app->view.help || app->prompt.kind == BP_PROMPT_LEAVE) {
        if (event->mouse == BP_MOUSE_WHEEL)
            return help_key(app, event->wheel > 0 ? BP_KEY_DOWN : BP_KEY_UP);
        app->view.help &= event->mouse != BP_MOUSE_PRESS;
        return BP_FLAG_REDRAW;
    }
    if (event->mouse == BP_MOUSE_RELEASE) {
        app->view.dragging = false;
        return 0;
    }
    if (app->view.dragging) { /* the slider keeps the mouse until it is let go */
        bp_panel_budget.mouse(app, bp_rect_inset(l.panel[BP_PANEL_BUDGET], 1), event);
        return BP_FLAG_REDRAW;
    }
    const bool press = event->mouse == BP_MOUSE_PRESS;
    if (press && bp_rect_has(l.tabs, event->x, event->y)) {
        enum bp_panel panel = bp_tab_at(app, l.tabs, event->x);
        if (panel != BP_N_PANELS)
            bp_app_show(app, panel);
        return BP_FLAG_REDRAW;
    }
    if (press && bp_rect_has(l.footer, event->x, event->y)) {
        enum bp_action action = bp_footer_at(app, l.footer, event->x);
        return action != BP_N_ACTIONS ? bp_app_act(app, action, 1.0) : BP_FLAG_REDRAW;
    }
    if (press && bp_rect_has(l.memory_line, event->x, event->y)) {
        bp_app_show(app, BP_PANEL_MEMORY);
        return BP_FLAG_REDRAW;
    }
    for (int p = 0; p < BP_N_PANELS; p++) {
        if (!bp_rect_has(l.panel[p], event->x, event->y))
            continue;
        if (press && p != BP_PANEL_BUDGET)
            bp_app_show(app, (enum bp_panel)p);
        bp_panel_ops((enum bp_panel)p)->mouse(app, bp_rect_inset(l.panel[p], 1), event);
    }
    return BP_FLAG_REDRAW;
}

unsigned bp_app_update(struct bp_app *app, const struct bp_event *event)
{
    switch (event->kind) {
    case BP_EVENT_KEY:
        return key(app, event->key);
    case BP_EVENT_MOUSE:
        return mouse(app, event);
    case BP_EVENT_RESIZE:
        app->cols = event->x;
        app->rows = event->y;
        /* The panel with the keys stays on the screen (but on a card, which passes). */
        if (bp_app_layout(app).screen != BP_SCREEN_CARD)
            bp_app_show(app, app->view.focus);
        return BP_FLAG_REDRAW;
    case BP_EVENT_WAKE:
        return bp_app_news(app) ? BP_FLAG_REDRAW : 0;
    case BP_EVENT_STOP:
        return BP_FLAG_QUIT;
    case BP_EVENT_NONE:
        break;
    }
    return 0;
}
