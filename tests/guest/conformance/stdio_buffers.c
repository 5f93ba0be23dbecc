/* Streams that are memory, and buffering as one likes it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void)
{
    char *text;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    fprintf(f, "%d bottles", 99);
    fflush(f);
    printf("%zu %s\n", size, text);
    fputs(" of beer", f);
    fclose(f);
    printf("%zu %s\n", size, text);
    free(text);
    char fixed[] = "3 4 5";
    f = fmemopen(fixed, strlen(fixed), "r");
    int a, b, c;
    printf("%d", fscanf(f, "%d %d %d", &a, &b, &c));
    printf(" %d\n", a + b + c);
    fclose(f);
    static char buffer[4096];
    f = fopen("stdio_buffers.tmp", "w+");
    setvbuf(f, buffer, _IOFBF, sizeof buffer);
    fputs("held back", f);
    FILE *other = fopen("stdio_buffers.tmp", "r");
    printf("%d", fgetc(other) == EOF);
    fflush(f);
    clearerr(other);
    printf(" %c\n", fgetc(other));
    fclose(f);
    fclose(other);
    remove("stdio_buffers.tmp");
    char *line = NULL;
    size_t cap = 0;
    char many[] = "one\ntwo\n\nlast";
    f = fmemopen(many, sizeof many - 1, "r");
    for (ssize_t n; (n = getline(&line, &cap, f)) >= 0;)
        printf("%zd ", n);
    printf("\n");
    free(line);
    fclose(f);
    return 0;
}
