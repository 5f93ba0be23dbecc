/* Files by stdio: positions, lines, binary, ends. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    FILE *f = fopen("stdio_files.tmp", "w+");
    for (int i = 0; i < 1000; i++)
        fprintf(f, "line %d\n", i);
    printf("%ld\n", ftell(f));
    rewind(f);
    char line[64];
    int lines = 0;
    while (fgets(line, sizeof line, f))
        lines++;
    printf("%d", lines);
    printf(" %d", feof(f) != 0);
    printf(" %d\n", ferror(f));
    fseek(f, -9, SEEK_END);
    printf("%s", fgets(line, sizeof line, f));
    fseek(f, 5, SEEK_SET);
    int c = fgetc(f);
    ungetc('#', f);
    printf("%c", c);
    printf("%c", fgetc(f));
    printf("%c\n", fgetc(f));
    fclose(f);
    f = fopen("stdio_files.tmp", "a");
    int block[256];
    memset(block, 7, sizeof block);
    printf("%zu\n", fwrite(block, sizeof *block, 256, f));
    fclose(f);
    f = fopen("stdio_files.tmp", "rb");
    fseek(f, 0, SEEK_END);
    printf("%ld\n", ftell(f));
    printf("%d\n", fputc('x', f) == EOF);
    fclose(f);
    printf("%d", rename("stdio_files.tmp", "stdio_files.new"));
    printf(" %d\n", remove("stdio_files.new"));
    f = fopen("stdio_files.tmp", "r");
    printf("%d", f == NULL);
    printf(" %s\n", strerror(errno));
    return 0;
}
