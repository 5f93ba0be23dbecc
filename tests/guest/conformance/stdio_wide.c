/* Wide characters through stdio, in the C locale. */
#include <stdio.h>
#include <wchar.h>
#include <wctype.h>

int main(void)
{
    wprintf(L"%d %ls %lc %.2f\n", 5, L"wide", L'w', 1.25);
    wchar_t text[32];
    int n = swprintf(text, 32, L"%05d|%-6ls|", 42, L"ab");
    wprintf(L"%d %ls\n", n, text);
    int a;
    wchar_t word[16];
    wprintf(L"%d", swscanf(L"17 seventeen", L"%d %15ls", &a, word));
    wprintf(L" %d %ls\n", a, word);
    for (const wchar_t *c = L"aZ5 _\n"; *c; c++)
        wprintf(L"%d%d%d%d ", !!iswalpha(*c), !!iswdigit(*c), !!iswspace(*c), !!iswupper(*c));
    wprintf(L"\n%lc%lc\n", towupper(L'q'), towlower(L'Q'));
    return 0;
}
