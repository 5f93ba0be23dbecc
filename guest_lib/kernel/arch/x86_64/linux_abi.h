/* linux_abi.h: where Linux on x86_64 differs from other Linuxes (arch/x86/include/uapi/asm). */
#ifndef LINUX_ABI_H
#define LINUX_ABI_H

#include <stdint.h>

#define LINUX_MACHINE "x86_64"
#define LINUX_ELF_MACHINE EM_X86_64
#define LINUX_HWCAP 0

#define O_DIRECTORY 0200000u
#define O_NOFOLLOW 0400000u

struct status { /* struct stat */
    uint64_t device, number, links;
    uint32_t mode, user, group, pad;
    uint64_t special;
    int64_t size, block_size, blocks;
    uint64_t accessed[2], modified[2], changed[2];
    uint64_t unused[3];
};

/* Calls that only this architecture has: the ones that newer architectures left out. */
#define LINUX_CALLS                                                                                \
    CALL(access), CALL(alarm), CALL(arch_prctl), CALL(chmod), CALL(clone), CALL(creat),            \
        CALL(dup2), CALL(link), CALL(lstat), CALL(mkdir), CALL(open), CALL(pause), CALL(pipe),     \
        CALL(poll), CALL(readlink), CALL(rename), CALL(rmdir), CALL(select), CALL(stat),           \
        CALL(symlink), CALL(time), CALL(unlink), CALL(chown), CALL(lchown), CALL(epoll_create),    \
        CALL(epoll_wait), CALL(eventfd), CALL(fork), SAME(getpgrp, getpid), SAME(vfork, fork),     \
        ZERO(sync_file_range),

#endif
