#include "engine/safetensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/json_lex.h"
#include "engine/mem.h"
#include "engine/printable.h"

enum { DATA_ALIGN = 64 };

/* Growing text; `failed` once memory ran out, checked at the end. */
struct text {
    char *bytes;
    size_t n, room;
    bool failed;
};

static void append(struct text *text, const char *s, size_t n)
{
    if (text->failed)
        return;
    if (n > text->room - text->n) {
        size_t room = (text->n + n) * 2 + 256;
        char *grown = bp_grow(text->bytes, room, 1);
        if (!grown) {
            text->failed = true;
            return;
        }
        text->bytes = grown;
        text->room = room;
    }
    memcpy(text->bytes + text->n, s, n);
    text->n += n;
}

static void append_words(struct text *text, const char *s)
{
    append(text, s, strlen(s));
}

static void append_u64(struct text *text, uint64_t value)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%" PRIu64, value);
    append_words(text, digits);
}

/* A JSON string: quotes, backslashes and control characters escaped, UTF-8 as it is. */
static void append_string(struct text *text, const char *s)
{
    append(text, "\"", 1);
    for (; *s; s++) {
        char code[8];
        if (*s == '"' || *s == '\\')
            append(text, "\\", 1);
        if ((unsigned char)*s < 0x20) {
            snprintf(code, sizeof code, "\\u%04x", (unsigned)*s);
            append_words(text, code);
        } else {
            append(text, s, 1);
        }
    }
    append(text, "\"", 1);
}

