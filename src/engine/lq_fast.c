#include "engine/lq_fast.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/dense.h"
#include "engine/lq_products.h"
#include "engine/lq_window.h"
#include "engine/mem.h"
#include "engine/one_step.h"
#include "engine/quantize.h"
#include "engine/quantize_fast.h"

/* The over-relaxation begins here: errors were flat around these values at 512 x 1376 to 4096 x
 * 4096. Two bits take none: their large remainder would drown what L has found. */
static const float ETA_3_BITS = 3.0f, ETA_MORE_BITS = 3.5f;
/* What a rise of the error leaves of the over-relaxation: on most matrices none happens; where L
 * takes a large part of a small matrix, it keeps the iterations from running away. */
static const float DAMPING = 0.8f;
/* An error within an iteration is off by less: its offset is that of the iterate before (mostly
 * 3e-3, once 1e-2), its products may be in BF16. */
static const double WITHIN_ITERATION = 0.02;
/* Where an error is less than this part of sum of F W^2, the rounding of BF16 operands (2^-9 of L
 * in the mean) is no longer small beside it. */
static const double BF16_FLOOR = 2e-4;
/* Y is divided by the largest singular value squared; beyond this its square leaves FP32. */
static const float SCALE_MAX = 1e18f;

/* An array that grows. */
struct room {
    float *p;
    uint64_t n;
};

struct bp_lq_fast_work {
    uint64_t d_max, k_max;
    uint32_t ld_max;
    float *U, *best_U, *Y;   /* [d_max * ld_max] */
    float *V, *best_V, *A;   /* [k_max * ld_max] */
    float *L2;               /* [k_max * ld_max]; L1 lies in Y */
    double *scratch, *eigen; /* bp_dense_gram_scratch(ld_max), bp_dense_eigen_scratch(ld_max) */
    double *gram, *square, *vectors; /* [ld_max * ld_max] */
    double *values;                  /* [ld_max] */
    float *G, *X, *M;                /* [ld_max * ld_max] */
    struct room V1, V2;              /* [k * ld] with weights: V / D_col, V D_col */
    struct room rows_U, rows_Y; /* [rows * ld] with weights: a panel of U / D_row, of D_row Y */
    struct room packed;         /* of the products */
    struct room Z;              /* a panel */
    struct room maxima, choosing, value; /* of its blocks */
    struct bp_lq_products products;
};

/* One trajectory: the start, what it is for, and the state beside the arrays of the workspace. */
struct run {
    struct bp_lq_fast_work *w;
    const struct bp_lq_start *start;
    const struct bp_lq_matrix *m;
    struct bp_config config;
    const atomic_bool *stop;
    uint32_t q, ld; /* columns carried */
    uint64_t unit;  /* elements of a group */
    uint64_t rows;  /* of a window */
    float inverse;  /* 1 / S_1^2 */
    float offset;   /* for the next pass */
    struct bp_err *err;
};

/* --- workspace --- */

static bool room_for(struct room *room, uint64_t n)
{
    if (n <= room->n)
        return true;
    free(room->p);
    room->p = bp_alloc_zero(n, sizeof *room->p);
    room->n = room->p ? n : 0;
    return room->p != NULL;
}

static uint32_t padded(uint32_t q)
{
    return (q + BP_LQ_COLUMNS - 1) / BP_LQ_COLUMNS * BP_LQ_COLUMNS;
}

enum bp_status bp_lq_fast_work_new(uint64_t d_max, uint64_t k_max, uint32_t r_max,
                                   struct bp_lq_fast_work **out, struct bp_err *err)
{
    *out = NULL;
    struct bp_lq_fast_work *w = calloc(1, sizeof *w);
    if (!w)
        return bp_fail_nomem(err);
    const uint32_t r = bp_svd_rank(d_max, k_max, r_max);
    const uint32_t ld = padded(r > 0 ? bp_lq_start_columns(d_max, k_max, r) : 0);
    const size_t square = (size_t)ld * ld;
    w->ld_max = ld;
    float **const tall[] = {&w->U, &w->best_U, &w->Y},
                  **const wide[] = {&w->V, &w->best_V, &w->A, &w->L2};
    float **const small[] = {&w->G, &w->X, &w->M};
    double **const wide_small[] = {&w->gram, &w->square, &w->vectors};
    bool ok = true;
    for (size_t i = 0; i < 3; i++) {
        ok = (*tall[i] = bp_alloc_zero(d_max * ld, sizeof(float))) && ok;
        ok = (*small[i] = bp_alloc_zero(square, sizeof(float))) && ok;
        ok = (*wide_small[i] = bp_alloc(square, sizeof(double))) && ok;
    }
    for (size_t i = 0; i < 4; i++)
        ok = (*wide[i] = bp_alloc_zero(k_max * ld, sizeof(float))) && ok;
    ok = (w->scratch = bp_alloc(bp_dense_gram_scratch(ld), sizeof(double))) && ok;
    ok = (w->eigen = bp_alloc(bp_dense_eigen_scratch(ld), sizeof(double))) && ok;
    ok = (w->values = bp_alloc(ld, sizeof(double))) && ok;
    if (!ok) {
        bp_lq_fast_work_free(w);
        return bp_fail_nomem(err);
    }
    *out = w;
    return BP_OK;
}

