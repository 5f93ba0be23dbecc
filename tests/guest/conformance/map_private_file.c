/* A private mapping: what is written to it does not reach the file. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(void)
{
    int fd = open("private.tmp", O_RDWR | O_CREAT | O_TRUNC, 0600);
    char bytes[9000];
    for (int i = 0; i < 9000; i++)
        bytes[i] = (char)('a' + i % 26);
    write(fd, bytes, sizeof bytes);
    char *map = mmap(NULL, 9000, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    printf("%d %d\n", memcmp(map, bytes, 9000), map[9001]);
    memcpy(map + 4094, "MINE", 4);
    pread(fd, bytes, 4, 4094);
    printf("%.4s %.4s\n", map + 4094, bytes);
    pwrite(fd, "THEIRS", 6, 8300); /* a page that is still the file's */
    printf("%.6s\n", map + 8300);
    pwrite(fd, "lost", 4, 4094); /* pages that are ours now */
    printf("%.4s\n", map + 4094);
    char *part = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 4096);
    printf("%.2s\n", part);
    printf("%d %d\n", munmap(map, 9000), munmap(part, 4096));
    int reader = open("private.tmp", O_RDONLY);
    map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, reader, 0);
    map[0] = '#';
    printf("%c\n", map[0]);
    printf("%d\n", mmap(NULL, 10, PROT_READ, MAP_PRIVATE, open("private.tmp", O_WRONLY), 0) == MAP_FAILED);
    printf("%d\n", mmap(NULL, 10, PROT_READ, MAP_PRIVATE, fd, 100) == MAP_FAILED);
    unlink("private.tmp");
    return 0;
}
