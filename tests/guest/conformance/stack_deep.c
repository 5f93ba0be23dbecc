/* Deep recursion and large frames, within the stack that there is. */
#include <stdio.h>
#include <string.h>

static long down(int n)
{
    volatile signed char frame[1000];
    frame[n % 1000] = (signed char)n;
    return n ? down(n - 1) + frame[n % 1000] : 0;
}

static int wide(int n)
{
    char frame[n];
    memset(frame, 1, (size_t)n);
    int sum = 0;
    for (int i = 0; i < n; i += 4096)
        sum += frame[i];
    return sum;
}

int main(void)
{
    printf("%ld\n", down(6000));
    printf("%d\n", wide(7 << 20));
    printf("%ld\n", down(10));
    return 0;
}
