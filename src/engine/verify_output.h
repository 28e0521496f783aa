/*
 * Checking a decomposed model: every matrix is rebuilt from the files, its error computed and set
 * beside the plan's, its storage counted, and everything that is not planned compared with the
 * model byte for byte.
 */
#ifndef BP_ENGINE_VERIFY_OUTPUT_H
#define BP_ENGINE_VERIFY_OUTPUT_H

#include <stddef.h>

#include "engine/err.h"
#include "engine/output_check.h"

struct bp_verify_output_options {
    const char *dir; /* OUT: what `decompose` or `unpack` wrote */
    const struct bp_plan_file *plan;
    const struct bp_model *model;
    const struct bp_model *fisher; /* NULL: no weights */
    unsigned threads;              /* >= 1 */
};

struct bp_verify_output_report {
    struct bp_output_row *rows; /* [n] in the plan's order; freed with free() */
    size_t n;
    unsigned emits; /* the forms that are there */
    double tolerance;
};

/* BP_ERR_MISMATCH: a tensor is missing, misnamed or not the model's, an adapter's configuration
 * does not scale it by 1, or of some matrices error or storage is not the plan's; the text names
 * the first. BP_ERR_INPUT: no output is there. */
enum bp_status bp_verify_output(const struct bp_verify_output_options *options,
                                struct bp_verify_output_report *report, struct bp_err *err);

#endif
