/* A pipe between two threads, with more than it can hold. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <errno.h>
#include <unistd.h>

static int ends[2];

static void *fill(void *unused)
{
    static unsigned char block[10007];
    for (int i = 0; i < 50; i++) {
        for (unsigned n = 0; n < sizeof block; n++)
            block[n] = (unsigned char)(n * 7 + (unsigned)i);
        write(ends[1], block, sizeof block);
    }
    close(ends[1]);
    return unused;
}

int main(void)
{
    pthread_t t;
    unsigned char part[3000];
    unsigned long total = 0, sum = 0;
    pipe(ends);
    pthread_create(&t, NULL, fill, NULL);
    for (ssize_t n; (n = read(ends[0], part, sizeof part)) > 0; total += (unsigned long)n)
        for (ssize_t i = 0; i < n; i++)
            sum = sum * 31 + part[i];
    pthread_join(t, NULL);
    printf("%lu %lu\n", total, sum);
    close(ends[0]);
    pipe(ends);
    close(ends[0]);
    signal(SIGPIPE, SIG_IGN);
    printf("%zd", write(ends[1], "x", 1));
    printf(" %d\n", errno == EPIPE);
    return 0;
}
