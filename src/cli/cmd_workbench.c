/* The workbench's command line; and, where standard output is no terminal, what it would show in
 * words. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "engine/json_write.h"
#include "engine/mem.h"
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
        if (path && access(path, R_OK) == 0)
            return path;
        free(path);
    }
    return NULL;
}

/* --- options as lines of the workbench's command line --- */

static const enum bp_option edits[] = {BP_OPT_GRID, BP_OPT_PIN,  BP_OPT_BAN,    BP_OPT_FLOOR,
                                       BP_OPT_CEIL, BP_OPT_TIE,  BP_OPT_WEIGHT, BP_OPT_BITS,
                                       BP_OPT_SIZE, BP_OPT_TOTAL};
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

static enum bp_status open_workbench(const struct bp_args *args, const char *path,
                                     struct bp_err *err)
{
    char **lines = NULL;
    uint64_t rank = 64, threads = 0;
    struct bp_workbench_call call = {
        .path = path,
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
    call.rank = rank;
    call.threads = (unsigned)threads;
    if (call.dump && !call.script)
        return bp_fail(err, BP_ERR_USAGE, "--dump goes with --script KEYS");
    BP_TRY(read_lines(args, &call, &lines, err));
    enum bp_status status = bp_cli_workbench(&call, err);
    free_lines(lines, call.n_commands);
    return status;
}

/* --- in words --- */

/* The session's own budget, or the one that the workbench would begin with. */
static enum bp_status budget_of(const struct bp_session *session, const struct bp_table *table,
                                const struct bp_planner *planner, struct bp_budget *out,
                                struct bp_err *err)
{
    uint64_t least, most;
    *out = session->budget;
    if (out->asked > 0.0)
        return bp_budget_resolve(out, table, &session->memory, err);
    bp_planner_range(planner, &least, &most);
    bp_budget_default(least, most, bp_table_params(table), out);
    return BP_OK;
}

static enum bp_status print_session(const struct bp_args *args, const struct bp_session *session,
                                    struct bp_err *err)
{
    struct bp_table *table;
    struct bp_planner *planner = NULL;
    struct bp_plan *plan = NULL;
    struct bp_budget budget;
    BP_TRY(bp_table_open(session->table_path, &table, err));
    enum bp_status status = bp_planner_new(table, &session->constraints, &planner, err);
    if (status == BP_OK)
        status = budget_of(session, table, planner, &budget, err);
    if (status == BP_OK)
        status = bp_planner_solve(planner, &budget, BP_SOLVER_MCKP, NULL, &plan, err);
    if ((status == BP_OK || status == BP_LIMIT) && bp_args_has(args, BP_OPT_JSON)) {
        struct bp_json_out out;
        bp_plan_to_json(plan, &out);
        status = bp_cli_emit_json(args, &out, true, err);
        bp_json_out_done(&out);
    } else if (status == BP_OK || status == BP_LIMIT) {
        bp_print_plan(plan, stdout);
        printf("(standard output is no terminal: the workbench in words)\n");
    }
    bp_plan_free(plan);
    bp_planner_free(planner);
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

static enum bp_status run(const struct bp_args *args, struct bp_err *err)
{
    char *shipped = args->operands[0] ? NULL : shipped_session();
    const char *path = args->operands[0] ? args->operands[0] : shipped;
    enum bp_status status;
    if (!path)
        status = bp_fail(err, BP_ERR_USAGE,
                         "the shipped session is not installed; name a table, session, plan or "
                         "model: bitplan FILE");
    else if (bp_args_has(args, BP_OPT_JSON) ||
             (!bp_args_has(args, BP_OPT_SCRIPT) && !isatty(STDOUT_FILENO)))
        status = print_summary(args, path, err);
    else
        status = open_workbench(args, path, err);
    free(shipped);
    return status;
}

static const enum bp_option options[] = {
    BP_OPT_BITS,    BP_OPT_SIZE,  BP_OPT_TOTAL,    BP_OPT_GRID,   BP_OPT_PIN,
    BP_OPT_BAN,     BP_OPT_FLOOR, BP_OPT_CEIL,     BP_OPT_TIE,    BP_OPT_WEIGHT,
    BP_OPT_SCRIPT,  BP_OPT_DUMP,  BP_OPT_ASCII,    BP_OPT_COLORS, BP_OPT_RANK,
    BP_OPT_THREADS, BP_OPT_OUT,   BP_OPT_NO_MOUSE, BP_OPT_JSON,
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
        "(--rank, --grid, --threads as for measure). Budget and constraints are set at the start.\n"
        "With --script, --size 120x36 is the size of the frames. Where standard output is no\n"
        "terminal, the plan is printed in words. `?` on the screen lists keys and commands.",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .run = run,
};
