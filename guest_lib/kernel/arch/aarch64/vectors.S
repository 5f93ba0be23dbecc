/* vectors.S: every way into the kernel and out of it, and changes of stack. Layout: frame.h. */
#define __ASSEMBLER__ 1
#include "frame.h"

    .section .text.vectors, "ax"
    .macro way_in vector
    sub sp, sp, #FRAME_BYTES
    stp x0, x1, [sp, #0]
    stp x2, x3, [sp, #16]
    stp x4, x5, [sp, #32]
    stp x6, x7, [sp, #48]
    stp x8, x9, [sp, #64]
    stp x10, x11, [sp, #80]
    stp x12, x13, [sp, #96]
    stp x14, x15, [sp, #112]
    stp x16, x17, [sp, #128]
    stp x18, x19, [sp, #144]
    stp x20, x21, [sp, #160]
    stp x22, x23, [sp, #176]
    stp x24, x25, [sp, #192]
    stp x26, x27, [sp, #208]
    stp x28, x29, [sp, #224]
    mrs x1, sp_el0
    stp x30, x1, [sp, #240]
    mrs x1, elr_el1
    mrs x2, spsr_el1
    stp x1, x2, [sp, #256]
    mrs x1, tpidr_el0
    mov x2, #\vector
    stp x1, x2, [sp, #272]
    str x0, [sp, #288]
    mov x29, xzr
    mov x0, sp
    .endm

    /* sp is at a struct frame. */
    .globl frame_leave
frame_leave:
    ldp x1, x2, [sp, #256]
    msr elr_el1, x1
    msr spsr_el1, x2
    ldr x1, [sp, #272]
    msr tpidr_el0, x1
    ldp x30, x1, [sp, #240]
    msr sp_el0, x1
    ldp x28, x29, [sp, #224]
    ldp x26, x27, [sp, #208]
    ldp x24, x25, [sp, #192]
    ldp x22, x23, [sp, #176]
    ldp x20, x21, [sp, #160]
    ldp x18, x19, [sp, #144]
    ldp x16, x17, [sp, #128]
    ldp x14, x15, [sp, #112]
    ldp x12, x13, [sp, #96]
    ldp x10, x11, [sp, #80]
    ldp x8, x9, [sp, #64]
    ldp x6, x7, [sp, #48]
    ldp x4, x5, [sp, #32]
    ldp x2, x3, [sp, #16]
    ldp x0, x1, [sp, #0]
    add sp, sp, #FRAME_BYTES
    eret

from_program_sync:
    way_in VECTOR_FAULT
    mrs x1, esr_el1
    lsr x2, x1, #26
    cmp x2, #0x15 /* svc */
    b.ne 1f
    mov x2, #VECTOR_SYSCALL
    str x2, [sp, #280]
    bl syscall_handle
    b frame_leave
1:  mrs x2, far_el1
    bl trap_fault
    b frame_leave

from_program_interrupt:
    way_in VECTOR_INTERRUPT
    bl trap_interrupt
    b frame_leave

from_kernel_interrupt: /* in cpu_wait, or before interrupts were expected: what C may spoil */
    sub sp, sp, #192
    stp x0, x1, [sp, #0]
    stp x2, x3, [sp, #16]
    stp x4, x5, [sp, #32]
    stp x6, x7, [sp, #48]
    stp x8, x9, [sp, #64]
    stp x10, x11, [sp, #80]
    stp x12, x13, [sp, #96]
    stp x14, x15, [sp, #112]
    stp x16, x17, [sp, #128]
    stp x18, x30, [sp, #144]
    mrs x0, elr_el1
    mrs x1, spsr_el1
    stp x0, x1, [sp, #160]
    bl interrupt_done
    ldp x0, x1, [sp, #160]
    msr elr_el1, x0
    msr spsr_el1, x1
    ldp x18, x30, [sp, #144]
    ldp x16, x17, [sp, #128]
    ldp x14, x15, [sp, #112]
    ldp x12, x13, [sp, #96]
    ldp x10, x11, [sp, #80]
    ldp x8, x9, [sp, #64]
    ldp x6, x7, [sp, #48]
    ldp x4, x5, [sp, #32]
    ldp x2, x3, [sp, #16]
    ldp x0, x1, [sp, #0]
    add sp, sp, #192
    eret

    /* The kernel's own fault is the end, unless tpidr_el1 says where to go on: something may have
     * been missing. Its stack may be what was bad. */
from_kernel_fault:
    mrs x0, tpidr_el1
    cbz x0, 1f
    br x0
1:
    adrp x0, fault_stack_top
    add x0, x0, :lo12:fault_stack_top
    mov sp, x0
    mrs x0, esr_el1
    mrs x1, elr_el1
    mrs x2, far_el1
    b trap_kernel

    /* Whether there is memory: a word keeps what is written to it. Leaves it as it was. */
    .globl memory_answers
memory_answers:
    adr x1, 1f
    msr tpidr_el1, x1
    ldr x2, [x0]
    mvn x3, x2
    str x3, [x0]
    dsb sy
    ldr x4, [x0]
    str x2, [x0]
    dsb sy
    cmp x3, x4
    cset w0, eq
    b 2f
1:  mov w0, #0
2:  msr tpidr_el1, xzr
    ret

    /* The ways to end, one after the other; each that is not there faults to the next. `smc` comes
     * before `hvc`: where the machine has an EL2, it is `smc` that leads to QEMU, and nobody is there
     * to answer the other. */
    .globl machine_end_by
machine_end_by: /* (semihosting's arguments) */
    mov x20, x0
    mov x19, xzr
    adr x1, end_next
    msr tpidr_el1, x1
end_next:
    add x19, x19, #1
    cmp x19, #2
    b.lo 1f
    b.eq 2f
    cmp x19, #3
    b.eq 3f
0:  wfi
    b 0b
1:  mov w0, #0x18 /* SYS_EXIT; with -semihosting QEMU takes the status along */
    mov x1, x20
    hlt #0xf000
    b end_next
2:  ldr x0, =0x84000008 /* PSCI SYSTEM_OFF */
    smc #0
    b end_next
3:  ldr x0, =0x84000008
    hvc #0
    b 0b
    .ltorg

    /* A new thread's first way out: stack_prepare puts this below its frame. */
    .globl thread_first_leave
thread_first_leave:
    mov x0, sp
    bl thread_started
    b frame_leave

    .macro push_saved
    sub sp, sp, #96
    stp x19, x20, [sp, #0]
    stp x21, x22, [sp, #16]
    stp x23, x24, [sp, #32]
    stp x25, x26, [sp, #48]
    stp x27, x28, [sp, #64]
    stp x29, x30, [sp, #80]
    .endm
    .macro pop_saved
    ldp x19, x20, [sp, #0]
    ldp x21, x22, [sp, #16]
    ldp x23, x24, [sp, #32]
    ldp x25, x26, [sp, #48]
    ldp x27, x28, [sp, #64]
    ldp x29, x30, [sp, #80]
    add sp, sp, #96
    .endm

    .globl stack_switch
stack_switch:
    push_saved
    mov x2, sp
    str x2, [x0]
    mov sp, x1
    pop_saved
    ret

    .globl stack_call
stack_call:
    stp x29, x30, [sp, #-16]!
    mov x29, sp
    mov sp, x0
    blr x1
    mov sp, x29
    ldp x29, x30, [sp], #16
    ret

    .globl stack_save_and_call
stack_save_and_call:
    push_saved
    mov x3, sp
    str x3, [x0]
    mov sp, x1
    blr x2
    brk #0

    .globl stack_resume
stack_resume:
    mov sp, x0
    pop_saved
    ret

    .macro each_pair what
    \what q0, q1, [x0, #0]
    \what q2, q3, [x0, #32]
    \what q4, q5, [x0, #64]
    \what q6, q7, [x0, #96]
    \what q8, q9, [x0, #128]
    \what q10, q11, [x0, #160]
    \what q12, q13, [x0, #192]
    \what q14, q15, [x0, #224]
    \what q16, q17, [x0, #256]
    \what q18, q19, [x0, #288]
    \what q20, q21, [x0, #320]
    \what q22, q23, [x0, #352]
    \what q24, q25, [x0, #384]
    \what q26, q27, [x0, #416]
    \what q28, q29, [x0, #448]
    \what q30, q31, [x0, #480]
    .endm

    .arch_extension fp
    .arch_extension simd
    .globl fp_save
fp_save:
    each_pair stp
    mrs x1, fpsr
    mrs x2, fpcr
    str w1, [x0, #512]
    str w2, [x0, #516]
    ret

    .globl fp_restore
fp_restore:
    each_pair ldp
    ldr w1, [x0, #512]
    ldr w2, [x0, #516]
    msr fpsr, x1
    msr fpcr, x2
    ret

    .macro vector to
    .balign 128
    b \to
    .endm

    .balign 2048
    .globl trap_vectors
trap_vectors:
    vector from_kernel_fault
    vector from_kernel_fault
    vector from_kernel_fault
    vector from_kernel_fault
    vector from_kernel_fault /* ours, on its own stack pointer */
    vector from_kernel_interrupt
    vector from_kernel_interrupt
    vector from_kernel_fault
    vector from_program_sync
    vector from_program_interrupt
    vector from_program_interrupt
    vector from_kernel_fault
    vector from_kernel_fault /* 32-bit programs: there are none */
    vector from_kernel_fault
    vector from_kernel_fault
    vector from_kernel_fault

    .bss
    .balign 16
    .skip 4096
fault_stack_top:

    .section .note.GNU-stack, "", @progbits
