#define NCURSES_WIDECHAR 1
#include "ui/term.h"

#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <ncurses.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <term.h>
#include <time.h>
#include <unistd.h>
#include <wchar.h>

#include "engine/mem.h"
#include "engine/printable.h"
#include "ui/term_input.h"
#include "ui/term_signals.h"
#include "ui/theme.h"

/* Colours that the terminal really has. */
enum palette { MONO, ANSI_8, ANSI_16, XTERM_256, DIRECT };

enum {
    DIRECT_COLORS = 1 << 24,
    KEYS_BEFORE_WAKE = 16, /* keys that a worker's news wait for at most */
};

struct bp_term {
    SCREEN *screen;
    WINDOW *keys; /* a pad to read from: reading from a window would refresh it */
    enum palette palette;
    bool utf8, mouse, mark_frames;
    int cols, rows;
    attr_t attrs[BP_N_ROLES];
    int pairs[BP_N_ROLES];

    struct bp_cell *shown; /* [shown_rows * shown_cols], what the last frame held; may be NULL */
    int shown_cols, shown_rows;
    bool shown_valid;
    int cursor; /* as curs_set takes it; -1 = not set yet */
    unsigned long n_frames;

    unsigned signals; /* taken, but not yet dealt with */
    struct bp_input input;
    int keys_in_a_row;
};

static const char MOUSE_ON[] = "\033[?1002h\033[?1006h";
static const char MOUSE_OFF[] = "\033[?1002l\033[?1006l";

static void write_terminal(const char *bytes, size_t n)
{
    while (n > 0) {
        const ssize_t written = write(STDOUT_FILENO, bytes, n);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return;
        bytes += written;
        n -= (size_t)written;
    }
}

/* A string capability, NULL when the terminal lacks it. */
static const char *capability(const char *name)
{
    const char *s = tigetstr(name);
    return s == (const char *)-1 || (s && !*s) ? NULL : s;
}

/* --- locale ----------------------------------------------------------------------------------- */

