/*
 * What the efforts cost and what their tables are worth. Measures a model by the exact procedure
 * with several seeds and by every other effort, and prints for each
 *
 *   - how far its errors lie from the mean of the exact ones: median, 99th percentile and maximum
 *     of |error / mean - 1|, and the mean of error / mean - 1,
 *   - its regret: what the plans made with its table lose. For budgets from 2.1 to 4.3 bits/param,
 *     the error that the plan has under the mean exact table over that of the best plan, less 1:
 *     mean and maximum,
 *   - how many of the plans' errors were iterated, and CPU seconds.
 *
 * The lines of the exact seeds, each against the mean of the other seeds, are the noise of the
 * procedure itself. Tables are kept in the work folder and taken from there when they are whole.
 * Asserts nothing.
 *
 * Usage: bench_efforts [-r RANK] [-g GRID] [-f FISHER] [-s SEEDS] [-t THREADS] [-w WORK] [MODEL]
 *   MODEL  a folder or file of weights; without, a small synthetic one
 *   -r 8  -g paper  -s 3  -t 2  -w build/efforts
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/measure.h"
#include "engine/mem.h"
#include "engine/planner.h"
#include "engine/sample.h"

enum { MAX_SEEDS = 9, N_BUDGETS = 23 };

/* Whatever fails ends the benchmark. */
static struct bp_err err;
static void need(bool good)
{
    if (good)
        return;
    fprintf(stderr, "bench_efforts: %s\n", *err.text ? err.text : "out of memory");
    exit(1);
}

