/* Real-time signals queue up, in order, each with its value. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static volatile int values[16], count, codes;

static void handler(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    values[count++] = info->si_value.sival_int;
    codes += info->si_code == SI_QUEUE && info->si_pid == getpid();
}

int main(void)
{
    struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
    sigset_t set;
    sigemptyset(&set);
    for (int n = SIGRTMIN; n < SIGRTMIN + 3; n++) {
        sigaction(n, &action, NULL);
        sigaddset(&set, n);
    }
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (int i = 0; i < 9; i++)
        sigqueue(getpid(), SIGRTMIN + (8 - i) % 3, (union sigval){.sival_int = i});
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    for (int i = 0; i < count; i++)
        printf("%d ", values[i]);
    printf("\n%d %d %d\n", count, codes, SIGRTMAX - SIGRTMIN);
    return 0;
}
