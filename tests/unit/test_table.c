/* The error table: created, filled and read again; what its fingerprint and its "same work" see;
 * files that are refused, each with a sentence; files that are poor but good. */
#include "support.h"

#include <dirent.h>

#include "engine/safetensors.h"

static char *folder, *path;

static int make_folder(void **state)
{
    (void)state;
    folder = test_dir_make();
    path = test_dir_join(folder, "t.safetensors");
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    test_dir_remove(folder);
    free(path);
    return 0;
}

static size_t files_in_folder(void)
{
    size_t n = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));)
        n += e->d_name[0] != '.' || strlen(e->d_name) > 2;
    closedir(dir);
    return n;
}

static const struct support_shape SHAPES[] = {{16, 32}, {33, 65}, {1, 100}};
enum { N = 3, C = 4 };

static struct bp_table *usual(void)
{
    const struct bp_candidate candidates[C] = {
        support_candidate("nf2:u2:bf16:16:16", 4), support_candidate("nf3:u4:fp16:32:64", 4),
        support_candidate("nf3:u4:fp16:32:64", 8), support_candidate("nf4:u8:fp32:64:256", 0)};
    struct bp_table *t = support_table(SHAPES, N, candidates, C);
    support_numbers(t, 1);
    return t;
}

static struct bp_table *open_table(void)
{
    struct bp_err err = {""};
    struct bp_table *t;
    if (bp_table_open(path, &t, &err))
        fail_msg("%s", err.text);
    return t;
}

static bool looks_like_a_table(void)
{
    bool yes;
    assert_int_equal(bp_table_looks_like(path, &yes, NULL), BP_OK);
    return yes;
}

/* --- creating, filling, reading --- */

static void a_new_table_has_storage_by_eq_3_and_nothing_measured(void **state)
{
    (void)state;
    struct bp_table *want = usual();
    assert_int_equal(bp_table_create(want, path, false, NULL), BP_OK);
    assert_true(looks_like_a_table());
    struct bp_table *t = open_table();
    assert_int_equal(t->n_matrices, N);
    assert_int_equal(t->n_candidates, C);
    /* 33 * 65 = 2145 elements of 3 bits, 68 blocks of 32 with 4 bits, 2 groups of 64 with 16. */
    assert_int_equal(t->storage[1 * C + 1], 2145 * 3 + 68 * 4 + 2 * 16);
    assert_int_equal(t->storage[0 * C + 0], 512 * 2 + 32 * 2 + 2 * 16);
    assert_int_equal(t->storage[2 * C + 3], 100 * 4 + 2 * 8 + 32);
    for (size_t cell = 0; cell < N * C; cell++) {
        assert_true(isnan(t->error[cell]));
        assert_int_equal(t->iterations[cell], 0);
        assert_int_equal(t->storage[cell], want->storage[cell]);
    }
    for (size_t i = 0; i < N; i++)
        assert_true(isnan(t->norm[i]) && isnan(t->baseline_error[2 * i]));
    assert_int_equal(bp_table_measured(t), 0);
    assert_int_equal(bp_table_params(t), 512 + 2145 + 100);
    bp_table_close(t);
    bp_table_close(want);
    assert_int_equal(files_in_folder(), 1);
}

static void everything_said_about_a_table_is_read_again(void **state)
{
    (void)state;
    struct bp_table *want = usual();
    free(want->about.weighting);
    want->about.weighting = bp_strdup("fisher");
    free(want->about.weighting_source);
    want->about.weighting_source = bp_strdup("a \"quoted\" \\ f\303\274le");
    want->about.synthetic = true;
    want->about.seed = UINT64_C(1) << 53;
    want->matrices[2].layer = -1;
    assert_int_equal(bp_table_create(want, path, false, NULL), BP_OK);
    struct bp_table *t = open_table();
    for (size_t i = 0; i < N; i++) {
        const struct bp_table_matrix *a = &want->matrices[i], *b = &t->matrices[i];
        assert_string_equal(a->name, b->name);
        assert_string_equal(a->kind, b->kind);
        assert_string_equal(a->dtype, b->dtype);
        assert_int_equal(a->d, b->d);
        assert_int_equal(a->k, b->k);
    }
    for (size_t j = 0; j < C; j++)
        assert_true(bp_candidate_equal(&want->candidates[j], &t->candidates[j]));
    const struct bp_table_about *a = &want->about, *b = &t->about;
    assert_string_equal(a->weighting, b->weighting);
    assert_string_equal(a->weighting_source, b->weighting_source);
    assert_string_equal(a->model_name, b->model_name);
    assert_string_equal(a->model_fingerprint, b->model_fingerprint);
    assert_string_equal(a->effort, b->effort);
    assert_int_equal(a->params, b->params);
    assert_int_equal(a->params_outside, b->params_outside);
    assert_int_equal(a->bytes_outside, b->bytes_outside);
    assert_true(b->synthetic);
    assert_int_equal(a->iterations, b->iterations);
    assert_int_equal(a->oversampling, b->oversampling);
    assert_int_equal(a->power_iterations, b->power_iterations);
    assert_true(a->seed == b->seed);
    assert_int_equal(a->method_version, b->method_version);
    assert_int_equal(bp_table_same_work(t, want, NULL), BP_OK);
    bp_table_close(t);
    bp_table_close(want);
}

