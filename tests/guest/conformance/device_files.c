/* The devices that every program may open. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(void)
{
    char a[64], b[64];
    int null = open("/dev/null", O_RDWR), zero = open("/dev/zero", O_RDWR);
    int full = open("/dev/full", O_RDWR), random = open("/dev/urandom", O_RDONLY);
    printf("%zd", write(null, "gone", 4));
    printf(" %zd\n", read(null, a, 64));
    memset(a, 1, 64);
    printf("%zd", read(zero, a, 64));
    int sum = 0;
    for (int i = 0; i < 64; i++)
        sum += a[i];
    printf(" %d", sum);
    printf(" %zd\n", write(zero, a, 64));
    printf("%zd", write(full, "x", 1));
    printf(" %d\n", errno == ENOSPC);
    printf("%zd", read(random, a, 64));
    printf(" %zd", read(random, b, 64));
    printf(" %d\n", memcmp(a, b, 64) != 0);
    char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, zero, 0);
    p[5] = 5;
    printf("%d %d\n", p[4], p[5]);
    FILE *f = fopen("/dev/stdout", "w");
    fflush(stdout);
    fprintf(f, "by name\n");
    fclose(f);
    f = fopen("/dev/full", "w");
    fputs("text", f);
    printf("%d", fflush(f));
    printf(" %d\n", ferror(f) != 0);
    return 0;
}
