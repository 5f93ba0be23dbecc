/* Complex numbers of C. */
#include <complex.h>
#include <stdio.h>

static void show(double complex z)
{
    /* Near zero the sign is a matter of the last bit. */
    double re = creal(z), im = cimag(z);
    printf("%.10f %.10f\n", re * re < 1e-20 ? 0 : re, im * im < 1e-20 ? 0 : im);
}

int main(void)
{
    double complex a = 3 + 4 * I, b = 1 - 2 * I;
    show(a + b);
    show(a * b);
    show(a / b);
    show(conj(a));
    printf("%.10f %.10f\n", cabs(a), carg(b));
    show(csqrt(-4));
    show(cexp(I * 3.14159265358979323846));
    show(cpow(a, 2));
    show(clog(a));
    show(csin(b));
    return 0;
}
