#include "engine/lq.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/mem.h"
#include "engine/quantize.h"
#include "engine/rng.h"

struct bp_lq_work {
    struct bp_svd_work *svd;
    struct bp_scales scales;
    float *R;       /* [n_max] what is decomposed or quantized next */
    float *Q;       /* [n_max] */
    float *L1, *L2; /* [d_max * r_max], [r_max * k_max] the iterate in hand */
    float *best_L1, *best_L2;
    float *row, *col; /* [d_max], [k_max] D_row, D_col */
};

enum bp_status bp_lq_work_new(uint64_t d_max, uint64_t k_max, uint64_t n_max, uint32_t r_max,
                              uint32_t B0_min, enum bp_svd_method method, struct bp_lq_work **out,
                              struct bp_err *err)
{
    *out = NULL;
    struct bp_lq_work *w = calloc(1, sizeof *w);
    if (!w)
        return bp_fail_nomem(err);
    uint32_t r = bp_svd_rank(d_max, k_max, r_max);
    w->R = bp_alloc(n_max, sizeof(float));
    w->Q = bp_alloc(n_max, sizeof(float));
    w->L1 = bp_alloc(d_max * r, sizeof(float));
    w->L2 = bp_alloc(k_max * r, sizeof(float));
    w->best_L1 = bp_alloc(d_max * r, sizeof(float));
    w->best_L2 = bp_alloc(k_max * r, sizeof(float));
    w->row = bp_alloc(d_max, sizeof(float));
    w->col = bp_alloc(k_max, sizeof(float));
    enum bp_status status = BP_OK;
    if (!w->R || !w->Q || !w->L1 || !w->L2 || !w->best_L1 || !w->best_L2 || !w->row || !w->col)
        status = bp_fail_nomem(err);
    if (status == BP_OK)
        status = bp_scales_init(&w->scales, n_max, B0_min, err);
    if (status == BP_OK && r > 0)
        status = bp_svd_work_new(d_max, k_max, r_max, method, &w->svd, err);
    if (status != BP_OK) {
        bp_lq_work_free(w);
        return status;
    }
    *out = w;
    return BP_OK;
}

struct bp_lq_work *bp_lq_work_free(struct bp_lq_work *w)
{
    if (w) {
        bp_svd_work_free(w->svd);
        bp_scales_done(&w->scales);
        free(w->R);
        free(w->Q);
        free(w->L1);
        free(w->L2);
        free(w->best_L1);
        free(w->best_L2);
        free(w->row);
        free(w->col);
        free(w);
    }
    return NULL;
}

double bp_lq_norm(const struct bp_lq_matrix *m)
{
    double total = 0.0;
    for (uint64_t i = 0; i < m->d; i++) {
        double part = 0.0;
        for (uint64_t j = i * m->k; j < (i + 1) * m->k; j++) {
            double w = m->W[j];
            part += m->F ? (double)m->F[j] * w * w : w * w;
        }
        total += part;
    }
    return total;
}

/* --- Fisher weights --- */

/* sqrt of sums[i] / count; a zero takes the smallest positive value of its kind, so that the
 * scaling can be undone (1 where all are zero: the weights then say nothing). */
static void roots_of_means(const double *sums, uint64_t n, uint64_t count, float *out)
{
    double least = INFINITY;
    for (uint64_t i = 0; i < n; i++)
        if (sums[i] > 0.0 && sums[i] < least)
            least = sums[i];
    for (uint64_t i = 0; i < n; i++) {
        double sum = sums[i] > 0.0 ? sums[i] : least;
        float root = isfinite(sum) ? (float)sqrt(sum / (double)count) : 1.0f;
        out[i] = root > FLT_MIN ? root : FLT_MIN;
    }
}

bool bp_lq_fisher_scales(const struct bp_lq_matrix *m, float *row, float *col)
{
    double *sums = calloc(m->d + m->k, sizeof *sums);
    if (!sums)
        return false;
    double *row_sum = sums, *col_sum = sums + m->d;
    for (uint64_t i = 0; i < m->d; i++)
        for (uint64_t j = 0; j < m->k; j++) {
            row_sum[i] += m->F[i * m->k + j];
            col_sum[j] += m->F[i * m->k + j];
        }
    roots_of_means(row_sum, m->d, m->k, row);
    roots_of_means(col_sum, m->k, m->d, col);
    free(sums);
    return true;
}

