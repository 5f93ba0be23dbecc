/* setitimer and alarm: they come, again and again, and stop when told. */
#include <signal.h>
#include <stdio.h>
#include <sys/time.h>
#include <unistd.h>

static volatile sig_atomic_t ticks;
static void handler(int number) { ticks += number == SIGALRM; }

int main(void)
{
    struct sigaction action = {.sa_handler = handler};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval each = {{0, 5000}, {0, 5000}}, off = {{0, 0}, {0, 0}}, now;
    setitimer(ITIMER_REAL, &each, NULL);
    while (ticks < 5)
        pause();
    getitimer(ITIMER_REAL, &now);
    printf("%ld %d\n", (long)now.it_interval.tv_usec, now.it_value.tv_usec <= 5000);
    setitimer(ITIMER_REAL, &off, &now);
    ticks = 0;
    usleep(20000);
    printf("%d %d\n", ticks, now.it_interval.tv_usec == 5000);
    printf("%u", alarm(100));
    printf(" %d\n", alarm(0) >= 99);
    return 0;
}
