/* console.c: descriptors 0, 1 and 2: to the host's log with a channel, to serial without. */
#include "channel.h"
#include "file.h"
#include "arch/arch.h"
#include "user.h"

static int64_t console_read(struct file *f, uint64_t to, size_t n, uint64_t *at)
{
    (void)f, (void)to, (void)n, (void)at;
    return 0; /* end of file: there is no input yet */
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

const struct file_operations console_operations = {.read = console_read, .write = console_write};
