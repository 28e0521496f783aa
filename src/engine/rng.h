/*
 * Counter-based random numbers: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random
 * numbers: as easy as 1, 2, 3", SC 2011). Element i of a stream is a pure function of (key, i), so
 * a result does not depend on threads, order, shards or restarts.
 */
#ifndef BP_ENGINE_RNG_H
#define BP_ENGINE_RNG_H

#include <stddef.h>
#include <stdint.h>

/* The four 32-bit words of block `counter` of the stream `key`. */
void bp_rng_block(uint64_t key, uint64_t counter, uint32_t out[4]);

/* A key from the parts that a draw belongs to: XXH3 of seed, matrix name, candidate text and
 * iteration. `name` and `label` may be "". */
uint64_t bp_rng_key(uint64_t seed, const char *name, const char *label, uint64_t iteration);

/* out [n] gets elements first .. first + n - 1 of the stream: uniform in (0, 1), 32 bits each. */
void bp_rng_uniform(uint64_t key, uint64_t first, size_t n, double *out);

/* Standard normal (Box-Muller in double, rounded to FP32), elements first .. first + n - 1. */
void bp_rng_normal(uint64_t key, uint64_t first, size_t n, float *out);

#endif