static void rows_are_put_one_by_one_and_counted(void **state)
{
    (void)state;
    static const size_t order[N] = {2, 0, 1};
    struct bp_table *want = usual();
    assert_int_equal(bp_table_create(want, path, false, NULL), BP_OK);
    for (size_t n = 0; n < N; n++) {
        size_t i = order[n];
        struct bp_table *t = open_table();
        struct bp_table_writer *writer;
        struct bp_table_row row = {want->error + i * C, want->iterations + i * C,
                                   want->baseline_error + i * 2, want->norm[i], NULL};
        assert_int_equal(bp_table_measured(t), n * C);
        assert_int_equal(bp_table_measured_in_row(t, i), 0);
        assert_int_equal(bp_table_writer_open(t, &writer, NULL), BP_OK);
        assert_int_equal(bp_table_writer_put(writer, i, &row, NULL), BP_OK);
        assert_int_equal(bp_table_writer_close(writer, NULL), BP_OK);
        bp_table_close(t);
        t = open_table();
        assert_int_equal(bp_table_measured_in_row(t, i), C);
        assert_int_equal(bp_table_measured(t), (n + 1) * C);
        bp_table_close(t);
    }
    struct bp_table *t = open_table();
    assert_memory_equal(t->error, want->error, N * C * sizeof(double));
    assert_memory_equal(t->iterations, want->iterations, N * C * sizeof(uint16_t));
    assert_memory_equal(t->norm, want->norm, N * sizeof(double));
    assert_memory_equal(t->baseline_error, want->baseline_error, 2 * N * sizeof(double));
    assert_memory_equal(t->storage, want->storage, N * C * sizeof(uint64_t));
    bp_table_close(t);
    bp_table_close(want);
}

static void an_existing_file_is_replaced_only_when_asked(void **state)
{
    (void)state;
    struct bp_table *want = usual();
    struct bp_err err = {""};
    size_t n_before, n_after;
    support_save(want, path);
    char *before = support_read(path, &n_before);
    assert_int_equal(bp_table_create(want, path, false, &err), BP_ERR_MISMATCH);
    char *after = support_read(path, &n_after);
    assert_int_equal(n_before, n_after);
    assert_memory_equal(before, after, n_before);
    assert_int_equal(bp_table_create(want, path, true, &err), BP_OK);
    struct bp_table *t = open_table();
    assert_int_equal(bp_table_measured(t), 0);
    assert_int_equal(files_in_folder(), 1);
    bp_table_close(t);
    bp_table_close(want);
    free(before);
    free(after);
}

static void a_matrix_beyond_62_bits_of_storage_is_refused_and_leaves_no_file(void **state)
{
    (void)state;
    const struct support_shape shapes[] = {{16, 16}, {INT32_MAX, INT32_MAX}};
    const struct bp_candidate c = support_candidate("nf4:u8:fp32:64:256", 0);
    struct bp_err err = {""};
    struct bp_table *t = support_table(shapes, 2, &c, 1);
    assert_int_equal(bp_table_create(t, path, false, &err), BP_ERR_INPUT);
    support_says(err.text, "k_proj.weight|too large");
    assert_int_equal(files_in_folder(), 0);
    bp_table_close(t);
}

static void a_folder_that_is_not_there_is_named(void **state)
{
    (void)state;
    struct bp_err err = {""};
    struct bp_table *want = usual();
    char *nowhere = test_dir_join(folder, "no/such/t.safetensors");
    assert_int_equal(bp_table_create(want, nowhere, false, &err), BP_ERR_FAILED);
    support_says(err.text, "no/such");
    free(nowhere);
    bp_table_close(want);
}

/* --- fingerprint --- */

static char *fingerprint_of(const struct bp_table *t)
{
    char *text = bp_table_fingerprint(t);
    assert_non_null(text);
    assert_int_equal(strlen(text), 5 + 32);
    assert_int_equal(strncmp(text, "xxh3:", 5), 0);
    return text;
}

static void check_changed(const struct bp_table *t, const char *before)
{
    char *now = fingerprint_of(t);
    assert_string_not_equal(now, before);
    free(now);
}

