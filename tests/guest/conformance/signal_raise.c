/* Handlers: raised, counted, restored, ignored. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t seen, last;

static void handler(int number)
{
    seen++;
    last = number;
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler}, old;
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    kill(getpid(), SIGUSR1);
    printf("%d %d\n", seen, last == SIGUSR1);
    action.sa_flags = SA_RESETHAND;
    sigaction(SIGUSR2, &action, NULL);
    raise(SIGUSR2);
    sigaction(SIGUSR2, NULL, &old);
    printf("%d %d\n", seen, old.sa_handler == SIG_DFL);
    signal(SIGTERM, SIG_IGN);
    raise(SIGTERM);
    raise(SIGCHLD);
    raise(SIGWINCH);
    puts("still here");
    printf("%d %d\n", kill(getpid(), 0), sigaction(SIGKILL, &action, NULL));
    printf("%s %s\n", strsignal(SIGSEGV), sigabbrev_np(SIGINT));
    signal(SIGTERM, SIG_DFL);
    fflush(stdout);
    raise(SIGTERM);
    return 0;
}
