#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "engine/json_write.h"
#include "engine/mem.h"
#include "engine/memory.h"
#include "engine/planner.h"
#include "engine/stability.h"

enum { MAX_BUDGETS = 1024 };

static enum bp_status parse_solver(const struct bp_args *args, enum bp_solver *out,
                                   struct bp_err *err)
{
    const char *name = bp_args_text(args, BP_OPT_SOLVER, "mckp");
    if (strcmp(name, "mckp") != 0 && strcmp(name, "glpk") != 0)
        return bp_fail(err, BP_ERR_USAGE, "--solver: '%s' is neither mckp nor glpk", name);
    *out = strcmp(name, "glpk") == 0 ? BP_SOLVER_GLPK : BP_SOLVER_MCKP;
    return BP_OK;
}

/* What budgets are made from. */
struct budget_source {
    const struct bp_table *table;
    uint64_t params;
    struct bp_memory_settings memory; /* what --total holds, and how low-rank parts are kept */
};

static enum bp_status read_source(const struct bp_args *args, const struct bp_table *table,
                                  struct budget_source *out, struct bp_err *err)
{
    static const enum bp_option settings[] = {BP_OPT_CONTEXT, BP_OPT_BATCH};
    *out = (struct budget_source){.table = table, .params = bp_table_params(table)};
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        if (bp_args_has(args, settings[i]) && !bp_args_has(args, BP_OPT_TOTAL))
            return bp_fail(err, BP_ERR_USAGE, "%s says what --total holds; give --total",
                           bp_option_row(settings[i])->spelling);
    return bp_cli_memory(args, &out->memory, err);
}

static enum bp_status parse_total(const char *text, const struct budget_source *source,
                                  struct bp_budget *out, struct bp_err *err)
{
    struct bp_budget size;
    BP_TRY(bp_budget_parse_size(text, &size, err));
    return bp_memory_budget_total(source->table, &source->memory, size.asked, out, err);
}

static enum bp_status parse_budget(const char *text, enum bp_option option,
                                   const struct budget_source *source, struct bp_budget *out,
                                   struct bp_err *err)
{
    if (option == BP_OPT_TOTAL)
        return parse_total(text, source, out, err);
    BP_TRY(option == BP_OPT_SIZE ? bp_budget_parse_size(text, out, err)
                                 : bp_budget_parse_bits(text, source->params, out, err));
    out->low_rank_bits = (unsigned)source->memory.low_rank_bits;
    return BP_OK;
}

/* Adds the comma-separated budgets of one value of an option. */
static enum bp_status add_budgets(const char *text, enum bp_option option,
                                  const struct budget_source *source, struct bp_budget *budgets,
                                  size_t *n, struct bp_err *err)
{
    char *copy = bp_strdup(text), *rest = copy;
    if (!copy)
        return bp_fail_nomem(err);
    enum bp_status status = BP_OK;
    for (char *word; status == BP_OK && (word = strsep(&rest, ","));) {
        if (*n == MAX_BUDGETS)
            status = bp_fail(err, BP_ERR_USAGE, "more than %d budgets", MAX_BUDGETS);
        else
            status = parse_budget(word, option, source, &budgets[(*n)++], err);
    }
    free(copy);
    return status;
}

static enum bp_status read_budgets(const struct bp_args *args, const struct bp_table *table,
                                   struct bp_budget *budgets, size_t *n, struct bp_err *err)
{
    static const enum bp_option kinds[] = {BP_OPT_BITS, BP_OPT_SIZE, BP_OPT_TOTAL};
    struct budget_source source;
    BP_TRY(read_source(args, table, &source, err));
    *n = 0;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (size_t i = 0; i < args->n_values[kinds[k]]; i++)
            BP_TRY(add_budgets(args->values[kinds[k]][i], kinds[k], &source, budgets, n, err));
    return *n ? BP_OK
              : bp_fail(err, BP_ERR_USAGE,
                        "solve needs a budget: --bits 2.75, --size 2.2GiB or --total 24GiB");
}

/* Those of the budgets that count low-rank parts, or those that do not. */
static enum bp_status solve_some(const struct bp_args *args, struct bp_planner *planner,
                                 const struct bp_budget *budgets, size_t n, enum bp_solver solver,
                                 struct bp_plan **plans, struct bp_err *err)
{
    for (size_t i = 0; i < n; i++) {
        struct bp_progress progress;
        struct bp_planner_limits limits;
        if (bp_budget_counted(&budgets[i]) != bp_planner_counted(planner))
            continue;
        BP_TRY(bp_cli_planner_limits(args, planner, &progress, &limits, err));
        enum bp_status status =
            bp_planner_solve(planner, &budgets[i], solver, &limits, &plans[i], err);
        bp_progress_end(&progress);
        if (status != BP_OK && status != BP_LIMIT)
            return status;
    }
    return BP_OK;
}

