#include "engine/one_step.h"

#include <math.h>
#include <stdlib.h>

#include "engine/mem.h"
#include "engine/parallel.h"
#include "engine/quantize_fast.h"

enum { PANEL = 65536 };    /* elements; a panel and its weights fit a second-level cache */
enum { CHUNK = 16384 };    /* elements whose errors are summed on their own, in a fixed order */
enum { TILE_ROWS = 64 };   /* rows of W - L1 L2 that are always computed together */
enum { WAVE_PANELS = 64 }; /* panels between two looks at the clock of the caller */

/* A panel's working memory, one a thread. */
struct desk {
    float *Z;      /* [tile rows of a panel * k], unused for r = 0 */
    float *maxima; /* for each size of block those of the panel */
    float *choosing, *value;
    float *least; /* [n_sizes] */
};

struct size {
    uint32_t B0;
    uint32_t of;  /* index of a size that divides it, itself if none */
    size_t at;    /* place in a desk's maxima */
    float offset; /* of the whole matrix */
};

struct entry {
    struct bp_config config;
    size_t i, size; /* index in the caller's list, in sizes */
    uint64_t chunk; /* elements */
};

struct job {
    const struct bp_lq_matrix *matrix;
    const float *L1, *L2;
    uint32_t r;
    uint64_t n_elems, panel, n_panels, tile_rows;
    struct entry *entries; /* [n] those with equal scales side by side */
    size_t n;
    struct size *sizes; /* [n_sizes] rising */
    size_t n_sizes;
    struct desk *desks; /* [threads] */
    unsigned threads;
    const struct bp_backend_watch *watch;
    uint64_t first, wave; /* panels of this wave */
    size_t sums_a_panel;  /* a config's, at most */
    double *sums;         /* [wave * n * sums_a_panel] */
};

/* --- what is to be done --- */

static uint64_t ceil_div(uint64_t a, uint64_t b)
{
    return a / b + (a % b != 0);
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    const struct bp_config *c = &x->config, *d = &y->config;
    if (c->B0 != d->B0)
        return c->B0 < d->B0 ? -1 : 1;
    if (c->B1 != d->B1)
        return c->B1 < d->B1 ? -1 : 1;
    if (c->b1 != d->b1)
        return c->b1 < d->b1 ? -1 : 1;
    if (c->b2 != d->b2)
        return c->b2 < d->b2 ? -1 : 1;
    return x->i < y->i ? -1 : x->i > y->i;
}

static bool same_scales(const struct bp_config *c, const struct bp_config *d)
{
    return c->B0 == d->B0 && c->B1 == d->B1 && c->b1 == d->b1 && c->b2 == d->b2;
}

/* Least common multiple, or `most` when that is smaller. */
static uint64_t common_multiple(uint64_t a, uint64_t b, uint64_t most)
{
    uint64_t x = a, y = b, product;
    while (y) {
        uint64_t rest = x % y;
        x = y;
        y = rest;
    }
    return bp_mul_u64(a / x, b, &product) && product < most ? product : most;
}

/* Elements of a panel: whole units. Of whole tiles too where twice the size makes it so (columns an
 * odd multiple of 128): a tile that two panels share is computed for both. */
static uint64_t panel_size(const struct job *job, uint64_t unit)
{
    const uint64_t tile = job->r ? job->tile_rows * job->matrix->k : 1;
    const uint64_t wanted = tile < PANEL ? PANEL : tile;
    const uint64_t both = common_multiple(unit, tile, job->n_elems);
    const uint64_t step = both <= 2 * wanted ? both : unit;
    const uint64_t panel = ceil_div(wanted, step) * step;
    return panel < job->n_elems ? panel : job->n_elems;
}

/* Sorts the configs and lays out what they need. The chunks of a config depend on it alone. */
static void lay_out(struct job *job, const struct bp_config *configs)
{
    uint64_t unit = 1;
    for (size_t i = 0; i < job->n; i++) {
        uint64_t group = (uint64_t)configs[i].B0 * configs[i].B1;
        job->entries[i] =
            (struct entry){.config = configs[i], .i = i, .chunk = ceil_div(CHUNK, group) * group};
        unit = common_multiple(unit, job->entries[i].chunk, job->n_elems);
    }
    qsort(job->entries, job->n, sizeof *job->entries, compare_entries);
    job->tile_rows = job->matrix->d < TILE_ROWS ? job->matrix->d : TILE_ROWS;
    job->panel = panel_size(job, unit);
    job->n_panels = ceil_div(job->n_elems, job->panel);
    job->sums_a_panel = (size_t)ceil_div(job->panel, CHUNK);
    size_t at = 0;
    for (size_t i = 0; i < job->n; i++) {
        struct entry *e = &job->entries[i];
        if (i == 0 || e->config.B0 != e[-1].config.B0) {
            struct size *size = &job->sizes[job->n_sizes];
            *size = (struct size){.B0 = e->config.B0, .of = (uint32_t)job->n_sizes, .at = at};
            for (uint32_t s = 0; s < job->n_sizes; s++)
                if (size->B0 % job->sizes[s].B0 == 0)
                    size->of = s;
            size->offset = INFINITY;
            at += (size_t)ceil_div(job->panel, size->B0);
            job->n_sizes++;
        }
        e->size = job->n_sizes - 1;
    }
}

