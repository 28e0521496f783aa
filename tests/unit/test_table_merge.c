/* Merging part files: the bytes of one process's table whatever the split, the order and the
 * overlaps; what differs is named, and no file is written then. */
#include "plan_tables.h"

#include "engine/safetensors.h"
#include "engine/table_merge.h"

static char *folder;

static int make_folder(void **state)
{
    (void)state;
    folder = test_dir_make();
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    test_dir_remove(folder);
    return 0;
}

static const char *const NAMES[] = {"p0", "p1", "p2", "p3", "p4", "p5"};
enum { P = sizeof NAMES / sizeof *NAMES };

/* Saves the rows of `t` whose bit is set in `rows` as a run of that shard does; with marks [C], the
 * same for all rows, unless the table is exact. */
static void save_marked(const struct bp_table *t, const char *name, unsigned rows,
                        const uint8_t *stage)
{
    char *path = test_dir_join(folder, name);
    struct bp_table *file;
    struct bp_table_writer *writer;
    assert_int_equal(bp_table_create(t, path, true, NULL), BP_OK);
    assert_int_equal(bp_table_open(path, &file, NULL), BP_OK);
    assert_int_equal(bp_table_writer_open(file, &writer, NULL), BP_OK);
    for (size_t i = 0; i < N; i++) {
        struct bp_table_row row = {t->error + i * C, t->iterations + i * C,
                                   t->baseline_error + i * BP_N_BASELINES, t->norm[i], stage};
        if (rows >> i & 1)
            assert_int_equal(bp_table_writer_put(writer, i, &row, NULL), BP_OK);
    }
    assert_int_equal(bp_table_writer_close(writer, NULL), BP_OK);
    bp_table_close(file);
    free(path);
}

static void save_part(const struct bp_table *t, const char *name, unsigned rows)
{
    save_marked(t, name, rows, NULL);
}

static void read_file(const char *name, unsigned char **bytes, size_t *n)
{
    char *path = test_dir_join(folder, name);
    struct stat info;
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    assert_int_equal(fstat(fileno(f), &info), 0);
    *n = (size_t)info.st_size;
    *bytes = malloc(*n);
    assert_int_equal(fread(*bytes, 1, *n, f), *n);
    fclose(f);
    free(path);
}

static void check_same_bytes(const char *a, const char *b)
{
    unsigned char *x, *y;
    size_t m, n;
    read_file(a, &x, &m);
    read_file(b, &y, &n);
    assert_int_equal(m, n);
    assert_memory_equal(x, y, n);
    free(x);
    free(y);
}

/* Merges parts [n] by their numbers into "out". */
static enum bp_status merge(const int *which, size_t n, struct bp_merge_report *r,
                            struct bp_err *err)
{
    char *paths[P], *out = test_dir_join(folder, "out");
    for (size_t i = 0; i < n; i++)
        paths[i] = test_dir_join(folder, NAMES[which[i]]);
    const enum bp_status status = bp_table_merge((const char *const *)paths, n, out, true, r, err);
    for (size_t i = 0; i < n; i++)
        free(paths[i]);
    free(out);
    return status;
}

static void check_merge(const int *which, size_t n, struct bp_merge_report *r)
{
    struct bp_err err = {""};
    if (merge(which, n, r, &err))
        fail_msg("%s", err.text);
}

static void check_refused(const int *which, size_t n, enum bp_status want, const char *words)
{
    struct bp_merge_report r;
    struct bp_err err = {""};
    assert_int_equal(merge(which, n, &r, &err), want);
    if (!strstr(err.text, words))
        fail_msg("'%s' does not hold '%s'", err.text, words);
    char *out = test_dir_join(folder, "out");
    assert_true(access(out, F_OK) != 0);
    free(out);
}

/* --- tests --- */

static void splits_in_two_give_the_bytes_of_one_run_in_both_orders(void **state)
{
    (void)state;
    struct bp_table *t = usual(1);
    char *whole = test_dir_join(folder, "whole");
    support_save(t, whole);
    free(whole);
    static const unsigned splits[] = {0x00, 0x01, 0x0a, 0x1f};
    for (size_t s = 0; s < sizeof splits / sizeof *splits; s++) {
        struct bp_merge_report r;
        const unsigned rows = splits[s];
        save_part(t, "p0", rows);
        save_part(t, "p1", ~rows);
        for (int order = 0; order < 2; order++) {
            check_merge((int[]){order, !order}, 2, &r);
            check_same_bytes("out", "whole");
            assert_true(r.n_parts == 2 && r.n_whole == N && r.n_matrices == N);
            assert_true(r.n_measured == N * C && r.n_cells == N * C && r.n_repeated == 0);
            bp_merge_report_done(&r);
        }
    }
    bp_table_close(t);
}

