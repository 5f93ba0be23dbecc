/*
 * layout.h: where everything is.
 *
 * Physical memory, from RAM_BASE on (place.h: x86_64 0, aarch64 1 GiB):
 *
 *   0x0000000  +--------------------------+
 *              | firmware's               |  rewritten by QEMU at every start, never in a snapshot;
 *   0x0010000  +--------------------------+  once booted, we lend its middle to the device, so that
 *              | virtio rings and buffers |  no device ever writes to memory that is guest state
 *   0x0090000  +--------------------------+
 *              | firmware's               |
 *   0x0100000  +--------------------------+
 *              | kernel text, rodata      |
 *              | kernel data, bss         |  (aarch64: bss first)
 *   image      +--------------------------+  page-aligned
 *              | image header (1 page)    |  struct image_header below
 *              | program's ELF file       |  text and rodata pages are mapped from here, in place
 *              | baked files, if any      |  page-aligned; read where they are
 *   pages      +--------------------------+  page-aligned
 *              | page bitmap, then        |
 *              | pages to give away       |
 *   end of RAM +--------------------------+
 *
 * On aarch64 QEMU lays the device tree into the middle of RAM at every start. It is read once, at a
 * cold start, and its place is given away like any other.
 *
 * Virtual memory, one address space:
 *
 *   0x0000000000000000  +---------------------+
 *                       | nothing (64 KiB)    |
 *   0x0000000000400000  | program's ELF       |  ring 3; a static-pie one from PROGRAM_PIE on
 *                       | its heap (brk)      |  up to 32 MiB further, by chance
 *                       | mmap, top down      |  up to 1 TiB below the stack, by chance
 *                       | main thread's stack |  up to 16 GiB below the end, by chance
 *   0x00007ffffffff000  +---------------------+  PROGRAM_END
 *   0xffff800000000000  | all RAM             |  supervisor, no execute; image and kernel read-only
 *   0xffffc00000000000  | kernel heap, stacks |  guard pages between
 *   0xffffd00000000000  | devices             |  uncached
 *   0xffffffff80000000  | kernel              |  text read+execute, rodata read, data write
 */
#ifndef LAYOUT_H
#define LAYOUT_H

#include "place.h"

#define PROGRAM_START 0x10000UL
#define PROGRAM_PIE 0x550000000000UL /* from here on, by chance: a static-pie program */
#define PROGRAM_END 0x00007ffffffff000UL
#define PROGRAM_STACK (8UL << 20)
#define SIGNAL_RETURN (PROGRAM_END - PAGE_SIZE) /* see signal_return_page */

#define DIRECT_BASE U64(0xffff800000000000)
#define HEAP_BASE 0xffffc00000000000UL
#define HEAP_PAGES 65536UL
#define DEVICE_BASE 0xffffd00000000000UL
#define KERNEL_BASE U64(0xffffffff80000000)

/* Lent to the device; see above. */
#define LOW_RINGS (RAM_BASE + 0x10000) /* 8 KiB; RADICS_GO_ON_AT is between it and the next */
#define LOW_CRC (RAM_BASE + 0x14000)
#define LOW_PARK_STACK (RAM_BASE + 0x20000) /* grows down from here */
#define LOW_RX (RAM_BASE + 0x30000)
#define LOW_RX_SIZE 0x10000UL
#define LOW_BOOT_TABLES (RAM_BASE + 0x40000) /* until paging_load */
#define LOW_TX (RAM_BASE + 0x50000)
#define LOW_TX_SIZE 0x20000UL
#define LOW_FRAME (RAM_BASE + 0x70000)
#define LOW_FRAME_SIZE 0x20000UL

#ifndef __ASSEMBLER__
#include <stdint.h>

#define IMAGE_MAGIC 0x45474d4953436452UL /* "RdCSIMGE" */

/* First page after the kernel; written by radics_mesh/vmm/build.py. */
struct image_header {
    uint64_t magic;
    uint32_t version;      /* 1 */
    uint32_t header_bytes; /* the program's ELF file starts so many bytes further: one page */
    uint64_t program_bytes;
    char name[256];       /* argv[0] without a channel, NUL-terminated */
    uint64_t files_bytes; /* from the page after the program on; 0: none */
    uint64_t tail_bytes;  /* from the page after the files on: symbols, which only the host reads */
    uint16_t abi_major, abi_minor; /* that the library OS speaks: for a host, before it starts it */
};

/* The baked files start with their number, 8 bytes, and one of these each, the next one at the next
 * multiple of 8; then come their contents. Written by radics_mesh/vmm/baked.py. */
struct image_file {
    uint64_t offset, size; /* of the contents, from the start of all */
    uint32_t mode;         /* type (regular or directory) and permissions */
    uint32_t path_bytes;
    char path[]; /* absolute; no NUL, no `.`, no `..`, no empty name in it */
};

static inline void *phys_to_virt(uint64_t pa) { return (void *)(DIRECT_BASE + pa); }
#endif

#endif
