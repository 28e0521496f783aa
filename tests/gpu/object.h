/*
 * The shared object of the CUDA backend as tests open it: the one for devices when BP_GPU_OBJECT
 * names it, else the one that runs the same kernels on the CPU. Without a device a test of the
 * former is skipped, with the reason.
 */
#ifndef BP_TESTS_GPU_OBJECT_H
#define BP_TESTS_GPU_OBJECT_H

#include "../unit/support.h"

#include <dlfcn.h>

#include "engine/nf.h"
#include "kernels/bp_cuda.h"

/* Where the emulated object of this build lies: two folders above the program. */
static inline char *object_path(const char *file)
{
    const char *named = getenv("BP_GPU_OBJECT");
    char self[4096];
    if (named && strcmp(file, "libbitplan_cuemu.so") == 0)
        return bp_strdup(named);
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(n > 0);
    self[n] = '\0';
    for (int up = 0; up < 3; up++)
        *strrchr(self, '/') = '\0';
    return bp_format("%s/%s", self, file);
}

/* NULL when there is no device for it; `why` says so. Opened once; the process's end closes it. */
static inline const struct bp_cuda_api *object_open(struct bp_cuda_say *why)
{
    char *path = object_path("libbitplan_cuemu.so");
    void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!object)
        fail_msg("%s", dlerror());
    free(path);
    bp_cuda_entry *entry;
    *(void **)&entry = dlsym(object, BP_CUDA_SYMBOL);
    assert_non_null(entry);
    const struct bp_cuda_api *api = entry();
    struct bp_cuda_device device;
    assert_int_equal(api->abi, BP_CUDA_ABI);
    return api->probe(&device, why) == BP_CUDA_OK ? api : NULL;
}

static inline void object_codebooks(struct bp_cuda_codebooks *books)
{
    static const unsigned bits[4] = {2, 3, 4, 8};
    *books = (struct bp_cuda_codebooks){0};
    for (int b = 0; b < 4; b++) {
        memcpy(books->values[b], bp_nf_values(bits[b]), sizeof(float) << bits[b]);
        bp_nf_bounds(bits[b], books->bounds[b]);
    }
}

static inline struct bp_cuda_config object_config(const struct bp_config *c)
{
    return (struct bp_cuda_config){c->b0, c->b1, c->b2, c->B0, c->B1};
}

/* Fails the test with what the object says. */
static inline void object_ok(int code, const struct bp_cuda_say *say)
{
    if (code != BP_CUDA_OK)
        fail_msg("status %d: %s", code, say->text);
}

#endif
