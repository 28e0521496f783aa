#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "engine/file_out.h"
#include "engine/mem.h"
#include "engine/printable.h"
#include "engine/safetensors.h"
#include "engine/table.h"
#include "engine/table_meta.h"

/* The tensors of a new table, in file order: 8-byte types first, so that all are aligned. */
enum part { ERROR, STORAGE, NORM, BASELINE, ITERATIONS, STAGE, N_PARTS };

/* How many of them a table has: marks where cells can be at different stages. */
static int n_parts(const struct bp_table *t)
{
    return strcmp(t->about.effort, bp_effort_name(BP_EFFORT_EXACT)) == 0 ? STAGE : N_PARTS;
}

static void part_specs(const struct bp_table *t, struct bp_st_spec specs[N_PARTS])
{
    const uint64_t N = t->n_matrices, C = t->n_candidates;
    specs[ERROR] = (struct bp_st_spec){"error", BP_DTYPE_F64, 2, {N, C}};
    specs[STORAGE] = (struct bp_st_spec){"storage", BP_DTYPE_U64, 2, {N, C}};
    specs[NORM] = (struct bp_st_spec){"norm", BP_DTYPE_F64, 1, {N}};
    specs[BASELINE] = (struct bp_st_spec){"baseline_error", BP_DTYPE_F64, 2, {N, BP_N_BASELINES}};
    specs[ITERATIONS] = (struct bp_st_spec){"iterations", BP_DTYPE_U16, 2, {N, C}};
    specs[STAGE] = (struct bp_st_spec){"stage", BP_DTYPE_U8, 2, {N, C}};
}

/* --- creating --- */

/* The n doubles, or as many NaNs, in pieces, when there are none. */
static enum bp_status write_doubles(struct bp_file_out *out, const double *numbers, uint64_t n,
                                    struct bp_err *err)
{
    enum { PIECE = 4096 };
    double nans[PIECE];
    if (numbers)
        return bp_file_out_write(out, numbers, n * sizeof *numbers, err);
    for (int i = 0; i < PIECE; i++)
        nans[i] = NAN;
    for (; n > 0; n -= n < PIECE ? n : PIECE)
        BP_TRY(bp_file_out_write(out, nans, (n < PIECE ? n : PIECE) * sizeof *nans, err));
    return BP_OK;
}

static enum bp_status write_storage(struct bp_file_out *out, const struct bp_table *t,
                                    uint64_t *row, struct bp_err *err)
{
    for (size_t i = 0; i < t->n_matrices; i++) {
        for (size_t j = 0; j < t->n_candidates; j++)
            if (!bp_config_storage(&t->candidates[j].config, t->matrices[i].d * t->matrices[i].k,
                                   &row[j]))
                return bp_fail(err, BP_ERR_INPUT, "matrix %s is too large to be planned",
                               bp_printable(t->matrices[i].name).text);
        BP_TRY(bp_file_out_write(out, row, t->n_candidates * sizeof *row, err));
    }
    return BP_OK;
}

/* What is known of n is NULL or whole. */
static enum bp_status write_body(struct bp_file_out *out, const struct bp_table *t,
                                 const struct bp_table_numbers *n, struct bp_err *err)
{
    const uint64_t N = t->n_matrices, C = t->n_candidates;
    uint64_t *row = bp_alloc_zero(C, sizeof *row);
    if (!row)
        return bp_fail_nomem(err);
    enum bp_status status = write_doubles(out, n->error, N * C, err);
    if (status == BP_OK)
        status = write_storage(out, t, row, err);
    if (status == BP_OK)
        status = write_doubles(out, n->norm, N, err);
    if (status == BP_OK)
        status = write_doubles(out, n->baseline_error, N * BP_N_BASELINES, err);
    memset(row, 0, C * sizeof *row);
    for (size_t i = 0; i < t->n_matrices && status == BP_OK; i++)
        status = bp_file_out_write(out, n->iterations ? (const void *)(n->iterations + i * C) : row,
                                   C * sizeof(uint16_t), err);
    for (size_t i = 0; n_parts(t) > STAGE && i < t->n_matrices && status == BP_OK; i++)
        status = bp_file_out_write(out, n->stage ? (const void *)(n->stage + i * C) : row,
                                   C * sizeof(uint8_t), err);
    free(row);
    return status;
}

enum bp_status bp_table_write(const struct bp_table *t, const struct bp_table_numbers *numbers,
                              const char *path, bool replace, struct bp_err *err)
{
    struct bp_st_spec specs[N_PARTS];
    struct bp_st_pair pairs[BP_TABLE_META_PAIRS];
    struct bp_file_out out;
    unsigned char *header = NULL;
    size_t n_header;
    part_specs(t, specs);
    BP_TRY(bp_table_meta_build(t, pairs, err));
    enum bp_status status = bp_st_build_header(
        specs, (size_t)n_parts(t), pairs, BP_TABLE_META_PAIRS, &header, &n_header, NULL, NULL, err);
    bp_table_meta_done(pairs);
    if (status != BP_OK)
        return status;
    status = bp_file_out_begin(&out, path, err);
    if (status == BP_OK) {
        status = bp_file_out_write(&out, header, n_header, err);
        if (status == BP_OK)
            status = write_body(&out, t, numbers, err);
        if (status == BP_OK)
            status = bp_file_out_commit(&out, replace, false, err);
        else
            bp_file_out_abandon(&out);
    }
    free(header);
    return status;
}