/* True when the environment asks for UTF-8 characters, whether or not there is such a locale. */
static bool wants_utf8(void)
{
    static const char *const names[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (int i = 0; i < 3; i++) {
        const char *value = getenv(names[i]);
        if (value && *value)
            return strcasestr(value, "utf-8") || strcasestr(value, "utf8");
    }
    return false;
}

/* The user's locale; returns whether its characters are UTF-8. Numbers stay with the point. */
static bool set_locale(void)
{
    if (!setlocale(LC_ALL, "") && !setlocale(LC_CTYPE, "") && wants_utf8())
        setlocale(LC_CTYPE, "C.UTF-8");
    setlocale(LC_NUMERIC, "C");
    return MB_CUR_MAX > 1 && strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

/* --- which terminal --------------------------------------------------------------------------- */

/* What terminfo knows of a terminal: its colours, and whether it can do what we need. */
struct known {
    bool exists, moves, alternate;
    int colors;
};

static struct known look_up(const char *name)
{
    struct known known = {0};
    int found;
    if (setupterm(name, STDOUT_FILENO, &found) != OK)
        return known;
    known.exists = true;
    known.moves = capability("cup") != NULL;
    known.alternate = capability("smcup") != NULL;
    known.colors = tigetnum("colors");
    del_curterm(cur_term);
    return known;
}

static bool ends_with(const char *s, const char *end)
{
    const size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

static bool env_is(const char *name, const char *one, const char *other)
{
    const char *value = getenv(name);
    return value && (strcmp(value, one) == 0 || strcmp(value, other) == 0);
}

/* The entry with direct colours of the terminal `name`, into `out`; false when there is none. The
 * entry of the VTE terminals comes first for all that call themselves xterm: it writes colours with
 * semicolons, which all of them read, where xterm-direct has the colons that some misread. */
static bool find_direct(const char *name, char out[64])
{
    const struct known plain = look_up(name);
    const char *dash = strchr(name, '-');
    char candidates[4][64];
    int n = 0;
    if (strncmp(name, "xterm", 5) == 0) {
        if (dash && strcmp(dash, "-256color") != 0)
            snprintf(candidates[n++], sizeof *candidates, "%.40s-direct", dash + 1);
        snprintf(candidates[n++], sizeof *candidates, "vte-direct");
    }
    snprintf(candidates[n++], sizeof *candidates, "%.*s-direct",
             dash ? (int)(dash - name < 40 ? dash - name : 40) : 40, name);
    for (int i = 0; i < n; i++) {
        const struct known direct = look_up(candidates[i]);
        if (direct.moves && direct.colors >= DIRECT_COLORS &&
            (direct.alternate || !plain.alternate)) {
            memcpy(out, candidates[i], sizeof candidates[i]);
            return true;
        }
    }
    return false;
}

/* The terminal's screen under the best entry for the colours that are wanted. */
static SCREEN *open_screen(const char *name, enum bp_colors colors)
{
    char direct[64];
    const bool wanted = colors == BP_COLORS_TRUE ||
                        (colors == BP_COLORS_AUTO && env_is("COLORTERM", "truecolor", "24bit"));
    SCREEN *screen = NULL;
    if (wanted && !ends_with(name, "-direct") && find_direct(name, direct))
        screen = newterm(direct, stdout, stdin);
    return screen ? screen : newterm(name, stdout, stdin);
}

static enum bp_status check_terminal(struct bp_err *err)
{
    const char *name = getenv("TERM");
    if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO))
        return bp_fail(err, BP_ERR_FAILED,
                       "the workbench needs a terminal on standard input and output");
    if (!name || !*name)
        return bp_fail(err, BP_ERR_FAILED, "the workbench needs a terminal, and TERM is not set");
    const struct known known = look_up(name);
    if (!known.exists)
        return bp_fail(err, BP_ERR_FAILED,
                       "the terminal \"%s\" (TERM) is not known here: try TERM=xterm-256color",
                       bp_printable(name).text);
    if (!known.moves)
        return bp_fail(
            err, BP_ERR_FAILED,
            "the terminal \"%s\" (TERM) cannot move its cursor, which the workbench needs",
            bp_printable(name).text);
    return BP_OK;
}

/* --- colours ---------------------------------------------------------------------------------- */

static enum palette choose_palette(enum bp_colors colors)
{
    const char *no_color = getenv("NO_COLOR");
    if (colors == BP_COLORS_MONO || (colors == BP_COLORS_AUTO && no_color && *no_color))
        return MONO;
    if (!has_colors() || start_color() == ERR || COLORS < 8)
        return MONO;
    if (COLORS >= DIRECT_COLORS)
        return colors == BP_COLORS_16 ? ANSI_8 : DIRECT;
    if (COLORS >= 256 && colors != BP_COLORS_16)
        return XTERM_256;
    return COLORS >= 16 ? ANSI_16 : ANSI_8;
}

/* With eight colours the bright ones are bold, and bright black is the terminal's own, dim. */
static int ansi_8(int color, bool ink, attr_t *attrs)
{
    if (color < 8)
        return color;
    if (color == 8) {
        *attrs |= ink ? A_DIM : A_NORMAL;
        return ink ? -1 : 0;
    }
    *attrs |= ink ? A_BOLD : A_NORMAL;
    return color - 8;
}

/* Direct colours 0 .. 7 are the palette's, whatever those look like. */
static int direct_color(int rgb)
{
    return rgb >= 0 && rgb < 8 ? 8 : rgb;
}

static void prepare_role(struct bp_term *term, unsigned role, bool own_colors)
{
    const struct bp_style *s = bp_theme_style(role);
    attr_t attrs = (s->bold ? A_BOLD : 0) | (s->dim ? A_DIM : 0) |
                   (s->underline ? A_UNDERLINE : 0) | (s->reverse ? A_REVERSE : 0);
    int fg = -1, bg = -1;
    switch (term->palette) {
    case MONO:
        attrs = (s->mono_bold ? A_BOLD : 0) | (s->mono_dim ? A_DIM : 0) |
                (s->mono_underline ? A_UNDERLINE : 0) | (s->mono_reverse ? A_REVERSE : 0);
        break;
    case ANSI_8:
        fg = ansi_8(s->fg16, true, &attrs);
        bg = ansi_8(s->bg16, false, &attrs);
        break;
    case ANSI_16:
        fg = s->fg16;
        bg = s->bg16;
        break;
    case XTERM_256:
        fg = s->fg256;
        bg = s->bg256;
        break;
    case DIRECT:
        fg = direct_color(s->fg);
        bg = direct_color(s->bg);
        break;
    }
    term->attrs[role] = attrs;
    term->pairs[role] = 0;
    if (fg < 0 && bg < 0)
        return;
    /* A terminal that cannot go back to its own colours counts as white on black. */
    if (!own_colors) {
        fg = fg < 0 ? COLOR_WHITE : fg;
        bg = bg < 0 ? COLOR_BLACK : bg;
    }
    if (init_extended_pair((int)role + 1, fg, bg) == OK)
        term->pairs[role] = (int)role + 1;
}

static void prepare_roles(struct bp_term *term)
{
    const bool own_colors = term->palette != MONO && use_default_colors() == OK;
    for (unsigned role = 0; role < BP_N_ROLES; role++)
        prepare_role(term, role, own_colors);
}

/* --- keys: what the terminal may send ----------------------------------------------------------
 */

/* The modifiers as terminals count them, less one: 1 shift, 2 alt, 4 control. */
static int code_of(uint32_t named, unsigned modifiers)
{
    return bp_input_code(named | (modifiers & 1 ? BP_SHIFT : 0u) | (modifiers & 2 ? BP_ALT : 0u) |
                         (modifiers & 4 ? BP_CTRL : 0u));
}

/* Sequences of xterm and its many likes, plain and with modifiers (1 shift, 2 alt, 4 control, sent
 * plus one). Terminfo has only some of them, and a terminal may send either form of the arrows. */
static void define_xterm_keys(void)
{
    static const struct {
        char last;
        unsigned named;
    } letters[] = {
        {'A', BP_KEY_UP},   {'B', BP_KEY_DOWN}, {'C', BP_KEY_RIGHT}, {'D', BP_KEY_LEFT},
        {'H', BP_KEY_HOME}, {'F', BP_KEY_END},  {'P', BP_KEY_F1},    {'Q', BP_KEY_F2},
        {'R', BP_KEY_F3},   {'S', BP_KEY_F4},
    };
    static const struct {
        int number;
        unsigned named;
    } tildes[] = {
        {1, BP_KEY_HOME},    {2, BP_KEY_INSERT},    {3, BP_KEY_DELETE}, {4, BP_KEY_END},
        {5, BP_KEY_PAGE_UP}, {6, BP_KEY_PAGE_DOWN}, {7, BP_KEY_HOME},   {8, BP_KEY_END},
        {11, BP_KEY_F1},     {12, BP_KEY_F2},       {13, BP_KEY_F3},    {14, BP_KEY_F4},
        {15, BP_KEY_F5},     {17, BP_KEY_F6},       {18, BP_KEY_F7},    {19, BP_KEY_F8},
        {20, BP_KEY_F9},     {21, BP_KEY_F10},      {23, BP_KEY_F11},   {24, BP_KEY_F12},
    };
    char text[32];
    for (size_t i = 0; i < sizeof letters / sizeof *letters; i++) {
        snprintf(text, sizeof text, "\033O%c", letters[i].last);
        define_key(text, code_of(letters[i].named, 0));
        if (letters[i].named < BP_KEY_F1) {
            snprintf(text, sizeof text, "\033[%c", letters[i].last);
            define_key(text, code_of(letters[i].named, 0));
        }
        for (unsigned m = 1; m < 8; m++) {
            snprintf(text, sizeof text, "\033[1;%u%c", m + 1, letters[i].last);
            define_key(text, code_of(letters[i].named, m));
        }
    }
    for (size_t i = 0; i < sizeof tildes / sizeof *tildes; i++) {
        snprintf(text, sizeof text, "\033[%d~", tildes[i].number);
        define_key(text, code_of(tildes[i].named, 0));
        for (unsigned m = 1; m < 8; m++) {
            snprintf(text, sizeof text, "\033[%d;%u~", tildes[i].number, m + 1);
            define_key(text, code_of(tildes[i].named, m));
        }
    }
    define_key("\033[Z", code_of(BP_KEY_TAB, 1));
    define_key("\033[<", BP_INPUT_MOUSE);
    define_key("\033[M", BP_INPUT_OLD_MOUSE);
}

/* The names that terminfo gives to keys with modifiers: kLFT is shift, kLFT3 alt, kLFT5 control. */
static void define_terminfo_keys(void)
{
    static const struct {
        const char *name;
        unsigned named;
    } keys[] = {
        {"kUP", BP_KEY_UP},       {"kDN", BP_KEY_DOWN},       {"kLFT", BP_KEY_LEFT},
        {"kRIT", BP_KEY_RIGHT},   {"kHOM", BP_KEY_HOME},      {"kEND", BP_KEY_END},
        {"kPRV", BP_KEY_PAGE_UP}, {"kNXT", BP_KEY_PAGE_DOWN}, {"kIC", BP_KEY_INSERT},
        {"kDC", BP_KEY_DELETE},
    };
    char name[8];
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        for (unsigned m = 1; m < 8; m++) {
            if (m == 1)
                snprintf(name, sizeof name, "%s", keys[i].name);
            else
                snprintf(name, sizeof name, "%s%u", keys[i].name, m + 1);
            const char *sequence = capability(name);
            if (sequence)
                define_key(sequence, code_of(keys[i].named, m));
        }
}

/* A key that curses knows by terminfo; 0 for one that has no word here. */
static uint32_t curses_key(int code)
{
    static const struct {
        int code;
        uint32_t key;
    } map[] = {
        {KEY_UP, BP_KEY_UP},
        {KEY_DOWN, BP_KEY_DOWN},
        {KEY_LEFT, BP_KEY_LEFT},
        {KEY_RIGHT, BP_KEY_RIGHT},
        {KEY_HOME, BP_KEY_HOME},
        {KEY_END, BP_KEY_END},
        {KEY_LL, BP_KEY_END},
        {KEY_PPAGE, BP_KEY_PAGE_UP},
        {KEY_NPAGE, BP_KEY_PAGE_DOWN},
        {KEY_IC, BP_KEY_INSERT},
        {KEY_DC, BP_KEY_DELETE},
        {KEY_BACKSPACE, BP_KEY_BACKSPACE},
        {KEY_ENTER, BP_KEY_ENTER},
        {KEY_BTAB, BP_SHIFT | BP_KEY_TAB},
        {KEY_SF, BP_SHIFT | BP_KEY_DOWN},
        {KEY_SR, BP_SHIFT | BP_KEY_UP},
        {KEY_SLEFT, BP_SHIFT | BP_KEY_LEFT},
        {KEY_SRIGHT, BP_SHIFT | BP_KEY_RIGHT},
        {KEY_SHOME, BP_SHIFT | BP_KEY_HOME},
        {KEY_SEND, BP_SHIFT | BP_KEY_END},
        {KEY_SPREVIOUS, BP_SHIFT | BP_KEY_PAGE_UP},
        {KEY_SNEXT, BP_SHIFT | BP_KEY_PAGE_DOWN},
        {KEY_SIC, BP_SHIFT | BP_KEY_INSERT},
        {KEY_SDC, BP_SHIFT | BP_KEY_DELETE},
    };
    for (size_t i = 0; i < sizeof map / sizeof *map; i++)
        if (map[i].code == code)
            return map[i].key;
    if (code >= KEY_F(1) && code <= KEY_F(12))
        return BP_KEY_F1 + (uint32_t)(code - KEY_F(1));
    if (code >= KEY_F(13) && code <= KEY_F(24))
        return BP_SHIFT | (BP_KEY_F1 + (uint32_t)(code - KEY_F(13)));
    if (code >= KEY_F(25) && code <= KEY_F(36))
        return BP_CTRL | (BP_KEY_F1 + (uint32_t)(code - KEY_F(25)));
    return 0;
}

/* What curses reads, in the codes of term_input.h. */
static int next_input(void *from, int ms)
{
    struct bp_term *term = from;
    wtimeout(term->keys, ms);
    const int code = wgetch(term->keys);
    if (code == ERR)
        return BP_INPUT_NONE;
    if (code < KEY_MIN || (code >= BP_INPUT_KEY && code <= BP_INPUT_OLD_MOUSE))
        return code;
    const uint32_t key = curses_key(code);
    return key ? bp_input_code(key) : BP_INPUT_IGNORE;
}

/* --- size and signals --------------------------------------------------------------------------
 */

/* Asks for the size and tells curses; everything is to be painted anew, because a terminal that
 * shrank and grew back has lost its contents even though the size is the same. */
static void measure(struct bp_term *term)
{
    struct winsize size;
    int cols = COLS, rows = LINES;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 && size.ws_row > 0) {
        cols = size.ws_col;
        rows = size.ws_row;
    }
    if (cols != COLS || rows != LINES)
        resizeterm(rows, cols);
    term->cols = COLS;
    term->rows = LINES;
    bp_term_redraw(term);
}

