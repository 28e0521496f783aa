#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "cli/commands.h"
#include "engine/json_write.h"
#include "engine/printable.h"

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

enum bp_status bp_progress_begin(struct bp_progress *p, const struct bp_args *args,
                                 const char *unit, struct bp_err *err)
{
    const char *mode = bp_args_text(args, BP_OPT_PROGRESS, "auto");
    *p = (struct bp_progress){.unit = unit, .start = now_s(), .before = UINT64_MAX};
    if (strcmp(mode, "auto") == 0) {
        const char *term = getenv("TERM");
        bool terminal = isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
        p->mode = terminal ? BP_PROGRESS_BAR : BP_PROGRESS_PLAIN;
    } else if (strcmp(mode, "plain") == 0) {
        p->mode = BP_PROGRESS_PLAIN;
    } else if (strcmp(mode, "json") == 0) {
        p->mode = BP_PROGRESS_JSON;
    } else if (strcmp(mode, "none") == 0) {
        p->mode = BP_PROGRESS_NONE;
    } else {
        return bp_fail(err, BP_ERR_USAGE, "--progress: '%s' is none of auto, plain, json, none",
                       mode);
    }
    return BP_OK;
}

void bp_progress_phase(struct bp_progress *p, const char *phase)
{
    if (p->phase == phase)
        return;
    p->phase = phase;
    p->before = UINT64_MAX;
    p->complete = false;
}

static void format_duration(double seconds, char text[32])
{
    if (!(seconds < 1e8)) /* unknown, or beyond what anybody waits for */
        snprintf(text, 32, "?");
    else if (seconds < 60)
        snprintf(text, 32, "%.0f s", ceil(seconds));
    else if (seconds < 3600)
        snprintf(text, 32, "%d:%02d min", (int)seconds / 60, (int)seconds % 60);
    else
        snprintf(text, 32, "%.0f:%02d h", floor(seconds / 3600), (int)fmod(seconds / 60, 60));
}

static size_t terminal_width(void)
{
    struct winsize size;
    bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    return known ? size.ws_col : 80;
}

/* One line, never wider than the terminal: a wrapped line could not be taken back. Of a long name
 * the end is shown, which is what tells matrices apart. */
static void draw_bar(const struct bp_progress *p, uint64_t done, uint64_t total, double rate,
                     const char *left, const char *what)
{
    enum { WIDTH = 20, MAX_LINE = 512 };
    char bar[WIDTH + 1], line[MAX_LINE];
    size_t width = terminal_width(), columns = width > 3 ? width - 3 : 0; /* room for a ^C */
    int full = total ? (int)(done * WIDTH / total) : WIDTH;
    for (int i = 0; i < WIDTH; i++)
        bar[i] = i < full ? '#' : '.';
    bar[WIDTH] = '\0';
    columns = columns < MAX_LINE - 1 ? columns : MAX_LINE - 1;
    snprintf(line, columns + 1, "[%s] %3.0f %%  %" PRIu64 "/%" PRIu64 " %s  %.3g/s  %s left  %s%s",
             bar, total ? 100.0 * (double)done / (double)total : 100.0, done, total, p->unit, rate,
             left, p->phase ? p->phase : "", p->phase ? ": " : "");
    size_t used = strlen(line), room = columns - used;
    const struct bp_printable name = bp_printable(what ? what : "");
    size_t length = strlen(name.text);
    if (length <= room)
        memcpy(line + used, name.text, length + 1);
    else if (room > 8)
        snprintf(line + used, room + 1, "...%s", name.text + length - (room - 3));
    fprintf(stderr, "\r\033[K%s", line);
    fflush(stderr);
}

static void print_json(const struct bp_progress *p, uint64_t done, uint64_t total, double rate,
                       double seconds_left, const char *what)
{
    struct bp_json_out out;
    bp_json_out_object(&out);
    bp_json_put_string(&out, out.root, "unit", p->unit);
    if (p->phase)
        bp_json_put_string(&out, out.root, "phase", p->phase);
    bp_json_put_u64(&out, out.root, "done", done);
    bp_json_put_u64(&out, out.root, "total", total);
    bp_json_put_double(&out, out.root, "per_second", rate);
    bp_json_put_double(&out, out.root, "seconds_left", seconds_left);
    bp_json_put_string(&out, out.root, "at", what);
    char *text = bp_json_print(&out, false);
    if (text)
        fprintf(stderr, "%s\n", text);
    free(text);
    bp_json_out_done(&out);
}

