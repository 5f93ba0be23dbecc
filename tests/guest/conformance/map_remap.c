/* Mappings that grow, shrink and move, with what is in them. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(void)
{
    char *a = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    strcpy(a + 4000, "moves along");
    char *b = mremap(a, 8192, 64 * 4096, MREMAP_MAYMOVE);
    printf("%s %d\n", b + 4000, b[63 * 4096]);
    b = mremap(b, 64 * 4096, 4096, 0);
    printf("%.5s\n", b + 4000);
    char *target = mmap(NULL, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *c = mremap(b, 4096, 8192, MREMAP_MAYMOVE | MREMAP_FIXED, target);
    printf("%d %.5s %d\n", c == target, c + 4000, c[5000]);
    c[5000] = 1;
    int fd = memfd_create("file", 0);
    ftruncate(fd, 4 * 4096);
    pwrite(fd, "third page", 10, 2 * 4096);
    char *f = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    f = mremap(f, 4096, 3 * 4096, MREMAP_MAYMOVE);
    printf("%s\n", f + 2 * 4096);
    f[0] = 'F';
    char first = 0;
    pread(fd, &first, 1, 0);
    printf("%c\n", first);
    printf("%d\n", mremap((void *)0x100000, 4096, 8192, 0) == MAP_FAILED);
    return 0;
}
