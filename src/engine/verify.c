#include "engine/verify.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/json_read.h"
#include "engine/json_write.h"
#include "engine/low_rank.h"
#include "engine/measure.h"
#include "engine/mem.h"
#include "engine/memory.h"
#include "engine/model.h"
#include "engine/planner.h"
#include "engine/printable.h"

/* What a relative comparison of two sums in double may differ by; equal plans are far closer. */
static const double SUM_TOLERANCE = 1e-12;

/* Seconds of the search for something better under conditions beside the budget. */
static const double OPTIMAL_SECONDS = 60.0, BOUNDED_SECONDS = 2.0;

struct check {
    const struct bp_verify_options *options;
    const char *path;          /* of the file */
    const char *label;         /* of the plan in it: "" or "[2]." in a list of plans */
    const struct cJSON *claim; /* the plan */
    struct bp_table *table;
    struct bp_planner *planner;
    struct bp_budget budget;
    struct bp_certificate certificate; /* as claimed, gap recomputed */
    uint32_t *choice;                  /* [n_matrices] as claimed */
    struct bp_plan *plan;              /* what the claimed choice really is */
    struct bp_verify_report *report;
};

static const struct cJSON *member(const struct cJSON *node, const char *a, const char *b)
{
    return bp_json_member(bp_json_member(node, a), b);
}

/* --- reading the claim --- */

static enum bp_status check_format(const struct check *c, struct bp_err *err)
{
    uint64_t version;
    const char *format = bp_json_string(bp_json_member(c->claim, "format"));
    if (!format || strcmp(format, "bitplan.plan") != 0)
        return bp_fail(err, BP_ERR_INPUT,
                       "%s: not a bitplan plan: its \"format\" is not bitplan.plan", c->path);
    BP_TRY(bp_json_need_u64(c->claim, "version", c->path, &version, err));
    return version == 1 ? BP_OK
                        : bp_fail(err, BP_ERR_INPUT,
                                  "%s: a plan of version %" PRIu64 "; this bitplan reads version 1",
                                  c->path, version);
}

static enum bp_status open_table(struct check *c, const char *given, struct bp_err *err)
{
    const char *stored = bp_json_string(member(c->claim, "table", "path"));
    if (!given && !stored)
        return bp_fail(err, BP_ERR_INPUT, "%s: names no table; give --table", c->path);
    if (given || access(stored, F_OK) == 0 || stored[0] == '/')
        return bp_table_open(given ? given : stored, &c->table, err);
    const char *slash = strrchr(c->path, '/');
    char *beside = bp_format("%.*s%s", slash ? (int)(slash - c->path + 1) : 0, c->path, stored);
    if (!beside)
        return bp_fail_nomem(err);
    enum bp_status status = bp_table_open(beside, &c->table, err);
    free(beside);
    return status == BP_OK ? BP_OK
                           : bp_fail_in(err, status, "%s: its table (give --table)", c->path);
}

static enum bp_status mismatch(const struct check *c, const char *where, const char *says,
                               const char *is, struct bp_err *err)
{
    return bp_fail(err, BP_ERR_MISMATCH, "%s: %s%s is wrong: the plan says %s, recomputed it is %s",
                   c->path, c->label, where, bp_printable(says).text, bp_printable(is).text);
}

/* Of a budget in total bytes: what the total was to hold beside the matrices. */
static enum bp_status read_settings(const struct cJSON *budget, struct bp_memory_settings *out)
{
    static const struct {
        const char *member, *key;
    } settings[] = {{"context", "context"}, {"batch", "batch"}, {"kv_bits", "kv-bits"}};
    bp_memory_settings_default(out);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        char text[24];
        uint64_t value;
        if (!bp_json_u64(bp_json_member(budget, settings[i].member), &value))
            return BP_ERR_INPUT;
        snprintf(text, sizeof text, "%" PRIu64, value);
        BP_TRY(bp_memory_settings_set(out, settings[i].key, text, NULL));
    }
    return BP_OK;
}

