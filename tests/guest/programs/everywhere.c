/* Waits in one place, which its argument names, is parked there, and tells how it came out. A second
 * thread does what ends the wait when the mailbox says so. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <radics.h>

static int ends[2], counter;
static pthread_t first;
static sem_t go;
static atomic_int told, handled;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void say(const char *what)
{
    printf("%s\n", what);
    fflush(stdout);
}

static int64_t since(clockid_t clock, const struct timespec *from)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (now.tv_sec - from->tv_sec) * 1000000000LL + now.tv_nsec - from->tv_nsec;
}

/* The host's word: then this thread does all that a waiting one may wait for. */
static void *herald(void *unused)
{
    char text[64];
    (void)unused;
    radics_receive(RADICS_MAILBOX, text, sizeof text, -1, NULL);
    told = 1;
    pthread_mutex_lock(&mutex);
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
    sem_post(&go);
    eventfd_write(counter, 3);
    if (write(ends[1], "x", 1) != 1)
        abort();
    pthread_kill(first, SIGUSR1);
    return NULL;
}

/* ---- on the processor ---------------------------------------------------------------------- */
static uint64_t mill(uint64_t n)
{
    uint64_t a = 1;
    double x = 1, y = 0.5;
    long double wide = 1;
    for (uint64_t i = 0; i < n; i++) {
        a = a * 6364136223846793005u + i;
        x = x * 0.999 + y;
        y = y * 0.5 + 1 / (x + 1);
        wide = wide * 0.25L + (long double)(a >> 60);
    }
    return a ^ (uint64_t)(x * 1e9) ^ (uint64_t)(wide * 1e9L);
}

static void run(void)
{
    uint64_t once = mill(300000), n = 0;
    int same = 1;
    for (; !told || n < 3; n++)
        same &= mill(300000) == once;
    say(same ? "ran" : "WRONG");
}

static void on_handled(int number)
{
    volatile char own[2048];
    memset((char *)own, number, sizeof own);
    say("waiting");
    do
        handled++;
    while (!told); /* it may be told before it comes here */
    for (size_t i = 0; i < sizeof own; i++)
        if (own[i] != number)
            say("WRONG");
}

static void handler(void)
{
    static char stack[65536];
    stack_t other = {.ss_sp = stack, .ss_size = sizeof stack};
    sigaltstack(&other, NULL);
    sigaction(SIGUSR2, &(struct sigaction){.sa_handler = on_handled, .sa_flags = SA_ONSTACK}, NULL);
    double x = 1.5;
    raise(SIGUSR2);
    say(handled > 0 && x == 1.5 ? "handled" : "WRONG");
}

/* ---- asleep --------------------------------------------------------------------------------- */
static void slept(void)
{
    struct timespec from, t = {0, 700000000};
    clock_gettime(CLOCK_MONOTONIC, &from);
    nanosleep(&t, NULL);
    int64_t ns = since(CLOCK_MONOTONIC, &from);
    say(ns >= 700000000 && ns < 60000000000 ? "slept" : "WRONG");
}

static void boot(void) /* what a program sees of time does not stand out by clock */
{
    struct timespec from, boot_from;
    clock_gettime(CLOCK_BOOTTIME, &boot_from);
    clock_gettime(CLOCK_MONOTONIC, &from);
    sem_wait(&go);
    int64_t apart = since(CLOCK_BOOTTIME, &boot_from) - since(CLOCK_MONOTONIC, &from);
    say(apart >= -1000000000 && apart <= 1000000000 ? "together" : "WRONG");
}

static void stood(void) /* an hour passed on the wall, and none of it here */
{
    struct timespec from, wall_from;
    clock_gettime(CLOCK_MONOTONIC, &from);
    clock_gettime(CLOCK_REALTIME, &wall_from);
    say("waiting");
    sem_wait(&go);
    int64_t here = since(CLOCK_MONOTONIC, &from), wall = since(CLOCK_REALTIME, &wall_from);
    say(here >= 0 && here < 600000000000 && wall > 3000000000000 ? "stood" : "WRONG");
}

/* ---- in a system call ------------------------------------------------------------------------ */
static void pipes(void)
{
    char c = 0;
    ssize_t n = read(ends[0], &c, 1);
    say(n == 1 && c == 'x' ? "read" : "WRONG");
}

static void polled(void)
{
    struct pollfd p = {ends[0], POLLIN, 0};
    int n;
    while ((n = poll(&p, 1, -1)) < 0 && errno == EINTR)
        ;
    say(n == 1 && p.revents == POLLIN ? "polled" : "WRONG");
}

static void selected(void)
{
    fd_set set;
    struct timeval t = {100, 0};
    FD_ZERO(&set);
    FD_SET(ends[0], &set);
    int n = select(ends[0] + 1, &set, NULL, NULL, &t);
    say(n == 1 && FD_ISSET(ends[0], &set) ? "selected" : "WRONG");
}

static void waited(void)
{
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = 77}, seen = {0};
    int fd = epoll_create1(0), n;
    epoll_ctl(fd, EPOLL_CTL_ADD, ends[0], &e);
    while ((n = epoll_wait(fd, &seen, 1, -1)) < 0 && errno == EINTR)
        ;
    say(n == 1 && seen.data.u64 == 77 ? "waited" : "WRONG");
}

static void counted(void)
{
    uint64_t n = 0;
    say(read(counter, &n, sizeof n) == sizeof n && n == 3 ? "counted" : "WRONG");
}

static void condition(void)
{
    pthread_mutex_lock(&mutex);
    while (!told)
        pthread_cond_wait(&changed, &mutex);
    pthread_mutex_unlock(&mutex);
    say("woken");
}

