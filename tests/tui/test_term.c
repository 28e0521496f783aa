/* The terminal: the demonstration program beside this one, under many terminals and mishaps. */
#include "../unit/test_dir.h"

#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <time.h>

#include "ui/cells.h"
#include "ui/theme.h"
#include "vt.h"

enum { LIMIT = VT_LIMIT_MS };

static char demo[4096];         /* path of the program */
static char *folder;            /* of the test that runs */
static char asan_options[4200]; /* reports go to files of `folder` */
static char *crash_path;

static int set_up(void **state)
{
    (void)state;
    folder = test_dir_make();
    crash_path = test_dir_join(folder, "session.json");
    snprintf(asan_options, sizeof asan_options,
             "ASAN_OPTIONS=handle_segv=0:handle_abort=0:handle_sigbus=0:log_path=%s/asan", folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    free(crash_path);
    test_dir_remove(folder);
    return 0;
}

/* --- helpers ---------------------------------------------------------------------------------- */

/* Starts the demonstration; `more` is one more setting of the environment, or NULL. */
static struct vt *open_demo(const char *term, const char *more, bool job)
{
    const char *const env[] = {asan_options, more, NULL};
    const struct vt_options options = {.term = term, .env = env, .job = job};
    const char *const argv[] = {demo, crash_path, NULL};
    return vt_open(&options, argv);
}

static void expect_text(struct vt *vt, const char *text)
{
    if (vt_wait_text(vt, text, LIMIT))
        return;
    vt_show(vt);
    fail_msg("never saw \"%s\"", text);
}

/* Waits for the first frame. */
static struct vt *start(const char *term, const char *more)
{
    struct vt *vt = open_demo(term, more, false);
    expect_text(vt, "80x24 none #0");
    assert_true(vt_wait_frames(vt, 1, LIMIT));
    return vt;
}

/* Waits for the bottom line of the n-th event; it is the last thing painted. */
static void expect_event(struct vt *vt, const char *event, int n)
{
    char text[128];
    snprintf(text, sizeof text, "%dx%d %s #%d", vt->cols, vt->rows, event, n);
    expect_text(vt, text);
}

static uint32_t char_at(const struct vt *vt, int x, int y)
{
    return vt_cell(vt, x, y).chars[0];
}

/* The frame's corners are where the size says. */
static void expect_frame(struct vt *vt)
{
    assert_int_equal(char_at(vt, 0, 0), 0x250c);
    assert_int_equal(char_at(vt, vt->cols - 1, 0), 0x2510);
    assert_int_equal(char_at(vt, 0, vt->rows - 2), 0x2514);
    assert_int_equal(char_at(vt, vt->cols - 1, vt->rows - 2), 0x2518);
}

static void expect_whole_terminal(struct vt *vt)
{
    const struct termios modes = vt_modes(vt);
    assert_false(vt->alternate);
    assert_true(vt->cursor_visible);
    assert_int_equal(vt->mouse, VTERM_PROP_MOUSE_NONE);
    assert_true(modes.c_lflag & ECHO && modes.c_lflag & ICANON && modes.c_lflag & ISIG);
    assert_true(modes.c_iflag & ICRNL);
}

/* No sanitizer had anything to say. */
static void expect_no_reports(void)
{
    char command[4300];
    snprintf(command, sizeof command, "cat %s/asan* >&2 2>/dev/null", folder);
    if (system(command) == 0)
        fail_msg("a sanitizer has reported");
}

static void expect_exit(struct vt *vt, int code)
{
    assert_true(vt_wait_end(vt, LIMIT));
    expect_no_reports();
    assert_true(WIFEXITED(vt->status));
    assert_int_equal(WEXITSTATUS(vt->status), code);
}

static void expect_killed(struct vt *vt, int signal_expected)
{
    assert_true(vt_wait_end(vt, LIMIT));
    expect_no_reports();
    assert_true(WIFSIGNALED(vt->status));
    assert_int_equal(WTERMSIG(vt->status), signal_expected);
}

static void quit(struct vt *vt)
{
    vt_type(vt, "q");
    expect_exit(vt, 0);
    expect_whole_terminal(vt);
    vt_close(vt);
}

static void expect_crash_file(bool expected)
{
    char text[64] = "";
    FILE *file = fopen(crash_path, "r");
    if (!expected) {
        assert_null(file);
        return;
    }
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof text, file));
    fclose(file);
    assert_string_equal(text, "the session\n");
}