static bool desk_init(const struct job *job, struct desk *desk)
{
    size_t maxima = 0, blocks = (size_t)ceil_div(job->panel, job->sizes[0].B0);
    for (size_t s = 0; s < job->n_sizes; s++)
        maxima += (size_t)ceil_div(job->panel, job->sizes[s].B0);
    const uint64_t tile = job->tile_rows * job->matrix->k;
    /* Unless panels are whole tiles, one may begin and end within a tile. */
    uint64_t rows = job->panel / job->matrix->k;
    rows += job->panel % tile == 0 ? 0 : 2 * job->tile_rows + 1;
    rows = rows < job->matrix->d ? rows : job->matrix->d;
    desk->Z = job->r ? bp_alloc(rows * job->matrix->k, sizeof *desk->Z) : NULL;
    desk->maxima = bp_alloc(maxima, sizeof *desk->maxima);
    desk->choosing = bp_alloc(blocks, sizeof *desk->choosing);
    desk->value = bp_alloc(blocks, sizeof *desk->value);
    desk->least = bp_alloc(job->n_sizes, sizeof *desk->least);
    for (size_t s = 0; desk->least && s < job->n_sizes; s++)
        desk->least[s] = INFINITY;
    return (!job->r || desk->Z) && desk->maxima && desk->choosing && desk->value && desk->least;
}

static void job_done(struct job *job)
{
    for (unsigned t = 0; job->desks && t < job->threads; t++) {
        free(job->desks[t].Z);
        free(job->desks[t].maxima);
        free(job->desks[t].choosing);
        free(job->desks[t].value);
        free(job->desks[t].least);
    }
    free(job->desks);
    free(job->entries);
    free(job->sizes);
    free(job->sums);
}

static enum bp_status job_init(struct job *job, const struct bp_config *configs, struct bp_err *err)
{
    job->entries = bp_alloc(job->n, sizeof *job->entries);
    job->sizes = bp_alloc(job->n, sizeof *job->sizes);
    job->desks = bp_alloc_zero(job->threads, sizeof *job->desks);
    if (!job->entries || !job->sizes || !job->desks)
        return bp_fail_nomem(err);
    lay_out(job, configs);
    job->wave = 4 * (uint64_t)job->threads < WAVE_PANELS ? WAVE_PANELS : 4 * job->threads;
    job->wave = job->wave < job->n_panels ? job->wave : job->n_panels;
    uint64_t sums;
    if (!bp_mul_u64(job->wave * job->sums_a_panel, job->n, &sums))
        return bp_fail_nomem(err);
    job->sums = bp_alloc(sums, sizeof *job->sums);
    for (unsigned t = 0; t < job->threads; t++)
        if (!desk_init(job, &job->desks[t]))
            return bp_fail_nomem(err);
    return job->sums ? BP_OK : bp_fail_nomem(err);
}

/* --- panels --- */

/* W - L1 L2 at elements first .. first + n - 1. Rows are computed in fixed tiles, as BLAS may round
 * otherwise in another company of rows. */
static const float *panel_remainder(const struct job *job, struct desk *desk, uint64_t first,
                                    uint64_t n)
{
    const struct bp_lq_matrix *m = job->matrix;
    if (job->r == 0)
        return m->W + first;
    const uint64_t begin = first / m->k / job->tile_rows * job->tile_rows;
    const uint64_t end = ceil_div(first + n, m->k);
    for (uint64_t row = begin; row < end; row += job->tile_rows) {
        uint64_t rows = m->d - row < job->tile_rows ? m->d - row : job->tile_rows;
        bp_residual(m->W + row * m->k, job->L1 + row * job->r, job->L2, rows, m->k, job->r,
                    desk->Z + (row - begin) * m->k);
    }
    return desk->Z + (first - begin * m->k);
}

/* The panel's remainder and block maxima of all sizes. */
static const float *panel_start(const struct job *job, struct desk *desk, uint64_t first,
                                uint64_t n)
{
    const float *Z = panel_remainder(job, desk, first, n);
    for (size_t s = 0; s < job->n_sizes; s++) {
        const struct size *size = &job->sizes[s], *of = &job->sizes[size->of];
        float least = size == of ? bp_fast_block_maxima(Z, n, size->B0, desk->maxima + size->at)
                                 : bp_fast_block_maxima(desk->maxima + of->at, ceil_div(n, of->B0),
                                                        size->B0 / of->B0, desk->maxima + size->at);
        desk->least[s] = least < desk->least[s] ? least : desk->least[s];
    }
    return Z;
}

