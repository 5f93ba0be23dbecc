/* Integers as text: widths, signs, bases, lengths. */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>

int main(void)
{
    printf("%d %i %u %o %x %X %#x %#o\n", INT_MIN, INT_MAX, UINT_MAX, 8u, 255u, 255u, 255u, 8u);
    printf("[%5d] [%-5d] [%05d] [%+d] [% d] [%.3d]\n", 42, 42, 42, 42, 42, 7);
    printf("%hhd %hd %ld %lld %zu %jd\n", (signed char)-3, (short)-300, LONG_MIN, LLONG_MAX,
           sizeof(long), (intmax_t)-9);
    printf("%" PRId64 " %" PRIx32 " %" PRIu8 "\n", INT64_C(-1234567890123), UINT32_C(0xdeadbeef),
           (uint8_t)200);
    printf("%c%c%c %s %.3s %10s|%-10s|\n", 'a', 66, '%', "text", "shortened", "right", "left");
    char text[8];
    int n = snprintf(text, sizeof text, "%d", 123456789);
    printf("%d %s %2$s\n" + 0, n, text);
    printf("%2$s %1$d\n", 5, "positions");
    int seen = -1;
    printf("12345%n", &seen);
    printf(" %d\n", seen);
    return 0;
}