/* --- starting --------------------------------------------------------------------------------- */

static void every_terminal_shows_the_picture_and_is_whole_afterwards(void **state)
{
    static const char *const terms[] = {"xterm-256color", "vte-direct", "xterm",
                                        "linux",          "vt100",      "tmux-256color",
                                        "screen-256color"};
    (void)state;
    for (size_t i = 0; i < sizeof terms / sizeof *terms; i++) {
        struct vt *vt = start(terms[i], NULL);
        char row[VT_TEXT];
        expect_frame(vt);
        assert_int_equal(char_at(vt, 2, 0), 'd');
        assert_int_equal(char_at(vt, 16, 16), 'f');
        assert_non_null(strstr(vt_row(vt, 12, row), "wide \u4f4d end"));
        assert_int_equal(vt_cell(vt, 25, 12).width, 2);
        assert_int_equal(char_at(vt, 20, 1) & ~0xffu, 0x2800); /* the line begins */
        assert_false(vt_modes(vt).c_lflag & (ECHO | ICANON | ISIG));
        quit(vt);
    }
}

static void a_terminal_that_will_not_do_is_refused_with_a_sentence(void **state)
{
    static const struct {
        const char *term, *words;
    } cases[] = {
        {"dumb", "the terminal \"dumb\" (TERM) cannot move its cursor"},
        {"no-such-terminal", "the terminal \"no-such-terminal\" (TERM) is not known here"},
        {"", "TERM is not set"},
        {NULL, "TERM is not set"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct vt *vt = open_demo(cases[i].term, NULL, false);
        expect_exit(vt, 2);
        assert_true(vt_has(vt, cases[i].words));
        assert_int_equal(vt->frames, 0);
        vt_close(vt);
    }
}

static void a_pipe_is_no_terminal(void **state)
{
    (void)state;
    char command[4300], line[256] = "";
    snprintf(command, sizeof command, "%s </dev/null 2>&1", demo);
    FILE *out = popen(command, "r");
    assert_non_null(out);
    assert_non_null(fgets(line, sizeof line, out));
    assert_int_equal(WEXITSTATUS(pclose(out)), 2);
    assert_non_null(strstr(line, "needs a terminal on standard input and output"));
}

/* --- colours ---------------------------------------------------------------------------------- */

static void heat_has_exact_colours_where_there_are_256(void **state)
{
    (void)state;
    struct vt *vt = start("xterm-256color", NULL);
    for (int i = 0; i < BP_N_HEATS; i++) {
        const struct bp_style *style = bp_theme_style(BP_ROLE_HEAT + (unsigned)i);
        const VTermScreenCell cell = vt_cell(vt, 1 + i, 5);
        assert_true(VTERM_COLOR_IS_INDEXED(&cell.bg) && VTERM_COLOR_IS_INDEXED(&cell.fg));
        assert_int_equal(cell.bg.indexed.idx, style->bg256);
        assert_int_equal(cell.fg.indexed.idx, style->fg256);
    }
    quit(vt);
}

/* A terminal's own direct entry, and the one found for a terminal that says it has true colour. */
static void heat_has_exact_colours_where_there_are_all(void **state)
{
    static const char *const cases[][2] = {{"vte-direct", NULL},
                                           {"xterm-256color", "COLORTERM=truecolor"},
                                           {"xterm-256color", "COLORTERM=24bit"},
                                           {"vte-256color", "COLORTERM=truecolor"}};
    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        struct vt *vt = start(cases[k][0], cases[k][1]);
        for (int i = 0; i < BP_N_HEATS; i++) {
            const struct bp_style *style = bp_theme_style(BP_ROLE_HEAT + (unsigned)i);
            assert_int_equal(vt_bg(vt, 1 + i, 5), style->bg);
            /* Black is the nearest that is not a colour of the palette. */
            assert_int_equal(vt_fg(vt, 1 + i, 5), style->fg ? style->fg : 8);
        }
        quit(vt);
    }
}

