#include "engine/sample_weights.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/mem.h"
#include "engine/rng.h"

enum {
    MAX_RANK = 64,
    RANK_STEP = 4,     /* the rank is a multiple of it: add_low_rank goes in such steps */
    COLUMN_CHUNK = 512 /* columns whose part of V stays in the cache */
};

/* How fast the trouble of the first layers fades: exp(-EARLY_DECAY * depth). */
static const double EARLY_DECAY = 8.0;
/* Spread (sd of the logarithm) of sigma between matrices of equal kind and depth. */
static const double SIGMA_JITTER = 0.08, SHARE_JITTER = 0.25;

/* What tells the kinds apart. `early` adds to its neighbour on the left in the first layer. Chosen
 * by hand, not fitted to a model: q and k have the strong spectrum and get easier with depth, v and
 * o get harder, outliers sit where residuals are written. */
struct traits {
    double sigma, trend;             /* at hidden 4096; log slope over the depth */
    double share, power;             /* energy of the low-rank part, fall of its spectrum */
    double row_spread, head_spread;  /* sd of log R per row, per head */
    double tail, tail_early;         /* a of t(x) */
    double outliers, outliers_early; /* part of the columns scaled by 4 to 12 */
};

static const struct traits KIND_TRAITS[] = {
    [BP_SAMPLE_Q] = {.024, -.4, .28, .15, .15, .20, .01, .03, .0020, .0030},
    [BP_SAMPLE_K] = {.025, -.4, .28, .20, .20, .25, .02, .08, .0020, .0040},
    [BP_SAMPLE_V] = {.017, .5, .08, .45, .08, 0, 0, .01, .0003, 0},
    [BP_SAMPLE_O] = {.017, .5, .07, .50, .10, 0, .01, .02, .0005, .0080},
    [BP_SAMPLE_GATE] = {.021, .1, .06, .50, .12, 0, .01, 0, .0005, 0},
    [BP_SAMPLE_UP] = {.018, .1, .05, .50, .08, 0, 0, 0, .0003, 0},
    [BP_SAMPLE_DOWN] = {.018, .1, .05, .50, .10, 0, .04, .06, .0010, .0080},
    [BP_SAMPLE_EMBEDDING] = {.016, 0, .10, .50, .25, 0, .02, 0, .0010, 0},
    [BP_SAMPLE_HEAD] = {.020, 0, .10, .50, .15, 0, .01, 0, .0005, 0},
    [BP_SAMPLE_NORM] = {1, 0, 0, 0, 0, 0, 0, 0, 0, 0},
};

struct bp_sample_weights {
    uint64_t rows, cols, bulk_key;
    size_t rank;
    float bulk, tail; /* factors of x and of x^3 in the bulk's t(x), with sqrt(1 - share) */
    float *left;      /* [rows * rank] U */
    float *right;     /* [rank * cols] s_l V */
    float *row_scale; /* [rows] sigma * R */
    float *col_scale; /* [cols] C */
    float shift;      /* added to every element: the mean of a norm's weights */
};

static uint64_t stream(const struct bp_sample_weights_spec *spec, const char *label)
{
    return bp_rng_key(spec->seed, spec->name, label, 0);
}

static size_t rank_of(const struct bp_sample_weights_spec *spec)
{
    uint64_t side = spec->rows < spec->cols ? spec->rows : spec->cols;
    uint64_t rank = side / 8;
    if (spec->kind == BP_SAMPLE_NORM)
        return 0;
    return rank > MAX_RANK ? MAX_RANK : (size_t)(rank + RANK_STEP - 1) / RANK_STEP * RANK_STEP;
}

/* U, and V times the spectrum: sum_l s_l^2 = share, so that the part has variance `share`. */
static void draw_low_rank(struct bp_sample_weights *w, const struct bp_sample_weights_spec *spec,
                          double share, double power)
{
    double total = 0;
    for (size_t l = 0; l < w->rank; l++)
        total += pow((double)(l + 1), -2 * power);
    bp_rng_normal(stream(spec, "left"), 0, w->rows * w->rank, w->left);
    bp_rng_normal(stream(spec, "right"), 0, w->rank * w->cols, w->right);
    for (size_t l = 0; l < w->rank; l++) {
        float s = (float)(sqrt(share / total) * pow((double)(l + 1), -power));
        for (uint64_t j = 0; j < w->cols; j++)
            w->right[l * w->cols + j] *= s;
    }
}

/* sigma * R, with E[R^2] = 1: E[exp(2 a x)] = exp(2 a^2). */
static void draw_row_scales(struct bp_sample_weights *w, const struct bp_sample_weights_spec *spec,
                            const struct traits *traits, double sigma)
{
    double a = traits->row_spread, b = traits->head_spread;
    uint64_t heads_key = stream(spec, "heads");
    float head = 0;
    bp_rng_normal(stream(spec, "rows"), 0, w->rows, w->row_scale);
    for (uint64_t i = 0; i < w->rows; i++) {
        if (i % spec->head_dim == 0)
            bp_rng_normal(heads_key, i / spec->head_dim, 1, &head);
        double log_scale = a * (double)w->row_scale[i] + b * (double)head - a * a - b * b;
        w->row_scale[i] = (float)(sigma * exp(log_scale));
    }
}

/* Most columns 1, a part of them 4 to 12, the smaller factors more often. */
static enum bp_status draw_outliers(struct bp_sample_weights *w,
                                    const struct bp_sample_weights_spec *spec, double part,
                                    struct bp_err *err)
{
    double *u = bp_alloc(2 * w->cols, sizeof *u);
    if (!u)
        return bp_fail_nomem(err);
    bp_rng_uniform(stream(spec, "columns"), 0, 2 * w->cols, u);
    for (uint64_t j = 0; j < w->cols; j++) {
        double t = u[2 * j + 1];
        w->col_scale[j] = (float)(u[2 * j] < part ? 4 * pow(3, t * t) : 1);
    }
    free(u);
    return BP_OK;
}

