/*
 * What a person can do: one table yields keys, the footer, the help screen, the command line's
 * words and the manual page. Keys, mouse, command line and scripts all end in an action.
 *
 * X(suffix, keys (words of event.h, space-separated), footer label or "", group, help)
 * A key may serve several actions when they belong to different panels (P_ actions come first for
 * the panel that has the keys).
 */
#ifndef BP_UI_ACTIONS_H
#define BP_UI_ACTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BP_ACTIONS(X)                                                                              \
    X(BUDGET_UP, "Right", "budget", "Budget", "budget up 0.01 bits/param (a number first: times)") \
    X(BUDGET_DOWN, "Left", "", "Budget", "budget down 0.01 bits/param")                            \
    X(BUDGET_UP_COARSE, "S-Right > .", "", "Budget", "budget up 0.1 bits/param")                   \
    X(BUDGET_DOWN_COARSE, "S-Left < ,", "", "Budget", "budget down 0.1 bits/param")                \
    X(BUDGET_UP_FINE, "C-Right ]", "", "Budget", "budget up 0.001 bits/param")                     \
    X(BUDGET_DOWN_FINE, "C-Left [", "", "Budget", "budget down 0.001 bits/param")                  \
    X(BUDGET_LEAST, "Home", "", "Budget", "the least budget that has a plan")                      \
    X(BUDGET_MOST, "End", "", "Budget", "the budget beyond which nothing improves")                \
    X(FIT_CARD, "f", "", "Budget", "the largest budget that runs on the chosen card")              \
    X(GRID, "g", "grid", "Panels", "the grid: which candidates may be used")                       \
    X(MAP, "a", "", "Panels", "the allocation map")                                                \
    X(CURVE, "c", "", "Panels", "error over budget")                                               \
    X(DETAIL, "i", "", "Panels", "the matrix under the cursor")                                    \
    X(MEMORY, "m", "memory", "Panels", "memory: running and training, on a card")                  \
    X(PLANS, "B", "", "Panels", "plans kept under a name")                                         \
    X(NEXT_PANEL, "Tab", "", "Panels", "give the keys to the next panel")                          \
    X(PREVIOUS_PANEL, "S-Tab", "", "Panels", "give the keys to the panel before")                  \
    X(CURSOR_LEFT, "h", "", "Moving", "cursor left; in a list: less")                              \
    X(CURSOR_RIGHT, "l", "", "Moving", "cursor right; in a list: more")                            \
    X(CURSOR_UP, "Up k", "", "Moving", "cursor up")                                                \
    X(CURSOR_DOWN, "Down j", "", "Moving", "cursor down")                                          \
    X(PAGE_UP, "PageUp C-b", "", "Moving", "a page back")                                          \
    X(PAGE_DOWN, "PageDown C-f", "", "Moving", "a page on")                                        \
    X(CHOOSE, "Enter", "", "Moving", "choose: flip a switch, open a cell, restore a plan, edit")   \
    X(TOGGLE, "Space", "", "Moving", "flip the switch, or choose")                                 \
    X(BACK, "Esc", "", "Moving", "close, cancel, leave a comparison")                              \
    X(METRIC, "v", "", "Map", "next figure: bits, error, relative, share, price of a bit")         \
    X(METRIC_BACK, "V", "", "Map", "the figure before")                                            \
    X(ZOOM_IN, "+ =", "", "Map", "wider cells")                                                    \
    X(ZOOM_OUT, "-", "", "Map", "narrower cells, then several layers a cell")                      \
    X(FIND, "/", "find", "Map", "find a matrix by name")                                           \
    X(FIND_NEXT, "n", "", "Map", "the next one found")                                             \
    X(FIND_PREVIOUS, "N", "", "Map", "the one found before")                                       \
    X(WARNING, "W", "", "Map", "the next warning of the plan, and its matrix")                     \
    X(PIN, "p", "pin", "Constraints", "pin the matrix to its config, or let it go")                \
    X(BAN, "x", "", "Constraints", "ban the config that the matrix has from it")                   \
    X(FLOOR, "F", "", "Constraints", "never fewer bits for the matrix than now, or let it go")     \
    X(CEIL, "L", "", "Constraints", "never more bits for the matrix than now, or let it go")       \
    X(FREE, "X", "", "Constraints", "take all of the matrix's own constraints back")               \
    X(TIE, "t", "", "Constraints", "tie: next of qkv, gate_up, experts, layer, kind, none")        \
    X(BOOKMARK, "b", "keep", "Plans", "keep this plan under a name")                               \
    X(COMPARE, "C", "", "Plans", "compare with the selected or last kept plan")                    \
    X(DELETE, "D Delete", "", "Plans", "forget the selected plan")                                 \
    X(UNDO, "u", "undo", "Document", "take the last change back")                                  \
    X(REDO, "U C-r", "", "Document", "do it again")                                                \
    X(EXPORT, "e", "export", "Document", "write the plan: .json or .csv")                          \
    X(DECOMPOSE, "d", "", "Document", "carry the plan out: write the decomposed model")            \
    X(SAVE, "w C-s", "", "Document", "save the session")                                           \
    X(COMMAND, ":", "", "Document", "the command line")                                            \
    X(HELP, "? F1", "help", "Document", "this help")                                               \
    X(REDRAW, "C-l", "", "Document", "paint the screen anew")                                      \
    X(SUSPEND, "C-z", "", "Document", "back to the shell; fg returns")                             \
    X(QUIT, "q C-c", "quit", "Document", "leave; asks when something would be lost")

enum bp_action {
#define BP_ACTION_ENUM(suffix, keys, label, group, help) BP_ACTION_##suffix,
    BP_ACTIONS(BP_ACTION_ENUM)
#undef BP_ACTION_ENUM
        BP_N_ACTIONS
};

struct bp_action_row {
    const char *name; /* "budget-up": in the configuration */
    const char *keys; /* as in the table */
    const char *label, *group, *help;
};

const struct bp_action_row *bp_action_row(enum bp_action action);

/* Which keys do what. */
struct bp_keymap {
    struct bp_binding {
        uint32_t key;
        enum bp_action action;
    } * at; /* [n] a later binding of a key wins */
    size_t n;
};

/* The table's own keys. False when out of memory. */
bool bp_keymap_init(struct bp_keymap *keymap);
void bp_keymap_done(struct bp_keymap *keymap);
/* Binds a key word to an action's name. False for a word that is no key or action ("none" unbinds).
 */
bool bp_keymap_bind(struct bp_keymap *keymap, const char *key, const char *action);
/* BP_N_ACTIONS for a key that does nothing. */
enum bp_action bp_keymap_find(const struct bp_keymap *keymap, uint32_t key);
/* The first key of an action as a word, "" without one. */
const char *bp_keymap_key(const struct bp_keymap *keymap, enum bp_action action, char text[24]);

#endif
