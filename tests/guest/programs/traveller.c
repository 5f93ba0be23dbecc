/* Checks itself while it is parked and moved: a dozen threads, each of which does one thing over and
 * over and knows what must come of it. What the world sees of it depends on the messages alone, so
 * a run that was parked a thousand times says the same as one that never was.
 *
 * A message of the source "orders" is a number, or "flood": more output at once than the host takes
 * without acknowledging. The mailbox is echoed, up to a "!". At the source's end it tells what was broken. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <radics.h>

#define MS 1000000L
#define PAGE 4096UL

static atomic_int stop, broken;

/* Says what is wrong at once, a few times at most: the run's difference is the failure. */
static void wrong(const char *what, long a, long b)
{
    char line[200];
    if (atomic_fetch_add(&broken, 1) > 5)
        return;
    int n = snprintf(line, sizeof line, "broken: %s (%ld, %ld)\n", what, a, b);
    if (write(2, line, (size_t)n) < 0)
        abort();
}

#define CHECK(good, a, b) ((good) ? (void)0 : wrong(#good, (long)(a), (long)(b)))

static uint64_t next(uint64_t *state) /* xorshift */
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static uint64_t now_of(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void rest(long ns)
{
    struct timespec t = {0, ns};
    while (nanosleep(&t, &t) && errno == EINTR)
        ;
}

/* ---- registers: no system call for a long time ---------------------------------------------- */
static double series(int from)
{
    double sum = 0, x = from;
    long double wide = from;
    uint64_t bits = 88172645463325252u + (uint64_t)from;
    for (int i = 1; i < 20000; i++) {
        x = x * 0.75 + 1.0 / i;
        wide = wide / 3 + i;
        sum += x + (double)wide + (double)(next(&bits) & 1023);
    }
    return sum;
}

static void *compute(void *unused)
{
    (void)unused;
    const double expected = series(3);
    while (!stop) {
        double got = series(3);
        CHECK(got == expected, got, expected);
        rest(MS);
    }
    return NULL;
}

/* ---- time ------------------------------------------------------------------------------------- */
static void *sleeper(void *unused)
{
    (void)unused;
    while (!stop) {
        uint64_t before = now_of(CLOCK_MONOTONIC);
        rest(3 * MS);
        uint64_t slept = now_of(CLOCK_MONOTONIC) - before;
        CHECK(slept >= 3 * MS && slept < 30000 * MS, slept, before);
        before = now_of(CLOCK_MONOTONIC);
        struct timespec at = {(time_t)((before + 2 * MS) / 1000000000),
                              (long)((before + 2 * MS) % 1000000000)};
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
            ;
        slept = now_of(CLOCK_MONOTONIC) - before;
        CHECK(slept >= 2 * MS && slept < 30000 * MS, slept, before);
    }
    return NULL;
}

static void *watcher(void *unused)
{
    (void)unused;
    uint64_t last = 0, wall = now_of(CLOCK_REALTIME), spent = 0;
    while (!stop) {
        for (int i = 0; i < 50; i++) {
            uint64_t now = now_of(CLOCK_MONOTONIC), cpu = now_of(CLOCK_PROCESS_CPUTIME_ID);
            CHECK(now >= last, now, last);
            CHECK(cpu >= spent, cpu, spent);
            last = now;
            spent = cpu;
        }
        CHECK(now_of(CLOCK_REALTIME) > wall - 60000 * MS, now_of(CLOCK_REALTIME), wall);
        rest(2 * MS);
    }
    return NULL;
}

/* ---- handing over ------------------------------------------------------------------------------ */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static long played;

static void *player(void *side)
{
    pthread_mutex_lock(&mutex);
    for (long mine = 0;; mine++) {
        while (!stop && played % 2 != (long)side)
            pthread_cond_wait(&changed, &mutex);
        if (stop)
            break;
        CHECK(played == 2 * mine + (long)side, played, mine);
        played++;
        pthread_cond_broadcast(&changed);
        if (mine % 16 == 0) {
            pthread_mutex_unlock(&mutex);
            rest(MS);
            pthread_mutex_lock(&mutex);
        }
    }
    pthread_mutex_unlock(&mutex);
    return NULL;
}

/* ---- a pipe, full and empty in turn ------------------------------------------------------------ */
static int ends[2];

static void *pumper(void *unused)
{
    (void)unused;
    unsigned char bytes[9000];
    uint64_t chance = 7, value = 0;
    while (!stop) {
        size_t n = next(&chance) % sizeof bytes + 1;
        for (size_t i = 0; i < n; i++)
            bytes[i] = (unsigned char)(value++ % 251);
        for (size_t done = 0; done < n;) { /* a signal may cut it short */
            ssize_t got = write(ends[1], bytes + done, n - done);
            CHECK(got > 0, got, errno);
            done += (size_t)got;
        }
        if (next(&chance) % 8 == 0)
            rest(4 * MS);
    }
    close(ends[1]);
    return NULL;
}

static void *drinker(void *unused)
{
    (void)unused;
    unsigned char bytes[7000];
    uint64_t chance = 9, value = 0;
    for (;;) {
        if (next(&chance) % 4 == 0) {
            struct pollfd p = {ends[0], POLLIN, 0};
            int ready = poll(&p, 1, 5);
            CHECK(ready == 0 || (ready < 0 && errno == EINTR) ||
                      (ready == 1 && p.revents & (POLLIN | POLLHUP)),
                  ready, p.revents);
        }
        ssize_t n = read(ends[0], bytes, next(&chance) % sizeof bytes + 1);
        if (n <= 0) {
            CHECK(n == 0 && stop, n, errno);
            return NULL;
        }
        for (ssize_t i = 0; i < n; i++, value++)
            CHECK(bytes[i] == value % 251, bytes[i], value % 251);
        if (next(&chance) % 8 == 0)
            rest(5 * MS);
    }
}

/* ---- signals ------------------------------------------------------------------------------------ */
static atomic_long alarms, asked, answered;
static pthread_t listener_thread;

static void on_alarm(int number)
{
    volatile char own[512];
    int saved = errno;
    memset((char *)own, number, sizeof own);
    alarms++;
    for (size_t i = 0; i < sizeof own; i += 64)
        CHECK(own[i] == number, own[i], i);
    errno = saved;
}

static void on_question(int number)
{
    (void)number;
    answered++;
}

static void *listener(void *unused)
{
    (void)unused;
    sigset_t none;
    sigemptyset(&none);
    while (!stop)
        sigsuspend(&none);
    return NULL;
}

static void *asker(void *unused)
{
    (void)unused;
    while (!stop) {
        long before = answered;
        CHECK(before == asked, before, asked);
        asked++;
        pthread_kill(listener_thread, SIGUSR1);
        for (int i = 0; answered == before && i < 10000; i++)
            rest(MS / 2);
        CHECK(answered == before + 1, answered, before);
    }
    pthread_kill(listener_thread, SIGUSR1);
    return NULL;
}

/* ---- faults -------------------------------------------------------------------------------------- */
static __thread sigjmp_buf out;

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)number, (void)context;
    CHECK(info->si_code == SEGV_ACCERR, info->si_code, (uintptr_t)info->si_addr);
    siglongjmp(out, 1);
}

