/* Waiting for signals instead of handling them. */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t handled;
static void handler(int number) { handled = number; }

int main(void)
{
    sigset_t set, none;
    int number;
    siginfo_t info;
    sigemptyset(&none);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGALRM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGUSR1);
    printf("%d", sigwait(&set, &number));
    printf(" %d\n", number == SIGUSR1);
    sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 77});
    printf("%d", sigwaitinfo(&set, &info) == SIGUSR1);
    printf(" %d\n", info.si_value.sival_int);
    printf("%d", sigtimedwait(&set, &info, &(struct timespec){0, 5000000}));
    printf(" %d\n", errno == EAGAIN);
    alarm(1);
    printf("%d\n", sigwaitinfo(&set, NULL) == SIGALRM);
    struct sigaction action = {.sa_handler = handler};
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    printf("%d", handled);
    printf(" %d", sigsuspend(&none));
    printf(" %d %d\n", errno == EINTR, handled == SIGUSR1);
    return 0;
}