struct bp_lq_fast_work *bp_lq_fast_work_free(struct bp_lq_fast_work *w)
{
    if (w) {
        void *const all[] = {w->U,        w->best_U,   w->Y,          w->V,        w->best_V,
                             w->A,        w->L2,       w->scratch,    w->eigen,    w->gram,
                             w->square,   w->vectors,  w->values,     w->G,        w->X,
                             w->M,        w->V1.p,     w->V2.p,       w->rows_U.p, w->rows_Y.p,
                             w->packed.p, w->maxima.p, w->choosing.p, w->value.p,  w->Z.p};
        for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
            free(all[i]);
        free(w);
    }
    return NULL;
}

/* --- the schedule --- */

uint32_t bp_lq_fast_iterations(uint64_t d, uint64_t k, uint32_t b0)
{
    const uint64_t longer = d > k ? d : k, shorter = d > k ? k : d;
    if (b0 == 2)
        return 10;
    return longer * 2 > shorter * 3 ? 20 : 12;
}

float bp_lq_fast_eta(const struct bp_config *c, uint32_t t, uint32_t T)
{
    if (c->b0 == 2 || T < 3)
        return 1.0f;
    const float first = c->b0 == 3 ? ETA_3_BITS : ETA_MORE_BITS;
    return 1.0f + (first - 1.0f) * (float)(T - 1 - t) / (float)(T - 2);
}

/* --- one iteration --- */

/* out [rows * ld] = M scaled row by row by D or by 1 / D. */
static void scaled_rows(const float *M, const float *D, bool divide, uint64_t rows, uint32_t ld,
                        float *out)
{
    for (uint64_t i = 0; i < rows; i++) {
        const float f = divide ? 1.0f / D[i] : D[i];
        for (uint32_t j = 0; j < ld; j++)
            out[i * ld + j] = M[i * ld + j] * f;
    }
}

/* V1 and V2 of the products from V. */
static void set_products(struct run *run)
{
    struct bp_lq_fast_work *w = run->w;
    struct bp_lq_products *p = &w->products;
    p->V1 = p->V2 = w->V;
    if (run->start->col) {
        scaled_rows(w->V, run->start->col, true, run->m->k, run->ld, w->V1.p);
        scaled_rows(w->V, run->start->col, false, run->m->k, run->ld, w->V2.p);
        p->V1 = w->V1.p;
        p->V2 = w->V2.p;
    }
    p->ops->set(p);
}

/* Block maxima of a stretch, and what they make of the least one. */
static void find_maxima(struct run *run, const struct bp_lq_span *s, float *least)
{
    *least = fminf(*least, bp_fast_block_maxima(s->Z, s->n, run->config.B0, run->w->maxima.p));
}

/* Quantizes a stretch of Z, whose maxima are known, in place, which leaves E; returns its error. */
static double quantize_stretch(struct run *run, const struct bp_lq_span *s)
{
    struct bp_lq_fast_work *w = run->w;
    const struct bp_config *c = &run->config;
    const float *F = run->m->F ? run->m->F + s->first : NULL;
    bp_fast_scales(w->maxima.p, (s->n + c->B0 - 1) / c->B0, c, run->offset, w->choosing.p,
                   w->value.p);
    return bp_fast_remainder(s->Z, F, s->n, c, w->choosing.p, w->value.p, s->Z);
}

