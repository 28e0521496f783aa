/* What is in hand: plans kept under a name, beside the present one, and the constraints. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/printable.h"
#include "ui/view.h"

static int n_rows(const struct bp_app *app)
{
    return (int)(app->session.n_bookmarks + app->session.constraints.n);
}

/* Matrices whose candidate differs from the present plan's; -1 when they cannot be compared. */
static long differing(const struct bp_app *app, const struct bp_bookmark *mark)
{
    long n = 0;
    if (!app->plan || mark->n_choice != app->plan->table->n_matrices)
        return -1;
    for (size_t i = 0; i < mark->n_choice; i++)
        n += mark->choice[i] != app->plan->choice[i];
    return n;
}

enum { NAME = 16, BITS = 10, ERROR = 12, DIFFERENT = 12 };

static void figures(const struct bp_app *app, struct bp_cells *cells, struct bp_rect in, int y,
                    uint64_t storage_bits, double error, unsigned role)
{
    const double params = (double)bp_app_params(app);
    char text[BP_FIGURE_TEXT];
    int x = in.x + 2 + NAME;
    snprintf(text, sizeof text, "%.4f", (double)storage_bits / params);
    bp_cells_right(cells, in, x += BITS, y, role, text);
    bp_cells_right(cells, in, x + ERROR, y, role, bp_figure(error, text));
}

static void heads(struct bp_cells *cells, struct bp_rect in)
{
    int x = in.x + 2 + NAME;
    bp_cells_text(cells, in, in.x + 2, in.y, BP_ROLE_TITLE, "plan");
    bp_cells_right(cells, in, x += BITS, in.y, BP_ROLE_TITLE, "bits/param");
    bp_cells_right(cells, in, x += ERROR, in.y, BP_ROLE_TITLE, "error");
    bp_cells_right(cells, in, x + DIFFERENT, in.y, BP_ROLE_TITLE, "differs in");
}

static void bookmark(const struct bp_app *app, struct bp_cells *cells, struct bp_rect in, int y,
                     size_t k)
{
    const struct bp_bookmark *mark = &app->session.bookmarks[k];
    const struct bp_rect name = {in.x + 2, y, NAME, 1};
    const long n = differing(app, mark);
    char text[48] = "not known";
    bp_cells_text(cells, in, in.x, y, BP_ROLE_BOOKMARK,
                  app->view.compare == (int)k ? "\xE2\x97\x86" : " ");
    bp_cells_text(cells, bp_rect_clip(name, in), name.x, y, BP_ROLE_BOOKMARK,
                  bp_printable(mark->name).text);
    figures(app, cells, in, y, mark->storage_bits, mark->error, BP_ROLE_TEXT);
    if (n >= 0)
        snprintf(text, sizeof text, "%ld", n);
    bp_cells_right(cells, in, in.x + 2 + NAME + BITS + ERROR + DIFFERENT, y, BP_ROLE_TEXT, text);
}

static void constraint(const struct bp_app *app, struct bp_cells *cells, struct bp_rect in, int y,
                       size_t k)
{
    const struct bp_constraint *c = &app->session.constraints.list[k];
    int x = bp_cells_printf(cells, in, in.x, y, BP_ROLE_DIM, "%2zu ", k + 1);
    x = bp_cells_printf(cells, in, x, y, BP_ROLE_PINNED, "%s ", bp_constraint_option(c->kind) + 2);
    bp_cells_text(cells, in, x, y, BP_ROLE_TEXT, bp_printable(c->value).text);
}

/* The first row shown, so that the selected one is inside. */
static int first_row(const struct bp_app *app, int visible)
{
    const int at = app->view.plan_row;
    return visible > 0 && at >= visible ? at - visible + 1 : 0;
}

static void render(const struct bp_app *app, struct bp_cells *cells, struct bp_rect in)
{
    const int n = n_rows(app), visible = in.h - 2;
    heads(cells, in);
    bp_cells_text(cells, in, in.x + 2, in.y + 1, BP_ROLE_SLIDER, "this plan");
    if (app->plan)
        figures(app, cells, in, in.y + 1, app->plan->storage_bits, app->plan->error, BP_ROLE_VALUE);
    const int first = first_row(app, visible);
    for (int i = first; i < n && i - first < visible; i++) {
        const int y = in.y + 2 + i - first;
        if (i < (int)app->session.n_bookmarks)
            bookmark(app, cells, in, y, (size_t)i);
        else
            constraint(app, cells, in, y, (size_t)i - app->session.n_bookmarks);
        if (app->view.focus == BP_PANEL_PLANS && app->view.plan_row == i)
            bp_cells_reverse(cells, (struct bp_rect){in.x, y, in.w, 1});
    }
    if (n == 0)
        bp_cells_text(cells, in, in.x, in.y + 3, BP_ROLE_DIM,
                      "b keeps this plan under a name; constraints are listed here, too");
}

static void title(const struct bp_app *app, char *text, size_t n)
{
    snprintf(text, n, "Plans kept: %zu, constraints: %zu", app->session.n_bookmarks,
             app->session.constraints.n);
}

static void forget(struct bp_app *app)
{
    const size_t row = (size_t)app->view.plan_row, n = app->session.n_bookmarks;
    struct bp_edit edit = {.kind = BP_EDIT_REMOVE_BOOKMARK, .index = row};
    if (row >= n)
        edit = (struct bp_edit){.kind = BP_EDIT_REMOVE_CONSTRAINT, .index = row - n};
    if ((int)row >= n_rows(app) || !bp_app_edit(app, &edit, 1, false))
        return;
    app->view.compare = -1;
    bp_app_say(app, BP_ROLE_TEXT, "taken away; u brings it back");
}

static bool act(struct bp_app *app, enum bp_action action, double n)
{
    int *row = &app->view.plan_row;
    (void)n;
    switch (action) {
    case BP_ACTION_CURSOR_UP:
        *row -= *row > 0;
        break;
    case BP_ACTION_CURSOR_DOWN:
        *row += 1;
        break;
    case BP_ACTION_DELETE:
        forget(app);
        break;
    case BP_ACTION_CHOOSE:
    case BP_ACTION_TOGGLE: {
        char line[BP_PROMPT_TEXT];
        if (*row >= (int)app->session.n_bookmarks)
            break;
        snprintf(line, sizeof line, "go %s", app->session.bookmarks[*row].name);
        bp_app_command(app, line);
        break;
    }
    default:
        return false;
    }
    const int most = n_rows(app) - 1;
    *row = *row > most ? most : *row;
    *row = *row < 0 ? 0 : *row;
    return true;
}

static void mouse(struct bp_app *app, struct bp_rect in, const struct bp_event *event)
{
    if (event->mouse == BP_MOUSE_WHEEL) {
        act(app, event->wheel > 0 ? BP_ACTION_CURSOR_DOWN : BP_ACTION_CURSOR_UP, 1.0);
        return;
    }
    const int row = event->y - in.y - 2 + first_row(app, in.h - 2);
    if (event->y >= in.y + 2 && row < n_rows(app))
        app->view.plan_row = row;
}

const struct bp_panel_ops bp_panel_plans = {render, act, mouse, title};
