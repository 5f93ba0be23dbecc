/* work.c: computes, and asks nothing of its kernel: integers, memory, floating point. */
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

enum { SIEVE = 1 << 21, N = 72 };

static unsigned char composite[SIEVE];
static double a[N][N], b[N][N], c[N][N];

static unsigned long primes(void)
{
    unsigned long count = 0;
    for (unsigned i = 2; i < SIEVE; i++) {
        count += !composite[i];
        for (unsigned j = 2 * i; !composite[i] && j < SIEVE; j += i)
            composite[j] = 1;
    }
    return count;
}

static double products(void)
{
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            a[i][j] = i + j, b[i][j] = i - j, c[i][j] = 0;
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++)
            for (int k = 0; k < N; k++)
                c[i][j] += a[i][k] * b[k][j];
    return c[N / 2][N / 3];
}

static uint64_t hashes(void)
{
    uint64_t h = 0xcbf29ce484222325;
    for (uint32_t i = 0; i < 600000000; i++)
        h = (h ^ (h >> 29 ^ i)) * 0x100000001b3;
    return h;
}

int main(void)
{
    puts("begin");
    fflush(stdout);
    printf("%lu %f %lx\n", primes(), products(), (unsigned long)hashes());
    fflush(stdout);
    for (;;)
        pause();
}
