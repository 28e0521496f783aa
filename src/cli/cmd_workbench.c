/* The workbench's command line; and, where standard output is no terminal, what it would show in
 * words. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "engine/json_write.h"
#include "engine/mem.h"
#include "engine/memory.h"
#include "engine/planner.h"
#include "engine/session.h"

/* Where the shipped session lies: beside a build, in an installation, or where the person says. */
static char *shipped_session(void)
{
    static const char *const places[] = {"../sessions", "../../sessions",
                                         "../share/bitplan/sessions"};
    static const char name[] = "llama-2-7b.json";
    char exe[4096];
    const char *own = getenv("BITPLAN_SESSIONS");
    if (own && *own)
        return bp_format("%s/%s", own, name);
    const ssize_t n = readlink("/proc/self/exe", exe, sizeof exe - 1);
    exe[n > 0 ? n : 0] = '\0';
    char *slash = strrchr(exe, '/');
    if (!slash)
        return NULL;
    *slash = '\0';
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char *path = bp_format("%s/%s/%s", exe, places[i], name);
        char *found = path ? realpath(path, NULL) : NULL; /* without the "..", to be shown */
        free(path);
        if (found && access(found, R_OK) == 0)
            return found;
        free(found);
    }
    return NULL;
}

/* --- options as lines of the workbench's command line --- */

static const enum bp_option edits[] = {
    BP_OPT_GRID,          BP_OPT_PIN,    BP_OPT_BAN,       BP_OPT_FLOOR,       BP_OPT_CEIL,
    BP_OPT_TIE,           BP_OPT_WEIGHT, BP_OPT_OBJECTIVE, BP_OPT_MAX_CONFIGS, BP_OPT_LIMIT,
    BP_OPT_LOW_RANK_BITS, BP_OPT_BITS,   BP_OPT_SIZE,      BP_OPT_TOTAL,
};
enum { N_EDITS = sizeof edits / sizeof *edits };

static void free_lines(char **lines, size_t n)
{
    for (size_t i = 0; lines && i < n; i++)
        free(lines[i]);
    free(lines);
}

/* "120x36" is the size of a script's frames, anything else a budget. */
static bool is_screen(const char *text, int *cols, int *rows)
{
    int x, y, n = 0;
    if (sscanf(text, "%dx%d%n", &x, &y, &n) != 2 || text[n] || x < 1 || y < 1 || x > 1000 ||
        y > 500)
        return false;
    *cols = x;
    *rows = y;
    return true;
}

static enum bp_status read_lines(const struct bp_args *args, struct bp_workbench_call *call,
                                 char ***out, struct bp_err *err)
{
    size_t most = 0, n = 0;
    for (int e = 0; e < N_EDITS; e++)
        most += args->n_values[edits[e]];
    char **lines = bp_alloc_zero(most + 1, sizeof *lines);
    if (!lines)
        return bp_fail_nomem(err);
    for (int e = 0; e < N_EDITS; e++)
        for (size_t i = 0; i < args->n_values[edits[e]]; i++) {
            const char *value = args->values[edits[e]][i];
            if (edits[e] == BP_OPT_SIZE && is_screen(value, &call->cols, &call->rows))
                continue;
            lines[n] = bp_format("%s %s", bp_option_row(edits[e])->spelling + 2, value);
            if (!lines[n++]) {
                free_lines(lines, n);
                return bp_fail_nomem(err);
            }
        }
    call->commands = (const char *const *)lines;
    call->n_commands = n;
    *out = lines;
    return BP_OK;
}

static enum bp_status open_workbench(const struct bp_args *args, const char *path, bool template,
                                     struct bp_err *err)
{
    char **lines = NULL;
    uint64_t rank = 64, threads = 0;
    struct bp_workbench_call call = {
        .path = path,
        .template = template,
        .script = bp_args_text(args, BP_OPT_SCRIPT, NULL),
        .dump = bp_args_text(args, BP_OPT_DUMP, NULL),
        .colors = bp_args_text(args, BP_OPT_COLORS, NULL),
        .cols = 80,
        .rows = 24,
        .ascii = bp_args_has(args, BP_OPT_ASCII),
        .mouse = !bp_args_has(args, BP_OPT_NO_MOUSE),
        .table_path = bp_args_text(args, BP_OPT_OUT, NULL),
        .grid = bp_args_text(args, BP_OPT_GRID, NULL),
    };
    BP_TRY(bp_args_u64(args, BP_OPT_RANK, 0, 65536, &rank, err));
    BP_TRY(bp_args_u64(args, BP_OPT_THREADS, 1, BP_MAX_THREADS, &threads, err));
    BP_TRY(bp_cli_effort(args, &call.effort, err));
    call.rank = rank;
    call.threads = (unsigned)threads;
    BP_TRY(read_lines(args, &call, &lines, err));
    enum bp_status status = bp_cli_workbench->run(&call, err);
    free_lines(lines, call.n_commands);
    return status;
}

/* --- in words --- */

