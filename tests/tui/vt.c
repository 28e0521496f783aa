#include "vt.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char MARK[] = "\033]7777;";

static long long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void die(const char *what)
{
    fprintf(stderr, "vt: %s: %s\n", what, strerror(errno));
    exit(99);
}

static bool ready(int fd, int ms)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, ms < 0 ? 0 : ms) > 0;
}

/* --- the program's side ------------------------------------------------------------------------
 */

static void set_environment(const struct vt_options *options)
{
    static const char *const foreign[] = {
        "LINES",    "COLUMNS", "TMUX",     "COLORTERM", "VTE_VERSION",        "NO_COLOR",
        "ESCDELAY", "LANG",    "LC_CTYPE", "TERMINFO",  "NCURSES_NO_UTF8_ACS"};
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        unsetenv(foreign[i]);
    setenv("LC_ALL", "C.UTF-8", 1);
    setenv("BITPLAN_FRAME_MARK", "1", 1);
    if (options->term)
        setenv("TERM", options->term, 1);
    else
        unsetenv("TERM");
    for (const char *const *e = options->env; e && *e; e++) {
        if (strchr(*e, '='))
            putenv(strdup(*e));
        else
            unsetenv(*e);
    }
}

static _Noreturn void run(const char *const argv[])
{
    union {
        const char *const *in;
        char *const *out;
    } args = {.in = argv}; /* execv leaves them alone, but does not say so */
    const struct rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    /* A shell starts what runs behind it with some signals ignored; on a terminal none are. */
    static const int signals[] = {SIGPIPE, SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGTSTP};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        signal(signals[i], SIG_DFL);
    execv(argv[0], args.out);
    fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

/*
 * What a shell does for a job. Without it the program's process group would be an orphan, for which
 * the kernel drops SIGTSTP. When the program stops, its process number goes to `stops`; SIGUSR1
 * says to let it go on, with the modes of the terminal left as the leader wants them: shells do
 * differ.
 */
static _Noreturn void lead(const char *const argv[], int stops)
{
    sigset_t usr1;
    struct termios own;
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    sigprocmask(SIG_BLOCK, &usr1, NULL);
    signal(SIGTTOU, SIG_IGN);
    tcgetattr(STDIN_FILENO, &own);
    const pid_t job = fork();
    if (job == 0) {
        setpgid(0, 0);
        tcsetpgrp(STDIN_FILENO, getpid());
        signal(SIGTTOU, SIG_DFL);
        sigprocmask(SIG_UNBLOCK, &usr1, NULL);
        run(argv);
    }
    setpgid(job, job);
    tcsetpgrp(STDIN_FILENO, job);
    if (write(stops, &job, sizeof job) < 0)
        _exit(126);
    for (;;) {
        int status, signal_taken;
        if (waitpid(job, &status, WUNTRACED) < 0)
            _exit(126);
        if (WIFSTOPPED(status)) {
            tcsetpgrp(STDIN_FILENO, getpgrp());
            tcsetattr(STDIN_FILENO, TCSADRAIN, &own);
            if (write(stops, &job, sizeof job) < 0)
                _exit(126);
            sigwait(&usr1, &signal_taken);
            tcsetpgrp(STDIN_FILENO, job);
            kill(-job, SIGCONT);
            continue;
        }
        if (WIFEXITED(status))
            _exit(WEXITSTATUS(status));
        const struct rlimit no_core = {0, 0};
        setrlimit(RLIMIT_CORE, &no_core);
        signal(WTERMSIG(status), SIG_DFL);
        raise(WTERMSIG(status));
        _exit(125);
    }
}

/* --- the terminal's side ------------------------------------------------------------------------
 */

static int on_property(VTermProp property, VTermValue *value, void *user)
{
    struct vt *vt = user;
    if (property == VTERM_PROP_ALTSCREEN)
        vt->alternate = value->boolean;
    else if (property == VTERM_PROP_CURSORVISIBLE)
        vt->cursor_visible = value->boolean;
    else if (property == VTERM_PROP_MOUSE)
        vt->mouse = value->number;
    return 1;
}

static int on_bell(void *user)
{
    ((struct vt *)user)->bells++;
    return 1;
}

static const VTermScreenCallbacks CALLBACKS = {.settermprop = on_property, .bell = on_bell};

struct vt *vt_open(const struct vt_options *options, const char *const argv[])
{
    struct vt *vt = calloc(1, sizeof *vt);
    int stops[2] = {-1, -1};
    if (!vt || pipe2(stops, O_CLOEXEC) != 0)
        die("no memory or pipe");
    vt->cols = options->cols ? options->cols : 80;
    vt->rows = options->rows ? options->rows : 24;
    const struct winsize size = {.ws_col = (unsigned short)vt->cols,
                                 .ws_row = (unsigned short)vt->rows};
    vt->pid = forkpty(&vt->fd, NULL, NULL, &size);
    if (vt->pid < 0)
        die("no pty");
    if (vt->pid == 0) {
        set_environment(options);
        if (options->job)
            lead(argv, stops[1]);
        run(argv);
    }
    close(stops[1]);
    vt->stops_fd = stops[0];
    vt->pid_fd = (int)syscall(SYS_pidfd_open, vt->pid, 0);
    if (vt->pid_fd < 0 || fcntl(vt->fd, F_SETFD, FD_CLOEXEC) != 0)
        die("no pidfd");
    vt->term = vterm_new(vt->rows, vt->cols);
    vterm_set_utf8(vt->term, 1);
    vt->screen = vterm_obtain_screen(vt->term);
    vt->cursor_visible = true;
    vterm_screen_enable_altscreen(vt->screen, 1);
    vterm_screen_set_callbacks(vt->screen, &CALLBACKS, vt);
    vterm_screen_reset(vt->screen, 1);
    return vt;
}

static void reap(struct vt *vt, int ms)
{
    if (vt->ended)
        return;
    if (!ready(vt->pid_fd, ms))
        kill(vt->pid, SIGKILL);
    waitpid(vt->pid, &vt->status, 0);
    vt->ended = true;
}

struct vt *vt_close(struct vt *vt)
{
    if (!vt)
        return NULL;
    close(vt->fd);
    if (!vt->ended)
        kill(vt->pid, SIGHUP);
    reap(vt, 2000);
    close(vt->pid_fd);
    close(vt->stops_fd);
    vterm_free(vt->term);
    free(vt);
    return NULL;
}

/* --- reading -----------------------------------------------------------------------------------
 */

/* The answers that the terminal owes the program, and what keys and mouse became. */
static void send_output(struct vt *vt)
{
    char bytes[4096];
    size_t n;
    while ((n = vterm_output_read(vt->term, bytes, sizeof bytes)) > 0)
        vt_type_bytes(vt, bytes, n);
}

static void count_marks(struct vt *vt, const char *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (bytes[i] == MARK[vt->mark_at])
            vt->mark_at++;
        else
            vt->mark_at = bytes[i] == MARK[0];
        if (MARK[vt->mark_at] == '\0') {
            vt->frames++;
            vt->mark_at = 0;
        }
    }
}

