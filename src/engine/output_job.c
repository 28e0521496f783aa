#include "engine/output_job.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "engine/file_out.h"
#include "engine/mem.h"
#include "engine/printable.h"

#define JOURNAL_NAME ".bitplan-unfinished"
#define PART_END     ".bitplan-part"

/* The journal: one line of HEAD bytes, then a character a matrix. */
enum { HEAD = 64, COPY_BYTES = 4 << 20 };
static const char NOT_YET = '.', IN_PLACE = '#';

struct bp_output_job {
    struct bp_output_work work;
    char *journal_path;
    int journal;           /* locked */
    char *marks;           /* [n_matrices] */
    char **parts, **names; /* [n_files] hidden and final paths */
    bool *made;            /* [3] folders of ours: OUT and below, for taking back */
    char *folders[4];
    size_t n_folders;
};

/* --- paths --- */

static char *join(const char *dir, const char *name)
{
    return bp_format("%s/%s", dir, name);
}

/* "OUT/adapter/.adapter_model.safetensors.bitplan-part" */
static char *part_path(const char *dir, const char *name)
{
    const char *slash = strrchr(name, '/');
    const int folder = slash ? (int)(slash - name + 1) : 0;
    return bp_format("%s/%.*s.%s" PART_END, dir, folder, name, name + folder);
}

/* OUT, and the folders in it that files lie in; at most OUT, adapter, packed, bnb. */
static enum bp_status add_folder(struct bp_output_job *job, const char *name, struct bp_err *err)
{
    const char *slash = name ? strchr(name, '/') : NULL;
    if (name && !slash)
        return BP_OK;
    char *path = name ? bp_format("%s/%.*s", job->work.dir, (int)(slash - name), name)
                      : bp_strdup(job->work.dir);
    if (!path)
        return bp_fail_nomem(err);
    for (size_t i = 0; i < job->n_folders; i++)
        if (strcmp(job->folders[i], path) == 0) {
            free(path);
            return BP_OK;
        }
    job->folders[job->n_folders++] = path;
    return BP_OK;
}

static enum bp_status list_paths(struct bp_output_job *job, struct bp_err *err)
{
    const struct bp_output *out = job->work.output;
    const char *dir = job->work.dir;
    job->journal_path = join(dir, JOURNAL_NAME);
    job->marks = bp_alloc(out->outline->n_matrices + 1, 1);
    job->parts = bp_alloc_zero(out->n_files, sizeof *job->parts);
    job->names = bp_alloc_zero(out->n_files, sizeof *job->names);
    if (!job->journal_path || !job->marks || !job->parts || !job->names)
        return bp_fail_nomem(err);
    memset(job->marks, NOT_YET, out->outline->n_matrices);
    BP_TRY(add_folder(job, NULL, err));
    for (size_t f = 0; f < out->n_files; f++) {
        job->parts[f] = part_path(dir, out->files[f].name);
        job->names[f] = join(dir, out->files[f].name);
        if (!job->parts[f] || !job->names[f])
            return bp_fail_nomem(err);
        BP_TRY(add_folder(job, out->files[f].name, err));
    }
    for (size_t i = 0; i < out->n_texts; i++)
        BP_TRY(add_folder(job, out->texts[i].name, err));
    return BP_OK;
}

static bool exists(const char *path)
{
    struct stat st;
    return lstat(path, &st) == 0;
}

char *bp_output_job_path(void *ctx, size_t f)
{
    const struct bp_output_job *job = ctx;
    return bp_strdup(exists(job->parts[f]) ? job->parts[f] : job->names[f]);
}

/* --- before the first byte --- */

