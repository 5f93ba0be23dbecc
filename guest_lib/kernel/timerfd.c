/* timerfd.c: timers that are read from a descriptor: 8 bytes that say how often they ran out. */
#include <asm/poll.h>
#include "clock.h"
#include "file.h"
#include "heap.h"
#include "inode.h"
#include "syscall.h"
#include "thread.h"
#include "time.h"
#include "user.h"

#define O_NONBLOCK 04000

struct timerfd {
    struct wait_queue readers;
    int clock;
    bool by_wall;       /* `at` is a time of the wall clock */
    uint64_t at, every; /* at is NEVER while it stands still */
};

static uint64_t now_of(const struct timerfd *t) { return t->by_wall ? clock_wall() : clock_now(); }

/* How often it has run out until now; and it goes on from there. */
static uint64_t take(struct timerfd *t)
{
    uint64_t now = now_of(t), n = 0;
    if (t->at > now)
        return 0;
    n = t->every ? (now - t->at) / t->every + 1 : 1;
    t->at = t->every ? t->at + n * t->every : NEVER;
    return n;
}

static int64_t timerfd_read(struct file *f, uint64_t to, size_t n, uint64_t *at)
{
    struct timerfd *t = f->data;
    uint64_t times;
    (void)at;
    if (n < sizeof times)
        return -EINVAL;
    while (!(times = take(t))) {
        if (f->flags & O_NONBLOCK)
            return -EAGAIN;
        if (thread_wait(&t->readers, t->at | (t->by_wall ? TIME_WALL : 0)) == -EINTR)
            return -ERESTARTSYS;
    }
    f->changes++; /* the next time is news */
    return USER_PUT(to, times) ? -EFAULT : (int64_t)sizeof times;
}

static unsigned timerfd_events(struct file *f)
{
    return ((struct timerfd *)f->data)->at <= now_of(f->data) ? POLLIN : 0;
}

static void timerfd_close(struct file *f) { heap_free(f->data); }

static uint64_t timerfd_ready_at(struct file *f)
{
    const struct timerfd *t = f->data;
    return time_monotonic(t->at | (t->by_wall ? TIME_WALL : 0));
}

static const struct file_operations operations = {.read = timerfd_read,
                                                  .close = timerfd_close,
                                                  .events = timerfd_events,
                                                  .ready_at = timerfd_ready_at};

int64_t sys_timerfd_create(int clock, int flags)
{
    if (!clock_known(clock) || flags & ~(O_NONBLOCK | (int)O_CLOEXEC))
        return -EINVAL;
    struct timerfd *t = heap_alloc_for_program(sizeof *t);
    if (!t)
        return -ENOMEM;
    wait_queue_init(&t->readers);
    t->clock = clock;
    t->at = NEVER;
    return file_open(&operations, (uint32_t)flags & O_NONBLOCK, flags & (int)O_CLOEXEC, t);
}

struct setting {
    struct time every, first;
};

static int64_t timerfd_of(int fd, struct timerfd **t)
{
    struct file *f = file_get(fd);
    if (!f || f->operations != &operations)
        return f ? -EINVAL : -EBADF;
    *t = f->data;
    return 0;
}

static struct setting setting_of(const struct timerfd *t)
{
    uint64_t now = now_of(t), at = t->at;
    if (t->every && at <= now)
        at += ((now - at) / t->every + 1) * t->every;
    return (struct setting){time_split(t->every),
                            time_split(at == NEVER || at <= now ? 0 : at - now)};
}

int64_t sys_timerfd_gettime(int fd, uint64_t to)
{
    struct timerfd *t;
    int64_t error = timerfd_of(fd, &t);
    if (error)
        return error;
    struct setting s = setting_of(t);
    return USER_PUT(to, s);
}

int64_t sys_timerfd_settime(int fd, int flags, uint64_t fresh, uint64_t old)
{
    struct timerfd *t;
    struct setting s;
    uint64_t every, first;
    int64_t error = timerfd_of(fd, &t);
    if (error)
        return error;
    if (USER_GET(s, fresh))
        return -EFAULT;
    if (flags & ~3 || !time_to_ns(&s.every, &every) || !time_to_ns(&s.first, &first))
        return -EINVAL;
    struct setting before = setting_of(t);
    if (old && USER_PUT(old, before))
        return -EFAULT;
    bool absolute = flags & 1; /* TFD_TIMER_ABSTIME */
    t->by_wall = absolute && clock_is_wall(t->clock);
    t->at = !first ? NEVER : absolute ? first : now_of(t) + first;
    t->every = every;
    wake_all(&t->readers);
    file_changed(file_get(fd));
    return 0;
}
