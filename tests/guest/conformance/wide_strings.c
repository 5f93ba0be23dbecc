/* Strings of wide characters. */
#include <stdio.h>
#include <wchar.h>

int main(void)
{
    wchar_t buf[32];
    wcscpy(buf, L"wide");
    wcscat(buf, L" string");
    printf("%zu", wcslen(buf));
    printf(" %ls\n", buf);
    printf("%d", wcscmp(L"a", L"b") < 0);
    printf(" %d\n", wcsncmp(L"abc", L"abd", 2));
    printf("%ls", wcschr(buf, L's'));
    printf(" %ls\n", wcsstr(buf, L"ri"));
    wmemset(buf, L'z', 4);
    printf("%ls", buf);
    printf(" %d\n", wmemcmp(buf, L"zzzz", 4));
    wchar_t *end, *save, list[] = L"1:2:3";
    printf("%ld", wcstol(L"-77rest", &end, 10));
    printf(" %.2f", wcstod(L"2.5", NULL));
    printf(" %ls\n", end);
    for (wchar_t *t = wcstok(list, L":", &save); t; t = wcstok(NULL, L":", &save))
        printf("<%ls>", t);
    puts("");
    char narrow[32];
    printf("%zu", wcstombs(narrow, L"narrow", sizeof narrow));
    printf(" %s\n", narrow);
    printf("%zu\n", mbstowcs(buf, "broad", 32));
    printf("%ls\n", buf);
    return 0;
}