static void the_fingerprint_changes_with_every_cell_name_shape_and_candidate(void **state)
{
    (void)state;
    struct bp_table *t = usual();
    double *error = t->copies[SUPPORT_ERROR], *norm = t->copies[SUPPORT_NORM];
    uint64_t *storage = t->copies[SUPPORT_STORAGE];
    char *before = fingerprint_of(t);
    for (size_t cell = 0; cell < N * C; cell++) {
        double old = error[cell];
        error[cell] = nextafter(old, INFINITY);
        check_changed(t, before);
        error[cell] = NAN;
        check_changed(t, before);
        error[cell] = old;
        storage[cell]++;
        check_changed(t, before);
        storage[cell]--;
    }
    for (size_t i = 0; i < N; i++) {
        norm[i] = -norm[i];
        check_changed(t, before);
        norm[i] = -norm[i];
        t->matrices[i].d++;
        check_changed(t, before);
        t->matrices[i].d--;
        t->matrices[i].name[3]++;
        check_changed(t, before);
        t->matrices[i].name[3]--;
    }
    for (size_t j = 0; j < C; j++) {
        t->candidates[j].rank++;
        check_changed(t, before);
        t->candidates[j].rank--;
    }
    char *after = fingerprint_of(t);
    assert_string_equal(before, after);
    free(after);
    free(before);
    bp_table_close(t);
}

static void the_fingerprint_depends_on_neither_path_nor_file(void **state)
{
    (void)state;
    struct bp_table *by_hand = usual(), *t;
    char *expected = fingerprint_of(by_hand), *other = test_dir_join(folder, "other");
    support_save(by_hand, path);
    t = open_table();
    char *here = fingerprint_of(t);
    assert_string_equal(here, expected);
    bp_table_close(t);
    assert_int_equal(rename(path, other), 0);
    assert_int_equal(bp_table_open(other, &t, NULL), BP_OK);
    char *there = fingerprint_of(t);
    assert_string_equal(there, expected);
    bp_table_close(t);
    bp_table_close(by_hand);
    free(here);
    free(there);
    free(other);
    free(expected);
}

/* --- the same work --- */

static void set(char **slot, const char *text)
{
    free(*slot);
    *slot = bp_strdup(text);
}

/* Changes one thing in a table by hand; returns the words that must name it. NULL: no more. */
static const char *differ(struct bp_table *t, int what)
{
    struct bp_table_about *a = &t->about;
    switch (what) {
    case 0:
        set(&a->model_fingerprint, "xxh3:00000000000000000000000000000002");
        return "model fingerprint is xxh3:00000000000000000000000000000001|0002";
    case 1:
        set(&t->matrices[1].name, "another.weight");
        return "list of matrices|k_proj.weight|another.weight";
    case 2:
        t->matrices[2].k++;
        return "v_proj.weight has another shape";
    case 3:
        t->candidates[1].config.b0 = 4;
        return "grid|nf3:u4:fp16:32:64|nf4:u4:fp16:32:64";
    case 4:
        t->candidates[1].rank = 5;
        return "rank is 4|asked for is 5";
    case 5:
        set(&a->weighting, "fisher");
        return "weighting is none|asked for is fisher";
    case 6:
        set(&a->weighting_fingerprint, "xxh3:1");
        return "fingerprint of the weights is not stated|xxh3:1";
    case 7:
        set(&a->effort, "quick");
        return "effort is exact|quick";
    case 8:
        a->iterations = 1000;
        return "cap of the iterations is 7|1,000";
    case 9:
        a->seed = 4;
        return "seed is 3|is 4";
    case 10:
        a->oversampling++;
        return "oversampling is 10|is 11";
    case 11:
        a->power_iterations++;
        return "power iterations is 2|is 3";
    case 12:
        a->method_version++;
        return "version of the method is 1|is 2";
    default:
        return NULL;
    }
}

static void other_work_is_refused_by_name(void **state)
{
    (void)state;
    struct bp_table *want = usual();
    const char *words;
    assert_int_equal(bp_table_create(want, path, false, NULL), BP_OK);
    struct bp_table *have = open_table();
    int n = 0;
    for (int what = 0;; what++) {
        struct bp_err err = {""};
        struct bp_table *other = usual();
        words = differ(other, what);
        if (words) {
            assert_int_equal(bp_table_same_work(have, other, &err), BP_ERR_MISMATCH);
            support_says(err.text, words);
            support_says(err.text, path);
            n++;
        }
        bp_table_close(other);
        if (!words)
            break;
    }
    assert_int_equal(n, 13);
    bp_table_close(have);
    bp_table_close(want);
}

