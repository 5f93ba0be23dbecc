/* open.c: the ways to open a file of the tree, or one without a name. */
#include "file.h"
#include "path.h"
#include "syscall.h"
#include "user.h"

static int open_place(int at, uint64_t path, uint32_t flags, unsigned mode, struct inode **i)
{
    struct place p;
    bool follow = !(flags & O_NOFOLLOW) && (flags & (O_CREAT | O_EXCL)) != (O_CREAT | O_EXCL);
    int error = path_look_up(at, path, follow, &p);
    if (error)
        return error;
    *i = p.inode;
    if (!p.inode) {
        if (!(flags & O_CREAT))
            return -ENOENT;
        return p.slash ? -EISDIR : path_create(&p, S_IFREG | (mode & 07777), i);
    }
    if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
        return -EEXIST;
    if (S_ISLNK(p.inode->mode))
        return flags & O_PATH ? 0 : -ELOOP;
    if (flags & O_DIRECTORY && !S_ISDIR(p.inode->mode))
        return -ENOTDIR;
    if (S_ISDIR(p.inode->mode) && (flags & O_ACCMODE || flags & O_CREAT))
        return -EISDIR;
    return flags & O_TRUNC && flags & O_ACCMODE && S_ISREG(p.inode->mode)
               ? inode_truncate(p.inode, 0)
               : 0;
}

static int64_t open_inode(struct inode *i, uint32_t flags)
{
    struct file *f = file_new(inode_operations(i), flags & ~O_CLOEXEC);
    if (!f)
        return -ENOMEM;
    f->inode = i;
    f->data = (void *)i->data;
    i->references++;
    int fd = file_install(f, 0, flags & O_CLOEXEC);
    if (fd < 0)
        file_put(f);
    return fd;
}

/* A file without a name; it lives as long as it is open. */
static int64_t open_nameless(uint32_t flags, unsigned mode)
{
    struct inode *i = inode_new(S_IFREG | mode);
    if (!i)
        return -ENOMEM;
    i->references++;
    int64_t fd = open_inode(i, flags);
    inode_put(i);
    return fd;
}

int64_t sys_openat(int at, uint64_t path, int flags, unsigned mode)
{
    struct inode *i;
    if (((uint32_t)flags & (O_TMPFILE | O_DIRECTORY)) == (O_TMPFILE | O_DIRECTORY)) {
        int error = path_existing(at, path, true, &i);
        if (error || !S_ISDIR(i->mode) || !((uint32_t)flags & O_ACCMODE))
            return error ? error : S_ISDIR(i->mode) ? -EINVAL : -ENOTDIR;
        return open_nameless((uint32_t)flags, mode & 07777 & ~creation_mask);
    }
    int error = open_place(at, path, (uint32_t)flags, mode, &i);
    return error ? error : open_inode(i, (uint32_t)flags);
}

int64_t sys_openat2(int at, uint64_t path, uint64_t how_at, size_t size)
{
    struct {
        uint64_t flags, mode, resolve;
    } how;
    if (size < sizeof how || USER_GET(how, how_at))
        return size < sizeof how ? -EINVAL : -EFAULT;
    if (size > sizeof how)
        return -E2BIG;
    if (how.flags >> 32 || how.mode & ~07777UL || how.resolve)
        return -EINVAL;
    return sys_openat(at, path, (int)how.flags, (unsigned)how.mode);
}

int64_t sys_memfd_create(uint64_t name, unsigned flags)
{
    char copy[NAME_LENGTH_MAX + 1];
    int64_t n = user_string(copy, name, sizeof copy);
    if (n < 0 || flags & ~3u) /* MFD_CLOEXEC, MFD_ALLOW_SEALING: there are no seals to set */
        return n == -EFAULT ? n : -EINVAL;
    return open_nameless(2u | (flags & 1 ? O_CLOEXEC : 0), 0777);
}

int64_t sys_open(uint64_t path, int flags, unsigned mode)
{
    return sys_openat(AT_FDCWD, path, flags, mode);
}
int64_t sys_creat(uint64_t path, unsigned mode)
{
    return sys_openat(AT_FDCWD, path, O_CREAT | O_TRUNC | 1, mode);
}
