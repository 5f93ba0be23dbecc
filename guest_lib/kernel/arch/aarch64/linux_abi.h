/* linux_abi.h: where Linux on aarch64 differs from other Linuxes (include/uapi/asm-generic, arm64). */
#ifndef LINUX_ABI_H
#define LINUX_ABI_H

#include <stdint.h>

#define LINUX_MACHINE "aarch64"
#define LINUX_ELF_MACHINE EM_AARCH64
/* FP and ASIMD and nothing else, whatever the host has: a program must see the same CPU everywhere. */
#define LINUX_HWCAP 3

#define O_DIRECTORY 040000u
#define O_NOFOLLOW 0100000u

struct status { /* struct stat */
    uint64_t device, number;
    uint32_t mode, links;
    uint32_t user, group;
    uint64_t special, pad;
    int64_t size;
    int32_t block_size, pad2;
    int64_t blocks;
    uint64_t accessed[2], modified[2], changed[2];
    uint32_t unused[2];
};

/* Calls that only this architecture has, or has with another order of arguments. */
#define LINUX_CALLS [__NR_clone] = (call)(void (*)(void))sys_clone_backwards,

#endif
