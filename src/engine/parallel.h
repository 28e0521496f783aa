/*
 * A loop whose turns run on several threads. Turns are handed out one by one from a counter; each
 * must write only its own results, which then do not depend on the number of threads.
 */
#ifndef BP_ENGINE_PARALLEL_H
#define BP_ENGINE_PARALLEL_H

#include <stddef.h>

#include "engine/err.h"

/* One turn: index `i`, on worker `worker` (0 .. n_threads - 1, 0 is the calling thread). A status
 * other than BP_OK ends the loop early. */
typedef enum bp_status bp_turn_fn(void *ctx, size_t i, unsigned worker, struct bp_err *err);

/* Runs turns 0 .. n - 1. Returns BP_OK or the first failure by index among the turns that ran, with
 * its text. When threads cannot be started, those that run do the work. */
enum bp_status bp_parallel_for(size_t n, unsigned n_threads, bp_turn_fn *turn, void *ctx,
                               struct bp_err *err);

/* Processors that this process may use, at least 1. */
unsigned bp_available_threads(void);

#endif
