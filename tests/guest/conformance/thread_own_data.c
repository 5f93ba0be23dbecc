/* What belongs to a thread: keys with destructors, __thread, once. */
#include <pthread.h>
#include <stdio.h>

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static __thread int own = 5;
static int destroyed, made;

static void destroy(void *value) { __atomic_add_fetch(&destroyed, (int)(long)value, __ATOMIC_SEQ_CST); }
static void make(void)
{
    pthread_key_create(&key, destroy);
    made++;
}

static void *run(void *n)
{
    pthread_once(&once, make);
    pthread_setspecific(key, n);
    for (int i = 0; i < 100; i++)
        own += (int)(long)n;
    return (void *)(long)(own + (pthread_getspecific(key) == n));
}

int main(void)
{
    pthread_t t[8];
    long sum = 0;
    void *result;
    for (long i = 1; i <= 8; i++)
        pthread_create(&t[i - 1], NULL, run, (void *)i);
    for (int i = 0; i < 8; i++) {
        pthread_join(t[i], &result);
        sum += (long)result;
    }
    printf("%ld %d %d %d\n", sum, destroyed, made, own);
    printf("%d", pthread_getspecific(key) == NULL);
    printf(" %d\n", pthread_key_delete(key));
    return 0;
}
