/* path.c: names of files: look-up, and the system calls that take a path. */
#include "clock.h"
#include "file.h"
#include "heap.h"
#include "image.h"
#include "inode.h"
#include "path.h"
#include "proc.h"
#include "ramfs.h"
#include "syscall.h"
#include "user.h"

#define LINKS_FOLLOWED_MAX 40
#define AT_REMOVEDIR 0x200
#define AT_SYMLINK_FOLLOW 0x400

unsigned creation_mask = 022;
static struct inode *here; /* current directory; NULL: / */

/* What a path leads to. `inode` is NULL if only the last name does not exist. */
struct place {
    struct inode *parent, *inode;
    char name[NAME_LENGTH_MAX + 1];
    size_t length;
    bool slash; /* the path ended with one: must be a directory */
};

/* ---- look-up ------------------------------------------------------------------------------ */

static int start_of(int at, const char *path, struct inode **start)
{
    ramfs_ready();
    *start = *path == '/' || (at == AT_FDCWD && !here) ? root : here;
    if (*path == '/' || at == AT_FDCWD)
        return 0;
    struct file *f = file_get(at);
    if (!f)
        return -EBADF;
    if (!f->inode || !S_ISDIR(f->inode->mode))
        return -ENOTDIR;
    *start = f->inode;
    return 0;
}

static int step(struct inode *directory, const char *name, size_t n, struct inode **to)
{
    if (!S_ISDIR(directory->mode))
        return -ENOTDIR;
    if (n > NAME_LENGTH_MAX)
        return -ENAMETOOLONG;
    if (n == 1 && name[0] == '.') {
        *to = directory;
    } else if (n == 2 && name[0] == '.' && name[1] == '.') {
        *to = directory->parent ? directory->parent : directory;
    } else if (directory == proc_descriptors) {
        *to = proc_descriptor(name, n);
    } else {
        struct entry *e = directory_find(directory, name, n);
        *to = e ? e->inode : NULL;
    }
    return 0;
}

/* Puts a link's target before the rest of the path, in place. */
static int splice(char *path, const char *rest, const char *target)
{
    size_t target_length = strlen(target), rest_length = strlen(rest);
    if (target_length + 1 + rest_length >= PATH_LENGTH_MAX)
        return -ENAMETOOLONG;
    memmove(path + target_length + (rest_length > 0), rest, rest_length + 1);
    memcpy(path, target, target_length);
    path[target_length] = rest_length ? '/' : path[target_length];
    return 0;
}

static int walk(struct inode *directory, char *path, bool follow, struct place *p)
{
    struct inode *next = directory;
    unsigned links = 0;
    *p = (struct place){.parent = directory, .inode = directory};
    for (char *at = path;;) {
        while (*at == '/')
            at++;
        if (!*at)
            return 0;
        char *name = at;
        while (*at && *at != '/')
            at++;
        size_t n = (size_t)(at - name);
        p->slash = *at == '/';
        while (*at == '/')
            at++;
        int error = step(directory, name, n, &next);
        if (error)
            return error;
        if (next && S_ISLNK(next->mode) && (*at || p->slash || follow)) {
            if (++links > LINKS_FOLLOWED_MAX)
                return -ELOOP;
            if ((error = splice(path, at, next->target)))
                return error;
            at = path;
            directory = *path == '/' ? root : directory;
            continue;
        }
        p->parent = directory;
        p->inode = next;
        p->length = n;
        memcpy(p->name, name, n);
        p->name[n] = 0;
        if (!*at)
            return p->slash && next && !S_ISDIR(next->mode) ? -ENOTDIR : 0;
        if (!next)
            return -ENOENT;
        directory = next;
    }
}

static int look_up(int at, uint64_t user_path, bool follow, struct place *p)
{
    struct inode *start = root;
    char *path = heap_alloc(PATH_LENGTH_MAX);
    if (!path)
        return -ENOMEM;
    int64_t n = user_string(path, user_path, PATH_LENGTH_MAX);
    int error = n < 0 ? (int)n : n == 0 ? -ENOENT : start_of(at, path, &start);
    if (!error)
        error = walk(start, path, follow, p);
    heap_free(path);
    return error;
}

int path_existing(int at, uint64_t path, bool follow, struct inode **i)
{
    struct place p;
    int error = look_up(at, path, follow, &p);
    *i = p.inode;
    return error ? error : p.inode ? 0 : -ENOENT;
}

/* A place where something new may be made. */
static int vacant(int at, uint64_t path, struct place *p)
{
    int error = look_up(at, path, false, p);
    return error ? error : p->inode ? -EEXIST : 0;
}

/* ---- open --------------------------------------------------------------------------------- */

static int create(struct place *p, unsigned mode, struct inode **made)
{
    struct inode *i = inode_new(S_ISLNK(mode) ? mode : mode & ~creation_mask);
    if (!i)
        return -ENOSPC;
    int error = directory_add(p->parent, p->name, p->length, i);
    if (error)
        inode_put(i);
    *made = i;
    return error;
}

