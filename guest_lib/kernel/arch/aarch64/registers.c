/* registers.c: what must be known of the architecture to look at a program from outside. */
#include "../arch.h"

uint64_t frame_pc(const struct frame *f) { return f->pc; }
uint64_t frame_link(const struct frame *f) { return f->x[30]; }

/* bl, or blr. */
bool code_ends_in_call(const uint8_t code[CALL_BYTES_MAX])
{
    uint32_t last;
    memcpy(&last, code + CALL_BYTES_MAX - 4, 4);
    return (last & 0xfc000000) == 0x94000000 || (last & 0xfffffc1f) == 0xd63f0000;
}
