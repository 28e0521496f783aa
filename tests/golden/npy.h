/*
 * Just enough of NumPy's .npy (version 1.0, C order, little endian) to read the golden arrays, and
 * where they lie: the folder named by BP_SHARED, "../shared" by default.
 */
#ifndef BP_TESTS_NPY_H
#define BP_TESTS_NPY_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static inline const char *shared_path(char *buffer, size_t n, const char *name)
{
    const char *root = getenv("BP_SHARED");
    snprintf(buffer, n, "%s/data/%s", root ? root : "../shared", name);
    return buffer;
}

static inline bool shared_has(const char *name)
{
    char path[4096];
    return access(shared_path(path, sizeof path, name), R_OK) == 0;
}

/* The payload (free it) and its size in bytes; stops the test program when it is not readable. */
static inline void *npy_load(const char *name, size_t *n_bytes)
{
    char path[4096], golden[256];
    unsigned char head[10];
    snprintf(golden, sizeof golden, "golden/%s.npy", name);
    FILE *f = fopen(shared_path(path, sizeof path, golden), "rb");
    if (!f || fread(head, 1, sizeof head, f) != sizeof head || memcmp(head, "\x93NUMPY\x01", 7)) {
        fprintf(stderr, "%s: not a readable .npy of version 1\n", path);
        exit(99);
    }
    long start = 10 + head[8] + 256L * head[9];
    fseek(f, 0, SEEK_END);
    size_t n = (size_t)(ftell(f) - start);
    void *data = malloc(n ? n : 1);
    fseek(f, start, SEEK_SET);
    if (!data || fread(data, 1, n, f) != n)
        exit(99);
    fclose(f);
    if (n_bytes)
        *n_bytes = n;
    return data;
}

#endif
