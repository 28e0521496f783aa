/*
 * Files that appear whole or not at all.
 *
 * A file is written under a temporary name in the same folder, synced, and given its name at the
 * end; until then an existing file of that name is untouched. A failure (a full disk, a folder that
 * is not writable) removes the temporary file. Temporary names carry host and process, so that what
 * a killed process left behind is swept by the next one on the same host.
 */
#ifndef BP_ENGINE_FILE_OUT_H
#define BP_ENGINE_FILE_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/err.h"

struct bp_file_out {
    char *path;      /* the name it will have */
    char *temp_path; /* the name it has until bp_file_out_commit */
    int fd;          /* open for reading and writing */
};

/* Creates the temporary file. On success the struct is to be finished with commit or abandon. */
enum bp_status bp_file_out_begin(struct bp_file_out *out, const char *path, struct bp_err *err);

/* Appends n bytes. After a failure only abandon is left. */
enum bp_status bp_file_out_write(struct bp_file_out *out, const void *bytes, size_t n,
                                 struct bp_err *err);

/* Writes n bytes at an offset of fd, all or an error: for any file, named by `path` in messages. */
enum bp_status bp_pwrite_all(int fd, const char *path, const void *bytes, size_t n, uint64_t offset,
                             struct bp_err *err);

/* Syncs and gives the file its name. replace false: BP_ERR_MISMATCH when the name is taken, and the
 * existing file stays. The struct is done either way. fd stays open for the caller when keep_fd. */
enum bp_status bp_file_out_commit(struct bp_file_out *out, bool replace, bool keep_fd,
                                  struct bp_err *err);

/* Removes the temporary file; for a struct that was begun and not committed. */
void bp_file_out_abandon(struct bp_file_out *out);

/* begin, write, commit in one. */
enum bp_status bp_file_write(const char *path, const void *bytes, size_t n, bool replace,
                             struct bp_err *err);

#endif