static void parts_that_overlap_and_the_same_part_again_change_nothing(void **state)
{
    (void)state;
    struct bp_table *t = usual(1);
    char *whole = test_dir_join(folder, "whole");
    struct bp_merge_report r;
    support_save(t, whole);
    free(whole);
    save_part(t, "p0", 0x07);
    save_part(t, "p1", 0x1c);
    check_merge((int[]){0, 1, 0}, 3, &r);
    check_same_bytes("out", "whole");
    assert_int_equal(r.n_repeated, 4 * C); /* row 2 once, rows 0 to 2 again */
    bp_merge_report_done(&r);
    bp_table_close(t);
}

static void what_no_part_has_is_named_and_stays_as_in_a_new_table(void **state)
{
    (void)state;
    struct bp_table *t = usual(1);
    struct bp_merge_report r;
    save_part(t, "p0", 0x01);
    save_part(t, "p1", 0x08);
    save_part(t, "p2", 0x09); /* as one process stopped before the other rows leaves it */
    check_merge((int[]){1, 0}, 2, &r);
    check_same_bytes("out", "p2");
    assert_true(r.n_whole == 2 && r.n_measured == 2 * C);
    assert_string_equal(r.missing[0], t->matrices[1].name);
    assert_string_equal(r.missing[1], t->matrices[2].name);
    assert_string_equal(r.missing[2], t->matrices[4].name);
    bp_merge_report_done(&r);
    bp_table_close(t);
}

/* Changes `n` bytes of a tensor in a part. */
static void poke(const char *name, const char *tensor, uint64_t at, const void *bytes, size_t n)
{
    char *path = test_dir_join(folder, name);
    struct bp_table *file;
    assert_int_equal(bp_table_open(path, &file, NULL), BP_OK);
    const uint64_t begin = 8 + file->st->header_bytes + bp_st_find(file->st, tensor)->begin;
    bp_table_close(file);
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, (long)(begin + at), SEEK_SET), 0);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
    free(path);
}

static void a_row_cut_short_by_a_kill_counts_for_nothing_or_for_its_cells(void **state)
{
    (void)state;
    struct bp_table *t = usual(1);
    struct bp_merge_report r;
    const double seven = 7.0, nan = NAN;
    const uint16_t nine = 9;
    save_part(t, "p2", 0x03);
    save_part(t, "p0", 0x01);
    save_part(t, "p1", 0x02);
    /* Row 3: killed before its errors were written. */
    poke("p0", "norm", 3 * sizeof seven, &seven, sizeof seven);
    poke("p0", "iterations", 3 * C * sizeof nine, &nine, sizeof nine);
    check_merge((int[]){0, 1}, 2, &r);
    check_same_bytes("out", "p2");
    bp_merge_report_done(&r);
    /* Row 0: each part has what the other lacks. */
    save_part(t, "p1", 0x03);
    poke("p0", "error", 0, &nan, sizeof nan);
    poke("p1", "error", sizeof nan, &nan, sizeof nan);
    check_merge((int[]){0, 1}, 2, &r);
    check_same_bytes("out", "p2");
    assert_int_equal(r.n_repeated, C - 2);
    bp_merge_report_done(&r);
    check_merge((int[]){1}, 1, &r);
    assert_true(r.n_whole == 1 && r.n_measured == 2 * C - 1);
    assert_string_equal(r.missing[0], t->matrices[0].name);
    bp_merge_report_done(&r);
    bp_table_close(t);
}

static void a_number_that_differs_is_named(void **state)
{
    (void)state;
    const double other = 0.125;
    const uint16_t nine = 9;
    const uint64_t last = N * C - 1;
    const struct {
        const char *tensor;
        uint64_t at;
        const void *bytes;
        size_t n;
        const char *words;
    } cases[] = {
        {"error", last * 8, &other, 8,
         "layers.0.mlp.gate_proj.weight, candidate nf4:u8:fp32:16:16"},
        {"error", last * 8, &other, 8, "the error is 0.125, and "},
        {"iterations", 2, &nine, 2, "q_proj.weight, candidate nf3:u4:fp16:32:64 r4: the number of"},
        {"norm", 8, &other, 8, "k_proj.weight, the norm is 0.125"},
        {"baseline_error", 8, &other, 8, "q_proj.weight, the error of NF3 is 0.125"},
    };
    struct bp_table *t = usual(1);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        save_part(t, "p0", 0x1f);
        save_part(t, "p1", 0x1f);
        poke("p1", cases[c].tensor, cases[c].at, cases[c].bytes, cases[c].n);
        check_refused((int[]){0, 1}, 2, BP_ERR_MISMATCH, cases[c].words);
    }
    bp_table_close(t);
}

