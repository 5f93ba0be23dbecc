/* A fault that nobody handles. */
#include <stdio.h>

int main(void)
{
    volatile int *nowhere = (int *)16;
    puts("going");
    fflush(stdout);
    *nowhere = 1;
    puts("not reached");
    return 0;
}
