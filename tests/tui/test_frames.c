/* The workbench on a terminal against its script mode: after every key, each cell of the terminal
 * is what the frame says, in the colours of the theme. So what golden.sh compares is what people
 * see. BITPLAN names the program; by default it is the one that was built with this test. */
#include "../unit/test_dir.h"

#include <stdbool.h>
#include <sys/wait.h>
#include <time.h>

#include "ui/cells.h"
#include "ui/event.h"
#include "ui/theme.h"
#include "vt.h"

enum { LIMIT = VT_LIMIT_MS };

/* All parts of the screen, as words of a script: every word makes a frame. */
static const char *const WORDS[] = {
    "v",
    "v",
    "v",
    "v",
    "v",
    "c",
    "i",
    "Down",
    "g",
    "Down",
    "l",
    "Space", /* figures, grid */
    "m",
    "\":card 8GiB\"",
    "Enter",
    "\":set context 65536\"",
    "Enter", /* memory */
    "a",
    "/",
    "\"layers.11.mlp.down\"",
    "Enter",
    "p",
    "i",
    "Tab",
    "S-Tab", /* a matrix */
    "\":bits 2.6\"",
    "Enter",
    "b",
    "Enter",
    "\":bits 3.1\"",
    "Enter",
    "\"bX\"", /* plans */
    "Backspace",
    "Enter",
    "\":tie qkv\"",
    "Enter",
    "\":floor down_proj=3\"", /* constraints */
    "Enter",
    "B",
    "Down",
    "C",
    "a",
    "Esc",
    "Home",
    "End",
    "S-Left",
    "C-Left", /* the budget */
    "Right",
    "\"2.75\"",
    "Enter",
    "?",
    "PageDown",
    "Up",
    "q", /* help */
    "\":\"",
    "\"b\"",
    "Tab",
    "Left",
    "\"x\"",
    "Esc",
    "\":pin no=nf4\"",
    "Enter", /* the line */
    "\":bits 1.5\"",
    "Enter",
    "\":bits 2.8\"",
    "Enter",
    "u",
    "u",
    "U",
    "q", /* infeasible */
};
enum { N_WORDS = sizeof WORDS / sizeof *WORDS };

static const int SIZES[][2] = {{80, 24}, {120, 36}, {200, 60}};

static char program[4096];
static char *table;         /* the project's */
static char *folder;        /* of this run, which the program works in */
static char log_path[4200]; /* where sanitizers write */

/* --- frames ----------------------------------------------------------------------------------- */

struct frame {
    int cols, rows;
    struct bp_cell *at; /* [rows * cols] */
    int cursor_x, cursor_y;
};

static struct bp_cell *cell_of(const struct frame *frame, int x, int y)
{
    return &frame->at[(size_t)y * (size_t)frame->cols + (size_t)x];
}

static uint8_t role_of(char letter)
{
    for (unsigned role = 0; role < BP_N_ROLES; role++)
        if (bp_role_letter(role) == letter)
            return (uint8_t)role;
    fail_msg("'%c' is no letter of a role", letter);
    return 0;
}

static void expect_bar(const char **p)
{
    assert_int_equal(**p, '|');
    ++*p;
}

/* As bp_cells_dump writes it. */
static struct frame read_frame(const char *text)
{
    struct frame f = {.cursor_x = -1, .cursor_y = -1};
    int n = 0, x, y, run;
    assert_int_equal(sscanf(text, "size %dx%d\n%n", &f.cols, &f.rows, &n), 2);
    f.at = calloc((size_t)f.cols * (size_t)f.rows, sizeof *f.at);
    assert_non_null(f.at);
    const char *p = text + n;
    for (y = 0; y < 2 * f.rows; y++) {
        if (y == f.rows)
            assert_int_equal(*p++, '\n');
        expect_bar(&p);
        for (x = 0; x < f.cols; x++) {
            if (y < f.rows)
                cell_of(&f, x, y)->ch = bp_utf8_next(&p);
            else
                cell_of(&f, x, y - f.rows)->role = role_of(*p++);
        }
        expect_bar(&p);
        assert_int_equal(*p++, '\n');
    }
    if (*p)
        assert_int_equal(*p++, '\n');
    while (sscanf(p, "reversed %d,%d+%d\n%n", &x, &y, &run, &n) == 3) {
        for (; run > 0; run--)
            cell_of(&f, x++, y)->reversed = true;
        p += n;
    }
    if (sscanf(p, "cursor %d,%d\n%n", &f.cursor_x, &f.cursor_y, &n) == 2)
        p += n;
    assert_int_equal(*p, '\0');
    return f;
}

