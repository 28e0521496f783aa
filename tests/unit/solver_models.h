/*
 * Error/storage tables of whole models for the solver's tests and benchmarks: 224, 560 and 882
 * matrices in the shape of LLaMA, 45,032 in that of a mixture of experts; 243 columns (widths of 2,
 * 3 and 4 bits) or 432 (8 as well).
 *
 * The errors are measured ones: NF codes with two-level scales on samples of six distributions, a
 * normal one, Student's t of 10, 5 and 3.5 degrees, and two whose rows differ in scale. A matrix
 * mixes the six at random, loses what a low-rank part takes, and gets noise: 1 % for each width,
 * 0.3 % for each block size, 0.1 % for each cell. Fisher-like tables spread the matrices' scales
 * over five to seven orders of magnitude, as a weighting by sensitivity does.
 */
#ifndef BP_TESTS_SOLVER_MODELS_H
#define BP_TESTS_SOLVER_MODELS_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "solver_tables.h"

#define MODEL_ITEMS      243
#define MODEL_ITEMS_WIDE 432
#define N_DISTRIBUTIONS  6

/* Squared error of a weight of variance 1: of the codes, and what coarser scales add to it. */
static const struct distribution {
    double codes[4][3];  /* width 2, 3, 4, 8; block of 16, 32, 64 */
    double scales[3][3]; /* width of the scales 2, 3, 4 (8: nothing); block of 16, 64, 256 */
} distributions[N_DISTRIBUTIONS] = {
    {{{.213, .267, .3159},
      {.03035, .03611, .04066},
      {.006535, .007616, .00846},
      {2.371e-5, 2.674e-5, 2.918e-5}},
     {{.001545, .002101, .002683}, {.000282, .0003946, .0005181}, {5.955e-5, 8.161e-5, .0001101}}},
    {{{.2186, .2808, .3398},
      {.03028, .03746, .04425},
      {.006497, .007912, .009223},
      {2.461e-5, 2.829e-5, 3.222e-5}},
     {{.003388, .005842, .01}, {.000604, .0009934, .001493}, {.0001395, .0002151, .0003332}}},
    {{{.2142, .2818, .3495},
      {.03088, .04082, .05233},
      {.006601, .008636, .01098},
      {2.846e-5, 3.326e-5, 3.989e-5}},
     {{.009707, .02354, .05036}, {.001405, .002971, .005998}, {.0002878, .0005958, .001129}}},
    {{{.1962, .265, .3366},
      {.03127, .04423, .0612},
      {.006833, .009684, .01355},
      {3.642e-5, 4.279e-5, 5.397e-5}},
     {{.02057, .05134, .1057}, {.003244, .008601, .02188}, {.0006352, .001604, .003874}}},
    {{{.214, .268, .3163},
      {.03026, .03602, .0406},
      {.006535, .007625, .008462},
      {2.388e-5, 2.705e-5, 2.944e-5}},
     {{.002734, .003703, .005738}, {.000454, .0005801, .0008238}, {9.189e-5, .0001188, .0001606}}},
    {{{.2173, .2837, .3485},
      {.03062, .03946, .04899},
      {.006547, .008304, .01021},
      {2.67e-5, 3.135e-5, 3.683e-5}},
     {{.006931, .01399, .03764}, {.001251, .002139, .003968}, {.000249, .000471, .0008177}}},
};

struct model_matrix {
    uint64_t rows, cols;
    double sigma; /* standard deviation of the weights */
    double share; /* of the energy, that the low-rank part takes beyond what chance gives it */
};

struct model_columns {
    size_t n_widths; /* 3 or 4, of codes and of scales */
    bool fisher;
    double layer; /* 0..1 */
};

/* Error factors of a matrix by width, block, width and block of the scales. */
static inline void draw_factors(struct rng *g, const struct model_columns *k,
                                double factor[4][3][4][3])
{
    static const double common[N_DISTRIBUTIONS] = {3, 1.5, 1, .3, 2, 1};
    double part[N_DISTRIBUTIONS], sum = 0;
    for (int d = 0; d < N_DISTRIBUTIONS; d++)
        sum += part[d] = -common[d] * log(1 - rng_unit(g));
    for (size_t b0 = 0; b0 < k->n_widths; b0++) {
        double noise = 0.01 * rng_normal(g) + (k->fisher ? 0.03 * rng_normal(g) : 0);
        for (size_t block0 = 0; block0 < 3; block0++) {
            double noise_block = noise + 0.003 * rng_normal(g);
            for (size_t b1 = 0; b1 < k->n_widths; b1++)
                for (size_t block1 = 0; block1 < 3; block1++) {
                    double mix = noise_block;
                    for (int d = 0; d < N_DISTRIBUTIONS; d++)
                        mix += part[d] / sum *
                               log(distributions[d].codes[b0][block0] +
                                   (b1 < 3 ? distributions[d].scales[b1][block1] : 0));
                    factor[b0][block0][b1][block1] = exp(mix);
                }
        }
    }
}

