#include "engine/svd.h"

#include <cblas.h>
#include <lapacke.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/mem.h"
#include "engine/rng.h"

/* Everything below is column-major, as LAPACK wants it: a row-major A [d * k] is the column-major
 * k x d matrix A'. Tall factors (Y d x q, P k x q) are column-major with their own height. */
struct bp_svd_work {
    enum bp_svd_method method;
    uint64_t d_max, k_max;
    uint32_t q_max;
    float *tall_d;     /* [d_max * q_max] Y, then B = A P, then U */
    float *tall_k;     /* [k_max * q_max] P, the basis of the row space */
    float *V;          /* [k_max * q_max] */
    float *U;          /* [d_max * q_max] */
    float *S;          /* [q_max] */
    float *Vt;         /* [q_max * q_max] */
    float *tau;        /* [q_max] */
    lapack_int *iwork; /* [8 * q_max] */
    float *lwork;      /* [n_lwork] */
    lapack_int n_lwork;
};

#define NOT_CONVERGED "the singular value decomposition did not converge"

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint32_t bp_svd_rank(uint64_t d, uint64_t k, uint32_t rank)
{
    return (uint32_t)min_u64(rank, min_u64(d, k));
}

/* Columns of the sketch. */
static uint32_t sketch_width(uint64_t d, uint64_t k, uint32_t rank)
{
    return (uint32_t)min_u64((uint64_t)rank + BP_SVD_OVERSAMPLING, min_u64(d, k));
}

/* The largest workspace that the factorizations of these sizes ask for. */
static lapack_int query_lwork(const struct bp_svd_work *w)
{
    lapack_int m = (lapack_int)(w->d_max > w->k_max ? w->d_max : w->k_max);
    lapack_int n = (lapack_int)w->q_max, iwork = 0;
    float want = 0.0f, most = 1.0f, none = 0.0f;
    LAPACKE_sgeqrf_work(LAPACK_COL_MAJOR, m, n, &none, m, &none, &want, -1);
    most = fmaxf(most, want);
    LAPACKE_sorgqr_work(LAPACK_COL_MAJOR, m, n, n, &none, m, &none, &want, -1);
    most = fmaxf(most, want);
    LAPACKE_sgesdd_work(LAPACK_COL_MAJOR, 'S', m, n, &none, m, &none, &none, m, &none, n, &want, -1,
                        &iwork);
    most = fmaxf(most, want);
    /* sgesdd takes another path for tall shapes than for nearly square ones; the floor covers both
     * for every smaller shape. */
    lapack_int floor = 5 * n * n + 32 * n + m;
    return floor > (lapack_int)most ? floor : (lapack_int)most;
}

enum bp_status bp_svd_work_new(uint64_t d_max, uint64_t k_max, uint32_t r_max,
                               enum bp_svd_method method, struct bp_svd_work **out,
                               struct bp_err *err)
{
    *out = NULL;
    if (d_max > INT_MAX || k_max > INT_MAX)
        return bp_fail(err, BP_ERR_INPUT, "a matrix of %llu x %llu is beyond what LAPACK addresses",
                       (unsigned long long)d_max, (unsigned long long)k_max);
    struct bp_svd_work *w = calloc(1, sizeof *w);
    if (!w)
        return bp_fail_nomem(err);
    w->method = method;
    w->d_max = d_max;
    w->k_max = k_max;
    /* The shapes of a model differ: any height may meet any width up to the maxima. */
    w->q_max = sketch_width(d_max, k_max, r_max);
    w->n_lwork = query_lwork(w);
    w->tall_d = bp_alloc(d_max * w->q_max, sizeof(float));
    w->tall_k = bp_alloc(k_max * w->q_max, sizeof(float));
    w->V = bp_alloc(k_max * w->q_max, sizeof(float));
    w->U = bp_alloc(d_max * w->q_max, sizeof(float));
    w->S = bp_alloc(w->q_max, sizeof(float));
    w->Vt = bp_alloc((size_t)w->q_max * w->q_max, sizeof(float));
    w->tau = bp_alloc(w->q_max, sizeof(float));
    w->iwork = bp_alloc((size_t)8 * w->q_max, sizeof(lapack_int));
    w->lwork = bp_alloc((size_t)w->n_lwork, sizeof(float));
    if (!w->tall_d || !w->tall_k || !w->V || !w->U || !w->S || !w->Vt || !w->tau || !w->iwork ||
        !w->lwork) {
        bp_svd_work_free(w);
        return bp_fail_nomem(err);
    }
    *out = w;
    return BP_OK;
}

