/*
 * The terminal: shows grids of cells, reads events. The one back-end is curses (term_curses.c); the
 * rest of the workbench does not know it.
 *
 * While a terminal is open, standard error is kept aside and shown after closing. A crash, SIGTERM
 * and SIGHUP leave the terminal as it was: the handlers write prepared bytes and chain on.
 */
#ifndef BP_UI_TERM_H
#define BP_UI_TERM_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/err.h"
#include "ui/cells.h"
#include "ui/event.h"

enum bp_colors { BP_COLORS_AUTO, BP_COLORS_MONO, BP_COLORS_16, BP_COLORS_256, BP_COLORS_TRUE };

struct bp_term_options {
    enum bp_colors colors; /* AUTO: what the terminal has; NO_COLOR set means mono */
    bool mouse;
};

struct bp_term;

/* Takes over the terminal of standard input and output. BP_ERR_FAILED with a sentence: no terminal,
 * an unknown TERM, one that cannot move its cursor (TERM=dumb). Sets the process's locale. */
enum bp_status bp_term_open(const struct bp_term_options *options, struct bp_term **out,
                            struct bp_err *err);
/* Gives it back and shows what standard error kept. Takes NULL, returns NULL. */
struct bp_term *bp_term_close(struct bp_term *term);

/* True when the locale's characters are UTF-8: else grids are painted in ASCII. */
bool bp_term_utf8(const struct bp_term *term);
void bp_term_size(const struct bp_term *term, int *cols, int *rows);
/* Sends what differs from the last frame. */
void bp_term_draw(struct bp_term *term, const struct bp_cells *cells);
/* Everything anew at the next draw (Ctrl-L). */
void bp_term_redraw(struct bp_term *term);
/* Ctrl-Z: gives the terminal back, stops the process; returns when it goes on. */
void bp_term_suspend(struct bp_term *term);
void bp_term_beep(struct bp_term *term);

/* The signal behind BP_EVENT_STOP, for dying of it once all is saved and closed; 0: the terminal
 * hung up, or nothing has asked to stop. */
int bp_term_stop_signal(const struct bp_term *term);

/* After BP_EVENT_RESIZE, which also comes behind a suspension and where the size is what it was,
 * the whole screen is painted anew at the next draw. A stop signal that finds the first one of two
 * seconds ago unheeded does what a crash does.
 *
 * Waits at most timeout_ms (-1: for ever) for an event: a key, the mouse, a new size, a byte on
 * wake_fd (-1: none; it is drained) or a signal to stop. BP_EVENT_NONE on timeout. */
void bp_term_wait(struct bp_term *term, int wake_fd, int timeout_ms, struct bp_event *event);

/* What a crash handler writes: bytes [n] go to the file at `path` (created anew, then renamed from
 * path plus ".tmp"). Borrowed until the next call; NULL for nothing. */
void bp_term_on_crash(const char *path, const char *bytes, size_t n);

#endif