static int open_place(int at, uint64_t path, uint32_t flags, unsigned mode, struct inode **i)
{
    struct place p;
    bool follow = !(flags & O_NOFOLLOW) && (flags & (O_CREAT | O_EXCL)) != (O_CREAT | O_EXCL);
    int error = look_up(at, path, follow, &p);
    if (error)
        return error;
    *i = p.inode;
    if (!p.inode) {
        if (!(flags & O_CREAT))
            return -ENOENT;
        return p.slash ? -EISDIR : create(&p, S_IFREG | (mode & 07777), i);
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

/* Built from the end: a directory knows its parent, the parent knows the name. */
static int64_t path_of(const struct inode *d, char *buf)
{
    size_t at = PATH_LENGTH_MAX;
    buf[--at] = 0;
    for (; d != root; d = d->parent) {
        const struct entry *e = d->parent ? d->parent->entries : NULL;
        while (e && e->inode != d)
            e = e->next;
        if (!e)
            return -ENOENT; /* removed */
        if (at < e->length + 1)
            return -ENAMETOOLONG;
        at -= e->length;
        memcpy(buf + at, e->name, e->length);
        buf[--at] = '/';
    }
    if (!buf[at])
        buf[--at] = '/';
    return (int64_t)at;
}

int64_t sys_getcwd(uint64_t to, size_t n)
{
    ramfs_ready();
    char *buf = heap_alloc(PATH_LENGTH_MAX);
    int64_t at = buf ? path_of(here ? here : root, buf) : -ENOMEM, length = PATH_LENGTH_MAX - at;
    if (at >= 0)
        at = (size_t)length > n                         ? -ERANGE
             : user_write(to, buf + at, (size_t)length) ? -EFAULT
                                                        : length;
    heap_free(buf);
    return at;
}

static int64_t go_to(struct inode *d)
{
    if (!S_ISDIR(d->mode))
        return -ENOTDIR;
    d->references++;
    if (here)
        inode_put(here);
    here = d;
    return 0;
}

int64_t sys_chdir(uint64_t path)
{
    struct inode *d;
    int error = path_existing(AT_FDCWD, path, true, &d);
    return error ? error : go_to(d);
}

int64_t sys_fchdir(int fd)
{
    struct file *f = file_get(fd);
    return !f ? -EBADF : f->inode ? go_to(f->inode) : -ENOTDIR;
}

int64_t sys_mkdirat(int at, uint64_t path, unsigned mode)
{
    struct place p;
    struct inode *made = NULL;
    int error = vacant(at, path, &p);
    return error ? error : create(&p, S_IFDIR | (mode & 01777), &made);
}
int64_t sys_mkdir(uint64_t path, unsigned mode) { return sys_mkdirat(AT_FDCWD, path, mode); }

int64_t sys_unlinkat(int at, uint64_t path, int flags)
{
    struct place p;
    int error = look_up(at, path, false, &p);
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

/* ---- links, renaming ---------------------------------------------------------------------- */

int64_t sys_linkat(int from_at, uint64_t from, int to_at, uint64_t to, int flags)
{
    struct inode *i;
    struct place p;
    int error = path_existing(from_at, from, flags & AT_SYMLINK_FOLLOW, &i);
    if (error)
        return error;
    if (S_ISDIR(i->mode))
        return -EPERM;
    error = vacant(to_at, to, &p);
    return error ? error : directory_add(p.parent, p.name, p.length, i);
}
int64_t sys_link(uint64_t from, uint64_t to) { return sys_linkat(AT_FDCWD, from, AT_FDCWD, to, 0); }

int64_t sys_symlinkat(uint64_t target, int at, uint64_t path)
{
    struct place p;
    struct inode *made = NULL;
    int error = vacant(at, path, &p);
    char *copy = error ? NULL : heap_alloc(PATH_LENGTH_MAX);
    if (!copy)
        return error ? error : -ENOMEM;
    int64_t n = user_string(copy, target, PATH_LENGTH_MAX);
    error = n < 0 ? (int)n : n == 0 ? -ENOENT : create(&p, S_IFLNK | 0777, &made);
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

static int replaceable(const struct inode *moved, const struct inode *target)
{
    if (S_ISDIR(target->mode))
        return !S_ISDIR(moved->mode) ? -EISDIR : target->entries ? -ENOTEMPTY : 0;
    return S_ISDIR(moved->mode) ? -ENOTDIR : 0;
}

int64_t sys_renameat2(int from_at, uint64_t from, int to_at, uint64_t to, unsigned flags)
{
    struct place a, b;
    int error = look_up(from_at, from, false, &a);
    if (!error)
        error = look_up(to_at, to, false, &b);
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
