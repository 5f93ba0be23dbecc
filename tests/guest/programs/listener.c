/* Waits with epoll for standard input and a pipe, by edges and by levels. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

int main(void)
{
    int set = epoll_create1(0), fds[2];
    struct epoll_event in = {EPOLLIN | EPOLLET, {.fd = 0}}, other = {EPOLLIN, {.fd = 9}}, e;
    if (pipe(fds) || fcntl(0, F_SETFL, O_NONBLOCK))
        return 1;
    epoll_ctl(set, EPOLL_CTL_ADD, 0, &in);
    epoll_ctl(set, EPOLL_CTL_ADD, fds[0], &other);
    puts("listening");
    fflush(stdout);
    for (;;) {
        char buf[64];
        ssize_t n;
        if (epoll_wait(set, &e, 1, -1) != 1 || e.data.fd != 0)
            return 2;
        while ((n = read(0, buf, sizeof buf)) > 0)
            printf("%.*s\n", (int)n, buf);
        fflush(stdout);
        if (n == 0)
            break;
    }
    if (write(fds[1], "x", 1) != 1 || epoll_wait(set, &e, 1, -1) != 1)
        return 3;
    printf("end, then %d\n", e.data.fd);
    return 0;
}
