/* What may be asked of the scheduler. */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <unistd.h>

int main(void)
{
    cpu_set_t set;
    struct sched_param p = {.sched_priority = 1};
    printf("%d %d\n", sched_getaffinity(0, sizeof set, &set), CPU_COUNT(&set) >= 1);
    printf("%d\n", sched_yield());
    printf("%d %d\n", sched_getscheduler(0) == SCHED_OTHER, sched_getparam(0, &p));
    printf("%d\n", p.sched_priority);
    printf("%d %d\n", sched_get_priority_max(SCHED_FIFO), sched_get_priority_min(SCHED_FIFO));
    printf("%d %d\n", sched_get_priority_max(SCHED_OTHER), sched_get_priority_max(42));
    printf("%d\n", sched_setscheduler(0, SCHED_OTHER, &p));
    struct timespec t;
    printf("%d %d\n", sched_rr_get_interval(0, &t), t.tv_sec == 0);
    errno = 0;
    printf("%d %d\n", getpriority(PRIO_PROCESS, 0) >= 0, errno);
    return 0;
}
