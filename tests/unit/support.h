/*
 * What the tests of the engine's numbers share: fixed random numbers, matrices, error tables by
 * hand and on disk, and a look for words in a message. Header-only; failures fail the test.
 *
 * The generator is SplitMix64 (Steele, Lea, Flood, OOPSLA 2014), so that the numbers of a test are
 * not those of the code under test.
 */
#ifndef BP_TESTS_SUPPORT_H
#define BP_TESTS_SUPPORT_H

#include "test_dir.h"

#include <math.h>
#include <stdbool.h>

#include "engine/config.h"
#include "engine/mem.h"
#include "engine/table.h"

struct support_rng {
    uint64_t state;
};

static inline uint64_t support_next(struct support_rng *g)
{
    uint64_t z = g->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* 0 .. n - 1, n small against 2^64. */
static inline uint64_t support_below(struct support_rng *g, uint64_t n)
{
    return support_next(g) % n;
}

/* In (0, 1). */
static inline double support_unit(struct support_rng *g)
{
    return ((double)(support_next(g) >> 11) + 0.5) * 0x1p-53;
}

static inline double support_normal(struct support_rng *g)
{
    double radius = sqrt(-2.0 * log(support_unit(g)));
    return radius * cos(6.283185307179586 * support_unit(g));
}

/* n standard normal values; free with free. */
static inline float *support_normals(uint64_t n, uint64_t seed)
{
    struct support_rng g = {seed};
    float *A = bp_alloc(n, sizeof *A);
    assert_non_null(A);
    for (uint64_t i = 0; i < n; i++)
        A[i] = (float)support_normal(&g);
    return A;
}

/* `text` must hold all of `words` (separated by '|'). */
static inline void support_says(const char *text, const char *words)
{
    for (const char *word = words; *word;) {
        char one[300];
        size_t n = strcspn(word, "|");
        snprintf(one, sizeof one, "%.*s", (int)n, word);
        if (!strstr(text, one))
            fail_msg("'%s' is not in: %s", one, text);
        word += n + (word[n] == '|');
    }
}

/* The bytes of a file, with a NUL behind; free with free. */
static inline char *support_read(const char *path, size_t *n)
{
    FILE *in = fopen(path, "rb");
    if (!in)
        fail_msg("cannot read %s", path);
    assert_int_equal(fseek(in, 0, SEEK_END), 0);
    long size = ftell(in);
    assert_true(size >= 0);
    rewind(in);
    char *bytes = malloc((size_t)size + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, (size_t)size, in), size);
    bytes[size] = '\0';
    fclose(in);
    if (n)
        *n = (size_t)size;
    return bytes;
}

/* --- tables --- */

struct support_shape {
    uint64_t d, k;
};

static inline struct bp_candidate support_candidate(const char *config, uint32_t rank)
{
    struct bp_candidate c = {.rank = rank};
    assert_int_equal(bp_config_parse(config, &c.config, NULL), BP_OK);
    return c;
}

/* A table by hand without numbers, as bp_table_create takes it; free with bp_table_close. Names run
 * through the seven linear layers of Llama. */