static enum bp_status make_folders(struct bp_output_job *job, struct bp_err *err)
{
    for (size_t i = 0; i < job->n_folders; i++) {
        struct stat st;
        const char *path = job->folders[i];
        if (mkdir(path, 0777) == 0) {
            job->made[i] = true;
            continue;
        }
        if (errno == EEXIST && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
            continue;
        if (errno == EEXIST)
            return bp_fail(err, BP_ERR_FAILED, "%s: is not a folder", path);
        if (errno == ENOENT)
            return bp_fail(err, BP_ERR_FAILED,
                           "%s: cannot be made, the folder it is to be in does not exist", path);
        return bp_fail(err, BP_ERR_FAILED, "%s: cannot be made: %s", path, strerror(errno));
    }
    return BP_OK;
}

static enum bp_status check_name(const struct bp_output_job *job, const char *path,
                                 struct bp_err *err)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        return BP_OK;
    if (S_ISDIR(st.st_mode))
        return bp_fail(err, BP_ERR_FAILED, "%s: is a folder", path);
    if (!job->work.replace)
        return bp_fail(err, BP_ERR_MISMATCH,
                       "%s: exists already and was kept; give --force to replace it", path);
    return BP_OK;
}

static enum bp_status check_names(const struct bp_output_job *job, struct bp_err *err)
{
    const struct bp_output *out = job->work.output;
    for (size_t f = 0; f < out->n_files; f++)
        BP_TRY(check_name(job, job->names[f], err));
    for (size_t i = 0; i <= out->n_texts; i++) {
        const char *name = i < out->n_texts ? out->texts[i].name : job->work.last_name;
        if (!name)
            continue;
        char *path = join(job->work.dir, name);
        if (!path)
            return bp_fail_nomem(err);
        enum bp_status status = check_name(job, path, err);
        free(path);
        if (status != BP_OK)
            return status;
    }
    return BP_OK;
}

/* What hidden files of the job hold already. */
static uint64_t bytes_there(const struct bp_output_job *job)
{
    uint64_t total = 0;
    for (size_t f = 0; f < job->work.output->n_files; f++) {
        struct stat st;
        if (stat(job->parts[f], &st) == 0 || stat(job->names[f], &st) == 0)
            total += (uint64_t)st.st_blocks * 512;
    }
    return total;
}

/* A full disk after hours is worse than a refusal at once. File systems that do not tell count as
 * large enough. */
static enum bp_status check_space(const struct bp_output_job *job, uint64_t there,
                                  struct bp_err *err)
{
    struct statvfs fs;
    const uint64_t needed = bp_output_bytes(job->work.output);
    if (statvfs(job->work.dir, &fs) != 0 || fs.f_blocks == 0)
        return BP_OK;
    const double free_bytes = (double)fs.f_bavail * (double)fs.f_frsize;
    if ((double)needed - (double)there <= free_bytes)
        return BP_OK;
    return bp_fail(err, BP_ERR_FAILED, "%s: the output takes %s bytes more, but only %s are free",
                   job->work.dir, bp_grouped(needed - there).text,
                   bp_grouped((uint64_t)free_bytes).text);
}

/* --- files --- */

static bool stopped(const struct bp_output_job *job)
{
    return job->work.stopped && job->work.stopped(job->work.ctx);
}

static enum bp_status fail_write(const char *path, struct bp_err *err)
{
    return bp_fail(err, BP_ERR_FAILED, "%s: cannot be written: %s", path, strerror(errno));
}

static enum bp_status open_part(struct bp_output_job *job, size_t f, int flags, struct bp_err *err)
{
    struct bp_output_file *file = &job->work.output->files[f];
    file->fd = open(job->parts[f], O_RDWR | O_CLOEXEC | flags, 0666);
    return file->fd >= 0 ? BP_OK : fail_write(job->parts[f], err);
}

static enum bp_status write_fixed(struct bp_output_job *job, size_t f, size_t t, struct bp_err *err)
{
    const struct bp_output_file *file = &job->work.output->files[f];
    const uint64_t end = t + 1 < file->n_tensors ? file->offsets[t + 1] : file->n_bytes;
    const uint64_t n = end - file->offsets[t];
    for (uint64_t at = 0; at < n; at += COPY_BYTES) {
        const uint64_t run = n - at < COPY_BYTES ? n - at : COPY_BYTES;
        if (stopped(job))
            return BP_STOPPED;
        BP_TRY(bp_pwrite_all(file->fd, job->parts[f],
                             (const unsigned char *)file->tensors[t].fixed + at, run,
                             file->offsets[t] + at, err));
    }
    return BP_OK;
}

