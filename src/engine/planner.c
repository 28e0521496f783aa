#include "engine/planner.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/mem.h"
#include "engine/printable.h"
#include "solver/glpk.h"
#include "solver/mckp.h"

/* Steps of search after which a solve returns what it has: some tens of seconds, far beyond what
 * tables of models have been seen to need. */
static const uint64_t MAX_WORK = UINT64_C(20000000000);
static const unsigned GLPK_LIMIT_MS = 60000;

/* The most that a proof's own rounding may leave between plan and bound. The solver counts in 60
 * bits from the largest error down, and usually leaves 1e-14; where a table's errors lie 10^9 apart
 * and more (somebody's "never" written as 1e30), small ones drown, and the plan is only bounded. */
static const double PROOF_GAP = 1e-9;

/* One candidate for every matrix, summed once: no budget changes it. */
struct uniform {
    uint64_t bits;
    double error; /* NaN where a matrix is not measured or may not take it */
};

struct bp_planner {
    const struct bp_table *table;
    char *table_fingerprint;
    struct bp_constraints constraints;
    uint8_t *use; /* [n_matrices * n_candidates] 0 = a constraint forbids it; NULL = none does */
    struct uniform *uniform; /* [n_candidates] */
    bool complete;           /* every cell of the table is measured */
    uint64_t params;
    struct bp_mckp *mckp;
    uint32_t *choice; /* [n_matrices] scratch */
};

/* --- setting up --- */

static enum bp_status apply_constraints(struct bp_planner *p,
                                        const struct bp_constraints *constraints,
                                        struct bp_err *err)
{
    if (!constraints || constraints->n == 0)
        return BP_OK;
    BP_TRY(bp_constraints_copy(constraints, &p->constraints, err));
    p->use = bp_alloc(p->table->n_matrices * p->table->n_candidates, 1);
    if (!p->use)
        return bp_fail_nomem(err);
    return bp_constraints_apply(constraints, p->table, p->use, err);
}

bool bp_planner_allows(const struct bp_planner *p, size_t i, size_t j)
{
    return !p->use || p->use[i * p->table->n_candidates + j];
}

/* Every matrix needs a measured candidate; says how many lack one. */
static enum bp_status check_measured(const struct bp_planner *p, struct bp_err *err)
{
    const struct bp_table *t = p->table;
    size_t missing = 0, first = 0;
    for (size_t i = t->n_matrices; i-- > 0;) {
        bool any = false;
        for (size_t j = 0; j < t->n_candidates && !any; j++)
            any = bp_planner_allows(p, i, j) && !isnan(t->error[i * t->n_candidates + j]);
        if (!any) {
            missing++;
            first = i;
        }
    }
    return missing == 0 ? BP_OK
                        : bp_fail(err, BP_ERR_INPUT,
                                  "%s: %zu of %zu matrices are not measured yet (first %s); run "
                                  "`bitplan measure` again to finish the table",
                                  t->path, missing, t->n_matrices,
                                  bp_printable(t->matrices[first].name).text);
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
            p->uniform[j].bits += t->storage[cell];
            p->uniform[j].error += bp_planner_allows(p, i, j) ? t->error[cell] : NAN;
        }
    p->complete = bp_table_measured(t) == (uint64_t)t->n_matrices * t->n_candidates;
    return BP_OK;
}

static struct bp_mckp_problem problem_of(const struct bp_planner *p)
{
    const struct bp_table *t = p->table;
    return (struct bp_mckp_problem){t->n_matrices, t->n_candidates, t->storage, t->error, p->use};
}

