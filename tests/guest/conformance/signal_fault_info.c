/* One's own faults: where, why, and out of the handler by a jump. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>

static sigjmp_buf back;
static volatile uintptr_t address;
static volatile int code;

static void handler(int number, siginfo_t *info, void *context)
{
    (void)context;
    address = (uintptr_t)info->si_addr;
    code = info->si_code;
    siglongjmp(back, number);
}

static void try_it(const char *what, volatile char *at, int write)
{
    int number = sigsetjmp(back, 1);
    if (!number) {
        if (write)
            *at = 1;
        else
            (void)*at;
        printf("%s fine\n", what);
    } else {
        printf("%s %d %d %d\n", what, number == SIGSEGV, address == (uintptr_t)at, code);
    }
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    char *page = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    try_it("read", page, 0);
    try_it("write", page + 5, 1);
    mprotect(page, 4096, PROT_NONE);
    try_it("none", page + 7, 0);
    munmap(page, 4096);
    try_it("unmapped", page + 9, 0);
    try_it("null", (char *)8, 1);
    mprotect(page + 4096, 4096, PROT_READ | PROT_WRITE);
    try_it("writable", page + 4096, 1);
    return 0;
}