/* The terminal's modes as we want them, after somebody else has had it. */
static void take_back(struct bp_term *term)
{
    reset_prog_mode();
    if (term->mouse)
        write_terminal(MOUSE_ON, sizeof MOUSE_ON - 1);
    term->signals |= BP_SIGNAL_RESIZE;
}

static bool prepare_restore(const struct bp_term *term);

static void suspend(struct bp_term *term, bool group)
{
    if (term->mouse)
        write_terminal(MOUSE_OFF, sizeof MOUSE_OFF - 1);
    endwin();
    bp_signals_disarm();
    if (!bp_signals_suspend(group))
        beep();
    prepare_restore(term);
    take_back(term);
}

void bp_term_suspend(struct bp_term *term)
{
    suspend(term, true);
}

/* An event out of the signals that have come; false when there is none. */
static bool take_signal(struct bp_term *term, struct bp_event *event)
{
    term->signals |= bp_signals_take();
    if (term->signals & BP_SIGNAL_STOP) {
        term->signals &= ~(unsigned)BP_SIGNAL_STOP;
        *event = (struct bp_event){.kind = BP_EVENT_STOP};
        return true;
    }
    if (term->signals & BP_SIGNAL_SUSPEND)
        suspend(term, false);
    else if (term->signals & BP_SIGNAL_CONTINUE)
        take_back(term);
    term->signals &= ~(unsigned)(BP_SIGNAL_SUSPEND | BP_SIGNAL_CONTINUE);
    if (!(term->signals & BP_SIGNAL_RESIZE))
        return false;
    term->signals &= ~(unsigned)BP_SIGNAL_RESIZE;
    measure(term);
    *event = (struct bp_event){.kind = BP_EVENT_RESIZE, .x = term->cols, .y = term->rows};
    return true;
}

