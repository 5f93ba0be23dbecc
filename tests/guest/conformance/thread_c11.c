/* Threads as the C standard has them. */
#include <stdatomic.h>
#include <stdio.h>
#include <threads.h>

static mtx_t m;
static cnd_t c;
static tss_t key;
static once_flag once = ONCE_FLAG_INIT;
static atomic_int total, dropped;
static thread_local int own;
static int ready;

static void make(void) { tss_create(&key, (tss_dtor_t)NULL); }

static int work(void *n)
{
    call_once(&once, make);
    tss_set(key, n);
    mtx_lock(&m);
    while (!ready)
        cnd_wait(&c, &m);
    mtx_unlock(&m);
    for (int i = 0; i < 1000; i++)
        atomic_fetch_add(&total, 1), own++;
    return own + (tss_get(key) == n);
}

int main(void)
{
    thrd_t t[4];
    int result, sum = 0;
    mtx_init(&m, mtx_plain);
    cnd_init(&c);
    for (long i = 0; i < 4; i++)
        thrd_create(&t[i], work, (void *)i);
    mtx_lock(&m);
    ready = 1;
    cnd_broadcast(&c);
    mtx_unlock(&m);
    for (int i = 0; i < 4; i++) {
        thrd_join(t[i], &result);
        sum += result;
    }
    printf("%d %d %d\n", total, sum, dropped);
    mtx_t timed;
    mtx_init(&timed, mtx_timed);
    mtx_lock(&timed);
    struct timespec at = {1, 0};
    printf("%d\n", mtx_timedlock(&timed, &at) == thrd_timedout);
    printf("%d\n", thrd_sleep(&(struct timespec){0, 1000}, NULL));
    return 0;
}
