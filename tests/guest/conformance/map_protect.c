/* Protections: what they forbid, and how they split a mapping. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static sigjmp_buf back;
static void handler(int number) { siglongjmp(back, number); }

static int can(volatile char *at, int write)
{
    if (sigsetjmp(back, 1))
        return 0;
    if (write)
        *at = 1;
    else
        (void)*at;
    return 1;
}

int main(void)
{
    signal(SIGSEGV, handler);
    char *p = mmap(NULL, 5 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(p, 9, 5 * 4096);
    mprotect(p + 4096, 4096, PROT_READ);
    mprotect(p + 2 * 4096, 4096, PROT_NONE);
    for (int i = 0; i < 5; i++)
        printf("%d%d ", can(p + i * 4096 + 5, 0), can(p + i * 4096 + 5, 1));
    mprotect(p, 5 * 4096, PROT_READ | PROT_WRITE);
    int sum = 0;
    for (int i = 0; i < 5; i++)
        sum += p[i * 4096];
    printf("\n%d\n", sum);
    printf("%d", mprotect(p + 1, 4096, PROT_READ));
    printf(" %d\n", errno == EINVAL);
    munmap(p + 4096, 4096);
    printf("%d", mprotect(p, 3 * 4096, PROT_READ));
    printf(" %d\n", errno == ENOMEM);
    mprotect(p + 3 * 4096, 4096, PROT_READ);
    printf("%zd", read(0, p + 3 * 4096, 0));
    int ends[2];
    pipe(ends);
    write(ends[1], "abc", 3);
    printf(" %zd", read(ends[0], p + 3 * 4096, 3));
    printf(" %d\n", errno == EFAULT);
    return 0;
}
