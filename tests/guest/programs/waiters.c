/* Threads that wait in one place each, for ever; main receives, and ends at the first message. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>
#include "radics.h"

static pthread_mutex_t held = PTHREAD_MUTEX_INITIALIZER;
static int pipe_ends[2];
static volatile double kept = 1.5;

/* None of them may end with a call, which would be no call but a jump. */
__attribute__((noinline)) static void wait_for_lock(void)
{
    pthread_mutex_lock(&held);
    kept = 0;
}
__attribute__((noinline)) static void sleep_long(void)
{
    nanosleep(&(struct timespec){.tv_sec = 5000}, NULL);
    kept = 0;
}
__attribute__((noinline)) static void read_pipe(void)
{
    char byte;
    (void)!read(pipe_ends[0], &byte, 1);
    kept = 0;
}
__attribute__((noinline)) static void poll_pipe(void)
{
    poll(&(struct pollfd){.fd = pipe_ends[0], .events = POLLIN}, 1, -1);
    kept = 0;
}
__attribute__((noinline)) static void compute(void)
{
    for (;;)
        kept = kept * 1.0000001 + 0.5;
}

static const struct {
    const char *name;
    void (*function)(void);
} jobs[] = {
    {"locker", wait_for_lock}, {"sleeper", sleep_long}, {"reader", read_pipe},
    {"poller", poll_pipe},     {"computer", compute},
};

static void *start(void *number)
{
    prctl(PR_SET_NAME, jobs[(long)number].name);
    jobs[(long)number].function();
    return NULL;
}

int main(void)
{
    char text[64];
    (void)!pipe(pipe_ends);
    pthread_mutex_lock(&held);
    for (unsigned i = 0; i < sizeof jobs / sizeof *jobs; i++) {
        pthread_t t;
        pthread_create(&t, NULL, start, (void *)(long)i);
    }
    int stream = radics_subscribe("numbers");
    puts("waiting");
    fflush(stdout);
    radics_receive(stream, text, sizeof text, -1, NULL);
    return 4;
}
