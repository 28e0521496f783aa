/*
 * A picture that has everything a terminal must show, and the name of the last event in the bottom
 * line: what the tests of the terminal look at.
 *
 *   term_demo [CRASH_FILE]
 *
 * q quits, Q exits without closing, c raises SIGSEGV, n follows a bad pointer, a aborts, C-z
 * suspends, C-l paints anew, b rings, k wakes the loop, e writes to standard error, t toggles the
 * cursor, w waits for 20 ms only, h hangs for ever.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ui/canvas.h"
#include "ui/cells.h"
#include "ui/term.h"

static struct bp_cells cells;
static int wake[2];
static bool cursor;
static int timeout_ms = -1;

static void describe(const struct bp_event *event, char *text, size_t room)
{
    static const char *const deeds[] = {"press", "release", "drag", "wheel"};
    char name[BP_KEY_TEXT];
    switch (event->kind) {
    case BP_EVENT_NONE:
        snprintf(text, room, "none");
        break;
    case BP_EVENT_KEY:
        snprintf(text, room, "key %s", bp_key_name(event->key, name));
        break;
    case BP_EVENT_MOUSE:
        snprintf(text, room, "%s %d,%d %d", deeds[event->mouse], event->x, event->y, event->wheel);
        break;
    case BP_EVENT_RESIZE:
        snprintf(text, room, "resize");
        break;
    case BP_EVENT_WAKE:
        snprintf(text, room, "wake");
        break;
    case BP_EVENT_STOP:
        snprintf(text, room, "stop");
        break;
    }
}

static void paint(const char *last, int n_events)
{
    const struct bp_rect all = bp_cells_rect(&cells);
    const struct bp_rect box = {0, 0, all.w, all.h - 1};
    const struct bp_rect chart = {20, 1, all.w - 21, 10};
    bp_cells_frame(&cells, box, true, "demo");
    for (int y = 0; y < BP_N_HEATS; y++)
        for (int x = 0; x < BP_N_HEATS; x++)
            bp_cells_put(&cells, bp_rect_inset(box, 1), 1 + x, 1 + y, BP_ROLE_HEAT + (unsigned)x,
                         (uint32_t) "0123456789abcdef"[y]);
    struct bp_canvas *canvas = bp_canvas_new(&cells, chart);
    if (canvas) {
        bp_canvas_line(canvas, 0, 0, bp_canvas_width(canvas) - 1, bp_canvas_height(canvas) - 1,
                       BP_ROLE_CURVE);
        bp_canvas_draw(canvas, &cells);
        bp_canvas_free(canvas);
    }
    bp_cells_text(&cells, bp_rect_inset(box, 1), 20, 12, BP_ROLE_TEXT, "wide \u4f4d end");
    bp_cells_text(&cells, bp_rect_inset(box, 1), 20, 13, BP_ROLE_SELECTED, "selected");
    bp_cells_text(&cells, bp_rect_inset(box, 1), 20, 14, BP_ROLE_ERROR, "error");
    bp_cells_text(&cells, bp_rect_inset(box, 1), 20, 15, BP_ROLE_GOOD, "good");
    bp_cells_reverse(&cells, (struct bp_rect){20, 15, 2, 1});
    bp_cells_printf(&cells, all, 0, all.h - 1, BP_ROLE_TEXT, "%dx%d %s #%d", all.w, all.h, last,
                    n_events);
    if (cursor) {
        cells.cursor_x = 3;
        cells.cursor_y = 2;
    }
}

static void act(struct bp_term *term, const struct bp_event *event)
{
    static int *volatile nowhere = (int *)16;
    if (event->kind == BP_EVENT_RESIZE && !bp_cells_resize(&cells, event->x, event->y))
        exit(4);
    timeout_ms = -1;
    if (event->kind != BP_EVENT_KEY)
        return;
    switch (event->key) {
    case 'Q':
        exit(3);
    case 'c':
        raise(SIGSEGV);
        break;
    case 'n':
        *nowhere = 1;
        break;
    case 'a':
        abort();
    case BP_CTRL | 'z':
        bp_term_suspend(term);
        break;
    case BP_CTRL | 'l':
        bp_term_redraw(term);
        break;
    case 'b':
        bp_term_beep(term);
        break;
    case 'k':
        if (write(wake[1], "kkk", 3) < 0)
            exit(4);
        break;
    case 'e':
        fprintf(stderr, "words on standard error\n");
        break;
    case 't':
        cursor = !cursor;
        break;
    case 'w':
        timeout_ms = 20;
        break;
    case 'h':
        for (;;)
            pause();
    default:
        break;
    }
}

int main(int argc, char **argv)
{
    static const char session[] = "the session\n";
    const struct bp_term_options options = {.colors = BP_COLORS_AUTO, .mouse = true};
    struct bp_event event = {.kind = BP_EVENT_NONE};
    struct bp_err err = {""};
    struct bp_term *term;
    int cols, rows;
    if (pipe2(wake, O_NONBLOCK | O_CLOEXEC) != 0)
        return 4;
    if (bp_term_open(&options, &term, &err) != BP_OK) {
        fprintf(stderr, "term_demo: %s\n", err.text);
        return 2;
    }
    if (argc > 1)
        bp_term_on_crash(argv[1], session, sizeof session - 1);
    bp_term_size(term, &cols, &rows);
    cells.ascii = !bp_term_utf8(term);
    if (!bp_cells_resize(&cells, cols, rows))
        return 4;
    for (int n = 0;; n++) {
        char last[64];
        describe(&event, last, sizeof last);
        bp_cells_clear(&cells);
        paint(last, n);
        bp_term_draw(term, &cells);
        bp_term_wait(term, wake[0], timeout_ms, &event);
        if (event.kind == BP_EVENT_STOP || (event.kind == BP_EVENT_KEY && event.key == 'q'))
            break;
        act(term, &event);
    }
    const int signal_taken = event.kind == BP_EVENT_STOP ? bp_term_stop_signal(term) : 0;
    bp_term_close(term);
    bp_cells_done(&cells);
    if (signal_taken)
        raise(signal_taken);
    return event.kind == BP_EVENT_STOP ? 5 : 0;
}