int bp_term_stop_signal(const struct bp_term *term)
{
    (void)term;
    return bp_signals_stop();
}

/* --- waiting ---------------------------------------------------------------------------------- */

static long long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void drain(int fd)
{
    char bytes[256];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (poll(&p, 1, 0) > 0 && p.revents & POLLIN && read(fd, bytes, sizeof bytes) > 0)
        ;
}

/* Nothing more will ever be typed: input is ready, and yet there is nothing to read. */
static bool hung_up(const struct pollfd *input)
{
    int n = 0;
    if (input->revents & (POLLHUP | POLLERR | POLLNVAL))
        return true;
    return input->revents & POLLIN && (ioctl(input->fd, FIONREAD, &n) != 0 || n == 0);
}

/* Sleeps until something may have come. False when `event` says what. */
static bool sleep_for_input(struct bp_term *term, int wake_fd, int ms, struct bp_event *event)
{
    struct pollfd p[3] = {{.fd = STDIN_FILENO, .events = POLLIN},
                          {.fd = bp_signals_fd(), .events = POLLIN},
                          {.fd = wake_fd, .events = POLLIN}};
    if (poll(p, 3, ms) <= 0)
        return true;
    if (p[1].revents)
        return true;
    if (hung_up(&p[0])) {
        *event = (struct bp_event){.kind = BP_EVENT_STOP};
        return false;
    }
    if (p[2].revents & POLLIN) {
        drain(wake_fd);
        term->keys_in_a_row = 0;
        *event = (struct bp_event){.kind = BP_EVENT_WAKE};
        return false;
    }
    return true;
}

