/*
 * registers.c: where a thread's registers are, in the order of Linux's user_regs_struct, which is
 * what debuggers know (arch/x86/include/asm/user_64.h).
 */
#include "../../thread.h"
#include "../arch.h"

#define AT(name) offsetof(struct frame, name)
#define IN_THREAD(name) (REGISTER_IN_THREAD | offsetof(struct thread, name))

const uint16_t registers_at[] = {
    AT(r15),
    AT(r14),
    AT(r13),
    AT(r12),
    AT(rbp),
    AT(rbx),
    AT(r11),
    AT(r10),
    AT(r9),
    AT(r8),
    AT(rax),
    AT(rcx),
    AT(rdx),
    AT(rsi),
    AT(rdi),
    AT(error), /* orig_rax */
    AT(rip),
    AT(cs),
    AT(rflags),
    AT(rsp),
    AT(ss),
    IN_THREAD(fs_base),
    IN_THREAD(gs_base),
    REGISTER_NONE,
    REGISTER_NONE,
    REGISTER_NONE,
    REGISTER_NONE, /* ds, es, fs, gs */
};
const unsigned registers_count = ARRAY_SIZE(registers_at);

uint64_t frame_pc(const struct frame *f) { return f->rip; }

/* e8 rel32, or ff /2 with a register or an address of one to six bytes. */
bool code_ends_in_call(const uint8_t code[CALL_BYTES_MAX])
{
    const uint8_t *end = code + CALL_BYTES_MAX;
    if (end[-5] == 0xe8)
        return true;
    for (unsigned n = 2; n <= 7; n++)
        if (end[-(int)n] == 0xff && (end[1 - (int)n] & 0x38) == 0x10)
            return true;
    return false;
}
