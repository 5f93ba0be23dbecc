/* Locks on files: flock's between open files, fcntl's of the process. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>

static int a, b;
static volatile int got;

static void *wait_for_it(void *unused)
{
    flock(b, LOCK_EX);
    got = 1;
    return unused;
}

int main(void)
{
    a = open("file_locks.tmp", O_RDWR | O_CREAT, 0600);
    b = open("file_locks.tmp", O_RDWR);
    printf("%d", flock(a, LOCK_SH));
    printf(" %d\n", flock(b, LOCK_SH | LOCK_NB));
    printf("%d", flock(a, LOCK_EX | LOCK_NB));
    printf(" %d\n", errno == EWOULDBLOCK);
    flock(b, LOCK_UN);
    printf("%d\n", flock(a, LOCK_EX));
    pthread_t t;
    pthread_create(&t, NULL, wait_for_it, NULL);
    usleep(20000);
    printf("%d\n", got);
    close(a);
    pthread_join(t, NULL);
    printf("%d\n", got);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 20};
    printf("%d", fcntl(b, F_SETLK, &lock));
    printf(" %d\n", fcntl(b, F_SETLKW, &lock));
    printf("%d", fcntl(b, F_GETLK, &lock));
    printf(" %d\n", lock.l_type == F_UNLCK); /* one's own are not in the way */
    a = open("file_locks.tmp", O_RDONLY);
    lock.l_type = F_WRLCK;
    printf("%d", fcntl(a, F_SETLK, &lock));
    printf(" %d\n", errno == EBADF);
    printf("%d", lockf(b, F_LOCK, 10));
    printf(" %d\n", lockf(b, F_ULOCK, 10));
    unlink("file_locks.tmp");
    return 0;
}
