/*
 * costs.c: what system calls, switches and faults cost. The same ELF file is the program of a
 * unikernel and the init of a Linux; a line before and after each section lets the host take the
 * time, by one clock for both.
 */
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { CALLS = 400000, TURNS = 30000, PAGES = 16000 };

static int there[2], back[2];
static _Atomic int turn;

static void calls(void)
{
    for (int i = 0; i < CALLS; i++)
        syscall(SYS_getppid);
}

/* Two threads do `work`, this one as number 0. */
static void both(void *(*work)(void *))
{
    pthread_t other;
    if (pthread_create(&other, NULL, work, (void *)1))
        abort();
    work((void *)0);
    pthread_join(other, NULL);
}

static void *yielding(void *me)
{
    (void)me;
    for (int i = 0; i < TURNS; i++)
        syscall(SYS_sched_yield);
    return NULL;
}

static void *waking(void *me)
{
    int mine = me != NULL;
    for (int i = 0; i < TURNS; i++) {
        while (atomic_load(&turn) != mine)
            syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, !mine, NULL, NULL, 0);
        atomic_store(&turn, !mine);
        syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
    return NULL;
}

static void *piping(void *me)
{
    char c = 0;
    int in = me ? there[0] : back[0], out = me ? back[1] : there[1];
    for (int i = 0; i < TURNS; i++)
        if ((me && read(in, &c, 1) != 1) || write(out, &c, 1) != 1 || (!me && read(in, &c, 1) != 1))
            abort();
    return NULL;
}

static void faults(void)
{
    char *memory =
        mmap(NULL, PAGES * 4096UL, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        abort();
    for (long i = 0; i < PAGES; i++)
        memory[i * 4096] = 1;
    munmap(memory, PAGES * 4096UL);
}

static void begin(const char *name, long count)
{
    printf("%s %ld\n", name, count);
    fflush(stdout);
}

int main(void)
{
    if (pipe(there) || pipe(back))
        abort();
    begin("call", CALLS);
    calls();
    begin("yield", 2 * TURNS);
    both(yielding);
    begin("futex", 2 * TURNS);
    both(waking);
    begin("pipe", 2 * TURNS);
    both(piping);
    begin("fault", PAGES);
    faults();
    begin("end", 1);
    for (;;)
        pause();
}
