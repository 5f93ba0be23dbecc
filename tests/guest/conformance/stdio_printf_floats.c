/* Floating point as text, in every notation. */
#include <math.h>
#include <stdio.h>

int main(void)
{
    const double values[] = {0.0, -0.0, 1.0, -1.5, 0.1, 1e10, 123456.789, 1e-300, 1.7e308, 3.0};
    for (unsigned i = 0; i < sizeof values / sizeof *values; i++) {
        double v = values[i];
        printf("%f %.3f %10.2f|%-12.1f|%+f\n", v, v, v, v, v);
        printf("%e %.10e %E %g %G %a %A\n", v, v, v, v, v, v, v);
    }
    printf("%f %F %e %g\n", INFINITY, -INFINITY, INFINITY, -INFINITY);
    printf("%.0f %.0f %.0f %.0f\n", 0.5, 1.5, 2.5, 3.5);
    printf("%#.0f %#g %020.5f %*.*f\n", 4.0, 4.0, -3.14159, 12, 4, 2.718281828);
    printf("%.50f\n%.17g\n", 0.1, 0.1);
    return 0;
}
