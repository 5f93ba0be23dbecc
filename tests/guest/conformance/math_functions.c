/* The mathematical functions, to 15 digits. */
#include <math.h>
#include <stdio.h>

int main(void)
{
    for (double x = 0.25; x < 5; x *= 1.7) {
        printf("%.14g", sin(x));
        printf(" %.14g", cos(x));
        printf(" %.14g", tan(x));
        printf(" %.14g\n", atan(x));
        printf("%.14g", exp(x));
        printf(" %.14g", log(x));
        printf(" %.14g", log10(x));
        printf(" %.14g\n", log2(x));
        printf("%.14g", sqrt(x));
        printf(" %.14g", cbrt(x));
        printf(" %.14g", pow(x, 2.5));
        printf(" %.14g\n", hypot(x, 1));
        printf("%.14g", sinh(x));
        printf(" %.14g", cosh(x));
        printf(" %.14g", tanh(x));
        printf(" %.14g\n", asinh(x));
        printf("%.13g", erf(x));
        printf(" %.13g", lgamma(x + 1));
        printf(" %.13g", tgamma(x));
        printf(" %.13g\n", expm1(x));
    }
    int e, q;
    printf("%g", frexp(48, &e));
    printf(" %d", e);
    printf(" %g\n", ldexp(0.75, 6));
    printf("%g", fmod(-7, 3));
    printf(" %g", remainder(-7, 3));
    printf(" %g\n", remquo(10, 3, &q));
    double whole;
    printf("%g", modf(-3.75, &whole));
    printf(" %g %d\n", whole, q & 7);
    printf("%.9g", (double)sinf(1));
    printf(" %.9g", (double)expf(1));
    printf(" %.9g\n", (double)powf(2, 0.5f));
    printf("%d", isnan(NAN));
    printf(" %d", isinf(-INFINITY) != 0);
    printf(" %d", isnormal(1e-310));
    printf(" %d\n", signbit(-0.0) != 0);
    printf("%g", fmax(1, NAN));
    printf(" %g", fmin(1, 2));
    printf(" %g", fdim(5, 3));
    printf(" %g\n", copysign(3, -0.0));
    return 0;
}
