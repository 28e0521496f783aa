#include "engine/planner.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/low_rank.h"
#include "engine/mem.h"
#include "engine/planner_problem.h"
#include "engine/printable.h"
#include "solver/glpk.h"
#include "solver/mckp.h"
#include "solver/sided.h"

/* Steps of search after which a solve returns what it has: some tens of seconds, far beyond what
 * tables of models have been seen to need. */
static const uint64_t MAX_WORK = UINT64_C(20000000000);
static const unsigned GLPK_LIMIT_MS = 60000;
static const double SIDED_SECONDS = 60.0;

/* The most that a proof's own rounding may leave between plan and bound. The solver counts in 60
 * bits from the largest error down, and usually leaves 1e-14; where a table's errors lie 10^9 apart
 * and more (somebody's "never" written as 1e30), small ones drown, and the plan is only bounded. */
static const double PROOF_GAP = 1e-9;

/* One candidate for every matrix, summed once: no budget changes it. */
struct uniform {
    uint64_t bits, storage_bits; /* of a budget, and of storage alone */
    double error, objective;     /* NaN where a matrix is not measured or may not take it */
};

struct bp_planner {
    const struct bp_table *table;
    char *table_fingerprint;
    struct bp_constraints constraints;
    struct bp_problem problem;
    struct uniform *uniform; /* [n_candidates] */
    bool complete;           /* every cell of the table is measured */
    uint64_t params;
    struct bp_mckp *mckp;
    uint32_t *choice; /* [n_matrices] scratch */
};

/* --- setting up --- */

bool bp_planner_allows(const struct bp_planner *p, size_t i, size_t j)
{
    return bp_problem_allows(&p->problem, i, j);
}

bool bp_planner_sided(const struct bp_planner *p)
{
    return bp_problem_is_sided(&p->problem);
}

enum bp_status bp_planner_check_sided(const struct bp_planner *p, const uint32_t *choice,
                                      struct bp_err *err)
{
    return bp_problem_check_sided(&p->problem, choice, err);
}

size_t bp_planner_group(const struct bp_planner *p, size_t i)
{
    return p->problem.group ? p->problem.group[i] : i;
}

/* Row by row, as the table lies in memory. */
static enum bp_status sum_uniform(struct bp_planner *p, struct bp_err *err)
{
    const struct bp_table *t = p->table;
    p->uniform = bp_alloc_zero(t->n_candidates, sizeof *p->uniform);
    if (!p->uniform)
        return bp_fail_nomem(err);
    for (size_t i = 0; i < t->n_matrices; i++)
        for (size_t j = 0; j < t->n_candidates; j++) {
            size_t cell = i * t->n_candidates + j;
            const bool allowed = bp_problem_allows(&p->problem, i, j);
            p->uniform[j].bits += bp_problem_weight(&p->problem, i, j);
            p->uniform[j].storage_bits += t->storage[cell];
            p->uniform[j].error += allowed ? t->error[cell] : NAN;
            p->uniform[j].objective += allowed ? bp_problem_cost(&p->problem, i, j) : NAN;
        }
    for (size_t j = 0; j < t->n_candidates; j++)
        if (!bp_problem_uniform_fits(&p->problem, j))
            p->uniform[j].objective = NAN;
    p->complete = bp_table_measured(t) == (uint64_t)t->n_matrices * t->n_candidates;
    return BP_OK;
}

static enum bp_status build_solver(struct bp_planner *p, struct bp_err *err)
{
    struct bp_problem_arrays arrays;
    enum bp_status status = bp_problem_lay(&p->problem, &arrays, err);
    if (status == BP_OK) {
        status = bp_mckp_new(&arrays.mckp, &p->mckp, NULL);
        if (status != BP_OK)
            bp_fail(err, status, "%s: cannot be planned: %s", p->table->path,
                    status == BP_ERR_NOMEM ? "out of memory" : "its numbers are out of range");
    }
    bp_problem_arrays_done(&arrays);
    return status;
}

