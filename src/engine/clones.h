/*
 * One source, several instruction sets: a function marked BP_CLONES is compiled for x86-64 as it
 * began, with AVX2 and FMA, and with AVX-512, and the loader takes what the processor has. As
 * nothing is contracted (-ffp-contract=off), all of them give the same bits. Empty where compiler,
 * C library or sanitizer have no such thing. What a clone calls must be BP_INLINE, or it stays
 * plain.
 */
#ifndef BP_ENGINE_CLONES_H
#define BP_ENGINE_CLONES_H

#include <stdlib.h> /* says whether this is glibc */

/* Not under sanitizers: the loader asks before their runtime is up. Not by clang: until version 18
 * its clones cannot be called from another file. */
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__) && __GNUC__ >= 12 && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define BP_HAVE_CLONES
#define BP_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define BP_CLONES
#endif

#define BP_INLINE static inline __attribute__((always_inline))

#endif
