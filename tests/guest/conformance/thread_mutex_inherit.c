/* Mutexes that inherit priority: contended, timed, robust. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static pthread_mutex_t m, r;
static long counter;

static void *count(void *unused)
{
    for (int i = 0; i < 3000; i++) {
        pthread_mutex_lock(&m);
        long before = counter;
        if (i % 500 == 0)
            sched_yield();
        counter = before + 1;
        pthread_mutex_unlock(&m);
    }
    return unused;
}

static void *hold(void *unused)
{
    pthread_mutex_lock(&r);
    usleep(20000);
    return unused; /* with the mutex */
}

int main(void)
{
    pthread_mutexattr_t kind;
    pthread_t t[4];
    pthread_mutexattr_init(&kind);
    printf("%d\n", pthread_mutexattr_setprotocol(&kind, PTHREAD_PRIO_INHERIT));
    printf("%d\n", pthread_mutex_init(&m, &kind));
    pthread_mutexattr_setrobust(&kind, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&r, &kind);
    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, count, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    printf("%ld\n", counter);
    pthread_mutex_lock(&m);
    printf("%d", pthread_mutex_trylock(&m) == EBUSY);
    printf(" %d\n", pthread_mutex_unlock(&m));
    pthread_create(t, NULL, hold, NULL);
    usleep(5000);
    struct timespec past = {1, 0};
    printf("%d", pthread_mutex_timedlock(&r, &past) == ETIMEDOUT);
    printf(" %d", pthread_mutex_lock(&r) == EOWNERDEAD);
    printf(" %d", pthread_mutex_consistent(&r));
    printf(" %d\n", pthread_mutex_unlock(&r));
    pthread_join(t[0], NULL);
    return 0;
}
