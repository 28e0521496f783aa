/*
 * Times the measuring of a matrix beside the reference procedure (bp_lq_decompose: what the
 * authors' code does, in C), in one process, on the same weights, with the same BLAS, taking turns,
 * since machines are noisy. What the floor rests on, sgemm's rate on the same shapes and the
 * bandwidth of reading, is measured in the same run. Weights are those of `bitplan sample`. Prints
 * figures, asserts nothing.
 *
 * Usage: bench_measure [-q] [-w] [-s SHAPE]... [-r RANK] [-t THREADS] [-n TURNS] [-c ITERATIONS]
 *   -s  1024, 4096 (square) or 11008 (4096 x 11008); all three if not given
 *   -q  quick: the reference for 3 iterations only, no whole matrices
 *   -w  no whole matrices
 *   -c  the reference for so many iterations at most, 100 if not given
 *   -n  turns, 3 if not given: fast and reference alternate, a figure is the median
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cblas.h>

#include "engine/backend.h"
#include "engine/mem.h"
#include "engine/parallel.h"
#include "engine/rng.h"
#include "engine/sample_weights.h"

enum { MAX_TURNS = 15, N_CELLS = 3 };

struct settings {
    bool quick, whole;
    uint32_t rank, cap;
    unsigned threads;
    int turns;
};

static const char *const CELLS[N_CELLS] = {"nf2:u4:bf16:64:64", "nf3:u4:bf16:64:64",
                                           "nf4:u4:bf16:64:64"};

static double clock_s(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Seconds of all threads: what others do on the machine disturbs these least. */
static double cpu_s(void)
{
    return clock_s(CLOCK_PROCESS_CPUTIME_ID);
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *values, int n)
{
    qsort(values, (size_t)n, sizeof *values, compare_doubles);
    return values[n / 2];
}

static void *must(void *p)
{
    if (!p) {
        fputs("out of memory\n", stderr);
        exit(1);
    }
    return p;
}

static void must_work(enum bp_status status, const struct bp_err *err)
{
    if (status != BP_OK) {
        fprintf(stderr, "%s\n", err->text);
        exit(1);
    }
}

/* --- weights --- */

static float *weights(uint64_t d, uint64_t k)
{
    enum { ROWS = 16 };
    const struct bp_sample_weights_spec spec = {.seed = 1,
                                                .name = "bench",
                                                .kind = d == k ? BP_SAMPLE_Q : BP_SAMPLE_DOWN,
                                                .rows = d,
                                                .cols = k,
                                                .hidden = d,
                                                .head_dim = 128,
                                                .depth = 0.5};
    struct bp_sample_weights *w;
    struct bp_err err = {""};
    must_work(bp_sample_weights_new(&spec, &w, &err), &err);
    float *W = must(bp_alloc(d * k, sizeof *W)), *work = must(bp_alloc(ROWS * k, sizeof *work));
    uint16_t *rows = must(bp_alloc(ROWS * k, sizeof *rows));
    for (uint64_t i = 0; i < d; i += ROWS) {
        bp_sample_weights_rows(w, i, ROWS, rows, work);
        for (uint64_t e = 0; e < ROWS * k; e++) {
            uint32_t bits = (uint32_t)rows[e] << 16;
            memcpy(&W[i * k + e], &bits, sizeof bits);
        }
    }
    free(rows);
    free(work);
    bp_sample_weights_free(w);
    return W;
}

/* --- what the floor rests on --- */

struct product {
    const float *W;
    float *E, *L1, *L2, *Y, *A; /* of all threads: [threads] times the parts of a thread */
    uint64_t rows, k;
    uint32_t r;
    double sum[256];
};