void bp_term_wait(struct bp_term *term, int wake_fd, int timeout_ms, struct bp_event *event)
{
    const long long end = timeout_ms < 0 ? 0 : now_ms() + timeout_ms;
    *event = (struct bp_event){.kind = BP_EVENT_NONE};
    for (;;) {
        if (take_signal(term, event))
            return;
        /* Under a stream of keys or of the moving mouse workers get their turn, too. */
        if (term->keys_in_a_row >= KEYS_BEFORE_WAKE) {
            term->keys_in_a_row = 0;
            if (!sleep_for_input(term, wake_fd, 0, event))
                return;
        }
        if (bp_input_take(&term->input, event)) {
            term->keys_in_a_row++;
            return;
        }
        term->keys_in_a_row = 0;
        const long long left = timeout_ms < 0 ? -1 : end - now_ms();
        if (timeout_ms >= 0 && left <= 0 && term->signals == 0) {
            /* One look without waiting, for a timeout of 0. */
            sleep_for_input(term, wake_fd, 0, event);
            return;
        }
        if (!sleep_for_input(term, wake_fd, (int)left, event))
            return;
    }
}

/* --- drawing ---------------------------------------------------------------------------------- */

/* Room to remember a frame of this size; without it every frame is painted whole. */
static void remember_size(struct bp_term *term, const struct bp_cells *cells)
{
    if (term->shown && term->shown_cols == cells->cols && term->shown_rows == cells->rows)
        return;
    const size_t n = (size_t)cells->cols * (size_t)cells->rows;
    struct bp_cell *shown = bp_grow(term->shown, n, sizeof *shown);
    if (!shown)
        free(term->shown);
    term->shown = shown;
    term->shown_cols = cells->cols;
    term->shown_rows = cells->rows;
    term->shown_valid = false;
}