static enum bp_status set_up(struct bp_planner *p, const struct bp_constraints *constraints,
                             unsigned counted, struct bp_err *err)
{
    BP_TRY(bp_constraints_copy(constraints, &p->constraints, err));
    BP_TRY(bp_problem_init(&p->problem, p->table, &p->constraints, counted, err));
    BP_TRY(sum_uniform(p, err));
    p->params = bp_table_params(p->table);
    p->table_fingerprint = bp_table_fingerprint(p->table);
    p->choice = bp_alloc(p->table->n_matrices, sizeof *p->choice);
    if (!p->table_fingerprint || !p->choice)
        return bp_fail_nomem(err);
    return build_solver(p, err);
}

enum bp_status bp_planner_new(const struct bp_table *table,
                              const struct bp_constraints *constraints, struct bp_planner **out,
                              struct bp_err *err)
{
    return bp_planner_new_counting(table, constraints, 0, out, err);
}

enum bp_status bp_planner_new_counting(const struct bp_table *table,
                                       const struct bp_constraints *constraints, unsigned counted,
                                       struct bp_planner **out, struct bp_err *err)
{
    *out = NULL;
    struct bp_planner *p = calloc(1, sizeof *p);
    if (!p)
        return bp_fail_nomem(err);
    p->table = table;
    enum bp_status status = set_up(p, constraints, counted, err);
    if (status != BP_OK) {
        bp_planner_free(p);
        return status;
    }
    *out = p;
    return BP_OK;
}

struct bp_planner *bp_planner_free(struct bp_planner *p)
{
    if (p) {
        bp_mckp_free(p->mckp);
        free(p->table_fingerprint);
        bp_constraints_done(&p->constraints);
        bp_problem_done(&p->problem);
        free(p->uniform);
        free(p->choice);
        free(p);
    }
    return NULL;
}

unsigned bp_planner_counted(const struct bp_planner *p)
{
    return p->problem.counted;
}

const struct bp_constraints *bp_planner_constraints(const struct bp_planner *p)
{
    return &p->constraints;
}

void bp_planner_range(const struct bp_planner *p, uint64_t *least, uint64_t *most)
{
    *least = bp_mckp_min_weight(p->mckp);
    *most = bp_mckp_max_weight(p->mckp);
}

/* --- assembling --- */

static void sum_totals(struct bp_plan *plan)
{
    const struct bp_table *t = plan->table;
    const unsigned precision = bp_budget_precision(&plan->budget);
    double norms = t->norm ? 0.0 : NAN;
    for (size_t i = 0; i < t->n_matrices; i++) {
        const struct bp_table_matrix *m = &t->matrices[i];
        const struct bp_candidate *c = &t->candidates[plan->choice[i]];
        size_t cell = i * t->n_candidates + plan->choice[i];
        plan->params += m->d * m->k;
        plan->storage_bits += t->storage[cell];
        plan->low_rank_params += bp_low_rank_params(m->d, m->k, c->rank);
        plan->low_rank_bits += bp_low_rank_bits(m->d, m->k, c->rank, precision);
        plan->low_rank_bytes += bp_low_rank_bytes(m->d, m->k, c->rank, precision);
        plan->error += t->error[cell];
        norms += t->norm ? t->norm[i] : 0.0;
    }
    plan->relative_error = norms > 0.0 ? plan->error / norms : NAN;
}

static const uint32_t NO_CANDIDATE = UINT32_MAX;

/* The one candidate for all matrices that has the least objective within the budget, if any fits.
 * Only what every matrix may take counts. */
static uint32_t best_uniform(const struct bp_planner *p, uint64_t bits)
{
    uint32_t best = NO_CANDIDATE;
    for (uint32_t j = 0; j < p->table->n_candidates; j++) {
        const struct uniform *u = &p->uniform[j];
        if (u->bits > bits || !isfinite(u->objective))
            continue;
        const struct uniform *b = best == NO_CANDIDATE ? NULL : &p->uniform[best];
        if (!b || u->objective < b->objective ||
            (u->objective == b->objective && u->bits < b->bits))
            best = j;
    }
    return best;
}