/* The three products of an iteration on a thread's panel of rows. */
static enum bp_status multiply(void *ctx, size_t i, unsigned worker, struct bp_err *err)
{
    (void)worker;
    (void)err;
    const struct product *p = ctx;
    const int rows = (int)p->rows, k = (int)p->k, r = (int)p->r;
    float *E = p->E + i * p->rows * p->k, *Y = p->Y + i * p->rows * p->r;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, rows, k, r, -1, p->L1, r, p->L2, k, 1, E,
                k);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, r, k, 1, E, k, p->L2, k, 0, Y, r);
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, k, r, rows, 1, E, k, p->L1, r, 0,
                p->A + i * p->k * p->r, r);
    return BP_OK;
}

static enum bp_status read_through(void *ctx, size_t i, unsigned worker, struct bp_err *err)
{
    (void)worker;
    (void)err;
    struct product *p = ctx;
    const float *from = p->W + i * p->rows * p->k;
    float sum[64] = {0};
    for (uint64_t e = 0; e + 64 <= p->rows * p->k; e += 64)
        for (int l = 0; l < 64; l++)
            sum[l] += from[e + (uint64_t)l];
    for (int l = 0; l < 64; l++)
        p->sum[i] += (double)sum[l];
    return BP_OK;
}

struct machine {
    double flops, bytes; /* a second of a thread, while so many are at work */
};

static double best_of(int n, size_t turns, unsigned threads, bp_turn_fn *turn, void *ctx)
{
    double best = 1e30;
    for (int i = 0; i < n; i++) {
        double start = cpu_s();
        bp_parallel_for(turns, threads, turn, ctx, NULL);
        double took = (cpu_s() - start) / threads;
        best = took < best ? took : best;
    }
    return best;
}

/* Every thread multiplies rows of its own; the best of several, as others may be at work. */
static struct machine measure_machine(const float *W, uint64_t d, uint64_t k, uint32_t r,
                                      unsigned threads)
{
    struct product p = {.W = W, .rows = d / threads, .k = k, .r = r};
    const uint64_t n = p.rows * k * threads;
    p.E = must(bp_alloc_zero(n, sizeof *p.E));
    p.L1 = must(bp_alloc(d * r, sizeof *p.L1));
    p.L2 = must(bp_alloc(k * r, sizeof *p.L2));
    p.Y = must(bp_alloc(p.rows * r * threads, sizeof *p.Y));
    p.A = must(bp_alloc(k * r * threads, sizeof *p.A));
    bp_rng_normal(1, 0, d * r, p.L1);
    bp_rng_normal(2, 0, k * r, p.L2);
    double multiplied = best_of(5, threads, threads, multiply, &p);
    double read = best_of(5, threads, threads, read_through, &p);
    free(p.E);
    free(p.L1);
    free(p.L2);
    free(p.Y);
    free(p.A);
    return (struct machine){6.0 * (double)n * r / multiplied / threads,
                            4.0 * (double)n / read / threads};
}

/* --- cells --- */

struct shape {
    uint64_t d, k;
    struct bp_lq_matrix matrix;
    /* of the reference, for each cell: seconds an iteration, iterations to its end */
    double reference_s[N_CELLS];
    uint32_t reference_T[N_CELLS];
    bool ended;
};

static double n_elems(const struct shape *s)
{
    return (double)(s->d * s->k);
}

static void backend_for(const struct shape *s, uint32_t rank, unsigned threads,
                        struct bp_backend *out)
{
    struct bp_err err = {""};
    const struct bp_backend_limits limits = {s->d, s->k, s->d * s->k, rank, 16};
    must_work(bp_backend_cpu_new(&limits, threads, out, &err), &err);
    must_work(bp_backend_load(out, &s->matrix, rank, 1, &err), &err);
}

