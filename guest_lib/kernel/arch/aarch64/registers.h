/*
 * registers.h: where a thread's registers are, in the order of Linux's user_pt_regs, which is what
 * debuggers know (arch/arm64/include/uapi/asm/ptrace.h); for registers_at in arch.h.
 */
#ifndef REGISTERS_H
#define REGISTERS_H

#define AT(name) offsetof(struct frame, name)
#define X(n) (offsetof(struct frame, x) + 8 * (n))

#define REGISTERS_COUNT 34
#define REGISTERS_AT                                                                               \
    {                                                                                              \
        X(0), X(1), X(2), X(3), X(4), X(5), X(6), X(7), X(8), X(9), X(10), X(11), X(12), X(13),    \
            X(14), X(15), X(16), X(17), X(18), X(19), X(20), X(21), X(22), X(23), X(24), X(25),    \
            X(26), X(27), X(28), X(29), X(30), AT(sp), AT(pc), AT(pstate)                          \
    }

#define FRAME_CALL_AT X(8)
#define FRAME_ARGUMENTS_AT                                                                         \
    {                                                                                              \
        X(0), X(1), X(2), X(3), X(4), X(5)                                                         \
    }

#endif
