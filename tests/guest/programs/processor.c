// All that a program can find out about the processor. It must be the same wherever the VM runs.
#include <stdio.h>
#include <sys/auxv.h>

#ifdef __x86_64__
#include <cpuid.h>

static void range(unsigned from, unsigned most)
{
    unsigned a, b, c, d;
    __cpuid(from, a, b, c, d);
    unsigned last = a < from || a - from > most ? from : a;
    for (unsigned leaf = from; leaf <= last; leaf++)
        for (unsigned sub = 0; sub < 2; sub++) {
            __cpuid_count(leaf, sub, a, b, c, d);
            printf("%08x.%u %08x %08x %08x %08x\n", leaf, sub, a, b, c, d);
        }
}

static void look(void)
{
    range(0, 64);
    range(0x40000000, 16);
    range(0x80000000, 64);
}
#else
static void look(void) {}
#endif

int main(void)
{
    printf("hwcap %lx %lx\n", getauxval(AT_HWCAP), getauxval(AT_HWCAP2));
    look();
}
