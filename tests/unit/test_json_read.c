/* JSON documents: what the strict scanner refuses and where it says so, and the getters. */
#include "test_dir.h"

#include "engine/json_read.h"

static struct cJSON *accepted(const char *text)
{
    struct cJSON *root;
    struct bp_err err;
    /* A copy of the exact size: the text need not end with a NUL. */
    size_t n = strlen(text);
    char *copy = malloc(n ? n : 1);
    assert_non_null(copy);
    memcpy(copy, text, n);
    if (bp_json_read_text(copy, n, "x.json", &root, &err) != BP_OK)
        fail_msg("refused: %s: %s", text, err.text);
    free(copy);
    return root;
}

static void refused_n(const char *text, size_t n, const char *words)
{
    struct cJSON *root;
    struct bp_err err = {""};
    char *copy = malloc(n ? n : 1);
    assert_non_null(copy);
    memcpy(copy, text, n);
    if (bp_json_read_text(copy, n, "x.json", &root, &err) != BP_ERR_INPUT)
        fail_msg("not refused: %s", text);
    assert_null(root);
    if (strncmp(err.text, "x.json: line ", 13) != 0 || !strstr(err.text, words))
        fail_msg("'%s' is not in: %s", words, err.text);
    free(copy);
}

static void refused(const char *text, const char *words)
{
    refused_n(text, strlen(text), words);
}

