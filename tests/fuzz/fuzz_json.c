/* Fuzz target: the JSON reader on any bytes. A document that is accepted is walked with every
 * getter, printed, and must read back to the same tree. */
#include "fuzz.h"

#include <math.h>

#include "engine/json_read.h"
#include "engine/json_write.h"

/* Members are looked up only in objects of a usual size: a look-up is linear. */
enum { LOOKED_UP = 64 };

/* A node has one type, and the getters of the others leave their result alone. */
static void touch(const struct cJSON *node)
{
    uint64_t whole = 7;
    double number = 7.5;
    bool flag = true;
    const bool is_number = bp_json_double(node, &number), is_whole = bp_json_u64(node, &whole);
    const bool is_flag = bp_json_bool(node, &flag);
    const char *text = bp_json_string(node);
    must(is_number ? isfinite(number) : number == 7.5);
    must(is_whole ? is_number && (double)whole == number : whole == 7);
    must(is_flag || flag);
    must(is_number + is_flag + (text != NULL) + bp_json_is_null(node) + bp_json_is_array(node) +
             bp_json_is_object(node) <=
         1);
    must(!text || strlen(text) < SIZE_MAX);
}

static void need(const struct cJSON *node, const char *key)
{
    struct bp_err err = {""};
    uint64_t whole;
    double number;
    bool flag;
    const char *text;
    const struct cJSON *child;
    must_say(bp_json_need_string(node, key, "fuzz", &text, &err), &err);
    must_say(bp_json_need_u64(node, key, "fuzz", &whole, &err), &err);
    must_say(bp_json_need_double(node, key, "fuzz", &number, &err), &err);
    must_say(bp_json_need_bool(node, key, "fuzz", &flag, &err), &err);
    must_say(bp_json_need_array(node, key, "fuzz", &child, &err), &err);
    must_say(bp_json_need_object(node, key, "fuzz", &child, &err), &err);
}

static void walk(const struct cJSON *node)
{
    const bool look_up = bp_json_is_object(node) && bp_json_count(node) <= LOOKED_UP;
    touch(node);
    need(node, "a");
    for (const struct cJSON *child = bp_json_first(node); child; child = bp_json_next(child)) {
        must((bp_json_key(child) != NULL) == bp_json_is_object(node));
        if (look_up)
            must(bp_json_member(node, bp_json_key(child)) == child);
        walk(child);
    }
}

/* Equal trees but for numbers: cJSON prints them with 15 digits, those beyond the doubles as null
 * (which is why bitplan writes its own numbers another way, json_write.h). */
static void same(const struct cJSON *a, const struct cJSON *b)
{
    bool f, g;
    must(bp_json_is_object(a) == bp_json_is_object(b));
    must(bp_json_is_array(a) == bp_json_is_array(b));
    must(bp_json_bool(a, &f) ? bp_json_bool(b, &g) && f == g : !bp_json_bool(b, &g));
    must(bp_json_string(a) ? bp_json_string(b) && !strcmp(bp_json_string(a), bp_json_string(b))
                           : !bp_json_string(b));
    a = bp_json_first(a);
    b = bp_json_first(b);
    for (; a && b; a = bp_json_next(a), b = bp_json_next(b)) {
        must(!bp_json_key(a) || !strcmp(bp_json_key(a), bp_json_key(b)));
        same(a, b);
    }
    must(!a && !b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cJSON *root, *again;
    struct bp_err err = {""};
    enum bp_status status = bp_json_read_text((const char *)data, size, "fuzz", &root, &err);
    must((status == BP_OK) == (root != NULL));
    must_say(status, &err);
    if (status != BP_OK)
        return 0;
    walk(root);
    char *text = bp_json_print(&(struct bp_json_out){.root = root}, false);
    must(text != NULL);
    must(bp_json_read_text(text, strlen(text), "printed", &again, NULL) == BP_OK);
    same(root, again);
    free(text);
    bp_json_free(again);
    bp_json_free(root);
    return 0;
}