static void draw_cell(struct bp_term *term, int x, int y, struct bp_cell cell)
{
    cchar_t shown;
    wchar_t text[2] = {(wchar_t)cell.ch, L'\0'};
    attr_t attrs = term->attrs[cell.role];
    int pair = term->pairs[cell.role];
    if (!term->utf8 && cell.ch >= 0x7f)
        text[0] = (wchar_t)bp_ascii_of(cell.ch);
    if (cell.reversed)
        attrs ^= A_REVERSE;
    /* The pair goes in by its address: the attribute's own field has 8 bits. */
    if (setcchar(&shown, text, attrs, 0, &pair) == OK)
        mvwadd_wch(stdscr, y, x, &shown);
}

static bool same_cell(struct bp_cell a, struct bp_cell b)
{
    return a.ch == b.ch && a.role == b.role && a.reversed == b.reversed;
}

static void draw_cursor(struct bp_term *term, const struct bp_cells *cells)
{
    const int visible = cells->cursor_x >= 0 && cells->cursor_y >= 0 &&
                        cells->cursor_x < term->cols && cells->cursor_y < term->rows;
    if (visible)
        wmove(stdscr, cells->cursor_y, cells->cursor_x);
    if (visible != term->cursor)
        curs_set(visible);
    term->cursor = visible;
}

void bp_term_draw(struct bp_term *term, const struct bp_cells *cells)
{
    const int cols = cells->cols < term->cols ? cells->cols : term->cols;
    const int rows = cells->rows < term->rows ? cells->rows : term->rows;
    remember_size(term, cells);
    if (!term->shown_valid)
        werase(stdscr);
    for (int y = 0; y < rows; y++)
        for (int x = 0; x < cols; x++) {
            const size_t i = (size_t)y * (size_t)cells->cols + (size_t)x;
            /* The right half of a wide character was drawn with the left one. */
            if (cells->at[i].ch == 0 && term->utf8)
                continue;
            if (!term->shown_valid || !same_cell(cells->at[i], term->shown[i]))
                draw_cell(term, x, y, cells->at[i]);
        }
    if (term->shown) {
        memcpy(term->shown, cells->at,
               (size_t)cells->cols * (size_t)cells->rows * sizeof *cells->at);
        term->shown_valid = true;
    }
    draw_cursor(term, cells);
    wnoutrefresh(stdscr);
    doupdate();
    term->n_frames++;
    if (term->mark_frames) {
        char mark[48];
        const int n = snprintf(mark, sizeof mark, "\033]7777;%lu\007", term->n_frames);
        write_terminal(mark, (size_t)n);
    }
}

void bp_term_redraw(struct bp_term *term)
{
    term->shown_valid = false;
    clearok(curscr, TRUE);
}

void bp_term_beep(struct bp_term *term)
{
    (void)term;
    beep();
}

bool bp_term_utf8(const struct bp_term *term)
{
    return term->utf8;
}

