/* The container: coverage of the data, sizes, files that are something else, values, the writer. */
#include "st_bytes.h"

#include <math.h>

static void refused_bytes(const void *bytes, size_t n, const char *words)
{
    struct bp_st *st;
    struct bp_err err = {""};
    /* A copy of the exact size, so that a sanitizer sees a byte read too many. */
    unsigned char *copy = malloc(n ? n : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, n);
    assert_int_equal(bp_st_parse(copy, n, "x.safetensors", &st, &err), BP_ERR_INPUT);
    assert_null(st);
    free(copy);
    if (strncmp(err.text, "x.safetensors: ", 15) != 0 || !strstr(err.text, words))
        fail_msg("'%s' is not in: %s", words, err.text);
}

static void refused_file(const char *path, enum bp_status wanted, const char *words)
{
    struct bp_st *st;
    struct bp_err err = {""};
    enum bp_status status = bp_st_open(path, &st, &err);
    assert_null(st);
    if (status != wanted || strncmp(err.text, path, strlen(path)) != 0 || !strstr(err.text, words))
        fail_msg("status %d: %s", status, err.text);
}

/* --- the bytes in front --- */

static void refuses_short_and_wild_lengths(void **state)
{
    (void)state;
    refused_bytes("", 0, "only 0 bytes");
    refused_bytes("\x02\0\0\0\0\0\0", 7, "only 7 bytes");
    refused_bytes("\x02\0\0\0\0\0\0\0", 8, "truncated inside its header, at least 2 bytes missing");
    refused_bytes("\x3c\xff\xff\xff\xff\xff\xff\xff", 8, "the limit is 100,000,000");
    refused_bytes("\xf8\xff\xff\xff\xff\xff\xff\xff", 8, "the limit is 100,000,000");
    refused_bytes("\xff\xff\xff\xff\xff\xff\xff\xff{}", 10, "the limit is 100,000,000");
    refused_bytes("\x01\0\0\0\0\0\0\0\xff", 9, "at byte 8");
    refused_bytes("\x01\0\0\0\0\0\0\0{", 9, "the header ends here");
    refused_bytes("\0\0\0\0\0\0\0\0", 8, "the header ends here");
    refused_bytes("\x01\xe1\xf5\x05\0\0\0\0{}", 10, "the limit is"); /* 100,000,001 */
    refused_bytes("\x00\xe1\xf5\x05\0\0\0\0{}", 10, "99,999,998 bytes missing");
}

static void names_other_kinds_of_files(void **state)
{
    (void)state;
    static const char pointer[] = "version https://git-lfs.github.com/spec/v1\n"
                                  "oid sha256:10f06d595b1d82138e9c35bb3f56a2fad82211c7cb0fd2c3dee8f"
                                  "16bcc74bc69\nsize 9798096920\n";
    refused_bytes(pointer, sizeof pointer - 1,
                  "is a Git LFS pointer (real size 9,798,096,920 bytes); run git lfs pull");
    refused_bytes("version https://git-lfs", 23, "is a Git LFS pointer; run git lfs pull");
    refused_bytes("version https://git-lfs\nsize 99999999999999999999999", 52,
                  "is a Git LFS pointer; run git lfs pull");
    refused_bytes("PK\003\004xxxxxxxxxxxx", 16, "zip archive");
    refused_bytes("GGUFxxxxxxxxxxxx", 16, "GGUF");
    refused_bytes("<!DOCTYPE html><html>", 21, "not a safetensors file");
}

/* --- coverage and sizes: the rules of the reference, and how other C readers broke --- */