/* Y and A of finished rows of E. G = V'V / S_1^2. */
static void multiply_rows(struct run *run, const struct bp_lq_span *rows, float eta)
{
    struct bp_lq_fast_work *w = run->w;
    struct bp_lq_products *p = &w->products;
    const float *row = run->start->row ? run->start->row + rows->first : NULL;
    const float *U = w->U + rows->first * run->ld;
    float *Y = w->Y + rows->first * run->ld;
    if (rows->n == 0)
        return;
    p->ops->forward(p, rows->Z, rows->n, Y);
    if (row)
        scaled_rows(Y, row, false, rows->n, run->ld, Y);
    bp_dense_add_times(eta * run->inverse, U, rows->n, run->ld, run->start->r, w->G, run->q, run->q,
                       Y);
    if (row)
        scaled_rows(Y, row, false, rows->n, run->ld, w->rows_Y.p);
    p->ops->backward(p, row ? w->rows_Y.p : Y, rows->n, w->A);
}

/* Z of the next rows of a walk over W with the iterate in U, V; the stretch that they complete. */
static bool next_stretch(struct run *run, struct bp_lq_window *walk, struct bp_lq_span *s)
{
    struct bp_lq_fast_work *w = run->w;
    const float *row = run->start->row;
    if (!bp_lq_window_fill(walk, s))
        return false;
    const float *U = w->U + s->first * run->ld;
    if (row) {
        scaled_rows(U, row + s->first, true, s->n, run->ld, w->rows_U.p);
        U = w->rows_U.p;
    }
    w->products.ops->remainder(&w->products, run->m->W + s->first * run->m->k, U, s->n, s->Z);
    *s = bp_lq_window_stretch(walk);
    return true;
}

static bool stopped(const struct run *run)
{
    return run->stop && atomic_load(run->stop);
}

/* The offset for the first pass, for which there is no iterate before. */
static enum bp_status first_offset(struct run *run)
{
    struct bp_lq_window walk;
    struct bp_lq_span s;
    float least = INFINITY;
    set_products(run);
    bp_lq_window_start(&walk, run->m->d, run->m->k, run->unit, run->rows, run->w->Z.p);
    for (; next_stretch(run, &walk, &s); bp_lq_window_drop(&walk)) {
        if (stopped(run))
            return BP_STOPPED;
        find_maxima(run, &s, &least);
        bp_lq_window_ready(&walk);
    }
    run->offset = least;
    return BP_OK;
}

/* One pass over W with the iterate in U, V: its error with the offset in hand, the next offset, Y
 * and the sum in A. */
static enum bp_status pass(struct run *run, float eta, double *error)
{
    struct bp_lq_window walk;
    struct bp_lq_span s;
    float least = INFINITY;
    *error = 0.0;
    set_products(run);
    memset(run->w->A, 0, run->m->k * run->ld * sizeof *run->w->A);
    bp_lq_window_start(&walk, run->m->d, run->m->k, run->unit, run->rows, run->w->Z.p);
    for (; next_stretch(run, &walk, &s); bp_lq_window_drop(&walk)) {
        if (stopped(run))
            return BP_STOPPED;
        find_maxima(run, &s, &least);
        *error += quantize_stretch(run, &s);
        s = bp_lq_window_ready(&walk);
        multiply_rows(run, &s, eta);
    }
    run->offset = least;
    return BP_OK;
}

static void to_float(const double *from, size_t n, double factor, float *to)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (float)(from[i] * factor);
}

/* The next U, V and G from Y, the sum in A and the iterate old_U, old_V (which may be U, V). */
static bool advance(struct run *run, const float *old_U, const float *old_V, float eta)
{
    struct bp_lq_fast_work *w = run->w;
    const uint64_t d = run->m->d, k = run->m->k;
    const uint32_t q = run->q, r = run->start->r, ld = run->ld;
    const size_t square = (size_t)q * q;
    /* A = eta D_col E' D_row Y + V (U'Y), in units of S_1^2 as Y */
    bp_dense_cross(old_U, r, w->Y, q, d, ld, w->M);
    if (run->start->col)
        scaled_rows(w->A, run->start->col, false, k, ld, w->A);
    bp_dense_add_times(eta, old_V, k, ld, r, w->M, q, q, w->A);
    bp_dense_gram(w->Y, d, q, ld, w->scratch, w->gram);
    if (!bp_dense_whiten(w->gram, q, w->values))
        return false;
    /* V'V = X' (A'A) X */
    bp_dense_gram(w->A, k, q, ld, w->scratch, w->square);
    bp_dense_square_nn(w->square, w->gram, q, w->vectors);
    bp_dense_square_tn(w->gram, w->vectors, q, w->square);
    if (q > r) { /* the r leading directions to the front */
        if (!bp_dense_eigen(w->square, q, w->eigen, w->values))
            return false;
        bp_dense_square_nn(w->gram, w->square, q, w->vectors);
        memcpy(w->gram, w->vectors, square * sizeof *w->gram);
        memset(w->square, 0, square * sizeof *w->square);
        for (uint32_t i = 0; i < q; i++)
            w->square[i * q + i] = w->values[i];
    }
    to_float(w->gram, square, 1.0, w->X);
    to_float(w->square, square, run->inverse, w->G);
    bp_dense_times(w->Y, d, ld, q, w->X, q, q, w->U);
    bp_dense_times(w->A, k, ld, q, w->X, q, q, w->V);
    return true;
}

