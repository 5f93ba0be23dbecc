/* Regular expressions and patterns of the C library. */
#include <fnmatch.h>
#include <regex.h>
#include <stdio.h>

int main(void)
{
    const char *texts[] = {"key = value", "no match here!", "number = 42", "  x=y"};
    regex_t r;
    regmatch_t m[3];
    printf("%d\n", regcomp(&r, "^[[:space:]]*([a-z]+) *= *([a-z0-9]+)$", REG_EXTENDED));
    for (int i = 0; i < 4; i++) {
        if (regexec(&r, texts[i], 3, m, 0))
            printf("none\n");
        else
            printf("%.*s|%.*s\n", (int)(m[1].rm_eo - m[1].rm_so), texts[i] + m[1].rm_so,
                   (int)(m[2].rm_eo - m[2].rm_so), texts[i] + m[2].rm_so);
    }
    regfree(&r);
    char why[100];
    int error = regcomp(&r, "(", REG_EXTENDED);
    regerror(error, &r, why, sizeof why);
    printf("%s\n", why);
    regcomp(&r, "HELLO", REG_ICASE | REG_NOSUB);
    printf("%d\n", regexec(&r, "oh, hello", 0, NULL, 0));
    regfree(&r);
    printf("%d %d %d\n", fnmatch("*.c", "file.c", 0), fnmatch("a?[b-d]", "axc", 0),
           fnmatch("*", "a/b", FNM_PATHNAME));
    return 0;
}
