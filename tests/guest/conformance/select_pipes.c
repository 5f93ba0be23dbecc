/* select: sets of descriptors, and the time that is left. */
#include <stdio.h>
#include <sys/select.h>
#include <unistd.h>

int main(void)
{
    int a[2], b[2];
    pipe(a);
    pipe(b);
    fd_set r, w;
    FD_ZERO(&r);
    FD_ZERO(&w);
    FD_SET(a[0], &r);
    FD_SET(b[0], &r);
    FD_SET(a[1], &w);
    struct timeval t = {5, 0};
    printf("%d", select(b[1] + 1, &r, &w, NULL, &t));
    printf(" %d", FD_ISSET(a[0], &r) != 0);
    printf("%d", FD_ISSET(b[0], &r) != 0);
    printf("%d\n", FD_ISSET(a[1], &w) != 0);
    write(b[1], "x", 1);
    FD_SET(a[0], &r);
    FD_SET(b[0], &r);
    printf("%d", select(b[1] + 1, &r, NULL, NULL, NULL));
    printf(" %d", FD_ISSET(a[0], &r) != 0);
    printf("%d\n", FD_ISSET(b[0], &r) != 0);
    FD_ZERO(&r);
    FD_SET(a[0], &r);
    t = (struct timeval){0, 10000};
    printf("%d", select(a[0] + 1, &r, NULL, NULL, &t));
    printf(" %d\n", FD_ISSET(a[0], &r) != 0);
    FD_ZERO(&r);
    FD_SET(60, &r);
    printf("%d\n", select(61, &r, NULL, NULL, &t));
    struct timespec none = {0, 0};
    printf("%d\n", pselect(0, NULL, NULL, NULL, &none, NULL));
    return 0;
}
