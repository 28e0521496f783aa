#include <dirent.h>
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "engine/mem.h"
#include "engine/safetensors.h"
#include "engine/sample.h"
#include "engine/sample_files.h"
#include "engine/sample_layout.h"
#include "engine/sample_weights.h"

/* Each test has a folder of its own, the working directory, removed with what is in it. */
static char folder[PATH_MAX];
static struct bp_err err;

static const struct bp_sample_options SMALL = {
    .layers = 3, .hidden = 64, .intermediate = 80, .kv_dim = 32, .vocab = 65, .seed = 11};

static int make_folder(void **state)
{
    (void)state;
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/bitplan-test-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    err.text[0] = '\0';
    return !mkdtemp(folder) || chmod(folder, 0755) != 0 || chdir(folder) != 0;
}

/* Entries of a folder, hidden ones too. */
static int count_entries(const char *path)
{
    int n = -2;
    DIR *dir = opendir(path);
    assert_non_null(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static void remove_entries(const char *path)
{
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        char *entry = bp_format("%s/%s", path, e->d_name);
        struct stat st;
        assert_non_null(entry);
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
            assert_int_equal(lstat(entry, &st), 0);
            if (S_ISDIR(st.st_mode))
                remove_entries(entry);
            assert_int_equal(remove(entry), 0);
        }
        free(entry);
    }
    closedir(dir);
}

static int remove_folder(void **state)
{
    (void)state;
    remove_entries(folder);
    return chdir("/") != 0 || rmdir(folder) != 0;
}

static char *read_text(const char *path, size_t *n)
{
    char *text = NULL;
    size_t n_text;
    FILE *in = fopen(path, "rb"), *out = open_memstream(&text, &n_text);
    assert_non_null(in);
    assert_non_null(out);
    for (int c; (c = fgetc(in)) != EOF;)
        fputc(c, out);
    fclose(in);
    fclose(out);
    if (n)
        *n = n_text;
    return text;
}

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static bool equal_files(const char *a, const char *b)
{
    size_t n_a, n_b;
    char *text_a = read_text(a, &n_a), *text_b = read_text(b, &n_b);
    bool equal = n_a == n_b && memcmp(text_a, text_b, n_a) == 0;
    free(text_a);
    free(text_b);
    return equal;
}

static void write_model(const char *dir, const struct bp_sample_options *options)
{
    if (bp_sample_write(dir, options, NULL, NULL, &err) != BP_OK)
        fail_msg("%s", err.text);
}

static struct bp_st *open_file(const char *path)
{
    struct bp_st *st;
    if (bp_st_open(path, &st, &err) != BP_OK)
        fail_msg("%s", err.text);
    return st;
}

static cJSON *open_json(const char *path)
{
    char *text = read_text(path, NULL);
    cJSON *json = cJSON_Parse(text);
    free(text);
    assert_non_null(json);
    return json;
}

static double number(const cJSON *json, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, key);
    assert_true(cJSON_IsNumber(item));
    return item->valuedouble;
}

static const char *string(const cJSON *json, const char *key)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, key));
    assert_non_null(text);
    return text;
}

/* --- what is written --- */

static void same_seed_gives_the_same_bytes(void **state)
{
    (void)state;
    struct bp_sample_options other = SMALL;
    other.seed++;
    write_model("a", &SMALL);
    write_model("b", &SMALL);
    write_model("c", &other);
    assert_true(equal_files("a/model.safetensors", "b/model.safetensors"));
    assert_true(equal_files("a/config.json", "b/config.json"));
    struct bp_st *a = open_file("a/model.safetensors"), *c = open_file("c/model.safetensors");
    assert_true(a->n_tensors == c->n_tensors);
    for (size_t i = 0; i < a->n_tensors; i++)
        assert_memory_not_equal(bp_st_data(a, &a->tensors[i]), bp_st_data(c, &c->tensors[i]),
                                a->tensors[i].n_bytes);
    bp_st_close(a);
    bp_st_close(c);
}

