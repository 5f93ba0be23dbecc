/*
 * describe.h: where in memory a host finds what a debugger wants to know of a parked VM. It is part of
 * the image's constants, so it costs nothing in a snapshot; the park header says where it is. Host's
 * twin: radics_mesh/debug/parked_guest.py. All numbers little-endian; addresses are the kernel's virtual
 * ones, offsets are bytes.
 */
#ifndef DESCRIBE_H
#define DESCRIBE_H

#include "kernel.h"

#define DESCRIPTION_MAGIC 0x6373656453436452UL /* "RdCSdesc" */
#define DESCRIPTION_VERSION 1

struct description {
    uint64_t magic;
    uint32_t version, bytes;
    uint64_t kernel_base;      /* a kernel address less this is a physical one */
    uint64_t ram_base;         /* the physical address of the first byte of RAM */
    const void *roots;         /* two addresses of page tables: for the lower and the upper half */
    const void *threads;       /* struct list of them all */
    const void *now;           /* u64: when the VM was parked, on the clock of deadlines */
    const void *base;          /* u64: what is added to the addresses in the program's ELF file */
    const void *auxv;          /* u64: a program address, of pairs of u64 up to 0 */
    const void *regions;       /* address of the address of the array; */
    const void *regions_count; /* address of its length */
    uint32_t region_bytes, region_start, region_end, region_prot, region_source, region_source_end;
    uint32_t region_file; /* a pointer: NULL, or the source is an offset in a file */
    uint32_t thread_all, thread_id, thread_name, name_bytes, thread_state, state_waiting;
    uint32_t thread_deadline, thread_fp, fp_bytes, thread_frame;
    uint32_t frame_vector, vector_syscall, frame_call, frame_arguments[6];
    uint32_t registers;
    uint16_t register_at[40]; /* as registers_at in arch.h */
};

extern const struct description description;

#endif
