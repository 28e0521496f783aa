/*
 * Makes the n-th call of one kind fail, so that a test can walk n through a whole run.
 *
 * Loaded with LD_PRELOAD (build with -shared -fPIC, link -ldl), or linked into the program with
 * -DFAULTS_WRAP and -Wl,--wrap=NAME for each HOOK below: a sanitizer wants its own allocator first.
 * Linux and glibc only.
 *
 *   FAULTS_KIND     alloc   memory is asked for: NULL, ENOMEM
 *                   write   write, pwrite to any file but the standard streams: ENOSPC
 *                   short   the same, and the n-th call writes half before the next one fails
 *                   sync    fsync, fdatasync: EIO
 *                   rename  rename, renameat2, link: EIO
 *                   open    a file is opened for writing: EACCES
 *                   read    a file is opened for reading, read or mapped: EIO
 *                   thread  pthread_create: EAGAIN
 *   FAULTS_AT       n, from 1: the first call that fails; 0 (the default) only counts
 *   FAULTS_TIMES    how many calls fail from there on (default 1); 0: all
 *   FAULTS_ERRNO    another error number
 *   FAULTS_LIBRARY  count the calls of the library whose path holds this, not the program's own
 *   FAULTS_SEEN     a file that gets the number of calls seen when the process exits by itself
 *
 * Only calls that return into the program (or FAULTS_LIBRARY) count: what BLAS, GLPK, cJSON and
 * libc ask for on their own account is theirs to get. Not covered: standard streams, whose writes
 * stay within libc (/dev/full does that).
 */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <regex.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum kind { NONE, ALLOC, WRITE, SYNC, RENAME, OPEN, READ, THREAD };

static enum kind armed;
static bool half_first;
static unsigned long fail_at, fail_times = 1;
static int fail_errno;
static atomic_ulong n_seen;
static uintptr_t from, to; /* where the callers lie that count */

/* True when this call, about to return to `caller`, is to fail; errno is set then. `n` gets the
 * number of the call. */
static bool fails(enum kind kind, void *caller, unsigned long *n)
{
    *n = 0;
    if (kind != armed || (uintptr_t)caller < from || (uintptr_t)caller >= to)
        return false;
    *n = atomic_fetch_add(&n_seen, 1) + 1;
    if (!fail_at || *n < fail_at || (fail_times && *n - fail_at >= fail_times))
        return false;
    errno = fail_errno;
    return true;
}

#define CALLER     __builtin_return_address(0)
#define FAIL(kind) fails(kind, CALLER, &(unsigned long){0})

#ifdef FAULTS_WRAP
#define HOOK(type, name, ...)        \
    type __real_##name(__VA_ARGS__); \
    type __wrap_##name(__VA_ARGS__); \
    type __wrap_##name(__VA_ARGS__)
#define REAL(name)      __real_##name
#define REAL_HEAP(name) __real_##name
#else
#define HOOK(type, name, ...) \
    type name(__VA_ARGS__);   \
    type name(__VA_ARGS__)
#define REAL(name)           ((__typeof__(&name))next(#name))
#define REAL_HEAP(name)      __libc_##name

/* dlsym may allocate, so that these cannot be asked of it. */
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t n);
void *__libc_memalign(size_t align, size_t n);
#define __libc_aligned_alloc __libc_memalign

static void *next(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}
#endif

/* --- memory --- */

HOOK(void *, malloc, size_t n)
{
    return FAIL(ALLOC) ? NULL : REAL_HEAP(malloc)(n);
}

HOOK(void *, calloc, size_t n, size_t size)
{
    return FAIL(ALLOC) ? NULL : REAL_HEAP(calloc)(n, size);
}

HOOK(void *, realloc, void *old, size_t n)
{
    return FAIL(ALLOC) ? NULL : REAL_HEAP(realloc)(old, n);
}

HOOK(void *, aligned_alloc, size_t align, size_t n)
{
    return FAIL(ALLOC) ? NULL : REAL_HEAP(aligned_alloc)(align, n);
}

/* What libc allocates by order of its caller. */
HOOK(int, vasprintf, char **text, const char *fmt, va_list ap)
{
    if (FAIL(ALLOC)) {
        *text = (char *)1; /* not defined after a failure */
        return -1;
    }
    return REAL(vasprintf)(text, fmt, ap);
}

HOOK(FILE *, open_memstream, char **text, size_t *n)
{
    return FAIL(ALLOC) ? NULL : REAL(open_memstream)(text, n);
}

HOOK(DIR *, opendir, const char *path)
{
    return FAIL(ALLOC) ? NULL : REAL(opendir)(path);
}

HOOK(char *, realpath, const char *path, char *out)
{
    return !out && FAIL(ALLOC) ? NULL : REAL(realpath)(path, out);
}

HOOK(int, regcomp, regex_t *re, const char *text, int flags)
{
    return FAIL(ALLOC) ? REG_ESPACE : REAL(regcomp)(re, text, flags);
}

struct XXH3_state_s *XXH3_createState(void);
HOOK(struct XXH3_state_s *, XXH3_createState, void)
{
    return FAIL(ALLOC) ? NULL : REAL(XXH3_createState)();
}

/* --- files --- */

/* What a write of n bytes is to do: 0 go on, -1 fail, else write so many bytes only. */
static ssize_t write_fault(int fd, size_t n, void *caller)
{
    unsigned long call;
    if (fd <= STDERR_FILENO)
        return 0;
    if (!fails(WRITE, caller, &call))
        return 0;
    return half_first && call == fail_at && n > 1 ? (ssize_t)(n / 2) : -1;
}

