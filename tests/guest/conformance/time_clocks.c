/* Clocks: they go on, none goes back, and they agree with each other. */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/time.h>
#include <time.h>

static long long ns(clockid_t clock)
{
    struct timespec t = {0, -1};
    if (clock_gettime(clock, &t))
        return -1;
    return t.tv_nsec < 0 || t.tv_nsec > 999999999 ? -2 : t.tv_sec * 1000000000LL + t.tv_nsec;
}

int main(void)
{
    const clockid_t clocks[] = {CLOCK_REALTIME,           CLOCK_MONOTONIC, CLOCK_PROCESS_CPUTIME_ID,
                                CLOCK_THREAD_CPUTIME_ID,  CLOCK_MONOTONIC_RAW,
                                CLOCK_REALTIME_COARSE,    CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME};
    for (int i = 0; i < 8; i++) {
        long long before = ns(clocks[i]);
        int back = 0;
        for (int n = 0; n < 1000; n++) {
            long long now = ns(clocks[i]);
            back += now < before;
            before = now;
        }
        struct timespec r;
        printf("%d back %d", i, back);
        printf(" resolution %d\n", clock_getres(clocks[i], &r) == 0 && !r.tv_sec);
    }
    struct timeval tv;
    gettimeofday(&tv, NULL);
    long long wall = ns(CLOCK_REALTIME) / 1000000000;
    printf("%d", wall - tv.tv_sec <= 1);
    printf(" %d", time(NULL) - wall <= 1);
    printf(" %d\n", wall > 1700000000);
    printf("%d", clock() >= 0);
    printf(" %d\n", clock_gettime(99, &(struct timespec){0}) != 0);
    return 0;
}
