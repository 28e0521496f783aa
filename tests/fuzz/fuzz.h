/*
 * What the fuzz targets share: the entry point, a check of the sentence that goes with a failure,
 * and a file in memory that has a path. Only for programs of one target; a broken promise aborts.
 */
#ifndef BP_TESTS_FUZZ_H
#define BP_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/err.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void must(int holds)
{
    if (!holds)
        abort();
}

/* A failure comes with a sentence: one line that a terminal may be shown, whatever the input. */
static inline void must_say(enum bp_status status, const struct bp_err *err)
{
    if (status == BP_OK)
        return;
    must(err->text[0] != '\0');
    for (const char *p = err->text; *p; p++)
        must((unsigned char)*p >= 0x20 && *p != 0x7f);
}

/* A file in memory; its path is good for as long as the process lives. */
struct memory_file {
    int fd; /* 0: not made yet */
    char path[40];
};

/* The file then holds data [size] and nothing else. */
static inline void memory_file_write(struct memory_file *file, const void *data, size_t size)
{
    if (!file->fd) {
        file->fd = memfd_create("fuzz", MFD_CLOEXEC);
        must(file->fd > 0);
        snprintf(file->path, sizeof file->path, "/proc/self/fd/%d", file->fd);
    }
    must(ftruncate(file->fd, 0) == 0);
    must(pwrite(file->fd, data, size, 0) == (ssize_t)size);
}

#endif