static inline struct bp_table *support_table(const struct support_shape *shapes, size_t N,
                                             const struct bp_candidate *candidates, size_t C)
{
    static const char *const kinds[7] = {"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                         "gate_proj", "up_proj", "down_proj"};
    struct bp_table *t = calloc(1, sizeof *t);
    assert_non_null(t);
    t->path = bp_strdup("by hand");
    t->matrices = bp_alloc_zero(N, sizeof *t->matrices);
    t->candidates = bp_alloc_zero(C, sizeof *t->candidates);
    assert_true(t->path && t->matrices && t->candidates);
    t->n_matrices = N;
    t->n_candidates = C;
    memcpy(t->candidates, candidates, C * sizeof *candidates);
    for (size_t i = 0; i < N; i++) {
        struct bp_table_matrix *m = &t->matrices[i];
        const char *kind = kinds[i % 7];
        m->name = bp_format("model.layers.%zu.%s.%s.weight", i / 7, i % 7 < 4 ? "self_attn" : "mlp",
                            kind);
        m->kind = bp_strdup(kind);
        m->dtype = bp_strdup("BF16");
        m->d = shapes[i].d;
        m->k = shapes[i].k;
        m->layer = (int)(i / 7);
        t->about.params += m->d * m->k;
    }
    struct bp_table_about *a = &t->about;
    a->weighting = bp_strdup("none");
    a->weighting_source = bp_strdup("");
    a->weighting_fingerprint = bp_strdup("");
    a->model_name = bp_strdup("a model");
    a->model_fingerprint = bp_strdup("xxh3:00000000000000000000000000000001");
    a->effort = bp_strdup("exact");
    a->params_outside = 100;
    a->params += a->params_outside;
    a->bytes_outside = 200;
    a->iterations = 7;
    a->oversampling = 10;
    a->power_iterations = 2;
    a->seed = 3;
    a->method_version = BP_METHOD_VERSION;
    return t;
}

enum { SUPPORT_ERROR, SUPPORT_STORAGE, SUPPORT_NORM, SUPPORT_ITERATIONS, SUPPORT_BASELINE };

/* Gives the table all its arrays: storage by Eq. 3, errors as of a quantizer (a fourth a bit, some
 * noise), which the caller may then change through t->copies. */
static inline void support_numbers(struct bp_table *t, uint64_t seed)
{
    struct support_rng g = {seed};
    const size_t N = t->n_matrices, C = t->n_candidates;
    double *error = bp_alloc(N * C, sizeof *error), *norm = bp_alloc(N, sizeof *norm);
    double *baseline = bp_alloc(N * BP_N_BASELINES, sizeof *baseline);
    uint64_t *storage = bp_alloc(N * C, sizeof *storage);
    uint16_t *iterations = bp_alloc(N * C, sizeof *iterations);
    assert_true(error && norm && baseline && storage && iterations);
    for (size_t i = 0; i < N; i++) {
        const uint64_t n = t->matrices[i].d * t->matrices[i].k;
        norm[i] = (double)n * (0.5 + support_unit(&g));
        for (int b = 0; b < BP_N_BASELINES; b++)
            baseline[i * BP_N_BASELINES + b] = norm[i] * (b ? 0.03 : 0.008) * support_unit(&g);
        for (size_t j = 0; j < C; j++) {
            const struct bp_config *c = &t->candidates[j].config;
            double noise = 1.0 + 0.3 * support_unit(&g);
            storage[i * C + j] = 0;
            if (!t->candidates[j].foreign)
                assert_true(bp_config_storage(c, n, &storage[i * C + j]));
            error[i * C + j] = norm[i] * noise * pow(4.0, -(double)c->b0 - 4.0 / c->B0);
            iterations[i * C + j] = (uint16_t)(1 + support_below(&g, 7));
        }
    }
    t->copies[SUPPORT_ERROR] = error;
    t->copies[SUPPORT_STORAGE] = storage;
    t->copies[SUPPORT_NORM] = norm;
    t->copies[SUPPORT_ITERATIONS] = iterations;
    t->copies[SUPPORT_BASELINE] = baseline;
    t->error = error;
    t->storage = storage;
    t->norm = norm;
    t->iterations = iterations;
    t->baseline_error = baseline;
}

/* Writes a table with numbers as a run of `bitplan measure` would. */
static inline void support_save(const struct bp_table *t, const char *path)
{
    struct bp_err err = {""};
    struct bp_table *file;
    struct bp_table_writer *writer;
    if (bp_table_create(t, path, true, &err) || bp_table_open(path, &file, &err) ||
        bp_table_writer_open(file, &writer, &err))
        fail_msg("%s", err.text);
    for (size_t i = 0; i < t->n_matrices; i++) {
        struct bp_table_row row = {t->error + i * t->n_candidates,
                                   t->iterations + i * t->n_candidates,
                                   t->baseline_error + i * BP_N_BASELINES, t->norm[i],
                                   t->stage ? t->stage + i * t->n_candidates : NULL};
        assert_int_equal(bp_table_writer_put(writer, i, &row, &err), BP_OK);
    }
    assert_int_equal(bp_table_writer_close(writer, &err), BP_OK);
    bp_table_close(file);
}

#endif