/* --- a trajectory --- */

static void swap(float **a, float **b)
{
    float *t = *a;
    *a = *b;
    *b = t;
}

/* The first q columns of M [rows * from] into out [rows * ld]. */
static void copy_columns(const float *M, uint64_t rows, uint32_t from, uint32_t q, uint32_t ld,
                         float *out)
{
    for (uint64_t i = 0; i < rows; i++)
        for (uint32_t j = 0; j < ld; j++)
            out[i * ld + j] = j < q ? M[i * from + j] : 0.0f;
}

static enum bp_status run_init(struct run *run, bool portable)
{
    struct bp_lq_fast_work *w = run->w;
    const struct bp_lq_start *start = run->start;
    const struct bp_lq_matrix *m = run->m;
    const struct bp_config *c = &run->config;
    run->q = c->b0 == 2 ? start->q : start->r;
    run->ld = padded(run->q);
    run->inverse = 1.0f / (start->S[0] * start->S[0]);
    /* What eight bits leave is as small as the rounding of BF16. */
    const struct bp_lq_products_ops *ops =
        portable || c->b0 == 8 ? NULL : bp_lq_products_bf16(m->k);
    ops = ops ? ops : &bp_lq_products_fp32;
    run->unit = (uint64_t)c->B0 * c->B1;
    run->rows = bp_lq_window_rows(m->d, m->k, run->unit, ops->panel_elems);
    const uint64_t elems = run->rows * m->k, blocks = elems / c->B0 + 1;
    const size_t packed = ops->scratch_bytes(m->k, run->ld, run->rows) / sizeof(float);
    if (!room_for(&w->Z, elems) || !room_for(&w->packed, packed) || !room_for(&w->maxima, blocks) ||
        !room_for(&w->choosing, blocks) || !room_for(&w->value, blocks) ||
        (m->F && (!room_for(&w->V1, m->k * run->ld) || !room_for(&w->V2, m->k * run->ld) ||
                  !room_for(&w->rows_U, run->rows * run->ld) ||
                  !room_for(&w->rows_Y, run->rows * run->ld))))
        return bp_fail_nomem(run->err);
    w->products = (struct bp_lq_products){.ops = ops,
                                          .k = m->k,
                                          .ld = run->ld,
                                          .r = start->r,
                                          .q = run->q,
                                          .rows_max = run->rows,
                                          .scratch = w->packed.p};
    copy_columns(start->U, m->d, start->ld, run->q, run->ld, w->U);
    copy_columns(start->V, m->k, start->ld, run->q, run->ld, w->V);
    memset(w->Y, 0, m->d * run->ld * sizeof *w->Y); /* what lies behind column q stays 0 */
    memset(w->best_U, 0, m->d * run->ld * sizeof *w->Y);
    memset(w->best_V, 0, m->k * run->ld * sizeof *w->V);
    memset(w->G, 0, (size_t)run->q * run->q * sizeof *w->G);
    for (uint32_t i = 0; i < run->q; i++)
        w->G[i * run->q + i] = start->S[i] * start->S[i] * run->inverse;
    return first_offset(run);
}

/* What a trajectory leaves: the last iterate in U, V, one that seemed best before it, errors as
 * seen within the iterations. */
struct outcome {
    uint32_t ran, last; /* iterations; number of the one in U, V, 0 = none but the first */
    double first_error;
    double best_error; /* of best_U, best_V, INFINITY = none but the first */
    uint32_t best;
};

/* The trajectory ends with iteration t, and what is in U, V is not to be kept: the best iterate
 * before takes its place. */
static enum bp_status end_with_best(struct run *run, uint32_t t, struct outcome *out)
{
    swap(&run->w->U, &run->w->best_U);
    swap(&run->w->V, &run->w->best_V);
    out->ran = t;
    out->last = out->best;
    out->best_error = INFINITY;
    return BP_OK;
}

/* Where numbers leave their range (L that fits W to the last bit leaves nothing to go by) what was
 * found until then counts. */
