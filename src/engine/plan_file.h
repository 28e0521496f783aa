/*
 * A plan as its JSON document says it (docs/formats.md), for carrying it out: which matrix takes
 * which config, what error that was to have, and how the errors were made. Nothing here is checked
 * against a table: that is verify.h's.
 */
#ifndef BP_ENGINE_PLAN_FILE_H
#define BP_ENGINE_PLAN_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/config.h"
#include "engine/err.h"

/* One matrix of the plan. */
struct bp_plan_entry {
    char *name;
    uint64_t d, k;
    struct bp_candidate
        candidate; /* foreign: of another quantizer, which nobody here can carry out */
    uint64_t storage_bits;
    double error;
};

/* How the errors of the plan's table were made. */
struct bp_plan_method {
    bool known;          /* false: a plan of an older bitplan, or of a table that does not say */
    char *effort;        /* "exact", ...; NULL when not known */
    uint32_t iterations; /* cap of the iterations, 1 .. BP_LQ_MAX_ITERATIONS */
    uint32_t rank;       /* largest of the table's candidates */
    uint64_t seed, version;
};

struct bp_plan_file {
    char *path;
    char *model_name, *model_fingerprint; /* "" when the table did not say */
    char *table_path, *table_fingerprint;
    char *weighting;             /* "none", "fisher", ... */
    char *weighting_fingerprint; /* "" for none, or when the plan does not say */
    struct bp_plan_method method;
    struct bp_plan_entry *entries; /* [n] in the plan's order */
    size_t n;
    uint64_t params, storage_bits; /* sums over the entries */
    unsigned low_rank_bits;        /* of an element of L1 and L2, as the plan's ledger counts it */
    bool synthetic;
    uint64_t hash; /* XXH3 over models, tables and entries: tells two plans apart */
};

/* Reads a plan. BP_ERR_INPUT: not one plan (a list of plans is refused, too), or what is needed is
 * missing or out of range. Where the plan does not say how its errors were made, its table is asked
 * when it is to be found: at `table_path` (NULL: as the plan has it, from the working folder, then
 * the plan's), and must be the plan's by its fingerprint (BP_ERR_MISMATCH). */
enum bp_status bp_plan_file_read(const char *path, const char *table_path,
                                 struct bp_plan_file **out, struct bp_err *err);

/* The same from the document's text, which `label` names in messages; no table is asked. */
enum bp_status bp_plan_file_parse(const char *text, const char *label, struct bp_plan_file **out,
                                  struct bp_err *err);

/* Takes NULL, returns NULL. */
struct bp_plan_file *bp_plan_file_free(struct bp_plan_file *plan);

#endif
