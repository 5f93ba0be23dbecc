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
    printf("%d %d %d\n", lines, feof(f) != 0, ferror(f));
    fseek(f, -9, SEEK_END);
    printf("%s", fgets(line, sizeof line, f));
    fseek(f, 5, SEEK_SET);
    int c = fgetc(f);
    ungetc('#', f);
    printf("%c%c%c\n", c, fgetc(f), fgetc(f));
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
    printf("%d %d\n", rename("stdio_files.tmp", "stdio_files.new"), remove("stdio_files.new"));
    f = fopen("stdio_files.tmp", "r");
    printf("%d %s\n", f == NULL, strerror(errno));
    return 0;
}