void bp_term_size(const struct bp_term *term, int *cols, int *rows)
{
    *cols = term->cols;
    *rows = term->rows;
}

/* --- opening and closing ---------------------------------------------------------------------- */

/* Appends a capability without the delays, "$<5>", that old terminals ask for. */
static size_t append_capability(char *bytes, size_t n, size_t room, const char *name)
{
    const char *s = capability(name);
    while (s && *s && n < room) {
        const char *close = s[0] == '$' && s[1] == '<' ? strchr(s, '>') : NULL;
        if (close)
            s = close + 1;
        else
            bytes[n++] = *s++;
    }
    return n;
}

/* What a crash writes: the reverse of everything that opening did. */
static bool prepare_restore(const struct bp_term *term)
{
    char bytes[512];
    const size_t room = sizeof bytes;
    size_t n = 0;
    if (term->mouse) {
        memcpy(bytes, MOUSE_OFF, sizeof MOUSE_OFF - 1);
        n = sizeof MOUSE_OFF - 1;
    }
    n = append_capability(bytes, n, room, "rmkx");
    n = append_capability(bytes, n, room, "op");
    n = append_capability(bytes, n, room, "sgr0");
    n = append_capability(bytes, n, room, "cnorm");
    if (capability("rmcup"))
        n = append_capability(bytes, n, room, "rmcup");
    else if (n + 1 < room) {
        bytes[n++] = '\r';
        bytes[n++] = '\n';
    }
    return bp_signals_arm(bytes, n);
}

static bool start_curses(struct bp_term *term, const struct bp_term_options *options)
{
    term->screen = open_screen(getenv("TERM"), options->colors);
    if (!term->screen)
        return false;
    set_term(term->screen);
    /* Raw: Ctrl-Z, Ctrl-C and Ctrl-S are keys like others. */
    raw();
    noecho();
    nonl();
    if (!getenv("ESCDELAY"))
        set_escdelay(BP_INPUT_ESCAPE_MS);
    term->keys = newpad(1, 1);
    if (!term->keys)
        return false;
    keypad(term->keys, TRUE);
    meta(term->keys, TRUE);
    define_terminfo_keys();
    define_xterm_keys();
    term->palette = choose_palette(options->colors);
    prepare_roles(term);
    term->mouse = options->mouse && capability("kmous");
    return true;
}

enum bp_status bp_term_open(const struct bp_term_options *options, struct bp_term **out,
                            struct bp_err *err)
{
    *out = NULL;
    const bool utf8 = set_locale();
    BP_TRY(check_terminal(err));
    struct bp_term *term = calloc(1, sizeof *term);
    if (!term)
        return bp_fail_nomem(err);
    term->utf8 = utf8;
    term->cursor = -1;
    term->input =
        (struct bp_input){.next = next_input, .from = term, .utf8 = utf8, .pushed = BP_INPUT_NONE};
    term->mark_frames = getenv("BITPLAN_FRAME_MARK") != NULL;
    /* Before curses, which leaves the handlers alone that it finds. */
    if (!bp_signals_open(STDIN_FILENO, STDOUT_FILENO)) {
        free(term);
        return bp_fail(err, BP_ERR_FAILED, "the terminal cannot be read: %s", strerror(errno));
    }
    if (!start_curses(term, options)) {
        bp_term_close(term);
        return bp_fail(err, BP_ERR_FAILED, "the terminal \"%s\" (TERM) cannot be set up",
                       bp_printable(getenv("TERM")).text);
    }
    bp_signals_keep_stderr();
    prepare_restore(term);
    if (term->mouse)
        write_terminal(MOUSE_ON, sizeof MOUSE_ON - 1);
    measure(term);
    *out = term;
    return BP_OK;
}

struct bp_term *bp_term_close(struct bp_term *term)
{
    if (!term)
        return NULL;
    if (term->screen) {
        if (term->mouse)
            write_terminal(MOUSE_OFF, sizeof MOUSE_OFF - 1);
        endwin();
    }
    bp_signals_disarm();
    bp_signals_release_stderr();
    bp_signals_close();
    if (term->keys)
        delwin(term->keys);
    if (term->screen)
        delscreen(term->screen);
    free(term->shown);
    free(term);
    return NULL;
}
