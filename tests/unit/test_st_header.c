/* The grammar of a safetensors header: what is accepted, and each thing that must be refused. */
#include "st_bytes.h"

#include <time.h>

/* A header with one tensor "t" whose object is given. */
#define ONE(fields) "{\"t\":{" fields "}}"
#define U8_4        "\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]"

static void accepts_empty_header_and_whitespace_around(void **state)
{
    (void)state;
    st_bytes_accepted("{}", 0, 0);
    st_bytes_accepted("{}\r \t\n", 0, 0);
    st_bytes_accepted("\t\n{}\r ", 0, 0);
    st_bytes_accepted("{}      ", 0, 0);
    st_bytes_accepted("{ \"t\" : { \"dtype\" : \"U8\" , \"shape\" : [ 2 , 2 ] ,\n"
                      " \"data_offsets\" : [ 0 , 4 ] } } ",
                      4, 1);
}

static void accepts_fields_in_any_order(void **state)
{
    (void)state;
    st_bytes_accepted(ONE("\"data_offsets\":[0,4],\"shape\":[4],\"dtype\":\"U8\""), 4, 1);
    st_bytes_accepted("{\"__metadata__\":{},\"t\":{" U8_4 "}}", 4, 1);
    st_bytes_accepted("{\"t\":{" U8_4 "},\"__metadata__\":{\"a\":\"b\"}}", 4, 1);
}

static void accepts_scalars_and_empty_tensors(void **state)
{
    (void)state;
    st_bytes_accepted(ONE("\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]"), 4, 1);
    st_bytes_accepted(ONE("\"dtype\":\"F32\",\"shape\":[2,0],\"data_offsets\":[0,0]"), 0, 1);
    st_bytes_accepted("{\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},"
                      "\"b\":{" U8_4 "},"
                      "\"c\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[4,4]}}",
                      4, 3);
}

static void accepts_eight_dimensions_and_refuses_nine(void **state)
{
    (void)state;
    st_bytes_accepted(ONE("\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,4],\"data_offsets\":[0,4]"), 4,
                      1);
    st_bytes_refused(ONE("\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,4],\"data_offsets\":[0,4]"),
                     4, "tensor t|more than 8 dimensions");
}

static void decodes_escapes(void **state)
{
    (void)state;
    struct bp_st *st;
    unsigned char *bytes;
    struct bp_err err;
    static const char json[] = "{\"__metadata__\":{\"k\\n\":\"\\\"\\\\\\/\\b\\f\\r\\t\"},"
                               "\"\\u0041\\u00e9\\u20AC\\ud83d\\ude00\xc3\xa9\":{" U8_4 "}}";
    assert_int_equal(st_bytes_parse(json, sizeof json - 1, 4, &st, &bytes, &err), BP_OK);
    assert_string_equal(st->tensors[0].name, "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xc3\xa9");
    assert_string_equal(bp_st_metadata(st, "k\n"), "\"\\/\b\f\r\t");
    assert_non_null(bp_st_find(st, "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xc3\xa9"));
    bp_st_close(st);
    free(bytes);
}

