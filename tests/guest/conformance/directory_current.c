/* The current directory, and paths from a directory that is open. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int main(void)
{
    char before[4096], now[4096], small[2];
    getcwd(before, sizeof before);
    mkdir("current.tmp", 0700);
    mkdir("current.tmp/inner", 0700);
    printf("%d\n", chdir("current.tmp/inner"));
    getcwd(now, sizeof now);
    printf("%s\n", now + strlen(now) - strlen("/current.tmp/inner"));
    printf("%d", getcwd(small, sizeof small) == NULL);
    printf(" %d\n", errno == ERANGE);
    int up = open("..", O_RDONLY | O_DIRECTORY);
    int fd = openat(up, "file", O_CREAT | O_RDWR, 0600);
    printf("%d", fd >= 0);
    printf(" %d\n", access("../file", F_OK));
    printf("%d", faccessat(up, "inner", F_OK, 0));
    printf(" %d\n", faccessat(up, "none", F_OK, 0));
    printf("%d", mkdirat(up, "other", 0700));
    printf(" %d\n", renameat(up, "file", up, "other/moved"));
    printf("%d\n", unlinkat(up, "other/moved", 0));
    printf("%d", unlinkat(up, "other", AT_REMOVEDIR));
    printf(" %d\n", fchdir(up));
    printf("%d\n", access("inner", F_OK));
    printf("%d", openat(fd, "x", O_RDONLY));
    printf(" %d\n", errno == ENOTDIR);
    printf("%d", openat(99, "x", O_RDONLY));
    printf(" %d\n", errno == EBADF);
    rmdir("inner");
    chdir(before);
    printf("%d\n", rmdir("current.tmp"));
    chdir("/");
    printf("%s", getcwd(now, sizeof now));
    printf(" %s\n", realpath("../..", now));
    return 0;
}
