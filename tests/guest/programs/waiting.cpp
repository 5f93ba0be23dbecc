// Waiting for descriptors: select, pselect, poll, ppoll, over pipes.
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <string>
#include <sys/select.h>
#include <thread>
#include <unistd.h>

static volatile sig_atomic_t signalled;

static int select_two(int reading, int writing, timeval* timeout)
{
    fd_set r, w;
    FD_ZERO(&r);
    FD_ZERO(&w);
    FD_SET(reading, &r);
    if (writing >= 0)
        FD_SET(writing, &w);
    int n = select(64, &r, &w, nullptr, timeout);
    std::printf("%d %d %d\n", n, n > 0 && FD_ISSET(reading, &r), n > 0 && writing >= 0 && FD_ISSET(writing, &w));
    return n;
}

int main()
{
    int ends[2];
    char byte = 'x';
    timeval soon{0, 5000};
    std::printf("%d", select(0, nullptr, nullptr, nullptr, &soon));
    std::printf(" %ld\n", long(soon.tv_usec));
    pipe(ends);
    soon = {0, 5000};
    select_two(ends[0], ends[1], &soon);
    soon = {0, 5000};
    select_two(ends[0], -1, &soon);
    std::thread writer([&] { usleep(5000); write(ends[1], &byte, 1); });
    select_two(ends[0], -1, nullptr);
    writer.join();
    int bad = select_two(60, -1, nullptr), why = errno;
    std::printf("%d %d\n", bad, why == EBADF);

    // A signal let in only while waiting ends the wait, and the mask is back after it.
    struct sigaction action {};
    action.sa_handler = [](int) { signalled = signalled + 1; };
    sigaction(SIGUSR1, &action, nullptr);
    sigset_t blocked, none, now;
    sigemptyset(&blocked), sigemptyset(&none);
    sigaddset(&blocked, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &blocked, nullptr);
    raise(SIGUSR1);
    std::printf("%d", signalled);
    int waited = pselect(0, nullptr, nullptr, nullptr, nullptr, &none);
    why = errno;
    std::printf(" %d %d %d", waited, why == EINTR, signalled);
    raise(SIGUSR1);
    waited = ppoll(nullptr, 0, nullptr, &none);
    why = errno;
    std::printf(" %d %d %d", waited, why == EINTR, signalled);
    timespec briefly{0, 1000000};
    std::printf(" %d", pselect(0, nullptr, nullptr, nullptr, &briefly, &none));
    pthread_sigmask(SIG_BLOCK, nullptr, &now);
    std::printf(" %d\n", sigismember(&now, SIGUSR1));

    pollfd fds[3] = {{ends[0], POLLIN, 0}, {ends[1], POLLOUT, 0}, {99, POLLIN, 0}};
    int n = poll(fds, 3, -1);
    std::printf("%d %d %d %d\n", n, fds[0].revents, fds[1].revents, fds[2].revents);
    read(ends[0], &byte, 1);
    close(ends[1]);
    n = poll(fds, 1, -1);
    std::printf("%d %d\n", n, fds[0].revents == POLLHUP);
    signal(SIGPIPE, SIG_IGN);
    pipe2(ends, O_NONBLOCK);
    std::string page(4096, 'p');
    long written = 0, got = 0;
    while ((n = write(ends[1], page.data(), page.size())) > 0)
        written += n;
    std::printf("%ld %d\n", written, errno == EAGAIN);
    std::string back(10000, 0);
    while ((n = read(ends[0], back.data(), back.size())) > 0)
        for (int i = 0; i < n; i++)
            got += back[i] == 'p';
    std::printf("%ld\n", got);
    close(ends[0]);
    fds[0] = {ends[1], POLLOUT, 0};
    n = poll(fds, 1, -1);
    std::printf("%d %d\n", n, (fds[0].revents & POLLERR) != 0);
}
