/* copy.c: the two functions that most bytes go through. Written as assembly loops, since gcc would
 * make a call of memcpy out of C ones. Memory is not aligned, which only devices' need be. */
#include "../../kernel.h"

void *memcpy(void *dst, const void *src, size_t n)
{
    void *d = dst;
    size_t pairs = n / 32, rest = n % 32;
    uint64_t a, b, c, e;
    if (pairs)
        __asm__ volatile("1: ldp %3, %4, [%1]\n"
                         "ldp %5, %6, [%1, #16]\n"
                         "add %1, %1, #32\n"
                         "stp %3, %4, [%0]\n"
                         "stp %5, %6, [%0, #16]\n"
                         "add %0, %0, #32\n"
                         "subs %2, %2, #1\n"
                         "b.ne 1b"
                         : "+r"(d), "+r"(src), "+r"(pairs), "=&r"(a), "=&r"(b), "=&r"(c), "=&r"(e)
                         :
                         : "memory", "cc");
    if (rest)
        __asm__ volatile("1: ldrb %w3, [%1], #1\n"
                         "strb %w3, [%0], #1\n"
                         "subs %2, %2, #1\n"
                         "b.ne 1b"
                         : "+r"(d), "+r"(src), "+r"(rest), "=&r"(a)
                         :
                         : "memory", "cc");
    return dst;
}

void *memset(void *dst, int byte, size_t n)
{
    void *d = dst;
    size_t pairs = n / 32, rest = n % 32;
    uint64_t pattern = 0x0101010101010101UL * (uint8_t)byte;
    if (pairs)
        __asm__ volatile("1: stp %2, %2, [%0]\n"
                         "stp %2, %2, [%0, #16]\n"
                         "add %0, %0, #32\n"
                         "subs %1, %1, #1\n"
                         "b.ne 1b"
                         : "+r"(d), "+r"(pairs)
                         : "r"(pattern)
                         : "memory", "cc");
    if (rest)
        __asm__ volatile("1: strb %w2, [%0], #1\n"
                         "subs %1, %1, #1\n"
                         "b.ne 1b"
                         : "+r"(d), "+r"(rest)
                         : "r"(pattern)
                         : "memory", "cc");
    return dst;
}
