/* An end without handlers and without flushing; the status is 3. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void never(void) { write(1, "never\n", 6); }
static void quick(void) { write(1, "quick\n", 6); }

int main(void)
{
    static char buffer[1 << 16];
    setvbuf(stdout, buffer, _IOFBF, sizeof buffer);
    atexit(never);
    at_quick_exit(quick);
    printf("never flushed");
    quick_exit(3);
}
