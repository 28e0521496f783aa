/* The FP32 implementation, through BLAS. */
#include "engine/lq_products.h"

#include "engine/dense.h"

static size_t scratch_bytes(uint64_t k, uint32_t ld, uint64_t rows_max)
{
    (void)k, (void)ld, (void)rows_max;
    return 0;
}

static void set(struct bp_lq_products *p)
{
    p->E = NULL;
}

static void remainder_of(struct bp_lq_products *p, const float *W, const float *U, uint64_t rows,
                         float *Z)
{
    bp_dense_remainder(W, U, p->V1, rows, p->k, p->r, p->ld, Z);
}

static void forward(struct bp_lq_products *p, const float *E, uint64_t rows, float *Y)
{
    p->E = E;
    bp_dense_wide_times(E, p->V2, rows, p->k, p->q, p->ld, Y);
}

static void backward(struct bp_lq_products *p, const float *Y, uint64_t rows, float *A)
{
    bp_dense_add_cross(p->E, Y, rows, p->k, p->q, p->ld, A);
}

/* BLAS packs V for each panel, which a panel of a megabyte or more makes up for. */
const struct bp_lq_products_ops bp_lq_products_fp32 = {.name = "fp32",
                                                       .panel_elems = 1 << 19,
                                                       .scratch_bytes = scratch_bytes,
                                                       .set = set,
                                                       .remainder = remainder_of,
                                                       .forward = forward,
                                                       .backward = backward};
