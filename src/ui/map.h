/*
 * The allocation map: which cell of "kinds by layers" (LQ-LoRA Figure 4) a matrix falls into. A
 * cell usually is one matrix; experts of a layer share the cell of their kind, and a layer can be
 * opened to see them one by one. Rows of the table outside numbered layers get a column of their
 * own behind the layers.
 */
#ifndef BP_UI_MAP_H
#define BP_UI_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "engine/err.h"
#include "engine/table.h"

struct bp_map {
    const char **kinds; /* [n_kinds] borrowed from the table, in the order they first appear */
    size_t n_kinds;
    int *layers; /* [n_layers] ascending in the table's order; -1 = outside layers */
    size_t n_layers;
    uint32_t *rows;         /* [n_matrices] table rows, cell by cell, in the table's order */
    uint32_t *start;        /* [n_kinds * n_layers + 1] where a cell's rows begin, kind slowest */
    uint32_t *kind, *layer; /* [n_matrices] of each table row */
};

enum bp_status bp_map_init(struct bp_map *map, const struct bp_table *table, struct bp_err *err);
void bp_map_done(struct bp_map *map);

/* The table rows of a cell: [*n]. */
const uint32_t *bp_map_cell(const struct bp_map *map, size_t kind, size_t layer, size_t *n);
/* Most rows that a cell holds. */
size_t bp_map_largest_cell(const struct bp_map *map);

#endif
