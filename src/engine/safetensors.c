#include "engine/safetensors.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "engine/mem.h"
#include "engine/printable.h"
#include "engine/st_header.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "values are read without swapping bytes");

/* The index is a sorted array, not a hash table: whoever writes a file can choose names that
 * collide in any table, a sort stays O(n log n). */
struct bp_st_slot {
    uint64_t hash;
    const char *name;
    size_t tensor;
};

static uint64_t hash_name(const char *name)
{
    return XXH3_64bits(name, strlen(name));
}

static int compare_slots(const void *a, const void *b)
{
    const struct bp_st_slot *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return strcmp(x->name, y->name);
}

static int compare_tensors(const void *a, const void *b)
{
    const struct bp_st_tensor *x = a, *y = b;
    if (x->begin != y->begin)
        return x->begin < y->begin ? -1 : 1;
    if (x->n_bytes != y->n_bytes)
        return x->n_bytes < y->n_bytes ? -1 : 1;
    return strcmp(x->name, y->name); /* empty tensors at one place */
}

/* Sorted array of (hash, name) over n names that lie `stride` bytes apart; *duplicate gets a name
 * that occurs twice, or NULL. NULL when out of memory. */
static struct bp_st_slot *build_slots(const void *names, size_t n, size_t stride,
                                      const char **duplicate)
{
    struct bp_st_slot *slots = bp_alloc(n, sizeof *slots);
    *duplicate = NULL;
    if (!slots)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        const char *name;
        memcpy(&name, (const char *)names + i * stride, sizeof name);
        slots[i] = (struct bp_st_slot){hash_name(name), name, i};
    }
    if (n)
        qsort(slots, n, sizeof *slots, compare_slots);
    for (size_t i = 1; i < n && !*duplicate; i++)
        if (compare_slots(&slots[i - 1], &slots[i]) == 0)
            *duplicate = slots[i].name;
    return slots;
}

static enum bp_status index_names(struct bp_st *st, struct bp_err *err)
{
    const char *twice;
    _Static_assert(offsetof(struct bp_st_tensor, name) == 0, "names lead");
    _Static_assert(offsetof(struct bp_st_pair, key) == 0, "keys lead");
    struct bp_st_slot *keys =
        build_slots(st->metadata, st->n_metadata, sizeof *st->metadata, &twice);
    if (!keys)
        return bp_fail_nomem(err);
    free(keys);
    if (twice)
        return bp_fail(err, BP_ERR_INPUT, "%s: the key \"%s\" appears twice in __metadata__",
                       st->path, bp_printable(twice).text);
    st->index = build_slots(st->tensors, st->n_tensors, sizeof *st->tensors, &twice);
    if (!st->index)
        return bp_fail_nomem(err);
    if (twice)
        return bp_fail(err, BP_ERR_INPUT, "%s: tensor %s appears twice; the file is ambiguous",
                       st->path, bp_printable(twice).text);
    return BP_OK;
}

/* Bytes of a tensor of that shape, every product checked; NULL, or words on what is wrong. */
static const char *tensor_bytes(enum bp_dtype dtype, unsigned n_dims, const uint64_t *shape,
                                uint64_t *n_elems, uint64_t *n_bytes)
{
    uint64_t bits;
    *n_elems = 1;
    for (unsigned i = 0; i < n_dims; i++)
        if (!bp_mul_u64(*n_elems, shape[i], n_elems))
            return "has a shape whose product overflows";
    if (!bp_mul_u64(*n_elems, bp_dtype_bits(dtype), &bits))
        return "has a size that overflows";
    if (bits % 8)
        return "does not fill whole bytes";
    *n_bytes = bits / 8;
    return NULL;
}

/* Rules 5 and 6: in the order of the data, each tensor begins where the one before ended, and its
 * shape says how long it is. */
