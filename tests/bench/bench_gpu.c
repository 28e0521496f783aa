/*
 * Times the CUDA backend on the shapes of Llama-2-7B: loading a matrix, the plain and one-step
 * errors of the paper's 243 configs, their iterations, one decomposition. Beside each stands the
 * least time in which a device of the given bandwidth and FP32 rate could do it: FP32 weights read
 * once for each batch of configs, or, for an iteration, W read, the remainder written and read
 * twice, and three products of rank r. Prints figures, asserts nothing; where there is no device,
 * it says why.
 *
 * Usage: bench_gpu [-r RANK] [-b GB/S] [-f TFLOP/S] [-d ROWS -k COLUMNS]
 *   -b, -f  of the device; those of the H200's data sheet, 4800 and 67, if not given
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "engine/backend_cuda.h"
#include "engine/lq_fast.h"
#include "engine/mem.h"
#include "engine/rng.h"

static double bytes_per_s = 4800e9, flop_per_s = 67e12;

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void must_work(enum bp_status status, const struct bp_err *err)
{
    if (status != BP_OK) {
        fprintf(stderr, "%s\n", err->text);
        exit(1);
    }
}

static void row(const char *what, double seconds, double bytes, double flops)
{
    const double floor_bytes = bytes / bytes_per_s, floor_flops = flops / flop_per_s;
    const double least = floor_bytes > floor_flops ? floor_bytes : floor_flops;
    printf("  %-34s %10.2f ms   floor %9.3f ms   %6.1f x\n", what, 1e3 * seconds, 1e3 * least,
           seconds / least);
}

/* Iterations of all families of the grid. */
static double count_iterations(const struct bp_grid *grid, uint64_t d, uint64_t k)
{
    double sum = 0.0;
    for (size_t i = 0; i < grid->n; i++)
        sum += bp_lq_fast_iterations(d, k, grid->configs[i].b0);
    return sum / BP_N_SCALE_TYPES;
}

static void bench(uint64_t d, uint64_t k, uint32_t rank)
{
    enum { BATCH = 8 }; /* configs a pass */
    const double n = (double)d * (double)k, read = 4.0 * n;
    const struct bp_backend_limits limits = {d, k, d * k, rank, 16};
    struct bp_backend b;
    struct bp_grid grid;
    struct bp_err err = {""};
    struct bp_lq_result result;
    must_work(bp_grid_parse("paper", &grid, &err), &err);
    float *W = bp_alloc(d * k, sizeof *W);
    double *error = bp_alloc(grid.n, sizeof *error);
    if (!W || !error)
        must_work(bp_fail_nomem(&err), &err);
    bp_rng_normal(1, 0, d * k, W);
    const struct bp_lq_matrix matrix = {W, NULL, d, k, "bench"};
    must_work(bp_backend_new(BP_BACKEND_CUDA, &limits, 1, &b, &err), &err);
    printf("%llu x %llu, rank %u, %zu configs\n", (unsigned long long)d, (unsigned long long)k,
           rank, grid.n);
    must_work(bp_backend_load(&b, &matrix, rank, 1, &err), &err); /* warms up */
    const double start = now_s();
    must_work(bp_backend_load(&b, &matrix, rank, 1, &err), &err);
    const double loaded = now_s();
    must_work(bp_backend_plain(&b, grid.configs, grid.n, NULL, error, &err), &err);
    const double plain = now_s();
    must_work(bp_backend_one_step(&b, grid.configs, grid.n, NULL, error, &err), &err);
    const double one_step = now_s();
    must_work(
        bp_backend_iterate(&b, grid.configs, grid.n, BP_LQ_MAX_ITERATIONS, NULL, error, NULL, &err),
        &err);
    const double iterated = now_s();
    must_work(bp_backend_decompose(&b, &grid.configs[grid.n / 2], BP_LQ_MAX_ITERATIONS, NULL,
                                   &result, &err),
              &err);
    const double decomposed = now_s();
    const double its = count_iterations(&grid, d, k), flops = 6.0 * n * rank;
    row("load and factorize", loaded - start, read, 6 * 2.0 * n * (rank + 16.0));
    row("plain errors", plain - loaded, read * (double)grid.n / BATCH, 0.0);
    row("one-step errors", one_step - plain, read * (double)grid.n / BATCH, 0.0);
    row("iterated errors", iterated - one_step, 4.0 * read * its, flops * its);
    row("one decomposition", decomposed - iterated, 4.0 * read * result.iterations,
        flops * result.iterations);
    bp_backend_free(&b);
    bp_grid_done(&grid);
    free(W);
    free(error);
}

int main(int argc, char **argv)
{
    uint64_t d = 0, k = 0;
    uint32_t rank = 64;
    struct bp_cuda_look look;
    for (int option; (option = getopt(argc, argv, "r:b:f:d:k:")) != -1;) {
        switch (option) {
        case 'r':
            rank = (uint32_t)atoi(optarg);
            break;
        case 'b':
            bytes_per_s = atof(optarg) * 1e9;
            break;
        case 'f':
            flop_per_s = atof(optarg) * 1e12;
            break;
        case 'd':
            d = (uint64_t)atoll(optarg);
            break;
        case 'k':
            k = (uint64_t)atoll(optarg);
            break;
        default:
            return 2;
        }
    }
    bp_cuda_look(&look);
    if (look.cause != BP_CUDA_USABLE) {
        printf("no figures of a device: %s\n", look.reason);
        return 0;
    }
    printf("%s, compute capability %d.%d\n", look.device, look.major, look.minor);
    if (d && k) {
        bench(d, k, rank);
    } else {
        bench(4096, 4096, rank);
        bench(4096, 11008, rank);
    }
    return 0;
}
