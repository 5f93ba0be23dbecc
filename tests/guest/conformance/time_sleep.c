/* Sleeping takes as long as it should, or longer, never less. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(void)
{
    double start = now();
    usleep(20000);
    printf("%d\n", now() - start >= 0.02);
    start = now();
    nanosleep(&(struct timespec){0, 15000000}, NULL);
    printf("%d\n", now() - start >= 0.015);
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += 10000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    printf("%d\n", clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL));
    struct timespec after;
    clock_gettime(CLOCK_MONOTONIC, &after);
    printf("%d\n", after.tv_sec > until.tv_sec ||
                       (after.tv_sec == until.tv_sec && after.tv_nsec >= until.tv_nsec));
    printf("%d", nanosleep(&(struct timespec){0, 1000000000}, NULL));
    printf(" %d\n", errno == EINVAL);
    printf("%d\n", clock_nanosleep(CLOCK_MONOTONIC, 0, &(struct timespec){-1, 0}, NULL) == EINVAL);
    return 0;
}
