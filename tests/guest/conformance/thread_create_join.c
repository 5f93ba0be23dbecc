/* Threads: made, joined, detached, with what they return, more than a few. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static volatile int detached;

static void *square(void *n) { return (void *)((long)n * (long)n); }
static void *leave(void *n)
{
    pthread_exit((void *)((long)n + 1));
    return NULL;
}
static void *alone(void *unused)
{
    detached = 1;
    return unused;
}

int main(void)
{
    pthread_t t[50];
    long sum = 0;
    void *result;
    for (long i = 0; i < 50; i++)
        pthread_create(&t[i], NULL, i % 2 ? square : leave, (void *)i);
    for (int i = 0; i < 50; i++) {
        pthread_join(t[i], &result);
        sum += (long)result;
    }
    printf("%ld\n", sum);
    for (int i = 0; i < 300; i++) { /* stacks are used again */
        pthread_create(&t[0], NULL, square, (void *)3);
        pthread_join(t[0], NULL);
    }
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 1 << 20);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    printf("%d\n", pthread_create(&t[0], &attr, alone, NULL));
    while (!detached)
        usleep(1000);
    printf("%d", pthread_equal(pthread_self(), pthread_self()) != 0);
    printf(" %d\n", pthread_join(pthread_self(), NULL) == EDEADLK);
    printf("%d\n", pthread_create(&t[1], NULL, square, (void *)5));
    pthread_join(t[1], &result);
    printf("%ld\n", (long)result);
    return 0;
}
