/*
 * The BF16 implementation of the products: AVX512_BF16's vdpbf16ps multiplies pairs of neighbours
 * and adds to FP32 sums, at twice the rate of FP32. Operands are packed as 32-bit words of two
 * BF16 values along the summed dimension, one of them broadcast, the other 16 columns a vector:
 *
 *     remainder: pairs along r.  U rows broadcast, V1 in tiles of 64 columns of Z
 *     forward:   pairs along k.  E rows broadcast, V2 as it lies
 *     backward:  pairs of rows.  E columns broadcast, Y as it lies
 *
 * E is rounded once, in `forward`, into both forms. A kernel holds up to 16 vectors of sums.
 */
#include "engine/lq_products.h"

#if defined(__x86_64__) && (defined(__clang__) ? __clang_major__ >= 10 : __GNUC__ >= 11)

#include <immintrin.h>
#include <string.h>

#define BF16   __attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16")))
#define KERNEL BF16 __attribute__((always_inline)) static inline

/* Floats a vector; columns of Z a tile; columns of E between two looks at the sums of Y, whose rows
 * of V2 fit the first-level cache. */
enum { LANES = 16, TILE = 64, BLOCK = 256 };

/* Words of two BF16 values. Their extents: pairs = r / 2 up. */
struct packed {
    uint32_t *V1; /* [tiles of k][pairs][TILE] */
    uint32_t *V2; /* [k / 2][ld] */
    uint32_t *U;  /* [rows][pairs] */
    uint32_t *E;  /* [rows][k / 2] */
    uint32_t *Et; /* [k / LANES][rows_max / 2 up][LANES] */
    uint32_t *Y;  /* [rows / 2 up][ld] */
};

static uint64_t in_tiles(uint64_t k)
{
    return (k + TILE - 1) / TILE * TILE;
}

/* The packed rows of U may each run over by what is not in use of ld. */
static size_t scratch_bytes(uint64_t k, uint32_t ld, uint64_t rows)
{
    const uint64_t words = in_tiles(k) * (ld / 2) + k / 2 * ld + rows * k / 2 +
                           (rows + 1) / 2 * (k + ld) + (rows + 1) * (ld / 2);
    return words * sizeof(uint32_t);
}

static uint32_t pairs_of(const struct bp_lq_products *p)
{
    return (p->r + 1) / 2;
}

/* Every part is a multiple of 16 words, so that all begin on a cache line: k is one of 32, ld of
 * 16. */
static struct packed parts(const struct bp_lq_products *p)
{
    struct packed x;
    x.V1 = p->scratch;
    x.V2 = x.V1 + in_tiles(p->k) * (p->ld / 2);
    x.E = x.V2 + p->k / 2 * p->ld;
    x.Et = x.E + p->rows_max * p->k / 2;
    x.Y = x.Et + (p->rows_max + 1) / 2 * p->k;
    x.U = x.Y + (p->rows_max + 1) / 2 * p->ld;
    return x;
}

/* --- packing --- */

/* 32 floats as BF16, in their order. */
KERNEL __m512i rounded(const float *x)
{
    return (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + LANES), _mm512_loadu_ps(x));
}

/* Two rows [n], n a multiple of 16, interleaved: out [n] words. Row b NULL = zeros. */
KERNEL void interleave(const float *a, const float *b, uint64_t n, uint32_t *out)
{
    for (uint64_t j = 0; j < n; j += LANES) {
        __m512 low = _mm512_loadu_ps(a + j),
               high = b ? _mm512_loadu_ps(b + j) : _mm512_setzero_ps();
        __m512i words_low = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(low));
        __m512i words_high = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(high));
        _mm512_storeu_si512(out + j, _mm512_or_si512(words_low, _mm512_slli_epi32(words_high, 16)));
    }
}

/* The first r of a row's ld floats as pairs: ld / 2 words are written at most. */
KERNEL void pack_row(const float *row, uint32_t r, uint32_t *out)
{
    for (uint32_t j = 0; j < r; j += LANES) {
        __mmask16 in_use = r - j < LANES ? (__mmask16)((1u << (r - j)) - 1) : 0xffff;
        __m512 x = _mm512_maskz_loadu_ps(in_use, row + j);
        _mm256_storeu_si256((__m256i *)(out + j / 2), (__m256i)_mm512_cvtneps_pbh(x));
    }
}

