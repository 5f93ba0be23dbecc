/* eventfd.c: a counter behind a descriptor (eventfd(2)). */
#include <asm/poll.h>
#include "file.h"
#include "heap.h"
#include "signal.h"
#include "syscall.h"
#include "thread.h"
#include "user.h"

#define O_RDWR 2
#define EFD_SEMAPHORE 1
#define EFD_NONBLOCK 04000
#define EFD_CLOEXEC 02000000
#define COUNT_MAX (UINT64_MAX - 1)

struct eventfd {
    struct wait_queue readers, writers;
    uint64_t count;
    bool semaphore; /* a read takes 1, not all */
};

/* 0: look again. -EAGAIN or -ERESTARTSYS: the call ends. */
static int wait_for_other_side(struct file *f, struct wait_queue *q)
{
    if (f->flags & EFD_NONBLOCK)
        return -EAGAIN;
    return thread_wait(q, NEVER) == -EINTR ? -ERESTARTSYS : 0;
}

static int64_t eventfd_read(struct file *f, uint64_t to, size_t n, uint64_t *at)
{
    struct eventfd *e = f->data;
    (void)at;
    if (n < sizeof e->count)
        return -EINVAL;
    while (!e->count) {
        int error = wait_for_other_side(f, &e->readers);
        if (error)
            return error;
    }
    uint64_t taken = e->semaphore ? 1 : e->count;
    if (USER_PUT(to, taken))
        return -EFAULT;
    e->count -= taken;
    wake_all(&e->writers);
    file_changed(f);
    return sizeof taken;
}

static int64_t eventfd_write(struct file *f, uint64_t from, size_t n, uint64_t *at)
{
    struct eventfd *e = f->data;
    uint64_t more;
    (void)at;
    if (n < sizeof more)
        return -EINVAL;
    if (USER_GET(more, from))
        return -EFAULT;
    if (more > COUNT_MAX)
        return -EINVAL;
    while (more > COUNT_MAX - e->count) {
        int error = wait_for_other_side(f, &e->writers);
        if (error)
            return error;
    }
    e->count += more;
    wake_all(&e->readers);
    file_changed(f);
    return sizeof more;
}

static void eventfd_close(struct file *f) { heap_free(f->data); }

static unsigned eventfd_events(struct file *f)
{
    const struct eventfd *e = f->data;
    return (e->count ? POLLIN : 0u) | (e->count < COUNT_MAX ? POLLOUT : 0u);
}

static const struct file_operations operations = {
    .read = eventfd_read, .write = eventfd_write, .close = eventfd_close, .events = eventfd_events};

int64_t sys_eventfd2(unsigned count, int flags)
{
    if (flags & ~(EFD_SEMAPHORE | EFD_CLOEXEC | EFD_NONBLOCK))
        return -EINVAL;
    struct eventfd *e = heap_alloc_for_program(sizeof *e);
    if (!e)
        return -ENOMEM;
    wait_queue_init(&e->readers);
    wait_queue_init(&e->writers);
    e->count = count;
    e->semaphore = flags & EFD_SEMAPHORE;
    return file_open(&operations, O_RDWR | (flags & EFD_NONBLOCK), flags & EFD_CLOEXEC, e);
}

int64_t sys_eventfd(unsigned count) { return sys_eventfd2(count, 0); }
