/* place.h: where memory is. See layout.h. */
#ifndef PLACE_H
#define PLACE_H

#ifdef __ASSEMBLER__
#define U64(n) n
#else
#define U64(n) n##UL
#endif

#define RAM_BASE U64(0)
#define KERNEL_LOAD U64(0x100000)

#endif
