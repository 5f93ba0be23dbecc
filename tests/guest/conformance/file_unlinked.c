/* A file without a name lives as long as it is open or mapped. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int main(void)
{
    int fd = open("unlinked.tmp", O_RDWR | O_CREAT | O_TRUNC, 0600);
    write(fd, "ghost", 5);
    printf("%d", unlink("unlinked.tmp"));
    printf(" %d\n", access("unlinked.tmp", F_OK));
    struct stat s;
    fstat(fd, &s);
    printf("%d %ld\n", (int)s.st_nlink, (long)s.st_size);
    char text[8] = "";
    printf("%zd", pread(fd, text, 7, 0));
    printf(" %s\n", text);
    char *map = mmap(NULL, 5, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    printf("%.5s\n", map);
    fd = open("unlinked.tmp", O_RDWR | O_CREAT | O_EXCL, 0600);
    printf("%d", fd >= 0);
    printf(" %zd\n", read(fd, text, 7));
    mkdir("unlinked.dir", 0700);
    int d = open("unlinked.dir", O_RDONLY);
    rmdir("unlinked.dir");
    printf("%d\n", openat(d, "new", O_CREAT | O_WRONLY, 0600));
    unlink("unlinked.tmp");
    return 0;
}
