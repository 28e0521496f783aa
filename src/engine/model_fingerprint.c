#include "engine/model_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "engine/mem.h"

enum { WHOLE_BYTES = 256 << 10, PAGE_BYTES = 4096, N_PAGES = 64 };

/* First byte of sampled page i: evenly spaced, page 0 at the start, page 63 at the end.
 * floor(i * (n - 4096) / 63), written so that nothing overflows. */
static uint64_t page_offset(uint64_t n_bytes, unsigned i)
{
    uint64_t span = n_bytes - PAGE_BYTES;
    return span / (N_PAGES - 1) * i + span % (N_PAGES - 1) * i / (N_PAGES - 1);
}

static void hash_u64(XXH3_state_t *state, uint64_t value)
{
    unsigned char bytes[8];
    for (int i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(value >> 8 * i);
    XXH3_128bits_update(state, bytes, sizeof bytes);
}

/* Reads n bytes of a tensor from byte `at` on. Read, not mapped: thousands of scattered page faults
 * cost more, and a file that shrinks meanwhile gives a sentence. */
static enum bp_status read_bytes(const struct bp_st *st, const struct bp_st_tensor *t, uint64_t at,
                                 size_t n, unsigned char *out, struct bp_err *err)
{
    off_t from = (off_t)(8 + st->header_bytes + t->begin + at);
    for (size_t done = 0; done < n;) {
        ssize_t got = pread(st->fd, out + done, n - done, from + (off_t)done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return bp_fail(err, BP_ERR_FAILED, "%s: cannot be read: %s", st->path, strerror(errno));
        if (got == 0)
            return bp_fail(err, BP_ERR_FAILED, "%s: became shorter while it was read", st->path);
        done += (size_t)got;
    }
    return BP_OK;
}

static enum bp_status hash_tensor(XXH3_state_t *state, const struct bp_st *st,
                                  const struct bp_st_tensor *t, unsigned char *buffer,
                                  struct bp_err *err)
{
    const char *dtype = bp_dtype_name(t->dtype);
    XXH3_128bits_update(state, t->name, strlen(t->name) + 1);
    XXH3_128bits_update(state, dtype, strlen(dtype) + 1);
    hash_u64(state, t->n_dims);
    for (unsigned i = 0; i < t->n_dims; i++)
        hash_u64(state, t->shape[i]);
    if (t->n_bytes <= WHOLE_BYTES) {
        BP_TRY(read_bytes(st, t, 0, t->n_bytes, buffer, err));
        XXH3_128bits_update(state, buffer, t->n_bytes);
        return BP_OK;
    }
    /* All pages are asked for at once: one after the other, each would wait for the disk. */
    for (unsigned i = 0; i < N_PAGES; i++)
        posix_fadvise(st->fd, (off_t)(8 + st->header_bytes + t->begin + page_offset(t->n_bytes, i)),
                      PAGE_BYTES, POSIX_FADV_WILLNEED);
    for (unsigned i = 0; i < N_PAGES; i++) {
        BP_TRY(read_bytes(st, t, page_offset(t->n_bytes, i), PAGE_BYTES, buffer, err));
        XXH3_128bits_update(state, buffer, PAGE_BYTES);
    }
    return BP_OK;
}

/* Read-ahead around scattered pages would fetch most of the model. */
static void advise_all(const struct bp_model *model, int advice)
{
    for (size_t i = 0; i < model->n_files; i++)
        posix_fadvise(model->files[i]->fd, 0, 0, advice);
}

enum bp_status bp_model_hash(struct bp_model *model, struct bp_err *err)
{
    enum bp_status status = BP_OK;
    XXH3_state_t *state = XXH3_createState();
    unsigned char *buffer = bp_alloc(WHOLE_BYTES, 1);
    if (!state || !buffer) {
        status = bp_fail_nomem(err);
    } else {
        XXH3_128bits_reset(state);
        advise_all(model, POSIX_FADV_RANDOM);
        for (size_t i = 0; status == BP_OK && i < model->n_tensors; i++)
            status = hash_tensor(state, model->tensors[i].st, model->tensors[i].t, buffer, err);
        advise_all(model, POSIX_FADV_NORMAL);
    }
    if (status == BP_OK) {
        XXH128_hash_t hash = XXH3_128bits_digest(state);
        model->fingerprint = bp_format("xxh3:%016" PRIx64 "%016" PRIx64, hash.high64, hash.low64);
        if (!model->fingerprint)
            status = bp_fail_nomem(err);
    }
    XXH3_freeState(state);
    free(buffer);
    return status;
}
