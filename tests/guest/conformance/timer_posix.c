/* timer_create: signals, threads, and how many were missed. */
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static volatile int value, code, calls;

static void handler(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    value = info->si_value.sival_int;
    code = info->si_code;
}

static void in_a_thread(union sigval v) { __atomic_add_fetch(&calls, v.sival_int, __ATOMIC_SEQ_CST); }

int main(void)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN,
                             .sigev_value.sival_int = 42};
    struct itimerspec soon = {{0, 0}, {0, 5000000}}, left;
    timer_t t;
    sigaction(SIGRTMIN, &action, NULL);
    printf("%d\n", timer_create(CLOCK_MONOTONIC, &event, &t));
    timer_settime(t, 0, &soon, NULL);
    while (!value)
        usleep(1000);
    timer_gettime(t, &left);
    printf("%d %d %ld", value, code == SI_TIMER, left.it_value.tv_nsec);
    printf(" %d\n", timer_getoverrun(t));
    timer_delete(t);
    struct sigevent threaded = {.sigev_notify = SIGEV_THREAD, .sigev_notify_function = in_a_thread,
                                .sigev_value.sival_int = 1};
    struct itimerspec often = {{0, 3000000}, {0, 3000000}};
    printf("%d\n", timer_create(CLOCK_REALTIME, &threaded, &t));
    timer_settime(t, 0, &often, NULL);
    while (__atomic_load_n(&calls, __ATOMIC_SEQ_CST) < 3)
        usleep(1000);
    printf("%d", timer_delete(t));
    printf(" %d\n", calls >= 3);
    return 0;
}
