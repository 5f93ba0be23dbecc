/* Times of files: set, kept, moved by reading and writing. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int main(void)
{
    int fd = open("file_times.tmp", O_RDWR | O_CREAT, 0600);
    struct stat s;
    struct timespec t[2] = {{1000000000, 123456789}, {1100000000, 987654321}};
    printf("%d\n", futimens(fd, t));
    fstat(fd, &s);
    printf("%ld.%09ld %ld.%09ld\n", (long)s.st_atim.tv_sec, s.st_atim.tv_nsec,
           (long)s.st_mtim.tv_sec, s.st_mtim.tv_nsec);
    t[0].tv_nsec = UTIME_OMIT;
    t[1] = (struct timespec){5, 6};
    printf("%d\n", utimensat(AT_FDCWD, "file_times.tmp", t, 0));
    stat("file_times.tmp", &s);
    printf("%ld %ld %ld\n", (long)s.st_atim.tv_sec, (long)s.st_mtim.tv_sec, s.st_mtim.tv_nsec);
    write(fd, "x", 1);
    fstat(fd, &s);
    printf("%d %d\n", s.st_mtim.tv_sec > 1600000000, s.st_ctim.tv_sec > 1600000000);
    struct timeval old[2] = {{7, 0}, {8, 500000}};
    printf("%d\n", utimes("file_times.tmp", old));
    stat("file_times.tmp", &s);
    printf("%ld %ld\n", (long)s.st_atim.tv_sec, s.st_mtim.tv_nsec);
    printf("%d\n", utimensat(AT_FDCWD, "file_times.none", NULL, 0));
    unlink("file_times.tmp");
    return 0;
}