static void add_best_uniform(struct bp_plan *plan, const struct bp_planner *p)
{
    const uint32_t j = best_uniform(p, plan->budget.bits);
    if (j != NO_CANDIDATE)
        plan->baselines[plan->n_baselines++] =
            (struct bp_baseline){"best uniform", p->table->candidates[j],
                                 p->uniform[j].storage_bits, p->uniform[j].error};
}

/* QLoRA's uniform NF4 and NF3 without a low-rank part, whether they fit or not. */
static void add_qlora(struct bp_plan *plan)
{
    static const char *const names[BP_N_BASELINES] = {"nf4", "nf3"};
    const struct bp_config *configs[BP_N_BASELINES] = {&bp_config_nf4, &bp_config_nf3};
    const struct bp_table *t = plan->table;
    for (int b = 0; b < BP_N_BASELINES; b++) {
        struct bp_baseline base = {.name = names[b], .candidate = {.config = *configs[b]}};
        base.error = t->baseline_error ? 0.0 : NAN;
        for (size_t i = 0; i < t->n_matrices; i++) {
            uint64_t bits = 0;
            bp_config_storage(configs[b], t->matrices[i].d * t->matrices[i].k, &bits);
            base.storage_bits += bits;
            base.error += t->baseline_error ? t->baseline_error[i * BP_N_BASELINES + b] : 0.0;
        }
        plan->baselines[plan->n_baselines++] = base;
    }
}

static enum bp_status check_choice(const struct bp_planner *p, const uint32_t *choice,
                                   struct bp_err *err)
{
    const struct bp_table *t = p->table;
    for (size_t i = 0; i < t->n_matrices; i++) {
        char text[BP_CANDIDATE_TEXT];
        if (isnan(t->error[i * t->n_candidates + choice[i]]))
            return bp_fail(err, BP_ERR_INPUT, "%s: matrix %s: candidate %s is not measured",
                           t->path, bp_printable(t->matrices[i].name).text,
                           bp_candidate_format(&t->candidates[choice[i]], text));
    }
    return BP_OK;
}

enum bp_status bp_planner_assemble(const struct bp_planner *p, const struct bp_budget *budget,
                                   const uint32_t *choice, const struct bp_certificate *certificate,
                                   struct bp_plan **out, struct bp_err *err)
{
    *out = NULL;
    BP_TRY(check_choice(p, choice, err));
    struct bp_plan *plan = calloc(1, sizeof *plan);
    if (!plan)
        return bp_fail_nomem(err);
    plan->table = p->table;
    plan->budget = *budget;
    plan->certificate = *certificate;
    plan->table_fingerprint = bp_strdup(p->table_fingerprint);
    plan->choice = bp_alloc(p->table->n_matrices, sizeof *plan->choice);
    enum bp_status status = bp_constraints_copy(&p->constraints, &plan->constraints, err);
    if (!plan->table_fingerprint || !plan->choice)
        status = bp_fail_nomem(err);
    if (status == BP_OK) {
        memcpy(plan->choice, choice, p->table->n_matrices * sizeof *choice);
        sum_totals(plan);
        plan->objective = bp_problem_objective(&p->problem, choice);
        add_best_uniform(plan, p);
        add_qlora(plan);
        status = bp_plan_apply_rules(plan, p->complete, err);
    }
    if (status != BP_OK) {
        bp_plan_free(plan);
        return status;
    }
    *out = plan;
    return BP_OK;
}

/* --- solving --- */

/* a / b in millionths, rounded up in integers, so that what is read is enough when typed. */
static uint64_t millionths_up(uint64_t a, uint64_t b)
{
    __extension__ typedef unsigned __int128 u128;
    return (uint64_t)(((u128)a * 1000000 + b - 1) / b);
}