static struct frame load_frame(const char *dump, int number)
{
    char path[300], *text = NULL;
    size_t n = 0;
    snprintf(path, sizeof path, "%s/%04d.txt", dump, number);
    FILE *in = fopen(path, "r");
    assert_non_null(in);
    assert_true(getdelim(&text, &n, '\0', in) > 0);
    fclose(in);
    struct frame frame = read_frame(text);
    free(text);
    return frame;
}

/* The frames before the first word and behind each, in files of `dump`. */
static void replay(int cols, int rows, const char *option, const char *dump)
{
    char command[8192];
    int n = snprintf(command, sizeof command,
                     "'%s' table.safetensors --size %dx%d %s --dump %s --script '", program, cols,
                     rows, option, dump);
    for (size_t i = 0; i < N_WORDS; i++)
        n += snprintf(command + n, sizeof command - (size_t)n, "%s ", WORDS[i]);
    snprintf(command + n, sizeof command - (size_t)n, "'");
    assert_int_equal(system(command), 0);
}

/* --- comparing -------------------------------------------------------------------------------- */

enum palette { MONO, XTERM_256, DIRECT };

/* Direct black is the nearest that is not the palette's. */
static bool same_color(const struct vt *vt, int x, int y, bool ink, enum palette palette,
                       const struct bp_style *s)
{
    const VTermScreenCell cell = vt_cell(vt, x, y);
    const VTermColor color = ink ? cell.fg : cell.bg;
    const bool own = ink ? VTERM_COLOR_IS_DEFAULT_FG(&color) : VTERM_COLOR_IS_DEFAULT_BG(&color);
    const int indexed = ink ? s->fg256 : s->bg256, rgb = ink ? s->fg : s->bg;
    if (palette == MONO || indexed < 0)
        return own;
    if (own)
        return false;
    if (palette == XTERM_256)
        return VTERM_COLOR_IS_INDEXED(&color) && color.indexed.idx == indexed;
    return (int)(ink ? vt_fg(vt, x, y) : vt_bg(vt, x, y)) == (rgb ? rgb : 8);
}

/* What differs in a cell, or NULL. A blank has no ink and no weight, unless it is reversed. */
static const char *cell_differs(const struct vt *vt, int x, int y, struct bp_cell want,
                                enum palette palette)
{
    const struct bp_style *s = bp_theme_style(want.role);
    const VTermScreenCell cell = vt_cell(vt, x, y);
    const bool mono = palette == MONO;
    const bool reverse = (mono ? s->mono_reverse : s->reverse) != want.reversed;
    if ((cell.chars[0] ? cell.chars[0] : ' ') != want.ch)
        return "character";
    if (cell.attrs.reverse != reverse)
        return "reversal";
    if ((cell.attrs.underline != 0) != (mono ? s->mono_underline : s->underline))
        return "underline";
    if (!same_color(vt, x, y, false, palette, s))
        return "background";
    if (want.ch == ' ' && !reverse)
        return NULL;
    if (!same_color(vt, x, y, true, palette, s))
        return "colour";
    return (bool)cell.attrs.bold != (mono ? s->mono_bold : s->bold) ? "weight" : NULL;
}

/* How many columns of a row are the same on a terminal: a time may stand behind the certificate. */
static int columns_without_time(const struct frame *frame, int y)
{
    static const char *const ends[] = {"proved", "optimum"};
    for (int x = 0; x + 10 < frame->cols; x++)
        for (size_t i = 0; i < 2; i++) {
            int n = 0;
            while (ends[i][n] && cell_of(frame, x + n, y)->ch == (uint32_t)ends[i][n])
                n++;
            if (!ends[i][n] && cell_of(frame, x, y)->role != BP_ROLE_CURVE)
                return x + n;
        }
    return frame->cols;
}