static void *ends_at_once(void *unused)
{
    (void)unused;
    sem_wait(&go);
    return (void *)5;
}

static void joined(void)
{
    pthread_t other;
    void *result;
    pthread_create(&other, NULL, ends_at_once, NULL);
    pthread_join(other, &result);
    say(result == (void *)5 ? "joined" : "WRONG");
}

static void suspended(void)
{
    sigset_t none;
    sigemptyset(&none);
    sigsuspend(&none);
    say(errno == EINTR && told ? "suspended" : "WRONG");
}

static void awaited(void)
{
    sigset_t one;
    siginfo_t info;
    sigemptyset(&one);
    sigaddset(&one, SIGUSR1);
    say(sigwaitinfo(&one, &info) == SIGUSR1 && told ? "awaited" : "WRONG");
}

static void received(void)
{
    char text[64];
    int stream = radics_subscribe("orders");
    long n = radics_receive(stream, text, sizeof text, -1, NULL);
    say(n == 5 && !memcmp(text, "order", 5) ? "received" : "WRONG");
}

static void received_late(void)
{
    char text[64];
    struct timespec from;
    clock_gettime(CLOCK_MONOTONIC, &from);
    long n = radics_receive(radics_subscribe("orders"), text, sizeof text, 700000000, NULL);
    say(n == -ETIMEDOUT && since(CLOCK_MONOTONIC, &from) >= 700000000 ? "late" : "WRONG");
}

/* ---- a time of the wall clock, half an hour from now; the next host's is an hour ahead --------- */
static struct timespec in_half_an_hour(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_sec += 1800;
    return t;
}

static void wall_slept(void)
{
    struct timespec t = in_half_an_hour();
    say("waiting");
    int error = clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &t, NULL);
    say(error == 0 && since(CLOCK_REALTIME, &t) >= 0 ? "slept" : "WRONG");
}

static void wall_waited(void)
{
    sem_t never;
    struct timespec t = in_half_an_hour();
    sem_init(&never, 0, 0);
    say("waiting");
    say(sem_timedwait(&never, &t) < 0 && errno == ETIMEDOUT ? "timed out" : "WRONG");
}

static void wall_timer(int as_file)
{
    struct itimerspec when = {{0, 0}, in_half_an_hour()};
    uint64_t times = 1;
    if (as_file) {
        int fd = timerfd_create(CLOCK_REALTIME, 0);
        timerfd_settime(fd, TFD_TIMER_ABSTIME, &when, NULL);
        say("waiting");
        if (read(fd, &times, sizeof times) != sizeof times)
            times = 0;
    } else {
        timer_t timer;
        sigset_t one;
        struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
        sigemptyset(&one);
        sigaddset(&one, SIGALRM);
        sigprocmask(SIG_BLOCK, &one, NULL);
        timer_create(CLOCK_REALTIME, &event, &timer);
        timer_settime(timer, TIMER_ABSTIME, &when, NULL);
        say("waiting");
        times = sigwaitinfo(&one, NULL) == SIGALRM;
    }
    say(times == 1 && since(CLOCK_REALTIME, &when.it_value) >= 0 ? "rang" : "WRONG");
}

static void wall_timer_signal(void) { wall_timer(0); }
static void wall_timer_file(void) { wall_timer(1); }

/* ---- chance ------------------------------------------------------------------------------------ */
static void chance(void)
{
    unsigned char bytes[8];
    sem_wait(&go);
    if (getentropy(bytes, sizeof bytes))
        say("WRONG");
    for (size_t i = 0; i < sizeof bytes; i++)
        printf("%02x", bytes[i]);
    say("");
}

/* ---- nobody -------------------------------------------------------------------------------------- */
static void *last(void *unused)
{
    (void)unused;
    sem_wait(&go);
    say("last");
    exit(0);
}

static void gone(void) /* the first thread is no more, and no other runs */
{
    pthread_t other;
    pthread_create(&other, NULL, last, NULL);
    say("waiting");
    pthread_exit(NULL);
}

static const struct place {
    const char *name;
    void (*wait)(void);
    int says_itself; /* when it is there */
} places[] = {
    {"run", run, 0},
    {"handler", handler, 1},
    {"sleep", slept, 0},
    {"boottime", boot, 0},
    {"clock", stood, 1},
    {"pipe", pipes, 0},
    {"poll", polled, 0},
    {"select", selected, 0},
    {"epoll", waited, 0},
    {"eventfd", counted, 0},
    {"condition", condition, 0},
    {"join", joined, 0},
    {"sigsuspend", suspended, 0},
    {"sigwait", awaited, 0},
    {"receive", received, 0},
    {"receive with a limit", received_late, 0},
    {"wall sleep", wall_slept, 1},
    {"wall futex", wall_waited, 1},
    {"wall timer", wall_timer_signal, 1},
    {"wall timerfd", wall_timer_file, 1},
    {"chance", chance, 0},
    {"gone", gone, 1},
};

static void on_usr1(int number) { (void)number; }

int main(int argc, char **argv)
{
    pthread_t other;
    sigset_t usr1;
    sigaction(SIGUSR1, &(struct sigaction){.sa_handler = on_usr1}, NULL);
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    sigprocmask(SIG_BLOCK, &usr1, NULL); /* who waits for it lets it in */
    first = pthread_self();
    sem_init(&go, 0, 0);
    if (argc < 2 || pipe(ends) || (counter = eventfd(0, 0)) < 0)
        return 2;
    pthread_create(&other, NULL, herald, NULL);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        if (strcmp(places[i].name, argv[1]))
            continue;
        if (!places[i].says_itself)
            say("waiting");
        places[i].wait();
        return 0;
    }
    return 3;
}
