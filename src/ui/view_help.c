/* The help: keys, commands and words, from the tables that make them work. */
#include <stdio.h>
#include <string.h>

#include "ui/command_words.h"
#include "ui/view.h"

static const struct {
    const char *word, *args, *help;
} command_rows[] = {
#define COMMAND_ROW(word, run, args, help) {word, args, help},
    BP_COMMANDS(COMMAND_ROW)
#undef COMMAND_ROW
};
enum { N_COMMANDS = sizeof command_rows / sizeof *command_rows };

static const struct {
    const char *word, *meaning;
} glossary[] = {
    {"bits/param", "storage of the planned matrices over their parameters (Eq. 3)"},
    {"effective", "the same with the low-rank parts added (low-rank-bits)"},
    {"error", "squared (weighted) Frobenius norm of W - (Q + L1 L2), summed"},
    {"relative", "error over the error of keeping nothing"},
    {"config", "nf3:u8:fp32:64:256 = b0, b1, b2, B0, B1: 3-bit codes, 8-bit"},
    {"", "scales of 64 elements, an FP32 scale for 256 of those"},
    {"rank", "columns of L1, rows of L2: the low-rank part, trained later"},
    {"optimal", "proved: no plan within the budget has a smaller error"},
    {"uniform", "one config for all matrices"},
    {"rival", "the runner-up: taken when the price passes the one shown"},
    {"price", "error that a MiB more would save in the plan, at this budget"},
    {"NF3 NF4", "QLoRA's uniform configs, low-rank part at zero"},
    {"optimum", "the least error at every budget: the frontier"},
    {"# and !", "on the map: a matrix pinned, or bound otherwise, by name"},
    {"tie", "the matrices of a group take one candidate"},
    {"KV cache", "keys and values of the tokens so far: context x batch of them"},
    {"LoRA", "training the low-rank part alone, on a frozen quantized base"},
    {"QAT", "quantization-aware training: a 16-bit base is kept"},
    {"synthetic", "made-up weights: the figures say nothing of a real model"},
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
