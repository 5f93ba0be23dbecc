/* Memory from the kernel: zero, large, sparse, given back in parts. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

int main(void)
{
    size_t size = 64 << 20;
    char *a = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    long sum = 0;
    for (size_t i = 0; i < size; i += 1 << 20)
        sum += a[i]++;
    for (size_t i = 0; i < size; i += 1 << 20)
        sum += a[i];
    printf("%ld %d\n", sum, ((unsigned long)a & 4095) == 0);
    printf("%d\n", munmap(a + (16 << 20), 16 << 20));
    printf("%d %d\n", a[0], a[(32 << 20)]);
    char *b = mmap(a + (16 << 20), 4096, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    printf("%d %d\n", b == a + (16 << 20), b[0]);
    printf("%d\n", munmap(a, size));
    printf("%d", mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
    printf(" %d\n", errno == EINVAL);
    printf("%d", munmap((void *)5, 4096));
    printf(" %d\n", errno == EINVAL);
    char *s = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    strcpy(s + 4090, "across pages");
    printf("%s\n", s + 4090);
    return 0;
}
