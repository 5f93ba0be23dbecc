/* file.c: the table of descriptors, and the system calls on one; reading and writing: transfer.c. */
#include "file.h"
#include "heap.h"
#include "image.h"
#include "inode.h"
#include "clock.h"
#include "proc.h"
#include "ramfs.h"
#include "syscall.h"
#include "thread.h"
#include "user.h"

#define O_NONBLOCK 04000
#define SEEK_DATA 3
#define SEEK_HOLE 4
#define F_DUPFD 0
#define F_GETFD 1
#define F_SETFD 2
#define F_GETFL 3
#define F_SETFL 4
#define F_GETLK 5
#define F_SETLK 6
#define F_SETLKW 7
#define F_DUPFD_CLOEXEC 1030

static struct {
    struct file *file;
    bool close_on_exec; /* remembered for F_GETFD only: there is no exec */
} files[FILES_MAX];

struct file *file_new(const struct file_operations *operations, uint32_t flags)
{
    struct file *f = heap_alloc_for_program(sizeof *f);
    if (f) {
        f->operations = operations;
        f->flags = flags;
        f->references = 1;
        list_init(&f->watches);
    }
    return f;
}

struct file *file_get(int fd) { return fd >= 0 && fd < FILES_MAX ? files[fd].file : NULL; }

int file_install(struct file *f, int lowest, bool close_on_exec)
{
    for (int fd = lowest; fd >= 0 && fd < FILES_MAX; fd++) {
        if (files[fd].file)
            continue;
        files[fd].file = f;
        files[fd].close_on_exec = close_on_exec;
        return fd;
    }
    return -EMFILE;
}

int64_t file_open(const struct file_operations *operations, uint32_t flags, bool close_on_exec,
                  void *data)
{
    struct file *f = file_new(operations, flags);
    if (!f) {
        struct file closing = {.data = data};
        operations->close(&closing);
        return -ENOMEM;
    }
    f->data = data;
    int fd = file_install(f, 0, close_on_exec);
    if (fd < 0)
        file_put(f);
    return fd;
}

void files_changed(const struct file_operations *kind)
{
    for (int fd = 0; fd < FILES_MAX; fd++)
        if (files[fd].file && files[fd].file->operations == kind)
            file_changed(files[fd].file);
}

void file_put(struct file *f)
{
    if (--f->references)
        return;
    epoll_forget(f);
    file_unlock(f);
    if (f->operations->close)
        f->operations->close(f);
    heap_free(f);
}

void files_init(void)
{
    uint64_t baked;
    image_files(&baked);
    if (baked) /* else when a path is followed */
        ramfs_ready();
    for (int fd = 0; fd < 3; fd++) {
        struct file *f = file_new(&console_operations, fd ? 1 : 0);
        f->data = (void *)(uintptr_t)fd;
        f->kind = 0020620; /* character device */
        file_install(f, 0, false);
    }
}

/* ---- the rest ----------------------------------------------------------------------------- */

int64_t sys_close(int fd)
{
    struct file *f = file_get(fd);
    if (!f)
        return -EBADF;
    files[fd].file = NULL;
    file_put(f);
    return 0;
}

int64_t sys_lseek(int fd, int64_t offset, int whence)
{
    struct file *f = file_get(fd);
    if (!f)
        return -EBADF;
    if (!f->inode)
        return -ESPIPE;
    int64_t size = (int64_t)f->inode->size;
    if (whence == SEEK_DATA || whence == SEEK_HOLE) { /* all of it counts as data */
        if (offset < 0 || offset >= size)
            return -ENXIO;
        return (int64_t)(f->position = (uint64_t)(whence == SEEK_DATA ? offset : size));
    }
    int64_t base = whence == 0 ? 0 : whence == 1 ? (int64_t)f->position : size;
    if (whence < 0 || whence > 2 || __builtin_add_overflow(base, offset, &base) || base < 0)
        return -EINVAL;
    f->position = (uint64_t)base;
    return base;
}

static int64_t duplicate(int fd, int lowest, bool close_on_exec)
{
    struct file *f = file_get(fd);
    if (!f)
        return -EBADF;
    int copy = file_install(f, lowest, close_on_exec);
    f->references += copy >= 0;
    return copy;
}

int64_t sys_fcntl(int fd, int command, uint64_t argument)
{
    struct file *f = file_get(fd);
    if (!f)
        return -EBADF;
    switch (command) {
    case F_DUPFD:
    case F_DUPFD_CLOEXEC:
        return argument < FILES_MAX ? duplicate(fd, (int)argument, command == F_DUPFD_CLOEXEC)
                                    : -EINVAL;
    case F_GETFD:
        return files[fd].close_on_exec;
    case F_SETFD:
        files[fd].close_on_exec = argument & 1;
        return 0;
    case F_GETFL:
        return f->flags;
    case F_SETFL:
        f->flags = (f->flags & ~(uint32_t)(O_APPEND | O_NONBLOCK)) |
                   ((uint32_t)argument & (O_APPEND | O_NONBLOCK));
        return 0;
    case F_GETLK:
    case F_SETLK:
    case F_SETLKW:
        return file_record_lock(f, argument, command == F_GETLK);
    default:
        return -EINVAL;
    }
}

int64_t sys_ioctl(int fd, unsigned request)
{
    (void)request;
    return file_get(fd) ? -ENOTTY : -EBADF;
}

int64_t sys_dup(int fd) { return duplicate(fd, 0, false); }

int64_t sys_dup3(int fd, int to, int flags)
{
    struct file *f = file_get(fd);
    if (!f || to < 0 || to >= FILES_MAX)
        return -EBADF;
    if (fd == to)
        return -EINVAL;
    if (files[to].file)
        sys_close(to);
    return duplicate(fd, to, flags & O_CLOEXEC);
}

int64_t sys_dup2(int fd, int to)
{
    return fd == to ? (file_get(fd) ? fd : -EBADF) : sys_dup3(fd, to, 0);
}

int64_t sys_fsync(int fd) { return file_get(fd) ? 0 : -EBADF; }