static void more_or_fewer_matrices_and_candidates_are_other_work(void **state)
{
    (void)state;
    struct bp_table *want = usual();
    assert_int_equal(bp_table_create(want, path, false, NULL), BP_OK);
    struct bp_table *have = open_table();
    struct bp_err err = {""};
    want->n_candidates--;
    assert_int_equal(bp_table_same_work(have, want, &err), BP_ERR_MISMATCH);
    support_says(err.text, "number of candidates is 4|is 3");
    want->n_candidates++;
    struct bp_table *fewer = support_table(SHAPES, 2, want->candidates, C);
    assert_int_equal(bp_table_same_work(have, fewer, &err), BP_ERR_MISMATCH);
    support_says(err.text, "number of matrices is 3|is 2");
    bp_table_close(fewer);
    bp_table_close(have);
    bp_table_close(want);
}

static void names_of_files_and_models_are_no_other_work(void **state)
{
    (void)state;
    struct bp_table *want = usual();
    assert_int_equal(bp_table_create(want, path, false, NULL), BP_OK);
    struct bp_table *have = open_table();
    set(&want->about.model_name, "renamed");
    set(&want->about.weighting_source, "moved");
    assert_int_equal(bp_table_same_work(have, want, NULL), BP_OK);
    bp_table_close(have);
    bp_table_close(want);
}

/* --- files by hand --- */

/* A table of two matrices and two candidates; each piece can be replaced before writing. */
struct piece {
    struct bp_st_spec spec;
    unsigned char bytes[32];
};

struct by_hand {
    const char *format, *version, *matrices, *candidates, *objective, *model, *method;
    struct piece pieces[5];
    size_t n_pieces;
    size_t extra_spaces; /* behind the header, so that the data is not aligned */
};

static const double ERRORS[4] = {4.0, 1.0, 8.0, 2.0};
static const uint64_t STORAGE[4] = {20, 30, 40, 60};

static struct by_hand minimal(void)
{
    struct by_hand h = {
        .matrices = "[{\"name\":\"model.layers.3.mlp.up_proj.weight\",\"shape\":[2,5]},"
                    "{\"name\":\"model.layers.11.self_attn.o_proj.weight\",\"shape\":[4,5]}]",
        .candidates = "[{\"label\":\"Q2_K\"},{\"label\":\"Q3_K\"}]",
        .n_pieces = 2,
    };
    h.pieces[0].spec = (struct bp_st_spec){"error", BP_DTYPE_F64, 2, {2, 2}};
    h.pieces[1].spec = (struct bp_st_spec){"storage", BP_DTYPE_U64, 2, {2, 2}};
    memcpy(h.pieces[0].bytes, ERRORS, sizeof ERRORS);
    memcpy(h.pieces[1].bytes, STORAGE, sizeof STORAGE);
    return h;
}

static void add_piece(struct by_hand *h, struct bp_st_spec spec, const void *bytes, size_t n)
{
    struct piece *p = &h->pieces[h->n_pieces++];
    p->spec = spec;
    memcpy(p->bytes, bytes, n);
}

static void write_by_hand(const struct by_hand *h)
{
    const char *const keys[7] = {"format",    "version", "matrices", "candidates",
                                 "objective", "model",   "method"};
    const char *const values[7] = {h->format,    h->version, h->matrices, h->candidates,
                                   h->objective, h->model,   h->method};
    struct bp_st_pair pairs[7];
    struct bp_st_spec specs[5];
    struct bp_err err = {""};
    unsigned char *header;
    size_t n_pairs = 0, n_header;
    uint64_t n_file;
    for (int i = 0; i < 7; i++)
        if (values[i])
            pairs[n_pairs++] = (struct bp_st_pair){bp_strdup(keys[i]), bp_strdup(values[i])};
    for (size_t i = 0; i < h->n_pieces; i++)
        specs[i] = h->pieces[i].spec;
    if (bp_st_build_header(specs, h->n_pieces, pairs, n_pairs, &header, &n_header, NULL, &n_file,
                           &err))
        fail_msg("%s", err.text);
    unsigned char *file = calloc(1, n_file + h->extra_spaces), *at = file + n_header;
    assert_non_null(file);
    memcpy(file, header, n_header);
    memset(at, ' ', h->extra_spaces);
    at += h->extra_spaces;
    uint64_t length = n_header - 8 + h->extra_spaces;
    memcpy(file, &length, sizeof length);
    for (size_t i = 0; i < h->n_pieces; i++) {
        size_t n = bp_dtype_bits(specs[i].dtype) / 8;
        for (unsigned d = 0; d < specs[i].n_dims; d++)
            n *= specs[i].shape[d];
        memcpy(at, h->pieces[i].bytes, n < 32 ? n : 32);
        at += n;
    }
    test_dir_write(folder, "t.safetensors", file, n_file + h->extra_spaces);
    free(file);
    free(header);
    for (size_t i = 0; i < n_pairs; i++) {
        free(pairs[i].key);
        free(pairs[i].value);
    }
}

