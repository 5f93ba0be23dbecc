/* Floating-point exceptions as flags; each thread has its own. */
#include <errno.h>
#include <fenv.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>

static volatile double zero = 0, one = 1, big = 1e308, tiny = 1e-308, three = 3;
static volatile double sink;

static void show(const char *what)
{
    printf("%s %d%d%d%d%d\n", what, !!fetestexcept(FE_DIVBYZERO), !!fetestexcept(FE_INVALID),
           !!fetestexcept(FE_OVERFLOW), !!fetestexcept(FE_UNDERFLOW), !!fetestexcept(FE_INEXACT));
    feclearexcept(FE_ALL_EXCEPT);
}

static void *other(void *unused)
{
    feclearexcept(FE_ALL_EXCEPT);
    sink = one / zero;
    show("other");
    return unused;
}

int main(void)
{
    feclearexcept(FE_ALL_EXCEPT);
    sink = one / zero;
    show("divided");
    sink = zero / zero;
    show("invalid");
    sink = big * big;
    show("overflow");
    sink = tiny * tiny;
    show("underflow");
    sink = one / three;
    show("inexact");
    sink = big * big;
    pthread_t t;
    pthread_create(&t, NULL, other, NULL);
    pthread_join(t, NULL);
    show("kept");
    errno = 0;
    sink = sqrt(-one);
    printf("%d\n", errno == EDOM);
    feraiseexcept(FE_INVALID);
    show("raised");
    return 0;
}