bool vt_pump(struct vt *vt, int ms)
{
    char bytes[16384];
    if (vt->ended || !ready(vt->fd, ms))
        return false;
    const ssize_t n = read(vt->fd, bytes, sizeof bytes);
    if (n <= 0) {
        /* EIO: nobody has the other end open any more. */
        if (n == 0 || errno == EIO)
            reap(vt, VT_LIMIT_MS);
        return false;
    }
    vterm_input_write(vt->term, bytes, (size_t)n);
    count_marks(vt, bytes, (size_t)n);
    vt->bytes += (unsigned long)n;
    send_output(vt);
    return true;
}

void vt_settle(struct vt *vt, int quiet_ms)
{
    const long long end = now_ms() + VT_LIMIT_MS;
    while (now_ms() < end && vt_pump(vt, quiet_ms))
        ;
}

bool vt_wait_text(struct vt *vt, const char *text, int ms)
{
    const long long end = now_ms() + ms;
    while (!vt_has(vt, text)) {
        const long long left = end - now_ms();
        if (left <= 0 || (!vt_pump(vt, (int)left) && vt->ended))
            return vt_has(vt, text);
    }
    return true;
}

bool vt_wait_frames(struct vt *vt, unsigned long frames, int ms)
{
    const long long end = now_ms() + ms;
    while (vt->frames < frames) {
        const long long left = end - now_ms();
        if (left <= 0 || (!vt_pump(vt, (int)left) && vt->ended))
            return vt->frames >= frames;
    }
    return true;
}

bool vt_wait_end(struct vt *vt, int ms)
{
    const long long end = now_ms() + ms;
    while (!vt->ended && now_ms() < end)
        vt_pump(vt, (int)(end - now_ms()));
    return vt->ended;
}

bool vt_hang_up(struct vt *vt, int ms)
{
    const int nothing = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (nothing < 0 || dup2(nothing, vt->fd) < 0)
        die("no /dev/null");
    close(nothing);
    if (!ready(vt->pid_fd, ms))
        return false;
    reap(vt, 0);
    return true;
}

/* --- jobs --------------------------------------------------------------------------------------
 */

pid_t vt_program(struct vt *vt)
{
    pid_t job = -1;
    if (!ready(vt->stops_fd, VT_LIMIT_MS) || read(vt->stops_fd, &job, sizeof job) != sizeof job)
        return -1;
    return job;
}

