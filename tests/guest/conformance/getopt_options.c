/* Options of a command line, short and long. */
#define _GNU_SOURCE
#include <getopt.h>
#include <stdio.h>

int main(void)
{
    char *v[] = {"program", "-a", "first", "-bvalue", "--long", "--with=7", "second", "--", "-c", NULL};
    const struct option longs[] = {{"long", no_argument, NULL, 'l'},
                                   {"with", required_argument, NULL, 'w'},
                                   {NULL, 0, NULL, 0}};
    for (int c; (c = getopt_long(9, v, "ab:c", longs, NULL)) != -1;)
        printf("%c %s\n", c, optarg ? optarg : "-");
    for (int i = optind; i < 9; i++)
        printf("rest %s\n", v[i]);
    optind = 1, opterr = 0;
    char *bad[] = {"program", "-z", "-b", NULL};
    for (int c; (c = getopt(3, bad, ":ab:")) != -1;)
        printf("%c %c\n", c, optopt);
    return 0;
}
