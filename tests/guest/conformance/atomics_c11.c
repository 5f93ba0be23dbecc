/* Atomic operations, between threads that fight for them. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>

static atomic_long sum;
static _Atomic uint8_t byte;
static atomic_flag flag = ATOMIC_FLAG_INIT;
static _Atomic(struct node *) top;
static struct node {
    struct node *next;
    int n;
} nodes[400];
static long guarded;

static void *run(void *me)
{
    int first = (int)(long)me * 100;
    for (int i = 0; i < 100; i++) {
        struct node *n = &nodes[first + i], *old = atomic_load(&top);
        n->n = first + i;
        do
            n->next = old;
        while (!atomic_compare_exchange_weak(&top, &old, n));
        for (int k = 0; k < 50; k++) {
            atomic_fetch_add(&sum, k);
            atomic_fetch_xor(&byte, 1);
            while (atomic_flag_test_and_set(&flag))
                ;
            guarded++;
            atomic_flag_clear(&flag);
        }
    }
    return NULL;
}

int main(void)
{
    pthread_t t[4];
    for (long i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, run, (void *)i);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    int count = 0, total = 0;
    for (struct node *n = top; n; n = n->next, count++)
        total += n->n;
    printf("%ld %d %ld %d %d\n", (long)sum, byte, guarded, count, total);
    uint64_t big = 5;
    printf("%d %d\n", atomic_is_lock_free(&sum), __atomic_fetch_sub(&big, 3, __ATOMIC_ACQ_REL) == 5);
    return 0;
}
