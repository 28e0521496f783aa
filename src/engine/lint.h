/*
 * What is odd about a table as a whole: numbers that a quantizer should not give, and what the
 * table does not say. A finding is no error: the table opens and is planned. Negative and infinite
 * numbers and names that stand there twice are refused when a table is opened, and are not looked
 * for here.
 */
#ifndef BP_ENGINE_LINT_H
#define BP_ENGINE_LINT_H

#include <stddef.h>
#include <stdint.h>

#include "engine/err.h"
#include "engine/table.h"

/* X(enum suffix, name): the names stand in JSON and do not change. In the order of findings. */
#define BP_LINTS(X)                                                                 \
    X(NOT_MEASURED, "not_measured")     /* cells that are NaN */                    \
    X(ZERO, "zero_error")               /* cells of error 0 */                      \
    X(ABOVE_NORM, "above_norm")         /* worse than keeping nothing */            \
    X(STORAGE, "storage")               /* not what Eq. 3 gives */                  \
    X(NOT_FALLING, "not_falling")       /* more bits a code and a larger error */   \
    X(DUPLICATE, "duplicate_candidate") /* config and rank, or label, again */      \
    X(SAME_ROW, "identical_row")        /* another matrix's errors to the bit */    \
    X(NO_LAYER, "no_layer_or_kind")     /* matrices that no group can be made of */ \
    X(SYNTHETIC, "synthetic")           /* of a made-up model */                    \
    X(NO_NORM, "no_norm")               /* no relative errors */                    \
    X(NO_BASELINES, "no_baselines")     /* nothing to compare with QLoRA's */       \
    X(NO_MODEL, "no_model")             /* no name, fingerprint or size */          \
    X(NO_METHOD, "no_method")           /* how it was measured is not stated */

enum bp_lint_rule {
#define BP_LINT_ENUM(id, name) BP_LINT_##id,
    BP_LINTS(BP_LINT_ENUM)
#undef BP_LINT_ENUM
        BP_N_LINTS
};

/* Errors that differ by less, relatively, are the same: sums in another order. */
#define BP_LINT_TOLERANCE 1e-6

struct bp_finding {
    const char *rule;
    uint64_t count; /* cells, candidates, matrices, or 1 */
    char text[640]; /* safe for a terminal; names the first or the worst */
};

struct bp_lint {
    struct bp_finding list[BP_N_LINTS]; /* [n] */
    size_t n;
};

/* Looks at all of the table. BP_ERR_NOMEM or BP_OK. */
enum bp_status bp_table_lint(const struct bp_table *table, struct bp_lint *out, struct bp_err *err);

#endif