static void assert_tensor(const struct bp_st *st, const char *name, unsigned n_dims, uint64_t d,
                          uint64_t k)
{
    const struct bp_st_tensor *t = bp_st_find(st, name);
    assert_non_null(t);
    assert_int_equal(t->dtype, BP_DTYPE_BF16);
    assert_int_equal(t->n_dims, n_dims);
    assert_true(t->shape[0] == d);
    assert_true(n_dims == 1 || t->shape[1] == k);
}

static void tensors_are_those_of_a_llama(void **state)
{
    (void)state;
    write_model("m", &SMALL);
    assert_int_equal(count_entries("m"), 2);
    struct bp_st *st = open_file("m/model.safetensors");
    assert_true(st->n_tensors == 3 + 3 * 9);
    assert_string_equal(bp_st_metadata(st, "format"), "pt");
    assert_string_equal(bp_st_metadata(st, "bitplan.synthetic"), "true");
    assert_string_equal(bp_st_metadata(st, "bitplan.seed"), "11");
    assert_tensor(st, "model.embed_tokens.weight", 2, 65, 64);
    assert_tensor(st, "model.layers.0.input_layernorm.weight", 1, 64, 0);
    assert_tensor(st, "model.layers.1.self_attn.q_proj.weight", 2, 64, 64);
    assert_tensor(st, "model.layers.1.self_attn.k_proj.weight", 2, 32, 64);
    assert_tensor(st, "model.layers.1.self_attn.v_proj.weight", 2, 32, 64);
    assert_tensor(st, "model.layers.1.self_attn.o_proj.weight", 2, 64, 64);
    assert_tensor(st, "model.layers.2.post_attention_layernorm.weight", 1, 64, 0);
    assert_tensor(st, "model.layers.2.mlp.gate_proj.weight", 2, 80, 64);
    assert_tensor(st, "model.layers.2.mlp.up_proj.weight", 2, 80, 64);
    assert_tensor(st, "model.layers.2.mlp.down_proj.weight", 2, 64, 80);
    assert_tensor(st, "model.norm.weight", 1, 64, 0);
    assert_tensor(st, "lm_head.weight", 2, 65, 64);
    bp_st_close(st);
}

static void config_describes_the_tensors(void **state)
{
    (void)state;
    write_model("m", &SMALL);
    cJSON *json = open_json("m/config.json");
    const cJSON *classes = cJSON_GetObjectItemCaseSensitive(json, "architectures");
    assert_string_equal(cJSON_GetStringValue(cJSON_GetArrayItem(classes, 0)), "LlamaForCausalLM");
    assert_string_equal(string(json, "model_type"), "llama");
    assert_string_equal(string(json, "torch_dtype"), "bfloat16");
    assert_true(cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "bitplan_synthetic")));
    assert_true(cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(json, "tie_word_embeddings")));
    assert_true(number(json, "hidden_size") == 64);
    assert_true(number(json, "intermediate_size") == 80);
    assert_true(number(json, "num_hidden_layers") == 3);
    assert_true(number(json, "vocab_size") == 65);
    assert_true(number(json, "rms_norm_eps") == 1e-5);
    assert_true(number(json, "rope_theta") == 10000);
    double heads = number(json, "num_attention_heads"), dim = number(json, "head_dim");
    assert_true(heads * dim == 64);
    assert_true(number(json, "num_key_value_heads") * dim == 32);
    cJSON_Delete(json);
}

/* Writes SMALL in files of at most `limit` bytes. */
static enum bp_status write_sharded(const char *dir, uint64_t limit, bool force, size_t *n_shards)
{
    struct bp_sample_options options = SMALL;
    struct bp_sample_layout layout;
    options.force = force;
    assert_int_equal(bp_sample_layout_init(&layout, &options, limit, &err), BP_OK);
    if (n_shards)
        *n_shards = layout.n_shards;
    enum bp_status status = bp_sample_write_layout(dir, &layout, NULL, NULL, &err);
    bp_sample_layout_done(&layout);
    return status;
}

