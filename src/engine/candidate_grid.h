/*
 * Which candidates a grid leaves: a grid of configs (config.h), and, in tables that hold several
 * ranks, "rank=R[,R...]" as one more field: "paper:rank=8,64", "rank=0".
 */
#ifndef BP_ENGINE_CANDIDATE_GRID_H
#define BP_ENGINE_CANDIDATE_GRID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/config.h"
#include "engine/err.h"

enum { BP_GRID_MAX_RANKS = 32 };

struct bp_candidate_grid {
    bool any_config; /* only ranks are named */
    struct bp_grid configs;
    uint32_t ranks[BP_GRID_MAX_RANKS]; /* [n_ranks] 0 of them = any rank */
    size_t n_ranks;
};

/* BP_ERR_USAGE names what is wrong; a zeroed struct needs no done. */
enum bp_status bp_candidate_grid_parse(const char *text, struct bp_candidate_grid *out,
                                       struct bp_err *err);
void bp_candidate_grid_done(struct bp_candidate_grid *grid);

/* False for another quantizer's label: a grid is made of configs. */
bool bp_candidate_grid_has(const struct bp_candidate_grid *grid, const struct bp_candidate *c);

#endif
