/* The workbench's part of the manual page: keys and commands come from the tables that make them.
 */
#include "ui/workbench.h"

#include <stdio.h>
#include <string.h>

#include "ui/actions.h"
#include "ui/command_words.h"

typedef void put_fn(const char *section, const char *group, const char *term, const char *text);

struct entry {
    const char *term, *text;
};

static void put_entries(put_fn *put, const char *section, const struct entry *entries, size_t n)
{
    for (size_t i = 0; i < n; i++)
        put(section, "", entries[i].term, entries[i].text);
}
#define PUT_ENTRIES(put, section, entries) \
    put_entries(put, section, entries, sizeof entries / sizeof *entries)

static void put_keys(put_fn *put)
{
    put("Keys", "", "",
        "A digit begins a number: before a key that moves something it is a count, with Enter "
        "it is a budget in bits/param (2.6) or bytes (2.2GiB). S- is Shift, C- is Ctrl. The "
        "mouse drags the slider, clicks tabs, cells and switches, and turns lists. Each entry "
        "begins with the action's name in the file config.");
    for (int a = 0; a < BP_N_ACTIONS; a++) {
        const struct bp_action_row *row = bp_action_row((enum bp_action)a);
        char name[64], text[256];
        size_t n = 0;
        for (const char *p = row->name; *p && n + 1 < sizeof name; p++)
            name[n++] = *p == '_' ? '-' : (char)(*p | 0x20); /* upper-case ASCII */
        name[n] = '\0';
        snprintf(text, sizeof text, "%s: %s", name, row->help);
        put("Keys", row->group, row->keys, text);
    }
}

static void put_commands(put_fn *put)
{
    static const struct {
        const char *word, *args, *help;
    } commands[] = {
#define COMMAND_ROW(word, run, args, help) {word, args, help},
        BP_COMMANDS(COMMAND_ROW)
#undef COMMAND_ROW
    };
    put("Command line", "", "",
        "A colon opens the command line of the workbench. A word may be shortened as long as it "
        "stays the only one; Tab completes words, names and files, Up and Down recall earlier "
        "lines.");
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        char term[64];
        snprintf(term, sizeof term, "%s%s%s", commands[i].word, *commands[i].args ? " " : "",
                 commands[i].args);
        put("Command line", "", term, commands[i].help);
    }
}

static const struct entry script_words[] = {
    {"Right, S-Right, C-l, F1, Enter, Space, x ...", "a key"},
    {"\"text\"", "characters to type; \\\" and \\\\ stand for themselves"},
    {"click:X,Y", "press and release in a cell; columns and rows count from 0"},
    {"drag:X,Y-X,Y", "press in one cell, release in another"},
    {"wheel:X,Y,N", "turn the wheel N steps, down when N is positive"},
    {"size:WxH", "another size of the screen"},
    {"wait", "until what is being measured is measured"},
};

static const struct entry files[] = {
    {"$XDG_CONFIG_HOME/bitplan/config (~/.config/bitplan/config)",
     "settings, a line each: colors = auto, true, 256, 16 or mono; glyphs = auto or ascii; mouse = "
     "yes or no; bind KEY = ACTION, the action by its name above, none for nothing. Lines that "
     "begin with # do not count."},
    {"$XDG_STATE_HOME/bitplan/history (~/.local/state/bitplan/history)",
     "lines of the command line"},
    {"$XDG_STATE_HOME/bitplan/recovered-PID.json", "the session as it was when a signal or a crash "
                                                   "ended the workbench with changes that were not "
                                                   "saved; `bitplan` opens it as any other"},
    {"$XDG_STATE_HOME/bitplan/NAME-FINGERPRINT-rRANK-EFFORT.safetensors",
     "the table of a model that was opened without -o"},
    {"PREFIX/share/bitplan/sessions", "the sessions that are shipped; llama-2-7b.json is what "
                                      "`bitplan` opens when no file is named"},
};

static const struct entry environment[] = {
    {"BITPLAN_SESSIONS", "a folder with a llama-2-7b.json that is opened when no file is named"},
    {"XDG_CONFIG_HOME, XDG_STATE_HOME, HOME", "where the files above lie"},
    {"TERM", "the terminal; it must be able to move its cursor"},
    {"COLORTERM", "truecolor or 24bit: colours in 24 bits"},
    {"NO_COLOR", "not empty: no colours, unless --colors or the file config asks for some"},
    {"LC_ALL, LC_CTYPE, LANG", "without UTF-8 the screen is painted in ASCII"},
};

void bp_workbench_manual(put_fn *put)
{
    put_keys(put);
    put_commands(put);
    put("Scripts", "", "",
        "bitplan FILE --script WORDS replays what a person would do and prints the last frame: "
        "its characters, then a letter a cell for its style. With --dump DIR every frame is "
        "written. Before each frame everything is solved to proof, so frames do not depend on "
        "the machine.");
    PUT_ENTRIES(put, "Scripts", script_words);
    PUT_ENTRIES(put, "Files", files);
    PUT_ENTRIES(put, "Environment", environment);
}
