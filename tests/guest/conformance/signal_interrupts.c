/* A signal that comes while a call waits: it ends early, or goes on if the handler says so. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int ends[2];
static pthread_t main_thread;
static volatile sig_atomic_t seen;

static void handler(int number)
{
    (void)number;
    seen++;
}

static void *poke(void *write_too)
{
    usleep(30000);
    pthread_kill(main_thread, SIGUSR1);
    if (write_too) {
        usleep(30000);
        write(ends[1], "x", 1);
    }
    return NULL;
}

static void round_of(int flags, const char *what)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    pthread_t t;
    char c;
    sigaction(SIGUSR1, &action, NULL);
    pthread_create(&t, NULL, poke, flags ? "" : NULL);
    ssize_t n = read(ends[0], &c, 1);
    int error = errno;
    pthread_join(t, NULL);
    printf("%s %zd %s %d\n", what, n, n < 0 ? strerror(error) : "", seen);
}

int main(void)
{
    pipe(ends);
    main_thread = pthread_self();
    round_of(0, "ended");
    round_of(SA_RESTART, "went on");
    pthread_t t;
    pthread_create(&t, NULL, poke, NULL);
    struct timespec left = {0, 0};
    int r = nanosleep(&(struct timespec){5, 0}, &left);
    printf("%d %d %d\n", r, errno == EINTR, left.tv_sec == 4);
    pthread_join(t, NULL);
    return 0;
}
