/* Barriers: nobody goes on before all have come, round after round. */
#include <pthread.h>
#include <stdio.h>

#define THREADS 5
#define ROUNDS 100
static pthread_barrier_t barrier;
static int reached[THREADS], early, serial;

static void *run(void *me)
{
    int i = (int)(long)me;
    for (int round = 1; round <= ROUNDS; round++) {
        __atomic_store_n(&reached[i], round, __ATOMIC_SEQ_CST);
        if (pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
            __atomic_add_fetch(&serial, 1, __ATOMIC_SEQ_CST);
        for (int j = 0; j < THREADS; j++)
            if (__atomic_load_n(&reached[j], __ATOMIC_SEQ_CST) < round)
                __atomic_add_fetch(&early, 1, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

int main(void)
{
    pthread_t t[THREADS];
    pthread_barrier_init(&barrier, NULL, THREADS);
    for (long i = 0; i < THREADS; i++)
        pthread_create(&t[i], NULL, run, (void *)i);
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    printf("%d %d", early, serial);
    printf(" %d\n", pthread_barrier_destroy(&barrier));
    return 0;
}