static int compare_names(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

/* Sorts names [n]; a name that occurs twice, or NULL. */
static const char *find_twice(const char **names, size_t n)
{
    if (n)
        qsort(names, n, sizeof *names, compare_names);
    for (size_t i = 1; i < n; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            return names[i];
    return NULL;
}

static enum bp_status check_names(const struct bp_st_spec *specs, size_t n_specs,
                                  const struct bp_st_pair *metadata, size_t n_metadata,
                                  struct bp_err *err)
{
    enum bp_status status = BP_OK;
    const char *twice;
    for (size_t i = 0; i < n_specs; i++) {
        if (strcmp(specs[i].name, "__metadata__") == 0)
            return bp_fail(err, BP_ERR_INPUT, "a tensor cannot be named __metadata__");
        if (!bp_utf8_valid(specs[i].name))
            return bp_fail(err, BP_ERR_INPUT, "the tensor name %s is not UTF-8",
                           bp_printable(specs[i].name).text);
    }
    for (size_t i = 0; i < n_metadata; i++)
        if (!bp_utf8_valid(metadata[i].key) || !bp_utf8_valid(metadata[i].value))
            return bp_fail(err, BP_ERR_INPUT, "the metadata of %s is not UTF-8",
                           bp_printable(metadata[i].key).text);

    size_t n = n_specs > n_metadata ? n_specs : n_metadata;
    const char **names = bp_alloc(n, sizeof *names);
    if (!names)
        return bp_fail_nomem(err);
    for (size_t i = 0; i < n_specs; i++)
        names[i] = specs[i].name;
    twice = find_twice(names, n_specs);
    if (twice)
        status = bp_fail(err, BP_ERR_INPUT, "two tensors are named %s", bp_printable(twice).text);
    for (size_t i = 0; i < n_metadata; i++)
        names[i] = metadata[i].key;
    twice = find_twice(names, n_metadata);
    if (twice && status == BP_OK)
        status = bp_fail(err, BP_ERR_INPUT, "the metadata key %s appears twice",
                         bp_printable(twice).text);
    free(names);
    return status;
}

/* Bytes of one tensor. */
static enum bp_status spec_bytes(const struct bp_st_spec *spec, uint64_t *out, struct bp_err *err)
{
    uint64_t n = 1;
    bool fits = true;
    if (spec->n_dims > BP_ST_MAX_DIMS)
        return bp_fail(err, BP_ERR_INPUT, "tensor %s has more than %d dimensions",
                       bp_printable(spec->name).text, BP_ST_MAX_DIMS);
    for (unsigned i = 0; i < spec->n_dims && fits; i++)
        fits = bp_mul_u64(n, spec->shape[i], &n);
    if (!fits || !bp_mul_u64(n, bp_dtype_bits(spec->dtype), &n))
        return bp_fail(err, BP_ERR_INPUT, "tensor %s has a size that overflows",
                       bp_printable(spec->name).text);
    if (n % 8)
        return bp_fail(err, BP_ERR_INPUT, "tensor %s does not fill whole bytes",
                       bp_printable(spec->name).text);
    *out = n / 8;
    return BP_OK;
}

static void append_tensor(struct text *text, const struct bp_st_spec *spec, uint64_t begin,
                          uint64_t end)
{
    append_string(text, spec->name);
    append_words(text, ":{\"dtype\":\"");
    append_words(text, bp_dtype_name(spec->dtype));
    append_words(text, "\",\"shape\":[");
    for (unsigned i = 0; i < spec->n_dims; i++) {
        append_words(text, i ? "," : "");
        append_u64(text, spec->shape[i]);
    }
    append_words(text, "],\"data_offsets\":[");
    append_u64(text, begin);
    append_words(text, ",");
    append_u64(text, end);
    append_words(text, "]}");
}

static void append_metadata(struct text *text, const struct bp_st_pair *metadata, size_t n)
{
    append_words(text, "\"__metadata__\":{");
    for (size_t i = 0; i < n; i++) {
        append_words(text, i ? "," : "");
        append_string(text, metadata[i].key);
        append_words(text, ":");
        append_string(text, metadata[i].value);
    }
    append_words(text, "}");
}

/* The object; *data_bytes becomes the length of all tensors, offsets count from the data's start.
 */
static enum bp_status append_header(struct text *text, const struct bp_st_spec *specs,
                                    size_t n_specs, const struct bp_st_pair *metadata,
                                    size_t n_metadata, uint64_t *offsets, uint64_t *data_bytes,
                                    struct bp_err *err)
{
    uint64_t end = 0;
    append_words(text, "{");
    if (n_metadata)
        append_metadata(text, metadata, n_metadata);
    for (size_t i = 0; i < n_specs; i++) {
        uint64_t begin = end, bytes = 0;
        BP_TRY(spec_bytes(&specs[i], &bytes, err));
        /* Room for the header: the length of the whole file must fit as well. */
        if (__builtin_add_overflow(begin, bytes, &end) || end > INT64_MAX - BP_ST_MAX_HEADER - 8)
            return bp_fail(err, BP_ERR_INPUT, "the tensors up to %s exceed the largest file",
                           bp_printable(specs[i].name).text);
        if (i || n_metadata)
            append_words(text, ",");
        append_tensor(text, &specs[i], begin, end);
        if (offsets)
            offsets[i] = begin;
    }
    append_words(text, "}");
    *data_bytes = end;
    return BP_OK;
}

enum bp_status bp_st_build_header(const struct bp_st_spec *specs, size_t n_specs,
                                  const struct bp_st_pair *metadata, size_t n_metadata,
                                  unsigned char **out, size_t *n_out, uint64_t *offsets,
                                  uint64_t *file_bytes, struct bp_err *err)
{
    static const char spaces[DATA_ALIGN] = "                                                      "
                                           "          ";
    struct text text = {0};
    uint64_t data_bytes = 0, length;
    *out = NULL;
    BP_TRY(check_names(specs, n_specs, metadata, n_metadata, err));
    append(&text, "\0\0\0\0\0\0\0\0", 8); /* the length, filled in below */
    enum bp_status status =
        append_header(&text, specs, n_specs, metadata, n_metadata, offsets, &data_bytes, err);
    if (status == BP_OK)
        append(&text, spaces, (DATA_ALIGN - text.n % DATA_ALIGN) % DATA_ALIGN);
    if (status == BP_OK && text.failed)
        status = bp_fail_nomem(err);
    if (status == BP_OK && text.n - 8 > BP_ST_MAX_HEADER)
        status = bp_fail(err, BP_ERR_INPUT, "the header of %zu tensors exceeds %s bytes", n_specs,
                         bp_grouped(BP_ST_MAX_HEADER).text);
    if (status != BP_OK) {
        free(text.bytes);
        return status;
    }
    length = text.n - 8;
    memcpy(text.bytes, &length, sizeof length);
    for (size_t i = 0; offsets && i < n_specs; i++)
        offsets[i] += text.n;
    if (file_bytes)
        *file_bytes = text.n + data_bytes;
    *out = (unsigned char *)text.bytes;
    *n_out = text.n;
    return BP_OK;
}
