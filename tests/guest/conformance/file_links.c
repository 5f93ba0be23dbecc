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
    printf("%d", link("first", "second"));
    printf(" %d\n", errno == EEXIST);
    printf("%d", symlink("second", "soft"));
    printf(" %zd", readlink("soft", text, 63));
    printf(" %s\n", text);
    lstat("soft", &a);
    printf("%d", S_ISLNK(a.st_mode));
    printf(" %ld\n", (long)a.st_size);
    unlink("second");
    printf("%d", access("soft", F_OK));
    printf(" %d\n", errno == ENOENT);
    make("third");
    printf("%d\n", rename("first", "third"));
    int fd = open("third", O_RDONLY);
    printf("%zd\n", read(fd, text, 63));
    printf("%d", rename("none", "third"));
    printf(" %d\n", errno == ENOENT);
    symlink("loop", "loop");
    printf("%d", open("loop", O_RDONLY));
    printf(" %d\n", errno == ELOOP);
    mkdir("dir", 0700);
    printf("%d", rename("dir", "dir/in"));
    printf(" %d\n", errno == EINVAL);
    printf("%d", renameat2(AT_FDCWD, "third", AT_FDCWD, "dir", RENAME_NOREPLACE));
    printf(" %d\n", errno == EEXIST);
    char *real = realpath("dir/../soft/..", NULL);
    printf("%d\n", real == NULL);
    printf("%s\n", strstr(realpath("./dir/./..", text + 0), "links.tmp") ? "real" : "wrong");
    unlink("third"), unlink("soft"), unlink("loop"), rmdir("dir");
    chdir("..");
    printf("%d\n", rmdir("links.tmp"));
    return 0;
}
