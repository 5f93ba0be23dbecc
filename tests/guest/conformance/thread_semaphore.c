/* Semaphores between threads. */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <time.h>

static sem_t ping, pong;
static int turns;

static void *other(void *unused)
{
    for (int i = 0; i < 500; i++) {
        sem_wait(&ping);
        turns++;
        sem_post(&pong);
    }
    return unused;
}

int main(void)
{
    pthread_t t;
    int value;
    sem_init(&ping, 0, 0);
    sem_init(&pong, 0, 0);
    pthread_create(&t, NULL, other, NULL);
    for (int i = 0; i < 500; i++) {
        sem_post(&ping);
        sem_wait(&pong);
    }
    pthread_join(t, NULL);
    sem_getvalue(&pong, &value);
    printf("%d %d\n", turns, value);
    printf("%d", sem_trywait(&pong));
    printf(" %d\n", errno == EAGAIN);
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    at.tv_sec--;
    printf("%d", sem_timedwait(&pong, &at));
    printf(" %d\n", errno == ETIMEDOUT);
    sem_post(&pong);
    sem_post(&pong);
    sem_getvalue(&pong, &value);
    printf("%d", value);
    printf(" %d\n", sem_timedwait(&pong, &at));
    return 0;
}
