/* futex.c: one address space, so the address is the key; private or not is the same. */
#include "futex.h"
#include <linux/futex.h>
#include "clock.h"
#include "process.h"
#include "thread.h"
#include "time.h"
#include "user.h"

#define BUCKETS 64
static struct wait_queue buckets[BUCKETS];

static struct wait_queue *bucket(uint64_t address)
{
    struct wait_queue *q = &buckets[(address >> 2 ^ address >> 12) % BUCKETS];
    if (!q->waiting.next)
        wait_queue_init(q);
    return q;
}

int futex_wait(uint64_t address, uint32_t expected, uint64_t deadline, uint32_t bits)
{
    uint32_t now;
    if (address & 3 || !bits)
        return -EINVAL;
    if (USER_GET(now, address))
        return -EFAULT;
    if (now != expected)
        return -EAGAIN;
    current->futex = address;
    current->futex_bits = bits;
    int result = thread_wait(bucket(address), deadline);
    return result == -EINTR ? (deadline == NEVER ? -ERESTARTSYS : -EINTR) : result;
}

/* Wakes up to `most`, moves up to `move` more to wait at address2. */
static int wake_or_move(uint64_t address, unsigned most, uint32_t bits, unsigned move,
                        uint64_t address2)
{
    struct wait_queue *q = bucket(address);
    unsigned woken = 0, moved = 0;
    if (address2 == address)
        move = 0; /* they stand there already; moved to the end, they would come up for ever */
    for (struct list *l = q->waiting.next, *next; l != &q->waiting; l = next) {
        next = l->next;
        struct thread *t = container_of(l, struct thread, wait);
        if (t->futex != address || !(t->futex_bits & bits))
            continue;
        if (woken < most) {
            thread_wake(t, 0);
            woken++;
        } else if (moved < move) {
            t->futex = address2;
            list_remove(&t->wait);
            list_add_before(&bucket(address2)->waiting, &t->wait);
            moved++;
        } else {
            break;
        }
    }
    return (int)(woken + moved);
}

int futex_wake(uint64_t address, unsigned most, uint32_t bits)
{
    return wake_or_move(address, most, bits, 0, 0);
}

int64_t sys_futex(uint64_t address, int op, uint32_t value, uint64_t timeout, uint64_t address2,
                  uint32_t value3)
{
    int command = op & FUTEX_CMD_MASK;
    uint64_t deadline = NEVER;
    uint32_t now;
    if ((command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET) && timeout) {
        int64_t error = time_deadline(timeout, command == FUTEX_WAIT_BITSET,
                                      op & FUTEX_CLOCK_REALTIME, &deadline);
        if (error)
            return error;
    }
    switch (command) {
    case FUTEX_WAIT:
        return futex_wait(address, value, deadline, ~0u);
    case FUTEX_WAIT_BITSET:
        return futex_wait(address, value, deadline, value3);
    case FUTEX_WAKE:
        return futex_wake(address, value, ~0u);
    case FUTEX_WAKE_BITSET:
        return value3 ? futex_wake(address, value, value3) : -EINVAL;
    case FUTEX_CMP_REQUEUE:
        if (USER_GET(now, address))
            return -EFAULT;
        if (now != value3)
            return -EAGAIN;
        return wake_or_move(address, value, ~0u, (unsigned)timeout, address2);
    case FUTEX_REQUEUE:
        return wake_or_move(address, value, ~0u, (unsigned)timeout, address2);
    default:
        return -ENOSYS;
    }
}
