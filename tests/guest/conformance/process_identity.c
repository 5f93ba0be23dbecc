/* Who and what a process is, as far as every process knows. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

int main(int count, char **arguments)
{
    struct utsname u;
    uname(&u);
    printf("%s %d\n", u.sysname, u.release[0] > '0');
    printf("%d %d\n", getpid() > 0, getpid() == getpid());
    printf("%d %d\n", getuid() == geteuid(), getgid() == getegid());
    printf("%d %d\n", getpgrp() > 0, getsid(0) > 0);
    printf("%d %s\n", count, strrchr(arguments[0], '/') ? strrchr(arguments[0], '/') + 1 : arguments[0]);
    char name[256];
    printf("%d %d\n", gethostname(name, sizeof name), isatty(0));
    printf("%s\n", ttyname(0) ? "tty" : "no tty");
    printf("%d %d\n", setpgid(77777, 0) < 0, nice(0) == getpriority(PRIO_PROCESS, 0));
    return 0;
}