/* The first difference into `words`; false when there is none. */
static bool differs(const struct vt *vt, const struct frame *frame, enum palette palette,
                    char words[120])
{
    VTermPos cursor;
    for (int y = 0; y < frame->rows; y++) {
        const int n = columns_without_time(frame, y);
        for (int x = 0; x < n; x++) {
            const char *what = cell_differs(vt, x, y, *cell_of(frame, x, y), palette);
            if (what) {
                snprintf(words, 120, "%s at column %d, row %d", what, x, y);
                return true;
            }
        }
    }
    vterm_state_get_cursorpos(vterm_obtain_state(vt->term), &cursor);
    const bool shown = frame->cursor_x >= 0;
    snprintf(words, 120, "cursor");
    return vt->cursor_visible != shown ||
           (shown && (cursor.col != frame->cursor_x || cursor.row != frame->cursor_y));
}

static long long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits until the terminal shows the frame: plans come when they come. */
static void expect_frame(struct vt *vt, const struct frame *frame, enum palette palette, int number)
{
    char words[120];
    const long long end = now_ms() + LIMIT;
    for (;;) {
        while (vt_pump(vt, 0))
            ;
        if (!differs(vt, frame, palette, words))
            return;
        const long long left = end - now_ms();
        if (left <= 0 || (!vt_pump(vt, (int)left) && vt->ended))
            break;
    }
    vt_show(vt);
    fail_msg("%dx%d, behind '%s' (word %d): %s", frame->cols, frame->rows,
             number ? WORDS[number - 1] : "", number, words);
}

/* --- typing ----------------------------------------------------------------------------------- */

/* A word of a script, as a finger types it. */
static void type_word(struct vt *vt, const char *word)
{
    static const struct {
        const char *word;
        VTermKey key;
    } keys[] = {
        {"Up", VTERM_KEY_UP},         {"Down", VTERM_KEY_DOWN},
        {"Left", VTERM_KEY_LEFT},     {"Right", VTERM_KEY_RIGHT},
        {"Home", VTERM_KEY_HOME},     {"End", VTERM_KEY_END},
        {"PageUp", VTERM_KEY_PAGEUP}, {"PageDown", VTERM_KEY_PAGEDOWN},
        {"Enter", VTERM_KEY_ENTER},   {"Esc", VTERM_KEY_ESCAPE},
        {"Tab", VTERM_KEY_TAB},       {"Backspace", VTERM_KEY_BACKSPACE},
    };
    VTermModifier modifiers = VTERM_MOD_NONE;
    if (word[0] == '"') {
        vt_type_bytes(vt, word + 1, strlen(word) - 2);
        return;
    }
    for (; word[1] == '-'; word += 2)
        modifiers |= *word == 'S' ? VTERM_MOD_SHIFT : VTERM_MOD_CTRL;
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strcmp(word, keys[i].word) == 0) {
            vt_key(vt, keys[i].key, modifiers);
            return;
        }
    if (strcmp(word, "Space") == 0)
        word = " ";
    assert_int_equal(strlen(word), 1);
    vt_char(vt, (uint32_t)*word, modifiers);
}

/* --- the tests -------------------------------------------------------------------------------- */

static void no_sanitizer_reported(void)
{
    if (system("cat asan* >&2 2>/dev/null") == 0)
        fail_msg("a sanitizer has reported");
}

/* Walks through the words at a size, comparing behind each; then leaves. */
static void walk(const char *term, const char *setting, enum palette palette, const char *dump,
                 int cols, int rows)
{
    const char *const env[] = {log_path, setting, NULL};
    const struct vt_options options = {.term = term, .cols = cols, .rows = rows, .env = env};
    const char *const argv[] = {program, "table.safetensors", NULL};
    struct vt *vt = vt_open(&options, argv);
    for (int i = 0; i <= N_WORDS; i++) {
        struct frame frame = load_frame(dump, i);
        assert_int_equal(frame.cols, cols);
        assert_int_equal(frame.rows, rows);
        if (i > 0)
            type_word(vt, WORDS[i - 1]);
        expect_frame(vt, &frame, palette, i);
        free(frame.at);
    }
    vt_type(vt, "d");
    assert_true(vt_wait_end(vt, LIMIT));
    no_sanitizer_reported();
    assert_true(WIFEXITED(vt->status));
    assert_int_equal(WEXITSTATUS(vt->status), 0);
    vt_close(vt);
    remove(".local/state/bitplan/history");
}

