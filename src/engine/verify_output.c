#include "engine/verify_output.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/json_read.h"
#include "engine/json_write.h"
#include "engine/mem.h"
#include "engine/plan_file.h"
#include "engine/printable.h"

struct check {
    const struct bp_verify_output_options *options;
    unsigned low_rank_bits, emits;
    struct bp_outline *outline;
    struct bp_output *output;
};

/* --- what is there --- */

static enum bp_status is_there(const char *dir, const char *name, bool *out, struct bp_err *err)
{
    char *path = bp_format("%s/%s", dir, name);
    if (!path)
        return bp_fail_nomem(err);
    *out = access(path, F_OK) == 0;
    free(path);
    return BP_OK;
}

/* The factors' precision, which the packed form states and an adapter's dtype shows. An adapter
 * of 8-bit factors holds them in FP32, as one of 32 bits does. */
static enum bp_status find_bits(struct check *c, struct bp_err *err)
{
    const char *dir = c->options->dir;
    const bool packed = c->emits >> BP_EMIT_PACKED & 1;
    bool adapter = false;
    c->low_rank_bits = 16;
    BP_TRY(is_there(dir, "adapter/adapter_model.safetensors", &adapter, err));
    if (!packed && !adapter)
        return BP_OK;
    char *path = packed ? bp_format("%s/%s", dir, c->output->files[0].name)
                        : bp_format("%s/adapter/adapter_model.safetensors", dir);
    struct bp_st *st;
    if (!path)
        return bp_fail_nomem(err);
    enum bp_status status = bp_st_open(path, &st, err);
    free(path);
    if (status != BP_OK)
        return status;
    const char *bits = bp_st_metadata(st, "low_rank_bits");
    if (packed)
        c->low_rank_bits = bits ? (unsigned)strtoul(bits, NULL, 10) : 0;
    else if (st->n_tensors > 0 && st->tensors[0].dtype != BP_DTYPE_BF16)
        c->low_rank_bits = 32;
    bp_st_close(st);
    return c->low_rank_bits == 8 || c->low_rank_bits == 16 || c->low_rank_bits == 32
               ? BP_OK
               : bp_fail(err, BP_ERR_INPUT, "%s: the packed form states no low_rank_bits", dir);
}

static enum bp_status find_forms(struct check *c, struct bp_err *err)
{
    const char *dir = c->options->dir;
    bool there[BP_N_EMITS] = {false}, unfinished = false;
    BP_TRY(is_there(dir, c->outline->files[0].name, &there[BP_EMIT_HF], err));
    BP_TRY(is_there(dir, "packed", &there[BP_EMIT_PACKED], err));
    BP_TRY(is_there(dir, "bnb", &there[BP_EMIT_BNB], err));
    BP_TRY(is_there(dir, ".bitplan-unfinished", &unfinished, err));
    c->emits = 0;
    for (int e = 0; e < BP_N_EMITS; e++)
        c->emits |= there[e] ? 1u << e : 0;
    if (unfinished)
        return bp_fail(err, BP_ERR_INPUT,
                       "%s: is not finished; the command that began it goes on from there", dir);
    if (!c->emits)
        return bp_fail(err, BP_ERR_INPUT, "%s: holds no decomposed model (no %s, packed/ or bnb/)",
                       dir, c->outline->files[0].name);
    return BP_OK;
}

/* --- the adapter's configuration --- */

/* The number that a pattern gives a module; `fallback` when none names it. Keys are as bitplan
 * writes them: the module's path with its dots escaped. */
static uint64_t pattern_value(const struct cJSON *pattern, const char *module, uint64_t fallback)
{
    for (const struct cJSON *node = bp_json_first(pattern); node; node = bp_json_next(node)) {
        const char *key = bp_json_key(node), *at = module;
        for (; *key && *at; key++) {
            key += *key == '\\';
            if (*key != *at)
                break;
            at++;
        }
        if (!*key && !*at)
            (void)bp_json_u64(node, &fallback);
    }
    return fallback;
}

static bool is_target(const struct cJSON *list, const char *module)
{
    for (const struct cJSON *node = bp_json_first(list); node; node = bp_json_next(node))
        if (bp_json_string(node) && strcmp(bp_json_string(node), module) == 0)
            return true;
    return false;
}

static bool says(const struct cJSON *config, const char *key, bool value)
{
    bool flag;
    const struct cJSON *node = bp_json_member(config, key);
    return node ? bp_json_bool(node, &flag) && flag == value : !value;
}

/* Scaling is lora_alpha / r, each the pattern's where there is one. */
static enum bp_status check_module(const struct cJSON *config, const struct bp_outline *o,
                                   const struct bp_outline_matrix *m, const char *path,
                                   struct bp_err *err)
{
    uint64_t r = 0, alpha = 0;
    char *module = bp_outline_module(o, m->name);
    if (!module)
        return bp_fail_nomem(err);
    (void)bp_json_u64(bp_json_member(config, "r"), &r);
    (void)bp_json_u64(bp_json_member(config, "lora_alpha"), &alpha);
    r = pattern_value(bp_json_member(config, "rank_pattern"), module, r);
    alpha = pattern_value(bp_json_member(config, "alpha_pattern"), module, alpha);
    enum bp_status status = BP_OK;
    if (!is_target(bp_json_member(config, "target_modules"), module))
        status = bp_fail(err, BP_ERR_MISMATCH, "%s: target_modules lacks %s", path,
                         bp_printable(module).text);
    else if (r != m->r || alpha != m->r)
        status =
            bp_fail(err, BP_ERR_MISMATCH,
                    "%s: gives %s rank %" PRIu64 " and alpha %" PRIu64 ", where both are to be %u",
                    path, bp_printable(module).text, r, alpha, m->r);
    free(module);
    return status;
}

