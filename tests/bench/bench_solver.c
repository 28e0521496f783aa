/*
 * Times the knapsack solver over random budgets on tables of whole models (solver_models.h says how
 * they are made) and on rough ones (solver_tables.h: block sizes matter to some matrices much more
 * than to others, which makes the search harder). Prints one table, asserts nothing. Times are
 * those of the thread's CPU. Memory is what the solver holds after the last budget.
 *
 * Usage: bench_solver [-n BUDGETS] [-s SEED] [-t NAME] [--dump FOLDER]
 *   -n  budgets a table, 1000 if not given
 *   -s  seed of tables and budgets, 1 if not given
 *   -t  only tables whose name begins so: 224, 560, 882, 45032
 *   --dump  writes problems of up to 1000 matrices with some budgets and our answers for peers.py
 */
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../unit/solver_models.h"
#include "solver/mckp.h"

#define N_DUMPED     2
#define DUMP_LARGEST 1000

enum kind { PLAIN, FISHER, ROUGH };

struct bench_case {
    const char *name;
    const struct llama *shape; /* NULL: the mixture of experts */
    size_t n_items;
    enum kind kind;
};

struct options {
    size_t n_budgets;
    uint64_t seed;
    const char *only, *folder;
};

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec * 1e-3;
}

static double held_mb(void)
{
    struct mallinfo2 held = mallinfo2();
    return (double)(held.uordblks + held.hblkhd) * 1e-6;
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

static struct table make_table(const struct bench_case *c, uint64_t seed)
{
    if (c->kind == ROUGH)
        return llama_table(c->shape, 0.3, seed);
    return c->shape != NULL ? model_table(c->shape, c->n_items, c->kind == FISHER, seed)
                            : model_expert_table(c->n_items, c->kind == FISHER, seed);
}

/* Sizes, budgets, optima, microseconds, weights, costs: little-endian words of 64 bits. */
static void dump(const char *folder, const char *name, const struct table *t, struct bp_mckp *m)
{
    const struct bp_mckp_problem *p = &t->problem;
    uint32_t *choice = must(malloc(p->n_classes * sizeof *choice));
    uint64_t head[3] = {p->n_classes, p->n_items, N_DUMPED}, budget[N_DUMPED];
    double optimum[N_DUMPED], us[N_DUMPED];
    struct rng g = rng_seed(3);
    for (int i = 0; i < N_DUMPED; i++) {
        struct bp_mckp_result r;
        budget[i] = random_budget(&g, m);
        double start = now_us();
        if (bp_mckp_solve(m, budget[i], NULL, &r, choice) != BP_OK)
            fprintf(stderr, "%s, budget %d: not proved\n", name, i);
        us[i] = now_us() - start;
        optimum[i] = r.cost;
    }
    size_t n = p->n_classes * p->n_items;
    char path[4096];
    snprintf(path, sizeof path, "%s/%s.bin", folder, name);
    FILE *f = must(fopen(path, "wb"));
    if (fwrite(head, sizeof head, 1, f) != 1 || fwrite(budget, sizeof budget, 1, f) != 1 ||
        fwrite(optimum, sizeof optimum, 1, f) != 1 || fwrite(us, sizeof us, 1, f) != 1 ||
        fwrite(t->weight, sizeof *t->weight, n, f) != n ||
        fwrite(t->cost, sizeof *t->cost, n, f) != n || fclose(f) != 0)
        exit(1);
    free(choice);
}

static void bench(const struct bench_case *c, const struct options *o)
{
    struct table t = make_table(c, o->seed);
    struct bp_mckp *m = NULL;
    double memory = held_mb(), start = now_us();
    if (bp_mckp_new(&t.problem, &m, NULL) != BP_OK)
        exit(1);
    double setup = now_us() - start;
    double *us = must(malloc(o->n_budgets * sizeof *us));
    uint32_t *choice = must(malloc(t.problem.n_classes * sizeof *choice));
    struct rng g = rng_seed(o->seed + 1);
    size_t open = 0;
    for (size_t i = 0; i < o->n_budgets; i++) {
        struct bp_mckp_result r;
        uint64_t budget = random_budget(&g, m);
        start = now_us();
        open += bp_mckp_solve(m, budget, NULL, &r, choice) != BP_OK;
        us[i] = now_us() - start;
    }
    memory = held_mb() - memory;
    if (o->folder != NULL && t.problem.n_classes <= DUMP_LARGEST)
        dump(o->folder, c->name, &t, m);
    qsort(us, o->n_budgets, sizeof *us, compare_doubles);
    printf("%-17s %9.1f %8.1f %10.3f %8.3f %8.3f %9.3f %11zu\n", c->name, setup * 1e-3, memory,
           quantile(us, o->n_budgets, 0.5) * 1e-3, quantile(us, o->n_budgets, 0.9) * 1e-3,
           quantile(us, o->n_budgets, 0.99) * 1e-3, us[o->n_budgets - 1] * 1e-3, open);
    fflush(stdout);
    free(us);
    free(choice);
    bp_mckp_free(m);
    table_free(&t);
}

int main(int argc, char **argv)
{
    static const struct bench_case cases[] = {
        {"224x243-plain", &llama_7b, MODEL_ITEMS, PLAIN},
        {"224x243-Fisher", &llama_7b, MODEL_ITEMS, FISHER},
        {"224x243-rough", &llama_7b, LLAMA_ITEMS, ROUGH},
        {"224x432-plain", &llama_7b, MODEL_ITEMS_WIDE, PLAIN},
        {"224x432-Fisher", &llama_7b, MODEL_ITEMS_WIDE, FISHER},
        {"560x243-plain", &llama_70b, MODEL_ITEMS, PLAIN},
        {"560x243-Fisher", &llama_70b, MODEL_ITEMS, FISHER},
        {"560x432-plain", &llama_70b, MODEL_ITEMS_WIDE, PLAIN},
        {"560x432-Fisher", &llama_70b, MODEL_ITEMS_WIDE, FISHER},
        {"882x243-plain", &llama_405b, MODEL_ITEMS, PLAIN},
        {"882x243-Fisher", &llama_405b, MODEL_ITEMS, FISHER},
        {"882x243-rough", &llama_405b, LLAMA_ITEMS, ROUGH},
        {"882x432-plain", &llama_405b, MODEL_ITEMS_WIDE, PLAIN},
        {"882x432-Fisher", &llama_405b, MODEL_ITEMS_WIDE, FISHER},
        {"45032x243-plain", NULL, MODEL_ITEMS, PLAIN},
        {"45032x243-Fisher", NULL, MODEL_ITEMS, FISHER},
    };
    struct options o = {1000, 1, "", NULL};
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "-n") == 0)
            o.n_budgets = (size_t)strtoul(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "-s") == 0)
            o.seed = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "-t") == 0)
            o.only = argv[i + 1];
        else if (strcmp(argv[i], "--dump") == 0)
            o.folder = argv[i + 1];
    }
    o.n_budgets = o.n_budgets == 0 ? 1 : o.n_budgets;
    printf("%zu random budgets each; times in ms\n%-17s %9s %8s %10s %8s %8s %9s %11s\n",
           o.n_budgets, "table", "set-up", "MB", "median", "p90", "p99", "max", "not proved");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (strncmp(cases[i].name, o.only, strlen(o.only)) == 0)
            bench(&cases[i], &o);
    return 0;
}
