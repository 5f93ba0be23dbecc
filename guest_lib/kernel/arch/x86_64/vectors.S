/* vectors.S: every way into the kernel and out of it, and changes of stack. Layout: frame.h. */
#define __ASSEMBLER__ 1
#include "frame.h"

    .macro push_registers
    push %rdi
    push %rsi
    push %rdx
    push %rcx
    push %rax
    push %r8
    push %r9
    push %r10
    push %r11
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    .endm

    .macro pop_registers
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    pop %r11
    pop %r10
    pop %r9
    pop %r8
    pop %rax
    pop %rcx
    pop %rdx
    pop %rsi
    pop %rdi
    .endm

    .text
    /* One stub a vector, 16 bytes each; the CPU pushes an error code for some of them only. What
     * comes from VECTOR_OTHER on comes by its stub: nobody asks which it was. */
    .globl trap_stubs
    .balign 16
trap_stubs:
    .set vector, 0
    .rept VECTOR_OTHER + 1
    .balign 16
    .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21)
    push $0
    .endif
    push $vector
    jmp trap_common
    .set vector, vector + 1
    .endr

    .balign 16
trap_common:
    push_registers
    /* The CPU has left no stack segment, `syscall` does; QEMU's translations of kernel code hold for
     * one of the two only, and what both ways in come to would be translated twice. */
    mov $KERNEL_DS, %eax
    mov %eax, %ss
    cld
    mov %rsp, %rdi
    call trap_handle
    jmp frame_leave

    /* FMASK has cleared IF, DF, TF, AC and NT. One processor, so two plain variables will do. */
    .globl syscall_entry
    .balign 16
syscall_entry:
    mov %rsp, user_stack(%rip)
    mov cpu_kernel_stack(%rip), %rsp
    push $USER_DS
    push user_stack(%rip)
    push %r11
    push $USER_CS
    push %rcx
    push %rax
    push $VECTOR_SYSCALL
    push_registers
    mov %rsp, %rdi
    call syscall_handle

    /* rsp is at a struct frame. */
frame_leave:
    cmpl $VECTOR_SYSCALL, 15*8(%rsp)
    jne 1f
    pop_registers
    add $16, %rsp
    pop %rcx
    add $8, %rsp
    pop %r11
    pop %rsp
    sysretq
1:
    pop_registers
    add $16, %rsp
    iretq

    /* A new thread's first way out: stack_prepare puts this below its frame. */
    .globl thread_first_leave
thread_first_leave:
    mov %rsp, %rdi
    call thread_started
    jmp frame_leave

    .macro push_saved
    push %rbx
    push %rbp
    push %r12
    push %r13
    push %r14
    push %r15
    .endm
    .macro pop_saved
    pop %r15
    pop %r14
    pop %r13
    pop %r12
    pop %rbp
    pop %rbx
    .endm

    .globl stack_switch
stack_switch:
    push_saved
    mov %rsp, (%rdi)
    mov %rsi, %rsp
    pop_saved
    ret

    .globl stack_call
stack_call:
    push %rbp
    mov %rsp, %rbp
    mov %rdi, %rsp
    call *%rsi
    mov %rbp, %rsp
    pop %rbp
    ret

    .globl stack_save_and_call
stack_save_and_call:
    push_saved
    mov %rsp, (%rdi)
    mov %rsi, %rsp
    call *%rdx
    ud2

    .globl stack_resume
stack_resume:
    mov %rdi, %rsp
    pop_saved
    ret

    .bss
    .balign 8
user_stack:
    .quad 0
    .globl cpu_kernel_stack
cpu_kernel_stack:
    .quad 0

    .section .note.GNU-stack, "", @progbits
