/* Writing JSON: numbers that read back to the same bits, what becomes null, strings, failures. */
#include "support.h"

#include <cjson/cJSON.h>
#include <float.h>
#include <limits.h>

#include "engine/json_read.h"
#include "engine/json_write.h"

static double of_bits(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static char *print(struct bp_json_out *out, bool indented)
{
    char *text = bp_json_print(out, indented);
    assert_non_null(text);
    bp_json_out_done(out);
    return text;
}

static struct cJSON *read_back(const char *text)
{
    struct cJSON *root;
    struct bp_err err = {""};
    if (bp_json_read_text(text, strlen(text), "text", &root, &err))
        fail_msg("%s: %s", err.text, text);
    return root;
}

/* --- doubles --- */

static void check_double(double value)
{
    char text[BP_DOUBLE_TEXT];
    double back;
    assert_true(bp_double_format(value, text) == text);
    assert_true(strlen(text) < BP_DOUBLE_TEXT - 1);
    back = strtod(text, NULL);
    if (memcmp(&back, &value, sizeof back) != 0)
        fail_msg("%a is printed as %s", value, text);
}

static void every_double_reads_back_to_the_same_bits(void **state)
{
    (void)state;
    static const double some[] = {0.0,
                                  -0.0,
                                  1.0,
                                  -1.0,
                                  0.1,
                                  1.0 / 3.0,
                                  2.6,
                                  DBL_MAX,
                                  DBL_MIN,
                                  5e-324,
                                  1e22,
                                  1e23,
                                  0x1p53,
                                  0x1p53 + 2,
                                  1e300,
                                  -1e-300,
                                  1e15,
                                  123456789012345678.0,
                                  DBL_EPSILON,
                                  0.30000000000000004,
                                  9007199254740993.0};
    struct support_rng g = {2};
    for (size_t i = 0; i < sizeof some / sizeof *some; i++)
        check_double(some[i]);
    for (int i = 0; i < 100000; i++) {
        double value = of_bits(support_next(&g));
        if (isfinite(value))
            check_double(value);
    }
}

static void doubles_read_back_through_a_document(void **state)
{
    (void)state;
    enum { COUNT = 5000 };
    struct support_rng g = {3};
    double *values = malloc(COUNT * sizeof *values);
    struct bp_json_out out;
    assert_non_null(values);
    bp_json_out_array(&out);
    for (int i = 0; i < COUNT; i++) {
        do
            values[i] = of_bits(support_next(&g));
        while (!isfinite(values[i]));
        bp_json_put_double(&out, out.root, NULL, values[i]);
    }
    char *text = print(&out, false);
    struct cJSON *root = read_back(text);
    const struct cJSON *node = bp_json_first(root);
    assert_int_equal(bp_json_count(root), COUNT);
    for (int i = 0; i < COUNT; i++, node = bp_json_next(node)) {
        double back;
        assert_true(bp_json_double(node, &back));
        assert_memory_equal(&back, &values[i], sizeof back);
    }
    bp_json_free(root);
    free(text);
    free(values);
}

static void doubles_are_printed_no_longer_than_needed(void **state)
{
    (void)state;
    char text[BP_DOUBLE_TEXT];
    assert_string_equal(bp_double_format(2.6, text), "2.6");
    assert_string_equal(bp_double_format(3.0, text), "3");
    assert_string_equal(bp_double_format(0.1 + 0.2, text), "0.30000000000000004");
    assert_string_equal(bp_double_format(1e100, text), "1e+100");
    assert_string_equal(bp_double_format(1.0 / 3.0, text), "0.3333333333333333");
}

/* --- documents --- */

static void a_document_is_printed_in_the_order_it_was_built(void **state)
{
    (void)state;
    struct bp_json_out out;
    bp_json_out_object(&out);
    bp_json_put_string(&out, out.root, "z", "text");
    bp_json_put_u64(&out, out.root, "a", 7);
    struct cJSON *list = bp_json_put_array(&out, out.root, "list");
    bp_json_put_bool(&out, list, NULL, true);
    bp_json_put_bool(&out, list, NULL, false);
    bp_json_put_null(&out, list, NULL);
    bp_json_put_double(&out, list, NULL, 0.5);
    struct cJSON *inner = bp_json_put_object(&out, list, NULL);
    bp_json_put_array(&out, inner, "empty");
    bp_json_put_object(&out, inner, "nothing");
    char *text = print(&out, false);
    assert_string_equal(
        text,
        "{\"z\":\"text\",\"a\":7,\"list\":[true,false,null,0.5,{\"empty\":[],\"nothing\":{}}]}");
    free(text);
}

static void indented_text_ends_with_a_newline_and_says_the_same(void **state)
{
    (void)state;
    struct bp_json_out out;
    bp_json_out_object(&out);
    bp_json_put_u64(&out, out.root, "a", 1);
    char *plain = bp_json_print(&out, false), *indented = bp_json_print(&out, true);
    bp_json_out_done(&out);
    assert_true(plain && indented);
    assert_null(strchr(plain, '\n'));
    assert_int_equal(indented[strlen(indented) - 1], '\n');
    assert_non_null(strchr(indented, '\t'));
    struct cJSON *root = read_back(indented);
    uint64_t a = 0;
    assert_true(bp_json_u64(bp_json_member(root, "a"), &a));
    assert_int_equal(a, 1);
    bp_json_free(root);
    free(plain);
    free(indented);
}

static void whole_numbers_beyond_a_double_are_printed_exactly(void **state)
{
    (void)state;
    static const uint64_t values[] = {0,
                                      1,
                                      (UINT64_C(1) << 53) - 1,
                                      UINT64_C(1) << 53,
                                      (UINT64_C(1) << 53) + 1,
                                      UINT64_C(1234567890123456789),
                                      UINT64_MAX};
    struct bp_json_out out;
    bp_json_out_array(&out);
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        bp_json_put_u64(&out, out.root, NULL, values[i]);
    char *text = print(&out, false);
    assert_string_equal(text, "[0,1,9007199254740991,9007199254740992,9007199254740993,"
                              "1234567890123456789,18446744073709551615]");
    free(text);
}

static void what_json_cannot_say_becomes_null(void **state)
{
    (void)state;
    struct bp_json_out out;
    bp_json_out_object(&out);
    bp_json_put_double(&out, out.root, "nan", NAN);
    bp_json_put_double(&out, out.root, "inf", INFINITY);
    bp_json_put_double(&out, out.root, "ninf", -INFINITY);
    bp_json_put_string(&out, out.root, "none", NULL);
    char *text = print(&out, false);
    assert_string_equal(text, "{\"nan\":null,\"inf\":null,\"ninf\":null,\"none\":null}");
    free(text);
}

static void strings_are_escaped_and_read_back(void **state)
{
    (void)state;
    static const char *const strings[] = {
        "",          "plain",         "a \"quote\"",      "back\\slash",
        "tab\there", "line\nbreak\r", "\001\002\037",     "\b\f",
        "/slash",    "f\303\274r",    "\360\237\230\200", "</script>",
        "\177",      "\\u0041",
    };
    enum { COUNT = sizeof strings / sizeof *strings };
    struct bp_json_out out;
    bp_json_out_array(&out);
    for (int i = 0; i < COUNT; i++)
        bp_json_put_string(&out, out.root, NULL, strings[i]);
    char *text = print(&out, false);
    for (const char *c = text; *c; c++)
        assert_true((unsigned char)*c >= 0x20);
    struct cJSON *root = read_back(text);
    const struct cJSON *node = bp_json_first(root);
    for (int i = 0; i < COUNT; i++, node = bp_json_next(node))
        assert_string_equal(bp_json_string(node), strings[i]);
    bp_json_free(root);
    free(text);
}

static void keys_are_escaped_as_well(void **state)
{
    (void)state;
    struct bp_json_out out;
    bp_json_out_object(&out);
    bp_json_put_u64(&out, out.root, "a\"\n", 1);
    char *text = print(&out, false);
    assert_string_equal(text, "{\"a\\\"\\n\":1}");
    free(text);
}

static void a_document_becomes_part_of_another(void **state)
{
    (void)state;
    struct bp_json_out list, one;
    bp_json_out_array(&list);
    for (uint64_t i = 0; i < 3; i++) {
        bp_json_out_object(&one);
        bp_json_put_u64(&one, one.root, "i", i);
        bp_json_put_document(&list, list.root, NULL, &one);
        assert_null(one.root);
        bp_json_out_done(&one);
    }
    char *text = print(&list, false);
    assert_string_equal(text, "[{\"i\":0},{\"i\":1},{\"i\":2}]");
    free(text);
}

/* --- memory that runs out --- */

static int n_allocations, refused_from, refused_to;

static void *scarce(size_t n)
{
    int i = n_allocations++;
    return i >= refused_from && i < refused_to ? NULL : malloc(n);
}

static void build(struct bp_json_out *out)
{
    struct bp_json_out child;
    bp_json_out_object(out);
    bp_json_put_string(out, out->root, "name", "value");
    struct cJSON *list = bp_json_put_array(out, out->root, "list");
    bp_json_put_double(out, list, NULL, 0.25);
    bp_json_put_u64(out, list, NULL, 1);
    bp_json_put_bool(out, bp_json_put_object(out, list, NULL), "flag", true);
    bp_json_out_array(&child);
    bp_json_put_null(&child, child.root, NULL);
    bp_json_put_document(out, out->root, "child", &child);
    bp_json_out_done(&child);
}

/* Refuses one allocation, or all from one on, for each in turn: no text, or the whole. */
static void a_document_that_lacks_memory_anywhere_is_never_printed_in_part(void **state)
{
    (void)state;
    static const char whole[] =
        "{\"name\":\"value\",\"list\":[0.25,1,{\"flag\":true}],\"child\":[null]}";
    cJSON_Hooks hooks = {scarce, free};
    for (int for_good = 0; for_good < 2; for_good++)
        for (refused_from = 0;; refused_from++) {
            struct bp_json_out out;
            refused_to = for_good ? INT_MAX : refused_from + 1;
            n_allocations = 0;
            cJSON_InitHooks(&hooks);
            build(&out);
            bool failed = out.failed;
            char *text = bp_json_print(&out, false);
            cJSON_InitHooks(NULL);
            assert_true(!failed || !text);
            if (text)
                assert_string_equal(text, whole);
            free(text);
            bp_json_out_done(&out);
            if (n_allocations <= refused_from) /* nothing was refused any more */
                break;
        }
    assert_true(refused_from > 15);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_double_reads_back_to_the_same_bits),
        cmocka_unit_test(doubles_read_back_through_a_document),
        cmocka_unit_test(doubles_are_printed_no_longer_than_needed),
        cmocka_unit_test(a_document_is_printed_in_the_order_it_was_built),
        cmocka_unit_test(indented_text_ends_with_a_newline_and_says_the_same),
        cmocka_unit_test(whole_numbers_beyond_a_double_are_printed_exactly),
        cmocka_unit_test(what_json_cannot_say_becomes_null),
        cmocka_unit_test(strings_are_escaped_and_read_back),
        cmocka_unit_test(keys_are_escaped_as_well),
        cmocka_unit_test(a_document_becomes_part_of_another),
        cmocka_unit_test(a_document_that_lacks_memory_anywhere_is_never_printed_in_part),
    };
    return cmocka_run_group_tests_name("writing JSON", tests, NULL, NULL);
}