/* "; without --grid 'b0=3,4' it would be 2.032300 bits/param", or nothing. */
static void name_dearest(const struct bp_planner *p, const struct bp_budget *budget, uint64_t least,
                         char text[600])
{
    uint64_t bits;
    const size_t k = bp_problem_dearest(p->table, &p->constraints, p->problem.counted, &bits);
    text[0] = '\0';
    if (k == SIZE_MAX || bits >= least)
        return;
    const struct bp_constraint *c = &p->constraints.list[k];
    const uint64_t bpp = millionths_up(bits, p->params);
    const int n = snprintf(text, 600, "; without %s '%s' it would be ",
                           bp_constraint_option(c->kind), bp_printable(c->value).text);
    if (budget->unit == BP_BUDGET_TOTAL_BYTES)
        snprintf(text + n, 600 - (size_t)n, "%" PRIu64 " %s", bp_budget_total_for(budget, bits),
                 bp_budget_unit_name(budget->unit));
    else
        snprintf(text + n, 600 - (size_t)n, "%" PRIu64 ".%06" PRIu64 " bits/param", bpp / 1000000,
                 bpp % 1000000);
}

static enum bp_status too_small(const struct bp_planner *p, const struct bp_budget *budget,
                                struct bp_err *err)
{
    uint64_t least, most;
    bp_planner_range(p, &least, &most);
    const uint64_t least_bpp = millionths_up(least, p->params);
    char dearest[600];
    name_dearest(p, budget, least, dearest);
    if (budget->unit == BP_BUDGET_TOTAL_BYTES)
        return bp_fail(err, BP_INFEASIBLE,
                       "%s: a budget of %.10g %s leaves the planned matrices%s %s bits, below the "
                       "least possible: %s bits, for which it takes %" PRIu64 " %s%s",
                       p->table->path, budget->asked, bp_budget_unit_name(budget->unit),
                       budget->counts_low_rank ? " with their low-rank parts" : "",
                       bp_grouped(budget->bits).text, bp_grouped(least).text,
                       bp_budget_total_for(budget, least), bp_budget_unit_name(budget->unit),
                       dearest);
    return bp_fail(err, BP_INFEASIBLE,
                   "%s: a budget of %.10g %s (%s bits) is below the least possible: %" PRIu64
                   ".%06" PRIu64 " bits/param, %s bytes (%s bits)%s",
                   p->table->path, budget->asked, bp_budget_unit_name(budget->unit),
                   bp_grouped(budget->bits).text, least_bpp / 1000000, least_bpp % 1000000,
                   bp_grouped((least + 7) / 8).text, bp_grouped(least).text, dearest);
}

static enum bp_status gave_up(const struct bp_planner *p, enum bp_status status, struct bp_err *err)
{
    return bp_fail(err, status, "%s: the solver gave up: %s", p->table->path,
                   status == BP_ERR_NOMEM ? "out of memory" : "no answer that holds");
}

static enum bp_status run_solver(struct bp_planner *p, uint64_t bits, enum bp_solver solver,
                                 const struct bp_planner_limits *limits,
                                 struct bp_mckp_result *result, struct bp_err *err)
{
    enum bp_status status;
    if (solver == BP_SOLVER_GLPK) {
        struct bp_problem_arrays arrays;
        status = bp_problem_lay(&p->problem, &arrays, err);
        if (status == BP_OK)
            status = bp_glpk_solve(&arrays.mckp, bits, GLPK_LIMIT_MS, result, p->choice);
        bp_problem_arrays_done(&arrays);
    } else {
        const struct bp_mckp_limits inner = {
            .max_work = limits && limits->max_work ? limits->max_work : MAX_WORK,
            .stop = limits ? limits->stop : NULL};
        status = bp_mckp_solve(p->mckp, bits, &inner, result, p->choice);
    }
    return status < BP_OK ? gave_up(p, status, err) : status;
}

