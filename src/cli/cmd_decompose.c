#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "engine/decompose.h"
#include "engine/model.h"
#include "engine/parallel.h"
#include "engine/plan_file.h"
#include "engine/printable.h"

/* Everything that the options name, open. */
struct setup {
    struct bp_plan_file *plan;
    struct bp_model *model, *fisher;
    struct bp_decompose_options options;
    const struct bp_args *args;
    struct bp_progress progress;
    bool checking; /* the progress is that of reading back */
};

static void show(void *ctx, const struct bp_decompose_progress *p)
{
    struct setup *s = ctx;
    if (p->checking && !s->checking) {
        bp_progress_end(&s->progress);
        (void)bp_progress_begin(&s->progress, s->args, "weights read back", NULL);
        s->checking = true;
    }
    bp_progress_show(&s->progress, p->weights_done, p->weights_total, p->matrix);
}

static enum bp_status read_options(const struct bp_args *args, struct setup *s, struct bp_err *err)
{
    struct bp_decompose_options *o = &s->options;
    uint64_t threads = bp_available_threads(), bits = 0;
    o->dir = bp_args_text(args, BP_OPT_OUT, NULL);
    if (!o->dir)
        return bp_fail(err, BP_ERR_USAGE,
                       "decompose needs -o FOLDER: where the decomposed model goes");
    BP_TRY(bp_args_u64(args, BP_OPT_THREADS, 1, BP_MAX_THREADS, &threads, err));
    BP_TRY(bp_args_u64(args, BP_OPT_LOW_RANK_BITS, 1, 64, &bits, err));
    if (bits)
        BP_TRY(bp_low_rank_bits_check(bits, err));
    BP_TRY(bp_emit_parse(bp_args_text(args, BP_OPT_EMIT, "hf"), &o->emits, err));
    o->low_rank_bits = (unsigned)bits;
    o->threads = (unsigned)threads;
    o->replace = bp_args_has(args, BP_OPT_FORCE);
    o->stop = &bp_cli_stop;
    return BP_OK;
}

static enum bp_status open_inputs(const struct bp_args *args, struct setup *s, struct bp_err *err)
{
    const struct bp_model_filter filter = bp_cli_filter(args);
    const char *fisher = bp_args_text(args, BP_OPT_FISHER, NULL);
    struct bp_decompose_options *o = &s->options;
    BP_TRY(bp_plan_file_read(args->operands[0], bp_args_text(args, BP_OPT_TABLE, NULL), &s->plan,
                             err));
    if (!s->plan->method.known)
        return bp_fail(err, BP_ERR_INPUT,
                       "%s: does not say how its errors were made, and its table %s is not there; "
                       "give --table",
                       args->operands[0], bp_printable(s->plan->table_path).text);
    BP_TRY(bp_cli_backend(args, strcmp(s->plan->method.effort, "exact") == 0, &o->backend, err));
    if (!o->low_rank_bits)
        o->low_rank_bits = s->plan->low_rank_bits;
    BP_TRY(bp_low_rank_bits_check(o->low_rank_bits, err));
    BP_TRY(bp_model_open(args->operands[1], &filter, &s->model, err));
    for (size_t i = 0; i < s->model->n_warnings; i++)
        fprintf(stderr, "bitplan: warning: %s\n", s->model->warnings[i]);
    if (fisher)
        BP_TRY(bp_model_open(fisher, NULL, &s->fisher, err));
    for (int i = 0; i < 2; i++)
        BP_TRY(bp_cli_keep_input(o->dir, args->operands[i], err));
    if (fisher)
        BP_TRY(bp_cli_keep_input(o->dir, fisher, err));
    o->plan = s->plan;
    o->model = s->model;
    o->fisher = s->fisher;
    return BP_OK;
}

/* --- the report --- */

static void print_change(double error, double planned)
{
    if (isnan(error))
        printf(" %21s", "");
    else if (error == planned)
        printf(" %12.6g %8s", error, "equal");
    else if (planned > 0.0)
        printf(" %12.6g %+7.3f%%", error, 100.0 * (error / planned - 1.0));
    else
        printf(" %12.6g %8s", error, "");
}

static void print_rows(const struct setup *s, const struct bp_decompose_report *r)
{
    const unsigned emits = s->options.emits;
    printf("%-42s %-20s %4s %12s", "matrix", "config", "rank", "planned");
    for (int e = 0; e < BP_N_EMITS; e++)
        if (emits >> e & 1)
            printf(" %12s %8s", bp_emit_name((enum bp_emit)e), "");
    putchar('\n');
    for (size_t i = 0; i < r->n; i++) {
        const struct bp_plan_entry *entry = &s->plan->entries[i];
        char config[BP_CONFIG_TEXT];
        printf("%-42s %-20s %4u %12.6g", bp_printable(entry->name).text,
               bp_config_format(&entry->candidate.config, config), entry->candidate.rank,
               r->rows[i].planned);
        for (int e = 0; e < BP_N_EMITS; e++)
            if (emits >> e & 1)
                print_change(r->rows[i].error[e], r->rows[i].planned);
        if (r->no_bnb && r->no_bnb[i])
            printf("  not 4-bit: %s", r->no_bnb[i]);
        puts(r->rows[i].off ? "  OFF" : "");
    }
}

