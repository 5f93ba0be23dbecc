// What a guest cannot do: each call fails, and the program goes on.
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

extern char **environ;

int main(void)
{
    char *arguments[] = {"/bin/true", NULL};
    int pair[2];
    pid_t child;
    for (int i = 0; i < 2; i++) { // the reason is said once
        printf("fork %d", fork());
        printf(" %s\n", strerror(errno));
        printf("exec %d", execv(arguments[0], arguments));
        printf(" %s\n", strerror(errno));
        printf("socket %d", socket(AF_INET, SOCK_STREAM, 0));
        printf(" %s\n", strerror(errno));
    }
    printf("pair %d\n", socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    printf("spawn %d\n", posix_spawn(&child, arguments[0], NULL, NULL, arguments, environ) != 0);
    printf("system %d\n", system("true")); // as from a shell that cannot start: 127 << 8
    printf("popen %d\n", popen("true", "r") == NULL);
    return 0;
}