BF16 static void set(struct bp_lq_products *p)
{
    const struct packed x = parts(p);
    const uint32_t pairs = pairs_of(p);
    uint32_t *row = x.U; /* not in use yet */
    for (uint64_t j = 0; j < p->k; j++) {
        uint32_t *tile = x.V1 + j / TILE * pairs * TILE + j % TILE;
        pack_row(p->V1 + j * p->ld, p->r, row);
        for (uint32_t i = 0; i < pairs; i++)
            tile[i * TILE] = row[i];
    }
    for (uint64_t j = 0; j < p->k; j += 2)
        interleave(p->V2 + j * p->ld, p->V2 + (j + 1) * p->ld, p->ld, x.V2 + j / 2 * p->ld);
}

/* --- kernels: ROWS x VECTORS sums, both known where they are inlined --- */

KERNEL __m512 dot(__m512 sum, uint32_t broadcast, __m512i column)
{
    return _mm512_dpbf16_ps(sum, (__m512bh)_mm512_set1_epi32((int)broadcast), (__m512bh)column);
}

/* Z = W - U V1' for ROWS rows of a tile, VECTORS * 16 columns of it. */
KERNEL void remainder_kernel(const int ROWS, const int VECTORS, const float *W, uint64_t k,
                             const uint32_t *U, const uint32_t *tile, uint32_t pairs, float *Z)
{
    __m512 sum[4][4];
    for (int i = 0; i < ROWS; i++)
        for (int v = 0; v < VECTORS; v++)
            sum[i][v] = _mm512_setzero_ps();
    for (uint32_t t = 0; t < pairs; t++) {
        __m512i column[4];
        for (int v = 0; v < VECTORS; v++)
            column[v] = _mm512_loadu_si512(tile + t * TILE + v * LANES);
        for (int i = 0; i < ROWS; i++)
            for (int v = 0; v < VECTORS; v++)
                sum[i][v] = dot(sum[i][v], U[i * pairs + t], column[v]);
    }
    for (int i = 0; i < ROWS; i++)
        for (int v = 0; v < VECTORS; v++) {
            const float *w = W + i * k + v * LANES;
            _mm512_storeu_ps(Z + i * k + v * LANES, _mm512_sub_ps(_mm512_loadu_ps(w), sum[i][v]));
        }
}

/* out [ROWS rows of ld] += sum over n words of B broadcast times M [n][ld]; B's rows lie `row`
 * words apart and its words `step`. */
KERNEL void sum_kernel(const int ROWS, const int VECTORS, const uint32_t *B, uint64_t row,
                       uint64_t step, const uint32_t *M, uint64_t n, uint32_t ld, float *out)
{
    __m512 sum[8][4];
    for (int i = 0; i < ROWS; i++)
        for (int v = 0; v < VECTORS; v++)
            sum[i][v] = _mm512_loadu_ps(out + i * ld + v * LANES);
    for (uint64_t t = 0; t < n; t++) {
        __m512i column[4];
        for (int v = 0; v < VECTORS; v++)
            column[v] = _mm512_loadu_si512(M + t * ld + v * LANES);
        for (int i = 0; i < ROWS; i++)
            for (int v = 0; v < VECTORS; v++)
                sum[i][v] = dot(sum[i][v], B[i * row + t * step], column[v]);
    }
    for (int i = 0; i < ROWS; i++)
        for (int v = 0; v < VECTORS; v++)
            _mm512_storeu_ps(out + i * ld + v * LANES, sum[i][v]);
}

/* All of `rows` rows of out, in the kernels that there are. */
KERNEL void sum_rows(const int ROWS, const int VECTORS, const uint32_t *B, uint64_t row,
                     uint64_t step, const uint32_t *M, uint64_t n, uint32_t ld, uint64_t rows,
                     float *out)
{
    uint64_t i = 0;
    for (; i + (uint64_t)ROWS <= rows; i += (uint64_t)ROWS)
        sum_kernel(ROWS, VECTORS, B + i * row, row, step, M, n, ld, out + i * ld);
    for (; i < rows; i++)
        sum_kernel(1, VECTORS, B + i * row, row, step, M, n, ld, out + i * ld);
}

/* Vectors of columns to take next of n: four, but no single one left behind. */
static int next_vectors(int n)
{
    return n == 5 ? 3 : n < 4 ? n : 4;
}

/* out [rows * ld] += B M over n words, all ld columns. */
BF16 static void sum_columns(const uint32_t *B, uint64_t row, uint64_t step, const uint32_t *M,
                             uint64_t n, uint32_t ld, uint64_t rows, float *out)
{
    const int total = (int)(ld / LANES);
    for (int v = 0, take; v < total; v += take) {
        const uint32_t *columns = M + v * LANES;
        float *to = out + v * LANES;
        take = next_vectors(total - v);
        switch (take) {
        case 4:
            sum_rows(4, 4, B, row, step, columns, n, ld, rows, to);
            break;
        case 3:
            sum_rows(4, 3, B, row, step, columns, n, ld, rows, to);
            break;
        case 2:
            sum_rows(8, 2, B, row, step, columns, n, ld, rows, to);
            break;
        default:
            sum_rows(8, 1, B, row, step, columns, n, ld, rows, to);
        }
    }
}

