/*
 * Reading what a packed form says of itself.
 */
#ifndef BP_ENGINE_PACKED_READ_H
#define BP_ENGINE_PACKED_READ_H

#include <stddef.h>
#include <stdint.h>

#include "engine/err.h"
#include "engine/outline.h"

/* A packed form, open. */
struct bp_packed {
    char *folder;
    struct bp_st **files; /* [outline->n_files] in the order of their names */
    size_t n_files;
    struct bp_outline *outline; /* of the model's own files; borrows data from `files` */
    uint64_t hash;              /* XXH3 over all bytes */
};

/* Opens the packed files in `path`, or in `path`/packed when there is such a folder. Everything
 * that is said about matrices is checked for sense; that the tensors are there is
 * bp_output_reader_open's to check. BP_ERR_INPUT names file and place. */
enum bp_status bp_packed_open(const char *path, struct bp_packed **out, struct bp_err *err);

/* Takes NULL, returns NULL. */
struct bp_packed *bp_packed_close(struct bp_packed *packed);

#endif
