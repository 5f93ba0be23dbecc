/* Locks for many readers or one writer. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static int a, b, torn, reads;

static void *write_them(void *unused)
{
    for (int i = 0; i < 300; i++) {
        pthread_rwlock_wrlock(&lock);
        a++;
        if (i % 50 == 0)
            usleep(100);
        b++;
        pthread_rwlock_unlock(&lock);
    }
    return unused;
}

static void *read_them(void *unused)
{
    for (int i = 0; i < 300; i++) {
        pthread_rwlock_rdlock(&lock);
        torn += a != b;
        __atomic_add_fetch(&reads, 1, __ATOMIC_RELAXED);
        pthread_rwlock_unlock(&lock);
    }
    return unused;
}

int main(void)
{
    pthread_t t[6];
    for (int i = 0; i < 6; i++)
        pthread_create(&t[i], NULL, i % 3 ? read_them : write_them, NULL);
    for (int i = 0; i < 6; i++)
        pthread_join(t[i], NULL);
    printf("%d %d %d %d\n", a, b, torn, reads);
    printf("%d", pthread_rwlock_rdlock(&lock));
    printf(" %d\n", pthread_rwlock_tryrdlock(&lock));
    printf("%d\n", pthread_rwlock_trywrlock(&lock) == EBUSY);
    pthread_rwlock_unlock(&lock), pthread_rwlock_unlock(&lock);
    printf("%d", pthread_rwlock_wrlock(&lock));
    printf(" %d\n", pthread_rwlock_tryrdlock(&lock) == EBUSY);
    return 0;
}
