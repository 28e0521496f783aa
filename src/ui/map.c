#include "ui/map.h"

#include <stdlib.h>
#include <string.h>

#include "engine/mem.h"

static const char *kind_name(const struct bp_table_matrix *m)
{
    return *m->kind ? m->kind : "other";
}

/* The kind's row, a new one where it has none. SIZE_MAX when out of memory. A model has a dozen
 * kinds, and neighbours differ: looking from the last one on finds them soon. */
static size_t find_kind(struct bp_map *map, const char *name)
{
    for (size_t k = map->n_kinds; k-- > 0;)
        if (strcmp(map->kinds[k], name) == 0)
            return k;
    const char **grown = bp_grow(map->kinds, map->n_kinds + 1, sizeof *map->kinds);
    if (!grown)
        return SIZE_MAX;
    map->kinds = grown;
    map->kinds[map->n_kinds] = name;
    return map->n_kinds++;
}

static size_t find_layer(struct bp_map *map, int layer)
{
    for (size_t l = map->n_layers; l-- > 0;)
        if (map->layers[l] == layer)
            return l;
    int *grown = bp_grow(map->layers, map->n_layers + 1, sizeof *map->layers);
    if (!grown)
        return SIZE_MAX;
    map->layers = grown;
    map->layers[map->n_layers] = layer;
    return map->n_layers++;
}

static enum bp_status place(struct bp_map *map, const struct bp_table *table, struct bp_err *err)
{
    const size_t n = table->n_matrices;
    map->kind = bp_alloc(n, sizeof *map->kind);
    map->layer = bp_alloc(n, sizeof *map->layer);
    map->rows = bp_alloc(n, sizeof *map->rows);
    if (!map->kind || !map->layer || !map->rows)
        return bp_fail_nomem(err);
    for (size_t i = 0; i < n; i++) {
        size_t k = find_kind(map, kind_name(&table->matrices[i]));
        size_t l = find_layer(map, table->matrices[i].layer);
        if (k == SIZE_MAX || l == SIZE_MAX)
            return bp_fail_nomem(err);
        map->kind[i] = (uint32_t)k;
        map->layer[i] = (uint32_t)l;
    }
    return BP_OK;
}

/* A counting sort of the rows by cell. */
static enum bp_status fill(struct bp_map *map, size_t n, struct bp_err *err)
{
    const size_t n_cells = map->n_kinds * map->n_layers;
    map->start = bp_alloc_zero(n_cells + 1, sizeof *map->start);
    uint32_t *next = bp_alloc(n_cells + 1, sizeof *next);
    if (!map->start || !next) {
        free(next);
        return bp_fail_nomem(err);
    }
    for (size_t i = 0; i < n; i++)
        map->start[map->kind[i] * map->n_layers + map->layer[i] + 1]++;
    for (size_t c = 0; c < n_cells; c++)
        map->start[c + 1] += map->start[c];
    memcpy(next, map->start, (n_cells + 1) * sizeof *next);
    for (size_t i = 0; i < n; i++)
        map->rows[next[map->kind[i] * map->n_layers + map->layer[i]]++] = (uint32_t)i;
    free(next);
    return BP_OK;
}

enum bp_status bp_map_init(struct bp_map *map, const struct bp_table *table, struct bp_err *err)
{
    *map = (struct bp_map){0};
    enum bp_status status = place(map, table, err);
    if (status == BP_OK)
        status = fill(map, table->n_matrices, err);
    if (status != BP_OK)
        bp_map_done(map);
    return status;
}

void bp_map_done(struct bp_map *map)
{
    free(map->kinds);
    free(map->layers);
    free(map->rows);
    free(map->start);
    free(map->kind);
    free(map->layer);
    *map = (struct bp_map){0};
}

const uint32_t *bp_map_cell(const struct bp_map *map, size_t kind, size_t layer, size_t *n)
{
    size_t c = kind * map->n_layers + layer;
    *n = map->start[c + 1] - map->start[c];
    return map->rows + map->start[c];
}

size_t bp_map_largest_cell(const struct bp_map *map)
{
    size_t most = 0;
    for (size_t c = 0; c < map->n_kinds * map->n_layers; c++) {
        size_t n = map->start[c + 1] - map->start[c];
        most = n > most ? n : most;
    }
    return most;
}
