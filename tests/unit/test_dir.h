/*
 * A folder for the files of a test, and the shared data that some tests read.
 *
 * The folder is fresh (mkdtemp under $TMPDIR or /tmp) and removed with all it holds. Paths returned
 * are heap strings for the caller to free. Failures fail the test.
 */
#ifndef BP_TESTS_TEST_DIR_H
#define BP_TESTS_TEST_DIR_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static inline char *test_dir_make(void)
{
    const char *base = getenv("TMPDIR");
    char path[4096];
    snprintf(path, sizeof path, "%s/bitplan-test-XXXXXX", base && *base ? base : "/tmp");
    assert_non_null(mkdtemp(path));
    return strdup(path);
}

static inline int test_dir_remove_one(const char *path, const struct stat *info, int kind,
                                      struct FTW *where)
{
    (void)info, (void)kind, (void)where;
    return remove(path);
}

/* Removes the folder and frees its path. */
static inline void test_dir_remove(char *path)
{
    nftw(path, test_dir_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free(path);
}

static inline char *test_dir_join(const char *folder, const char *file)
{
    char path[4096];
    assert_true(snprintf(path, sizeof path, "%s/%s", folder, file) < (int)sizeof path);
    return strdup(path);
}

/* Writes bytes [n] and leaves a hole behind them up to `length` (no shorter than n). */
static inline void test_dir_write_sparse(const char *folder, const char *file, const void *bytes,
                                         size_t n, uint64_t length)
{
    char *path = test_dir_join(folder, file);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, n), n);
    assert_int_equal(ftruncate(fd, (off_t)length), 0);
    assert_int_equal(close(fd), 0);
    free(path);
}

static inline void test_dir_write(const char *folder, const char *file, const void *bytes, size_t n)
{
    test_dir_write_sparse(folder, file, bytes, n, n);
}

static inline void test_dir_write_text(const char *folder, const char *file, const char *text)
{
    test_dir_write(folder, file, text, strlen(text));
}

/* Path of a shared file (BP_SHARED, by default ../shared); skips the test when it is not there. */
static inline char *test_shared(const char *file)
{
    const char *base = getenv("BP_SHARED");
    char *path = test_dir_join(base && *base ? base : "../shared", file);
    if (access(path, R_OK) != 0) {
        print_message("skipped: %s is not there (BP_SHARED names the folder)\n", path);
        free(path);
        skip();
    }
    return path;
}

#endif
