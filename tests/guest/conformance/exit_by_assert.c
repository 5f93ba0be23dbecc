/* An assertion that does not hold. */
#include <assert.h>
#include <stdio.h>

#line 100 "assertion.c"
int main(int count, char **arguments)
{
    (void)arguments;
    puts("asserting");
    fflush(stdout);
    assert(count == 77);
    puts("not reached");
    return 0;
}
