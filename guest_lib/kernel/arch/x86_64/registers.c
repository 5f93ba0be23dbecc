/* registers.c: what must be known of the architecture to look at a program from outside. */
#include "../arch.h"

uint64_t frame_pc(const struct frame *f) { return f->rip; }
uint64_t frame_link(const struct frame *f)
{
    (void)f;
    return 0;
}

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
