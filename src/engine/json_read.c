#include "engine/json_read.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "engine/json_lex.h"
#include "engine/mem.h"
#include "engine/printable.h"

/* cJSON copies a number into 64 bytes. */
enum { MAX_NUMBER = 63 };

struct scan_key {
    uint64_t hash;
    const char *text;
    const unsigned char *at; /* where in the document, for the line */
};

struct scan {
    struct bp_lex lx;
    const unsigned char *start;
    const char *label;
    struct scan_key *keys; /* of all objects that are open; each object owns the tail */
    size_t n_keys, keys_room;
    char *arena; /* decoded keys of the open objects */
    size_t arena_used;
    struct bp_err *err;
};

static size_t line_of(const struct scan *sc, const unsigned char *at)
{
    size_t line = 1;
    for (const unsigned char *p = sc->start; p < at; p++)
        line += *p == '\n';
    return line;
}

static enum bp_status fail_here(struct scan *sc, const char *what)
{
    return bp_fail(sc->err, BP_ERR_INPUT, "%s: line %zu: not valid JSON: %s%s", sc->label,
                   line_of(sc, sc->lx.at), what,
                   sc->lx.at == sc->lx.end ? " (the file ends here)" : "");
}

static int compare_keys(const void *a, const void *b)
{
    const struct scan_key *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    int order = strcmp(x->text, y->text);
    return order ? order : (x->at > y->at) - (x->at < y->at);
}

/* Refuses duplicates among the keys from `base` on, then drops them. */
static enum bp_status close_object(struct scan *sc, size_t base, size_t arena_base)
{
    struct scan_key *keys = sc->keys + base;
    size_t n = sc->n_keys - base;
    if (n > 1)
        qsort(keys, n, sizeof *keys, compare_keys);
    for (size_t i = 1; i < n; i++)
        if (keys[i - 1].hash == keys[i].hash && strcmp(keys[i - 1].text, keys[i].text) == 0)
            return bp_fail(sc->err, BP_ERR_INPUT,
                           "%s: line %zu: the key \"%s\" appears twice in one object", sc->label,
                           line_of(sc, keys[i].at), bp_printable(keys[i].text).text);
    sc->n_keys = base;
    sc->arena_used = arena_base;
    return BP_OK;
}

static enum bp_status scan_key(struct scan *sc)
{
    if (sc->n_keys == sc->keys_room) {
        size_t room = sc->keys_room ? sc->keys_room * 2 : 64;
        void *grown = bp_grow(sc->keys, room, sizeof *sc->keys);
        if (!grown)
            return bp_fail_nomem(sc->err);
        sc->keys = grown;
        sc->keys_room = room;
    }
    struct scan_key *key = &sc->keys[sc->n_keys];
    size_t n;
    key->at = sc->lx.at;
    key->text = sc->arena + sc->arena_used;
    const char *wrong = bp_lex_string(&sc->lx, sc->arena + sc->arena_used, &n);
    if (wrong)
        return fail_here(sc, wrong);
    key->hash = XXH3_64bits(key->text, n);
    sc->arena_used += n + 1;
    sc->n_keys++;
    return BP_OK;
}

static enum bp_status scan_value(struct scan *sc, int depth);

static enum bp_status scan_object(struct scan *sc, int depth)
{
    size_t base = sc->n_keys, arena_base = sc->arena_used;
    bp_lex_space(&sc->lx);
    if (bp_lex_take(&sc->lx, '}'))
        return BP_OK;
    for (;;) {
        bp_lex_space(&sc->lx);
        BP_TRY(scan_key(sc));
        bp_lex_space(&sc->lx);
        if (!bp_lex_take(&sc->lx, ':'))
            return fail_here(sc, "':' is expected");
        BP_TRY(scan_value(sc, depth));
        if (bp_lex_take(&sc->lx, '}'))
            return close_object(sc, base, arena_base);
        if (!bp_lex_take(&sc->lx, ','))
            return fail_here(sc, "',' or '}' is expected");
    }
}

static enum bp_status scan_array(struct scan *sc, int depth)
{
    bp_lex_space(&sc->lx);
    if (bp_lex_take(&sc->lx, ']'))
        return BP_OK;
    for (;;) {
        BP_TRY(scan_value(sc, depth));
        if (bp_lex_take(&sc->lx, ']'))
            return BP_OK;
        if (!bp_lex_take(&sc->lx, ','))
            return fail_here(sc, "',' or ']' is expected");
    }
}

static enum bp_status scan_number(struct scan *sc)
{
    const unsigned char *from = sc->lx.at;
    const char *wrong = bp_lex_number(&sc->lx);
    if (wrong)
        return fail_here(sc, wrong);
    return sc->lx.at - from > MAX_NUMBER ? fail_here(sc, "a number of more than 63 characters")
                                         : BP_OK;
}