/* One cell on one thread, in turns with the reference. */
static void bench_cell(const struct settings *o, struct shape *s, int cell,
                       struct bp_backend *backend, struct bp_lq_work *work,
                       const struct machine *machine)
{
    struct bp_err err = {""};
    struct bp_config config;
    struct bp_lq_result result = {0};
    double fast_s[MAX_TURNS], reference_s[MAX_TURNS], ratio[MAX_TURNS], error = 0;
    uint16_t ran = 0;
    must_work(bp_config_parse(CELLS[cell], &config, &err), &err);
    const struct bp_lq_options options = {o->rank, o->quick ? 3 : o->cap, 1};
    for (int turn = 0; turn < o->turns; turn++) {
        double start = cpu_s();
        must_work(
            bp_backend_iterate(backend, &config, 1, BP_LQ_MAX_ITERATIONS, NULL, &error, &ran, &err),
            &err);
        fast_s[turn] = cpu_s() - start;
        /* A long reference is run to its end once; what an iteration takes, again. */
        struct bp_lq_options again = options;
        again.iterations = turn > 0 && options.iterations > 3 ? 3 : options.iterations;
        struct bp_lq_result r;
        start = cpu_s();
        must_work(bp_lq_decompose(work, &s->matrix, &config, &again, NULL, NULL, &r, &err), &err);
        reference_s[turn] = (cpu_s() - start) / r.iterations;
        result = turn == 0 ? r : result;
        ratio[turn] = reference_s[turn] / fast_s[turn];
    }
    s->reference_T[cell] = result.iterations;
    const bool ended =
        result.iterations < options.iterations || result.iterations == BP_LQ_MAX_ITERATIONS;
    s->ended = s->ended && ended;
    double per_iteration = median(reference_s, o->turns), fast = median(fast_s, o->turns);
    s->reference_s[cell] = per_iteration;
    double floor_s = ran * 6.0 * n_elems(s) * o->rank / machine->flops;
    double read_s = ran * 4.0 * n_elems(s) / machine->bytes;
    printf("  %s  fast %7.2f s, %2u iterations, %5.2f ns an element and iteration; reference "
           "%7.2f s an iteration, %s%u iterations, %5.1f ns\n",
           CELLS[cell], fast, ran, fast / ran / n_elems(s) * 1e9, per_iteration,
           ended ? "" : ">= ", result.iterations, per_iteration / n_elems(s) * 1e9);
    printf("      speed-up %s%.0fx a cell, %.1fx an iteration; %.0f %% of sgemm's rate, %.1fx the "
           "floor of products, %.0fx that of reading; error %+.2f %% of the reference's%s\n",
           ended ? "" : ">= ", median(ratio, o->turns) * result.iterations,
           median(ratio, o->turns) * ran, 100 * floor_s / fast, fast / floor_s, fast / read_s,
           100 * (error / result.error - 1), ended ? "" : " so far");
    fflush(stdout);
}

/* --- whole matrices --- */

/* All candidates of the paper's grid, by the backend of so many threads. */
static void bench_one_step(const struct shape *s, const struct bp_grid *grid,
                           struct bp_backend *backend, double *error)
{
    struct bp_err err = {""};
    double start = cpu_s();
    must_work(bp_backend_one_step(backend, grid->configs, grid->n, NULL, error, &err), &err);
    double took = cpu_s() - start;
    printf("  one step of %zu candidates: %.2f s, %.3f ns an element and config\n", grid->n, took,
           took / n_elems(s) / (double)grid->n * 1e9);
    fflush(stdout);
}

static void bench_full(const struct settings *o, const struct shape *s, const struct bp_grid *grid,
                       struct bp_backend *backend, double start_s, double *error)
{
    struct bp_err err = {""};
    double start = cpu_s(), wall = clock_s(CLOCK_MONOTONIC), reference = 0;
    must_work(bp_backend_iterate(backend, grid->configs, grid->n, BP_LQ_MAX_ITERATIONS, NULL, error,
                                 NULL, &err),
              &err);
    double took = cpu_s() - start + start_s;
    wall = clock_s(CLOCK_MONOTONIC) - wall;
    for (int c = 0; c < N_CELLS; c++)
        reference += (double)grid->n / N_CELLS * s->reference_T[c] * s->reference_s[c];
    printf("  %zu candidates at full effort on %u threads: %.1f s (%.1f s of it the start), %.1f "
           "cells a second of a thread; by the clock on the wall %.1f s\n",
           grid->n, o->threads, took, start_s, (double)grid->n / took, wall);
    printf("      the reference, extrapolated from the cells above: %s%.0f s, %s%.0fx\n",
           s->ended ? "" : ">= ", reference, s->ended ? "" : ">= ", reference / took);
    fflush(stdout);
}