static enum bp_status check_tensors(struct bp_st *st, struct bp_err *err)
{
    uint64_t end = 0, bytes;
    for (size_t i = 0; i < st->n_tensors; i++) {
        struct bp_st_tensor *t = &st->tensors[i];
        struct bp_printable name = bp_printable(t->name);
        if (t->begin != end)
            return bp_fail(err, BP_ERR_INPUT,
                           "%s: tensor %s begins at byte %" PRIu64
                           " of the data instead of %" PRIu64
                           "; the tensors must cover the data without holes or overlaps",
                           st->path, name.text, t->begin, end);
        const char *wrong = tensor_bytes(t->dtype, t->n_dims, t->shape, &t->n_elems, &bytes);
        if (wrong)
            return bp_fail(err, BP_ERR_INPUT, "%s: tensor %s %s; download the file again", st->path,
                           name.text, wrong);
        if (bytes != t->n_bytes)
            return bp_fail(err, BP_ERR_INPUT,
                           "%s: tensor %s needs %" PRIu64 " bytes by its shape and dtype but its "
                           "data_offsets give %" PRIu64 "; download the file again",
                           st->path, name.text, bytes, t->n_bytes);
        end += bytes; /* the end read from the header: no overflow */
    }
    if (end > st->data_bytes)
        return bp_fail(err, BP_ERR_INPUT, "%s: truncated, %s bytes missing; download it again",
                       st->path, bp_grouped(end - st->data_bytes).text);
    if (end < st->data_bytes)
        return bp_fail(err, BP_ERR_INPUT,
                       "%s: %s bytes after the last tensor; a safetensors file ends with its last "
                       "tensor, download it again",
                       st->path, bp_grouped(st->data_bytes - end).text);
    return BP_OK;
}

/* "\nsize 123\n" of a Git LFS pointer. */
static bool lfs_size(const unsigned char *bytes, size_t n_bytes, uint64_t *out)
{
    static const char key[] = "\nsize ";
    const unsigned char *hit = memmem(bytes, n_bytes < 1024 ? n_bytes : 1024, key, sizeof key - 1);
    if (!hit)
        return false;
    *out = 0;
    hit += sizeof key - 1;
    const unsigned char *digits = hit;
    for (; hit < bytes + n_bytes && *hit >= '0' && *hit <= '9'; hit++)
        if (__builtin_mul_overflow(*out, (uint64_t)10, out) ||
            __builtin_add_overflow(*out, (uint64_t)(*hit - '0'), out))
            return false;
    return hit > digits;
}

static bool starts_with(const unsigned char *bytes, size_t n_bytes, const char *magic)
{
    size_t n = strlen(magic);
    return n_bytes >= n && memcmp(bytes, magic, n) == 0;
}

/* What people really hand in instead of a safetensors file. */
static enum bp_status check_kind(const unsigned char *bytes, size_t n_bytes, const char *path,
                                 struct bp_err *err)
{
    uint64_t real;
    if (starts_with(bytes, n_bytes, "version https://git-lfs")) {
        if (lfs_size(bytes, n_bytes, &real))
            return bp_fail(err, BP_ERR_INPUT,
                           "%s: is a Git LFS pointer (real size %s bytes); run git lfs pull", path,
                           bp_grouped(real).text);
        return bp_fail(err, BP_ERR_INPUT, "%s: is a Git LFS pointer; run git lfs pull", path);
    }
    if (starts_with(bytes, n_bytes, "PK\003\004"))
        return bp_fail(err, BP_ERR_INPUT,
                       "%s: is a zip archive (a PyTorch file?), not safetensors; convert it", path);
    if (starts_with(bytes, n_bytes, "GGUF"))
        return bp_fail(err, BP_ERR_INPUT,
                       "%s: is a GGUF file, not safetensors; use the original model", path);
    if (n_bytes < 8)
        return bp_fail(err, BP_ERR_INPUT,
                       "%s: only %zu bytes, too short for a safetensors file; download it again",
                       path, n_bytes);
    return BP_OK;
}

