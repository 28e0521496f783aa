/*
 * Checking a plan: every figure of its JSON is recomputed from the table (and, when given, the
 * model) and compared to the last bit; the budget's optimum is solved for anew.
 */
#ifndef BP_ENGINE_VERIFY_H
#define BP_ENGINE_VERIFY_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/err.h"

struct bp_model_filter;

struct bp_verify_options {
    const char *plan_path;
    const char
        *table_path; /* NULL: the path in the plan, from the working folder, then the plan's */
    const char *model_path;               /* NULL: no model */
    const struct bp_model_filter *filter; /* the one that the table was measured with; NULL: none */
    const char *fisher_path; /* the weights that the table was measured with; NULL: none */
    bool remeasure;          /* measure the chosen cells again from the model, to the bit */
    unsigned threads;        /* for that, >= 1 */
};

struct bp_verify_report {
    size_t n_plans;
    size_t n_matrices;     /* of all plans together */
    size_t n_figures;      /* values compared */
    size_t n_optimal;      /* plans that say optimal, and are */
    size_t n_remeasured;   /* cells measured again and equal */
    size_t n_estimates;    /* of these: estimates, iterated now and within BP_ESTIMATE_FACTOR */
    double worst_estimate; /* the most that one of those is off, relative */
    bool model_checked;    /* also against the model */
    bool synthetic;        /* a plan's model is a synthetic one */
};

/* Checks a file that holds a plan or a list of plans. BP_ERR_MISMATCH: a figure is wrong; the text
 * names the first one, what the plan says and what it is. BP_ERR_INPUT: not a plan, or the table or
 * model cannot be read. */
enum bp_status bp_verify_plan(const struct bp_verify_options *options,
                              struct bp_verify_report *report, struct bp_err *err);

#endif