enum bp_status bp_table_create(const struct bp_table *t, const char *path, bool replace,
                               struct bp_err *err)
{
    return bp_table_write(t, &(struct bp_table_numbers){0}, path, replace, err);
}

/* --- the same work? --- */

/* The tables compared: `want` is what is asked for, or an open table. */
struct pair {
    const struct bp_table *have, *want;
};

static enum bp_status differs_text(const struct pair *p, const char *what, const char *have,
                                   const char *want, struct bp_err *err)
{
    const char *path = p->have->path;
    if (p->want->st)
        return bp_fail(err, BP_ERR_MISMATCH, "%s: is of other work than %s: its %s is %s, there %s",
                       path, p->want->path, what, *have ? bp_printable(have).text : "not stated",
                       *want ? bp_printable(want).text : "not stated");
    return bp_fail(err, BP_ERR_MISMATCH,
                   "%s: exists with other work: its %s is %s, asked for is %s; give another -o, or "
                   "--force to start anew",
                   path, what, *have ? bp_printable(have).text : "not stated",
                   *want ? bp_printable(want).text : "none");
}

static enum bp_status same_text(const struct pair *p, const char *what, const char *have,
                                const char *want, struct bp_err *err)
{
    return strcmp(have, want) == 0 ? BP_OK : differs_text(p, what, have, want, err);
}

static enum bp_status same_u64(const struct pair *p, const char *what, uint64_t have, uint64_t want,
                               struct bp_err *err)
{
    return have == want ? BP_OK
                        : differs_text(p, what, bp_grouped(have).text, bp_grouped(want).text, err);
}

static enum bp_status same_matrices(const struct pair *p, struct bp_err *err)
{
    const struct bp_table *have = p->have, *want = p->want;
    BP_TRY(same_u64(p, "number of matrices", have->n_matrices, want->n_matrices, err));
    for (size_t i = 0; i < have->n_matrices; i++) {
        const struct bp_table_matrix *h = &have->matrices[i], *w = &want->matrices[i];
        BP_TRY(same_text(p, "list of matrices: one", h->name, w->name, err));
        if (h->d != w->d || h->k != w->k)
            return bp_fail(err, BP_ERR_MISMATCH, "%s: %s other work: %s has another shape there",
                           have->path, want->st ? "is of" : "exists with",
                           bp_printable(h->name).text);
    }
    return BP_OK;
}

static enum bp_status same_candidates(const struct pair *p, struct bp_err *err)
{
    const struct bp_table *have = p->have, *want = p->want;
    BP_TRY(same_u64(p, "number of candidates", have->n_candidates, want->n_candidates, err));
    for (size_t j = 0; j < have->n_candidates; j++) {
        const struct bp_candidate *h = &have->candidates[j], *w = &want->candidates[j];
        char a[BP_CANDIDATE_TEXT], b[BP_CANDIDATE_TEXT];
        if (!h->foreign && bp_config_equal(&h->config, &w->config))
            BP_TRY(same_u64(p, "rank", h->rank, w->rank, err));
        BP_TRY(same_text(p, "grid: one config", bp_candidate_format(h, a),
                         bp_candidate_format(w, b), err));
    }
    return BP_OK;
}

enum bp_status bp_table_same_work(const struct bp_table *have, const struct bp_table *want,
                                  struct bp_err *err)
{
    const struct bp_table_about *h = &have->about, *w = &want->about;
    const struct pair pair = {have, want}, *p = &pair;
    BP_TRY(same_text(p, "model fingerprint", h->model_fingerprint, w->model_fingerprint, err));
    BP_TRY(same_matrices(p, err));
    BP_TRY(same_candidates(p, err));
    BP_TRY(same_text(p, "weighting", h->weighting, w->weighting, err));
    BP_TRY(same_text(p, "fingerprint of the weights", h->weighting_fingerprint,
                     w->weighting_fingerprint, err));
    BP_TRY(same_text(p, "effort", h->effort, w->effort, err));
    BP_TRY(same_text(p, "backend", h->on_cuda ? "cuda" : "cpu", w->on_cuda ? "cuda" : "cpu", err));
    BP_TRY(same_u64(p, "cap of the iterations", h->iterations, w->iterations, err));
    BP_TRY(same_u64(p, "seed", h->seed, w->seed, err));
    BP_TRY(same_u64(p, "oversampling", h->oversampling, w->oversampling, err));
    BP_TRY(
        same_u64(p, "number of power iterations", h->power_iterations, w->power_iterations, err));
    return same_u64(p, "version of the method", h->method_version, w->method_version, err);
}