static void refuses_wrong_shapes_of_the_object(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        " ",
        "{",
        "}",
        "[]",
        "null",
        "1",
        "\"t\"",
        "{}{}",
        "{},",
        "{} x",
        "{,}",
        "{\"t\"}",
        "{\"t\":}",
        "{\"t\":1}",
        "{\"t\":null}",
        "{\"t\":[]}",
        "{\"t\":\"x\"}",
        "{t:{" U8_4 "}}",
        "{'t':{" U8_4 "}}",
        "{1:{" U8_4 "}}",
        "{\"t\" {" U8_4 "}}",
        "{\"t\"::{" U8_4 "}}",
        "{\"t\":{" U8_4 "}",
        "{\"t\":{" U8_4 "},}",
        "{\"t\":{" U8_4 "},,}",
        "{,\"t\":{" U8_4 "}}",
        "{\"t\":{" U8_4 ",}}",
        "{\"t\":{" U8_4 "}]",
        "{\"t\":{" U8_4 "}}}",
        "{\"t\":{" U8_4 "}}//",
        "{\"t\":{" U8_4 "}}/**/",
        "{\"t\":{" U8_4 "}}#",
        "{/**/\"t\":{" U8_4 "}}",
        "\xef\xbb\xbf{}",
        "\f{}",
        "\v{}",
        "\xc2\xa0{}",
        "{\"__metadata__\":[]}",
        "{\"__metadata__\":null}",
        "{\"__metadata__\":{\"a\":1}}",
        "{\"__metadata__\":{\"a\":null}}",
        "{\"__metadata__\":{\"a\":{}}}",
        "{\"__metadata__\":{\"a\"}}",
        "{\"__metadata__\":{\"a\":\"b\",}}",
        "{\"__metadata__\":{,\"a\":\"b\"}}",
        "{\"__metadata__\":{\"a\":\"b\"\"c\":\"d\"}}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        st_bytes_refused(bad[i], 4, "at byte |download");
}

