/* status.c: what is known of a file, and the system calls that ask for it and change it. */
#include "clock.h"
#include "file.h"
#include "inode.h"
#include "linux_abi.h"
#include "page.h"
#include "path.h"
#include "syscall.h"
#include "time.h"
#include "user.h"

#define AT_SYMLINK_NOFOLLOW 0x100
#define AT_EMPTY_PATH 0x1000

/* ---- stat --------------------------------------------------------------------------------- */

static void split_time(uint64_t ns, uint64_t to[2])
{
    to[0] = ns / NS_PER_S;
    to[1] = ns % NS_PER_S;
}

/* In 512 bytes; what is baked in counts too. */
static uint64_t blocks(const struct inode *i)
{
    uint64_t pages = ALIGN_UP(i->baked_bytes, PAGE_SIZE) / PAGE_SIZE;
    for (uint64_t n = 0; n < i->capacity; n++)
        pages += i->pages[n] && n * PAGE_SIZE >= i->baked_bytes;
    return pages * 8;
}

static int64_t put_status(const struct inode *i, uint64_t to)
{
    struct status s = {.device = 1,
                       .number = i->number,
                       .links = i->links,
                       .mode = i->mode,
                       .user = i->user,
                       .group = i->group,
                       .size = (int64_t)i->size,
                       .block_size = 4096,
                       .blocks = (int64_t)blocks(i)};
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

struct statx_time {
    int64_t s;
    uint32_t ns, pad;
};

struct statx {
    uint32_t mask, block_size;
    uint64_t attributes;
    uint32_t links, user, group;
    uint16_t mode, pad;
    uint64_t number, size, blocks, attributes_mask;
    struct statx_time accessed, born, changed, modified;
    uint32_t special[2], device[2];
    uint64_t rest[14];
};
#define STATX_BASIC 0x7ffu

static struct statx_time statx_time(uint64_t ns)
{
    return (struct statx_time){(int64_t)(ns / NS_PER_S), (uint32_t)(ns % NS_PER_S), 0};
}

int64_t sys_statx(int at, uint64_t path, int flags, unsigned mask, uint64_t to)
{
    struct inode *i;
    struct file *f = NULL;
    char first;
    if (user_read(&first, path, 1) || mask >> 31)
        return mask >> 31 ? -EINVAL : -EFAULT;
    if (!first && flags & AT_EMPTY_PATH && at >= 0) {
        if (!(f = file_get(at)))
            return -EBADF;
        i = f->inode;
    } else {
        int error = path_existing(at, path, !(flags & AT_SYMLINK_NOFOLLOW), &i);
        if (error)
            return error;
    }
    struct statx s = {.mask = STATX_BASIC, .block_size = 4096, .links = 1, .device = {0, 1}};
    if (i) {
        s.links = i->links;
        s.user = i->user;
        s.group = i->group;
        s.mode = (uint16_t)i->mode;
        s.number = i->number;
        s.size = i->size;
        s.blocks = blocks(i);
        s.accessed = statx_time(i->accessed_ns);
        s.modified = statx_time(i->modified_ns);
        s.changed = statx_time(i->changed_ns);
    } else {
        s.mode = (uint16_t)(f->kind ? f->kind : (int)S_IFIFO | 0600);
    }
    return USER_PUT(to, s);
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
int64_t sys_faccessat2(int at, uint64_t path, int mode, int flags)
{
    struct inode *i;
    if (!(flags & (AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)))
        return sys_faccessat(at, path, mode);
    int error = path_existing(at, path, !(flags & AT_SYMLINK_NOFOLLOW), &i);
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

static int64_t change_owner(struct inode *i, uint32_t user, uint32_t group)
{
    i->user = user == ~0u ? i->user : user;
    i->group = group == ~0u ? i->group : group;
    i->changed_ns = clock_wall();
    return 0;
}

int64_t sys_fchownat(int at, uint64_t path, uint32_t user, uint32_t group, int flags)
{
    struct inode *i;
    int error = path_existing(at, path, !(flags & AT_SYMLINK_NOFOLLOW), &i);
    return error ? error : change_owner(i, user, group);
}
int64_t sys_chown(uint64_t path, uint32_t user, uint32_t group)
{
    return sys_fchownat(AT_FDCWD, path, user, group, 0);
}
int64_t sys_lchown(uint64_t path, uint32_t user, uint32_t group)
{
    return sys_fchownat(AT_FDCWD, path, user, group, AT_SYMLINK_NOFOLLOW);
}
int64_t sys_fchown(int fd, uint32_t user, uint32_t group)
{
    struct file *f = file_get(fd);
    return !f ? -EBADF : f->inode ? change_owner(f->inode, user, group) : 0;
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

#define FALLOC_KEEP_SIZE 1
#define FALLOC_PUNCH_HOLE 2
#define FALLOC_ZERO_RANGE 16

static int64_t zero_range(struct inode *i, uint64_t from, uint64_t to)
{
    for (to = MIN(to, i->size); from < to;) {
        const char *bytes;
        size_t part = MIN(to - from, PAGE_SIZE - (from & PAGE_MASK));
        if (inode_page(i, from / PAGE_SIZE, &bytes)) {
            char *page = inode_own_page(i, from / PAGE_SIZE);
            if (!page)
                return -ENOSPC;
            memset(page + (from & PAGE_MASK), 0, part);
        }
        from += part;
    }
    inode_written(i);
    return 0;
}

int64_t sys_fallocate(int fd, int mode, int64_t offset, int64_t length)
{
    struct file *f = file_get(fd);
    if (!f || !(f->flags & O_ACCMODE))
        return -EBADF;
    if (offset < 0 || length <= 0)
        return -EINVAL;
    if (!f->inode || !S_ISREG(f->inode->mode) || f->inode->device)
        return f->inode && S_ISDIR(f->inode->mode) ? -EISDIR : -ENODEV;
    uint64_t from = (uint64_t)offset, to = from + (uint64_t)length;
    bool keep = mode & FALLOC_KEEP_SIZE;
    mode &= ~FALLOC_KEEP_SIZE;
    if (mode && mode != FALLOC_ZERO_RANGE && !(mode == FALLOC_PUNCH_HOLE && keep))
        return -EOPNOTSUPP;
    if (to > FILE_MAX)
        return -EFBIG;
    if (mode) {
        int64_t error = zero_range(f->inode, from, to);
        if (error)
            return error;
    } else if ((to - from) / PAGE_SIZE > pages_free()) {
        return -ENOSPC;
    } else {
        for (uint64_t n = from / PAGE_SIZE; n * PAGE_SIZE < to; n++)
            if (!inode_own_page(f->inode, n))
                return -ENOSPC;
    }
    return keep || to <= f->inode->size ? 0 : inode_truncate(f->inode, to);
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
