// A hostile program: many threads that fire every system call with wild arguments. The kernel must
// neither fall nor stand still: at the end the first thread, which only watches, says "alive".
// fuzz [SEED [CALLS]]. To be linked as static-pie: then no small number is an address of its own.
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// Where the calls may read and write. All that the program itself lives on lies elsewhere.
#define ARENA 0x6000000000UL
#define ARENA_BYTES (64 * 4096UL)
#define SLOTS 96
#define AT_ONCE 4

// Threads without thread-local storage: some calls take it away.
static struct slot {
    char stack[16384] __attribute__((aligned(16)));
    uint64_t random, calls, seen;
    volatile int state; // 0 free, 1 running, 2 has ended
    int tid, patience;
} slots[SLOTS];
static uint64_t total, seed = 1, wanted = 60000;

static long call6(long n, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e, uint64_t f)
{
#if defined __x86_64__
    register uint64_t r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
#else
    register uint64_t x8 __asm__("x8") = (uint64_t)n, x0 __asm__("x0") = a, x1 __asm__("x1") = b;
    register uint64_t x2 __asm__("x2") = c, x3 __asm__("x3") = d, x4 __asm__("x4") = e;
    register uint64_t x5 __asm__("x5") = f;
    __asm__ volatile("svc 0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory");
    return (long)x0;
#endif
}