bool vt_wait_stop(struct vt *vt, int ms)
{
    const long long end = now_ms() + ms;
    while (!ready(vt->stops_fd, 0)) {
        struct pollfd p[2] = {{.fd = vt->fd, .events = POLLIN},
                              {.fd = vt->stops_fd, .events = POLLIN}};
        const long long left = end - now_ms();
        if (left <= 0 || poll(p, 2, (int)left) <= 0)
            return false;
        if (p[0].revents && !vt_pump(vt, 0) && vt->ended)
            return false;
    }
    pid_t job;
    return read(vt->stops_fd, &job, sizeof job) == sizeof job;
}

void vt_continue(struct vt *vt)
{
    kill(vt->pid, SIGUSR1);
}

/* --- typing ------------------------------------------------------------------------------------
 */

void vt_type_bytes(struct vt *vt, const char *bytes, size_t n)
{
    while (n > 0) {
        const ssize_t written = write(vt->fd, bytes, n);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return;
        bytes += written;
        n -= (size_t)written;
    }
}

void vt_type(struct vt *vt, const char *bytes)
{
    vt_type_bytes(vt, bytes, strlen(bytes));
}

void vt_key(struct vt *vt, VTermKey key, VTermModifier modifiers)
{
    vterm_keyboard_key(vt->term, key, modifiers);
    send_output(vt);
}

void vt_char(struct vt *vt, uint32_t ch, VTermModifier modifiers)
{
    vterm_keyboard_unichar(vt->term, ch, modifiers);
    send_output(vt);
}

void vt_mouse_move(struct vt *vt, int x, int y)
{
    vterm_mouse_move(vt->term, y, x, VTERM_MOD_NONE);
    send_output(vt);
}

void vt_mouse(struct vt *vt, int button, bool pressed, int x, int y)
{
    vt_mouse_move(vt, x, y);
    vterm_mouse_button(vt->term, button, pressed, VTERM_MOD_NONE);
    send_output(vt);
}

void vt_resize(struct vt *vt, int cols, int rows)
{
    const struct winsize size = {.ws_col = (unsigned short)cols, .ws_row = (unsigned short)rows};
    vt->cols = cols;
    vt->rows = rows;
    vterm_set_size(vt->term, rows, cols);
    ioctl(vt->fd, TIOCSWINSZ, &size);
}

/* --- looking -----------------------------------------------------------------------------------
 */

VTermScreenCell vt_cell(const struct vt *vt, int x, int y)
{
    VTermScreenCell cell;
    memset(&cell, 0, sizeof cell);
    vterm_screen_get_cell(vt->screen, (VTermPos){.row = y, .col = x}, &cell);
    return cell;
}

static uint32_t rgb_of(const struct vt *vt, VTermColor color)
{
    vterm_screen_convert_color_to_rgb(vt->screen, &color);
    return (uint32_t)color.rgb.red << 16 | (uint32_t)color.rgb.green << 8 | color.rgb.blue;
}

uint32_t vt_fg(const struct vt *vt, int x, int y)
{
    return rgb_of(vt, vt_cell(vt, x, y).fg);
}

uint32_t vt_bg(const struct vt *vt, int x, int y)
{
    return rgb_of(vt, vt_cell(vt, x, y).bg);
}

static size_t put_utf8(char *out, uint32_t ch)
{
    if (ch < 0x80) {
        out[0] = (char)ch;
        return 1;
    }
    const size_t n = ch < 0x800 ? 2 : ch < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, ch >>= 6)
        out[i] = (char)(0x80 | (ch & 0x3f));
    out[0] = (char)((0xf00 >> n & 0xff) | ch);
    return n;
}

const char *vt_row(const struct vt *vt, int y, char text[VT_TEXT])
{
    size_t n = 0;
    for (int x = 0; x < vt->cols && n + 32 < VT_TEXT;) {
        const VTermScreenCell cell = vt_cell(vt, x, y);
        if (!cell.chars[0])
            text[n++] = ' ';
        for (int i = 0; i < VTERM_MAX_CHARS_PER_CELL && cell.chars[i]; i++)
            n += put_utf8(text + n, cell.chars[i]);
        x += cell.width > 1 ? cell.width : 1;
    }
    while (n > 0 && text[n - 1] == ' ')
        n--;
    text[n] = '\0';
    return text;
}

bool vt_has(const struct vt *vt, const char *text)
{
    char row[VT_TEXT];
    for (int y = 0; y < vt->rows; y++)
        if (strstr(vt_row(vt, y, row), text))
            return true;
    return false;
}

void vt_show(const struct vt *vt)
{
    char row[VT_TEXT];
    for (int y = 0; y < vt->rows; y++)
        fprintf(stderr, "# |%s\n", vt_row(vt, y, row));
}

struct termios vt_modes(const struct vt *vt)
{
    struct termios modes;
    memset(&modes, 0, sizeof modes);
    tcgetattr(vt->fd, &modes);
    return modes;
}
