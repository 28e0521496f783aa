#include "engine/st_header.h"

#include <stdlib.h>
#include <string.h>

#include "engine/json_lex.h"
#include "engine/mem.h"
#include "engine/printable.h"

struct parser {
    struct bp_lex lx;
    const unsigned char *start;
    const char *path;
    const char *tensor; /* the one being read, NULL outside */
    char *strings;      /* next free byte of the arena */
    size_t tensor_room, metadata_room;
    bool metadata_seen;
    struct bp_st_header *out;
    struct bp_err *err;
};

static enum bp_status fail_here(struct parser *ps, const char *what)
{
    size_t byte = 8 + (size_t)(ps->lx.at - ps->start);
    const char *end = ps->lx.at == ps->lx.end ? " (the header ends here)" : "";
    if (ps->tensor)
        return bp_fail(ps->err, BP_ERR_INPUT,
                       "%s: tensor %s: invalid header at byte %zu: %s%s; download the file again",
                       ps->path, bp_printable(ps->tensor).text, byte, what, end);
    return bp_fail(ps->err, BP_ERR_INPUT,
                   "%s: invalid header at byte %zu: %s%s; download the file again", ps->path, byte,
                   what, end);
}

/* Whitespace, then the character. */
static enum bp_status expect(struct parser *ps, char c, const char *what)
{
    bp_lex_space(&ps->lx);
    return bp_lex_take(&ps->lx, c) ? BP_OK : fail_here(ps, what);
}

/* Whitespace, then a string into the arena. */
static enum bp_status string(struct parser *ps, char **out)
{
    size_t n;
    bp_lex_space(&ps->lx);
    const char *wrong = bp_lex_string(&ps->lx, ps->strings, &n);
    if (wrong)
        return fail_here(ps, wrong);
    *out = ps->strings;
    ps->strings += n + 1;
    return BP_OK;
}

/* After a member of an object or an array: *more when a comma follows, else `close` was taken. */
static enum bp_status more(struct parser *ps, char close, bool *again)
{
    bp_lex_space(&ps->lx);
    *again = bp_lex_take(&ps->lx, ',');
    if (*again || bp_lex_take(&ps->lx, close))
        return BP_OK;
    return fail_here(ps, close == '}' ? "',' or '}' is expected" : "',' or ']' is expected");
}

/* [u64, ...] of at most `room` numbers. */
static enum bp_status numbers(struct parser *ps, uint64_t *out, unsigned room, unsigned *n_out,
                              const char *too_many)
{
    unsigned n = 0;
    bool again = true;
    BP_TRY(expect(ps, '[', "'[' is expected"));
    bp_lex_space(&ps->lx);
    if (bp_lex_take(&ps->lx, ']'))
        again = false;
    while (again) {
        bp_lex_space(&ps->lx);
        if (n == room)
            return fail_here(ps, too_many);
        const char *wrong = bp_lex_u64(&ps->lx, &out[n++]);
        if (wrong)
            return fail_here(ps, wrong);
        BP_TRY(more(ps, ']', &again));
    }
    *n_out = n;
    return BP_OK;
}

static enum bp_status read_dtype(struct parser *ps, struct bp_st_tensor *t)
{
    char *name = NULL, *keep = ps->strings;
    BP_TRY(string(ps, &name));
    ps->strings = keep; /* only the number stays */
    if (!bp_dtype_parse(name, &t->dtype))
        return bp_fail(ps->err, BP_ERR_INPUT,
                       "%s: tensor %s has the unknown dtype \"%s\"; save it as F32, F16 or BF16",
                       ps->path, bp_printable(t->name).text, bp_printable(name).text);
    return BP_OK;
}

static enum bp_status read_offsets(struct parser *ps, struct bp_st_tensor *t)
{
    uint64_t range[2] = {0, 0};
    unsigned n = 0;
    BP_TRY(numbers(ps, range, 2, &n, "data_offsets holds more than two numbers"));
    if (n != 2)
        return fail_here(ps, "data_offsets needs two numbers");
    if (range[1] < range[0])
        return fail_here(ps, "data_offsets end before they begin");
    t->begin = range[0];
    t->n_bytes = range[1] - range[0];
    return BP_OK;
}

enum { SEEN_DTYPE = 1, SEEN_SHAPE = 2, SEEN_OFFSETS = 4 };

static enum bp_status read_field(struct parser *ps, struct bp_st_tensor *t, unsigned *seen)
{
    static const char *const keys[] = {"dtype", "shape", "data_offsets"};
    char *key = NULL, *keep = ps->strings;
    unsigned i = 0;
    BP_TRY(string(ps, &key));
    ps->strings = keep;
    while (i < 3 && strcmp(key, keys[i]) != 0)
        i++;
    if (i == 3)
        return bp_fail(ps->err, BP_ERR_INPUT,
                       "%s: tensor %s has the unknown key \"%s\" in the header; known are dtype, "
                       "shape and data_offsets",
                       ps->path, bp_printable(t->name).text, bp_printable(key).text);
    if (*seen & 1u << i)
        return bp_fail(ps->err, BP_ERR_INPUT, "%s: tensor %s has the key \"%s\" twice", ps->path,
                       bp_printable(t->name).text, keys[i]);
    *seen |= 1u << i;
    BP_TRY(expect(ps, ':', "':' is expected"));
    if (1u << i == SEEN_DTYPE)
        return read_dtype(ps, t);
    if (1u << i == SEEN_SHAPE)
        return numbers(ps, t->shape, BP_ST_MAX_DIMS, &t->n_dims, "more than 8 dimensions");
    return read_offsets(ps, t);
}

