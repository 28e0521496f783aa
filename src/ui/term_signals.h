/*
 * What signals do to a program that has taken over the terminal. Signals that the loop deals with
 * become bits and a byte on a pipe; a crash gives the terminal back from within the handler, saves
 * what bp_term_on_crash (term.h) left ready and goes on to whatever handled it before.
 *
 * No curses here: a handler may call only what is async-signal-safe, so everything it writes is
 * prepared beforehand. One terminal a process; the state is static because handlers need it.
 */
#ifndef BP_UI_TERM_SIGNALS_H
#define BP_UI_TERM_SIGNALS_H

#include <stdbool.h>
#include <stddef.h>

enum {
    BP_SIGNAL_RESIZE = 1,   /* SIGWINCH */
    BP_SIGNAL_SUSPEND = 2,  /* SIGTSTP from outside */
    BP_SIGNAL_CONTINUE = 4, /* SIGCONT after a stop that could not be caught */
    BP_SIGNAL_STOP = 8,     /* SIGTERM, SIGHUP, SIGINT */
};

/* Remembers the modes of the terminal and installs the handlers. False: errno says why. */
bool bp_signals_open(int tty_in, int tty_out);
/* The handlers of before. */
void bp_signals_close(void);

/* Readable when there is something to take. */
int bp_signals_fd(void);
/* The bits since the last call. */
unsigned bp_signals_take(void);
/* The first signal that asked to stop, 0 for none. */
int bp_signals_stop(void);

/* Bytes [n] that undo what was done to the terminal; more than 1024 are refused. From here on a
 * crash or an exit writes them, once, and sets the modes of before. */
bool bp_signals_arm(const char *bytes, size_t n);
/* The terminal is as it was: nothing is to be undone. */
void bp_signals_disarm(void);

/* Stops this process, or with `group` all of its group, as the shell's Ctrl-Z would; returns when
 * it goes on. False when the parent has SIGTSTP ignored. */
bool bp_signals_suspend(bool group);

/* Keeps standard error aside in memory unless it goes to a file; lets it go and shows what came. */
void bp_signals_keep_stderr(void);
void bp_signals_release_stderr(void);

#endif
