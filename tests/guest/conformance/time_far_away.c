/* Waits until the end of time that end earlier, because something comes. */
#define _GNU_SOURCE
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <sys/select.h>
#include <time.h>
#include <unistd.h>

static int ends[2];
static sem_t sem;
static pthread_t main_thread;

static void handler(int number) { (void)number; }

static void *poke(void *unused)
{
    for (int i = 0; i < 2; i++) {
        usleep(10000);
        write(ends[1], "x", 1);
    }
    usleep(10000);
    sem_post(&sem);
    usleep(10000);
    pthread_kill(main_thread, SIGUSR1);
    return unused;
}

int main(void)
{
    pthread_t t;
    char c;
    struct sigaction action = {.sa_handler = handler};
    sigaction(SIGUSR1, &action, NULL);
    main_thread = pthread_self();
    sem_init(&sem, 0, 0);
    pipe(ends);
    pthread_create(&t, NULL, poke, NULL);
    fd_set r;
    FD_ZERO(&r);
    FD_SET(ends[0], &r);
    struct timespec far = {LONG_MAX / 2, 0}, farther = {9223372036L, 999999999}, left;
    printf("%d\n", pselect(ends[0] + 1, &r, NULL, NULL, &farther, NULL));
    read(ends[0], &c, 1);
    struct pollfd p = {ends[0], POLLIN, 0};
    printf("%d\n", ppoll(&p, 1, &far, NULL));
    read(ends[0], &c, 1);
    printf("%d\n", sem_timedwait(&sem, &farther));
    int result = nanosleep(&farther, &left);
    printf("%d", result);
    printf(" %d\n", errno == EINTR);
    pthread_join(t, NULL);
    return 0;
}
