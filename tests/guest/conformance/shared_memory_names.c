/* POSIX shared memory and named semaphores, by name. */
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int main(void)
{
    shm_unlink("/conformance_shm");
    int a = shm_open("/conformance_shm", O_CREAT | O_EXCL | O_RDWR, 0600);
    ftruncate(a, 4096);
    char *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, a, 0);
    int b = shm_open("/conformance_shm", O_RDWR, 0);
    char *q = mmap(NULL, 4096, PROT_READ, MAP_SHARED, b, 0);
    strcpy(p, "one memory");
    printf("%s\n", q);
    printf("%d", shm_open("/conformance_shm", O_CREAT | O_EXCL | O_RDWR, 0600));
    printf(" %d\n", errno == EEXIST);
    printf("%d", shm_unlink("/conformance_shm"));
    printf(" %d\n", shm_unlink("/conformance_shm"));
    sem_unlink("/conformance_sem");
    sem_t *s = sem_open("/conformance_sem", O_CREAT, 0600, 2);
    sem_t *same = sem_open("/conformance_sem", 0);
    int value;
    sem_wait(s);
    sem_getvalue(same, &value);
    printf("%d %d\n", s == same, value);
    printf("%d", sem_trywait(s));
    printf(" %d", sem_trywait(s));
    printf(" %d\n", errno == EAGAIN);
    printf("%d", sem_close(s));
    printf(" %d\n", sem_unlink("/conformance_sem"));
    return 0;
}
