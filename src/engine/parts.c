#include "engine/parts.h"

#include <inttypes.h>
#include <stdlib.h>

#include "engine/low_rank.h"
#include "engine/mem.h"
#include "engine/narrow.h"
#include "engine/svd.h"

enum bp_status bp_low_rank_bits_check(uint64_t bits, struct bp_err *err)
{
    if (bp_low_rank_precision_valid(bits))
        return BP_OK;
    return bp_fail(err, BP_ERR_USAGE,
                   "--low-rank-bits: %" PRIu64 " is none of 8 (NF8), 16 (BF16) and 32 (FP32)",
                   bits);
}

static enum bp_status coded_init(struct bp_coded *c, uint64_t n, uint32_t B0_min,
                                 struct bp_err *err)
{
    c->codes = bp_alloc(n, sizeof *c->codes);
    return c->codes ? bp_scales_init(&c->scales, n, B0_min, err) : bp_fail_nomem(err);
}

static void coded_done(struct bp_coded *c)
{
    bp_scales_done(&c->scales);
    free(c->codes);
    c->codes = NULL;
}

enum bp_status bp_parts_init(struct bp_parts *p, uint64_t d_max, uint64_t k_max, uint64_t n_max,
                             uint32_t r_max, uint32_t B0_min, struct bp_err *err)
{
    *p = (struct bp_parts){0};
    p->Q = bp_alloc(n_max, sizeof *p->Q);
    p->L1 = bp_alloc(d_max * r_max, sizeof *p->L1);
    p->L2 = bp_alloc(k_max * r_max, sizeof *p->L2);
    enum bp_status status = p->Q && p->L1 && p->L2 ? BP_OK : bp_fail_nomem(err);
    if (status == BP_OK)
        status = coded_init(&p->q, n_max, B0_min, err);
    if (status == BP_OK)
        status = coded_init(&p->c1, d_max * r_max, bp_low_rank_nf8.B0, err);
    if (status == BP_OK)
        status = coded_init(&p->c2, k_max * r_max, bp_low_rank_nf8.B0, err);
    if (status != BP_OK)
        bp_parts_done(p);
    return status;
}

void bp_parts_done(struct bp_parts *p)
{
    coded_done(&p->q);
    coded_done(&p->c1);
    coded_done(&p->c2);
    free(p->L1);
    free(p->L2);
    free(p->Q);
    *p = (struct bp_parts){0};
}

static void code(const float *A, uint64_t n, const struct bp_config *config, struct bp_coded *c)
{
    bp_quantize_scales(A, n, config, &c->scales);
    bp_quantize_codes(A, &c->scales, c->codes);
}

static void round_factor(float *L, uint64_t n, unsigned bits, struct bp_coded *c)
{
    if (bits == 16)
        bp_round_to(L, n, BP_DTYPE_BF16);
    if (bits == 8) {
        code(L, n, &bp_low_rank_nf8, c);
        bp_dequantize(c->codes, &c->scales, L);
    }
}

void bp_parts_make(struct bp_parts *p, const float *W, const struct bp_config *config)
{
    if (p->r > 0) {
        round_factor(p->L1, p->d * p->r, p->low_rank_bits, &p->c1);
        round_factor(p->L2, p->k * p->r, p->low_rank_bits, &p->c2);
        bp_residual(W, p->L1, p->L2, p->d, p->k, p->r, p->Q);
        code(p->Q, p->d * p->k, config, &p->q);
    } else {
        code(W, p->d * p->k, config, &p->q);
    }
    bp_dequantize(p->q.codes, &p->q.scales, p->Q);
}