static void refused(const struct by_hand *h, const char *words)
{
    struct bp_err err = {""};
    struct bp_table *t;
    write_by_hand(h);
    if (bp_table_open(path, &t, &err) != BP_ERR_INPUT)
        fail_msg("not refused as input: %s", words);
    assert_null(t);
    assert_int_equal(strncmp(err.text, path, strlen(path)), 0);
    assert_null(strpbrk(err.text, "\n\r\033"));
    support_says(err.text, words);
}

static void a_table_with_the_four_required_parts_opens(void **state)
{
    (void)state;
    struct by_hand h = minimal();
    write_by_hand(&h);
    struct bp_table *t = open_table();
    assert_memory_equal(t->error, ERRORS, sizeof ERRORS);
    assert_memory_equal(t->storage, STORAGE, sizeof STORAGE);
    assert_null(t->norm);
    assert_null(t->iterations);
    assert_null(t->baseline_error);
    assert_int_equal(t->matrices[0].layer, 3);
    assert_string_equal(t->matrices[0].kind, "up_proj");
    assert_int_equal(t->matrices[1].layer, 11);
    assert_string_equal(t->matrices[1].kind, "o_proj");
    assert_string_equal(t->matrices[0].dtype, "");
    assert_true(t->candidates[0].foreign);
    assert_string_equal(t->candidates[1].label, "Q3_K");
    assert_string_equal(t->about.weighting, "none");
    assert_string_equal(t->about.model_fingerprint, "");
    assert_int_equal(t->about.params, 0);
    assert_true(looks_like_a_table());
    char *fingerprint = fingerprint_of(t);
    free(fingerprint);
    bp_table_close(t);
}

static void what_the_table_says_of_layer_and_kind_stands(void **state)
{
    (void)state;
    struct by_hand h = minimal();
    h.matrices = "[{\"name\":\"model.layers.3.mlp.up_proj.weight\",\"shape\":[2,5],\"layer\":9,"
                 "\"kind\":\"other\",\"dtype\":\"F16\"},{\"name\":\"w\",\"shape\":[4,5]}]";
    write_by_hand(&h);
    struct bp_table *t = open_table();
    assert_int_equal(t->matrices[0].layer, 9);
    assert_string_equal(t->matrices[0].kind, "other");
    assert_string_equal(t->matrices[0].dtype, "F16");
    assert_int_equal(t->matrices[1].layer, -1);
    bp_table_close(t);
}

static void candidates_may_be_mixed_and_format_as_text(void **state)
{
    (void)state;
    char text[BP_CANDIDATE_TEXT];
    struct by_hand h = minimal();
    h.candidates =
        "[{\"b0\":3,\"b1\":4,\"b2\":\"bf16\",\"B0\":64,\"B1\":256},{\"label\":\"Q3_K\"}]";
    write_by_hand(&h);
    struct bp_table *t = open_table();
    assert_false(t->candidates[0].foreign);
    assert_string_equal(bp_candidate_format(&t->candidates[0], text), "nf3:u4:bf16:64:256 r0");
    assert_string_equal(bp_candidate_format(&t->candidates[1], text), "Q3_K");
    bp_table_close(t);
}

static void data_at_any_alignment_reads_the_same(void **state)
{
    (void)state;
    for (size_t extra = 0; extra <= 8; extra++) {
        struct by_hand h = minimal();
        const double norm[2] = {10.0, 20.0}, baseline[4] = {0.25, NAN, 0.5, 0.75};
        const uint16_t iterations[4] = {1, 2, 3, 65535};
        h.extra_spaces = extra;
        add_piece(&h, (struct bp_st_spec){"iterations", BP_DTYPE_U16, 2, {2, 2}}, iterations, 8);
        add_piece(&h, (struct bp_st_spec){"norm", BP_DTYPE_F64, 1, {2}}, norm, sizeof norm);
        add_piece(&h, (struct bp_st_spec){"baseline_error", BP_DTYPE_F64, 2, {2, 2}}, baseline,
                  sizeof baseline);
        write_by_hand(&h);
        struct bp_table *t = open_table();
        assert_int_equal((uintptr_t)t->error % 8, 0);
        assert_memory_equal(t->error, ERRORS, sizeof ERRORS);
        assert_memory_equal(t->storage, STORAGE, sizeof STORAGE);
        assert_memory_equal(t->norm, norm, sizeof norm);
        assert_memory_equal(t->iterations, iterations, sizeof iterations);
        assert_memory_equal(t->baseline_error, baseline, sizeof baseline);
        bp_table_close(t);
    }
}

