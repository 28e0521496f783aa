/*
 * Building and printing JSON documents, with numbers that read back to the same bits: cJSON alone
 * prints a double with 15 digits and an integer through a double.
 *
 * A builder remembers that memory ran out, so that a document is written without a check a line and
 * asked once at the end. Nodes belong to their parent; the root to bp_json_free (json_read.h).
 */
#ifndef BP_ENGINE_JSON_WRITE_H
#define BP_ENGINE_JSON_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cJSON;

struct bp_json_out {
    struct cJSON *root;
    bool failed; /* out of memory somewhere; the document must not be used */
};

/* Starts a document whose root is an object or an array. */
void bp_json_out_object(struct bp_json_out *out);
void bp_json_out_array(struct bp_json_out *out);
void bp_json_out_done(struct bp_json_out *out);

/* Each adds a member `key` to an object, or, with key NULL, an element to an array. `parent` may be
 * NULL (after a failure): nothing happens. A double that is not finite becomes null, as does a NULL
 * string. */
struct cJSON *bp_json_put_object(struct bp_json_out *out, struct cJSON *parent, const char *key);
struct cJSON *bp_json_put_array(struct bp_json_out *out, struct cJSON *parent, const char *key);
void bp_json_put_string(struct bp_json_out *out, struct cJSON *parent, const char *key,
                        const char *value);
void bp_json_put_u64(struct bp_json_out *out, struct cJSON *parent, const char *key,
                     uint64_t value);
void bp_json_put_double(struct bp_json_out *out, struct cJSON *parent, const char *key,
                        double value);
void bp_json_put_bool(struct bp_json_out *out, struct cJSON *parent, const char *key, bool value);
void bp_json_put_null(struct bp_json_out *out, struct cJSON *parent, const char *key);

/* Gives the document `child` (freed by it) to another as a member or element. */
void bp_json_put_document(struct bp_json_out *out, struct cJSON *parent, const char *key,
                          struct bp_json_out *child);

/* The text: indented and with a newline at the end, or compact on one line. On the heap, NULL when
 * memory ran out here or while building. */
char *bp_json_print(const struct bp_json_out *out, bool indented);

enum { BP_DOUBLE_TEXT = 32 };

/* The shortest of 15, 16 or 17 digits that reads back to the same double; finite values only. */
char *bp_double_format(double value, char text[BP_DOUBLE_TEXT]);

#endif