/* What a low-rank part of rank 64 leaves of the error. */
static inline double left_by_low_rank(struct rng *g, const struct model_matrix *x)
{
    double m = (double)x->rows, n = (double)x->cols, edge = sqrt(m) + sqrt(n);
    double share = x->share * exp(0.4 * rng_normal(g));
    return (1 - 64 * edge * edge / (m * n)) * (1 - fmin(fmax(share, 0.01), 0.6));
}

static inline void fill_model_matrix(struct rng *g, const struct model_matrix *x,
                                     const struct model_columns *k, uint64_t *weight, double *cost)
{
    static const uint64_t width[4] = {2, 3, 4, 8};
    double factor[4][3][4][3];
    uint64_t numel = x->rows * x->cols;
    double scale =
        (double)numel * x->sigma * x->sigma * exp(0.16 * rng_normal(g)) * left_by_low_rank(g, x);
    if (k->fisher)
        scale *= exp(2.3 * rng_normal(g) + 2.5 * exp(-20 * k->layer));
    draw_factors(g, k, factor);
    size_t j = 0;
    for (size_t b0 = 0; b0 < k->n_widths; b0++)
        for (size_t b1 = 0; b1 < k->n_widths; b1++)
            for (size_t b2 = 0; b2 < 3; b2++)
                for (size_t block0 = 0; block0 < 3; block0++)
                    for (size_t block1 = 0; block1 < 3; block1++, j++) {
                        uint64_t n0 = numel >> (4 + block0), n1 = n0 >> (4 + 2 * block1);
                        weight[j] = numel * width[b0] + n0 * width[b1] + n1 * (b2 == 2 ? 32 : 16);
                        cost[j] =
                            scale * factor[b0][block0][b1][block1] * exp(0.001 * rng_normal(g));
                    }
}

static inline size_t model_widths(size_t n_items)
{
    return n_items == MODEL_ITEMS_WIDE ? 4 : 3;
}

/* n_items: MODEL_ITEMS or MODEL_ITEMS_WIDE. */
static inline struct table model_table(const struct llama *m, size_t n_items, bool fisher,
                                       uint64_t seed)
{
    const struct model_matrix type[LLAMA_TYPES] = {
        {m->hidden, m->hidden, .024, .35}, {m->kv, m->hidden, .025, .35},
        {m->kv, m->hidden, .017, .08},     {m->hidden, m->hidden, .017, .08},
        {m->ffn, m->hidden, .021, .05},    {m->ffn, m->hidden, .018, .04},
        {m->hidden, m->ffn, .018, .04},
    };
    static const double trend[LLAMA_TYPES] = {-.4, -.4, .5, .5, .1, .1, .1};
    struct rng g = rng_seed(seed);
    struct table t = table_new(m->n_layers * LLAMA_TYPES, n_items);
    for (size_t i = 0; i < t.problem.n_classes; i++) {
        double layer = (double)(i / LLAMA_TYPES) / (double)(m->n_layers - 1);
        struct model_matrix x = type[i % LLAMA_TYPES];
        const struct model_columns k = {model_widths(n_items), fisher, layer};
        x.sigma *= exp(trend[i % LLAMA_TYPES] * (layer - 0.5));
        fill_model_matrix(&g, &x, &k, t.weight + i * n_items, t.cost + i * n_items);
    }
    return t;
}

/* In the shape of DeepSeek-V3: 61 layers of 5 matrices of attention; 3 of a dense feed-forward in
 * the first three layers, 3 for each of 257 experts in the others: 45,032 matrices. */
static inline struct table model_expert_table(size_t n_items, bool fisher, uint64_t seed)
{
    enum { LAYERS = 61, DENSE = 3, ATTENTION = 5, EXPERTS = 257 };
    static const struct model_matrix attention[ATTENTION] = {
        {1536, 7168, .02, .3},  {24576, 1536, .03, .2},   {576, 7168, .02, .3},
        {32768, 512, .04, .15}, {7168, 16384, .015, .08},
    };
    struct rng g = rng_seed(seed);
    size_t n = LAYERS * ATTENTION + DENSE * 3 + (size_t)(LAYERS - DENSE) * EXPERTS * 3, i = 0;
    struct table t = table_new(n, n_items);
    for (size_t layer = 0; layer < LAYERS; layer++) {
        size_t n_layer = ATTENTION + 3 * (layer < DENSE ? 1 : EXPERTS);
        const struct model_columns k = {model_widths(n_items), fisher,
                                        (double)layer / (LAYERS - 1)};
        for (size_t j = 0; j < n_layer; j++, i++) {
            const struct model_matrix expert = {layer < DENSE ? 18432 : 2048, 7168, .018, .05};
            fill_model_matrix(&g, j < ATTENTION ? &attention[j] : &expert, &k,
                              t.weight + i * n_items, t.cost + i * n_items);
        }
    }
    return t;
}

#endif