static void set(char **slot, const char *text)
{
    free(*slot);
    *slot = bp_strdup(text);
}

static void parts_of_other_work_are_refused_by_name(void **state)
{
    (void)state;
    struct bp_table *t = usual(1);
    save_part(t, "p0", 0x01);
    t->about.seed = 4;
    save_part(t, "p1", 0x02);
    check_refused((int[]){0, 1}, 2, BP_ERR_MISMATCH, "p1: is of other work than ");
    check_refused((int[]){0, 1}, 2, BP_ERR_MISMATCH, "p0: its seed is 4, there 3");
    t->about.seed = 3;
    t->matrices[1].d--;
    save_part(t, "p1", 0x02);
    check_refused((int[]){0, 1}, 2, BP_ERR_MISMATCH, "p1: is of other work: ");
    t->matrices[1].d++;
    set(&t->about.model_fingerprint, "xxh3:other");
    save_part(t, "p1", 0x02);
    check_refused((int[]){0, 1}, 2, BP_ERR_MISMATCH, "its model fingerprint is xxh3:other");
    bp_table_close(t);
}

static void another_storage_is_refused(void **state)
{
    (void)state;
    struct bp_table *t = usual(1);
    const uint64_t one = 1;
    save_part(t, "p0", 0x01);
    save_part(t, "p1", 0x02);
    poke("p1", "storage", 0, &one, sizeof one);
    check_refused((int[]){0, 1}, 2, BP_ERR_MISMATCH, "p1: has another storage than ");
    bp_table_close(t);
}

static void names_that_may_differ_do_not_follow_the_order(void **state)
{
    (void)state;
    struct bp_table *t = usual(1);
    struct bp_merge_report r;
    save_part(t, "p2", 0x03); /* with the least names */
    save_part(t, "p0", 0x01);
    set(&t->about.model_name, "model b");
    set(&t->about.weighting_source, "/b");
    save_part(t, "p1", 0x02);
    for (int order = 0; order < 2; order++) {
        check_merge((int[]){order, !order}, 2, &r);
        check_same_bytes("out", "p2");
        bp_merge_report_done(&r);
    }
    bp_table_close(t);
}

static const uint8_t one_step[C] = {1, 3, 1, 1}, refined[C] = {2, 3, 2, 3};

/* Cells as after one step: other numbers than the refined ones. */
static void unrefine(struct bp_table *t)
{
    double *error = t->copies[SUPPORT_ERROR];
    for (size_t i = 0; i < N * C; i++)
        error[i] *= 1.5;
}

static void of_a_row_the_part_that_is_further_along_wins_in_any_order(void **state)
{
    (void)state;
    struct bp_table *t = usual(1), *early = usual(1);
    struct bp_merge_report r;
    set(&t->about.effort, "balanced");
    set(&early->about.effort, "balanced");
    unrefine(early);
    save_marked(t, "p0", 0x05, refined);
    save_marked(early, "p1", 0x0f, one_step);
    save_marked(t, "p2", 0x08, refined);
    const int orders[][4] = {{0, 1, 2, 1}, {2, 1, 0, 1}, {1, 2, 1, 0}};
    for (int o = 0; o < 3; o++) {
        check_merge(orders[o], 4, &r);
        assert_true(r.n_whole == 3 && r.n_measured == 4 * C && r.n_repeated == 7 * C);
        assert_string_equal(r.missing[0], t->matrices[1].name); /* after one step */
        assert_string_equal(r.missing[1], t->matrices[4].name);
        bp_merge_report_done(&r);
        if (o == 0) {
            char *out = test_dir_join(folder, "out"), *first = test_dir_join(folder, "first");
            assert_int_equal(rename(out, first), 0);
            free(out);
            free(first);
        } else {
            check_same_bytes("out", "first");
        }
    }
    save_marked(t, "p1", 0x12, refined);
    save_marked(t, "p3", 0x1f, refined);
    check_merge((int[]){0, 1, 2}, 3, &r);
    check_same_bytes("out", "p3");
    bp_merge_report_done(&r);
    bp_table_close(early);
    bp_table_close(t);
}

