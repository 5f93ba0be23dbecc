/* The main thread may end first; the last one ends the process with 0, exit from any with its own. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void *run(void *unused)
{
    usleep(20000);
    puts("still running");
    exit(5);
    return unused;
}

int main(void)
{
    pthread_t t;
    pthread_create(&t, NULL, run, NULL);
    puts("main leaves");
    fflush(stdout);
    pthread_exit(NULL);
}
