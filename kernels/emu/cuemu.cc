/* The fibers behind cuemu.h: a scheduler that runs the threads of one block. */
#include "emu/cuemu.h"

#include <sys/mman.h>
#include <unistd.h>

#ifndef __x86_64__
#include <ucontext.h>
#endif

#ifdef __has_feature
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__ 1
#endif
#if __has_feature(thread_sanitizer) && !defined(__SANITIZE_THREAD__)
#define __SANITIZE_THREAD__ 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
/* The scheduler is not what is looked at. */
#define QUIET __attribute__((no_sanitize("thread")))
#else
#define QUIET
#endif

/* Every __shared__ variable of the object, as the linker gathered them. */
extern "C" char __start_cuemu_shared[] __attribute__((weak, visibility("hidden")));
extern "C" char __stop_cuemu_shared[] __attribute__((weak, visibility("hidden")));

namespace cuemu
{
namespace
{
enum { WARP = 32, MAX_THREADS = 1024, STACK = 64 * 1024 };
enum state { RUNS, AT_COLLECTIVE, AT_BARRIER, ENDED };
enum order { FORWARD, REVERSE, RANDOM };

struct fiber {
    uint3 index;
    enum state state;
    /* The collective it waits at: */
    enum collective op;
    uint32_t mask;
    int arg;
    uint64_t in, out;
    char *stack; /* [STACK], a guard page below */
#ifdef __x86_64__
    void *sp;
#else
    ucontext_t context;
#endif
#ifdef __SANITIZE_ADDRESS__
    void *fake_stack;
#endif
#ifdef __SANITIZE_THREAD__
    void *tsan;
    unsigned barriers; /* that it has come to */
#endif
};

/* The block that runs, one at a time in the process. */
struct scheduler {
    fiber *fibers, *current;
    int n;
    uint3 block;
    dim3 block_dim, grid_dim;
    void (*body)(void *);
    void *arg;
    const char *kernel;
    enum order order;
    uint64_t random;
#ifdef __x86_64__
    void *sp;
#else
    ucontext_t context;
#endif
#ifdef __SANITIZE_ADDRESS__
    void *fake_stack;
    const void *bottom;
    size_t size;
#endif
#ifdef __SANITIZE_THREAD__
    void *tsan;
    char gates[2];
#endif
};

scheduler S;

[[noreturn]] void die(const fiber *f, const char *what)
{
    std::fprintf(stderr, "cuemu: %s, in %s, block (%u,%u,%u), thread (%u,%u,%u)\n", what, S.kernel,
                 S.block.x, S.block.y, S.block.z, f->index.x, f->index.y, f->index.z);
    std::abort();
}

/* --- switching --- */

#ifdef __x86_64__
extern "C" void cuemu_switch(void **save, void *load) __attribute__((visibility("hidden")));
/* Saves what a callee must keep on the old stack, takes the same from the new one. */
__asm__(".text\n"
        ".hidden cuemu_switch\n"
        ".globl cuemu_switch\n"
        ".type cuemu_switch,@function\n"
        "cuemu_switch:\n"
        "    pushq %rbp\n    pushq %rbx\n    pushq %r12\n"
        "    pushq %r13\n    pushq %r14\n    pushq %r15\n"
        "    movq %rsp, (%rdi)\n"
        "    movq %rsi, %rsp\n"
        "    popq %r15\n    popq %r14\n    popq %r13\n"
        "    popq %r12\n    popq %rbx\n    popq %rbp\n"
        "    ret\n"
        ".size cuemu_switch,.-cuemu_switch\n");
#endif

QUIET void to_scheduler()
{
    fiber *f = S.current;
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(f->state == ENDED ? nullptr : &f->fake_stack, S.bottom, S.size);
#endif
#ifdef __SANITIZE_THREAD__
    __tsan_switch_to_fiber(S.tsan, __tsan_switch_to_fiber_no_sync);
#endif
#ifdef __x86_64__
    cuemu_switch(&f->sp, S.sp);
#else
    swapcontext(&f->context, &S.context);
#endif
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(f->fake_stack, &S.bottom, &S.size);
#endif
}

QUIET void to_fiber(fiber *f)
{
    S.current = f;
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_start_switch_fiber(&S.fake_stack, f->stack, STACK);
#endif
#ifdef __SANITIZE_THREAD__
    __tsan_switch_to_fiber(f->tsan, __tsan_switch_to_fiber_no_sync);
#endif
#ifdef __x86_64__
    cuemu_switch(&S.sp, f->sp);
#else
    swapcontext(&S.context, &f->context);
#endif
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(S.fake_stack, nullptr, nullptr);
#endif
}

QUIET void fiber_main()
{
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_finish_switch_fiber(nullptr, &S.bottom, &S.size);
#endif
#ifdef __SANITIZE_THREAD__
    __tsan_acquire(&S.body); /* all that the host and the blocks before have done */
#endif
    S.body(S.arg);
    S.current->state = ENDED;
#ifdef __SANITIZE_THREAD__
    __tsan_release(&S.n);
#endif
    to_scheduler();
    std::abort();
}

QUIET void prepare(fiber *f)
{
#ifdef __x86_64__
    enum { SAVED = 6 };
    void **top = reinterpret_cast<void **>(f->stack + STACK);
    *--top = nullptr; /* so that the stack is aligned as behind a call */
    *--top = reinterpret_cast<void *>(fiber_main);
    for (int i = 0; i < SAVED; i++)
        *--top = nullptr;
    f->sp = top;
#else
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = f->stack;
    f->context.uc_stack.ss_size = STACK;
    f->context.uc_link = nullptr;
    makecontext(&f->context, fiber_main, 0);
#endif
}

/* --- collectives --- */

/* The lane that `lane` reads from; its own beyond the warp's end. */
int source_lane(const fiber *f, int lane)
{
    int from = f->op == SHUFFLE_XOR ? lane ^ f->arg : lane + f->arg;
    return from < WARP ? from : lane;
}

QUIET void finish(fiber *warp, uint32_t here)
{
    const fiber *first = nullptr;
    uint32_t votes = 0;
    for (int l = 0; l < WARP; l++) {
        if (!(here >> l & 1))
            continue;
        first = first ? first : &warp[l];
        if (warp[l].op != first->op)
            die(&warp[l], "lanes of one warp meet in different collectives");
        votes |= warp[l].in ? 1u << l : 0;
    }
    for (int l = 0; l < WARP; l++) {
        fiber *f = &warp[l];
        if (!(here >> l & 1))
            continue;
        if (f->op == BALLOT) {
            f->out = votes;
        } else {
            int from = source_lane(f, l);
            if (!(here >> from & 1))
                die(f, "a shuffle reads a lane that is not in the mask or has ended");
            f->out = warp[from].in;
        }
    }
    for (int l = 0; l < WARP; l++)
        if (here >> l & 1)
            warp[l].state = RUNS;
}

/* The lanes of the mask that wait with that mask; 0 when one is still to come. */
QUIET uint32_t arrived(const fiber *warp, int lanes, uint32_t mask)
{
    uint32_t here = 0;
    for (int l = 0; l < lanes; l++) {
        if (!(mask >> l & 1) || warp[l].state == ENDED)
            continue;
        if (warp[l].state != AT_COLLECTIVE || warp[l].mask != mask)
            return 0;
        here |= 1u << l;
    }
    return here;
}

/* --- scheduling --- */

QUIET unsigned next_random()
{
    S.random ^= S.random << 13;
    S.random ^= S.random >> 7;
    S.random ^= S.random << 17;
    return (unsigned)(S.random >> 32);
}

/* permutation [n] of 0 .. n - 1 in the order that was asked for. */
QUIET void shuffle(int *permutation, int n)
{
    for (int i = 0; i < n; i++)
        permutation[i] = S.order == REVERSE ? n - 1 - i : i;
    for (int i = n - 1; S.order == RANDOM && i > 0; i--) {
        int j = (int)(next_random() % (unsigned)(i + 1)), t = permutation[i];
        permutation[i] = permutation[j];
        permutation[j] = t;
    }
}

/* Runs the lanes of a warp until none can go on by itself. */
QUIET void run_warp(fiber *warp, int lanes)
{
    for (bool progress = true; progress;) {
        int turn[WARP];
        shuffle(turn, lanes);
        for (int i = 0; i < lanes; i++)
            if (warp[turn[i]].state == RUNS)
                to_fiber(&warp[turn[i]]);
        progress = false;
        for (int l = 0; l < lanes; l++) {
            uint32_t here = warp[l].state == AT_COLLECTIVE ? arrived(warp, lanes, warp[l].mask) : 0;
            if (here) {
                finish(warp, here);
                progress = true;
            }
        }
    }
}

QUIET void start_fibers()
{
    for (int i = 0; i < S.n; i++) {
        fiber *f = &S.fibers[i];
        unsigned at = (unsigned)i;
        f->index = {at % S.block_dim.x, at / S.block_dim.x % S.block_dim.y,
                    at / S.block_dim.x / S.block_dim.y};
        f->state = RUNS;
        prepare(f);
#ifdef __SANITIZE_THREAD__
        S.tsan = __tsan_get_current_fiber();
        f->tsan = __tsan_create_fiber(0);
        f->barriers = 0;
#endif
    }
#ifdef __SANITIZE_THREAD__
    __tsan_release(&S.body);
#endif
}

/* Opens the barrier when all have come; false when all have ended. */
QUIET bool open_barrier()
{
    bool waiting = false;
    for (int i = 0; i < S.n; i++) {
        if (S.fibers[i].state == AT_COLLECTIVE)
            die(&S.fibers[i], "a collective waits for lanes that never come");
        waiting |= S.fibers[i].state == AT_BARRIER;
    }
    for (int i = 0; i < S.n; i++)
        if (S.fibers[i].state == AT_BARRIER)
            S.fibers[i].state = RUNS;
    return waiting;
}

QUIET void run_block()
{
    enum { WARPS = MAX_THREADS / WARP };
    start_fibers();
    const int warps = (S.n + WARP - 1) / WARP;
    do {
        int turn[WARPS];
        shuffle(turn, warps);
        for (int i = 0; i < warps; i++) {
            int first = turn[i] * WARP;
            run_warp(S.fibers + first, S.n - first < WARP ? S.n - first : WARP);
        }
    } while (open_barrier());
#ifdef __SANITIZE_THREAD__
    __tsan_acquire(&S.n); /* blocks follow one another */
    for (int i = 0; i < S.n; i++)
        __tsan_destroy_fiber(S.fibers[i].tsan);
#endif
}

void read_order()
{
    const char *text = std::getenv("BP_CUEMU_ORDER");
    S.order = FORWARD;
    if (text && std::strcmp(text, "reverse") == 0)
        S.order = REVERSE;
    if (text && std::strncmp(text, "random:", 7) == 0) {
        S.order = RANDOM;
        S.random = (std::strtoull(text + 7, nullptr, 10) + 1) * UINT64_C(0x9e3779b97f4a7c15);
    }
}

void set_up()
{
    if (S.fibers)
        return;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), each = STACK + page;
    void *stacks = mmap(nullptr, each * MAX_THREADS, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    S.fibers = static_cast<fiber *>(std::calloc(MAX_THREADS, sizeof *S.fibers));
    if (!S.fibers || stacks == MAP_FAILED) {
        std::perror("cuemu");
        std::abort();
    }
    for (size_t i = 0; i < MAX_THREADS; i++) {
        char *stack = static_cast<char *>(stacks) + i * each;
        mprotect(stack, page, PROT_NONE);
        S.fibers[i].stack = stack + page;
    }
}

void spoil_shared()
{
#ifndef __SANITIZE_ADDRESS__ /* which keeps red zones of its own between the variables */
    if (__start_cuemu_shared)
        std::memset(__start_cuemu_shared, 0xff,
                    (size_t)(__stop_cuemu_shared - __start_cuemu_shared));
#endif
}
} // namespace

QUIET const uint3 &thread_index()
{
    return S.current->index;
}

QUIET const uint3 &block_index()
{
    return S.block;
}

QUIET const dim3 &block_size()
{
    return S.block_dim;
}

QUIET const dim3 &grid_size()
{
    return S.grid_dim;
}

QUIET void block_barrier()
{
    S.current->state = AT_BARRIER;
#ifdef __SANITIZE_THREAD__
    /* One gate a barrier: a thread may reach the next one before another has left this. */
    char *gate = &S.gates[S.current->barriers++ % 2];
    __tsan_release(gate);
#endif
    to_scheduler();
#ifdef __SANITIZE_THREAD__
    __tsan_acquire(gate);
#endif
}

QUIET uint64_t meet(enum collective op, uint32_t mask, uint64_t in, int arg)
{
    fiber *f = S.current;
    const long at = f - S.fibers;
    if (!(mask >> (at % WARP) & 1))
        die(f, "a lane calls a collective whose mask leaves it out");
    f->op = op;
    f->mask = mask;
    f->in = in;
    f->arg = arg;
    f->state = AT_COLLECTIVE;
    to_scheduler();
    return f->out;
}

void run(const char *name, dim3 grid, dim3 block, void (*body)(void *), void *arg)
{
    set_up();
    read_order();
    S.n = (int)(block.x * block.y * block.z);
    S.block_dim = block;
    S.grid_dim = grid;
    S.body = body;
    S.arg = arg;
    S.kernel = name;
    if (S.n < 1 || S.n > MAX_THREADS || grid.x < 1 || grid.y > 65535 || grid.z > 65535) {
        std::fprintf(stderr, "cuemu: %s: launched with a size that no device takes\n", name);
        std::abort();
    }
    for (unsigned z = 0; z < grid.z; z++)
        for (unsigned y = 0; y < grid.y; y++)
            for (unsigned x = 0; x < grid.x; x++) {
                S.block = {x, y, z};
                spoil_shared();
                run_block();
            }
}
} // namespace cuemu
