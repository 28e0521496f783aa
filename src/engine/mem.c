#include "engine/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 64 };

bool bp_mul_u64(uint64_t a, uint64_t b, uint64_t *out)
{
    uint64_t product;
    if (__builtin_mul_overflow(a, b, &product))
        return false;
    *out = product;
    return true;
}

void *bp_alloc(size_t n, size_t size)
{
    uint64_t bytes;
    if (!bp_mul_u64(n, size, &bytes) || bytes > PTRDIFF_MAX - ALIGN)
        return NULL;
    return aligned_alloc(ALIGN, (bytes + ALIGN) / ALIGN * ALIGN);
}

void *bp_alloc_zero(size_t n, size_t size)
{
    void *p = bp_alloc(n, size);
    if (p)
        memset(p, 0, n * size);
    return p;
}

void *bp_grow(void *old, size_t n, size_t size)
{
    uint64_t bytes;
    if (!bp_mul_u64(n, size, &bytes) || bytes > PTRDIFF_MAX)
        return NULL;
    return realloc(old, bytes ? bytes : 1);
}

char *bp_strdup(const char *s)
{
    return bp_strndup(s, strlen(s));
}

char *bp_strndup(const char *s, size_t n)
{
    n = strnlen(s, n);
    char *copy = malloc(n + 1);
    if (!copy)
        return NULL;
    memcpy(copy, s, n);
    copy[n] = '\0';
    return copy;
}

bool bp_names_add(char ***names, size_t *n, const char *name)
{
    char **grown = bp_grow(*names, *n + 1, sizeof *grown);
    if (!grown)
        return false;
    *names = grown;
    grown[*n] = bp_strdup(name);
    if (!grown[*n])
        return false;
    ++*n;
    return true;
}

char *bp_format(const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    return n < 0 ? NULL : text;
}
