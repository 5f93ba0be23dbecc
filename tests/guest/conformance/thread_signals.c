/* Signals for one thread, masks of each, and a thread that waits for all. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static pthread_t who;
static volatile int hits, collected;

static void handler(int number)
{
    (void)number;
    hits += pthread_equal(who, pthread_self()) ? 1 : 100;
}

static void *target(void *unused)
{
    while (hits < 3)
        usleep(1000);
    return unused;
}

static void *collect(void *set)
{
    int number;
    while (sigwait(set, &number) == 0 && number != SIGTERM)
        collected += number == SIGUSR2;
    return (void *)(long)collected;
}

int main(void)
{
    struct sigaction action = {.sa_handler = handler};
    sigaction(SIGUSR1, &action, NULL);
    pthread_create(&who, NULL, target, NULL);
    for (int i = 1; i <= 3; i++) {
        pthread_kill(who, SIGUSR1);
        while (hits < i)
            usleep(1000);
    }
    pthread_join(who, NULL);
    printf("%d\n", hits);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, NULL); /* the new thread inherits it */
    pthread_t t;
    void *sum;
    pthread_create(&t, NULL, collect, &set);
    for (int i = 1; i <= 4; i++) {
        kill(getpid(), SIGUSR2);
        while (collected < i) /* one that is pending does not pend twice */
            usleep(1000);
    }
    kill(getpid(), SIGTERM);
    pthread_join(t, &sum);
    printf("%ld\n", (long)sum);
    return 0;
}