static enum bp_status draw_matrix(struct bp_sample_weights *w,
                                  const struct bp_sample_weights_spec *spec, struct bp_err *err)
{
    const struct traits *traits = &KIND_TRAITS[spec->kind];
    float jitter[2];
    bp_rng_normal(stream(spec, "traits"), 0, 2, jitter);
    double early = exp(-EARLY_DECAY * spec->depth);
    double sigma = traits->sigma * sqrt(4096.0 / (double)spec->hidden) *
                   exp(traits->trend * (spec->depth - 0.5) + SIGMA_JITTER * (double)jitter[0]);
    double share = fmin(0.6, traits->share * exp(SHARE_JITTER * (double)jitter[1]));
    double a = traits->tail + traits->tail_early * early;

    if (w->rank == 0)
        share = 0;
    else
        draw_low_rank(w, spec, share, traits->power);
    /* E[x^2 (1 + a x^2)^2] = 1 + 6 a + 15 a^2 for a standard normal x. */
    w->bulk = (float)sqrt((1 - share) / (1 + 6 * a + 15 * a * a));
    w->tail = (float)a * w->bulk;
    draw_row_scales(w, spec, traits, sigma);
    return draw_outliers(w, spec, traits->outliers + traits->outliers_early * early, err);
}

/* Weights of an RMSNorm: around 0.3 in the first layer, 1 in the last, a spread of an eighth. */
static void draw_norm(struct bp_sample_weights *w, double depth)
{
    double mean = 0.3 + 0.7 * depth;
    w->shift = (float)mean;
    w->bulk = 1;
    w->tail = 0;
    w->row_scale[0] = (float)(mean / 8);
    for (uint64_t j = 0; j < w->cols; j++)
        w->col_scale[j] = 1;
}

enum bp_status bp_sample_weights_new(const struct bp_sample_weights_spec *spec,
                                     struct bp_sample_weights **out, struct bp_err *err)
{
    *out = NULL;
    struct bp_sample_weights *w = bp_alloc_zero(1, sizeof *w);
    if (!w)
        return bp_fail_nomem(err);
    w->rows = spec->rows;
    w->cols = spec->cols;
    w->rank = rank_of(spec);
    w->bulk_key = stream(spec, "bulk");
    w->left = bp_alloc(w->rows, w->rank * sizeof *w->left);
    w->right = bp_alloc(w->cols, w->rank * sizeof *w->right);
    w->row_scale = bp_alloc(w->rows, sizeof *w->row_scale);
    w->col_scale = bp_alloc(w->cols, sizeof *w->col_scale);
    enum bp_status status = BP_OK;
    if (!w->left || !w->right || !w->row_scale || !w->col_scale)
        status = bp_fail_nomem(err);
    else if (spec->kind == BP_SAMPLE_NORM)
        draw_norm(w, spec->depth);
    else
        status = draw_matrix(w, spec, err);
    if (status != BP_OK)
        w = bp_sample_weights_free(w);
    *out = w;
    return status;
}

struct bp_sample_weights *bp_sample_weights_free(struct bp_sample_weights *w)
{
    if (w) {
        free(w->left);
        free(w->right);
        free(w->row_scale);
        free(w->col_scale);
        free(w);
    }
    return NULL;
}

/* acc [n] += sum_l u[l] * v[l * stride + j], in the order of l: a plain loop and no BLAS, so that
 * the sum does not depend on a library's threads and kernels. */
static void add_low_rank(float *restrict acc, size_t n, const float *restrict u, size_t rank,
                         const float *restrict v, size_t stride)
{
    for (size_t l = 0; l < rank; l += RANK_STEP) {
        const float *v0 = v + l * stride, *v1 = v0 + stride, *v2 = v1 + stride, *v3 = v2 + stride;
        float u0 = u[l], u1 = u[l + 1], u2 = u[l + 2], u3 = u[l + 3];
        for (size_t j = 0; j < n; j++)
            acc[j] = acc[j] + u0 * v0[j] + u1 * v1[j] + u2 * v2[j] + u3 * v3[j];
    }
}

/* FP32 to BF16, nearest even; the value is finite. */
static uint16_t bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)((bits + 0x7FFFu + (bits >> 16 & 1)) >> 16);
}

void bp_sample_weights_rows(const struct bp_sample_weights *w, uint64_t first_row, size_t n_rows,
                            uint16_t *out, float *work)
{
    size_t cols = w->cols, n = n_rows * cols;
    bp_rng_normal(w->bulk_key, first_row * cols, n, work);
    for (size_t i = 0; i < n; i++)
        work[i] = work[i] * (w->bulk + w->tail * work[i] * work[i]);
    for (size_t j = 0; j < cols; j += COLUMN_CHUNK) {
        size_t width = cols - j < COLUMN_CHUNK ? cols - j : COLUMN_CHUNK;
        for (size_t i = 0; i < n_rows; i++)
            add_low_rank(work + i * cols + j, width, w->left + (first_row + i) * w->rank, w->rank,
                         w->right + j, cols);
    }
    for (size_t i = 0; i < n_rows; i++) {
        float row_scale = w->row_scale[first_row + i];
        for (size_t j = 0; j < cols; j++)
            out[i * cols + j] = bf16(w->shift + row_scale * w->col_scale[j] * work[i * cols + j]);
    }
}
