/* Jumps out of deep calls, again and again. */
#include <setjmp.h>
#include <stdio.h>

static jmp_buf back;

static void deep(int n)
{
    volatile char frame[200];
    frame[0] = (char)n;
    if (n == 0)
        longjmp(back, frame[0] + 5);
    deep(n - 1);
}

int main(void)
{
    volatile int rounds = 0;
    int value = setjmp(back);
    printf("%d %d\n", value, rounds);
    if (rounds++ < 3)
        deep(rounds * 100);
    jmp_buf zero;
    volatile int again = 0;
    int r = setjmp(zero);
    if (!again++)
        longjmp(zero, 0); /* must come out as 1 */
    printf("%d\n", r);
    return 0;
}
