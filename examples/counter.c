/*
 * counter: counts, says on which host, and keeps a secret in memory, whose first bytes it tells.
 *
 *   radics-mesh build examples/counter.c -o counter.img
 *   radics-mesh run counter.img --name counter -- 250
 *
 * Its argument is how many milliseconds a count takes. After a move it goes on with the next number
 * and checks that its memory is what it was.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include <radics.h>

static unsigned char secret[4096], copy[4096];

int main(int argc, char **argv)
{
    char host[RADICS_NAME_MAX + 1];
    useconds_t pause = (useconds_t)(argc > 1 ? atoi(argv[1]) : 250) * 1000;

    if (getrandom(secret, sizeof secret, 0) != sizeof secret)
        return 1;
    memcpy(copy, secret, sizeof secret);
    printf("secret ");
    for (int i = 0; i < 32; i++)
        printf("%02x", secret[i]);
    printf("...\n");
    for (uint64_t count = 1;; count++) {
        if (radics_info(RADICS_INFO_HOST, host, sizeof host) < 0)
            return 1;
        int intact = memcmp(secret, copy, sizeof secret) == 0;
        printf("count %" PRIu64 " on %s%s\n", count, host, intact ? "" : ", MEMORY DAMAGED");
        fflush(stdout);
        usleep(pause);
    }
}
