/* What several commands are given: which tensors, which table, under which constraints. */
#include "cli/commands.h"
#include "engine/constraints.h"
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
        status = bp_planner_new(*table, &constraints, planner, err);
    if (status != BP_OK)
        *table = bp_table_close(*table);
    bp_constraints_done(&constraints);
    return status;
}
