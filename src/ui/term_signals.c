#include "ui/term_signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "ui/term.h"

enum { RESTORE_ROOM = 1024, PATH_ROOM = 4096, STACK_ROOM = 65536, PATIENCE_S = 2 };

static const struct {
    int signal;
    unsigned bit; /* 0: a crash */
} HANDLED[] = {
    {SIGWINCH, BP_SIGNAL_RESIZE},
    {SIGTSTP, BP_SIGNAL_SUSPEND},
    {SIGCONT, BP_SIGNAL_CONTINUE},
    {SIGTERM, BP_SIGNAL_STOP},
    {SIGHUP, BP_SIGNAL_STOP},
    {SIGINT, BP_SIGNAL_STOP},
    {SIGSEGV, 0},
    {SIGABRT, 0},
    {SIGBUS, 0},
    {SIGFPE, 0},
    {SIGILL, 0},
    {SIGQUIT, 0},
};
enum { N_HANDLED = sizeof HANDLED / sizeof *HANDLED };

/* What to save: a record is filled while the other one is in force. */
struct crash_file {
    char path[PATH_ROOM], temporary[PATH_ROOM + 8];
    const char *bytes;
    size_t n;
};

static struct {
    int in, out;
    struct termios modes;
    char restore[RESTORE_ROOM];
    size_t n_restore;
    int pipe[2];
    int kept_stderr, real_stderr; /* -1: not kept */
    struct sigaction before[N_HANDLED];
    stack_t stack_before;
    bool at_exit;
} state = {.pipe = {-1, -1}, .kept_stderr = -1, .real_stderr = -1};

static atomic_bool armed;
static atomic_uint pending;
static atomic_int stop_signal, stop_time_s;
static atomic_flag dying = ATOMIC_FLAG_INIT;
static struct crash_file crash_files[2];
static struct crash_file *_Atomic crash_file;
static _Alignas(16) char handler_stack[STACK_ROOM];

/* --- what handlers call ----------------------------------------------------------------------- */

static bool write_all(int fd, const char *bytes, size_t n)
{
    while (n > 0) {
        const ssize_t written = write(fd, bytes, n);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        bytes += written;
        n -= (size_t)written;
    }
    return true;
}

static int now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int)now.tv_sec;
}

/* Once only, and not when the terminal has meanwhile gone to another job. */
static void restore_terminal(void)
{
    if (!atomic_exchange(&armed, false) || tcgetpgrp(state.in) != getpgrp())
        return;
    write_all(state.out, state.restore, state.n_restore);
    tcsetattr(state.in, TCSANOW, &state.modes);
    /* Reports of the mouse that are still to be read would be typed into the shell. */
    tcflush(state.in, TCIFLUSH);
}

