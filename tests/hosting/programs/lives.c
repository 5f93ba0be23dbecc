/* A program that does what its argument says, and says that it has begun. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "radics.h"

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "wait";
    printf("begun\n");
    fflush(stdout);
    if (!strcmp(what, "exit"))
        return atoi(argv[2]);
    if (!strcmp(what, "crash"))
        *(volatile int *)8 = 1;
    if (!strcmp(what, "spin"))
        for (volatile unsigned long n = 0;; n++)
            ;
    if (!strcmp(what, "say")) { /* so many, as fast as it may */
        for (int n = atoi(argv[2]); n > 0; n--)
            radics_send("dtn://far/x", "word", 4, 0);
        printf("said\n"), fflush(stdout);
    }
    if (!strcmp(what, "fill")) { /* memory that no compressor makes small */
        size_t bytes = strtoul(argv[2], NULL, 0) << 20;
        unsigned *at = malloc(bytes), x = 1;
        for (size_t i = 0; i < bytes / sizeof *at; i++)
            at[i] = x = x * 1664525 + 1013904223;
        printf("filled\n"), fflush(stdout);
        for (;;)
            sleep(at[0] & 1 ? 1 : 2);
    }
    for (;;)
        pause();
}