static enum bp_status apply(struct bp_session *session, const struct bp_edit *edit,
                            struct bp_err *err)
{
    struct bp_edit inverse;
    BP_TRY(bp_session_apply(session, edit, &inverse, err));
    bp_edit_done(&inverse);
    return BP_OK;
}

/* A grid takes the place of the one that was there, what else is asked for comes on top. */
static enum bp_status add_constraint(struct bp_session *session, enum bp_constraint_kind kind,
                                     const char *text, struct bp_err *err)
{
    const struct bp_constraints *list = &session->constraints;
    for (size_t i = list->n; kind == BP_CONSTRAINT_GRID && i-- > 0;) {
        struct bp_edit edit = {.kind = BP_EDIT_REMOVE_CONSTRAINT, .index = i};
        if (list->list[i].kind == kind)
            BP_TRY(apply(session, &edit, err));
    }
    if (kind == BP_CONSTRAINT_GRID && strcmp(text, "all") == 0)
        return BP_OK;
    char *value = bp_strdup(text);
    if (!value)
        return bp_fail_nomem(err);
    struct bp_edit edit = {
        .kind = BP_EDIT_ADD_CONSTRAINT, .index = BP_EDIT_LAST, .constraint = {kind, value}};
    enum bp_status status = apply(session, &edit, err);
    free(value);
    return status;
}

static enum bp_status set_budget(enum bp_option option, const char *text,
                                 const struct bp_table *table, struct bp_session *session,
                                 struct bp_err *err)
{
    struct bp_edit edit = {.kind = BP_EDIT_BUDGET};
    if (option == BP_OPT_BITS)
        BP_TRY(bp_budget_parse_bits(text, bp_table_params(table), &edit.budget, err));
    else
        BP_TRY(bp_budget_parse_size(text, &edit.budget, err));
    if (option == BP_OPT_TOTAL)
        BP_TRY(
            bp_memory_budget_total(table, &session->memory, edit.budget.asked, &edit.budget, err));
    return apply(session, &edit, err);
}

static enum bp_status set_precision(const char *text, struct bp_session *session,
                                    struct bp_err *err)
{
    struct bp_edit edit = {.kind = BP_EDIT_MEMORY, .memory = session->memory};
    BP_TRY(bp_memory_settings_set(&edit.memory, "low-rank-bits", text, err));
    return apply(session, &edit, err);
}

/* The same options do the same to the plan whether it is shown or printed. */
static enum bp_status apply_options(const struct bp_args *args, const struct bp_table *table,
                                    struct bp_session *session, struct bp_err *err)
{
    static const struct {
        enum bp_option option;
        enum bp_constraint_kind kind;
    } kinds[] = {
#define CONSTRAINT_OPTION(name, option) {BP_OPT_##name, BP_CONSTRAINT_##name},
        BP_CONSTRAINT_KINDS(CONSTRAINT_OPTION)
#undef CONSTRAINT_OPTION
    };
    static const enum bp_option budgets[] = {BP_OPT_BITS, BP_OPT_SIZE, BP_OPT_TOTAL};
    const char *precision = bp_args_text(args, BP_OPT_LOW_RANK_BITS, NULL);
    int cols, rows;
    if (precision)
        BP_TRY(set_precision(precision, session, err));
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (size_t i = 0; i < args->n_values[kinds[k].option]; i++)
            BP_TRY(add_constraint(session, kinds[k].kind, args->values[kinds[k].option][i], err));
    for (size_t k = 0; k < sizeof budgets / sizeof *budgets; k++)
        for (size_t i = 0; i < args->n_values[budgets[k]]; i++) {
            const char *text = args->values[budgets[k]][i];
            if (budgets[k] != BP_OPT_SIZE || !is_screen(text, &cols, &rows))
                BP_TRY(set_budget(budgets[k], text, table, session, err));
        }
    return BP_OK;
}

/* The session's own budget, or the one that the workbench would begin with, and a planner for it.
 */
static enum bp_status prepare(const struct bp_session *session, const struct bp_table *table,
                              struct bp_budget *budget, struct bp_planner **planner,
                              struct bp_err *err)
{
    uint64_t least, most;
    *budget = session->budget;
    if (budget->asked > 0.0)
        BP_TRY(bp_budget_resolve(budget, table, &session->memory, err));
    BP_TRY(bp_planner_new_counting(table, &session->constraints, bp_budget_counted(budget), planner,
                                   err));
    if (budget->asked > 0.0)
        return BP_OK;
    bp_planner_range(*planner, &least, &most);
    bp_budget_default(least, most, bp_table_params(table), budget);
    return bp_budget_resolve(budget, table, &session->memory, err);
}

