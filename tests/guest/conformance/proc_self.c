/* What a program reads about itself in /proc. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char text[100000];

static int slurp(const char *path)
{
    int fd = open(path, O_RDONLY), n, total = 0;
    while (fd >= 0 && total < 99000 && (n = (int)read(fd, text + total, 777)) > 0)
        total += n;
    text[total] = 0;
    close(fd);
    return fd < 0 ? -1 : total;
}

int main(void)
{
    unsigned long a, b, here = (unsigned long)&a, code = (unsigned long)main, found = 0;
    char perms[8], path[4096] = "";
    slurp("/proc/self/maps");
    for (char *l = strtok(text, "\n"); l; l = strtok(NULL, "\n")) {
        sscanf(l, "%lx-%lx %7s", &a, &b, perms);
        found |= a <= here && here < b && perms[1] == 'w' && perms[2] == '-' ? 1 : 0;
        found |= a <= code && code < b && perms[1] == '-' && perms[2] == 'x' ? 2 : 0;
    }
    printf("%lu\n", found);
    slurp("/proc/self/status");
    printf("%d", strstr(text, "Threads:\t1\n") != NULL);
    printf(" %d\n", strstr(text, "VmRSS:") != NULL);
    slurp("/proc/self/stat");
    printf("%d", atoi(text) == getpid());
    printf(" %d\n", strchr(text, ')')[2] == 'R');
    slurp("/proc/self/statm");
    printf("%d\n", atoi(text) > 10);
    printf("%d", slurp("/proc/self/cmdline") > 0);
    printf(" %d\n", strstr(text, "proc_self") != NULL);
    slurp("/proc/self/comm");
    printf("%s", text);
    printf("%d", readlink("/proc/self/exe", path, 4095) > 0);
    printf(" %d\n", strstr(path, "proc_self") != NULL);
    slurp("/proc/self/exe");
    printf("%d\n", !memcmp(text, "\177ELF", 4));
    slurp("/proc/meminfo");
    printf("%d", strstr(text, "MemTotal:") == text);
    printf(" %d\n", strstr(text, "MemAvailable:") != NULL);
    printf("%d", slurp("/proc/cpuinfo") > 0);
    printf(" %d", slurp("/proc/uptime") > 0);
    printf(" %d\n", atof(text) >= 0);
    printf("%d\n", slurp("/proc/sys/kernel/ostype") == 6);
    int fd = open("/tmp/proc_self.tmp", O_CREAT | O_RDWR, 0600);
    write(fd, "by number", 9);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    slurp(path);
    printf("%s", text);
    printf(" %d\n", unlink("/tmp/proc_self.tmp"));
    return 0;
}
