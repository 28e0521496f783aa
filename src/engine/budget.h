/*
 * A budget: what may be spent on the planned matrices, in whole bits. What was typed is turned into
 * bits exactly (2.6 bits/param of 5 parameters are 13 bits, not 12.999), and rounded down.
 *
 * Bits are those of storage (Eq. 3), and low-rank parts come on top; but for a budget in total
 * bytes of a table whose candidates differ in rank: what the low-rank parts take then depends on
 * the plan, and the budget counts them as well.
 */
#ifndef BP_ENGINE_BUDGET_H
#define BP_ENGINE_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/err.h"

enum bp_budget_unit {
    BP_BUDGET_BITS_PER_PARAM,
    BP_BUDGET_BYTES,
    BP_BUDGET_TOTAL_BYTES, /* of everything in memory: memory.h says what is left for the matrices
                            */
};

struct bp_budget {
    enum bp_budget_unit unit;
    double asked;           /* in the unit, for display and for the plan */
    uint64_t bits;          /* floor of what that means for the planned matrices */
    bool counts_low_rank;   /* and their low-rank parts; only ever in total bytes */
    unsigned low_rank_bits; /* precision of low-rank parts (low_rank.h); 0 = the standard one */
    /* What total bytes are to hold beside the matrices (memory.h); 0 in the other units. */
    uint64_t context, batch, kv_bits;
};

/* "2.75": a plain decimal above 0 and at most 64, per parameter of `params`. Beyond 15 digits it
 * counts as the nearest double's shortest decimal, which is what a plan records. */
enum bp_status bp_budget_parse_bits(const char *text, uint64_t params, struct bp_budget *out,
                                    struct bp_err *err);

/* "2.2GiB", "2200MB", "1000000" (bytes): a decimal with an optional unit of B, kB, MB, GB, TB, KiB,
 * MiB, GiB, TiB. */
enum bp_status bp_budget_parse_size(const char *text, struct bp_budget *out, struct bp_err *err);

/* The precision that low-rank parts are kept in: 8, 16 or 32. */
unsigned bp_budget_precision(const struct bp_budget *budget);

/* The precision at which the budget's bits count low-rank parts, 0 when they are storage alone:
 * what a planner has to be made for (planner.h). */
unsigned bp_budget_counted(const struct bp_budget *budget);

/* Of a budget in total bytes: the total that is just enough for so many of its bits. */
uint64_t bp_budget_total_for(const struct bp_budget *budget, uint64_t bits);

/* "bits/param", "bytes", "total bytes". */
const char *bp_budget_unit_name(enum bp_budget_unit unit);

/* What to plan for when nobody has said: 2.75 bits/param, the paper's, or what comes next to it
 * between the least budget that has a plan and the one beyond which nothing improves. */
void bp_budget_default(uint64_t least_bits, uint64_t most_bits, uint64_t params,
                       struct bp_budget *out);

/* A decimal such as "2.75" as value = digits / 10^scale, exactly: at most 18 digits. False for
 * anything else (signs, exponents, words). */
struct bp_decimal {
    uint64_t digits;
    unsigned scale;
};
int bp_decimal_parse(const char *text, struct bp_decimal *out, const char **end);

#endif
