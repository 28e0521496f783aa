#include "engine/lq_evaluate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/lq_window.h"
#include "engine/mem.h"
#include "engine/quantize_fast.h"
#include "engine/svd.h"

enum { PANEL_ELEMS = 1 << 18 };

static bool grow(float **p, uint64_t n)
{
    free(*p);
    *p = bp_alloc(n, sizeof **p);
    return *p != NULL;
}

enum bp_status bp_lq_panel_reserve(struct bp_lq_panel *p, uint64_t elems, uint32_t B0,
                                   struct bp_err *err)
{
    const uint64_t blocks = elems / B0 + 1;
    if (elems > p->elems) {
        p->elems = 0;
        if (!grow(&p->Z, elems))
            return bp_fail_nomem(err);
        p->elems = elems;
    }
    if (blocks > p->blocks) {
        p->blocks = 0;
        if (!grow(&p->maxima, blocks) || !grow(&p->choosing, blocks) || !grow(&p->value, blocks))
            return bp_fail_nomem(err);
        p->blocks = blocks;
    }
    return BP_OK;
}

void bp_lq_panel_done(struct bp_lq_panel *p)
{
    free(p->Z);
    free(p->maxima);
    free(p->choosing);
    free(p->value);
    *p = (struct bp_lq_panel){0};
}

static enum bp_status walk_start(struct bp_lq_window *walk, struct bp_lq_panel *panel,
                                 const struct bp_lq_matrix *m, uint32_t B0, uint32_t B1,
                                 struct bp_err *err)
{
    const uint64_t unit = (uint64_t)B0 * B1;
    const uint64_t rows = bp_lq_window_rows(m->d, m->k, unit, PANEL_ELEMS);
    BP_TRY(bp_lq_panel_reserve(panel, rows * m->k, B0, err));
    bp_lq_window_start(walk, m->d, m->k, unit, rows, panel->Z);
    return BP_OK;
}

/* The next stretch of W - L1 L2; false at the end. */
static bool next_stretch(struct bp_lq_window *walk, const struct bp_lq_matrix *m,
                         const struct bp_lq_lowrank *l, struct bp_lq_span *stretch)
{
    struct bp_lq_span rows;
    if (!bp_lq_window_fill(walk, &rows))
        return false;
    const float *W = m->W + rows.first * m->k;
    if (l->r > 0)
        bp_residual(W, l->L1 + rows.first * l->r, l->L2, rows.n, m->k, l->r, rows.Z);
    else
        memcpy(rows.Z, W, rows.n * m->k * sizeof *W);
    *stretch = bp_lq_window_stretch(walk);
    bp_lq_window_ready(walk);
    return true;
}

enum bp_status bp_lq_offset(struct bp_lq_panel *panel, const struct bp_lq_matrix *m,
                            const struct bp_lq_lowrank *l, uint32_t B0, uint32_t B1,
                            const atomic_bool *stop, float *offset, struct bp_err *err)
{
    struct bp_lq_window walk;
    struct bp_lq_span s;
    *offset = INFINITY;
    BP_TRY(walk_start(&walk, panel, m, B0, B1, err));
    for (; next_stretch(&walk, m, l, &s); bp_lq_window_drop(&walk)) {
        if (stop && atomic_load(stop))
            return BP_STOPPED;
        *offset = fminf(*offset, bp_fast_block_maxima(s.Z, s.n, B0, panel->maxima));
    }
    return BP_OK;
}

enum bp_status bp_lq_evaluate(struct bp_lq_panel *panel, const struct bp_lq_matrix *m,
                              const struct bp_lq_lowrank *l, const struct bp_config *configs,
                              size_t n, const atomic_bool *stop, double *error, struct bp_err *err)
{
    const struct bp_config *c = &configs[0];
    struct bp_lq_window walk;
    struct bp_lq_span s;
    float offset;
    BP_TRY(bp_lq_offset(panel, m, l, c->B0, c->B1, stop, &offset, err));
    BP_TRY(walk_start(&walk, panel, m, c->B0, c->B1, err));
    for (size_t i = 0; i < n; i++)
        error[i] = 0.0;
    for (; next_stretch(&walk, m, l, &s); bp_lq_window_drop(&walk)) {
        if (stop && atomic_load(stop))
            return BP_STOPPED;
        const float *F = m->F ? m->F + s.first : NULL;
        const uint64_t n_blocks = (s.n + c->B0 - 1) / c->B0;
        bp_fast_block_maxima(s.Z, s.n, c->B0, panel->maxima);
        for (size_t i = 0; i < n; i++) {
            bp_fast_scales(panel->maxima, n_blocks, &configs[i], offset, panel->choosing,
                           panel->value);
            error[i] += bp_fast_error(s.Z, F, s.n, &configs[i], panel->choosing, panel->value);
        }
    }
    for (size_t i = 0; i < n; i++)
        if (!isfinite(error[i]))
            return bp_fail(err, BP_ERR_FAILED, "the error left the range of numbers");
    return BP_OK;
}
