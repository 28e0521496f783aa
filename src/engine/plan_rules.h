/*
 * Rules that look at a finished plan. A plan of least error can still be a dead model: LQ-LoRA's
 * own Table 6 has plans of the least sum of errors whose perplexity is in the thousands, as a sum
 * does not see that one matrix was given up for the others. A rule points at such matrices; each
 * warning carries the figure that gave rise to it and the constraint that would cure it. Rules
 * change no plan. A plan lists every matrix that trips a rule, which may be most of 45,000; so
 * warnings are put into words only when somebody reads them.
 */
#ifndef BP_ENGINE_PLAN_RULES_H
#define BP_ENGINE_PLAN_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "engine/err.h"

struct bp_plan;

/* X(enum suffix, name, what many matrices that trip it have in common, the unit of their
 * figure, whether the largest is the worst). The names stand in
 * plans and do not change; the order is that of a plan's warnings. */
#define BP_RULES(X)                                                                               \
    X(PARTIAL, "partial", "are planned", "", false)                                               \
    X(UNMEASURED, "unmeasured", "have candidates that are not measured and took no part",         \
      "candidates", true)                                                                         \
    X(NOT_ITERATED, "not_iterated", "have errors that are not iterated", "", false)               \
    X(RELATIVE_ERROR, "relative_error", "lose more than 0.15 of their norm", "of the norm", true) \
    X(TWO_BIT, "two_bit_no_low_rank", "have 2-bit codes and no low-rank part to mend them",       \
      "bits/param", false)                                                                        \
    X(EDGE_LAYERS, "edge_layers",                                                                 \
      "have 2-bit codes in the first or last layer, above which the "                             \
      "plan's mean lies",                                                                         \
      "bits/param", false)                                                                        \
    X(BELOW_KIND, "below_kind", "lie more than 1 bit/param below the mean of their kind",         \
      "bits/param", false)

enum bp_rule {
#define BP_RULE_ENUM(id, name, many, unit, large) BP_RULE_##id,
    BP_RULES(BP_RULE_ENUM)
#undef BP_RULE_ENUM
        BP_N_RULES
};

#define BP_NO_MATRIX SIZE_MAX
/* What a rule found. */
struct bp_warning {
    const char *matrix; /* its name, the table's; "" for the plan as a whole */
    const char *rule;   /* its name, a constant */
    size_t row;         /* of the matrix, or BP_NO_MATRIX */
    enum bp_rule id;
    double figure, mean; /* what tripped the rule, and what it was compared with, if anything */
    unsigned floor_bits; /* --floor with so many bits/param cures it; 0 = nothing like that does */
};

/* What trips a rule. Constants, not options: a threshold that everybody moves warns of nothing. */

/* Error over norm. The best 2-bit code of normal weights loses 0.1175 of their norm (Max, 1960);
 * NF2 loses 0.2 to 0.3 without a low-rank part, NF3 0.03 to 0.04, NF4 0.007. So nothing of 3 bits
 * comes near this, and what is above it has lost more than any sensible 2-bit code has to. */
#define BP_LIMIT_RELATIVE_ERROR 0.15
/* The mean, in bits/param, from which 2-bit codes in the first or last layer stand out: below it
 * most matrices have 2 bits, and the two layers are no exception. */
#define BP_LIMIT_EDGE_MEAN 2.5
/* Bits/param below the mean of its kind: one step of the codebook (nf4 to nf3, nf3 to nf2) and what
 * scales can differ by within one. */
#define BP_LIMIT_BELOW_KIND 1.0

/* Looks at the plan (totals and choice are there) and appends to its warnings: O(matrices), and
 * O(cells) where `complete`, every cell of the table is measured, is not known. */
enum bp_status bp_plan_apply_rules(struct bp_plan *plan, bool complete, struct bp_err *err);

/* The words of one of the plan's warnings, without the matrix's name in front: safe for a terminal.
 * Returns text. */
enum { BP_WARNING_TEXT = 1024 };
const char *bp_warning_format(const struct bp_plan *plan, const struct bp_warning *warning,
                              char text[BP_WARNING_TEXT]);

/* Lines a rule at most in what follows. */
enum { BP_RULE_LINES = 10 };

/* Writes all warnings for people: one line each where a rule has few, else a line for the rule and
 * one for each kind (or layer), with a constraint for all of it. Safe for a terminal; nothing
 * without warnings. Allocates nothing. */
void bp_plan_write_warnings(const struct bp_plan *plan, FILE *out);

#endif
