/*
 * Times the knapsack solver over random budgets on tables in the shape of the LLaMA models. Prints
 * figures, asserts nothing. Usage: bench_solver [budgets per table, default 300].
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "../unit/solver_tables.h"
#include "solver/mckp.h"

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double quantile(const double *sorted, size_t n, double q)
{
    size_t i = (size_t)(q * (double)n);
    return sorted[i < n ? i : n - 1];
}

static void bench(const char *name, const struct llama *shape, double spread, size_t n_budgets)
{
    struct table t = llama_table(shape, spread, 1);
    struct bp_mckp *m = NULL;
    double start = now_us();
    if (bp_mckp_new(&t.problem, &m, NULL) != BP_OK)
        exit(1);
    double setup = now_us() - start;
    double *us = malloc(n_budgets * sizeof *us), *work = malloc(n_budgets * sizeof *work);
    uint32_t *choice = malloc(t.problem.n_classes * sizeof *choice);
    struct rng g = rng_seed(2);
    size_t open = 0;
    double worst_gap = 0;
    if (us == NULL || work == NULL || choice == NULL)
        exit(1);
    for (size_t i = 0; i < n_budgets; i++) {
        struct bp_mckp_result r;
        uint64_t budget = random_budget(&g, m);
        start = now_us();
        open += bp_mckp_solve(m, budget, NULL, &r, choice) != BP_OK;
        us[i] = now_us() - start;
        work[i] = (double)r.work;
        double gap = (r.cost - r.root_bound) / r.cost;
        worst_gap = gap > worst_gap ? gap : worst_gap;
    }
    qsort(us, n_budgets, sizeof *us, compare_doubles);
    qsort(work, n_budgets, sizeof *work, compare_doubles);
    printf(
        "%-12s %4zu x %d  set-up %7.0f us  solve: median %6.0f  p90 %7.0f  p99 %7.0f  max %7.0f us"
        "  work: median %.2e max %.2e  not proved %zu  LP gap up to %.1e\n",
        name, t.problem.n_classes, LLAMA_ITEMS, setup, quantile(us, n_budgets, 0.5),
        quantile(us, n_budgets, 0.9), quantile(us, n_budgets, 0.99), us[n_budgets - 1],
        quantile(work, n_budgets, 0.5), work[n_budgets - 1], open, worst_gap);
    free(us);
    free(work);
    free(choice);
    bp_mckp_free(m);
    table_free(&t);
}

int main(int argc, char **argv)
{
    size_t n = argc > 1 ? (size_t)strtoul(argv[1], NULL, 10) : 300;
    if (n == 0)
        n = 1;
    bench("7B", &llama_7b, 0.3, n);
    bench("7B spread", &llama_7b, 2.3, n);
    bench("70B", &llama_70b, 0.3, n);
    bench("70B spread", &llama_70b, 2.3, n);
    bench("405B", &llama_405b, 0.3, n);
    bench("405B spread", &llama_405b, 2.3, n);
    return 0;
}
