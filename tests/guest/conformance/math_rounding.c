/* Rounding, in each direction. */
#include <fenv.h>
#include <math.h>
#include <stdio.h>

int main(void)
{
    const double values[] = {-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 2.4999999999999996, 1e15 + 0.5};
    for (int i = 0; i < 8; i++) {
        double v = values[i];
        printf("%g %g %g %g %g %ld\n", floor(v), ceil(v), trunc(v), round(v), rint(v), lround(v));
    }
    const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
    for (int m = 0; m < 4; m++) {
        fesetround(modes[m]);
        volatile double one = 1, three = 3, x = -2.5;
        double third = one / three, back = -one / three, r = nearbyint(x);
        fesetround(FE_TONEAREST);
        printf("%.20f %.20f %g\n", third, back, r);
    }
    printf("%.17g %.17g\n", nextafter(1, 2), nextafter(0, -1));
    printf("%g %d %g\n", logb(1000), ilogb(1000), scalbn(1, 10));
    printf("%.17g\n", fma(0.1, 10, -1));
    return 0;
}
