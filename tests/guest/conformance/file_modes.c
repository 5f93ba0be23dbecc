/* Permissions: what umask leaves, what chmod sets, and what runs. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static unsigned mode(const char *path)
{
    struct stat s;
    return stat(path, &s) ? 0 : s.st_mode;
}

int main(void)
{
    umask(027);
    close(open("modes.tmp", O_CREAT | O_RDWR, 0666));
    mkdir("modes.dir", 0777);
    printf("%o", mode("modes.tmp"));
    printf(" %o\n", mode("modes.dir"));
    printf("%o\n", umask(0));
    printf("%d", chmod("modes.tmp", 0751));
    printf(" %o\n", mode("modes.tmp"));
    int fd = open("modes.tmp", O_RDWR);
    printf("%d", fchmod(fd, 04600));
    printf(" %o\n", mode("modes.tmp"));
    printf("%d\n", access("modes.tmp", R_OK | W_OK));
    printf("%d\n", access("modes.tmp", X_OK));
    chmod("modes.tmp", 0100);
    printf("%d\n", access("modes.tmp", X_OK));
    printf("%d\n", fchmodat(AT_FDCWD, "modes.none", 0600, 0));
    mkdir("modes.sticky", 01777);
    printf("%o\n", mode("modes.sticky"));
    struct stat s;
    printf("%d\n", chown("modes.tmp", getuid(), getgid()));
    stat("modes.tmp", &s);
    printf("%d %d\n", s.st_uid == getuid(), s.st_gid == getgid());
    unlink("modes.tmp"), rmdir("modes.dir"), rmdir("modes.sticky");
    return 0;
}