static void *faulter(void *unused)
{
    (void)unused;
    char *page = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (volatile long round = 0; !stop; round++) {
        if (!sigsetjmp(out, 1)) {
            page[round % 4096] = 1;
            wrong("a read-only page took a byte", round, 0);
        }
        rest(2 * MS);
    }
    return NULL;
}

/* ---- memory --------------------------------------------------------------------------------------- */
#define REGIONS 12

struct stretch {
    uint64_t *at, seed;
    size_t pages;
};

static void fill(const struct stretch *r)
{
    for (size_t i = 0; i < r->pages * PAGE / 8; i += 64)
        r->at[i] = r->seed ^ i;
}

static void verify(const struct stretch *r)
{
    for (size_t i = 0; i < r->pages * PAGE / 8; i += 64)
        CHECK(r->at[i] == (r->seed ^ i), r->at[i], r->seed ^ i);
}

static void *gardener(void *unused)
{
    (void)unused;
    struct stretch regions[REGIONS] = {{0, 0, 0}};
    uint64_t chance = 11;
    while (!stop) {
        struct stretch *r = &regions[next(&chance) % REGIONS];
        size_t bytes = r->pages * PAGE;
        if (!r->at) {
            r->pages = next(&chance) % 40 + 1;
            r->seed = next(&chance);
            r->at = mmap(NULL, r->pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                         -1, 0);
            CHECK(r->at != MAP_FAILED, r->pages, errno);
            CHECK(r->at[0] == 0 && r->at[r->pages * PAGE / 8 - 1] == 0, r->at[0], 0);
            fill(r);
            continue;
        }
        verify(r);
        switch (next(&chance) % 4) {
        case 0:
            CHECK(munmap(r->at, bytes) == 0, errno, bytes);
            r->at = NULL;
            break;
        case 1:
            CHECK(mprotect(r->at, bytes, PROT_READ) == 0, errno, bytes);
            rest(MS);
            verify(r);
            CHECK(mprotect(r->at, bytes, PROT_READ | PROT_WRITE) == 0, errno, bytes);
            break;
        case 2:
            r->seed = next(&chance);
            fill(r);
            break;
        default: {
            size_t pages = next(&chance) % 40 + 1;
            void *moved = mremap(r->at, bytes, pages * PAGE, MREMAP_MAYMOVE);
            CHECK(moved != MAP_FAILED, errno, pages);
            struct stretch kept = {moved, r->seed, pages < r->pages ? pages : r->pages};
            verify(&kept);
            r->at = moved;
            r->pages = pages;
            fill(r);
        }
        }
        rest(MS);
    }
    return NULL;
}

