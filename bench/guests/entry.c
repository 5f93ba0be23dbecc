/* entry.c: how long after the kernel's first instruction main ran, in ms. */
#include <stdio.h>
#include <time.h>
#include <unistd.h>

int main(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    printf("%f\n", now.tv_sec * 1e3 + now.tv_nsec / 1e6);
    fflush(stdout);
    for (;;)
        pause();
}
