/* Limits and use of resources. */
#include <errno.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

int main(void)
{
    struct rlimit l;
    printf("%d", getrlimit(RLIMIT_STACK, &l));
    printf(" %d\n", l.rlim_cur > 100000);
    printf("%d\n", getrlimit(RLIMIT_NOFILE, &l));
    rlim_t hard = l.rlim_max;
    l.rlim_cur = 100;
    printf("%d\n", setrlimit(RLIMIT_NOFILE, &l));
    getrlimit(RLIMIT_NOFILE, &l);
    printf("%d %d\n", (int)l.rlim_cur, l.rlim_max == hard);
    l.rlim_cur = 200, l.rlim_max = 100;
    printf("%d", setrlimit(RLIMIT_NOFILE, &l));
    printf(" %d\n", errno == EINVAL);
    l.rlim_cur = l.rlim_max = 0;
    printf("%d\n", setrlimit(RLIMIT_CORE, &l));
    printf("%d", getrlimit(99, &l));
    printf(" %d\n", errno == EINVAL);
    volatile double x = 1;
    for (int i = 0; i < 3000000; i++)
        x = x * 1.0000001 + 1e-9;
    struct rusage u;
    printf("%d", getrusage(RUSAGE_SELF, &u));
    printf(" %d %d\n", u.ru_utime.tv_sec + u.ru_utime.tv_usec > 0, u.ru_maxrss > 0);
    printf("%d", getpagesize());
    printf(" %d\n", sysconf(_SC_NPROCESSORS_ONLN) >= 1);
    printf("%d", sysconf(_SC_PHYS_PAGES) > 1000);
    printf(" %d\n", sysconf(_SC_OPEN_MAX) > 0);
    return 0;
}