static void a_terminal_without_a_direct_entry_keeps_its_256(void **state)
{
    (void)state;
    struct vt *vt = start("screen-256color", "COLORTERM=truecolor");
    const VTermScreenCell cell = vt_cell(vt, 1, 5);
    assert_true(VTERM_COLOR_IS_INDEXED(&cell.bg));
    assert_int_equal(cell.bg.indexed.idx, bp_theme_style(BP_ROLE_HEAT)->bg256);
    quit(vt);
}

static void eight_colours_group_the_heat(void **state)
{
    static const int expected[4] = {4, 6, 7, 3};
    (void)state;
    struct vt *vt = start("xterm", NULL);
    for (int i = 0; i < BP_N_HEATS; i++) {
        const VTermScreenCell cell = vt_cell(vt, 1 + i, 5);
        assert_true(VTERM_COLOR_IS_INDEXED(&cell.bg));
        assert_int_equal(cell.bg.indexed.idx, expected[i / 4]);
    }
    quit(vt);
}

static void without_colours_attributes_tell_roles_apart(void **state)
{
    static const char *const cases[][2] = {{"xterm-256color", "NO_COLOR=1"}, {"vt100", NULL}};
    (void)state;
    for (size_t k = 0; k < 2; k++) {
        struct vt *vt = start(cases[k][0], cases[k][1]);
        for (int y = 0; y < vt->rows; y++)
            for (int x = 0; x < vt->cols; x++) {
                const VTermScreenCell cell = vt_cell(vt, x, y);
                assert_true(VTERM_COLOR_IS_DEFAULT_BG(&cell.bg));
                assert_true(VTERM_COLOR_IS_DEFAULT_FG(&cell.fg));
            }
        assert_true(vt_cell(vt, 20, 13).attrs.reverse);
        assert_true(vt_cell(vt, 20, 14).attrs.bold && vt_cell(vt, 20, 14).attrs.underline);
        assert_true(vt_cell(vt, 22, 15).attrs.bold && !vt_cell(vt, 22, 15).attrs.underline);
        assert_true(vt_cell(vt, 20, 15).attrs.reverse && !vt_cell(vt, 22, 15).attrs.reverse);
        quit(vt);
    }
}

static void an_empty_no_color_means_nothing(void **state)
{
    (void)state;
    struct vt *vt = start("xterm-256color", "NO_COLOR=");
    const VTermScreenCell cell = vt_cell(vt, 1, 5);
    assert_false(VTERM_COLOR_IS_DEFAULT_BG(&cell.bg));
    quit(vt);
}

/* --- keys ------------------------------------------------------------------------------------- */

static void named_keys_arrive_with_their_modifiers(void **state)
{
    static const struct {
        VTermKey key;
        const char *word;
    } keys[] = {
        {VTERM_KEY_UP, "Up"},
        {VTERM_KEY_DOWN, "Down"},
        {VTERM_KEY_LEFT, "Left"},
        {VTERM_KEY_RIGHT, "Right"},
        {VTERM_KEY_HOME, "Home"},
        {VTERM_KEY_END, "End"},
        {VTERM_KEY_PAGEUP, "PageUp"},
        {VTERM_KEY_PAGEDOWN, "PageDown"},
        {VTERM_KEY_INS, "Insert"},
        {VTERM_KEY_DEL, "Delete"},
        {VTERM_KEY_FUNCTION(1), "F1"},
        {VTERM_KEY_FUNCTION(4), "F4"},
        {VTERM_KEY_FUNCTION(5), "F5"},
        {VTERM_KEY_FUNCTION(9), "F9"},
        {VTERM_KEY_FUNCTION(12), "F12"},
    };
    static const char *const prefixes[8] = {"", "S-", "A-", "A-S-", "C-", "C-S-", "C-A-", "C-A-S-"};
    static const char *const terms[] = {"xterm-256color", "vte-direct", "linux"};
    (void)state;
    for (size_t t = 0; t < sizeof terms / sizeof *terms; t++) {
        struct vt *vt = start(terms[t], NULL);
        int n = 0;
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
            for (int m = 0; m < 8; m++) {
                char event[64];
                vt_key(vt, keys[i].key, (VTermModifier)m);
                snprintf(event, sizeof event, "key %s%s", prefixes[m], keys[i].word);
                expect_event(vt, event, ++n);
            }
        quit(vt);
    }
}

