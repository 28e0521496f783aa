#include "engine/safetensors.h"

#include <string.h>

static const struct {
    const char *name;
    unsigned bits;
    bool weight;
} dtypes[BP_N_DTYPES] = {
#define BP_DTYPE_ROW(name, bits, weights) {#name, bits, weights},
    BP_DTYPES(BP_DTYPE_ROW)
#undef BP_DTYPE_ROW
};

const char *bp_dtype_name(enum bp_dtype dtype)
{
    return dtypes[dtype].name;
}

unsigned bp_dtype_bits(enum bp_dtype dtype)
{
    return dtypes[dtype].bits;
}

bool bp_dtype_is_weight(enum bp_dtype dtype)
{
    return dtypes[dtype].weight;
}

bool bp_dtype_parse(const char *name, enum bp_dtype *out)
{
    for (int i = 0; i < BP_N_DTYPES; i++) {
        if (strcmp(name, dtypes[i].name) == 0) {
            *out = (enum bp_dtype)i;
            return true;
        }
    }
    return false;
}
