#include "engine/backend_cuda.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/bp_cuda.h"

#define OBJECT "libbitplan_cuda.so"
#define DRIVER "libcuda.so.1"

static void because(struct bp_cuda_look *out, enum bp_cuda_cause cause, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void because(struct bp_cuda_look *out, enum bp_cuda_cause cause, const char *format, ...)
{
    va_list arguments;
    out->cause = cause;
    va_start(arguments, format);
    vsnprintf(out->reason, sizeof out->reason, format, arguments);
    va_end(arguments);
}

/* --- the driver --- */

/* Asks a driver that was loaded, with the three functions of it that are needed. */
static bool ask_driver(void *driver, struct bp_cuda_look *out)
{
    enum { NO_DEVICE = 100 }; /* CUDA_ERROR_NO_DEVICE */
    int (*init)(unsigned);
    int (*count)(int *);
    int n = 0;
    *(void **)&init = dlsym(driver, "cuInit");
    *(void **)&count = dlsym(driver, "cuDeviceGetCount");
    if (!init || !count) {
        because(out, BP_CUDA_DRIVER_FAILS, DRIVER " is no NVIDIA driver");
        return false;
    }
    const int status = init(0);
    if (status != 0 && status != NO_DEVICE) {
        because(out, BP_CUDA_DRIVER_FAILS, "the NVIDIA driver does not start (cuInit says %d)",
                status);
        return false;
    }
    if (status == NO_DEVICE || count(&n) != 0 || n < 1) {
        because(out, BP_CUDA_NO_DEVICE, "the NVIDIA driver sees no device");
        return false;
    }
    return true;
}

/* It is small and answers in no time where it is missing, while the object brings along hundreds of
 * megabytes of libraries: so it is asked first. */
static bool has_device(struct bp_cuda_look *out)
{
    void *driver = dlopen(DRIVER, RTLD_NOW | RTLD_LOCAL);
    if (!driver) {
        because(out, BP_CUDA_NO_DRIVER, "no NVIDIA driver: %.300s", dlerror());
        return false;
    }
    return ask_driver(driver, out); /* it stays: a driver that has started may have threads */
}

/* --- the object --- */

/* The folder of the program. */
static bool own_folder(char *path, size_t size)
{
    ssize_t n = readlink("/proc/self/exe", path, size - 1);
    if (n <= 0)
        return false;
    path[n] = '\0';
    char *slash = strrchr(path, '/');
    if (slash)
        *slash = '\0';
    return slash != NULL;
}

static bool is_at(struct bp_cuda_look *out, const char *folder, const char *below)
{
    int n = snprintf(out->object, sizeof out->object, "%s%s/" OBJECT, folder, below);
    return n > 0 && (size_t)n < sizeof out->object && access(out->object, R_OK) == 0;
}

static bool find_object(struct bp_cuda_look *out)
{
    const char *named = getenv("BITPLAN_CUDA");
    char folder[256];
    if (named && *named) {
        snprintf(out->object, sizeof out->object, "%s", named);
        if (access(out->object, R_OK) == 0)
            return true;
        because(out, BP_CUDA_NOT_BUILT, "BITPLAN_CUDA: there is no %.300s", named);
    } else if (!own_folder(folder, sizeof folder)) {
        because(out, BP_CUDA_NOT_BUILT, "the folder of the program cannot be told");
    } else {
        if (is_at(out, folder, "") || is_at(out, folder, "/../lib/bitplan"))
            return true;
        because(out, BP_CUDA_NOT_BUILT,
                "built without CUDA: there is no " OBJECT " in %.256s or its ../lib/bitplan",
                folder);
    }
    out->object[0] = '\0';
    return false;
}

static const struct bp_cuda_api *open_object(struct bp_cuda_look *out)
{
    bp_cuda_entry *entry;
    struct bp_cuda_device device;
    struct bp_cuda_say say = {""};
    void *object = dlopen(out->object, RTLD_NOW | RTLD_LOCAL);
    if (!object) {
        because(out, BP_CUDA_NO_LIBRARY, "%.300s", dlerror());
        return NULL;
    }
    *(void **)&entry = dlsym(object, BP_CUDA_SYMBOL);
    const struct bp_cuda_api *api = entry ? entry() : NULL;
    if (!api || api->abi != BP_CUDA_ABI) {
        because(out, BP_CUDA_OTHER_VERSION, "%.300s belongs to another version of bitplan",
                out->object);
        dlclose(object);
        return NULL;
    }
    if (api->probe(&device, &say) != BP_CUDA_OK) {
        because(out, BP_CUDA_UNFIT, "%.300s", say.text);
        return NULL; /* a runtime that has started is not taken away */
    }
    snprintf(out->device, sizeof out->device, "%s", device.name);
    out->major = device.major;
    out->minor = device.minor;
    out->driver = device.driver;
    out->runtime = device.runtime;
    out->bytes = device.bytes;
    out->bytes_free = device.bytes_free;
    return api;
}

const struct bp_cuda_api *bp_cuda_open(struct bp_cuda_look *out)
{
    *out = (struct bp_cuda_look){.cause = BP_CUDA_USABLE};
    return has_device(out) && find_object(out) ? open_object(out) : NULL;
}

void bp_cuda_look(struct bp_cuda_look *out)
{
    (void)bp_cuda_open(out);
}

bool bp_cuda_half_working(const struct bp_cuda_look *look)
{
    static const bool half_working[] = {
#define HALF_WORKING(suffix, word, half_working) half_working,
        BP_CUDA_CAUSES(HALF_WORKING)
#undef HALF_WORKING
    };
    return half_working[look->cause];
}
