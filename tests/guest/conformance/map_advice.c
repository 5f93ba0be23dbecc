/* Memory that is given back without being unmapped, and which pages are there. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

int main(void)
{
    char *p = mmap(NULL, 8 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned char in[8];
    p[0] = p[4096] = p[5 * 4096] = 3;
    mincore(p, 8 * 4096, in);
    for (int i = 0; i < 8; i++)
        printf("%d", in[i] & 1);
    printf(" %d\n", madvise(p + 4096, 4096, MADV_DONTNEED));
    printf("%d %d\n", p[0], p[4096]);
    printf("%d", madvise(p, 8 * 4096, MADV_WILLNEED));
    printf(" %d", madvise(p, 4096, MADV_SEQUENTIAL));
    printf(" %d\n", posix_madvise(p, 4096, POSIX_MADV_NORMAL));
    printf("%d", madvise(p + 1, 4096, MADV_DONTNEED));
    printf(" %d\n", errno == EINVAL);
    munmap(p, 4096);
    printf("%d", mincore(p, 4096, in));
    printf(" %d\n", errno == ENOMEM);
    printf("%d", mlock(p + 4096, 4096));
    printf(" %d\n", munlock(p + 4096, 4096));
    return 0;
}
