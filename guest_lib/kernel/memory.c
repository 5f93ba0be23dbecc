/* memory.c: mmap and its kin over space.c. Anonymous memory, and private copies of files. */
#include <linux/mman.h>
#undef PROT_READ /* space.h has them */
#undef PROT_WRITE
#undef PROT_EXEC
#include "file.h"
#include "layout.h"
#include "ramfs.h"
#include "space.h"
#include "syscall.h"
#include "user.h"

static int copy_file(int fd, uint64_t at, uint64_t length, uint64_t offset)
{
    struct file *f = file_get(fd);
    if (!f || !f->inode || !f->operations->read)
        return f ? -ENODEV : -EBADF;
    int64_t n = f->operations->read(f, at, length, &offset);
    return n < 0 ? (int)n : 0;
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
    if (!anonymous && (flags & MAP_TYPE) != MAP_PRIVATE && wanted & PROT_WRITE)
        return -ENODEV; /* no shared file mappings */
    if (flags & MAP_FIXED_NOREPLACE && !space_is_free(at, size))
        return -EEXIST;
    uint64_t start = fixed ? at : space_gap(ALIGN_DOWN(at, PAGE_SIZE), size);
    if (!start)
        return -ENOMEM;
    uint32_t promise = flags & (MAP_STACK | MAP_NORESERVE) ? SPACE_STACK : 0;
    int error = space_map(start, size, anonymous ? wanted : PROT_READ | PROT_WRITE, promise);
    if (!error && !anonymous) {
        error = copy_file(fd, start, size, offset);
        if (!error)
            error = space_protect(start, size, wanted);
        if (error)
            space_unmap(start, size);
    }
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

int64_t sys_mremap(uint64_t at, uint64_t old, uint64_t fresh, int flags, uint64_t to)
{
    (void)to;
    old = ALIGN_UP(old, PAGE_SIZE);
    fresh = ALIGN_UP(fresh, PAGE_SIZE);
    const struct region *r = space_find(at);
    if (at & PAGE_MASK || !old || !fresh || fresh > PROGRAM_END || flags & ~1)
        return -EINVAL;
    if (!r || r->end - at < old)
        return -EFAULT;
    if (fresh <= old) {
        int error = fresh < old ? space_unmap(at + fresh, old - fresh) : 0;
        return error ? error : (int64_t)at;
    }
    struct region copy = *r;
    if (copy.source)
        return -EINVAL;
    if (copy.end == at + old && space_is_free(at + old, fresh - old)) {
        int error = space_map(at + old, fresh - old, copy.prot, copy.flags);
        return error ? error : (int64_t)at;
    }
    uint64_t start = flags & MREMAP_MAYMOVE ? space_gap(0, fresh) : 0;
    if (!start)
        return -ENOMEM;
    int error = space_map(start + old, fresh - old, copy.prot, copy.flags);
    if (!error && (error = space_move(at, start, old)))
        space_unmap(start + old, fresh - old);
    return error ? error : (int64_t)start;
}

int64_t sys_madvise(uint64_t at, uint64_t length, int advice)
{
    if (at & PAGE_MASK)
        return -EINVAL;
    if (advice == MADV_DONTNEED || advice == MADV_FREE)
        return length ? space_discard(at, ALIGN_UP(length, PAGE_SIZE)) : 0;
    return 0;
}
