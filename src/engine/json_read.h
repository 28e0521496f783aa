/*
 * JSON documents (config.json, the shard index, plans, sessions, the JSON inside a table), read
 * strictly into a cJSON tree.
 *
 * cJSON alone accepts leading zeros, raw control characters, invalid UTF-8 and duplicate keys, and
 * does not say where an error is. So a scanner of RFC 8259 goes over the text first: it refuses all
 * of that, a byte order mark, anything after the document, a NUL in a string, nesting beyond 256,
 * numbers longer than cJSON reads; its sentence names the file and the line. cJSON then only builds
 * the tree. Only this module and the JSON writer include cJSON.h; others walk a tree through the
 * functions below.
 *
 * Getters take NULL for "no such node", so that they can be chained: bp_json_string(bp_json_member(
 * object, "name")). Numbers are doubles: integers above 2^53 must travel as strings.
 */
#ifndef BP_ENGINE_JSON_READ_H
#define BP_ENGINE_JSON_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/err.h"

struct cJSON;

enum { BP_JSON_MAX_BYTES = 512 << 20, BP_JSON_MAX_DEPTH = 256 };

/* *yes: the first character of the file that is no space opens an object or a list. BP_ERR_INPUT
 * when it cannot be opened, BP_ERR_FAILED when reading it fails. */
enum bp_status bp_json_looks_like(const char *path, bool *yes, struct bp_err *err);

/* Reads a file of at most BP_JSON_MAX_BYTES. BP_ERR_INPUT when it cannot be opened or is not JSON,
 * BP_ERR_FAILED when reading it fails. *out is freed with bp_json_free. */
enum bp_status bp_json_read_file(const char *path, struct cJSON **out, struct bp_err *err);

/* The same on text [n], which need not end with a NUL; `label` stands in messages for the path. */
enum bp_status bp_json_read_text(const char *text, size_t n, const char *label, struct cJSON **out,
                                 struct bp_err *err);

/* Takes NULL, returns NULL. */
struct cJSON *bp_json_free(struct cJSON *root);

/* --- walking; every node may be NULL --- */

/* Member of an object by its exact name, NULL when there is none (or no object). Linear: for an
 * object with thousands of members walk it once. */
const struct cJSON *bp_json_member(const struct cJSON *object, const char *key);

/* First child of an array or object, next sibling; NULL at the end. */
const struct cJSON *bp_json_first(const struct cJSON *node);
const struct cJSON *bp_json_next(const struct cJSON *node);
/* Number of children (walks them). */
size_t bp_json_count(const struct cJSON *node);
/* Name of a member of an object, NULL for others. */
const char *bp_json_key(const struct cJSON *node);

bool bp_json_is_object(const struct cJSON *node);
bool bp_json_is_array(const struct cJSON *node);
bool bp_json_is_null(const struct cJSON *node);

/* Text of a string, NULL for anything else. */
const char *bp_json_string(const struct cJSON *node);
/* False (and *out untouched) for another type; an integer must be whole and in 0 .. 2^53, a double
 * finite. */
bool bp_json_u64(const struct cJSON *node, uint64_t *out);
bool bp_json_double(const struct cJSON *node, double *out);
bool bp_json_bool(const struct cJSON *node, bool *out);

/* --- members that must be there: BP_ERR_INPUT "WHERE: "KEY" is missing" or "... must be a string"
 */

enum bp_status bp_json_need_string(const struct cJSON *object, const char *key, const char *where,
                                   const char **out, struct bp_err *err);
enum bp_status bp_json_need_u64(const struct cJSON *object, const char *key, const char *where,
                                uint64_t *out, struct bp_err *err);
enum bp_status bp_json_need_double(const struct cJSON *object, const char *key, const char *where,
                                   double *out, struct bp_err *err);
enum bp_status bp_json_need_bool(const struct cJSON *object, const char *key, const char *where,
                                 bool *out, struct bp_err *err);
enum bp_status bp_json_need_array(const struct cJSON *object, const char *key, const char *where,
                                  const struct cJSON **out, struct bp_err *err);
enum bp_status bp_json_need_object(const struct cJSON *object, const char *key, const char *where,
                                   const struct cJSON **out, struct bp_err *err);

#endif