static enum bp_status print_plan(const struct bp_args *args, struct bp_session *session,
                                 const struct bp_table *table, size_t n_matrices,
                                 struct bp_err *err)
{
    struct bp_planner *planner = NULL;
    struct bp_plan *plan = NULL;
    struct bp_budget budget;
    enum bp_status status = apply_options(args, table, session, err);
    if (status == BP_OK)
        status = prepare(session, table, &budget, &planner, err);
    if (status == BP_OK)
        status = bp_planner_solve(planner, &budget, BP_SOLVER_MCKP, NULL, &plan, err);
    if ((status == BP_OK || status == BP_LIMIT) && bp_args_has(args, BP_OPT_JSON)) {
        struct bp_json_out out;
        bp_plan_to_json(plan, &out);
        status = bp_cli_emit_json(args, &out, true, err);
        bp_json_out_done(&out);
    } else if (status == BP_OK || status == BP_LIMIT) {
        bp_print_plan(plan, stdout);
        if (table->n_matrices < n_matrices)
            printf("(a plan of the %zu of %zu matrices that are measured)\n", table->n_matrices,
                   n_matrices);
        printf("(%s: the workbench in words)\n", isatty(STDOUT_FILENO)
                                                     ? "TERM=dumb cannot move its cursor"
                                                     : "standard output is no terminal");
    }
    bp_plan_free(plan);
    bp_planner_free(planner);
    return status;
}

/* Plans what is measured, as the screen does. */
static enum bp_status print_session(const struct bp_args *args, struct bp_session *session,
                                    struct bp_err *err)
{
    struct bp_table *table, *part = NULL;
    size_t *row = NULL;
    BP_TRY(bp_table_open(session->table_path, &table, err));
    const size_t n_measured = bp_table_rows_measured(table);
    enum bp_status status = BP_OK;
    if (n_measured > 0 && n_measured < table->n_matrices)
        status = bp_table_measured_part(table, &part, &row, err);
    if (status == BP_OK)
        status = print_plan(args, session, part ? part : table, table->n_matrices, err);
    free(row);
    bp_table_close(part);
    bp_table_close(table);
    return status;
}

static enum bp_status print_summary(const struct bp_args *args, const char *path,
                                    struct bp_err *err)
{
    struct bp_session session;
    enum bp_opened what;
    BP_TRY(bp_session_open(path, &session, &what, err));
    enum bp_status status = what == BP_OPENED_MODEL ? bp_command_info.run(args, err)
                                                    : print_session(args, &session, err);
    bp_session_done(&session);
    return status;
}

/* A terminal that can be painted on; others get words. */
static bool can_paint(void)
{
    const char *term = getenv("TERM");
    return isatty(STDOUT_FILENO) && !(term && strcmp(term, "dumb") == 0);
}

static enum bp_status run(const struct bp_args *args, struct bp_err *err)
{
    char *shipped = args->operands[0] ? NULL : shipped_session();
    const char *path = args->operands[0] ? args->operands[0] : shipped;
    enum bp_status status;
    if (bp_args_has(args, BP_OPT_DUMP) && !bp_args_has(args, BP_OPT_SCRIPT))
        status = bp_fail(err, BP_ERR_USAGE, "--dump goes with --script KEYS");
    else if (!path)
        status = bp_fail(err, BP_ERR_USAGE,
                         "the shipped session is not installed; name a table, session, plan or "
                         "model: bitplan FILE");
    else if (bp_args_has(args, BP_OPT_JSON) || (!bp_args_has(args, BP_OPT_SCRIPT) && !can_paint()))
        status = print_summary(args, path, err);
    else
        status = open_workbench(args, path, shipped != NULL, err);
    free(shipped);
    return status;
}

static const enum bp_option options[] = {
    BP_OPT_BITS,      BP_OPT_SIZE,        BP_OPT_TOTAL,         BP_OPT_GRID,    BP_OPT_PIN,
    BP_OPT_BAN,       BP_OPT_FLOOR,       BP_OPT_CEIL,          BP_OPT_TIE,     BP_OPT_WEIGHT,
    BP_OPT_OBJECTIVE, BP_OPT_MAX_CONFIGS, BP_OPT_LIMIT,         BP_OPT_SCRIPT,  BP_OPT_DUMP,
    BP_OPT_ASCII,     BP_OPT_COLORS,      BP_OPT_RANK,          BP_OPT_THREADS, BP_OPT_OUT,
    BP_OPT_NO_MOUSE,  BP_OPT_JSON,        BP_OPT_LOW_RANK_BITS, BP_OPT_EFFORT,
};

const struct bp_command bp_command_workbench = {
    .name = "workbench",
    .operands = "[FILE]",
    .n_operands = 1,
    .n_optional = 1,
    .summary = "the screen: slide the budget, switch the grid, see the plan",
    .notes =
        "`bitplan FILE` is the same; without FILE the shipped session opens. FILE is a table, a\n"
        "session, a plan, or a model, which is measured in the background into the table of -o\n"
        "(--rank, --grid, --effort, --threads as for measure). Budget and constraints are set at "
        "the\n"
        "start.\n"
        "With --script, --size 120x36 is the size of the frames. Where standard output is no\n"
        "terminal, the plan is printed in words. `?` on the screen lists keys and commands.",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .run = run,
};
