/* Condition variables: a queue between threads, broadcasts, time limits. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

static pthread_mutex_t m = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t filled = PTHREAD_COND_INITIALIZER, emptied = PTHREAD_COND_INITIALIZER;
static int queue[4], length, gate, passed;
static long sum;

static void *produce(void *unused)
{
    for (int i = 1; i <= 2000; i++) {
        pthread_mutex_lock(&m);
        while (length == 4)
            pthread_cond_wait(&emptied, &m);
        queue[length++] = i;
        pthread_cond_signal(&filled);
        pthread_mutex_unlock(&m);
    }
    return unused;
}

static void *consume(void *unused)
{
    for (int i = 0; i < 1000; i++) {
        pthread_mutex_lock(&m);
        while (!length)
            pthread_cond_wait(&filled, &m);
        sum += queue[--length];
        pthread_cond_signal(&emptied);
        pthread_mutex_unlock(&m);
    }
    return unused;
}

static void *pass(void *unused)
{
    pthread_mutex_lock(&m);
    while (!gate)
        pthread_cond_wait(&filled, &m);
    passed++;
    pthread_mutex_unlock(&m);
    return unused;
}

int main(void)
{
    pthread_t t[5];
    pthread_create(&t[0], NULL, produce, NULL);
    pthread_create(&t[1], NULL, consume, NULL);
    pthread_create(&t[2], NULL, consume, NULL);
    for (int i = 0; i < 3; i++)
        pthread_join(t[i], NULL);
    printf("%ld %d\n", sum, length);
    for (int i = 0; i < 5; i++)
        pthread_create(&t[i], NULL, pass, NULL);
    pthread_mutex_lock(&m);
    gate = 1;
    pthread_cond_broadcast(&filled);
    pthread_mutex_unlock(&m);
    for (int i = 0; i < 5; i++)
        pthread_join(t[i], NULL);
    printf("%d\n", passed);
    pthread_condattr_t by;
    pthread_cond_t c;
    pthread_condattr_init(&by);
    pthread_condattr_setclock(&by, CLOCK_MONOTONIC);
    pthread_cond_init(&c, &by);
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_nsec = (at.tv_nsec + 5000000) % 1000000000;
    pthread_mutex_lock(&m);
    printf("%d\n", pthread_cond_timedwait(&c, &m, &at) == ETIMEDOUT);
    return 0;
}
