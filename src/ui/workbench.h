/*
 * The workbench as main sees it: on a terminal, or replaying a script without one.
 */
#ifndef BP_UI_WORKBENCH_H
#define BP_UI_WORKBENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/err.h"
#include "engine/table.h"

struct bp_workbench_options {
    const char *path;            /* a table, session, plan or model */
    bool template;               /* a session to start from, which is not saved back */
    const char *const *commands; /* [n_commands] lines of the command line, run at the start */
    size_t n_commands;
    bool mouse;
    bool ascii;         /* ASCII glyphs, whatever the locale */
    const char *colors; /* "auto", "true", "256", "16", "mono"; NULL = auto */
    /* Replaying: words as bp_script_run takes them; NULL = on the terminal. */
    const char *script;
    int cols, rows;   /* of the replay's frames */
    const char *dump; /* folder for every frame; NULL = the last one goes to standard output */
    /* Measuring a model. */
    const char *table_path, *grid; /* NULL: the state folder, paper */
    uint64_t rank;
    enum bp_effort effort;
    unsigned threads; /* 0 = all */
    /* Gets the signal that ended it, for the process to die of it as well; may be NULL. */
    int *stop_signal;
};

/* Runs until the person leaves, or the script ends. BP_STOPPED: a signal ended it; the text says
 * where the session was saved. BP_ERR_USAGE for a word of the script that is none. */
enum bp_status bp_workbench(const struct bp_workbench_options *options, struct bp_err *err);

/* The workbench's part of the manual page, from the tables of actions and commands: calls `put` for
 * each piece, in order. Plain text; "" for no group and for a paragraph without a term. */
void bp_workbench_manual(void (*put)(const char *section, const char *group, const char *term,
                                     const char *text));

#endif
