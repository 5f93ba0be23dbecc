/* Spinning locks, names of threads, what a thread knows of itself. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

static pthread_spinlock_t spin;
static int counter;

static void *count(void *unused)
{
    for (int i = 0; i < 20000; i++) {
        pthread_spin_lock(&spin);
        counter++;
        pthread_spin_unlock(&spin);
    }
    return unused;
}

int main(void)
{
    pthread_t a, b;
    char name[32];
    pthread_spin_init(&spin, 0);
    pthread_create(&a, NULL, count, NULL);
    pthread_create(&b, NULL, count, NULL);
    pthread_join(a, NULL);
    pthread_join(b, NULL);
    printf("%d\n", counter);
    printf("%d", pthread_setname_np(pthread_self(), "conformance"));
    pthread_getname_np(pthread_self(), name, sizeof name);
    printf(" %s\n", name);
    printf("%d\n", pthread_setname_np(pthread_self(), "far too long a name") == ERANGE);
    pthread_attr_t attr;
    void *stack;
    size_t size;
    pthread_getattr_np(pthread_self(), &attr);
    pthread_attr_getstack(&attr, &stack, &size);
    printf("%d\n", (char *)&attr > (char *)stack && (char *)&attr < (char *)stack + size);
    clockid_t clock;
    struct timespec t;
    printf("%d", pthread_getcpuclockid(pthread_self(), &clock));
    printf(" %d\n", clock_gettime(clock, &t));
    printf("%d", gettid() == getpid());
    printf(" %d\n", sched_getcpu() >= 0);
    return 0;
}
