/* What several commands are given: which tensors, which table, under which constraints. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <stdlib.h>

#include "cli/commands.h"
#include "engine/budget.h"
#include "engine/constraints.h"
#include "engine/memory.h"
#include "engine/model.h"
#include "engine/planner.h"

struct bp_model_filter bp_cli_filter(const struct bp_args *args)
{
    return (struct bp_model_filter){
        args->values[BP_OPT_INCLUDE],
        args->n_values[BP_OPT_INCLUDE],
        args->values[BP_OPT_EXCLUDE],
        args->n_values[BP_OPT_EXCLUDE],
    };
}

/* The constraints in the order of their kinds. */
static enum bp_status read_constraints(const struct bp_args *args, struct bp_constraints *out,
                                       struct bp_err *err)
{
    static const enum bp_option options[BP_N_CONSTRAINT_KINDS] = {
#define CONSTRAINT_OPTION(name, option) BP_OPT_##name,
        BP_CONSTRAINT_KINDS(CONSTRAINT_OPTION)
#undef CONSTRAINT_OPTION
    };
    for (int kind = 0; kind < BP_N_CONSTRAINT_KINDS; kind++)
        for (size_t i = 0; i < args->n_values[options[kind]]; i++)
            BP_TRY(bp_constraints_add(out, (enum bp_constraint_kind)kind,
                                      args->values[options[kind]][i], err));
    return BP_OK;
}

/* With --partial the measured part takes the place of the table. */
static enum bp_status take_part(const struct bp_args *args, struct bp_table **table,
                                struct bp_err *err)
{
    if (!bp_args_has(args, BP_OPT_PARTIAL) ||
        bp_table_rows_measured(*table) == (*table)->n_matrices)
        return BP_OK;
    struct bp_table *part;
    size_t *row;
    BP_TRY(bp_table_measured_part(*table, &part, &row, err));
    free(row);
    bp_table_close(*table);
    *table = part;
    return BP_OK;
}

/* A table that is refused for what is not measured yet has another way. */
static void offer_part(const struct bp_args *args, const struct bp_table *t, struct bp_err *err)
{
    const size_t used = strlen(err->text), n = bp_table_rows_measured(t);
    if (!bp_args_has(args, BP_OPT_PARTIAL) && n > 0 && n < t->n_matrices)
        snprintf(err->text + used, sizeof err->text - used,
                 ", or plan the measured part with --partial");
}

static void show_gap(void *arg, double objective, double lower_bound)
{
    bp_progress_show_gap(arg, objective, lower_bound);
}

enum bp_status bp_cli_planner_limits(const struct bp_args *args, const struct bp_planner *planner,
                                     struct bp_progress *p, struct bp_planner_limits *out,
                                     struct bp_err *err)
{
    const char *text = bp_args_text(args, BP_OPT_TIME_LIMIT, NULL), *end;
    const bool sided = bp_planner_sided(planner);
    struct bp_decimal seconds;
    *out = (struct bp_planner_limits){0};
    BP_TRY(bp_progress_begin(p, args, "objective", err));
    if (text && (!bp_decimal_parse(text, &seconds, &end) || *end || seconds.digits == 0 ||
                 strtod(text, NULL) > 1e6))
        return bp_fail(err, BP_ERR_USAGE,
                       "--time-limit: '%s' is no number of seconds above 0 and at most 10^6", text);
    if (text && !sided)
        return bp_fail(err, BP_ERR_USAGE,
                       "--time-limit is for the proof under --max-configs or --limit; give one of "
                       "them");
    out->max_seconds = text ? strtod(text, NULL) : 0.0;
    if (sided) {
        bp_cli_catch_stop();
        out->stop = &bp_cli_stop;
        out->progress = show_gap;
        out->progress_arg = p;
    }
    return BP_OK;
}

enum bp_status bp_cli_memory(const struct bp_args *args, struct bp_memory_settings *out,
                             struct bp_err *err)
{
    static const struct {
        enum bp_option option;
        const char *key;
    } settings[] = {{BP_OPT_CONTEXT, "context"},
                    {BP_OPT_BATCH, "batch"},
                    {BP_OPT_LOW_RANK_BITS, "low-rank-bits"}};
    bp_memory_settings_default(out);
    out->context = 0;
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        const char *text = bp_args_text(args, settings[i].option, NULL);
        if (text)
            BP_TRY(bp_memory_settings_set(out, settings[i].key, text, err));
    }
    return BP_OK;
}

enum bp_status bp_cli_open_planner(const struct bp_args *args, struct bp_table **table,
                                   struct bp_planner **planner, struct bp_err *err)
{
    struct bp_constraints constraints = {0};
    *table = NULL;
    *planner = NULL;
    enum bp_status status = read_constraints(args, &constraints, err);
    if (status == BP_OK)
        status = bp_table_open(args->operands[0], table, err);
    if (status == BP_OK)
        status = take_part(args, table, err);
    if (status == BP_OK) {
        status = bp_planner_new(*table, &constraints, planner, err);
        if (status == BP_ERR_INPUT)
            offer_part(args, *table, err);
    }
    if (status != BP_OK)
        *table = bp_table_close(*table);
    bp_constraints_done(&constraints);
    return status;
}

enum bp_status bp_cli_effort(const struct bp_args *args, enum bp_effort *out, struct bp_err *err)
{
    const char *name = bp_args_text(args, BP_OPT_EFFORT, bp_effort_name(BP_EFFORT_BALANCED));
    return bp_effort_parse(name, out)
               ? BP_OK
               : bp_fail(err, BP_ERR_USAGE,
                         "--effort: '%s' is none of exact, full, balanced and quick", name);
}