static enum bp_status check_config(const struct bp_outline *o, const struct cJSON *config,
                                   const char *path, struct bp_err *err)
{
    const char *type = bp_json_string(bp_json_member(config, "peft_type"));
    if (!type || strcmp(type, "LORA") != 0 || !says(config, "use_rslora", false) ||
        !says(config, "use_dora", false) ||
        !says(config, "fan_in_fan_out", bp_outline_transposed(o)))
        return bp_fail(err, BP_ERR_MISMATCH,
                       "%s: is not that of a LORA adapter without rslora and dora, with "
                       "fan_in_fan_out %s",
                       path, bp_outline_transposed(o) ? "true" : "false");
    for (size_t i = 0; i < o->n_matrices; i++)
        if (o->matrices[i].r > 0)
            BP_TRY(check_module(config, o, &o->matrices[i], path, err));
    return BP_OK;
}

static enum bp_status check_adapter(const struct check *c, struct bp_err *err)
{
    struct cJSON *config = NULL;
    if (!c->output->places[BP_PLACE_ADAPTER])
        return BP_OK;
    char *path = bp_format("%s/adapter/adapter_config.json", c->options->dir);
    if (!path)
        return bp_fail_nomem(err);
    enum bp_status status = bp_json_read_file(path, &config, err);
    if (status == BP_OK)
        status = check_config(c->outline, config, path, err);
    bp_json_free(config);
    free(path);
    return status;
}

/* --- the matrices --- */

static char *path_of(void *ctx, size_t f)
{
    const struct check *c = ctx;
    return bp_format("%s/%s", c->options->dir, c->output->files[f].name);
}

/* Names the first matrix that is off. */
static enum bp_status judge(const struct check *c, const struct bp_verify_output_report *r,
                            size_t n_off, struct bp_err *err)
{
    size_t i = 0;
    char is[BP_DOUBLE_TEXT], planned[BP_DOUBLE_TEXT];
    if (n_off == 0)
        return BP_OK;
    while (!r->rows[i].off)
        i++;
    const struct bp_output_row *row = &r->rows[i];
    const char *name = c->options->plan->entries[i].name;
    if (c->emits >> BP_EMIT_PACKED & 1 && row->packed_bits != row->storage_bits)
        return bp_fail(err, BP_ERR_MISMATCH, "%s: %s takes %s bits packed, the plan says %s",
                       c->options->dir, bp_printable(name).text, bp_grouped(row->packed_bits).text,
                       bp_grouped(row->storage_bits).text);
    int e = 0;
    while (!bp_output_error_off(row, (enum bp_emit)e, r->tolerance))
        e++;
    return bp_fail(err, BP_ERR_MISMATCH,
                   "%s: %s has an error of %s in the %s form, the plan says %s (tolerance %g %%); "
                   "%zu such matri%s",
                   c->options->dir, bp_printable(name).text, bp_double_format(row->error[e], is),
                   bp_emit_name((enum bp_emit)e), bp_double_format(row->planned, planned),
                   100.0 * r->tolerance, n_off, n_off == 1 ? "x" : "ces");
}

static enum bp_status check_matrices(struct check *c, struct bp_verify_output_report *r,
                                     struct bp_err *err)
{
    const struct bp_verify_output_options *o = c->options;
    struct bp_output_reader reader;
    size_t n_off = 0;
    r->rows = bp_alloc_zero(o->plan->n, sizeof *r->rows);
    if (!r->rows)
        return bp_fail_nomem(err);
    BP_TRY(bp_output_reader_open(c->output, path_of, c, &reader, err));
    const struct bp_output_check check = {.reader = &reader,
                                          .plan = o->plan,
                                          .model = o->model,
                                          .fisher = o->fisher,
                                          .tolerance = r->tolerance,
                                          .threads = o->threads};
    enum bp_status status = bp_output_check_run(&check, r->rows, &n_off, err);
    bp_output_reader_close(&reader);
    return status == BP_OK ? judge(c, r, n_off, err) : status;
}

/* Lays out what should be there; how the factors are stored is seen on the way. */
static enum bp_status lay_out(struct check *c, struct bp_err *err)
{
    const struct bp_verify_output_options *o = c->options;
    BP_TRY(bp_outline_new(o->model, o->plan, 16, &c->outline, err));
    BP_TRY(find_forms(c, err));
    if (c->emits >> BP_EMIT_PACKED & 1)
        BP_TRY(bp_output_new(c->outline, 1u << BP_EMIT_PACKED, &c->output, err));
    BP_TRY(find_bits(c, err));
    c->output = bp_output_free(c->output);
    c->outline->low_rank_bits = c->low_rank_bits;
    return bp_output_new(c->outline, c->emits, &c->output, err);
}

enum bp_status bp_verify_output(const struct bp_verify_output_options *options,
                                struct bp_verify_output_report *report, struct bp_err *err)
{
    struct check c = {.options = options};
    *report = (struct bp_verify_output_report){
        .n = options->plan->n, .tolerance = bp_output_tolerance(options->plan->method.effort)};
    enum bp_status status = bp_output_check_weights(options->plan, options->fisher, err);
    if (status == BP_OK)
        status = lay_out(&c, err);
    report->emits = c.emits;
    if (status == BP_OK)
        status = check_adapter(&c, err);
    if (status == BP_OK)
        status = check_matrices(&c, report, err);
    bp_output_free(c.output);
    bp_outline_free(c.outline);
    return status;
}