static void *baker(void *unused)
{
    (void)unused;
    unsigned char *loaves[64] = {NULL};
    size_t sizes[64] = {0};
    for (uint64_t chance = 13, i; !stop; rest(MS)) {
        for (int n = 0; n < 30; n++) {
            i = next(&chance) % 64;
            for (size_t at = 0; loaves[i] && at < sizes[i]; at += 13)
                CHECK(loaves[i][at] == (unsigned char)(i + at), loaves[i][at], i);
            free(loaves[i]);
            sizes[i] = next(&chance) % (next(&chance) % 10 ? 500 : 60000);
            loaves[i] = malloc(sizes[i]);
            for (size_t at = 0; at < sizes[i]; at++)
                loaves[i][at] = (unsigned char)(i + at);
        }
    }
    return NULL;
}

/* ---- files ----------------------------------------------------------------------------------------- */
#define FILE_BYTES 40000

static void *clerk(void *unused)
{
    (void)unused;
    static unsigned char model[FILE_BYTES], seen[FILE_BYTES];
    uint64_t chance = 17;
    size_t size = 0;
    int fd = open("/tmp/ledger", O_RDWR | O_CREAT | O_TRUNC, 0600), other = 0;
    for (; !stop; rest(MS)) {
        size_t at = next(&chance) % FILE_BYTES, n = next(&chance) % (FILE_BYTES - at) / 4;
        memset(model + at, (int)(next(&chance) % 255 + 1), n);
        CHECK(pwrite(fd, model + at, n, (off_t)at) == (ssize_t)n, errno, n);
        size = n && at + n > size ? at + n : size;
        if (next(&chance) % 8 == 0) {
            size = next(&chance) % FILE_BYTES;
            CHECK(ftruncate(fd, (off_t)size) == 0, errno, size);
            memset(model + size, 0, FILE_BYTES - size);
        }
        if (next(&chance) % 8 == 0) {
            other = !other;
            CHECK(rename(other ? "/tmp/ledger" : "/tmp/other",
                         other ? "/tmp/other" : "/tmp/ledger") == 0,
                  errno, other);
            close(fd);
            fd = open(other ? "/tmp/other" : "/tmp/ledger", O_RDWR);
            CHECK(fd >= 0, errno, other);
        }
        ssize_t got = pread(fd, seen, FILE_BYTES, 0);
        CHECK(got == (ssize_t)size, got, size);
        CHECK(memcmp(seen, model, size) == 0, size, at);
    }
    close(fd);
    return NULL;
}

