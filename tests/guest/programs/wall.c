// What the time is without a host that says so.
#include <stdio.h>
#include <time.h>

int main(void) { printf("%ld\n", (long)time(NULL)); }