static bool save_crash_file(const struct crash_file *file)
{
    const int fd = open(file->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return false;
    const bool written = write_all(fd, file->bytes, file->n);
    return close(fd) == 0 && written && rename(file->temporary, file->path) == 0;
}

static size_t append(char *text, size_t used, size_t room, const char *more)
{
    while (*more && used < room)
        text[used++] = *more++;
    return used;
}

/* "bitplan: crashed (signal 11); the session was saved in PATH". */
static void say_end(int signal, bool crashed, const struct crash_file *file, bool saved)
{
    char line[PATH_ROOM + 128];
    const char digits[3] = {(char)('0' + signal / 10), (char)('0' + signal % 10), '\0'};
    size_t n = append(line, 0, sizeof line, crashed ? "bitplan: crashed" : "bitplan: stopped");
    n = append(line, n, sizeof line, " (signal ");
    n = append(line, n, sizeof line, signal < 10 ? digits + 1 : digits);
    n = append(line, n, sizeof line, ")");
    if (file && saved) {
        n = append(line, n, sizeof line, "; the session was saved in ");
        n = append(line, n, sizeof line, file->path);
    } else if (file) {
        n = append(line, n, sizeof line, "; the session could not be saved");
    }
    n = append(line, n, sizeof line, "\n");
    write_all(STDERR_FILENO, line, n);
}

/* Leaves the terminal whole and the session saved. */
static void end_well(int signal, bool crashed)
{
    /* Another thread is at it already, and will end the process. */
    if (atomic_flag_test_and_set(&dying))
        for (;;)
            pause();
    restore_terminal();
    bp_signals_release_stderr();
    const struct crash_file *file = atomic_load(&crash_file);
    const bool saved = file && save_crash_file(file);
    say_end(signal, crashed, file, saved);
    for (int i = 0; i < N_HANDLED; i++)
        if (HANDLED[i].signal == signal)
            sigaction(signal, &state.before[i], NULL);
}

static void on_crash(int signal, siginfo_t *info, void *context)
{
    (void)context;
    end_well(signal, true);
    /* A faulting instruction faults again on return, so that the earlier handler sees the address;
     * a signal that somebody sent has to be sent again. It arrives on return, too. */
    if (info->si_code <= 0)
        raise(signal);
}

static void on_signal(int signal)
{
    const int saved_errno = errno;
    unsigned bit = 0;
    for (int i = 0; i < N_HANDLED; i++)
        if (HANDLED[i].signal == signal)
            bit = HANDLED[i].bit;
    if (bit == BP_SIGNAL_STOP) {
        int none = 0;
        if (atomic_compare_exchange_strong(&stop_signal, &none, signal)) {
            atomic_store(&stop_time_s, now_s());
        } else if (now_s() - atomic_load(&stop_time_s) >= PATIENCE_S) {
            end_well(signal, false);
            raise(signal);
        }
    }
    atomic_fetch_or(&pending, bit);
    /* A full pipe wakes the loop as well. */
    const ssize_t written = write(state.pipe[1], "", 1);
    (void)written;
    errno = saved_errno;
}

/* --- opening and closing ---------------------------------------------------------------------- */

static void at_exit(void)
{
    restore_terminal();
    bp_signals_release_stderr();
}

static void install_handlers(void)
{
    for (int i = 0; i < N_HANDLED; i++) {
        struct sigaction action = {.sa_flags = SA_RESTART};
        sigemptyset(&action.sa_mask);
        if (HANDLED[i].bit) {
            action.sa_handler = on_signal;
        } else {
            action.sa_sigaction = on_crash;
            action.sa_flags = SA_SIGINFO | SA_ONSTACK;
        }
        /* Setting the modes must not stop a process that is dying in the background. */
        sigaddset(&action.sa_mask, SIGTTOU);
        for (int k = 0; k < N_HANDLED; k++)
            if (!HANDLED[k].bit || HANDLED[i].bit)
                sigaddset(&action.sa_mask, HANDLED[k].signal);
        sigaction(HANDLED[i].signal, NULL, &state.before[i]);
        /* What the parent has ignored (nohup, a shell without job control) stays ignored. */
        const bool ignored = state.before[i].sa_handler == SIG_IGN;
        if (!ignored || HANDLED[i].bit == BP_SIGNAL_RESIZE || !HANDLED[i].bit)
            sigaction(HANDLED[i].signal, &action, NULL);
    }
}

bool bp_signals_open(int tty_in, int tty_out)
{
    if (tcgetattr(tty_in, &state.modes) != 0 || pipe2(state.pipe, O_NONBLOCK | O_CLOEXEC) != 0)
        return false;
    state.in = tty_in;
    state.out = tty_out;
    atomic_store(&pending, 0);
    atomic_store(&stop_signal, 0);
    if (!state.at_exit)
        state.at_exit = atexit(at_exit) == 0;
    /* The main thread's handlers run even when its stack has overflowed. */
    const stack_t stack = {.ss_sp = handler_stack, .ss_size = sizeof handler_stack};
    sigaltstack(&stack, &state.stack_before);
    install_handlers();
    return true;
}

void bp_signals_close(void)
{
    if (state.pipe[0] < 0)
        return;
    for (int i = 0; i < N_HANDLED; i++)
        sigaction(HANDLED[i].signal, &state.before[i], NULL);
    sigaltstack(&state.stack_before, NULL);
    close(state.pipe[0]);
    close(state.pipe[1]);
    state.pipe[0] = state.pipe[1] = -1;
}

int bp_signals_fd(void)
{
    return state.pipe[0];
}

unsigned bp_signals_take(void)
{
    char bytes[64];
    while (read(state.pipe[0], bytes, sizeof bytes) > 0)
        ;
    return atomic_exchange(&pending, 0);
}

int bp_signals_stop(void)
{
    return atomic_load(&stop_signal);
}

bool bp_signals_arm(const char *bytes, size_t n)
{
    if (n > sizeof state.restore)
        return false;
    atomic_store(&armed, false);
    memcpy(state.restore, bytes, n);
    state.n_restore = n;
    atomic_store(&armed, true);
    return true;
}

void bp_signals_disarm(void)
{
    atomic_store(&armed, false);
}

bool bp_signals_suspend(bool group)
{
    struct sigaction ours, stops = {.sa_handler = SIG_DFL};
    sigemptyset(&stops.sa_mask);
    sigaction(SIGTSTP, NULL, &ours);
    if (ours.sa_handler == SIG_IGN)
        return false;
    sigaction(SIGTSTP, &stops, NULL);
    kill(group ? 0 : getpid(), SIGTSTP);
    sigaction(SIGTSTP, &ours, NULL);
    /* This SIGCONT was expected. */
    atomic_fetch_and(&pending, ~(unsigned)(BP_SIGNAL_CONTINUE | BP_SIGNAL_SUSPEND));
    return true;
}

/* --- standard error --------------------------------------------------------------------------- */

void bp_signals_keep_stderr(void)
{
    struct stat info;
    if (state.kept_stderr >= 0 || fstat(STDERR_FILENO, &info) != 0 || S_ISREG(info.st_mode))
        return;
    const int kept = memfd_create("bitplan-stderr", MFD_CLOEXEC);
    const int real = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    if (kept < 0 || real < 0 || dup2(kept, STDERR_FILENO) < 0) {
        close(kept);
        close(real);
        return;
    }
    state.real_stderr = real;
    state.kept_stderr = kept;
}

/* Runs in handlers, too: hence no stdio. */
void bp_signals_release_stderr(void)
{
    const int kept = state.kept_stderr;
    if (kept < 0)
        return;
    state.kept_stderr = -1;
    dup2(state.real_stderr, STDERR_FILENO);
    close(state.real_stderr);
    char bytes[4096];
    off_t at = 0;
    for (;;) {
        const ssize_t n = pread(kept, bytes, sizeof bytes, at);
        if (n <= 0 || !write_all(STDERR_FILENO, bytes, (size_t)n))
            break;
        at += n;
    }
    close(kept);
}

/* --- the crash file --------------------------------------------------------------------------- */

void bp_term_on_crash(const char *path, const char *bytes, size_t n)
{
    struct crash_file *now = atomic_load(&crash_file);
    struct crash_file *next = now == &crash_files[0] ? &crash_files[1] : &crash_files[0];
    if (!path || strlen(path) >= sizeof next->path) {
        atomic_store(&crash_file, NULL);
        return;
    }
    snprintf(next->path, sizeof next->path, "%s", path);
    snprintf(next->temporary, sizeof next->temporary, "%s.tmp", path);
    next->bytes = bytes;
    next->n = n;
    atomic_store(&crash_file, next);
}