/* Solves every budget before anything is printed: a failure in the third leaves no half output. */
static enum bp_status solve_all(const struct bp_args *args, struct bp_planner *planner,
                                const struct bp_table *table, const struct bp_budget *budgets,
                                size_t n, enum bp_solver solver, struct bp_plan **plans,
                                struct bp_err *err)
{
    BP_TRY(solve_some(args, planner, budgets, n, solver, plans, err));
    size_t i = 0;
    while (i < n && !budgets[i].counts_low_rank)
        i++;
    if (i == n)
        return BP_OK;
    struct bp_planner *counting; /* all of one command line count at one precision */
    BP_TRY(bp_planner_new_counting(table, bp_planner_constraints(planner),
                                   bp_budget_counted(&budgets[i]), &counting, err));
    enum bp_status status = solve_some(args, counting, budgets, n, solver, plans, err);
    bp_planner_free(counting);
    return status;
}

/* stability may be NULL. */
static void plan_to_json(const struct bp_plan *plan, const struct bp_stability *stability,
                         struct bp_json_out *out)
{
    bp_plan_to_json(plan, out);
    if (stability)
        bp_stability_to_json(stability, out);
}

/* One plan is a document, several are a list of documents. */
static enum bp_status emit(const struct bp_args *args, struct bp_plan **plans,
                           const struct bp_stability *stability, size_t n, struct bp_err *err)
{
    const bool json = bp_args_has(args, BP_OPT_JSON);
    enum bp_status status = BP_OK;
    if (json || bp_args_has(args, BP_OPT_OUT)) {
        struct bp_json_out out;
        if (n == 1) {
            plan_to_json(plans[0], stability, &out);
        } else {
            bp_json_out_array(&out);
            for (size_t i = 0; i < n; i++) {
                struct bp_json_out one;
                plan_to_json(plans[i], stability ? &stability[i] : NULL, &one);
                bp_json_put_document(&out, out.root, NULL, &one);
            }
        }
        status = bp_cli_emit_json(args, &out, json, err);
        bp_json_out_done(&out);
    }
    for (size_t i = 0; !json && status == BP_OK && i < n; i++) {
        if (i > 0)
            putchar('\n');
        bp_print_plan(plans[i], stdout);
        if (stability)
            bp_print_stability(&stability[i], stdout);
    }
    return status;
}

static enum bp_status solve(const struct bp_args *args, struct bp_planner *planner,
                            const struct bp_table *table, struct bp_err *err)
{
    enum bp_solver solver = BP_SOLVER_MCKP;
    size_t n = 0;
    struct bp_budget *budgets = bp_alloc(MAX_BUDGETS, sizeof *budgets);
    struct bp_plan **plans = bp_alloc_zero(MAX_BUDGETS, sizeof *plans);
    struct bp_stability *stability = NULL;
    enum bp_status status = budgets && plans ? BP_OK : bp_fail_nomem(err);
    if (status == BP_OK)
        status = parse_solver(args, &solver, err);
    if (status == BP_OK)
        status = read_budgets(args, table, budgets, &n, err);
    if (status == BP_OK)
        status = solve_all(args, planner, table, budgets, n, solver, plans, err);
    if (status == BP_OK)
        status = bp_cli_stability(args, plans, n, &stability, err);
    if (status == BP_OK)
        status = emit(args, plans, stability, n, err);
    bp_cli_stability_free(stability, n);
    for (size_t i = 0; plans && i < n; i++)
        bp_plan_free(plans[i]);
    free(plans);
    free(budgets);
    return status;
}

static enum bp_status run(const struct bp_args *args, struct bp_err *err)
{
    struct bp_table *table;
    struct bp_planner *planner;
    BP_TRY(bp_cli_open_planner(args, &table, &planner, err));
    enum bp_status status = solve(args, planner, table, err);
    bp_planner_free(planner);
    bp_table_close(table);
    return status;
}

static const enum bp_option options[] = {
    BP_OPT_BITS,          BP_OPT_SIZE,       BP_OPT_TOTAL,    BP_OPT_CONTEXT,   BP_OPT_BATCH,
    BP_OPT_LOW_RANK_BITS, BP_OPT_GRID,       BP_OPT_PIN,      BP_OPT_BAN,       BP_OPT_FLOOR,
    BP_OPT_CEIL,          BP_OPT_TIE,        BP_OPT_WEIGHT,   BP_OPT_OBJECTIVE, BP_OPT_MAX_CONFIGS,
    BP_OPT_LIMIT,         BP_OPT_TIME_LIMIT, BP_OPT_PROGRESS, BP_OPT_SOLVER,    BP_OPT_OUT,
    BP_OPT_FORCE,         BP_OPT_JSON,       BP_OPT_PARTIAL,  BP_OPT_STABILITY,
};

const struct bp_command bp_command_solve = {
    .name = "solve",
    .operands = "TABLE",
    .n_operands = 1,
    .summary = "the plan of least error within a budget, proved",
    .notes =
        "Prints the plan; -o writes it as JSON, --json prints it as JSON (a list of plans for\n"
        "several budgets). Status 3: no plan fits, and the least budget is named. Under "
        "--max-configs\n"
        "and --limit the proof may take long: --time-limit or Ctrl-C ends it with the best plan "
        "so\n"
        "far and how far it may be from the optimum. Budgets are of storage; --total counts the\n"
        "low-rank parts, too. Errors are those of low-rank parts as measured: what keeping them "
        "in\n"
        "8 bits adds is not in them.",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .run = run,
};
