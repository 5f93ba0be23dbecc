/* frame.h: the registers of a program's thread as vectors.S lays them on its kernel stack. */
#ifndef FRAME_H
#define FRAME_H

#define VECTOR_FAULT 0
#define VECTOR_INTERRUPT 1
#define VECTOR_SYSCALL 2
#define VECTOR_RESUME 3 /* registers were replaced (signal, sigreturn) */

#define FRAME_BYTES 304
#define FRAME_SP (31 * 8)

#ifndef __ASSEMBLER__
#include <stdint.h>

struct frame {
    uint64_t x[31], sp, pc, pstate, tls; /* tls: TPIDR_EL0, which a program sets by itself */
    uint64_t vector;
    uint64_t original; /* in a system call its first argument, since x0 is its result */
    uint64_t unused;
};
_Static_assert(sizeof(struct frame) == FRAME_BYTES, "vectors.S counts on it");

#define FRAME_CALL(f) ((f)->x[8])
#define FRAME_ARGUMENTS(f) (f)->x[0], (f)->x[1], (f)->x[2], (f)->x[3], (f)->x[4], (f)->x[5]

struct fp_state {
    uint64_t v[64];
    uint32_t status, control;
    uint64_t unused;
} __attribute__((aligned(16)));
#endif

#endif
