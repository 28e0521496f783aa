/*
 * The one header through which kernel sources reach CUDA, and all that differs between their two
 * builds: nvcc makes the shared object for devices, a plain C++ compiler makes the one that runs
 * the same kernels on the CPU (emu/cuemu.h), for tests.
 *
 *     GPU_LAUNCH((kernel<4>), grid, block, shared_bytes, stream, arguments...)
 *
 * stands for kernel<4><<<...>>>(arguments...); the parentheses keep the commas of a template
 * together.
 */
#ifndef BP_GPU_COMPAT_H
#define BP_GPU_COMPAT_H

#ifdef __CUDACC__
#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <cusolverDn.h>
#define GPU_UNWRAP(...) __VA_ARGS__
#define GPU_LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
    GPU_UNWRAP kernel<<<(grid), (block), (shared_bytes), (stream)>>>(__VA_ARGS__)
#define GPU_BUILD "cuda"
#else
#include "emu/cuemu.h"
#include "emu/cuemu_blas.h"
#include "emu/cuemu_runtime.h"
#define GPU_BUILD "cuemu"
#endif

#endif
