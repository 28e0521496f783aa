#include "engine/sample_files.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "engine/file_out.h"
#include "engine/mem.h"
#include "engine/printable.h"
#include "engine/safetensors.h"
#include "engine/sample_weights.h"

/* Elements of one row block: 4 MiB of FP32, and some hundredths of a second between two reports. */
enum { BLOCK_ELEMS = 1 << 20 };

static const char SINGLE_NAME[] = "model.safetensors";
static const char INDEX_NAME[] = "model.safetensors.index.json";
static const char CONFIG_NAME[] = "config.json";

/* One run. The files are all begun first and named last, so that a folder that is not writable
 * shows at once and a run that fails or is stopped leaves nothing behind. */
struct job {
    const char *dir;
    const struct bp_sample_layout *layout;
    bool made_dir;
    char **paths;              /* [n_files] the shards, the index if there is one, config.json */
    struct bp_file_out *files; /* [n_files] */
    size_t n_files;
    size_t n_begun; /* files[n_done .. n_begun - 1] are to be committed or abandoned */
    size_t n_done;
    uint64_t params_done;
    bp_progress_fn *progress;
    void *progress_ctx;
};

static bool is_sharded(const struct job *job)
{
    return job->layout->n_shards > 1;
}

/* --- before the first byte --- */

static enum bp_status list_paths(struct job *job, struct bp_err *err)
{
    size_t n = job->layout->n_shards;
    job->n_files = n + (is_sharded(job) ? 2 : 1);
    job->paths = bp_alloc_zero(job->n_files, sizeof *job->paths);
    job->files = bp_alloc_zero(job->n_files, sizeof *job->files);
    if (!job->paths || !job->files)
        return bp_fail_nomem(err);
    for (size_t i = 0; i < job->n_files; i++) {
        char *name = i < n                       ? bp_sample_shard_name(job->layout, i)
                     : i == n && is_sharded(job) ? bp_strdup(INDEX_NAME)
                                                 : bp_strdup(CONFIG_NAME);
        job->paths[i] = name ? bp_format("%s/%s", job->dir, name) : NULL;
        free(name);
        if (!job->paths[i])
            return bp_fail_nomem(err);
    }
    return BP_OK;
}

static enum bp_status make_dir(struct job *job, struct bp_err *err)
{
    struct stat st;
    if (mkdir(job->dir, 0777) == 0) {
        job->made_dir = true;
        return BP_OK;
    }
    if (errno == EEXIST && stat(job->dir, &st) == 0 && S_ISDIR(st.st_mode))
        return BP_OK;
    if (errno == EEXIST)
        return bp_fail(err, BP_ERR_FAILED, "%s: is not a folder", job->dir);
    if (errno == ENOENT)
        return bp_fail(err, BP_ERR_FAILED,
                       "%s: cannot be made, the folder it is to be in does not exist", job->dir);
    return bp_fail(err, BP_ERR_FAILED, "%s: cannot be made: %s", job->dir, strerror(errno));
}

/* A folder that holds both one file and an index is ambiguous to its readers: the rest of a model
 * of the other form is refused even with force, as it is not ours to remove. */
static enum bp_status check_other_form(const struct job *job, struct bp_err *err)
{
    struct stat st;
    const char *other = is_sharded(job) ? SINGLE_NAME : INDEX_NAME;
    char *path = bp_format("%s/%s", job->dir, other);
    if (!path)
        return bp_fail_nomem(err);
    bool taken = lstat(path, &st) == 0;
    free(path);
    if (taken)
        return bp_fail(err, BP_ERR_MISMATCH,
                       "%s: holds %s of another model; remove it or choose another folder",
                       job->dir, other);
    return BP_OK;
}

static enum bp_status check_names(const struct job *job, struct bp_err *err)
{
    BP_TRY(check_other_form(job, err));
    for (size_t i = 0; i < job->n_files; i++) {
        struct stat st;
        if (lstat(job->paths[i], &st) != 0)
            continue;
        if (S_ISDIR(st.st_mode))
            return bp_fail(err, BP_ERR_FAILED, "%s: is a folder", job->paths[i]);
        if (!job->layout->options.force)
            return bp_fail(err, BP_ERR_MISMATCH,
                           "%s: exists already and was kept; give --force to replace it",
                           job->paths[i]);
    }
    return BP_OK;
}

