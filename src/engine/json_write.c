#include "engine/json_write.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/mem.h"

char *bp_double_format(double value, char text[BP_DOUBLE_TEXT])
{
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, BP_DOUBLE_TEXT, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    return text;
}

void bp_json_out_object(struct bp_json_out *out)
{
    out->root = cJSON_CreateObject();
    out->failed = !out->root;
}

void bp_json_out_array(struct bp_json_out *out)
{
    out->root = cJSON_CreateArray();
    out->failed = !out->root;
}

void bp_json_out_done(struct bp_json_out *out)
{
    cJSON_Delete(out->root);
    out->root = NULL;
}

/* Hangs a node under its parent; a node that cannot be hung is freed and the failure remembered. */
static cJSON *put(struct bp_json_out *out, cJSON *parent, const char *key, cJSON *node)
{
    bool done = false;
    if (parent && node)
        done = key ? cJSON_AddItemToObject(parent, key, node) : cJSON_AddItemToArray(parent, node);
    if (!done) {
        cJSON_Delete(node);
        out->failed = true;
        return NULL;
    }
    return node;
}

struct cJSON *bp_json_put_object(struct bp_json_out *out, struct cJSON *parent, const char *key)
{
    return put(out, parent, key, cJSON_CreateObject());
}

struct cJSON *bp_json_put_array(struct bp_json_out *out, struct cJSON *parent, const char *key)
{
    return put(out, parent, key, cJSON_CreateArray());
}

void bp_json_put_string(struct bp_json_out *out, struct cJSON *parent, const char *key,
                        const char *value)
{
    put(out, parent, key, value ? cJSON_CreateString(value) : cJSON_CreateNull());
}

void bp_json_put_u64(struct bp_json_out *out, struct cJSON *parent, const char *key, uint64_t value)
{
    char text[24];
    snprintf(text, sizeof text, "%" PRIu64, value);
    put(out, parent, key, cJSON_CreateRaw(text));
}

void bp_json_put_double(struct bp_json_out *out, struct cJSON *parent, const char *key,
                        double value)
{
    char text[BP_DOUBLE_TEXT];
    put(out, parent, key,
        isfinite(value) ? cJSON_CreateRaw(bp_double_format(value, text)) : cJSON_CreateNull());
}

void bp_json_put_bool(struct bp_json_out *out, struct cJSON *parent, const char *key, bool value)
{
    put(out, parent, key, cJSON_CreateBool(value));
}

void bp_json_put_null(struct bp_json_out *out, struct cJSON *parent, const char *key)
{
    put(out, parent, key, cJSON_CreateNull());
}

void bp_json_put_document(struct bp_json_out *out, struct cJSON *parent, const char *key,
                          struct bp_json_out *child)
{
    out->failed |= child->failed;
    put(out, parent, key, child->root);
    child->root = NULL;
}

char *bp_json_print(const struct bp_json_out *out, bool indented)
{
    if (out->failed)
        return NULL;
    char *text = indented ? cJSON_Print(out->root) : cJSON_PrintUnformatted(out->root);
    if (!text || !indented)
        return text;
    char *line = bp_format("%s\n", text);
    free(text);
    return line;
}
