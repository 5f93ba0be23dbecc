/* Text read as numbers and words. */
#include <stdio.h>

int main(void)
{
    int a, b, n;
    unsigned x;
    double d;
    char word[16], set[16], c;
    n = sscanf("12 -7 0x1f 3.5e2 hello abc123", "%d %d %x %lf %15s %15[a-z]", &a, &b, &x, &d, word,
               set);
    printf("%d: %d %d %u %.1f %s %s\n", n, a, b, x, d, word, set);
    n = sscanf("99bottles", "%2d%c%*[a-z]%n", &a, &c, &b);
    printf("%d: %d %c %d\n", n, a, c, b);
    n = sscanf("nothing", "%d", &a);
    printf("%d\n", n);
    n = sscanf("", "%d", &a);
    printf("%d\n", n == EOF);
    FILE *f = tmpfile();
    fputs("1,2,3\n4,5,6\n", f);
    rewind(f);
    int sum = 0, r[3];
    while (fscanf(f, "%d,%d,%d", &r[0], &r[1], &r[2]) == 3)
        sum += r[0] * 100 + r[1] * 10 + r[2];
    printf("%d %d\n", sum, feof(f) != 0);
    return 0;
}
