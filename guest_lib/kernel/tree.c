/* tree.c: the tree of names: listing it and changing it. */
#include "file.h"
#include "heap.h"
#include "image.h"
#include "path.h"
#include "syscall.h"
#include "user.h"

#define AT_REMOVEDIR 0x200
#define AT_SYMLINK_FOLLOW 0x400

/* ---- directories -------------------------------------------------------------------------- */

struct directory_record { /* linux_dirent64 */
    uint64_t number;
    int64_t next;
    uint16_t length;
    uint8_t type;
    char name[NAME_LENGTH_MAX + 1];
};
#define RECORD_HEAD offsetof(struct directory_record, name)

static int64_t put_record(uint64_t to, size_t room, const struct inode *i, uint64_t cookie,
                          const char *name, size_t n)
{
    struct directory_record r = {
        .number = i->number, .next = (int64_t)cookie, .type = (uint8_t)(i->mode >> 12)};
    memcpy(r.name, name, n);
    r.length = (uint16_t)ALIGN_UP(RECORD_HEAD + n + 1, 8);
    if (r.length > room)
        return 0;
    return user_write(to, &r, r.length) ? -EFAULT : r.length;
}

/* Positions: 0 and 1 are . and .., an entry's is its cookie + 1. */
int64_t sys_getdents64(int fd, uint64_t to, size_t room)
{
    struct file *f = file_get(fd);
    if (!f)
        return -EBADF;
    struct inode *d = f->inode;
    if (!d || !S_ISDIR(d->mode))
        return -ENOTDIR;
    size_t done = 0;
    int64_t n = 1;
    for (; n > 0 && f->position < 2; done += (size_t)n) {
        const struct inode *i = f->position || !d->parent ? d->parent : d;
        n = put_record(to + done, room - done, i ? i : d, f->position + 1, "..", f->position + 1);
        f->position += n > 0;
        if (n <= 0)
            return done ? (int64_t)done : n ? n : -EINVAL;
    }
    for (struct entry *e = d->entries; e; e = e->next) {
        if (e->cookie + 1 <= f->position)
            continue;
        n = put_record(to + done, room - done, e->inode, e->cookie + 1, e->name, e->length);
        if (n <= 0)
            return done ? (int64_t)done : n ? n : -EINVAL;
        f->position = e->cookie + 1;
        done += (size_t)n;
    }
    return (int64_t)done;
}

int64_t sys_mkdirat(int at, uint64_t path, unsigned mode)
{
    struct place p;
    struct inode *made = NULL;
    int error = path_vacant(at, path, &p);
    return error ? error : path_create(&p, S_IFDIR | (mode & 01777), &made);
}
int64_t sys_mkdir(uint64_t path, unsigned mode) { return sys_mkdirat(AT_FDCWD, path, mode); }