struct bp_svd_work *bp_svd_work_free(struct bp_svd_work *w)
{
    if (w) {
        free(w->tall_d);
        free(w->tall_k);
        free(w->V);
        free(w->U);
        free(w->S);
        free(w->Vt);
        free(w->tau);
        free(w->iwork);
        free(w->lwork);
        free(w);
    }
    return NULL;
}

/* Replaces M (rows x q, column-major) by an orthonormal basis of its columns. */
static bool orthonormalize(struct bp_svd_work *w, float *M, uint64_t rows, uint32_t q)
{
    lapack_int m = (lapack_int)rows, n = (lapack_int)q;
    return LAPACKE_sgeqrf_work(LAPACK_COL_MAJOR, m, n, M, m, w->tau, w->lwork, w->n_lwork) == 0 &&
           LAPACKE_sorgqr_work(LAPACK_COL_MAJOR, m, n, n, M, m, w->tau, w->lwork, w->n_lwork) == 0;
}

/* M (rows x q, column-major) *= D, D NULL = ones. */
static void scale_rows(float *M, const float *D, uint64_t rows, uint32_t q)
{
    for (uint32_t j = 0; D && j < q; j++)
        for (uint64_t i = 0; i < rows; i++)
            M[j * rows + i] *= D[i];
}

/* P (k x q) = D_col A' D_row Y (d x q). The thin factors are scaled, never A. Y is changed. */
static void times_transposed(const struct bp_svd_operand *o, uint32_t q, float *Y, float *P)
{
    scale_rows(Y, o->row, o->d, q);
    cblas_sgemm(CblasColMajor, CblasNoTrans, CblasNoTrans, (int)o->k, (int)q, (int)o->d, 1.0f, o->A,
                (int)o->k, Y, (int)o->d, 0.0f, P, (int)o->k);
    scale_rows(P, o->col, o->k, q);
}

/* Y (d x q) = D_row A D_col P (k x q). `scaled` (k x q) is scratch. */
static void times(const struct bp_svd_operand *o, uint32_t q, const float *P, float *scaled,
                  float *Y)
{
    if (o->col) {
        memcpy(scaled, P, o->k * q * sizeof *P);
        scale_rows(scaled, o->col, o->k, q);
        P = scaled;
    }
    cblas_sgemm(CblasColMajor, CblasTrans, CblasNoTrans, (int)o->d, (int)q, (int)o->k, 1.0f, o->A,
                (int)o->k, P, (int)o->k, 0.0f, Y, (int)o->d);
    scale_rows(Y, o->row, o->d, q);
}

/* L1 [d * r] and L2 [r * k], row-major, from U (d x _), S and V (k x _), column-major. */
static void split(const float *U, const float *S, const float *V, uint64_t d, uint64_t k,
                  uint32_t r, float *L1, float *L2)
{
    for (uint32_t j = 0; j < r; j++) {
        float root = sqrtf(S[j]);
        for (uint64_t i = 0; i < d; i++)
            L1[i * r + j] = U[j * d + i] * root;
        for (uint64_t i = 0; i < k; i++)
            L2[j * k + i] = V[j * k + i] * root;
    }
}

static bool randomized(struct bp_svd_work *w, const struct bp_svd_operand *o, uint32_t q,
                       uint64_t key)
{
    const uint64_t d = o->d, k = o->k;
    float *Y = w->tall_d, *P = w->tall_k;
    bp_rng_normal(key, 0, d * q, Y);
    times_transposed(o, q, Y, P);
    if (!orthonormalize(w, P, k, q))
        return false;
    for (int i = 0; i < BP_SVD_POWER_ITERATIONS; i++) {
        times(o, q, P, w->V, Y);
        if (!orthonormalize(w, Y, d, q))
            return false;
        times_transposed(o, q, Y, P);
        if (!orthonormalize(w, P, k, q))
            return false;
    }
    times(o, q, P, w->V, Y); /* B = A P, so that A ~ B P' = U S (P Vt')' */
    if (LAPACKE_sgesdd_work(LAPACK_COL_MAJOR, 'S', (lapack_int)d, (lapack_int)q, Y, (lapack_int)d,
                            w->S, w->U, (lapack_int)d, w->Vt, (lapack_int)q, w->lwork, w->n_lwork,
                            w->iwork) != 0)
        return false;
    cblas_sgemm(CblasColMajor, CblasNoTrans, CblasTrans, (int)k, (int)q, (int)q, 1.0f, P, (int)k,
                w->Vt, (int)q, 0.0f, w->V, (int)k);
    return true;
}