/* The precision of the low-rank parts; plans of old do not say it. */
static enum bp_status read_precision(const struct check *c, uint64_t *out, struct bp_err *err)
{
    const struct cJSON *node = member(c->claim, "memory", "low_rank_bits");
    *out = BP_LOW_RANK_STANDARD;
    return !node || (bp_json_u64(node, out) && bp_low_rank_precision_valid(*out))
               ? BP_OK
               : bp_fail(err, BP_ERR_MISMATCH,
                         "%s: %smemory.low_rank_bits is wrong: it is neither 8 nor 16 nor 32",
                         c->path, c->label);
}

static enum bp_status read_total(struct check *c, const struct cJSON *budget, double asked,
                                 uint64_t precision, struct bp_err *err)
{
    struct bp_memory_settings s;
    if (read_settings(budget, &s) != BP_OK)
        return bp_fail(err, BP_ERR_INPUT,
                       "%s: %sbudget: no \"context\", \"batch\" and \"kv_bits\" of its total bytes",
                       c->path, c->label);
    s.low_rank_bits = precision;
    enum bp_status status = bp_memory_budget_total(c->table, &s, asked, &c->budget, err);
    return status == BP_OK || status == BP_ERR_NOMEM
               ? status
               : bp_fail_in(err, BP_ERR_MISMATCH, "%s: %sbudget is wrong", c->path, c->label);
}

static enum bp_status read_budget(struct check *c, struct bp_err *err)
{
    const struct cJSON *budget = bp_json_member(c->claim, "budget");
    const char *unit = bp_json_string(bp_json_member(budget, "unit"));
    double asked = 0.0;
    char text[BP_DOUBLE_TEXT];
    uint64_t precision;
    enum bp_status status = BP_ERR_INPUT;
    BP_TRY(read_precision(c, &precision, err));
    if (bp_json_double(bp_json_member(budget, "asked"), &asked) && unit) {
        if (strcmp(unit, bp_budget_unit_name(BP_BUDGET_TOTAL_BYTES)) == 0)
            return read_total(c, budget, asked, precision, err);
        if (strcmp(unit, bp_budget_unit_name(BP_BUDGET_BYTES)) == 0) {
            snprintf(text, sizeof text, "%.0f", asked);
            status = bp_budget_parse_size(text, &c->budget, NULL);
        } else if (strcmp(unit, bp_budget_unit_name(BP_BUDGET_BITS_PER_PARAM)) == 0) {
            bp_double_format(asked, text);
            status = bp_budget_parse_bits(text, bp_table_params(c->table), &c->budget, NULL);
        }
    }
    c->budget.low_rank_bits = (unsigned)precision;
    return status == BP_OK ? BP_OK
                           : bp_fail(err, BP_ERR_INPUT,
                                     "%s: %sbudget: no \"asked\" and \"unit\" in "
                                     "bits/param, bytes or total bytes",
                                     c->path, c->label);
}

/* The candidate that a matrix of the plan names, by config and rank or by label. */
static bool find_candidate(const struct bp_table *t, const struct cJSON *node, uint32_t *out)
{
    const struct cJSON *config = bp_json_member(node, "config");
    const char *label = bp_json_string(bp_json_member(node, "label"));
    const char *b2 = bp_json_string(bp_json_member(config, "b2"));
    uint64_t b0, b1, B0, B1, rank;
    bool own = bp_json_u64(bp_json_member(config, "b0"), &b0) &&
               bp_json_u64(bp_json_member(config, "b1"), &b1) &&
               bp_json_u64(bp_json_member(config, "B0"), &B0) &&
               bp_json_u64(bp_json_member(config, "B1"), &B1) &&
               bp_json_u64(bp_json_member(node, "rank"), &rank) && b2;
    for (size_t j = 0; j < t->n_candidates; j++) {
        const struct bp_candidate *c = &t->candidates[j];
        bool same = c->foreign ? !own && label && strcmp(label, c->label) == 0
                               : own && c->config.b0 == b0 && c->config.b1 == b1 &&
                                     c->config.B0 == B0 && c->config.B1 == B1 && c->rank == rank &&
                                     strcmp(b2, bp_scale_type_name(c->config.b2)) == 0;
        if (same) {
            *out = (uint32_t)j;
            return true;
        }
    }
    return false;
}

/* A plan that was made while its table was being measured lists the matrices that were: then those
 * are what it is checked against. */
