/*
 * A program on a terminal of the test's own: a pty whose other end is libvterm, in this process.
 * The test sees every cell and every mode, types, moves the mouse, changes the size, and stops and
 * continues the program as a shell would.
 *
 * Columns and rows count from 0. Every function that waits has a limit in milliseconds; what runs
 * out of it returns false. Programs that write the OSC "7777;N" behind each frame (bitplan does,
 * with BITPLAN_FRAME_MARK in the environment) can be followed frame by frame.
 */
#ifndef BP_TESTS_VT_H
#define BP_TESTS_VT_H

#include <stdbool.h>
#include <stdint.h>
#include <termios.h>

#include <sys/types.h>
#include <vterm.h>

enum { VT_TEXT = 8192, VT_LIMIT_MS = 10000 };

struct vt_options {
    const char *term;       /* TERM; NULL = unset */
    int cols, rows;         /* 0 = 80 x 24 */
    const char *const *env; /* "NAME=value" sets, "NAME" unsets; ends with NULL; may be NULL */
    bool job;               /* under a leader of the session, so that it can be stopped */
};

struct vt {
    int fd; /* the terminal's end */
    pid_t pid;
    int pid_fd, stops_fd;
    VTerm *term;
    VTermScreen *screen;
    int cols, rows;
    bool alternate, cursor_visible; /* modes of the terminal */
    int mouse;                      /* VTERM_PROP_MOUSE_... */
    int bells;
    unsigned long frames; /* marks seen */
    unsigned long bytes;  /* received */
    unsigned mark_at;     /* how much of a mark has been matched */
    bool ended;           /* the program is gone, `status` as waitpid gives it */
    int status;
};

/* Starts argv [ends with NULL] with LC_ALL=C.UTF-8 and frame marks, unless env says otherwise. Ends
 * the test program with a message when there is no pty. */
struct vt *vt_open(const struct vt_options *options, const char *const argv[]);
/* Hangs up, and kills what does not end. Takes NULL, returns NULL. */
struct vt *vt_close(struct vt *vt);

/* Reads what comes within ms; false when nothing came. */
bool vt_pump(struct vt *vt, int ms);
/* Reads until nothing has come for quiet_ms. */
void vt_settle(struct vt *vt, int quiet_ms);
bool vt_wait_text(struct vt *vt, const char *text, int ms);
/* Until there are `frames` frames. */
bool vt_wait_frames(struct vt *vt, unsigned long frames, int ms);
/* Until the program has ended and all it wrote is on the screen. */
bool vt_wait_end(struct vt *vt, int ms);

/* Closes the terminal under the program; false when it does not end within ms. */
bool vt_hang_up(struct vt *vt, int ms);

/* With `job`: until the program has been stopped; lets it go on. */
bool vt_wait_stop(struct vt *vt, int ms);
void vt_continue(struct vt *vt);
/* The program's own process, which with `job` is a child of the leader. */
pid_t vt_program(struct vt *vt);

void vt_type(struct vt *vt, const char *bytes);
void vt_type_bytes(struct vt *vt, const char *bytes, size_t n);
/* Encoded as the program asked for. */
void vt_key(struct vt *vt, VTermKey key, VTermModifier modifiers);
void vt_char(struct vt *vt, uint32_t ch, VTermModifier modifiers);
/* button 1 is the left one, 4 and 5 are the wheel. */
void vt_mouse(struct vt *vt, int button, bool pressed, int x, int y);
void vt_mouse_move(struct vt *vt, int x, int y);
void vt_resize(struct vt *vt, int cols, int rows);

VTermScreenCell vt_cell(const struct vt *vt, int x, int y);
/* Foreground or background as 0xRRGGBB, whatever way the program named it. */
uint32_t vt_fg(const struct vt *vt, int x, int y);
uint32_t vt_bg(const struct vt *vt, int x, int y);
/* A row as UTF-8 without the blanks at its end; returns text. */
const char *vt_row(const struct vt *vt, int y, char text[VT_TEXT]);
bool vt_has(const struct vt *vt, const char *text);
/* The screen on standard error, for a test that failed. */
void vt_show(const struct vt *vt);
/* The modes that the line discipline has now. */
struct termios vt_modes(const struct vt *vt);

#endif
