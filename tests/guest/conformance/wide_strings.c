/* Strings of wide characters. */
#include <stdio.h>
#include <wchar.h>

int main(void)
{
    wchar_t buf[32];
    wcscpy(buf, L"wide");
    wcscat(buf, L" string");
    printf("%zu %ls\n", wcslen(buf), buf);
    printf("%d %d\n", wcscmp(L"a", L"b") < 0, wcsncmp(L"abc", L"abd", 2));
    printf("%ls %ls\n", wcschr(buf, L's'), wcsstr(buf, L"ri"));
    wmemset(buf, L'z', 4);
    printf("%ls %d\n", buf, wmemcmp(buf, L"zzzz", 4));
    wchar_t *end, *save, list[] = L"1:2:3";
    printf("%ld %.2f", wcstol(L"-77rest", &end, 10), wcstod(L"2.5", NULL));
    printf(" %ls\n", end);
    for (wchar_t *t = wcstok(list, L":", &save); t; t = wcstok(NULL, L":", &save))
        printf("<%ls>", t);
    puts("");
    char narrow[32];
    printf("%zu %s\n", wcstombs(narrow, L"narrow", sizeof narrow), narrow);
    printf("%zu\n", mbstowcs(buf, "broad", 32));
    printf("%ls\n", buf);
    return 0;
}