static enum bp_status read_tensor(struct parser *ps, char *name)
{
    struct bp_st_header *out = ps->out;
    if (out->n_tensors == ps->tensor_room) {
        size_t room = ps->tensor_room ? ps->tensor_room * 2 : 64;
        void *grown = bp_grow(out->tensors, room, sizeof *out->tensors);
        if (!grown)
            return bp_fail_nomem(ps->err);
        out->tensors = grown;
        ps->tensor_room = room;
    }
    struct bp_st_tensor *t = &out->tensors[out->n_tensors];
    memset(t, 0, sizeof *t);
    t->name = name;
    ps->tensor = name;

    unsigned seen = 0;
    bool again = true;
    BP_TRY(expect(ps, '{', "'{' is expected"));
    bp_lex_space(&ps->lx);
    if (bp_lex_take(&ps->lx, '}'))
        again = false;
    while (again) {
        BP_TRY(read_field(ps, t, &seen));
        BP_TRY(more(ps, '}', &again));
    }
    if (seen != (SEEN_DTYPE | SEEN_SHAPE | SEEN_OFFSETS))
        return fail_here(ps, !(seen & SEEN_DTYPE)   ? "dtype is missing"
                             : !(seen & SEEN_SHAPE) ? "shape is missing"
                                                    : "data_offsets is missing");
    ps->tensor = NULL;
    out->n_tensors++;
    return BP_OK;
}

static enum bp_status read_metadata(struct parser *ps)
{
    struct bp_st_header *out = ps->out;
    bool again = true;
    if (ps->metadata_seen)
        return fail_here(ps, "__metadata__ appears twice");
    ps->metadata_seen = true;
    BP_TRY(expect(ps, '{', "'{' is expected after __metadata__"));
    bp_lex_space(&ps->lx);
    if (bp_lex_take(&ps->lx, '}'))
        return BP_OK;
    while (again) {
        if (out->n_metadata == ps->metadata_room) {
            size_t room = ps->metadata_room ? ps->metadata_room * 2 : 8;
            void *grown = bp_grow(out->metadata, room, sizeof *out->metadata);
            if (!grown)
                return bp_fail_nomem(ps->err);
            out->metadata = grown;
            ps->metadata_room = room;
        }
        struct bp_st_pair *pair = &out->metadata[out->n_metadata];
        BP_TRY(string(ps, &pair->key));
        BP_TRY(expect(ps, ':', "':' is expected"));
        BP_TRY(string(ps, &pair->value));
        out->n_metadata++;
        BP_TRY(more(ps, '}', &again));
    }
    return BP_OK;
}

static enum bp_status read_object(struct parser *ps)
{
    bool again = true;
    BP_TRY(expect(ps, '{', "'{' is expected"));
    bp_lex_space(&ps->lx);
    if (bp_lex_take(&ps->lx, '}'))
        again = false;
    while (again) {
        char *key = NULL;
        BP_TRY(string(ps, &key));
        BP_TRY(expect(ps, ':', "':' is expected"));
        if (strcmp(key, "__metadata__") == 0)
            BP_TRY(read_metadata(ps));
        else
            BP_TRY(read_tensor(ps, key));
        BP_TRY(more(ps, '}', &again));
    }
    bp_lex_space(&ps->lx);
    if (ps->lx.at == ps->lx.end)
        return BP_OK;
    return fail_here(ps, *ps->lx.at == 0 ? "the header is padded with NUL bytes instead of spaces"
                                         : "something follows the header's object");
}

enum bp_status bp_st_header_parse(const unsigned char *json, size_t n, const char *path,
                                  struct bp_st_header *out, struct bp_err *err)
{
    memset(out, 0, sizeof *out);
    /* A string takes its text and a NUL here, its text and two quotes in the header: n is enough;
     * one more for a string that the end of the header cuts. */
    out->strings = bp_alloc(n + 1, 1);
    if (!out->strings)
        return bp_fail_nomem(err);
    struct parser ps = {
        .lx = {.at = json, .end = json + n},
        .start = json,
        .path = path,
        .strings = out->strings,
        .out = out,
        .err = err,
    };
    return read_object(&ps);
}

void bp_st_header_done(struct bp_st_header *header)
{
    free(header->tensors);
    free(header->metadata);
    free(header->strings);
    memset(header, 0, sizeof *header);
}
