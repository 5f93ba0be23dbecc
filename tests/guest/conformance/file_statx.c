/* What is known of files: stat, statx, statvfs. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

int main(void)
{
    int fd = open("statx.tmp", O_RDWR | O_CREAT | O_TRUNC, 0640);
    write(fd, "twelve bytes", 12);
    struct statx x;
    struct stat s;
    printf("%d\n", statx(AT_FDCWD, "statx.tmp", 0, STATX_BASIC_STATS, &x));
    fstat(fd, &s);
    printf("%llu %o %u %d\n", x.stx_size, x.stx_mode, x.stx_nlink, x.stx_ino == s.st_ino);
    printf("%d %d\n", x.stx_mtime.tv_sec == s.st_mtim.tv_sec, !!(x.stx_mask & STATX_SIZE));
    printf("%d", statx(fd, "", AT_EMPTY_PATH, STATX_SIZE, &x));
    printf(" %llu\n", x.stx_size);
    symlink("statx.tmp", "statx.link");
    statx(AT_FDCWD, "statx.link", AT_SYMLINK_NOFOLLOW, STATX_TYPE, &x);
    printf("%d\n", S_ISLNK(x.stx_mode));
    printf("%d\n", statx(AT_FDCWD, "statx.none", 0, 0, &x));
    struct statvfs v;
    printf("%d", statvfs(".", &v));
    printf(" %d %d\n", v.f_bsize > 0, v.f_namemax == 255);
    stat("/dev/null", &s);
    printf("%d\n", S_ISCHR(s.st_mode));
    stat("/tmp", &s);
    printf("%d", S_ISDIR(s.st_mode));
    printf(" %d\n", !!(s.st_mode & S_ISVTX));
    unlink("statx.tmp"), unlink("statx.link");
    return 0;
}
