#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "engine/frontier.h"
#include "engine/json_write.h"
#include "engine/mem.h"
#include "engine/memory.h"
#include "engine/planner.h"

enum { MAX_STEPS = 100000 };

/* The budgets of a sweep in millionths of a bit per parameter, so that 2.5 + 2 x 0.25 is 3 and not
 * nearly 3: from, from + step, ... up to `to`; or, with points, so many from `from` to `to`. */
struct range {
    uint64_t from, to, step, points;
};

static const double MILLION = 1e6;

static enum bp_status read_millionths(const struct bp_args *args, enum bp_option option,
                                      uint64_t *out, struct bp_err *err)
{
    const char *text = bp_args_text(args, option, NULL), *end;
    struct bp_decimal value;
    if (!text)
        return BP_OK;
    if (!bp_decimal_parse(text, &value, &end) || *end || value.scale > 6 ||
        strtod(text, NULL) > 64.0)
        return bp_fail(err, BP_ERR_USAGE,
                       "%s: '%s' is no number of bits/param with at most 6 decimals",
                       bp_option_row(option)->spelling, text);
    for (; value.scale < 6; value.scale++)
        value.digits *= 10;
    *out = value.digits;
    return BP_OK;
}

static enum bp_status read_range(const struct bp_args *args, const struct bp_planner *planner,
                                 uint64_t params, struct range *r, struct bp_err *err)
{
    uint64_t least, most;
    bp_planner_range(planner, &least, &most);
    r->from = (uint64_t)ceil((double)least / (double)params * MILLION);
    r->to = (uint64_t)ceil((double)most / (double)params * MILLION);
    r->step = 250000;
    r->points = 0;
    BP_TRY(read_millionths(args, BP_OPT_FROM, &r->from, err));
    BP_TRY(read_millionths(args, BP_OPT_TO, &r->to, err));
    BP_TRY(read_millionths(args, BP_OPT_STEP, &r->step, err));
    BP_TRY(bp_args_u64(args, BP_OPT_POINTS, 2, MAX_STEPS, &r->points, err));
    if (r->points && bp_args_has(args, BP_OPT_STEP))
        return bp_fail(err, BP_ERR_USAGE, "--points and --step: give one of them");
    if (!bp_args_has(args, BP_OPT_TO) && r->to < r->from)
        r->to = r->from;
    if (r->step == 0 || r->from > r->to || (r->to - r->from) / r->step >= MAX_STEPS)
        return bp_fail(
            err, BP_ERR_USAGE,
            "sweep needs --from at most --to, and a --step that makes at most %d budgets",
            MAX_STEPS);
    return BP_OK;
}

static size_t count_of(const struct range *r)
{
    return r->points ? r->points : (size_t)((r->to - r->from) / r->step + 1);
}

/* The i-th budget in millionths. */
static uint64_t budget_at(const struct range *r, uint64_t i)
{
    return r->points ? r->from + (r->to - r->from) * i / (r->points - 1) : r->from + i * r->step;
}

static enum bp_status solve(const struct bp_args *args, const struct range *r,
                            struct bp_planner *planner, const struct bp_table *table,
                            struct bp_frontier *out, struct bp_err *err)
{
    const size_t n = count_of(r);
    struct bp_progress progress;
    struct bp_planner_limits limits;
    struct bp_memory_settings memory;
    BP_TRY(bp_cli_memory(args, &memory, err));
    BP_TRY(bp_cli_planner_limits(args, planner, &progress, &limits, err));
    struct bp_budget *budgets = bp_alloc(n, sizeof *budgets);
    enum bp_status status = budgets ? BP_OK : bp_fail_nomem(err);
    for (size_t i = 0; status == BP_OK && i < n; i++) {
        char text[32];
        const uint64_t at = budget_at(r, i);
        snprintf(text, sizeof text, "%" PRIu64 ".%06" PRIu64, at / 1000000, at % 1000000);
        status = bp_budget_parse_bits(text, bp_table_params(table), &budgets[i], err);
        budgets[i].low_rank_bits = (unsigned)memory.low_rank_bits;
    }
    if (status == BP_OK)
        status = bp_frontier_solve(planner, table, budgets, n, &limits, out, err);
    bp_progress_end(&progress);
    free(budgets);
    return status;
}

/* --- output --- */

static void put_number(double value, FILE *out)
{
    char text[BP_DOUBLE_TEXT];
    fprintf(out, ",%s", isfinite(value) ? bp_double_format(value, text) : "");
}

static void put_csv(const struct bp_frontier *f, FILE *out)
{
    fprintf(out,
            "asked_bits_per_param,storage_bits,bits_per_param,effective_bits_per_param,error,"
            "relative_error,lower_bound,status,synthetic,shadow_price,knee%s\n",
            f->weighted ? ",objective" : "");
    for (size_t i = 0; i < f->n; i++) {
        const struct bp_frontier_sample *s = &f->samples[i];
        char asked[BP_DOUBLE_TEXT];
        fprintf(out, "%s,%" PRIu64, bp_double_format(s->asked, asked), s->storage_bits);
        put_number(s->bits_per_param, out);
        put_number(s->effective_bits_per_param, out);
        put_number(s->error, out);
        put_number(s->relative_error, out);
        put_number(s->lower_bound, out);
        fprintf(out, ",%s,%s", s->optimal ? "optimal" : "bounded",
                f->table->about.synthetic ? "true" : "false");
        put_number(s->shadow_price, out);
        fprintf(out, ",%u", s->knee);
        if (f->weighted)
            put_number(s->objective, out);
        fputc('\n', out);
    }
}

