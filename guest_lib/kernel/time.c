/* time.c: clocks and sleeping. */
#include <linux/time.h>
#include <linux/time_types.h>
#include "clock.h"
#include "process.h"
#include "signal.h"
#include "syscall.h"
#include "thread.h"
#include "time.h"
#include "user.h"

struct time time_split(uint64_t ns)
{
    return (struct time){(int64_t)(ns / NS_PER_S), (int64_t)(ns % NS_PER_S)};
}

bool time_to_ns(const struct time *t, uint64_t *ns)
{
    if (t->s < 0 || t->ns < 0 || t->ns >= (int64_t)NS_PER_S)
        return false;
    /* So far below NEVER and TIME_WALL that adding the time it is now does not reach them. */
    *ns = t->s > 4600000000 ? NEVER / 4 : (uint64_t)t->s * NS_PER_S + (uint64_t)t->ns;
    return true;
}

int64_t time_deadline(uint64_t at, bool absolute, bool wall, uint64_t *deadline)
{
    struct time t;
    uint64_t ns, now = clock_now();
    if (USER_GET(t, at))
        return -EFAULT;
    if (!time_to_ns(&t, &ns))
        return -EINVAL;
    *deadline = absolute ? ns | (wall ? TIME_WALL : 0) : now + ns;
    return 0;
}

uint64_t time_monotonic(uint64_t deadline)
{
    if (deadline == NEVER || !(deadline & TIME_WALL))
        return deadline;
    uint64_t at = deadline & ~TIME_WALL, now = clock_now(), wall = clock_wall();
    return at > wall ? now + (at - wall) : now;
}

/* A thread's or a process's own clock has a negative number, made of its id (pthread_getcpuclockid,
 * clock_getcpuclockid): ~id << 3, 4 for a thread, 2 for "scheduler". */
static bool cpu_clock(int clock, uint64_t *ns)
{
    int id = ~(clock >> 3);
    bool of_thread = clock == CLOCK_THREAD_CPUTIME_ID || (clock < 0 && clock & 4);
    if (clock != CLOCK_THREAD_CPUTIME_ID && clock != CLOCK_PROCESS_CPUTIME_ID &&
        (clock >= 0 || (clock & 3) != 2))
        return false;
    const struct thread *t = clock >= 0 || !id ? current : thread_find(id);
    if (!t)
        return false;
    *ns = of_thread ? thread_cpu_ns(t) : process_cpu_ns();
    return true;
}

bool clock_known(int clock)
{
    return (clock >= 0 && clock <= CLOCK_BOOTTIME) || clock == CLOCK_TAI;
}

bool clock_is_wall(int clock)
{
    return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE || clock == CLOCK_TAI;
}

int64_t sys_clock_gettime(int clock, uint64_t to)
{
    uint64_t ns;
    if (!cpu_clock(clock, &ns)) {
        if (!clock_known(clock))
            return -EINVAL;
        ns = clock_is_wall(clock) ? clock_wall() : clock_now();
    }
    struct time t = time_split(ns);
    return USER_PUT(to, t);
}

int64_t sys_clock_getres(int clock, uint64_t to)
{
    struct time t = {0, 1};
    uint64_t ns;
    if (!cpu_clock(clock, &ns) && !clock_known(clock))
        return -EINVAL;
    return to ? USER_PUT(to, t) : 0;
}

int64_t sys_gettimeofday(uint64_t to)
{
    struct time t = time_split(clock_wall());
    t.ns /= 1000;
    return to ? USER_PUT(to, t) : 0;
}

int64_t sys_time(uint64_t to)
{
    int64_t s = (int64_t)(clock_wall() / NS_PER_S);
    return to && USER_PUT(to, s) ? -EFAULT : s;
}

static int64_t sleep_until(uint64_t deadline, uint64_t rest)
{
    int result;
    while ((result = thread_wait(NULL, deadline)) == 0)
        ;
    if (result == -ETIMEDOUT)
        return 0;
    uint64_t now = clock_now();
    struct time left = time_split(deadline > now ? deadline - now : 0);
    return rest && USER_PUT(rest, left) ? -EFAULT : -EINTR;
}

int64_t sys_clock_nanosleep(int clock, int flags, uint64_t request, uint64_t rest)
{
    uint64_t deadline;
    bool absolute = flags & 1; /* TIMER_ABSTIME */
    if (!clock_known(clock))
        return -EINVAL;
    int64_t error = time_deadline(request, absolute, clock_is_wall(clock), &deadline);
    return error ? error : sleep_until(deadline, absolute ? 0 : rest);
}

int64_t sys_nanosleep(uint64_t request, uint64_t rest)
{
    return sys_clock_nanosleep(CLOCK_MONOTONIC, 0, request, rest);
}

int64_t sys_pause(void)
{
    while (thread_wait(NULL, NEVER) != -EINTR)
        ;
    return -EINTR;
}
