/* A mutex whose owner dies: the next one hears of it. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static pthread_mutex_t m, n;
static volatile int waiting;

static void *die_with_it(void *which)
{
    pthread_mutex_lock(which);
    return NULL;
}

static void *die_later(void *unused)
{
    pthread_mutex_lock(&n);
    while (!waiting)
        usleep(1000);
    usleep(20000);
    return unused;
}

int main(void)
{
    pthread_mutexattr_t robust;
    pthread_t t;
    pthread_mutexattr_init(&robust);
    pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(&m, &robust);
    pthread_mutex_init(&n, &robust);
    pthread_create(&t, NULL, die_with_it, &m);
    pthread_join(t, NULL);
    printf("%d", pthread_mutex_lock(&m) == EOWNERDEAD);
    printf(" %d", pthread_mutex_consistent(&m));
    printf(" %d\n", pthread_mutex_unlock(&m));
    printf("%d", pthread_mutex_lock(&m));
    printf(" %d\n", pthread_mutex_unlock(&m));
    pthread_create(&t, NULL, die_later, NULL);
    usleep(10000);
    waiting = 1;
    printf("%d", pthread_mutex_lock(&n) == EOWNERDEAD);
    pthread_join(t, NULL);
    printf(" %d", pthread_mutex_unlock(&n)); /* not made consistent */
    printf(" %d\n", pthread_mutex_lock(&n) == ENOTRECOVERABLE);
    return 0;
}
