/* Pseudo-random numbers: the same seed gives the same numbers everywhere. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

int main(void)
{
    srand(42);
    printf("%d", rand());
    printf(" %d", rand());
    printf(" %d\n", rand());
    unsigned seed = 7;
    printf("%d", rand_r(&seed));
    printf(" %d\n", rand_r(&seed));
    srandom(3);
    printf("%ld", random());
    printf(" %ld\n", random());
    srand48(5);
    printf("%.12f", drand48());
    printf(" %ld", lrand48());
    printf(" %ld\n", mrand48());
    unsigned char a[64] = {0}, b[64] = {0};
    int same = 0;
    printf("%zd", getrandom(a, sizeof a, 0));
    printf(" %zd\n", getrandom(b, sizeof b, GRND_NONBLOCK));
    for (int i = 0; i < 64; i++)
        same += a[i] == b[i];
    printf("%d", same < 16);
    printf(" %d\n", getentropy(a, 64));
    return 0;
}