/* A full disk after an hour is worse than a refusal at once. File systems that do not tell count as
 * large enough. */
static enum bp_status check_space(const struct job *job, struct bp_err *err)
{
    struct statvfs fs;
    if (statvfs(job->dir, &fs) != 0 || fs.f_blocks == 0)
        return BP_OK;
    double needed = 2.0 * (double)job->layout->params;
    double there = (double)fs.f_bavail * (double)fs.f_frsize;
    if (needed > there)
        return bp_fail(err, BP_ERR_FAILED, "%s: the model takes %s bytes, but only %s are free",
                       job->dir, bp_grouped((uint64_t)needed).text,
                       bp_grouped((uint64_t)there).text);
    return BP_OK;
}

static enum bp_status begin_files(struct job *job, struct bp_err *err)
{
    for (; job->n_begun < job->n_files; job->n_begun++)
        BP_TRY(bp_file_out_begin(&job->files[job->n_begun], job->paths[job->n_begun], err));
    return BP_OK;
}

/* --- content --- */

static enum bp_status write_text(struct bp_file_out *out, char *text, struct bp_err *err)
{
    if (!text)
        return bp_fail_nomem(err);
    enum bp_status status = bp_file_out_write(out, text, strlen(text), err);
    free(text);
    return status;
}

static enum bp_status write_texts(struct job *job, struct bp_err *err)
{
    if (is_sharded(job))
        BP_TRY(
            write_text(&job->files[job->layout->n_shards], bp_sample_index_json(job->layout), err));
    return write_text(&job->files[job->n_files - 1], bp_sample_config_json(job->layout), err);
}

static enum bp_status report(struct job *job, struct bp_err *err)
{
    if (job->progress && !job->progress(job->progress_ctx, job->params_done, job->layout->params))
        return bp_fail(err, BP_STOPPED, "%s: stopped, nothing was written", job->dir);
    return BP_OK;
}

/* The rows that are computed and written at a time. */
struct block {
    uint64_t rows;
    uint16_t *values; /* [rows * cols] */
    float *work;      /* [rows * cols] */
};

static enum bp_status write_rows(struct job *job, struct bp_file_out *out,
                                 const struct bp_sample_tensor *t,
                                 const struct bp_sample_weights *weights, const struct block *block,
                                 struct bp_err *err)
{
    for (uint64_t row = 0; row < t->rows; row += block->rows) {
        uint64_t rows = t->rows - row < block->rows ? t->rows - row : block->rows;
        size_t n = rows * t->cols;
        bp_sample_weights_rows(weights, row, rows, block->values, block->work);
        for (size_t i = 0; i < n; i++)
            block->values[i] = htole16(block->values[i]);
        BP_TRY(bp_file_out_write(out, block->values, n * sizeof *block->values, err));
        job->params_done += n;
        BP_TRY(report(job, err));
    }
    return BP_OK;
}

static enum bp_status write_tensor(struct job *job, struct bp_file_out *out,
                                   const struct bp_sample_tensor *t, struct bp_err *err)
{
    const struct bp_sample_options *o = &job->layout->options;
    const struct bp_sample_weights_spec spec = {.seed = o->seed,
                                                .name = t->name,
                                                .kind = t->kind,
                                                .rows = t->rows,
                                                .cols = t->cols,
                                                .hidden = o->hidden,
                                                .head_dim = job->layout->head_dim,
                                                .depth = t->depth};
    struct bp_sample_weights *weights;
    BP_TRY(bp_sample_weights_new(&spec, &weights, err));
    struct block block = {.rows = BLOCK_ELEMS / t->cols};
    if (block.rows < 1)
        block.rows = 1;
    if (block.rows > t->rows)
        block.rows = t->rows;
    block.values = bp_alloc(block.rows * t->cols, sizeof *block.values);
    block.work = bp_alloc(block.rows * t->cols, sizeof *block.work);
    enum bp_status status = block.values && block.work
                                ? write_rows(job, out, t, weights, &block, err)
                                : bp_fail_nomem(err);
    free(block.work);
    free(block.values);
    bp_sample_weights_free(weights);
    return status;
}