static void refuses_wrong_fields(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {ONE(""), "tensor t|dtype is missing"},
        {ONE("\"dtype\":\"U8\",\"data_offsets\":[0,4]"), "tensor t|shape is missing"},
        {ONE("\"dtype\":\"U8\",\"shape\":[4]"), "tensor t|data_offsets is missing"},
        {ONE(U8_4 ",\"x\":1"), "tensor t|unknown key \"x\""},
        {ONE("\"Dtype\":\"U8\""), "unknown key \"Dtype\""},
        {ONE("\"\":\"U8\""), "unknown key \"\""},
        {ONE(U8_4 ",\"dtype\":\"U8\""), "tensor t|\"dtype\" twice"},
        {ONE(U8_4 ",\"shape\":[4]"), "tensor t|\"shape\" twice"},
        {ONE(U8_4 ",\"data_offsets\":[0,4]"), "tensor t|\"data_offsets\" twice"},
        {ONE("\"dtype\":\"F99\",\"shape\":[4],\"data_offsets\":[0,4]"),
         "tensor t|unknown dtype \"F99\""},
        {ONE("\"dtype\":\"u8\",\"shape\":[4],\"data_offsets\":[0,4]"), "unknown dtype \"u8\""},
        {ONE("\"dtype\":\"\",\"shape\":[4],\"data_offsets\":[0,4]"), "unknown dtype"},
        {ONE("\"dtype\":8,\"shape\":[4],\"data_offsets\":[0,4]"), "tensor t|a string"},
        {ONE("\"dtype\":\"U8\",\"shape\":4,\"data_offsets\":[0,4]"), "tensor t|'['"},
        {ONE("\"dtype\":\"U8\",\"shape\":{},\"data_offsets\":[0,4]"), "tensor t|'['"},
        {ONE("\"dtype\":\"U8\",\"shape\":[[4]],\"data_offsets\":[0,4]"), "unsigned integer"},
        {ONE("\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[]"), "two numbers"},
        {ONE("\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4]"), "two numbers"},
        {ONE("\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,2,4]"), "more than two"},
        {ONE("\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,0]"), "end before they begin"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        st_bytes_refused(bad[i][0], 4, bad[i][1]);
}

static void refuses_numbers_that_are_not_u64(void **state)
{
    (void)state;
    static const char *const bad[][2] = {
        {"-4", "negative"},
        {"-0", "negative"},
        {"+4", "unsigned integer"},
        {"04", "leading zero"},
        {"00", "leading zero"},
        {"4.0", "fraction"},
        {"4.", "fraction"},
        {".4", "unsigned integer"},
        {"4e0", "exponent"},
        {"4E0", "exponent"},
        {"1e999", "exponent"},
        {"0x4", "expected"},
        {"18446744073709551616", "above 64 bits"},
        {"99999999999999999999999999", "above 64 bits"},
        {"\"4\"", "unsigned integer"},
        {"null", "unsigned integer"},
        {"true", "unsigned integer"},
        {"NaN", "unsigned integer"},
        {"Infinity", "unsigned integer"},
        {",", "unsigned integer"},
        {"4,", "unsigned integer"},
        {",4", "unsigned integer"},
        {"4 4", "expected"},
        {"\xef\xbc\x94", "unsigned integer"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char json[200];
        snprintf(json, sizeof json, ONE("\"dtype\":\"U8\",\"shape\":[%s],\"data_offsets\":[0,4]"),
                 bad[i][0]);
        st_bytes_refused(json, 4, bad[i][1]);
    }
}

static void refuses_bad_strings(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\\x41",
        "\\a",
        "\\'",
        "\\u12",
        "\\u123",
        "\\u 123",
        "\\u-123",
        "\\uD800",
        "\\uD800x",
        "\\uD800\\n",
        "\\uD800\\uD800",
        "\\uD800\\u0041",
        "\\uDC00",
        "\\uD83D\\u12",
        "\\U0041",
        "\n",
        "\t",
        "\r",
        "\x01",
        "\x1f",
        "\\u0000",
        "a\\u0000b",
        "\\",
        "\x80",
        "\xff",
        "\xc0\xaf",
        "\xc1\xbf",
        "\xe0\x80\xaf",
        "\xe0\x9f\xbf",
        "\xed\xa0\x80",
        "\xed\xbf\xbf",
        "\xf0\x80\x80\xaf",
        "\xf4\x90\x80\x80",
        "\xf5\x80\x80\x80",
        "\xc3",
        "\xe2\x82",
        "\xf0\x9f\x98",
        "\xe2\x28\xa1",
        "\xf0\x28\x8c\xbc",
        "\xfe",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char json[200];
        snprintf(json, sizeof json, "{\"%s\":{" U8_4 "}}", bad[i]);
        st_bytes_refused(json, 4, "at byte ");
        snprintf(json, sizeof json, "{\"__metadata__\":{\"a\":\"%s\"}}", bad[i]);
        st_bytes_refused(json, 0, "at byte ");
    }
    static const char with_nul[] = "{\"a\0b\":{" U8_4 "}}";
    st_bytes_refused_n(with_nul, sizeof with_nul - 1, 4, "control character");
    st_bytes_refused("{\"t", 0, "does not end");
    st_bytes_refused("{\"t\\", 0, "does not end");
    st_bytes_refused("{\"t\\u00", 0, "hexadecimal");
}

static void refuses_nul_padding(void **state)
{
    (void)state;
    static const char json[] = "{\"t\":{" U8_4 "}}\0\0\0\0";
    st_bytes_refused_n(json, sizeof json - 1, 4, "padded with NUL");
}

static void refuses_duplicate_names(void **state)
{
    (void)state;
    st_bytes_refused("{\"t\":{" U8_4 "},\"t\":{" U8_4 "}}", 4, "tensor t appears twice");
    st_bytes_refused("{\"t\":{" U8_4 "},"
                     "\"\\u0074\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,8]}}",
                     8, "tensor t appears twice");
    /* Empty tensors at one place hide from the check of the offsets. */
    st_bytes_refused("{\"e\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},"
                     "\"e\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}",
                     0, "tensor e appears twice");
    st_bytes_refused("{\"__metadata__\":{\"a\":\"1\",\"b\":\"2\",\"a\":\"1\"}}", 0,
                     "\"a\" appears twice");
    st_bytes_refused("{\"__metadata__\":{},\"__metadata__\":{}}", 0, "__metadata__ appears twice");
}

static void names_the_byte(void **state)
{
    (void)state;
    st_bytes_refused("{\"t\":x}", 0, "at byte 13:"); /* 8 + the fifth character */
    st_bytes_refused("{", 0, "at byte 9:|the header ends here");
}

static void prints_hostile_names_safely(void **state)
{
    (void)state;
    st_bytes_refused("{\"\\u001b[2J\\n\\u009b\\u007f\":{}}", 0, "tensor ?[2J???: ");
    char *json = malloc(100000);
    assert_non_null(json);
    memset(json, 'n', 100000);
    memcpy(json, "{\"", 2);
    memcpy(json + 90000, "\":{}}", 6);
    st_bytes_refused(json, 0, "nnn...|dtype is missing");
    free(json);
}

/* Header bombs: many tensors over one range are refused in time linear in the header. */
static void refuses_many_tensors_over_one_range(void **state)
{
    (void)state;
    enum { N = 100000, ROOM = N * 80 };
    char *json = malloc(ROOM);
    assert_non_null(json);
    size_t n = 0;
    json[n++] = '{';
    for (int i = 0; i < N; i++)
        n += (size_t)snprintf(
            json + n, ROOM - n,
            "%s\"t%d\":{\"dtype\":\"F32\",\"shape\":[200,200],\"data_offsets\":[0,160000]}",
            i ? "," : "", i);
    json[n++] = '}';
    st_bytes_refused_n(json, n, 160000, "without holes or overlaps");
    free(json);
}

static void parses_200000_tensors_in_well_under_a_second(void **state)
{
    (void)state;
    enum { N = 200000, ROOM = N * 120 };
    char *json = malloc(ROOM), name[64];
    assert_non_null(json);
    size_t n = 0;
    json[n++] = '{';
    for (int i = 0; i < N; i++) /* in the reverse order of their data: the sort has to work */
        n += (size_t)snprintf(
            json + n, ROOM - n,
            "%s\"model.layers.%d.mlp.experts.%d.up_proj.weight\":{\"dtype\":\"U8\",\"shape\":[1],"
            "\"data_offsets\":[%d,%d]}",
            i ? "," : "", i / 1000, i % 1000, N - 1 - i, N - i);
    json[n++] = '}';
    struct bp_st *st;
    unsigned char *bytes;
    struct bp_err err;
    struct timespec from, to;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    assert_int_equal(st_bytes_parse(json, n, N, &st, &bytes, &err), BP_OK);
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
    double seconds = (double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec);
    print_message("parsed %d tensors in %.3f s\n", N, seconds);
    assert_true(seconds < 5); /* sanitizers and slow machines; the real figure is 0.2 */
    assert_int_equal(st->n_tensors, N);
    for (int i = 0; i < N; i += 777) {
        snprintf(name, sizeof name, "model.layers.%d.mlp.experts.%d.up_proj.weight", i / 1000,
                 i % 1000);
        const struct bp_st_tensor *t = bp_st_find(st, name);
        assert_non_null(t);
        assert_int_equal(t->begin, N - 1 - i);
    }
    assert_null(bp_st_find(st, "model.layers.200.mlp.experts.0.up_proj.weight"));
    bp_st_close(st);
    free(bytes);
    free(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepts_empty_header_and_whitespace_around),
        cmocka_unit_test(accepts_fields_in_any_order),
        cmocka_unit_test(accepts_scalars_and_empty_tensors),
        cmocka_unit_test(accepts_eight_dimensions_and_refuses_nine),
        cmocka_unit_test(decodes_escapes),
        cmocka_unit_test(refuses_wrong_shapes_of_the_object),
        cmocka_unit_test(refuses_wrong_fields),
        cmocka_unit_test(refuses_numbers_that_are_not_u64),
        cmocka_unit_test(refuses_bad_strings),
        cmocka_unit_test(refuses_nul_padding),
        cmocka_unit_test(refuses_duplicate_names),
        cmocka_unit_test(names_the_byte),
        cmocka_unit_test(prints_hostile_names_safely),
        cmocka_unit_test(refuses_many_tensors_over_one_range),
        cmocka_unit_test(parses_200000_tensors_in_well_under_a_second),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
