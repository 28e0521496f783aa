/*
 * Whether CUDA can be used here, and why not: the driver and the device are asked for before the
 * shared object of the backend is opened, and each way in which it can be missing is told apart.
 * The only place that loads code at run time.
 *
 * The object is BITPLAN_CUDA (a path) where that is set; else libbitplan_cuda.so beside the program
 * or in ../lib/bitplan seen from there.
 */
#ifndef BP_ENGINE_BACKEND_CUDA_H
#define BP_ENGINE_BACKEND_CUDA_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/backend.h"

/* X(suffix, word, whether a machine like this was meant to compute with CUDA): */
#define BP_CUDA_CAUSES(X)                                                               \
    X(USABLE, "usable", false)                                                          \
    X(NO_DRIVER, "no driver", false)        /* libcuda.so.1 is missing or not loaded */ \
    X(NO_DEVICE, "no device", false)        /* the driver sees none */                  \
    X(DRIVER_FAILS, "driver fails", true)   /* it does not start for another reason */  \
    X(NOT_BUILT, "not built", true)         /* no shared object is there */             \
    X(NO_LIBRARY, "library missing", true)  /* one that the object needs */             \
    X(OTHER_VERSION, "other version", true) /* the object is another program's */       \
    X(UNFIT, "unfit", true)                 /* it does not run on this device */

enum bp_cuda_cause {
#define BP_CUDA_CAUSE_ENUM(suffix, word, half_working) BP_CUDA_##suffix,
    BP_CUDA_CAUSES(BP_CUDA_CAUSE_ENUM)
#undef BP_CUDA_CAUSE_ENUM
};

struct bp_cuda_look {
    enum bp_cuda_cause cause;
    char reason[400]; /* one line; "" when usable */
    char object[400]; /* the path it was found at, "" for none */
    /* When usable: */
    char device[128];
    int major, minor;
    int driver, runtime; /* versions, 1000 major + 10 minor */
    uint64_t bytes, bytes_free;
};

/* Looks, each time anew. What was opened and can be used stays open. */
void bp_cuda_look(struct bp_cuda_look *out);

/* True for a machine that was meant to compute with CUDA: a driver and a device (or a driver that
 * should start), but no way to use them. */
bool bp_cuda_half_working(const struct bp_cuda_look *look);

struct bp_cuda_api;

/* The object's operations (kernels/bp_cuda.h), NULL with what the look says when unusable. */
const struct bp_cuda_api *bp_cuda_open(struct bp_cuda_look *out);

/* The backend on the first device. BP_ERR_FAILED with the reason why not. Refuses matrices for
 * which the device has too little memory free. */
enum bp_status bp_backend_cuda_new(const struct bp_backend_limits *limits, struct bp_backend *out,
                                   struct bp_err *err);

#endif
