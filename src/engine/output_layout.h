/*
 * The files that carrying a plan out leaves behind, in one folder OUT:
 *
 *   hf      OUT/ itself: the model's own files with Q in the place of the planned weights, and
 *           OUT/adapter/: the low-rank parts as a PEFT adapter of scaling 1
 *   packed  OUT/packed/: codes, scales and factors (docs/packed.md), and the other tensors as is
 *   bnb     OUT/bnb/: like hf, with bitsandbytes NF4 where a config can be one
 *
 * An output is laid out first: all files with all tensors, their places and what is known of them
 * beforehand; nothing is built in memory. Then each matrix's parts are written into their places,
 * in any order, by several threads for different matrices. This module knows what lies where;
 * output_job.h how it gets on disk safely.
 */
#ifndef BP_ENGINE_OUTPUT_LAYOUT_H
#define BP_ENGINE_OUTPUT_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/err.h"
#include "engine/outline.h"
#include "engine/parts.h"

/* X(suffix, word): what can be emitted. */
#define BP_EMITS(X)     \
    X(HF, "hf")         \
    X(PACKED, "packed") \
    X(BNB, "bnb")

enum bp_emit {
#define BP_EMIT_ENUM(suffix, word) BP_EMIT_##suffix,
    BP_EMITS(BP_EMIT_ENUM)
#undef BP_EMIT_ENUM
        BP_N_EMITS
};

const char *bp_emit_name(enum bp_emit emit);

/* "hf,packed" to a set: bit `e` for form e. BP_ERR_USAGE. */
enum bp_status bp_emit_parse(const char *text, unsigned *set, struct bp_err *err);

/* A tensor of a file to be written. */
struct bp_output_tensor {
    char *name;
    enum bp_dtype dtype;
    unsigned n_dims;
    uint64_t shape[BP_ST_MAX_DIMS];
    const void *fixed; /* its bytes when they are known beforehand, else NULL: matrices fill it */
    void *owned;       /* freed with the output; may be `fixed` */
};

struct bp_output_file {
    char *name; /* from OUT: "adapter/adapter_model.safetensors" */
    struct bp_output_tensor *tensors;
    size_t n_tensors, capacity;
    struct bp_st_pair *metadata; /* owned */
    size_t n_metadata;
    /* Once laid out. */
    unsigned char *header; /* [n_header] first bytes of the file */
    size_t n_header;
    uint64_t *offsets; /* [n_tensors] from the start of the file */
    uint64_t n_bytes;  /* of the whole file */
    int fd;            /* of output_job.h; -1 */
};

/* A file that is written as text, or copied. */
struct bp_output_text {
    char *name; /* from OUT */
    char *text; /* NULL: copied from */
    char *from;
};

/* Where a form keeps a matrix: the first of its tensors. */
struct bp_output_place {
    size_t file, tensor; /* file SIZE_MAX: nowhere */
    uint64_t at;         /* bytes into that tensor */
};

enum { BP_PLACE_ADAPTER = BP_N_EMITS, BP_N_PLACES };

struct bp_output {
    const struct bp_outline *outline;
    unsigned emits; /* set of enum bp_emit */
    struct bp_output_file *files;
    size_t n_files;
    struct bp_output_text *texts; /* in the order in which they are written */
    size_t n_texts;
    struct bp_output_place
        *places[BP_N_PLACES]; /* each [n_matrices], NULL for a form not emitted */
    const char *
        *no_bnb; /* [n_matrices] why not bitsandbytes, NULL: it is; NULL array without bnb */
};

/* Lays all files out. BP_ERR_INPUT: a form cannot hold a matrix; the text says which and why. The
 * outline is borrowed and outlives the output. */
enum bp_status bp_output_new(const struct bp_outline *outline, unsigned emits,
                             struct bp_output **out, struct bp_err *err);
struct bp_output *bp_output_free(struct bp_output *output);

/* Writes matrix i into its places. The files are open. */
enum bp_status bp_output_put(const struct bp_output *output, size_t i, const struct bp_parts *parts,
                             struct bp_err *err);

/* Bytes of all files together. */
uint64_t bp_output_bytes(const struct bp_output *output);

/* --- reading what was written --- */

/* The files of an output, open for reading: [n_files] as output->files. */
struct bp_output_reader {
    const struct bp_output *output;
    struct bp_st **files;
};

/* Opens path_of(ctx, f) for each file and checks that it holds the tensors that belong there, and
 * no others, and byte for byte those that are known beforehand. BP_ERR_MISMATCH names what is
 * wrong. path_of returns a string on the heap. */
enum bp_status bp_output_reader_open(const struct bp_output *output,
                                     char *(*path_of)(void *ctx, size_t f), void *ctx,
                                     struct bp_output_reader *out, struct bp_err *err);
void bp_output_reader_close(struct bp_output_reader *reader);

/* Reads matrix i as form e's loader would have it, Q [d * k], L1 [d * r], L2 [r * k] widened.
 * `scratch` is workspace for matrices of that size. BP_ERR_INPUT: values that cannot be. */
enum bp_status bp_output_read(const struct bp_output_reader *reader, enum bp_emit e, size_t i,
                              struct bp_parts *scratch, struct bp_err *err);

/* Bits that the packed form takes for codes, scale codes and second-level scales of matrix i,
 * counted on what the file holds, without the padding to whole words. */
uint64_t bp_output_packed_bits(const struct bp_output_reader *reader, size_t i);

#endif
