/* What open refuses, and what it does beside opening. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void say(const char *what, int fd)
{
    printf("%s %s\n", what, fd < 0 ? strerror(errno) : "opened");
    if (fd >= 0)
        close(fd);
}

int main(void)
{
    struct stat s;
    say("none", open("flags.tmp", O_RDWR));
    say("create", open("flags.tmp", O_RDWR | O_CREAT, 0600));
    say("exclusive", open("flags.tmp", O_RDWR | O_CREAT | O_EXCL, 0600));
    int fd = open("flags.tmp", O_WRONLY | O_APPEND);
    write(fd, "abc", 3);
    pwrite(fd, "def", 3, 0);
    fstat(fd, &s);
    printf("%ld\n", (long)s.st_size); /* O_APPEND wins over pwrite on Linux */
    close(fd);
    say("directory", open("flags.tmp", O_RDONLY | O_DIRECTORY));
    say("write to one", open("/tmp", O_WRONLY));
    say("through a file", open("flags.tmp/x", O_RDONLY));
    say("slash", open("flags.tmp/", O_RDONLY));
    say("empty", open("", O_RDONLY));
    symlink("flags.tmp", "flags.link");
    say("no follow", open("flags.link", O_RDONLY | O_NOFOLLOW));
    say("path", open("flags.link", O_PATH | O_NOFOLLOW));
    say("truncate", open("flags.link", O_WRONLY | O_TRUNC));
    stat("flags.tmp", &s);
    printf("%ld\n", (long)s.st_size);
    fd = open(".", O_RDWR | O_TMPFILE, 0600);
    fstat(fd, &s);
    printf("%d %d\n", fd >= 0, (int)s.st_nlink);
    say("creat", creat("flags.tmp", 0600));
    unlink("flags.tmp"), unlink("flags.link");
    return 0;
}
