#include "engine/file_out.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/mem.h"

#define TEMP_MARK ".bitplan-"
#define TEMP_END  ".tmp"

/* Splits a path into its folder ("." when there is none; on the heap) and its last name. */
static char *folder_of(const char *path, const char **base)
{
    const char *slash = strrchr(path, '/');
    *base = slash ? slash + 1 : path;
    if (!slash)
        return bp_strdup(".");
    return slash == path ? bp_strdup("/") : bp_strndup(path, (size_t)(slash - path));
}

static void host_name(char *host, size_t n)
{
    if (gethostname(host, n) != 0)
        snprintf(host, n, "host");
    host[n - 1] = '\0';
    for (char *c = host; *c; c++)
        if (*c == '/')
            *c = '_';
}

/* A temporary name ends in "-process-number.tmp": the number keeps two writers of one process
 * apart. Returns the process of a name's end behind the host, 0 when it is none of ours. */
static pid_t temp_process(const char *end)
{
    char *number, *rest;
    long pid = strtol(end, &number, 10);
    if (pid <= 0 || *number != '-')
        return 0;
    (void)strtoul(number + 1, &rest, 10);
    return rest > number + 1 && strcmp(rest, TEMP_END) == 0 ? (pid_t)pid : 0;
}

/* Removes temporary files of `base` whose process on this host is gone. */
static void sweep_stale(const char *folder, const char *base, const char *host)
{
    DIR *dir = opendir(folder);
    if (!dir)
        return;
    char *prefix = bp_format(".%s" TEMP_MARK "%s-", base, host);
    size_t n = prefix ? strlen(prefix) : 0;
    struct dirent *entry;
    while (prefix && (entry = readdir(dir))) {
        if (strncmp(entry->d_name, prefix, n) != 0)
            continue;
        pid_t pid = temp_process(entry->d_name + n);
        if (pid > 0 && kill(pid, 0) != 0 && errno == ESRCH)
            unlinkat(dirfd(dir), entry->d_name, 0);
    }
    free(prefix);
    closedir(dir);
}

static void file_out_free(struct bp_file_out *out)
{
    free(out->path);
    free(out->temp_path);
    out->path = out->temp_path = NULL;
    out->fd = -1;
}

enum bp_status bp_file_out_begin(struct bp_file_out *out, const char *path, struct bp_err *err)
{
    static atomic_uint n_begun;
    struct stat st;
    *out = (struct bp_file_out){.fd = -1};
    const char *base;
    char host[64];
    char *folder = folder_of(path, &base);
    if (!folder)
        return bp_fail_nomem(err);
    if (!*base || strcmp(base, ".") == 0 || strcmp(base, "..") == 0) {
        free(folder);
        return bp_fail(err, BP_ERR_USAGE, "%s: not a file name", path);
    }
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode)) {
        free(folder);
        return bp_fail(err, BP_ERR_FAILED, "%s: is a folder, not a file", path);
    }
    host_name(host, sizeof host);
    sweep_stale(folder, base, host);
    out->path = bp_strdup(path);
    out->temp_path = bp_format("%s/.%s" TEMP_MARK "%s-%ld-%u" TEMP_END, folder, base, host,
                               (long)getpid(), atomic_fetch_add(&n_begun, 1));
    free(folder);
    if (!out->path || !out->temp_path) {
        file_out_free(out);
        return bp_fail_nomem(err);
    }
    unlink(out->temp_path); /* of an earlier process with our number */
    out->fd = open(out->temp_path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (out->fd < 0) {
        int saved = errno;
        file_out_free(out);
        return bp_fail(err, BP_ERR_FAILED, "%s: cannot be written: %s", path, strerror(saved));
    }
    return BP_OK;
}

enum bp_status bp_file_out_write(struct bp_file_out *out, const void *bytes, size_t n,
                                 struct bp_err *err)
{
    const char *p = bytes;
    while (n > 0) {
        ssize_t done = write(out->fd, p, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return bp_fail(err, BP_ERR_FAILED, "%s: cannot be written: %s", out->path,
                           strerror(done < 0 ? errno : ENOSPC));
        p += done;
        n -= (size_t)done;
    }
    return BP_OK;
}

enum bp_status bp_pwrite_all(int fd, const char *path, const void *bytes, size_t n, uint64_t offset,
                             struct bp_err *err)
{
    const char *p = bytes;
    while (n > 0) {
        ssize_t done = pwrite(fd, p, n, (off_t)offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return bp_fail(err, BP_ERR_FAILED, "%s: cannot be written: %s", path,
                           strerror(done < 0 ? errno : ENOSPC));
        p += done;
        n -= (size_t)done;
        offset += (uint64_t)done;
    }
    return BP_OK;
}

/* A rename survives a power cut only when the folder is synced too; best effort, as some file
 * systems do not sync folders. */
static void sync_folder(const char *path)
{
    const char *base;
    char *folder = folder_of(path, &base);
    int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        (void)!fsync(fd);
        close(fd);
    }
    free(folder);
}

/* Gives the temporary file its name in one step that fails where the name is taken, also when two
 * processes arrive at once. A file system that has no such rename has hard links (a network one);
 * one without either gets a check and a rename. */
static int publish(const struct bp_file_out *out, bool replace)
{
    if (replace)
        return rename(out->temp_path, out->path);
    if (renameat2(AT_FDCWD, out->temp_path, AT_FDCWD, out->path, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -1;
    if (link(out->temp_path, out->path) == 0) {
        unlink(out->temp_path);
        return 0; /* the file is there, whatever becomes of its other name */
    }
    if (errno == EEXIST || (errno != EPERM && errno != EOPNOTSUPP && errno != ENOSYS))
        return -1;
    struct stat st;
    if (lstat(out->path, &st) == 0) {
        errno = EEXIST;
        return -1;
    }
    return rename(out->temp_path, out->path);
}

enum bp_status bp_file_out_commit(struct bp_file_out *out, bool replace, bool keep_fd,
                                  struct bp_err *err)
{
    enum bp_status status = BP_OK;
    if (fsync(out->fd) != 0 && errno != EINVAL)
        status =
            bp_fail(err, BP_ERR_FAILED, "%s: cannot be written: %s", out->path, strerror(errno));
    else if (publish(out, replace) != 0)
        status =
            errno == EEXIST
                ? bp_fail(err, BP_ERR_MISMATCH,
                          "%s: exists already and was kept; give --force to replace it", out->path)
                : bp_fail(err, BP_ERR_FAILED, "%s: cannot be written: %s", out->path,
                          strerror(errno));
    if (status != BP_OK) {
        bp_file_out_abandon(out);
        return status;
    }
    sync_folder(out->path);
    if (!keep_fd)
        close(out->fd);
    file_out_free(out);
    return BP_OK;
}

void bp_file_out_abandon(struct bp_file_out *out)
{
    if (out->fd >= 0)
        close(out->fd);
    if (out->temp_path)
        unlink(out->temp_path);
    file_out_free(out);
}

enum bp_status bp_file_write(const char *path, const void *bytes, size_t n, bool replace,
                             struct bp_err *err)
{
    struct bp_file_out out;
    BP_TRY(bp_file_out_begin(&out, path, err));
    enum bp_status status = bp_file_out_write(&out, bytes, n, err);
    if (status != BP_OK) {
        bp_file_out_abandon(&out);
        return status;
    }
    return bp_file_out_commit(&out, replace, false, err);
}