static void one_step_is_all_that_quick_asks_for(void **state)
{
    (void)state;
    struct bp_table *t = usual(1);
    struct bp_merge_report r;
    set(&t->about.effort, "quick");
    save_marked(t, "p0", 0x0b, one_step);
    save_marked(t, "p1", 0x14, one_step);
    save_marked(t, "p2", 0x1f, one_step);
    check_merge((int[]){1, 0}, 2, &r);
    check_same_bytes("out", "p2");
    assert_int_equal(r.n_whole, N);
    bp_merge_report_done(&r);
    bp_table_close(t);
}

static void a_row_that_lost_its_marks_in_a_kill_is_measured_again(void **state)
{
    (void)state;
    struct bp_table *t = usual(1);
    struct bp_merge_report r;
    const uint8_t none[C] = {0};
    set(&t->about.effort, "full");
    save_marked(t, "p2", 0x01, refined);
    save_marked(t, "p0", 0x03, refined);
    poke("p0", "stage", C, none, sizeof none);
    check_merge((int[]){0}, 1, &r);
    check_same_bytes("out", "p2");
    bp_merge_report_done(&r);
    /* Its numbers may be of either stage: they are not held against another part's. */
    unrefine(t);
    save_marked(t, "p1", 0x02, one_step);
    check_merge((int[]){0, 1}, 2, &r);
    assert_int_equal(r.n_measured, 2 * C);
    bp_merge_report_done(&r);
    save_marked(t, "p0", 0x02, refined);
    check_merge((int[]){0, 1}, 2, &r);
    bp_merge_report_done(&r);
    char *out = test_dir_join(folder, "out");
    assert_int_equal(unlink(out), 0);
    free(out);
    const uint8_t iterated = 3;
    poke("p1", "stage", C, &iterated, 1);
    save_marked(t, "p0", 0x02, one_step);
    check_refused((int[]){0, 1}, 2, BP_ERR_MISMATCH, "the stage is 3, and 1 in a part before");
    bp_table_close(t);
}

static void an_existing_file_stays_unless_asked(void **state)
{
    (void)state;
    struct bp_table *t = usual(1);
    struct bp_merge_report r;
    struct bp_err err = {""};
    save_part(t, "p0", 0x1f);
    save_part(t, "out", 0x01);
    save_part(t, "p2", 0x01);
    char *part = test_dir_join(folder, "p0"), *out = test_dir_join(folder, "out");
    assert_int_equal(bp_table_merge((const char *const[]){part}, 1, out, false, &r, &err),
                     BP_ERR_MISMATCH);
    assert_non_null(strstr(err.text, "exists already and was kept"));
    check_same_bytes("out", "p2");
    free(part);
    free(out);
    bp_table_close(t);
}

static void what_is_no_measured_table_is_refused(void **state)
{
    (void)state;
    struct bp_table *t = usual(1);
    save_part(t, "p0", 0x01);
    test_dir_write_text(folder, "p1", "no table");
    check_refused((int[]){0, 1}, 2, BP_ERR_INPUT, "p1: ");
    check_refused((int[]){1, 0}, 2, BP_ERR_INPUT, "p1: ");
    check_refused((int[]){0, 5}, 2, BP_ERR_INPUT, "p5: ");
    bp_table_close(t);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(splits_in_two_give_the_bytes_of_one_run_in_both_orders),
        IN_FOLDER(parts_that_overlap_and_the_same_part_again_change_nothing),
        IN_FOLDER(what_no_part_has_is_named_and_stays_as_in_a_new_table),
        IN_FOLDER(a_row_cut_short_by_a_kill_counts_for_nothing_or_for_its_cells),
        IN_FOLDER(a_number_that_differs_is_named),
        IN_FOLDER(parts_of_other_work_are_refused_by_name),
        IN_FOLDER(another_storage_is_refused),
        IN_FOLDER(names_that_may_differ_do_not_follow_the_order),
        IN_FOLDER(of_a_row_the_part_that_is_further_along_wins_in_any_order),
        IN_FOLDER(one_step_is_all_that_quick_asks_for),
        IN_FOLDER(a_row_that_lost_its_marks_in_a_kill_is_measured_again),
        IN_FOLDER(an_existing_file_stays_unless_asked),
        IN_FOLDER(what_is_no_measured_table_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