/* Bytes as terminals of many makes send them, and the event that they are; "" for none. */
static void sequences_of_all_kinds_are_read(void **state)
{
    static const struct {
        const char *bytes, *event;
    } cases[] = {
        {"j", "key j"},
        {"Z", "key Z"},
        {" ", "key Space"},
        {":", "key :"},
        {"\u00e9", "key \u00e9"},
        {"\u4f4d", "key \u4f4d"},
        {"\U0001f600", "key \U0001f600"},
        {"\r", "key Enter"},
        {"\n", "key Enter"},
        {"\t", "key Tab"},
        {"\033[Z", "key S-Tab"},
        {"\x7f", "key Backspace"},
        {"\x08", "key Backspace"},
        {"\x01", "key C-a"},
        {"\x03", "key C-c"},
        {"\x13", "key C-s"},
        {"\x11", "key C-q"},
        {"\x1c", "key C-\\"},
        {"\x1f", "key C-_"},
        {"\033", "key Esc"},
        {"\033x", "key A-x"},
        {"\033X", "key A-X"},
        {"\033\u00e9", "key A-\u00e9"},
        {"\033\r", "key A-Enter"},
        {"\033\x7f", "key A-Backspace"},
        {"\033[A", "key Up"},
        {"\033OA", "key Up"},
        {"\033[D", "key Left"},
        {"\033[1~", "key Home"},
        {"\033[7~", "key Home"},
        {"\033OH", "key Home"},
        {"\033[4~", "key End"},
        {"\033[11~", "key F1"},
        {"\033OP", "key F1"},
        {"\033[24;2~", "key S-F12"},
        {"\033[1;5C", "key C-Right"},
        {"\033\033[C", "key A-Right"},
        {"\033[<0;251;7M", "press 250,6 0"},
        {"\033[<0;251;7m", "release 250,6 0"},
        {"\033[<2;3;4M", ""},         /* the right button */
        {"\033[<35;3;4M", ""},        /* movement without a button */
        {"\033[<0;3M", ""},           /* cut short */
        {"\033[<0;0;0M", ""},         /* nowhere */
        {"\033[M !!", "press 0,0 0"}, /* the old encoding */
        {"\033[M#!!", "release 0,0 0"},
        {"\033[M`\"!", "wheel 1,0 -1"},
        {"\033[200~", ""}, /* sequences without a meaning are no text */
        {"\033[27;5;9~", ""},
        {"\033[?62;c", ""},
        {"\033[1;99X", ""},
        {"\xff", ""}, /* no character */
        {"\xc3", ""}, /* half a character */
        {"\xed\xa0\x80", ""},
        {"\xc2\x9b", ""}, /* a control character */
        {"z", "key z"},
    };
    (void)state;
    struct vt *vt = start("xterm-256color", NULL);
    int n = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vt_type(vt, cases[i].bytes);
        if (*cases[i].event) {
            expect_event(vt, cases[i].event, ++n);
        } else {
            /* Long enough for what is incomplete to be given up, or the dot would belong to it. */
            vt_settle(vt, 100);
            vt_type(vt, ".");
            expect_event(vt, "key .", ++n);
        }
    }
    quit(vt);
}

static void a_burst_of_keys_arrives_whole_and_in_order(void **state)
{
    (void)state;
    struct vt *vt = start("xterm-256color", NULL);
    for (int i = 0; i < 50; i++)
        vt_type(vt, "x\033[A\u4f4d\033[1;2D");
    expect_event(vt, "key S-Left", 200);
    quit(vt);
}

