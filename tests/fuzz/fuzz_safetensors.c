/* Fuzz target: the safetensors reader on any bytes. Every tensor of a file that is accepted must
 * lie inside it and be readable, and be found under its name. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void touch(const struct bp_st *st, const struct bp_st_tensor *t)
{
    const unsigned char *bytes = bp_st_data(st, t);
    volatile unsigned char sum = 0;
    for (uint64_t i = 0; i < t->n_bytes; i++)
        sum = (unsigned char)(sum + bytes[i]);
    if (bp_dtype_is_weight(t->dtype) && t->n_elems > 0) {
        float first, last;
        bp_st_read_f32(st, t, 0, 1, &first);
        bp_st_read_f32(st, t, t->n_elems - 1, 1, &last);
    }
    if (bp_st_find(st, t->name) != t)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bp_st *st;
    struct bp_err err = {""};
    enum bp_status status = bp_st_parse(data, size, "fuzz", &st, &err);
    if ((status == BP_OK) != (st != NULL))
        abort();
    if (status != BP_OK) {
        /* One line that says something about the file. */
        if (strncmp(err.text, "fuzz: ", 6) != 0 || strchr(err.text, '\n'))
            abort();
        return 0;
    }
    for (size_t i = 0; i < st->n_tensors; i++)
        touch(st, &st->tensors[i]);
    for (size_t i = 0; i < st->n_metadata; i++)
        if (bp_st_metadata(st, st->metadata[i].key) != st->metadata[i].value)
            abort();
    bp_st_close(st);
    return 0;
}