static void print_totals(const struct setup *s, const struct bp_decompose_report *r)
{
    double planned = 0.0, error[BP_N_EMITS] = {0};
    uint64_t bits = 0;
    char size[BP_SIZE_TEXT];
    for (size_t i = 0; i < r->n; i++) {
        planned += r->rows[i].planned;
        bits += r->rows[i].packed_bits;
        for (int e = 0; e < BP_N_EMITS; e++)
            error[e] += r->rows[i].error[e];
    }
    printf("%s: %zu matrices%s, %s", s->options.dir, r->n,
           s->model->synthetic ? " (synthetic model)" : "", bp_size_format(r->bytes, size));
    if (r->before)
        printf(", %zu of them by an earlier run", r->before);
    if (s->model->n_matrices > r->n)
        printf(", %zu more are not in the plan and stay as they are", s->model->n_matrices - r->n);
    printf("; error as planned %.9g", planned);
    for (int e = 0; e < BP_N_EMITS; e++)
        if (s->options.emits >> e & 1)
            printf(", %s %.9g", bp_emit_name((enum bp_emit)e), error[e]);
    if (s->options.emits >> BP_EMIT_PACKED & 1)
        printf("; packed %s bits, the plan's %s", bp_grouped(bits).text,
               bp_grouped(s->plan->storage_bits).text);
    printf("; low-rank parts at %u bits, %zu errors equal to the bit\n", s->options.low_rank_bits,
           r->n_equal);
}

/* The matrices whose error is not what the plan promised, the first few by name. */
static enum bp_status judge(const struct setup *s, const struct bp_decompose_report *r,
                            struct bp_err *err)
{
    char names[512] = "";
    size_t n = 0;
    if (r->n_off == 0)
        return BP_OK;
    for (size_t i = 0; i < r->n && n < 3; i++)
        if (r->rows[i].off) {
            const size_t used = strlen(names);
            snprintf(names + used, sizeof names - used, "%s%.150s", n++ ? ", " : "",
                     bp_printable(s->plan->entries[i].name).text);
        }
    return bp_fail(err, BP_ERR_MISMATCH,
                   "%s: written, but of %zu matrices error or storage is not the plan's (tolerance "
                   "%g %%): %s%s%s",
                   s->options.dir, r->n_off, 100.0 * r->tolerance, names,
                   r->n_off > n ? ", ..." : "",
                   s->options.low_rank_bits < 32 ? "; --low-rank-bits 32 rounds least" : "");
}

static enum bp_status report(const struct setup *s, const struct bp_decompose_report *r,
                             struct bp_err *err)
{
    if (bp_args_has(s->args, BP_OPT_JSON)) {
        char *text = bp_decompose_report_json(&s->options, r);
        if (!text)
            return bp_fail_nomem(err);
        enum bp_status status = bp_cli_print_text(text, err);
        free(text);
        BP_TRY(status);
    } else {
        print_rows(s, r);
        print_totals(s, r);
    }
    return judge(s, r, err);
}

static enum bp_status decompose(struct setup *s, struct bp_err *err)
{
    struct bp_decompose_report r = {0};
    BP_TRY(read_options(s->args, s, err));
    BP_TRY(bp_progress_begin(&s->progress, s->args, "weights", err));
    BP_TRY(open_inputs(s->args, s, err));
    s->options.progress = show;
    s->options.progress_ctx = s;
    bp_cli_catch_stop();
    enum bp_status status = bp_decompose(&s->options, &r, err);
    bp_progress_end(&s->progress);
    if (status == BP_OK)
        status = report(s, &r, err);
    else if (status == BP_STOPPED)
        status = bp_fail(err, status,
                         "stopped: what is in %s so far is kept; the same command goes on from "
                         "there",
                         s->options.dir);
    bp_decompose_report_done(&r);
    return status;
}

static enum bp_status run(const struct bp_args *args, struct bp_err *err)
{
    struct setup s = {.args = args};
    enum bp_status status = decompose(&s, err);
    bp_plan_file_free(s.plan);
    bp_model_close(s.model);
    bp_model_close(s.fisher);
    return status;
}

static const enum bp_option options[] = {
    BP_OPT_OUT,     BP_OPT_EMIT,     BP_OPT_LOW_RANK_BITS, BP_OPT_FISHER,
    BP_OPT_TABLE,   BP_OPT_INCLUDE,  BP_OPT_EXCLUDE,       BP_OPT_THREADS,
    BP_OPT_BACKEND, BP_OPT_PROGRESS, BP_OPT_FORCE,         BP_OPT_JSON,
};

const struct bp_command bp_command_decompose = {
    .name = "decompose",
    .operands = "PLAN MODEL",
    .n_operands = 2,
    .summary = "carry a plan out: write the decomposed model",
    .notes =
        "hf: the model's own files with dequantized weights, and the low-rank parts as a PEFT\n"
        "adapter of scaling 1 in adapter/. packed: codes, scales and factors in packed/, whose\n"
        "size is the plan's (docs/packed.md). bnb: bitsandbytes NF4 in bnb/, for configs that\n"
        "it can hold. A run that was stopped or killed is continued by the same command. Every\n"
        "matrix is read back, and its error set beside the plan's.",
    .options = options,
    .n_options = sizeof options / sizeof *options,
    .run = run,
};
