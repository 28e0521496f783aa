/*
 * What the shared object of the CUDA backend offers: one exported symbol, which returns a table of
 * operations. Plain C and plain pointers, so that the program needs neither C++ nor CUDA, neither
 * to be built nor to run: it opens the object when a device is there (src/engine/backend_cuda.c).
 *
 * The object computes; what is computed (schedules, sketches, codebooks, which configs share an
 * iteration) comes from the engine. Matrices are FP32 in host memory, row-major as stored. Every
 * call leaves the device idle and the caller's buffers complete. A state serves one thread at a
 * time. Numbers depend on neither the number of lanes nor the company of other configs.
 *
 * Functions that can fail return 0, or a BP_CUDA_ code with one line of text in `say`.
 */
#ifndef BP_CUDA_H
#define BP_CUDA_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Changes with every change of what stands below. */
enum { BP_CUDA_ABI = 1 };

#define BP_CUDA_SYMBOL "bitplan_cuda"

enum {
    BP_CUDA_OK = 0,
    BP_CUDA_STOPPED = 1, /* the caller's `stopped` said so */
    BP_CUDA_FAILED = -1, /* a call of the device or its libraries failed; numbers left FP32 */
    BP_CUDA_MEMORY = -2  /* the device has not enough free */
};

enum { BP_CUDA_SAY = 400, BP_CUDA_NAME = 128 };

struct bp_cuda_say {
    char text[BP_CUDA_SAY];
};

struct bp_cuda_device {
    char name[BP_CUDA_NAME];
    int major, minor; /* compute capability */
    int driver, runtime;
    uint64_t bytes, bytes_free;
};

/* As struct bp_config; b2: 0 bf16, 1 fp16, 2 fp32. */
struct bp_cuda_config {
    uint8_t b0, b1, b2;
    uint32_t B0, B1;
};

/* The codebooks of 2, 3, 4 and 8 bits and the bounds between their values, in this order, each from
 * the start of its row. */
struct bp_cuda_codebooks {
    float values[4][256], bounds[4][256];
};

struct bp_cuda_limits {
    uint64_t d_max, k_max, n_max; /* rows, columns, elements of a matrix */
    uint32_t r_max;               /* rank */
    uint32_t q_max;               /* columns of the sketch, at least r_max */
    uint32_t B0_min;
    uint32_t lanes; /* trajectories in flight at most; fewer where memory is short */
    int tf32;       /* products with the remainder inside the iteration may round to TF32 */
};

struct bp_cuda_matrix {
    const float *W, *F;     /* [d * k]; F NULL for ones */
    const float *row, *col; /* [d], [k] with F: the diagonals D_row, D_col of Algorithm 4 */
    const float *sketch;    /* [d * q] column-major, random; NULL for rank 0 */
    uint64_t d, k;
    uint32_t r, q;  /* rank, columns of the sketch, r <= q <= the short side */
    uint32_t power; /* power iterations of the factorization, see engine/svd.h */
};

struct bp_cuda_watch {
    int (*stopped)(void *ctx);            /* asked between rounds */
    void (*done)(void *ctx, size_t n_of); /* how many of the call's items are finished */
    void *ctx;
};

/* One trajectory: the iteration runs under `config`; then its best iterate is evaluated under that
 * config with each of the types in `b2`. */
struct bp_cuda_job {
    struct bp_cuda_config config;
    const float *eta;    /* [iterations - 1] how far the step behind each iterate overshoots */
    uint32_t iterations; /* >= 1, 1 is the one step */
    int carry_all;       /* carry the sketch's q columns, of which r are L's; else r */
    uint8_t b2[3];       /* what to evaluate */
    uint32_t n_b2;       /* 1 .. 3 */
    double error[3];     /* out: in the order of b2 */
    uint32_t ran, best;  /* out: iterations that ran, the one kept, from 1 */
};

/* Where a decomposition goes, each may be NULL. */
struct bp_cuda_factors {
    float *Q, *L1, *L2; /* [d * k], [d * r], [r * k] row-major */
};

/* One quantized array in all its parts, each may be NULL: what the tests compare bit for bit. */
struct bp_cuda_quantized {
    uint8_t *codes;       /* [n] */
    uint32_t *words;      /* packed codes, see engine/pack.h */
    uint8_t *scale_codes; /* [blocks] */
    float *choosing;      /* [blocks] */
    float *value;         /* [blocks] */
    float *second;        /* [groups] */
    float *offset;        /* one */
    float *Q;             /* [n] dequantized */
    float *unpacked_Q;    /* [n] the same from the packed words */
    double *error;        /* one, sum of F (A - Q)^2 */
};

struct bp_cuda;

struct bp_cuda_api {
    int abi;
    const char *name; /* "cuda", or "cuemu": the same sources on the CPU */

    /* Fills `device` with the first one; fails with the reason why it cannot be used. */
    int (*probe)(struct bp_cuda_device *device, struct bp_cuda_say *say);

    int (*create)(const struct bp_cuda_limits *limits, const struct bp_cuda_codebooks *codebooks,
                  struct bp_cuda **out, struct bp_cuda_say *say);
    void (*free)(struct bp_cuda *state); /* takes NULL */

    /* Copies a matrix to the device and factorizes it (weighted where it has weights). */
    int (*load)(struct bp_cuda *state, const struct bp_cuda_matrix *matrix,
                struct bp_cuda_say *say);

    /* error [n]: of quantizing W itself (one_step 0) or W - SVD_r(W) (one_step 1). */
    int (*evaluate)(struct bp_cuda *state, int one_step, const struct bp_cuda_config *configs,
                    size_t n, const struct bp_cuda_watch *watch, double *error,
                    struct bp_cuda_say *say);

    /* Runs the jobs, several at a time. */
    int (*iterate)(struct bp_cuda *state, struct bp_cuda_job *jobs, size_t n,
                   const struct bp_cuda_watch *watch, struct bp_cuda_say *say);

    /* One job with a single b2, and its parts. */
    int (*decompose)(struct bp_cuda *state, struct bp_cuda_job *job,
                     const struct bp_cuda_factors *factors, struct bp_cuda_say *say);

    /* A [n] alone, whatever is loaded; F NULL for ones; n within n_max. */
    int (*quantize)(struct bp_cuda *state, const float *A, const float *F, uint64_t n,
                    const struct bp_cuda_config *config, const struct bp_cuda_quantized *out,
                    struct bp_cuda_say *say);
};

typedef const struct bp_cuda_api *bp_cuda_entry(void);

#ifdef __cplusplus
}
#endif

#endif
