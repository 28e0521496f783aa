/* Fuzz target: a model folder whose index is the input up to its first NUL and whose config.json
 * is the rest (none without a NUL), over two fixed shards. A model that opens adds up, and all of
 * it can be read. */
#include "fuzz.h"

#include <fcntl.h>

#include "engine/model.h"

#define SHARD_1 "model-00001-of-00002.safetensors"
#define SHARD_2 "model-00002-of-00002.safetensors"
#define INDEX   "model.safetensors.index.json"
#define CONFIG  "config.json"

enum { MAX_ELEMS = 1024 };

/* The head repeats the embedding: both hold nothing but zeros. */
static const struct bp_st_spec shard_1[] = {
    {"model.embed_tokens.weight", BP_DTYPE_BF16, 2, {20, 16}},
    {"model.layers.0.self_attn.q_proj.weight", BP_DTYPE_BF16, 2, {16, 16}},
    {"model.layers.1.mlp.experts.gate_up_proj", BP_DTYPE_F16, 3, {2, 16, 32}},
};
static const struct bp_st_spec shard_2[] = {
    {"lm_head.weight", BP_DTYPE_BF16, 2, {20, 16}},
    {"model.layers.1.self_attn.k_proj.weight", BP_DTYPE_F32, 2, {16, 20}},
    {"model.norm.weight", BP_DTYPE_F32, 1, {16}},
};

static char folder[256];
static int folder_fd;

static void clean_up(void)
{
    static const char *const files[] = {SHARD_1, SHARD_2, INDEX, CONFIG};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        unlinkat(folder_fd, files[i], 0);
    rmdir(folder);
}

static void write_file(const char *name, const void *data, size_t size, uint64_t length)
{
    int fd = openat(folder_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    must(fd >= 0 && write(fd, data, size) == (ssize_t)size);
    must(ftruncate(fd, (off_t)length) == 0 && close(fd) == 0);
}

static void write_shard(const char *name, const struct bp_st_spec *specs, size_t n)
{
    const struct bp_st_pair tied = {(char *)"another.weight", (char *)"model.embed_tokens.weight"};
    unsigned char *header;
    size_t n_header;
    uint64_t n_bytes;
    must(bp_st_build_header(specs, n, &tied, 1, &header, &n_header, NULL, &n_bytes, NULL) == BP_OK);
    write_file(name, header, n_header, n_bytes);
    free(header);
}

static void make_folder(void)
{
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/bitplan-fuzz-XXXXXX", base && *base ? base : "/tmp");
    must(mkdtemp(folder) != NULL);
    folder_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    must(folder_fd > 0);
    atexit(clean_up);
    write_shard(SHARD_1, shard_1, sizeof shard_1 / sizeof *shard_1);
    write_shard(SHARD_2, shard_2, sizeof shard_2 / sizeof *shard_2);
}

static void touch(const struct bp_model *model)
{
    uint64_t params = 0, planned = 0;
    for (size_t i = 0; i < model->n_tensors; i++)
        params += model->tensors[i].t->n_elems;
    for (size_t i = 0; i < model->n_matrices; i++) {
        float W[MAX_ELEMS];
        planned += model->matrices[i].d * model->matrices[i].k;
        must(model->matrices[i].d * model->matrices[i].k <= MAX_ELEMS);
        must(bp_model_read(model, i, W, NULL) == BP_OK);
    }
    must(params == model->params && planned == model->params_planned);
    must(model->fingerprint && model->name && model->architecture);
    for (size_t i = 0; i < model->n_warnings; i++)
        for (const char *p = model->warnings[i]; *p; p++)
            must((unsigned char)*p >= 0x20 && *p != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bp_model *model;
    struct bp_err err = {""};
    if (!folder_fd)
        make_folder();
    const uint8_t *nul = size ? memchr(data, '\0', size) : NULL;
    const size_t n_index = nul ? (size_t)(nul - data) : size;
    write_file(INDEX, data, n_index, n_index);
    if (nul)
        write_file(CONFIG, nul + 1, size - n_index - 1, size - n_index - 1);
    else
        unlinkat(folder_fd, CONFIG, 0);
    enum bp_status status = bp_model_open(folder, NULL, &model, &err);
    must((status == BP_OK) == (model != NULL));
    must(status == BP_OK || status == BP_ERR_INPUT);
    must_say(status, &err);
    if (status == BP_OK)
        touch(model);
    bp_model_close(model);
    return 0;
}