static enum bp_status set_up(struct bp_planner *p, const struct bp_constraints *constraints,
                             struct bp_err *err)
{
    BP_TRY(apply_constraints(p, constraints, err));
    BP_TRY(check_measured(p, err));
    BP_TRY(sum_uniform(p, err));
    p->params = bp_table_params(p->table);
    p->table_fingerprint = bp_table_fingerprint(p->table);
    p->choice = bp_alloc(p->table->n_matrices, sizeof *p->choice);
    if (!p->table_fingerprint || !p->choice)
        return bp_fail_nomem(err);
    struct bp_mckp_problem problem = problem_of(p);
    enum bp_status status = bp_mckp_new(&problem, &p->mckp, NULL);
    return status == BP_OK
               ? BP_OK
               : bp_fail(err, status, "%s: cannot be planned: %s", p->table->path,
                         status == BP_ERR_NOMEM ? "out of memory" : "its numbers are out of range");
}

enum bp_status bp_planner_new(const struct bp_table *table,
                              const struct bp_constraints *constraints, struct bp_planner **out,
                              struct bp_err *err)
{
    *out = NULL;
    struct bp_planner *p = calloc(1, sizeof *p);
    if (!p)
        return bp_fail_nomem(err);
    p->table = table;
    enum bp_status status = set_up(p, constraints, err);
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
        free(p->use);
        free(p->uniform);
        free(p->choice);
        free(p);
    }
    return NULL;
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
    double norms = t->norm ? 0.0 : NAN;
    for (size_t i = 0; i < t->n_matrices; i++) {
        const struct bp_table_matrix *m = &t->matrices[i];
        const struct bp_candidate *c = &t->candidates[plan->choice[i]];
        size_t cell = i * t->n_candidates + plan->choice[i];
        uint64_t side = m->d < m->k ? m->d : m->k;
        uint64_t rank = c->rank < side ? c->rank : side;
        plan->params += m->d * m->k;
        plan->storage_bits += t->storage[cell];
        plan->low_rank_params += rank * (m->d + m->k);
        plan->error += t->error[cell];
        norms += t->norm ? t->norm[i] : 0.0;
    }
    plan->relative_error = norms > 0.0 ? plan->error / norms : NAN;
}

/* The one candidate for all matrices that has the least error within the budget, if any fits. Only
 * what every matrix may take counts. */