static enum bp_status take_measured_part(struct check *c, struct bp_err *err)
{
    const size_t n_listed = bp_json_count(bp_json_member(c->claim, "matrices"));
    const size_t n_measured = bp_table_rows_measured(c->table);
    if (n_listed == 0 || n_listed == c->table->n_matrices || n_listed != n_measured)
        return BP_OK;
    struct bp_table *part;
    size_t *row;
    BP_TRY(bp_table_measured_part(c->table, &part, &row, err));
    free(row);
    bp_table_close(c->table);
    c->table = part;
    return BP_OK;
}

static enum bp_status read_choice(struct check *c, struct bp_err *err)
{
    const struct cJSON *list = bp_json_member(c->claim, "matrices");
    const struct bp_table *t = c->table;
    size_t i = 0;
    c->choice = bp_alloc(t->n_matrices, sizeof *c->choice);
    if (!c->choice)
        return bp_fail_nomem(err);
    if (!bp_json_is_array(list) || bp_json_count(list) != t->n_matrices)
        return bp_fail(err, BP_ERR_MISMATCH,
                       "%s: %smatrices is wrong: the plan lists %zu, the table %s has %zu", c->path,
                       c->label, bp_json_count(list), t->path, t->n_matrices);
    for (const struct cJSON *node = bp_json_first(list); node; node = bp_json_next(node), i++)
        if (!find_candidate(t, node, &c->choice[i]))
            return bp_fail(
                err, BP_ERR_MISMATCH,
                "%s: %smatrices[%zu].config is wrong: it is no candidate of the table %s", c->path,
                c->label, i, t->path);
    return BP_OK;
}

static enum bp_status read_constraints(const struct check *c, struct bp_constraints *out,
                                       struct bp_err *err)
{
    const struct cJSON *list = bp_json_member(c->claim, "constraints");
    for (const struct cJSON *node = bp_json_first(list); node; node = bp_json_next(node)) {
        const char *option = bp_json_string(bp_json_member(node, "option"));
        const char *value = bp_json_string(bp_json_member(node, "value"));
        if (!option || !value)
            return bp_fail(err, BP_ERR_INPUT, "one has no \"option\" and \"value\"");
        BP_TRY(bp_constraints_add_option(out, option, value, err));
    }
    return BP_OK;
}

/* Opens the planner under the plan's own constraints; what is wrong with them is wrong with the
 * plan, not with a command line. */
static enum bp_status open_planner(struct check *c, struct bp_err *err)
{
    struct bp_constraints constraints = {0};
    enum bp_status status = read_constraints(c, &constraints, err);
    const bool readable = status == BP_OK;
    if (readable)
        status = bp_planner_new_counting(c->table, &constraints, bp_budget_counted(&c->budget),
                                         &c->planner, err);
    bp_constraints_done(&constraints);
    if (!readable || status == BP_ERR_USAGE || status == BP_INFEASIBLE)
        return bp_fail_in(err, status == BP_ERR_NOMEM ? status : BP_ERR_INPUT, "%s: %sconstraints",
                          c->path, c->label);
    return status;
}

/* Tied matrices take one candidate. */
static enum bp_status check_ties(const struct check *c, struct bp_err *err)
{
    const struct bp_table *t = c->table;
    size_t *first = bp_alloc(t->n_matrices, sizeof *first); /* of each group */
    enum bp_status status = first ? BP_OK : bp_fail_nomem(err);
    size_t n_groups = 0;
    for (size_t i = 0; status == BP_OK && i < t->n_matrices; i++) {
        const size_t g = bp_planner_group(c->planner, i);
        if (g == n_groups)
            first[n_groups++] = i; /* numbers ascend in this order */
        else if (c->choice[i] != c->choice[first[g]])
            status =
                bp_fail(err, BP_ERR_MISMATCH,
                        "%s: %smatrices[%zu].config is wrong: the plan's constraints tie %s to "
                        "%s, and matrices[%zu].config is another",
                        c->path, c->label, i, bp_printable(t->matrices[i].name).text,
                        bp_printable(t->matrices[first[g]].name).text, first[g]);
    }
    free(first);
    return status;
}