/* The oracle: all singular values, in double, so that L1 and L2 are right to the last bit of FP32
 * or nearly. Allocates as it goes. */
static enum bp_status full(const float *A, uint64_t d, uint64_t k, uint32_t r, float *L1, float *L2,
                           struct bp_err *err)
{
    uint64_t n = min_u64(d, k);
    double *copy = bp_alloc(d * k, sizeof *copy), *U = bp_alloc(d * n, sizeof *U);
    double *S = bp_alloc(n, sizeof *S), *Vt = bp_alloc(n * k, sizeof *Vt);
    enum bp_status status = BP_OK;
    if (!copy || !U || !S || !Vt) {
        status = bp_fail_nomem(err);
    } else {
        for (uint64_t i = 0; i < d * k; i++)
            copy[i] = A[i];
        if (LAPACKE_dgesdd(LAPACK_ROW_MAJOR, 'S', (lapack_int)d, (lapack_int)k, copy, (lapack_int)k,
                           S, U, (lapack_int)n, Vt, (lapack_int)k) != 0)
            status = bp_fail(err, BP_ERR_FAILED, NOT_CONVERGED);
        for (uint32_t j = 0; status == BP_OK && j < r; j++) {
            for (uint64_t i = 0; i < d; i++)
                L1[i * r + j] = (float)(U[i * n + j] * sqrt(S[j]));
            for (uint64_t i = 0; i < k; i++)
                L2[j * k + i] = (float)(Vt[j * k + i] * sqrt(S[j]));
        }
    }
    free(copy);
    free(U);
    free(S);
    free(Vt);
    return status;
}

enum bp_status bp_svd_lowrank(struct bp_svd_work *w, const float *A, uint64_t d, uint64_t k,
                              uint32_t rank, uint64_t key, float *L1, float *L2, struct bp_err *err)
{
    uint32_t r = bp_svd_rank(d, k, rank);
    if (w->method == BP_SVD_FULL)
        return full(A, d, k, r, L1, L2, err);
    const struct bp_svd_operand o = {.A = A, .d = d, .k = k};
    if (!randomized(w, &o, sketch_width(d, k, rank), key))
        return bp_fail(err, BP_ERR_FAILED, NOT_CONVERGED);
    split(w->U, w->S, w->V, d, k, r, L1, L2);
    return BP_OK;
}

enum bp_status bp_svd_triplets(struct bp_svd_work *w, const struct bp_svd_operand *o, uint32_t q,
                               uint64_t key, uint32_t ld, float *U, float *S, float *V,
                               struct bp_err *err)
{
    if (!randomized(w, o, q, key))
        return bp_fail(err, BP_ERR_FAILED, NOT_CONVERGED);
    for (uint64_t i = 0; i < o->d; i++)
        for (uint32_t j = 0; j < ld; j++)
            U[i * ld + j] = j < q ? w->U[j * o->d + i] : 0.0f;
    for (uint64_t i = 0; i < o->k; i++)
        for (uint32_t j = 0; j < ld; j++)
            V[i * ld + j] = j < q ? w->V[j * o->k + i] : 0.0f;
    memcpy(S, w->S, q * sizeof *S);
    return BP_OK;
}

void bp_residual(const float *A, const float *L1, const float *L2, uint64_t d, uint64_t k,
                 uint32_t r, float *R)
{
    if (R != A)
        memcpy(R, A, d * k * sizeof *R);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)d, (int)k, (int)r, -1.0f, L1,
                (int)r, L2, (int)k, 1.0f, R, (int)k);
}

void bp_blas_single_thread(void)
{
    openblas_set_num_threads(1);
}