static void add_best_uniform(struct bp_plan *plan, const struct bp_planner *p)
{
    const struct bp_table *t = plan->table;
    struct bp_baseline best = {.name = "best uniform", .error = INFINITY};
    for (size_t j = 0; j < t->n_candidates; j++) {
        const struct uniform *u = &p->uniform[j];
        bool better =
            u->error < best.error || (u->error == best.error && u->bits < best.storage_bits);
        if (u->bits <= plan->budget.bits && better) { /* NaN is never better */
            best.candidate = t->candidates[j];
            best.storage_bits = u->bits;
            best.error = u->error;
        }
    }
    if (isfinite(best.error))
        plan->baselines[plan->n_baselines++] = best;
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

static enum bp_status warn_unmeasured(struct bp_plan *plan, struct bp_err *err)
{
    const struct bp_table *t = plan->table;
    for (size_t i = 0; i < t->n_matrices; i++) {
        size_t measured = bp_table_measured_in_row(t, i);
        if (measured == t->n_candidates)
            continue;
        struct bp_warning *grown =
            bp_grow(plan->warnings, plan->n_warnings + 1, sizeof *plan->warnings);
        if (!grown)
            return bp_fail_nomem(err);
        plan->warnings = grown;
        struct bp_warning *w = &plan->warnings[plan->n_warnings++];
        w->rule = "unmeasured";
        w->matrix = bp_strdup(t->matrices[i].name);
        w->text = bp_format("%zu of %zu candidates are not measured and took no part",
                            t->n_candidates - measured, t->n_candidates);
        if (!w->matrix || !w->text)
            return bp_fail_nomem(err);
    }
    return BP_OK;
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
        add_best_uniform(plan, p);
        add_qlora(plan);
        status = p->complete ? BP_OK : warn_unmeasured(plan, err);
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

static enum bp_status too_small(const struct bp_planner *p, const struct bp_budget *budget,
                                struct bp_err *err)
{
    uint64_t least, most;
    bp_planner_range(p, &least, &most);
    const uint64_t least_bpp = millionths_up(least, p->params);
    return bp_fail(err, BP_INFEASIBLE,
                   "%s: a budget of %.10g %s (%s bits) is below the least possible: %" PRIu64
                   ".%06" PRIu64 " bits/param, %s bytes (%s bits)",
                   p->table->path, budget->asked, bp_budget_unit_name(budget->unit),
                   bp_grouped(budget->bits).text, least_bpp / 1000000, least_bpp % 1000000,
                   bp_grouped((least + 7) / 8).text, bp_grouped(least).text);
}

static enum bp_status run_solver(struct bp_planner *p, const struct bp_budget *budget,
                                 enum bp_solver solver, struct bp_mckp_result *result)
{
    if (solver == BP_SOLVER_GLPK) {
        struct bp_mckp_problem problem = problem_of(p);
        return bp_glpk_solve(&problem, budget->bits, GLPK_LIMIT_MS, result, p->choice);
    }
    struct bp_mckp_limits limits = {MAX_WORK};
    return bp_mckp_solve(p->mckp, budget->bits, &limits, result, p->choice);
}

static double gap_of(double error, double lower_bound)
{
    return error > 0.0 ? (error - lower_bound) / error : 0.0;
}

/* Two things that no input can bring about. */
static void assert_sound(const struct bp_plan *plan)
{
    assert(plan->storage_bits <= plan->budget.bits);
    assert(strcmp(plan->baselines[0].name, "best uniform") != 0 ||
           plan->error <= plan->baselines[0].error);
    (void)plan;
}

/* Where errors lie too far apart for a solver's numbers, or its work ran out, a plan may be worse
 * than the best uniform one, which is known anyway: then p->choice becomes that one, and true is
 * returned. */
static bool fall_back_to_uniform(struct bp_planner *p, const struct bp_plan *plan)
{
    const struct bp_baseline *uniform = &plan->baselines[0];
    if (strcmp(uniform->name, "best uniform") != 0 || plan->error <= uniform->error)
        return false;
    uint32_t j = 0;
    while (!bp_candidate_equal(&p->table->candidates[j], &uniform->candidate))
        j++;
    for (size_t i = 0; i < p->table->n_matrices; i++)
        p->choice[i] = j;
    return true;
}

enum bp_status bp_planner_solve(struct bp_planner *p, const struct bp_budget *budget,
                                enum bp_solver solver, struct bp_plan **out, struct bp_err *err)
{
    *out = NULL;
    struct bp_mckp_result result;
    enum bp_status solved = run_solver(p, budget, solver, &result);
    if (solved == BP_INFEASIBLE)
        return too_small(p, budget, err);
    if (solved != BP_OK && solved != BP_LIMIT)
        return bp_fail(err, solved, "%s: the solver gave up: %s", p->table->path,
                       solved == BP_ERR_NOMEM ? "out of memory" : "no answer that holds");
    struct bp_certificate certificate = {
        .lower_bound = result.lower_bound,
        .gap = gap_of(result.cost, result.lower_bound),
        .method = solver == BP_SOLVER_GLPK ? "glpk" : "mckp",
    };
    if (certificate.gap > (solver == BP_SOLVER_GLPK ? BP_GLPK_GAP : PROOF_GAP))
        solved = BP_LIMIT;
    certificate.optimal = solved == BP_OK;
    BP_TRY(bp_planner_assemble(p, budget, p->choice, &certificate, out, err));
    if (fall_back_to_uniform(p, *out)) {
        certificate.gap = gap_of((*out)->baselines[0].error, result.lower_bound);
        *out = bp_plan_free(*out);
        BP_TRY(bp_planner_assemble(p, budget, p->choice, &certificate, out, err));
    }
    assert_sound(*out);
    return solved;
}