static void wrong_types_and_shapes_of_tensors_are_refused(void **state)
{
    (void)state;
    struct by_hand h = minimal();
    h.pieces[0].spec.dtype = BP_DTYPE_F32;
    refused(&h, "`error` is not F64 [2, 2]");
    h = minimal();
    h.pieces[1].spec.dtype = BP_DTYPE_I64;
    refused(&h, "`storage` is not U64 [2, 2]");
    h = minimal();
    h.pieces[0].spec.shape[0] = 1;
    refused(&h, "`error` is not F64 [2, 2]");
    h = minimal();
    h.pieces[0].spec.shape[1] = 3;
    refused(&h, "`error`");
    h = minimal();
    h.pieces[0].spec = (struct bp_st_spec){"error", BP_DTYPE_F64, 1, {4}};
    refused(&h, "`error`");
    h = minimal();
    h.pieces[0].spec = (struct bp_st_spec){"error", BP_DTYPE_F64, 3, {2, 2, 1}};
    refused(&h, "`error`");
    h = minimal();
    h.pieces[0].spec = (struct bp_st_spec){"error", BP_DTYPE_F64, 0, {0}};
    refused(&h, "`error`");
    h = minimal();
    add_piece(&h, (struct bp_st_spec){"norm", BP_DTYPE_F64, 2, {2, 1}}, ERRORS, 16);
    refused(&h, "`norm` is not F64");
    h = minimal();
    add_piece(&h, (struct bp_st_spec){"iterations", BP_DTYPE_I16, 2, {2, 2}}, ERRORS, 8);
    refused(&h, "`iterations` is not U16");
    h = minimal();
    add_piece(&h, (struct bp_st_spec){"baseline_error", BP_DTYPE_F64, 2, {2, 1}}, ERRORS, 16);
    refused(&h, "`baseline_error`");
}

static void missing_tensors_and_metadata_are_named(void **state)
{
    (void)state;
    struct by_hand h = minimal();
    h.n_pieces = 1;
    refused(&h, "no tensor `storage`");
    h = minimal();
    h.pieces[0].spec.name = "err";
    refused(&h, "no tensor `error`");
    h = minimal();
    h.matrices = NULL;
    refused(&h, "no \"matrices\"");
    h = minimal();
    h.candidates = NULL;
    refused(&h, "no \"candidates\"");
    assert_false(looks_like_a_table());
}

static void errors_that_are_negative_or_infinite_are_refused_with_their_place(void **state)
{
    (void)state;
    static const double bad[3] = {-1e-300, INFINITY, -INFINITY};
    for (int b = 0; b < 3; b++) {
        struct by_hand h = minimal();
        memcpy(h.pieces[0].bytes + 16, &bad[b], sizeof *bad);
        refused(&h, b == 1 ? "o_proj.weight|Q2_K|infinite" : "o_proj.weight|Q2_K|negative");
        h = minimal();
        double norm[2] = {1.0, bad[b]};
        add_piece(&h, (struct bp_st_spec){"norm", BP_DTYPE_F64, 1, {2}}, norm, sizeof norm);
        refused(&h, "norm of matrix model.layers.11");
        h = minimal();
        double baseline[4] = {1.0, 1.0, 1.0, bad[b]};
        add_piece(&h, (struct bp_st_spec){"baseline_error", BP_DTYPE_F64, 2, {2, 2}}, baseline,
                  sizeof baseline);
        refused(&h, "baseline error of matrix model.layers.11");
    }
}

static void storage_beyond_any_plan_is_refused(void **state)
{
    (void)state;
    struct by_hand h = minimal();
    uint64_t most = UINT64_C(1) << 61;
    memcpy(h.pieces[1].bytes + 24, &most, sizeof most);
    write_by_hand(&h);
    bp_table_close(open_table());
    most++;
    memcpy(h.pieces[1].bytes + 24, &most, sizeof most);
    refused(&h, "Q3_K|storage is beyond");
    most = UINT64_MAX;
    memcpy(h.pieces[1].bytes + 24, &most, sizeof most);
    refused(&h, "Q3_K|storage is beyond");
}

static void lists_that_repeat_themselves_are_refused(void **state)
{
    (void)state;
    struct by_hand h = minimal();
    h.matrices = "[{\"name\":\"a\",\"shape\":[2,5]},{\"name\":\"a\",\"shape\":[4,5]}]";
    refused(&h, "matrix a stands there twice");
    h = minimal();
    h.candidates = "[{\"label\":\"Q2_K\"},{\"label\":\"Q2_K\"}]";
    refused(&h, "candidate Q2_K stands there twice");
    h.candidates = "[{\"b0\":3,\"b1\":4,\"b2\":\"bf16\",\"B0\":64,\"B1\":256,\"rank\":0},"
                   "{\"b0\":3,\"b1\":4,\"b2\":\"bf16\",\"B0\":64,\"B1\":256}]";
    refused(&h, "candidate nf3:u4:bf16:64:256 r0 stands there twice");
}

