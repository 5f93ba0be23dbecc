/* poll on pipes: which are ready, for what, and until when. */
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

static int a[2], b[2];

static void *later(void *unused)
{
    usleep(20000);
    write(b[1], "b", 1);
    return unused;
}

int main(void)
{
    pipe(a);
    pipe(b);
    struct pollfd p[3] = {{a[0], POLLIN, 0}, {b[0], POLLIN, 0}, {a[1], POLLOUT, 0}};
    printf("%d", poll(p, 3, 0));
    printf(" %d%d%d\n", p[0].revents, p[1].revents, p[2].revents == POLLOUT);
    printf("%d\n", poll(p, 2, 10));
    pthread_t t;
    pthread_create(&t, NULL, later, NULL);
    printf("%d", poll(p, 2, 5000));
    printf(" %d %d\n", p[0].revents, p[1].revents == POLLIN);
    pthread_join(t, NULL);
    close(b[1]);
    printf("%d", poll(p + 1, 1, 0));
    printf(" %d\n", !!(p[1].revents & POLLHUP));
    p[0].fd = 77;
    printf("%d", poll(p, 1, 0));
    printf(" %d\n", p[0].revents == POLLNVAL);
    p[0].fd = -1;
    printf("%d", poll(p, 1, 0));
    printf(" %d\n", p[0].revents);
    struct timespec none = {0, 0};
    printf("%d\n", ppoll(p + 2, 1, &none, NULL));
    return 0;
}