static void refuses_wrong_coverage(void **state)
{
    (void)state;
    static const char *const two = "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[%s]},"
                                   "\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[%s]}}";
    static const char *const bad[][3] = {
        {"4,8", "8,12", "tensor a begins at byte 4 of the data instead of 0"},
        {"0,4", "5,9", "tensor b begins at byte 5 of the data instead of 4"},
        {"0,4", "3,7", "tensor b begins at byte 3 of the data instead of 4"},
        {"0,4", "0,4", "tensor b begins at byte 0 of the data instead of 4"},
        {"0,4", "18446744073709551612,18446744073709551615", "tensor b begins"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char json[300];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(json, sizeof json, two, bad[i][0], bad[i][1]);
#pragma GCC diagnostic pop
        st_bytes_refused(json, 12, bad[i][2]);
    }
}

static void reports_missing_and_trailing_bytes(void **state)
{
    (void)state;
    static const char *const json =
        "{\"test\":{\"dtype\":\"I32\",\"shape\":[2,2],\"data_offsets\":[0,16]}}";
    st_bytes_accepted(json, 16, 1);
    st_bytes_refused(json, 14, "truncated, 2 bytes missing; download it again");
    st_bytes_refused(json, 0, "truncated, 16 bytes missing");
    st_bytes_refused(json, 46, "30 bytes after the last tensor");
    st_bytes_refused("{}", 1, "1 bytes after the last tensor");
    st_bytes_refused("{\"t\":{\"dtype\":\"U8\",\"shape\":[18446744073709551615],"
                     "\"data_offsets\":[0,18446744073709551615]}}",
                     4, "overflows");
    st_bytes_refused("{\"t\":{\"dtype\":\"U8\",\"shape\":[2000000000000000000],"
                     "\"data_offsets\":[0,2000000000000000000]}}",
                     4, "truncated, 1,999,999,999,999,999,996 bytes missing");
}

static void refuses_sizes_that_do_not_fit_the_shape(void **state)
{
    (void)state;
    static const struct {
        const char *dtype, *shape, *offsets, *words;
    } bad[] = {
        {"I32", "2,2", "0,4", "tensor t needs 16 bytes by its shape and dtype but"},
        {"I32", "2,0", "0,16", "tensor t needs 0 bytes"},
        {"I32", "", "0,0", "tensor t needs 4 bytes"},
        {"I32", "2,18446744073709551614", "0,16", "tensor t has a shape whose product overflows"},
        {"I32", "2,9223372036854775807", "0,16", "tensor t has a size that overflows"},
        /* Products that wrap to exactly 0 looked like empty tensors to other readers. */
        {"I32", "4294967296,4294967296", "0,0", "product overflows"},
        {"U8", "4294967296,4294967296", "0,16", "product overflows"},
        {"F64", "2305843009213693952", "0,0", "size that overflows"},
        {"U8", "9223372036854775808,2", "0,0", "product overflows"},
        {"U8", "9223372036854775808,2,0", "0,0", "product overflows"},
        {"F4", "3", "0,1", "does not fill whole bytes"},
        {"F4", "3", "0,2", "does not fill whole bytes"},
        {"F6_E2M3", "2", "0,1", "does not fill whole bytes"},
        {"F6_E3M2", "4", "0,4", "needs 3 bytes"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char json[200];
        snprintf(json, sizeof json,
                 "{\"t\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%s]}}", bad[i].dtype,
                 bad[i].shape, bad[i].offsets);
        st_bytes_refused(json, 16, bad[i].words);
    }
}

static void knows_every_dtype(void **state)
{
    (void)state;
    for (int i = 0; i < BP_N_DTYPES; i++) {
        char json[200];
        enum bp_dtype dtype = BP_N_DTYPES;
        assert_true(bp_dtype_parse(bp_dtype_name((enum bp_dtype)i), &dtype));
        assert_int_equal(dtype, i);
        snprintf(json, sizeof json,
                 "{\"t\":{\"dtype\":\"%s\",\"shape\":[8],\"data_offsets\":[0,%u]}}",
                 bp_dtype_name(dtype), bp_dtype_bits(dtype));
        st_bytes_accepted(json, bp_dtype_bits(dtype), 1);
    }
    enum bp_dtype kept = BP_DTYPE_F32;
    assert_false(bp_dtype_parse("F128", &kept));
    assert_int_equal(kept, BP_DTYPE_F32);
    assert_true(bp_dtype_is_weight(BP_DTYPE_BF16));
    assert_true(bp_dtype_is_weight(BP_DTYPE_F16));
    assert_true(bp_dtype_is_weight(BP_DTYPE_F32));
    assert_false(bp_dtype_is_weight(BP_DTYPE_F64));
    assert_false(bp_dtype_is_weight(BP_DTYPE_F8_E4M3));
}

static void orders_tensors_by_their_data(void **state)
{
    (void)state;
    struct bp_st *st;
    unsigned char *bytes;
    struct bp_err err;
    static const char json[] = "{\"late\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[2,4]},"
                               "\"early\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}";
    assert_int_equal(st_bytes_parse(json, sizeof json - 1, 4, &st, &bytes, &err), BP_OK);
    assert_string_equal(st->tensors[0].name, "early");
    assert_string_equal(st->tensors[1].name, "late");
    assert_ptr_equal(bp_st_find(st, "late"), &st->tensors[1]);
    assert_null(bp_st_find(st, "never"));
    assert_null(bp_st_metadata(st, "never"));
    assert_int_equal(st->header_bytes, sizeof json - 1);
    assert_ptr_equal(bp_st_data(st, &st->tensors[1]), bytes + 8 + sizeof json - 1 + 2);
    bp_st_close(st);
    free(bytes);
}

/* --- values --- */

/* What a binary16 number is, by its definition and without bit tricks. */
static double half_value(uint16_t h)
{
    int exponent = h >> 10 & 31, mantissa = h & 1023;
    double value = exponent == 0    ? ldexp(mantissa, -24)
                   : exponent == 31 ? (mantissa ? NAN : INFINITY)
                                    : ldexp(1024 + mantissa, exponent - 25);
    return h & 0x8000 ? -value : value;
}

/* All 65536 values of F16 and BF16, at an odd address. */
static void widens_every_16_bit_value_exactly(void **state)
{
    (void)state;
    enum { N = 65536 };
    static const enum bp_dtype dtypes[] = {BP_DTYPE_F16, BP_DTYPE_BF16};
    float *out = malloc(N * sizeof *out);
    assert_non_null(out);
    for (int d = 0; d < 2; d++) {
        char json[200];
        struct bp_st *st;
        unsigned char *bytes;
        struct bp_err err;
        int n = snprintf(json, sizeof json,
                         "{\"odd\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"t\":{"
                         "\"dtype\":\"%s\",\"shape\":[256,256],\"data_offsets\":[1,131073]}}",
                         bp_dtype_name(dtypes[d]));
        if (n % 2) /* 8 + n + 1 shall be odd */
            json[n++] = ' ';
        assert_int_equal(st_bytes_parse(json, (size_t)n, 131073, &st, &bytes, &err), BP_OK);
        for (uint32_t h = 0; h < N; h++) {
            uint16_t half = (uint16_t)h;
            memcpy(bytes + 8 + n + 1 + 2 * h, &half, 2);
        }
        const struct bp_st_tensor *t = bp_st_find(st, "t");
        assert_int_equal((uintptr_t)bp_st_data(st, t) % 2, 1);
        bp_st_read_f32(st, t, 0, N, out);
        for (uint32_t h = 0; h < N; h++) {
            uint32_t bits;
            memcpy(&bits, &out[h], 4);
            assert_int_equal(bits >> 31, h >> 15);
            if (d == 1)
                assert_int_equal(bits, h << 16);
            else if (isnan(half_value((uint16_t)h)))
                assert_true(isnan(out[h]));
            else
                assert_true((double)out[h] == half_value((uint16_t)h));
        }
        bp_st_read_f32(st, t, 12345, 3, out);
        assert_true(d == 1 || (double)out[2] == half_value(12347));
        bp_st_close(st);
        free(bytes);
    }
    free(out);
}

static void reads_unaligned_f32(void **state)
{
    (void)state;
    struct bp_st *st;
    unsigned char *bytes;
    struct bp_err err;
    static const float values[3] = {1.5f, -2.25f, 3e-41f};
    float out[2];
    static const char json[] = "{\"t\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]}}";
    assert_int_equal(st_bytes_parse(json, sizeof json - 1, 12, &st, &bytes, &err), BP_OK);
    memcpy(bytes + 8 + sizeof json - 1, values, sizeof values);
    bp_st_read_f32(st, &st->tensors[0], 1, 2, out);
    assert_memory_equal(out, values + 1, sizeof out);
    bp_st_close(st);
    free(bytes);
}

/* --- files --- */

static void refuses_what_is_not_a_file(void **state)
{
    (void)state;
    char *dir = test_dir_make();
    char *path = test_dir_join(dir, "model.safetensors");
    refused_file(dir, BP_ERR_INPUT, "is a folder");
    refused_file(path, BP_ERR_INPUT, "No such file");
    assert_int_equal(mkfifo(path, 0666), 0);
    refused_file(path, BP_ERR_INPUT, "not a regular file");
    assert_int_equal(remove(path), 0);
    test_dir_write_text(dir, "model.safetensors", "");
    refused_file(path, BP_ERR_INPUT, "only 0 bytes");
    if (geteuid() != 0) {
        assert_int_equal(chmod(path, 0), 0);
        refused_file(path, BP_ERR_FAILED, "Permission denied");
    }
    free(path);
    test_dir_remove(dir);
}

static void reads_the_real_lfs_pointer(void **state)
{
    (void)state;
    char *path = test_shared("data/hf-index/lfs-pointer-as-safetensors.txt");
    refused_file(path, BP_ERR_INPUT,
                 "is a Git LFS pointer (real size 9,798,096,920 bytes); run git lfs pull");
    free(path);
}

static void opens_a_real_file(void **state)
{
    (void)state;
    char *path = test_shared("data/story-656K/model.safetensors");
    struct bp_st *st;
    struct bp_err err;
    float value;
    assert_int_equal(bp_st_open(path, &st, &err), BP_OK);
    assert_int_equal(st->n_tensors, 20);
    assert_string_equal(bp_st_metadata(st, "format"), "pt");
    const struct bp_st_tensor *t = bp_st_find(st, "model.layers.0.mlp.down_proj.weight");
    bp_st_read_f32(st, t, 100, 1, &value);
    assert_true(value == -0.0625f); /* the value that the model's own project asserts */
    bp_st_close(st);
    free(path);
}

/* --- writing --- */

static void build(const struct bp_st_spec *specs, size_t n, const struct bp_st_pair *pairs,
                  size_t n_pairs, unsigned char **out, size_t *n_out, uint64_t *offsets,
                  uint64_t *length)
{
    struct bp_err err;
    if (bp_st_build_header(specs, n, pairs, n_pairs, out, n_out, offsets, length, &err) != BP_OK)
        fail_msg("%s", err.text);
    assert_int_equal(*n_out % 64, 0);
}

static void opens_sparse_files_larger_than_memory(void **state)
{
    (void)state;
    char *dir = test_dir_make(), *path = test_dir_join(dir, "big.safetensors");
    const struct bp_st_spec spec = {"w", BP_DTYPE_BF16, 2, {1ull << 20, 1ull << 19}}; /* 1 TiB */
    unsigned char *head;
    size_t n;
    uint64_t offset, length;
    struct bp_st *st;
    struct bp_err err;
    struct stat info;
    float last = 1;
    build(&spec, 1, NULL, 0, &head, &n, &offset, &length);
    assert_int_equal(offset, n);
    assert_int_equal(length, n + (1ull << 40));
    int fd = open(path, O_WRONLY | O_CREAT, 0666);
    if (ftruncate(fd, (off_t)length) != 0) { /* a file system of smaller files */
        close(fd);
        free(head);
        free(path);
        test_dir_remove(dir);
        skip();
    }
    assert_int_equal(write(fd, head, n), n);
    close(fd);
    assert_int_equal(bp_st_open(path, &st, &err), BP_OK);
    bp_st_read_f32(st, &st->tensors[0], (1ull << 39) - 1, 1, &last);
    assert_true(last == 0);
    bp_st_close(st);
    assert_int_equal(stat(path, &info), 0);
    assert_true(info.st_blocks < 2048);
    free(head);
    free(path);
    test_dir_remove(dir);
}

static void writer_refuses_what_no_reader_takes(void **state)
{
    (void)state;
    struct bp_err err;
    unsigned char *out;
    size_t n;
    static const struct {
        struct bp_st_spec specs[2];
        const char *words;
    } bad[] = {
        {{{"__metadata__", BP_DTYPE_U8, 1, {1}}, {"a", BP_DTYPE_U8, 1, {1}}}, "__metadata__"},
        {{{"a", BP_DTYPE_U8, 1, {1}}, {"a", BP_DTYPE_U8, 1, {2}}}, "two tensors are named a"},
        {{{"\xff", BP_DTYPE_U8, 1, {1}}, {"a", BP_DTYPE_U8, 1, {2}}}, "not UTF-8"},
        {{{"a", BP_DTYPE_U8, 9, {1}}, {"b", BP_DTYPE_U8, 1, {2}}}, "more than 8 dimensions"},
        {{{"a", BP_DTYPE_F4, 1, {1}}, {"b", BP_DTYPE_U8, 1, {2}}}, "whole bytes"},
        {{{"a", BP_DTYPE_F32, 2, {1ull << 40, 1ull << 40}}, {"b", BP_DTYPE_U8, 1, {2}}},
         "overflows"},
        {{{"a", BP_DTYPE_U8, 1, {1ull << 60}}, {"b", BP_DTYPE_U8, 1, {1ull << 63}}}, "overflows"},
        {{{"a", BP_DTYPE_U8, 1, {1ull << 60}}, {"b", BP_DTYPE_F4, 1, {1ull << 61}}},
         NULL}, /* the largest that fit */
        {{{"a", BP_DTYPE_U8, 1, {1ull << 60}}, {"b", BP_DTYPE_U8, 2, {7, 1ull << 58}}}, NULL},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        enum bp_status status =
            bp_st_build_header(bad[i].specs, 2, NULL, 0, &out, &n, NULL, NULL, &err);
        if (!bad[i].words) {
            assert_int_equal(status, BP_OK);
            free(out);
            continue;
        }
        assert_int_equal(status, BP_ERR_INPUT);
        assert_null(out);
        assert_non_null(strstr(err.text, bad[i].words));
    }
    const struct bp_st_pair twice[] = {{(char[]){"k"}, (char[]){"1"}},
                                       {(char[]){"k"}, (char[]){"2"}}};
    const struct bp_st_pair binary = {(char[]){"k"}, (char[]){"\xc3"}};
    assert_int_equal(bp_st_build_header(NULL, 0, twice, 2, &out, &n, NULL, NULL, &err),
                     BP_ERR_INPUT);
    assert_int_equal(bp_st_build_header(NULL, 0, &binary, 1, &out, &n, NULL, NULL, &err),
                     BP_ERR_INPUT);
}

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

/* Random text of up to 20 characters, awkward ones among them. */
static void random_text(uint64_t *seed, char *out)
{
    static const char *const pieces[] = {
        "a", "weight",   ".", "\"", "\\", "\n", "\x01", "\x7f",
        "/", "\xc3\xa9", " ", "{",  "7",  "\t", "\x1f", "\xf0\x9f\x98\x80"};
    size_t n = next_random(seed) % 20;
    *out = '\0';
    for (size_t i = 0; i < n; i++)
        strcat(out, pieces[next_random(seed) % (sizeof pieces / sizeof *pieces)]);
}

static void what_is_written_reads_back_equal(void **state)
{
    (void)state;
    enum { MAX = 12, TEXT = 120 };
    uint64_t seed = 20240607;
    char keys[3][8] = {"a", "k\n\xc3\xa9", ""};
    for (int round = 0; round < 2000; round++) {
        char names[MAX][TEXT], values[MAX][TEXT];
        struct bp_st_spec specs[MAX];
        struct bp_st_pair pairs[MAX];
        uint64_t offsets[MAX], length;
        size_t n_specs = next_random(&seed) % MAX, n_pairs = next_random(&seed) % 3, n;
        for (size_t i = 0; i < n_specs; i++) {
            random_text(&seed, names[i]);
            snprintf(names[i] + strlen(names[i]), 8, "#%zu", i);
            specs[i] = (struct bp_st_spec){.name = names[i],
                                           .dtype = next_random(&seed) % BP_N_DTYPES,
                                           .n_dims = (unsigned)(next_random(&seed) % 9)};
            for (unsigned d = 0; d < specs[i].n_dims; d++)
                specs[i].shape[d] =
                    d == 0 ? next_random(&seed) % 5 * 4 : 1 + next_random(&seed) % 2;
            if (specs[i].n_dims == 0) /* a scalar of 4 bits fills no byte */
                specs[i].dtype = BP_DTYPE_F32;
        }
        for (size_t i = 0; i < n_pairs; i++) {
            random_text(&seed, values[i]);
            pairs[i] = (struct bp_st_pair){keys[i], values[i]};
        }
        unsigned char *head;
        build(specs, n_specs, pairs, n_pairs, &head, &n, offsets, &length);
        unsigned char *bytes = calloc(1, length);
        assert_non_null(bytes);
        memcpy(bytes, head, n);
        struct bp_st *st;
        struct bp_err err;
        if (bp_st_parse(bytes, length, "x", &st, &err) != BP_OK)
            fail_msg("round %d: %s", round, err.text);
        assert_int_equal(st->n_tensors, n_specs);
        assert_int_equal(st->n_metadata, n_pairs);
        for (size_t i = 0; i < n_specs; i++) {
            const struct bp_st_tensor *t = bp_st_find(st, names[i]);
            assert_non_null(t);
            assert_int_equal(t->dtype, specs[i].dtype);
            assert_int_equal(t->n_dims, specs[i].n_dims);
            assert_memory_equal(t->shape, specs[i].shape, t->n_dims * sizeof *t->shape);
            assert_int_equal(n + t->begin, offsets[i]);
        }
        for (size_t i = 0; i < n_pairs; i++)
            assert_string_equal(st->metadata[i].value, values[i]);
        bp_st_close(st);
        free(bytes);
        free(head);
    }
}

/* Whatever one byte becomes: an error or a file, never a crash, and a file's tensors lie inside. */
static void any_flipped_byte_errors_or_parses(void **state)
{
    (void)state;
    const struct bp_st_spec specs[] = {{"a.weight", BP_DTYPE_F16, 2, {3, 5}},
                                       {"b", BP_DTYPE_F32, 0, {0}},
                                       {"c\n\xc3\xa9", BP_DTYPE_I64, 3, {1, 0, 7}}};
    const struct bp_st_pair pair = {(char[]){"format"}, (char[]){"pt"}};
    unsigned char *head;
    size_t n, parsed = 0;
    uint64_t length;
    build(specs, 3, &pair, 1, &head, &n, NULL, &length);
    for (size_t i = 0; i < n; i++)
        for (int value = 0; value < 256; value++) {
            unsigned char *bytes = calloc(1, length); /* exact, for the sanitizer */
            assert_non_null(bytes);
            memcpy(bytes, head, n);
            bytes[i] = (unsigned char)value;
            struct bp_st *st;
            struct bp_err err;
            enum bp_status status = bp_st_parse(bytes, length, "x", &st, &err);
            assert_true(status == BP_OK || status == BP_ERR_INPUT);
            for (size_t t = 0; st && t < st->n_tensors; t++)
                assert_true(st->tensors[t].begin <= st->data_bytes &&
                            st->tensors[t].n_bytes <= st->data_bytes - st->tensors[t].begin);
            parsed += status == BP_OK;
            bp_st_close(st);
            free(bytes);
        }
    assert_true(parsed > n); /* at least the unchanged ones */
    free(head);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_short_and_wild_lengths),
        cmocka_unit_test(names_other_kinds_of_files),
        cmocka_unit_test(refuses_wrong_coverage),
        cmocka_unit_test(reports_missing_and_trailing_bytes),
        cmocka_unit_test(refuses_sizes_that_do_not_fit_the_shape),
        cmocka_unit_test(knows_every_dtype),
        cmocka_unit_test(orders_tensors_by_their_data),
        cmocka_unit_test(widens_every_16_bit_value_exactly),
        cmocka_unit_test(reads_unaligned_f32),
        cmocka_unit_test(refuses_what_is_not_a_file),
        cmocka_unit_test(reads_the_real_lfs_pointer),
        cmocka_unit_test(opens_a_real_file),
        cmocka_unit_test(opens_sparse_files_larger_than_memory),
        cmocka_unit_test(writer_refuses_what_no_reader_takes),
        cmocka_unit_test(what_is_written_reads_back_equal),
        cmocka_unit_test(any_flipped_byte_errors_or_parses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