static void a_lone_escape_does_not_wait(void **state)
{
    struct timespec before, after;
    (void)state;
    struct vt *vt = start("xterm-256color", NULL);
    clock_gettime(CLOCK_MONOTONIC, &before);
    vt_type(vt, "\033");
    expect_event(vt, "key Esc", 1);
    clock_gettime(CLOCK_MONOTONIC, &after);
    /* 25 ms by design; curses' own patience would be a second. */
    assert_true((after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000 <
                900);
    quit(vt);
}

/* --- the mouse -------------------------------------------------------------------------------- */

static void the_mouse_presses_drags_and_rolls(void **state)
{
    static const char *const terms[] = {"xterm-256color", "vte-direct", "tmux-256color"};
    (void)state;
    for (size_t t = 0; t < sizeof terms / sizeof *terms; t++) {
        struct vt *vt = start(terms[t], NULL);
        assert_int_equal(vt->mouse, VTERM_PROP_MOUSE_DRAG);
        vt_mouse(vt, 1, true, 5, 6);
        expect_event(vt, "press 5,6 0", 1);
        vt_mouse_move(vt, 7, 8);
        expect_event(vt, "drag 7,8 0", 2);
        vt_mouse_move(vt, 70, 8);
        expect_event(vt, "drag 70,8 0", 3);
        vt_mouse(vt, 1, false, 70, 8);
        expect_event(vt, "release 70,8 0", 4);
        vt_mouse(vt, 4, true, 9, 3);
        expect_event(vt, "wheel 9,3 -1", 5);
        vt_mouse(vt, 5, true, 9, 3);
        expect_event(vt, "wheel 9,3 1", 6);
        vt_mouse(vt, 3, true, 9, 3);
        vt_mouse(vt, 3, false, 9, 3);
        vt_type(vt, "x");
        expect_event(vt, "key x", 7);
        quit(vt);
    }
}

static void clicks_that_are_read_together_stay_apart(void **state)
{
    (void)state;
    struct vt *vt = start("xterm-256color", NULL);
    vt_type(vt, "\033[<0;3;4M\033[<0;3;4m\033[<0;3;4M\033[<0;3;4m");
    expect_event(vt, "release 2,3 0", 4);
    quit(vt);
}

/* --- drawing ---------------------------------------------------------------------------------- */

static void a_frame_sends_what_changed_and_is_marked(void **state)
{
    (void)state;
    struct vt *vt = start("xterm-256color", NULL);
    for (int i = 1; i <= 5; i++) {
        const unsigned long bytes = vt->bytes;
        vt_type(vt, "x");
        expect_event(vt, "key x", i);
        assert_true(vt_wait_frames(vt, (unsigned long)i + 1, LIMIT));
        assert_int_equal(vt->frames, i + 1);
        assert_true(vt->bytes - bytes < 200);
    }
    const unsigned long bytes = vt->bytes;
    vt_type(vt, "\x0c");
    assert_true(vt_wait_frames(vt, 7, LIMIT));
    assert_true(vt->bytes - bytes > 2000); /* C-l: everything */
    quit(vt);
}

static void the_cursor_shows_where_text_is_typed(void **state)
{
    VTermPos at;
    (void)state;
    struct vt *vt = start("xterm-256color", NULL);
    assert_false(vt->cursor_visible);
    vt_type(vt, "t");
    assert_true(vt_wait_frames(vt, 2, LIMIT));
    vterm_state_get_cursorpos(vterm_obtain_state(vt->term), &at);
    assert_true(vt->cursor_visible);
    assert_int_equal(at.col, 3);
    assert_int_equal(at.row, 2);
    vt_type(vt, "t");
    assert_true(vt_wait_frames(vt, 3, LIMIT));
    assert_false(vt->cursor_visible);
    quit(vt);
}

static void the_bell_rings_and_the_pipe_wakes(void **state)
{
    (void)state;
    struct vt *vt = start("xterm-256color", NULL);
    vt_type(vt, "b");
    expect_event(vt, "key b", 1);
    assert_int_equal(vt->bells, 1);
    vt_type(vt, "k");
    expect_event(vt, "wake", 3); /* the key, then one event for three bytes */
    vt_type(vt, "x");
    expect_event(vt, "key x", 4);
    quit(vt);
}

static void a_wait_has_an_end(void **state)
{
    (void)state;
    struct vt *vt = start("xterm-256color", NULL);
    vt_type(vt, "w");
    expect_event(vt, "none", 2);
    quit(vt);
}

static void standard_error_is_kept_aside_and_shown_after(void **state)
{
    (void)state;
    struct vt *vt = start("xterm-256color", NULL);
    vt_type(vt, "e");
    expect_event(vt, "key e", 1);
    vt_type(vt, "\x0c");
    expect_event(vt, "key C-l", 2);
    assert_false(vt_has(vt, "words on standard error"));
    vt_type(vt, "q");
    expect_exit(vt, 0);
    assert_true(vt_has(vt, "words on standard error"));
    vt_close(vt);
}

/* --- locale ----------------------------------------------------------------------------------- */

static void a_locale_without_utf8_gets_ascii(void **state)
{
    (void)state;
    struct vt *vt = start("xterm-256color", "LC_ALL=C");
    for (int y = 0; y < vt->rows; y++)
        for (int x = 0; x < vt->cols; x++)
            assert_true(char_at(vt, x, y) < 0x7f);
    assert_int_equal(char_at(vt, 0, 0), '+');
    assert_int_equal(char_at(vt, 5, 22), '-');
    assert_int_equal(char_at(vt, 0, 5), '|');
    assert_int_equal(char_at(vt, 25, 12), '?'); /* the wide character */
    assert_int_equal(char_at(vt, 28, 12), 'e'); /* what follows it has not moved */
    vt_type(vt, "\u00e9x");
    expect_event(vt, "key x", 1);
    quit(vt);
}

static void a_utf8_locale_that_is_not_installed_is_still_utf8(void **state)
{
    (void)state;
    struct vt *vt = start("xterm-256color", "LC_ALL=xx_XX.UTF-8");
    expect_frame(vt);
    vt_type(vt, "\u00e9");
    expect_event(vt, "key \u00e9", 1);
    quit(vt);
}

/* --- size ------------------------------------------------------------------------------------- */

static void a_new_size_is_a_new_picture(void **state)
{
    static const int sizes[][2] = {{120, 40}, {60, 20}, {300, 100}, {80, 24}};
    (void)state;
    struct vt *vt = start("xterm-256color", NULL);
    for (int i = 0; i < 4; i++) {
        vt_resize(vt, sizes[i][0], sizes[i][1]);
        expect_event(vt, "resize", i + 1);
        expect_frame(vt);
    }
    quit(vt);
}

static void a_tiny_terminal_does_no_harm(void **state)
{
    (void)state;
    struct vt *vt = start("xterm-256color", NULL);
    static const int sizes[][2] = {{1, 1}, {2, 1}, {1, 3}, {5, 2}};
    for (int i = 0; i < 4; i++) {
        const unsigned long frames = vt->frames;
        vt_resize(vt, sizes[i][0], sizes[i][1]);
        assert_true(vt_wait_frames(vt, frames + 1, LIMIT));
    }
    vt_resize(vt, 90, 30);
    expect_event(vt, "resize", 5);
    expect_frame(vt);
    quit(vt);
}

static void a_storm_of_sizes_ends_with_the_right_picture(void **state)
{
    char text[64];
    (void)state;
    struct vt *vt = start("xterm-256color", NULL);
    for (int storm = 0; storm < 10; storm++) {
        for (int i = 0; i < 30; i++) {
            vt_resize(vt, 40 + i, 24 + i % 7);
            if (i % 3 == storm % 3)
                vt_pump(vt, 0);
        }
        /* Half of the storms end with the size that they began with. */
        vt_resize(vt, 80 + storm / 2, 30);
        snprintf(text, sizeof text, "%dx30 resize", 80 + storm / 2);
        expect_text(vt, text);
        /* Sizes that were still on their way bring one more frame each. */
        vt_settle(vt, 50);
        expect_text(vt, text);
        expect_frame(vt);
        assert_int_equal(char_at(vt, 16, 16), 'f');
    }
    quit(vt);
}

/* --- jobs ------------------------------------------------------------------------------------- */

static void expect_stopped(struct vt *vt)
{
    assert_true(vt_wait_stop(vt, LIMIT));
    vt_settle(vt, 20);
    expect_whole_terminal(vt);
}

static void expect_resumed(struct vt *vt, int n)
{
    vt_continue(vt);
    expect_event(vt, "resize", n);
    expect_frame(vt);
    assert_true(vt->alternate);
    assert_false(vt->cursor_visible);
    assert_int_equal(vt->mouse, VTERM_PROP_MOUSE_DRAG);
    assert_false(vt_modes(vt).c_lflag & (ECHO | ICANON | ISIG));
}

static void ctrl_z_gives_the_terminal_back_and_takes_it_again(void **state)
{
    (void)state;
    struct vt *vt = open_demo("xterm-256color", NULL, true);
    const pid_t program = vt_program(vt);
    assert_true(program > 0);
    expect_text(vt, "none #0");
    vt_type(vt, "\x1a");
    expect_stopped(vt);
    expect_resumed(vt, 2); /* the key was the first event */
    vt_type(vt, "x");
    expect_event(vt, "key x", 3);

    /* SIGTSTP from outside, and a new size meanwhile. */
    kill(program, SIGTSTP);
    expect_stopped(vt);
    vt_resize(vt, 100, 30);
    expect_resumed(vt, 4);

    /* SIGSTOP cannot be caught: only what comes after can be put right. */
    kill(program, SIGSTOP);
    assert_true(vt_wait_stop(vt, LIMIT));
    expect_resumed(vt, 5);
    quit(vt);
}

static void a_crash_while_stopped_leaves_the_terminal_alone(void **state)
{
    (void)state;
    struct vt *vt = open_demo("xterm-256color", NULL, true);
    const pid_t program = vt_program(vt);
    expect_text(vt, "none #0");
    vt_type(vt, "\x1a");
    expect_stopped(vt);
    const unsigned long bytes = vt->bytes;
    kill(program, SIGKILL);
    kill(vt->pid, SIGUSR1);
    expect_killed(vt, SIGKILL);
    assert_int_equal(vt->bytes, bytes);
    vt_close(vt);
}

/* --- endings ---------------------------------------------------------------------------------- */

static void signals_to_stop_reach_the_program(void **state)
{
    static const int signals[] = {SIGTERM, SIGHUP, SIGINT};
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct vt *vt = start("xterm-256color", NULL);
        kill(vt->pid, signals[i]);
        expect_killed(vt, signals[i]);
        expect_whole_terminal(vt);
        expect_crash_file(false);
        vt_close(vt);
    }
}