static enum bp_status iterate(struct run *run, uint32_t T, struct outcome *out)
{
    struct bp_lq_fast_work *w = run->w;
    float damping = 1.0f;
    double last = INFINITY;
    *out = (struct outcome){.best_error = INFINITY};
    for (uint32_t t = 1; t < T; t++) {
        const float eta = 1.0f + (bp_lq_fast_eta(&run->config, t, T) - 1.0f) * damping;
        double error;
        BP_TRY(pass(run, eta, &error));
        if (!isfinite(error))
            return end_with_best(run, t, out);
        damping *= error > last ? DAMPING : 1.0f;
        last = error;
        const float *U = w->U, *V = w->V;
        if (t == 1) {
            out->first_error = error;
        } else if (error < out->best_error) {
            out->best_error = error;
            out->best = t;
            swap(&w->U, &w->best_U);
            swap(&w->V, &w->best_V);
            U = w->best_U;
            V = w->best_V;
        } else if (run->config.b0 == 2 && error > out->best_error) {
            return end_with_best(run, t, out);
        }
        if (!advance(run, U, V, eta))
            return end_with_best(run, t, out);
    }
    out->ran = out->last = T;
    return BP_OK;
}

/* --- exact errors, and the parts --- */

/* L = U V' as balanced factors L1 (in Y), L2 by the eigenvectors of V'V, scales taken back. */
static bool balance(struct run *run, const float *U, const float *V)
{
    struct bp_lq_fast_work *w = run->w;
    const struct bp_lq_start *start = run->start;
    const uint64_t d = run->m->d, k = run->m->k;
    const uint32_t r = start->r, ld = run->ld;
    bp_dense_gram(V, k, r, ld, w->scratch, w->square);
    if (!bp_dense_eigen(w->square, r, w->eigen, w->values))
        return false;
    to_float(w->square, (size_t)r * r, 1.0, w->X);
    bp_dense_times(V, k, ld, r, w->X, r, r, w->A);
    for (uint32_t j = 0; j < r; j++) {
        /* V X has columns of norm s: L1 takes sqrt(s) of it. */
        const double root = w->values[j] > 0.0 ? sqrt(sqrt(w->values[j])) : 0.0;
        const float inverse = root > FLT_MIN ? (float)(1.0 / root) : 0.0f;
        for (uint32_t i = 0; i < r; i++)
            w->X[i * r + j] *= (float)root;
        for (uint64_t i = 0; i < k; i++)
            w->L2[j * k + i] = w->A[i * ld + j] * inverse / (start->col ? start->col[i] : 1.0f);
    }
    bp_dense_times(U, d, ld, r, w->X, r, r, w->Y);
    for (uint64_t i = 0; i < d; i++) /* rows move together: from ld to r floats */
        for (uint32_t j = 0; j < r; j++)
            w->Y[i * r + j] = w->Y[i * ld + j] / (start->row ? start->row[i] : 1.0f);
    return true;
}

struct lowrank {
    const float *L1, *L2; /* [d * r], [r * k]; r = 0: none */
    uint32_t r;
};

/* Which iterate a config keeps. */
enum kept { KEPT_LAST, KEPT_BEST, KEPT_FIRST };

/* The low-rank part of an iterate; overwrites the one before. */
static enum bp_status lowrank_of(struct run *run, enum kept which, struct lowrank *out)
{
    struct bp_lq_fast_work *w = run->w;
    const struct bp_lq_start *start = run->start;
    *out = (struct lowrank){start->L1, start->L2, start->r};
    if (which == KEPT_FIRST)
        return BP_OK;
    if (!balance(run, which == KEPT_LAST ? w->U : w->best_U, which == KEPT_LAST ? w->V : w->best_V))
        return bp_fail(run->err, BP_ERR_FAILED, "the iteration left the range of numbers");
    out->L1 = w->Y;
    out->L2 = w->L2;
    return BP_OK;
}

/* Evaluates `which` for configs [n] where `seen` (its error as the iterations saw it) may be better
 * than what they have; number is the iterate's. */
