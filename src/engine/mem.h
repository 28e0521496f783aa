/*
 * Memory for the engine: sizes are multiplied with a check, numeric arrays are aligned to a cache
 * line so that vector code and BLAS see the same alignment in every run. NULL means "out of memory
 * or the size does not fit"; the engine passes that on as BP_ERR_NOMEM and never exits.
 */
#ifndef BP_ENGINE_MEM_H
#define BP_ENGINE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* *out = a * b. False (and *out untouched) when the product does not fit. */
bool bp_mul_u64(uint64_t a, uint64_t b, uint64_t *out);

/* Uninitialized array of n elements of `size` bytes, aligned to 64 bytes; free with free().
 * n == 0 gives a valid pointer. */
void *bp_alloc(size_t n, size_t size);

/* The same, zeroed. */
void *bp_alloc_zero(size_t n, size_t size);

/* realloc for growing lists: n elements of `size` bytes; the old block stays valid on NULL. */
void *bp_grow(void *old, size_t n, size_t size);

/* strdup and strndup of the engine: NULL when out of memory. */
char *bp_strdup(const char *s);
char *bp_strndup(const char *s, size_t n);

/* Appends a copy of `name` to a list on the heap, (*names) [*n]; false when out of memory, and the
 * list is as it was. */
bool bp_names_add(char ***names, size_t *n, const char *name);

/* Formatted string on the heap, NULL when out of memory. */
char *bp_format(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
