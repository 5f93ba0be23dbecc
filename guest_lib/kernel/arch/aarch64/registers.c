/*
 * registers.c: where a thread's registers are, in the order of Linux's user_pt_regs, which is what
 * debuggers know (arch/arm64/include/uapi/asm/ptrace.h).
 */
#include "../../thread.h"
#include "../arch.h"

#define X(n) (offsetof(struct frame, x) + 8 * (n))

const uint16_t registers_at[] = {
    X(0),
    X(1),
    X(2),
    X(3),
    X(4),
    X(5),
    X(6),
    X(7),
    X(8),
    X(9),
    X(10),
    X(11),
    X(12),
    X(13),
    X(14),
    X(15),
    X(16),
    X(17),
    X(18),
    X(19),
    X(20),
    X(21),
    X(22),
    X(23),
    X(24),
    X(25),
    X(26),
    X(27),
    X(28),
    X(29),
    X(30),
    offsetof(struct frame, sp),
    offsetof(struct frame, pc),
    offsetof(struct frame, pstate),
};
const unsigned registers_count = ARRAY_SIZE(registers_at);

uint64_t frame_pc(const struct frame *f) { return f->pc; }

/* bl, or blr. */
bool code_ends_in_call(const uint8_t code[CALL_BYTES_MAX])
{
    uint32_t last;
    memcpy(&last, code + CALL_BYTES_MAX - 4, 4);
    return (last & 0xfc000000) == 0x94000000 || (last & 0xfffffc1f) == 0xd63f0000;
}
