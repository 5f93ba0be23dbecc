/* frame.h: the registers of a program's thread as vectors.S lays them on its kernel stack. */
#ifndef FRAME_H
#define FRAME_H

#define VECTOR_TIMER 0x40
#define VECTOR_CHANNEL 0x41
#define VECTOR_OTHER 0x42
#define VECTOR_SYSCALL 0x100 /* not a real vector: came by `syscall`, may leave by `sysret` */
#define VECTOR_RESUME 0x101  /* registers were replaced (signal, sigreturn): leave by `iret` */

#define KERNEL_CS 0x08
#define KERNEL_DS 0x10
#define USER_DS 0x1b
#define USER_CS 0x23
#define TSS_SELECTOR 0x28

#ifndef __ASSEMBLER__
#include <stdint.h>

struct frame {
    uint64_t r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
    uint64_t vector;
    uint64_t error; /* the CPU's error code; in a system call its number, since rax is its result */
    uint64_t rip, cs, rflags, rsp, ss;
};

#define FRAME_CALL(f) ((f)->error)
#define FRAME_ARGUMENTS(f) (f)->rdi, (f)->rsi, (f)->rdx, (f)->r10, (f)->r8, (f)->r9

struct fp_state {
    uint8_t bytes[512];
} __attribute__((aligned(16)));
#endif

#endif
