/* Mappings where one wants them, over others, or only where nothing is. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

#define AT ((char *)0x5000000000)
#define ANYWHERE (MAP_PRIVATE | MAP_ANONYMOUS)

int main(void)
{
    char *a = mmap(AT, 3 * 4096, PROT_READ | PROT_WRITE, ANYWHERE | MAP_FIXED_NOREPLACE, -1, 0);
    printf("%d\n", a == AT);
    a[0] = a[4096] = a[8192] = 7;
    printf("%d", mmap(AT + 4096, 4096, PROT_READ, ANYWHERE | MAP_FIXED_NOREPLACE, -1, 0) == MAP_FAILED);
    printf(" %d\n", errno == EEXIST);
    char *b = mmap(AT + 4096, 4096, PROT_READ | PROT_WRITE, ANYWHERE | MAP_FIXED, -1, 0);
    printf("%d %d %d %d\n", b == AT + 4096, a[0], b[0], a[8192]);
    char *hinted = mmap(AT, 4096, PROT_READ, ANYWHERE, -1, 0);
    printf("%d\n", hinted != AT && hinted != MAP_FAILED);
    munmap(AT, 3 * 4096);
    hinted = mmap(AT, 4096, PROT_READ, ANYWHERE, -1, 0);
    printf("%d\n", hinted == AT);
    printf("%d", mmap(AT + 1, 4096, PROT_READ, ANYWHERE | MAP_FIXED, -1, 0) == MAP_FAILED);
    printf(" %d\n", errno == EINVAL);
    return 0;
}
