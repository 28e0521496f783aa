/*
 * What computes: one matrix at a time is handed to a backend, which then answers for it what each
 * config costs and, for the config that a plan chose, gives the parts Q, L1, L2.
 *
 * Two backends fill this table of operations: `cpu`, in the program, and `cuda`, a shared object
 * found at run time. The arithmetic is that of lq.h and quantize.h made fast: the factorization of
 * W is shared by all configs, the iteration is warm-started, configs that differ in b2 alone share
 * one iteration and are evaluated each on its own. Errors are as the reference's up to its own
 * noise, not to the bit; within one backend on one kind of machine they are reproduced to the bit,
 * whatever the threads, the order of the calls or the company of other configs.
 *
 * A backend serves one thread at a time and may use several of its own. Rank 0 is allowed
 * everywhere and means plain quantization of W.
 */
#ifndef BP_ENGINE_BACKEND_H
#define BP_ENGINE_BACKEND_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/config.h"
#include "engine/err.h"
#include "engine/lq.h"

/* The largest that will be handed over. */
struct bp_backend_limits {
    uint64_t d_max, k_max, n_max; /* rows, columns, elements of a matrix */
    uint32_t r_max;               /* rank */
    uint32_t B0_min;              /* block */
};

/* How the caller follows a long call, and ends it. */
struct bp_backend_watch {
    const atomic_bool *stop; /* NULL, or set by any thread: the call returns BP_STOPPED soon */
    /* NULL, or called on the calling thread now and then with how many configs of this call are
     * finished. */
    void (*done)(void *ctx, size_t n_configs);
    void *ctx;
};

struct bp_backend {
    const char *name; /* "cpu", "cuda" */
    void *state;
    const struct bp_backend_ops *ops;
};

struct bp_backend_ops {
    void (*free)(void *state);
    enum bp_status (*load)(void *state, const struct bp_lq_matrix *matrix, uint32_t rank,
                           uint64_t seed, struct bp_err *err);
    enum bp_status (*plain)(void *state, const struct bp_config *configs, size_t n,
                            const struct bp_backend_watch *watch, double *error,
                            struct bp_err *err);
    enum bp_status (*one_step)(void *state, const struct bp_config *configs, size_t n,
                               const struct bp_backend_watch *watch, double *error,
                               struct bp_err *err);
    enum bp_status (*iterate)(void *state, const struct bp_config *configs, size_t n,
                              uint32_t max_iterations, const struct bp_backend_watch *watch,
                              double *error, uint16_t *ran, struct bp_err *err);
    enum bp_status (*decompose)(void *state, const struct bp_config *config,
                                uint32_t max_iterations, const struct bp_lq_factors *factors,
                                struct bp_lq_result *result, struct bp_err *err);
};

/* The backend in the program. threads >= 1. Sets BLAS to one thread for the whole process. */
enum bp_status bp_backend_cpu_new(const struct bp_backend_limits *limits, unsigned threads,
                                  struct bp_backend *out, struct bp_err *err);

enum bp_backend_kind { BP_BACKEND_CPU, BP_BACKEND_CUDA, BP_BACKEND_AUTO };

/* "cpu", "cuda", "auto". False for other words. */
bool bp_backend_kind_parse(const char *word, enum bp_backend_kind *out);

/* What auto means on this machine: cuda where there is a device that can be used, else cpu. `why`
 * gets a line when the machine has a device (or a driver that should start) and it is not used,
 * else
 * "". */
enum bp_backend_kind bp_backend_auto(struct bp_err *why);

/* The backend of that kind; threads are the CPU's. BP_ERR_FAILED with the reason why CUDA cannot be
 * used, when it was asked for by name. */
enum bp_status bp_backend_new(enum bp_backend_kind kind, const struct bp_backend_limits *limits,
                              unsigned threads, struct bp_backend *out, struct bp_err *err);

/* Takes one that was never made (all zero) too. */
void bp_backend_free(struct bp_backend *backend);

/* Takes a matrix in hand, which stays as it is until the next load, and factorizes it once for the
 * rank (Algorithm 2's first SVD_r(W), Algorithm 4's scaled by the weights). The random sketch
 * depends on the seed and the matrix's name alone. */
enum bp_status bp_backend_load(struct bp_backend *backend, const struct bp_lq_matrix *matrix,
                               uint32_t rank, uint64_t seed, struct bp_err *err);

/* error [n]: of quantizing W itself, without a low-rank part. watch may be NULL here and below. */
enum bp_status bp_backend_plain(struct bp_backend *backend, const struct bp_config *configs,
                                size_t n, const struct bp_backend_watch *watch, double *error,
                                struct bp_err *err);

/* error [n]: of one step, Q = quantize(W - SVD_r(W)). */
enum bp_status bp_backend_one_step(struct bp_backend *backend, const struct bp_config *configs,
                                   size_t n, const struct bp_backend_watch *watch, double *error,
                                   struct bp_err *err);

/* error [n]: of the best iterate, evaluated exactly as quantize.h does; ran [n] (may be NULL): how
 * many iterations ran. At most max_iterations (>= 1; 1 is the one step), and never more than the
 * method's own number. */
enum bp_status bp_backend_iterate(struct bp_backend *backend, const struct bp_config *configs,
                                  size_t n, uint32_t max_iterations,
                                  const struct bp_backend_watch *watch, double *error,
                                  uint16_t *ran, struct bp_err *err);

/* The parts themselves, for one config: as bp_lq_decompose hands them over (L1 [d * r], L2 [r * k],
 * Q [d * k] dequantized). result->error is what bp_backend_iterate gives, to the bit. */
enum bp_status bp_backend_decompose(struct bp_backend *backend, const struct bp_config *config,
                                    uint32_t max_iterations, const struct bp_lq_factors *factors,
                                    struct bp_lq_result *result, struct bp_err *err);

#endif
