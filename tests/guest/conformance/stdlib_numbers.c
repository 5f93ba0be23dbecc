/* Numbers out of strings, and what division leaves. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    char *end;
    printf("%ld", strtol("42", NULL, 10));
    printf(" %ld", strtol("-0x1F", NULL, 16));
    printf(" %ld", strtol("0777", NULL, 0));
    printf(" %ld\n", strtol("z", NULL, 36));
    errno = 0;
    long big = strtol("99999999999999999999", &end, 10);
    printf("%d", big == 9223372036854775807L);
    printf(" %d", errno == ERANGE);
    printf(" %d\n", *end);
    printf("%lu\n", strtoul("-1", NULL, 10));
    printf("%ld", strtol("12abc", &end, 10));
    printf(" [%s]\n", end);
    printf("%.17g", strtod("0.1", NULL));
    printf(" %.17g", strtod("1e-320", NULL));
    printf(" %.17g\n", strtod("0x1.8p3", &end));
    printf("%g", strtod("inf", NULL));
    printf(" %g\n", strtod("1e999", NULL));
    printf("%d", atoi(" 7 "));
    printf(" %ld", atol("-8"));
    printf(" %.3f\n", atof("2.125"));
    div_t d = div(-7, 2);
    lldiv_t ll = lldiv(1LL << 40, 1000);
    printf("%d %d %lld %lld", d.quot, d.rem, ll.quot, ll.rem);
    printf(" %d\n", abs(-3));
    return 0;
}
