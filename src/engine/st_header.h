/*
 * The JSON header of a safetensors file, parsed by a grammar of its own: one object whose members
 * are tensors {dtype, shape, data_offsets} and `__metadata__` {string: string}. Nothing else is
 * accepted, so nesting never exceeds three and nothing recurses.
 *
 * Here: syntax, types, unknown and missing keys, dtypes, duplicate keys inside a tensor. Not here:
 * whether the tensors cover the data, duplicate names (safetensors.c).
 *
 * Memory is linear in the header: strings are decoded into one arena of the header's size.
 */
#ifndef BP_ENGINE_ST_HEADER_H
#define BP_ENGINE_ST_HEADER_H

#include <stddef.h>

#include "engine/safetensors.h"

struct bp_st_header {
    struct bp_st_tensor *tensors; /* [n_tensors] in header order; n_elems is not set yet */
    size_t n_tensors;
    struct bp_st_pair *metadata; /* [n_metadata] */
    size_t n_metadata;
    char *strings; /* what the names, keys and values point into */
};

/* Parses json [n]; n at most BP_ST_MAX_HEADER. The caller frees the three blocks of *out with
 * bp_st_header_done, also after a failure. Byte positions in messages count from the start of the
 * file, so the header's first byte is number 8. */
enum bp_status bp_st_header_parse(const unsigned char *json, size_t n, const char *path,
                                  struct bp_st_header *out, struct bp_err *err);
void bp_st_header_done(struct bp_st_header *header);

#endif