static void bench_whole(const struct settings *o, const struct shape *s)
{
    struct bp_err err = {""};
    struct bp_grid grid;
    struct bp_backend backend;
    must_work(bp_grid_parse("paper", &grid, &err), &err);
    double *error = must(bp_alloc(grid.n, sizeof *error)), start = cpu_s();
    backend_for(s, o->rank, o->threads, &backend);
    start = cpu_s() - start;
    bench_one_step(s, &grid, &backend, error);
    if (o->whole && !o->quick)
        bench_full(o, s, &grid, &backend, start, error);
    bp_backend_free(&backend);
    bp_grid_done(&grid);
    free(error);
}

static void bench_shape(const struct settings *o, uint64_t d, uint64_t k)
{
    struct bp_err err = {""};
    struct bp_backend backend;
    struct bp_lq_work *work;
    float *W = weights(d, k);
    struct shape s = {.d = d, .k = k, .matrix = {W, NULL, d, k, "bench"}, .ended = true};
    struct machine one = measure_machine(W, d, k, o->rank, 1);
    struct machine all = measure_machine(W, d, k, o->rank, o->threads);
    printf(
        "%llu x %llu, rank %u\n  a thread's sgemm of these shapes: %.0f GFLOP/s, %.0f when %u are "
        "at work; reading: %.1f and %.1f GB/s\n",
        (unsigned long long)d, (unsigned long long)k, o->rank, one.flops * 1e-9, all.flops * 1e-9,
        o->threads, one.bytes * 1e-9, all.bytes * 1e-9);
    fflush(stdout);
    backend_for(&s, o->rank, 1, &backend);
    must_work(bp_lq_work_new(d, k, d * k, o->rank, 16, BP_SVD_RANDOMIZED, &work, &err), &err);
    for (int c = 0; c < N_CELLS; c++)
        bench_cell(o, &s, c, &backend, work, &one);
    bp_lq_work_free(work);
    bp_backend_free(&backend);
    bench_whole(o, &s);
    free(W);
}

int main(int argc, char **argv)
{
    struct settings o = {.whole = true,
                         .rank = 64,
                         .cap = BP_LQ_MAX_ITERATIONS,
                         .threads = bp_available_threads(),
                         .turns = 3};
    bool square1 = false, square4 = false, wide = false;
    for (int c; (c = getopt(argc, argv, "qws:r:t:n:c:")) != -1;) {
        long value = optarg ? strtol(optarg, NULL, 10) : 0;
        switch (c) {
        case 'q':
            o.quick = true;
            break;
        case 'w':
            o.whole = false;
            break;
        case 's':
            square1 |= value == 1024;
            square4 |= value == 4096;
            wide |= value == 11008;
            if (value != 1024 && value != 4096 && value != 11008)
                return 2;
            break;
        case 'r':
            o.rank = value > 0 && value <= 1024 ? (uint32_t)value : o.rank;
            break;
        case 't':
            o.threads = value > 0 && value <= 256 ? (unsigned)value : o.threads;
            break;
        case 'n':
            o.turns = value > 0 && value <= MAX_TURNS ? (int)value : o.turns;
            break;
        case 'c':
            o.cap = value > 0 && value <= BP_LQ_MAX_ITERATIONS ? (uint32_t)value : o.cap;
            break;
        default:
            return 2;
        }
    }
    bp_blas_single_thread();
    bool all = !square1 && !square4 && !wide;
    if (all || square1)
        bench_shape(&o, 1024, 1024);
    if (all || square4)
        bench_shape(&o, 4096, 4096);
    if (all || wide)
        bench_shape(&o, 4096, 11008);
    return 0;
}
