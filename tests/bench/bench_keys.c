/*
 * From a key to the frame that shows it: the program on a terminal of the benchmark's own, the
 * budget moved key by key. Measured from the key's write to the mark behind the frame with the new
 * target. Prints figures, asserts nothing. Usage: bench_keys [keys a run, default 500].
 */
#include "../unit/solver_tables.h"
#include "../unit/support.h"

#include <time.h>

/* Behind the others: the terminal's header has B0 for a speed. */
#include "../tui/vt.h"

enum { LIMIT = VT_LIMIT_MS, MOST_KEYS = 100000, START = 300, REACH = 90 };

static const double HOLD_MS = 1000.0 / 30.0; /* what a key that is held down repeats at */

struct tally {
    double ms[MOST_KEYS];
    size_t n;
    unsigned long frames, solving; /* frames; those whose plan was not the newest key's */
};

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double quantile(const struct tally *t, double q)
{
    const size_t i = (size_t)(q * (double)t->n);
    return t->ms[i < t->n ? i : t->n - 1];
}

static _Noreturn void give_up(const struct vt *vt, const char *why)
{
    vt_show(vt);
    fprintf(stderr, "bench_keys: %s\n", why);
    exit(1);
}

/* --- the tables ------------------------------------------------------------------------------- */

static struct bp_candidate candidate(int j)
{
    static const char *const types[] = {"bf16", "fp16", "fp32"};
    char text[64];
    snprintf(text, sizeof text, "nf%d:u%d:%s:%d:%d", 2 + j / 81, 2 + j / 27 % 3, types[j / 9 % 3],
             16 << (j / 3 % 3), 16 << (2 * (j % 3)));
    return support_candidate(text, 64);
}

/* The errors of the solver's table in a file that the workbench opens. */
static void write_table(const struct llama *m, const char *path)
{
    const uint64_t h = m->hidden;
    const struct support_shape layer[LLAMA_TYPES] = {
        {h, h}, {m->kv, h}, {m->kv, h}, {h, h}, {m->ffn, h}, {m->ffn, h}, {h, m->ffn},
    };
    const size_t n = m->n_layers * LLAMA_TYPES;
    struct table numbers = llama_table(m, 0.3, 1);
    struct support_shape *shapes = malloc(n * sizeof *shapes);
    struct bp_candidate candidates[LLAMA_ITEMS];
    if (!shapes)
        exit(1);
    for (size_t i = 0; i < n; i++)
        shapes[i] = layer[i % LLAMA_TYPES];
    for (int j = 0; j < LLAMA_ITEMS; j++)
        candidates[j] = candidate(j);
    struct bp_table *t = support_table(shapes, n, candidates, LLAMA_ITEMS);
    support_numbers(t, 1);
    memcpy(t->copies[SUPPORT_ERROR], numbers.cost, n * LLAMA_ITEMS * sizeof *numbers.cost);
    support_save(t, path);
    bp_table_close(t);
    table_free(&numbers);
    free(shapes);
}

/* --- the runs --------------------------------------------------------------------------------- */

static void target_at(int position, char text[32])
{
    snprintf(text, 32, "target %.4f", position / 100.0);
}

/* Keys go to and fro within REACH of the start. */
static int next_position(int position, int *step)
{
    if (position + *step > START + REACH || position + *step < START - REACH)
        *step = -*step;
    return position + *step;
}

/* Reads until the frame with the target is whole, at most LIMIT; the time of its mark. */
static double wait_for(struct vt *vt, const char *target, struct tally *t)
{
    const double end = now_ms() + LIMIT;
    unsigned long frames = vt->frames;
    while (now_ms() < end && !vt->ended) {
        vt_pump(vt, 100);
        if (vt->frames == frames)
            continue;
        const double now = now_ms();
        t->frames += vt->frames - frames;
        t->solving += vt_has(vt, "solving ...");
        frames = vt->frames;
        if (vt_has(vt, target))
            return now;
    }
    give_up(vt, target);
}

