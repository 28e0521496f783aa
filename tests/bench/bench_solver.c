/*
 * Times the knapsack solver over random budgets on tables in the shape of the LLaMA models and of a
 * mixture of experts (solver_tables.h says how they are made: error factors measured on a normal
 * sample, noise per matrix, per width and block, and 1e-3 per entry). "spread" is the standard
 * deviation of the log of the matrices' error scales: 0.3 like plain errors, 2.3 like errors
 * weighted by sensitivity. Prints figures, asserts nothing.
 *
 * Usage: bench_solver [-n BUDGETS] [-t NAME] [--dump FILE]
 *   -n  budgets a table, 200 if not given
 *   -t  only tables whose name begins so: 224, 560, 882, 45032
 *   --dump  of the first table, writes the problem with five budgets and our optima for peers.py
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "../unit/solver_tables.h"
#include "solver/mckp.h"

#define N_DUMPED 5

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

/* Most memory that the process has held so far, in MB. */
static double peak_mb(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (double)usage.ru_maxrss / 1024 : 0;
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

static void *must(void *p)
{
    if (p == NULL)
        exit(1);
    return p;
}

/* Sizes, budgets, optima, weights, costs: little-endian words of 64 bits. */
static void dump(const char *path, const struct table *t, struct bp_mckp *m)
{
    const struct bp_mckp_problem *p = &t->problem;
    uint32_t *choice = must(malloc(p->n_classes * sizeof *choice));
    uint64_t head[3] = {p->n_classes, p->n_items, N_DUMPED}, budget[N_DUMPED];
    double optimum[N_DUMPED];
    struct rng g = rng_seed(3);
    for (int i = 0; i < N_DUMPED; i++) {
        struct bp_mckp_result r;
        budget[i] = random_budget(&g, m);
        if (bp_mckp_solve(m, budget[i], NULL, &r, choice) != BP_OK)
            fprintf(stderr, "budget %d: not proved\n", i);
        optimum[i] = r.cost;
    }
    size_t n = p->n_classes * p->n_items;
    FILE *f = must(fopen(path, "wb"));
    if (fwrite(head, sizeof head, 1, f) != 1 || fwrite(budget, sizeof budget, 1, f) != 1 ||
        fwrite(optimum, sizeof optimum, 1, f) != 1 ||
        fwrite(t->weight, sizeof *t->weight, n, f) != n ||
        fwrite(t->cost, sizeof *t->cost, n, f) != n || fclose(f) != 0)
        exit(1);
    free(choice);
}

static void bench(const char *name, struct table t, size_t n_budgets, const char **dump_path)
{
    struct bp_mckp *m = NULL;
    double memory = peak_mb(), start = now_us();
    if (bp_mckp_new(&t.problem, &m, NULL) != BP_OK)
        exit(1);
    double setup = now_us() - start;
    double *us = must(malloc(n_budgets * sizeof *us));
    uint32_t *choice = must(malloc(t.problem.n_classes * sizeof *choice));
    struct rng g = rng_seed(2);
    size_t open = 0;
    double worst_gap = 0;
    if (*dump_path != NULL)
        dump(*dump_path, &t, m);
    *dump_path = NULL;
    for (size_t i = 0; i < n_budgets; i++) {
        struct bp_mckp_result r;
        uint64_t budget = random_budget(&g, m);
        start = now_us();
        open += bp_mckp_solve(m, budget, NULL, &r, choice) != BP_OK;
        us[i] = now_us() - start;
        double gap = (r.cost - r.root_bound) / r.cost;
        worst_gap = gap > worst_gap ? gap : worst_gap;
    }
    qsort(us, n_budgets, sizeof *us, compare_doubles);
    printf("%-13s %5zu x %d  set-up %6.1f ms %5.0f MB  solve: median %7.3f  p90 %7.3f  p99 %7.3f  "
           "max %7.3f ms  not proved %zu of %zu  LP gap up to %.0e\n",
           name, t.problem.n_classes, LLAMA_ITEMS, setup * 1e-3, peak_mb() - memory,
           quantile(us, n_budgets, 0.5) * 1e-3, quantile(us, n_budgets, 0.9) * 1e-3,
           quantile(us, n_budgets, 0.99) * 1e-3, us[n_budgets - 1] * 1e-3, open, n_budgets,
           worst_gap);
    fflush(stdout);
    free(us);
    free(choice);
    bp_mckp_free(m);
    table_free(&t);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        const struct llama *shape; /* NULL: the mixture of experts */
        double spread;
    } cases[] = {
        {"224", &llama_7b, 0.3},   {"224 spread", &llama_7b, 2.3},
        {"560", &llama_70b, 0.3},  {"560 spread", &llama_70b, 2.3},
        {"882", &llama_405b, 0.3}, {"882 spread", &llama_405b, 2.3},
        {"45032", NULL, 0.3},      {"45032 spread", NULL, 2.3},
    };
    size_t n = 200;
    const char *only = "", *dump_path = NULL;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "-n") == 0)
            n = (size_t)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "-t") == 0)
            only = argv[i + 1];
        else if (strcmp(argv[i], "--dump") == 0)
            dump_path = argv[i + 1];
    }
    n = n == 0 ? 1 : n;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (strncmp(cases[i].name, only, strlen(only)) != 0)
            continue;
        struct table t = cases[i].shape != NULL ? llama_table(cases[i].shape, cases[i].spread, 1)
                                                : expert_table(257, cases[i].spread, 1);
        bench(cases[i].name, t, n, &dump_path);
    }
    return 0;
}