/* The loop hangs: the first signal goes unheard, a later one is taken by the handler. */
static void a_program_that_hangs_can_be_stopped_all_the_same(void **state)
{
    (void)state;
    struct vt *vt = start("xterm-256color", NULL);
    vt_type(vt, "h");
    vt_settle(vt, 50);
    for (int i = 0; i < 100 && !vt->ended; i++) {
        kill(vt->pid, SIGTERM);
        vt_wait_end(vt, 100);
    }
    expect_killed(vt, SIGTERM);
    expect_whole_terminal(vt);
    expect_crash_file(true);
    assert_true(vt_has(vt, "bitplan: stopped (signal 15); the session was saved in"));
    vt_close(vt);
}

static void a_crash_leaves_the_terminal_whole_and_the_session_saved(void **state)
{
    static const struct {
        const char *key;
        int signal;
        const char *words;
    } cases[] = {
        {"c", SIGSEGV, "bitplan: crashed (signal 11); the session was saved in"},
        {"n", SIGSEGV, "bitplan: crashed (signal 11); the session was saved in"},
        {"a", SIGABRT, "bitplan: crashed (signal 6); the session was saved in"},
    };
    static const char *const terms[] = {"xterm-256color", "vte-direct", "linux"};
    (void)state;
    for (size_t t = 0; t < 3; t++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            struct vt *vt = start(terms[t], NULL);
            vt_type(vt, "e");
            expect_event(vt, "key e", 1);
            vt_type(vt, cases[i].key);
            expect_killed(vt, cases[i].signal);
            expect_whole_terminal(vt);
            expect_crash_file(true);
            assert_true(vt_has(vt, cases[i].words));
            assert_true(vt_has(vt, "words on standard error"));
            remove(crash_path);
            vt_close(vt);
        }
}

