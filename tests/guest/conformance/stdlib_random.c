/* Pseudo-random numbers: the same seed gives the same numbers everywhere. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

int main(void)
{
    srand(42);
    printf("%d %d %d\n", rand(), rand(), rand());
    unsigned seed = 7;
    printf("%d %d\n", rand_r(&seed), rand_r(&seed));
    srandom(3);
    printf("%ld %ld\n", random(), random());
    srand48(5);
    printf("%.12f %ld %ld\n", drand48(), lrand48(), mrand48());
    unsigned char a[64] = {0}, b[64] = {0};
    int same = 0;
    printf("%zd %zd\n", getrandom(a, sizeof a, 0), getrandom(b, sizeof b, GRND_NONBLOCK));
    for (int i = 0; i < 64; i++)
        same += a[i] == b[i];
    printf("%d %d\n", same < 16, getentropy(a, 64));
    return 0;
}