static void lists_that_are_no_lists_of_matrices_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *matrices, *words;
    } bad[] = {
        {"{}", "no matrices"},
        {"[]", "no matrices"},
        {"7", "no matrices"},
        {"[{\"name\":\"a\",\"shape\":[2,5]}", "matrices"},
        {"not JSON", "metadata \"matrices\""},
        {"", "metadata \"matrices\""},
        {"[{\"shape\":[2,5]},{\"name\":\"b\",\"shape\":[2,5]}]", "matrix 0 has no name"},
        {"[{\"name\":\"a\",\"shape\":[2,5]},{\"name\":\"\",\"shape\":[2,5]}]", "matrix 1"},
        {"[{\"name\":3,\"shape\":[2,5]},{\"name\":\"b\",\"shape\":[2,5]}]", "matrix 0"},
        {"[1,2]", "matrix 0 has no name"},
        {"[{\"name\":\"a\"},{\"name\":\"b\",\"shape\":[2,5]}]", "matrix a has no shape"},
        {"[{\"name\":\"a\",\"shape\":[2]},{\"name\":\"b\",\"shape\":[2,5]}]", "matrix a"},
        {"[{\"name\":\"a\",\"shape\":[2,5,1]},{\"name\":\"b\",\"shape\":[2,5]}]", "matrix a"},
        {"[{\"name\":\"a\",\"shape\":[0,5]},{\"name\":\"b\",\"shape\":[2,5]}]", "matrix a"},
        {"[{\"name\":\"a\",\"shape\":[2,-5]},{\"name\":\"b\",\"shape\":[2,5]}]", "matrix a"},
        {"[{\"name\":\"a\",\"shape\":[2,2.5]},{\"name\":\"b\",\"shape\":[2,5]}]", "matrix a"},
        {"[{\"name\":\"a\",\"shape\":[2,2147483648]},{\"name\":\"b\",\"shape\":[2,5]}]",
         "matrix a"},
        {"[{\"name\":\"a\",\"shape\":{\"d\":2,\"k\":5}},{\"name\":\"b\",\"shape\":[2,5]}]",
         "matrix a has no shape"},
        {"[{\"name\":\"a\\u001b[2J\",\"shape\":[]},{\"name\":\"b\",\"shape\":[2,5]}]", "matrix a?"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct by_hand h = minimal();
        h.matrices = bad[i].matrices;
        refused(&h, bad[i].words);
    }
}

static void lists_that_are_no_lists_of_candidates_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *first, *words;
    } bad[] = {
        {"{}", "candidate 0 has neither a label nor"},
        {"3", "candidate 0"},
        {"{\"label\":\"\"}", "candidate 0"},
        {"{\"label\":\"0123456789012345678901234567890123456789\"}", "candidate 0"},
        {"{\"b0\":5,\"b1\":4,\"b2\":\"bf16\",\"B0\":64,\"B1\":256}", "no valid config"},
        {"{\"b0\":3,\"b1\":4,\"b2\":\"bf16\",\"B0\":0,\"B1\":256}", "no valid config"},
        {"{\"b0\":259,\"b1\":4,\"b2\":\"bf16\",\"B0\":64,\"B1\":256}", "candidate 0"},
        {"{\"b0\":3,\"b1\":4,\"b2\":\"fp8\",\"B0\":64,\"B1\":256}", "candidate 0"},
        {"{\"b0\":3,\"b1\":4,\"b2\":\"bf16\",\"B0\":64,\"B1\":65537}", "candidate 0"},
        {"{\"b0\":3,\"b1\":4,\"b2\":\"bf16\",\"B0\":64}", "candidate 0"},
        {"{\"b0\":3,\"b1\":4,\"b2\":\"bf16\",\"B0\":64,\"B1\":256,\"rank\":-1}", "candidate 0"},
        {"{\"b0\":3,\"b1\":4,\"b2\":\"bf16\",\"B0\":64,\"B1\":256,\"rank\":65536}", "candidate 0"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct by_hand h = minimal();
        char *list = bp_format("[%s,{\"label\":\"x\"}]", bad[i].first);
        h.candidates = list;
        refused(&h, bad[i].words);
        free(list);
    }
    struct by_hand h = minimal();
    h.candidates = "[]";
    refused(&h, "no candidates");
    h.candidates = "[{\"label\":\"a\"}] ]";
    refused(&h, "metadata \"candidates\"");
}

static void the_other_parts_must_be_json_as_well(void **state)
{
    (void)state;
    struct by_hand h = minimal();
    h.objective = "{";
    refused(&h, "metadata \"objective\"");
    h = minimal();
    h.model = "model";
    refused(&h, "metadata \"model\"");
    h = minimal();
    h.method = "{\"seed\":01}";
    refused(&h, "metadata \"method\"");
}

