/*
 * Safetensors files in memory for tests: any header text, right or wrong, with `n_data` zero bytes
 * behind it.
 */
#ifndef BP_TESTS_ST_BYTES_H
#define BP_TESTS_ST_BYTES_H

#include "test_dir.h"

#include "engine/safetensors.h"

/* Parses length + json [n_json] + n_data zeros. On success the result lives until st_bytes_free. */
static inline enum bp_status st_bytes_parse(const char *json, size_t n_json, size_t n_data,
                                            struct bp_st **st, unsigned char **bytes,
                                            struct bp_err *err)
{
    uint64_t n = n_json;
    *bytes = calloc(1, 8 + n_json + n_data);
    assert_non_null(*bytes);
    memcpy(*bytes, &n, 8);
    memcpy(*bytes + 8, json, n_json);
    return bp_st_parse(*bytes, 8 + n_json + n_data, "x.safetensors", st, err);
}

/* The header must be refused with a sentence that starts with the path, is one line and holds all
 * of `words` (separated by '|'). */
static inline void st_bytes_refused_n(const char *json, size_t n_json, size_t n_data,
                                      const char *words)
{
    struct bp_st *st;
    unsigned char *bytes;
    struct bp_err err = {""};
    enum bp_status status = st_bytes_parse(json, n_json, n_data, &st, &bytes, &err);
    if (status != BP_ERR_INPUT)
        fail_msg("not refused: %.200s", json);
    assert_null(st);
    if (strncmp(err.text, "x.safetensors: ", 15) != 0 || strpbrk(err.text, "\n\r\033"))
        fail_msg("bad sentence: %s", err.text);
    for (const char *word = words; *word;) {
        char one[200];
        size_t n = strcspn(word, "|");
        snprintf(one, sizeof one, "%.*s", (int)n, word);
        if (!strstr(err.text, one))
            fail_msg("'%s' is not in: %s", one, err.text);
        word += n + (word[n] == '|');
    }
    free(bytes);
}

static inline void st_bytes_refused(const char *json, size_t n_data, const char *words)
{
    st_bytes_refused_n(json, strlen(json), n_data, words);
}

/* The header must be accepted with that many tensors. */
static inline void st_bytes_accepted(const char *json, size_t n_data, size_t n_tensors)
{
    struct bp_st *st;
    unsigned char *bytes;
    struct bp_err err = {""};
    if (st_bytes_parse(json, strlen(json), n_data, &st, &bytes, &err) != BP_OK)
        fail_msg("refused: %.200s: %s", json, err.text);
    assert_int_equal(st->n_tensors, n_tensors);
    bp_st_close(st);
    free(bytes);
}

#endif