void bp_progress_show(struct bp_progress *p, uint64_t done, uint64_t total, const char *what)
{
    static const double interval[] = {0.1, 30.0, 1.0, INFINITY};
    double now = now_s();
    if (p->before == UINT64_MAX) {
        p->before = done;
        p->start = now;
        p->last = p->mode == BP_PROGRESS_PLAIN ? now : 0.0; /* the first line after a while */
    }
    if (p->mode == BP_PROGRESS_NONE || p->complete ||
        (now - p->last < interval[p->mode] && done < total))
        return;
    p->complete = done == total;
    if (done == total && p->mode == BP_PROGRESS_PLAIN)
        return; /* the closing line of the command says it */
    p->last = now;
    double elapsed = now - p->start, worked = (double)(done - p->before);
    double rate = elapsed > 0.0 ? worked / elapsed : 0.0;
    double left_s = rate > 0.0 ? (double)(total - done) / rate : INFINITY;
    char left[32];
    format_duration(left_s, left);
    if (p->mode == BP_PROGRESS_BAR) {
        draw_bar(p, done, total, rate, left, what);
        p->drawn = true;
    } else if (p->mode == BP_PROGRESS_JSON) {
        print_json(p, done, total, rate, left_s, what);
    } else {
        fprintf(stderr, "%s%s%" PRIu64 "/%" PRIu64 " %s, %.3g/s, %s left, at %s\n",
                p->phase ? p->phase : "", p->phase ? ": " : "", done, total, p->unit, rate, left,
                what ? bp_printable(what).text : "?");
    }
}

static void print_gap_json(const struct bp_progress *p, double objective, double lower_bound,
                           double gap, double seconds)
{
    struct bp_json_out out;
    bp_json_out_object(&out);
    bp_json_put_string(&out, out.root, "unit", p->unit);
    bp_json_put_double(&out, out.root, "incumbent", objective);
    bp_json_put_double(&out, out.root, "bound", lower_bound);
    bp_json_put_double(&out, out.root, "gap", gap);
    bp_json_put_double(&out, out.root, "seconds", seconds);
    char *text = bp_json_print(&out, false);
    if (text)
        fprintf(stderr, "%s\n", text);
    free(text);
    bp_json_out_done(&out);
}

void bp_progress_show_gap(struct bp_progress *p, double objective, double lower_bound)
{
    static const double interval[] = {0.1, 5.0, 1.0, INFINITY};
    const double now = now_s(), seconds = now - p->start;
    const double gap = objective > 0.0 ? (objective - lower_bound) / objective : 0.0;
    char line[128];
    if (p->last == 0.0)
        p->last = p->start; /* short ones are silent */
    if (p->mode == BP_PROGRESS_NONE || now - p->last < interval[p->mode])
        return;
    p->last = now;
    if (p->mode == BP_PROGRESS_JSON) {
        print_gap_json(p, objective, lower_bound, gap, seconds);
        return;
    }
    if (isfinite(objective))
        snprintf(line, sizeof line, "incumbent %.6g, bound %.6g, gap %.2g %%, %.0f s", objective,
                 lower_bound, 100.0 * gap, seconds);
    else
        snprintf(line, sizeof line, "no plan yet, bound %.6g, %.0f s", lower_bound, seconds);
    if (p->mode == BP_PROGRESS_BAR) {
        const size_t width = terminal_width();
        fprintf(stderr, "\r\033[K%.*s", (int)(width > 3 ? width - 3 : 0), line);
        fflush(stderr);
        p->drawn = true;
    } else {
        fprintf(stderr, "%s\n", line);
    }
}

void bp_progress_end(struct bp_progress *p)
{
    if (p->drawn)
        fprintf(stderr, "\r\033[K");
    p->drawn = false;
}
