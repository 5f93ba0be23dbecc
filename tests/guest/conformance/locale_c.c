/* The C locale: what it says of numbers, classes of characters, order. */
#include <ctype.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    printf("%s\n", setlocale(LC_ALL, NULL));
    printf("%d\n", setlocale(LC_ALL, "C") != NULL);
    printf("%d\n", setlocale(LC_ALL, "xx_YY.UTF-8") == NULL);
    struct lconv *l = localeconv();
    printf("[%s] [%s] [%s]\n", l->decimal_point, l->thousands_sep, l->currency_symbol);
    printf("%s %s %s\n", nl_langinfo(CODESET), nl_langinfo(DAY_1), nl_langinfo(MON_12));
    int sums[8] = {0};
    for (int c = 0; c < 128; c++) {
        sums[0] += isalpha(c) ? c : 0;
        sums[1] += isdigit(c) ? c : 0;
        sums[2] += isspace(c) ? c : 0;
        sums[3] += ispunct(c) ? c : 0;
        sums[4] += isprint(c) ? c : 0;
        sums[5] += iscntrl(c) ? c : 0;
        sums[6] += toupper(c);
        sums[7] += tolower(c);
    }
    for (int i = 0; i < 8; i++)
        printf("%d ", sums[i]);
    printf("\n%zu\n", (size_t)MB_CUR_MAX);
    return 0;
}
