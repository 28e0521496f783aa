/*
 * Tables for the solver's tests and benchmark: random numbers with a fixed seed, and error/storage
 * tables in the shape of the LLaMA models over the 243 candidates of LQ-LoRA section 3.2.
 */
#ifndef BP_TESTS_SOLVER_TABLES_H
#define BP_TESTS_SOLVER_TABLES_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "solver/mckp.h"

struct rng {
    uint64_t state;
};

static inline uint64_t rng_next(struct rng *g)
{
    g->state ^= g->state << 13;
    g->state ^= g->state >> 7;
    g->state ^= g->state << 17;
    return g->state;
}

static inline struct rng rng_seed(uint64_t seed)
{
    struct rng g = {88172645463325252ULL ^ (seed + 1) * 0x9E3779B97F4A7C15ULL};
    for (int i = 0; i < 8; i++)
        rng_next(&g);
    return g;
}

/* In [0, 1). */
static inline double rng_unit(struct rng *g)
{
    return (double)(rng_next(g) >> 11) * 0x1p-53;
}

static inline int64_t rng_int(struct rng *g, int64_t lo, int64_t hi)
{
    return lo + (int64_t)(rng_next(g) % (uint64_t)(hi - lo + 1));
}

/* Near enough to a normal variate. */
static inline double rng_normal(struct rng *g)
{
    double sum = 0;
    for (int i = 0; i < 12; i++)
        sum += rng_unit(g);
    return sum - 6;
}

struct table {
    struct bp_mckp_problem problem;
    uint64_t *weight;
    double *cost;
};

static inline struct table table_new(size_t n_classes, size_t n_items)
{
    struct table t;
    t.weight = malloc(n_classes * n_items * sizeof *t.weight);
    t.cost = malloc(n_classes * n_items * sizeof *t.cost);
    if (t.weight == NULL || t.cost == NULL)
        abort();
    t.problem = (struct bp_mckp_problem){n_classes, n_items, t.weight, t.cost, NULL};
    return t;
}

static inline void table_free(struct table *t)
{
    free(t->weight);
    free(t->cost);
    t->weight = NULL;
    t->cost = NULL;
}

#define LLAMA_ITEMS 243
#define LLAMA_TYPES 7

struct llama {
    size_t n_layers;
    uint64_t hidden, kv, ffn;
};

static const struct llama llama_7b = {32, 4096, 4096, 11008};
static const struct llama llama_70b = {80, 8192, 1024, 28672};
static const struct llama llama_405b = {126, 16384, 1024, 53248};

/* Error factors of NF-b0 at block 16, 32, 64 for b0 = 2, 3, 4, measured on a normal sample. */
static const double nf_error[3][3] = {
    {0.2130, 0.2670, 0.3159},
    {0.03035, 0.03611, 0.04066},
    {0.006535, 0.007616, 0.008460},
};

/* One matrix: storage by formula (LQ-LoRA eq. 3), error with noise per matrix, per b0 and block,
 * and per entry. Heavy tails make long blocks worse than a normal sample does. */
static inline void fill_matrix(struct rng *g, uint64_t numel, double scale, uint64_t *weight,
                               double *cost)
{
    static const double b1_factor[3] = {1.022, 1.004, 1.001};
    double noise_b0[3], noise_block[3][3];
    double tail = 0.4 * fabs(rng_normal(g));
    size_t j = 0;
    for (int i = 0; i < 3; i++) {
        noise_b0[i] = exp(0.01 * rng_normal(g));
        for (int k = 0; k < 3; k++)
            noise_block[i][k] = exp(tail * (0.2 * k + 0.1 * i) + 0.003 * rng_normal(g));
    }
    for (int b0 = 0; b0 < 3; b0++)
        for (int b1 = 0; b1 < 3; b1++)
            for (int b2 = 0; b2 < 3; b2++)
                for (int block0 = 0; block0 < 3; block0++)
                    for (int block1 = 0; block1 < 3; block1++, j++) {
                        uint64_t n0 = numel >> (4 + block0), n1 = n0 >> (4 + 2 * block1);
                        weight[j] = numel * (uint64_t)(b0 + 2) + n0 * (uint64_t)(b1 + 2) +
                                    n1 * (b2 == 2 ? 32 : 16);
                        double error = (double)numel * scale * nf_error[b0][block0] *
                                       (1 + (b1_factor[b1] - 1) * (1 + 0.3 * block1));
                        cost[j] = error * noise_b0[b0] * noise_block[b0][block0] *
                                  exp(0.001 * rng_normal(g));
                    }
}

