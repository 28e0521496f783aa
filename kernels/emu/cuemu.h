/*
 * CUDA kernels on the CPU, for tests: the part of the language that the kernels use, over one fiber
 * for each thread of a block. No CUDA toolkit is needed. Blocks run one after the other; a fiber
 * runs until it meets a barrier or a warp collective, then another runs. A collective is released
 * when every lane of its mask has come, a block barrier when every live thread has. What would be
 * undefined on a device (a lane that never comes, lanes in different collectives, a shuffle from a
 * lane outside the mask) ends the process with the kernel's name and the thread.
 *
 * Shared and device memory start as 0xFF bytes: NaN, and the largest integers.
 *
 * BP_CUEMU_ORDER=forward|reverse|random:SEED   the order in which fibers are resumed
 * BP_CUEMU_DEVICES=0                           as on a machine without a device
 * BP_CUEMU_BYTES=N                             memory of the device, default 4 GiB
 *
 * AddressSanitizer and ThreadSanitizer are told of the fibers. To the latter, two threads of a
 * block are ordered by barriers alone (not by shuffles and votes), so that it finds races on shared
 * memory.
 *
 * Not here: progress between blocks (one that waits for another hangs), streams in parallel, memory
 * of weaker order than the CPU's, textures, inline PTX, cooperative groups, half types, timing.
 * Build with -ffp-contract=off.
 */
#ifndef BP_CUEMU_H
#define BP_CUEMU_H

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <tuple>
#include <type_traits>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __restrict__ __restrict
/* One block runs at a time, so that one copy serves all; the section is refilled before each. */
#define __shared__ static __attribute__((section("cuemu_shared")))

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c)
    {
    }
};

struct uint3 {
    unsigned x, y, z;
};

namespace cuemu
{
enum collective { SHUFFLE_XOR, SHUFFLE_DOWN, BALLOT };

/* Where the running thread is. */
const uint3 &thread_index();
const uint3 &block_index();
const dim3 &block_size();
const dim3 &grid_size();

void block_barrier();
uint64_t meet(enum collective op, uint32_t mask, uint64_t in, int arg);

/* Runs body(arg) in every thread of every block. */
void run(const char *name, dim3 grid, dim3 block, void (*body)(void *), void *arg);

template <class... P, class... A>
void launch(const char *name, dim3 grid, dim3 block, void (*kernel)(P...), A &&...args)
{
    std::tuple<P...> converted(static_cast<P>(args)...); /* once, as a launch does */
    auto call = [&] { std::apply(kernel, converted); };
    run(
        name, grid, block, [](void *p) { (*static_cast<decltype(call) *>(p))(); }, &call);
}

template <class T> inline uint64_t to_word(T v)
{
    static_assert(sizeof(T) <= 8, "a shuffle moves at most 8 bytes");
    uint64_t word = 0;
    std::memcpy(&word, &v, sizeof v);
    return word;
}

template <class T> inline T of_word(uint64_t word)
{
    T v;
    std::memcpy(&v, &word, sizeof v);
    return v;
}
} // namespace cuemu

#define threadIdx (cuemu::thread_index())
#define blockIdx  (cuemu::block_index())
#define blockDim  (cuemu::block_size())
#define gridDim   (cuemu::grid_size())

#define __syncthreads() cuemu::block_barrier()

template <class T> static inline T __shfl_xor_sync(unsigned mask, T v, int lanes)
{
    return cuemu::of_word<T>(cuemu::meet(cuemu::SHUFFLE_XOR, mask, cuemu::to_word(v), lanes));
}

template <class T> static inline T __shfl_down_sync(unsigned mask, T v, unsigned delta)
{
    return cuemu::of_word<T>(cuemu::meet(cuemu::SHUFFLE_DOWN, mask, cuemu::to_word(v), (int)delta));
}

static inline unsigned __ballot_sync(unsigned mask, int predicate)
{
    return (unsigned)cuemu::meet(cuemu::BALLOT, mask, predicate != 0, 0);
}

/* --- arithmetic that nvcc may not fuse --- */

static inline float __fmul_rn(float a, float b)
{
    return a * b;
}

static inline float __fadd_rn(float a, float b)
{
    return a + b;
}

static inline float __fsub_rn(float a, float b)
{
    return a - b;
}

static inline float __fdiv_rn(float a, float b)
{
    return a / b;
}

static inline float __fmaf_rn(float a, float b, float c)
{
    return std::fmaf(a, b, c);
}

static inline unsigned __float_as_uint(float v)
{
    return cuemu::of_word<unsigned>(cuemu::to_word(v));
}

static inline float __uint_as_float(unsigned u)
{
    return cuemu::of_word<float>(cuemu::to_word(u));
}

static inline unsigned atomicMin(unsigned *at, unsigned v)
{
    unsigned old = __atomic_load_n(at, __ATOMIC_RELAXED);
    while (v < old &&
           !__atomic_compare_exchange_n(at, &old, v, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
    return old;
}

#define CUEMU_UNWRAP(...) __VA_ARGS__
#define GPU_LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
    ((void)(shared_bytes), (void)(stream),                         \
     cuemu::launch(#kernel, (grid), (block), CUEMU_UNWRAP kernel, ##__VA_ARGS__))

#endif
