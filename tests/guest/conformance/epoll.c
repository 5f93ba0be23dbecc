/* epoll: levels, edges, once; what is told of files that are gone; a thread that waits. */
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

static int set;

static void show(const char *what, int timeout_ms)
{
    struct epoll_event e[4] = {{0, {0}}, {0, {0}}, {0, {0}}, {0, {0}}};
    int n = epoll_wait(set, e, 4, timeout_ms);
    printf("%s %d:", what, n);
    for (int i = 0; i < n; i++)
        printf(" %d=%x", (int)e[i].data.u64, (unsigned)e[i].events);
    puts("");
}

static int put(int how, int fd, unsigned events, uint64_t number)
{
    struct epoll_event e = {events, {.u64 = number}};
    return epoll_ctl(set, how, fd, &e) ? errno : 0;
}

static void *later(void *fd)
{
    usleep(20000);
    if (write(*(int *)fd, "late", 4) != 4)
        puts("not written");
    return NULL;
}

static void levels_and_edges(int r, int w)
{
    char c[8];
    printf("%d\n", put(EPOLL_CTL_ADD, r, EPOLLIN, 1));
    printf("%d\n", put(EPOLL_CTL_ADD, r, EPOLLIN, 1) == EEXIST);
    show("empty", 0);
    printf("%zd\n", write(w, "abc", 3));
    show("level", -1);
    show("level again", 0);
    printf("%d\n", put(EPOLL_CTL_MOD, r, EPOLLIN | EPOLLET, 2));
    show("edge", -1);
    show("no edge", 0);
    printf("%zd\n", read(r, c, 1));
    show("still none", 0);
    printf("%zd\n", write(w, "d", 1));
    show("an edge", 0);
    printf("%d\n", put(EPOLL_CTL_MOD, r, EPOLLIN | EPOLLONESHOT, 3));
    show("once", 0);
    show("no more", 0);
    printf("%d\n", put(EPOLL_CTL_MOD, r, EPOLLIN | EPOLLONESHOT, 3));
    show("once more", 0);
    printf("%d", put(EPOLL_CTL_DEL, r, 0, 0));
    printf(" %d\n", put(EPOLL_CTL_DEL, r, 0, 0) == ENOENT);
    printf("%zd\n", read(r, c, sizeof c));
}

static void wakes(int r, int w)
{
    pthread_t t;
    char c[8];
    put(EPOLL_CTL_ADD, w, EPOLLOUT | EPOLLET, 4);
    show("writable", -1);
    put(EPOLL_CTL_ADD, r, EPOLLIN | EPOLLET, 5);
    pthread_create(&t, NULL, later, &w);
    show("woken", -1);
    pthread_join(t, NULL);
    printf("%zd\n", read(r, c, sizeof c));
    int timer = timerfd_create(CLOCK_MONOTONIC, 0);
    struct itimerspec soon = {{0, 0}, {0, 5000000}};
    put(EPOLL_CTL_ADD, timer, EPOLLIN | EPOLLET, 6);
    timerfd_settime(timer, 0, &soon, NULL);
    show("timer", 5000);
    printf("%zd\n", read(timer, c, 8));
    timerfd_settime(timer, 0, &soon, NULL);
    show("timer again", 5000);
    close(timer);
    show("time", 5);
}

static void closing(int r, int w)
{
    int copy = dup(r);
    close(w);
    show("hung up", 0);
    close(r);
    put(EPOLL_CTL_ADD, copy, EPOLLIN, 7);
    show("a copy lives", 0);
    close(copy);
    show("gone", 0);
    int plain = fileno(tmpfile());
    printf("%d\n", put(EPOLL_CTL_ADD, plain, EPOLLIN, 8) == EPERM);
    printf("%d\n", put(EPOLL_CTL_ADD, set, EPOLLIN, 9) == EINVAL);
    printf("%d\n", put(EPOLL_CTL_ADD, 99, EPOLLIN, 9) == EBADF);
    struct epoll_event e;
    printf("%d", epoll_wait(set, &e, 0, 0));
    printf(" %d\n", errno == EINVAL);
    printf("%d", epoll_wait(plain, &e, 1, 0));
    printf(" %d\n", errno == EINVAL);
}

static void takes_turns(void)
{
    int a = eventfd(1, 0), b = eventfd(1, 0), seen = 0;
    put(EPOLL_CTL_ADD, a, EPOLLIN, 1);
    put(EPOLL_CTL_ADD, b, EPOLLIN, 2);
    for (int i = 0; i < 4; i++) {
        struct epoll_event e;
        if (epoll_wait(set, &e, 1, -1) == 1)
            seen |= (int)e.data.u64;
    }
    printf("both %d\n", seen);
}

int main(void)
{
    int fd[2];
    set = epoll_create1(EPOLL_CLOEXEC);
    if (set < 0 || pipe(fd))
        return 1;
    levels_and_edges(fd[0], fd[1]);
    wakes(fd[0], fd[1]);
    closing(fd[0], fd[1]);
    takes_turns();
    close(set);
    return 0;
}
