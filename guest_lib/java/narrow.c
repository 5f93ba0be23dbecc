/* narrow.c: loaded before libc. A guest refuses pages that are writable and executable, for which
 * the virtual machine asks by habit: Zero interprets, and runs no code that it wrote. */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static int narrow(int prot) { return prot & PROT_WRITE ? prot & ~PROT_EXEC : prot; }

void *mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset)
{
    return (void *)syscall(SYS_mmap, at, n, narrow(prot), flags, fd, offset);
}

void *mmap64(void *at, size_t n, int prot, int flags, int fd, off_t offset)
{
    return mmap(at, n, prot, flags, fd, offset);
}

int mprotect(void *at, size_t n, int prot)
{
    return (int)syscall(SYS_mprotect, at, n, narrow(prot));
}