static double cpu_s(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           1e-6 * (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

struct bench {
    struct bp_measure_options options;
    const char *work;
    struct bp_table *exact[MAX_SEEDS];
    int n_seeds;
};

/* The numbers of a table as copies that may be changed. *seconds: NAN when it was there before. */
static struct bp_table *measured(struct bench *b, enum bp_effort effort, int seed, double *seconds)
{
    struct bp_measure_progress progress;
    struct bp_table *t, *copy;
    size_t *row;
    char *path = bp_format("%s/%s-%d.safetensors", b->work, bp_effort_name(effort), seed);
    need(path != NULL);
    b->options.effort = effort;
    b->options.seed = (uint64_t)seed;
    b->options.path = path;
    const double before = cpu_s();
    need(bp_measure(&b->options, &progress, &err) == BP_OK);
    *seconds = progress.cells_before ? NAN : cpu_s() - before;
    need(bp_table_open(path, &t, &err) == BP_OK);
    need(bp_table_measured_part(t, &copy, &row, &err) == BP_OK);
    bp_table_close(t);
    free(row);
    free(path);
    return copy;
}

/* The mean of the exact tables but one (-1: of all), as another such table's errors. */
static struct bp_table *mean_of(struct bench *b, int but)
{
    struct bp_table *mean;
    size_t *row;
    need(bp_table_measured_part(b->exact[0], &mean, &row, &err) == BP_OK);
    free(row);
    double *error = mean->copies[0];
    const int n = b->n_seeds - (but >= 0);
    for (size_t cell = 0; cell < mean->n_matrices * mean->n_candidates; cell++) {
        error[cell] = 0.0;
        for (int s = 0; s < b->n_seeds; s++)
            error[cell] += s == but ? 0.0 : b->exact[s]->error[cell] / n;
    }
    return mean;
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_deviations(const struct bp_table *t, const struct bp_table *mean)
{
    const size_t n = t->n_matrices * t->n_candidates;
    double *away = bp_alloc(n, sizeof *away), sum = 0.0;
    need(away != NULL);
    for (size_t cell = 0; cell < n; cell++) {
        const double by = mean->error[cell] > 0.0 ? t->error[cell] / mean->error[cell] - 1.0 : 0.0;
        sum += by;
        away[cell] = fabs(by);
    }
    qsort(away, n, sizeof *away, ascending);
    printf("  %7.2f %7.2f %7.2f  %+7.2f", 100.0 * away[n / 2], 100.0 * away[n * 99 / 100],
           100.0 * away[n - 1], 100.0 * sum / (double)n);
    free(away);
}

/* The errors of a choice under another table. */
static double error_under(const struct bp_table *t, const uint32_t *choice)
{
    double error = 0.0;
    for (size_t i = 0; i < t->n_matrices; i++)
        error += t->error[i * t->n_candidates + choice[i]];
    return error;
}

static void print_regret(const struct bp_table *t, const struct bp_table *mean)
{
    struct bp_planner *own, *best;
    double sum = 0.0, most = 0.0;
    size_t n = 0, chosen = 0, iterated = 0;
    need(bp_planner_new(t, NULL, &own, &err) == BP_OK);
    need(bp_planner_new(mean, NULL, &best, &err) == BP_OK);
    for (int b = 0; b < N_BUDGETS; b++) {
        struct bp_plan *plan = NULL, *optimum = NULL;
        struct bp_budget budget;
        char text[16];
        snprintf(text, sizeof text, "%.1f", 2.1 + 0.1 * b);
        need(bp_budget_parse_bits(text, bp_table_params(t), &budget, &err) == BP_OK);
        if (bp_planner_solve(own, &budget, BP_SOLVER_MCKP, NULL, &plan, NULL) >= 0 && plan &&
            bp_planner_solve(best, &budget, BP_SOLVER_MCKP, NULL, &optimum, NULL) >= 0 && optimum) {
            const double regret =
                error_under(mean, plan->choice) / error_under(mean, optimum->choice) - 1.0;
            sum += regret;
            most = fmax(most, regret);
            n++;
            for (size_t i = 0; i < t->n_matrices; i++, chosen++)
                iterated += bp_table_stage(t, i, plan->choice[i]) == BP_CELL_ITERATED;
        }
        bp_plan_free(plan);
        bp_plan_free(optimum);
    }
    printf("  %7.2f %7.2f  %6.1f", 100.0 * sum / (double)n, 100.0 * most,
           100.0 * (double)iterated / (double)chosen);
    bp_planner_free(own);
    bp_planner_free(best);
}

static void print_line(const char *name, const struct bp_table *t, const struct bp_table *mean,
                       double seconds)
{
    printf("%-14s", name);
    print_deviations(t, mean);
    print_regret(t, mean);
    printf(isnan(seconds) ? "        -\n" : "  %7.1f\n", seconds);
    fflush(stdout);
}

static void run(struct bench *b)
{
    double seconds[MAX_SEEDS], own;
    for (int s = 0; s < b->n_seeds; s++)
        b->exact[s] = measured(b, BP_EFFORT_EXACT, s, &seconds[s]);
    printf("%-14s  %24s  %7s  %15s  %6s  %7s\n", "", "|deviation|, %", "mean, %", "regret, %",
           "iter.,", "CPU, s");
    printf("%-14s  %7s %7s %7s  %7s  %7s %7s  %6s\n", "", "median", "p99", "max", "", "mean", "max",
           "% used");
    for (int s = 0; s < b->n_seeds && b->n_seeds > 1; s++) {
        struct bp_table *others = mean_of(b, s);
        char name[32];
        snprintf(name, sizeof name, "exact, seed %d", s);
        print_line(name, b->exact[s], others, seconds[s]);
        bp_table_close(others);
    }
    struct bp_table *mean = mean_of(b, -1);
    for (int e = BP_EFFORT_FULL; e < BP_N_EFFORTS; e++) {
        struct bp_table *t = measured(b, (enum bp_effort)e, 0, &own);
        print_line(bp_effort_name((enum bp_effort)e), t, mean, own);
        bp_table_close(t);
    }
    bp_table_close(mean);
    for (int s = 0; s < b->n_seeds; s++)
        bp_table_close(b->exact[s]);
}

/* A model for when none is named. */
static char *small_model(const char *work)
{
    const struct bp_sample_options small = {
        .layers = 1, .hidden = 64, .intermediate = 160, .kv_dim = 64, .vocab = 65, .seed = 1};
    char *path = bp_format("%s/model", work);
    need(path != NULL);
    if (access(path, F_OK) != 0)
        need(bp_sample_write(path, &small, NULL, NULL, &err) == BP_OK);
    return path;
}

int main(int argc, char **argv)
{
    struct bench b = {.work = "build/efforts", .n_seeds = 3};
    const char *grid_text = "paper", *fisher_path = NULL;
    struct bp_model *model, *fisher = NULL;
    struct bp_grid grid;
    uint32_t rank = 8;
    b.options = (struct bp_measure_options){
        .iterations = BP_LQ_MAX_ITERATIONS, .threads = 2, .shard = 1, .n_shards = 1};
    for (int c; (c = getopt(argc, argv, "r:g:f:s:t:w:")) != -1;)
        switch (c) {
        case 'r':
            rank = (uint32_t)atoi(optarg);
            break;
        case 'g':
            grid_text = optarg;
            break;
        case 'f':
            fisher_path = optarg;
            break;
        case 's':
            b.n_seeds = atoi(optarg);
            break;
        case 't':
            b.options.threads = (unsigned)atoi(optarg);
            break;
        case 'w':
            b.work = optarg;
            break;
        default:
            return 2;
        }
    if (b.n_seeds < 1 || b.n_seeds > MAX_SEEDS || b.options.threads < 1)
        return 2;
    mkdir(b.work, 0777);
    char *small = optind < argc ? NULL : small_model(b.work);
    need(bp_model_open(small ? small : argv[optind], NULL, &model, &err) == BP_OK);
    need(!fisher_path || bp_model_open(fisher_path, NULL, &fisher, &err) == BP_OK);
    need(bp_grid_parse(grid_text, &grid, &err) == BP_OK);
    b.options.model = model;
    b.options.fisher = fisher;
    b.options.fisher_source = fisher_path;
    b.options.grid = &grid;
    b.options.ranks = &rank;
    b.options.n_ranks = 1;
    printf("%s, %zu matrices, %zu configs, rank %u%s\n", model->name, model->n_matrices, grid.n,
           rank, fisher ? ", Fisher weights" : "");
    run(&b);
    bp_grid_done(&grid);
    bp_model_close(model);
    bp_model_close(fisher);
    free(small);
    return 0;
}
