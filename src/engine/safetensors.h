/*
 * The safetensors container: 8 bytes little-endian header length, a JSON header, the data.
 *
 * A strict reader with a grammar of its own (a header is hostile input, and a general JSON library
 * rounds integers, keeps duplicate keys and accepts what the reference refuses), and the header
 * writer. Every rule of the reference implementation holds: the tensors cover the data exactly,
 * without holes or overlaps; products are checked; unknown dtypes are an error. Stricter than the
 * reference in three points: a duplicate name is refused by name, a tensor has at most 8
 * dimensions, and no string holds a NUL.
 *
 * An open file is a read-only mapping: several threads may read it. Tensor data need not be
 * aligned; read it through bp_st_read_f32 or memcpy. Byte order is little endian, as the format's.
 * A file that another program cuts short while it is mapped kills the reader with SIGBUS, as with
 * every mapped reader; writers that rename a finished file into place (file_out.h) never do that.
 */
#ifndef BP_ENGINE_SAFETENSORS_H
#define BP_ENGINE_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/err.h"

/* X(name, bits an element, may hold weights that bitplan quantizes) */
#define BP_DTYPES(X)     \
    X(F4, 4, 0)          \
    X(F6_E2M3, 6, 0)     \
    X(F6_E3M2, 6, 0)     \
    X(BOOL, 8, 0)        \
    X(U8, 8, 0)          \
    X(I8, 8, 0)          \
    X(F8_E5M2, 8, 0)     \
    X(F8_E4M3, 8, 0)     \
    X(F8_E8M0, 8, 0)     \
    X(F8_E4M3FNUZ, 8, 0) \
    X(F8_E5M2FNUZ, 8, 0) \
    X(I16, 16, 0)        \
    X(U16, 16, 0)        \
    X(F16, 16, 1)        \
    X(BF16, 16, 1)       \
    X(I32, 32, 0)        \
    X(U32, 32, 0)        \
    X(F32, 32, 1)        \
    X(C64, 64, 0)        \
    X(F64, 64, 0)        \
    X(I64, 64, 0)        \
    X(U64, 64, 0)

enum bp_dtype {
#define BP_DTYPE_ENUM(name, bits, weights) BP_DTYPE_##name,
    BP_DTYPES(BP_DTYPE_ENUM)
#undef BP_DTYPE_ENUM
        BP_N_DTYPES
};

enum { BP_ST_MAX_DIMS = 8, BP_ST_MAX_HEADER = 100000000 };

const char *bp_dtype_name(enum bp_dtype dtype);
unsigned bp_dtype_bits(enum bp_dtype dtype);
/* True for the dtypes whose values bp_st_read_f32 widens exactly: F32, F16, BF16. */
bool bp_dtype_is_weight(enum bp_dtype dtype);
/* False when `name` is none of the list; *out untouched then. */
bool bp_dtype_parse(const char *name, enum bp_dtype *out);

struct bp_st_tensor {
    char *name; /* unescaped UTF-8, no NUL inside */
    enum bp_dtype dtype;
    unsigned n_dims;
    uint64_t shape[BP_ST_MAX_DIMS];
    uint64_t n_elems; /* product of the shape; 1 for a scalar */
    uint64_t begin;   /* bytes from the start of the data */
    uint64_t n_bytes;
};

struct bp_st_pair {
    char *key, *value;
};

struct bp_st_slot;

struct bp_st {
    char *path;
    struct bp_st_tensor *tensors; /* [n_tensors] in the order of their data */
    size_t n_tensors;
    struct bp_st_pair *metadata; /* [n_metadata] `__metadata__`, in file order */
    size_t n_metadata;
    uint64_t header_bytes; /* length of the JSON header; the data begins at 8 + header_bytes */
    uint64_t data_bytes;
    const unsigned char *data; /* [data_bytes] */
    void *map;                 /* the mapping, NULL when parsed from memory */
    size_t map_bytes;
    int fd; /* the open file, -1 when parsed from memory */
    /* for safetensors.c only */
    char *strings;            /* what names, keys and values point into */
    struct bp_st_slot *index; /* [n_tensors] sorted by the hash of the name */
};

/* Opens and maps a file. BP_ERR_INPUT with a sentence that starts with the path for anything that
 * is not a valid safetensors file: a Git LFS pointer, a truncated file (how many bytes are missing)
 * and trailing bytes are named as what they are. So is a file that cannot be
 * opened; BP_ERR_FAILED when the system fails while it is read. */
enum bp_status bp_st_open(const char *path, struct bp_st **out, struct bp_err *err);

/* The same on bytes in memory, which must outlive the result; `path` only labels messages. */
enum bp_status bp_st_parse(const void *bytes, size_t n_bytes, const char *path, struct bp_st **out,
                           struct bp_err *err);

/* Takes NULL, returns NULL. */
struct bp_st *bp_st_close(struct bp_st *st);

/* NULL when there is no such tensor or key. A tensor is found by hash, in O(log n) whatever names a
 * hostile file chose; metadata is searched in order. */
const struct bp_st_tensor *bp_st_find(const struct bp_st *st, const char *name);
const char *bp_st_metadata(const struct bp_st *st, const char *key);

/* First byte of a tensor's data. */
const unsigned char *bp_st_data(const struct bp_st *st, const struct bp_st_tensor *t);

/* Takes the data out of this process's memory until it is touched again: a file is mapped as a
 * whole, and what was read of it would stay. */
void bp_st_forget(const struct bp_st *st, const struct bp_st_tensor *t);

/* Widens `n` elements from element `first` on into out [n], exactly, and forgets them. The dtype
 * must be a weight. */
void bp_st_read_f32(const struct bp_st *st, const struct bp_st_tensor *t, uint64_t first,
                    uint64_t n, float *out);

/* --- writing --- */

struct bp_st_spec {
    const char *name;
    enum bp_dtype dtype;
    unsigned n_dims;
    uint64_t shape[BP_ST_MAX_DIMS];
};

/* Builds the first bytes of a file: length, header (`__metadata__` first when there is any, padded
 * with spaces so that the data starts at a multiple of 64) for tensors laid out in the order given,
 * without gaps. *out (free with free) holds *n_out bytes; offsets [n_specs] gets each tensor's
 * first byte counted from the start of the FILE, *file_bytes the length of the whole file; both may
 * be NULL. Refuses (BP_ERR_INPUT) a tensor named
 * `__metadata__`, a duplicate name or metadata key, text that is not UTF-8, more than 8 dimensions,
 * a size that overflows or is no whole number of bytes, and a header above the limit. */
enum bp_status bp_st_build_header(const struct bp_st_spec *specs, size_t n_specs,
                                  const struct bp_st_pair *metadata, size_t n_metadata,
                                  unsigned char **out, size_t *n_out, uint64_t *offsets,
                                  uint64_t *file_bytes, struct bp_err *err);

#endif
