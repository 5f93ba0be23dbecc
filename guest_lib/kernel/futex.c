/*
 * futex.c: one address space, so the address is the key; private or not is the same.
 *
 * A mutex that inherits priority holds its owner's id. There are no priorities here; what is left
 * of the protocol is that the kernel hands it over: to the first in the queue, when its owner lets
 * go or dies. The kernel is never interrupted, so it may read a word and write it again.
 */
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

/* ---- two words at once (FUTEX_WAKE_OP) ----------------------------------------------------- */

static bool compare(uint32_t how, int32_t a, int32_t b)
{
    switch (how) {
    case FUTEX_OP_CMP_EQ:
        return a == b;
    case FUTEX_OP_CMP_NE:
        return a != b;
    case FUTEX_OP_CMP_LT:
        return a < b;
    case FUTEX_OP_CMP_LE:
        return a <= b;
    case FUTEX_OP_CMP_GT:
        return a > b;
    default:
        return a >= b;
    }
}

static int64_t wake_op(uint64_t address, unsigned most, unsigned most2, uint64_t address2,
                       uint32_t what)
{
    int32_t old, fresh, operand = (int32_t)(what << 8) >> 20;
    uint32_t op = what >> 28, how = what >> 24 & 15;
    if (op & FUTEX_OP_OPARG_SHIFT)
        operand = 1 << (operand & 31);
    op &= 7;
    if (address & 3 || address2 & 3 || op > FUTEX_OP_XOR || how > FUTEX_OP_CMP_GE)
        return -EINVAL;
    if (USER_GET(old, address2))
        return -EFAULT;
    fresh = op == FUTEX_OP_SET    ? operand
            : op == FUTEX_OP_ADD  ? (int32_t)((uint32_t)old + (uint32_t)operand)
            : op == FUTEX_OP_OR   ? old | operand
            : op == FUTEX_OP_ANDN ? old & ~operand
                                  : old ^ operand;
    if (USER_PUT(address2, fresh))
        return -EFAULT;
    int woken = futex_wake(address, most, ~0u);
    if (compare(how, old, (int32_t)(what << 20) >> 20))
        woken += futex_wake(address2, most2, ~0u);
    return woken;
}

/* ---- mutexes that inherit priority --------------------------------------------------------- */

static struct thread *first_waiter(uint64_t address, bool *more)
{
    struct wait_queue *q = bucket(address);
    struct thread *first = NULL;
    *more = false;
    for (struct list *l = q->waiting.next; l != &q->waiting; l = l->next) {
        struct thread *t = container_of(l, struct thread, wait);
        if (t->futex == address && t->futex_bits == 0 && first)
            *more = true;
        else if (t->futex == address && t->futex_bits == 0)
            first = t;
    }
    return first;
}

/* To the first who waits, or to nobody; `mark` is FUTEX_OWNER_DIED or 0. */
static int hand_over(uint64_t address, uint32_t mark)
{
    bool more;
    struct thread *heir = first_waiter(address, &more);
    uint32_t word = mark | (heir ? (uint32_t)heir->tid : 0) | (more ? FUTEX_WAITERS : 0);
    if (USER_PUT(address, word))
        return -EFAULT;
    if (heir)
        thread_wake(heir, 0);
    return 0;
}

static int64_t lock_inheriting(uint64_t address, uint64_t deadline, bool try)
{
    uint32_t word;
    bool more;
    if (address & 3)
        return -EINVAL;
    if (USER_GET(word, address))
        return -EFAULT;
    uint32_t owner = word & FUTEX_TID_MASK;
    if (!owner) {
        word = (word & FUTEX_OWNER_DIED) | (uint32_t)current->tid |
               (first_waiter(address, &more) ? FUTEX_WAITERS : 0);
        return USER_PUT(address, word);
    }
    if (owner == (uint32_t)current->tid)
        return -EDEADLK;
    if (!thread_find((int)owner))
        return -ESRCH;
    if (try)
        return -EAGAIN;
    word |= FUTEX_WAITERS;
    if (USER_PUT(address, word))
        return -EFAULT;
    current->futex = address;
    current->futex_bits = 0; /* no other wake-up finds it */
    int result = thread_wait(bucket(address), deadline);
    return result == -EINTR ? -ERESTARTSYS : result;
}

static int64_t unlock_inheriting(uint64_t address)
{
    uint32_t word;
    if (address & 3)
        return -EINVAL;
    if (USER_GET(word, address))
        return -EFAULT;
    if ((word & FUTEX_TID_MASK) != (uint32_t)current->tid)
        return -EPERM;
    return hand_over(address, 0);
}

/* ---- robust mutexes ------------------------------------------------------------------------ */

#define ROBUST_MAX 2048 /* a list may be a ring */

static void owner_dies(uint64_t address, bool inheriting, bool pending)
{
    uint32_t word, dead;
    if (address & 3 || USER_GET(word, address))
        return;
    if (pending && !inheriting && !word) { /* it was just letting go, and the wake-up is missing */
        futex_wake(address, 1, ~0u);
        return;
    }
    if ((word & FUTEX_TID_MASK) != (uint32_t)current->tid)
        return;
    dead = (word & FUTEX_WAITERS) | FUTEX_OWNER_DIED;
    if (inheriting)
        hand_over(address, FUTEX_OWNER_DIED);
    else if (USER_PUT(address, dead) == 0 && word & FUTEX_WAITERS)
        futex_wake(address, 1, ~0u);
}

void futex_thread_end(void)
{
    struct {
        uint64_t next;
        int64_t offset;
        uint64_t pending;
    } head;
    uint64_t list = current->robust_list;
    if (!list || USER_GET(head, list))
        return;
    uint64_t at = head.next;
    for (int n = 0; (at & ~1UL) != list && n < ROBUST_MAX; n++) {
        uint64_t entry = at & ~1UL, next;
        if (USER_GET(next, entry))
            break;
        if (at != head.pending)
            owner_dies(entry + (uint64_t)head.offset, at & 1, false);
        at = next;
    }
    if (head.pending)
        owner_dies((head.pending & ~1UL) + (uint64_t)head.offset, head.pending & 1, true);
}

/* ---- the system call ----------------------------------------------------------------------- */

int64_t sys_futex(uint64_t address, int op, uint32_t value, uint64_t timeout, uint64_t address2,
                  uint32_t value3)
{
    int command = op & FUTEX_CMD_MASK;
    uint64_t deadline = NEVER;
    uint32_t now;
    bool waits = command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET ||
                 command == FUTEX_LOCK_PI || command == FUTEX_LOCK_PI2;
    if (waits && timeout) {
        bool wall = command == FUTEX_LOCK_PI || op & FUTEX_CLOCK_REALTIME;
        int64_t error = time_deadline(timeout, command != FUTEX_WAIT, wall, &deadline);
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
    case FUTEX_WAKE_OP:
        return wake_op(address, value, (unsigned)timeout, address2, value3);
    case FUTEX_LOCK_PI:
    case FUTEX_LOCK_PI2:
    case FUTEX_TRYLOCK_PI:
        return lock_inheriting(address, deadline, command == FUTEX_TRYLOCK_PI);
    case FUTEX_UNLOCK_PI:
        return unlock_inheriting(address);
    default:
        return -ENOSYS;
    }
}