/* A file at its final size, with its header and all that is known beforehand. */
static enum bp_status create_part(struct bp_output_job *job, size_t f, struct bp_err *err)
{
    const struct bp_output_file *file = &job->work.output->files[f];
    BP_TRY(open_part(job, f, O_CREAT | O_TRUNC, err));
    BP_TRY(bp_pwrite_all(file->fd, job->parts[f], file->header, file->n_header, 0, err));
    for (size_t t = 0; t < file->n_tensors; t++)
        if (file->tensors[t].fixed)
            BP_TRY(write_fixed(job, f, t, err));
    if (ftruncate(file->fd, (off_t)file->n_bytes) != 0 || fsync(file->fd) != 0)
        return fail_write(job->parts[f], err);
    return BP_OK;
}

/* Removes hidden files, of this work or of another one that is thrown away. */
static void sweep(const struct bp_output_job *job)
{
    for (size_t i = 0; i < job->n_folders; i++) {
        DIR *dir = opendir(job->folders[i]);
        struct dirent *entry;
        while (dir && (entry = readdir(dir))) {
            const size_t n = strlen(entry->d_name), m = sizeof PART_END - 1;
            if (entry->d_name[0] == '.' && n > m && strcmp(entry->d_name + n - m, PART_END) == 0)
                (void)unlinkat(dirfd(dir), entry->d_name, 0);
        }
        if (dir)
            closedir(dir);
    }
}

/* --- the journal --- */

static void head_of(const struct bp_output_job *job, char head[HEAD + 1])
{
    snprintf(head, HEAD + 1, "bitplan unfinished 1 %016" PRIx64 " %zu", job->work.hash,
             job->work.output->outline->n_matrices);
    const size_t n = strlen(head);
    memset(head + n, ' ', HEAD - n);
    head[HEAD - 1] = '\n';
    head[HEAD] = '\0';
}