/* Checks shard i against the index and the single file; returns the bytes of its tensors. */
static uint64_t check_shard(const char *name, const cJSON *map, const struct bp_st *whole,
                            uint64_t limit)
{
    char *path = bp_format("m/%s", name);
    struct bp_st *st = open_file(path);
    uint64_t bytes = 0;
    assert_string_equal(bp_st_metadata(st, "bitplan.synthetic"), "true");
    assert_true(st->n_tensors == 1 || 8 + st->header_bytes + st->data_bytes <= limit);
    for (size_t j = 0; j < st->n_tensors; j++) {
        const struct bp_st_tensor *t = &st->tensors[j], *w = bp_st_find(whole, t->name);
        assert_non_null(w);
        assert_string_equal(string(map, t->name), name);
        assert_true(t->n_bytes == w->n_bytes);
        assert_memory_equal(bp_st_data(st, t), bp_st_data(whole, w), t->n_bytes);
        bytes += t->n_bytes;
    }
    bp_st_close(st);
    free(path);
    return bytes;
}

static void shards_hold_what_the_index_says_and_the_same_values(void **state)
{
    (void)state;
    const uint64_t limit = 30000;
    size_t n_shards;
    write_model("single", &SMALL);
    assert_int_equal(write_sharded("m", limit, false, &n_shards), BP_OK);
    assert_true(n_shards > 3);
    assert_int_equal(count_entries("m"), (int)n_shards + 2);
    struct bp_st *whole = open_file("single/model.safetensors");
    cJSON *index = open_json("m/model.safetensors.index.json");
    const cJSON *map = cJSON_GetObjectItemCaseSensitive(index, "weight_map");
    assert_int_equal(cJSON_GetArraySize(map), 3 + 3 * 9);
    uint64_t bytes = 0;
    for (size_t i = 0; i < n_shards; i++) {
        char *name = bp_format("model-%05zu-of-%05zu.safetensors", i + 1, n_shards);
        bytes += check_shard(name, map, whole, limit);
        free(name);
    }
    assert_true(bytes == whole->data_bytes);
    const cJSON *metadata = cJSON_GetObjectItemCaseSensitive(index, "metadata");
    assert_true(number(metadata, "total_size") == (double)bytes);
    cJSON_Delete(index);
    bp_st_close(whole);
}

static void tensor_above_the_limit_has_a_file_of_its_own(void **state)
{
    (void)state;
    size_t n_shards;
    assert_int_equal(write_sharded("m", 1, false, &n_shards), BP_OK);
    assert_true(n_shards == 3 + 3 * 9);
}

/* --- values --- */

static void any_split_into_rows_gives_the_same_values(void **state)
{
    (void)state;
    enum { ROWS = 37, COLS = 1041 };
    static uint16_t whole[ROWS * COLS], parts[ROWS * COLS];
    static float work[ROWS * COLS];
    for (int kind = BP_SAMPLE_Q; kind < BP_SAMPLE_NORM; kind++) {
        const struct bp_sample_weights_spec spec = {.seed = 5,
                                                    .name = "w",
                                                    .kind = (enum bp_sample_kind)kind,
                                                    .rows = ROWS,
                                                    .cols = COLS,
                                                    .hidden = 1024,
                                                    .head_dim = 16};
        struct bp_sample_weights *w;
        assert_int_equal(bp_sample_weights_new(&spec, &w, &err), BP_OK);
        bp_sample_weights_rows(w, 0, ROWS, whole, work);
        for (size_t step = 1; step < ROWS; step += 6) {
            for (size_t row = 0; row < ROWS; row += step)
                bp_sample_weights_rows(w, row, row + step > ROWS ? ROWS - row : step,
                                       parts + row * COLS, work);
            assert_memory_equal(parts, whole, sizeof whole);
        }
        bp_sample_weights_free(w);
    }
}

struct moments {
    double mean, sd, kurtosis, least;
};

static struct moments moments_of(const struct bp_st *st, const char *name)
{
    const struct bp_st_tensor *t = bp_st_find(st, name);
    assert_non_null(t);
    float *x = bp_alloc(t->n_elems, sizeof *x);
    assert_non_null(x);
    bp_st_read_f32(st, t, 0, t->n_elems, x);
    double n = (double)t->n_elems, sum = 0, sum2 = 0, sum4 = 0;
    struct moments m = {.least = INFINITY};
    for (size_t i = 0; i < t->n_elems; i++) {
        double v = (double)x[i];
        assert_true(isfinite(v));
        sum += v;
        sum2 += v * v;
        sum4 += v * v * v * v;
        m.least = fmin(m.least, v);
    }
    free(x);
    m.mean = sum / n;
    m.sd = sqrt(sum2 / n - m.mean * m.mean);
    m.kurtosis = sum4 / n / (sum2 / n) / (sum2 / n);
    return m;
}

