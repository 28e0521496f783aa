#include "engine/lq_start.h"

#include <math.h>
#include <stdlib.h>

#include "engine/lq_products.h"
#include "engine/mem.h"
#include "engine/rng.h"

static uint32_t padded(uint32_t q)
{
    return (q + BP_LQ_COLUMNS - 1) / BP_LQ_COLUMNS * BP_LQ_COLUMNS;
}

uint32_t bp_lq_start_columns(uint64_t d, uint64_t k, uint32_t r)
{
    return bp_svd_rank(d, k, padded(r + BP_SVD_OVERSAMPLING));
}

enum bp_status bp_lq_start_new(uint64_t d_max, uint64_t k_max, uint32_t r_max,
                               struct bp_lq_start **out, struct bp_err *err)
{
    *out = NULL;
    struct bp_lq_start *s = calloc(1, sizeof *s);
    if (!s)
        return bp_fail_nomem(err);
    const uint32_t r = bp_svd_rank(d_max, k_max, r_max);
    const uint32_t q = bp_lq_start_columns(d_max, k_max, r), ld = padded(q);
    s->U = bp_alloc(d_max * ld, sizeof(float));
    s->V = bp_alloc(k_max * ld, sizeof(float));
    s->S = bp_alloc(q, sizeof(float));
    s->L1 = bp_alloc(d_max * r, sizeof(float));
    s->L2 = bp_alloc(k_max * r, sizeof(float));
    s->scales = bp_alloc(d_max + k_max, sizeof(float));
    enum bp_status status = BP_OK;
    if (!s->U || !s->V || !s->S || !s->L1 || !s->L2 || !s->scales)
        status = bp_fail_nomem(err);
    if (status == BP_OK && r > 0)
        status = bp_svd_work_new(d_max, k_max, q, BP_SVD_RANDOMIZED, &s->svd, err);
    if (status == BP_OK)
        *out = s;
    else
        bp_lq_start_free(s);
    return status;
}

struct bp_lq_start *bp_lq_start_free(struct bp_lq_start *s)
{
    if (s) {
        bp_svd_work_free(s->svd);
        free(s->U);
        free(s->V);
        free(s->S);
        free(s->L1);
        free(s->L2);
        free(s->scales);
        free(s);
    }
    return NULL;
}

/* L1 = U sqrt(S), L2 = sqrt(S) V' of the first r, in the matrix's own scale; V becomes V S. */
static void split(struct bp_lq_start *s)
{
    for (uint32_t j = 0; j < s->q; j++) {
        const float root = sqrtf(s->S[j]);
        for (uint64_t i = 0; j < s->r && i < s->matrix.d; i++)
            s->L1[i * s->r + j] = s->U[i * s->ld + j] * root / (s->row ? s->row[i] : 1.0f);
        for (uint64_t i = 0; i < s->matrix.k; i++) {
            float *v = &s->V[i * s->ld + j];
            if (j < s->r)
                s->L2[j * s->matrix.k + i] = *v * root / (s->col ? s->col[i] : 1.0f);
            *v *= s->S[j];
        }
    }
}

enum bp_status bp_lq_start_make(struct bp_lq_start *s, const struct bp_lq_matrix *m, uint32_t rank,
                                uint64_t seed, unsigned threads, struct bp_err *err)
{
    s->matrix = *m;
    s->norm = bp_lq_norm(m);
    s->r = bp_svd_rank(m->d, m->k, rank);
    s->q = s->r > 0 ? bp_lq_start_columns(m->d, m->k, s->r) : 0;
    s->ld = padded(s->q);
    s->row = m->F ? s->scales : NULL;
    s->col = m->F ? s->scales + m->d : NULL;
    if (s->r == 0)
        return BP_OK;
    if (m->F && !bp_lq_fisher_scales(m, s->row, s->col))
        return bp_fail_nomem(err);
    const struct bp_svd_operand operand = {m->W, m->d, m->k, s->row, s->col, threads};
    BP_TRY(bp_svd_triplets(s->svd, &operand, s->q, bp_rng_key(seed, m->name, "start", 0), s->ld,
                           s->U, s->S, s->V, err));
    split(s);
    return BP_OK;
}