static void walk_all_sizes(const char *term, const char *setting, enum palette palette, bool ascii)
{
    char dump[32];
    for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; i++) {
        snprintf(dump, sizeof dump, "%d%s", SIZES[i][0], ascii ? "-ascii" : "");
        if (access(dump, F_OK) != 0)
            replay(SIZES[i][0], SIZES[i][1], ascii ? "--ascii" : "", dump);
        walk(term, setting, palette, dump, SIZES[i][0], SIZES[i][1]);
    }
}

static void with_256_colours_a_terminal_shows_the_frames(void **state)
{
    (void)state;
    walk_all_sizes("xterm-256color", NULL, XTERM_256, false);
}

static void with_all_colours_a_terminal_shows_the_frames(void **state)
{
    (void)state;
    walk_all_sizes("vte-direct", "COLORTERM=truecolor", DIRECT, false);
}

static void without_colours_a_terminal_shows_the_frames(void **state)
{
    (void)state;
    walk_all_sizes("xterm-256color", "NO_COLOR=1", MONO, false);
}

static void without_utf8_a_terminal_shows_the_ascii_frames(void **state)
{
    (void)state;
    /* Not xterm's entry: libvterm misplaces what follows a repeated character (REP) that ends
     * before the last column, and only here curses repeats. */
    walk_all_sizes("tmux-256color", "LC_ALL=C", XTERM_256, true);
}

/* --- where things are ------------------------------------------------------------------------- */

static void copy(const char *from, const char *to)
{
    char bytes[65536];
    FILE *in = fopen(from, "r"), *out = fopen(to, "w");
    assert_non_null(in);
    assert_non_null(out);
    for (size_t n; (n = fread(bytes, 1, sizeof bytes, in)) > 0;)
        assert_int_equal(fwrite(bytes, 1, n, out), n);
    fclose(in);
    assert_int_equal(fclose(out), 0);
}

static int set_up(void **state)
{
    (void)state;
    folder = test_dir_make();
    assert_int_equal(chdir(folder), 0);
    copy(table, "table.safetensors");
    setenv("HOME", folder, 1);
    setenv("XDG_STATE_HOME", "", 1);
    setenv("XDG_CONFIG_HOME", "", 1);
    snprintf(log_path, sizeof log_path, "ASAN_OPTIONS=log_path=%s/asan", folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assert_int_equal(chdir("/"), 0);
    test_dir_remove(folder);
    free(table);
    return 0;
}

/* The program of this build: build/bitplan for build/release, else build/VARIANT/bitplan. */
static bool find_program(void)
{
    static const char *const places[] = {"../../bitplan", "../../../bitplan"};
    const char *given = getenv("BITPLAN");
    char self[2048];
    const ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    self[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(self, '/');
    if (given && *given)
        return realpath(given, program) != NULL;
    for (size_t i = 0; slash && i < 2; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%.*s/%s", (int)(slash - self), self, places[i]);
        if (access(path, X_OK) == 0 && realpath(path, program))
            return true;
    }
    return false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_256_colours_a_terminal_shows_the_frames),
        cmocka_unit_test(with_all_colours_a_terminal_shows_the_frames),
        cmocka_unit_test(without_colours_a_terminal_shows_the_frames),
        cmocka_unit_test(without_utf8_a_terminal_shows_the_ascii_frames),
    };
    table = realpath("sessions/llama-2-7b.safetensors", NULL);
    if (!find_program() || !table) {
        fprintf(stderr, "bitplan (BITPLAN) or sessions/llama-2-7b.safetensors is not there\n");
        return 99;
    }
    return cmocka_run_group_tests_name("frames", tests, set_up, tear_down);
}
