/* The environment, changed from within. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void)
{
    printf("%d\n", getenv("CONFORMANCE_NONE") == NULL);
    printf("%d\n", setenv("CONFORMANCE_A", "1", 0));
    printf("%d", setenv("CONFORMANCE_A", "2", 0));
    printf(" %s\n", getenv("CONFORMANCE_A"));
    printf("%d", setenv("CONFORMANCE_A", "3", 1));
    printf(" %s\n", getenv("CONFORMANCE_A"));
    static char put[] = "CONFORMANCE_B=put";
    printf("%d", putenv(put));
    printf(" %s\n", getenv("CONFORMANCE_B"));
    strcpy(put + 14, "new");
    printf("%s\n", getenv("CONFORMANCE_B"));
    printf("%d", unsetenv("CONFORMANCE_A"));
    printf(" %d\n", getenv("CONFORMANCE_A") == NULL);
    printf("%d\n", setenv("with=sign", "x", 1));
    clearenv();
    printf("%d\n", getenv("CONFORMANCE_B") == NULL);
    return 0;
}