/* R = D_row (W - Q) D_col; Q NULL = 0, scales NULL = ones. */
static void remainder_to_factor(const struct bp_lq_matrix *m, const float *Q, const float *row,
                                const float *col, float *R)
{
    for (uint64_t i = 0; i < m->d; i++) {
        const float *W = m->W + i * m->k, *q = Q ? Q + i * m->k : NULL;
        float *r = R + i * m->k;
        for (uint64_t j = 0; j < m->k; j++)
            r[j] = q ? W[j] - q[j] : W[j];
        for (uint64_t j = 0; row && j < m->k; j++)
            r[j] *= row[i] * col[j];
    }
}

static void undo_scales(float *L1, float *L2, uint64_t d, uint64_t k, uint32_t r, const float *row,
                        const float *col)
{
    for (uint64_t i = 0; i < d; i++)
        for (uint32_t j = 0; j < r; j++)
            L1[i * r + j] /= row[i];
    for (uint32_t j = 0; j < r; j++)
        for (uint64_t i = 0; i < k; i++)
            L2[j * k + i] /= col[i];
}

/* --- Algorithm 2 --- */

/* Q = quantize(R); returns the error against R. */
static double quantize_step(struct bp_lq_work *w, const struct bp_lq_matrix *m,
                            const struct bp_config *config, const float *R, float *Q)
{
    bp_quantize_scales(R, m->d * m->k, config, &w->scales);
    bp_quantize_values(R, &w->scales, Q);
    return bp_weighted_error(R, Q, m->F, m->d * m->k);
}

static void swap(float **a, float **b)
{
    float *t = *a;
    *a = *b;
    *b = t;
}

/* Writes the kept iterate: the factors as they are, Q recomputed from them. */
static void hand_over(struct bp_lq_work *w, const struct bp_lq_matrix *m,
                      const struct bp_config *config, uint32_t r, const struct bp_lq_factors *out)
{
    if (out->L1)
        memcpy(out->L1, w->best_L1, m->d * r * sizeof(float));
    if (out->L2)
        memcpy(out->L2, w->best_L2, m->k * r * sizeof(float));
    if (out->Q) {
        bp_residual(m->W, w->best_L1, w->best_L2, m->d, m->k, r, w->R);
        quantize_step(w, m, config, w->R, out->Q);
    }
}

static enum bp_status iterate(struct bp_lq_work *w, const struct bp_lq_matrix *m,
                              const struct bp_config *config, const struct bp_lq_options *options,
                              double *trace, struct bp_lq_result *result, struct bp_err *err)
{
    char label[BP_CONFIG_TEXT + 16];
    bp_config_format(config, label);
    snprintf(label + strlen(label), 16, ":r%u", options->rank);
    const uint32_t r = bp_svd_rank(m->d, m->k, options->rank);
    const float *row = m->F ? w->row : NULL;
    double last = INFINITY;
    *result = (struct bp_lq_result){.error = INFINITY};
    for (uint32_t t = 1; t <= options->iterations; t++) {
        remainder_to_factor(m, t == 1 ? NULL : w->Q, row, w->col, w->R);
        uint64_t key = bp_rng_key(options->seed, m->name, label, t);
        BP_TRY(bp_svd_lowrank(w->svd, w->R, m->d, m->k, r, key, w->L1, w->L2, err));
        if (row)
            undo_scales(w->L1, w->L2, m->d, m->k, r, row, w->col);
        bp_residual(m->W, w->L1, w->L2, m->d, m->k, r, w->R);
        double error = quantize_step(w, m, config, w->R, w->Q);
        if (!isfinite(error))
            return bp_fail(err, BP_ERR_FAILED, "the error left the range of numbers");
        if (trace)
            trace[t - 1] = error;
        result->iterations = t;
        if (error < result->error) {
            result->error = error;
            result->best = t;
            swap(&w->L1, &w->best_L1);
            swap(&w->L2, &w->best_L2);
        }
        if (error > last)
            break;
        last = error;
    }
    return BP_OK;
}

enum bp_status bp_lq_decompose(struct bp_lq_work *w, const struct bp_lq_matrix *m,
                               const struct bp_config *config, const struct bp_lq_options *options,
                               const struct bp_lq_factors *factors, double *trace,
                               struct bp_lq_result *result, struct bp_err *err)
{
    const uint32_t r = bp_svd_rank(m->d, m->k, options->rank);
    if (r == 0) {
        float *Q = factors && factors->Q ? factors->Q : w->Q;
        *result = (struct bp_lq_result){.error = quantize_step(w, m, config, m->W, Q)};
        return isfinite(result->error)
                   ? BP_OK
                   : bp_fail(err, BP_ERR_FAILED, "the error left the range of numbers");
    }
    if (m->F && !bp_lq_fisher_scales(m, w->row, w->col))
        return bp_fail_nomem(err);
    BP_TRY(iterate(w, m, config, options, trace, result, err));
    if (factors)
        hand_over(w, m, config, r, factors);
    return BP_OK;
}