static bool stopped(const struct job *job)
{
    return job->watch && job->watch->stop && atomic_load(job->watch->stop);
}

static uint64_t panel_elems(const struct job *job, uint64_t p)
{
    return job->n_elems - p * job->panel < job->panel ? job->n_elems - p * job->panel : job->panel;
}

static enum bp_status find_least(void *ctx, size_t p, unsigned worker, struct bp_err *err)
{
    (void)err;
    struct job *job = ctx;
    if (stopped(job))
        return BP_STOPPED;
    panel_start(job, &job->desks[worker], p * job->panel, panel_elems(job, p));
    return BP_OK;
}

/* The sums of one config's chunks in a panel. */
static void sum_chunks(const struct job *job, const struct desk *desk, const struct entry *e,
                       const float *Z, uint64_t first, uint64_t n, double *sums)
{
    const float *F = job->matrix->F ? job->matrix->F + first : NULL;
    size_t at = 0;
    for (uint64_t i = 0; i < n; i += e->chunk, at++) {
        uint64_t length = n - i < e->chunk ? n - i : e->chunk, block = i / e->config.B0;
        sums[at] = bp_fast_error(Z + i, F ? F + i : NULL, length, &e->config,
                                 desk->choosing + block, desk->value + block);
    }
}

static enum bp_status sum_errors(void *ctx, size_t turn, unsigned worker, struct bp_err *err)
{
    (void)err;
    struct job *job = ctx;
    struct desk *desk = &job->desks[worker];
    const uint64_t p = job->first + turn, first = p * job->panel, n = panel_elems(job, p);
    if (stopped(job))
        return BP_STOPPED;
    const float *Z = panel_start(job, desk, first, n);
    for (size_t i = 0; i < job->n; i++) {
        const struct entry *e = &job->entries[i];
        const struct size *size = &job->sizes[e->size];
        if (i == 0 || !same_scales(&e->config, &e[-1].config))
            bp_fast_scales(desk->maxima + size->at, ceil_div(n, size->B0), &e->config, size->offset,
                           desk->choosing, desk->value);
        sum_chunks(job, desk, e, Z, first, n, job->sums + (turn * job->n + i) * job->sums_a_panel);
    }
    return BP_OK;
}

/* Adds what the panels of a wave came to, in their order. */
static void add_wave(const struct job *job, uint64_t n_panels, double *error)
{
    for (uint64_t turn = 0; turn < n_panels; turn++)
        for (size_t i = 0; i < job->n; i++) {
            const struct entry *e = &job->entries[i];
            const double *sums = job->sums + (turn * job->n + i) * job->sums_a_panel;
            uint64_t n = ceil_div(panel_elems(job, job->first + turn), e->chunk);
            for (uint64_t c = 0; c < n; c++)
                error[e->i] += sums[c];
        }
}

static enum bp_status walk(struct job *job, double *error, struct bp_err *err)
{
    BP_TRY(bp_parallel_for(job->n_panels, job->threads, find_least, job, err));
    for (size_t s = 0; s < job->n_sizes; s++)
        for (unsigned t = 0; t < job->threads; t++)
            job->sizes[s].offset = fminf(job->sizes[s].offset, job->desks[t].least[s]);
    for (size_t i = 0; i < job->n; i++)
        error[i] = 0.0;
    for (job->first = 0; job->first < job->n_panels; job->first += job->wave) {
        uint64_t left = job->n_panels - job->first, n = left < job->wave ? left : job->wave;
        BP_TRY(bp_parallel_for(n, job->threads, sum_errors, job, err));
        add_wave(job, n, error);
        if (job->watch && job->watch->done)
            job->watch->done(job->watch->ctx, job->n * (job->first + n) / job->n_panels);
    }
    for (size_t i = 0; i < job->n; i++)
        if (!isfinite(error[i]))
            return bp_fail(err, BP_ERR_FAILED, "the error left the range of numbers");
    return BP_OK;
}

enum bp_status bp_one_step(const struct bp_lq_matrix *matrix, const float *L1, const float *L2,
                           uint32_t r, const struct bp_config *configs, size_t n, unsigned threads,
                           const struct bp_backend_watch *watch, double *error, struct bp_err *err)
{
    if (n == 0)
        return BP_OK;
    struct job job = {.matrix = matrix,
                      .L1 = L1,
                      .L2 = L2,
                      .r = r,
                      .n_elems = matrix->d * matrix->k,
                      .n = n,
                      .threads = threads,
                      .watch = watch};
    enum bp_status status = job_init(&job, configs, err);
    if (status == BP_OK)
        status = walk(&job, error, err);
    job_done(&job);
    return status;
}