/* Every matrix takes a candidate that the plan's own constraints let it take. */
static enum bp_status check_constraints(const struct check *c, struct bp_err *err)
{
    for (size_t i = 0; i < c->table->n_matrices; i++)
        if (!bp_planner_allows(c->planner, i, c->choice[i]))
            return bp_fail(err, BP_ERR_MISMATCH,
                           "%s: %smatrices[%zu].config is wrong: the plan's constraints forbid it",
                           c->path, c->label, i);
    BP_TRY(check_ties(c, err));
    enum bp_status status = bp_planner_check_sided(c->planner, c->choice, err);
    return status == BP_OK ? BP_OK : bp_fail_in(err, status, "%s: %smatrices", c->path, c->label);
}

/* --- the certificate --- */

static enum bp_status read_certificate(struct check *c, struct bp_err *err)
{
    const struct cJSON *node = bp_json_member(c->claim, "certificate");
    const char *status = bp_json_string(bp_json_member(node, "status"));
    const char *method = bp_json_string(bp_json_member(node, "method"));
    const struct cJSON *objective = member(c->claim, "totals", "objective"); /* with --weight */
    double claimed, *bound = &c->certificate.lower_bound;
    if (!status || (strcmp(status, "optimal") != 0 && strcmp(status, "bounded") != 0) || !method ||
        !bp_json_double(bp_json_member(node, "lower_bound"), bound) ||
        !bp_json_double(objective ? objective : member(c->claim, "totals", "error"), &claimed))
        return bp_fail(err, BP_ERR_INPUT,
                       "%s: %scertificate: no \"status\", \"lower_bound\" and \"method\"", c->path,
                       c->label);
    c->certificate.optimal = strcmp(status, "optimal") == 0;
    c->certificate.method = strcmp(method, "glpk") == 0    ? "glpk"
                            : bp_planner_sided(c->planner) ? "sided"
                                                           : "mckp";
    c->certificate.gap = claimed > 0.0 ? (claimed - *bound) / claimed : 0.0;
    return BP_OK;
}

/* A lower bound is true when the optimum is not below it; "optimal" when nothing is below the plan.
 */
static enum bp_status check_certificate(struct check *c, struct bp_err *err)
{
    struct bp_plan *best = NULL;
    char says[BP_DOUBLE_TEXT], is[BP_DOUBLE_TEXT];
    /* Under conditions beside the budget the search may be long: what it finds is true anyway. */
    const bool sided = bp_planner_sided(c->planner);
    const struct bp_planner_limits limits = {
        .max_seconds = c->certificate.optimal ? OPTIMAL_SECONDS : BOUNDED_SECONDS};
    enum bp_status status =
        bp_planner_solve(c->planner, &c->budget, BP_SOLVER_MCKP, &limits, &best, err);
    if (status == BP_STOPPED && !c->certificate.optimal)
        return BP_OK;
    if (status == BP_INFEASIBLE)
        return bp_fail_in(err, BP_ERR_MISMATCH, "%s: %sbudget is wrong", c->path, c->label);
    if (status != BP_OK && status != BP_LIMIT)
        return status;
    const double slip = sided ? BP_GLPK_GAP : SUM_TOLERANCE;
    const double found = best->objective, bound = best->certificate.lower_bound;
    bp_plan_free(best);
    if (c->certificate.lower_bound > found * (1.0 + SUM_TOLERANCE))
        return mismatch(c, "certificate.lower_bound",
                        bp_double_format(c->certificate.lower_bound, says),
                        bp_double_format(found, is), err);
    if (!c->certificate.optimal)
        return BP_OK;
    if (c->plan->objective > found * (1.0 + slip))
        return bp_fail(
            err, BP_ERR_MISMATCH,
            "%s: %scertificate.status is wrong: the plan says optimal at an error of %s, but "
            "%s is possible within its budget",
            c->path, c->label, bp_double_format(c->plan->objective, says),
            bp_double_format(found, is));
    /* A closed search has one bound, whoever ran it; GLPK's is its own. */
    const bool closed = status == BP_OK && strcmp(c->certificate.method, "mckp") == 0;
    if (closed ? c->certificate.lower_bound != bound : c->certificate.gap > BP_GLPK_GAP)
        return mismatch(c, "certificate.lower_bound",
                        bp_double_format(c->certificate.lower_bound, says),
                        bp_double_format(bound, is), err);
    c->report->n_optimal += status == BP_OK;
    return BP_OK;
}