/* --- the operations --- */

BF16 static void remainder_of(struct bp_lq_products *p, const float *W, const float *U,
                              uint64_t rows, float *Z)
{
    const struct packed x = parts(p);
    const uint32_t pairs = pairs_of(p);
    const uint64_t k = p->k;
    for (uint64_t i = 0; i < rows; i++)
        pack_row(U + i * p->ld, p->r, x.U + i * pairs);
    for (uint64_t i = 0; i < rows; i += 4)
        for (uint64_t j = 0; j < k; j += TILE) {
            const uint32_t *tile = x.V1 + j * pairs, *u = x.U + i * pairs;
            const float *w = W + i * k + j;
            float *z = Z + i * k + j;
            const bool whole = k - j >= TILE;
            if (i + 4 <= rows && whole)
                remainder_kernel(4, 4, w, k, u, tile, pairs, z);
            else if (i + 4 <= rows)
                remainder_kernel(4, 2, w, k, u, tile, pairs, z);
            else
                for (uint64_t l = 0; l < rows - i; l++)
                    if (whole)
                        remainder_kernel(1, 4, w + l * k, k, u + l * pairs, tile, pairs, z + l * k);
                    else
                        remainder_kernel(1, 2, w + l * k, k, u + l * pairs, tile, pairs, z + l * k);
        }
}

/* E as pairs along its rows, and as pairs of rows. */
KERNEL void pack_remainder(const struct packed *x, const float *E, uint64_t rows, uint64_t k,
                           uint64_t strip)
{
    /* Words of two rows from 32 columns of each: low halves, then high halves. */
    const __m512i first =
        _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7, 38, 6,
                         37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
    const __m512i second = _mm512_add_epi16(first, _mm512_set1_epi16(16));
    for (uint64_t i = 0; i < rows; i += 2)
        for (uint64_t j = 0; j < k; j += 2 * LANES) {
            const float *e = E + i * k + j;
            uint32_t *row = x->E + (i * k + j) / 2, *pairs = x->Et + j * strip + i / 2 * LANES;
            __m512i a = rounded(e), b = i + 1 < rows ? rounded(e + k) : _mm512_setzero_si512();
            _mm512_storeu_si512(row, a);
            if (i + 1 < rows)
                _mm512_storeu_si512(row + k / 2, b);
            _mm512_storeu_si512(pairs, _mm512_permutex2var_epi16(a, first, b));
            _mm512_storeu_si512(pairs + strip * LANES, _mm512_permutex2var_epi16(a, second, b));
        }
}

BF16 static void forward(struct bp_lq_products *p, const float *E, uint64_t rows, float *Y)
{
    const struct packed x = parts(p);
    const uint64_t k = p->k;
    pack_remainder(&x, E, rows, k, (p->rows_max + 1) / 2);
    memset(Y, 0, rows * p->ld * sizeof *Y);
    for (uint64_t j = 0; j < k; j += BLOCK) {
        const uint64_t n = (k - j < BLOCK ? k - j : BLOCK) / 2;
        sum_columns(x.E + j / 2, k / 2, 1, x.V2 + j / 2 * p->ld, n, p->ld, rows, Y);
    }
}

BF16 static void backward(struct bp_lq_products *p, const float *Y, uint64_t rows, float *A)
{
    const struct packed x = parts(p);
    for (uint64_t i = 0; i < rows; i += 2)
        interleave(Y + i * p->ld, i + 1 < rows ? Y + (i + 1) * p->ld : NULL, p->ld,
                   x.Y + i / 2 * p->ld);
    const uint64_t strip = (p->rows_max + 1) / 2 * LANES;
    for (uint64_t j = 0; j < p->k; j += LANES)
        sum_columns(x.Et + j / LANES * strip, 1, LANES, x.Y, (rows + 1) / 2, p->ld, LANES,
                    A + j * p->ld);
}

static const struct bp_lq_products_ops bf16 = {.name = "bf16",
                                               .panel_elems = 1 << 17,
                                               .scratch_bytes = scratch_bytes,
                                               .set = set,
                                               .remainder = remainder_of,
                                               .forward = forward,
                                               .backward = backward};

const struct bp_lq_products_ops *bp_lq_products_bf16(uint64_t k)
{
    __builtin_cpu_init();
    bool can = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
               __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bf16");
    return can && k % (2 * LANES) == 0 ? &bf16 : NULL;
}

#else

const struct bp_lq_products_ops *bp_lq_products_bf16(uint64_t k)
{
    (void)k;
    return NULL;
}

#endif
