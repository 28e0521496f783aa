/*
 * The three products of the fast iteration, on a panel of rows while it is in cache:
 *
 *     remainder  Z  = W - U V1'     [rows * k], rank r
 *     forward    Y  = E V2          [rows * ld], q columns
 *     backward   A += E' Y          [k * ld], q columns
 *
 * Two implementations: FP32 through BLAS, which takes any shape on any machine, and BF16 operands
 * with FP32 sums where the CPU has AVX512_BF16. W, Z, Y and A are FP32 in both. Thin factors are
 * row-major with ld floats from row to row, ld a multiple of BP_LQ_COLUMNS, zeros from column q on
 * in V2 and Y. One struct serves one thread.
 */
#ifndef BP_ENGINE_LQ_PRODUCTS_H
#define BP_ENGINE_LQ_PRODUCTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BP_LQ_COLUMNS = 16 };

struct bp_lq_products {
    const struct bp_lq_products_ops *ops;
    uint64_t k;
    uint32_t ld, r, q;
    uint64_t rows_max;    /* of a panel */
    const float *V1, *V2; /* [k * ld] */
    const float *E;       /* as `forward` got it */
    void *scratch;        /* ops->scratch_bytes() */
};

struct bp_lq_products_ops {
    const char *name;
    uint64_t panel_elems; /* about how many elements a panel should have */
    /* What p->scratch has room for, aligned to 64 bytes. */
    size_t (*scratch_bytes)(uint64_t k, uint32_t ld, uint64_t rows_max);
    /* Once an iteration, when the fields above are set. */
    void (*set)(struct bp_lq_products *p);
    /* U [rows * ld]; Z may not be W. */
    void (*remainder)(struct bp_lq_products *p, const float *W, const float *U, uint64_t rows,
                      float *Z);
    /* E must stay as it is until `backward`, which refers to the same. */
    void (*forward)(struct bp_lq_products *p, const float *E, uint64_t rows, float *Y);
    void (*backward)(struct bp_lq_products *p, const float *Y, uint64_t rows, float *A);
};

extern const struct bp_lq_products_ops bp_lq_products_fp32;

/* NULL where the program was built without it, the CPU lacks it, or k is not a multiple of 32. */
const struct bp_lq_products_ops *bp_lq_products_bf16(uint64_t k);

#endif