static bool take_word(struct bp_lex *lx, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(lx->end - lx->at) < n || memcmp(lx->at, word, n) != 0)
        return false;
    lx->at += n;
    return true;
}

/* One value with the whitespace around it. */
static enum bp_status scan_value(struct scan *sc, int depth)
{
    struct bp_lex *lx = &sc->lx;
    enum bp_status status = BP_OK;
    if (depth == BP_JSON_MAX_DEPTH)
        return fail_here(sc, "nested too deeply");
    bp_lex_space(lx);
    if (lx->at == lx->end)
        return fail_here(sc, "a value is expected");
    if (bp_lex_take(lx, '{')) {
        status = scan_object(sc, depth + 1);
    } else if (bp_lex_take(lx, '[')) {
        status = scan_array(sc, depth + 1);
    } else if (*lx->at == '"') {
        const char *wrong = bp_lex_string(lx, NULL, NULL);
        if (wrong)
            status = fail_here(sc, wrong);
    } else if (*lx->at == '-' || (*lx->at >= '0' && *lx->at <= '9')) {
        status = scan_number(sc);
    } else if (!take_word(lx, "true") && !take_word(lx, "false") && !take_word(lx, "null")) {
        status = fail_here(sc, "a value is expected");
    }
    if (status == BP_OK)
        bp_lex_space(lx);
    return status;
}

static enum bp_status scan_document(struct scan *sc)
{
    if (sc->lx.end - sc->lx.at >= 3 && memcmp(sc->lx.at, "\xef\xbb\xbf", 3) == 0)
        return bp_fail(sc->err, BP_ERR_INPUT,
                       "%s: line 1: starts with a byte order mark; save it as plain UTF-8",
                       sc->label);
    BP_TRY(scan_value(sc, 0));
    return sc->lx.at == sc->lx.end ? BP_OK : fail_here(sc, "something follows the document");
}

enum bp_status bp_json_read_text(const char *text, size_t n, const char *label, struct cJSON **out,
                                 struct bp_err *err)
{
    struct scan sc = {
        .lx = {.at = (const unsigned char *)text, .end = (const unsigned char *)text + n},
        .start = (const unsigned char *)text,
        .label = label,
        .arena = bp_alloc(n + 1, 1),
        .err = err,
    };
    *out = NULL;
    enum bp_status status = sc.arena ? scan_document(&sc) : bp_fail_nomem(err);
    free(sc.arena);
    free(sc.keys);
    if (status != BP_OK)
        return status;
    /* What the scanner passed, cJSON accepts: NULL means that memory ran out. */
    *out = cJSON_ParseWithLength(text, n);
    return *out ? BP_OK : bp_fail_nomem(err);
}

/* Reads fd to its end into a new block. */
static enum bp_status read_all(int fd, const char *path, char **out, size_t *n_out,
                               struct bp_err *err)
{
    char *text = NULL;
    size_t n = 0, room = 0;
    for (;;) {
        if (n == room) {
            room = room ? room * 2 : 64 << 10;
            char *grown = bp_grow(text, room, 1);
            if (!grown) {
                free(text);
                return bp_fail_nomem(err);
            }
            text = grown;
        }
        ssize_t got = read(fd, text + n, room - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got == 0)
            break;
        if (got > 0)
            n += (size_t)got;
        if (got < 0 || n > BP_JSON_MAX_BYTES) {
            free(text);
            if (got < 0)
                return bp_fail(err, errno == EISDIR ? BP_ERR_INPUT : BP_ERR_FAILED,
                               "%s: cannot be read: %s", path, strerror(errno));
            return bp_fail(err, BP_ERR_INPUT, "%s: larger than %s bytes, the limit for JSON", path,
                           bp_grouped(BP_JSON_MAX_BYTES).text);
        }
    }
    *out = text;
    *n_out = n;
    return BP_OK;
}

enum bp_status bp_json_looks_like(const char *path, bool *yes, struct bp_err *err)
{
    FILE *f = fopen(path, "rbe");
    if (!f)
        return bp_fail(err, BP_ERR_INPUT, "%s: cannot be opened: %s", path, strerror(errno));
    int c;
    do
        c = fgetc(f);
    while (c == ' ' || c == '\n' || c == '\t' || c == '\r');
    const bool failed = ferror(f) != 0;
    fclose(f);
    if (failed)
        return bp_fail(err, BP_ERR_FAILED, "%s: cannot be read", path);
    *yes = c == '{' || c == '[';
    return BP_OK;
}

