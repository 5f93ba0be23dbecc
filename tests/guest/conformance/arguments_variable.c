/* Functions with as many arguments as one likes. */
#include <stdarg.h>
#include <stdio.h>

static double sum(const char *kinds, ...)
{
    va_list a, b;
    double total = 0;
    va_start(a, kinds);
    va_copy(b, a);
    for (const char *k = kinds; *k; k++)
        total += *k == 'd' ? va_arg(a, double) : *k == 'l' ? (double)va_arg(a, long) : va_arg(a, int);
    for (const char *k = kinds; *k; k++)
        total += *k == 'd' ? va_arg(b, double) : *k == 'l' ? (double)va_arg(b, long) : va_arg(b, int);
    va_end(b);
    va_end(a);
    return total;
}

static int format(char *to, size_t cap, const char *how, ...)
{
    va_list a;
    va_start(a, how);
    int n = vsnprintf(to, cap, how, a);
    va_end(a);
    return n;
}

int main(void)
{
    char text[64];
    printf("%.2f\n", sum("idlidlidldddddddd", 1, 2.5, 3L, 4, 5.5, 6L, 7, 8.5, 9L, 1., 2., 3., 4., 5., 6., 7., 8.));
    printf("%d", format(text, sizeof text, "%d-%s-%.1f-%c", 7, "x", 2.5, 'z'));
    printf(" %s\n", text);
    return 0;
}