/* Everything after the bytes are there. */
static enum bp_status load(struct bp_st *st, const unsigned char *bytes, size_t n_bytes,
                           struct bp_err *err)
{
    struct bp_st_header header;
    uint64_t n;
    BP_TRY(check_kind(bytes, n_bytes, st->path, err));
    memcpy(&n, bytes, sizeof n);
    if (n > BP_ST_MAX_HEADER)
        return bp_fail(err, BP_ERR_INPUT,
                       "%s: not a safetensors file (its header would be %s bytes, the limit is %s)",
                       st->path, bp_grouped(n).text, bp_grouped(BP_ST_MAX_HEADER).text);
    if (n > n_bytes - 8)
        return bp_fail(err, BP_ERR_INPUT,
                       "%s: truncated inside its header, at least %s bytes missing; download it "
                       "again",
                       st->path, bp_grouped(n - (n_bytes - 8)).text);
    st->header_bytes = n;
    st->data = bytes + 8 + n;
    st->data_bytes = n_bytes - 8 - n;

    enum bp_status status = bp_st_header_parse(bytes + 8, (size_t)n, st->path, &header, err);
    if (status != BP_OK) {
        bp_st_header_done(&header);
        return status;
    }
    st->tensors = header.tensors;
    st->n_tensors = header.n_tensors;
    st->metadata = header.metadata;
    st->n_metadata = header.n_metadata;
    st->strings = header.strings;
    if (st->n_tensors)
        qsort(st->tensors, st->n_tensors, sizeof *st->tensors, compare_tensors);
    BP_TRY(index_names(st, err));
    return check_tensors(st, err);
}

static struct bp_st *new_st(const char *path)
{
    struct bp_st *st = bp_alloc_zero(1, sizeof *st);
    if (!st)
        return NULL;
    st->fd = -1;
    st->path = bp_strdup(path);
    return st->path ? st : bp_st_close(st);
}

enum bp_status bp_st_parse(const void *bytes, size_t n_bytes, const char *path, struct bp_st **out,
                           struct bp_err *err)
{
    *out = NULL;
    struct bp_st *st = new_st(path);
    if (!st)
        return bp_fail_nomem(err);
    enum bp_status status = load(st, bytes, n_bytes, err);
    if (status != BP_OK)
        st = bp_st_close(st);
    *out = st;
    return status;
}

/* Maps the whole of an open file. An empty file cannot be mapped; load says that it is too short.
 */
static enum bp_status map_file(struct bp_st *st, struct bp_err *err)
{
    struct stat info;
    if (fstat(st->fd, &info) != 0)
        return bp_fail(err, BP_ERR_FAILED, "%s: cannot be read: %s", st->path, strerror(errno));
    if (S_ISDIR(info.st_mode))
        return bp_fail(err, BP_ERR_INPUT, "%s: is a folder, not a safetensors file", st->path);
    if (!S_ISREG(info.st_mode))
        return bp_fail(err, BP_ERR_INPUT, "%s: is not a regular file", st->path);
    if (info.st_size == 0)
        return BP_OK;
    void *map = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE | MAP_NORESERVE, st->fd, 0);
    if (map == MAP_FAILED)
        return bp_fail(err, BP_ERR_FAILED, "%s: cannot be mapped: %s", st->path, strerror(errno));
    st->map = map;
    st->map_bytes = (size_t)info.st_size;
    return BP_OK;
}

/* The system is at its limits; all else, a missing file or no permission, lies with the path. */
static bool is_refusal(int error)
{
    return error == EIO || error == ENOMEM || error == EMFILE || error == ENFILE;
}

enum bp_status bp_st_open(const char *path, struct bp_st **out, struct bp_err *err)
{
    *out = NULL;
    struct bp_st *st = new_st(path);
    if (!st)
        return bp_fail_nomem(err);
    enum bp_status status;
    /* Not blocking: a named pipe must be refused, not waited for. */
    st->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (st->fd < 0)
        status = bp_fail(err, is_refusal(errno) ? BP_ERR_FAILED : BP_ERR_INPUT,
                         "%s: cannot be opened: %s", path, strerror(errno));
    else
        status = map_file(st, err);
    if (status == BP_OK)
        status = load(st, st->map ? st->map : (const void *)"", st->map_bytes, err);
    if (status != BP_OK)
        st = bp_st_close(st);
    *out = st;
    return status;
}