/* The same under conditions beside the budget. */
static enum bp_status run_sided(struct bp_planner *p, uint64_t bits, enum bp_solver solver,
                                const struct bp_planner_limits *limits,
                                struct bp_mckp_result *result, struct bp_err *err)
{
    struct bp_sided_limits inner = {.by_glpk = solver == BP_SOLVER_GLPK,
                                    .max_seconds = SIDED_SECONDS};
    struct bp_problem_sided problem;
    struct bp_sided_result sided;
    if (limits) {
        inner.max_work = limits->max_work;
        inner.max_seconds = limits->max_seconds > 0.0 ? limits->max_seconds : SIDED_SECONDS;
        inner.stop = limits->stop;
        inner.progress = limits->progress;
        inner.progress_arg = limits->progress_arg;
    }
    enum bp_status status = bp_problem_lay_sided(&p->problem, bits, &problem, err);
    const bool laid = status == BP_OK;
    if (laid)
        status = bp_sided_solve(&problem.sided, p->mckp, &inner, &sided, p->choice);
    bp_problem_sided_done(&problem);
    if (status == BP_STOPPED)
        return bp_fail(err, BP_STOPPED,
                       "%s: no plan was found in time, nor that there is none: allow more time or "
                       "a larger budget",
                       p->table->path);
    if (laid && status < BP_OK)
        return gave_up(p, status, err);
    if (status == BP_OK || status == BP_LIMIT)
        *result = (struct bp_mckp_result){.cost = sided.cost,
                                          .lower_bound = sided.lower_bound,
                                          .weight = sided.weight,
                                          .shadow_price = sided.shadow_price};
    return status;
}

static double gap_of(double objective, double lower_bound)
{
    return objective > 0.0 ? (objective - lower_bound) / objective : 0.0;
}

/* What a solve found; the choice itself stands in p->choice. */
struct found {
    uint64_t bits;
    double objective, lower_bound, shadow_price;
};

/* Where errors lie too far apart for a solver's numbers, or its work ran out, its choice may be
 * worse than the best uniform one, which is known anyway: then that one is taken. */
static void fall_back_to_uniform(struct bp_planner *p, uint64_t bits, struct found *f)
{
    const uint32_t j = best_uniform(p, bits);
    if (j == NO_CANDIDATE || f->objective <= p->uniform[j].objective)
        return;
    for (size_t i = 0; i < p->table->n_matrices; i++)
        p->choice[i] = j;
    f->bits = p->uniform[j].bits;
    f->objective = p->uniform[j].objective;
}

/* Puts the best choice found within `bits` into p->choice, `sided`: under the conditions beside the
 * budget. BP_INFEASIBLE: the text is the caller's. */
static enum bp_status find(struct bp_planner *p, uint64_t bits, enum bp_solver solver, bool sided,
                           const struct bp_planner_limits *limits, struct found *f,
                           struct bp_err *err)
{
    struct bp_mckp_result result;
    enum bp_status status = sided ? run_sided(p, bits, solver, limits, &result, err)
                                  : run_solver(p, bits, solver, limits, &result, err);
    if (status != BP_OK && status != BP_LIMIT)
        return status;
    bp_problem_spread(&p->problem, p->choice);
    /* Summed over matrices as plans are; the solver's sum goes over classes. */
    f->objective = bp_problem_objective(&p->problem, p->choice);
    f->bits = result.weight;
    f->shadow_price = solver == BP_SOLVER_GLPK ? 0.0 : result.shadow_price;
    if (gap_of(f->objective, result.lower_bound) >
        (solver == BP_SOLVER_GLPK || sided ? BP_GLPK_GAP : PROOF_GAP))
        status = BP_LIMIT;
    if (sided || !bp_problem_is_sided(&p->problem))
        fall_back_to_uniform(p, bits, f);
    f->lower_bound = fmin(result.lower_bound, f->objective);
    return status;
}

