/* pipe.c: 64 KiB, page by page as they fill, between two descriptors of the same program. */
#include <asm/poll.h>
#include "file.h"
#include "heap.h"
#include "layout.h"
#include "page.h"
#include "signal.h"
#include "syscall.h"
#include "thread.h"
#include "process.h"
#include "user.h"

#define PIPE_PAGES 16u
#define PIPE_BYTES (PIPE_PAGES * PAGE_SIZE) /* Linux's: programs write so much before they read */
#define O_NONBLOCK 04000
#define O_CLOEXEC 02000000
#define O_WRONLY 1

struct pipe {
    struct wait_queue readers, writers;
    struct file *read_end, *write_end; /* NULL: closed */
    uint32_t start, length;
    uint64_t pages[PIPE_PAGES]; /* physical; 0: none */
};

/* The bytes from `at` on, as far as they lie in one page. NULL: no memory. */
static char *pipe_part(struct pipe *p, size_t at, size_t *n)
{
    uint64_t *page = &p->pages[at / PAGE_SIZE % PIPE_PAGES];
    if (!*page && !(*page = page_alloc(PAGE_PROGRAM)))
        return NULL;
    *n = MIN(*n, PAGE_SIZE - at % PAGE_SIZE);
    return (char *)phys_to_virt(*page) + at % PAGE_SIZE;
}

static void drop_page(struct pipe *p, size_t at)
{
    uint64_t *page = &p->pages[at / PAGE_SIZE % PIPE_PAGES];
    if (*page)
        page_free(*page);
    *page = 0;
}

static void other_end_changed(struct file *f)
{
    struct pipe *p = f->data;
    struct file *other = f == p->read_end ? p->write_end : p->read_end;
    wake_all(f == p->read_end ? &p->writers : &p->readers);
    if (other)
        file_changed(other);
}

static int64_t pipe_read(struct file *f, uint64_t to, size_t n, uint64_t *at)
{
    struct pipe *p = f->data;
    (void)at;
    while (!p->length) {
        if (!p->write_end || !n)
            return 0;
        if (f->flags & O_NONBLOCK)
            return -EAGAIN;
        if (thread_wait(&p->readers, NEVER) == -EINTR)
            return -ERESTARTSYS;
    }
    size_t done = 0;
    bool was_full = p->length == PIPE_BYTES;
    while (done < n && p->length) {
        size_t part = MIN(n - done, p->length);
        const char *bytes = pipe_part(p, p->start, &part);
        if (!bytes || user_write(to + done, bytes, part))
            break;
        size_t from = p->start;
        p->start = (uint32_t)((p->start + part) % PIPE_BYTES);
        p->length -= (uint32_t)part;
        /* A page that was read to its end may hold new bytes at its start, if the pipe is full. */
        if (!p->length || (p->start % PAGE_SIZE == 0 && p->length <= PIPE_BYTES - PAGE_SIZE))
            drop_page(p, from);
        done += part;
    }
    if (was_full && done)
        other_end_changed(f);
    return done || !n ? (int64_t)done : -EFAULT;
}

static int64_t pipe_write(struct file *f, uint64_t from, size_t n, uint64_t *at)
{
    struct pipe *p = f->data;
    size_t done = 0;
    (void)at;
    while (done < n) {
        if (!p->read_end) {
            struct signal_info info = {.number = SIGPIPE, .pid = PROCESS_ID};
            signal_thread(current, &info);
            return done ? (int64_t)done : -EPIPE;
        }
        if (p->length == PIPE_BYTES) {
            if (f->flags & O_NONBLOCK)
                return done ? (int64_t)done : -EAGAIN;
            if (thread_wait(&p->writers, NEVER) == -EINTR)
                return done ? (int64_t)done : -ERESTARTSYS;
            continue;
        }
        size_t part = MIN(n - done, PIPE_BYTES - p->length);
        char *bytes = pipe_part(p, p->start + p->length, &part);
        if (!bytes || user_read(bytes, from + done, part))
            return done ? (int64_t)done : bytes ? -EFAULT : -ENOMEM;
        p->length += (uint32_t)part;
        done += part;
        other_end_changed(f);
    }
    return (int64_t)done;
}

static void pipe_close(struct file *f)
{
    struct pipe *p = f->data;
    other_end_changed(f);
    *(f == p->read_end ? &p->read_end : &p->write_end) = NULL;
    if (p->read_end || p->write_end)
        return;
    for (size_t n = 0; n < PIPE_PAGES; n++)
        drop_page(p, n * PAGE_SIZE);
    heap_free(p);
}

static unsigned read_end_events(struct file *f)
{
    struct pipe *p = f->data;
    return (p->length ? POLLIN : 0u) | (p->write_end ? 0u : POLLHUP);
}

static unsigned write_end_events(struct file *f)
{
    struct pipe *p = f->data;
    return (p->length < PIPE_BYTES ? POLLOUT : 0u) | (p->read_end ? 0u : POLLERR);
}

static const struct file_operations read_end = {
    .read = pipe_read, .close = pipe_close, .events = read_end_events};
static const struct file_operations write_end = {
    .write = pipe_write, .close = pipe_close, .events = write_end_events};

int64_t sys_pipe2(uint64_t to, int flags)
{
    struct pipe *p = heap_alloc_for_program(sizeof *p);
    uint32_t keep = (uint32_t)flags & O_NONBLOCK;
    struct file *r = p ? file_new(&read_end, keep) : NULL;
    struct file *w = r ? file_new(&write_end, keep | O_WRONLY) : NULL;
    if (!w) {
        heap_free(r);
        heap_free(p);
        return -ENOMEM;
    }
    wait_queue_init(&p->readers);
    wait_queue_init(&p->writers);
    p->read_end = r;
    p->write_end = w;
    r->data = w->data = p;
    int fds[2] = {file_install(r, 0, flags & O_CLOEXEC), file_install(w, 0, flags & O_CLOEXEC)};
    if (fds[0] < 0 || fds[1] < 0) {
        if (fds[0] >= 0)
            sys_close(fds[0]);
        else
            file_put(r);
        file_put(w);
        return -EMFILE;
    }
    return USER_PUT(to, fds);
}

int64_t sys_pipe(uint64_t to) { return sys_pipe2(to, 0); }
