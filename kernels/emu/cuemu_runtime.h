/*
 * The calls of the CUDA runtime that the backend makes, over the C library. Streams have no
 * parallelism: everything is done when the call returns. Memory counts against a device of
 * BP_CUEMU_BYTES.
 */
#ifndef BP_CUEMU_RUNTIME_H
#define BP_CUEMU_RUNTIME_H

#include "emu/cuemu.h"

enum cudaError_t {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorNoDevice = 100
};
enum cudaMemcpyKind {
    cudaMemcpyHostToDevice = 1,
    cudaMemcpyDeviceToHost,
    cudaMemcpyDeviceToDevice
};
enum { cudaStreamNonBlocking = 1 };
typedef struct cuemu_stream *cudaStream_t;

struct cudaDeviceProp {
    char name[256];
    size_t totalGlobalMem;
    int major, minor;
};

namespace cuemu
{
inline size_t used; /* bytes of the device */

inline size_t capacity()
{
    const char *bytes = std::getenv("BP_CUEMU_BYTES");
    return bytes ? (size_t)std::strtoull(bytes, nullptr, 10) : (size_t)4 << 30;
}

enum { HEAD = 64 }; /* before each allocation, holds its size */
} // namespace cuemu

static inline const char *cudaGetErrorString(cudaError_t e)
{
    switch (e) {
    case cudaSuccess:
        return "no error";
    case cudaErrorMemoryAllocation:
        return "out of memory";
    case cudaErrorNoDevice:
        return "no CUDA-capable device is detected";
    default:
        return "invalid argument";
    }
}

static inline cudaError_t cudaGetDeviceCount(int *n)
{
    const char *devices = std::getenv("BP_CUEMU_DEVICES");
    *n = devices ? std::atoi(devices) : 1;
    return *n ? cudaSuccess : cudaErrorNoDevice;
}

static inline cudaError_t cudaSetDevice(int)
{
    return cudaSuccess;
}

static inline cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int)
{
    *p = cudaDeviceProp();
    std::snprintf(p->name, sizeof p->name, "the CPU, emulating a device");
    p->major = 9;
    p->totalGlobalMem = cuemu::capacity();
    return cudaSuccess;
}

static inline cudaError_t cudaDriverGetVersion(int *v)
{
    *v = 0;
    return cudaSuccess;
}

static inline cudaError_t cudaRuntimeGetVersion(int *v)
{
    *v = 0;
    return cudaSuccess;
}

static inline cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total)
{
    *total = cuemu::capacity();
    *free_bytes = *total > cuemu::used ? *total - cuemu::used : 0;
    return cudaSuccess;
}

static inline cudaError_t cudaMalloc(void **p, size_t n)
{
    char *head = nullptr;
    if (n <= cuemu::capacity() && cuemu::used <= cuemu::capacity() - n)
        head = static_cast<char *>(std::malloc(n + cuemu::HEAD));
    if (!head)
        return cudaErrorMemoryAllocation;
    std::memcpy(head, &n, sizeof n);
    std::memset(head + cuemu::HEAD, 0xff, n);
    cuemu::used += n;
    *p = head + cuemu::HEAD;
    return cudaSuccess;
}

static inline cudaError_t cudaFree(void *p)
{
    if (p) {
        char *head = static_cast<char *>(p) - cuemu::HEAD;
        size_t n;
        std::memcpy(&n, head, sizeof n);
        cuemu::used -= n;
        std::free(head);
    }
    return cudaSuccess;
}

static inline cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t n, cudaMemcpyKind,
                                          cudaStream_t)
{
    std::memcpy(to, from, n);
    return cudaSuccess;
}

static inline cudaError_t cudaMemsetAsync(void *p, int byte, size_t n, cudaStream_t)
{
    std::memset(p, byte, n);
    return cudaSuccess;
}

static inline cudaError_t cudaGetLastError()
{
    return cudaSuccess;
}

static inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned)
{
    *s = nullptr;
    return cudaSuccess;
}

static inline cudaError_t cudaStreamDestroy(cudaStream_t)
{
    return cudaSuccess;
}

static inline cudaError_t cudaStreamSynchronize(cudaStream_t)
{
    return cudaSuccess;
}

#endif