HOOK(ssize_t, write, int fd, const void *bytes, size_t n)
{
    ssize_t fault = write_fault(fd, n, CALLER);
    return fault < 0 ? -1 : REAL(write)(fd, bytes, fault ? (size_t)fault : n);
}

HOOK(ssize_t, pwrite, int fd, const void *bytes, size_t n, off_t at)
{
    ssize_t fault = write_fault(fd, n, CALLER);
    return fault < 0 ? -1 : REAL(pwrite)(fd, bytes, fault ? (size_t)fault : n, at);
}

HOOK(int, fsync, int fd)
{
    if (FAIL(SYNC))
        return -1;
    return armed == NONE ? REAL(fsync)(fd) : 0; /* thousands of runs need no disk */
}

HOOK(int, fdatasync, int fd)
{
    if (FAIL(SYNC))
        return -1;
    return armed == NONE ? REAL(fdatasync)(fd) : 0;
}

HOOK(int, rename, const char *old, const char *new)
{
    return FAIL(RENAME) ? -1 : REAL(rename)(old, new);
}

HOOK(int, renameat2, int old_dir, const char *old, int new_dir, const char *new, unsigned flags)
{
    return FAIL(RENAME) ? -1 : REAL(renameat2)(old_dir, old, new_dir, new, flags);
}

HOOK(int, link, const char *old, const char *new)
{
    return FAIL(RENAME) ? -1 : REAL(link)(old, new);
}

HOOK(int, open, const char *path, int flags, ...)
{
    mode_t mode = 0;
    if (flags & (O_CREAT | O_TMPFILE)) {
        va_list ap;
        va_start(ap, flags);
        mode = va_arg(ap, mode_t);
        va_end(ap);
    }
    bool writes = (flags & O_ACCMODE) != O_RDONLY;
    if (strncmp(path, "/dev/", 5) != 0 && !(flags & O_DIRECTORY) && FAIL(writes ? OPEN : READ))
        return -1;
    return REAL(open)(path, flags, mode);
}

HOOK(FILE *, fopen, const char *path, const char *mode)
{
    return FAIL(*mode == 'r' ? READ : OPEN) ? NULL : REAL(fopen)(path, mode);
}

HOOK(ssize_t, read, int fd, void *out, size_t n)
{
    return FAIL(READ) ? -1 : REAL(read)(fd, out, n);
}

HOOK(ssize_t, pread, int fd, void *out, size_t n, off_t at)
{
    return FAIL(READ) ? -1 : REAL(pread)(fd, out, n, at);
}

HOOK(void *, mmap, void *hint, size_t n, int protection, int flags, int fd, off_t at)
{
    return fd >= 0 && FAIL(READ) ? MAP_FAILED : REAL(mmap)(hint, n, protection, flags, fd, at);
}

HOOK(int, pthread_create, pthread_t *thread, const pthread_attr_t *attr, void *(*run)(void *),
     void *arg)
{
    return FAIL(THREAD) ? EAGAIN : REAL(pthread_create)(thread, attr, run, arg);
}

/* --- when the process starts and ends --- */

/* Where the program (the first object, whose name is empty) or the named library is mapped. */
static int find_callers(struct dl_phdr_info *info, size_t size, void *ctx)
{
    const char *library = ctx;
    (void)size;
    if (library && (!info->dlpi_name || !strstr(info->dlpi_name, library)))
        return 0;
    from = UINTPTR_MAX;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_LOAD)
            continue;
        uintptr_t begin = info->dlpi_addr + p->p_vaddr;
        from = begin < from ? begin : from;
        to = begin + p->p_memsz > to ? begin + p->p_memsz : to;
    }
    return 1;
}

static unsigned long number(const char *name, unsigned long otherwise)
{
    const char *text = getenv(name);
    return text && *text ? strtoul(text, NULL, 10) : otherwise;
}

__attribute__((constructor)) static void arm(void)
{
    static const struct {
        const char *name;
        enum kind kind;
        int error;
    } kinds[] = {
        {"alloc", ALLOC, ENOMEM}, {"write", WRITE, ENOSPC},   {"short", WRITE, ENOSPC},
        {"sync", SYNC, EIO},      {"rename", RENAME, EIO},    {"open", OPEN, EACCES},
        {"read", READ, EIO},      {"thread", THREAD, EAGAIN},
    };
    const char *name = getenv("FAULTS_KIND");
    fail_at = number("FAULTS_AT", 0);
    fail_times = number("FAULTS_TIMES", 1);
    for (size_t i = 0; name && i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(name, kinds[i].name) != 0)
            continue;
        half_first = strcmp(name, "short") == 0;
        if (half_first && fail_times)
            fail_times++;
        fail_errno = (int)number("FAULTS_ERRNO", (unsigned long)kinds[i].error);
        dl_iterate_phdr(find_callers, getenv("FAULTS_LIBRARY"));
        armed = kinds[i].kind;
    }
}

__attribute__((destructor)) static void report(void)
{
    const char *path = getenv("FAULTS_SEEN");
    char text[32];
    if (armed == NONE || !path)
        return;
    int n = snprintf(text, sizeof text, "%lu\n", atomic_load(&n_seen));
    long fd = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return;
    (void)!syscall(SYS_write, fd, text, (size_t)n);
    syscall(SYS_close, fd);
}