static void run(struct vt *vt, double pace_ms, size_t n_keys, const char *name)
{
    static struct tally t;
    char target[32];
    int position = START, step = 1;
    t.n = 0;
    t.frames = t.solving = 0;
    double due = now_ms();
    while (t.n < n_keys) {
        for (double left; (left = due - now_ms()) > 0.0;) {
            const unsigned long frames = vt->frames;
            vt_pump(vt, (int)left + 1); /* frames of the proof */
            t.frames += vt->frames - frames;
        }
        position = next_position(position, &step);
        target_at(position, target);
        const double start = now_ms();
        vt_key(vt, step > 0 ? VTERM_KEY_RIGHT : VTERM_KEY_LEFT, VTERM_MOD_NONE);
        t.ms[t.n++] = wait_for(vt, target, &t) - start;
        due = due + pace_ms > now_ms() ? due + pace_ms : now_ms();
    }
    /* Back to where the next run begins. */
    vt_type(vt, "3\r");
    target_at(START, target);
    if (!vt_wait_text(vt, target, LIMIT))
        give_up(vt, "the budget does not go back");
    vt_settle(vt, 100);
    qsort(t.ms, t.n, sizeof *t.ms, compare_doubles);
    printf("  %-22s %zu keys: median %5.2f  p90 %5.2f  p99 %5.2f  max %5.2f ms  %lu frames, %lu"
           " of another key's plan\n",
           name, t.n, quantile(&t, 0.5), quantile(&t, 0.9), quantile(&t, 0.99), t.ms[t.n - 1],
           t.frames, t.solving);
}

static void bench(const char *program, const char *table, const char *home, const char *name,
                  size_t n_keys)
{
    char own[4200];
    snprintf(own, sizeof own, "HOME=%s", home);
    const char *const env[] = {own, "XDG_STATE_HOME", "XDG_CONFIG_HOME", NULL};
    const char *const argv[] = {program, table, "--bits", "3", NULL};
    for (int large = 0; large < 2; large++) {
        const struct vt_options options = {.term = "xterm-256color",
                                           .cols = large ? 200 : 120,
                                           .rows = large ? 60 : 36,
                                           .env = env};
        struct vt *vt = vt_open(&options, argv);
        if (!vt_wait_text(vt, "optimal, proved", LIMIT))
            give_up(vt, "no plan is proved");
        vt_settle(vt, 300); /* the frontier is sampled */
        printf("%s, %d x %d\n", name, vt->cols, vt->rows);
        run(vt, HOLD_MS, n_keys, "a held key (30 a s)");
        run(vt, 0.0, n_keys, "a key a frame");
        vt_type(vt, ":quit!\r");
        vt_wait_end(vt, LIMIT);
        vt_close(vt);
    }
}

/* The nearest folder above this program's that holds `file`; the path on the heap. */
static char *find_above(const char *file)
{
    char here[2048];
    const ssize_t n = readlink("/proc/self/exe", here, sizeof here - 1);
    here[n > 0 ? n : 0] = '\0';
    for (char *slash; (slash = strrchr(here, '/'));) {
        *slash = '\0';
        char *path = test_dir_join(here, file);
        if (access(path, R_OK) == 0)
            return path;
        free(path);
    }
    fprintf(stderr, "bench_keys: %s is not there\n", file);
    exit(1);
}

int main(int argc, char **argv)
{
    size_t n = argc > 1 ? (size_t)strtoul(argv[1], NULL, 10) : 500;
    n = n < 1 ? 1 : n > MOST_KEYS ? MOST_KEYS : n;
    const char *own = getenv("BITPLAN");
    char *program = own && *own ? strdup(own) : find_above("bitplan");
    char *table = find_above("sessions/llama-2-7b.safetensors");
    char *folder = test_dir_make(), *large = test_dir_join(folder, "70b.safetensors");
    write_table(&llama_70b, large);
    bench(program, table, folder, "7B, 224 x 243", n);
    bench(program, large, folder, "70B, 560 x 243", n);
    free(large);
    test_dir_remove(folder);
    free(table);
    free(program);
    return 0;
}
