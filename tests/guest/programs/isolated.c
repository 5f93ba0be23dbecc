// What a program may not do to itself and to the kernel, and where its memory is.
#define _GNU_SOURCE
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static sigjmp_buf back;
static char code[16] = {(char)0xc3};
static int global = 5;

static void handler(int number) { siglongjmp(back, number); }

static void touch(const char *what, volatile char *at, char kind)
{
    int number = sigsetjmp(back, 1);
    if (!number && kind == 'r')
        (void)*at;
    else if (!number && kind == 'w')
        *at = 1;
    else if (!number)
        ((void (*)(void))at)();
    printf("%s %s\n", what, number == SIGSEGV ? "refused" : number ? "other" : "done");
}

static int may(int prot, int after)
{
    char *p = mmap(NULL, 4096, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p != MAP_FAILED && (!after || !mprotect(p, 4096, after));
}

static void *below_my_stack(void *unused)
{
    pthread_attr_t attr;
    void *low;
    size_t size;
    pthread_getattr_np(pthread_self(), &attr);
    pthread_attr_getstack(&attr, &low, &size);
    touch("below a thread's stack", (char *)low - 1, 'w');
    return unused;
}

int main(int argc, char **argv)
{
    stack_t other = {.ss_sp = malloc(65536), .ss_size = 65536};
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_ONSTACK};
    char here[16] = {(char)0xc3};
    sigaltstack(&other, NULL);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGILL, &action, NULL);
    (void)argc;

    printf("wx %d %d %d %d\n", may(PROT_WRITE | PROT_EXEC, 0), may(7, 0), may(PROT_READ, 7),
           may(PROT_READ | PROT_WRITE, PROT_READ | PROT_EXEC));
    touch("run data", code, 'x');
    touch("run stack", here, 'x');
    touch("run heap", memset(malloc(64), 0xc3, 64), 'x');
    touch("write code", (char *)main, 'w');
    touch("write constant", "constant", 'w');
    const unsigned long kernel[] = {0xffffffff80100000, 0xffffffffc0113000, 0xffff800000100000,
                                    0xffff800040100000, 0xffffc00000001000, 0xffffd000fee00000,
                                    0x0000800000000000};
    for (unsigned i = 0; i < sizeof kernel / sizeof *kernel; i++) {
        touch("read kernel", (char *)kernel[i], 'r');
        touch("write kernel", (char *)kernel[i], 'w');
        touch("run kernel", (char *)kernel[i], 'x');
    }
    pthread_t t;
    pthread_create(&t, NULL, below_my_stack, NULL);
    pthread_join(t, NULL);
    char *low = (char *)((unsigned long)here & ~4095UL) - (9 << 20);
    touch("below the stack", low, 'w');
    printf("places %p %p %p %p\n", (void *)argv, mmap(NULL, 4096, 1, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
           sbrk(0), (void *)&global);
    return 0;
}
