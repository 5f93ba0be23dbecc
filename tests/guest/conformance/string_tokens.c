/* Cutting strings into pieces. */
#define _GNU_SOURCE
#include <stdio.h>
#include <string.h>

int main(void)
{
    char a[] = "one, two;;three ,four", *save;
    for (char *t = strtok_r(a, ", ;", &save); t; t = strtok_r(NULL, ", ;", &save))
        printf("[%s]", t);
    puts("");
    char b[] = "a::b:c", *rest = b;
    for (char *t; (t = strsep(&rest, ":"));)
        printf("[%s]", t);
    puts("");
    char c[] = "/usr/lib/file.txt";
    printf("%s\n", basename(c));
    char d[] = "needle in haystack";
    printf("%s\n", (char *)memmem(d, sizeof d - 1, "hay", 3));
    printf("%d %d\n", memcmp("abc", "abd", 2), memcmp("abc", "abd", 3) < 0);
    printf("%d %d\n", strverscmp("file10", "file9") > 0, strcoll("a", "b") < 0);
    return 0;
}