/* The traits that a plan lives on: tails differ between kinds and fade with depth, the spread
 * drifts with depth, norms grow. Bounds are loose: a seed's jitter is eight percent. */
static void kinds_and_layers_differ_as_in_trained_models(void **state)
{
    (void)state;
    const struct bp_sample_options options = {
        .layers = 3, .hidden = 512, .intermediate = 1376, .kv_dim = 512, .vocab = 64, .seed = 3};
    write_model("m", &options);
    struct bp_st *st = open_file("m/model.safetensors");
    struct moments down0 = moments_of(st, "model.layers.0.mlp.down_proj.weight");
    struct moments down2 = moments_of(st, "model.layers.2.mlp.down_proj.weight");
    struct moments up2 = moments_of(st, "model.layers.2.mlp.up_proj.weight");
    struct moments v0 = moments_of(st, "model.layers.0.self_attn.v_proj.weight");
    struct moments v2 = moments_of(st, "model.layers.2.self_attn.v_proj.weight");
    struct moments norm0 = moments_of(st, "model.layers.0.input_layernorm.weight");
    struct moments norm2 = moments_of(st, "model.layers.2.input_layernorm.weight");
    assert_true(down0.kurtosis > 2 * down2.kurtosis);
    assert_true(up2.kurtosis > 2.9 && up2.kurtosis < 15);
    assert_true(v2.sd > 1.2 * v0.sd);
    assert_true(v0.sd > 0.02 && v2.sd < 0.12);
    assert_true(fabs(v0.mean) < 0.002);
    assert_true(norm0.mean > 0.25 && norm0.mean < 0.35 && norm0.least > 0);
    assert_true(norm2.mean > 0.9 && norm2.mean < 1.1);
    bp_st_close(st);
}

/* --- the folder --- */

static void existing_files_are_kept_without_force(void **state)
{
    (void)state;
    assert_int_equal(mkdir("m", 0777), 0);
    put("m/config.json", "mine");
    put("m/README.md", "also mine");
    struct bp_sample_options options = SMALL;
    assert_int_equal(bp_sample_write("m", &options, NULL, NULL, &err), BP_ERR_MISMATCH);
    assert_non_null(strstr(err.text, "m/config.json: exists already"));
    assert_int_equal(count_entries("m"), 2);
    char *text = read_text("m/config.json", NULL);
    assert_string_equal(text, "mine");
    free(text);
    options.force = true;
    write_model("m", &options);
    assert_int_equal(count_entries("m"), 3);
    cJSON_Delete(open_json("m/config.json"));
}

static void model_of_the_other_form_is_refused_even_with_force(void **state)
{
    (void)state;
    write_model("m", &SMALL);
    assert_int_equal(write_sharded("m", 30000, true, NULL), BP_ERR_MISMATCH);
    assert_non_null(strstr(err.text, "holds model.safetensors of another model"));
    assert_int_equal(count_entries("m"), 2);
    assert_int_equal(write_sharded("n", 30000, false, NULL), BP_OK);
    int n = count_entries("n");
    assert_int_equal(write_sharded("n", UINT64_MAX, true, NULL), BP_ERR_MISMATCH);
    assert_non_null(strstr(err.text, "model.safetensors.index.json"));
    assert_int_equal(count_entries("n"), n);
}

static void folder_that_cannot_be_made_or_written_is_an_error(void **state)
{
    (void)state;
    assert_int_equal(bp_sample_write("no/m", &SMALL, NULL, NULL, &err), BP_ERR_FAILED);
    assert_non_null(strstr(err.text, "does not exist"));
    put("file", "");
    assert_int_equal(bp_sample_write("file", &SMALL, NULL, NULL, &err), BP_ERR_FAILED);
    assert_string_equal(err.text, "file: is not a folder");
    assert_int_equal(mkdir("m", 0777), 0);
    assert_int_equal(mkdir("m/config.json", 0777), 0);
    struct bp_sample_options options = SMALL;
    options.force = true;
    assert_int_equal(bp_sample_write("m", &options, NULL, NULL, &err), BP_ERR_FAILED);
    assert_string_equal(err.text, "m/config.json: is a folder");
    assert_int_equal(count_entries("m"), 1);
}

