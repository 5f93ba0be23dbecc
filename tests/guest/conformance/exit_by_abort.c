/* abort: a handler may look, but it is the end. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void handler(int number)
{
    (void)number;
    write(1, "aborting\n", 9);
}

int main(void)
{
    signal(SIGABRT, handler);
    puts("before");
    fflush(stdout);
    abort();
}