/* --- filling --- */

struct bp_table_writer {
    char *path;
    int fd;
    size_t n_candidates;
    uint8_t *no_marks;        /* [n_candidates] zeros; NULL in a table without marks */
    uint64_t offset[N_PARTS]; /* from the start of the file */
};

/* Processes on several machines fill rows that share a page. Linux' NFS client widens a write to
 * the whole page, with what it last saw of the other rows, unless writes are synchronous
 * (fs/nfs/write.c, nfs_can_extend_write). */
static int how_to_write(const char *path)
{
    struct statfs fs;
    return statfs(path, &fs) == 0 && fs.f_type == NFS_SUPER_MAGIC ? O_DSYNC : 0;
}

enum bp_status bp_table_writer_open(const struct bp_table *t, struct bp_table_writer **out,
                                    struct bp_err *err)
{
    struct bp_st_spec specs[N_PARTS];
    part_specs(t, specs);
    *out = NULL;
    struct bp_table_writer *w = calloc(1, sizeof *w);
    if (!w || !(w->path = bp_strdup(t->path))) {
        free(w);
        return bp_fail_nomem(err);
    }
    w->n_candidates = t->n_candidates;
    w->no_marks = n_parts(t) > STAGE ? bp_alloc_zero(t->n_candidates, 1) : NULL;
    w->fd = open(t->path, O_RDWR | O_CLOEXEC | how_to_write(t->path));
    enum bp_status status = BP_OK;
    if (n_parts(t) > STAGE && !w->no_marks)
        status = bp_fail_nomem(err);
    else if (w->fd < 0)
        status = bp_fail(err, BP_ERR_FAILED, "%s: cannot be written: %s", t->path, strerror(errno));
    for (int i = 0; i < n_parts(t) && status == BP_OK; i++) {
        const struct bp_st_tensor *tensor = bp_st_find(t->st, specs[i].name);
        if (!tensor)
            status = bp_fail(err, BP_ERR_MISMATCH,
                             "%s: has no tensor `%s`, so it cannot be filled; give another -o",
                             t->path, specs[i].name);
        else
            w->offset[i] = 8 + t->st->header_bytes + tensor->begin;
    }
    if (status != BP_OK) {
        bp_table_writer_close(w, NULL);
        return status;
    }
    *out = w;
    return BP_OK;
}

/* Puts on the disk what was written so far: a power cut must not leave what counts a row as whole
 * without the row. A few milliseconds, where a row takes tenths of a second and more. */
static enum bp_status settle(const struct bp_table_writer *w, struct bp_err *err)
{
    if (fdatasync(w->fd) == 0 || errno == EINVAL)
        return BP_OK;
    return bp_fail(err, BP_ERR_FAILED, "%s: cannot be written: %s", w->path, strerror(errno));
}

enum bp_status bp_table_writer_put(struct bp_table_writer *w, size_t i,
                                   const struct bp_table_row *row, struct bp_err *err)
{
    const size_t C = w->n_candidates;
    const uint64_t marks = w->offset[STAGE] + i * C;
    if (w->no_marks)
        BP_TRY(bp_pwrite_all(w->fd, w->path, w->no_marks, C, marks, err));
    BP_TRY(bp_pwrite_all(w->fd, w->path, row->iterations, C * sizeof *row->iterations,
                         w->offset[ITERATIONS] + i * C * sizeof *row->iterations, err));
    BP_TRY(bp_pwrite_all(
        w->fd, w->path, row->baseline_error, BP_N_BASELINES * sizeof *row->baseline_error,
        w->offset[BASELINE] + i * BP_N_BASELINES * sizeof *row->baseline_error, err));
    BP_TRY(bp_pwrite_all(w->fd, w->path, &row->norm, sizeof row->norm,
                         w->offset[NORM] + i * sizeof row->norm, err));
    /* What counts comes last: without marks a row whose errors are all there is whole, with marks
     * it has come as far as they say. */
    if (!w->no_marks)
        BP_TRY(settle(w, err));
    BP_TRY(bp_pwrite_all(w->fd, w->path, row->error, C * sizeof *row->error,
                         w->offset[ERROR] + i * C * sizeof *row->error, err));
    if (!w->no_marks)
        return BP_OK;
    BP_TRY(settle(w, err));
    return bp_pwrite_all(w->fd, w->path, row->stage, C, marks, err);
}

enum bp_status bp_table_writer_close(struct bp_table_writer *w, struct bp_err *err)
{
    enum bp_status status = BP_OK;
    if (!w)
        return BP_OK;
    if (w->fd >= 0) {
        if (fsync(w->fd) != 0 && errno != EINVAL)
            status =
                bp_fail(err, BP_ERR_FAILED, "%s: cannot be written: %s", w->path, strerror(errno));
        close(w->fd);
    }
    free(w->no_marks);
    free(w->path);
    free(w);
    return status;
}
