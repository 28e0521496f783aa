/*
 * Checking a plan: every figure of its JSON is recomputed from the table (and, when given, the
 * model) and compared to the last bit; the budget's optimum is solved for anew.
 */
#ifndef BP_ENGINE_VERIFY_H
#define BP_ENGINE_VERIFY_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/err.h"

struct bp_verify_report {
    size_t n_plans;
    size_t n_matrices;  /* of all plans together */
    size_t n_figures;   /* values compared */
    size_t n_optimal;   /* plans that say optimal, and are */
    bool model_checked; /* also against the model */
};

/* The file holds a plan or a list of plans. table_path NULL: the path in the plan, taken from the
 * working folder, then from the plan's folder. model_path NULL: no model. BP_ERR_MISMATCH: a figure
 * is wrong; the text names the first one, what the plan says and what it is. BP_ERR_INPUT: not a
 * plan, or the table or model cannot be read. */
enum bp_status bp_verify_plan(const char *plan_path, const char *table_path, const char *model_path,
                              struct bp_verify_report *report, struct bp_err *err);

#endif
