/* Sorting, searching, and tables of the C library. */
#define _GNU_SOURCE
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
static int compare_text(const void *a, const void *b) { return strcmp(a, b); }
static int depth;

static void visit(const void *node, VISIT when, int level)
{
    if (when == postorder || when == leaf)
        printf("%s ", *(const char *const *)node);
    depth = level > depth ? level : depth;
}

int main(void)
{
    int n[500], key = 77;
    unsigned seed = 1;
    for (int i = 0; i < 500; i++)
        n[i] = (int)((seed = seed * 1103515245 + 12345) >> 16) % 1000;
    n[100] = key;
    qsort(n, 500, sizeof *n, compare);
    int bad = 0;
    for (int i = 1; i < 500; i++)
        bad += n[i - 1] > n[i];
    int *found = bsearch(&key, n, 500, sizeof *n, compare);
    printf("%d %d\n", bad, *found);
    void *tree = NULL;
    const char *words[] = {"pear", "apple", "fig", "kiwi", "apple"};
    for (int i = 0; i < 5; i++)
        tsearch(words[i], &tree, compare_text);
    twalk(tree, visit);
    printf("\n");
    hcreate(16);
    hsearch((ENTRY){"k", "value"}, ENTER);
    printf("%s %d\n", (char *)hsearch((ENTRY){"k", NULL}, FIND)->data,
           hsearch((ENTRY){"none", NULL}, FIND) == NULL);
    hdestroy();
    size_t have = 500;
    int wanted = -5;
    lsearch(&wanted, n, &have, sizeof *n, compare);
    printf("%zu\n", have == 501 ? have : 0);
    return 0;
}
