/*
 * registers.h: where a thread's registers are, in the order of Linux's user_regs_struct, which is
 * what debuggers know (arch/x86/include/asm/user_64.h); for registers_at in arch.h.
 */
#ifndef REGISTERS_H
#define REGISTERS_H

#define AT(name) offsetof(struct frame, name)
#define IN_THREAD(name) (REGISTER_IN_THREAD | offsetof(struct thread, name))

#define REGISTERS_COUNT 27
/* orig_rax is the number of the call; there are no ds, es, fs, gs. */
#define REGISTERS_AT                                                                               \
    {                                                                                              \
        AT(r15), AT(r14), AT(r13), AT(r12), AT(rbp), AT(rbx), AT(r11), AT(r10), AT(r9), AT(r8),    \
            AT(rax), AT(rcx), AT(rdx), AT(rsi), AT(rdi), AT(error), AT(rip), AT(cs), AT(rflags),   \
            AT(rsp), AT(ss), IN_THREAD(fs_base), IN_THREAD(gs_base), REGISTER_NONE, REGISTER_NONE, \
            REGISTER_NONE, REGISTER_NONE                                                           \
    }

#define FRAME_CALL_AT AT(error)
#define FRAME_ARGUMENTS_AT                                                                         \
    {                                                                                              \
        AT(rdi), AT(rsi), AT(rdx), AT(r10), AT(r8), AT(r9)                                         \
    }

#endif
