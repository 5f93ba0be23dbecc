/*
 * lock.c: locks on files. flock's belong to an open file, so two of one program's can be in each
 * other's way. fcntl's belong to the process, and there is one: they are always free.
 */
#include "file.h"
#include "inode.h"
#include "syscall.h"
#include "thread.h"
#include "user.h"

enum { LOCK_SH = 1, LOCK_EX = 2, LOCK_NB = 4, LOCK_UN = 8 };
enum { F_RDLCK, F_WRLCK, F_UNLCK };

static struct wait_queue waiting = {{&waiting.waiting, &waiting.waiting}};

void file_unlock(struct file *f)
{
    if (!f->lock)
        return;
    f->inode->locks -= f->lock == LOCK_EX ? LOCKED_ALONE : 1;
    f->lock = 0;
    wake_all(&waiting);
}

static bool take(struct file *f, int how)
{
    if (how == LOCK_EX ? f->inode->locks : f->inode->locks >= LOCKED_ALONE)
        return false;
    f->inode->locks += how == LOCK_EX ? LOCKED_ALONE : 1;
    f->lock = how;
    return true;
}

int64_t sys_flock(int fd, int operation)
{
    int how = operation & ~LOCK_NB;
    struct file *f = file_get(fd);
    if (!f)
        return -EBADF;
    if (!f->inode || (how != LOCK_SH && how != LOCK_EX && how != LOCK_UN))
        return -EINVAL;
    file_unlock(f); /* to change one's lock is to give it up first, as on Linux */
    if (how == LOCK_UN)
        return 0;
    f->references++;
    int64_t result = 0;
    while (!result && !take(f, how))
        result = operation & LOCK_NB                      ? -EAGAIN
                 : thread_wait(&waiting, NEVER) == -EINTR ? -ERESTARTSYS
                                                          : 0;
    file_put(f);
    return result;
}

struct record_lock { /* struct flock */
    int16_t type, whence;
    int64_t start, length;
    int32_t pid, pad;
};

int64_t file_record_lock(struct file *f, uint64_t at, bool ask)
{
    struct record_lock l;
    if (USER_GET(l, at))
        return -EFAULT;
    if (l.type < F_RDLCK || l.type > F_UNLCK || l.whence < 0 || l.whence > 2)
        return -EINVAL;
    unsigned mode = f->flags & O_ACCMODE;
    if (!ask && (l.type == F_RDLCK ? mode == 1 : l.type == F_WRLCK && mode == 0))
        return -EBADF;
    l.type = F_UNLCK;
    return ask ? USER_PUT(at, l) : 0;
}
