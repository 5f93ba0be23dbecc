/* transfer.c: reading and writing, by one piece or by many, and from file to file. */
#include <linux/mman.h>
#include "file.h"
#include "inode.h"
#include "syscall.h"
#include "user.h"

#define VECTORS_MAX 1024
#define COPY_PART (1UL << 20)

/* Holds the file while it blocks: another thread may close the descriptor. */
static int64_t transfer(int fd, bool write, uint64_t at, size_t n, uint64_t *position)
{
    struct file *f = file_get(fd);
    unsigned mode = f ? f->flags & O_ACCMODE : 0;
    if (!f || f->flags & O_PATH || (write ? mode == 0 : mode == 1))
        return -EBADF;
    if (position && !f->inode)
        return -ESPIPE;
    int64_t (*call)(struct file *, uint64_t, size_t, uint64_t *) =
        write ? f->operations->write : f->operations->read;
    if (!call)
        return f->inode && S_ISDIR(f->inode->mode) ? -EISDIR : -EINVAL;
    f->references++;
    int64_t result = call(f, at, MIN(n, 0x7ffff000UL), position ? position : &f->position);
    file_put(f);
    return result;
}

int64_t sys_read(int fd, uint64_t to, size_t n) { return transfer(fd, false, to, n, NULL); }
int64_t sys_write(int fd, uint64_t from, size_t n) { return transfer(fd, true, from, n, NULL); }

int64_t sys_pread64(int fd, uint64_t to, size_t n, uint64_t at)
{
    return (int64_t)at < 0 ? -EINVAL : transfer(fd, false, to, n, &at);
}

int64_t sys_pwrite64(int fd, uint64_t from, size_t n, uint64_t at)
{
    return (int64_t)at < 0 ? -EINVAL : transfer(fd, true, from, n, &at);
}

/* position: NULL for the file's own. */
static int64_t vectored(int fd, bool write, uint64_t vectors, int count, uint64_t *position)
{
    int64_t total = 0;
    if (count < 0 || count > VECTORS_MAX)
        return -EINVAL;
    if (!file_get(fd))
        return -EBADF;
    for (int i = 0; i < count; i++) {
        struct {
            uint64_t base, length;
        } v;
        if (USER_GET(v, vectors + (uint64_t)i * sizeof v))
            return total ? total : -EFAULT;
        if (!v.length)
            continue;
        int64_t n = transfer(fd, write, v.base, v.length, position);
        if (n < 0)
            return total ? total : n;
        total += n;
        if ((uint64_t)n < v.length)
            break;
    }
    return total;
}

int64_t sys_readv(int fd, uint64_t vectors, int count)
{
    return vectored(fd, false, vectors, count, NULL);
}
int64_t sys_writev(int fd, uint64_t vectors, int count)
{
    return vectored(fd, true, vectors, count, NULL);
}

/* The position comes in two halves; on 64 bits the first holds all of it. */
int64_t sys_preadv(int fd, uint64_t vectors, int count, uint64_t at)
{
    return (int64_t)at < 0 ? -EINVAL : vectored(fd, false, vectors, count, &at);
}
int64_t sys_pwritev(int fd, uint64_t vectors, int count, uint64_t at)
{
    return (int64_t)at < 0 ? -EINVAL : vectored(fd, true, vectors, count, &at);
}
int64_t sys_preadv2(int fd, uint64_t vectors, int count, uint64_t at, uint64_t high, int flags)
{
    (void)high;
    return flags              ? -EOPNOTSUPP
           : at == UINT64_MAX ? sys_readv(fd, vectors, count)
                              : sys_preadv(fd, vectors, count, at);
}
int64_t sys_pwritev2(int fd, uint64_t vectors, int count, uint64_t at, uint64_t high, int flags)
{
    (void)high;
    return flags              ? -EOPNOTSUPP
           : at == UINT64_MAX ? sys_writev(fd, vectors, count)
                              : sys_pwritev(fd, vectors, count, at);
}

/* ---- from file to file -------------------------------------------------------------------- */

/* Shows a part of the file to the program for a moment, and writes it from there: every kind of
 * file can be written to like that, and nothing is copied twice. */
static int64_t copy_part(int from, uint64_t at, int to, uint64_t *to_at, size_t n)
{
    uint64_t start = at & ~PAGE_MASK, length = n + (at - start);
    int64_t window = sys_mmap(0, length, 1 /* PROT_READ */, MAP_PRIVATE, from, start);
    if (window < 0)
        return window == -ENODEV ? -EINVAL : window;
    int64_t done = transfer(to, true, (uint64_t)window + (at - start), n, to_at);
    sys_munmap((uint64_t)window, length);
    return done;
}

/* A position that the program keeps, or for address 0 the file's own. */
static int64_t position_of(int fd, uint64_t address, uint64_t *at)
{
    struct file *f = file_get(fd);
    if (!f)
        return -EBADF;
    *at = f->position;
    if (!f->inode || !S_ISREG(f->inode->mode) || f->inode->device)
        return -EINVAL;
    return address && USER_GET(*at, address) ? -EFAULT : (int64_t)*at < 0 ? -EINVAL : 0;
}

static int64_t position_keep(int fd, uint64_t address, uint64_t at)
{
    struct file *f = file_get(fd);
    if (address)
        return USER_PUT(address, at);
    if (f)
        f->position = at;
    return 0;
}

static int64_t copy(int from, uint64_t *from_at, int to, uint64_t *to_at, size_t n)
{
    size_t done = 0;
    for (struct file *f; done < n && (f = file_get(from)) && f->inode;) {
        size_t left = *from_at < f->inode->size ? f->inode->size - *from_at : 0;
        size_t part = MIN(MIN(n - done, left), COPY_PART);
        int64_t moved = part ? copy_part(from, *from_at, to, to_at, part) : 0;
        if (moved <= 0)
            return done ? (int64_t)done : moved;
        done += (size_t)moved;
        *from_at += (uint64_t)moved;
    }
    return (int64_t)done;
}

int64_t sys_sendfile(int to, int from, uint64_t offset, size_t n)
{
    uint64_t at;
    int64_t error = position_of(from, offset, &at);
    struct file *f = file_get(to);
    if (error || !f || f->flags & O_APPEND)
        return error ? error : f ? -EINVAL : -EBADF;
    int64_t done = copy(from, &at, to, NULL, n);
    error = done > 0 ? position_keep(from, offset, at) : 0;
    return error ? error : done;
}

int64_t sys_copy_file_range(int from, uint64_t from_offset, int to, uint64_t to_offset, size_t n,
                            unsigned flags)
{
    uint64_t at, to_at;
    int64_t error = position_of(from, from_offset, &at);
    if (!error)
        error = position_of(to, to_offset, &to_at);
    if (error || flags)
        return error ? error : -EINVAL;
    const struct file *a = file_get(from), *b = file_get(to);
    if (b->flags & O_APPEND)
        return -EBADF;
    if (a->inode == b->inode && at < to_at + n && to_at < at + n)
        return -EINVAL;
    int64_t done = copy(from, &at, to, &to_at, n);
    error = done > 0 ? position_keep(from, from_offset, at) : 0;
    if (!error && done > 0)
        error = position_keep(to, to_offset, to_at);
    return error ? error : done;
}
