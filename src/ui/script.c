#include "ui/script.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/file_out.h"
#include "engine/mem.h"
#include "engine/printable.h"
#include "ui/prompt.h"

struct replay {
    struct bp_app *app;
    struct bp_cells *cells;
    const char *dump;
    unsigned n_frames;
    bool left;
};

static enum bp_status frame(struct replay *r, bool measured, struct bp_err *err)
{
    bp_app_wait_settled(r->app, measured);
    if (!bp_cells_resize(r->cells, r->app->cols, r->app->rows))
        return bp_fail_nomem(err);
    bp_app_render(r->app, r->cells);
    if (!r->dump)
        return BP_OK;
    char *path = bp_format("%s/%04u.txt", r->dump, r->n_frames++);
    char *text = bp_cells_dump(r->cells);
    enum bp_status status =
        path && text ? bp_file_write(path, text, strlen(text), true, err) : bp_fail_nomem(err);
    free(path);
    free(text);
    return status;
}

static void feed(struct replay *r, struct bp_event event)
{
    r->left |= (bp_app_update(r->app, &event) & BP_FLAG_QUIT) != 0;
}

static void feed_mouse(struct replay *r, enum bp_mouse mouse, int x, int y, int wheel)
{
    feed(r,
         (struct bp_event){.kind = BP_EVENT_MOUSE, .mouse = mouse, .x = x, .y = y, .wheel = wheel});
}

/* Types quoted text, character by character. */
static void type_text(struct replay *r, const char *text)
{
    while (*text && !r->left) {
        uint32_t ch = (unsigned char)*text++;
        int tail = ch >= 0xF0 ? 3 : ch >= 0xE0 ? 2 : ch >= 0xC0 ? 1 : 0;
        ch = tail == 3 ? ch & 0x07 : tail == 2 ? ch & 0x0F : tail == 1 ? ch & 0x1F : ch;
        for (; tail > 0 && *text; tail--)
            ch = ch << 6 | ((unsigned char)*text++ & 0x3F);
        feed(r, (struct bp_event){.kind = BP_EVENT_KEY, .key = ch});
    }
}

static void drag(struct replay *r, int x0, int y0, int x1, int y1)
{
    feed_mouse(r, BP_MOUSE_PRESS, x0, y0, 0);
    feed_mouse(r, BP_MOUSE_DRAG, x1, y1, 0);
    feed_mouse(r, BP_MOUSE_RELEASE, x1, y1, 0);
}

/* One word. False for a word that is none. */
static bool play(struct replay *r, const char *word, bool quoted)
{
    int x, y, x1, y1, n = 0;
    uint32_t key;
    if (quoted) {
        type_text(r, word);
    } else if (sscanf(word, "click:%d,%d%n", &x, &y, &n) == 2 && !word[n]) {
        feed_mouse(r, BP_MOUSE_PRESS, x, y, 0);
        feed_mouse(r, BP_MOUSE_RELEASE, x, y, 0);
    } else if (sscanf(word, "drag:%d,%d-%d,%d%n", &x, &y, &x1, &y1, &n) == 4 && !word[n]) {
        drag(r, x, y, x1, y1);
    } else if (sscanf(word, "wheel:%d,%d,%d%n", &x, &y, &x1, &n) == 3 && !word[n]) {
        for (int i = 0; i < 1000 && i != x1 && -i != x1; i++)
            feed_mouse(r, BP_MOUSE_WHEEL, x, y, x1 < 0 ? -1 : 1);
    } else if (sscanf(word, "size:%dx%d%n", &x, &y, &n) == 2 && !word[n] && x > 0 && y > 0 &&
               x <= BP_MAX_COLS && y <= BP_MAX_ROWS) {
        feed(r, (struct bp_event){.kind = BP_EVENT_RESIZE, .x = x, .y = y});
    } else if (strcmp(word, "wait") == 0) {
        return true; /* the frame waits */
    } else if (bp_key_parse(word, &key)) {
        feed(r, (struct bp_event){.kind = BP_EVENT_KEY, .key = key});
    } else {
        return false;
    }
    return true;
}

enum word_kind { WORD_END, WORD_PLAIN, WORD_QUOTED, WORD_OPEN /* a quote that does not close */ };

/* The next word into `word` (as long as the text). */
static enum word_kind next_word(const char **at, char *word)
{
    const char *p = *at + strspn(*at, " \t\n\r");
    char *out = word;
    /* A quote that stands alone is the key. */
    const bool quoted = *p == '"' && p[1] && !strchr(" \t\n\r", p[1]);
    bool open = false;
    if (!*p)
        return WORD_END;
    if (quoted) {
        for (p++; *p && *p != '"'; p++) {
            if (*p == '\\' && p[1])
                p++;
            *out++ = *p;
        }
        open = !*p;
        p += !open;
    } else {
        while (*p && !strchr(" \t\n\r", *p))
            *out++ = *p++;
    }
    *out = '\0';
    *at = p;
    return open ? WORD_OPEN : quoted ? WORD_QUOTED : WORD_PLAIN;
}

enum bp_status bp_script_run(struct bp_app *app, struct bp_cells *cells, const char *words,
                             const char *dump, struct bp_err *err)
{
    struct replay r = {.app = app, .cells = cells, .dump = dump};
    char *word = bp_alloc(strlen(words) + 1, 1);
    if (!word)
        return bp_fail_nomem(err);
    enum bp_status status = BP_OK;
    if (dump && mkdir(dump, 0777) != 0 && errno != EEXIST)
        status = bp_fail(err, BP_ERR_FAILED, "%s: cannot be made: %s", dump, strerror(errno));
    if (status == BP_OK)
        status = frame(&r, false, err);
    enum word_kind kind;
    while (status == BP_OK && !r.left && (kind = next_word(&words, word)) != WORD_END) {
        if (kind == WORD_OPEN)
            status = bp_fail(err, BP_ERR_USAGE, "--script: the quote before '%s' does not close",
                             bp_printable(word).text);
        else if (!play(&r, word, kind == WORD_QUOTED))
            status = bp_fail(err, BP_ERR_USAGE,
                             "--script: '%s' is no word: a key (Right, S-Right, F1, C-l, q), "
                             "\"text\", click:X,Y, drag:X,Y-X,Y, wheel:X,Y,N, size:WxH or wait",
                             bp_printable(word).text);
        else if (!r.left)
            status = frame(&r, kind == WORD_PLAIN && strcmp(word, "wait") == 0, err);
    }
    free(word);
    return status;
}
