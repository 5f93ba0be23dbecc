// Reads what was baked in, changes it, and looks again: the image itself must not change.
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static char bytes[3 << 20];

static void show(const char *path)
{
    int fd = open(path, O_RDONLY);
    struct stat s;
    if (fd < 0 || fstat(fd, &s)) {
        perror(path);
        return;
    }
    ssize_t n = read(fd, bytes, sizeof bytes);
    unsigned sum = 0;
    for (ssize_t i = 0; i < n; i++)
        sum = sum * 31 + (unsigned char)bytes[i];
    printf("%s %o %ld %ld %u\n", path, s.st_mode, (long)s.st_size, (long)n, sum);
    close(fd);
}

static int names(const struct dirent *e) { return e->d_name[0] != '.'; }

int main(void)
{
    struct dirent **list;
    int n = scandir("/data", &list, names, alphasort);
    for (int i = 0; i < n; i++)
        printf("%s%c", list[i]->d_name, i + 1 < n ? ' ' : '\n');
    const char *files[] = {"/data/big", "/data/small", "/data/none", "/data/deep/er/tool"};
    for (int i = 0; i < 4; i++)
        show(files[i]);

    int fd = open("/data/big", O_RDWR);
    pwrite(fd, "changed", 7, 4093);
    lseek(fd, 0, SEEK_END);
    write(fd, "more", 4);
    show("/data/big");
    ftruncate(fd, 5000);
    ftruncate(fd, 9000);
    show("/data/big");
    char *map = mmap(NULL, 9000, PROT_READ, MAP_PRIVATE, fd, 0);
    printf("%.9s %d %d\n", map + 4092, map[4999], map[5000]);
    close(fd);
    printf("%d\n", unlink("/data/big") + rename("/data/small", "/tmp/moved"));
    show("/tmp/moved");
    return access("/data/deep/er/tool", X_OK);
}
