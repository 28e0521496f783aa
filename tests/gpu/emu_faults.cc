/* Kernels with a mistake each, for emulation.sh: what the emulation says of them. */
#include "gpu_compat.h"

enum { THREADS = 64 };
static const unsigned FULL = 0xffffffffu;

/* The sum of 0 .. 63 by way of shared memory, with a barrier or without. */
static __global__ void sum(int *out, bool barrier)
{
    __shared__ int all[THREADS];
    all[threadIdx.x] = (int)threadIdx.x;
    if (barrier)
        __syncthreads();
    if (threadIdx.x == THREADS / 2) {
        *out = 0;
        for (int i = 0; i < THREADS; i++)
            *out += all[i];
    }
}

static __global__ void missing_lane()
{
    if (threadIdx.x % 32 < 16)
        __shfl_xor_sync(FULL, 1, 1);
    __syncthreads();
}

static __global__ void different_collectives()
{
    if (threadIdx.x % 32 < 16)
        __ballot_sync(FULL, 1);
    else
        __shfl_down_sync(FULL, 1, 1u);
}

static __global__ void lane_outside()
{
    if (threadIdx.x % 32 < 16)
        __shfl_down_sync(0xffffu, 1, 8u);
}

static __global__ void not_in_mask()
{
    __ballot_sync(0xffffu, 1);
}

int main(int argc, char **argv)
{
    const char *fault = argc > 1 ? argv[1] : "";
    int total = 0;
    if (std::strcmp(fault, "none") == 0 || std::strcmp(fault, "no-barrier") == 0) {
        GPU_LAUNCH((sum), dim3(1), dim3(THREADS), 0, 0, &total, fault[2] == 'n');
        std::printf("%d\n", total);
    } else if (std::strcmp(fault, "missing-lane") == 0) {
        GPU_LAUNCH((missing_lane), dim3(1), dim3(THREADS), 0, 0);
    } else if (std::strcmp(fault, "different") == 0) {
        GPU_LAUNCH((different_collectives), dim3(1), dim3(THREADS), 0, 0);
    } else if (std::strcmp(fault, "outside") == 0) {
        GPU_LAUNCH((lane_outside), dim3(1), dim3(THREADS), 0, 0);
    } else if (std::strcmp(fault, "not-in-mask") == 0) {
        GPU_LAUNCH((not_in_mask), dim3(1), dim3(THREADS), 0, 0);
    } else if (std::strcmp(fault, "too-large") == 0) {
        GPU_LAUNCH((not_in_mask), dim3(1), dim3(2048), 0, 0);
    }
    return 0;
}
