/*
 * The values of one tensor of a synthetic model.
 *
 * An element depends on the seed, the tensor's name, its place and the shape alone, so any split
 * into row blocks gives the same values. What a matrix is made of:
 *
 *   W[i][j] = sigma * R[i] * C[j] * (sqrt(1 - share) * t(G[i][j]) + sum_l s_l U[i][l] V[l][j])
 *
 * G, U, V standard normal; s_l^2 proportional to l^(-2 power), adding up to `share`; R the rows'
 * spread (and the heads', for q and k); C the outlier columns; t(x) = x (1 + a x^2), scaled to unit
 * variance, a tail heavier than the normal's. The traits of a kind are in one table in
 * sample_weights.c. Read-only after _new: several threads may fill rows of one.
 */
#ifndef BP_ENGINE_SAMPLE_WEIGHTS_H
#define BP_ENGINE_SAMPLE_WEIGHTS_H

#include <stddef.h>
#include <stdint.h>

#include "engine/err.h"

enum bp_sample_kind {
    BP_SAMPLE_Q,
    BP_SAMPLE_K,
    BP_SAMPLE_V,
    BP_SAMPLE_O,
    BP_SAMPLE_GATE,
    BP_SAMPLE_UP,
    BP_SAMPLE_DOWN,
    BP_SAMPLE_EMBEDDING,
    BP_SAMPLE_HEAD,
    BP_SAMPLE_NORM /* a vector: one row */
};

struct bp_sample_weights;

struct bp_sample_weights_spec {
    uint64_t seed;
    const char *name; /* the tensor's */
    enum bp_sample_kind kind;
    uint64_t rows, cols; /* >= 1; their product fits */
    uint64_t hidden;     /* width of the model: sigma goes with 1 / sqrt(hidden) */
    uint64_t head_dim;   /* rows of q and k that share a scale, >= 1 */
    double depth;        /* 0 in the first layer, 1 in the last */
};

/* Draws what is shared by the rows. `*out` is to be freed; the spec's name is not kept.
 * BP_ERR_NOMEM is the only failure. Memory: at most 64 * (rows + cols) floats and some. */
enum bp_status bp_sample_weights_new(const struct bp_sample_weights_spec *spec,
                                     struct bp_sample_weights **out, struct bp_err *err);

/* Takes NULL, returns NULL. */
struct bp_sample_weights *bp_sample_weights_free(struct bp_sample_weights *w);

/* Fills out [n_rows * cols] with rows first_row .. first_row + n_rows - 1 as BF16, nearest even.
 * work [n_rows * cols]. */
void bp_sample_weights_rows(const struct bp_sample_weights *w, uint64_t first_row, size_t n_rows,
                            uint16_t *out, float *work);

#endif
