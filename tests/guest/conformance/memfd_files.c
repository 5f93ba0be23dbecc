/* Files that were never named. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int main(void)
{
    int a = memfd_create("same name", MFD_CLOEXEC), b = memfd_create("same name", 0);
    struct stat sa, sb;
    write(a, "first", 5);
    fstat(a, &sa);
    fstat(b, &sb);
    printf("%d %ld %ld\n", sa.st_ino != sb.st_ino, (long)sa.st_size, (long)sb.st_size);
    char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, a, 0);
    close(a);
    printf("%.5s\n", p);
    strcpy(p, "lives");
    printf("%s\n", p);
    ftruncate(b, 100000);
    char *q = mmap(NULL, 100000, PROT_READ | PROT_WRITE, MAP_SHARED, b, 0);
    memset(q, 'q', 100000);
    lseek(b, 99990, SEEK_SET);
    char end[16] = "";
    printf("%zd %s\n", read(b, end, 15), "");
    printf("%s %d\n", end, memfd_create((char *)8, 0));
    return 0;
}