static void read_only_folder_is_an_error(void **state)
{
    (void)state;
    uid_t user = geteuid();
    assert_int_equal(mkdir("m", 0755), 0);
    assert_int_equal(chmod("m", 0555), 0);
    if (user == 0 && seteuid(65534) != 0)
        skip();
    enum bp_status status = bp_sample_write("m", &SMALL, NULL, NULL, &err);
    if (user == 0)
        assert_int_equal(seteuid(0), 0);
    assert_int_equal(status, BP_ERR_FAILED);
    assert_string_equal(err.text, "m/model.safetensors: cannot be written: Permission denied");
    assert_int_equal(count_entries("m"), 0);
}

/* A limit on the size of files stands in for a full disk. */
static void failed_write_leaves_nothing(void **state)
{
    (void)state;
    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = before;
    small.rlim_cur = 65536;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    enum bp_status status = bp_sample_write("m", &SMALL, NULL, NULL, &err);
    setrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, handler);
    assert_int_equal(status, BP_ERR_FAILED);
    assert_string_equal(err.text, "m/model.safetensors: cannot be written: File too large");
    assert_int_equal(count_entries("."), 0);
}

/* A model of 10^17 parameters is refused before the first byte. */
static void model_that_does_not_fit_the_disk_is_refused(void **state)
{
    (void)state;
    struct bp_sample_options options = {.layers = 1000, .hidden = 1 << 22, .vocab = 1000};
    struct bp_sample_layout layout;
    assert_int_equal(bp_sample_layout_init(&layout, &options, UINT64_MAX, &err), BP_OK);
    assert_int_equal(bp_sample_write_layout("m", &layout, NULL, NULL, &err), BP_ERR_FAILED);
    assert_non_null(strstr(err.text, "are free"));
    bp_sample_layout_done(&layout);
    assert_int_equal(count_entries("."), 0);
}

struct watch {
    uint64_t calls, stop_at, done, total;
};

static bool watch_progress(void *ctx, uint64_t done, uint64_t total)
{
    struct watch *w = ctx;
    assert_true(w->calls == 0 || (done > w->done && total == w->total));
    w->done = done;
    w->total = total;
    return ++w->calls != w->stop_at;
}

static void progress_counts_up_to_the_total_and_can_stop(void **state)
{
    (void)state;
    struct watch w = {0};
    assert_int_equal(bp_sample_write("m", &SMALL, watch_progress, &w, &err), BP_OK);
    assert_true(w.calls == 1 + 3 + 3 * 9);
    assert_true(w.done == w.total);
    for (uint64_t stop_at = 1; stop_at <= w.calls; stop_at += 10) {
        struct watch stop = {.stop_at = stop_at};
        assert_int_equal(bp_sample_write("s", &SMALL, watch_progress, &stop, &err), BP_STOPPED);
        assert_int_equal(count_entries("."), 1);
    }
}

/* --- options --- */

