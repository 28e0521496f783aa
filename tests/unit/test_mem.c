#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/err.h"
#include "engine/mem.h"

static void products_that_overflow_are_refused(void **state)
{
    (void)state;
    uint64_t out = 7;
    assert_true(bp_mul_u64(UINT64_MAX, 1, &out));
    assert_true(out == UINT64_MAX);
    assert_true(bp_mul_u64(UINT64_MAX, 0, &out));
    assert_true(out == 0);
    out = 7;
    assert_false(bp_mul_u64(UINT64_C(1) << 32, UINT64_C(1) << 32, &out));
    assert_false(bp_mul_u64(UINT64_MAX, 2, &out));
    assert_true(out == 7);
}

/* Volatile, so that the compiler does not warn of a size that is meant to be too large. */
static volatile size_t huge = SIZE_MAX;

static void allocations_are_aligned_and_checked(void **state)
{
    (void)state;
    for (size_t n = 0; n < 200; n += 13) {
        unsigned char *p = bp_alloc_zero(n, 3);
        assert_non_null(p);
        assert_true((uintptr_t)p % 64 == 0);
        for (size_t i = 0; i < 3 * n; i++)
            assert_int_equal(p[i], 0);
        free(p);
    }
    assert_null(bp_alloc(huge, 2));
    assert_null(bp_alloc(huge / 2 + 1, 2));
    assert_null(bp_alloc(huge, 1));
    assert_null(bp_alloc_zero(huge - 64, 1));
    assert_null(bp_grow(NULL, huge, 8));
}

static void grow_keeps_the_content_and_the_old_block_on_failure(void **state)
{
    (void)state;
    int *list = bp_grow(NULL, 1, sizeof *list);
    assert_non_null(list);
    list[0] = 41;
    assert_null(bp_grow(list, huge / 2, sizeof *list));
    assert_int_equal(list[0], 41);
    list = bp_grow(list, 1000, sizeof *list);
    assert_non_null(list);
    assert_int_equal(list[0], 41);
    list = bp_grow(list, 0, sizeof *list);
    assert_non_null(list);
    free(list);
}

static void strings_are_copied_up_to_their_end(void **state)
{
    (void)state;
    char *a = bp_strdup(""), *b = bp_strndup("matrix", 3), *c = bp_strndup("ab", 100);
    char *d = bp_format("%s-%05d", "model", 7);
    assert_string_equal(a, "");
    assert_string_equal(b, "mat");
    assert_string_equal(c, "ab"); /* not read beyond its end */
    assert_string_equal(d, "model-00007");
    free(a);
    free(b);
    free(c);
    free(d);
}

static void failures_carry_status_and_text(void **state)
{
    (void)state;
    struct bp_err err;
    assert_int_equal(bp_fail(&err, BP_ERR_INPUT, "row %d", 3), BP_ERR_INPUT);
    assert_string_equal(err.text, "row 3");
    assert_int_equal(bp_fail_in(&err, BP_ERR_INPUT, "%s", "t.json"), BP_ERR_INPUT);
    assert_string_equal(err.text, "t.json: row 3");
    assert_int_equal(bp_fail_nomem(&err), BP_ERR_NOMEM);
    assert_string_equal(err.text, "out of memory");
    assert_int_equal(bp_fail(NULL, BP_STOPPED, "x"), BP_STOPPED);
    assert_int_equal(bp_fail_in(NULL, BP_ERR_USAGE, "x"), BP_ERR_USAGE);
    assert_int_equal(bp_fail_nomem(NULL), BP_ERR_NOMEM);
}

static void long_texts_are_cut_to_fit(void **state)
{
    (void)state;
    struct bp_err err;
    char text[3000];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    bp_fail(&err, BP_ERR_INPUT, "%s", text);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    bp_fail_in(&err, BP_ERR_INPUT, "file");
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    assert_int_equal(strncmp(err.text, "file: xxx", 9), 0);
    bp_fail_in(&err, BP_ERR_INPUT, "%s", text);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
}

static enum bp_status third(int *calls)
{
    ++*calls;
    return *calls < 3 ? BP_OK : BP_LIMIT;
}

static enum bp_status try_all(int *calls)
{
    for (;;)
        BP_TRY(third(calls));
}

static void try_forwards_soft_results_as_well(void **state)
{
    (void)state;
    int calls = 0;
    assert_int_equal(try_all(&calls), BP_LIMIT);
    assert_int_equal(calls, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_that_overflow_are_refused),
        cmocka_unit_test(allocations_are_aligned_and_checked),
        cmocka_unit_test(grow_keeps_the_content_and_the_old_block_on_failure),
        cmocka_unit_test(strings_are_copied_up_to_their_end),
        cmocka_unit_test(failures_carry_status_and_text),
        cmocka_unit_test(long_texts_are_cut_to_fit),
        cmocka_unit_test(try_forwards_soft_results_as_well),
    };
    return cmocka_run_group_tests_name("mem", tests, NULL, NULL);
}