enum bp_status bp_planner_solve(struct bp_planner *p, const struct bp_budget *budget,
                                enum bp_solver solver, const struct bp_planner_limits *limits,
                                struct bp_plan **out, struct bp_err *err)
{
    *out = NULL;
    assert(bp_budget_counted(budget) == p->problem.counted);
    struct found f;
    const bool sided = bp_problem_is_sided(&p->problem);
    enum bp_status solved = find(p, budget->bits, solver, sided, limits, &f, err);
    if (solved == BP_INFEASIBLE)
        return sided && budget->bits >= bp_mckp_min_weight(p->mckp)
                   ? bp_problem_explain_sided(&p->problem, budget->bits, err)
                   : too_small(p, budget, err);
    if (solved != BP_OK && solved != BP_LIMIT)
        return solved;
    const struct bp_certificate certificate = {
        .optimal = solved == BP_OK,
        .lower_bound = f.lower_bound,
        .gap = gap_of(f.objective, f.lower_bound),
        .method = solver == BP_SOLVER_GLPK ? "glpk"
                  : sided                  ? "sided"
                                           : "mckp",
    };
    BP_TRY(bp_planner_assemble(p, budget, p->choice, &certificate, out, err));
    (*out)->shadow_price = f.shadow_price;
    /* No input can bring about anything else. */
    assert(bp_plan_spent_bits(*out) <= budget->bits && bp_plan_spent_bits(*out) == f.bits);
    assert((*out)->objective == f.objective);
    return solved;
}

enum bp_status bp_planner_point(struct bp_planner *p, uint64_t bits,
                                const struct bp_planner_limits *limits,
                                struct bp_frontier_point *out, struct bp_err *err)
{
    struct found f;
    enum bp_status status = find(p, bits, BP_SOLVER_MCKP, false, limits, &f, err);
    if (status == BP_INFEASIBLE) {
        const struct bp_budget budget = {
            .unit = BP_BUDGET_BYTES, .asked = (double)bits / 8.0, .bits = bits};
        return too_small(p, &budget, err);
    }
    if (status == BP_OK || status == BP_LIMIT)
        *out = (struct bp_frontier_point){bits, f.bits, f.objective, f.lower_bound};
    return status;
}

/* --- what else could be --- */

uint64_t bp_planner_bits(const struct bp_planner *p, size_t i, size_t j)
{
    return bp_problem_weight(&p->problem, i, j);
}

double bp_planner_uniform(const struct bp_planner *p, size_t j, uint64_t *bits)
{
    *bits = p->uniform[j].bits;
    return p->uniform[j].objective;
}

void bp_planner_prices(const struct bp_planner *p, size_t i, uint32_t j, double shadow,
                       struct bp_matrix_prices *out)
{
    const struct bp_table *t = p->table;
    const uint64_t weight = bp_problem_weight(&p->problem, i, j);
    const double cost = bp_problem_cost(&p->problem, i, j);
    double least = INFINITY; /* of the runner-up: cost + shadow * bits above the choice's */
    *out = (struct bp_matrix_prices){.flip_price = NAN};
    for (uint32_t k = 0; k < t->n_candidates; k++) {
        if (k == j || !bp_problem_allows(&p->problem, i, k))
            continue;
        const double more =
            (double)((int64_t)bp_problem_weight(&p->problem, i, k) - (int64_t)weight);
        const double saved = cost - bp_problem_cost(&p->problem, i, k);
        const double price = saved / more; /* NaN or infinite without bits more or less */
        if (isnan(saved))
            continue;
        if (more > 0.0 && saved > 0.0 && (!out->has_up || price > out->up_price)) {
            out->has_up = true;
            out->up = k;
            out->up_price = price;
        }
        if (more < 0.0 && (!out->has_down || price < out->down_price)) {
            out->has_down = true;
            out->down = k;
            out->down_price = price;
        }
        if (!out->has_runner_up || shadow * more - saved < least) {
            out->has_runner_up = true;
            out->runner_up = k;
            out->flip_price = more != 0.0 ? price : NAN;
            least = shadow * more - saved;
        }
    }
}