static enum bp_status lock_journal(struct bp_output_job *job, struct bp_err *err)
{
    job->journal = open(job->journal_path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (job->journal < 0)
        return fail_write(job->journal_path, err);
    if (flock(job->journal, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return bp_fail(err, BP_ERR_MISMATCH, "%s: another bitplan is at work there", job->work.dir);
    return BP_OK;
}

/* *same: an earlier run of this work left the journal; *other: some other work did. */
static enum bp_status read_journal(struct bp_output_job *job, bool *same, bool *other,
                                   struct bp_err *err)
{
    const size_t n = job->work.output->outline->n_matrices;
    char head[HEAD + 1], have[HEAD];
    head_of(job, head);
    const ssize_t got = pread(job->journal, have, HEAD, 0);
    if (got < 0)
        return bp_fail(err, BP_ERR_FAILED, "%s: cannot be read: %s", job->journal_path,
                       strerror(errno));
    *same = got == HEAD && memcmp(have, head, HEAD) == 0 &&
            pread(job->journal, job->marks, n, HEAD) == (ssize_t)n;
    /* Zeros: killed while it was prepared. */
    *other = !*same && got == HEAD && have[0] == 'b';
    if (!*same)
        memset(job->marks, NOT_YET, n);
    return BP_OK;
}

/* The head is written when all else is on disk: it says that there is something to go on with. */
static enum bp_status write_journal(struct bp_output_job *job, struct bp_err *err)
{
    const size_t n = job->work.output->outline->n_matrices;
    char head[HEAD + 1];
    head_of(job, head);
    BP_TRY(bp_pwrite_all(job->journal, job->journal_path, job->marks, n, HEAD, err));
    if (fsync(job->journal) != 0)
        return fail_write(job->journal_path, err);
    BP_TRY(bp_pwrite_all(job->journal, job->journal_path, head, HEAD, 0, err));
    return fsync(job->journal) == 0 ? BP_OK : fail_write(job->journal_path, err);
}

/* --- opening --- */

static enum bp_status prepare(struct bp_output_job *job, struct bp_err *err)
{
    if (ftruncate(job->journal, 0) != 0)
        return fail_write(job->journal_path, err);
    sweep(job);
    BP_TRY(check_names(job, err));
    BP_TRY(check_space(job, 0, err));
    for (size_t f = 0; f < job->work.output->n_files; f++)
        BP_TRY(create_part(job, f, err));
    return write_journal(job, err);
}

static bool is_complete(const struct bp_output_job *job)
{
    return !memchr(job->marks, NOT_YET, job->work.output->outline->n_matrices);
}

/* Files of complete work may have their names already. */
static enum bp_status go_on(struct bp_output_job *job, struct bp_err *err)
{
    BP_TRY(check_space(job, bytes_there(job), err));
    for (size_t f = 0; f < job->work.output->n_files; f++) {
        if (is_complete(job) && !exists(job->parts[f]) && exists(job->names[f]))
            continue;
        BP_TRY(check_name(job, job->names[f], err));
        BP_TRY(open_part(job, f, 0, err));
    }
    return BP_OK;
}

/* Takes back what was made of work that could not even begin. */
static void take_back(struct bp_output_job *job)
{
    sweep(job);
    (void)unlink(job->journal_path);
    for (size_t i = job->n_folders; i-- > 0;)
        if (job->made[i])
            (void)rmdir(job->folders[i]);
}

static enum bp_status open_job(struct bp_output_job *job, struct bp_err *err)
{
    bool same = false, other = false;
    BP_TRY(list_paths(job, err));
    job->made = bp_alloc_zero(job->n_folders, sizeof *job->made);
    if (!job->made)
        return bp_fail_nomem(err);
    enum bp_status status = make_folders(job, err);
    const bool locked = status == BP_OK && (status = lock_journal(job, err)) == BP_OK;
    if (!locked) {
        for (size_t i = job->n_folders; i-- > 0;)
            if (job->made[i])
                (void)rmdir(job->folders[i]); /* stays where another is at work */
        return status;
    }
    BP_TRY(read_journal(job, &same, &other, err));
    if (same)
        return go_on(job, err);
    if (other && !job->work.replace)
        return bp_fail(err, BP_ERR_MISMATCH,
                       "%s: holds unfinished work of another plan or with other options; --force "
                       "throws it away",
                       job->work.dir);
    status = prepare(job, err);
    if (status != BP_OK)
        take_back(job);
    return status;
}

enum bp_status bp_output_job_open(const struct bp_output_work *work, struct bp_output_job **out,
                                  struct bp_err *err)
{
    *out = NULL;
    struct bp_output_job *job = calloc(1, sizeof *job);
    if (!job)
        return bp_fail_nomem(err);
    job->work = *work;
    job->journal = -1;
    enum bp_status status = open_job(job, err);
    if (status != BP_OK)
        job = bp_output_job_close(job);
    *out = job;
    return status;
}

struct bp_output_job *bp_output_job_close(struct bp_output_job *job)
{
    if (!job)
        return NULL;
    struct bp_output *out = job->work.output;
    for (size_t f = 0; f < out->n_files; f++) {
        if (out->files[f].fd >= 0)
            close(out->files[f].fd);
        out->files[f].fd = -1;
        if (job->parts)
            free(job->parts[f]);
        if (job->names)
            free(job->names[f]);
    }
    for (size_t i = 0; i < job->n_folders; i++)
        free(job->folders[i]);
    if (job->journal >= 0)
        close(job->journal);
    free(job->journal_path);
    free(job->parts);
    free(job->names);
    free(job->marks);
    free(job->made);
    free(job);
    return NULL;
}

/* --- matrices --- */

bool bp_output_job_has(const struct bp_output_job *job, size_t i)
{
    return job->marks[i] == IN_PLACE;
}

enum bp_status bp_output_job_mark(struct bp_output_job *job, size_t i, struct bp_err *err)
{
    const struct bp_output *out = job->work.output;
    for (int p = 0; p < BP_N_PLACES; p++) {
        const size_t f = out->places[p] ? out->places[p][i].file : SIZE_MAX;
        if (f != SIZE_MAX && fsync(out->files[f].fd) != 0)
            return fail_write(job->parts[f], err);
    }
    BP_TRY(bp_pwrite_all(job->journal, job->journal_path, &IN_PLACE, 1, HEAD + i, err));
    job->marks[i] = IN_PLACE;
    return fsync(job->journal) == 0 ? BP_OK : fail_write(job->journal_path, err);
}

/* --- the end --- */

static enum bp_status copy_file(const char *from, const char *to, struct bp_err *err)
{
    struct bp_file_out out;
    char *bytes = bp_alloc(COPY_BYTES, 1);
    const int fd = open(from, O_RDONLY | O_CLOEXEC);
    enum bp_status status = BP_OK;
    if (!bytes)
        status = bp_fail_nomem(err);
    else if (fd < 0)
        status = bp_fail(err, BP_ERR_FAILED, "%s: cannot be read: %s", from, strerror(errno));
    if (status == BP_OK && (status = bp_file_out_begin(&out, to, err)) == BP_OK) {
        ssize_t n;
        while (status == BP_OK && (n = read(fd, bytes, COPY_BYTES)) != 0)
            status = n > 0 ? bp_file_out_write(&out, bytes, (size_t)n, err)
                           : bp_fail(err, BP_ERR_FAILED, "%s: cannot be read: %s", from,
                                     strerror(errno));
        if (status == BP_OK)
            status = bp_file_out_commit(&out, true, false, err);
        else
            bp_file_out_abandon(&out);
    }
    if (fd >= 0)
        close(fd);
    free(bytes);
    return status;
}

static enum bp_status write_text(const struct bp_output_job *job, const struct bp_output_text *t,
                                 struct bp_err *err)
{
    char *path = join(job->work.dir, t->name);
    if (!path)
        return bp_fail_nomem(err);
    enum bp_status status = t->text ? bp_file_write(path, t->text, strlen(t->text), true, err)
                                    : copy_file(t->from, path, err);
    free(path);
    return status;
}

static enum bp_status name_files(struct bp_output_job *job, struct bp_err *err)
{
    struct bp_output *out = job->work.output;
    for (size_t f = 0; f < out->n_files; f++) {
        if (out->files[f].fd < 0)
            continue; /* named by an earlier run */
        if (fsync(out->files[f].fd) != 0)
            return fail_write(job->parts[f], err);
        BP_TRY(check_name(job, job->names[f], err));
        if (rename(job->parts[f], job->names[f]) != 0)
            return fail_write(job->names[f], err);
    }
    return BP_OK;
}

/* Names survive a power cut only when their folders are synced, too; best effort. */
static void sync_folders(const struct bp_output_job *job)
{
    for (size_t i = 0; i < job->n_folders; i++) {
        const int fd = open(job->folders[i], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
            continue;
        (void)!fsync(fd);
        close(fd);
    }
}

enum bp_status bp_output_job_finish(struct bp_output_job *job, const char *last, struct bp_err *err)
{
    const struct bp_output *out = job->work.output;
    const struct bp_output_text text = {.name = (char *)(uintptr_t)job->work.last_name,
                                        .text = (char *)(uintptr_t)last};
    BP_TRY(name_files(job, err));
    for (size_t i = 0; i < out->n_texts; i++)
        BP_TRY(write_text(job, &out->texts[i], err));
    if (text.name)
        BP_TRY(write_text(job, &text, err));
    sync_folders(job);
    return unlink(job->journal_path) == 0 ? BP_OK : fail_write(job->journal_path, err);
}
