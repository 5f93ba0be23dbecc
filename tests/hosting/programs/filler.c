/* Fills argv[1] KiB of memory with words that do not compress well, then waits for mail. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "radics.h"

int main(int argc, char **argv)
{
    size_t words = argc > 1 ? strtoul(argv[1], 0, 0) * 128 : 0;
    uint64_t *memory = malloc(words * sizeof *memory), x = 88172645463325252u;
    for (size_t at = 0; at < words; at++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        memory[at] = x;
    }
    puts("filled");
    fflush(stdout);
    static char message[RADICS_MESSAGE_MAX];
    while (radics_receive(0, message, sizeof message, -1, 0) >= 0) {
    }
    return 0;
}
