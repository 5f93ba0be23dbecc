/* A mapping that reaches beyond its file's end. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

static sigjmp_buf back;
static volatile int code;

static void handler(int number, siginfo_t *info, void *context)
{
    (void)context;
    code = info->si_code;
    siglongjmp(back, number);
}

static void touch(volatile char *at)
{
    int number = sigsetjmp(back, 1);
    if (!number)
        printf("%d\n", *at);
    else
        printf("%s %d\n", number == SIGBUS ? "bus" : "other", code);
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGBUS, &action, NULL);
    sigaction(SIGSEGV, &action, NULL);
    int fd = memfd_create("short", 0);
    ftruncate(fd, 4096 + 10);
    char *map = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    map[4096] = 5;
    touch(map + 4096);
    touch(map + 4096 + 100); /* the rest of the last page is zero */
    touch(map + 8192);
    ftruncate(fd, 3 * 4096);
    touch(map + 8192);
    ftruncate(fd, 1);
    touch(map + 4096);
    touch(map);
    return 0;
}
