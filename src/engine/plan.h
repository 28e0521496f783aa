/*
 * A plan: one candidate for every matrix, with totals, a certificate, baselines and the memory
 * ledger, and its JSON form (docs/formats.md).
 *
 * Totals are sums over the table's own cells: bits in integers, errors in double in the table's
 * order. A plan borrows its table, which must outlive it, and is read-only once made.
 */
#ifndef BP_ENGINE_PLAN_H
#define BP_ENGINE_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/budget.h"
#include "engine/constraints.h"
#include "engine/err.h"
#include "engine/plan_rules.h"
#include "engine/table.h"

struct bp_json_out;

struct bp_certificate {
    bool optimal;       /* proved; else the bound is what is known */
    double lower_bound; /* no plan within the budget has a smaller objective */
    double gap;         /* (objective - lower_bound) / objective, 0 for an objective of 0 */
    const char *method; /* "mckp", "sided" or "glpk"; a constant */
};

struct bp_baseline {
    const char *name; /* "best uniform", "nf4", "nf3"; a constant */
    struct bp_candidate candidate;
    uint64_t storage_bits;
    double error; /* NaN when the table does not hold it */
};

enum { BP_MAX_BASELINES = 1 + BP_N_BASELINES };

struct bp_plan {
    const struct bp_table *table;
    char *table_fingerprint;
    struct bp_constraints constraints;
    struct bp_budget budget;
    uint32_t *choice; /* [n_matrices] candidate of each */
    uint64_t params, storage_bits;
    /* Of the low-rank parts, in the budget's precision (low_rank.h): elements, bits, and bytes in
     * memory. */
    uint64_t low_rank_params, low_rank_bits, low_rank_bytes;
    double error;
    double objective;      /* what was minimized: the error, with --weight's factors */
    double shadow_price;   /* objective saved per bit more, at this budget; not in the JSON */
    double relative_error; /* over the sum of the norms; NaN when the table holds none */
    struct bp_certificate certificate;
    struct bp_baseline baselines[BP_MAX_BASELINES];
    size_t n_baselines;
    struct bp_warning *warnings; /* [n_warnings] */
    size_t n_warnings;
    double largest_bits; /* bits/param of the table's largest candidate, about: for the warnings */
};

struct bp_plan *bp_plan_free(struct bp_plan *plan);

/* Storage over parameters; effective adds the low-rank parts. */
double bp_plan_bits_per_param(const struct bp_plan *plan);
double bp_plan_effective_bits_per_param(const struct bp_plan *plan);

/* What it takes of its budget: storage, with the low-rank parts where the budget counts them. At
 * most budget.bits. */
uint64_t bp_plan_spent_bits(const struct bp_plan *plan);

/* What a plan takes in memory. outside_bytes counts only when known. */
struct bp_ledger {
    uint64_t codes_and_scales_bytes; /* storage, in whole bytes */
    uint64_t offsets_bytes;          /* one FP32 a matrix, which Eq. 3 leaves out */
    uint64_t low_rank_bytes;
    uint64_t outside_bytes; /* embeddings, head, norms, as the model stores them */
    bool outside_known;
    uint64_t total_bytes;
};
struct bp_ledger bp_plan_memory(const struct bp_plan *plan);

/* The plan as the JSON document of docs/formats.md. bp_json_out_done when done. */
void bp_plan_to_json(const struct bp_plan *plan, struct bp_json_out *out);

/* The matrices as CSV with a header line, in the table's order; on the heap, NULL when out of
 * memory. A figure that is not known is empty. */
char *bp_plan_to_csv(const struct bp_plan *plan);

#endif
