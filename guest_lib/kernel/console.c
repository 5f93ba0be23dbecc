/* console.c: descriptors 0, 1 and 2: the host's input and log with a channel, serial without. */
#include <asm/poll.h>
#include "channel.h"
#include "file.h"
#include "inode.h"
#include "arch/arch.h"
#include "session.h"
#include "signal.h"
#include "stream.h"
#include "user.h"

#define O_NONBLOCK 04000

static size_t read_of_first; /* bytes of the first message of standard input that are taken */

/* The message that is read from; NULL at the end, or when one would have to wait. */
static struct message *input(struct file *f, int *error)
{
    struct stream *in, *s = stream_get(RADICS_STREAM_STDIN);
    struct message *m;
    *error = 0;
    for (;;) {
        m = stream_peek(RADICS_STREAM_STDIN, &in);
        if (m && m->length)
            return m;
        if (m)
            stream_take(in, m); /* the end, or an empty one */
        if (s->ended)
            return NULL;
        if (m)
            continue;
        if (f->flags & O_NONBLOCK)
            *error = -EAGAIN;
        else if (stream_wait(NEVER) == -EINTR)
            *error = -ERESTARTSYS;
        if (*error)
            return NULL;
    }
}

/* The host's bytes in order, whatever messages they came in. */
static int64_t console_read(struct file *f, uint64_t to, size_t n, uint64_t *at)
{
    int error;
    (void)at;
    if (!n || !channel_present() || !session_stdin())
        return 0; /* end of file */
    struct message *m = input(f, &error);
    if (!m)
        return error;
    n = MIN(n, m->length - read_of_first);
    if (user_write(to, m->bytes + m->from_length + m->to_length + read_of_first, n))
        return -EFAULT;
    read_of_first += n;
    if (read_of_first == m->length) {
        stream_take(stream_get(RADICS_STREAM_STDIN), m);
        read_of_first = 0;
    }
    return (int64_t)n;
}

static unsigned console_events(struct file *f)
{
    struct stream *in, *s = stream_get(RADICS_STREAM_STDIN);
    (void)f;
    if (channel_present() && session_stdin() && !s->ended && !stream_peek(RADICS_STREAM_STDIN, &in))
        return POLLOUT;
    return POLLIN | POLLOUT;
}

static int64_t console_write(struct file *f, uint64_t from, size_t n, uint64_t *at)
{
    char part[1024];
    (void)at;
    int level = (uintptr_t)f->data == 2 ? LOG_STDERR : LOG_STDOUT;
    for (size_t done = 0; done < n;) {
        size_t now = MIN(n - done, sizeof part);
        if (user_read(part, from + done, now))
            return done ? (int64_t)done : -EFAULT;
        int error = 0;
        if (channel_present())
            error = channel_print(level, part, now);
        else
            serial_write(part, now);
        if (error)
            return done ? (int64_t)done : error;
        done += now;
    }
    if (channel_present())
        channel_printed();
    return (int64_t)n;
}

/* Descriptors 0, 1 and 2 have no inode, those of /dev/stdout and the like do. */
static void console_close(struct file *f)
{
    if (f->inode)
        inode_put(f->inode);
}

const struct file_operations console_operations = {
    .read = console_read, .write = console_write, .close = console_close, .events = console_events};