static enum bp_status consider(struct run *run, enum kept which, uint32_t number, double seen,
                               const struct bp_config *configs, size_t n,
                               struct bp_lq_result *results, enum kept *kept)
{
    struct lowrank lowrank;
    double error[BP_N_SCALE_TYPES];
    bool wanted = false;
    for (size_t i = 0; i < n; i++)
        wanted = wanted || seen < results[i].error;
    if (!wanted)
        return BP_OK;
    BP_TRY(lowrank_of(run, which, &lowrank));
    const struct bp_backend_watch watch = {.stop = run->stop};
    BP_TRY(bp_one_step(run->m, lowrank.L1, lowrank.L2, lowrank.r, configs, n, 1, &watch, error,
                       run->err));
    for (size_t i = 0; i < n; i++) /* each as if it were alone */
        if (seen < results[i].error && error[i] < results[i].error) {
            results[i].error = error[i];
            results[i].best = number;
            kept[i] = which;
        }
    return BP_OK;
}

/* Q = quantize(W - L1 L2) by the reference's path, in place. */
static enum bp_status dequantized(const struct bp_lq_matrix *m, const struct lowrank *l,
                                  const struct bp_config *c, float *Q, struct bp_err *err)
{
    struct bp_scales scales;
    BP_TRY(bp_scales_init(&scales, m->d * m->k, c->B0, err));
    if (l->r > 0)
        bp_residual(m->W, l->L1, l->L2, m->d, m->k, l->r, Q);
    else
        memcpy(Q, m->W, m->d * m->k * sizeof *Q);
    bp_quantize_scales(Q, m->d * m->k, c, &scales);
    bp_quantize_values(Q, &scales, Q);
    bp_scales_done(&scales);
    return BP_OK;
}

static enum bp_status hand_over(const struct bp_lq_matrix *m, const struct lowrank *l,
                                const struct bp_config *c, const struct bp_lq_factors *factors,
                                struct bp_err *err)
{
    if (factors->L1 && l->r > 0)
        memcpy(factors->L1, l->L1, m->d * l->r * sizeof(float));
    if (factors->L2 && l->r > 0)
        memcpy(factors->L2, l->L2, m->k * l->r * sizeof(float));
    return factors->Q ? dequantized(m, l, c, factors->Q, err) : BP_OK;
}

/* Ranks, or scales of the numbers, for which there is nothing to iterate: plain quantization, one
 * step. */
static uint32_t iterations_for(const struct bp_lq_start *start, const struct bp_config *c,
                               uint32_t max_iterations)
{
    if (start->r == 0)
        return 0;
    if (start->r == bp_svd_rank(start->matrix.d, start->matrix.k, UINT32_MAX))
        return 1;
    const uint32_t T = bp_lq_fast_iterations(start->matrix.d, start->matrix.k, c->b0);
    const float s = start->S[0];
    return !(s < SCALE_MAX && s > 1.0f / SCALE_MAX) ? 1 : T < max_iterations ? T : max_iterations;
}

enum bp_status bp_lq_fast_decompose(struct bp_lq_fast_work *w, const struct bp_lq_start *start,
                                    const struct bp_config *configs, size_t n,
                                    const struct bp_lq_fast_options *options,
                                    const struct bp_lq_factors *factors,
                                    struct bp_lq_result *results, struct bp_err *err)
{
    struct run run = {.w = w,
                      .start = start,
                      .m = &start->matrix,
                      .config = configs[0],
                      .stop = options->stop,
                      .err = err};
    const uint32_t T = iterations_for(start, &configs[0], options->max_iterations);
    struct outcome out = {.ran = T, .best_error = INFINITY};
    enum kept kept[BP_N_SCALE_TYPES];
    run.config.b2 = BP_SCALE_FP32; /* whichever of the family are asked for */
    for (size_t i = 0; i < n; i++) {
        kept[i] = KEPT_FIRST;
        results[i] = (struct bp_lq_result){.error = INFINITY};
    }
    if (T > 1) {
        BP_TRY(run_init(&run, options->portable));
        BP_TRY(iterate(&run, T, &out));
        if (out.last > 0)
            BP_TRY(consider(&run, KEPT_LAST, out.last, 0.0, configs, n, results, kept));
        BP_TRY(consider(&run, KEPT_BEST, out.best, out.best_error, configs, n, results, kept));
    }
    const double first = out.first_error < BF16_FLOOR * start->norm
                             ? 0.0
                             : out.first_error * (1.0 - WITHIN_ITERATION);
    BP_TRY(consider(&run, KEPT_FIRST, T > 0, first, configs, n, results, kept));
    for (size_t i = 0; i < n; i++)
        results[i].iterations = out.ran;
    if (!factors)
        return BP_OK;
    struct lowrank lowrank;
    BP_TRY(lowrank_of(&run, kept[0], &lowrank));
    return hand_over(run.m, &lowrank, &configs[0], factors, err);
}
