/* Which cell of the map a matrix falls into. */
#include "support.h"

#include "ui/map.h"

enum { N = 40 };

static struct bp_table *table_of(void)
{
    struct support_shape shapes[N];
    for (int i = 0; i < N; i++)
        shapes[i] = (struct support_shape){16, 16};
    const struct bp_candidate one = support_candidate("nf3:u4:fp16:64:256", 0);
    return support_table(shapes, N, &one, 1);
}

static void rename_kind(struct bp_table *t, size_t i, const char *kind, int layer)
{
    free(t->matrices[i].kind);
    t->matrices[i].kind = bp_strdup(kind);
    t->matrices[i].layer = layer;
}

/* Every row stands in the cell of its kind and layer, once, in the table's order. */
static void check(const struct bp_map *map, const struct bp_table *t)
{
    size_t seen = 0, most = 0;
    for (size_t k = 0; k < map->n_kinds; k++)
        for (size_t l = 0; l < map->n_layers; l++) {
            size_t n;
            const uint32_t *rows = bp_map_cell(map, k, l, &n);
            for (size_t i = 0; i < n; i++) {
                const struct bp_table_matrix *m = &t->matrices[rows[i]];
                assert_string_equal(map->kinds[k], *m->kind ? m->kind : "other");
                assert_int_equal(map->layers[l], m->layer);
                assert_int_equal(map->kind[rows[i]], k);
                assert_int_equal(map->layer[rows[i]], l);
                assert_true(i == 0 || rows[i - 1] < rows[i]);
            }
            seen += n;
            most = n > most ? n : most;
        }
    assert_int_equal(seen, t->n_matrices);
    assert_int_equal(bp_map_largest_cell(map), most);
}

static void kinds_by_layers_in_the_tables_order(void **state)
{
    struct bp_map map;
    (void)state;
    struct bp_table *t = table_of();
    assert_int_equal(bp_map_init(&map, t, NULL), BP_OK);
    assert_int_equal(map.n_kinds, 7);
    assert_int_equal(map.n_layers, (N + 6) / 7);
    assert_string_equal(map.kinds[0], "q_proj");
    assert_string_equal(map.kinds[6], "down_proj");
    check(&map, t);
    bp_map_done(&map);
    bp_table_close(t);
}

static void experts_share_a_cell_and_the_rest_has_a_column(void **state)
{
    struct bp_map map;
    size_t n;
    (void)state;
    struct bp_table *t = table_of();
    for (size_t i = 7; i < 30; i++)
        rename_kind(t, i, "experts.up_proj", 1);
    rename_kind(t, 39, "lm_head", -1);
    rename_kind(t, 38, "", -1);
    assert_int_equal(bp_map_init(&map, t, NULL), BP_OK);
    check(&map, t);
    assert_int_equal(bp_map_largest_cell(&map), 23);
    assert_int_equal(map.layers[map.n_layers - 1], -1);
    bp_map_cell(&map, map.kind[39], 0, &n);
    assert_int_equal(n, 0); /* no layer 0 has it */
    bp_map_done(&map);
    bp_map_done(&map); /* once more does no harm */
    bp_table_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_by_layers_in_the_tables_order),
        cmocka_unit_test(experts_share_a_cell_and_the_rest_has_a_column),
    };
    return cmocka_run_group_tests_name("map", tests, NULL, NULL);
}
