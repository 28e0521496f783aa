/* The golden matrix W and its Fisher weights F, shared by the golden tests; NULL where the shared
 * data is missing. */
#ifndef BP_TESTS_FIXTURE_H
#define BP_TESTS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "npy.h"

static float *W, *F;

static inline void fixture_load(void)
{
    if (shared_has("golden")) {
        W = npy_load("a_W", NULL);
        F = npy_load("a_F", NULL);
    }
}

static inline void fixture_free(void)
{
    free(W);
    free(F);
}

/* Skips the running test where the golden values are missing. */
static inline void need_golden(void)
{
    if (!W) {
        print_message("no golden values: set BP_SHARED\n");
        skip();
    }
}

#endif
