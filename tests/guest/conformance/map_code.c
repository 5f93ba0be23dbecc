/* Code that is made at run time: written first, run then. */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

static int plus(int a, int b) { return a * 3 + b; }
static int end_of_plus(void) { return 7; }

int main(void)
{
#if defined __x86_64__
    const unsigned char code[] = {0x8d, 0x04, 0x7f, 0x01, 0xf0, 0xc3}; /* lea, add, ret */
#else
    const unsigned code[] = {0x0b000400, 0x0b010000, 0xd65f03c0}; /* add, add, ret */
#endif
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(page, code, sizeof code);
    printf("%d\n", mprotect(page, 4096, PROT_READ | PROT_EXEC));
    __builtin___clear_cache(page, page + sizeof code);
    int (*made)(int, int) = (int (*)(int, int))page;
    for (int i = 0; i < 3; i++)
        printf("%d %d\n", made(i, 10), plus(i, 10));
    mprotect(page, 4096, PROT_READ | PROT_WRITE);
    memset(page, 0, 4096);
    memcpy(page + 64, code, sizeof code);
    mprotect(page, 4096, PROT_READ | PROT_EXEC);
    __builtin___clear_cache(page + 64, page + 64 + sizeof code);
    made = (int (*)(int, int))(page + 64);
    printf("%d %d\n", made(5, 1), end_of_plus());
    return 0;
}