static void wrong_options_are_refused_by_name(void **state)
{
    (void)state;
    static const struct {
        struct bp_sample_options options;
        const char *word;
    } cases[] = {
        {{.layers = 0, .hidden = 64, .vocab = 9}, "layers is 0"},
        {{.layers = 1001, .hidden = 64, .vocab = 9}, "layers is 1001"},
        {{.layers = 1, .hidden = 0, .vocab = 9}, "hidden is 0"},
        {{.layers = 1, .hidden = 100, .vocab = 9}, "hidden is 100"},
        {{.layers = 1, .hidden = UINT64_MAX - 63, .vocab = 9}, "hidden is 1844"},
        {{.layers = 1, .hidden = 64, .vocab = 0}, "vocab is 0"},
        {{.layers = 1, .hidden = 64, .vocab = UINT64_MAX}, "vocab is 1844"},
        {{.layers = 1, .hidden = 64, .kv_dim = 24, .vocab = 9}, "kv_dim is 24"},
        {{.layers = 1, .hidden = 64, .kv_dim = 48, .vocab = 9}, "kv_dim is 48"},
        {{.layers = 1, .hidden = 64, .kv_dim = 128, .vocab = 9}, "kv_dim is 128"},
        {{.layers = 1, .hidden = 64, .intermediate = UINT64_MAX, .vocab = 9}, "intermediate is"},
        {{.layers = 1000, .hidden = 0x7fffffc0, .vocab = 9}, "intermediate is"},
        {{.layers = 1000, .hidden = 0x7fffffc0, .intermediate = 1, .vocab = 9}, "above the limit"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(bp_sample_write("m", &cases[i].options, NULL, NULL, &err), BP_ERR_USAGE);
        if (!strstr(err.text, cases[i].word))
            fail_msg("case %zu: %s", i, err.text);
        assert_int_equal(count_entries("."), 0);
    }
}

static void zeros_stand_for_the_rules_of_llama(void **state)
{
    (void)state;
    const struct bp_sample_options options = {.layers = 1, .hidden = 4096, .vocab = 1};
    struct bp_sample_layout layout;
    assert_int_equal(bp_sample_layout_init(&layout, &options, UINT64_MAX, &err), BP_OK);
    assert_true(layout.options.intermediate == 11008);
    assert_true(layout.options.kv_dim == 4096);
    bp_sample_layout_done(&layout);
}

/* Parameters as the models' cards and indexes state them; total_size of the 7B's is 13476831232. */
static void known_models_have_their_parameters(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint64_t params, head_dim;
        size_t n_shards;
    } known[] = {
        {"llama-2-7b", UINT64_C(6738415616), 128, 3},
        {"llama-2-13b", UINT64_C(13015864320), 128, 6},
        {"llama-2-70b", UINT64_C(68976648192), 128, 29},
        {"llama-3.1-8b", UINT64_C(8030261248), 128, 4},
        {"tiny", UINT64_C(3164416), 16, 1},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        struct bp_sample_options options = {.seed = 9, .force = true};
        struct bp_sample_layout layout;
        assert_int_equal(bp_sample_shapes(known[i].name, &options, &err), BP_OK);
        assert_true(options.seed == 9 && options.force);
        assert_int_equal(bp_sample_layout_init(&layout, &options, BP_SAMPLE_SHARD_BYTES, &err),
                         BP_OK);
        assert_int_equal(layout.params, known[i].params);
        assert_int_equal(layout.head_dim, known[i].head_dim);
        assert_int_equal(layout.n_shards, known[i].n_shards);
        bp_sample_layout_done(&layout);
    }
    struct bp_sample_options options = {0};
    assert_int_equal(bp_sample_shapes("gpt", &options, &err), BP_ERR_USAGE);
    assert_non_null(strstr(err.text, "gpt"));
    assert_non_null(strstr(err.text, "llama-2-7b"));
    assert_non_null(strstr(err.text, "tiny"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        TEST(same_seed_gives_the_same_bytes),
        TEST(tensors_are_those_of_a_llama),
        TEST(config_describes_the_tensors),
        TEST(shards_hold_what_the_index_says_and_the_same_values),
        TEST(tensor_above_the_limit_has_a_file_of_its_own),
        TEST(any_split_into_rows_gives_the_same_values),
        TEST(kinds_and_layers_differ_as_in_trained_models),
        TEST(existing_files_are_kept_without_force),
        TEST(model_of_the_other_form_is_refused_even_with_force),
        TEST(folder_that_cannot_be_made_or_written_is_an_error),
        TEST(read_only_folder_is_an_error),
        TEST(failed_write_leaves_nothing),
        TEST(model_that_does_not_fit_the_disk_is_refused),
        TEST(progress_counts_up_to_the_total_and_can_stop),
        TEST(wrong_options_are_refused_by_name),
        TEST(zeros_stand_for_the_rules_of_llama),
        TEST(known_models_have_their_parameters),
    };
    return cmocka_run_group_tests_name("sample", tests, NULL, NULL);
}