static uint64_t draw(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15; // splitmix64
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static uint64_t nowhere(uint64_t *r)
{
    static const uint64_t addresses[] = {
        0, 8, 4096, 0xffff, ARENA - 4096, ARENA + ARENA_BYTES, 0x7ffffffffff8, 0x7fffffffffff,
        0x0000800000000000, 0xffff7fffffffffff, 0xffff800000000000, 0xffff800000100000,
        0xffff800040100000, 0xffffc00000001000, 0xffffd000fee00000, 0xffffffff80100000,
        0xffffffffc0113000, 0xfffffffffffff000, ~0UL, ~7UL, 1UL << 63};
    return addresses[draw(r) % (sizeof addresses / sizeof *addresses)];
}

static uint64_t inside(uint64_t *r)
{
    uint64_t x = draw(r), page = x >> 8 & 63;
    switch (x & 7) {
    case 0:
        return ARENA + (page << 12) + 4096 - (x >> 20 & 31); // to the end of a page, and over it
    case 1:
        return ARENA + (x >> 20 & 7) * 32; // a path
    case 2:
        return ARENA + ARENA_BYTES - (x >> 20 & 255);
    default:
        return ARENA + (page << 12) + (x >> 20 & 511) * 8;
    }
}

static uint64_t value(uint64_t *r)
{
    uint64_t x = draw(r);
    switch (x >> 60) {
    case 0 ... 5:
        return inside(r);
    case 6 ... 9:
        return x & 63;
    case 10:
        return (1UL << (x & 63)) - 1 + (x >> 6 & 3);
    case 11:
        return nowhere(r);
    case 12:
        return -(x & 127);
    case 13:
        return (uint32_t)x;
    case 14:
        return x & 0xfff;
    default:
        return x & 1 ? (uint64_t)AT_FDCWD : (x & 0xffff) << 12;
    }
}

static uint64_t handled(uint64_t number)
{
    number %= 66;
    return number == SIGKILL || number == 32 || number == 33 ? 0 : number; // the C library's
}

// What would harm the program and not the kernel gets arguments that cannot.
static int tame(long n, uint64_t *a, uint64_t *r)
{
    switch (n) {
    case SYS_exit:
    case SYS_exit_group:
    case SYS_rt_sigreturn:
        return 0;
    case SYS_munmap:
    case SYS_mmap:
    case SYS_mprotect:
    case SYS_madvise:
    case SYS_mremap:
        a[0] = draw(r) & 3 ? inside(r) & ~4095UL : nowhere(r);
        if (a[1] > 1UL << 30 && a[1] < 1UL << 48)
            a[1] &= 0xfffff;
        if (n == SYS_mremap) {
            a[2] &= draw(r) & 1 ? 0xfffff : ~0UL;
            a[4] = draw(r) & 3 ? inside(r) & ~4095UL : nowhere(r);
        }
        if (n == SYS_mmap && draw(r) & 1)
            a[3] |= MAP_ANONYMOUS;
        return 1;
    case SYS_brk:
        a[0] = nowhere(r);
        return 1;
    case SYS_rt_sigaction:
        a[1] = draw(r) & 1 ? 0 : nowhere(r);
        return 1;
    case SYS_rt_sigprocmask:
        a[1] = 0;
        return 1;
    case SYS_kill:
    case SYS_tkill:
    case SYS_rt_sigqueueinfo:
        a[1] = handled(a[1]);
        return 1;
    case SYS_tgkill:
    case SYS_rt_tgsigqueueinfo:
        a[2] = handled(a[2]);
        return 1;
    case SYS_timer_create: // its signal would be read from where anything may be written meanwhile
        a[1] = draw(r) & 1 ? 0 : nowhere(r);
        return 1;
    case SYS_clone:
        a[0] &= ~(uint64_t)CLONE_THREAD;
        return 1;
    case SYS_clone3:
        a[0] = nowhere(r);
        return 1;
    default:
        return 1;
    }
}

static void scribble(uint64_t *r)
{
    static const char paths[8][32] = {"/tmp/a", "/tmp/b/c", "a", "..", "/", "/proc/self/maps",
                                      "/tmp/b", "/dev/null"};
    volatile uint64_t *to = (volatile uint64_t *)(inside(r) & ~7UL);
    for (int i = 0; i < 6 && (uint64_t)(to + i) < ARENA + ARENA_BYTES; i++)
        to[i] = value(r);
    if (!(draw(r) & 15))
        for (unsigned i = 0; i < sizeof paths; i++)
            ((volatile char *)ARENA)[i] = ((const char *)paths)[i];
}

static void mend(void)
{
    call6(SYS_mmap, ARENA, ARENA_BYTES, PROT_READ | PROT_WRITE,
          MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1UL, 0);
}

static int run(void *me)
{
    struct slot *s = me;
    uint64_t *r = &s->random;
    uint64_t last = 500 + draw(r) % 4000;
    for (; s->calls < last; s->calls++) {
        long n = draw(r) % 8 ? (long)(draw(r) % 501) : (long)(5200 + draw(r) % 32);
        uint64_t a[6];
        for (int i = 0; i < 6; i++)
            a[i] = value(r);
        if (draw(r) % 16 == 0)
            scribble(r);
        if (draw(r) % 256 == 0)
            mend();
        if (tame(n, a, r))
            call6(n, a[0], a[1], a[2], a[3], a[4], a[5]);
    }
    s->state = 2;
    call6(SYS_exit, 0, 0, 0, 0, 0, 0);
    return 0;
}

// Without thread-local storage, so without the C library.
_Noreturn static void give_up(int number, uint64_t at)
{
    static char text[] = "harmed by signal .., at ................\n", digits[] = "0123456789abcdef";
    text[17] = digits[number / 10];
    text[18] = digits[number % 10];
    for (int i = 0; i < 16; i++)
        text[24 + i] = digits[at >> (60 - 4 * i) & 15];
    int fd = (int)call6(SYS_openat, (uint64_t)AT_FDCWD, (uint64_t) "/dev/tty", O_WRONLY, 0, 0, 0);
    call6(SYS_write, (uint64_t)fd, (uint64_t)text, sizeof text - 1, 0, 0, 0);
    for (;;)
        call6(SYS_exit_group, 66, 0, 0, 0, 0, 0);
}

// A fault is a thread's own: of `scribble`, when the arena has just been taken away.
static void handler(int number, siginfo_t *info, void *context)
{
    (void)context;
    uint64_t at = (uint64_t)info->si_addr;
    if ((number == SIGSEGV || number == SIGBUS) && info->si_code > 0 && at >= ARENA &&
        at < ARENA + ARENA_BYTES)
        mend();
    else if ((number == SIGSEGV || number == SIGBUS || number == SIGILL) && info->si_code > 0)
        give_up(number, at);
}

static void begin(struct slot *s)
{
    static uint64_t order;
    s->random = seed * 1000003 + order++;
    s->calls = s->seen = 0;
    s->patience = 0;
    s->state = 1;
    s->tid = clone(run, s->stack + sizeof s->stack - 64,
                   CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM, s);
    if (s->tid < 0)
        s->state = 0;
}

// Calls that wait are interrupted; a thread that waits on is left alone, and another begins.
static int watch(void)
{
    int moving = 0;
    for (struct slot *s = slots; s < slots + SLOTS; s++) {
        if (s->state == 2) {
            total += s->calls;
            s->state = 0;
        }
        if (s->state != 1)
            continue;
        s->patience = s->calls == s->seen ? s->patience + 1 : 0;
        s->seen = s->calls;
        if (s->patience)
            call6(SYS_tgkill, (uint64_t)getpid(), (uint64_t)s->tid, SIGUSR1, 0, 0, 0);
        moving += s->patience < 20;
    }
    return moving;
}

static void clean_up(void)
{
    for (int fd = 3; fd < 1024; fd++)
        call6(SYS_close, (uint64_t)fd, 0, 0, 0, 0, 0);
    truncate("/tmp/a", 0);
    truncate("/tmp/b", 0);
    truncate("/tmp/b/c", 0);
    for (uint64_t i = 0; i < 64; i++)
        call6(SYS_timer_delete, i, 0, 0, 0, 0, 0);
}

int main(int argc, char **argv)
{
    seed = argc > 1 ? strtoull(argv[1], NULL, 0) : seed;
    wanted = argc > 2 ? strtoull(argv[2], NULL, 0) : wanted;
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigfillset(&action.sa_mask);
    for (int n = 1; n <= 64; n++)
        sigaction(n, &action, NULL);
    mend();
    close(1), close(2); // garbage on the console takes time and shows nothing
    uint64_t r = seed;
    for (int i = 0; i < 200; i++)
        scribble(&r);
    for (unsigned round = 0; total < wanted && round < 20000; round++) {
        int moving = watch();
        for (struct slot *s = slots; s < slots + SLOTS && moving < AT_ONCE; s++) {
            if (!s->state) {
                begin(s);
                moving++;
            }
        }
        if (!moving)
            break;
        if (round % 8 == 0)
            clean_up();
        nanosleep(&(struct timespec){0, 3000000}, NULL);
    }
    clean_up();
    char text[64];
    int n = snprintf(text, sizeof text, "alive %d\n", total >= wanted);
    int fd = open("/dev/tty", O_WRONLY);
    write(fd, text, (size_t)n);
    _exit(7);
}
