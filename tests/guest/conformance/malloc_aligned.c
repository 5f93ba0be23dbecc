/* Memory at addresses with many zeroes. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
    for (size_t align = 8; align <= 1 << 20; align *= 8) {
        void *p;
        int r = posix_memalign(&p, align, 1000);
        printf("%zu %d %d\n", align, r, (int)((uintptr_t)p % align));
        free(p);
    }
    void *p = aligned_alloc(4096, 8192), *q;
    printf("%d %d\n", (int)((uintptr_t)p % 4096), posix_memalign(&q, 24, 8) == EINVAL);
    free(p);
    int same = 1;
    for (int i = 1; i < 200; i++)
        same &= (uintptr_t)malloc((size_t)i) % 16 == 0;
    printf("%d\n", same);
    return 0;
}