static void accepts_what_json_is(void **state)
{
    (void)state;
    static const char *const good[] = {
        "null",
        " true ",
        "false",
        "0",
        "-0",
        "-0.0e-0",
        "1E+2",
        "1e5",
        "123.456e-7",
        "\"\"",
        "\"\\u00e9\\ud83d\\ude00\\n\"",
        "[]",
        "{}",
        "[[],{},[{}]]",
        "\t\r\n{\"a\" : [1 , 2]}\n",
        "{\"a\":1,\"A\":2,\"\":3}",
        "\"\xc3\xa9\xf0\x9f\x98\x80\x7f\"",
        "1e999",
        "[1,\n2]",
        "123456789012345678901234567890123456789012345678901234567890123"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        bp_json_free(accepted(good[i]));
}

static void refuses_what_json_is_not(void **state)
{
    (void)state;
    static const char *const bad[] = {
        /* structure */
        "", " ", "[", "]", "{", "}", "[1", "[1,", "[1,]", "[,1]", "[,]", "[1,,2]", "[1 2]", "[1]]",
        "[1]x", "[1}", "{]", "{\"a\"}", "{\"a\":}", "{\"a\":1", "{\"a\":1,}", "{,\"a\":1}",
        "{\"a\":1,,\"b\":2}", "{\"a\" 1}", "{\"a\"::1}", "{\"a\",1}", "{a:1}", "{'a':1}", "{1:1}",
        "{null:1}", "{[]:1}", "{\"a\":1 \"b\":2}", "{\"a\":1}#", "{}{}", "[][]", "1 2",
        "\"a\" \"b\"",
        /* words */
        "nul", "nulll", "True", "FALSE", "truee", "tru", "undefined", "NaN", "nan", "Infinity",
        "-Infinity", "inf", "[-NaN]", "*", "<null>",
        /* numbers */
        "01", "-01", "00", "1.", "-1.", ".5", "-.5", "+1", "++1", "--1", "-", "1e", "1e+", "1E-",
        "1.e1", "0.e1", "1.2.3", "1e1e1", "1e1.5", "0x1", "1_000", "1,000", "1a", "1 e5", "2.e+3",
        "0e", "0e+", "- 1", "\xef\xbc\x91",
        "1234567890123456789012345678901234567890123456789012345678901234",
        /* strings */
        "\"", "\"a", "\"\\\"", "\"\\", "\"\\x41\"", "\"\\'\"", "\"\\a\"", "\"\\u\"", "\"\\u12\"",
        "\"\\u12g4\"", "\"\\uD800\"", "\"\\uDC00\"", "\"\\uD800\\uD800\"", "\"\\uD83D\\u0041\"",
        "\"\\u0000\"", "\"a\nb\"", "\"a\tb\"", "\"\x01\"", "\"\x1f\"", "'a'", "a", "\"\\U0041\"",
        /* bytes */
        "\"\x80\"", "\"\xff\"", "\"\xc0\xaf\"", "\"\xe0\x80\x80\"", "\"\xed\xa0\x80\"",
        "\"\xf4\x90\x80\x80\"", "\"\xc3\"", "\"\xe2\x82\"", "\xe5", "\xc2\xa0[]", "\xe2\x81\xa0[]",
        /* whitespace and comments */
        "\f[]", "\v[]", "[\f]", "[]\x1a", "/**/[]", "[]//", "[1,#\n2]", "\xef\xbb\xbf{}",
        "\xef\xbb", "\xfe\xff"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refused(bad[i], "line 1");
    refused_n("[]\0", 3, "something follows");
    refused_n("\0[]", 3, "a value is expected");
    refused_n("[\0]", 3, "a value is expected");
    refused_n("\"a\0b\"", 5, "control character");
    refused_n("{\"a\":1}\0\0\0", 10, "something follows");
}

static void says_what_and_where(void **state)
{
    (void)state;
    refused("{\n \"a\": 1,\n \"b\": 02\n}", "line 3: not valid JSON: a number with a leading zero");
    refused("{\"a\":1}\n\nx", "line 3: not valid JSON: something follows the document");
    refused("{\n", "line 2: not valid JSON: a string is expected (the file ends here)");
    refused("\xef\xbb\xbf{}", "byte order mark");
    refused("[\"\n\"]", "line 1: not valid JSON: a raw control character in a string");
}

static void refuses_duplicate_keys_in_one_object_only(void **state)
{
    (void)state;
    refused("{\"a\":1,\n\"b\":2,\n\"a\":1}", "line 3: the key \"a\" appears twice");
    refused("{\"a\":1,\"\\u0061\":1}", "the key \"a\" appears twice");
    refused("[{\"x\":{\"k\":[],\"l\":0,\"k\":{}}}]", "the key \"k\" appears twice");
    refused("{\"\":1,\"\":2}", "the key \"\" appears twice");
    bp_json_free(accepted("[{\"a\":{\"a\":{\"a\":1}}},{\"a\":[{\"a\":1},{\"a\":1}]}]"));
}

static void refuses_deep_nesting_before_the_stack_ends(void **state)
{
    (void)state;
    enum { DEEP = 1000000 };
    char *text = malloc(DEEP + 1);
    assert_non_null(text);
    memset(text, '[', DEEP);
    text[DEEP] = '\0';
    refused(text, "nested too deeply");
    for (int i = 0; i + 5 <= DEEP; i += 5)
        memcpy(text + i, "{\"a\":", 5);
    refused(text, "nested too deeply");
    memset(text, '[', BP_JSON_MAX_DEPTH);
    memset(text + BP_JSON_MAX_DEPTH, ']', BP_JSON_MAX_DEPTH);
    text[2 * BP_JSON_MAX_DEPTH] = '\0';
    bp_json_free(accepted(text));
    free(text);
}

static void finds_a_duplicate_among_many_keys(void **state)
{
    (void)state;
    enum { N = 200000, ROOM = N * 24 };
    char *text = malloc(ROOM);
    assert_non_null(text);
    size_t n = 0;
    text[n++] = '{';
    for (int i = 0; i < N; i++)
        n += (size_t)snprintf(text + n, ROOM - n, "\"key%d\":%d,\n", i, i);
    memcpy(text + n, "\"last\":0}", 10);
    struct cJSON *root = accepted(text);
    assert_int_equal(bp_json_count(root), N + 1);
    bp_json_free(root);
    memcpy(text + n, "\"key77\":0}", 11);
    refused(text, "line 200001: the key \"key77\" appears twice");
    free(text);
}

static void getters_check_the_type(void **state)
{
    (void)state;
    struct cJSON *root = accepted(
        "{\"s\":\"text\",\"n\":7,\"big\":9007199254740992,\"bigger\":9007199254740994,\"half\":0.5,"
        "\"minus\":-1,\"huge\":1e999,\"yes\":true,\"no\":false,\"nil\":null,\"list\":[1,2,3],"
        "\"obj\":{\"k\":1}}");
    uint64_t n = 99;
    double d = 99;
    bool b = false;
    assert_string_equal(bp_json_string(bp_json_member(root, "s")), "text");
    assert_null(bp_json_string(bp_json_member(root, "n")));
    assert_null(bp_json_member(root, "S")); /* the case counts */
    assert_null(bp_json_string(bp_json_member(bp_json_member(root, "none"), "none")));
    assert_true(bp_json_u64(bp_json_member(root, "big"), &n));
    assert_true(n == 1ull << 53);
    assert_true(bp_json_u64(bp_json_member(root, "n"), &n));
    static const char *const not_u64[] = {"bigger", "half", "minus", "huge", "s", "nil", "list"};
    for (size_t i = 0; i < sizeof not_u64 / sizeof *not_u64; i++)
        assert_false(bp_json_u64(bp_json_member(root, not_u64[i]), &n));
    assert_int_equal(n, 7);
    assert_false(bp_json_double(bp_json_member(root, "huge"), &d));
    assert_true(bp_json_double(bp_json_member(root, "half"), &d));
    assert_true(d == 0.5);
    assert_true(bp_json_bool(bp_json_member(root, "yes"), &b));
    assert_true(b);
    assert_true(bp_json_bool(bp_json_member(root, "no"), &b));
    assert_false(b);
    assert_false(bp_json_bool(bp_json_member(root, "n"), &b));
    assert_true(bp_json_is_null(bp_json_member(root, "nil")));
    assert_false(bp_json_is_null(NULL));
    assert_true(bp_json_is_array(bp_json_member(root, "list")));
    assert_true(bp_json_is_object(bp_json_member(root, "obj")));
    assert_int_equal(bp_json_count(bp_json_member(root, "list")), 3);
    assert_int_equal(bp_json_count(NULL), 0);
    assert_null(bp_json_next(NULL));
    assert_string_equal(bp_json_key(bp_json_first(root)), "s");
    assert_string_equal(bp_json_key(bp_json_next(bp_json_first(root))), "n");
    bp_json_free(root);
}

static void needs_say_what_is_missing(void **state)
{
    (void)state;
    struct cJSON *root = accepted("{\"s\":\"text\",\"n\":7,\"yes\":true,\"list\":[],\"obj\":{}}");
    struct bp_err err;
    const char *s;
    uint64_t n;
    double d;
    bool b;
    const struct cJSON *node;
    assert_int_equal(bp_json_need_string(root, "s", "p.json", &s, &err), BP_OK);
    assert_int_equal(bp_json_need_u64(root, "n", "p.json", &n, &err), BP_OK);
    assert_int_equal(bp_json_need_double(root, "n", "p.json", &d, &err), BP_OK);
    assert_int_equal(bp_json_need_bool(root, "yes", "p.json", &b, &err), BP_OK);
    assert_int_equal(bp_json_need_array(root, "list", "p.json", &node, &err), BP_OK);
    assert_int_equal(bp_json_need_object(root, "obj", "p.json", &node, &err), BP_OK);
    assert_int_equal(bp_json_need_string(root, "x", "p.json", &s, &err), BP_ERR_INPUT);
    assert_string_equal(err.text, "p.json: \"x\" is missing");
    assert_int_equal(bp_json_need_string(root, "n", "p.json", &s, &err), BP_ERR_INPUT);
    assert_string_equal(err.text, "p.json: \"n\" must be a string");
    assert_int_equal(bp_json_need_u64(root, "s", "p.json", &n, &err), BP_ERR_INPUT);
    assert_int_equal(bp_json_need_double(root, "s", "p.json", &d, &err), BP_ERR_INPUT);
    assert_int_equal(bp_json_need_bool(root, "s", "p.json", &b, &err), BP_ERR_INPUT);
    assert_int_equal(bp_json_need_array(root, "obj", "p.json", &node, &err), BP_ERR_INPUT);
    assert_int_equal(bp_json_need_object(root, "list", "p.json", &node, &err), BP_ERR_INPUT);
    assert_int_equal(bp_json_need_u64(NULL, "n", "p.json", &n, &err), BP_ERR_INPUT);
    assert_string_equal(err.text, "p.json: an object with \"n\" is expected");
    bp_json_free(root);
}

static void reads_files(void **state)
{
    (void)state;
    char *dir = test_dir_make(), *path = test_dir_join(dir, "c.json");
    struct cJSON *root;
    struct bp_err err;
    assert_int_equal(bp_json_read_file(path, &root, &err), BP_ERR_INPUT);
    assert_non_null(strstr(err.text, "c.json: cannot be opened: No such file"));
    assert_int_equal(bp_json_read_file(dir, &root, &err), BP_ERR_INPUT);
    test_dir_write_text(dir, "c.json", "{\"a\":\n1,\n}");
    assert_int_equal(bp_json_read_file(path, &root, &err), BP_ERR_INPUT);
    assert_int_equal(strncmp(err.text, path, strlen(path)), 0);
    assert_non_null(strstr(err.text, ": line 3: "));
    test_dir_write_text(dir, "c.json", "{\"a\":1}");
    assert_int_equal(bp_json_read_file(path, &root, &err), BP_OK);
    bp_json_free(root);
    test_dir_write_sparse(dir, "c.json", " ", 1, (uint64_t)BP_JSON_MAX_BYTES + 1);
    assert_int_equal(bp_json_read_file(path, &root, &err), BP_ERR_INPUT);
    assert_non_null(strstr(err.text, "larger than 536,870,912 bytes"));
    free(path);
    test_dir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_what_json_is),
        cmocka_unit_test(refuses_what_json_is_not),
        cmocka_unit_test(says_what_and_where),
        cmocka_unit_test(refuses_duplicate_keys_in_one_object_only),
        cmocka_unit_test(refuses_deep_nesting_before_the_stack_ends),
        cmocka_unit_test(finds_a_duplicate_among_many_keys),
        cmocka_unit_test(getters_check_the_type),
        cmocka_unit_test(needs_say_what_is_missing),
        cmocka_unit_test(reads_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
