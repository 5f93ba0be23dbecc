/* Blocked signals pend, once, and come when let in. */
#include <signal.h>
#include <stdio.h>

static volatile sig_atomic_t order[8], count;

static void handler(int number) { order[count++] = number; }

int main(void)
{
    struct sigaction action = {.sa_handler = handler};
    sigset_t some, old, pending;
    sigemptyset(&some);
    const int numbers[] = {SIGUSR1, SIGUSR2, SIGHUP};
    for (int i = 0; i < 3; i++) {
        sigaction(numbers[i], &action, NULL);
        sigaddset(&some, numbers[i]);
    }
    sigprocmask(SIG_BLOCK, &some, &old);
    raise(SIGUSR2);
    raise(SIGUSR1);
    raise(SIGUSR1);
    sigpending(&pending);
    printf("%d %d%d%d\n", count, sigismember(&pending, SIGUSR1), sigismember(&pending, SIGUSR2),
           sigismember(&pending, SIGHUP));
    sigdelset(&some, SIGUSR1);
    sigprocmask(SIG_SETMASK, &some, NULL);
    printf("%d %d\n", count, order[0] == SIGUSR1);
    sigprocmask(SIG_SETMASK, &old, NULL);
    printf("%d %d\n", count, order[1] == SIGUSR2);
    sigfillset(&some);
    sigprocmask(SIG_BLOCK, &some, NULL);
    sigprocmask(SIG_BLOCK, NULL, &old);
    printf("%d %d\n", sigismember(&old, SIGKILL), sigismember(&old, SIGTERM));
    return 0;
}
