/* The stretches of quantize_stretch.h on AVX2. */
#include "engine/clones.h"

#ifdef BP_HAVE_CLONES
#pragma GCC target("arch=x86-64-v3")
#define STRETCH_VECTOR 8
#include "engine/quantize_stretch.h"

double bp_fast_stretch_avx2(const float *Z, const float *F, uint64_t n, uint32_t B0,
                            const float *choosing, const float *value,
                            const struct bp_codebook *book, float *E)
{
    return stretch(Z, F, n, B0, choosing, value, book, E);
}

#endif