/* --- comparing documents --- */

/* A value as it stands in a message; nodes that are not values get a word. */
static void describe(const struct cJSON *node, char text[BP_DOUBLE_TEXT + 64])
{
    double number;
    bool flag;
    if (!node)
        strcpy(text, "missing");
    else if (bp_json_double(node, &number))
        bp_double_format(number, text);
    else if (bp_json_string(node))
        snprintf(text, BP_DOUBLE_TEXT + 64, "\"%.80s\"", bp_json_string(node));
    else if (bp_json_bool(node, &flag))
        strcpy(text, flag ? "true" : "false");
    else
        strcpy(text, bp_json_is_null(node)     ? "null"
                     : bp_json_is_array(node)  ? "a list"
                     : bp_json_is_object(node) ? "an object"
                                               : "a number beyond the doubles");
}

static bool same_value(const struct cJSON *a, const struct cJSON *b)
{
    double x, y;
    bool f, g;
    if (bp_json_double(a, &x) && bp_json_double(b, &y))
        return x == y;
    if (bp_json_string(a) && bp_json_string(b))
        return strcmp(bp_json_string(a), bp_json_string(b)) == 0;
    if (bp_json_bool(a, &f) && bp_json_bool(b, &g))
        return f == g;
    return bp_json_is_null(a) && bp_json_is_null(b);
}

/* A member that no plan has is no figure that anybody checked. */
static enum bp_status check_unknown(const struct check *c, const struct cJSON *claim,
                                    const struct cJSON *truth, const char *where,
                                    struct bp_err *err)
{
    for (const struct cJSON *node = bp_json_first(claim); node; node = bp_json_next(node))
        /* "stability" tells of other tables than the plan's (stability.h). */
        if (!bp_json_member(truth, bp_json_key(node)) &&
            (*where || strcmp(bp_json_key(node), "stability") != 0))
            return bp_fail(err, BP_ERR_MISMATCH, "%s: %s%s%s%s is wrong: plans have no such figure",
                           c->path, c->label, where, *where ? "." : "",
                           bp_printable(bp_json_key(node)).text);
    return BP_OK;
}

/* Tables may be moved, and plans of before there was decomposing do not say how errors were made.
 */
static bool may_differ(const struct cJSON *claim, const char *where)
{
    return strcmp(where, "table.path") == 0 ||
           (!claim && (strcmp(where, "table.method") == 0 ||
                       strcmp(where, "table.weighting_fingerprint") == 0));
}

static enum bp_status compare(struct check *c, const struct cJSON *claim, const struct cJSON *truth,
                              const char *where, struct bp_err *err)
{
    if (may_differ(claim, where))
        return BP_OK;
    if (!claim && strcmp(where, "memory.low_rank_bits") == 0) /* see read_precision */
        return BP_OK;
    bool nested = bp_json_is_object(truth) || bp_json_is_array(truth);
    bool same_kind = bp_json_is_object(truth) == bp_json_is_object(claim) &&
                     bp_json_is_array(truth) == bp_json_is_array(claim);
    if (!claim || !same_kind || (!nested && !same_value(claim, truth)) ||
        (bp_json_is_array(truth) && bp_json_count(claim) != bp_json_count(truth))) {
        char says[BP_DOUBLE_TEXT + 64], is[BP_DOUBLE_TEXT + 64];
        describe(claim, says);
        describe(truth, is);
        if (nested && claim && same_kind) {
            snprintf(says, sizeof says, "%zu entries", bp_json_count(claim));
            snprintf(is, sizeof is, "%zu", bp_json_count(truth));
        }
        return mismatch(c, where, says, is, err);
    }
    c->report->n_figures += !nested;
    size_t i = 0;
    const struct cJSON *other = bp_json_first(claim);
    for (const struct cJSON *node = bp_json_first(truth); node; node = bp_json_next(node), i++) {
        const char *key = bp_json_key(node);
        char *place = !bp_json_is_object(truth) ? bp_format("%s[%zu]", where, i)
                      : *where                  ? bp_format("%s.%s", where, key)
                                                : bp_strdup(key);
        if (!place)
            return bp_fail_nomem(err);
        const struct cJSON *child = bp_json_is_object(truth) ? bp_json_member(claim, key) : other;
        enum bp_status status = compare(c, child, node, place, err);
        free(place);
        if (status != BP_OK)
            return status;
        other = bp_json_next(other);
    }
    return bp_json_is_object(truth) ? check_unknown(c, claim, truth, where, err) : BP_OK;
}

