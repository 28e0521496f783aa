/*
 * The JSON texts in a table's `__metadata__`: matrices, candidates, objective, model, method.
 * Private to the table files.
 */
#ifndef BP_ENGINE_TABLE_META_H
#define BP_ENGINE_TABLE_META_H

#include "engine/safetensors.h"
#include "engine/table.h"

#define BP_TABLE_FORMAT  "bitplan.table"
#define BP_TABLE_VERSION "1"

enum { BP_TABLE_META_PAIRS = 7 };

/* The pairs of a table by hand, in the order of the file; free them with bp_table_meta_done. */
enum bp_status bp_table_meta_build(const struct bp_table *table,
                                   struct bp_st_pair pairs[BP_TABLE_META_PAIRS],
                                   struct bp_err *err);
void bp_table_meta_done(struct bp_st_pair pairs[BP_TABLE_META_PAIRS]);

/* Fills matrices, candidates and about from the metadata of an open file. The table's path is set.
 */
enum bp_status bp_table_meta_parse(const struct bp_st *st, struct bp_table *table,
                                   struct bp_err *err);

#endif
