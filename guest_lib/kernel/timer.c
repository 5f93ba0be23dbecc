/* timer.c: see timer.h. */
#include "timer.h"
#include <linux/time.h>
#include "clock.h"
#include "process.h"
#include "signal.h"
#include "syscall.h"
#include "thread.h"
#include "time.h"
#include "user.h"

#define INTERVAL_TIMERS                                                                            \
    3 /* ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF; the rest are timer_create's */
#define TIMERS_MAX 64
#define SIGEV_SIGNAL 0
#define SIGEV_NONE 1
#define SIGEV_THREAD_ID 4
#define SI_TIMER (-2)

struct timer {
    bool used, cpu;     /* cpu: counts processor time */
    bool wall, by_wall; /* its clock is the wall's; it was set to a time of that */
    int notify, tid, number;
    uint64_t value;
    uint64_t at, every; /* by its clock; at is NEVER while it stands still */
    uint32_t overrun;
};

static struct timer timers[TIMERS_MAX] = {
    {.used = true, .number = SIGALRM, .at = NEVER},
    {.used = true, .cpu = true, .number = SIGVTALRM, .at = NEVER},
    {.used = true, .cpu = true, .number = SIGPROF, .at = NEVER},
};

static struct timer *end = timers + INTERVAL_TIMERS; /* above all that were ever used */
bool timers_armed;                                   /* false: none will ever run out */

static uint64_t now_of(const struct timer *t)
{
    return t->cpu ? process_cpu_ns() : t->by_wall ? clock_wall() : clock_now();
}

/* ---- running out -------------------------------------------------------------------------- */

static void tell(struct timer *t)
{
    int id = (int)(t - timers);
    struct signal_info info = {.number = t->number, .code = SI_KERNEL};
    if (id >= INTERVAL_TIMERS) {
        info.code = SI_TIMER;
        info.pid = id;
        info.uid = (int32_t)t->overrun;
        info.value = t->value;
    }
    struct thread *to = t->notify == SIGEV_THREAD_ID ? thread_find(t->tid) : NULL;
    if (t->notify == SIGEV_NONE || (t->notify == SIGEV_THREAD_ID && !to))
        return;
    if (to)
        signal_thread_once(to, &info);
    else
        signal_process_once(&info);
}

static void run_out(struct timer *t, uint64_t now)
{
    uint64_t missed = t->every ? (now - t->at) / t->every : 0;
    t->at = t->every ? t->at + (missed + 1) * t->every : NEVER;
    t->overrun = (uint32_t)MIN(missed, INT32_MAX);
    tell(t);
}

void timers_tick(uint64_t now)
{
    for (struct timer *t = timers; t < end; t++)
        if (t->used && t->at != NEVER && (t->cpu || t->by_wall ? now_of(t) : now) >= t->at)
            run_out(t, now_of(t));
}

uint64_t timers_deadline(bool running)
{
    uint64_t first = NEVER;
    bool any = false;
    for (struct timer *t = timers; t < end; t++) {
        any |= t->used && t->at != NEVER;
        if (!t->used || t->at == NEVER || (t->cpu && !running))
            continue;
        bool other = t->cpu || t->by_wall;
        uint64_t there = other ? now_of(t) : 0;
        first = MIN(first, !other ? t->at : t->at > there ? clock_now() + (t->at - there) : 0);
    }
    timers_armed = any;
    return first;
}

/* ---- setting ------------------------------------------------------------------------------ */

static struct timer *timer_get(int id)
{
    bool is = id >= INTERVAL_TIMERS && id < TIMERS_MAX && timers[id].used;
    return is ? &timers[id] : NULL;
}

struct setting {
    struct time every, first;
};

static struct setting setting_of(const struct timer *t, uint64_t unit)
{
    uint64_t now = now_of(t), left = t->at == NEVER ? 0 : t->at > now ? t->at - now : unit;
    struct setting s = {time_split(t->every), time_split(left)};
    s.every.ns /= (int64_t)unit;
    s.first.ns /= (int64_t)unit;
    return s;
}

