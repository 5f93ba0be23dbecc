/* Names of files: hard links, symbolic links, renaming. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int make(const char *name)
{
    int fd = open(name, O_CREAT | O_WRONLY | O_EXCL, 0600);
    write(fd, name, strlen(name));
    return close(fd);
}

int main(void)
{
    char text[64] = "";
    struct stat a, b;
    mkdir("links.tmp", 0700);
    chdir("links.tmp");
    make("first");
    printf("%d\n", link("first", "second"));
    stat("first", &a);
    stat("second", &b);
    printf("%d %d\n", a.st_ino == b.st_ino, (int)a.st_nlink);
    printf("%d %d\n", link("first", "second"), errno == EEXIST);
    printf("%d %zd %s\n", symlink("second", "soft"), readlink("soft", text, 63), text);
    lstat("soft", &a);
    printf("%d %ld\n", S_ISLNK(a.st_mode), (long)a.st_size);
    unlink("second");
    printf("%d %d\n", access("soft", F_OK), errno == ENOENT);
    make("third");
    printf("%d\n", rename("first", "third"));
    int fd = open("third", O_RDONLY);
    printf("%zd\n", read(fd, text, 63));
    printf("%d %d\n", rename("none", "third"), errno == ENOENT);
    symlink("loop", "loop");
    printf("%d %d\n", open("loop", O_RDONLY), errno == ELOOP);
    mkdir("dir", 0700);
    printf("%d %d\n", rename("dir", "dir/in"), errno == EINVAL);
    printf("%d %d\n", renameat2(AT_FDCWD, "third", AT_FDCWD, "dir", RENAME_NOREPLACE), errno == EEXIST);
    char *real = realpath("dir/../soft/..", NULL);
    printf("%d\n", real == NULL);
    printf("%s\n", strstr(realpath("./dir/./..", text + 0), "links.tmp") ? "real" : "wrong");
    unlink("third"), unlink("soft"), unlink("loop"), rmdir("dir");
    chdir("..");
    printf("%d\n", rmdir("links.tmp"));
    return 0;
}
