/* Dates: from seconds to text and back. There is one time zone. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

int main(void)
{
    unsetenv("TZ");
    const time_t times[] = {0, 951782400, 1234567890, 1709208000, 4102444799, -1};
    for (int i = 0; i < 6; i++) {
        char text[128];
        struct tm t;
        gmtime_r(&times[i], &t);
        strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S %a %b %j %U %y %p %e %Z", &t);
        printf("%s", text);
        printf(" %ld", (long)(timegm(&t) - times[i]));
        printf(" %s", asctime_r(&t, text));
    }
    struct tm t = {.tm_year = 120, .tm_mon = 1, .tm_mday = 30, .tm_hour = 25};
    time_t s = timegm(&t);
    printf("%ld %d %d %d\n", (long)s, t.tm_mon, t.tm_mday, t.tm_wday);
    struct tm parsed = {0};
    char *end = strptime("2023-11-05 06:07:08 rest", "%Y-%m-%d %H:%M:%S", &parsed);
    printf("%ld", (long)timegm(&parsed));
    printf("%s\n", end);
    setenv("TZ", "EST5EDT,M3.2.0,M11.1.0", 1);
    tzset();
    s = 1700000000;
    localtime_r(&s, &t);
    printf("%d %d %s %ld %ld\n", t.tm_hour, t.tm_isdst, t.tm_zone, t.tm_gmtoff, timezone);
    printf("%.0f\n", difftime(times[2], times[1]));
    return 0;
}
