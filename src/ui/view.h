/*
 * The panels: each paints itself into its rectangle and takes the keys and the mouse when it has
 * them. One file a panel (view_*.c), each a const table of operations.
 */
#ifndef BP_UI_VIEW_H
#define BP_UI_VIEW_H

#include "ui/app.h"

struct bp_panel_ops {
    /* Paints into the frame's inside; frame and title are painted by the caller. */
    void (*render)(const struct bp_app *app, struct bp_cells *cells, struct bp_rect inside);
    /* What a moving or choosing action does in the panel; false: not this panel's. */
    bool (*act)(struct bp_app *app, enum bp_action action, double n);
    /* A press, drag or wheel inside; coordinates of the screen. */
    void (*mouse)(struct bp_app *app, struct bp_rect inside, const struct bp_event *event);
    /* The title, for panels whose title says more than their name; may be NULL. */
    void (*title)(const struct bp_app *app, char *text, size_t n);
};

extern const struct bp_panel_ops bp_panel_budget, bp_panel_map, bp_panel_curve, bp_panel_detail,
    bp_panel_grid, bp_panel_memory, bp_panel_plans;

const struct bp_panel_ops *bp_panel_ops(enum bp_panel panel);

/* --- the parts around the panels (view_frame.c) --- */

void bp_render_header(const struct bp_app *app, struct bp_cells *cells, struct bp_rect r);
void bp_render_tabs(const struct bp_app *app, struct bp_cells *cells, struct bp_rect r);
void bp_render_message(const struct bp_app *app, struct bp_cells *cells, struct bp_rect r);
void bp_render_footer(const struct bp_app *app, struct bp_cells *cells, struct bp_rect r);
void bp_render_memory_line(const struct bp_app *app, struct bp_cells *cells, struct bp_rect r);
void bp_render_card(const struct bp_app *app, struct bp_cells *cells);

/* The tab, or the footer's action, at a column; BP_N_PANELS, BP_N_ACTIONS for none. */
enum bp_panel bp_tab_at(const struct bp_app *app, struct bp_rect r, int x);
enum bp_action bp_footer_at(const struct bp_app *app, struct bp_rect r, int x);

/* --- the help (view_help.c) --- */

void bp_render_help(const struct bp_app *app, struct bp_cells *cells, struct bp_rect r);
/* Its lines. */
int bp_help_lines(const struct bp_app *app);

/* --- shared by panels --- */

/* The switches of the grid (view_grid.c) flipped by a value: "b0", "3". */
bool bp_grid_flip(struct bp_app *app, int field, int value_index);
/* The grid's constraint replaced by text, "" for all candidates. */
bool bp_grid_set(struct bp_app *app, const char *text);

/* The range of the x axis (bits) of budget and curve: what makes sense, widened to show NF3 and
 * NF4. */
struct bp_axis {
    double least, most; /* bits/param */
};
struct bp_axis bp_budget_axis(const struct bp_app *app);

/* Whether that axis counts low-rank parts: total bytes of a table whose ranks differ. */
bool bp_budget_is_effective(const struct bp_app *app);

/* The level 0 .. 15 of a value between lo and hi, on a log scale where `log`. */
int bp_heat(double value, double lo, double hi, bool log);

/* "12.3 GiB" etc. are engine/printable.h's; this is "1.234e+04" or "12.34": four digits that a
 * person can read. */
enum { BP_FIGURE_TEXT = 24 };
const char *bp_figure(double value, char text[BP_FIGURE_TEXT]);
/* A round number, for an axis: "5e6", "200". */
const char *bp_round_figure(double value, char text[BP_FIGURE_TEXT]);

/* Text that is shown whole or not at all; returns the column behind it. */
int bp_text_fitting(struct bp_cells *cells, struct bp_rect in, int x, int y, unsigned role,
                    const char *text);

#endif
