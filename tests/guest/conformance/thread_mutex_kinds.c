/* Mutexes: plain, recursive, that check errors, with a time limit. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

static pthread_mutex_t plain = PTHREAD_MUTEX_INITIALIZER;
static long counter;

static void *count(void *unused)
{
    for (int i = 0; i < 20000; i++) {
        pthread_mutex_lock(&plain);
        counter++;
        pthread_mutex_unlock(&plain);
    }
    return unused;
}

static void *try_it(void *m) { return (void *)(long)pthread_mutex_trylock(m); }

int main(void)
{
    pthread_t t[4];
    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, count, NULL);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    printf("%ld\n", counter);
    pthread_mutexattr_t kind;
    pthread_mutex_t m;
    void *result;
    pthread_mutexattr_init(&kind);
    pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&m, &kind);
    printf("%d", pthread_mutex_lock(&m));
    printf(" %d", pthread_mutex_lock(&m));
    pthread_create(t, NULL, try_it, &m);
    pthread_join(t[0], &result);
    printf(" %d\n", (long)result == EBUSY);
    printf("%d", pthread_mutex_unlock(&m));
    printf(" %d", pthread_mutex_unlock(&m));
    printf(" %d\n", pthread_mutex_unlock(&m) == EPERM);
    pthread_mutexattr_settype(&kind, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_t e;
    pthread_mutex_init(&e, &kind);
    pthread_mutex_lock(&e);
    printf("%d\n", pthread_mutex_lock(&e) == EDEADLK);
    pthread_mutex_lock(&plain);
    struct timespec soon;
    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_nsec += 10000000;
    soon.tv_sec += soon.tv_nsec / 1000000000;
    soon.tv_nsec %= 1000000000;
    printf("%d\n", pthread_mutex_timedlock(&plain, &soon) == ETIMEDOUT);
    return 0;
}
