/* timerfd: a timer that is read. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

int main(void)
{
    uint64_t n = 0;
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    printf("%d", read(fd, &n, 8) < 0);
    printf(" %d\n", errno == EAGAIN);
    struct itimerspec once = {{0, 0}, {0, 10000000}}, every = {{0, 4000000}, {0, 4000000}}, now;
    timerfd_settime(fd, 0, &once, NULL);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    printf("%d", poll(&p, 1, 5000));
    printf(" %d\n", p.revents == POLLIN);
    printf("%zd", read(fd, &n, 8));
    printf(" %d\n", (int)n);
    printf("%d\n", poll(&p, 1, 20));
    fcntl(fd, F_SETFL, 0);
    timerfd_settime(fd, 0, &every, &now);
    printf("%ld %ld\n", now.it_value.tv_nsec, (long)now.it_value.tv_sec);
    uint64_t sum = 0;
    while (sum < 4 && read(fd, &n, 8) == 8)
        sum += n;
    timerfd_gettime(fd, &now);
    printf("%d %ld\n", sum >= 4, now.it_interval.tv_nsec);
    struct itimerspec past = {{0, 0}, {1, 0}};
    int wall = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC);
    timerfd_settime(wall, TFD_TIMER_ABSTIME, &past, NULL);
    printf("%zd", read(wall, &n, 8));
    printf(" %d", (int)n);
    printf(" %d\n", read(wall, &n, 7) < 0 && errno == EINVAL);
    return 0;
}