static void a_signal_to_quit_is_a_crash(void **state)
{
    (void)state;
    struct vt *vt = start("xterm-256color", NULL);
    kill(vt->pid, SIGQUIT);
    expect_killed(vt, SIGQUIT);
    expect_whole_terminal(vt);
    expect_crash_file(true);
    vt_close(vt);
}

static void a_session_that_cannot_be_saved_is_said(void **state)
{
    (void)state;
    free(crash_path);
    crash_path = test_dir_join(folder, "no/such/folder/session.json");
    struct vt *vt = start("xterm-256color", NULL);
    vt_type(vt, "c");
    expect_killed(vt, SIGSEGV);
    expect_whole_terminal(vt);
    assert_true(vt_has(vt, "crashed (signal 11); the session could not be saved"));
    vt_close(vt);
}

static void an_exit_without_closing_leaves_the_terminal_whole(void **state)
{
    (void)state;
    struct vt *vt = start("xterm-256color", NULL);
    vt_type(vt, "Q");
    assert_true(vt_wait_end(vt, LIMIT));
    assert_int_equal(WEXITSTATUS(vt->status), 3);
    expect_whole_terminal(vt);
    vt_close(vt);
}

static void a_terminal_that_goes_away_stops_the_program(void **state)
{
    (void)state;
    struct vt *vt = start("xterm-256color", NULL);
    assert_true(vt_hang_up(vt, LIMIT));
    /* By the signal, or by the end of the input where that was seen first. */
    assert_true((WIFSIGNALED(vt->status) && WTERMSIG(vt->status) == SIGHUP) ||
                (WIFEXITED(vt->status) && WEXITSTATUS(vt->status) == 5));
    vt_close(vt);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(every_terminal_shows_the_picture_and_is_whole_afterwards),
        TEST(a_terminal_that_will_not_do_is_refused_with_a_sentence),
        TEST(a_pipe_is_no_terminal),
        TEST(heat_has_exact_colours_where_there_are_256),
        TEST(heat_has_exact_colours_where_there_are_all),
        TEST(a_terminal_without_a_direct_entry_keeps_its_256),
        TEST(eight_colours_group_the_heat),
        TEST(without_colours_attributes_tell_roles_apart),
        TEST(an_empty_no_color_means_nothing),
        TEST(named_keys_arrive_with_their_modifiers),
        TEST(sequences_of_all_kinds_are_read),
        TEST(a_burst_of_keys_arrives_whole_and_in_order),
        TEST(a_lone_escape_does_not_wait),
        TEST(the_mouse_presses_drags_and_rolls),
        TEST(clicks_that_are_read_together_stay_apart),
        TEST(a_frame_sends_what_changed_and_is_marked),
        TEST(the_cursor_shows_where_text_is_typed),
        TEST(the_bell_rings_and_the_pipe_wakes),
        TEST(a_wait_has_an_end),
        TEST(standard_error_is_kept_aside_and_shown_after),
        TEST(a_locale_without_utf8_gets_ascii),
        TEST(a_utf8_locale_that_is_not_installed_is_still_utf8),
        TEST(a_new_size_is_a_new_picture),
        TEST(a_tiny_terminal_does_no_harm),
        TEST(a_storm_of_sizes_ends_with_the_right_picture),
        TEST(ctrl_z_gives_the_terminal_back_and_takes_it_again),
        TEST(a_crash_while_stopped_leaves_the_terminal_alone),
        TEST(signals_to_stop_reach_the_program),
        TEST(a_program_that_hangs_can_be_stopped_all_the_same),
        TEST(a_crash_leaves_the_terminal_whole_and_the_session_saved),
        TEST(a_signal_to_quit_is_a_crash),
        TEST(a_session_that_cannot_be_saved_is_said),
        TEST(an_exit_without_closing_leaves_the_terminal_whole),
        TEST(a_terminal_that_goes_away_stops_the_program),
    };
    const ssize_t n = readlink("/proc/self/exe", demo, sizeof demo - 16);
    char *slash = n > 0 ? strrchr(demo, '/') : NULL;
    if (!slash)
        return 99;
    strcpy(slash + 1, "term_demo");
    return cmocka_run_group_tests_name("terminal", tests, NULL, NULL);
}
