/* poll.c: see poll.h; poll and select. */
#include "poll.h"
#include <asm/poll.h>
#include "clock.h"
#include "file.h"
#include "signal.h"
#include "syscall.h"
#include "thread.h"
#include "time.h"
#include "user.h"

#define SELECT_MAX 1024 /* FD_SETSIZE */

static struct wait_queue pollers = {{&pollers.waiting, &pollers.waiting}};
static uint64_t soonest; /* when one of the files just looked at gets ready by itself */

void poll_again(void) { wake_all(&pollers); }

void file_changed(struct file *f)
{
    f->changes++;
    poll_again();
}

unsigned file_events(struct file *f)
{
    if (f->operations->ready_at) {
        uint64_t at = f->operations->ready_at(f);
        if (at > clock_now())
            soonest = MIN(soonest, at);
    }
    return f->operations->events ? f->operations->events(f) : POLLIN | POLLOUT;
}

static unsigned events_of(int fd)
{
    struct file *f = file_get(fd);
    return f ? file_events(f) : POLLNVAL;
}

int64_t poll_wait(int64_t (*look)(void *what), void *what, uint64_t deadline)
{
    for (;;) {
        soonest = deadline;
        int64_t found = look(what);
        if (found || clock_now() >= deadline)
            return found;
        if (thread_wait(&pollers, soonest) == -EINTR)
            return -EINTR;
    }
}

int64_t poll_wait_masked(int64_t (*look)(void *what), void *what, uint64_t deadline,
                         uint64_t mask_at, size_t mask_bytes)
{
    uint64_t mask;
    if (!mask_at)
        return poll_wait(look, what, deadline);
    if (mask_bytes != sizeof mask)
        return -EINVAL;
    if (USER_GET(mask, mask_at))
        return -EFAULT;
    uint64_t before = signals_mask_for_wait(mask);
    int64_t result = poll_wait(look, what, deadline);
    if (result != -EINTR)
        signals_mask_restore(before);
    return result;
}

/* ---- poll --------------------------------------------------------------------------------- */

struct polled {
    uint64_t at;
    unsigned count;
};

static int64_t look_polled(void *what)
{
    const struct polled *list = what;
    int64_t ready = 0;
    for (unsigned i = 0; i < list->count; i++) {
        struct {
            int32_t fd;
            uint16_t asked, seen;
        } p;
        if (USER_GET(p, list->at + i * sizeof p))
            return -EFAULT;
        unsigned always = POLLNVAL | POLLHUP | POLLERR;
        p.seen = (uint16_t)(p.fd < 0 ? 0 : events_of(p.fd) & (p.asked | always));
        ready += p.seen != 0;
        if (USER_PUT(list->at + i * sizeof p, p))
            return -EFAULT;
    }
    return ready;
}

int64_t sys_poll(uint64_t fds, unsigned count, int timeout_ms)
{
    struct polled list = {fds, count};
    uint64_t deadline = timeout_ms < 0 ? NEVER : clock_now() + (uint64_t)timeout_ms * 1000000;
    return count > FILES_MAX ? -EINVAL : poll_wait(look_polled, &list, deadline);
}

int64_t sys_ppoll(uint64_t fds, unsigned count, uint64_t timeout, uint64_t mask, size_t mask_bytes)
{
    struct polled list = {fds, count};
    uint64_t deadline = NEVER;
    int64_t error = timeout ? time_deadline(timeout, false, false, &deadline) : 0;
    if (error || count > FILES_MAX)
        return error ? error : -EINVAL;
    return poll_wait_masked(look_polled, &list, deadline, mask, mask_bytes);
}

/* ---- select ------------------------------------------------------------------------------- */

struct selected {
    int count;
    uint64_t at[3]; /* read, write, exceptions; 0: not asked for */
    uint64_t asked[3][SELECT_MAX / 64], found[3][SELECT_MAX / 64];
};

static bool has(const uint64_t *set, int fd) { return set[fd / 64] >> fd % 64 & 1; }

static int64_t look_selected(void *what)
{
    static const unsigned wanted[3] = {POLLIN | POLLHUP | POLLERR, POLLOUT | POLLERR, 0};
    struct selected *s = what;
    int64_t ready = 0;
    for (int fd = 0; fd < s->count; fd++) {
        for (int kind = 0; kind < 3; kind++) {
            if (!has(s->asked[kind], fd))
                continue;
            unsigned events = events_of(fd);
            if (events & POLLNVAL)
                return -EBADF;
            if (events & wanted[kind]) {
                s->found[kind][fd / 64] |= 1UL << fd % 64;
                ready++;
            }
        }
    }
    return ready;
}

static size_t set_bytes(const struct selected *s)
{
    return (size_t)ALIGN_UP((unsigned)s->count, 64) / 8;
}

static int64_t selected_read(struct selected *s)
{
    if (s->count < 0)
        return -EINVAL;
    s->count = MIN(s->count, SELECT_MAX);
    for (int kind = 0; kind < 3; kind++)
        if (s->at[kind] && user_read(s->asked[kind], s->at[kind], set_bytes(s)))
            return -EFAULT;
    return 0;
}

static int64_t selected_write(const struct selected *s, int64_t result)
{
    for (int kind = 0; kind < 3 && result >= 0; kind++)
        if (s->at[kind] && user_write(s->at[kind], s->found[kind], set_bytes(s)))
            return -EFAULT;
    return result;
}

/* Linux writes the time that is left into the timeout; so do we. */
static void put_left(uint64_t to, uint64_t deadline, uint64_t unit)
{
    uint64_t now = clock_now();
    struct time left = time_split(deadline > now ? deadline - now : 0);
    left.ns /= (int64_t)unit;
    if (to) /* and says nothing if it cannot be written */
        (void)USER_PUT(to, left);
}

int64_t sys_select(int count, uint64_t reads, uint64_t writes, uint64_t others, uint64_t timeout)
{
    struct selected s = {.count = count, .at = {reads, writes, others}};
    struct time t;
    uint64_t ns, deadline = NEVER;
    if (timeout) {
        if (USER_GET(t, timeout))
            return -EFAULT;
        if (t.s < 0 || t.ns < 0)
            return -EINVAL;
        t.s = MIN(t.s, 9000000000) + MIN(t.ns, 1000000000000) / 1000000;
        t.ns = t.ns % 1000000 * 1000;
        if (!time_to_ns(&t, &ns))
            return -EINVAL;
        deadline = clock_now() + ns;
    }
    int64_t result = selected_read(&s);
    result = selected_write(&s, result ? result : poll_wait(look_selected, &s, deadline));
    put_left(timeout, deadline, 1000);
    return result;
}

int64_t sys_pselect6(int count, uint64_t reads, uint64_t writes, uint64_t others, uint64_t timeout,
                     uint64_t mask_and_size)
{
    struct selected s = {.count = count, .at = {reads, writes, others}};
    uint64_t deadline = NEVER, mask[2] = {0, 0};
    if (mask_and_size && USER_GET(mask, mask_and_size))
        return -EFAULT;
    int64_t result = timeout ? time_deadline(timeout, false, false, &deadline) : 0;
    if (!result)
        result = selected_read(&s);
    if (!result)
        result = poll_wait_masked(look_selected, &s, deadline, mask[0], mask[1]);
    result = selected_write(&s, result);
    put_left(timeout, deadline, 1);
    return result;
}
