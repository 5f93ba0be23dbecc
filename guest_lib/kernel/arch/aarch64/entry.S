/*
 * entry.S: from the firmware's jump to C.
 *
 * The arm64 boot protocol (Linux, Documentation/arm64/booting.rst) enters without paging, x0 at the
 * device tree. A cold and a warm start both come through here, and a warm start's memory is a
 * parked VM's: nothing here may write to it. So the first page tables are made in low memory, which
 * no snapshot has, and the boot stack belongs to nobody else.
 */
#define __ASSEMBLER__ 1
#include "../../layout.h"
#include "cpu.h"

#define BLOCK 0x701         /* valid, attribute 0, inner shareable, accessed */
#define BLOCK_DEVICE 0x60000000000405 /* attribute 1, never executed */
#define TABLE 3

    .section .text.entry, "ax"
    .globl image_start
image_start:
    b entry
    .long 0
    .quad image_offset /* at this distance from the start of memory */
    .quad kernel_end - image_start
    .quad 2 /* little-endian, 4 KiB pages */
    .quad 0, 0, 0
    .ascii "ARM\x64"
    .long 0

    .macro load_address to, value
    movz \to, #((\value) & 0xffff)
    movk \to, #(((\value) >> 16) & 0xffff), lsl #16
    .endm

    /* Whatever the caches hold of low memory is older than what we write past them. */
    .macro forget_tables
    load_address x2, LOW_BOOT_TABLES
    mov x3, #(3 * 4096 / 16)
1:  dc ivac, x2
    add x2, x2, #16
    subs x3, x3, #1
    b.ne 1b
    dsb sy
    .endm

entry:
    msr daifset, #15
    mrs x1, CurrentEL
    cmp x1, #8
    b.ne 2f
    /* From EL2 down: a hypervisor's level is not ours to use. */
    mov x1, #(1 << 31)
    msr hcr_el2, x1
    mov x1, #3
    msr cnthctl_el2, x1
    msr cntvoff_el2, xzr
    mov x1, #0x33ff
    msr cptr_el2, x1
    mov x1, #0x3c5
    msr spsr_el2, x1
    adr x1, 2f
    msr elr_el2, x1
    eret
2:  forget_tables
    load_address x1, LOW_BOOT_TABLES
    mov x2, x1
    mov x3, #(3 * 4096 / 16)
3:  stp xzr, xzr, [x2], #16
    subs x3, x3, #1
    b.ne 3b
    add x2, x1, #4096
    add x2, x2, #TABLE
    str x2, [x1] /* as it is, until we jump up */
    str x2, [x1, #(256 * 8)] /* DIRECT_BASE */
    str x2, [x1, #(416 * 8)] /* DEVICE_BASE */
    add x2, x2, #4096
    str x2, [x1, #(511 * 8)] /* KERNEL_BASE */
    ldr x3, =BLOCK_DEVICE
    load_address x4, (RAM_BASE + BLOCK)
    add x2, x1, #4096
    stp x3, x4, [x2] /* the first GiB is devices, the second memory */
    add x2, x2, #4096
    str x3, [x2, #(510 * 8)]
    str x4, [x2, #(511 * 8)]
    dsb sy
    mov x5, x0
    forget_tables
    mov x0, x5

    ldr x2, =MAIR_VALUE
    msr mair_el1, x2
    ldr x2, =TCR_VALUE
    mrs x3, id_aa64mmfr0_el1
    and x3, x3, #7
    orr x2, x2, x3, lsl #TCR_IPS_SHIFT
    msr tcr_el1, x2
    msr ttbr0_el1, x1
    msr ttbr1_el1, x1
    isb
    tlbi vmalle1
    dsb nsh
    ic iallu
    dsb nsh
    isb
    ldr x2, =(SCTLR_RES1 | SCTLR_M | SCTLR_C | SCTLR_I | SCTLR_SA | SCTLR_SA0 | SCTLR_NTWI | \
              SCTLR_NTWE | SCTLR_UCI)
    msr sctlr_el1, x2
    isb
    ldr x2, =above
    br x2
above:
    ldr x2, =boot_stack_top
    msr spsel, #1
    mov sp, x2
    ldr x2, =trap_vectors
    msr vbar_el1, x2
    mov x29, xzr
    mov x30, xzr
    bl start
    brk #0
    .ltorg

    .section .bss.boot, "aw", @nobits
    .balign 4096
    .skip 16384
    .globl boot_stack_top
boot_stack_top:

    .section .note.GNU-stack, "", @progbits
