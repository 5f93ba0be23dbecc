/* Strings: copies, comparisons, searches. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>
#include <strings.h>

static int sign(int n) { return (n > 0) - (n < 0); }

int main(void)
{
    char buf[64] = "start";
    strcat(buf, "+more");
    strncat(buf, "12345", 2);
    puts(buf);
    printf("%zu %zu %zu\n", strlen(buf), strnlen(buf, 4), strcspn(buf, "+"));
    printf("%d %d %d %d\n", sign(strcmp("a", "b")), sign(strcmp("b", "a")),
           sign(strncmp("abc", "abd", 2)), sign(strcasecmp("HeLLo", "hEllO")));
    printf("%s %s %s\n", strchr(buf, 'r'), strrchr(buf, 'r'), strstr(buf, "mo"));
    printf("%s %d\n", strpbrk(buf, "+-"), strchr(buf, 'z') == NULL);
    printf("%zu %s\n", strspn("aabbc", "ab"), strcasestr("A Needle here", "NEEDLE"));
    char *copy = strdup("duplicate");
    printf("%s %s\n", copy, strndupa(copy, 3));
    memmove(buf + 2, buf, 6);
    printf("%.8s\n", buf);
    printf("%d %s\n", stpcpy(buf, "stop") - buf == 4, buf);
    printf("%s\n", strerror(2));
    for (int i = 0; i < 70; i++) { /* every alignment and length of the fast paths */
        char a[160], b[160];
        memset(a, 'x', sizeof a);
        memset(b, 'y', sizeof b);
        memcpy(b + i, a + 70 - i, (size_t)i);
        b[2 * i] = 0;
        if (strlen(b + i) != (size_t)i || memchr(b, 'x', sizeof b) != (i ? b + i : NULL))
            printf("wrong at %d\n", i);
    }
    return 0;
}
