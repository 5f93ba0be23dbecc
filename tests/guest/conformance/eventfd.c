/* eventfd: counting, as a semaphore, full and empty, with a thread at the other side. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void take(int fd)
{
    uint64_t n = 0;
    ssize_t r = read(fd, &n, sizeof n);
    printf("%zd %llu", r, (unsigned long long)n);
    printf(" %d\n", r < 0 ? errno : 0);
}

static void add(int fd, uint64_t n)
{
    ssize_t r = write(fd, &n, sizeof n);
    printf("%zd", r);
    printf(" %d\n", r < 0 ? errno : 0);
}

static int events(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};
    return poll(&p, 1, 0) < 0 ? -1 : p.revents;
}

static void *producer(void *fd)
{
    for (int i = 0; i < 3; i++) {
        usleep(5000);
        eventfd_write(*(int *)fd, 2);
    }
    return NULL;
}

static void *drain(void *fd)
{
    uint64_t n = 0;
    usleep(10000);
    eventfd_read(*(int *)fd, &n);
    return NULL;
}

int main(void)
{
    int fd = eventfd(3, EFD_NONBLOCK), one = eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK);
    printf("%x\n", events(fd));
    take(fd);
    take(fd);
    printf("%x\n", events(fd));
    add(fd, 5);
    add(fd, 6);
    take(fd);
    add(fd, UINT64_MAX);
    add(fd, UINT64_MAX - 1);
    printf("%x\n", events(fd));
    add(fd, 1);
    take(one);
    take(one);
    take(one);

    int waited = eventfd(0, 0), sum = 0;
    pthread_t t;
    pthread_create(&t, NULL, producer, &waited);
    for (uint64_t n; sum < 6 && read(waited, &n, sizeof n) == 8;)
        sum += (int)n;
    printf("%d\n", sum);
    pthread_join(t, NULL);

    add(waited, UINT64_MAX - 1);
    pthread_create(&t, NULL, drain, &waited);
    add(waited, 7); /* waits for the other one to make room */
    pthread_join(t, NULL);
    take(waited);
    char small[4];
    printf("%zd", read(waited, small, sizeof small));
    printf(" %d\n", errno == EINVAL);
    printf("%d\n", eventfd(0, 1 << 20) < 0 && errno == EINVAL);
    return 0;
}