int64_t sys_unlinkat(int at, uint64_t path, int flags)
{
    struct place p;
    int error = path_look_up(at, path, false, &p);
    if (error)
        return error;
    struct entry *e = p.inode ? directory_find(p.parent, p.name, p.length) : NULL;
    if (!e && p.inode && flags & AT_REMOVEDIR && p.name[0] == '.')
        return p.name[1] ? -ENOTEMPTY : -EINVAL; /* . and .. have no entry, */
    if (!e)
        return p.inode ? -EBUSY : -ENOENT; /* nor has / */
    if (flags & AT_REMOVEDIR) {
        if (!S_ISDIR(p.inode->mode))
            return -ENOTDIR;
        if (p.inode->entries)
            return -ENOTEMPTY;
    } else if (S_ISDIR(p.inode->mode)) {
        return -EISDIR;
    }
    directory_remove(p.parent, e);
    return 0;
}
int64_t sys_unlink(uint64_t path) { return sys_unlinkat(AT_FDCWD, path, 0); }
int64_t sys_rmdir(uint64_t path) { return sys_unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

/* ---- links -------------------------------------------------------------------------------- */

int64_t sys_linkat(int from_at, uint64_t from, int to_at, uint64_t to, int flags)
{
    struct inode *i;
    struct place p;
    int error = path_existing(from_at, from, flags & AT_SYMLINK_FOLLOW, &i);
    if (error)
        return error;
    if (S_ISDIR(i->mode))
        return -EPERM;
    error = path_vacant(to_at, to, &p);
    return error ? error : directory_add(p.parent, p.name, p.length, i);
}
int64_t sys_link(uint64_t from, uint64_t to) { return sys_linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int64_t sys_symlinkat(uint64_t target, int at, uint64_t path)
{
    struct place p;
    struct inode *made = NULL;
    int error = path_vacant(at, path, &p);
    char *copy = error ? NULL : heap_alloc(PATH_LENGTH_MAX);
    if (!copy)
        return error ? error : -ENOMEM;
    int64_t n = user_string(copy, target, PATH_LENGTH_MAX);
    error = n < 0 ? (int)n : n == 0 ? -ENOENT : path_create(&p, S_IFLNK | 0777, &made);
    char *small = error ? NULL : heap_alloc((size_t)n + 1);
    if (small) {
        memcpy(small, copy, (size_t)n);
        made->target = small;
        made->size = (uint64_t)n;
    } else if (!error) {
        directory_remove(p.parent, directory_find(p.parent, p.name, p.length));
        error = -ENOSPC;
    }
    heap_free(copy);
    return error;
}
int64_t sys_symlink(uint64_t target, uint64_t path)
{
    return sys_symlinkat(target, AT_FDCWD, path);
}

/* What a static program of the GNU C library asks before main, and often nothing else: answered
 * without making the files. The result, or 0: it was another question. */
static int64_t own_name(uint64_t path, uint64_t to, size_t n)
{
    static const char asked[] = "/proc/self/exe";
    char name[NAME_LENGTH_MAX + 6];
    if (root || user_read(name, path, sizeof asked) || memcmp(name, asked, sizeof asked))
        return 0;
    size_t length = MIN(strlen(image_name()), NAME_LENGTH_MAX);
    memcpy(name, "/bin/", 5);
    memcpy(name + 5, image_name(), length);
    n = MIN(n, 5 + length);
    return user_write(to, name, n) ? -EFAULT : (int64_t)n;
}

int64_t sys_readlinkat(int at, uint64_t path, uint64_t to, size_t n)
{
    int64_t told = own_name(path, to, n);
    if (told)
        return told;
    struct inode *i;
    int error = path_existing(at, path, false, &i);
    if (error)
        return error;
    if (!S_ISLNK(i->mode))
        return -EINVAL;
    n = MIN(n, i->size);
    return user_write(to, i->target, n) ? -EFAULT : (int64_t)n;
}
int64_t sys_readlink(uint64_t path, uint64_t to, size_t n)
{
    return sys_readlinkat(AT_FDCWD, path, to, n);
}

/* ---- renaming ----------------------------------------------------------------------------- */

static int replaceable(const struct inode *moved, const struct inode *target)
{
    if (S_ISDIR(target->mode))
        return !S_ISDIR(moved->mode) ? -EISDIR : target->entries ? -ENOTEMPTY : 0;
    return S_ISDIR(moved->mode) ? -ENOTDIR : 0;
}

int64_t sys_renameat2(int from_at, uint64_t from, int to_at, uint64_t to, unsigned flags)
{
    struct place a, b;
    int error = path_look_up(from_at, from, false, &a);
    if (!error)
        error = path_look_up(to_at, to, false, &b);
    if (error)
        return error;
    struct entry *old = a.inode ? directory_find(a.parent, a.name, a.length) : NULL;
    if (!old)
        return a.inode ? -EBUSY : -ENOENT;
    if (flags & ~1u)
        return -EINVAL;
    if (a.inode == b.inode)
        return flags ? -EEXIST : 0;
    for (const struct inode *d = b.parent; S_ISDIR(a.inode->mode) && d;
         d = d == root ? NULL : d->parent)
        if (d == a.inode)
            return -EINVAL; /* into itself */
    if (b.inode) {
        struct entry *target = directory_find(b.parent, b.name, b.length);
        error = flags ? -EEXIST : !target ? -EBUSY : replaceable(a.inode, b.inode);
        if (error)
            return error;
        directory_remove(b.parent, target);
    }
    a.inode->references++; /* outlives the moment without a name */
    unsigned links = a.inode->links;
    error = directory_add(b.parent, b.name, b.length, a.inode);
    if (!error) {
        directory_remove(a.parent, old);
        if (S_ISDIR(a.inode->mode)) {
            a.inode->links = links;
            a.inode->parent = b.parent;
        }
    }
    inode_put(a.inode);
    return error;
}
int64_t sys_renameat(int from_at, uint64_t from, int to_at, uint64_t to)
{
    return sys_renameat2(from_at, from, to_at, to, 0);
}
int64_t sys_rename(uint64_t from, uint64_t to)
{
    return sys_renameat2(AT_FDCWD, from, AT_FDCWD, to, 0);
}
