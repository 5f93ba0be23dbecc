/* Temporary files and directories have names that nobody else has. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int main(void)
{
    char a[] = "/tmp/conformanceXXXXXX", b[] = "/tmp/conformanceXXXXXX", d[] = "/tmp/dirXXXXXX";
    int fa = mkstemp(a), fb = mkstemp(b);
    struct stat s;
    fstat(fa, &s);
    printf("%d %d %d %o\n", fa >= 0, fb >= 0, strcmp(a, b) != 0, s.st_mode & 0777);
    printf("%d\n", mkdtemp(d) == d);
    stat(d, &s);
    printf("%d %o\n", S_ISDIR(s.st_mode), s.st_mode & 0777);
    FILE *f = tmpfile();
    fputs("gone with its stream", f);
    rewind(f);
    char text[32];
    printf("%s\n", fgets(text, sizeof text, f));
    fclose(f);
    printf("%d %d %d\n", unlink(a), unlink(b), rmdir(d));
    printf("%s\n", P_tmpdir);
    return 0;
}