static enum bp_status compare_documents(struct check *c, struct bp_err *err)
{
    struct bp_json_out out;
    struct cJSON *truth = NULL;
    bp_plan_to_json(c->plan, &out);
    char *text = bp_json_print(&out, false);
    bp_json_out_done(&out);
    if (!text)
        return bp_fail_nomem(err);
    enum bp_status status =
        bp_json_read_text(text, strlen(text), "the recomputed plan", &truth, err);
    free(text);
    if (status == BP_OK)
        status = compare(c, c->claim, truth, "", err);
    bp_json_free(truth);
    return status;
}

/* The table's storage is Eq. 3's. */
static enum bp_status check_storage(const struct check *c, struct bp_err *err)
{
    const struct bp_table *t = c->table;
    for (size_t i = 0; i < t->n_matrices; i++) {
        const struct bp_candidate *candidate = &t->candidates[c->choice[i]];
        uint64_t bits, stored = t->storage[i * t->n_candidates + c->choice[i]];
        if (candidate->foreign)
            continue;
        if (!bp_config_storage(&candidate->config, t->matrices[i].d * t->matrices[i].k, &bits) ||
            bits != stored)
            return bp_fail(
                err, BP_ERR_MISMATCH,
                "%s: %smatrices[%zu].storage_bits is wrong: the table says %s, Eq. 3 gives %s",
                c->path, c->label, i, bp_grouped(stored).text, bp_grouped(bits).text);
    }
    return BP_OK;
}

/* --- the model --- */

/* The tensor behind a matrix: its own name, or that of the stack it is one expert of. */
static enum bp_status find_tensor(const struct bp_model *model, const char *name,
                                  const struct bp_st_tensor **out, struct bp_err *err)
{
    const char *bracket = strrchr(name, '[');
    const struct bp_st *st;
    *out = bp_model_find(model, name, &st);
    if (*out || !bracket)
        return BP_OK;
    char *stack = bp_strndup(name, (size_t)(bracket - name));
    if (!stack)
        return bp_fail_nomem(err);
    *out = bp_model_find(model, stack, &st);
    free(stack);
    return BP_OK;
}

static enum bp_status compare_model(const struct check *c, const struct bp_model *model,
                                    struct bp_err *err)
{
    const struct bp_table *t = c->table;
    if (strcmp(t->about.model_fingerprint, model->fingerprint) != 0)
        return mismatch(c, "model.fingerprint", t->about.model_fingerprint, model->fingerprint,
                        err);
    for (size_t i = 0; i < t->n_matrices; i++) {
        const struct bp_table_matrix *m = &t->matrices[i];
        const struct bp_st_tensor *tensor;
        char where[64];
        BP_TRY(find_tensor(model, m->name, &tensor, err));
        snprintf(where, sizeof where, "matrices[%zu]", i);
        if (!tensor)
            return mismatch(c, where, m->name, "no tensor of the model", err);
        if (tensor->n_dims < 2 || tensor->shape[tensor->n_dims - 2] != m->d ||
            tensor->shape[tensor->n_dims - 1] != m->k)
            return mismatch(c, where, "another shape", "the model's", err);
    }
    uint64_t outside = model->params - c->plan->params;
    if (t->about.params != model->params || t->about.params_outside != outside)
        return mismatch(c, "model.params_outside", bp_grouped(t->about.params_outside).text,
                        bp_grouped(outside).text, err);
    return BP_OK;
}

