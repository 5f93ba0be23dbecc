/* path.c: where a path leads, and the directory it starts from. */
#include "path.h"
#include "file.h"
#include "heap.h"
#include "proc.h"
#include "ramfs.h"
#include "syscall.h"
#include "user.h"

#define LINKS_FOLLOWED_MAX 40

unsigned creation_mask = 022;
static struct inode *here; /* current directory; NULL: / */

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

int path_look_up(int at, uint64_t user_path, bool follow, struct place *p)
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
    int error = path_look_up(at, path, follow, &p);
    *i = p.inode;
    return error ? error : p.inode ? 0 : -ENOENT;
}

int path_vacant(int at, uint64_t path, struct place *p)
{
    int error = path_look_up(at, path, false, p);
    return error ? error : p->inode ? -EEXIST : 0;
}

int path_create(struct place *p, unsigned mode, struct inode **made)
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

/* ---- the current directory ---------------------------------------------------------------- */

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
