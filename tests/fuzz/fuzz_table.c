/* Fuzz target: any bytes as an error table. One that opens is counted, planned and, where it is
 * small, solved: against a search of all plans where there are few, and the plan must verify. The
 * mutator changes header or data and keeps the lengths right, as few tables would open else. */
#include "fuzz.h"

#include <math.h>

#include "engine/constraints.h"
#include "engine/json_read.h"
#include "engine/json_write.h"
#include "engine/planner.h"
#include "engine/table.h"
#include "engine/verify.h"
#include "solver/mckp.h"

enum { MAX_CELLS = 4096, MAX_CELLS_PROVED = 64, MAX_TRIED = 4096, MAX_WORK = 200000 };

static struct bp_constraint paper = {BP_CONSTRAINT_GRID, (char *)"paper"};
static struct bp_constraint between[] = {{BP_CONSTRAINT_FLOOR, (char *)".=2.2"},
                                         {BP_CONSTRAINT_CEIL, (char *)".=5.75"}};
static struct bp_constraint together[] = {{BP_CONSTRAINT_TIE, (char *)"some=[aeiou]"},
                                          {BP_CONSTRAINT_WEIGHT, (char *)".=0.3"}};

static struct memory_file table_file, plan_file;

static void count(const struct bp_table *t)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < t->n_matrices; i++)
        sum += bp_table_measured_in_row(t, i);
    must(sum == bp_table_measured(t));
    must(bp_table_params(t) >= t->n_matrices);
    char *fingerprint = bp_table_fingerprint(t);
    must(fingerprint && strlen(fingerprint) == 5 + 32);
    free(fingerprint);
}

static char *print(const struct bp_plan *plan)
{
    struct bp_json_out out;
    struct cJSON *root;
    bp_plan_to_json(plan, &out);
    char *text = bp_json_print(&out, true);
    bp_json_out_done(&out);
    must(text != NULL);
    must(bp_json_read_text(text, strlen(text), "plan", &root, NULL) == BP_OK);
    bp_json_free(root);
    return text;
}

/* The least cost within the budget by trying every choice; infinite where none fits. */
static double least_cost(const struct bp_table *t, size_t i, uint64_t left)
{
    if (i == t->n_matrices)
        return 0.0;
    double least = INFINITY;
    for (size_t j = 0; j < t->n_candidates; j++) {
        const size_t cell = i * t->n_candidates + j;
        if (isnan(t->error[cell]) || t->storage[cell] > left)
            continue;
        least = fmin(least, t->error[cell] + least_cost(t, i + 1, left - t->storage[cell]));
    }
    return least;
}

static void try_all(const struct bp_table *t, uint64_t budget, const struct bp_mckp_result *result)
{
    double n_plans = pow((double)t->n_candidates, (double)t->n_matrices);
    if (n_plans > MAX_TRIED)
        return;
    const double least = least_cost(t, 0, budget);
    must(result->lower_bound <= least * (1.0 + 1e-12));
    must(result->cost >= least * (1.0 - 1e-12));
}

/* A search that is cut short still gives a plan within the budget and a bound below it. */
static void solve_shortly(const struct bp_table *t, const struct bp_planner *p, uint64_t budget)
{
    const struct bp_mckp_problem problem = {t->n_matrices, t->n_candidates, t->storage, t->error,
                                            NULL};
    const struct bp_mckp_limits limits = {.max_work = MAX_WORK};
    struct bp_mckp_result result;
    struct bp_mckp *m = NULL;
    uint32_t *choice = calloc(t->n_matrices, sizeof *choice);
    must(choice && bp_mckp_new(&problem, &m, NULL) == BP_OK);
    enum bp_status status = bp_mckp_solve(m, budget, &limits, &result, choice);
    must(status == BP_OK || status == BP_LIMIT);
    must(result.weight <= budget && result.lower_bound <= result.cost);
    must(result.lower_bound >= 0.0 && result.shadow_price >= 0.0);
    try_all(t, budget, &result);

    const struct bp_budget as_budget = {
        .unit = BP_BUDGET_BYTES, .asked = (double)(budget / 8), .bits = budget};
    const struct bp_certificate certificate = {.lower_bound = result.lower_bound, .method = "mckp"};
    struct bp_plan *plan;
    must(bp_planner_assemble(p, &as_budget, choice, &certificate, &plan, NULL) == BP_OK);
    must(plan->storage_bits == result.weight && plan->error == result.cost);
    free(print(plan));
    bp_plan_free(plan);
    bp_mckp_free(m);
    free(choice);
}

