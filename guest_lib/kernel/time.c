/* time.c: clocks, sleeping, and the one interval timer. */
#include <linux/time.h>
#include <linux/time_types.h>
#include "clock.h"
#include "process.h"
#include "signal.h"
#include "syscall.h"
#include "thread.h"
#include "user.h"

struct time {
    int64_t s, ns; /* or µs, in struct timeval */
};

static struct time split_ns(uint64_t ns)
{
    return (struct time){(int64_t)(ns / NS_PER_S), (int64_t)(ns % NS_PER_S)};
}

/* False if it is no time; far beyond what 64 bits of nanoseconds hold is as good as never. */
static bool to_ns(const struct time *t, uint64_t *ns)
{
    if (t->s < 0 || t->ns < 0 || t->ns >= (int64_t)NS_PER_S)
        return false;
    *ns = t->s > 9000000000 ? NEVER / 2 : (uint64_t)t->s * NS_PER_S + (uint64_t)t->ns;
    return true;
}

int64_t time_deadline(uint64_t at, bool absolute, bool wall, uint64_t *deadline)
{
    struct time t;
    uint64_t ns, now = clock_now();
    if (USER_GET(t, at))
        return -EFAULT;
    if (!to_ns(&t, &ns))
        return -EINVAL;
    if (absolute && wall) {
        uint64_t wall_now = clock_wall();
        ns = ns > wall_now ? ns - wall_now : 0;
        absolute = false;
    }
    *deadline = absolute ? ns : now + ns;
    return 0;
}

static bool known(int clock) { return clock >= 0 && clock <= CLOCK_BOOTTIME; }

static bool is_wall(int clock) { return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE; }

int64_t sys_clock_gettime(int clock, uint64_t to)
{
    if (!known(clock))
        return -EINVAL;
    struct time t = split_ns(is_wall(clock) ? clock_wall() : clock_now());
    return USER_PUT(to, t);
}

int64_t sys_clock_getres(int clock, uint64_t to)
{
    struct time t = {0, 1};
    if (!known(clock))
        return -EINVAL;
    return to ? USER_PUT(to, t) : 0;
}

int64_t sys_gettimeofday(uint64_t to)
{
    struct time t = split_ns(clock_wall());
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
    struct time left = split_ns(deadline > now ? deadline - now : 0);
    return rest && USER_PUT(rest, left) ? -EFAULT : -EINTR;
}

int64_t sys_clock_nanosleep(int clock, int flags, uint64_t request, uint64_t rest)
{
    uint64_t deadline;
    bool absolute = flags & 1; /* TIMER_ABSTIME */
    if (!known(clock))
        return -EINVAL;
    int64_t error = time_deadline(request, absolute, is_wall(clock), &deadline);
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

/* ---- interval timer ----------------------------------------------------------------------- */
static uint64_t timer_at = NEVER, timer_interval;

uint64_t process_deadline(void) { return timer_at; }

void process_tick(uint64_t now)
{
    if (now < timer_at)
        return;
    timer_at = timer_interval ? now + timer_interval : NEVER;
    struct signal_info info = {.number = SIGALRM, .code = SI_KERNEL};
    signal_process(&info);
}

struct interval {
    struct time every, first; /* µs */
};

static struct interval timer_left(void)
{
    uint64_t now = clock_now(), left = timer_at == NEVER ? 0
                                       : timer_at > now  ? timer_at - now
                                                         : 1000;
    struct interval i = {split_ns(timer_interval), split_ns(left)};
    i.every.ns /= 1000;
    i.first.ns /= 1000;
    return i;
}

int64_t sys_setitimer(int which, uint64_t fresh, uint64_t old)
{
    struct interval before = timer_left(), i;
    uint64_t every, first;
    if (which != 0) /* ITIMER_REAL */
        return -ENOSYS;
    if (USER_GET(i, fresh))
        return -EFAULT;
    i.every.ns *= 1000;
    i.first.ns *= 1000;
    if (!to_ns(&i.every, &every) || !to_ns(&i.first, &first))
        return -EINVAL;
    timer_interval = every;
    timer_at = first ? clock_now() + first : NEVER;
    return old ? USER_PUT(old, before) : 0;
}

int64_t sys_getitimer(int which, uint64_t to)
{
    struct interval now = timer_left();
    return which ? -ENOSYS : USER_PUT(to, now);
}

int64_t sys_alarm(unsigned seconds)
{
    int64_t left = timer_left().first.s + (timer_left().first.ns > 0);
    timer_interval = 0;
    timer_at = seconds ? clock_now() + seconds * NS_PER_S : NEVER;
    return left;
}
