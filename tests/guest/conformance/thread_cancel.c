/* Threads that are told to end: at a waiting call, at once, or not yet. */
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static volatile int cleaned, started;
static void clean(void *n) { cleaned += (int)(long)n; }

static void *wait_long(void *unused)
{
    pthread_cleanup_push(clean, (void *)1);
    pthread_cleanup_push(clean, (void *)10);
    started = 1;
    sleep(100);
    pthread_cleanup_pop(0);
    pthread_cleanup_pop(0);
    return unused;
}

static void *compute(void *unused)
{
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    started = 1;
    for (;;)
        __asm__ volatile("" ::: "memory");
    return unused;
}

static void *not_now(void *unused)
{
    int old;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &old);
    started = 1;
    usleep(30000);
    cleaned += 100;
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old);
    pthread_testcancel();
    cleaned += 1000;
    return unused;
}

int main(void)
{
    void *(*const functions[])(void *) = {wait_long, compute, not_now};
    for (int i = 0; i < 3; i++) {
        pthread_t t;
        void *result;
        started = 0;
        pthread_create(&t, NULL, functions[i], NULL);
        while (!started)
            usleep(500);
        int r = pthread_cancel(t);
        pthread_join(t, &result);
        printf("%d %d %d\n", r, result == PTHREAD_CANCELED, cleaned);
    }
    return 0;
}
