/* A directory with many names, read while it changes. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int main(void)
{
    char name[64];
    mkdir("many.tmp", 0700);
    chdir("many.tmp");
    for (int i = 0; i < 2000; i++) {
        snprintf(name, sizeof name, "file_with_a_longer_name_%d", i);
        close(open(name, O_CREAT | O_WRONLY, 0600));
    }
    mkdir("sub", 0700);
    symlink("sub", "link");
    DIR *d = opendir(".");
    int files = 0, directories = 0, links = 0;
    long sum = 0;
    for (struct dirent *e; (e = readdir(d));) {
        files += e->d_type == DT_REG;
        directories += e->d_type == DT_DIR;
        links += e->d_type == DT_LNK;
        if (e->d_type == DT_REG)
            sum += atol(strrchr(e->d_name, '_') + 1);
    }
    printf("%d %d %d %ld\n", files, directories, links, sum);
    rewinddir(d);
    int gone = 0;
    for (struct dirent *e; (e = readdir(d));)
        gone += e->d_type == DT_REG && !unlink(e->d_name);
    closedir(d);
    printf("%d\n", gone);
    d = opendir(".");
    readdir(d);
    long where = telldir(d);
    struct dirent *e = readdir(d);
    snprintf(name, sizeof name, "%s", e->d_name);
    seekdir(d, where);
    printf("%d\n", !strcmp(readdir(d)->d_name, name));
    closedir(d);
    unlink("link"), rmdir("sub");
    chdir("..");
    printf("%d\n", rmdir("many.tmp"));
    return 0;
}
