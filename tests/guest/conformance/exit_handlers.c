/* What happens at the end, and in what order; the status is 7. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void first(void) { puts("registered first, runs last"); }
static void second(void) { puts("registered second"); }
static void with_status(int status, void *text) { printf("%s %d\n", (char *)text, status); }
__attribute__((constructor)) static void before(void) { puts("before main"); }
__attribute__((destructor)) static void after(void) { puts("after all"); }

int main(void)
{
    atexit(first);
    on_exit(with_status, "status");
    atexit(second);
    FILE *f = fopen("/dev/stdout", "w");
    fflush(stdout);
    fputs("buffered, and flushed by exit\n", f);
    fflush(f);
    exit(7);
}
