/* A stack that is used up: its signal is handled on another, and the program jumps out. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static sigjmp_buf back;
static char *other;
static volatile int on_other;

static void handler(int number, siginfo_t *info, void *context)
{
    char here;
    (void)number, (void)info, (void)context;
    on_other = &here >= other && &here < other + 65536;
    siglongjmp(back, 1);
}

static int down(volatile int *n)
{
    volatile char frame[4096];
    memset((char *)frame, *n, sizeof frame);
    ++*n;
    return down(n) + frame[*n % 4096];
}

int main(void)
{
    other = malloc(65536);
    stack_t stack = {.ss_sp = other, .ss_size = 65536}, old;
    sigaltstack(&stack, NULL);
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigaction(SIGSEGV, &action, NULL);
    for (int round = 0; round < 3; round++) {
        volatile int depth = 0;
        if (!sigsetjmp(back, 1))
            down(&depth);
        printf("%d %d\n", depth > 1000, on_other);
    }
    sigaltstack(NULL, &old);
    printf("%d %d %zu\n", old.ss_sp == other, old.ss_flags, old.ss_size);
    stack.ss_flags = SS_DISABLE;
    sigaltstack(&stack, NULL);
    sigaltstack(NULL, &old);
    printf("%d\n", old.ss_flags == SS_DISABLE);
    return 0;
}