static int set(struct timer *t, struct setting s, uint64_t unit, bool absolute)
{
    uint64_t every, first;
    if (s.every.ns > (int64_t)NS_PER_S || s.first.ns > (int64_t)NS_PER_S)
        return -EINVAL;
    s.every.ns *= (int64_t)unit;
    s.first.ns *= (int64_t)unit;
    if (!time_to_ns(&s.every, &every) || !time_to_ns(&s.first, &first))
        return -EINVAL;
    t->by_wall = absolute && t->wall;
    t->at = !first ? NEVER : absolute ? first : now_of(t) + first;
    timers_armed = true;
    t->every = every;
    t->overrun = 0;
    return 0;
}

int64_t sys_setitimer(unsigned which, uint64_t fresh, uint64_t old)
{
    struct setting s = {{0, 0}, {0, 0}}, before;
    if (which >= INTERVAL_TIMERS)
        return -EINVAL;
    if (fresh && USER_GET(s, fresh))
        return -EFAULT;
    before = setting_of(&timers[which], 1000);
    int error = set(&timers[which], s, 1000, false);
    return error ? error : old ? USER_PUT(old, before) : 0;
}

int64_t sys_getitimer(unsigned which, uint64_t to)
{
    if (which >= INTERVAL_TIMERS)
        return -EINVAL;
    struct setting now = setting_of(&timers[which], 1000);
    return USER_PUT(to, now);
}

int64_t sys_alarm(unsigned seconds)
{
    struct setting before = setting_of(timers, 1), s = {{0, 0}, {seconds, 0}};
    set(timers, s, 1, false);
    return before.first.s + (before.first.ns > 0);
}

/* ---- timer_create ------------------------------------------------------------------------- */

struct event { /* struct sigevent */
    uint64_t value;
    int32_t number, notify, tid;
    uint8_t rest[64 - 20];
};

static bool valid(const struct event *e)
{
    if (e->notify == SIGEV_NONE)
        return true;
    if (e->notify != SIGEV_SIGNAL && e->notify != SIGEV_THREAD_ID)
        return false;
    return e->number > 0 && e->number <= SIGNALS &&
           (e->notify == SIGEV_SIGNAL || thread_find(e->tid));
}

int64_t sys_timer_create(int clock, uint64_t event, uint64_t id_at)
{
    struct event e = {.number = SIGALRM};
    /* Another thread's own clock is none to set a timer by here. */
    bool cpu = clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID;
    int32_t id = INTERVAL_TIMERS;
    if (!cpu && !clock_known(clock))
        return -EINVAL;
    if (event && USER_GET(e, event))
        return -EFAULT;
    while (id < TIMERS_MAX && timers[id].used)
        id++;
    if (id == TIMERS_MAX)
        return -EAGAIN;
    if (!event)
        e.value = (uint64_t)id;
    if (!valid(&e))
        return -EINVAL;
    if (USER_PUT(id_at, id))
        return -EFAULT;
    timers[id] = (struct timer){.used = true,
                                .cpu = cpu,
                                .wall = clock_is_wall(clock),
                                .notify = e.notify,
                                .tid = e.tid,
                                .number = e.number,
                                .value = e.value,
                                .at = NEVER};
    end = MAX(end, &timers[id] + 1);
    return 0;
}

int64_t sys_timer_settime(int id, int flags, uint64_t fresh, uint64_t old)
{
    struct timer *t = timer_get(id);
    struct setting s, before;
    if (!t)
        return -EINVAL;
    if (USER_GET(s, fresh))
        return -EFAULT;
    before = setting_of(t, 1);
    int error = set(t, s, 1, flags & TIMER_ABSTIME);
    return error ? error : old ? USER_PUT(old, before) : 0;
}

int64_t sys_timer_gettime(int id, uint64_t to)
{
    struct timer *t = timer_get(id);
    if (!t)
        return -EINVAL;
    struct setting now = setting_of(t, 1);
    return USER_PUT(to, now);
}

int64_t sys_timer_getoverrun(int id)
{
    struct timer *t = timer_get(id);
    return t ? (int64_t)t->overrun : -EINVAL;
}

int64_t sys_timer_delete(int id)
{
    struct timer *t = timer_get(id);
    if (!t)
        return -EINVAL;
    t->used = false;
    return 0;
}