static void put_json(const struct bp_frontier *f, struct bp_json_out *out)
{
    bp_json_out_array(out);
    for (size_t i = 0; i < f->n; i++) {
        const struct bp_frontier_sample *s = &f->samples[i];
        struct cJSON *node = bp_json_put_object(out, out->root, NULL);
        bp_json_put_double(out, node, "asked", s->asked);
        bp_json_put_u64(out, node, "storage_bits", s->storage_bits);
        bp_json_put_double(out, node, "bits_per_param", s->bits_per_param);
        bp_json_put_double(out, node, "effective_bits_per_param", s->effective_bits_per_param);
        bp_json_put_double(out, node, "error", s->error);
        bp_json_put_double(out, node, "relative_error", s->relative_error);
        bp_json_put_double(out, node, "lower_bound", s->lower_bound);
        bp_json_put_string(out, node, "status", s->optimal ? "optimal" : "bounded");
        bp_json_put_bool(out, node, "synthetic", f->table->about.synthetic);
        bp_json_put_double(out, node, "shadow_price", s->shadow_price);
        bp_json_put_u64(out, node, "knee", s->knee);
        if (f->weighted)
            bp_json_put_double(out, node, "objective", s->objective);
    }
}

static enum bp_status emit_csv(const struct bp_args *args, const struct bp_frontier *f,
                               struct bp_err *err)
{
    char *text = NULL;
    size_t n;
    FILE *csv = open_memstream(&text, &n);
    if (!csv)
        return bp_fail_nomem(err);
    put_csv(f, csv);
    const bool whole = !ferror(csv);
    enum bp_status status = fclose(csv) == 0 && whole ? BP_OK : bp_fail_nomem(err);
    if (status == BP_OK)
        status = bp_cli_emit_text(args, text, err);
    free(text);
    return status;
}

/* As a picture where one is asked for, or the output's name ends like one. */
static bool wants_svg(const struct bp_args *args)
{
    const char *path = bp_args_text(args, BP_OPT_OUT, "");
    const size_t n = strlen(path);
    return bp_args_has(args, BP_OPT_SVG) ||
           (n >= 4 && strcmp(path + n - 4, ".svg") == 0 && !bp_args_has(args, BP_OPT_JSON));
}

static enum bp_status emit(const struct bp_args *args, const struct bp_frontier *f,
                           struct bp_err *err)
{
    enum bp_status status;
    if (wants_svg(args)) {
        char *svg = bp_frontier_to_svg(f);
        status = svg ? bp_cli_emit_text(args, svg, err) : bp_fail_nomem(err);
        free(svg);
    } else if (bp_args_has(args, BP_OPT_JSON)) {
        struct bp_json_out json;
        put_json(f, &json);
        status = bp_cli_emit_json(args, &json, !bp_args_has(args, BP_OPT_OUT), err);
        bp_json_out_done(&json);
    } else {
        status = emit_csv(args, f, err);
    }
    return status;
}

/* Figures of a part of the model must not pass for those of the model; the columns cannot say it.
 */
static void warn_partial(const struct bp_table *t)
{
    if (t->whole_matrices > t->n_matrices)
        fprintf(stderr,
                "bitplan: warning: %zu of the table's %zu matrices are planned, %.1f %% of its "
                "parameters\n",
                t->n_matrices, t->whole_matrices,
                100.0 * (double)bp_table_params(t) / (double)t->whole_params);
}

static enum bp_status run(const struct bp_args *args, struct bp_err *err)
{
    struct bp_table *table;
    struct bp_planner *planner;
    struct range range;
    struct bp_frontier frontier = {0};
    if (bp_args_has(args, BP_OPT_SVG) && bp_args_has(args, BP_OPT_JSON))
        return bp_fail(err, BP_ERR_USAGE, "--svg and --json: give one of them");
    BP_TRY(bp_cli_open_planner(args, &table, &planner, err));
    enum bp_status status = read_range(args, planner, bp_table_params(table), &range, err);
    if (status == BP_OK)
        status = solve(args, &range, planner, table, &frontier, err);
    if (status == BP_OK)
        status = emit(args, &frontier, err);
    if (status == BP_OK)
        warn_partial(table);
    bp_frontier_done(&frontier);
    bp_planner_free(planner);
    bp_table_close(table);
    return status;
}

static const enum bp_option options[] = {
    BP_OPT_FROM,          BP_OPT_TO,         BP_OPT_STEP,
    BP_OPT_GRID,          BP_OPT_PIN,        BP_OPT_BAN,
    BP_OPT_FLOOR,         BP_OPT_CEIL,       BP_OPT_TIE,
    BP_OPT_WEIGHT,        BP_OPT_OBJECTIVE,  BP_OPT_MAX_CONFIGS,
    BP_OPT_LIMIT,         BP_OPT_TIME_LIMIT, BP_OPT_PROGRESS,
    BP_OPT_OUT,           BP_OPT_FORCE,      BP_OPT_JSON,
    BP_OPT_PARTIAL,       BP_OPT_POINTS,     BP_OPT_SVG,
    BP_OPT_LOW_RANK_BITS,
};

const struct bp_command bp_command_sweep = {
    .name = "sweep",
    .operands = "TABLE",
    .n_operands = 1,
    .summary = "the least error at each of many budgets, as CSV, JSON or a picture",
    .notes =
        "Every line is a plan solved to proof; `solve --bits` prints the plan itself. "
        "shadow_price\n"
        "is the error that another MiB would save there; knee numbers the points where that drops\n"
        "most, from 1. -o FILE.svg draws it all beside the uniform configs and QLoRA's.",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .run = run,
};