/* spread: standard deviation of the log of the matrices' error scales, 0.3 for plain errors, about
 * 2.3 for errors weighted by sensitivity. */
static inline struct table llama_table(const struct llama *m, double spread, uint64_t seed)
{
    struct rng g = rng_seed(seed);
    struct table t = table_new(m->n_layers * LLAMA_TYPES, LLAMA_ITEMS);
    const uint64_t numel[LLAMA_TYPES] = {
        m->hidden * m->hidden, m->kv * m->hidden,  m->kv * m->hidden,  m->hidden * m->hidden,
        m->ffn * m->hidden,    m->ffn * m->hidden, m->ffn * m->hidden,
    };
    static const double sigma[LLAMA_TYPES] = {.024, .025, .017, .017, .021, .018, .018};
    static const double trend[LLAMA_TYPES] = {-.4, -.4, .5, .5, .1, .1, .1};
    for (size_t i = 0; i < t.problem.n_classes; i++) {
        size_t type = i % LLAMA_TYPES, layer = i / LLAMA_TYPES;
        double depth = (double)layer / (double)(m->n_layers - 1) - 0.5;
        double s = sigma[type] * exp(trend[type] * depth);
        fill_matrix(&g, numel[type], s * s * exp(spread * rng_normal(&g)),
                    t.weight + i * LLAMA_ITEMS, t.cost + i * LLAMA_ITEMS);
    }
    return t;
}

/* A mixture of experts in the shape of DeepSeek-V3: 61 layers of 5 matrices of attention; 3 of a
 * dense feed-forward in the first three layers, 3 for each of n_experts experts in the others. With
 * 257 experts 45,032 matrices. Their errors as in llama_table. */
static inline struct table expert_table(size_t n_experts, double spread, uint64_t seed)
{
    enum { LAYERS = 61, DENSE = 3, ATTENTION = 5 };
    static const uint64_t attention[ATTENTION] = {1536 * 7168, 24576 * 1536, 576 * 7168,
                                                  32768 * 512, 16384 * 7168};
    struct rng g = rng_seed(seed);
    size_t i = 0, n = LAYERS * ATTENTION + DENSE * 3 + (LAYERS - DENSE) * n_experts * 3;
    struct table t = table_new(n, LLAMA_ITEMS);
    for (size_t layer = 0; layer < LAYERS; layer++) {
        size_t n_layer = ATTENTION + 3 * (layer < DENSE ? 1 : n_experts);
        for (size_t k = 0; k < n_layer; k++, i++) {
            uint64_t wide = layer < DENSE ? 18432 : 2048;
            uint64_t numel = k < ATTENTION ? attention[k] : wide * 7168;
            double s = k < ATTENTION ? 0.024 : 0.018;
            fill_matrix(&g, numel, s * s * exp(spread * rng_normal(&g)), t.weight + i * LLAMA_ITEMS,
                        t.cost + i * LLAMA_ITEMS);
        }
    }
    return t;
}

/* A budget between the lightest and the heaviest plan. */
static inline uint64_t random_budget(struct rng *g, const struct bp_mckp *m)
{
    uint64_t lo = bp_mckp_min_weight(m), hi = bp_mckp_max_weight(m);
    return lo + (uint64_t)(rng_unit(g) * (double)(hi - lo));
}

#endif
