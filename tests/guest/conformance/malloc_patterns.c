/* The heap under many sizes: contents stay, memory comes back. */
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void)
{
    enum { N = 400 };
    static unsigned char *blocks[N];
    static size_t sizes[N];
    unsigned seed = 5, bad = 0;
    for (int round = 0; round < 6000; round++) {
        seed = seed * 1664525 + 1013904223;
        int i = (int)(seed >> 8) % N;
        size_t size = (seed >> 4) % (round % 50 ? 2000 : 300000) + 1;
        if (blocks[i] && seed & 1) {
            for (size_t n = 0; n < sizes[i]; n += 97)
                bad += blocks[i][n] != (unsigned char)i;
            free(blocks[i]);
            blocks[i] = NULL;
        } else {
            size_t keep = blocks[i] ? (sizes[i] < size ? sizes[i] : size) : 0;
            blocks[i] = realloc(blocks[i], size);
            for (size_t n = 0; n < keep; n += 97)
                bad += blocks[i][n] != (unsigned char)i;
            memset(blocks[i], i, sizes[i] = size);
        }
    }
    for (int i = 0; i < N; i++)
        free(blocks[i]);
    printf("%u\n", bad);
    unsigned char *zero = calloc(1000, 300);
    unsigned long sum = 0;
    for (int i = 0; i < 300000; i++)
        sum += zero[i];
    printf("%lu %d\n", sum, calloc(SIZE_MAX / 2, 4) == NULL);
    free(zero);
    printf("%d %d\n", malloc(SIZE_MAX - 100) == NULL, malloc_usable_size(malloc(100)) >= 100);
    printf("%d %d\n", malloc_trim(0) >= 0, mallopt(M_MMAP_THRESHOLD, 1 << 20));
    return 0;
}
