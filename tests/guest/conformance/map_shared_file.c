/* A shared mapping is the file: both ways, and for every mapping of it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(void)
{
    int fd = open("shared.tmp", O_RDWR | O_CREAT | O_TRUNC, 0600);
    char text[16] = "";
    ftruncate(fd, 10000);
    char *a = mmap(NULL, 10000, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *b = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 4096);
    strcpy(a + 4096, "by memory");
    printf("%s\n", b);
    pread(fd, text, 15, 4096);
    printf("%s\n", text);
    pwrite(fd, "by file", 8, 4100);
    printf("%s %s\n", a + 4096, b);
    strcpy(a + 9990, "tail");
    pread(fd, text, 10, 9990);
    printf("%s", text);
    printf(" %d\n", msync(a, 10000, MS_SYNC));
    munmap(a, 10000);
    strcpy(b, "still");
    close(fd);
    fd = open("shared.tmp", O_RDONLY);
    pread(fd, text, 6, 4096);
    printf("%s\n", text);
    printf("%d", mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
    printf(" %d\n", errno == EACCES);
    a = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 4096);
    printf("%s", a);
    printf(" %d", mprotect(a, 4096, PROT_READ | PROT_WRITE));
    printf(" %d\n", errno == EACCES);
    strcpy(b, "seen");
    printf("%s\n", a);
    unlink("shared.tmp");
    return 0;
}
