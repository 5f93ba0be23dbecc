/* Numbers out of strings, and what division leaves. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    char *end;
    printf("%ld %ld %ld %ld\n", strtol("42", NULL, 10), strtol("-0x1F", NULL, 16),
           strtol("0777", NULL, 0), strtol("z", NULL, 36));
    errno = 0;
    long big = strtol("99999999999999999999", &end, 10);
    printf("%d %d %d\n", big == 9223372036854775807L, errno == ERANGE, *end);
    printf("%lu\n", strtoul("-1", NULL, 10));
    printf("%ld [%s]\n", strtol("12abc", &end, 10), end);
    printf("%.17g %.17g %.17g\n", strtod("0.1", NULL), strtod("1e-320", NULL), strtod("0x1.8p3", &end));
    printf("%g %g\n", strtod("inf", NULL), strtod("1e999", NULL));
    printf("%d %ld %.3f\n", atoi(" 7 "), atol("-8"), atof("2.125"));
    div_t d = div(-7, 2);
    lldiv_t ll = lldiv(1LL << 40, 1000);
    printf("%d %d %lld %lld %d\n", d.quot, d.rem, ll.quot, ll.rem, abs(-3));
    return 0;
}