struct bp_st *bp_st_close(struct bp_st *st)
{
    if (!st)
        return NULL;
    if (st->map)
        munmap(st->map, st->map_bytes);
    if (st->fd >= 0)
        close(st->fd);
    free(st->index);
    free(st->tensors);
    free(st->metadata);
    free(st->strings);
    free(st->path);
    free(st);
    return NULL;
}

const struct bp_st_tensor *bp_st_find(const struct bp_st *st, const char *name)
{
    struct bp_st_slot key = {hash_name(name), name, 0};
    if (!st->n_tensors)
        return NULL;
    const struct bp_st_slot *hit =
        bsearch(&key, st->index, st->n_tensors, sizeof key, compare_slots);
    return hit ? &st->tensors[hit->tensor] : NULL;
}

const char *bp_st_metadata(const struct bp_st *st, const char *key)
{
    for (size_t i = 0; i < st->n_metadata; i++)
        if (strcmp(st->metadata[i].key, key) == 0)
            return st->metadata[i].value;
    return NULL;
}

const unsigned char *bp_st_data(const struct bp_st *st, const struct bp_st_tensor *t)
{
    return st->data + t->begin;
}

static float from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* IEEE binary16: the exponent is moved from bias 15 to 127; subnormals are man * 2^-24, which FP32
 * holds exactly. */
static float widen_f16(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 0x1f, mantissa = h & 0x3ff;
    if (exponent == 0) {
        float value = (float)mantissa * 0x1p-24f;
        return sign ? -value : value;
    }
    if (exponent == 0x1f)
        return from_bits(sign | 0x7f800000 | mantissa << 13);
    return from_bits(sign | (exponent + 112) << 23 | mantissa << 13);
}

/* Widens n values that lie at `from`. */
static void widen(const unsigned char *from, enum bp_dtype dtype, uint64_t n, float *out)
{
    uint16_t half;
    if (dtype == BP_DTYPE_F32) {
        memcpy(out, from, n * sizeof *out);
    } else if (dtype == BP_DTYPE_BF16) {
        for (uint64_t i = 0; i < n; i++) {
            memcpy(&half, from + i * sizeof half, sizeof half);
            out[i] = from_bits((uint32_t)half << 16);
        }
    } else {
        for (uint64_t i = 0; i < n; i++) {
            memcpy(&half, from + i * sizeof half, sizeof half);
            out[i] = widen_f16(half);
        }
    }
}

/* Takes pages of the mapping out of this process's memory; the system reads them again when they
 * are touched. Pages that neighbours share go as well, which costs them that and no more. Bytes
 * that are no mapping stay: they would be lost. */
static void let_go(const struct bp_st *st, const unsigned char *from, size_t n_bytes)
{
    if (!st->map)
        return;
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)from / page * page;
    madvise((void *)begin, (uintptr_t)from + n_bytes - begin, MADV_DONTNEED);
}

void bp_st_forget(const struct bp_st *st, const struct bp_st_tensor *t)
{
    if (t->n_bytes > 0)
        let_go(st, bp_st_data(st, t), t->n_bytes);
}

void bp_st_read_f32(const struct bp_st *st, const struct bp_st_tensor *t, uint64_t first,
                    uint64_t n, float *out)
{
    enum { PIECE = 1 << 20 }; /* elements that are in memory twice */
    assert(bp_dtype_is_weight(t->dtype));
    assert(first <= t->n_elems && n <= t->n_elems - first);
    const size_t size = bp_dtype_bits(t->dtype) / 8;
    const unsigned char *from = bp_st_data(st, t) + first * size;
    for (uint64_t done = 0; done < n; done += PIECE) {
        const uint64_t piece = n - done < PIECE ? n - done : PIECE;
        widen(from + done * size, t->dtype, piece, out + done);
        let_go(st, from + done * size, piece * size);
    }
}