/* Tensors [n] of one file, as the header's builder wants them. */
static enum bp_status write_header(struct job *job, struct bp_file_out *out,
                                   const struct bp_sample_tensor *tensors, size_t n,
                                   struct bp_err *err)
{
    char seed[24], key_format[] = "format", key_synthetic[] = "bitplan.synthetic",
                   key_seed[] = "bitplan.seed", pt[] = "pt", yes[] = "true";
    snprintf(seed, sizeof seed, "%" PRIu64, job->layout->options.seed);
    const struct bp_st_pair metadata[] = {{key_format, pt}, {key_synthetic, yes}, {key_seed, seed}};
    struct bp_st_spec *specs = bp_alloc_zero(n, sizeof *specs);
    if (!specs)
        return bp_fail_nomem(err);
    for (size_t i = 0; i < n; i++) {
        bool vector = tensors[i].kind == BP_SAMPLE_NORM;
        specs[i] = (struct bp_st_spec){.name = tensors[i].name,
                                       .dtype = BP_DTYPE_BF16,
                                       .n_dims = vector ? 1 : 2,
                                       .shape = {tensors[i].rows, tensors[i].cols}};
        if (vector)
            specs[i].shape[0] = tensors[i].cols;
    }
    unsigned char *header = NULL;
    size_t n_header;
    enum bp_status status =
        bp_st_build_header(specs, n, metadata, 3, &header, &n_header, NULL, NULL, err);
    if (status == BP_OK)
        status = bp_file_out_write(out, header, n_header, err);
    free(header);
    free(specs);
    return status;
}

static enum bp_status write_shards(struct job *job, struct bp_err *err)
{
    const struct bp_sample_layout *layout = job->layout;
    BP_TRY(report(job, err));
    for (size_t first = 0, end; first < layout->n_tensors; first = end) {
        size_t shard = layout->tensors[first].shard;
        struct bp_file_out *out = &job->files[shard];
        for (end = first; end < layout->n_tensors && layout->tensors[end].shard == shard; end++)
            ;
        BP_TRY(write_header(job, out, layout->tensors + first, end - first, err));
        for (size_t i = first; i < end; i++)
            BP_TRY(write_tensor(job, out, &layout->tensors[i], err));
    }
    return BP_OK;
}

/* config.json comes last: a folder that has one has the rest. */
static enum bp_status name_files(struct job *job, struct bp_err *err)
{
    while (job->n_done < job->n_files) {
        size_t i = job->n_done++;
        BP_TRY(bp_file_out_commit(&job->files[i], job->layout->options.force, false, err));
    }
    return BP_OK;
}

static enum bp_status run(struct job *job, struct bp_err *err)
{
    BP_TRY(list_paths(job, err));
    BP_TRY(make_dir(job, err));
    BP_TRY(check_names(job, err));
    BP_TRY(check_space(job, err));
    BP_TRY(begin_files(job, err));
    BP_TRY(write_texts(job, err));
    BP_TRY(write_shards(job, err));
    return name_files(job, err);
}

/* A run that failed while it named its files leaves none of them: without force every name was
 * free, so what stands there is this run's. With force the old files are gone, and the new ones
 * stay. */
static void take_back(const struct job *job)
{
    for (size_t i = 0; !job->layout->options.force && i + 1 < job->n_done; i++)
        (void)unlink(job->paths[i]);
}

enum bp_status bp_sample_write_layout(const char *dir, const struct bp_sample_layout *layout,
                                      bp_progress_fn *progress, void *progress_ctx,
                                      struct bp_err *err)
{
    struct job job = {
        .dir = dir, .layout = layout, .progress = progress, .progress_ctx = progress_ctx};
    enum bp_status status = run(&job, err);
    for (size_t i = job.n_done; i < job.n_begun; i++)
        bp_file_out_abandon(&job.files[i]);
    if (status != BP_OK)
        take_back(&job);
    if (status != BP_OK && job.made_dir)
        (void)rmdir(dir); /* goes only when it is empty */
    for (size_t i = 0; job.paths && i < job.n_files; i++)
        free(job.paths[i]);
    free(job.paths);
    free(job.files);
    return status;
}
