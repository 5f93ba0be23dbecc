/* The mathematical functions, to 15 digits. */
#include <math.h>
#include <stdio.h>

int main(void)
{
    for (double x = 0.25; x < 5; x *= 1.7) {
        printf("%.14g %.14g %.14g %.14g\n", sin(x), cos(x), tan(x), atan(x));
        printf("%.14g %.14g %.14g %.14g\n", exp(x), log(x), log10(x), log2(x));
        printf("%.14g %.14g %.14g %.14g\n", sqrt(x), cbrt(x), pow(x, 2.5), hypot(x, 1));
        printf("%.14g %.14g %.14g %.14g\n", sinh(x), cosh(x), tanh(x), asinh(x));
        printf("%.13g %.13g %.13g %.13g\n", erf(x), lgamma(x + 1), tgamma(x), expm1(x));
    }
    int e, q;
    printf("%g %d %g\n", frexp(48, &e), e, ldexp(0.75, 6));
    printf("%g %g %g\n", fmod(-7, 3), remainder(-7, 3), remquo(10, 3, &q));
    double whole;
    printf("%g %g %d\n", modf(-3.75, &whole), whole, q & 7);
    printf("%.9g %.9g %.9g\n", (double)sinf(1), (double)expf(1), (double)powf(2, 0.5f));
    printf("%d %d %d %d\n", isnan(NAN), isinf(-INFINITY) != 0, isnormal(1e-310), signbit(-0.0) != 0);
    printf("%g %g %g %g\n", fmax(1, NAN), fmin(1, 2), fdim(5, 3), copysign(3, -0.0));
    return 0;
}
