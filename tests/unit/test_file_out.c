#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/file_out.h"

/* Each test has a folder of its own, the working directory, removed with what is in it. */
static char folder[PATH_MAX];
static struct bp_err err;

static int make_folder(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/bitplan-test-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    err.text[0] = '\0';
    return !mkdtemp(folder) || chmod(folder, 0755) != 0 || chdir(folder) != 0;
}

/* Files in the folder, hidden ones too; removes them when asked. */
static int count_files(bool remove_them)
{
    int n = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        n++;
        if (remove_them)
            assert_int_equal(remove(e->d_name), 0);
    }
    closedir(dir);
    return n;
}

static int remove_folder(void **state)
{
    (void)state;
    count_files(true);
    return chdir("/") != 0 || rmdir(folder) != 0;
}

static void put(const char *name, const char *text)
{
    FILE *f = fopen(name, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void assert_content(const char *name, const char *text)
{
    char got[256];
    FILE *f = fopen(name, "r");
    assert_non_null(f);
    size_t n = fread(got, 1, sizeof got - 1, f);
    fclose(f);
    got[n] = '\0';
    assert_string_equal(got, text);
}

static void file_appears_at_commit_only(void **state)
{
    (void)state;
    struct bp_file_out out;
    assert_int_equal(bp_file_out_begin(&out, "a.json", &err), BP_OK);
    assert_int_equal(bp_file_out_write(&out, "one ", 4, &err), BP_OK);
    assert_int_equal(bp_file_out_write(&out, "two", 3, &err), BP_OK);
    assert_int_equal(bp_pwrite_all(out.fd, out.path, "O", 1, 0, &err), BP_OK);
    assert_int_equal(access("a.json", F_OK), -1);
    assert_int_equal(count_files(false), 1);
    assert_int_equal(bp_file_out_commit(&out, false, false, &err), BP_OK);
    assert_content("a.json", "One two");
    assert_int_equal(count_files(false), 1);
}

static void abandon_leaves_nothing_and_the_old_file(void **state)
{
    (void)state;
    struct bp_file_out out;
    put("a", "old");
    assert_int_equal(bp_file_out_begin(&out, "a", &err), BP_OK);
    assert_int_equal(bp_file_out_write(&out, "new", 3, &err), BP_OK);
    assert_content("a", "old");
    bp_file_out_abandon(&out);
    assert_content("a", "old");
    assert_int_equal(count_files(false), 1);
}

static void existing_file_is_kept_without_replace(void **state)
{
    (void)state;
    put("a", "old");
    assert_int_equal(bp_file_write("a", "new", 3, false, &err), BP_ERR_MISMATCH);
    assert_string_equal(err.text, "a: exists already and was kept; give --force to replace it");
    assert_content("a", "old");
    assert_int_equal(count_files(false), 1);
    assert_int_equal(bp_file_write("a", "new", 3, true, &err), BP_OK);
    assert_content("a", "new");
    assert_int_equal(count_files(false), 1);
}

static void dangling_link_counts_as_taken(void **state)
{
    (void)state;
    assert_int_equal(symlink("nowhere", "a"), 0);
    assert_int_equal(bp_file_write("a", "new", 3, false, &err), BP_ERR_MISMATCH);
    assert_int_equal(count_files(false), 1);
}

static void of_two_writers_without_replace_the_first_wins(void **state)
{
    (void)state;
    struct bp_file_out one, two;
    assert_int_equal(bp_file_out_begin(&one, "a", &err), BP_OK);
    assert_int_equal(bp_file_out_begin(&two, "a", &err), BP_OK);
    assert_int_equal(bp_file_out_write(&one, "1", 1, &err), BP_OK);
    assert_int_equal(bp_file_out_write(&two, "2222", 4, &err), BP_OK);
    assert_int_equal(bp_file_out_commit(&one, false, false, &err), BP_OK);
    assert_int_equal(bp_file_out_commit(&two, false, false, &err), BP_ERR_MISMATCH);
    assert_content("a", "1");
    assert_int_equal(count_files(false), 1);
}

static void mode_follows_the_umask(void **state)
{
    (void)state;
    static const mode_t masks[] = {022, 077, 027};
    mode_t before = umask(0);
    for (size_t i = 0; i < sizeof masks / sizeof *masks; i++) {
        struct stat st;
        umask(masks[i]);
        enum bp_status status = bp_file_write("a", "x", 1, true, &err);
        umask(before);
        assert_int_equal(status, BP_OK);
        assert_int_equal(stat("a", &st), 0);
        assert_int_equal(st.st_mode & 07777, 0666 & ~masks[i]);
    }
}

static void temp_file_of_a_dead_process_is_swept(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        struct bp_file_out out;
        _exit(bp_file_out_begin(&out, "a", NULL) != BP_OK);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(count_files(false), 1);
    assert_int_equal(bp_file_write("b", "x", 1, false, &err), BP_OK);
    assert_int_equal(count_files(false), 2); /* another file's temporary name is not touched */
    assert_int_equal(bp_file_write("a", "x", 1, false, &err), BP_OK);
    assert_int_equal(count_files(false), 2);
}

static void temp_file_of_a_living_process_stays(void **state)
{
    (void)state;
    struct bp_file_out out;
    assert_int_equal(bp_file_out_begin(&out, "a", &err), BP_OK);
    assert_int_equal(bp_file_out_write(&out, "mine", 4, &err), BP_OK);
    pid_t child = fork();
    if (child == 0)
        _exit(bp_file_write("a", "its", 3, true, NULL) != BP_OK);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_content("a", "its");
    assert_int_equal(bp_file_out_commit(&out, true, false, &err), BP_OK);
    assert_content("a", "mine");
    assert_int_equal(count_files(false), 1);
}

/* A limit on the size of files stands in for a full disk. */
static void failed_write_leaves_the_old_file(void **state)
{
    (void)state;
    static char bytes[10000];
    struct rlimit before, small;
    put("a", "old");
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 4096;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    enum bp_status status = bp_file_write("a", bytes, sizeof bytes, true, &err);
    setrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, handler);
    assert_int_equal(status, BP_ERR_FAILED);
    assert_string_equal(err.text, "a: cannot be written: File too large");
    assert_content("a", "old");
    assert_int_equal(count_files(false), 1);
}

static void full_device_is_an_error(void **state)
{
    (void)state;
    int fd = open("/dev/full", O_WRONLY);
    if (fd < 0)
        skip();
    struct bp_file_out out = {.path = folder, .fd = fd};
    assert_int_equal(bp_file_out_write(&out, "x", 1, &err), BP_ERR_FAILED);
    assert_non_null(strstr(err.text, "No space left"));
    assert_int_equal(bp_pwrite_all(fd, "full", "x", 1, 0, &err), BP_ERR_FAILED);
    assert_string_equal(err.text, "full: cannot be written: No space left on device");
    close(fd);
}

static void folder_as_target_is_refused(void **state)
{
    (void)state;
    assert_int_equal(mkdir("sub", 0777), 0);
    for (int replace = 0; replace <= 1; replace++) {
        assert_int_equal(bp_file_write("sub", "x", 1, replace, &err), BP_ERR_FAILED);
        assert_string_equal(err.text, "sub: is a folder, not a file");
    }
    assert_int_equal(bp_file_write("sub/", "x", 1, true, &err), BP_ERR_USAGE);
    assert_int_equal(bp_file_write("", "x", 1, true, &err), BP_ERR_USAGE);
    assert_int_equal(bp_file_write("sub/..", "x", 1, true, &err), BP_ERR_USAGE);
    assert_int_equal(count_files(false), 1);
}

static void missing_folder_is_an_error(void **state)
{
    (void)state;
    assert_int_equal(bp_file_write("no/a", "x", 1, true, &err), BP_ERR_FAILED);
    assert_string_equal(err.text, "no/a: cannot be written: No such file or directory");
}

static void read_only_folder_is_an_error(void **state)
{
    (void)state;
    uid_t user = geteuid();
    assert_int_equal(chmod(folder, 0555), 0);
    if (user == 0 && seteuid(65534) != 0)
        skip();
    enum bp_status status = bp_file_write("a", "x", 1, true, &err);
    if (user == 0)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(chmod(folder, 0755), 0);
    assert_int_equal(status, BP_ERR_FAILED);
    assert_string_equal(err.text, "a: cannot be written: Permission denied");
    assert_int_equal(count_files(false), 0);
}

static void descriptor_can_be_kept_open(void **state)
{
    (void)state;
    struct bp_file_out out;
    assert_int_equal(bp_file_out_begin(&out, "a", &err), BP_OK);
    int fd = out.fd;
    assert_int_equal(bp_file_out_write(&out, "......", 6, &err), BP_OK);
    assert_int_equal(bp_file_out_commit(&out, false, true, &err), BP_OK);
    assert_int_equal(bp_pwrite_all(fd, "a", "row", 3, 2, &err), BP_OK);
    close(fd);
    assert_content("a", "..row.");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        TEST(file_appears_at_commit_only),
        TEST(abandon_leaves_nothing_and_the_old_file),
        TEST(existing_file_is_kept_without_replace),
        TEST(dangling_link_counts_as_taken),
        TEST(of_two_writers_without_replace_the_first_wins),
        TEST(mode_follows_the_umask),
        TEST(temp_file_of_a_dead_process_is_swept),
        TEST(temp_file_of_a_living_process_stays),
        TEST(failed_write_leaves_the_old_file),
        TEST(full_device_is_an_error),
        TEST(folder_as_target_is_refused),
        TEST(missing_folder_is_an_error),
        TEST(read_only_folder_is_an_error),
        TEST(descriptor_can_be_kept_open),
    };
    return cmocka_run_group_tests_name("file_out", tests, NULL, NULL);
}
