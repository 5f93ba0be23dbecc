/*
 * epoll.c: a descriptor that remembers which files to wait for.
 *
 * An item is a descriptor and the file behind it; it is gone when that file is (its last
 * descriptor was closed), as on Linux. Looking goes through all items: there are few. What was
 * reported goes to the end of the list, so that with little room everyone has a turn.
 *
 * Edges: a file counts its changes, an item remembers the count of its last report. An edge more
 * than Linux would see is possible (two ends of an eventfd share a count), one less is not.
 */
#include <asm/poll.h>
#include <linux/eventpoll.h>
#include "clock.h"
#include "file.h"
#include "heap.h"
#include "poll.h"
#include "syscall.h"
#include "time.h"
#include "user.h"

#define ALWAYS (POLLERR | POLLHUP)
#define CONDITIONS 0x0fffffffu /* the rest of an item's events say how to report */

struct epoll {
    struct list items;
};

struct item {
    struct list in_epoll, in_file;
    struct file *file;
    int fd;
    bool resting; /* EPOLLONESHOT, and reported: until EPOLL_CTL_MOD */
    uint32_t seen;
    struct epoll_event wanted;
};

static unsigned item_events(const struct item *i)
{
    unsigned found = file_events(i->file) & ((i->wanted.events & CONDITIONS) | ALWAYS);
    bool edge = !(i->wanted.events & EPOLLET) || i->seen != i->file->changes;
    return i->resting || !edge ? 0 : found;
}

static void item_free(struct item *i)
{
    list_remove(&i->in_epoll);
    list_remove(&i->in_file);
    heap_free(i);
}

void epoll_forget(struct file *f)
{
    while (!list_empty(&f->watches))
        item_free(container_of(f->watches.next, struct item, in_file));
}

static void epoll_close(struct file *f)
{
    struct epoll *e = f->data;
    while (!list_empty(&e->items))
        item_free(container_of(e->items.next, struct item, in_epoll));
    heap_free(e);
}

static unsigned epoll_events(struct file *f)
{
    struct epoll *e = f->data;
    for (struct list *l = e->items.next; l != &e->items; l = l->next)
        if (item_events(container_of(l, struct item, in_epoll)))
            return POLLIN;
    return 0;
}

static const struct file_operations operations = {.close = epoll_close, .events = epoll_events};

int64_t sys_epoll_create1(int flags)
{
    if (flags & ~EPOLL_CLOEXEC)
        return -EINVAL;
    struct epoll *e = heap_alloc_for_program(sizeof *e);
    if (!e)
        return -ENOMEM;
    list_init(&e->items);
    return file_open(&operations, O_RDWR, flags & EPOLL_CLOEXEC, e);
}

int64_t sys_epoll_create(int size) { return size > 0 ? sys_epoll_create1(0) : -EINVAL; }

/* ---- what to wait for --------------------------------------------------------------------- */

static int epoll_of(int fd, struct epoll **e)
{
    struct file *f = file_get(fd);
    if (!f || f->operations != &operations)
        return f ? -EINVAL : -EBADF;
    *e = f->data;
    return 0;
}

static struct item *item_find(const struct epoll *e, int fd, const struct file *f)
{
    for (struct list *l = e->items.next; l != &e->items; l = l->next) {
        struct item *i = container_of(l, struct item, in_epoll);
        if (i->fd == fd && i->file == f)
            return i;
    }
    return NULL;
}

static void item_set(struct item *i, const struct epoll_event *wanted)
{
    i->wanted = *wanted;
    i->resting = false;
    i->seen = i->file->changes - 1; /* what is so already is news */
    poll_again();
}

static int64_t item_add(struct epoll *e, int fd, struct file *f, const struct epoll_event *wanted)
{
    if (f->operations == &operations)
        return -EINVAL; /* no epoll in an epoll */
    if (f->inode && !f->operations->events)
        return -EPERM; /* a plain file or directory is always ready */
    struct item *i = heap_alloc_for_program(sizeof *i);
    if (!i)
        return -ENOMEM;
    i->file = f;
    i->fd = fd;
    list_add_before(&e->items, &i->in_epoll);
    list_add_before(&f->watches, &i->in_file);
    item_set(i, wanted);
    return 0;
}

int64_t sys_epoll_ctl(int epoll_fd, int what, int fd, uint64_t event)
{
    struct epoll *e;
    struct epoll_event wanted = {0, 0};
    struct file *f = file_get(fd);
    if (what != EPOLL_CTL_DEL && USER_GET(wanted, event))
        return -EFAULT;
    int error = epoll_of(epoll_fd, &e);
    if (error || !f)
        return error ? error : -EBADF;
    struct item *i = item_find(e, fd, f);
    switch (what) {
    case EPOLL_CTL_ADD:
        return i ? -EEXIST : item_add(e, fd, f, &wanted);
    case EPOLL_CTL_DEL:
    case EPOLL_CTL_MOD:
        if (!i)
            return -ENOENT;
        if (what == EPOLL_CTL_MOD)
            item_set(i, &wanted);
        else
            item_free(i);
        return 0;
    default:
        return -EINVAL;
    }
}

/* ---- waiting ------------------------------------------------------------------------------ */

struct waiting {
    int fd;
    uint64_t to;
    int room;
};

static int64_t look(void *what)
{
    const struct waiting *w = what;
    struct epoll *e;
    int ready = 0, error = epoll_of(w->fd, &e); /* each time: it may be closed meanwhile */
    if (error)
        return error;
    struct list reported, *next;
    list_init(&reported);
    for (struct list *l = e->items.next; l != &e->items && ready < w->room; l = next) {
        next = l->next;
        struct item *i = container_of(l, struct item, in_epoll);
        struct epoll_event event = {item_events(i), i->wanted.data};
        if (!event.events)
            continue;
        if (USER_PUT(w->to + (uint64_t)ready * sizeof event, event)) {
            ready = ready ? ready : -EFAULT;
            break;
        }
        i->seen = i->file->changes;
        i->resting = i->wanted.events & EPOLLONESHOT;
        list_remove(l);
        list_add_before(&reported, l);
        ready++;
    }
    while (!list_empty(&reported)) {
        struct list *first = reported.next;
        list_remove(first);
        list_add_before(&e->items, first);
    }
    return ready;
}

static int64_t wait(int fd, uint64_t to, int room, uint64_t deadline, uint64_t mask,
                    size_t mask_bytes)
{
    struct waiting w = {fd, to, room};
    if (room <= 0 || room > FILES_MAX * 64)
        return -EINVAL;
    return poll_wait_masked(look, &w, deadline, mask, mask_bytes);
}

int64_t sys_epoll_pwait(int fd, uint64_t to, int room, int timeout_ms, uint64_t mask,
                        size_t mask_bytes)
{
    uint64_t deadline = timeout_ms < 0 ? NEVER : clock_now() + (uint64_t)timeout_ms * 1000000;
    return wait(fd, to, room, deadline, mask, mask_bytes);
}

int64_t sys_epoll_wait(int fd, uint64_t to, int room, int timeout_ms)
{
    return sys_epoll_pwait(fd, to, room, timeout_ms, 0, 0);
}

int64_t sys_epoll_pwait2(int fd, uint64_t to, int room, uint64_t timeout, uint64_t mask,
                         size_t mask_bytes)
{
    uint64_t deadline = NEVER;
    int64_t error = timeout ? time_deadline(timeout, false, false, &deadline) : 0;
    return error ? error : wait(fd, to, room, deadline, mask, mask_bytes);
}