enum bp_status bp_json_read_file(const char *path, struct cJSON **out, struct bp_err *err)
{
    char *text = NULL;
    size_t n = 0;
    *out = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return bp_fail(err, BP_ERR_INPUT, "%s: cannot be opened: %s", path, strerror(errno));
    enum bp_status status = read_all(fd, path, &text, &n, err);
    close(fd);
    if (status != BP_OK)
        return status;
    status = bp_json_read_text(text, n, path, out, err);
    free(text);
    return status;
}

struct cJSON *bp_json_free(struct cJSON *root)
{
    cJSON_Delete(root);
    return NULL;
}

const struct cJSON *bp_json_member(const struct cJSON *object, const char *key)
{
    return cJSON_IsObject(object) ? cJSON_GetObjectItemCaseSensitive(object, key) : NULL;
}

const struct cJSON *bp_json_first(const struct cJSON *node)
{
    return node ? node->child : NULL;
}

const struct cJSON *bp_json_next(const struct cJSON *node)
{
    return node ? node->next : NULL;
}

size_t bp_json_count(const struct cJSON *node)
{
    size_t n = 0;
    for (const struct cJSON *child = bp_json_first(node); child; child = child->next)
        n++;
    return n;
}

const char *bp_json_key(const struct cJSON *node)
{
    return node ? node->string : NULL;
}

bool bp_json_is_object(const struct cJSON *node)
{
    return cJSON_IsObject(node);
}

bool bp_json_is_array(const struct cJSON *node)
{
    return cJSON_IsArray(node);
}

bool bp_json_is_null(const struct cJSON *node)
{
    return cJSON_IsNull(node);
}

const char *bp_json_string(const struct cJSON *node)
{
    return cJSON_IsString(node) ? node->valuestring : NULL;
}

bool bp_json_double(const struct cJSON *node, double *out)
{
    if (!cJSON_IsNumber(node) || !isfinite(node->valuedouble))
        return false;
    *out = node->valuedouble;
    return true;
}

bool bp_json_u64(const struct cJSON *node, uint64_t *out)
{
    double value;
    if (!bp_json_double(node, &value) || value < 0 || value > 0x1p53 || value != floor(value))
        return false;
    *out = (uint64_t)value;
    return true;
}

bool bp_json_bool(const struct cJSON *node, bool *out)
{
    if (!cJSON_IsBool(node))
        return false;
    *out = cJSON_IsTrue(node);
    return true;
}

/* The sentence for a member that is missing or of another type. */
static enum bp_status fail_need(const struct cJSON *object, const char *key, const char *where,
                                const char *type, struct bp_err *err)
{
    if (!bp_json_is_object(object))
        return bp_fail(err, BP_ERR_INPUT, "%s: an object with \"%s\" is expected", where, key);
    if (!bp_json_member(object, key))
        return bp_fail(err, BP_ERR_INPUT, "%s: \"%s\" is missing", where, key);
    return bp_fail(err, BP_ERR_INPUT, "%s: \"%s\" must be %s", where, key, type);
}

enum bp_status bp_json_need_string(const struct cJSON *object, const char *key, const char *where,
                                   const char **out, struct bp_err *err)
{
    const char *text = bp_json_string(bp_json_member(object, key));
    if (!text)
        return fail_need(object, key, where, "a string", err);
    *out = text;
    return BP_OK;
}

enum bp_status bp_json_need_u64(const struct cJSON *object, const char *key, const char *where,
                                uint64_t *out, struct bp_err *err)
{
    if (bp_json_u64(bp_json_member(object, key), out))
        return BP_OK;
    return fail_need(object, key, where, "a whole number from 0 to 2^53", err);
}

enum bp_status bp_json_need_double(const struct cJSON *object, const char *key, const char *where,
                                   double *out, struct bp_err *err)
{
    if (bp_json_double(bp_json_member(object, key), out))
        return BP_OK;
    return fail_need(object, key, where, "a finite number", err);
}

enum bp_status bp_json_need_bool(const struct cJSON *object, const char *key, const char *where,
                                 bool *out, struct bp_err *err)
{
    if (bp_json_bool(bp_json_member(object, key), out))
        return BP_OK;
    return fail_need(object, key, where, "true or false", err);
}

enum bp_status bp_json_need_array(const struct cJSON *object, const char *key, const char *where,
                                  const struct cJSON **out, struct bp_err *err)
{
    const struct cJSON *node = bp_json_member(object, key);
    if (!bp_json_is_array(node))
        return fail_need(object, key, where, "an array", err);
    *out = node;
    return BP_OK;
}

enum bp_status bp_json_need_object(const struct cJSON *object, const char *key, const char *where,
                                   const struct cJSON **out, struct bp_err *err)
{
    const struct cJSON *node = bp_json_member(object, key);
    if (!bp_json_is_object(node))
        return fail_need(object, key, where, "an object", err);
    *out = node;
    return BP_OK;
}