/* The errors of the chosen cells, from the weights themselves. */
static enum bp_status remeasure(struct check *c, const struct bp_model *model,
                                const struct bp_model *fisher, struct bp_err *err)
{
    const struct bp_table *t = c->table;
    double *error = bp_alloc(t->n_matrices, sizeof *error);
    if (!error)
        return bp_fail_nomem(err);
    enum bp_status status =
        bp_measure_again(t, model, fisher, c->choice, c->options->threads, error, err);
    for (size_t i = 0; status == BP_OK && i < t->n_matrices; i++) {
        double stated = t->error[i * t->n_candidates + c->choice[i]];
        char where[64], says[BP_DOUBLE_TEXT], is[BP_DOUBLE_TEXT];
        snprintf(where, sizeof where, "matrices[%zu].error", i);
        const bool estimate = bp_table_stage(t, i, c->choice[i]) == BP_CELL_ESTIMATED;
        const double most = estimate ? BP_ESTIMATE_FACTOR : 1.0;
        if (!(stated <= most * error[i] && error[i] <= most * stated))
            status = mismatch(c, where, bp_double_format(stated, says),
                              bp_double_format(error[i], is), err);
        else
            c->report->n_remeasured++;
        c->report->n_estimates += estimate;
        if (estimate && error[i] > 0.0)
            c->report->worst_estimate =
                fmax(c->report->worst_estimate, fabs(stated / error[i] - 1.0));
    }
    free(error);
    return status;
}

static enum bp_status check_model(struct check *c, struct bp_err *err)
{
    const struct bp_verify_options *o = c->options;
    struct bp_model *model, *fisher = NULL;
    if (!o->model_path)
        return BP_OK;
    BP_TRY(bp_model_open(o->model_path, o->filter, &model, err));
    enum bp_status status = compare_model(c, model, err);
    c->report->model_checked = status == BP_OK;
    if (status == BP_OK && o->remeasure && o->fisher_path)
        status = bp_model_open(o->fisher_path, NULL, &fisher, err);
    if (status == BP_OK && o->remeasure)
        status = remeasure(c, model, fisher, err);
    bp_model_close(model);
    bp_model_close(fisher);
    return status;
}

static enum bp_status check_plan(struct check *c, struct bp_err *err)
{
    BP_TRY(check_format(c, err));
    BP_TRY(open_table(c, c->options->table_path, err));
    BP_TRY(take_measured_part(c, err));
    BP_TRY(read_budget(c, err));
    BP_TRY(read_choice(c, err));
    BP_TRY(open_planner(c, err));
    BP_TRY(read_certificate(c, err));
    BP_TRY(check_constraints(c, err));
    BP_TRY(bp_planner_assemble(c->planner, &c->budget, c->choice, &c->certificate, &c->plan, err));
    c->report->n_matrices += c->table->n_matrices;
    if (bp_plan_spent_bits(c->plan) > c->budget.bits)
        return bp_fail(err, BP_ERR_MISMATCH, "%s: %sthe plan takes %s bits, over its budget of %s",
                       c->path, c->label, bp_grouped(bp_plan_spent_bits(c->plan)).text,
                       bp_grouped(c->budget.bits).text);
    BP_TRY(compare_documents(c, err));
    BP_TRY(check_storage(c, err));
    BP_TRY(check_certificate(c, err));
    BP_TRY(check_model(c, err));
    c->report->n_plans++;
    c->report->synthetic |= c->table->about.synthetic;
    return BP_OK;
}

enum bp_status bp_verify_plan(const struct bp_verify_options *options,
                              struct bp_verify_report *report, struct bp_err *err)
{
    const char *plan_path = options->plan_path;
    struct cJSON *root;
    *report = (struct bp_verify_report){0};
    BP_TRY(bp_json_read_file(plan_path, &root, err));
    const bool list = bp_json_is_array(root);
    const struct cJSON *node = list ? bp_json_first(root) : root;
    enum bp_status status =
        node ? BP_OK : bp_fail(err, BP_ERR_INPUT, "%s: a list without a plan", plan_path);
    for (size_t i = 0; node && status == BP_OK; i++, node = list ? bp_json_next(node) : NULL) {
        char label[32] = "";
        if (list)
            snprintf(label, sizeof label, "[%zu].", i);
        struct check c = {
            .options = options, .path = plan_path, .label = label, .claim = node, .report = report};
        status = check_plan(&c, err);
        bp_plan_free(c.plan);
        bp_planner_free(c.planner);
        bp_table_close(c.table);
        free(c.choice);
    }
    bp_json_free(root);
    return status;
}
