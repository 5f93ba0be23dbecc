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
    printf("%d %d\n", getcwd(small, sizeof small) == NULL, errno == ERANGE);
    int up = open("..", O_RDONLY | O_DIRECTORY);
    int fd = openat(up, "file", O_CREAT | O_RDWR, 0600);
    printf("%d %d\n", fd >= 0, access("../file", F_OK));
    printf("%d %d\n", faccessat(up, "inner", F_OK, 0), faccessat(up, "none", F_OK, 0));
    printf("%d %d\n", mkdirat(up, "other", 0700), renameat(up, "file", up, "other/moved"));
    printf("%d\n", unlinkat(up, "other/moved", 0));
    printf("%d %d\n", unlinkat(up, "other", AT_REMOVEDIR), fchdir(up));
    printf("%d\n", access("inner", F_OK));
    printf("%d %d\n", openat(fd, "x", O_RDONLY), errno == ENOTDIR);
    printf("%d %d\n", openat(99, "x", O_RDONLY), errno == EBADF);
    rmdir("inner");
    chdir(before);
    printf("%d\n", rmdir("current.tmp"));
    chdir("/");
    printf("%s %s\n", getcwd(now, sizeof now), realpath("../..", now));
    return 0;
}