/* A file that is written through its descriptor and through two maps of it, in turn. */
static void *mapper(void *unused)
{
    (void)unused;
    enum { PAGES = 12, WORDS = PAGES * 512 };
    static uint64_t model[WORDS];
    int fd = memfd_create("map", 0);
    uint64_t chance = 19, *shared = MAP_FAILED, *copy = MAP_FAILED;
    CHECK(ftruncate(fd, PAGES * PAGE) == 0, errno, fd);
    for (; !stop; rest(MS)) {
        size_t at = next(&chance) % WORDS;
        if (shared == MAP_FAILED)
            shared = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        switch (next(&chance) % 4) {
        case 0:
            model[at] = next(&chance);
            CHECK(pwrite(fd, &model[at], 8, (off_t)at * 8) == 8, errno, at);
            break;
        case 1:
            munmap(shared, PAGES * PAGE);
            shared = MAP_FAILED;
            continue;
        case 2: /* private: what is written there is seen nowhere else */
            copy = mmap(NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
            CHECK(copy[at] == model[at], copy[at], at);
            copy[at] ^= 1;
            rest(MS);
            CHECK(copy[at] == (model[at] ^ 1), copy[at], at);
            munmap(copy, PAGES * PAGE);
            break;
        default:
            shared[at] = model[at] = next(&chance);
        }
        CHECK(memcmp(shared, model, sizeof model) == 0, at, 0);
        uint64_t seen;
        CHECK(pread(fd, &seen, 8, (off_t)at * 8) == 8 && seen == model[at], seen, at);
    }
    close(fd);
    return NULL;
}

/* ---- counters and timers behind descriptors -------------------------------------------------- */
static int counter;

static void *adder(void *unused)
{
    (void)unused;
    for (uint64_t chance = 23; !stop; rest((long)(next(&chance) % 3) * MS))
        eventfd_write(counter, 1);
    eventfd_write(counter, 1u << 20);
    return NULL;
}

static void *waiter(void *unused)
{
    (void)unused;
    struct itimerspec beat = {{0, 4 * MS}, {0, 4 * MS}};
    int set = epoll_create1(0), timer = timerfd_create(CLOCK_MONOTONIC, 0);
    struct epoll_event of_counter = {.events = EPOLLIN, .data.fd = counter}, seen[2];
    struct epoll_event of_timer = {.events = EPOLLIN, .data.fd = timer};
    uint64_t rung = 0, from = now_of(CLOCK_MONOTONIC);
    epoll_ctl(set, EPOLL_CTL_ADD, counter, &of_counter);
    epoll_ctl(set, EPOLL_CTL_ADD, timer, &of_timer);
    timerfd_settime(timer, 0, &beat, NULL);
    for (;;) {
        int n = epoll_wait(set, seen, 2, -1);
        CHECK(n > 0 || errno == EINTR, n, errno);
        for (int i = 0; i < n; i++) {
            uint64_t value = 0;
            CHECK(read(seen[i].data.fd, &value, 8) == 8 && value > 0, value, errno);
            if (seen[i].data.fd == counter && value >= 1u << 20)
                return NULL;
            rung += seen[i].data.fd == timer ? value : 0;
            uint64_t beats = (now_of(CLOCK_MONOTONIC) - from) / (4 * MS);
            CHECK(rung <= beats, rung, beats);
        }
    }
}

/* ---- what the library OS keeps for the program ------------------------------------------------ */
static void *keeper(void *unused)
{
    (void)unused;
    char key[16], value[1200], kept[1200];
    uint64_t chance = 29, seeds[20] = {0};
    for (; !stop; rest(2 * MS)) {
        size_t i = next(&chance) % 20;
        snprintf(key, sizeof key, "key %zu", i);
        memset(value, (int)(seeds[i] & 255), sizeof value);
        long n = radics_kv_get(key, kept, sizeof kept);
        CHECK(n == (seeds[i] ? (long)(seeds[i] % 1000 + 1) : -ENOENT), n, seeds[i]);
        CHECK(n < 0 || memcmp(kept, value, (size_t)n) == 0, n, i);
        seeds[i] = next(&chance) % 4 ? next(&chance) : 0;
        memset(value, (int)(seeds[i] & 255), sizeof value);
        CHECK((seeds[i] ? radics_kv_put(key, value, seeds[i] % 1000 + 1) : radics_kv_erase(key)) ==
                      0 ||
                  (!seeds[i] && n == -ENOENT),
              i, seeds[i]);
    }
    return NULL;
}

static void *bell(void *unused)
{
    (void)unused;
    struct radics_message m;
    char nothing[8];
    while (!stop) {
        uint64_t before = now_of(CLOCK_MONOTONIC);
        int64_t timer = radics_timer(3 * MS, 0);
        CHECK(timer > 0, timer, 0);
        long n;
        while ((n = radics_receive(RADICS_TIMERS, nothing, sizeof nothing, -1, &m)) == -EINTR)
            ;
        CHECK(n == 0 && m.number == (uint64_t)timer, n, m.number);
        CHECK(now_of(CLOCK_MONOTONIC) - before >= 3 * MS, before, timer);
    }
    return NULL;
}

/* ---- threads are born and die ------------------------------------------------------------------------ */
static __thread long own;

static void *child(void *value)
{
    CHECK(own == 0, own, value);
    own = (long)value;
    rest((long)value % 3 * MS / 2);
    CHECK(own == (long)value, own, value);
    return (void *)(2 * own);
}

static void *parent(void *unused)
{
    (void)unused;
    for (long i = 1; !stop; i += 2) {
        pthread_t a, b;
        void *of_a, *of_b;
        if (pthread_create(&a, NULL, child, (void *)i) ||
            pthread_create(&b, NULL, child, (void *)(i + 1)))
            abort();
        pthread_join(b, &of_b);
        pthread_join(a, &of_a);
        CHECK((long)of_a == 2 * i && (long)of_b == 2 * i + 2, of_a, of_b);
        rest(MS);
    }
    return NULL;
}

/* ---- messages ------------------------------------------------------------------------------------------ */
static void *echo(void *unused)
{
    (void)unused;
    char text[1000];
    struct radics_message m;
    uint64_t expected = 1;
    for (;;) {
        long n = radics_receive(RADICS_MAILBOX, text, sizeof text, 7 * MS, &m);
        if (n == -ETIMEDOUT || n == -EINTR)
            continue;
        CHECK(n > 0 && m.number == expected, n, m.number);
        expected++;
        CHECK(radics_send("dtn://echo/", text, (size_t)n, 0) == 0, n, m.number);
        if (text[0] == '!')
            return NULL;
    }
}

static void flood(uint64_t number)
{
    static char payload[60000];
    for (size_t i = 0; i < sizeof payload; i++)
        payload[i] = (char)(number + i / 7);
    for (int i = 0; i < 6; i++) {
        payload[0] = (char)i;
        CHECK(radics_send("dtn://flood/", payload, sizeof payload, 0) == 0, i, number);
    }
}

static void serve(void)
{
    char text[64];
    struct radics_message m;
    uint64_t sum = 0, expected = 1;
    int orders = radics_subscribe("orders");
    for (long n;; expected++) {
        n = radics_receive(orders, text, sizeof text - 1, -1, &m);
        if (n == -ENODATA)
            return;
        CHECK(n > 0 && m.number == expected, n, m.number);
        text[n < 0 ? 0 : n] = 0;
        if (strcmp(text, "flood") == 0)
            flood(m.number);
        sum = sum * 31 + strtoull(text, NULL, 10);
        printf("%lu %lu\n", (unsigned long)m.number, (unsigned long)sum);
        if (m.number % 10 == 0) {
            n = snprintf(text, sizeof text, "%lu %lu", (unsigned long)m.number, (unsigned long)sum);
            CHECK(radics_send("dtn://check/", text, (size_t)n, 0) == 0, n, m.number);
        }
    }
}

static void *(*const crew[])(void *) = {compute, sleeper,  watcher, pumper, drinker, asker,
                                        faulter, gardener, baker,   clerk,  parent,  mapper,
                                        adder,   waiter,   keeper,  bell,   echo};
#define CREW (sizeof crew / sizeof *crew)

int main(void)
{
    pthread_t threads[CREW], players[2];
    struct itimerval beat = {{0, 3000}, {0, 3000}};
    sigset_t question;
    sigaction(SIGALRM, &(struct sigaction){.sa_handler = on_alarm, .sa_flags = SA_RESTART}, NULL);
    sigaction(SIGUSR1, &(struct sigaction){.sa_handler = on_question, .sa_flags = SA_RESTART},
              NULL);
    sigaction(SIGSEGV, &(struct sigaction){.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO}, NULL);
    sigemptyset(&question);
    sigaddset(&question, SIGUSR1);
    sigprocmask(SIG_BLOCK, &question, NULL); /* the listener takes it, in sigsuspend alone */
    if (pipe(ends) || (counter = eventfd(0, 0)) < 0)
        return 2;
    pthread_create(&listener_thread, NULL, listener, NULL);
    for (size_t i = 0; i < CREW; i++)
        pthread_create(&threads[i], NULL, crew[i], NULL);
    for (long side = 0; side < 2; side++)
        pthread_create(&players[side], NULL, player, (void *)side);
    setitimer(ITIMER_REAL, &beat, NULL);
    serve();
    while (!alarms || !played || !answered) /* in a short life */
        rest(MS);
    pthread_mutex_lock(&mutex);
    stop = 1;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mutex);
    for (size_t i = 0; i < CREW; i++)
        pthread_join(threads[i], NULL);
    for (int side = 0; side < 2; side++)
        pthread_join(players[side], NULL);
    pthread_join(listener_thread, NULL);
    printf("broken %d\n", broken);
    return broken != 0;
}
