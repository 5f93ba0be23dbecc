/* memory.c: mmap and its kin over space.c. */
#include <linux/mman.h>
#undef PROT_READ /* space.h has them */
#undef PROT_WRITE
#undef PROT_EXEC
#include "arch/arch.h"
#include "file.h"
#include "inode.h"
#include "layout.h"
#include "ramfs.h"
#include "space.h"
#include "syscall.h"
#include "user.h"

static int map_file(struct file *f, uint64_t at, uint64_t size, uint32_t prot, int flags,
                    uint64_t offset)
{
    bool shared = flags & MAP_SHARED, constant = (f->flags & O_ACCMODE) == 0;
    if ((f->flags & O_ACCMODE) == 1 || (shared && prot & PROT_WRITE && constant))
        return -EACCES;
    if (f->inode->device)
        return inode_is_zero(f->inode) ? space_map(at, size, prot, 0) : -ENODEV;
    if (!S_ISREG(f->inode->mode))
        return -ENODEV;
    return space_map_file(at, size, prot,
                          (shared ? SPACE_SHARED : 0) | (shared && constant ? SPACE_CONSTANT : 0),
                          f->inode, offset);
}

int64_t sys_mmap(uint64_t at, uint64_t length, int prot, int flags, int fd, uint64_t offset)
{
    uint32_t wanted = (uint32_t)prot & 7;
    uint64_t size = ALIGN_UP(length, PAGE_SIZE);
    bool fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE), anonymous = flags & MAP_ANONYMOUS;
    if (!length || (fixed && at & PAGE_MASK) || !(flags & (MAP_PRIVATE | MAP_SHARED)))
        return -EINVAL;
    if (size < length || size > PROGRAM_END)
        return -ENOMEM;
    struct file *f = anonymous ? NULL : file_get(fd);
    if (f && f->flags & O_PATH)
        return -EBADF;
    if (!anonymous && (!f || !f->inode || offset & PAGE_MASK))
        return !f ? -EBADF : !f->inode ? -ENODEV : -EINVAL;
    if (!anonymous && offset > (uint64_t)INT64_MAX - size)
        return -EOVERFLOW;
    if (flags & MAP_FIXED_NOREPLACE && !space_is_free(at, size))
        return -EEXIST;
    uint64_t start = fixed ? at : space_gap(ALIGN_DOWN(at, PAGE_SIZE), size);
    if (!start)
        return -ENOMEM;
    uint32_t promise = flags & (MAP_STACK | MAP_NORESERVE) ? SPACE_STACK : 0;
    int error = anonymous ? space_map(start, size, wanted, promise)
                          : map_file(f, start, size, wanted, flags, offset);
    return error ? error : (int64_t)start;
}

int64_t sys_munmap(uint64_t at, uint64_t length)
{
    return space_unmap(at, ALIGN_UP(length, PAGE_SIZE));
}

int64_t sys_mprotect(uint64_t at, uint64_t length, int prot)
{
    if (at & PAGE_MASK)
        return -EINVAL;
    return length ? space_protect(at, ALIGN_UP(length, PAGE_SIZE), (uint32_t)prot & 7) : 0;
}

/* More of the same from `start` on, where nothing is yet. */
static int map_more(const struct region *r, uint64_t start, uint64_t length, uint64_t offset)
{
    return r->file ? space_map_file(start, length, r->prot, r->flags, r->file, offset)
                   : space_map(start, length, r->prot, r->flags);
}

static int64_t move(const struct region *r, uint64_t at, uint64_t old, uint64_t fresh, uint64_t to)
{
    int error =
        fresh > old ? map_more(r, to + old, fresh - old, r->source + (at + old - r->start)) : 0;
    if (!error && (error = space_move(at, to, MIN(old, fresh))) && fresh > old)
        space_unmap(to + old, fresh - old);
    if (!error && fresh < old)
        space_unmap(at + fresh, old - fresh);
    return error ? error : (int64_t)to;
}

int64_t sys_mremap(uint64_t at, uint64_t old, uint64_t fresh, int flags, uint64_t to)
{
    old = ALIGN_UP(old, PAGE_SIZE);
    fresh = ALIGN_UP(fresh, PAGE_SIZE);
    bool fixed = flags & MREMAP_FIXED, movable = flags & MREMAP_MAYMOVE;
    const struct region *r = space_find(at);
    if (at & PAGE_MASK || !old || !fresh || old > PROGRAM_END || fresh > PROGRAM_END ||
        flags & ~(MREMAP_FIXED | MREMAP_MAYMOVE) || (fixed && !movable))
        return -EINVAL;
    if (!r || r->end - at < old)
        return -EFAULT;
    struct region copy = *r;
    if (copy.source && !copy.file)
        return -EINVAL;
    if (fixed) {
        if (to & PAGE_MASK || (to < at + old && at < to + fresh))
            return -EINVAL;
        int error = space_unmap(to, fresh);
        return error ? error : move(&copy, at, old, fresh, to);
    }
    if (fresh <= old) {
        int error = fresh < old ? space_unmap(at + fresh, old - fresh) : 0;
        return error ? error : (int64_t)at;
    }
    if (copy.end == at + old && space_is_free(at + old, fresh - old)) {
        int error = map_more(&copy, at + old, fresh - old, copy.source + (at + old - copy.start));
        return error ? error : (int64_t)at;
    }
    uint64_t start = movable ? space_gap(0, fresh) : 0;
    return start ? move(&copy, at, old, fresh, start) : -ENOMEM;
}

int64_t sys_madvise(uint64_t at, uint64_t length, int advice)
{
    if (at & PAGE_MASK)
        return -EINVAL;
    if (advice == MADV_DONTNEED || advice == MADV_FREE)
        return length ? space_discard(at, ALIGN_UP(length, PAGE_SIZE)) : 0;
    return 0;
}

/* One byte a page, 1 if it is in memory. */
int64_t sys_mincore(uint64_t at, uint64_t length, uint64_t to)
{
    if (at & PAGE_MASK)
        return -EINVAL;
    for (uint64_t end = at + ALIGN_UP(length, PAGE_SIZE); at < end; at += PAGE_SIZE, to++) {
        if (!space_find(at))
            return -ENOMEM;
        uint64_t *entry = paging_entry(at, false);
        char in = entry && *entry;
        if (USER_PUT(to, in))
            return -EFAULT;
    }
    return 0;
}