/* Verification agrees with the solver on all but storage that is not Eq. 3's. */
static void prove(struct bp_planner *p, uint64_t bits)
{
    const uint64_t bytes = (bits + 7) / 8;
    if (bytes == 0 || bytes >= UINT64_C(1) << 53)
        return;
    const struct bp_budget budget = {
        .unit = BP_BUDGET_BYTES, .asked = (double)bytes, .bits = bytes * 8};
    const struct bp_verify_options options = {.plan_path = plan_file.path,
                                              .table_path = table_file.path};
    struct bp_verify_report report;
    struct bp_err err = {""};
    struct bp_plan *plan;
    enum bp_status status = bp_planner_solve(p, &budget, BP_SOLVER_MCKP, NULL, &plan, &err);
    must(status == BP_OK || status == BP_LIMIT);
    char *text = print(plan);
    memory_file_write(&plan_file, text, strlen(text));
    status = bp_verify_plan(&options, &report, &err);
    must_say(status, &err);
    must(status == BP_OK ||
         (status == BP_ERR_MISMATCH && strstr(err.text, "storage_bits is wrong")));
    free(text);
    bp_plan_free(plan);
}

static void plan_with(const struct bp_table *t, const struct bp_constraints *constraints)
{
    uint64_t least, most;
    struct bp_err err = {""};
    struct bp_planner *p;
    struct bp_plan *plan;
    enum bp_status status = bp_planner_new(t, constraints, &p, &err);
    must((status == BP_OK) == (p != NULL));
    must_say(status, &err);
    if (status != BP_OK)
        return;
    bp_planner_range(p, &least, &most);
    must(least <= most);
    if (least > 0) {
        const struct bp_budget below = {
            .unit = BP_BUDGET_BYTES, .asked = (double)(least - 1) / 8.0, .bits = least - 1};
        must(bp_planner_solve(p, &below, BP_SOLVER_MCKP, NULL, &plan, &err) == BP_INFEASIBLE);
        must_say(BP_INFEASIBLE, &err);
    }
    const size_t cells = t->n_matrices * t->n_candidates;
    if (!constraints && cells <= MAX_CELLS)
        solve_shortly(t, p, least + (most - least) / 2);
    if (cells <= MAX_CELLS_PROVED)
        prove(p, least + (most - least) / 2);
    bp_planner_free(p);
}

/* libFuzzer's own mutation; not there when a corpus is replayed. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size) __attribute__((weak));
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    uint64_t n = UINT64_MAX;
    if (size >= sizeof n)
        memcpy(&n, data, sizeof n);
    if (seed % 8 == 0 || size < sizeof n || n > size - sizeof n || size > max_size)
        return LLVMFuzzerMutate(data, size, max_size);
    uint8_t *header = data + sizeof n, *values = header + n;
    const size_t n_values = size - sizeof n - n;
    if (seed % 2 && n_values > 0) {
        size_t left = LLVMFuzzerMutate(values, n_values, n_values);
        memset(values + left, 0, n_values - left);
        return size;
    }
    uint8_t *copy = malloc(n_values ? n_values : 1);
    must(copy != NULL);
    memcpy(copy, values, n_values);
    n = LLVMFuzzerMutate(header, n, max_size - sizeof n - n_values);
    memcpy(data, &n, sizeof n);
    memcpy(header + n, copy, n_values);
    free(copy);
    return sizeof n + n + n_values;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bp_table *table;
    struct bp_err err = {""};
    memory_file_write(&plan_file, "", 0);
    memory_file_write(&table_file, data, size);
    bool is_table;
    bp_table_looks_like(table_file.path, &is_table, NULL);
    enum bp_status status = bp_table_open(table_file.path, &table, &err);
    must((status == BP_OK) == (table != NULL));
    must_say(status, &err);
    if (status != BP_OK)
        return 0;
    count(table);
    plan_with(table, NULL);
    plan_with(table, &(struct bp_constraints){&paper, 1});
    plan_with(table, &(struct bp_constraints){between, 2});
    plan_with(table, &(struct bp_constraints){together, 2});
    plan_with(table, &(struct bp_constraints){&together[1], 1});
    bp_table_close(table);
    return 0;
}
