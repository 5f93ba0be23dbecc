/* cpu.h: single instructions and the bits of system registers. */
#ifndef CPU_H
#define CPU_H

#define PSTATE_EL0 0x000          /* interrupts on */
#define PSTATE_FLAGS 0xf0000000UL /* N Z C V: what a program may set */

#define SCTLR_M (1 << 0)
#define SCTLR_C (1 << 2)
#define SCTLR_SA (1 << 3)
#define SCTLR_SA0 (1 << 4)
#define SCTLR_I (1 << 12)
#define SCTLR_NTWI (1 << 16)
#define SCTLR_NTWE (1 << 18)
#define SCTLR_SPAN (1 << 23)
#define SCTLR_UCI (1 << 26)
#define SCTLR_RES1 0x30500800

#define MAIR_VALUE 0x04ff /* attribute 0: write-back memory; 1: device, nGnRE */
/* 48 bits below and above, 4 KiB pages, tables in write-back memory, inner shareable. */
#define TCR_VALUE 0xb5103510UL
#define TCR_IPS_SHIFT 32

#define TIMER_INTERRUPT 27  /* the virtual timer's */
#define DEVICE_INTERRUPT 48 /* the first virtio slot's */

#ifndef __ASSEMBLER__
#include <stdint.h>

#define sysreg_read(name)                                                                          \
    ({                                                                                             \
        uint64_t value_;                                                                           \
        __asm__ volatile("mrs %0, " #name : "=r"(value_)::"memory");                               \
        value_;                                                                                    \
    })
#define sysreg_write(name, value)                                                                  \
    __asm__ volatile("msr " #name ", %0" ::"r"((uint64_t)(value)) : "memory")

static inline void isb(void) { __asm__ volatile("isb" ::: "memory"); }
#endif

#endif
