/* status.c: what is known of a file, and the system calls that ask for it and change it. */
#include "clock.h"
#include "file.h"
#include "inode.h"
#include "page.h"
#include "path.h"
#include "ramfs.h"
#include "syscall.h"
#include "time.h"
#include "user.h"

#define AT_SYMLINK_NOFOLLOW 0x100
#define AT_EMPTY_PATH 0x1000

/* ---- stat --------------------------------------------------------------------------------- */

struct status { /* struct stat of x86_64 */
    uint64_t device, number, links;
    uint32_t mode, user, group, pad;
    uint64_t special;
    int64_t size, block_size, blocks;
    uint64_t accessed[2], modified[2], changed[2];
    uint64_t unused[3];
};

static void split_time(uint64_t ns, uint64_t to[2])
{
    to[0] = ns / NS_PER_S;
    to[1] = ns % NS_PER_S;
}

static int64_t put_status(const struct inode *i, uint64_t to)
{
    uint64_t pages = 0;
    for (uint64_t n = 0; n < i->capacity; n++)
        pages += i->pages[n] != 0;
    struct status s = {.device = 1,
                       .number = i->number,
                       .links = i->links,
                       .mode = i->mode,
                       .size = (int64_t)i->size,
                       .block_size = 4096,
                       .blocks = (int64_t)pages * 8};
    split_time(i->accessed_ns, s.accessed);
    split_time(i->modified_ns, s.modified);
    split_time(i->changed_ns, s.changed);
    return USER_PUT(to, s);
}

int64_t sys_fstat(int fd, uint64_t to)
{
    struct file *f = file_get(fd);
    if (!f)
        return -EBADF;
    if (f->inode)
        return put_status(f->inode, to);
    struct status s = {.device = 1,
                       .number = 1,
                       .links = 1,
                       .block_size = 1024,
                       .mode = f->kind ? (unsigned)f->kind : S_IFIFO | 0600};
    if (f->kind)
        s.special = 136 << 8; /* a pty's number: C libraries then flush at the end of a line */
    return USER_PUT(to, s);
}

int64_t sys_newfstatat(int at, uint64_t path, uint64_t to, int flags)
{
    struct inode *i;
    char first;
    if (flags & AT_EMPTY_PATH && at >= 0) {
        if (user_read(&first, path, 1))
            return -EFAULT;
        if (!first)
            return sys_fstat(at, to);
    }
    int error = path_existing(at, path, !(flags & AT_SYMLINK_NOFOLLOW), &i);
    return error ? error : put_status(i, to);
}

int64_t sys_stat(uint64_t path, uint64_t to) { return sys_newfstatat(AT_FDCWD, path, to, 0); }
int64_t sys_lstat(uint64_t path, uint64_t to)
{
    return sys_newfstatat(AT_FDCWD, path, to, AT_SYMLINK_NOFOLLOW);
}

static int64_t put_fs_status(uint64_t to)
{
    uint64_t s[15] = {0x01021994 /* tmpfs */, PAGE_SIZE, pages_total(), pages_free(),
                      pages_free(),           1000000,   1000000,       0,
                      NAME_LENGTH_MAX,        PAGE_SIZE};
    return USER_PUT(to, s);
}

int64_t sys_statfs(uint64_t path, uint64_t to)
{
    struct inode *i;
    int error = path_existing(AT_FDCWD, path, true, &i);
    return error ? error : put_fs_status(to);
}
int64_t sys_fstatfs(int fd, uint64_t to) { return file_get(fd) ? put_fs_status(to) : -EBADF; }

int64_t sys_faccessat(int at, uint64_t path, int mode)
{
    struct inode *i;
    int error = path_existing(at, path, true, &i);
    return error ? error : mode & 1 && S_ISREG(i->mode) && !(i->mode & 0111) ? -EACCES : 0;
}
int64_t sys_access(uint64_t path, int mode) { return sys_faccessat(AT_FDCWD, path, mode); }

/* ---- attributes --------------------------------------------------------------------------- */

static int64_t change_mode(struct inode *i, unsigned mode)
{
    i->mode = (i->mode & S_IFMT) | (mode & 07777);
    i->changed_ns = clock_wall();
    return 0;
}

int64_t sys_fchmodat(int at, uint64_t path, unsigned mode)
{
    struct inode *i;
    int error = path_existing(at, path, true, &i);
    return error ? error : change_mode(i, mode);
}
int64_t sys_chmod(uint64_t path, unsigned mode) { return sys_fchmodat(AT_FDCWD, path, mode); }
int64_t sys_fchmod(int fd, unsigned mode)
{
    struct file *f = file_get(fd);
    return !f ? -EBADF : f->inode ? change_mode(f->inode, mode) : 0;
}

static int64_t set_size(struct inode *i, int64_t size)
{
    if (size < 0 || !S_ISREG(i->mode))
        return S_ISDIR(i->mode) ? -EISDIR : -EINVAL;
    return inode_truncate(i, (uint64_t)size);
}

int64_t sys_truncate(uint64_t path, int64_t size)
{
    struct inode *i;
    int error = path_existing(AT_FDCWD, path, true, &i);
    return error ? error : set_size(i, size);
}
int64_t sys_ftruncate(int fd, int64_t size)
{
    struct file *f = file_get(fd);
    if (!f)
        return -EBADF;
    return f->inode && f->flags & O_ACCMODE ? set_size(f->inode, size) : -EINVAL;
}

#define UTIME_NOW 0x3fffffff
#define UTIME_OMIT 0x3ffffffe

int64_t sys_utimensat(int at, uint64_t path, uint64_t times, int flags)
{
    struct inode *i;
    uint64_t t[2][2] = {{0, UTIME_NOW}, {0, UTIME_NOW}};
    struct file *f = path ? NULL : file_get(at);
    if (!path && !(f && f->inode))
        return -EBADF;
    int error = path ? path_existing(at, path, !(flags & AT_SYMLINK_NOFOLLOW), &i) : 0;
    if (error)
        return error;
    if (!path)
        i = f->inode;
    if (times && USER_GET(t, times))
        return -EFAULT;
    uint64_t *to[2] = {&i->accessed_ns, &i->modified_ns};
    for (int n = 0; n < 2; n++)
        if (t[n][1] != UTIME_OMIT)
            *to[n] = t[n][1] == UTIME_NOW ? clock_wall() : t[n][0] * NS_PER_S + t[n][1];
    i->changed_ns = clock_wall();
    return 0;
}