static void a_table_of_another_version_is_refused(void **state)
{
    (void)state;
    struct by_hand h = minimal();
    h.format = "bitplan.table";
    h.version = "2";
    refused(&h, "version 2|reads version 1");
    h.version = "1";
    write_by_hand(&h);
    bp_table_close(open_table());
}

static void what_is_no_table_does_not_look_like_one(void **state)
{
    (void)state;
    struct bp_st_spec spec = {"w", BP_DTYPE_F32, 1, {1}};
    unsigned char *header, file[4096] = {0};
    size_t n;
    struct bp_err err = {""};
    struct bp_table *t;
    assert_false(looks_like_a_table());
    assert_int_not_equal(bp_table_open(path, &t, &err), BP_OK);
    assert_int_equal(bp_st_build_header(&spec, 1, NULL, 0, &header, &n, NULL, NULL, NULL), BP_OK);
    memcpy(file, header, n);
    free(header);
    test_dir_write(folder, "t.safetensors", file, n + 4);
    assert_false(looks_like_a_table());
    assert_int_equal(bp_table_open(path, &t, &err), BP_ERR_INPUT);
    support_says(err.text, "not a bitplan table");
    test_dir_write_text(folder, "t.safetensors", "a text\n");
    assert_false(looks_like_a_table());
    assert_int_equal(bp_table_open(path, &t, &err), BP_ERR_INPUT);
}

static void a_file_cut_short_anywhere_is_refused(void **state)
{
    (void)state;
    struct by_hand h = minimal();
    size_t n;
    write_by_hand(&h);
    char *bytes = support_read(path, &n);
    for (size_t cut = 0; cut < n; cut += cut + 1 < n && n - cut > 70 ? 37 : 1) {
        struct bp_table *t;
        test_dir_write(folder, "t.safetensors", bytes, cut);
        assert_int_equal(bp_table_open(path, &t, NULL), BP_ERR_INPUT);
    }
    free(bytes);
}

static void a_table_without_all_tensors_is_not_filled(void **state)
{
    (void)state;
    struct by_hand h = minimal();
    struct bp_table_writer *writer;
    struct bp_err err = {""};
    write_by_hand(&h);
    struct bp_table *t = open_table();
    assert_int_equal(bp_table_writer_open(t, &writer, &err), BP_ERR_MISMATCH);
    assert_null(writer);
    support_says(err.text, "no tensor `norm`");
    bp_table_close(t);
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FOLDER(a_new_table_has_storage_by_eq_3_and_nothing_measured),
        WITH_FOLDER(everything_said_about_a_table_is_read_again),
        WITH_FOLDER(rows_are_put_one_by_one_and_counted),
        WITH_FOLDER(an_existing_file_is_replaced_only_when_asked),
        WITH_FOLDER(a_matrix_beyond_62_bits_of_storage_is_refused_and_leaves_no_file),
        WITH_FOLDER(a_folder_that_is_not_there_is_named),
        cmocka_unit_test(the_fingerprint_changes_with_every_cell_name_shape_and_candidate),
        WITH_FOLDER(the_fingerprint_depends_on_neither_path_nor_file),
        WITH_FOLDER(other_work_is_refused_by_name),
        WITH_FOLDER(more_or_fewer_matrices_and_candidates_are_other_work),
        WITH_FOLDER(names_of_files_and_models_are_no_other_work),
        WITH_FOLDER(a_table_with_the_four_required_parts_opens),
        WITH_FOLDER(what_the_table_says_of_layer_and_kind_stands),
        WITH_FOLDER(candidates_may_be_mixed_and_format_as_text),
        WITH_FOLDER(data_at_any_alignment_reads_the_same),
        WITH_FOLDER(wrong_types_and_shapes_of_tensors_are_refused),
        WITH_FOLDER(missing_tensors_and_metadata_are_named),
        WITH_FOLDER(errors_that_are_negative_or_infinite_are_refused_with_their_place),
        WITH_FOLDER(storage_beyond_any_plan_is_refused),
        WITH_FOLDER(lists_that_repeat_themselves_are_refused),
        WITH_FOLDER(lists_that_are_no_lists_of_matrices_are_refused),
        WITH_FOLDER(lists_that_are_no_lists_of_candidates_are_refused),
        WITH_FOLDER(the_other_parts_must_be_json_as_well),
        WITH_FOLDER(a_table_of_another_version_is_refused),
        WITH_FOLDER(what_is_no_table_does_not_look_like_one),
        WITH_FOLDER(a_file_cut_short_anywhere_is_refused),
        WITH_FOLDER(a_table_without_all_tensors_is_not_filled),
    };
    return cmocka_run_group_tests_name("error table", tests, NULL, NULL);
}
